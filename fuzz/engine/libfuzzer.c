/*
 * The entry that engines call: bytes to a program and a few schedules. An oracle that objects ends
 * the process in a function of its own name, so that engines tell violations apart by their stack.
 *
 * Nothing survives an input: the same bytes give the same schedules, whatever ran before.
 *
 * Variables: MMURACE_BUG, a bug to arm; MMURACE_KNOWN, a file that names findings to pass over (engine.h);
 * MMURACE_FEATURES, what inputs are kept for beside edges.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "fuzz/engine/engine.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const u8 *data, size_t size);
size_t LLVMFuzzerCustomMutator(u8 *data, size_t size, size_t room, unsigned int seed);
size_t LLVMFuzzerCustomCrossOver(const u8 *one, size_t one_size, const u8 *other, size_t other_size,
				 u8 *data, size_t room, unsigned int seed);
/* The engine's own mutations; there is none where something else calls us. */
size_t LLVMFuzzerMutate(u8 *data, size_t size, size_t room) __attribute__((weak));

static const struct target *target;
static enum bug_id armed;
/* Of 8 mutations, how many know records. The engine's own know bytes, which may be anything. */
#define RECORDS_OF_8 7u

/* Of MMURACE_FEATURES. */
#define FEATURES_DEFAULT "all"

static u64 schedules; /* executed in this process */
/* With MMURACE_HASHES set, each input that runs to its end says in a number what it has done. */
static struct recording *recording;
static double started;

/* What an engine's inputs a second mean in schedules. */
static void report_rate(void)
{
	double seconds = seconds_now() - started;

	known_report();
	if (schedules && seconds > 0)
		fprintf(stderr, "mmurace: %llu schedules in %.1f s (%.0f/s)\n",
			(unsigned long long)schedules, seconds, (double)schedules / seconds);
}

static void report(const char *what)
{
	const struct verdict *verdict = oracle_verdict();
	struct buf buf = { 0 };

	verdict_print(&buf, verdict, sched_site_print);
	fprintf(stderr, "mmurace: %s: finding %016llx: %s\n", target->name,
		(unsigned long long)known_number(verdict), buf_text(&buf));
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
	report_rate();
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

/* Context: see oracle_on_violation(). */
static void on_violation(void)
{
	if (!known_meets(known_number(oracle_verdict())))
		end_process();
	if (event_context.task != TASK_NONE)
		sched_abandon();
}

/* Of the environment, beside the bug. */
static void read_environment(void)
{
	const char *known = getenv("MMURACE_KNOWN"), *features = getenv("MMURACE_FEATURES");

	if (known && *known)
		known_load(known);
	if (!features_choose(features && *features ? features : FEATURES_DEFAULT)) {
		fprintf(stderr,
			"mmurace: MMURACE_FEATURES: expected none, state, switch or all, found "
			"'%s'\n",
			features);
		exit(EXIT_USAGE);
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
	if (getenv("MMURACE_HASHES"))
		recording = recording_alloc();
	sites_count();
	read_environment();
	run_on_violation(on_violation);
	started = seconds_now();
	atexit(report_rate);
	return 0;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static struct input input;
	static struct run_result result;
	u64 hash = HASH_SEED;
	u64 met = known_met();

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
			.recording = recording,
		};

		run_execute(&spec, &result);
		schedules++;
		hash = hash_u64(hash, result.hash);
		/* What else the input may show would be taken for this by others. */
		if (known_met() != met) {
			program_clear();
			return -1;
		}
		/* Without a strategy all schedules of an input are one. */
		if (input.strategy_row % STRATEGY_COUNT == STRATEGY_lowest)
			break;
	}
	/* Else the next input would be said to reach what takes this one's world down. */
	program_clear();
	if (recording)
		fprintf(stderr, "mmurace: hash 0x%016llx\n", (unsigned long long)hash);
	return 0;
}

size_t LLVMFuzzerCustomMutator(u8 *data, size_t size, size_t room, unsigned int seed)
{
	struct prng prng = prng_seeded(seed);

	if (LLVMFuzzerMutate && prng_below(&prng, 8) >= RECORDS_OF_8)
		return LLVMFuzzerMutate(data, size, room);
	return input_mutate(target, data, size, room, prng_next(&prng));
}

size_t LLVMFuzzerCustomCrossOver(const u8 *one, size_t one_size, const u8 *other, size_t other_size,
				 u8 *data, size_t room, unsigned int seed)
{
	return input_splice(target, one, one_size, other, other_size, data, room, seed);
}
