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
