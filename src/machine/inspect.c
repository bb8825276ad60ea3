#include "machine/inspect.h"

#include "machine/machine_internal.h"

u32 inspect_nr_vcpus(void)
{
	return machine.nr_vcpus;
}

u32 inspect_nr_tlb(u32 vcpu)
{
	return vcpu < machine.nr_vcpus ? machine.vcpus[vcpu].nr_tlb : 0;
}

struct tlb_view inspect_tlb(u32 vcpu, u32 nth)
{
	const struct tlb_entry *entry = &machine.vcpus[vcpu].tlb[nth];

	return (struct tlb_view){ .gfn = entry->gfn,
				  .root = entry->root,
				  .pfn = entry->pfn,
				  .filled_at = entry->filled_at,
				  .level = entry->level,
				  .access = entry->access };
}

bool inspect_tlb_usable(u32 vcpu, pfn_t root)
{
	if (!root || inspect_vcpu_root(vcpu) != root)
		return false;
	return machine.vcpus[vcpu].running ||
	       !(machine.vcpus[vcpu].requests & BIT_ULL(REQUEST_TLB_FLUSH));
}

bool inspect_in_guest_mode(u32 vcpu)
{
	return vcpu < machine.nr_vcpus && machine.vcpus[vcpu].running;
}

pfn_t inspect_vcpu_root(u32 vcpu)
{
	return vcpu < machine.nr_vcpus ? machine.vcpus[vcpu].root : 0;
}

/* Return: the record of a frame that was handed out in this schedule, else NULL. */
static const struct frame *frame_known(pfn_t pfn)
{
	if (!pfn || pfn >= KERN_PAGES_MAX || machine.frames[pfn].epoch != machine.epoch)
		return NULL;
	return &machine.frames[pfn];
}

struct frame_view inspect_frame(pfn_t pfn)
{
	const struct frame *frame = frame_known(pfn);

	if (!frame)
		return (struct frame_view){ .count = 0 };
	return (struct frame_view){ .count = frame->refcount,
				    .generation = frame->generation,
				    .kind = frame->kind,
				    .allocated = frame->allocated };
}

u64 inspect_frame_count(pfn_t pfn)
{
	const struct frame *frame = frame_known(pfn);

	return frame ? frame->refcount : 0;
}

u32 inspect_frame_generation(pfn_t pfn)
{
	const struct frame *frame = frame_known(pfn);

	return frame ? frame->generation : 0;
}

bool inspect_frame_is(pfn_t pfn, enum frame_kind kind)
{
	const struct frame *frame = frame_known(pfn);

	return frame && frame->allocated && frame->kind == kind;
}

/* Memory of a freed table is poisoned: an oracle must not be what trips over it. */
const u64 *inspect_table(pfn_t table)
{
	return inspect_frame_is(table, FRAME_PAGE_TABLE) ? frame_words(table) : NULL;
}

u64 inspect_table_entry(pfn_t table, u32 index)
{
	const u64 *words = inspect_table(table);

	return words && index < PT_ENTRIES ? words[index] : 0;
}

u32 inspect_nr_frames(void)
{
	return kern_pages_used();
}

bool inspect_flush_pending(u32 vcpu)
{
	return machine.vcpus[vcpu].requests & BIT_ULL(REQUEST_TLB_FLUSH);
}
