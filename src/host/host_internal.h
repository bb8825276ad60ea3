/*
 * The host process's address space, for the files of this folder only.
 *
 * Locks, outermost first: mmap_lock (VMAs; creation and end of tables after set-up), rmap_lock (finding
 * the PTE of a page; taken for writing by who takes a table away), notifier SRCU, PTLs: of a table (its
 * PTEs, and the sharer counts of the pages they map), and the upper one (all entries above PTEs; one for the
 * whole mm, as the kernel has it without split PMD locks). No two PTLs nest. Subscribers are called without
 * PTLs (but for change_pte and the young callbacks). The list lock guards changes of the list of subscribers, which is read inside
 * notifier SRCU.
 *
 * What an entry above the PTEs may become, and who may make it so:
 *	nothing -> table	mmap_lock in either mode, and the upper PTL
 *	leaf -> table		a split: mmap_lock or rmap_lock in either mode, and the upper PTL
 *	leaf -> nothing, leaf	mmap_lock in either mode (to set A or D, or clear A: not even that), and the
 *				upper PTL
 *	table -> leaf, nothing	collapse, munmap: mmap_lock and rmap_lock for writing, and the upper PTL
 * So inside mmap_lock or rmap_lock a table stays what it is, while a leaf may be split at any time; and
 * whoever walks without either must look out for tables that go (host_walk_begin()).
 *
 * References: each present PTE, each migration entry and each swap entry owns one on its page; sharers, which stand
 * for PTEs of other processes, own one each. Everything else (GUP, COW and migration in progress)
 * holds its own for as long as it works on the page.
 */
#ifndef HOST_HOST_INTERNAL_H
#define HOST_HOST_INTERNAL_H

#include "host/host.h"

/* One page of PTEs and its lock. Freed within a schedule only where collapses are allowed. */
struct host_table {
	spinlock_t ptl;
	u64 *ptes;
};

/* The locks, in memory of the environment so that traces can name them. */
struct host_mm {
	struct rw_semaphore mmap_lock, rmap_lock;
	struct srcu_struct mn_srcu, walks;
	spinlock_t mn_list_lock;
	spinlock_t upper_ptl;
	struct mmu_notifier *subscribers; /* inside mn_srcu, changed under mn_list_lock */
	u64 users; /* when counted: the last one takes the address space down */
	u64 exited; /* 1: the process itself has let go */
	u64 moves; /* migrations that are over; counted where tables may go */
};

struct host_vma {
	hva_t start, end;
	bool writable;
};

/* A VMA ends where an operation or a map has begun or ended; each adds two such places. */
#define HOST_VMAS_MAX	(2 * (MAPS_MAX + TASKS_MAX * OPS_MAX))
#define HOST_TABLES_MAX (HVA_MAX / PT_ENTRIES)
/* At least one, though level 3 covers more than there is in the large geometry, and is not used. */
#define HOST_UPPER_MAX ((HVA_MAX + PT_PAGES(PT_LEVEL_1G) - 1) / PT_PAGES(PT_LEVEL_1G))
_Static_assert(HVA_MAX % PT_ENTRIES == 0 && HOST_TABLES_MAX <= UINT16_MAX, "tables fill the space");

extern struct host_state {
	struct host_mm *mm;
	bool counts_users; /* this and the next six are constant while tasks run */
	bool announces_changes; /* somebody subscribes to change_pte */
	bool tells_ages; /* somebody subscribes to a young callback */
	bool looks_fast; /* look-around wants fast answers only */
	bool collapses; /* tables may go */
	u32 levels; /* the highest at which there may be leafs; PT_LEVEL_4K: nothing is ever huge */
	u32 nr_subscribers; /* that were ever registered */
	u32 nr_vmas;
	/* Sorted; two that touch differ in their flag. [vmas_now] under mmap_lock, the other for changes. */
	struct host_vma vmas[2][HOST_VMAS_MAX];
	u32 vmas_now;
	u32 nr_used;
	u16 used[HOST_TABLES_MAX]; /* indices of tables, or leafs, that were ever there; under mmap_lock */
	u64 used_in[HOST_TABLES_MAX]; /* epoch in which the index was listed last */
	/* By hva / PT_ENTRIES: nothing, a table, or a leaf in disguise. Published by release. */
	struct host_table *tables[HOST_TABLES_MAX];
	u64 upper[HOST_UPPER_MAX]; /* level 3: a leaf, else look at tables[] */
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

/* --- entries above the PTEs: a leaf goes as a pointer that nothing can stand at --- */

#define HOST_DISGUISE	     BIT_ULL(63)
#define HOST_DISGUISE_LEVEL3 BIT_ULL(62)

static inline bool host_is_leaf(const struct host_table *entry)
{
	return (uintptr_t)entry & HOST_DISGUISE;
}

static inline struct host_table *host_disguise(u64 leaf, u32 level)
{
	u64 tag = HOST_DISGUISE | (level == PT_LEVEL_2M ? 0 : HOST_DISGUISE_LEVEL3);

	return (struct host_table *)(uintptr_t)(leaf | tag);
}

/* The leaf in the form of a PTE, with HOST_PTE_HUGE. */
static inline u64 host_leaf(const struct host_table *entry)
{
	return (uintptr_t)entry & ~(HOST_DISGUISE | HOST_DISGUISE_LEVEL3);
}

static inline u32 host_leaf_level(const struct host_table *entry)
{
	return (uintptr_t)entry & HOST_DISGUISE_LEVEL3 ? PT_LEVEL_1G : PT_LEVEL_2M;
}

/* First page of the leaf that @hva is part of. */
static inline hva_t host_leaf_start(const struct host_table *entry, hva_t hva)
{
	return hva & ~(PT_PAGES(host_leaf_level(entry)) - 1);
}

static inline hva_t host_leaf_end(const struct host_table *entry, hva_t hva)
{
	return host_leaf_start(entry, hva) + PT_PAGES(host_leaf_level(entry));
}

/* The page of @hva in the leaf. */
static inline pfn_t host_leaf_pfn(const struct host_table *entry, hva_t hva)
{
	return host_pte_pfn(host_leaf(entry)) + (hva - host_leaf_start(entry, hva));
}

/*
 * What leads to the PTE of @hva. Without mmap_lock; pairs with the releases of those who change it. Each
 * level is read once: read again, a table could be a leaf by now, and be walked into.
 */
#define host_entry_lockless(hva)                                                                \
	({                                                                                      \
		u64 above_ =                                                                    \
			host.levels < PT_LEVEL_1G                                               \
				? 0                                                             \
				: smp_load_acquire(&host.upper[(hva) / PT_PAGES(PT_LEVEL_1G)]); \
		host_pte_present(above_) ? host_disguise(above_, PT_LEVEL_1G)                   \
					 : smp_load_acquire(&host.tables[(hva) / PT_ENTRIES]);  \
	})
/* The same inside mmap_lock, where only what is huge may change under one's hands: else no point. */
#define host_entry_stable(hva) \
	(host.levels > PT_LEVEL_4K ? host_entry_lockless(hva) : host.tables[(hva) / PT_ENTRIES])

/* The same as it stands. Context: upper PTL, or no task runs, or an onlooker. */
static inline struct host_table *host_entry_now(hva_t hva)
{
	u64 above = host.upper[hva / PT_PAGES(PT_LEVEL_1G)];

	return host_pte_present(above) ? host_disguise(above, PT_LEVEL_1G)
				       : host.tables[hva / PT_ENTRIES];
}

/*
 * Around a walk without mmap_lock and rmap_lock: no table goes meanwhile. Stands for interrupts that are
 * off: who takes a table away frees it when every CPU has answered an interrupt. A domain of its own, since
 * RCU sections of the subscribers do not keep the host's tables. Nobody sleeps inside.
 */
static inline int host_walk_begin(void)
{
	return host.collapses ? srcu_read_lock(&host.mm->walks) : 0;
}

static inline void host_walk_end(int idx)
{
	if (host.collapses)
		srcu_read_unlock(&host.mm->walks, idx);
}

/*
 * Changes a PTE; a point in the name of the function it stands in. Context: PTL. The event is what
 * stale_mapping anchors on: it comes under the PTL, when the value has become visible.
 */
#define host_pte_write(hva_, ptep, old_, new_)                                         \
	({                                                                             \
		u64 written_ = (new_);                                                 \
		WRITE_ONCE(*ptep, written_);                                           \
		event(host_pte_changed, .hva = (hva_), .old = (old_), .new = written_, \
		      .level = PT_LEVEL_4K);                                           \
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

/* --- tables and huge leafs (huge.c) --- */

/* A new table, which the caller publishes or gives to host_table_free(). No point. */
struct host_table *host_table_alloc(void);
void host_table_free(struct host_table *table);
/* Lists the place of @hva among those to be taken down. Context: mmap_lock for writing, or set-up. */
void host_use(hva_t hva);
/*
 * Return: the table of @hva, made if there was nothing; or the leaf that has come up meanwhile.
 * Context: mmap_lock in either mode; @hva in a VMA that was added with its tables.
 */
struct host_table *host_table_make(hva_t hva);
/*
 * Set-up: maps what it can of [hva, end) by one leaf of @level, at most. Return: where it ends, @hva if
 * nothing was mapped.
 */
hva_t host_add_leaf(hva_t hva, hva_t end, u32 level);
/*
 * Replaces the huge leaf @entry, which @hva is part of, by @new (a leaf, or 0), with its event. Return:
 * false when something else stands there by now. Context: mmap_lock, or no more than D is set; no PTL.
 */
bool host_leaf_change(hva_t hva, struct host_table *entry, u64 new);
/*
 * The same where it is known that @entry stands there. Return: what stands there now. Context: upper PTL.
 */
struct host_table *host_leaf_write(hva_t hva, struct host_table *entry, u64 new);
/*
 * Splits @entry, which @hva is part of, by one level, with a pair of notifications of its own; nothing
 * more happens when something else stands there by now. Return: false when a subscriber has refused, only
 * if not @blockable. Context: mmap_lock or rmap_lock, no PTL; may sleep if @blockable.
 */
bool host_split(hva_t hva, struct host_table *entry, bool blockable);
/* Splits what is huge at @hva. Return: the table, NULL if there is none. Context: as above, may sleep. */
struct host_table *host_split_down(hva_t hva);
/* Splits until no huge leaf has @hva inside, other than as its first page. Context: as above. */
void host_split_at(hva_t hva);

/*
 * Gives back the tables of [start, end) that lie in no VMA. Tells nobody, as nothing is mapped there: whoever
 * still walks them has only host_walk_begin(). Only where tables may go. Context: mmap_lock for writing;
 * sleeps. Mirrors free_pgtables.
 */
void host_free_tables(hva_t start, hva_t end);

/* What a range operation does to the pieces of its range. */
struct host_change {
	void (*table)(struct host_table *table, hva_t start, hva_t end);
	/*
	 * Changes a leaf, all of which lies in the range. Return: false when something else stands there by
	 * now. NULL: leafs are split.
	 */
	bool (*leaf)(hva_t hva, struct host_table *entry);
};
/*
 * Does so to the huge leaf @entry, which @hva is part of, splitting it if it is not all in @range. Return:
 * where to go on: @hva when other entries stand there now. Context: mmap_lock, no PTL, @range is announced.
 */
hva_t host_change_leaf(const struct mmu_notifier_range *range, const struct host_change *change,
		       hva_t hva, struct host_table *entry);

/* --- VMAs (vma.c); context: mmap_lock, or set-up --- */

enum vma_change { VMA_REMOVE, VMA_FILL_GAPS, VMA_READ_ONLY, VMA_WRITABLE };

/* Return: the VMA that holds @hva, else NULL. */
const struct host_vma *host_vma_find(hva_t hva);
/* Return: whether a part of [start, end) is in a VMA. */
bool host_vma_in(hva_t start, hva_t end);
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
/*
 * What the subscribers know of the age of [start, end), or of the page at @hva; called in the order in which
 * they subscribed. Those that clear ask everybody, test stops at the first who knows it as young: the answer
 * is his. @fast_only leaves out who has no fast aging. Return: mask of YOUNG_*; 0 when nobody subscribes to it.
 * Context: PTL.
 */
u32 host_notify_clear_flush_young(hva_t start, hva_t end);
u32 host_notify_clear_young(hva_t start, hva_t end, bool fast_only);
u32 host_notify_test_young(hva_t hva, bool fast_only);
/* Releases all subscribers and forgets them. Context: may sleep. Mirrors mmu_notifier_release. */
void host_notify_release(void);

/*
 * The second half of reclaim (rmap.c): takes the mapping of @page at @hva, a PTE of @table, away, and frees it
 * if nobody else holds a reference. Drops the caller's reference. Context: rmap_lock, no PTL, inside
 * LOCK_fs_reclaim; may sleep.
 */
void host_reclaim_page(struct host_table *table, hva_t hva, pfn_t page);

/* Takes away all VMAs and pages (mm.c). Context: no locks, may sleep; nobody subscribes any more. */
void host_unmap_all(void);

/* Set-up of subscribers.c. */
void host_subscribers_reset(void);

#endif
