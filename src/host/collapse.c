/*
 * Tables that go: khugepaged puts a huge leaf in the place of one, munmap gives back those in which nothing
 * can be mapped any more. Whoever finds tables under mmap_lock or the rmap lock is kept out by both. What is
 * left are walks without a lock: they may stand in the table after it has gone, where they find empty PTEs;
 * it is freed when they have left. Who waits for them holds no lock that they take.
 */
#include "host/host_internal.h"

void host_allow_collapse(void)
{
	host.collapses = true;
	host.levels = (u32)max_u64(host.levels, PT_LEVEL_2M);
}

/* Walkers without a lock may still be inside. Mirrors tlb_remove_table_sync_one and pte_free_defer. */
static void table_free(struct host_table *table)
{
	synchronize_srcu(&host.mm->walks);
	host_table_free(table);
}

/* --- munmap --- */

/* Return: the table at @start, which leads nowhere and is no part of the tree any more; NULL: none. */
static struct host_table *table_unlink(hva_t start)
{
	struct host_table *table;

	/* Migration and reclaim found their tables before the pages went, and may be at work there. */
	down_write(&host.mm->rmap_lock);
	table = host_entry_lockless(start);
	spin_lock(&host.mm->upper_ptl);
	if (table)
		smp_store_release(&host.tables[start / PT_ENTRIES], NULL);
	spin_unlock(&host.mm->upper_ptl);
	up_write(&host.mm->rmap_lock);
	return table;
}

void host_free_tables(hva_t start, hva_t end)
{
	if (!host.collapses)
		return;
	for (hva_t at = start & ~(hva_t)(PT_ENTRIES - 1); at < end; at += PT_ENTRIES) {
		struct host_table *table = NULL;

		if (!host_vma_in(at, at + PT_ENTRIES))
			table = table_unlink(at);
		if (table)
			table_free(table);
	}
}

/* --- collapses --- */

/* Whether @pte maps a page that is ours alone. Context: its PTL, which keeps new references out. */
static bool is_ours_alone(u64 pte)
{
	u64 users;

	if (!host_pte_writable(pte) || host_sharers(host_pte_pfn(pte)))
		return false;
	users = frame_count(host_pte_pfn(pte));
	return users == 1;
}

/* Context: PTL. */
static bool may_collapse(const struct host_table *table)
{
	for (u32 i = 0; i < PT_ENTRIES; i++) {
		u64 *ptep = &table->ptes[i];
		u64 pte = READ_ONCE(*ptep);

		if (!is_ours_alone(pte))
			return false;
	}
	return true;
}

/* Return: the table of the piece at @start, NULL if there is nothing to collapse. Context: mmap_lock. */
static struct host_table *collapse_candidate(hva_t start)
{
	const struct host_vma *vma = host_vma_find(start);
	struct host_table *entry;

	if (!vma || !vma->writable || vma->end < start + PT_ENTRIES)
		return NULL;
	entry = host_entry_lockless(start);
	return host_is_leaf(entry) ? NULL : entry;
}

/* A look ahead, so that hopeless pieces cost nobody anything. Mirrors hpage_collapse_scan_pmd. */
static bool collapse_scan(hva_t start)
{
	struct host_table *table;
	bool promising = false;

	down_read(&host.mm->mmap_lock);
	table = collapse_candidate(start);
	if (table) {
		spin_lock(&table->ptl);
		promising = may_collapse(table);
		spin_unlock(&table->ptl);
	}
	up_read(&host.mm->mmap_lock);
	return promising;
}

/*
 * Empties the table, if all of it may go. Return: whether it did, with the pages that the PTEs owned in
 * @old. Mirrors __collapse_huge_page_isolate.
 */
static bool collapse_ptes(hva_t start, struct host_table *table, pfn_t *old)
{
	bool all;

	spin_lock(&table->ptl);
	/* Races with GUP, which has its reference before this, or finds the PTE gone. */
	all = may_collapse(table);
	for (u32 i = 0; all && i < PT_ENTRIES; i++) {
		u64 *ptep = &table->ptes[i];
		u64 pte = *ptep;

		old[i] = host_pte_pfn(pte);
		host_pte_write(start + i, ptep, pte, 0);
	}
	spin_unlock(&table->ptl);
	return all;
}

/* The table is empty, and nobody can fill it: who could holds mmap_lock or the rmap lock. */
static void collapse_publish(hva_t start, pfn_t pfn)
{
	u64 leaf = host_mk_pte(pfn, HOST_PTE_PRESENT | HOST_PTE_WRITE | HOST_PTE_HUGE |
					    HOST_PTE_YOUNG | HOST_PTE_DIRTY);

	spin_lock(&host.mm->upper_ptl);
	smp_store_release(&host.tables[start / PT_ENTRIES], host_disguise(leaf, PT_LEVEL_2M));
	event(host_pte_changed, .hva = start, .old = HOST_PTE_TABLE, .new = leaf,
	      .level = PT_LEVEL_2M);
	spin_unlock(&host.mm->upper_ptl);
}

/*
 * Return: the table that the leaf at @pfn has replaced, with the pages it mapped in @old; NULL when nothing
 * was changed. Context: mmap_lock and rmap_lock for writing.
 */
static struct host_table *collapse_piece(hva_t start, pfn_t pfn, pfn_t *old)
{
	const struct mmu_notifier_range range = host_range(start, start + PT_ENTRIES);
	/* Races with everything that happened between the look ahead and the locks. */
	struct host_table *table = collapse_candidate(start);
	bool emptied;

	if (!table)
		return NULL;
	host_notify_start(&range);
	emptied = collapse_ptes(start, table, old);
	if (emptied)
		collapse_publish(start, pfn);
	host_notify_end(&range);
	return emptied ? table : NULL;
}

/* Mirrors collapse_huge_page. */
void host_collapse(hva_t hva)
{
	const hva_t start = hva & ~(hva_t)(PT_ENTRIES - 1);
	struct host_table *table;
	pfn_t pages[PT_ENTRIES], pfn;

	ASSERT(hva < HVA_MAX && host.collapses);
	if (!collapse_scan(start))
		return;
	pfn = frame_alloc_run(PT_ENTRIES);
	if (!pfn)
		return;
	down_write(&host.mm->mmap_lock);
	down_write(&host.mm->rmap_lock);
	table = collapse_piece(start, pfn, pages);
	up_write(&host.mm->rmap_lock);
	up_write(&host.mm->mmap_lock);
	if (table)
		table_free(table);
	for (u32 i = 0; i < PT_ENTRIES; i++)
		frame_put(table ? pages[i] : pfn + i);
}
