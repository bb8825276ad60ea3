#include "fuzz/strategy/strategy.h"

#include <string.h>

const struct strategy strategy_rows[STRATEGY_COUNT] = {
#define STRATEGY(name_, what_)                                                                   \
	[STRATEGY_##name_] = { #name_, what_, strategy_##name_##_begin, strategy_##name_##_next, \
			       strategy_##name_##_value },
#include "fuzz/strategy/strategies.def"
#undef STRATEGY
};

const struct strategy *strategy_by_name(const char *name)
{
	for (u32 i = 0; i < STRATEGY_COUNT; i++)
		if (!strcmp(strategy_rows[i].name, name))
			return &strategy_rows[i];
	return NULL;
}

/* How readily each kind is answered otherwise, by choice; rarer ones end most of what they touch. */
static const u8 readiness[ANSWER_KIND_COUNT][4] = {
	[ANSWER_ALLOC] = { 0, 0, 0, 8 },
	[ANSWER_CMPXCHG] = { 0, 0, 8, 32 },
	[ANSWER_TLB] = { 0, 0, 24, 96 },
	[ANSWER_TRYLOCK] = { 0, 0, 16, 128 },
};

void rare_answers_draw(struct rare_answers *rare, u64 seed)
{
	rare->prng = prng_seeded(~seed);
	for (u32 kind = 0; kind < ANSWER_KIND_COUNT; kind++)
		rare->of_256[kind] = readiness[kind][prng_below(&rare->prng, 4)];
}

u32 rare_answers_kinds(const struct rare_answers *rare)
{
	u32 kinds = 0;

	for (u32 kind = 0; kind < ANSWER_KIND_COUNT; kind++)
		kinds |= rare->of_256[kind] ? 1u << kind : 0;
	return kinds;
}

u64 rare_answer(struct rare_answers *rare, u32 kind, u64 bound)
{
	u32 drawn;

	if (bound < 2 || !rare->of_256[kind])
		return 0;
	drawn = prng_below(&rare->prng, 256);
	return drawn < rare->of_256[kind] ? 1 + drawn % (bound - 1) : 0;
}
