/*
 * Every task in turn. The number of points that each may pass is drawn for the schedule, and once
 * more for the first turn, so that the same quantum meets different places.
 */
#include "fuzz/strategy/strategy.h"

static struct {
	struct prng prng;
	u64 quantum, first_turn;
	u32 yes; /* of 8 wishes for the CPU, how many are granted */
	struct rare_answers rare;
} robin;

void strategy_round_robin_begin(u64 seed)
{
	robin.prng = prng_seeded(seed);
	robin.quantum = 1 + prng_below(&robin.prng, 8u << prng_below(&robin.prng, 6));
	robin.first_turn = 1 + prng_below(&robin.prng, 64);
	robin.yes = prng_below(&robin.prng, 4) == 3 ? 4 : 0;
	rare_answers_draw(&robin.rare, seed);
}

u32 strategy_round_robin_next(const struct sched_stop *stop, u64 *grant)
{
	u64 later = stop->runnable;

	if (stop->kind == SCHED_AT_BEGIN)
		sched_ask_about(rare_answers_kinds(&robin.rare) |
				(robin.yes ? 1u << ANSWER_RESCHED : 0));
	*grant = stop->task == TASK_NONE ? robin.first_turn : robin.quantum;
	if (stop->task != TASK_NONE)
		later &= ~(BIT_ULL(stop->task + 1) - 1);
	else
		later &= ~(BIT_ULL(prng_below(&robin.prng, TASKS_MAX)) - 1);
	return (u32)__builtin_ctzll(later ? later : stop->runnable);
}

u64 strategy_round_robin_value(const struct sched_stop *stop, u64 bound)
{
	if (stop->answer != ANSWER_RESCHED)
		return rare_answer(&robin.rare, stop->answer, bound);
	return bound > 1 && prng_below(&robin.prng, 8) < robin.yes;
}
