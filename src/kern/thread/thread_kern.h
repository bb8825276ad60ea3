/*
 * The thread backend: tasks are POSIX threads that run freely, verbs are atomic instructions, locks that spin, and
 * liburcu. Nothing here is reproducible: a run is an experiment, and its findings are what a sanitizer
 * reports, what warns, and what does not come to an end.
 *
 * There are no events (CONFIG_EVENTS is 0) and no oracles.
 */
#ifndef KERN_THREAD_THREAD_KERN_H
#define KERN_THREAD_THREAD_KERN_H

#include "base/buf.h"
#include "base/types.h"

/* How the runs to come behave. Distances are means, drawn anew each time; 0: never. */
struct thread_knobs {
	u64 seed; /* each task draws from a stream of its own, made of this and its number */
	u32 points_per_yield; /* points between two places where a task gives way for a moment; rows with checks */
	u32 asks_per_resched; /* calls of need_resched() between two that say yes */
	u32 answers_of_1024; /* answers of the environment that are not the default one */
	u32 milliseconds; /* a run that takes longer is given up: KERN_UNFINISHED */
};
#define THREAD_KNOBS_DEFAULT            \
	{                               \
		.seed = 1,              \
		.points_per_yield = 64, \
		.asks_per_resched = 16, \
		.answers_of_1024 = 16,  \
		.milliseconds = 10000,  \
	}

/*
 * How long a task may take to notice that its run is given up. One that does not, because it goes round and round where it
 * meets neither a wait nor a point, cannot be got rid of: ASSERT.
 */
#define THREAD_STOP_SECONDS 20u

/* Context: no task, like all that follows. */
void thread_kern_set(const struct thread_knobs *knobs);

/*
 * WARN_ON, KVM_BUG_ON, assertions about locks, sleeping where nobody may: findings. Return: how many since the
 * last clear.
 */
u64 thread_kern_warnings(void);
/* Appends "file:line: function: what", a line for each of the first few. */
void thread_kern_print_warnings(struct buf *buf);
void thread_kern_clear_warnings(void);

#endif
