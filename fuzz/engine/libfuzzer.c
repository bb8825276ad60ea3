/*
 * The entry that engines call: bytes to a program and a few schedules. An oracle that objects ends
 * the process in a function of its own name, so that engines tell violations apart by their stack.
 *
 * Nothing survives an input: the same bytes give the same schedules, whatever ran before.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static const struct target *target;
static enum bug_id armed;

static u64 schedules; /* executed in this process */
static double started;

/* What an engine's inputs a second mean in schedules. */
static void report_rate(void)
{
	double seconds = seconds_now() - started;

	if (schedules && seconds > 0)
		fprintf(stderr, "mmurace: %llu schedules in %.1f s (%.0f/s)\n",
			(unsigned long long)schedules, seconds, (double)schedules / seconds);
}

static void report(const char *what)
{
	const struct verdict *verdict = oracle_verdict();
	struct buf buf = { 0 };

	verdict_print(&buf, verdict, sched_site_print);
	fprintf(stderr, "mmurace: %s: %s\n", target->name, buf_text(&buf));
	fprintf(stderr, "mmurace: %s: %s\n", what, verdict->detail);
}

#define ORACLE(name, what)                                             \
	__attribute__((noinline)) static void mmurace_bug_##name(void) \
	{                                                              \
		report(#name);                                         \
		abort();                                               \
	}
#include "oracle/oracles.def"
#undef ORACLE

static void end_process(void)
{
	switch (oracle_verdict()->oracle) {
#define ORACLE(name, what)            \
	case ORACLE_##name:           \
		mmurace_bug_##name(); \
		break;
#include "oracle/oracles.def"
#undef ORACLE
	default:
		abort();
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *slug = getenv("MMURACE_BUG");

	if (targets_count() != 1) {
		fprintf(stderr, "mmurace: this binary holds %u targets, expected 1\n",
			targets_count());
		exit(EXIT_FRAMEWORK);
	}
	target = target_nth(0);
	if (target_problem(target)) {
		fprintf(stderr, "mmurace: target %s: %s\n", target->name, target_problem(target));
		exit(EXIT_USAGE);
	}
	armed = target->bug;
	if (slug && *slug)
		armed = bug_by_slug(slug);
	if (armed == BUG_COUNT) {
		fprintf(stderr,
			"mmurace: MMURACE_BUG: no bug is named '%s'; "
			"'mmurace list bugs' names them\n",
			slug);
		exit(EXIT_USAGE);
	}
	sites_count();
	run_on_violation(end_process);
	started = seconds_now();
	atexit(report_rate);
	return 0;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static struct input input;
	static struct run_result result;

	input_decode(&input, target, data, size);
	for (u32 k = 0; k < input.schedules; k++) {
		struct run_spec spec = {
			.program = &input.program,
			.bug = armed,
			.strategy = &strategy_rows[input.strategy_row % STRATEGY_COUNT],
			.seed = input.schedule.seed + k,
			.has_first = input.schedule.has_first,
			.first = input.schedule.first,
			.directives = input.schedule.directives,
			.nr_directives = input.schedule.nr_directives,
		};

		run_execute(&spec, &result);
		schedules++;
		/* Without a strategy all schedules of an input are one. */
		if (input.strategy_row % STRATEGY_COUNT == STRATEGY_lowest)
			break;
	}
	return 0;
}
