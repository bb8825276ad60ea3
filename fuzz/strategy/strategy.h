/*
 * Who runs next, when no directive says so.
 *
 * A strategy is three functions over state of its own, all of which begin() resets: equal seeds and
 * equal programs give equal schedules, whatever ran before. It is asked only where a decision is
 * due: at the end of the points it granted, and where the running task cannot go on.
 */
#ifndef FUZZ_STRATEGY_STRATEGY_H
#define FUZZ_STRATEGY_STRATEGY_H

#include "base/types.h"
#include "sched/sched.h"

enum strategy_id {
#define STRATEGY(name, what) STRATEGY_##name,
#include "fuzz/strategy/strategies.def"
#undef STRATEGY
	STRATEGY_COUNT
};

struct strategy {
	const char *name, *what;
	/* A schedule starts. */
	void (*begin)(u64 seed);
	/*
	 * Return: the task that runs now, a member of stop->runnable. *grant: points until the
	 * strategy wants to be asked again; it is 0 (until the task blocks or ends) on entry.
	 */
	u32 (*next)(const struct sched_stop *stop, u64 *grant);
	/* Return: an answer of the environment in [0, bound), 0 by default. */
	u64 (*value)(const struct sched_stop *stop, u64 bound);
};

extern const struct strategy strategy_rows[STRATEGY_COUNT];

/* Return: the row, NULL when there is none of that name. */
const struct strategy *strategy_by_name(const char *name);

/* What the default schedule does at @stop: the running task goes on if it can, else the lowest. */
static inline u32 default_choice(const struct sched_stop *stop)
{
	if (stop->task != TASK_NONE && stop->kind != SCHED_AT_BLOCK &&
	    (stop->runnable & BIT_ULL(stop->task)))
		return stop->task;
	return (u32)__builtin_ctzll(stop->runnable);
}

#define STRATEGY(name, what)                                                   \
	void strategy_##name##_begin(u64 seed);                                \
	u32 strategy_##name##_next(const struct sched_stop *stop, u64 *grant); \
	u64 strategy_##name##_value(const struct sched_stop *stop, u64 bound);
#include "fuzz/strategy/strategies.def"
#undef STRATEGY

#endif
