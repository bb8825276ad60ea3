/* mmurace minimise, explain, triage and encode: what is done to one failure. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/cli/cli.h"

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
	static const int keys[] = { OPT_OUTPUT, OPT_CONFIG, OPT_JSON, 0 };
	static struct options options;
	static struct repro repro;
	struct minimise_stats stats;
	struct buf text = { 0 }, message = { 0 };

	options_parse(&options, argc, argv, keys, "FILE", "Makes a reproducer small.", 1, 1);
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
	static const int keys[] = { OPT_CONFIG, 0 };
	static struct options options;
	static struct repro repro;
	struct buf text = { 0 };
	bool ok;

	options_parse(&options, argc, argv, keys, "FILE", "Shows a reproducer as an interleaving.",
		      1, 1);
	if (!repro_load(&repro, options.arguments[0]))
		return EXIT_USAGE;
	ok = explain(&text, &repro);
	fputs(buf_text(&text), stdout);
	buf_free(&text);
	return ok ? EXIT_EXPECTED : EXIT_DIFFERENT;
}

/* --- triage --- */

static struct run_spec spec_of_input(const struct input *input, enum bug_id bug, u32 k)
{
	return (struct run_spec){
		.program = &input->program,
		.bug = bug,
		.strategy = &strategy_rows[input->strategy_row % STRATEGY_COUNT],
		.seed = input->schedule.seed + k,
		.has_first = input->schedule.has_first,
		.first = input->schedule.first,
		.directives = input->schedule.directives,
		.nr_directives = input->schedule.nr_directives,
	};
}

/* Which of the input's schedules fails. Return: false when none does. */
static bool find_failing(const struct input *input, enum bug_id bug, struct run_spec *spec)
{
	for (u32 k = 0; k < input->schedules; k++) {
		struct run_result result;

		*spec = spec_of_input(input, bug, k);
		run_isolated(spec, &result, false);
		if (result.kind != VERDICT_NONE && result.kind != VERDICT_UNFINISHED)
			return true;
	}
	return false;
}

static bool write_explanation(const struct repro *repro, const struct buf *repro_path)
{
	struct buf text = { 0 }, path = { 0 };
	bool ok;

	buf_append(&path, repro_path->data, repro_path->size - strlen(".repro"));
	buf_printf(&path, ".txt");
	explain(&text, repro);
	ok = file_write(buf_text(&path), buf_text(&text), text.size);
	buf_free(&text);
	buf_free(&path);
	return ok;
}

/* Verdicts of this call that are on disk already. */
static struct expectation known[64];
static u32 nr_known;

/* Return: whether the same verdict was seen before; it is from now on. */
static bool is_known(const struct expectation *expect)
{
	for (u32 i = 0; i < nr_known; i++)
		if (expectation_met(&known[i], expect) && expectation_met(expect, &known[i]))
			return true;
	if (nr_known < ARRAY_SIZE(known))
		known[nr_known++] = *expect;
	return false;
}

/* Return: the exit code for this artifact. */
static int triage(const struct options *options, const char *artifact, enum bug_id bug)
{
	static struct input input;
	static struct repro repro;
	struct minimise_stats stats;
	struct run_result result;
	struct run_spec spec;
	struct buf data = { 0 }, path = { 0 }, message = { 0 };
	bool ok;

	if (!file_read(&data, artifact))
		return EXIT_USAGE;
	input_decode(&input, options->target, (const u8 *)buf_text(&data), data.size);
	buf_free(&data);
	if (!find_failing(&input, bug, &spec)) {
		printf("%s: does not fail here (bug %s)\n", artifact, bug_rows[bug].slug);
		return EXIT_DIFFERENT;
	}
	run_isolated(&spec, &result, false);
	result_expectation(&repro.expect, &result);
	if (is_known(&repro.expect)) {
		printf("%s: %s %s: the same as one before\n", artifact, repro.expect.oracle,
		       repro.expect.class);
		return result_exit_code(&result);
	}
	if (!convert_failure(&repro, &spec, options->target->name, &result))
		fprintf(stderr,
			"%s: keeps strategy and seed: its directives do not lead to the "
			"same verdict\n",
			artifact);
	/* On disk first: the rest may take a while. */
	ok = finding_save(&repro, options->output, &path);
	if (minimise(&repro, &stats, &message))
		ok = finding_save(&repro, options->output, &path);
	else
		fprintf(stderr, "%s: not minimised: %s\n", artifact, buf_text(&message));
	ok = write_explanation(&repro, &path) && ok;
	printf("%s: %s %s: %s\n", artifact, repro.expect.oracle, repro.expect.class,
	       buf_text(&path));
	buf_free(&path);
	buf_free(&message);
	return ok ? result_exit_code(&result) : EXIT_USAGE;
}

int verb_triage(int argc, char **argv)
{
	static const int keys[] = { OPT_TARGET, OPT_OUTPUT, OPT_BUG, OPT_CONFIG, 0 };
	static struct options options;
	const char *slug = getenv("MMURACE_BUG");
	int worst = EXIT_EXPECTED;
	enum bug_id bug;

	options_parse(&options, argc, argv, keys, "ARTIFACT...",
		      "Turns artifacts of engines into minimised, explained reproducers.", 1,
		      ARGUMENTS_MAX);
	if (!options.target)
		usage_error("triage: expected --target TARGET, whose inputs these are");
	if (!options.output)
		usage_error("triage: expected -o FOLDER, where the results go");
	bug = options.target->bug;
	/* What the engine had armed. */
	if (slug && *slug)
		bug = bug_or_exit(slug);
	if (options.has_bug)
		bug = options.bug;
	folder_probe(options.output);
	handle_interrupts();
	for (u32 i = 0; i < options.nr_arguments && !campaign_interrupted(); i++) {
		int code = triage(&options, options.arguments[i], bug);

		if (code && (worst == EXIT_EXPECTED || code == EXIT_USAGE))
			worst = code;
	}
	return campaign_interrupted() ? EXIT_UNFINISHED : worst;
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
	static const int keys[] = { OPT_OUTPUT, OPT_CONFIG, 0 };
	static struct options options;
	static struct repro repro, converted;
	static struct input input;
	static u8 data[1 << 16];
	struct run_result result;
	struct run_spec spec;
	const struct strategy *strategy;
	size_t size;

	options_parse(&options, argc, argv, keys, "FILE", "Writes a reproducer as an input.", 1, 1);
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
