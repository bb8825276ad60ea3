/*
 * walk-p: a random walk that switches at each point with probability p. The number of points until
 * the next switch is drawn at once (a geometric distribution), so that points in between cost
 * nothing. p and the readiness of the environment to say yes differ from schedule to schedule,
 * because no one value is good for all bugs.
 */
#include "base/prng.h"
#include "fuzz/strategy/strategy.h"

static struct {
	struct prng prng;
	u32 shift; /* p = 1 / (1 << shift) */
	u32 yes; /* of 8 answers, how many are not the default */
} walk;

void strategy_walk_begin(u64 seed)
{
	static const u8 yes_of_8[] = { 0, 0, 1, 4, 8 };

	walk.prng = prng_seeded(seed);
	walk.shift = 1 + prng_below(&walk.prng, 6);
	walk.yes = yes_of_8[prng_below(&walk.prng, ARRAY_SIZE(yes_of_8))];
}

/* Points until the first success of trials with probability 1 / (1 << shift), at least 1. */
static u64 draw_grant(void)
{
	u64 mask = BIT_ULL(walk.shift) - 1;
	u64 points = 1;

	for (;;) {
		u64 bits = prng_next(&walk.prng);

		for (u32 used = 0; used + walk.shift <= 64; used += walk.shift) {
			if (!((bits >> used) & mask))
				return points;
			points++;
		}
	}
}

static u32 random_member(u64 set)
{
	u32 nth = prng_below(&walk.prng, (u32)__builtin_popcountll(set));

	while (nth--)
		set &= set - 1;
	return (u32)__builtin_ctzll(set);
}

u32 strategy_walk_next(const struct sched_stop *stop, u64 *grant)
{
	u64 others = stop->runnable;

	if (stop->task != TASK_NONE && stop->kind != SCHED_AT_BLOCK &&
	    stop->runnable != BIT_ULL(stop->task))
		others &= ~BIT_ULL(stop->task);
	*grant = draw_grant();
	return random_member(others);
}

u64 strategy_walk_value(const struct sched_stop *stop, u64 bound)
{
	if (!walk.yes || prng_below(&walk.prng, 8) >= walk.yes)
		return 0;
	return bound > 1 ? 1 + prng_below(&walk.prng, (u32)(bound - 1)) : 0;
}
