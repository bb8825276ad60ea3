/*
 * How tests of the contract run tasks on this backend: round robin, one point each, which is as much interleaving
 * as there can be. Counts what is told. Included by tests only, behind cmocka.h.
 */
#ifndef BACKEND_FIXTURE_H
#define BACKEND_FIXTURE_H

#include "kern/fiber/fiber_kern.h"
#include "kern/kern.h"
#include "kern/shared/instrument.h"

static u64 seen_events[EVENT_COUNT];

/* Tasks emit without any order between them, and the race detector need not look. */
UNINSTRUMENTED void event_sink(const struct event *event)
{
	seen_events[event->id]++;
}

static inline u32 next_round(void *ctx, const struct sched_stop *stop)
{
	u64 later;

	sched_grant(1);
	later = stop->task == TASK_NONE ? stop->runnable
					: stop->runnable & ~(BIT_ULL(stop->task + 1) - 1);
	return (u32)__builtin_ctzll(later ? later : stop->runnable);
}

static u32 refused; /* bit: questions of that kind are answered with 1 */
static u32 asked;

static inline u64 value_answer(void *ctx, const struct sched_stop *stop, u64 bound)
{
	asked |= 1u << stop->answer;
	return refused >> stop->answer & 1;
}

/* Questions whose kind is in @mask are not answered by default in the runs to come. */
static inline void fixture_refuse(u32 mask)
{
	refused = mask;
}

/* Context: behind kern_reset(). */
static inline enum kern_outcome fixture_run(u32 nr_tasks, void (*body)(u32 task))
{
	static const struct sched_driver driver = { .next = next_round, .value = value_answer };

	event_context.interest = ~(event_mask)0;
	for (u32 i = 0; i < EVENT_COUNT; i++)
		seen_events[i] = 0;
	asked = 0;
	kern_set_driver(&driver);
	return kern_run_tasks(nr_tasks, body, 10000);
}

/* Return: how often the last run has warned. */
static inline u64 fixture_warnings(void)
{
	return seen_events[EVENT_warned];
}

/* Appends what it has warned of, as far as that is known. */
static inline void fixture_print_warnings(struct buf *buf)
{
	buf_printf(buf, "%u events warned", (u32)fixture_warnings());
}

#endif
