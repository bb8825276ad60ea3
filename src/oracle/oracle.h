/*
 * Oracles: observers that judge a schedule by its events and by the inspect.h headers. They take no
 * lock, make no point, allocate nothing while a schedule runs, and never act on what they judge.
 *
 * oracle.c is the event sink of the whole program: it keeps the ghost state (ghost.h) up to date
 * and hands each event to the oracles whose interest mask names it, in the order of oracles.def.
 * The first violation of a schedule is its verdict; later events are not judged any more.
 */
#ifndef ORACLE_ORACLE_H
#define ORACLE_ORACLE_H

#include "base/buf.h"
#include "base/event.h"
#include "base/types.h"

enum oracle_id {
#define ORACLE(name, what) ORACLE_##name,
#include "oracle/oracles.def"
#undef ORACLE
	ORACLE_COUNT
};

struct oracle_row {
	const char *name, *what;
};
extern const struct oracle_row oracle_rows[ORACLE_COUNT];

/* Classes of RETRY, from ghost state; none: no cause at all, a violation. */
enum retry_class {
	RETRY_CLASS_true, /* a range that is being invalidated holds the gfn */
	RETRY_CLASS_hull, /* only the union of the open ranges does */
	RETRY_CLASS_seq, /* an invalidation ended since the snapshot */
	RETRY_CLASS_race, /* lost against another change of the same entry; torn or old range */
	RETRY_CLASS_slot,
	RETRY_CLASS_root,
	RETRY_CLASS_other,
	RETRY_CLASS_none,
	RETRY_CLASS_COUNT
};
extern const char *const retry_class_names[RETRY_CLASS_COUNT];

/* One wait of a cycle of locks: who asked for a lock (inner), holding another one (outer). */
#define VERDICT_HOLDS_MAX 4
struct verdict_hold {
	const struct sched_site *taken,
		*asked; /* where outer was taken, where inner was asked for */
	u64 outer, inner; /* enum lock_class */
	u32 task;
};

/* What was wrong. Two sites where two accesses race, else one (second is NULL) or none. */
struct verdict {
	bool violated;
	enum oracle_id oracle;
	const char *class; /* id of the invariant (SM4, D1, FR1 ...), or a retry class */
	const char *sentence; /* the invariant, in words */
	/* [0]: where it was found; [1]: the access it races with */
	const struct sched_site *site[2];
	u32 task[2]; /* the tasks at these sites, TASK_NONE if there is none */
	u64 time[2]; /* event clock, 0 if there is no such site */
	char detail[160]; /* the values at hand, one line, model numbers only */
	/* lock_order: the waits of the cycle in its order, the one that closed it first; else none */
	struct verdict_hold holds[VERDICT_HOLDS_MAX];
	u32 nr_holds;
};

/* What happened, for reports and the reachability table. Cleared by oracle_stats_clear() only. */
struct oracle_stats {
	u64 retries[RETRY_CLASS_COUNT];
	u64 events[EVENT_COUNT]; /* those that the oracles want to see, whether or not tapped */
	/* TLB entries that outlived their table entry but were out of use when the flush was due */
	u64 stale_then_flushed;
};

struct oracle_config {
	u64 seq; /* initial sequence number of the world */
	u32 forbidden; /* mask of BIT(enum retry_class): legal causes that count as violations */
};

/*
 * Forgets all ghost state and the last verdict, and sets the event clock back to 0. Costs the same
 * however much the last schedule has touched. Context: no task, before the world is built.
 */
void oracle_reset(const struct oracle_config *config);

/* The schedule's verdict so far. */
const struct verdict *oracle_verdict(void);

/*
 * @hook is called as soon as a violation is recorded, in the context of the event that convicts:
 * inside a task it may end the schedule and not return. Deadlocks and end states are judged when no
 * task runs (event_context.task is TASK_NONE); it must return then. NULL: nothing is called.
 */
void oracle_on_violation(void (*hook)(void));

/*
 * Every event is also handed to @tap before it is judged, whatever the oracles want to see; NULL
 * ends that. For traces, hashes and explanations.
 */
void oracle_tap(void (*tap)(const struct event *event));

/*
 * @hook is handed the state of the protocol at each change of a linked table entry, before it is judged: a number
 * made of who writes, with which lock, from what to what, and of what is open meanwhile. Equal states have equal
 * numbers. For engines that keep inputs by it. NULL ends that. Context of the hook: any; calls no library.
 */
void oracle_on_write(void (*hook)(u32 state));

const struct oracle_stats *oracle_stats(void);
void oracle_stats_clear(void);

/*
 * Hash of the end state that oracles can see: roots, linked entries, TLBs, host PTEs, counters.
 * Context: no task, the world still stands. Reads every host PTE: too slow for a search.
 */
u64 oracle_state_hash(void);

/*
 * Appends "oracle class site / site" as reproducers write it, "none" for no violation. @print_site
 * appends the text of a site.
 */
void verdict_print(struct buf *buf, const struct verdict *verdict,
		   void (*print_site)(struct buf *buf, const struct sched_site *site));

#endif
