/* mmurace run and search: search one target, or one program. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz/cli/cli.h"

#define SCHEDULES_DEFAULT 100000
/* Without a terminal, a line of progress in so many seconds. */
#define PLAIN_PROGRESS_SECONDS 10.0

struct watcher {
	const struct campaign *campaign;
	const struct options *options;
	u32 saved; /* findings written so far, as they were found */
	double next_line;
	bool save_failed;
};

static void print_progress(const struct campaign_state *state, const char *end)
{
	double rate = state->elapsed > 0 ? (double)state->done / state->elapsed : 0;

	fprintf(stderr, "%llu schedules, %.0f/s, %llu violations in %u kinds, %llu sites, %.1f s%s",
		(unsigned long long)state->done, rate, (unsigned long long)state->violations,
		state->nr_findings, (unsigned long long)state->sites_seen, state->elapsed, end);
}

/* As soon as something is found it is on disk, in whatever shape. */
static void save_raw(struct watcher *watcher, const struct campaign_state *state)
{
	static struct repro repro;
	struct buf path = { 0 };

	for (; watcher->saved < state->nr_findings; watcher->saved++) {
		if (!watcher->options->save)
			continue;
		campaign_repro_raw(watcher->campaign, &state->findings[watcher->saved], &repro);
		if (!finding_save(&repro, watcher->options->save, &path))
			watcher->save_failed = true;
	}
	buf_free(&path);
}

static void tick(const struct campaign_state *state, void *ctx)
{
	struct watcher *watcher = ctx;

	save_raw(watcher, state);
	if (isatty(STDERR_FILENO)) {
		fprintf(stderr, "\r\033[K");
		print_progress(state, "");
	} else if (state->elapsed >= watcher->next_line) {
		watcher->next_line = state->elapsed + PLAIN_PROGRESS_SECONDS;
		if (state->elapsed > 1)
			print_progress(state, "\n");
	}
}

/* Converts and minimises what was saved raw. */
static void save_small(struct watcher *watcher, const struct campaign_state *state)
{
	static struct repro repro;
	struct minimise_stats stats;
	struct buf path = { 0 };

	for (u32 i = 0; i < state->nr_findings; i++) {
		struct buf message = { 0 };

		if (!campaign_repro(watcher->campaign, &state->findings[i], &repro))
			fprintf(stderr,
				"finding %u keeps its strategy and seed: its directives do "
				"not lead to the same verdict\n",
				i + 1);
		if (!minimise(&repro, &stats, &message))
			fprintf(stderr, "finding %u is not minimised: %s\n", i + 1,
				buf_text(&message));
		if (!finding_save(&repro, watcher->options->save, &path))
			watcher->save_failed = true;
		else if (!watcher->options->json)
			printf("  saved %s (%u ops, %u directives)\n", buf_text(&path),
			       program_nr_ops(&repro.program), schedule_depth(&repro.schedule));
		buf_free(&message);
	}
	buf_free(&path);
}

static const struct finding *first_finding(const struct campaign_state *state)
{
	const struct finding *first = NULL;

	for (u32 i = 0; i < state->nr_findings; i++)
		if (!first || state->findings[i].schedule < first->schedule)
			first = &state->findings[i];
	return first;
}

/* Of the program that the schedule belongs to. */
static bool clears_blindly(const struct campaign *campaign, u64 nr)
{
	static struct program program;
	struct run_spec spec;

	campaign_spec(campaign, nr, &program, &spec);
	return program_clears_blindly(&program);
}

static u64 seed_of_schedule(const struct campaign *campaign, u64 nr)
{
	static struct program program;
	struct run_spec spec;

	campaign_spec(campaign, nr, &program, &spec);
	return spec.seed;
}

static u64 sum_ops(const u64 counts[OP_COUNT])
{
	u64 nr = 0;

	for (u32 i = 0; i < OP_COUNT; i++)
		nr += counts[i];
	return nr;
}

static void print_json(const struct campaign *campaign, const struct campaign_state *state)
{
	const struct finding *first = first_finding(state);
	cJSON *object = cJSON_CreateObject(), *verdicts = cJSON_CreateObject();
	u64 other = state->violations + state->unfinished + state->deaths;

	json_text(object, "target", campaign->target->name);
	json_text(object, "bug", bug_rows[campaign->bug].slug);
	json_number(object, "schedules", (double)state->done);
	json_number(object, "seconds", state->elapsed);
	json_number(verdicts, "none", (double)(state->done - min_u64(other, state->done)));
	for (u32 i = 0; i < state->nr_findings; i++) {
		const struct expectation *expect = &state->findings[i].expect;
		struct buf key = { 0 };
		cJSON *old;

		buf_printf(&key, "%s%s%s", expect->oracle, expect->class[0] ? " " : "",
			   expect->class);
		old = cJSON_GetObjectItemCaseSensitive(verdicts, buf_text(&key));
		if (old)
			cJSON_SetNumberValue(old,
					     old->valuedouble + (double)state->findings[i].count);
		else
			json_number(verdicts, buf_text(&key), (double)state->findings[i].count);
		buf_free(&key);
	}
	if (state->unfinished)
		json_number(verdicts, "unfinished", (double)state->unfinished);
	cJSON_AddItemToObject(object, "verdicts", verdicts);
	if (first) {
		cJSON *item = cJSON_AddObjectToObject(object, "first");
		json_number(item, "schedule", (double)first->schedule + 1);
		json_u64(item, "seed", seed_of_schedule(campaign, first->schedule));
		json_verdict(item, "verdict", &first->expect);
	} else {
		cJSON_AddNullToObject(object, "first");
	}
	json_u64(object, "seed", campaign->seed);
	json_number(object, "ops_skipped", (double)sum_ops(state->ops.skipped));
	json_number(object, "ops_ring_full", (double)sum_ops(state->ops.ring_full));
	json_end(object);
}

static void print_text(const struct campaign *campaign, const struct campaign_state *state)
{
	printf("%s, bug %s, seed %llu: %llu schedules in %.2f s (%.0f/s), %llu sites seen\n",
	       campaign->target->name, bug_rows[campaign->bug].slug,
	       (unsigned long long)campaign->seed, (unsigned long long)state->done, state->elapsed,
	       state->elapsed > 0 ? (double)state->done / state->elapsed : 0,
	       (unsigned long long)state->sites_seen);
	if (state->unfinished)
		printf("  %llu schedules were unfinished\n", (unsigned long long)state->unfinished);
	if (sum_ops(state->ops.skipped))
		printf("  %llu ops were skipped: process or VM had gone\n",
		       (unsigned long long)sum_ops(state->ops.skipped));
	if (sum_ops(state->ops.ring_full))
		printf("  %llu ops were ended by a full dirty ring\n",
		       (unsigned long long)sum_ops(state->ops.ring_full));
	for (u32 i = 0; i < state->nr_findings; i++) {
		const struct finding *finding = &state->findings[i];
		struct buf buf = { 0 };

		expectation_print(&buf, &finding->expect);
		printf("  %s\n    %llu times, first in schedule %llu\n", buf_text(&buf),
		       (unsigned long long)finding->count,
		       (unsigned long long)finding->schedule + 1);
		if (finding->result.kind == VERDICT_VIOLATION)
			printf("    %s\n    %s\n", finding->result.verdict.sentence,
			       finding->result.verdict.detail);
		else
			printf("    %s\n", finding->result.died);
		if (clears_blindly(campaign, finding->schedule))
			printf("    %s\n", BLIND_NOTE);
		buf_free(&buf);
	}
	if (!state->nr_findings)
		printf(campaign->program ? "  no violation in any schedule of this program\n"
					 : "  no violation\n");
	if (campaign_interrupted())
		printf("  interrupted\n");
}

static int exit_code(const struct campaign_state *state, const struct watcher *watcher)
{
	const struct finding *first = first_finding(state);

	if (state->disagreed) {
		fprintf(stderr, "mmurace: %s", state->disagreement);
		return EXIT_FRAMEWORK;
	}
	if (campaign_interrupted())
		return EXIT_UNFINISHED;
	if (first)
		return result_exit_code(&first->result);
	return watcher->save_failed ? EXIT_USAGE : EXIT_EXPECTED;
}

/* Context: the last thing that a verb does. Return: its exit code. */
static int search(struct campaign *campaign, const struct options *options)
{
	struct campaign_state *state = campaign_state_alloc();
	struct watcher watcher = { .campaign = campaign, .options = options };

	if (!campaign->schedules && !(campaign->seconds > 0))
		campaign->schedules = SCHEDULES_DEFAULT;
	if (options->save)
		folder_probe(options->save);
	handle_interrupts();
	campaign_run(campaign, state, tick, &watcher);
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K");
	if (options->json)
		print_json(campaign, state);
	else
		print_text(campaign, state);
	fflush(stdout);
	if (options->save && !campaign_interrupted())
		save_small(&watcher, state);
	return exit_code(state, &watcher);
}

int verb_run(int argc, char **argv)
{
	static struct options options;
	struct campaign campaign;

	options_parse(&options, argc, argv);
	campaign = (struct campaign){
		.target = target_or_exit(options.arguments[0]),
		.variant = options.variant,
		.strategy = options.strategy,
		.seed = options.seed,
		.schedules = options.schedules,
		.seconds = options.seconds,
		.stop_on_first = options.stop_on_first,
		.forbidden = options.forbidden,
		.check = options.check,
	};
	campaign.bug = options.has_bug ? options.bug : campaign.target->bug;
	return search(&campaign, &options);
}

/* What a text says of its schedule does not count: only its program does, and what is armed. */
int verb_search(int argc, char **argv)
{
	static struct options options;
	static struct repro repro;
	static struct target target;
	struct campaign campaign;

	options_parse(&options, argc, argv);
	if (!repro_load(&repro, options.arguments[0]))
		return EXIT_USAGE;
	/* Of the target only the name is needed: it may be one that is no more. */
	target.name = repro.target;
	campaign = (struct campaign){
		.target = &target,
		.program = &repro.program,
		.variant = repro.program.world.variant,
		.bug = options.has_bug ? options.bug : repro.bug,
		.strategy = options.strategy,
		.seed = options.seed,
		.schedules = options.schedules,
		.seconds = options.seconds,
		.stop_on_first = true,
		.forbidden = repro.forbidden | options.forbidden,
	};
	return search(&campaign, &options);
}
