/* Reports become signatures: kind and pair of functions, whoever was first; and children that die tell by what. */
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

#include "base/assert.h"
#include "fuzz/fuzz.h"

/* What a report of each sanitizer looks like, shortened. */
static const char race[] = "==================\n"
			   "WARNING: ThreadSanitizer: data race (pid=7)\n"
			   "  Write of size 8 at 0x7b0400000000 by thread T2:\n"
			   "    #0 memset <null> (mmurace+0x1)\n"
			   "    #1 kern_free src/kern/shared/memory.c:3:5 (mmurace+0x2)\n"
			   "    #2 zap_last src/mmu/zap.c:10:2 (mmurace+0x3)\n"
			   "    #3 zap_first src/mmu/zap.c:20:2 (mmurace+0x3)\n"
			   "\n"
			   "  Previous read of size 8 at 0x7b0400000000 by thread T1:\n"
			   "    #0 fault_reads src/mmu/map.c:10:2 (mmurace+0x4)\n"
			   "    #1 task_body src/workload/execute.c:9:1 (mmurace+0x5)\n"
			   "\n";
static const char race_other_way[] = "WARNING: ThreadSanitizer: data race (pid=8)\n"
				     "  Read of size 8 at 0x7b0400000008 by thread T1:\n"
				     "    #0 fault_reads src/mmu/map.c:11:2 (mmurace+0x4)\n"
				     "\n"
				     "  Previous write of size 8 at 0x7b0400000008 by thread T2:\n"
				     "    #0 zap_last src/mmu/zap.c:10:2 (mmurace+0x3)\n";
static const char use[] =
	"==9==ERROR: AddressSanitizer: use-after-poison on address 0x1 at pc 0x2\n"
	"READ of size 8 at 0x1 thread T3\n"
	"    #0 0x5555 in step_down src/mmu/tdp_iter.c:44:2\n"
	"    #1 0x5556 in zap src/mmu/zap.c:44:2\n"
	"Thread T3 created by T0 here:\n"
	"    #0 0x5557 in program_execute src/workload/execute.c:1:2\n";

/* One of the stacks is lost, as happens when much was done in between. What made the lock has no part in the race. */
static const char unrestored[] =
	"WARNING: ThreadSanitizer: data race (pid=8)\n"
	"  Read of size 8 at 0x7b0400000008 by thread T1:\n"
	"    #0 fault_reads src/mmu/map.c:11:2 (mmurace+0x4)\n"
	"\n"
	"  Previous write of size 8 at 0x7b0400000008 by thread T2:\n"
	"    [failed to restore the stack]\n"
	"\n"
	"  Location is global 'memory_arena' of size 2228224 at 0x1\n"
	"\n"
	"  Mutex M1 (0x000001) created at:\n"
	"    #0 kvm_create src/mmu/vm.c:5:2 (mmurace+0x6)\n"
	"\n"
	"  Thread T1 (tid=2, running) created by main thread at:\n"
	"    #0 program_execute src/workload/execute.c:1:2 (mmurace+0x6)\n";
/* Of locks taken in two orders (the helper gives it the other's name) the stacks begin with the lock. */
static const char inversion[] = "WARNING: ThreadSanitizer: data race (pid=8)\n"
				"  Mutex M2 acquired here while holding mutex M1 in thread T1:\n"
				"    #0 shrink src/host/age.c:11:2 (mmurace+0x4)\n"
				"\n"
				"  Mutex M1 acquired here while holding mutex M2 in thread T2:\n"
				"    #0 grow src/host/gup.c:10:2 (mmurace+0x3)\n";

static void expect_sites(const char *report, const char *first, const char *second)
{
	char sites[2][SITE_TEXT_MAX];

	report_sites(report, sites);
	assert_string_equal(sites[0], first);
	assert_string_equal(sites[1], second);
}

static void reports_are_named_by_their_frames(void **state)
{
	expect_sites(race, "fault_reads", "zap_last");
	expect_sites(race_other_way, "fault_reads", "zap_last");
	expect_sites(use, "step_down", "");
	expect_sites(unrestored, "fault_reads", "");
	expect_sites(inversion, "grow", "shrink");
	/* Without a symbolizer there is still the kind. */
	expect_sites("WARNING: ThreadSanitizer: data race\n    #0 <null> <null> (x+0x1)\n", "", "");
	expect_sites("", "", "");
}

static void expect_signature(const struct expectation *expect, enum bug_id bug, const char *text)
{
	struct buf buf = { 0 };

	signature_print(&buf, expect, bug);
	assert_string_equal(buf_text(&buf), text);
	buf_free(&buf);
}

static void signatures_tell_bugs_apart(void **state)
{
	struct expectation expect = { .oracle = "stale_mapping", .class = "SM4" };

	expect_signature(&expect, BUG_none, "stale_mapping SM4");
	expect_signature(&expect, BUG_hull_not_widened, "stale_mapping SM4 bug hull_not_widened");
	snprintf(expect.site[1], sizeof(expect.site[1]), "b:c");
	expect_signature(&expect, BUG_none, "stale_mapping SM4 - / b:c");
	snprintf(expect.site[0], sizeof(expect.site[0]), "a:b");
	expect_signature(&expect, BUG_none, "stale_mapping SM4 a:b / b:c");
}

/* --- what a child says when it dies --- */

static const char *said;

static void say_and_exit(void *ctx)
{
	fputs(said, stderr);
	fflush(stderr);
	_exit(EXIT_SANITIZER);
}

static void break_assertion(void *ctx)
{
	ASSERT(said == race + 1);
}

static void raise_signal(void *ctx)
{
	signal(SIGUSR1, SIG_DFL);
	raise(SIGUSR1);
}

static void death_of(void (*work)(void *ctx), struct expectation *expect)
{
	struct child child = child_start(work, NULL);
	struct death death;

	assert_true(child_ended(&child, true, &death));
	assert_true(death.died);
	death_expectation(expect, &death);
	buf_free(&death.report);
}

static void children_say_of_what_they_died(void **state)
{
	struct expectation expect;

	said = race;
	death_of(say_and_exit, &expect);
	expect_signature(&expect, BUG_none, "sanitizer data-race fault_reads / zap_last");
	/* Somebody else was handed the memory before the report. */
	said = "==1==ERROR: AddressSanitizer: unknown-crash on address 0x1\n"
	       "    #0 0x55 in step_down src/mmu/map.c:44:2\n";
	death_of(say_and_exit, &expect);
	expect_signature(&expect, BUG_none, "sanitizer use-after-poison step_down");
	death_of(raise_signal, &expect);
	expect_signature(&expect, BUG_none, "sanitizer signal-10");
	/* Two assertions are two findings, wherever their lines move. */
	death_of(break_assertion, &expect);
	expect_signature(&expect, BUG_none, "framework assert fuzz/signature_test.c:said==race+1");
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(reports_are_named_by_their_frames),
	cmocka_unit_test(signatures_tell_bugs_apart),
	cmocka_unit_test(children_say_of_what_they_died),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
