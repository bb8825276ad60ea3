/* mmurace minimise, explain, encode and decode: what is done to one failure. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/triage/triage.h"

static void print_stats(const struct options *options, const char *path,
			const struct minimise_stats *stats)
{
	cJSON *object;

	if (!options->json) {
		printf("%s: %u ops in %u tasks, %u directives (%llu attempts, %.1f s)\n", path,
		       stats->ops, stats->tasks, stats->directives,
		       (unsigned long long)stats->attempts, stats->seconds);
		return;
	}
	object = cJSON_CreateObject();
	json_number(object, "ops", stats->ops);
	json_number(object, "tasks", stats->tasks);
	json_number(object, "directives", stats->directives);
	json_number(object, "attempts", (double)stats->attempts);
	json_number(object, "seconds", stats->seconds);
	json_end(object);
}

int verb_minimise(int argc, char **argv)
{
	static struct options options;
	static struct repro repro;
	struct minimise_stats stats;
	struct buf text = { 0 }, message = { 0 };

	options_parse(&options, argc, argv);
	if (!options.output)
		usage_error("minimise: expected -o FILE, where the result goes");
	if (!repro_load(&repro, options.arguments[0]))
		return EXIT_USAGE;
	file_probe(options.output);
	handle_interrupts();
	if (!minimise(&repro, &stats, &message)) {
		fprintf(stderr, "%s: %s\n", options.arguments[0], buf_text(&message));
		return EXIT_DIFFERENT;
	}
	repro_print(&text, &repro);
	if (!file_write(options.output, buf_text(&text), text.size)) {
		fprintf(stderr, "%s", buf_text(&text));
		return EXIT_USAGE;
	}
	print_stats(&options, options.output, &stats);
	if (repro.schedule.strategy[0])
		fprintf(stderr,
			"%s: keeps strategy %s: its directives do not lead to the same "
			"verdict\n",
			options.output, repro.schedule.strategy);
	return campaign_interrupted() ? EXIT_UNFINISHED : EXIT_EXPECTED;
}

int verb_explain(int argc, char **argv)
{
	static struct options options;
	static struct repro repro;
	struct buf text = { 0 };
	bool ok;

	options_parse(&options, argc, argv);
	if (!repro_load(&repro, options.arguments[0]))
		return EXIT_USAGE;
	ok = explain(&text, &repro);
	fputs(buf_text(&text), stdout);
	buf_free(&text);
	return ok ? EXIT_EXPECTED : EXIT_DIFFERENT;
}

/* --- encode --- */

/* Inputs hold values that no oracle convicts: what is left of the text's variant. */
static void warn_of_variant(const struct repro *repro, const char *path, const u8 *data,
			    size_t size)
{
	static struct input back;
	const struct target *target = target_by_name(repro->target);

	input_decode(&back, target ? target : target_nth(0), data, size);
	for (u32 knob = 0; knob < KNOB_COUNT; knob++) {
		u8 wanted = repro->program.world.variant.knob[knob];
		u8 got = back.program.world.variant.knob[knob];

		if (wanted != got)
			fprintf(stderr, "%s: %s=%s is convicted by %s, inputs run %s instead\n",
				path, variant_rows[wanted].knob, variant_rows[wanted].value,
				variant_rows[wanted].convicted_by, variant_rows[got].value);
	}
}

int verb_encode(int argc, char **argv)
{
	static struct options options;
	static struct repro repro, converted;
	static struct input input;
	static u8 data[1 << 16];
	struct run_result result;
	struct run_spec spec;
	const struct strategy *strategy;
	size_t size;

	options_parse(&options, argc, argv);
	if (!options.output)
		usage_error("encode: expected -o FILE, where the input goes");
	if (!repro_load(&repro, options.arguments[0]))
		return EXIT_USAGE;
	/* Engines know ordinals only: a run fills them in for every directive. */
	run_spec_of(&spec, &repro);
	if (!convert_failure(&converted, &spec, repro.target, &result) &&
	    repro.schedule.nr_directives)
		fprintf(stderr, "%s: the directives are kept by the hints they have\n",
			options.arguments[0]);
	strategy = strategy_by_name(converted.schedule.strategy);
	input.program = converted.program;
	input.schedule = converted.schedule;
	input.strategy_row = strategy ? (u32)(strategy - strategy_rows) : STRATEGY_lowest;
	input.schedules = 1;
	size = input_encode(&input, data, sizeof(data));
	if (!size)
		usage_error("%s: expected a program that fits into an input, found a larger one",
			    options.arguments[0]);
	if (memcmp(&repro.program.world.variant, &variant_default, sizeof(variant_default)))
		warn_of_variant(&repro, options.arguments[0], data, size);
	return file_write(options.output, data, size) ? EXIT_EXPECTED : EXIT_USAGE;
}

/* --- decode --- */

/* Which of the input's schedules fails, and how. Return: false when none does; it is about the first one then. */
static bool find_failing(const struct exhibit *exhibit, enum bug_id bug, struct run_spec *spec,
			 struct run_result *result)
{
	struct run_result first;

	for (u32 nth = 0; nth < exhibit->schedules && !campaign_interrupted(); nth++) {
		exhibit_spec(exhibit, bug, nth, spec);
		run_isolated(spec, result, false);
		if (result->kind != VERDICT_NONE && result->kind != VERDICT_UNFINISHED)
			return true;
		if (!nth)
			first = *result;
	}
	exhibit_spec(exhibit, bug, 0, spec);
	*result = first;
	return false;
}

static void decode(struct repro *repro, const struct artifact *artifact,
		   const struct exhibit *exhibit)
{
	struct run_result result;
	struct run_spec spec;

	if (!find_failing(exhibit, artifact->bug, &spec, &result)) {
		exhibit_repro(exhibit, &spec, artifact->target, repro);
		result_expectation(&repro->expect, &result);
	} else if (!convert_failure(repro, &spec, artifact->target->name, &result)) {
		fprintf(stderr,
			"%s: keeps strategy and seed: its directives do not lead to the same "
			"verdict\n",
			artifact->path);
	}
}

/* The one that the fuzz binary had armed when it left the input. */
static enum bug_id bug_of(const struct options *options)
{
	const char *slug = getenv("MMURACE_BUG");

	if (options->has_bug)
		return options->bug;
	return slug && *slug ? bug_or_exit(slug) : options->target->bug;
}

int verb_decode(int argc, char **argv)
{
	static struct options options;
	static struct exhibit exhibit;
	static struct repro repro;
	struct artifact artifact;
	struct buf text = { 0 };

	options_parse(&options, argc, argv);
	if (options.format)
		usage_error("decode: expected a target whose inputs are programs, found %s, which "
			    "is for a format",
			    options.format);
	if (!options.target)
		usage_error("decode: expected --target TARGET, whose input it is");
	artifact = (struct artifact){ .path = options.arguments[0], .target = options.target };
	artifact.bug = bug_of(&options);
	if (!artifact_load(&exhibit, &artifact))
		return EXIT_USAGE;
	decode(&repro, &artifact, &exhibit);
	repro_print(&text, &repro);
	if (options.output)
		return file_write(options.output, buf_text(&text), text.size) ? EXIT_EXPECTED
									      : EXIT_USAGE;
	fputs(buf_text(&text), stdout);
	return EXIT_EXPECTED;
}
