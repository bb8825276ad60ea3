/*
 * VMAs: a sorted list of ranges with a flag. A change copies the list, piece by piece, into the other
 * of two arrays, which then becomes the list.
 */
#include "host/host_internal.h"

const struct host_vma *host_vma_find(hva_t hva)
{
	const struct host_vma *vmas = host.vmas[host.vmas_now];

	for (u32 i = 0; i < host.nr_vmas && vmas[i].start <= hva; i++)
		if (hva < vmas[i].end)
			return &vmas[i];
	return NULL;
}

bool host_vma_in(hva_t start, hva_t end)
{
	const struct host_vma *vmas = host.vmas[host.vmas_now];

	for (u32 i = 0; i < host.nr_vmas && vmas[i].start < end; i++)
		if (vmas[i].end > start)
			return true;
	return false;
}

struct vma_list {
	struct host_vma *vmas;
	u32 nr;
};

/* Adds [start, end) behind what is there, as part of the last VMA if it can be. */
static void append(struct vma_list *list, hva_t start, hva_t end, bool writable)
{
	struct host_vma *last = list->nr ? &list->vmas[list->nr - 1] : NULL;

	if (start >= end)
		return;
	if (last && last->end == start && last->writable == writable) {
		last->end = end;
		return;
	}
	ASSERT(list->nr < HOST_VMAS_MAX);
	list->vmas[list->nr++] = (struct host_vma){ start, end, writable };
}

/* The part of a VMA that the change is about. */
static void append_changed(struct vma_list *list, hva_t start, hva_t end, bool writable,
			   enum vma_change change)
{
	if (change == VMA_REMOVE)
		return;
	append(list, start, end, change == VMA_FILL_GAPS ? writable : change == VMA_WRITABLE);
}

void host_vma_change(hva_t start, hva_t end, enum vma_change change)
{
	const struct host_vma *old = host.vmas[host.vmas_now];
	struct vma_list list = { .vmas = host.vmas[!host.vmas_now] };
	hva_t done = start; /* gaps below are filled */

	for (u32 i = 0; i < host.nr_vmas; i++) {
		const struct host_vma vma = old[i];

		if (change == VMA_FILL_GAPS)
			append(&list, max_u64(done, start), min_u64(vma.start, end), true);
		append(&list, vma.start, min_u64(vma.end, start), vma.writable);
		append_changed(&list, max_u64(vma.start, start), min_u64(vma.end, end),
			       vma.writable, change);
		append(&list, max_u64(vma.start, end), vma.end, vma.writable);
		done = vma.end;
	}
	if (change == VMA_FILL_GAPS)
		append(&list, max_u64(done, start), end, true);
	host.vmas_now = !host.vmas_now;
	host.nr_vmas = list.nr;
}
