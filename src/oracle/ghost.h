/*
 * Ghost state: what the oracles know of a schedule, built from events alone and never from the
 * MMU's own counters. oracle.c brings it up to date before any oracle sees the event; oracles only
 * read it.
 *
 * It knows which frames are page tables and where they are linked, which roots are valid, who changed
 * each entry last, which invalidations are open and over which guest frames, how far an update of the
 * memslots has got, and what each task is about: the mmu_lock section and the fault it is in, the
 * notification it is in the middle of, whether it ages pages, and the grace periods it has waited for.
 */
#ifndef ORACLE_GHOST_H
#define ORACLE_GHOST_H

#include "base/event.h"
#include "base/types.h"
#include "host/inspect.h"
#include "machine/inspect.h"
#include "subject/inspect.h"

#define GHOST_FRAMES_MAX	2048u /* pfns above are not followed */
#define GHOST_INVALIDATIONS_MAX 64u /* more than that at a time count towards the hull only */

/* Who did something, where and when; time 0: nobody. */
struct ghost_mark {
	const struct sched_site *site;
	u64 time;
	u32 task;
};

static inline struct ghost_mark ghost_mark(const struct event *event)
{
	return (struct ghost_mark){ event->site, event->time, event->task };
}

enum ghost_link {
	GHOST_PRIVATE, /* never reachable from a root so far */
	GHOST_LINKED,
	GHOST_DETACHED /* was linked once */
};

/* What is known of a root; nothing of these for other tables. */
enum ghost_root_flag {
	GHOST_ROOT = 1,
	GHOST_INVALID = 2, /* no vCPU may load it */
	GHOST_ZAPPED = 4, /* was emptied after it had become invalid */
	GHOST_UNLISTED = 8
};

struct ghost_table {
	u64 epoch; /* schedule that the record belongs to */
	u64 birth; /* tells apart the tables that one frame holds in turn */
	const u64 *words; /* what memory holds; NULL: the frame is no page table */
	gfn_t base; /* first gfn covered; with root and level, unknown while private */
	pfn_t root;
	u8 level;
	u8 link; /* enum ghost_link */
	u8 flags; /* mask of enum ghost_root_flag */
	u8 as_id; /* of a root */
	struct ghost_mark detached; /* when it was taken out of the tree; of a root: off the list */
	u64 section; /* of mmu_lock, in which that was done */
};

struct ghost_entry {
	u64 birth; /* of the table that the record belongs to */
	struct ghost_mark changed; /* last change, by whomever */
	struct ghost_mark installed; /* last time software made it a leaf or gave it a permission */
};

/* The spte_changed at hand, decoded once for all oracles. Valid while that event is handled. */
struct ghost_change {
	struct ghost_mark previous; /* the change of the same entry before this one */
	gfn_t gfn; /* first gfn that the entry covers, if linked */
	pfn_t root; /* if linked */
	u32 level; /* 0 unless linked or detached */
	u32 link; /* enum ghost_link of the table */
	bool was_mapped, is_mapped; /* hardware present or present to KVM */
	bool was_leaf, is_leaf, was_table, is_table; /* false while the level is unknown */
	bool by_cpu;
	bool by_ager; /* by a task that is inside a young call */
	/* By a fault without mmu_lock: a leaf of the same frame takes its place, in one exchange. */
	bool restores;
	/* A leaf gave way to a table whose leafs say the same, or allow more. */
	bool splits;
	bool installs; /* linked; software made a leaf, or gave a leaf a permission; no restores */
	bool revives; /* something present came into a root that had been zapped */
};

struct ghost_invalidation {
	u32 task, nr_ranges;
	struct gfn_range ranges[SLOTS_MAX];
	struct ghost_mark last; /* its begin, or the last range added */
};

/* The current attempt of a task to resolve a violation. */
struct ghost_fault {
	bool active; /* between fault_begun and fault_ended */
	bool translated;
	bool installed; /* made a leaf, or gave one a permission */
	bool prefetch; /* no guest waits for it */
	bool refused; /* the environment made an exchange of an entry fail */
	u32 vcpu;
	gfn_t gfn;
	u64 access;
	u64 begun; /* time */
	/*
	 * Sequence number when the MMU read it for the last time before it translated; when the
	 * attempt began, if it did not.
	 */
	u64 snapshot;
	u64 checked_section; /* mmu_lock section of the passed check, 0: none */
	gfn_t checked_gfn;
	struct ghost_mark checked;
};

/*
 * A step of a memslot's dirty log. The log is known from ENABLING, when readers find the slot with it, until
 * DISABLED, or until the slot is gone.
 */
struct ghost_log {
	u64 as_id, mode; /* enum dirty_log_mode */
	gfn_t start, end;
	u64 serial; /* tells apart the logs that a slot has in turn; 0: nobody's */
	u64 enabled; /* time when writes began to count; 0: they do not, or no longer */
	bool d_bits;
};

/* Notifications of a task that are open at a time: the host splits huge pages inside another one. */
#define GHOST_NESTED_MAX 4
enum ghost_bracket { GHOST_OUTSIDE, GHOST_STARTING, GHOST_STARTED, GHOST_ENDING };

struct ghost_notification {
	u32 bracket; /* enum ghost_bracket: where between notifier_start and _end_returned */
	bool mmu_started; /* in it the MMU has heard of the start only */
	struct hva_range range;
};

/* What a task is doing to a memslot as a whole. */
enum ghost_chore {
	GHOST_WALKS = 1, /* between walk_begun and walk_ended */
	GHOST_HARVESTS = 2,
	GHOST_ENABLES = 4 /* a dirty log, and has not ended to */
};

struct ghost_task {
	u32 locks; /* of any class; all that is known of those that are not mmu_lock */
	u32 mmu_locks; /* mmu_lock: 0 or 1, unless somebody forgot to release */
	bool mmu_exclusive; /* how mmu_lock was taken last */
	bool unsettled; /* invalidation events in this mmu_lock section */
	bool ages; /* between young_begun and young_ended */
	bool asks; /* between age_begun and age_ended */
	u64 section; /* number of the last mmu_lock section entered, from 1 */
	struct ghost_mark mmu_acquired;
	u32 chores; /* mask of enum ghost_chore */
	u32 walk; /* enum walk_kind, of the last one */
	u64 walked; /* time when that, or the enabling that it is part of, began */
	u32 depth; /* open notifications; the innermost one is depth - 1 */
	struct ghost_notification notifications[GHOST_NESTED_MAX];
	u64 rcu_synced; /* time of the last synchronize_rcu() */
	u64 slots_synced; /* likewise, of the memslots' readers */
	u32 vcpu; /* the one that it runs */
	struct ghost_fault fault;
};

/* The update of the memslots that is under way. slots_lock lets there be one at a time. */
struct ghost_memslot {
	bool open; /* between MEMSLOT_BEGUN and MEMSLOT_ENDED */
	bool going; /* MEMSLOT_INVALID was reached: readers may find the slot marked */
	u32 task;
	u64 as_id;
	gfn_t start, end; /* of the slot that is going */
	struct ghost_mark last;
};

extern struct ghost {
	u64 epoch; /* number of the schedule */
	u64 births;
	u64 sections;
	u64 seq;
	u32 active; /* invalidations begun and not ended */
	u32 nr_open; /* of which these are kept */
	u32 unsettled; /* tasks in an mmu_lock section with invalidation events */
	u32 nr_ages, nr_asks; /* tasks that do so: see struct ghost_task */
	u32 nr_started; /* notifications between notifier_start_returned and notifier_end */
	u64 settled; /* time when the last section with invalidation events ended, 0: never */
	struct gfn_range hull; /* of all ranges since active was 0; start >= end: empty */
	struct ghost_mark ended; /* last end */
	struct ghost_invalidation open[GHOST_INVALIDATIONS_MAX];
	u32 invalidating; /* mask of tasks in an mmu_lock section that made a root invalid */
	bool dying; /* release has begun to zap everything: no vCPU will ever run again */
	struct ghost_mark released; /* the MMU's release has returned */
	bool left_inside; /* after which it has missed the end of a start */
	struct ghost_memslot memslot;
	u64 log_serials;
	u32 nr_logs;
	struct ghost_log logs[SLOTS_MAX];
	u64 vcpu_entered[VCPUS_MAX]; /* time when each vCPU went into the guest for the last time */
	struct ghost_table freed; /* of a page table that is being freed: what was known of it */
	struct ghost_change change;
	struct ghost_task tasks[TASKS_MAX + 1]; /* the last one: no task */
} ghost;

/* Events that the ghost state is built from; oracle.c hands them to what ghost_build.h offers. */
#define ghost_interest                                                                 \
	(EVENT_BIT(EVENT_lock_acquired) | EVENT_BIT(EVENT_lock_released) |             \
	 EVENT_BIT(EVENT_frame_allocated) | EVENT_BIT(EVENT_frame_freed) |             \
	 EVENT_BIT(EVENT_spte_changed) | EVENT_BIT(EVENT_notifier_start) |             \
	 EVENT_BIT(EVENT_notifier_start_returned) | EVENT_BIT(EVENT_notifier_end) |    \
	 EVENT_BIT(EVENT_notifier_end_returned) | EVENT_BIT(EVENT_root_created) |      \
	 EVENT_BIT(EVENT_fault_begun) | EVENT_BIT(EVENT_fault_snapshot) |              \
	 EVENT_BIT(EVENT_fault_translated) | EVENT_BIT(EVENT_fault_checked) |          \
	 EVENT_BIT(EVENT_fault_ended) | EVENT_BIT(EVENT_invalidate_begun) |            \
	 EVENT_BIT(EVENT_invalidate_range_added) | EVENT_BIT(EVENT_invalidate_ended) | \
	 EVENT_BIT(EVENT_root_invalidated) | EVENT_BIT(EVENT_root_zapped) |            \
	 EVENT_BIT(EVENT_root_unlisted) | EVENT_BIT(EVENT_walk_begun) |                \
	 EVENT_BIT(EVENT_memslot_changed) | EVENT_BIT(EVENT_synchronized) |            \
	 EVENT_BIT(EVENT_cmpxchg_refused) | EVENT_BIT(EVENT_subscriber_called) |       \
	 EVENT_BIT(EVENT_vcpu_entered) | EVENT_BIT(EVENT_walk_ended) |                 \
	 EVENT_BIT(EVENT_harvest_begun) | EVENT_BIT(EVENT_harvest_ended) |             \
	 EVENT_BIT(EVENT_dirty_log_changed) | EVENT_BIT(EVENT_young_begun) |           \
	 EVENT_BIT(EVENT_young_ended) | EVENT_BIT(EVENT_age_begun) | EVENT_BIT(EVENT_age_ended))

/* The MMU under test registers first. */
#define GHOST_MMU_SUBSCRIBER 0

/* @seq: initial sequence number of the world. */
void ghost_reset(u64 seq);

/* --- reading it --- */

/* Return: the record of a task; of "no task" for TASK_NONE. */
static inline struct ghost_task *ghost_task(u32 task)
{
	return &ghost.tasks[task < TASKS_MAX ? task : TASKS_MAX];
}

/* Return: the notification that @task is in, the innermost one; NULL: none. */
static inline const struct ghost_notification *ghost_notification(const struct ghost_task *task)
{
	return task->depth ? &task->notifications[task->depth - 1] : NULL;
}

/* Whether @task is in the middle of what user space, or the kernel, asks for about a dirty log. */
static inline bool ghost_logs_dirty(const struct ghost_task *task)
{
	return (task->chores & (GHOST_HARVESTS | GHOST_ENABLES)) ||
	       ((task->chores & GHOST_WALKS) &&
		(task->walk == WALK_WRPROT || task->walk == WALK_CLEAR_DIRTY));
}

/* Return: the dirty log that @gfn has, NULL if there is none. */
const struct ghost_log *ghost_log(u64 as_id, gfn_t gfn);

/* Return: the record of a table that is or was linked in this schedule, else NULL. */
const struct ghost_table *ghost_linked_table(pfn_t pfn);
/* Return: what is known of an entry, NULL when it never changed since its table was made. */
const struct ghost_entry *ghost_entry(pfn_t table, u32 index);

/* Says that there is no memslot: hardware refuses it, and no frame belongs to it. */
static inline bool ghost_is_mmio(u64 pte)
{
	return (pte & (SPTE_MMIO_MASK | SPTE_SHADOW_PRESENT)) == SPTE_MMIO_VALUE;
}

/* Present to hardware, or (access-tracked) to KVM alone: either way it holds on to its frame. */
static inline bool ghost_maps(u64 pte)
{
	return (pte & (PTE_RWX | SPTE_SHADOW_PRESENT)) && !ghost_is_mmio(pte);
}

static inline bool ghost_is_leaf(u64 pte, u32 level)
{
	return ghost_maps(pte) && (level == PT_LEVEL_4K || (pte & PTE_PS));
}

static inline bool ghost_is_table(u64 pte, u32 level)
{
	return ghost_maps(pte) && level > PT_LEVEL_4K && !(pte & PTE_PS);
}

/* A leaf in the tables as they stand. */
struct ghost_leaf {
	pfn_t table;
	u32 index, level;
	gfn_t gfn; /* first one covered */
	u64 pte;
};

/*
 * Finds the first linked leaf at or after *@gfn and below @end, under @root; moves *@gfn behind it.
 * Return: whether there was one.
 */
bool ghost_next_leaf(const struct root_view *root, gfn_t *gfn, gfn_t end, struct ghost_leaf *leaf);
/* The frame that @leaf maps @gfn to; @gfn is covered by it. */
static inline pfn_t ghost_leaf_pfn(const struct ghost_leaf *leaf, gfn_t gfn)
{
	return pte_pfn(leaf->pte) + (gfn > leaf->gfn ? gfn - leaf->gfn : 0);
}
/* Who installed @leaf; time 0 when that was before the schedule. */
struct ghost_mark ghost_leaf_installed(const struct ghost_leaf *leaf);
/*
 * Return: the last change, after @since and by another task than @task, of an entry on the way from
 * @root to @gfn, as the way is now; time 0 if there is none. @frozen, unless NULL: whether an entry
 * on it is FROZEN.
 */
struct ghost_mark ghost_path_changed(pfn_t root, gfn_t gfn, u64 since, u32 task, bool *frozen);
/* The last change of the lowest entry on that way; time 0 if there is none. */
struct ghost_mark ghost_last_change(pfn_t root, gfn_t gfn);

/* Return: the root of that frame, listed or not; level 0 if it is none. */
struct root_view ghost_root(pfn_t pfn);
/*
 * Return: whether something that is cached under the tag @root can still do harm. Nobody runs on an
 * invalid root (stale_tlb T8 sees to it), and nobody runs at all once release has begun.
 */
bool ghost_tag_counts(pfn_t root);

static inline bool ghost_in_hull(gfn_t gfn)
{
	return ghost.active && gfn_in(gfn, ghost.hull.start, ghost.hull.end);
}
/* Return: an open invalidation of a range that holds @gfn, NULL if there is none. */
const struct ghost_invalidation *ghost_invalidating(gfn_t gfn);

#endif
