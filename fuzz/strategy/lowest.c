/* The default schedule, on which directives are deviations. */
#include "fuzz/strategy/strategy.h"

void strategy_lowest_begin(u64 seed)
{
}

u32 strategy_lowest_next(const struct sched_stop *stop, u64 *grant)
{
	if (stop->kind == SCHED_AT_BEGIN)
		sched_ask_about(0);
	return default_choice(stop);
}

u64 strategy_lowest_value(const struct sched_stop *stop, u64 bound)
{
	return 0;
}
