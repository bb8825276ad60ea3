/*
 * get_user_pages: from a host address to a page that cannot be freed under the caller's hands. The
 * reference is taken under the PTL, while the PTE still owns one: taken later, the page could be
 * somebody else's by then (lifetime notices).
 */
#include "host/host_internal.h"

enum gup_step { GUP_STEP_OK, GUP_STEP_AGAIN, GUP_STEP_FAULT };

struct gup {
	hva_t hva;
	bool write;
	bool may_write; /* the VMA is writable; known in the slow path */
	pfn_t pfn;
	bool writable;
	u64 met; /* the PTE that did not do; 0: there was none to wait for */
	u64 moves; /* migrations that were over when it was met */
};

static bool pte_allows(u64 pte, bool write)
{
	return write ? host_pte_writable(pte) : host_pte_present(pte);
}

/* Context: PTL. */
static void gup_take(struct gup *gup, u64 pte)
{
	gup->pfn = host_pte_pfn(pte);
	gup->writable = host_pte_writable(pte);
	if (!bug(gup_reference_after_unlock))
		frame_get(gup->pfn);
}

/*
 * The page of a huge leaf, whose other pages are left alone. Return: false when the leaf does not do, or
 * something else stands there by now. Mirrors gup_fast_pmd_leaf.
 */
static bool gup_leaf(struct gup *gup, struct host_table *entry)
{
	bool allowed;

	spin_lock(&host.mm->upper_ptl);
	/* What was read before the lock may be split or gone, and its pages freed. */
	allowed = host_entry_now(gup->hva) == entry && pte_allows(host_leaf(entry), gup->write);
	if (allowed) {
		gup->pfn = host_leaf_pfn(entry, gup->hva);
		gup->writable = host_pte_writable(host_leaf(entry));
		frame_get(gup->pfn);
	}
	spin_unlock(&host.mm->upper_ptl);
	return allowed;
}

/*
 * Return: false when the PTE does not do as it stands. The table may have been taken away, but is not freed:
 * its PTEs are empty then. Mirrors gup_fast_pte_range.
 */
static bool gup_fast(struct gup *gup, struct host_table *table)
{
	bool allowed;
	u64 *ptep, pte = 0;

	ptep = host_ptep(table, gup->hva);
	if (bug(gup_without_recheck))
		pte = READ_ONCE(*ptep);
	spin_lock(&table->ptl);
	/* What was read before the lock may be a page that was freed meanwhile. */
	if (!pte)
		pte = READ_ONCE(*ptep);
	allowed = pte_allows(pte, gup->write);
	if (allowed)
		gup_take(gup, pte);
	spin_unlock(&table->ptl);
	if (bug_if(gup_reference_after_unlock, allowed))
		frame_get(gup->pfn);
	return allowed;
}

/* Mirrors get_user_pages_fast_only. */
static bool gup_lockless(struct gup *gup)
{
	struct host_table *entry;
	bool done = false;
	int idx;

	idx = host_walk_begin();
	/* Races with the creation of the table; the slow path waits for that. */
	entry = host_entry_lockless(gup->hva);
	if (unlikely(host_is_leaf(entry)))
		done = gup_leaf(gup, entry);
	else if (entry)
		done = gup_fast(gup, entry);
	host_walk_end(idx);
	return done;
}

/* An anonymous page for an empty PTE: an upgrade. Context: PTL. Mirrors do_anonymous_page. */
static u64 gup_map_new(struct gup *gup, u64 *ptep)
{
	u64 bits = HOST_PTE_PRESENT | HOST_PTE_YOUNG, pte;

	if (gup->may_write)
		bits |= HOST_PTE_WRITE;
	if (gup->write)
		bits |= HOST_PTE_DIRTY;
	pte = host_mk_pte(frame_alloc(FRAME_HOST_PAGE), bits);
	host_pte_write(gup->hva, ptep, 0, pte);
	return pte;
}

/* The page of a swap entry is mapped again as it was: an upgrade. Mirrors do_swap_page. */
static u64 gup_swap_in(struct gup *gup, u64 *ptep, u64 entry)
{
	u64 pte = host_mapped_again(entry, host_pte_pfn(entry)) | HOST_PTE_YOUNG;

	host_pte_write(gup->hva, ptep, entry, pte);
	return pte;
}

/* A page that nobody else maps is made writable in place: an upgrade. Mirrors wp_page_reuse. */
static u64 gup_reuse(struct gup *gup, u64 *ptep, u64 pte)
{
	u64 new = pte | HOST_PTE_WRITE | HOST_PTE_YOUNG | HOST_PTE_DIRTY;

	host_pte_write(gup->hva, ptep, pte, new);
	return new;
}

/*
 * Gives the process a page of its own instead of the shared one behind @pte. Context: mmap_lock for
 * reading, no PTL, a reference on the old page (which keeps its pfn from coming back as another
 * page's, so that equal PTEs mean an unchanged mapping). Mirrors wp_page_copy.
 */
static void gup_copy(struct gup *gup, struct host_table *table, u64 pte)
{
	const struct mmu_notifier_range range = host_range(gup->hva, gup->hva + 1);
	bool told = !bug_if(change_pte_unpaired, host.announces_changes);
	bool early = bug(start_under_ptl);
	u64 *ptep = host_ptep(table, gup->hva), now;
	pfn_t copy = frame_alloc(FRAME_HOST_PAGE);
	u64 owned = host_mk_pte(copy, pte & ((1ull << HOST_PTE_PFN_SHIFT) - 1)) | HOST_PTE_WRITE |
		    HOST_PTE_YOUNG | HOST_PTE_DIRTY;

	if (early)
		spin_lock(&table->ptl);
	if (told)
		host_notify_start(&range);
	if (!early)
		spin_lock(&table->ptl);
	/*
	 * Races with migration and with a reuse, neither of which takes mmap_lock for writing. To
	 * replace a page that has become ours alone is waste; to replace another would lose it.
	 */
	now = READ_ONCE(*ptep);
	if (now == pte) {
		host_pte_write(gup->hva, ptep, pte, owned);
		host_notify_change_pte(gup->hva, copy, true);
	}
	spin_unlock(&table->ptl);
	if (told)
		host_notify_end(&range);
	/* The PTE's reference on the page it does not map any more, or the copy's only one. */
	frame_put(now == pte ? host_pte_pfn(pte) : copy);
}

/*
 * Under the PTL: makes the PTE what the caller wants, as far as that needs no notification.
 * Return: the PTE as it stands now.
 */
static u64 gup_upgrade(struct gup *gup, u64 *ptep)
{
	u64 pte = READ_ONCE(*ptep);

	if (!pte)
		return gup_map_new(gup, ptep);
	if (host_pte_swap(pte))
		pte = gup_swap_in(gup, ptep, pte);
	if (!host_pte_present(pte) || pte_allows(pte, gup->write))
		return pte;
	return host_sharers(host_pte_pfn(pte)) ? pte : gup_reuse(gup, ptep, pte);
}

/* Context: mmap_lock for reading. Mirrors handle_pte_fault. */
static enum gup_step gup_fault_in(struct gup *gup, struct host_table *table)
{
	u64 pte;

	spin_lock(&table->ptl);
	pte = gup_upgrade(gup, host_ptep(table, gup->hva));
	if (pte_allows(pte, gup->write)) {
		gup_take(gup, pte);
		spin_unlock(&table->ptl);
		if (bug(gup_reference_after_unlock))
			frame_get(gup->pfn);
		return GUP_STEP_OK;
	}
	if (host_pte_migration(pte)) {
		gup->met = pte;
		/* Before the unlock: this migration is not over, and will be counted. */
		gup->moves = host.collapses ? READ_ONCE(host.mm->moves) : 0;
		spin_unlock(&table->ptl);
		return GUP_STEP_AGAIN;
	}
	frame_get(host_pte_pfn(pte));
	spin_unlock(&table->ptl);
	gup_copy(gup, table, pte);
	frame_put(host_pte_pfn(pte));
	return GUP_STEP_AGAIN;
}

/*
 * A huge leaf belongs to one VMA and is shared with nobody: what GUP may do to one page, it may do to all of
 * them, without a notification. Context: mmap_lock for reading. Mirrors do_huge_pmd_wp_page.
 */
static enum gup_step gup_fault_leaf(struct gup *gup, struct host_table *entry)
{
	u64 leaf = host_leaf(entry);

	if (gup_leaf(gup, entry))
		return GUP_STEP_OK;
	if (!pte_allows(leaf, gup->write))
		host_leaf_change(gup->hva, entry,
				 leaf | HOST_PTE_WRITE | HOST_PTE_YOUNG | HOST_PTE_DIRTY);
	/* Made writable, or split or discarded by others: look again. */
	return GUP_STEP_AGAIN;
}

/* Context: mmap_lock for reading, the VMA allows it. Mirrors handle_mm_fault. */
static enum gup_step gup_fault(struct gup *gup)
{
	struct host_table *entry = host_entry_stable(gup->hva);

	/* Nothing: a huge leaf was there, and was discarded. */
	if (!entry)
		entry = host_table_make(gup->hva);
	return host_is_leaf(entry) ? gup_fault_leaf(gup, entry) : gup_fault_in(gup, entry);
}

/* The page moves: waits, without any lock, until that is over or the entry is another one. */
static void gup_await(struct gup *gup)
{
	struct host_table *table = host.tables[gup->hva / PT_ENTRIES];

	if (host.collapses)
		await_change(&host.mm->moves, &gup->moves, sizeof(gup->moves));
	else
		await_change(host_ptep(table, gup->hva), &gup->met, sizeof(gup->met));
}

/* Mirrors get_user_pages_unlocked. */
static enum gup_step gup_slow(struct gup *gup)
{
	const struct host_vma *vma;
	enum gup_step end = GUP_STEP_FAULT;

	gup->met = 0;
	down_read(&host.mm->mmap_lock);
	vma = host_vma_find(gup->hva);
	gup->may_write = vma && vma->writable;
	if (vma && (gup->may_write || !gup->write))
		end = gup_fault(gup);
	up_read(&host.mm->mmap_lock);
	if (end == GUP_STEP_AGAIN && gup->met)
		gup_await(gup);
	return end;
}

enum gup_result host_get_user_page(hva_t hva, bool write, pfn_t *pfn, bool *writable)
{
	struct gup gup = { .hva = hva, .write = write };
	enum gup_step end;

	if (hva >= HVA_MAX)
		return GUP_FAULT;
	if (!gup_lockless(&gup)) {
		/*
		 * Each turn more means that a migration has ended, the page was copied, or a huge leaf
		 * was changed.
		 */
		do {
			end = gup_slow(&gup);
		} while (end == GUP_STEP_AGAIN);
		if (end == GUP_STEP_FAULT)
			return GUP_FAULT;
	}
	*pfn = gup.pfn;
	*writable = gup.writable;
	return GUP_OK;
}

void host_put_page(pfn_t pfn)
{
	frame_put(pfn);
}

/* --- writes by the kernel --- */

/* What the CPU sets in the entry through which it writes. */
#define WRITTEN (HOST_PTE_YOUNG | HOST_PTE_DIRTY)

static bool write_leaf(hva_t hva, struct host_table *entry, pfn_t *pfn)
{
	u64 leaf = host_leaf(entry);

	*pfn = host_leaf_pfn(entry, hva);
	if (!host_pte_writable(leaf))
		return false;
	return (leaf & WRITTEN) == WRITTEN || host_leaf_change(hva, entry, leaf | WRITTEN);
}

static bool write_pte(hva_t hva, struct host_table *table, pfn_t *pfn)
{
	u64 *ptep = host_ptep(table, hva), pte;
	bool allowed;

	spin_lock(&table->ptl);
	/* Races with whoever takes the page, or the right to write, away: that comes before or after. */
	pte = READ_ONCE(*ptep);
	allowed = host_pte_writable(pte);
	if (allowed && (pte & WRITTEN) != WRITTEN)
		host_pte_write(hva, ptep, pte, pte | WRITTEN);
	*pfn = host_pte_pfn(pte);
	spin_unlock(&table->ptl);
	return allowed;
}

/*
 * The CPU writes through the process's tables as they stand: one step, which the locks make of it, as the
 * CPU does it by an exchange. Return: false when it would take a page fault.
 */
static bool write_through(hva_t hva, pfn_t *pfn)
{
	struct host_table *entry;
	bool done = false;
	int idx;

	idx = host_walk_begin();
	entry = host_entry_lockless(hva);
	if (unlikely(host_is_leaf(entry)))
		done = write_leaf(hva, entry, pfn);
	else if (entry)
		done = write_pte(hva, entry, pfn);
	host_walk_end(idx);
	return done;
}

/* Mirrors copy_to_user: a page fault is resolved, and the write tried again. */
enum gup_result host_write_user(hva_t hva, pfn_t *pfn)
{
	bool writable;
	pfn_t page;

	if (hva >= HVA_MAX)
		return GUP_FAULT;
	/* Each turn more means that others have taken the page away again. */
	while (!write_through(hva, pfn)) {
		if (host_get_user_page(hva, true, &page, &writable) != GUP_OK)
			return GUP_FAULT;
		host_put_page(page);
	}
	return GUP_OK;
}
