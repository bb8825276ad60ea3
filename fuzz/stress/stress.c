/* The parent, and the child that runs one program after the other until one fails in a new way. */
#include "fuzz/stress/stress.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"

#define TICK_MICROSECONDS 2000

/* What parent and child share. */
struct shared {
	u32 stop; /* set by the parent */
	u64 program; /* the one at work */
	u64 done;
	struct stress_outcome outcome; /* of that program, once the child has ended */
	/* Findings that are known already are only counted. */
	u32 nr_known;
	char known[STRESS_FINDINGS_MAX][sizeof(((struct stress_outcome *)0)->signature)];
	u64 seen[STRESS_FINDINGS_MAX];
};

static volatile u32 interrupted;

void stress_interrupt(void)
{
	interrupted = 1;
}

bool stress_interrupted(void)
{
	return interrupted;
}

struct crew {
	const struct stress *stress;
	struct shared *shared;
	u64 from;
};

/* Return: its number, nr_known for a new one. */
static u32 known(const struct shared *shared, const char *signature)
{
	u32 nr = 0;

	while (nr < shared->nr_known && strcmp(shared->known[nr], signature))
		nr++;
	return nr;
}

/* Context: a child. Ends with the first program that fails in a new way, or does not end. */
static void work(void *ctx)
{
	static struct program program;
	struct crew *crew = ctx;
	struct shared *shared = crew->shared;

	for (u64 nr = crew->from; !__atomic_load_n(&shared->stop, __ATOMIC_RELAXED); nr++) {
		struct stress_outcome outcome;
		u32 which;

		/* Before it is drawn: whatever ends this process, the parent knows of what. */
		__atomic_store_n(&shared->program, nr, __ATOMIC_RELEASE);
		stress_draw(crew->stress, nr, &program);
		stress_run(crew->stress, &program, hash_u64(crew->stress->seed, ~nr), &outcome);
		__atomic_store_n(&shared->done, shared->done + 1, __ATOMIC_RELEASE);
		if (outcome.kind == STRESS_CLEAN)
			continue;
		which = known(shared, outcome.signature);
		if (which == shared->nr_known || outcome.kind == STRESS_HUNG) {
			shared->outcome = outcome;
			return;
		}
		shared->seen[which]++;
	}
}

/* Watches a child. Return: whether it had to be killed because its program hangs. */
static bool watch(struct crew *crew, struct child *child, double deadline, struct death *death)
{
	u64 seen = ~0ull;
	double since = 0;

	while (!child_ended(child, false, death)) {
		u64 now = __atomic_load_n(&crew->shared->program, __ATOMIC_ACQUIRE);

		if (now != seen)
			since = seconds_now();
		seen = now;
		if (interrupted || seconds_now() >= deadline)
			__atomic_store_n(&crew->shared->stop, 1, __ATOMIC_RELAXED);
		if (seconds_now() - since > STRESS_KILL_SECONDS) {
			kill(child->pid, SIGKILL);
			child_ended(child, true, death);
			return true;
		}
		usleep(TICK_MICROSECONDS);
	}
	return false;
}

/* Return: the finding if it is a new one, NULL if it was seen before, or there is no room for more. */
static struct stress_finding *note(struct crew *crew, struct stress_report *report,
				   const struct stress_outcome *outcome)
{
	struct shared *shared = crew->shared;
	u32 which = known(shared, outcome->signature);
	struct stress_finding *finding;

	if (which < shared->nr_known || which == STRESS_FINDINGS_MAX) {
		if (which < shared->nr_known)
			shared->seen[which]++;
		else
			report->not_kept++;
		return NULL;
	}
	finding = &report->findings[report->nr_findings++];
	*finding = (struct stress_finding){ .outcome = *outcome, .program = shared->program };
	memcpy(shared->known[which], outcome->signature, sizeof(shared->known[which]));
	shared->seen[which] = 1;
	shared->nr_known++;
	return finding;
}

/* One child's life. Return: what it has found that is new, NULL: nothing; @death is filled in. */
static struct stress_finding *run_crew(struct crew *crew, struct stress_report *report,
				       double deadline, struct death *death)
{
	struct shared *shared = crew->shared;
	struct child child;

	memset(&shared->outcome, 0, sizeof(shared->outcome));
	child = child_start(work, crew);
	if (watch(crew, &child, deadline, death)) {
		stress_outcome_of_hang(&shared->outcome);
	} else if (death->died) {
		stress_outcome_of_death(&shared->outcome, death);
	}
	if (death->died)
		shared->done++;
	crew->from = shared->program + 1;
	return shared->outcome.kind == STRESS_CLEAN ? NULL : note(crew, report, &shared->outcome);
}

void stress_all(const struct stress *stress, struct stress_report *report,
		void (*tell)(const struct stress_finding *finding))
{
	struct crew crew = { .stress = stress, .shared = shared_alloc(sizeof(struct shared)) };
	double deadline = seconds_now() + stress->seconds;

	memset(report, 0, sizeof(*report));
	while (seconds_now() < deadline && !interrupted) {
		double began = seconds_now(), found;
		struct stress_finding *finding;
		struct death death;

		finding = run_crew(&crew, report, deadline, &death);
		found = seconds_now();
		report->seconds += found - began;
		if (finding) {
			stress_save(stress, finding, buf_text(&death.report));
			stress_follow(stress, finding);
			for (u32 i = 0; i < report->nr_findings; i++)
				report->findings[i].seen = crew.shared->seen[i];
			tell(finding);
			/* The time is of stress: what a finding takes is added to it. */
			deadline += seconds_now() - found;
		}
		buf_free(&death.report);
	}
	report->programs = crew.shared->done;
	report->interrupted = interrupted;
	for (u32 i = 0; i < report->nr_findings; i++)
		report->findings[i].seen = crew.shared->seen[i];
}
