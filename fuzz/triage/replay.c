/*
 * Many artifacts, replayed. A verdict of an oracle does not end a process, so one child does one after the other until
 * something kills it; then the next child goes on behind that one. A fork for each would cost more than most runs.
 */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "fuzz/triage/triage.h"

#define TICK_MICROSECONDS 1000

/* What parent and children share. */
struct replay {
	const struct artifact *artifacts;
	u32 nr;
	u32 from; /* the child begins there */
	struct outcome *outcomes; /* shared */
	struct progress {
		u32 at, nth; /* artifact and schedule at work */
		u64 beats; /* schedules so far */
	} *progress; /* shared */
};

bool outcome_fails(const struct outcome *outcome)
{
	return outcome->hung ||
	       (outcome->kind != VERDICT_NONE && outcome->kind != VERDICT_UNFINISHED);
}

static void take_result(struct outcome *outcome, const struct run_result *result, u32 nth)
{
	outcome->kind = result->kind;
	outcome->nth = nth;
	outcome->exit_code = result_exit_code(result);
	result_expectation(&outcome->expect, result);
}

static void replay_one(struct replay *replay, const struct artifact *artifact,
		       struct outcome *outcome)
{
	static struct exhibit exhibit;
	static struct run_result result;

	if (!artifact_load(&exhibit, artifact))
		return;
	for (u32 nth = 0; nth < exhibit.schedules; nth++) {
		struct run_spec spec;

		__atomic_store_n(&replay->progress->nth, nth, __ATOMIC_RELAXED);
		__atomic_store_n(&replay->progress->beats, replay->progress->beats + 1,
				 __ATOMIC_RELEASE);
		exhibit_spec(&exhibit, artifact->bug, nth, &spec);
		run_execute(&spec, &result);
		take_result(outcome, &result, nth);
		if (outcome_fails(outcome))
			return;
	}
}

static void work(void *ctx)
{
	struct replay *replay = ctx;

	for (u32 i = replay->from; i < replay->nr; i++) {
		__atomic_store_n(&replay->progress->at, i, __ATOMIC_RELEASE);
		replay_one(replay, &replay->artifacts[i], &replay->outcomes[i]);
		__atomic_store_n(&replay->outcomes[i].done, 1, __ATOMIC_RELEASE);
	}
}

struct teller {
	void (*tell)(const struct artifact *artifact, const struct outcome *outcome,
		     const struct buf *report, void *ctx);
	void *ctx;
	u32 told;
};

static void tell_done(const struct replay *replay, struct teller *teller, const struct buf *report)
{
	while (teller->told < replay->nr && !campaign_interrupted() &&
	       __atomic_load_n(&replay->outcomes[teller->told].done, __ATOMIC_ACQUIRE)) {
		u32 nth = teller->told++;

		teller->tell(&replay->artifacts[nth], &replay->outcomes[nth], report, teller->ctx);
	}
}

/* Watches a child, telling of what it has done. Return: whether it had to be killed because it hangs. */
static bool watch(const struct replay *replay, struct child *child, double hang_seconds,
		  struct teller *teller, struct death *death)
{
	const struct buf nothing = { 0 };
	double since = seconds_now();
	u64 seen = 0;

	while (!child_ended(child, false, death)) {
		u64 beats = __atomic_load_n(&replay->progress->beats, __ATOMIC_ACQUIRE);
		bool hangs;

		tell_done(replay, teller, &nothing);
		if (beats != seen)
			since = seconds_now();
		seen = beats;
		hangs = seconds_now() - since > hang_seconds;
		if (hangs || campaign_interrupted()) {
			kill(child->pid, SIGKILL);
			child_ended(child, true, death);
			return hangs;
		}
		usleep(TICK_MICROSECONDS);
	}
	tell_done(replay, teller, &nothing);
	return false;
}

/* What the artifact at work is: the child that ran it is no more. */
static void outcome_of_end(const struct replay *replay, const struct death *death, bool hung)
{
	struct outcome *outcome = &replay->outcomes[replay->progress->at];
	struct run_result result = { .kind = VERDICT_UNFINISHED };

	if (outcome->done)
		return;
	if (!hung)
		result_of_death(&result, death);
	take_result(outcome, &result, replay->progress->nth);
	outcome->hung = hung;
	outcome->done = 1;
}

void replay_all(const struct artifact *artifacts, u32 nr, double hang_seconds,
		void (*tell)(const struct artifact *artifact, const struct outcome *outcome,
			     const struct buf *report, void *ctx),
		void *ctx)
{
	struct replay replay = { .artifacts = artifacts, .nr = nr };
	struct teller teller = { .tell = tell, .ctx = ctx };

	replay.outcomes = shared_alloc((nr + 1) * sizeof(*replay.outcomes));
	replay.progress = shared_alloc(sizeof(*replay.progress));
	sites_count(); /* texts are made once, in the parent */
	reports_prepare();
	while (teller.told < nr && !campaign_interrupted()) {
		struct child child;
		struct death death;
		bool hung;

		replay.from = replay.progress->at = teller.told;
		child = child_start(work, &replay);
		hung = watch(&replay, &child, hang_seconds, &teller, &death);
		if (!campaign_interrupted() && death.died) {
			outcome_of_end(&replay, &death, hung);
			tell_done(&replay, &teller, &death.report);
		}
		buf_free(&death.report);
	}
}
