/* Names that only a search knows, and what they may have meant. */
#include <string.h>

#include "fuzz/cli/cli.h"

static const char *strategy_name(u32 nth)
{
	return strategy_rows[nth].name;
}

static const char *retry_class_name(u32 nth)
{
	return retry_class_names[nth];
}

const struct strategy *strategy_or_exit(const char *name)
{
	const struct strategy *strategy = strategy_by_name(name);

	if (!strategy)
		unknown_name("strategy", name, strategy_name, STRATEGY_COUNT);
	return strategy;
}

u32 retry_class_or_exit(const char *name)
{
	/* Texts write "false_retry:hull" too: the class is what follows. */
	const char *colon = strchr(name, ':');
	const char *class = colon ? colon + 1 : name;

	for (u32 i = 0; i < RETRY_CLASS_none; i++)
		if (!strcmp(retry_class_names[i], class))
			return i;
	unknown_name("class of retry", class, retry_class_name, RETRY_CLASS_none);
}
