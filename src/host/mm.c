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
	for (u32 i = 0; i < host.nr_used; i++) {
		host.tables[host.used[i]] = NULL;
		host.upper[(hva_t)host.used[i] * PT_ENTRIES / PT_PAGES(PT_LEVEL_1G)] = 0;
	}
	host.nr_used = 0;
	host.nr_vmas = 0;
	host.nr_subscribers = 0;
	host.counts_users = host.announces_changes = host.collapses = false;
	host.tells_ages = host.looks_fast = false;
	host.levels = PT_LEVEL_4K;
	host.epoch++;
	host.mm = kern_alloc(sizeof(*host.mm));
	init_rwsem_class(&host.mm->mmap_lock, LOCK_mmap_lock);
	init_rwsem_class(&host.mm->rmap_lock, LOCK_rmap_lock);
	srcu_init_class(&host.mm->mn_srcu, LOCK_mn_srcu);
	srcu_init_class(&host.mm->walks, LOCK_host_walk);
	spin_lock_init_class(&host.mm->mn_list_lock, LOCK_mn_list_lock);
	spin_lock_init_class(&host.mm->upper_ptl, LOCK_ptl);
	host_subscribers_reset();
}

/* --- page tables --- */

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
	event(host_pte_changed, .hva = hva, .old = 0, .new = pte, .level = PT_LEVEL_4K);
}

/* Return: where the page, or the huge leaf, that was added at @hva ends. */
static hva_t add_mapping(const struct host_map *map, hva_t hva)
{
	struct host_table **table = &host.tables[hva / PT_ENTRIES];
	hva_t next = hva;

	if (map->level > PT_LEVEL_4K && map->populated && !map->read_only)
		next = host_add_leaf(hva, map->end, map->level);
	if (next > hva)
		return next;
	if (!*table) {
		*table = host_table_alloc();
		host_use(hva);
	}
	if (map->populated)
		add_page(*table, hva, map->read_only);
	return hva + 1;
}

void host_add_map(const struct host_map *map)
{
	ASSERT(map->start < map->end && map->end <= HVA_MAX);
	host_vma_change(map->start, map->end, VMA_FILL_GAPS);
	for (hva_t hva = map->start; hva < map->end;)
		hva = add_mapping(map, hva);
}

/* --- populate --- */

static bool is_empty(hva_t start, hva_t end)
{
	ASSERT(start <= end && end <= HVA_MAX);
	return start == end;
}

/* A new page for an empty PTE. Context: mmap_lock. */
static u64 new_page(hva_t hva)
{
	u64 write = host_vma_find(hva)->writable ? HOST_PTE_WRITE : 0;

	return host_mk_pte(frame_alloc(FRAME_HOST_PAGE), HOST_PTE_PRESENT | HOST_PTE_YOUNG | write);
}

static void populate_table(struct host_table *table, hva_t start, hva_t end)
{
	spin_lock(&table->ptl);
	for (hva_t hva = start; hva < end; hva++) {
		u64 *ptep = host_ptep(table, hva);
		/*
		 * Races with migration and reclaim, which hold no mmap_lock. A migration entry counts
		 * as a page; a swap entry's page, mapped again, is one that reclaim must not free.
		 */
		u64 pte = READ_ONCE(*ptep);

		if (!pte)
			host_pte_write(hva, ptep, 0, new_page(hva));
		else if (host_pte_swap(pte))
			host_pte_write(hva, ptep, pte, host_mapped_again(pte, host_pte_pfn(pte)));
	}
	spin_unlock(&table->ptl);
}

/* Context: mmap_lock for writing. Return: the table of @hva, or the leaf that is there. */
static struct host_table *table_add(hva_t hva)
{
	struct host_table *table;

	host_use(hva);
	if (host.levels > PT_LEVEL_4K)
		return host_table_make(hva);
	table = host_table_alloc();
	/* Pairs with the acquire of walkers that hold no mmap_lock. */
	smp_store_release(&host.tables[hva / PT_ENTRIES], table);
	return table;
}

/* Context: mmap_lock for writing. Return: where to go on. */
static hva_t populate_piece(hva_t hva, hva_t end)
{
	struct host_table *table = host_entry_stable(hva);

	if (!table)
		table = table_add(hva);
	/* Present as a whole. A split that comes now makes PTEs of it that are present. */
	if (host_is_leaf(table))
		return min_u64(end, host_leaf_end(table, hva));
	populate_table(table, hva, table_end(hva, end));
	return table_end(hva, end);
}

void host_populate(hva_t start, hva_t end)
{
	if (is_empty(start, end))
		return;
	down_write(&host.mm->mmap_lock);
	host_vma_change(start, end, VMA_FILL_GAPS);
	for (hva_t hva = start; hva < end;)
		hva = populate_piece(hva, end);
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

/* As a whole. Its pages are anybody's as soon as the leaf is gone. */
static bool zap_leaf(hva_t hva, struct host_table *entry)
{
	pfn_t pfn = host_leaf_pfn(entry, hva);

	if (!host_leaf_change(hva, entry, 0))
		return false;
	for (u64 i = 0; i < PT_PAGES(host_leaf_level(entry)); i++)
		frame_put(pfn + i);
	return true;
}

static const struct host_change zap = { .table = zap_table, .leaf = zap_leaf };

/* Context: mmap_lock, @range is announced. Does so to what there is of it, table by table. */
static void change_range(const struct mmu_notifier_range *range, const struct host_change *change)
{
	hva_t next;

	for (hva_t hva = range->start; hva < range->end; hva = next) {
		struct host_table *entry = host_entry_stable(hva);

		next = table_end(hva, range->end);
		if (unlikely(host_is_leaf(entry)))
			next = host_change_leaf(range, change, hva, entry);
		else if (entry)
			change->table(entry, hva, next);
	}
}

/* Context: mmap_lock in either mode. One pair of notifications around all PTEs. */
static void zap_range(hva_t start, hva_t end)
{
	const struct mmu_notifier_range range = host_range(start, end);

	host_notify_start(&range);
	change_range(&range, &zap);
	host_notify_end(&range);
}

/* Mirrors do_vmi_munmap and unmap_vmas. */
void host_munmap(hva_t start, hva_t end)
{
	if (is_empty(start, end))
		return;
	down_write(&host.mm->mmap_lock);
	host_vma_change(start, end, VMA_REMOVE);
	zap_range(start, end);
	host_free_tables(start, end);
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

/* Mirrors __oom_reap_task_mm. */
void host_oom_reap(hva_t start, hva_t end)
{
	const struct mmu_notifier_range range = { start, end, .blockable = false };
	bool told;

	if (is_empty(start, end))
		return;
	/* Who holds it for writing may be waiting for memory, which is what we are to find. */
	if (!down_read_trylock(&host.mm->mmap_lock))
		return;
	told = host_notify_start(&range);
	/* A subscriber that has refused still maps the pages: they must stay as they are. */
	if (told || bug(refused_start_is_ignored))
		change_range(&range, &zap);
	if (told)
		host_notify_end(&range);
	up_read(&host.mm->mmap_lock);
}

/* Context: mmap_lock for writing. Takes away whatever maps @start, a multiple of PT_ENTRIES. */
static void unmap_piece(const struct mmu_notifier_range *range, hva_t start)
{
	struct host_table *entry = host_entry_stable(start);

	/* Races with migration and reclaim, which may split the leaf. */
	while (host_is_leaf(entry)) {
		host_change_leaf(range, &zap, start, entry);
		entry = host_entry_stable(start);
	}
	if (entry)
		zap_table(entry, start, start + PT_ENTRIES);
}

/* Mirrors unmap_vmas and free_pgtables as exit_mmap calls them. */
void host_unmap_all(void)
{
	const struct mmu_notifier_range range = host_range(0, HVA_MAX);

	down_write(&host.mm->mmap_lock);
	host_vma_change(0, HVA_MAX, VMA_REMOVE);
	host_notify_start(&range);
	for (u32 i = 0; i < host.nr_used; i++) {
		hva_t start = (hva_t)host.used[i] * PT_ENTRIES;

		unmap_piece(&range, start);
	}
	host_notify_end(&range);
	up_write(&host.mm->mmap_lock);
}

/* --- write protection and reuse --- */

/* Takes the right to write away from what is mapped, and from what will be mapped again. */
static void clear_write(hva_t hva, u64 *ptep, u64 pte)
{
	if (pte & HOST_PTE_WRITE)
		host_pte_write(hva, ptep, pte, pte & ~HOST_PTE_WRITE);
}

static void share_table(struct host_table *table, hva_t start, hva_t end)
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
		clear_write(hva, ptep, pte);
	}
	spin_unlock(&table->ptl);
}

static void protect_table(struct host_table *table, hva_t start, hva_t end)
{
	spin_lock(&table->ptl);
	for (hva_t hva = start; hva < end; hva++) {
		u64 *ptep = host_ptep(table, hva);

		/* Races with GUP in write mode: it gets the page before this, or finds it read-only. */
		clear_write(hva, ptep, READ_ONCE(*ptep));
	}
	spin_unlock(&table->ptl);
}

/* Each page gets sharers of its own. */
static const struct host_change share = { .table = share_table };

/* Mirrors copy_page_range, as far as the parent sees it. */
void host_wrprotect(hva_t start, hva_t end)
{
	const struct mmu_notifier_range range = host_range(start, end);
	bool late;

	if (is_empty(start, end))
		return;
	down_write(&host.mm->mmap_lock);
	late = bug(wrprotect_notifies_late);
	if (!late)
		host_notify_start(&range);
	change_range(&range, &share);
	if (late)
		host_notify_start(&range);
	host_notify_end(&range);
	up_write(&host.mm->mmap_lock);
}

static bool protect_leaf(hva_t hva, struct host_table *entry)
{
	u64 leaf = host_leaf(entry);

	return !(leaf & HOST_PTE_WRITE) || host_leaf_change(hva, entry, leaf & ~HOST_PTE_WRITE);
}

static const struct host_change protect = { .table = protect_table, .leaf = protect_leaf };

/* So that no leaf has a part in two VMAs: GUP upgrades all of it by the VMA of one page. */
static void split_edges(hva_t start, hva_t end)
{
	if (host.levels == PT_LEVEL_4K)
		return;
	host_split_at(start);
	host_split_at(end);
}

/* Mirrors mprotect_fixup and change_protection. */
void host_mprotect(hva_t start, hva_t end, bool writable)
{
	const struct mmu_notifier_range range = host_range(start, end);

	if (is_empty(start, end))
		return;
	down_write(&host.mm->mmap_lock);
	host_vma_change(start, end, writable ? VMA_WRITABLE : VMA_READ_ONLY);
	host_notify_start(&range);
	/* The right to write comes back page by page, or leaf by leaf, when somebody writes. */
	if (!writable)
		change_range(&range, &protect);
	else
		split_edges(start, end);
	host_notify_end(&range);
	up_write(&host.mm->mmap_lock);
}

/* Context: PTL of the PTE that maps @pfn, whose own reference keeps the page. */
static void sharers_leave(pfn_t pfn)
{
	for (u64 left = host_sharers(pfn); left; left--)
		frame_put(pfn);
	host_set_sharers(pfn, 0);
}

static void reuse(struct host_table *table, hva_t hva)
{
	u64 *ptep = host_ptep(table, hva), pte;

	spin_lock(&table->ptl);
	pte = READ_ONCE(*ptep);
	if (host_pte_present(pte) && !host_pte_writable(pte)) {
		sharers_leave(host_pte_pfn(pte));
		host_pte_write(hva, ptep, pte,
			       pte | HOST_PTE_WRITE | HOST_PTE_YOUNG | HOST_PTE_DIRTY);
	}
	spin_unlock(&table->ptl);
}

/*
 * A huge leaf is shared with nobody: it becomes writable as a whole. Return: false when something else
 * stands there by now. Mirrors do_huge_pmd_wp_page.
 */
static bool reuse_leaf(hva_t hva, struct host_table *entry)
{
	u64 leaf = host_leaf(entry);

	return host_pte_writable(leaf) ||
	       host_leaf_change(hva, entry,
				leaf | HOST_PTE_WRITE | HOST_PTE_YOUNG | HOST_PTE_DIRTY);
}

/* Context: mmap_lock, in a writable VMA. */
static void reuse_entry(hva_t hva)
{
	struct host_table *entry = host_entry_stable(hva);

	while (host_is_leaf(entry) && !reuse_leaf(hva, entry))
		entry = host_entry_stable(hva);
	if (entry && !host_is_leaf(entry))
		reuse(entry, hva);
}

/* Mirrors do_wp_page where it ends in wp_page_reuse. */
void host_reuse(hva_t hva)
{
	const struct host_vma *vma;

	ASSERT(hva < HVA_MAX);
	down_read(&host.mm->mmap_lock);
	vma = host_vma_find(hva);
	if (vma && vma->writable)
		reuse_entry(hva);
	up_read(&host.mm->mmap_lock);
}
