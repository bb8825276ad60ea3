/* Stress: what is drawn and needed, how reports get their names, and that no way to die loses a program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "fuzz/stress/stress.h"

static struct stress stress_of(const char *target, u32 threads)
{
	return (struct stress){ .target = target_by_name(target),
				.variant = variant_default,
				.seed = 1,
				.threads = threads,
				.points_per_yield = 64 };
}

static void programs_are_as_wide_as_asked(void **state)
{
	static struct program program, again;
	static const u32 widths[] = { 1, 2, 8, 33, TASKS_MAX };

	for (u32 i = 0; i < ARRAY_SIZE(widths); i++) {
		struct stress stress = stress_of("everything", widths[i]);
		u32 widest = 0;

		for (u64 nr = 0; nr < 50; nr++) {
			stress_draw(&stress, nr, &program);
			assert_true(program_valid(&program, NULL));
			assert_true(program.nr_tasks <= widths[i]);
			widest = (u32)max_u64(widest, program.nr_tasks);
			stress_draw(&stress, nr, &again);
			assert_memory_equal(&program.world, &again.world, sizeof(again.world));
		}
		assert_int_equal(widest, min_u64(widths[i], PROGRAM_TASKS_MAX));
	}
	/* Without a wish: as the target has them, but 4 at least. */
	for (u64 nr = 0; nr < 50; nr++) {
		struct stress stress = stress_of("fault_vs_invalidate", 0);

		stress_draw(&stress, nr, &program);
		assert_in_range(program.nr_tasks, 4, PROGRAM_TASKS_MAX);
	}
}

static void memory_adds_up(void **state)
{
	struct stress_memory few = stress_memory_of(4), many = stress_memory_of(TASKS_MAX);
	struct buf text = { 0 };

	assert_int_equal(many.needed - few.needed,
			 (TASKS_MAX - 4) * (u64)STRESS_STACK_BYTES * many.factor);
	assert_true(few.needed > few.world);
	stress_memory_print(&text, &many);
	assert_non_null(strstr(buf_text(&text), "64 threads x 512 KiB"));
	assert_true(stress_memory_available() > 1 << 20);
	buf_free(&text);
}

static void deaths_are_named_by_kind_and_sites(void **state)
{
	struct death death = { .died = true, .kind = VERDICT_SANITIZER, .class = "data-race" };
	struct stress_outcome outcome;

	snprintf(death.site[0], sizeof(death.site[0]), "fault_reads");
	stress_outcome_of_death(&outcome, &death);
	assert_string_equal(outcome.signature, "sanitizer data-race fault_reads");
	snprintf(death.site[1], sizeof(death.site[1]), "zap_last");
	stress_outcome_of_death(&outcome, &death);
	assert_string_equal(outcome.signature, "sanitizer data-race fault_reads / zap_last");
	assert_int_equal(stress_exit_code(outcome.kind), EXIT_SANITIZER);
	death.kind = VERDICT_FRAMEWORK;
	stress_outcome_of_death(&outcome, &death);
	assert_int_equal(stress_exit_code(outcome.kind), EXIT_FRAMEWORK);
}

static void hang(void *ctx)
{
	for (;;)
		pause();
}

static void crash(void *ctx)
{
	signal(SIGUSR1, SIG_DFL);
	raise(SIGUSR1);
}

static void children_die_and_hang(void **state)
{
	struct stress_outcome outcome;
	struct death death;

	assert_false(stress_in_child(hang, NULL, 0.2, &death));
	buf_free(&death.report);
	stress_outcome_of_hang(&outcome);
	assert_int_equal(stress_exit_code(outcome.kind), EXIT_NO_PROGRESS);
	assert_true(stress_in_child(crash, NULL, 20, &death));
	assert_true(death.died);
	stress_outcome_of_death(&outcome, &death);
	buf_free(&death.report);
	assert_non_null(strstr(outcome.signature, "signal-10"));
}

static struct stress_report report;
static char folder[] = "/tmp/mmurace_stress_XXXXXX";
static u32 told;

static void count(const struct stress_finding *finding)
{
	told++;
	assert_int_equal(access(finding->path, R_OK), 0);
}

static void stress_for(const char *target, enum bug_id bug, double seconds)
{
	struct stress stress = stress_of(target, 0);

	stress.bug = bug;
	stress.seconds = seconds;
	stress.runs = 10;
	stress.folder = folder;
	stress.tool = "/nowhere";
	told = 0;
	stress_all(&stress, &report, count);
	assert_int_equal(told, report.nr_findings);
}

static void nothing_is_found_without_a_bug(void **state)
{
	stress_for("everything", BUG_none, 3);
	if (report.nr_findings)
		fail_msg("%s: %s", report.findings[0].outcome.signature,
			 report.findings[0].outcome.text);
	assert_true(report.programs > 10);
}

/* The program of a finding is the one that fails again. */
static void findings_are_saved_and_run_again(void **state)
{
	struct repro repro;
	bool found = false;

	stress_for("fault_vs_invalidate", BUG_zap_stops_early, 3);
	for (u32 i = 0; i < report.nr_findings; i++) {
		const struct stress_finding *finding = &report.findings[i];
		struct text_error error;
		struct buf text = { 0 };
		char chunk[4096];
		FILE *file = fopen(finding->path, "r");
		size_t got = fread(chunk, 1, sizeof(chunk), file);

		fclose(file);
		buf_append(&text, chunk, got);
		assert_true(repro_parse(&repro, buf_text(&text), text.size, &error));
		assert_int_equal(repro.bug, BUG_zap_stops_early);
		assert_int_equal(finding->runs, 10);
		found |=
			!strcmp(finding->outcome.signature, "stale_mapping SM1") && finding->failed;
		buf_free(&text);
	}
	assert_true(found);
}

static void sanitizers_report_through_the_parent(void **state)
{
	bool died = false;

	if (!CONFIG_TSAN && !CONFIG_ASAN)
		skip();
	stress_for(CONFIG_TSAN ? "pfncache_vs_invalidate" : "fault_vs_root_zap",
		   CONFIG_TSAN ? BUG_pfncache_used_unlocked : BUG_root_walked_without_reference, 5);
	for (u32 i = 0; i < report.nr_findings; i++)
		died |= report.findings[i].outcome.kind == STRESS_DIED && report.findings[i].seen;
	assert_true(died);
}

static int set_up(void **state)
{
	return mkdtemp(folder) ? 0 : -1;
}

static int take_down(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", folder);
	return system(command);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(programs_are_as_wide_as_asked),
	cmocka_unit_test(memory_adds_up),
	cmocka_unit_test(deaths_are_named_by_kind_and_sites),
	cmocka_unit_test(children_die_and_hang),
	cmocka_unit_test(nothing_is_found_without_a_bug),
	cmocka_unit_test(findings_are_saved_and_run_again),
	cmocka_unit_test(sanitizers_report_through_the_parent),
};

/* See fuzz/sanitizer_options.c: reports are read by the parent. */
extern const char mmurace_reports_by_exit_code[];
const char mmurace_reports_by_exit_code[] = "yes";

int main(void)
{
	return cmocka_run_group_tests(tests, set_up, take_down);
}
