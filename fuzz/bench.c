/*
 * Benchmarks: the rate of the search, and what its parts cost. Each is the median of several rounds, in
 * time of the CPU: what else the machine is doing is none of our business.
 */
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/assert.h"

#define ROUNDS	       7
#define BENCH_PROGRAMS 64
#define POINTS_A_ROUND 2000000u

static double cpu_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

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

/* --- schedules --- */

/* Programs of one target, and what their schedules have come to so far. */
struct bench_search {
	const char *target;
	struct program programs[BENCH_PROGRAMS];
	bool drawn;
	u64 points, switches, schedules;
};
static struct bench_search narrow = { .target = "fault_vs_invalidate" };
static struct bench_search wide = { .target = "everything" };

/* A fixed set of programs of 3 tasks with 4 ops each. */
static const struct program *search_programs(struct bench_search *search)
{
	const struct target *from = target_by_name(search->target);
	struct target target;

	if (search->drawn)
		return search->programs;
	search->drawn = true;
	target = from ? *from : *target_nth(0);
	target.tasks_min = target.tasks_max = 3;
	target.ops_min = target.ops_max = 4;
	for (u32 i = 0; i < BENCH_PROGRAMS; i++)
		program_generate(&search->programs[i], &target, i + 1, &variant_default);
	return search->programs;
}

static double run_schedules(struct bench_search *search, u32 nr)
{
	const struct program *programs = search_programs(search);
	static struct run_result result;
	double start = cpu_seconds();

	for (u32 i = 0; i < nr; i++) {
		struct run_spec spec = {
			.program = &programs[i / SCHEDULES_PER_PROGRAM % BENCH_PROGRAMS],
			.strategy = &strategy_rows[1 + i % (STRATEGY_COUNT - 1)],
			.seed = i,
		};

		run_execute(&spec, &result);
		search->points += result.points;
		search->switches += result.switches;
	}
	search->schedules += nr;
	return cpu_seconds() - start;
}

#define SCHEDULES_A_ROUND (BENCH_PROGRAMS * SCHEDULES_PER_PROGRAM * 10)

static double narrow_round(void)
{
	return SCHEDULES_A_ROUND / run_schedules(&narrow, SCHEDULES_A_ROUND);
}

static double wide_round(void)
{
	return SCHEDULES_A_ROUND / run_schedules(&wide, SCHEDULES_A_ROUND);
}

static double measure_narrow(void)
{
	return median_of(narrow_round);
}

static double measure_wide(void)
{
	return median_of(wide_round);
}

/* Return: @total of all schedules so far (at least a round), a schedule. */
static double per_schedule(struct bench_search *search, const u64 *total)
{
	if (!search->schedules)
		run_schedules(search, SCHEDULES_A_ROUND);
	return (double)*total / (double)search->schedules;
}

static double measure_points(void)
{
	return per_schedule(&narrow, &narrow.points);
}

static double measure_switches(void)
{
	return per_schedule(&narrow, &narrow.switches);
}

static double measure_wide_points(void)
{
	return per_schedule(&wide, &wide.points);
}

static double measure_wide_switches(void)
{
	return per_schedule(&wide, &wide.switches);
}

static double measure_memory(void)
{
	struct rusage usage;

	run_schedules(&narrow, 100000);
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

	program = search_programs(&narrow)[0];
	program.nr_tasks = 1;
	program.tasks[0] = (struct task_program){ .kind = TASK_NOTIFIER, .nr_ops = 1 };
	program.tasks[0].ops[0] = (struct op){ .id = OP_reuse, .start = 0 };
	start = cpu_seconds();
	for (u32 i = 0; i < nr; i++)
		run_execute(&spec, &result);
	return (cpu_seconds() - start) / nr * 1e9;
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
	start = cpu_seconds();
	outcome = sched_run(&driver, 2, points_body, 2ull * POINTS_A_ROUND);
	ASSERT(outcome == SCHED_DONE);
	return (cpu_seconds() - start) / POINTS_A_ROUND * 1e9;
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
	  measure_narrow },
	{ "points", "points in such a schedule", "count", "points", measure_points },
	{ "switches", "switches in such a schedule", "count", "switches", measure_switches },
	{ "wide-schedules", "search in everything, 3 tasks of 4 ops", "rate", "schedules/s",
	  measure_wide },
	{ "wide-points", "points in such a schedule", "count", "points", measure_wide_points },
	{ "wide-switches", "switches in such a schedule", "count", "switches",
	  measure_wide_switches },
	{ "point", "a point without a switch", "time", "ns", measure_point },
	{ "switch", "a point with a switch", "time", "ns", measure_switch },
	{ "world", "setting a world up and taking it down", "time", "ns", measure_world },
	{ "memory", "resident memory after 100000 schedules", "peak", "MiB", measure_memory },
};

u32 bench_count(void)
{
	return ARRAY_SIZE(bench_rows);
}
