/*
 * Drawn programs on threads that run freely: each comes to its end, nothing warns, and the sanitizer of the row has
 * nothing to say.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bug.h"
#include "kern/kern.h"
#include "kern/thread/thread_kern.h"
#include "workload/workload.h"

/* Of each target. */
#define PROGRAMS (CONFIG_TSAN ? 60u : 200u)

static struct program program;
static u32 inspected;

static void inspect(void)
{
	inspected++;
}

static void expect_no_warnings(const char *target, u64 seed)
{
	struct buf buf = { 0 };

	if (!thread_kern_warnings())
		return;
	thread_kern_print_warnings(&buf);
	thread_kern_clear_warnings();
	fail_msg("%s, seed %llu:\n%s", target, (unsigned long long)seed, buf_text(&buf));
}

static void execute(const char *target, u64 seed)
{
	struct thread_knobs knobs = THREAD_KNOBS_DEFAULT;

	knobs.seed = seed;
	thread_kern_set(&knobs);
	if (program_execute(&program, inspect) != PROGRAM_DONE)
		fail_msg("%s, seed %llu: did not come to its end", target,
			 (unsigned long long)seed);
	expect_no_warnings(target, seed);
}

static void programs_of_every_target_run_on_threads(void **state)
{
	u32 nr = 0;

	thread_kern_clear_warnings();
	for (u32 nth = 0; nth < targets_count(); nth++) {
		const struct target *target = target_nth(nth);

		for (u64 seed = 0; seed < PROGRAMS; seed++) {
			program_generate(&program, target, seed, &variant_default);
			execute(target->name, seed);
			nr++;
		}
	}
	assert_int_equal(inspected, nr);
	assert_true(nr >= 300);
}

/* Each legal value of each knob, the others as they are; a value that does not go with them is left out. */
static void every_variant_runs_on_threads(void **state)
{
	const struct target *target = target_by_name("everything");
	u32 nr = 0, one, other;

	thread_kern_clear_warnings();
	for (u32 knob = 0; knob < KNOB_COUNT; knob++)
		for (u32 nth = 0; nth < variant_nr_legal(knob); nth++) {
			struct mmu_variant variant = variant_default;

			variant.knob[knob] = variant_legal_nth(knob, nth);
			if (variant.knob[knob] == variant_default.knob[knob] ||
			    variant_conflict(&variant, &one, &other))
				continue;
			for (u64 seed = 1000; seed < 1000 + PROGRAMS / 6; seed++) {
				program_generate(&program, target, seed, &variant);
				execute(variant_rows[variant.knob[knob]].value, seed);
			}
			nr++;
		}
	assert_true(nr >= 10);
}

/* Far more tasks than a search has: everything at once, in slots and maps that lie close together. */
static struct target crowded(bool with_ends)
{
	struct target target = {
		.name = "crowd",
		.tasks_min = 24,
		.tasks_max = PROGRAM_TASKS_MAX,
		.ops_min = 4,
		.ops_max = OPS_MAX,
		.vcpus_max = VCPUS_MAX,
		.vms_min = 2,
		.vms_max = 8,
		.as_max = 2,
		.slots_max = 6,
		.pages_min = 2,
		.pages_max = 16,
		.huge_of_8 = 3,
		.logging_of_8 = 4,
		.has_absent = true,
		.has_subscribers = true,
		.knobs_of_8 = 2,
	};

	for (u32 i = 0; i < OP_COUNT; i++)
		target.op_weights[i] = op_rows[i].kind == TASK_VCPU ? 4 : 1;
	if (!with_ends)
		target.op_weights[OP_exit] = target.op_weights[OP_close] = 0;
	return target;
}

static void crowds_run_on_threads(void **state)
{
	u32 most = 0;

	thread_kern_clear_warnings();
	for (u64 seed = 0; seed < PROGRAMS / 4; seed++) {
		const struct target target = crowded(seed % 4 == 0);

		program_generate(&program, &target, seed, &variant_default);
		most = (u32)max_u64(most, program.nr_tasks);
		execute(target.name, seed);
	}
	assert_true(most > 32);
}

/* Does not return. The sanitizer ends the process, or gives it its exit code. */
static void run_with_bug(enum bug_id bug)
{
	if (!freopen("/dev/null", "w", stderr))
		exit(0);
	bug_state.armed = bug;
	for (u64 seed = 0; seed < 400 && !thread_kern_warnings(); seed++) {
		program_generate(&program, target_by_name(bug_rows[bug].target), seed,
				 &variant_default);
		program_execute(&program, NULL);
	}
	exit(0);
}

/* A detector that is told too much, or too little, would be silent about these. */
static void bugs_of_lifetime_are_reported(void **state)
{
	static const enum bug_id bugs[] = { BUG_table_freed_at_once,
					    BUG_swap_without_grace_period };

	if (!CONFIG_TSAN)
		skip();
	for (u32 i = 0; i < ARRAY_SIZE(bugs); i++) {
		pid_t child = fork();
		int status;

		if (!child)
			run_with_bug(bugs[i]);
		assert_int_equal(waitpid(child, &status, 0), child);
		if (!WIFEXITED(status) || !WEXITSTATUS(status))
			fail_msg("%s went unnoticed", bug_rows[bugs[i]].slug);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* First: a process that has had threads is not forked under the race detector. */
		cmocka_unit_test(bugs_of_lifetime_are_reported),
		cmocka_unit_test(programs_of_every_target_run_on_threads),
		cmocka_unit_test(every_variant_runs_on_threads),
		cmocka_unit_test(crowds_run_on_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
