/* mmurace matrix: one line for each bug, and what a run without bugs reaches. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz/cli/cli.h"

#define REACHABILITY_SCHEDULES 2000000
#define REACHABILITY_LEAST     100

static void print_row(const struct matrix_row *row, bool json)
{
	const struct bug_row *bug = &bug_rows[row->bug];
	cJSON *object;

	if (!json) {
		printf("%-32s %-14s reached %-9llu triggered %-9llu detected %u/%-3u first %-8llu "
		       "depth %u  repro %s  disarmed %s%s\n",
		       bug->slug, bug->oracle, (unsigned long long)row->reached,
		       (unsigned long long)row->triggered, row->detected, row->seeds,
		       (unsigned long long)row->schedules_to_first, row->depth,
		       row->has_repro ? row->repro_ok ? "ok" : "FAILS" : "MISSING",
		       row->has_repro ? row->silent_disarmed ? "silent" : "NOT SILENT" : "-",
		       matrix_row_ok(row) ? "" : "  <--");
		fflush(stdout);
		return;
	}
	object = cJSON_CreateObject();
	json_text(object, "bug", bug->slug);
	json_text(object, "oracle", bug->oracle);
	json_number(object, "reached", (double)row->reached);
	json_number(object, "triggered", (double)row->triggered);
	cJSON_AddBoolToObject(object, "detected", row->seeds && row->detected == row->seeds);
	json_number(object, "schedules_to_first", (double)row->schedules_to_first);
	json_number(object, "depth", row->depth);
	cJSON_AddBoolToObject(object, "repro_ok", row->repro_ok);
	cJSON_AddBoolToObject(object, "silent_disarmed", row->silent_disarmed);
	json_end(object);
}

static bool load_catalogue_repro(struct repro *repro, const char *folder, enum bug_id bug)
{
	struct buf path = { 0 };
	bool ok;

	if (!folder)
		return false;
	buf_printf(&path, "%s/%s.repro", folder, bug_rows[bug].slug);
	ok = !access(buf_text(&path), R_OK) && repro_load(repro, buf_text(&path));
	buf_free(&path);
	return ok;
}

static int matrix(const struct options *options)
{
	static struct repro repro;
	const char *folder = reproducers_folder(options->reproducers);
	u32 failed = 0, nr = 0;

	for (u32 id = 1; id < BUG_COUNT; id++) {
		struct matrix_row row;
		bool has_repro;

		if (options->has_bug && options->bug != id)
			continue;
		if (isatty(STDERR_FILENO))
			fprintf(stderr, "\r\033[K%s (%u of %u)", bug_rows[id].slug, id,
				BUG_COUNT - 1);
		has_repro = load_catalogue_repro(&repro, folder, (enum bug_id)id);
		matrix_row_fill(&row, (enum bug_id)id, options->budget, (u32)options->seeds,
				has_repro ? &repro : NULL);
		if (isatty(STDERR_FILENO))
			fprintf(stderr, "\r\033[K");
		if (campaign_interrupted())
			break;
		print_row(&row, options->json);
		nr++;
		failed += !matrix_row_ok(&row);
	}
	if (!options->json)
		printf("%u bugs, %u not as they should be%s\n", nr, failed,
		       campaign_interrupted() ? "; interrupted" : "");
	if (campaign_interrupted())
		return EXIT_UNFINISHED;
	return failed ? EXIT_DIFFERENT : EXIT_EXPECTED;
}

/* Return: whether it was reached often enough. */
static bool print_reached(const struct options *options, const char *kind, const char *name,
			  u64 count)
{
	bool enough = count >= REACHABILITY_LEAST;
	cJSON *object;

	if (!options->json) {
		printf("%-12s %-28s %llu%s\n", kind, name, (unsigned long long)count,
		       enough ? "" : "  <--");
		return enough;
	}
	object = cJSON_CreateObject();
	json_text(object, "kind", kind);
	json_text(object, "name", name);
	json_number(object, "count", (double)count);
	json_end(object);
	return enough;
}

/* Events that a run without bugs never has. */
static bool only_with_bugs(u32 id)
{
	return id == EVENT_warned || id == EVENT_dead_access || id == EVENT_slept_in_atomic ||
	       id == EVENT_task_stuck || id == EVENT_deadlocked;
}

static u32 print_counters(const struct options *options, const struct oracle_stats *stats)
{
	u32 missing = 0;

	for (u32 i = 0; i < RETRY_CLASS_none; i++)
		missing +=
			!print_reached(options, "retry", retry_class_names[i], stats->retries[i]);
	for (u32 i = 0; i < EVENT_COUNT; i++)
		if (!only_with_bugs(i))
			missing += !print_reached(options, "event", event_rows[i].name,
						  stats->events[i]);
	missing +=
		!print_reached(options, "flush", "stale_then_flushed", stats->stale_then_flushed);
	return missing;
}

static void print_unseen_sites(const struct options *options, const struct campaign_state *state)
{
	for (u32 i = 0; i < sites_count() && i < sizeof(state->site_seen); i++)
		if (site_number(site_nth(i)) == i && !state->site_seen[i] && !options->json)
			printf("%-12s %s was not seen in the sample\n", "site",
			       site_text(site_nth(i)));
}

static int reachability(const struct options *options)
{
	struct campaign_state *state = campaign_state_alloc();
	u32 missing = 0;

	for (u32 i = 0; i < targets_count() && !campaign_interrupted(); i++) {
		struct campaign campaign = {
			.target = options->target ? options->target : target_nth(i),
			.variant = options->variant,
			.seed = options->seed,
			.schedules =
				options->schedules ? options->schedules : REACHABILITY_SCHEDULES,
		};

		if (campaign.target->bug)
			continue;
		campaign_run(&campaign, state, NULL, NULL);
		if (!options->json)
			printf("%s, %llu schedules:\n", campaign.target->name,
			       (unsigned long long)state->done);
		missing += print_counters(options, &state->stats);
		print_unseen_sites(options, state);
		if (options->target)
			break;
	}
	if (!options->json)
		printf("%u counters below %u\n", missing, REACHABILITY_LEAST);
	return campaign_interrupted() ? EXIT_UNFINISHED : EXIT_EXPECTED;
}

int verb_matrix(int argc, char **argv)
{
	static const int keys[] = { OPT_BUG,	   OPT_BUDGET, OPT_SEEDS,  OPT_REACHABILITY,
				    OPT_SCHEDULES, OPT_SEED,   OPT_TARGET, OPT_REPRODUCERS,
				    OPT_CONFIG,	   OPT_JSON,   0 };
	static struct options options;

	options_parse(&options, argc, argv, keys, "",
		      "Proves that search finds every bug of the catalogue.", 0, 0);
	if (options.has_bug && !options.bug)
		usage_error("matrix: --bug: expected a bug of the catalogue, found 'none'");
	handle_interrupts();
	return options.reachability ? reachability(&options) : matrix(&options);
}
