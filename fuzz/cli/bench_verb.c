/* mmurace bench: runs the benchmarks. */
#include <stdio.h>
#include <string.h>

#include "fuzz/cli/cli.h"

static const char *bench_name(u32 nth)
{
	return bench_rows[nth].name;
}

static void measure(const struct bench_row *row, bool json)
{
	double value = row->measure();
	cJSON *object;

	if (!json) {
		printf("%-14s %14.1f %-12s %s (%s)\n", row->name, value, row->unit, row->what,
		       CONFIG_NAME);
		fflush(stdout);
		return;
	}
	object = cJSON_CreateObject();
	json_text(object, "name", row->name);
	json_text(object, "config", CONFIG_NAME);
	json_text(object, "metric", row->metric);
	json_number(object, "value", value);
	json_text(object, "unit", row->unit);
	json_end(object);
}

int verb_bench(int argc, char **argv)
{
	static struct options options;
	bool found = false;

	options_parse(&options, argc, argv);
	for (u32 i = 0; i < bench_count(); i++) {
		if (options.nr_arguments && strcmp(options.arguments[0], bench_rows[i].name))
			continue;
		found = true;
		measure(&bench_rows[i], options.json);
	}
	if (!found)
		unknown_name("benchmark", options.arguments[0], bench_name, bench_count());
	return EXIT_EXPECTED;
}
