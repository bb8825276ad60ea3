/*
 * Many schedules: programs drawn from a target's generator, each run under a few schedules. The
 * work is done in a child, so that a report that ends the process costs one schedule; the parent
 * watches, keeps the time and goes on behind the schedule that died.
 */
#include "fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/hash.h"

#define TICK_MICROSECONDS 2000
#define TICKS_A_REPORT	  100
/* One schedule of so many is recorded, to see which sites the search reaches. */
#define SCHEDULES_PER_SAMPLE 512

static volatile u32 interrupted;

void campaign_interrupt(void)
{
	interrupted = 1;
}

bool campaign_interrupted(void)
{
	return interrupted;
}

struct campaign_state *campaign_state_alloc(void)
{
	return shared_alloc(sizeof(struct campaign_state));
}

static u64 seed_of(u64 seed, u64 nr, u64 purpose)
{
	struct prng prng = prng_seeded(hash_u64(hash_u64(hash_u64(HASH_SEED, seed), purpose), nr));

	return prng_next(&prng);
}

static void spec_without_program(const struct campaign *campaign, u64 nr,
				 const struct program *program, struct run_spec *spec)
{
	u32 searching = 1 + (u32)(nr % (STRATEGY_COUNT - 1));

	*spec = (struct run_spec){
		.program = program,
		.bug = campaign->census ? BUG_CENSUS : campaign->bug,
		.forbidden = campaign->forbidden,
		.strategy = campaign->strategy ? campaign->strategy : &strategy_rows[searching],
		.seed = seed_of(campaign->seed, nr, 1),
	};
}

void campaign_spec(const struct campaign *campaign, u64 nr, struct program *program,
		   struct run_spec *spec)
{
	if (campaign->program)
		*program = *campaign->program;
	else
		program_generate(program, campaign->target,
				 seed_of(campaign->seed, nr / SCHEDULES_PER_PROGRAM, 0),
				 &campaign->variant);
	spec_without_program(campaign, nr, program, spec);
}

static bool same_finding(const struct expectation *a, const struct expectation *b)
{
	return !strcmp(a->oracle, b->oracle) && !strcmp(a->class, b->class) &&
	       !strcmp(a->site[0], b->site[0]) && !strcmp(a->site[1], b->site[1]);
}

static void add_finding(struct campaign_state *state, const struct run_result *result, u64 nr)
{
	struct expectation expect;
	struct finding *finding;

	result_expectation(&expect, result);
	for (u32 i = 0; i < state->nr_findings; i++)
		if (same_finding(&state->findings[i].expect, &expect)) {
			state->findings[i].count++;
			return;
		}
	if (state->nr_findings == FINDINGS_MAX)
		return;
	finding = &state->findings[state->nr_findings];
	finding->expect = expect;
	finding->result = *result;
	finding->schedule = nr;
	finding->count = 1;
	/* The parent reads findings below the count: the finding is complete before. */
	__atomic_store_n(&state->nr_findings, state->nr_findings + 1, __ATOMIC_RELEASE);
}

static bool ends_search(const struct campaign *campaign, const struct run_result *result)
{
	if (!campaign->stop_on_first || result->kind < VERDICT_VIOLATION ||
	    result->kind == VERDICT_UNFINISHED)
		return false;
	if (!campaign->stop_oracle)
		return true;
	return result->kind == VERDICT_VIOLATION &&
	       !strcmp(oracle_rows[result->verdict.oracle].name, campaign->stop_oracle);
}

struct worker {
	const struct campaign *campaign;
	struct campaign_state *state;
	double deadline; /* 0: none */
	u64 from;
	struct recording *recordings[2];
};

static void note_sites(struct campaign_state *state, const struct recording *recording)
{
	for (u32 i = 0; i < recording->nr_steps; i++) {
		const struct sched_site *site = recording->steps[i].site;
		u32 number = site ? site_number(site) : SITE_NOWHERE;

		if (number >= sizeof(state->site_seen) || state->site_seen[number])
			continue;
		state->site_seen[number] = 1;
		state->sites_seen++;
	}
}

/* Runs the schedule twice, recorded. Return: whether both came out the same. */
static bool run_checked(struct worker *worker, struct run_spec *spec, struct run_result *result)
{
	struct run_result again = { 0 };
	struct buf buf = { 0 };
	bool same;

	spec->recording = worker->recordings[0];
	run_execute(spec, result);
	spec->recording = worker->recordings[1];
	run_execute(spec, &again);
	same = !recording_difference(&buf, worker->recordings[0], worker->recordings[1]);
	if (same && (result->state_hash != again.state_hash || result->kind != again.kind)) {
		buf_printf(&buf, "two runs of one schedule are equal, their end states are not\n");
		same = false;
	}
	if (!same) {
		snprintf(worker->state->disagreement, sizeof(worker->state->disagreement), "%s",
			 buf_text(&buf));
		worker->state->disagreed = true;
	}
	buf_free(&buf);
	return same;
}

static struct census *counting;

static void count_event(const struct event *event)
{
	counting->events[event->id]++;
	if (event->id == EVENT_fault_retried)
		counting->retries[((const struct event_fault_retried *)event)->reason]++;
}

static void run_one(struct worker *worker, struct run_spec *spec, struct run_result *result, u64 nr)
{
	if (worker->campaign->check) {
		run_checked(worker, spec, result);
		note_sites(worker->state, worker->recordings[0]);
		return;
	}
	if (nr % SCHEDULES_PER_SAMPLE == 0)
		spec->recording = worker->recordings[0];
	run_execute(spec, result);
	if (!spec->recording)
		return;
	note_sites(worker->state, spec->recording);
	/* The recording has taken the place of the tap that counts. */
	if (worker->campaign->census)
		oracle_tap(count_event);
}

static void census_begin(struct worker *worker)
{
	counting = &worker->state->census;
	oracle_tap(count_event);
	for (u32 i = 0; i < BUG_COUNT; i++)
		bug_state.census[i] = counting->probes[i];
}

static void census_end(void)
{
	oracle_tap(NULL);
	for (u32 i = 0; i < BUG_COUNT; i++)
		counting->probes[i] = bug_state.census[i];
}

static bool time_is_up(const struct worker *worker, u64 nr)
{
	if (__atomic_load_n(&worker->state->stop, __ATOMIC_RELAXED))
		return true;
	return worker->deadline > 0 && nr % 64 == 0 && seconds_now() >= worker->deadline;
}

static void count_result(struct worker *worker, const struct run_result *result, u64 nr)
{
	struct campaign_state *state = worker->state;

	if (result->kind == VERDICT_VIOLATION) {
		state->violations++;
		add_finding(state, result, nr);
	}
	state->unfinished += result->kind == VERDICT_UNFINISHED;
	state->bug_reached = bug_state.reached;
	state->bug_triggered = bug_state.triggered;
	__atomic_store_n(&state->done, nr + 1, __ATOMIC_RELEASE);
}

static void work(void *ctx)
{
	struct worker *worker = ctx;
	const struct campaign *campaign = worker->campaign;
	static struct program program;
	static struct run_result result;
	u64 drawn = ~0ull;

	bug_state.reached = worker->state->bug_reached;
	bug_state.triggered = worker->state->bug_triggered;
	if (campaign->census)
		census_begin(worker);
	for (u64 nr = worker->from; !campaign->schedules || nr < campaign->schedules; nr++) {
		struct run_spec spec;

		if (time_is_up(worker, nr))
			break;
		if (drawn != nr / SCHEDULES_PER_PROGRAM)
			campaign_spec(campaign, nr, &program, &spec);
		else
			spec_without_program(campaign, nr, &program, &spec);
		drawn = nr / SCHEDULES_PER_PROGRAM;
		run_one(worker, &spec, &result, nr);
		count_result(worker, &result, nr);
		if (worker->state->disagreed || ends_search(campaign, &result))
			break;
	}
	if (campaign->census)
		census_end();
	worker->state->stats = *oracle_stats();
	worker->state->ops = *op_counts();
}

/* The schedule behind the last one that was counted has ended the child. */
static bool note_death(struct worker *worker, const struct death *death)
{
	struct campaign_state *state = worker->state;
	static struct run_result result;
	u64 nr = state->done;

	memset(&result, 0, sizeof(result));
	result_of_death(&result, death);
	add_finding(state, &result, nr);
	state->deaths++;
	state->done = nr + 1;
	worker->from = nr + 1;
	return !worker->campaign->stop_on_first && death->kind != VERDICT_FRAMEWORK;
}

/* Waits for the child, reporting. Return: whether it died. */
static bool watch(struct worker *worker, struct child *child, struct death *death, double start,
		  void (*tick)(const struct campaign_state *state, void *ctx), void *ctx)
{
	struct campaign_state *state = worker->state;
	u32 seen = state->nr_findings, waited = 0;

	while (!child_ended(child, false, death)) {
		u32 nr = __atomic_load_n(&state->nr_findings, __ATOMIC_ACQUIRE);

		if (interrupted)
			__atomic_store_n(&state->stop, 1, __ATOMIC_RELAXED);
		state->elapsed = seconds_now() - start;
		if (tick && (nr != seen || ++waited % TICKS_A_REPORT == 0))
			tick(state, ctx);
		seen = nr;
		usleep(TICK_MICROSECONDS);
	}
	state->elapsed = seconds_now() - start;
	return death->died;
}

void campaign_run(const struct campaign *campaign, struct campaign_state *state,
		  void (*tick)(const struct campaign_state *state, void *ctx), void *ctx)
{
	static struct recording *recordings[2];
	double start = seconds_now();
	struct worker worker = { .campaign = campaign, .state = state };
	bool go_on = true;

	memset(state, 0, sizeof(*state));
	for (u32 i = 0; i < 2; i++) {
		if (!recordings[i])
			recordings[i] = recording_alloc();
		worker.recordings[i] = recordings[i];
	}
	if (campaign->seconds > 0)
		worker.deadline = start + campaign->seconds;
	sites_count();
	oracle_stats_clear();
	op_counts_clear();
	while (go_on) {
		struct child child = child_start(work, &worker);
		struct death death;

		go_on = watch(&worker, &child, &death, start, tick, ctx);
		if (go_on) {
			fputs(buf_text(&death.report), stderr);
			go_on = note_death(&worker, &death);
		}
		buf_free(&death.report);
		go_on = go_on && !interrupted &&
			(!campaign->schedules || worker.from < campaign->schedules);
	}
	if (tick)
		tick(state, ctx);
}

void campaign_repro_raw(const struct campaign *campaign, const struct finding *finding,
			struct repro *repro)
{
	struct run_spec spec;

	memset(repro, 0, sizeof(*repro));
	campaign_spec(campaign, finding->schedule, &repro->program, &spec);
	repro_describe(repro, &spec, campaign->target->name);
	repro->expect = finding->expect;
}

bool campaign_repro(const struct campaign *campaign, const struct finding *finding,
		    struct repro *repro)
{
	static struct program program;
	struct run_result result;
	struct run_spec spec;

	campaign_spec(campaign, finding->schedule, &program, &spec);
	return convert_failure(repro, &spec, campaign->target->name, &result);
}
