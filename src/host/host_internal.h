/*
 * The host process's address space, for the files of this folder only.
 *
 * Locks, outermost first: mmap_lock (VMAs; creation of tables after set-up), rmap_lock (finding
 * the PTE of a page; only ever taken for reading), notifier SRCU, PTL of a table (its PTEs, and the
 * sharer counts of the pages they map). Subscribers are called without PTLs (but for change_pte). The
 * list lock guards changes of the list of subscribers, which is read inside notifier SRCU.
 *
 * References: each present PTE, each migration entry and each swap entry owns one on its page; sharers, which stand
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
	spinlock_t mn_list_lock;
	struct mmu_notifier *subscribers; /* inside mn_srcu, changed under mn_list_lock */
	u64 users; /* when counted: the last one takes the address space down */
	u64 exited; /* 1: the process itself has let go */
};

struct host_vma {
	hva_t start, end;
	bool writable;
};

/* A VMA ends where an operation or a map has begun or ended; each adds two such places. */
#define HOST_VMAS_MAX	(2 * (MAPS_MAX + TASKS_MAX * OPS_MAX))
#define HOST_TABLES_MAX (HVA_MAX / PT_ENTRIES)
_Static_assert(HVA_MAX % PT_ENTRIES == 0 && HOST_TABLES_MAX <= UINT16_MAX, "tables fill the space");

extern struct host_state {
	struct host_mm *mm;
	bool counts_users; /* this and the next two are constant while tasks run */
	bool announces_changes; /* somebody subscribes to change_pte */
	u32 nr_subscribers; /* that were ever registered */
	u32 nr_vmas;
	/* Sorted; two that touch differ in their flag. [vmas_now] under mmap_lock, the other for changes. */
	struct host_vma vmas[2][HOST_VMAS_MAX];
	u32 vmas_now;
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

static inline bool host_pte_swap(u64 pte)
{
	return pte & HOST_PTE_SWAP;
}

/* What a migration or swap entry turns into when its page, or the one it moved to, is mapped again. */
static inline u64 host_mapped_again(u64 entry, pfn_t pfn)
{
	return host_mk_pte(pfn, (entry & (BIT_ULL(HOST_PTE_PFN_SHIFT) - 1)) | HOST_PTE_PRESENT);
}

/* --- VMAs (vma.c); context: mmap_lock, or set-up --- */

enum vma_change { VMA_REMOVE, VMA_FILL_GAPS, VMA_READ_ONLY, VMA_WRITABLE };

/* Return: the VMA that holds @hva, else NULL. */
const struct host_vma *host_vma_find(hva_t hva);
/* Changes what VMAs there are in [start, end). Context: mmap_lock for writing, or set-up. */
void host_vma_change(hva_t start, hva_t end, enum vma_change change);

/* --- notifications (notifier.c) --- */

static inline struct mmu_notifier_range host_range(hva_t start, hva_t end)
{
	return (struct mmu_notifier_range){ start, end, .blockable = true };
}

/*
 * Calls the subscribers before a downgrade of the range. Return: false when one has refused, only if the
 * range is not blockable: nothing may be changed then, and the end has been called already.
 * Context: no PTL; may sleep if the range is blockable.
 */
bool host_notify_start(const struct mmu_notifier_range *range);
/* Pairs with host_notify_start() over the same range. */
void host_notify_end(const struct mmu_notifier_range *range);
/* Says that @pfn is mapped at @hva now. Context: PTL, between start and end. */
void host_notify_change_pte(hva_t hva, pfn_t pfn, bool writable);
/* Releases all subscribers and forgets them. Context: may sleep. Mirrors mmu_notifier_release. */
void host_notify_release(void);

/* Takes away all VMAs and pages (mm.c). Context: no locks, may sleep; nobody subscribes any more. */
void host_unmap_all(void);

/* Set-up of subscribers.c. */
void host_subscribers_reset(void);

#endif
