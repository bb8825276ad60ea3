/* Children: one program in a process of its own, which may die or hang. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "fuzz/stress/stress.h"

#define TICK_MICROSECONDS 2000

bool stress_in_child(void (*work)(void *ctx), void *ctx, double seconds, struct death *death)
{
	struct child child = child_start(work, ctx);
	double deadline = seconds_now() + seconds;

	while (!child_ended(&child, false, death)) {
		if (seconds_now() >= deadline) {
			kill(child.pid, SIGKILL);
			child_ended(&child, true, death);
			return false;
		}
		usleep(TICK_MICROSECONDS);
	}
	return true;
}

struct once {
	const struct stress *stress;
	const struct program *program;
	u64 seed;
	struct stress_outcome *outcome;
};

static void run_once(void *ctx)
{
	const struct once *once = ctx;

	stress_run(once->stress, once->program, once->seed, once->outcome);
}

void stress_run_isolated(const struct stress *stress, const struct program *program, u64 seed,
			 struct stress_outcome *outcome)
{
	static struct stress_outcome *shared;
	struct once once = { .stress = stress, .program = program, .seed = seed };
	struct death death;
	bool in_time;

	if (!shared)
		shared = shared_alloc(sizeof(*shared));
	memset(shared, 0, sizeof(*shared));
	once.outcome = shared;
	/* It ends a program that hangs by itself, if it can. */
	in_time = stress_in_child(run_once, &once, STRESS_KILL_SECONDS, &death);
	*outcome = *shared;
	if (!in_time)
		stress_outcome_of_hang(outcome);
	else if (death.died)
		stress_outcome_of_death(outcome, &death);
	buf_free(&death.report);
}
