/*
 * The address space and what the primary MMU does to it. Each downgrade is bracketed by
 * host_notify_start() and host_notify_end(), each PTE is changed under its PTL, and a page is freed
 * only when its PTE is gone: so a subscriber that has zapped in start, and refuses to map until
 * end, can never be left with a page that the host has taken back.
 */
#include "host/host_internal.h"

struct host_state host;

void host_reset(void)
{
	for (u32 i = 0; i < host.nr_used; i++)
		host.tables[host.used[i]] = NULL;
	host.nr_used = 0;
	host.nr_vmas = 0;
	host.subscribers = NULL;
	host.epoch++;
	host.mm = kern_alloc(sizeof(*host.mm));
	init_rwsem_class(&host.mm->mmap_lock, LOCK_mmap_lock);
	init_rwsem_class(&host.mm->rmap_lock, LOCK_rmap_lock);
	srcu_init_class(&host.mm->mn_srcu, LOCK_mn_srcu);
}

/* --- VMAs; context: mmap_lock, or set-up --- */

bool host_vma_holds(hva_t hva)
{
	for (u32 i = 0; i < host.nr_vmas && host.vmas[i].start <= hva; i++)
		if (hva < host.vmas[i].end)
			return true;
	return false;
}

/* Puts @nr ranges (0 to 2) in the place of vmas[first .. last). */
static void vmas_replace(u32 first, u32 last, const struct hva_range *with, u32 nr)
{
	u32 behind = host.nr_vmas - last;

	ASSERT(first + nr + behind <= HOST_VMAS_MAX);
	if (first + nr < last)
		for (u32 i = 0; i < behind; i++)
			host.vmas[first + nr + i] = host.vmas[last + i];
	else
		for (u32 i = behind; i-- > 0;)
			host.vmas[first + nr + i] = host.vmas[last + i];
	for (u32 i = 0; i < nr; i++)
		host.vmas[first + i] = with[i];
	host.nr_vmas = first + nr + behind;
}

/* Adds [start, end), merging it with whatever it overlaps or touches. */
static void vma_add(hva_t start, hva_t end)
{
	struct hva_range merged = { start, end };
	u32 first = 0, last;

	while (first < host.nr_vmas && host.vmas[first].end < start)
		first++;
	for (last = first; last < host.nr_vmas && host.vmas[last].start <= end; last++) {
		merged.start = min_u64(merged.start, host.vmas[last].start);
		merged.end = max_u64(merged.end, host.vmas[last].end);
	}
	vmas_replace(first, last, &merged, 1);
}

/* Removes [start, end), splitting what sticks out. */
static void vma_remove(hva_t start, hva_t end)
{
	struct hva_range left[2];
	u32 first = 0, last, nr = 0;

	while (first < host.nr_vmas && host.vmas[first].end <= start)
		first++;
	for (last = first; last < host.nr_vmas && host.vmas[last].start < end; last++) {
		if (host.vmas[last].start < start)
			left[nr++] = (struct hva_range){ host.vmas[last].start, start };
		if (host.vmas[last].end > end)
			left[nr++] = (struct hva_range){ end, host.vmas[last].end };
	}
	vmas_replace(first, last, left, nr);
}

/* --- page tables --- */

/* Context: mmap_lock for writing, or set-up. The caller publishes the table. */
static struct host_table *table_create(hva_t hva)
{
	struct host_table *table = kern_alloc(sizeof(*table));

	spin_lock_init_class(&table->ptl, LOCK_ptl);
	table->ptes = kern_page_alloc(true);
	host.used[host.nr_used++] = (u16)(hva / PT_ENTRIES);
	return table;
}

/* End of what the table of @hva covers of [hva, end). */
static hva_t table_end(hva_t hva, hva_t end)
{
	return min_u64(end, (hva / PT_ENTRIES + 1) * PT_ENTRIES);
}

/* Before any task runs: plain stores, no locks. */
static void add_page(struct host_table *table, hva_t hva, bool read_only)
{
	pfn_t pfn = frame_alloc(FRAME_HOST_PAGE);
	u64 bits = read_only ? HOST_PTE_PRESENT : HOST_PTE_PRESENT | HOST_PTE_WRITE;
	u64 pte = host_mk_pte(pfn, bits);

	if (read_only) {
		host_set_sharers(pfn, 1);
		frame_set_users(pfn, 2);
	}
	*host_ptep(table, hva) = pte;
	event(host_pte_changed, .hva = hva, .old = 0, .new = pte);
}

void host_add_map(const struct host_map *map)
{
	ASSERT(map->start < map->end && map->end <= HVA_MAX);
	vma_add(map->start, map->end);
	for (hva_t hva = map->start; hva < map->end; hva++) {
		struct host_table **table = &host.tables[hva / PT_ENTRIES];

		if (!*table)
			*table = table_create(hva);
		if (map->populated)
			add_page(*table, hva, map->read_only);
	}
}

/* --- populate --- */

static bool is_empty(hva_t start, hva_t end)
{
	ASSERT(start <= end && end <= HVA_MAX);
	return start == end;
}

static void populate_table(struct host_table *table, hva_t start, hva_t end)
{
	spin_lock(&table->ptl);
	for (hva_t hva = start; hva < end; hva++) {
		u64 *ptep = host_ptep(table, hva);
		/* Races with a migration, which holds no mmap_lock: its entry counts as a page. */
		u64 pte = READ_ONCE(*ptep);

		if (!pte)
			host_pte_write(hva, ptep, 0,
				       host_mk_pte(frame_alloc(FRAME_HOST_PAGE),
						   HOST_PTE_PRESENT | HOST_PTE_WRITE));
	}
	spin_unlock(&table->ptl);
}

void host_populate(hva_t start, hva_t end)
{
	if (is_empty(start, end))
		return;
	down_write(&host.mm->mmap_lock);
	vma_add(start, end);
	for (hva_t hva = start; hva < end; hva = table_end(hva, end)) {
		struct host_table *table = host.tables[hva / PT_ENTRIES];

		if (!table) {
			table = table_create(hva);
			/* Pairs with the acquire of walkers that hold no mmap_lock. */
			smp_store_release(&host.tables[hva / PT_ENTRIES], table);
		}
		populate_table(table, hva, table_end(hva, end));
	}
	up_write(&host.mm->mmap_lock);
}

/* --- munmap --- */

static void zap_table(struct host_table *table, hva_t start, hva_t end)
{
	pfn_t gone[PT_ENTRIES];
	u32 nr_gone = 0;

	spin_lock(&table->ptl);
	for (hva_t hva = start; hva < end; hva++) {
		u64 *ptep = host_ptep(table, hva);
		/* Races with GUP: it has its reference before this, or finds the PTE gone. */
		u64 pte = READ_ONCE(*ptep);

		if (!pte)
			continue;
		host_pte_write(hva, ptep, pte, 0);
		gone[nr_gone++] = host_pte_pfn(pte);
	}
	spin_unlock(&table->ptl);
	/* From here on the pages may be anybody's: whoever still maps them is convicted. */
	for (u32 i = 0; i < nr_gone; i++)
		frame_put(gone[i]);
}

/* Context: mmap_lock in either mode. One pair of notifications around all PTEs. */
static void zap_range(hva_t start, hva_t end)
{
	host_notify_start(start, end);
	for (hva_t hva = start; hva < end; hva = table_end(hva, end)) {
		struct host_table *table = host.tables[hva / PT_ENTRIES];

		if (table)
			zap_table(table, hva, table_end(hva, end));
	}
	host_notify_end(start, end);
}

/* Mirrors do_vmi_munmap and unmap_vmas. */
void host_munmap(hva_t start, hva_t end)
{
	if (is_empty(start, end))
		return;
	down_write(&host.mm->mmap_lock);
	vma_remove(start, end);
	zap_range(start, end);
	up_write(&host.mm->mmap_lock);
}

/* Mirrors madvise_dontneed_single_vma. */
void host_dontneed(hva_t start, hva_t end)
{
	if (is_empty(start, end))
		return;
	/* Shared: others discard at the same time, and get_user_pages faults new pages in behind us. */
	down_read(&host.mm->mmap_lock);
	zap_range(start, end);
	up_read(&host.mm->mmap_lock);
}

/* --- write protection and reuse --- */

static void wrprotect_table(struct host_table *table, hva_t start, hva_t end)
{
	spin_lock(&table->ptl);
	for (hva_t hva = start; hva < end; hva++) {
		u64 *ptep = host_ptep(table, hva);
		/* Races with GUP in write mode: it gets the page before this, or must copy it. */
		u64 pte = READ_ONCE(*ptep);
		pfn_t pfn = host_pte_pfn(pte);

		if (!pte)
			continue;
		frame_get(pfn);
		host_set_sharers(pfn, host_sharers(pfn) + 1);
		if (pte & HOST_PTE_WRITE)
			host_pte_write(hva, ptep, pte, pte & ~HOST_PTE_WRITE);
	}
	spin_unlock(&table->ptl);
}

/* Mirrors copy_page_range, as far as the parent sees it. */
void host_wrprotect(hva_t start, hva_t end)
{
	if (is_empty(start, end))
		return;
	down_write(&host.mm->mmap_lock);
	host_notify_start(start, end);
	for (hva_t hva = start; hva < end; hva = table_end(hva, end)) {
		struct host_table *table = host.tables[hva / PT_ENTRIES];

		if (table)
			wrprotect_table(table, hva, table_end(hva, end));
	}
	host_notify_end(start, end);
	up_write(&host.mm->mmap_lock);
}

/* Context: PTL of the PTE that maps @pfn, whose own reference keeps the page. */
static void sharers_leave(pfn_t pfn)
{
	for (u64 left = host_sharers(pfn); left; left--)
		frame_put(pfn);
	host_set_sharers(pfn, 0);
}

/* Mirrors do_wp_page where it ends in wp_page_reuse. */
void host_reuse(hva_t hva)
{
	struct host_table *table;

	ASSERT(hva < HVA_MAX);
	down_read(&host.mm->mmap_lock);
	table = host.tables[hva / PT_ENTRIES];
	if (table) {
		u64 *ptep = host_ptep(table, hva), pte;

		spin_lock(&table->ptl);
		pte = READ_ONCE(*ptep);
		if (host_pte_present(pte) && !host_pte_writable(pte)) {
			sharers_leave(host_pte_pfn(pte));
			host_pte_write(hva, ptep, pte, pte | HOST_PTE_WRITE | HOST_PTE_DIRTY);
		}
		spin_unlock(&table->ptl);
	}
	up_read(&host.mm->mmap_lock);
}

/* --- migration --- */

/* Return: the page at @hva with a reference for the caller, 0 if there is none. */
static pfn_t migrate_isolate(struct host_table *table, hva_t hva)
{
	u64 *ptep = host_ptep(table, hva), pte;
	pfn_t pfn = 0;

	spin_lock(&table->ptl);
	pte = READ_ONCE(*ptep);
	if (host_pte_present(pte)) {
		pfn = host_pte_pfn(pte);
		frame_get(pfn);
	}
	spin_unlock(&table->ptl);
	return pfn;
}

/*
 * Takes the mapping of @old away. Return: whether a migration entry stands in its place.
 * Mirrors try_to_migrate_one.
 */
static bool migrate_unmap(struct host_table *table, hva_t hva, pfn_t old)
{
	u64 *ptep = host_ptep(table, hva), pte;
	bool mapped;

	host_notify_start(hva, hva + 1);
	spin_lock(&table->ptl);
	/* Races with munmap, COW and another migration: the page may be mapped here no longer. */
	pte = READ_ONCE(*ptep);
	mapped = host_pte_present(pte) && host_pte_pfn(pte) == old;
	if (mapped)
		host_pte_write(hva, ptep, pte, (pte & ~HOST_PTE_PRESENT) | HOST_PTE_MIGRATION);
	spin_unlock(&table->ptl);
	host_notify_end(hva, hva + 1);
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
	u64 *ptep = host_ptep(table, hva), pte, restored, moved_refs = 0;
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
		restored = pte & ((1ull << HOST_PTE_PFN_SHIFT) - 1);
		host_pte_write(hva, ptep, pte, host_mk_pte(to, restored | HOST_PTE_PRESENT));
	}
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
	table = host_table_lockless(hva);
	if (table)
		old = migrate_isolate(table, hva);
	if (old) {
		if (migrate_unmap(table, hva, old))
			migrate_settle(table, hva, old);
		frame_put(old);
	}
	up_read(&host.mm->rmap_lock);
}
