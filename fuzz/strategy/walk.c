/*
 * walk-p: a random walk that switches at each point with probability p. The number of points until
 * the next switch is drawn at once (a geometric distribution), so that points in between cost
 * nothing. p and the readiness of the environment to say yes differ from schedule to schedule,
 * because no one value is good for all bugs.
 */
#include "fuzz/strategy/strategy.h"

static struct {
	struct prng prng;
	u32 shift; /* p = 1 / (1 << shift) */
	u32 yes; /* of 8 wishes for the CPU, how many are granted */
	struct rare_answers rare;
} walk;

void strategy_walk_begin(u64 seed)
{
	static const u8 yes_of_8[] = { 0, 0, 1, 4, 8 };

	walk.prng = prng_seeded(seed);
	walk.shift = 3 + prng_below(&walk.prng, 6);
	walk.yes = yes_of_8[prng_below(&walk.prng, ARRAY_SIZE(yes_of_8))];
	rare_answers_draw(&walk.rare, seed);
}

/*
 * Points until the next switch: about exponential with mean 1 << shift, at least 1. The logarithm of
 * a random number is taken as the count of its leading zeros, with its next 16 bits as a straight line
 * in between: no loop, no floating point, equal on every machine.
 */
static u64 draw_grant(void)
{
	u64 bits = prng_next(&walk.prng) | 1;
	u64 zeros = (u64)__builtin_clzll(bits);
	u64 below = ((bits << zeros) >> 47) & 0xffff;
	u64 log2 = (zeros << 16) + (0xffff - below);

	return 1 + ((log2 * 45426 /* ln 2 */ >> 16) << walk.shift >> 16);
}

/*
 * A random member of @set: the first one at or after a random place below its highest. The task of RCU
 * callbacks stands far behind the others, and is drawn as often as one of them.
 */
static u32 random_member(u64 set)
{
	u32 places;

	if (set & BIT_ULL(TASK_RCU)) {
		if (!prng_below(&walk.prng, (u32)__builtin_popcountll(set)))
			return TASK_RCU;
		set &= ~BIT_ULL(TASK_RCU);
	}
	places = 64 - (u32)__builtin_clzll(set);
	return (u32)__builtin_ctzll(set & (~0ull << prng_below(&walk.prng, places)));
}

u32 strategy_walk_next(const struct sched_stop *stop, u64 *grant)
{
	u64 others = stop->runnable;

	if (stop->task != TASK_NONE && stop->kind != SCHED_AT_BLOCK &&
	    stop->runnable != BIT_ULL(stop->task))
		others &= ~BIT_ULL(stop->task);
	if (stop->kind == SCHED_AT_BEGIN)
		sched_ask_about(rare_answers_kinds(&walk.rare) |
				(walk.yes ? 1u << ANSWER_RESCHED : 0));
	*grant = draw_grant();
	return random_member(others);
}

u64 strategy_walk_value(const struct sched_stop *stop, u64 bound)
{
	if (stop->answer != ANSWER_RESCHED)
		return rare_answer(&walk.rare, stop->answer, bound);
	if (!walk.yes || prng_below(&walk.prng, 8) >= walk.yes)
		return 0;
	return bound > 1 ? 1 + prng_below(&walk.prng, (u32)(bound - 1)) : 0;
}
