/*
 * Benchmarks: the rate of the search, and what its parts cost. Each is the median of several rounds.
 */
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/assert.h"

#define ROUNDS	       7
#define BENCH_TARGET   "fault_vs_invalidate"
#define BENCH_PROGRAMS 64
#define POINTS_A_ROUND 2000000u

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median_of(double (*round)(void))
{
	double values[ROUNDS];

	for (u32 i = 0; i < ROUNDS; i++)
		values[i] = round();
	qsort(values, ROUNDS, sizeof(values[0]), compare);
	return values[ROUNDS / 2];
}

/* A fixed set of programs of 3 tasks with 4 ops each. */
static const struct program *bench_programs(void)
{
	static struct program programs[BENCH_PROGRAMS];
	static bool drawn;
	const struct target *from = target_by_name(BENCH_TARGET);
	struct target target;

	if (drawn)
		return programs;
	drawn = true;
	target = from ? *from : *target_nth(0);
	target.tasks_min = target.tasks_max = 3;
	target.ops_min = target.ops_max = 4;
	for (u32 i = 0; i < BENCH_PROGRAMS; i++)
		program_generate(&programs[i], &target, i + 1, &variant_default);
	return programs;
}

static u64 points, switches, schedules; /* of all rounds so far */

static double run_schedules(u32 nr)
{
	const struct program *programs = bench_programs();
	static struct run_result result;
	double start = seconds_now();

	for (u32 i = 0; i < nr; i++) {
		struct run_spec spec = {
			.program = &programs[i / SCHEDULES_PER_PROGRAM % BENCH_PROGRAMS],
			.strategy = &strategy_rows[1 + i % (STRATEGY_COUNT - 1)],
			.seed = i,
		};

		run_execute(&spec, &result);
		points += result.points;
		switches += result.switches;
	}
	schedules += nr;
	return seconds_now() - start;
}

static double schedules_round(void)
{
	u32 nr = BENCH_PROGRAMS * SCHEDULES_PER_PROGRAM * 10;

	return nr / run_schedules(nr);
}

static double measure_schedules(void)
{
	return median_of(schedules_round);
}

static double measure_points(void)
{
	if (!schedules)
		run_schedules(BENCH_PROGRAMS * SCHEDULES_PER_PROGRAM);
	return (double)points / (double)schedules;
}

static double measure_switches(void)
{
	measure_points();
	return (double)switches / (double)schedules;
}

static double measure_memory(void)
{
	struct rusage usage;

	run_schedules(100000);
	getrusage(RUSAGE_SELF, &usage);
	return (double)usage.ru_maxrss / 1024;
}

/* A world is set up, one op that finds nothing to do runs, and the world is taken down. */
static double world_round(void)
{
	static struct program program;
	static struct run_result result;
	struct run_spec spec = { .program = &program };
	u32 nr = 20000;
	double start;

	program = bench_programs()[0];
	program.nr_tasks = 1;
	program.tasks[0] = (struct task_program){ .kind = TASK_NOTIFIER, .nr_ops = 1 };
	program.tasks[0].ops[0] = (struct op){ .id = OP_reuse, .start = 0 };
	start = seconds_now();
	for (u32 i = 0; i < nr; i++)
		run_execute(&spec, &result);
	return (seconds_now() - start) / nr * 1e9;
}

static double measure_world(void)
{
	return median_of(world_round);
}

/* --- points --- */

static volatile u64 sink; /* keeps the loads alive */

static void points_body(u32 task)
{
	sched_op_begin(0);
	sink = program_pass_points(POINTS_A_ROUND / 2);
}

static u32 next_default(void *ctx, const struct sched_stop *stop)
{
	return default_choice(stop);
}

static u32 next_other(void *ctx, const struct sched_stop *stop)
{
	u64 others = stop->runnable;

	if (stop->task != TASK_NONE && others != BIT_ULL(stop->task))
		others &= ~BIT_ULL(stop->task);
	sched_grant(1);
	return (u32)__builtin_ctzll(others);
}

static double points_round(u32 (*next)(void *ctx, const struct sched_stop *stop))
{
	const struct sched_driver driver = { .next = next };
	enum sched_outcome outcome;
	double start;

	program_prepare_points();
	start = seconds_now();
	outcome = sched_run(&driver, 2, points_body, 2ull * POINTS_A_ROUND);
	ASSERT(outcome == SCHED_DONE);
	return (seconds_now() - start) / POINTS_A_ROUND * 1e9;
}

static double point_round(void)
{
	return points_round(next_default);
}

static double switch_round(void)
{
	return points_round(next_other);
}

static double measure_point(void)
{
	return median_of(point_round);
}

static double measure_switch(void)
{
	return median_of(switch_round);
}

const struct bench_row bench_rows[] = {
	{ "schedules", "search in fault_vs_invalidate, 3 tasks of 4 ops", "rate", "schedules/s",
	  measure_schedules },
	{ "points", "points in such a schedule", "count", "points", measure_points },
	{ "switches", "switches in such a schedule", "count", "switches", measure_switches },
	{ "point", "a point without a switch", "time", "ns", measure_point },
	{ "switch", "a point with a switch", "time", "ns", measure_switch },
	{ "world", "setting a world up and taking it down", "time", "ns", measure_world },
	{ "memory", "resident memory after 100000 schedules", "peak", "MiB", measure_memory },
};

u32 bench_count(void)
{
	return ARRAY_SIZE(bench_rows);
}
