/* mmurace replay: runs reproducers and compares what comes out with what they expect. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/cli/cli.h"

#define FILES_MAX 4096

static struct recording *recording;

static void replay_once(const struct repro *repro, struct run_result *result, bool loud)
{
	struct run_spec spec;

	run_spec_of(&spec, repro);
	spec.recording = recording;
	run_isolated(&spec, result, loud);
}

/* --- looking around for a directive that was not met --- */

static bool better(const struct repro *trial, const struct run_result *before,
		   struct run_result *after)
{
	struct expectation actual;

	replay_once(trial, after, false);
	result_expectation(&actual, after);
	/* Sites move with the code that the directives were looked for in. */
	if (!after->unmet)
		return expectation_alike(&trial->expect, &actual);
	return after->unmet_first > before->unmet_first;
}

/* The directive as the run now meets it: by site again, also when the hint found it. */
static void name_by_site(struct directive *directive)
{
	for (u32 i = 0; i < recording->nr_steps; i++) {
		const struct step *step = &recording->steps[i];

		if (!step->site || step->task != directive->task || step->op != directive->op)
			continue;
		if (directive->site.text[0] ? strcmp(directive->site.text, site_text(step->site)) ||
						      step->occurrence != directive->site.occurrence
					    : step->ordinal != directive->ordinal)
			continue;
		snprintf(directive->site.text, sizeof(directive->site.text), "%s",
			 site_text(step->site));
		directive->site.occurrence = step->occurrence;
		directive->ordinal = step->ordinal;
		return;
	}
}

static bool try_expression(struct repro *trial, u32 nth, const struct run_result *before,
			   struct run_result *after)
{
	struct directive *directive = &trial->schedule.directives[nth];
	const char *expression = strchr(directive->site.text, ':');
	char wanted[SITE_TEXT_MAX], old[SITE_TEXT_MAX];

	if (!expression)
		return false;
	snprintf(wanted, sizeof(wanted), "%s", expression);
	memcpy(old, directive->site.text, sizeof(old));
	for (u32 i = 0; i < sites_count(); i++) {
		const char *text = site_text(site_nth(i));

		if (site_number(site_nth(i)) != i || !strchr(text, ':') ||
		    strcmp(strchr(text, ':'), wanted) || !strcmp(text, old))
			continue;
		snprintf(directive->site.text, sizeof(directive->site.text), "%s", text);
		if (better(trial, before, after))
			return true;
	}
	memcpy(directive->site.text, old, sizeof(old));
	return false;
}

static bool try_occurrence(struct repro *trial, u32 nth, const struct run_result *before,
			   struct run_result *after)
{
	static const int offsets[] = { -1, 1, -2, 2, -3, 3 };
	struct directive *directive = &trial->schedule.directives[nth];
	u32 old = directive->site.occurrence;

	for (u32 i = 0; i < ARRAY_SIZE(offsets); i++) {
		if ((s64)old + offsets[i] < 1)
			continue;
		directive->site.occurrence = (u32)((s64)old + offsets[i]);
		if (better(trial, before, after))
			return true;
	}
	directive->site.occurrence = old;
	return false;
}

static bool try_hint(struct repro *trial, u32 nth, const struct run_result *before,
		     struct run_result *after)
{
	struct directive *directive = &trial->schedule.directives[nth];
	char old[SITE_TEXT_MAX];

	if (!directive->ordinal)
		return false;
	memcpy(old, directive->site.text, sizeof(old));
	directive->site.text[0] = 0;
	if (better(trial, before, after))
		return true;
	memcpy(directive->site.text, old, sizeof(old));
	return false;
}

/* Until all directives are met, or one is found nowhere. */
static void look_nearby(struct repro *repro, struct run_result *result, struct buf *moves)
{
	static struct repro trial;

	for (u32 round = 0; result->unmet && round < DIRECTIVES_MAX; round++) {
		u32 nth = result->unmet_first;
		struct run_result after;
		struct directive *directive = &trial.schedule.directives[nth];

		trial = *repro;
		if (nth >= repro->schedule.nr_directives || directive->place != AT_SITE)
			return;
		if (!try_expression(&trial, nth, result, &after) &&
		    !try_occurrence(&trial, nth, result, &after) &&
		    !try_hint(&trial, nth, result, &after))
			return;
		name_by_site(directive);
		buf_printf(moves, "  moved  ");
		directive_print(moves, &repro->program, &repro->schedule.directives[nth]);
		buf_printf(moves, "\n  to     ");
		directive_print(moves, &repro->program, directive);
		buf_printf(moves, "\n");
		*repro = trial;
		*result = after;
	}
}

/* The verdict is the expected one but for sites that have moved: says what they are now. */
static void look_at_sites(struct expectation *expected, const struct expectation *actual,
			  struct buf *moves)
{
	if (expectation_met(expected, actual) || !expectation_alike(expected, actual))
		return;
	buf_printf(moves, "  moved  expect ");
	expectation_print(moves, expected);
	buf_printf(moves, "\n  to     expect ");
	expectation_print(moves, actual);
	buf_printf(moves, "\n");
	*expected = *actual;
}

/* --- one file --- */

struct replayed {
	struct run_result result;
	struct expectation expected, actual;
	bool as_expected;
	bool blind; /* clears bits of dirty logs that it never got */
	bool disarmed; /* by --bug: the text's own schedule may not fit any more */
};

static void replay_file(const struct options *options, struct repro *repro,
			struct replayed *replayed, struct buf *moves)
{
	struct run_result *result = &replayed->result;

	replayed->expected = repro->expect;
	replayed->blind = program_clears_blindly(&repro->program);
	replayed->disarmed = options->has_bug && options->bug == BUG_none && repro->bug;
	if (replayed->disarmed)
		replayed->expected = (struct expectation){ .oracle = "none" };
	if (options->has_bug)
		repro->bug = options->bug;
	replay_once(repro, result, true);
	if (result->unmet && options->nearby && !replayed->disarmed)
		look_nearby(repro, result, moves);
	result_expectation(&replayed->actual, result);
	if (options->nearby && !result->unmet)
		look_at_sites(&replayed->expected, &replayed->actual, moves);
	replayed->as_expected = expectation_met(&replayed->expected, &replayed->actual) &&
				(!result->unmet || replayed->disarmed);
}

static void print_json(const char *path, const struct replayed *replayed)
{
	cJSON *object = cJSON_CreateObject();

	json_text(object, "file", path);
	json_verdict(object, "verdict", &replayed->actual);
	json_verdict(object, "expected", &replayed->expected);
	json_hash(object, "hash", replayed->result.hash);
	json_sites(object, "sites", &replayed->actual);
	json_sites(object, "expected_sites", &replayed->expected);
	if (replayed->result.unmet && !replayed->disarmed)
		json_text(object, "diverged", replayed->result.divergence);
	json_end(object);
}

static void print_text(const char *path, const struct replayed *replayed, const struct buf *moves)
{
	const struct run_result *result = &replayed->result;
	struct buf buf = { 0 };

	expectation_print(&buf, &replayed->actual);
	printf("%s: %s\n", path, buf_text(&buf));
	if (!replayed->as_expected) {
		buf_clear(&buf);
		expectation_print(&buf, &replayed->expected);
		printf("  expected %s\n", buf_text(&buf));
	}
	printf("%s", buf_text(moves));
	if (result->unmet && !replayed->disarmed)
		printf("  diverged: %s\n", result->divergence);
	if (result->kind == VERDICT_VIOLATION)
		printf("  %s\n", result->verdict.detail);
	if (result->died[0])
		printf("  %s\n", result->died);
	if (replayed->blind)
		printf("  %s\n", BLIND_NOTE);
	printf("  hash 0x%016llx, %llu points, %llu switches\n", (unsigned long long)result->hash,
	       (unsigned long long)result->points, (unsigned long long)result->switches);
	buf_free(&buf);
}

/* Return: the exit code for this file. */
static int replay_path(const struct options *options, const char *path)
{
	static struct repro repro;
	static struct replayed replayed;
	struct buf moves = { 0 }, trace = { 0 };

	if (!repro_load(&repro, path))
		return EXIT_USAGE;
	replay_file(options, &repro, &replayed, &moves);
	if (options->trace) {
		recording_print(&trace, recording);
		fputs(buf_text(&trace), options->json ? stderr : stdout);
	}
	if (options->json)
		print_json(path, &replayed);
	else
		print_text(path, &replayed, &moves);
	buf_free(&moves);
	buf_free(&trace);
	if (replayed.result.kind == VERDICT_FRAMEWORK)
		return EXIT_FRAMEWORK;
	return replayed.as_expected ? EXIT_EXPECTED : EXIT_DIFFERENT;
}

int verb_replay(int argc, char **argv)
{
	static struct options options;
	static char *paths[FILES_MAX];
	int worst = EXIT_EXPECTED;
	u32 nr = 0;

	options_parse(&options, argc, argv);
	for (u32 i = 0; i < options.nr_arguments; i++)
		if (!repro_paths(paths, &nr, FILES_MAX, options.arguments[i]))
			return EXIT_USAGE;
	recording = recording_alloc();
	handle_interrupts();
	for (u32 i = 0; i < nr; i++) {
		int code = replay_path(&options, paths[i]);

		/* Bad input first, then bugs of the framework, then verdicts. */
		if (code && (worst != EXIT_USAGE) &&
		    (code == EXIT_USAGE || worst != EXIT_FRAMEWORK))
			worst = code;
		free(paths[i]);
		if (campaign_interrupted())
			return EXIT_UNFINISHED;
	}
	return worst;
}
