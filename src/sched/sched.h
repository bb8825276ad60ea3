/*
 * The scheduler: tasks as fibers, points where a switch may happen, and the stream of choices.
 *
 * src/kern/fiber calls it at every visible operation; a driver (fuzz/) answers who runs next. It
 * knows no lock, no strategy and no MMU. Everything here runs on one thread; the only state that
 * survives from one schedule to the next is the pool of parked fibers.
 *
 * A *point* costs a decrement and two tests. The driver is asked only at a *stop*: when the running
 * task's grant of points is used up, when the point's site is armed, when the task blocks or ends,
 * and, if the driver records, at every point.
 */
#ifndef SCHED_SCHED_H
#define SCHED_SCHED_H

#include "base/event.h"
#include "base/types.h"

#define SCHED_STACK_BYTES (64u << 10)
_Static_assert(TASKS_MAX <= 64, "the runnable set is one 64-bit mask");

/* What stands at the address that a site hands to its point. */
enum sched_object { SCHED_NOTHING, SCHED_VALUE, SCHED_POINTER, SCHED_LOCK };

/*
 * A point's name: function and expression text of the verb, as it stands in the source. One
 * writable record for each verb call, in the ELF section kern_sites; records with equal texts are
 * one site to people (hash is equal).
 */
struct sched_site {
	u8 armed; /* stop here even though the grant is not used up */
	u8 object; /* enum sched_object */
	u8 size; /* bytes at the address, when object is SCHED_VALUE */
	u32 index; /* position in the section, set by sched_sites() */
	const char *function;
	const char *expression; /* "verb(first-argument)", blanks removed by sched_sites() users */
	u64 hash; /* of "function:expression" without blanks, set by sched_sites() */
} __attribute__((aligned(32)));

enum sched_stop_kind {
	SCHED_AT_BEGIN, /* no task has run yet; task is TASK_NONE */
	SCHED_AT_POINT, /* just before the operation at site */
	SCHED_AT_BLOCK, /* the operation at site cannot proceed; task is not runnable */
	SCHED_AT_START, /* between two ops of a task, before the op */
	SCHED_AT_END, /* the task's last op has ended; task is not runnable */
};

struct sched_stop {
	enum sched_stop_kind kind;
	u32 task, op; /* op: 0-based index in the task */
	const struct sched_site *site; /* NULL unless at a point or block */
	const volatile void *addr; /* what the verb is about to touch; may be NULL */
	u64 runnable; /* tasks that can run now */
	bool due; /* a decision is taken here (else the stop is only recorded) */
	u8 answer; /* value(): what is asked, a number that the layers above agree on (answer_kind) */
};

struct sched_driver {
	void *ctx;
	/*
	 * Return: the task that runs now, a member of stop->runnable. May call sched_grant() for
	 * it; without that call it runs until it blocks or ends.
	 */
	u32 (*next)(void *ctx, const struct sched_stop *stop);
	/* An answer of the environment in [0, bound). 0 is the default answer. */
	u64 (*value)(void *ctx, const struct sched_stop *stop, u64 bound);
	/* Called at every stop, before next(), when recording. NULL: do not record. */
	void (*record)(void *ctx, const struct sched_stop *stop);
	/* next() and value() call no library function: the race detector need not look away. */
	bool self_contained;
};

enum sched_outcome {
	SCHED_DONE, /* all tasks ended */
	SCHED_STUCK, /* tasks are left, none can run */
	SCHED_UNFINISHED, /* the budget of points ran out */
	SCHED_ABANDONED, /* sched_abandon() was called */
};

/* Hot state. budget is the only field that a point writes. */
extern struct sched {
	u64 budget; /* points until the next stop */
	u32 answers; /* bit: questions of that kind are put to the driver, see sched_ask_about() */
	u64 runnable; /* bit: task can run (members of awaiting excepted) */
	u64 awaiting; /* bit: task waits for memory to change */
	u64 live; /* bit: task has not ended */
	u64 slice; /* grows with each switch, and never starts over */
} sched;

/* The record of the task's choice: what the default schedule would do at @stop. */
static inline u32 sched_preferred(const struct sched_stop *stop)
{
	if (stop->kind == SCHED_AT_POINT || stop->kind == SCHED_AT_START)
		return stop->task;
	return (u32)__builtin_ctzll(stop->runnable);
}

/*
 * Runs one schedule: tasks 0..nr_tasks-1, each calling @body with its number, until all have ended
 * or the schedule cannot go on. Must not be called from a task.
 */
enum sched_outcome sched_run(const struct sched_driver *driver, u32 nr_tasks,
			     void (*body)(u32 task), u64 points_max);

/* Ends the schedule at once, from a task. Fibers left in the middle are rebuilt by the next run. */
__attribute__((noreturn)) void sched_abandon(void);

/* For the driver: the task chosen now stops again after @points points. 0 is taken as 1. */
void sched_grant(u64 points);

/*
 * For the driver, at SCHED_AT_BEGIN: only questions whose kind is in @mask are put to value() in this
 * schedule, all others have the answer 0. Without that call all are.
 */
static inline void sched_ask_about(u32 mask)
{
	sched.answers = mask;
}

/* Starts @task, which has ended or was never there, in its body. Context: a task. */
void sched_spawn(u32 task);

/* Called by a task before its @op: a point without an operation (none before the first op). */
void sched_op_begin(u32 op);
/* Called by a task after its op. A stop only if @armed: ends are matched by directives alone. */
void sched_op_end(bool armed);

/* The rest of a point: out of line, for sched_point() only. */
void sched_point_slow(struct sched_site *site, const volatile void *addr);

/* Just before a visible operation on @addr. Context: a task. May switch. */
__attribute__((always_inline)) static inline void sched_point(struct sched_site *site,
							      const volatile void *addr)
{
	event_context.site = site;
	if (unlikely(__builtin_sub_overflow(sched.budget, 1, &sched.budget)) ||
	    unlikely(site->armed))
		sched_point_slow(site, addr);
}

/*
 * The operation at @site cannot proceed: the running task gives way until sched_wake() names it.
 * Whoever calls it tests its condition again afterwards.
 */
void sched_block(struct sched_site *site, const volatile void *addr);
static inline void sched_wake(u64 tasks)
{
	sched.runnable |= tasks;
}

/*
 * Gives way until one of the @size bytes (at most 64) at @addr differs from the copy @seen. Returns at
 * once, after a point, when it differs already. @size is a multiple of 8.
 */
void sched_await(struct sched_site *site, const volatile void *addr, const void *seen, u32 size);

/* The rest of a question, for sched_value() only. */
u64 sched_value_slow(const struct sched_site *site, const volatile void *addr, u32 kind, u64 bound);

/* Asks the environment: an answer in [0, bound), 0 by default. Counts as a point. @kind: below 32. */
static inline u64 sched_value(struct sched_site *site, const volatile void *addr, u32 kind,
			      u64 bound)
{
	sched_point(site, addr);
	if (likely(!(sched.answers >> kind & 1)))
		return 0;
	return sched_value_slow(site, addr, kind, bound);
}

/* Points and blocks of the schedule so far. */
u64 sched_points(void);
/* For the driver, at a stop: points and blocks of this op so far, this one included; from 1. */
u64 sched_ordinal(void);
/* Point and task that @task is stopped at or blocked on; NULL when it runs or has not begun. */
const struct sched_site *sched_site_of(u32 task);

/*
 * All sites of the program, with index and hash filled in. The first call does that work; the array
 * lasts as long as the process. Sites are told apart by text, so two records may share a hash.
 */
struct sched_site *sched_sites(u32 *nr_sites);
/* Appends "function:expression", blanks removed. @site may be NULL ("-"). */
void sched_site_print(struct buf *buf, const struct sched_site *site);

#endif
