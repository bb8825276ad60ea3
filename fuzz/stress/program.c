/* One program: drawn wide, run on threads, judged by what is left. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "fuzz/stress/stress.h"
#include "kern/thread/thread_kern.h"

_Static_assert(STRESS_KILL_SECONDS > STRESS_LIMIT_SECONDS &&
		       STRESS_KILL_SECONDS < STRESS_LIMIT_SECONDS + THREAD_STOP_SECONDS,
	       "what hangs is called so, and not broken");

static u64 seed_of(u64 seed, u64 nr)
{
	struct prng prng = prng_seeded(hash_u64(hash_u64(HASH_SEED, seed), nr));

	return prng_next(&prng);
}

/* The target, with as many tasks as are asked for. Half of them at most are vCPUs, but as many as it has at least. */
static struct target widened(const struct stress *stress)
{
	struct target target = *stress->target;
	u32 most = (u32)min_u64(stress->threads ? stress->threads : STRESS_TASKS_DEFAULT,
				PROGRAM_TASKS_MAX);

	target.tasks_max = (u32)max_u64(most, stress->threads ? most : target.tasks_max);
	target.tasks_min = (u32)max_u64(most, stress->threads ? most : target.tasks_min);
	target.vcpus_max = (u32)min_u64(max_u64(target.vcpus_max, target.tasks_max / 2), VCPUS_MAX);
	if (target.vms_max)
		target.vms_max = (u32)max_u64(target.vms_max, target.tasks_max / 4);
	return target;
}

void stress_draw(const struct stress *stress, u64 nr, struct program *program)
{
	struct target target = widened(stress);

	program_generate(program, &target, seed_of(stress->seed, nr), &stress->variant);
}

static void name_outcome(struct stress_outcome *outcome, enum stress_kind kind, const char *oracle,
			 const char *class)
{
	outcome->kind = kind;
	snprintf(outcome->oracle, sizeof(outcome->oracle), "%s", oracle);
	snprintf(outcome->class, sizeof(outcome->class), "%s", class);
	snprintf(outcome->signature, sizeof(outcome->signature), "%s%s%s", oracle,
		 *class ? " " : "", class);
}

void stress_outcome_of_hang(struct stress_outcome *outcome)
{
	*outcome = (struct stress_outcome){ .kind = STRESS_CLEAN };
	name_outcome(outcome, STRESS_HUNG, "unfinished", "");
	snprintf(outcome->text, sizeof(outcome->text),
		 "the program has not come to its end in %u seconds", STRESS_LIMIT_SECONDS);
}

/* The first warning says where; those behind it may be its consequence. */
static void judge_warnings(struct stress_outcome *outcome)
{
	struct buf buf = { 0 };

	thread_kern_print_warnings(&buf);
	name_outcome(outcome, STRESS_WARNED, "assertion", "AS1");
	snprintf(outcome->signature, sizeof(outcome->signature), "assertion AS1 %.*s",
		 (int)strcspn(buf_text(&buf), "\n"), buf_text(&buf));
	snprintf(outcome->text, sizeof(outcome->text), "%.*s", (int)strcspn(buf_text(&buf), "\n"),
		 buf_text(&buf));
	buf_free(&buf);
}

static void judge_rest(struct stress_outcome *outcome)
{
	struct endstate_finding finding;
	struct buf buf = { 0 };

	if (!rest_judge(&finding))
		return;
	rest_print(&buf, &finding);
	name_outcome(outcome, STRESS_DISORDER, finding.oracle, finding.class);
	snprintf(outcome->text, sizeof(outcome->text), "%s", buf_text(&buf));
	buf_free(&buf);
}

/* The default would be eight mebibytes for each of 64 threads. */
static void limit_stacks(void)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STRESS_STACK_BYTES);
	pthread_setattr_default_np(&attr);
	pthread_attr_destroy(&attr);
}

void stress_run(const struct stress *stress, const struct program *program, u64 seed,
		struct stress_outcome *outcome)
{
	struct thread_knobs knobs = THREAD_KNOBS_DEFAULT;
	enum program_outcome ended;

	*outcome = (struct stress_outcome){ .kind = STRESS_CLEAN };
	knobs.seed = seed;
	knobs.points_per_yield = stress->points_per_yield;
	knobs.milliseconds = STRESS_LIMIT_SECONDS * 1000;
	thread_kern_set(&knobs);
	thread_kern_clear_warnings();
	program_watch_writes(true);
	bug_state.armed = stress->bug;
	run_executes_here();
	limit_stacks();
	ended = program_execute(program, NULL);
	bug_state.armed = BUG_none;
	/* An assertion is nearer to the cause than what it leaves behind. */
	if (thread_kern_warnings())
		judge_warnings(outcome);
	else if (ended != PROGRAM_DONE)
		stress_outcome_of_hang(outcome);
	else
		judge_rest(outcome);
}
