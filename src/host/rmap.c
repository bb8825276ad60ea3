/*
 * What works on a page wherever it is mapped, without mmap_lock: migration and reclaim. Both take the
 * mapping away inside a pair of notifications, leave an entry that names the page, and only then look
 * whether somebody else still holds it; nobody new can, as long as the entry stands. Both work on single
 * pages: what is huge is split first. The rmap lock keeps tables from being taken away.
 */
#include "host/host_internal.h"

/* Return: the page at @hva with a reference for the caller, 0 if there is none that will do. */
static pfn_t isolate(struct host_table *table, hva_t hva, bool even_shared)
{
	u64 *ptep = host_ptep(table, hva), pte;
	pfn_t pfn = 0;

	spin_lock(&table->ptl);
	pte = READ_ONCE(*ptep);
	if (host_pte_present(pte) && (even_shared || !host_sharers(host_pte_pfn(pte)))) {
		pfn = host_pte_pfn(pte);
		frame_get(pfn);
	}
	spin_unlock(&table->ptl);
	return pfn;
}

/* --- migration --- */

/*
 * Takes the mapping of @old away. Return: whether a migration entry stands in its place.
 * Mirrors try_to_migrate_one.
 */
static bool migrate_unmap(struct host_table *table, hva_t hva, pfn_t old)
{
	const struct mmu_notifier_range range = host_range(hva, hva + 1);
	u64 *ptep = host_ptep(table, hva), pte;
	bool mapped, told = !bug(migrate_without_start);

	if (told)
		host_notify_start(&range);
	spin_lock(&table->ptl);
	/* Races with munmap, COW and another migration: the page may be mapped here no longer. */
	pte = READ_ONCE(*ptep);
	mapped = host_pte_present(pte) && host_pte_pfn(pte) == old;
	if (mapped)
		host_pte_write(hva, ptep, pte, (pte & ~HOST_PTE_PRESENT) | HOST_PTE_MIGRATION);
	spin_unlock(&table->ptl);
	if (told)
		host_notify_end(&range);
	return mapped;
}

/* Return: a new page to which everything that maps @old will move. Context: PTL. */
static pfn_t migrate_target(pfn_t old)
{
	pfn_t new = frame_alloc(FRAME_HOST_PAGE);

	host_set_sharers(new, host_sharers(old));
	frame_set_users(new, 1 + host_sharers(old));
	return new;
}

/*
 * Replaces the migration entry of @old: by the new page if nobody but its mappings and the caller
 * holds a reference, else by what was there. No new reference can come up meanwhile, since GUP
 * waits while the entry stands. Mirrors folio_migrate_mapping and remove_migration_pte.
 */
static void migrate_settle(struct host_table *table, hva_t hva, pfn_t old)
{
	u64 *ptep = host_ptep(table, hva), pte, moved_refs = 0;
	pfn_t to = old;

	spin_lock(&table->ptl);
	/* Races with munmap: the entry may be gone. The caller's reference keeps the pfn ours. */
	pte = READ_ONCE(*ptep);
	if (host_pte_migration(pte) && host_pte_pfn(pte) == old) {
		u64 users = frame_count(old);

		if (users == 2 + host_sharers(old)) {
			to = migrate_target(old);
			moved_refs = 1 + host_sharers(old);
			host_set_sharers(old, 0);
		}
		host_pte_write(hva, ptep, pte, host_mapped_again(pte, to));
	}
	/* Wakes who waits for it, and cannot by the entry, whose table may go. */
	if (host.collapses)
		fetch_add(&host.mm->moves, 1);
	spin_unlock(&table->ptl);
	for (; moved_refs; moved_refs--)
		frame_put(old);
}

void host_migrate(hva_t hva)
{
	struct host_table *table;
	pfn_t old = 0;

	ASSERT(hva < HVA_MAX);
	down_read(&host.mm->rmap_lock);
	table = host_entry_lockless(hva);
	if (host_is_leaf(table))
		table = host_split_down(hva);
	if (table)
		old = isolate(table, hva, true);
	if (old) {
		if (migrate_unmap(table, hva, old))
			migrate_settle(table, hva, old);
		frame_put(old);
	}
	up_read(&host.mm->rmap_lock);
}

/* --- reclaim --- */

/*
 * Takes the mapping of @page away. Return: whether a swap entry stands in its place.
 * Mirrors try_to_unmap_one.
 */
static bool reclaim_unmap(struct host_table *table, hva_t hva, pfn_t page)
{
	const struct mmu_notifier_range range = host_range(hva, hva + 1);
	u64 *ptep = host_ptep(table, hva), pte;
	bool mapped;

	host_notify_start(&range);
	spin_lock(&table->ptl);
	/* Races with munmap, COW and migration: the page may be mapped here no longer. */
	pte = READ_ONCE(*ptep);
	mapped = host_pte_present(pte) && host_pte_pfn(pte) == page;
	if (mapped)
		host_pte_write(hva, ptep, pte, (pte & ~HOST_PTE_PRESENT) | HOST_PTE_SWAP);
	spin_unlock(&table->ptl);
	host_notify_end(&range);
	return mapped;
}

/*
 * Gives @page up if nobody but its swap entry and the caller holds a reference, else leaves the entry
 * to whoever accesses the page next. Mirrors __remove_mapping.
 */
static void reclaim_settle(struct host_table *table, hva_t hva, pfn_t page)
{
	u64 *ptep = host_ptep(table, hva), pte, users = 0;

	spin_lock(&table->ptl);
	/*
	 * Races with GUP, which maps the page again, with fork, which shares the entry, and with
	 * munmap. The caller's reference keeps the pfn ours.
	 */
	pte = READ_ONCE(*ptep);
	if (host_pte_swap(pte) && host_pte_pfn(pte) == page)
		users = frame_count(page);
	if (users == 2)
		host_pte_write(hva, ptep, pte, 0);
	spin_unlock(&table->ptl);
	if (users == 2)
		frame_put(page);
}

/* Mirrors what shrink_folio_list does to a page that it will not keep. */
void host_reclaim_page(struct host_table *table, hva_t hva, pfn_t page)
{
	if (reclaim_unmap(table, hva, page))
		reclaim_settle(table, hva, page);
	frame_put(page);
}

/* Mirrors shrink_folio_list for one page whose age is no matter. */
void host_reclaim(hva_t hva)
{
	struct host_table *table;
	pfn_t page = 0;

	ASSERT(hva < HVA_MAX);
	/* Whoever allocates may end up here: what is taken below must not be held by them. */
	lock_section_enter(LOCK_fs_reclaim);
	down_read(&host.mm->rmap_lock);
	table = host_entry_lockless(hva);
	if (host_is_leaf(table))
		table = host_split_down(hva);
	if (table)
		page = isolate(table, hva, false);
	if (page)
		host_reclaim_page(table, hva, page);
	up_read(&host.mm->rmap_lock);
	lock_section_leave(LOCK_fs_reclaim);
}
