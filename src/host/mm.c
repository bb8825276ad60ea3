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
	host.nr_subscribers = 0;
	host.counts_users = host.announces_changes = false;
	host.epoch++;
	host.mm = kern_alloc(sizeof(*host.mm));
	init_rwsem_class(&host.mm->mmap_lock, LOCK_mmap_lock);
	init_rwsem_class(&host.mm->rmap_lock, LOCK_rmap_lock);
	srcu_init_class(&host.mm->mn_srcu, LOCK_mn_srcu);
	spin_lock_init_class(&host.mm->mn_list_lock, LOCK_mn_list_lock);
	host_subscribers_reset();
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
	host_vma_change(map->start, map->end, VMA_FILL_GAPS);
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

/* A new page for an empty PTE. Context: mmap_lock. */
static u64 new_page(hva_t hva)
{
	u64 write = host_vma_find(hva)->writable ? HOST_PTE_WRITE : 0;

	return host_mk_pte(frame_alloc(FRAME_HOST_PAGE), HOST_PTE_PRESENT | write);
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

void host_populate(hva_t start, hva_t end)
{
	if (is_empty(start, end))
		return;
	down_write(&host.mm->mmap_lock);
	host_vma_change(start, end, VMA_FILL_GAPS);
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

/* Context: mmap_lock. Calls @change for what there is of [start, end), table by table. */
static void change_tables(hva_t start, hva_t end,
			  void (*change)(struct host_table *table, hva_t start, hva_t end))
{
	for (hva_t hva = start; hva < end; hva = table_end(hva, end)) {
		struct host_table *table = host.tables[hva / PT_ENTRIES];

		if (table)
			change(table, hva, table_end(hva, end));
	}
}

/* Context: mmap_lock in either mode. One pair of notifications around all PTEs. */
static void zap_range(hva_t start, hva_t end)
{
	const struct mmu_notifier_range range = host_range(start, end);

	host_notify_start(&range);
	change_tables(start, end, zap_table);
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
		change_tables(start, end, zap_table);
	if (told)
		host_notify_end(&range);
	up_read(&host.mm->mmap_lock);
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

		zap_table(host.tables[host.used[i]], start, start + PT_ENTRIES);
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
	change_tables(start, end, share_table);
	if (late)
		host_notify_start(&range);
	host_notify_end(&range);
	up_write(&host.mm->mmap_lock);
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
	/* The right to write comes back page by page, when somebody writes. */
	if (!writable)
		change_tables(start, end, protect_table);
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
		host_pte_write(hva, ptep, pte, pte | HOST_PTE_WRITE | HOST_PTE_DIRTY);
	}
	spin_unlock(&table->ptl);
}

/* Mirrors do_wp_page where it ends in wp_page_reuse. */
void host_reuse(hva_t hva)
{
	const struct host_vma *vma;

	ASSERT(hva < HVA_MAX);
	down_read(&host.mm->mmap_lock);
	vma = host_vma_find(hva);
	if (vma && vma->writable)
		reuse(host.tables[hva / PT_ENTRIES], hva);
	up_read(&host.mm->mmap_lock);
}
