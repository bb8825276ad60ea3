/*
 * The one source of pseudo-random numbers (splitmix64 stepping, 64 bits of state). Equal seeds give
 * equal streams on every machine and in every build.
 */
#ifndef BASE_PRNG_H
#define BASE_PRNG_H

#include "base/types.h"

struct prng {
	u64 state;
};

static inline struct prng prng_seeded(u64 seed)
{
	return (struct prng){ .state = seed * 0x9e3779b97f4a7c15ull + 0x632be59bd9b4e019ull };
}

static inline u64 prng_next(struct prng *prng)
{
	u64 z = (prng->state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* Return: a number in [0, bound). bound must not be 0. */
static inline u32 prng_below(struct prng *prng, u32 bound)
{
	return (u32)(((prng_next(prng) >> 32) * (u64)bound) >> 32);
}

#endif
