/*
 * Who runs next, when no directive says so.
 *
 * A strategy is three functions over state of its own, all of which begin() resets: equal seeds and
 * equal programs give equal schedules, whatever ran before. It is asked only where a decision is
 * due: at the end of the points it granted, and where the running task cannot go on.
 */
#ifndef FUZZ_STRATEGY_STRATEGY_H
#define FUZZ_STRATEGY_STRATEGY_H

#include "base/prng.h"
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
	/*
	 * Return: an answer of the environment in [0, bound), 0 by default. stop->answer: enum
	 * answer_kind. next() may say at the beginning which kinds it wants to be asked about.
	 */
	u64 (*value)(const struct sched_stop *stop, u64 bound);
};

extern const struct strategy strategy_rows[STRATEGY_COUNT];

/* Return: the row, NULL when there is none of that name. */
const struct strategy *strategy_by_name(const char *name);

/*
 * Answers to the questions that are rarely answered otherwise than by default (all kinds but
 * ANSWER_RESCHED). Which kinds are, and how readily, is drawn for each schedule: a bug that needs one kind
 * is hidden by the others more often than not. They come from a stream of their own, so that
 * switches do not depend on them.
 */
struct rare_answers {
	struct prng prng;
	u8 of_256[ANSWER_KIND_COUNT]; /* of 256 answers, how many are not the default */
};
void rare_answers_draw(struct rare_answers *rare, u64 seed);
/* Return: BIT(kind) of the kinds that may be answered otherwise in this schedule. */
u32 rare_answers_kinds(const struct rare_answers *rare);
u64 rare_answer(struct rare_answers *rare, u32 kind, u64 bound);

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
