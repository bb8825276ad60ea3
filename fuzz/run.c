/*
 * One execution: sets up oracles, driver and strategy, runs the program, and collects what came out.
 */
#include "fuzz/fuzz.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"

static struct {
	const struct run_spec *spec;
	const struct strategy *strategy;
	u64 strategy_end; /* points of the schedule at which the strategy is asked again */
	bool directed;
	u64 state_hash;
	void (*on_violation)(void);
	void (*on_stop)(const struct sched_stop *stop);
	void (*on_switch)(const struct sched_stop *stop, u32 to);
} run;

static u64 add_capped(u64 a, u64 b)
{
	return b > ~a ? ~0ull : a + b;
}

static u32 ask_strategy(const struct sched_stop *stop)
{
	u64 grant = 0;
	u32 to = run.strategy->next(stop, &grant);

	run.strategy_end = grant ? add_capped(sched_points(), grant) : ~0ull;
	return to;
}

/* Directives decide first; in between the strategy, which is asked only where its own grant ends. */
static u32 next_directed(const struct sched_stop *stop)
{
	u64 now = sched_points(), grant;
	u32 to;

	if (!directives_next(stop, &to)) {
		if (now >= run.strategy_end || stop->task == TASK_NONE ||
		    stop->kind == SCHED_AT_BLOCK || !(stop->runnable & BIT_ULL(stop->task)))
			to = ask_strategy(stop);
		else
			to = stop->task;
		to = directives_veto(stop, to);
	}
	grant = run.strategy_end == ~0ull ? ~0ull
		: run.strategy_end > now  ? run.strategy_end - now
					  : 1;
	grant = min_u64(grant, directives_grant(to));
	if (grant != ~0ull)
		sched_grant(grant);
	return to;
}

static u32 next_by_strategy(void *ctx, const struct sched_stop *stop)
{
	u64 grant = 0;
	u32 to = run.strategy->next(stop, &grant);

	if (grant)
		sched_grant(grant);
	if (unlikely(run.on_switch))
		run.on_switch(stop, to);
	return to;
}

static u32 next_watched(void *ctx, const struct sched_stop *stop)
{
	u32 to = run.directed ? next_directed(stop) : next_by_strategy(ctx, stop);

	if (run.directed && unlikely(run.on_switch))
		run.on_switch(stop, to);
	/* A directive may answer what the strategy would not be asked about. */
	if (run.directed && stop->kind == SCHED_AT_BEGIN)
		sched_ask_about(~0u);
	if (run.spec->recording)
		record_choice(to);
	return to;
}

static u64 value_by_strategy(void *ctx, const struct sched_stop *stop, u64 bound)
{
	return run.strategy->value(stop, bound);
}

static u64 value_watched(void *ctx, const struct sched_stop *stop, u64 bound)
{
	u64 answer = run.strategy->value(stop, bound);

	if (run.directed && directives_answer(stop, &answer) && answer >= bound)
		answer = bound - 1;
	if (run.spec->recording)
		record_answer(answer);
	return answer;
}

static void take_state_hash(void)
{
	run.state_hash = oracle_state_hash();
}

static void abandon(void)
{
	if (event_context.task != TASK_NONE)
		sched_abandon();
}

void run_on_violation(void (*hook)(void))
{
	run.on_violation = hook;
}

void run_on_stop(void (*hook)(const struct sched_stop *stop))
{
	run.on_stop = hook;
}

void run_on_switch(void (*hook)(const struct sched_stop *stop, u32 to))
{
	run.on_switch = hook;
}

static void watch_stop(void *ctx, const struct sched_stop *stop)
{
	run.on_stop(stop);
}

void run_spec_of(struct run_spec *spec, const struct repro *repro)
{
	*spec = (struct run_spec){
		.program = &repro->program,
		.bug = repro->bug,
		.forbidden = repro->forbidden,
		.strategy = strategy_by_name(repro->schedule.strategy),
		.seed = repro->schedule.seed,
		.has_first = repro->schedule.has_first,
		.first = repro->schedule.first,
		.directives = repro->schedule.directives,
		.nr_directives = repro->schedule.nr_directives,
	};
}

static void set_up(const struct run_spec *spec, struct sched_driver *driver)
{
	const struct oracle_config config = { .seq = spec->program->world.seq,
					      .forbidden = spec->forbidden };

	run.spec = spec;
	run.strategy = spec->strategy ? spec->strategy : &strategy_rows[STRATEGY_lowest];
	run.strategy_end = 0;
	run.state_hash = 0;
	run.directed = spec->has_first || spec->nr_directives;
	bug_state.armed = spec->bug;
	oracle_reset(&config);
	oracle_on_violation(run.on_violation ? run.on_violation : abandon);
	/* Strategies only compute; directives and recordings compare and print texts. */
	*driver = (struct sched_driver){ .next = next_by_strategy,
					 .value = value_by_strategy,
					 .self_contained = true };
	/* What the search does without. */
	if (run.directed || spec->recording) {
		driver->next = next_watched;
		driver->value = value_watched;
		driver->self_contained = false;
	}
	if (run.on_stop) {
		driver->record = watch_stop;
		driver->self_contained = false;
	}
	if (spec->recording) {
		driver->record = record_stop;
		record_begin(spec->recording);
		oracle_tap(record_event);
	}
	if (run.directed) {
		program_arm_op_ends(directives_need_op_ends(spec));
		directives_begin(spec);
	}
	program_set_driver(driver);
	run.strategy->begin(spec->seed);
}

static void take_down(const struct run_spec *spec, struct run_result *result)
{
	if (spec->recording) {
		oracle_tap(NULL);
		result->hash = spec->recording->hash;
		result->state_hash = run.state_hash;
	}
	if (run.directed) {
		directives_end(result);
		program_arm_op_ends(false);
	}
	bug_state.armed = BUG_none;
}

void run_execute(const struct run_spec *spec, struct run_result *result)
{
	static struct sched_driver driver;
	enum program_outcome outcome;
	const struct verdict *verdict;

	run_executes_here();
	set_up(spec, &driver);
	outcome = program_execute(spec->program, spec->recording ? take_state_hash : NULL);
	verdict = oracle_verdict();
	result->unmet = 0;
	result->hash = result->state_hash = 0;
	result->divergence[0] = result->died[0] = 0;
	result->points = sched_points();
	result->switches = event_context.switches;
	if (verdict->violated) {
		result->kind = VERDICT_VIOLATION;
		result->verdict = *verdict;
	} else {
		result->kind = outcome == PROGRAM_DONE ? VERDICT_NONE : VERDICT_UNFINISHED;
	}
	take_down(spec, result);
}

static void set_text(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from);
}

void result_expectation(struct expectation *expect, const struct run_result *result)
{
	const struct verdict *verdict = &result->verdict;

	*expect = (struct expectation){ .oracle = "none" };
	switch (result->kind) {
	case VERDICT_NONE:
		return;
	case VERDICT_UNFINISHED:
		set_text(expect->oracle, sizeof(expect->oracle), "unfinished");
		return;
	case VERDICT_SANITIZER:
	case VERDICT_FRAMEWORK:
		*expect = result->death;
		return;
	case VERDICT_VIOLATION:
		break;
	}
	set_text(expect->oracle, sizeof(expect->oracle), oracle_rows[verdict->oracle].name);
	set_text(expect->class, sizeof(expect->class), verdict->class);
	for (u32 i = 0; i < 2; i++)
		if (verdict->site[i])
			set_text(expect->site[i], sizeof(expect->site[i]),
				 site_text(verdict->site[i]));
}

/*
 * Memory that is freed is judged at the next verb that touches it. AddressSanitizer sees plain accesses as
 * well, and ends the run at one that comes before: the same use of freed memory.
 */
static bool is_second_net(const struct expectation *expected, const struct expectation *actual)
{
	return !strcmp(expected->oracle, oracle_rows[ORACLE_lifetime].name) &&
	       !strcmp(actual->oracle, "sanitizer") && !strncmp(actual->class, "use-after-", 10);
}

bool expectation_alike(const struct expectation *expected, const struct expectation *actual)
{
	const char *oracle = expected->oracle[0] ? expected->oracle : "none";

	if (is_second_net(expected, actual))
		return true;
	if (strcmp(oracle, actual->oracle))
		return false;
	return !expected->class[0] || !strcmp(expected->class, actual->class);
}

bool expectation_met(const struct expectation *expected, const struct expectation *actual)
{
	if (!expectation_alike(expected, actual))
		return false;
	if (is_second_net(expected, actual))
		return true;
	for (u32 i = 0; i < 2; i++)
		if (expected->site[i][0] && strcmp(expected->site[i], actual->site[i]))
			return false;
	return true;
}

void expectation_print(struct buf *buf, const struct expectation *expect)
{
	buf_printf(buf, "%s", expect->oracle[0] ? expect->oracle : "none");
	if (expect->class[0])
		buf_printf(buf, " %s", expect->class);
	if (expect->site[0][0])
		buf_printf(buf, "  %s", expect->site[0]);
	if (expect->site[1][0])
		buf_printf(buf, " / %s", expect->site[1]);
}

int result_exit_code(const struct run_result *result)
{
	switch (result->kind) {
	case VERDICT_NONE:
		return EXIT_EXPECTED;
	case VERDICT_UNFINISHED:
		return EXIT_UNFINISHED;
	case VERDICT_SANITIZER:
		return EXIT_SANITIZER;
	case VERDICT_FRAMEWORK:
		return EXIT_FRAMEWORK;
	case VERDICT_VIOLATION:
		break;
	}
	return result->verdict.oracle == ORACLE_progress ? EXIT_NO_PROGRESS : EXIT_SAFETY;
}

/* --- in a child --- */

struct isolated {
	const struct run_spec *spec;
	struct run_result *result;
};

static void run_in_child(void *ctx)
{
	const struct isolated *isolated = ctx;

	run_execute(isolated->spec, isolated->result);
}

void result_of_death(struct run_result *result, const struct death *death)
{
	result->kind = death->kind;
	memcpy(result->died, death->what, sizeof(result->died));
	death_expectation(&result->death, death);
}

void run_reported(const struct run_spec *spec, struct run_result *result, struct buf *report)
{
	static struct run_result *shared;
	struct isolated isolated = { .spec = spec };
	struct child child;
	struct death death;

	if (!shared)
		shared = shared_alloc(sizeof(*shared));
	memset(shared, 0, sizeof(*shared));
	isolated.result = shared;
	sites_count(); /* texts are made once, in the parent */
	child = child_start(run_in_child, &isolated);
	child_ended(&child, true, &death);
	*result = *shared;
	if (death.died) {
		result_of_death(result, &death);
		if (spec->recording)
			result->hash = spec->recording->hash;
	}
	buf_append(report, buf_text(&death.report), death.report.size);
	buf_free(&death.report);
}

void run_isolated(const struct run_spec *spec, struct run_result *result, bool loud)
{
	struct buf report = { 0 };

	run_reported(spec, result, &report);
	if (loud)
		fputs(buf_text(&report), stderr);
	buf_free(&report);
}
