/*
 * The host process's address space, for the files of this folder only.
 *
 * Locks, outermost first: mmap_lock (VMAs; creation of tables after set-up), rmap_lock (finding
 * the PTE of a page; only ever taken for reading), notifier SRCU, PTL of a table (its PTEs, and the
 * sharer counts of the pages they map). Subscribers are called without PTLs.
 *
 * References: each present PTE and each migration entry owns one on its page; sharers, which stand
 * for PTEs of other processes, own one each. Everything else (GUP, COW and migration in progress)
 * holds its own for as long as it works on the page.
 */
#ifndef HOST_HOST_INTERNAL_H
#define HOST_HOST_INTERNAL_H

#include "host/host.h"

/* One page of PTEs and its lock. Tables are never freed within a schedule. */
struct host_table {
	spinlock_t ptl;
	u64 *ptes;
};

/* The locks, in memory of the environment so that traces can name them. */
struct host_mm {
	struct rw_semaphore mmap_lock, rmap_lock;
	struct srcu_struct mn_srcu;
};

/* Each operation can add at most one VMA. */
#define HOST_VMAS_MAX	(MAPS_MAX + TASKS_MAX * OPS_MAX)
#define HOST_TABLES_MAX (HVA_MAX / PT_ENTRIES)
_Static_assert(HVA_MAX % PT_ENTRIES == 0 && HOST_TABLES_MAX <= UINT16_MAX, "tables fill the space");

extern struct host_state {
	struct host_mm *mm;
	struct mmu_notifier *subscribers; /* constant while tasks run */
	u32 nr_vmas;
	struct hva_range vmas[HOST_VMAS_MAX]; /* sorted, apart from each other; under mmap_lock */
	u32 nr_used;
	u16 used[HOST_TABLES_MAX]; /* indices of tables that exist; under mmap_lock */
	struct host_table *tables[HOST_TABLES_MAX]; /* by hva / PT_ENTRIES; published by release */
	u64 epoch; /* of the schedule; counts of an earlier one are as good as 0 */
	struct {
		u64 epoch, count;
	} sharers[KERN_PAGES_MAX]; /* by pfn; under the PTL that maps it, if any */
} host;

static inline u64 *host_ptep(const struct host_table *table, hva_t hva)
{
	return table->ptes + hva % PT_ENTRIES;
}

static inline u64 host_mk_pte(pfn_t pfn, u64 bits)
{
	return pfn << HOST_PTE_PFN_SHIFT | bits;
}

static inline bool host_pte_migration(u64 pte)
{
	return pte & HOST_PTE_MIGRATION;
}

/* Processes other than ours that map @pfn. Context: PTL of the PTE that maps it. */
static inline u64 host_sharers(pfn_t pfn)
{
	return host.sharers[pfn].epoch == host.epoch ? host.sharers[pfn].count : 0;
}

static inline void host_set_sharers(pfn_t pfn, u64 count)
{
	host.sharers[pfn].epoch = host.epoch;
	host.sharers[pfn].count = count;
}

/*
 * The table of @hva, NULL when there is none (yet). Without mmap_lock; pairs with the release in
 * host_populate().
 */
#define host_table_lockless(hva) smp_load_acquire(&host.tables[(hva) / PT_ENTRIES])

/*
 * Changes a PTE; a point in the name of the function it stands in. Context: PTL. The event is what
 * stale_mapping anchors on: it comes under the PTL, when the value has become visible.
 */
#define host_pte_write(hva_, ptep, old_, new_)                                          \
	({                                                                              \
		u64 written_ = (new_);                                                  \
		WRITE_ONCE(*ptep, written_);                                            \
		event(host_pte_changed, .hva = (hva_), .old = (old_), .new = written_); \
	})

/* Return: whether a VMA holds @hva. Context: mmap_lock. */
bool host_vma_holds(hva_t hva);

/* Calls the subscribers around a downgrade of [start, end). Context: no PTL; may sleep. */
void host_notify_start(hva_t start, hva_t end);
/* Pairs with host_notify_start() over the same range. */
void host_notify_end(hva_t start, hva_t end);

#endif
