/*
 * Tables, and huge leafs above them. A leaf changes as a whole or is split first. The split has a pair of
 * notifications of its own over all of the leaf, whatever range the caller has announced: a subscriber
 * that maps a huge page looks at the invalidations of one page of it, and for the others relies on
 * nothing but this (host_mapping_level()).
 *
 * Whoever meets a leaf does so without its lock, and looks again under it. If something else stands there
 * then, he walks anew: nothing was lost, since the other has told of what he did.
 */
#include "host/host_internal.h"

/* --- tables --- */

struct host_table *host_table_alloc(void)
{
	struct host_table *table = kern_alloc(sizeof(*table));

	spin_lock_init_class(&table->ptl, LOCK_ptl);
	table->ptes = kern_page_alloc(true);
	return table;
}

void host_table_free(struct host_table *table)
{
	kern_page_free(table->ptes);
	kern_free(table);
}

void host_use(hva_t hva)
{
	u64 *used_in = &host.used_in[hva / PT_ENTRIES];

	if (*used_in == host.epoch)
		return;
	*used_in = host.epoch;
	host.used[host.nr_used++] = (u16)(hva / PT_ENTRIES);
}

struct host_table *host_table_make(hva_t hva)
{
	struct host_table *table = host_table_alloc(), *met;

	/* Races with others who fault in at the same place: one table is enough. */
	spin_lock(&host.mm->upper_ptl);
	met = host_entry_now(hva);
	if (!met)
		smp_store_release(&host.tables[hva / PT_ENTRIES], table);
	spin_unlock(&host.mm->upper_ptl);
	if (!met)
		return table;
	host_table_free(table);
	return met;
}

/* --- leafs --- */

/*
 * Puts @entry, which @event_new says in the form of an event, in the place of @old. Context: upper PTL. The
 * release pairs with the acquire of those who walk without it.
 */
static void entry_write(hva_t hva, u32 level, u64 old, struct host_table *entry, u64 event_new)
{
	hva_t start = hva & ~(PT_PAGES(level) - 1);

	if (level == PT_LEVEL_1G)
		smp_store_release(&host.upper[start / PT_PAGES(PT_LEVEL_1G)], event_new);
	else
		smp_store_release(&host.tables[start / PT_ENTRIES], entry);
	event(host_pte_changed, .hva = start, .old = old, .new = event_new, .level = level);
}

hva_t host_add_leaf(hva_t hva, hva_t end, u32 level)
{
	hva_t next = hva + PT_PAGES(level);
	pfn_t pfn;
	u64 leaf;

	ASSERT(level == PT_LEVEL_2M || level == PT_LEVEL_1G);
	if (hva % PT_PAGES(level) || next > end)
		return hva;
	pfn = frame_alloc_run((u32)PT_PAGES(level));
	if (!pfn)
		return hva;
	host.levels = (u32)max_u64(host.levels, level);
	for (hva_t at = hva; at < next; at += PT_ENTRIES)
		host_use(at);
	leaf = host_mk_pte(pfn, HOST_PTE_PRESENT | HOST_PTE_WRITE | HOST_PTE_HUGE);
	if (level == PT_LEVEL_1G)
		host.upper[hva / PT_PAGES(PT_LEVEL_1G)] = leaf;
	else
		host.tables[hva / PT_ENTRIES] = host_disguise(leaf, level);
	event(host_pte_changed, .hva = hva, .old = 0, .new = leaf, .level = level);
	return next;
}

struct host_table *host_leaf_write(hva_t hva, struct host_table *entry, u64 new)
{
	u32 level = host_leaf_level(entry);
	struct host_table *now = new ? host_disguise(new, level) : NULL;

	entry_write(hva, level, host_leaf(entry), now, new);
	return now;
}

bool host_leaf_change(hva_t hva, struct host_table *entry, u64 new)
{
	bool same;

	spin_lock(&host.mm->upper_ptl);
	/* Races with splits, GUP's upgrades, agers and other range operations. */
	same = host_entry_now(hva) == entry;
	if (same)
		host_leaf_write(hva, entry, new);
	spin_unlock(&host.mm->upper_ptl);
	return same;
}

/* --- splits --- */

/*
 * What stands below the split leaf says the same as it did, and owns its references. Nobody can reach
 * it before the entry is written.
 */
static void split_into_ptes(hva_t hva, u64 leaf)
{
	struct host_table *table = host_table_alloc();
	u64 first = leaf & ~HOST_PTE_HUGE;

	for (u64 i = 0; i < PT_ENTRIES; i++)
		table->ptes[i] = first + (i << HOST_PTE_PFN_SHIFT);
	entry_write(hva, PT_LEVEL_2M, leaf, table, HOST_PTE_TABLE);
}

static void split_into_leafs(hva_t hva, u64 leaf)
{
	hva_t start = hva & ~(PT_PAGES(PT_LEVEL_1G) - 1);

	for (u64 i = 0; i < PT_PAGES(PT_LEVEL_1G); i += PT_ENTRIES)
		host.tables[(start + i) / PT_ENTRIES] =
			host_disguise(leaf + (i << HOST_PTE_PFN_SHIFT), PT_LEVEL_2M);
	entry_write(hva, PT_LEVEL_1G, leaf, NULL, HOST_PTE_TABLE);
}

/* Context: upper PTL. */
static void split_one_level(hva_t hva, struct host_table *entry)
{
	if (host_leaf_level(entry) == PT_LEVEL_1G)
		split_into_leafs(hva, host_leaf(entry));
	else
		split_into_ptes(hva, host_leaf(entry));
}

/* Mirrors __split_huge_pmd. */
bool host_split(hva_t hva, struct host_table *entry, bool blockable)
{
	const struct mmu_notifier_range range = { host_leaf_start(entry, hva),
						  host_leaf_end(entry, hva), blockable };
	bool told = !bug(split_without_own_notifier);

	if (told && !host_notify_start(&range))
		return false;
	spin_lock(&host.mm->upper_ptl);
	/* Races with another split and with range operations: then the pair was for nothing. */
	if (host_entry_now(hva) == entry)
		split_one_level(hva, entry);
	spin_unlock(&host.mm->upper_ptl);
	if (told)
		host_notify_end(&range);
	return true;
}

struct host_table *host_split_down(hva_t hva)
{
	struct host_table *entry = host_entry_lockless(hva);

	/* Each turn more means a level less: nothing collapses inside mmap_lock or rmap_lock. */
	while (host_is_leaf(entry)) {
		host_split(hva, entry, true);
		entry = host_entry_lockless(hva);
	}
	return entry;
}

void host_split_at(hva_t hva)
{
	struct host_table *entry = hva < HVA_MAX ? host_entry_lockless(hva) : NULL;

	while (host_is_leaf(entry) && host_leaf_start(entry, hva) != hva) {
		host_split(hva, entry, true);
		entry = host_entry_lockless(hva);
	}
}

hva_t host_change_leaf(const struct mmu_notifier_range *range, const struct host_change *change,
		       hva_t hva, struct host_table *entry)
{
	hva_t start = host_leaf_start(entry, hva), end = host_leaf_end(entry, hva);

	if (change->leaf && start >= range->start && end <= range->end)
		return change->leaf(start, entry) ? end : hva;
	/* Refused: a subscriber may still map all of it, so not even a part may go. */
	return host_split(hva, entry, range->blockable) ? hva : min_u64(end, range->end);
}

/* --- the level of a mapping --- */

static u32 level_of(hva_t hva)
{
	struct host_table *entry = host_entry_lockless(hva);

	if (host_is_leaf(entry))
		return host_leaf_level(entry);
	/* Looks into the table. Races with munmap, which frees it behind its end: unprotected, it is gone by now. */
	if (entry)
		READ_ONCE(entry->ptes);
	return PT_LEVEL_4K;
}

u32 host_mapping_level(hva_t hva)
{
	bool open = bug_if(host_level_walk_unprotected, host.collapses);
	u32 level;
	int idx;

	if (host.levels == PT_LEVEL_4K || hva >= HVA_MAX)
		return PT_LEVEL_4K;
	idx = open ? 0 : host_walk_begin();
	level = level_of(hva);
	if (!open)
		host_walk_end(idx);
	return level;
}
