/* Targets, in the order in which they were linked: each binary holds those that it was given. */
#include <string.h>

#include "workload/workload.h"

extern const struct target *const __start_targets[] __attribute__((weak));
extern const struct target *const __stop_targets[] __attribute__((weak));

u32 targets_count(void)
{
	return (u32)(__stop_targets - __start_targets);
}

const struct target *target_nth(u32 nth)
{
	return __start_targets[nth];
}

const struct target *target_by_name(const char *name)
{
	for (u32 i = 0; i < targets_count(); i++)
		if (!strcmp(target_nth(i)->name, name))
			return target_nth(i);
	return NULL;
}
