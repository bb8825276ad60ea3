/* mmurace list: what there is to name. */
#include <stdio.h>
#include <string.h>

#include "fuzz/cli/cli.h"

/* One thing: its name, a line about it, and further fields for JSON. */
static void print_row(bool json, const char *name, const char *what, const char *const *fields,
		      u32 nr_fields)
{
	cJSON *object;

	if (!json) {
		printf("%-30s %s", name, what);
		for (u32 i = 0; i < nr_fields; i++)
			printf("%s%s %s", i ? ", " : "  [", fields[2 * i], fields[2 * i + 1]);
		printf("%s\n", nr_fields ? "]" : "");
		return;
	}
	object = cJSON_CreateObject();
	json_text(object, "name", name);
	json_text(object, "what", what);
	for (u32 i = 0; i < nr_fields; i++)
		json_text(object, fields[2 * i], fields[2 * i + 1]);
	json_end(object);
}

static void list_targets(bool json)
{
	for (u32 i = 0; i < targets_count(); i++) {
		const struct target *target = target_nth(i);
		const char *fields[] = { "bug", bug_rows[target->bug].slug };

		print_row(json, target->name, target->what, fields, target->bug != BUG_none);
	}
}

static void list_bugs(bool json)
{
	for (u32 i = 1; i < BUG_COUNT; i++) {
		const struct bug_row *row = &bug_rows[i];
		const char *fields[] = { "oracle", row->oracle, "class",     row->class, "row",
					 row->row, "target",	row->target, "fix",	 row->fix };

		print_row(json, row->slug, row->why, fields, 5);
	}
}

static void list_oracles(bool json)
{
	for (u32 i = 0; i < ORACLE_COUNT; i++)
		print_row(json, oracle_rows[i].name, oracle_rows[i].what, NULL, 0);
}

static void list_variants(bool json)
{
	for (u32 i = 0; i < KNOB_VALUE_COUNT; i++) {
		const struct variant_row *row = &variant_rows[i];
		const char *fields[] = { "release", row->release, "convicted_by",
					 row->convicted_by };
		char name[64];

		snprintf(name, sizeof(name), "%s=%s", row->knob, row->value);
		print_row(json, name, row->what, fields, 2);
	}
	print_row(json, "upstream", "every knob as the pinned kernel has it", NULL, 0);
	print_row(json, "default", "upstream plus accepted repairs", NULL, 0);
}

static void list_strategies(bool json)
{
	for (u32 i = 0; i < STRATEGY_COUNT; i++)
		print_row(json, strategy_rows[i].name, strategy_rows[i].what, NULL, 0);
}

static void list_ops(bool json)
{
	static const char *const needs[] = { "nobody", "process", "vm", "process and vm" };

	for (u32 i = 0; i < OP_COUNT; i++) {
		const struct op_row *row = &op_rows[i];
		const char *fields[] = { "task",      task_kind_names[row->kind],
					 "arguments", op_forms[row->args].words,
					 "needs",     needs[row->needs] };

		print_row(json, row->name, row->what, fields, 3);
	}
}

static void list_configs(bool json)
{
	static const struct {
		const char *name, *backend, *compiler, *sanitizers, *engine, *bits;
	} rows[] = {
#define CONFIG(id, name, backend, compiler, sanitizers, engine, bits) \
	{ name, backend, compiler, sanitizers, engine, #bits },
#include "fuzz/configs.def"
#undef CONFIG
	};

	for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *fields[] = {
			"compiler",   rows[i].compiler,
			"sanitizers", *rows[i].sanitizers ? rows[i].sanitizers : "none",
			"engine",     rows[i].engine,
			"index_bits", rows[i].bits,
			"backend",    rows[i].backend
		};

		print_row(json, rows[i].name,
			  strcmp(rows[i].name, CONFIG_NAME) ? "" : "(this binary)", fields, 5);
	}
}

static const struct {
	const char *name;
	void (*list)(bool json);
} lists[] = {
	{ "targets", list_targets },	   { "bugs", list_bugs },
	{ "oracles", list_oracles },	   { "variants", list_variants },
	{ "strategies", list_strategies }, { "ops", list_ops },
	{ "configs", list_configs },
};

static const char *list_name(u32 nth)
{
	return lists[nth].name;
}

int verb_list(int argc, char **argv)
{
	static struct options options;

	options_parse(&options, argc, argv);
	for (u32 i = 0; i < ARRAY_SIZE(lists); i++)
		if (!strcmp(lists[i].name, options.arguments[0])) {
			lists[i].list(options.json);
			return EXIT_EXPECTED;
		}
	unknown_name("list", options.arguments[0], list_name, ARRAY_SIZE(lists));
}
