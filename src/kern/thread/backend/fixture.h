/*
 * How tests of the contract run tasks on this backend: freely, giving way at every other point. Included by tests
 * only, behind cmocka.h.
 */
#ifndef BACKEND_FIXTURE_H
#define BACKEND_FIXTURE_H

#include "kern/kern.h"
#include "kern/thread/thread_kern.h"

static u32 refused;

/* Questions whose kind is in @mask are not answered by default in the runs to come. */
static inline void fixture_refuse(u32 mask)
{
	refused = mask;
}

/* Context: behind kern_reset(). */
static inline enum kern_outcome fixture_run(u32 nr_tasks, void (*body)(u32 task))
{
	static u64 seed;
	struct thread_knobs knobs = THREAD_KNOBS_DEFAULT;

	knobs.seed = ++seed;
	knobs.points_per_yield = 2;
	knobs.asks_per_resched = refused >> ANSWER_RESCHED & 1;
	knobs.answers_of_1024 = refused & ~(1u << ANSWER_RESCHED) ? 1024 : 0;
	thread_kern_set(&knobs);
	thread_kern_clear_warnings();
	return kern_run_tasks(nr_tasks, body, 10000);
}

/* Return: how often the last run has warned. */
static inline u64 fixture_warnings(void)
{
	return thread_kern_warnings();
}

static inline void fixture_print_warnings(struct buf *buf)
{
	thread_kern_print_warnings(buf);
}

#endif
