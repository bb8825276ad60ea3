/* mmurace compare: what the values of one knob cost. */
#include <stdio.h>
#include <string.h>

#include "fuzz/cli/cli.h"

#define SCHEDULES_DEFAULT 4000

static const char *knob_name(u32 nth)
{
	return variant_rows[variant_default.knob[nth]].knob;
}

static u32 knob_or_exit(const char *name)
{
	for (u32 i = 0; i < KNOB_COUNT; i++)
		if (!strcmp(knob_name(i), name))
			return i;
	unknown_name("knob", name, knob_name, KNOB_COUNT);
}

static void print_left_out(const struct compare_column *column)
{
	const struct variant_row *row = &variant_rows[column->value];
	const struct variant_row *other = &variant_rows[column->conflict_with];

	printf("  left out: %s=%s excludes %s=%s: %s\n", row->knob, row->value, other->knob,
	       other->value, column->conflict);
}

/* A figure that is 0 everywhere says nothing. */
static bool is_seen(const struct comparison *comparison, u32 figure)
{
	for (u32 i = 0; i < comparison->nr_columns; i++)
		if (comparison->columns[i].total[figure])
			return true;
	return false;
}

static void print_figure(const struct compare *compare, const struct comparison *comparison,
			 u32 figure)
{
	printf("%-21s", figure_rows[figure].name);
	for (u32 i = 0; i < comparison->nr_columns; i++) {
		const struct compare_column *column = &comparison->columns[i];
		char cell[48];

		if (column->conflict)
			continue;
		snprintf(cell, sizeof(cell), "%.3f (%llu)",
			 (double)column->total[figure] / compare->schedules,
			 (unsigned long long)column->median[figure]);
		printf(" %23s", cell);
	}
	printf("  %s\n", figure_rows[figure].what);
}

static void print_table(const struct compare *compare, const struct comparison *comparison)
{
	printf("%s, %s, seed %llu: %u schedules for each value; mean (median) of a schedule\n",
	       knob_name(compare->knob), compare->target->name, (unsigned long long)compare->seed,
	       compare->schedules);
	for (u32 i = 0; i < comparison->nr_columns; i++)
		if (comparison->columns[i].conflict)
			print_left_out(&comparison->columns[i]);
	printf("%-21s", "");
	for (u32 i = 0; i < comparison->nr_columns; i++)
		if (!comparison->columns[i].conflict)
			printf(" %23s", variant_rows[comparison->columns[i].value].value);
	printf("\n");
	for (u32 figure = 0; figure < FIGURE_COUNT; figure++)
		if (is_seen(comparison, figure))
			print_figure(compare, comparison, figure);
}

static void print_column_json(const struct compare *compare, const struct compare_column *column)
{
	cJSON *object = cJSON_CreateObject(), *figures;

	json_text(object, "knob", knob_name(compare->knob));
	json_text(object, "value", variant_rows[column->value].value);
	json_text(object, "target", compare->target->name);
	json_u64(object, "seed", compare->seed);
	json_u64(object, "schedules", column->conflict ? 0 : compare->schedules);
	if (column->conflict) {
		json_text(object, "left_out", column->conflict);
		json_end(object);
		return;
	}
	figures = cJSON_AddObjectToObject(object, "figures");
	for (u32 i = 0; i < FIGURE_COUNT; i++) {
		cJSON *figure = cJSON_AddObjectToObject(figures, figure_rows[i].name);

		json_u64(figure, "total", column->total[i]);
		json_u64(figure, "median", column->median[i]);
	}
	json_end(object);
}

int verb_compare(int argc, char **argv)
{
	static struct comparison comparison;
	static struct options options;
	struct compare compare;
	struct death death;

	options_parse(&options, argc, argv);
	compare = (struct compare){
		.target = options.target ? options.target : target_or_exit("everything"),
		.variant = options.variant,
		.strategy = options.strategy,
		.knob = knob_or_exit(options.arguments[0]),
		.seed = options.seed,
		.schedules = SCHEDULES_DEFAULT,
	};
	if (options.schedules > COMPARE_SCHEDULES_MAX)
		usage_error("--schedules: expected at most %u, found %llu", COMPARE_SCHEDULES_MAX,
			    (unsigned long long)options.schedules);
	if (options.schedules)
		compare.schedules = (u32)options.schedules;
	handle_interrupts();
	if (!compare_run(&compare, &comparison, &death)) {
		fputs(buf_text(&death.report), stderr);
		return death.kind == VERDICT_SANITIZER ? EXIT_SANITIZER : EXIT_FRAMEWORK;
	}
	if (campaign_interrupted())
		return EXIT_UNFINISHED;
	if (!options.json)
		print_table(&compare, &comparison);
	for (u32 i = 0; options.json && i < comparison.nr_columns; i++)
		print_column_json(&compare, &comparison.columns[i]);
	return EXIT_EXPECTED;
}
