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
	cJSON_AddBoolToObject(object, "guided", bug_guided(row->bug));
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

#define ARMED	 "only with a bug armed"
#define NO_POINT "says where a section began, and is no point"

/* What a run without bugs cannot reach yet, and why. */
static const struct absent {
	const char *kind, *name, *why;
} absent[] = {
	{ "gave_up", "unset_range", "begin and the first range share one lock section" },
	{ "probe", "nx_listed_without_recheck",
	  "rare: a fault, and a shared zap, two points apart" },
	{ "site", "step_down:assist(ptep)", "entries are made with A set, nobody clears it" },
	{ "site", "freeze_shared:await_change(sptep)", "no two tasks take one table away" },
	{ "site", "kvm_mmu_notifier_invalidate_range_start:mutex_lock(&kvm->slots_lock)", ARMED },
	{ "site", "kvm_mmu_notifier_invalidate_range_start:mutex_unlock(&kvm->slots_lock)", ARMED },
	{ "site", "handle_slot:write_unlock(&kvm->mmu_lock)", ARMED },
	{ "site", "kvm_vcpu_pre_fault_memory:mutex_lock(&vcpu->kvm->slots_lock)", ARMED },
	{ "site", "kvm_vcpu_pre_fault_memory:mutex_unlock(&vcpu->kvm->slots_lock)", ARMED },
	{ "site", "kvm_tdp_mmu_page_fault:kern_may_alloc()", ARMED },
	{ "site", "kvm_mmu_unload:spin_lock(&kvm->tdp_mmu_pages_lock)", ARMED },
	{ "site", "kvm_mmu_unload:spin_unlock(&kvm->tdp_mmu_pages_lock)", ARMED },
	{ "site", "tdp_mmu_set_spte_atomic:WRITE_ONCE(*iter->sptep)", ARMED },
	{ "site", "add_table:WRITE_ONCE(sp->nx_huge_page_disallowed)", ARMED },
	{ "site", "kvm_age_gfn:write_lock(&kvm->mmu_lock)", ARMED },
	{ "site", "kvm_age_gfn:write_unlock(&kvm->mmu_lock)", ARMED },
	{ "site", "age_spte:WRITE_ONCE(*iter->sptep)", ARMED },
	{ "site", "kvm_gpc_write:cond_resched()", ARMED },
	{ "site", "host_notify_start:lock_section_enter(LOCK_mn_active)", NO_POINT },
	{ "site", "host_reclaim:lock_section_enter(LOCK_fs_reclaim)", NO_POINT },
	{ "site", "host_shrink:lock_section_enter(LOCK_fs_reclaim)", NO_POINT },
	{ "site", "host_look_around:lock_section_enter(LOCK_fs_reclaim)", NO_POINT },
	{ "site", "program_pass_points:READ_ONCE(words[i%8])", "the benchmark's own" },
};

static const char *why_absent(const char *kind, const char *name)
{
	for (u32 i = 0; i < ARRAY_SIZE(absent); i++)
		if (!strcmp(absent[i].kind, kind) && !strcmp(absent[i].name, name))
			return absent[i].why;
	return NULL;
}

/* Return: 1 when it was reached too seldom, 0 when often enough or when its mechanism is absent. */
static u32 print_reached(const struct options *options, const char *kind, const char *name,
			 u64 count)
{
	const char *why = why_absent(kind, name);
	bool enough = count >= REACHABILITY_LEAST;
	cJSON *object;

	if (!options->json) {
		printf("%-12s %-32s %llu%s%s\n", kind, name, (unsigned long long)count,
		       why	? "  absent: "
		       : enough ? ""
				: "  <--",
		       why ? why : "");
		return !enough && !why;
	}
	object = cJSON_CreateObject();
	json_text(object, "kind", kind);
	json_text(object, "name", name);
	json_number(object, "count", (double)count);
	if (why)
		json_text(object, "absent", why);
	json_end(object);
	return !enough && !why;
}

/* Events that a run without bugs never has. */
static bool only_with_bugs(u32 id)
{
	switch (id) {
	case EVENT_warned:
	case EVENT_dead_access:
	case EVENT_slept_in_atomic:
	case EVENT_slept_in_nonblock:
	case EVENT_task_stuck:
	case EVENT_deadlocked:
	case EVENT_op_left_holding:
	case EVENT_rcuwait_taken:
	case EVENT_yield_overdue:
		return true;
	default:
		return false;
	}
}

static const char *const retry_reason_names[RETRY_REASON_COUNT] = {
	[RETRY_BEFORE_GUP] = "before_gup",
	[RETRY_AFTER_GUP] = "after_gup",
	[RETRY_LOCKED] = "locked",
	[RETRY_UNSET_RANGE] = "unset_range",
	[RETRY_OBSOLETE_ROOT] = "obsolete_root",
	[RETRY_FROZEN] = "frozen",
	[RETRY_LOST_TABLE] = "lost_table",
	[RETRY_LOST_LEAF] = "lost_leaf",
	[RETRY_SLOT_INVALID] = "slot_invalid",
	[RETRY_NO_TABLE] = "no_table",
	[RETRY_MMIO_GONE] = "mmio_gone",
};

/* Ops that did their work, and those that found the process or the VM gone. */
static u32 print_ops(const struct options *options, const struct campaign_state *state)
{
	u32 missing = 0;

	for (u32 i = 0; i < OP_COUNT; i++)
		missing += print_reached(options, "op", op_rows[i].name, state->ops.done[i]);
	for (u32 i = 0; i < OP_COUNT; i++)
		if (op_rows[i].needs)
			missing += print_reached(options, "skipped", op_rows[i].name,
						 state->ops.skipped[i]);
	return missing;
}

static u32 print_counters(const struct options *options, const struct campaign_state *state)
{
	const struct census *census = &state->census;
	u32 missing = 0;

	for (u32 i = 1; i < BUG_COUNT; i++)
		missing += print_reached(options, "probe", bug_rows[i].slug, census->probes[i]);
	for (u32 i = 0; i < RETRY_CLASS_none; i++)
		missing += print_reached(options, "retry", retry_class_names[i],
					 state->stats.retries[i]);
	for (u32 i = 0; i < RETRY_REASON_COUNT; i++)
		missing += print_reached(options, "gave_up", retry_reason_names[i],
					 census->retries[i]);
	for (u32 i = 0; i < EVENT_COUNT; i++)
		if (!only_with_bugs(i))
			missing += print_reached(options, "event", event_rows[i].name,
						 census->events[i]);
	missing += print_ops(options, state);
	return missing + print_reached(options, "flush", "stale_then_flushed",
				       state->stats.stale_then_flushed);
}

static void print_unseen_site(const char *text)
{
	const char *why = why_absent("site", text);

	printf("%-12s %s was not seen in the sample%s%s\n", "site", text, why ? "; absent: " : "",
	       why ? why : "");
}

static void print_unseen_sites(const struct options *options, const struct campaign_state *state)
{
	for (u32 i = 0; i < sites_count() && i < sizeof(state->site_seen); i++)
		if (site_number(site_nth(i)) == i && !state->site_seen[i] && !options->json)
			print_unseen_site(site_text(site_nth(i)));
}

static void add_counts(u64 *to, const u64 *from, u32 nr)
{
	for (u32 i = 0; i < nr; i++)
		to[i] += from[i];
}

/* What one target reaches need not be reached by another: counters are judged together. */
static void add_state(struct campaign_state *total, const struct campaign_state *state)
{
	add_counts(total->census.probes, state->census.probes, BUG_COUNT);
	add_counts(total->census.events, state->census.events, EVENT_COUNT);
	add_counts(total->census.retries, state->census.retries, RETRY_REASON_COUNT);
	add_counts(total->stats.retries, state->stats.retries, RETRY_CLASS_COUNT);
	add_counts(total->ops.done, state->ops.done, OP_COUNT);
	add_counts(total->ops.skipped, state->ops.skipped, OP_COUNT);
	total->stats.stale_then_flushed += state->stats.stale_then_flushed;
	for (u32 i = 0; i < sizeof(total->site_seen); i++)
		total->site_seen[i] |= state->site_seen[i];
}

static void census_target(const struct options *options, const struct target *target,
			  struct campaign_state *total)
{
	struct campaign_state *state = campaign_state_alloc();
	struct campaign campaign = {
		.target = target,
		.variant = options->variant,
		.seed = options->seed,
		.census = true,
		.schedules = options->schedules ? options->schedules : REACHABILITY_SCHEDULES,
	};

	campaign_run(&campaign, state, NULL, NULL);
	if (!options->json)
		printf("%s, %llu schedules, %llu violations\n", target->name,
		       (unsigned long long)state->done, (unsigned long long)state->violations);
	fflush(stdout);
	add_state(total, state);
}

static int reachability(const struct options *options)
{
	struct campaign_state *total = campaign_state_alloc();
	u32 missing;

	for (u32 i = 0; i < targets_count() && !campaign_interrupted(); i++) {
		const struct target *target = target_nth(i);

		if (options->target ? options->target == target : !target->bug)
			census_target(options, target, total);
	}
	missing = print_counters(options, total);
	print_unseen_sites(options, total);
	if (!options->json)
		printf("%u counters below %u\n", missing, REACHABILITY_LEAST);
	if (campaign_interrupted())
		return EXIT_UNFINISHED;
	return missing ? EXIT_DIFFERENT : EXIT_EXPECTED;
}

int verb_matrix(int argc, char **argv)
{
	static struct options options;

	options_parse(&options, argc, argv);
	if (options.has_bug && !options.bug)
		usage_error("matrix: --bug: expected a bug of the catalogue, found 'none'");
	handle_interrupts();
	return options.reachability ? reachability(&options) : matrix(&options);
}
