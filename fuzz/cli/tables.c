/* The tables of verbs and options, for all who read them. */
#include "fuzz/cli/cli.h"

#include <string.h>

static const struct option_row {
	int key;
	const char *name, *argument, *what;
} option_rows[] = {
#define OPTION(key, letter, name, argument, what) { OPT_##key, name, argument, what },
#include "fuzz/cli/options.def"
#undef OPTION
};

#define VERB(name, arguments, what, fewest, most, ...) \
	static const int keys_of_##name[] = { __VA_ARGS__, 0 };
#include "fuzz/cli/verbs.def"
#undef VERB

const struct verb verbs[] = {
#define VERB(name, arguments, what, fewest, most, ...) \
	{ #name, arguments, what, fewest, most, keys_of_##name },
#include "fuzz/cli/verbs.def"
#undef VERB
};

u32 verbs_count(void)
{
	return ARRAY_SIZE(verbs);
}

const char *verb_name(u32 nth)
{
	return verbs[nth].name;
}

const struct verb *verb_by_name(const char *name)
{
	for (u32 i = 0; i < verbs_count(); i++)
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

static const struct option_row *option_by_key(int key)
{
	u32 i = 0;

	while (option_rows[i].key != key)
		i++;
	return &option_rows[i];
}

u32 verb_options(const struct verb *verb, struct argp_option list[OPTIONS_MAX])
{
	u32 nr = 0;

	for (const int *key = verb->keys; *key; key++) {
		const struct option_row *row = option_by_key(*key);

		list[nr++] = (struct argp_option){
			row->name, row->key, *row->argument ? row->argument : NULL, 0, row->what, 0
		};
	}
	memset(&list[nr], 0, sizeof(list[nr]));
	return nr;
}
