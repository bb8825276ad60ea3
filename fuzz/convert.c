/*
 * From a schedule that a strategy made to directives by site: what deviates from the default
 * schedule, in the order in which it happened. Most of a random walk's switches do not matter; when
 * there are more than a text may hold, they are thinned out first, keeping the verdict.
 */
#include "fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

struct directive_list {
	struct directive *at;
	u32 nr, room;
};

static struct directive *list_add(struct directive_list *list)
{
	if (list->nr == list->room) {
		list->room = list->room ? list->room * 2 : 64;
		list->at = realloc(list->at, list->room * sizeof(*list->at));
		ASSERT(list->at);
	}
	memset(&list->at[list->nr], 0, sizeof(*list->at));
	return &list->at[list->nr++];
}

static u32 step_default(const struct step *step)
{
	if (step->kind == SCHED_AT_POINT || step->kind == SCHED_AT_START)
		return step->task;
	return (u32)__builtin_ctzll(step->runnable);
}

static struct directive *add_at(struct directive_list *list, const struct step *step)
{
	struct directive *directive = list_add(list);

	directive->task = step->task;
	directive->op = step->op;
	directive->ordinal = step->ordinal;
	directive->place = step->kind == SCHED_AT_START ? AT_START
			   : step->kind == SCHED_AT_END ? AT_END
							: AT_SITE;
	if (directive->place == AT_SITE) {
		directive->site.occurrence = step->occurrence;
		snprintf(directive->site.text, sizeof(directive->site.text), "%s",
			 site_text(step->site));
	} else {
		directive->ordinal = 0;
	}
	return directive;
}

static void collect(struct directive_list *list, struct schedule *schedule,
		    const struct recording *recording)
{
	for (u32 i = 0; i < recording->nr_steps; i++) {
		const struct step *step = &recording->steps[i];
		struct directive *directive;

		if (step->answered && step->answer) {
			directive = add_at(list, step);
			directive->action = DO_ANSWER;
			directive->answer = step->answer;
		}
		if (!step->due || step->chosen == TASK_NONE || step->chosen == step_default(step))
			continue;
		if (step->kind == SCHED_AT_BEGIN) {
			schedule->has_first = true;
			schedule->first = step->chosen;
			continue;
		}
		directive = add_at(list, step);
		directive->action = DO_SWITCH;
		directive->to = step->chosen;
	}
}

/* @spec, scheduled by the directives of @list alone and not recorded. */
static struct run_spec directed_spec(const struct run_spec *spec, const struct schedule *schedule,
				     const struct directive_list *list)
{
	struct run_spec directed = *spec;

	directed.strategy = NULL;
	directed.recording = NULL;
	directed.has_first = schedule->has_first;
	directed.first = schedule->first;
	directed.directives = list->at;
	directed.nr_directives = list->nr;
	return directed;
}

/* Whether the directives of @list alone lead to @expect. @strict: and each of them is met. */
static bool leads_to(const struct run_spec *spec, const struct schedule *schedule,
		     const struct directive_list *list, const struct expectation *expect,
		     bool strict)
{
	struct run_spec directed = directed_spec(spec, schedule, list);
	struct run_result result;
	struct expectation actual;

	run_isolated(&directed, &result, false);
	result_expectation(&actual, &result);
	return expectation_met(expect, &actual) && !(strict && result.unmet);
}

static void remove_range(struct directive_list *to, const struct directive_list *from, u32 start,
			 u32 count)
{
	to->nr = 0;
	for (u32 i = 0; i < from->nr; i++)
		if (i < start || i >= start + count)
			*list_add(to) = from->at[i];
}

/* Leaves out ever smaller parts of @list while the verdict stays. */
static void thin_out(const struct run_spec *spec, const struct schedule *schedule,
		     struct directive_list *list, const struct expectation *expect)
{
	struct directive_list fewer = { 0 };

	for (u32 part = (list->nr + 1) / 2; part; part = part == 1 ? 0 : (part + 1) / 2) {
		for (u32 start = list->nr; start;) {
			u32 count = min_u64(part, start);

			start -= count;
			remove_range(&fewer, list, start, count);
			if (leads_to(spec, schedule, &fewer, expect, false)) {
				struct directive_list swapped = *list;

				*list = fewer;
				fewer = swapped;
			}
		}
	}
	free(fewer.at);
}

/* Hints and occurrences as they are now that other directives are gone. */
static void refresh(const struct run_spec *spec, struct schedule *schedule,
		    struct directive_list *list, const struct expectation *expect)
{
	static struct recording *recording;
	struct directive_list fresh = { 0 };
	struct schedule start = { 0 };
	struct run_spec directed = directed_spec(spec, schedule, list);
	struct run_result result;

	if (!recording)
		recording = recording_alloc();
	directed.recording = recording;
	run_isolated(&directed, &result, false);
	collect(&fresh, &start, recording);
	if (fresh.nr <= list->nr && leads_to(spec, &start, &fresh, expect, true)) {
		struct directive_list old = *list;

		*schedule = start;
		*list = fresh;
		fresh = old;
	}
	free(fresh.at);
}

bool convert_schedule(struct repro *repro, const struct run_spec *spec,
		      const struct recording *recording, const struct expectation *expect)
{
	struct directive_list list = { 0 };
	struct schedule schedule = { 0 };
	bool done = false;

	if (recording->lost)
		return false;
	collect(&list, &schedule, recording);
	if (leads_to(spec, &schedule, &list, expect, false)) {
		if (list.nr > DIRECTIVES_MAX || !leads_to(spec, &schedule, &list, expect, true))
			thin_out(spec, &schedule, &list, expect);
		refresh(spec, &schedule, &list, expect);
		done = list.nr <= DIRECTIVES_MAX && leads_to(spec, &schedule, &list, expect, true);
	}
	if (done) {
		schedule.nr_directives = list.nr;
		if (list.nr)
			memcpy(schedule.directives, list.at, list.nr * sizeof(*list.at));
		repro->schedule = schedule;
	}
	free(list.at);
	return done;
}

void repro_describe(struct repro *repro, const struct run_spec *spec, const char *target)
{
	const struct strategy *strategy =
		spec->strategy ? spec->strategy : &strategy_rows[STRATEGY_lowest];

	snprintf(repro->target, sizeof(repro->target), "%s", target);
	repro->bug = spec->bug;
	repro->forbidden = spec->forbidden;
	snprintf(repro->why, sizeof(repro->why), "%s",
		 spec->bug ? bug_rows[spec->bug].why : "Not known yet.");
	snprintf(repro->fix, sizeof(repro->fix), "%s",
		 spec->bug ? bug_rows[spec->bug].fix : "unfixed");
	snprintf(repro->schedule.strategy, sizeof(repro->schedule.strategy), "%s", strategy->name);
	repro->schedule.seed = spec->seed;
}

void repro_of_spec(struct repro *repro, const struct run_spec *spec, const char *target)
{
	memset(repro, 0, sizeof(*repro));
	repro->program = *spec->program;
	repro_describe(repro, spec, target);
	repro->schedule.has_first = spec->has_first;
	repro->schedule.first = spec->first;
	repro->schedule.nr_directives = (u32)min_u64(spec->nr_directives, DIRECTIVES_MAX);
	if (spec->nr_directives)
		memcpy(repro->schedule.directives, spec->directives,
		       repro->schedule.nr_directives * sizeof(*spec->directives));
}

bool convert_failure(struct repro *repro, const struct run_spec *spec, const char *target,
		     struct run_result *result)
{
	static struct recording *recording;
	struct run_spec recorded = *spec;

	if (!recording)
		recording = recording_alloc();
	recorded.recording = recording;
	run_isolated(&recorded, result, false);
	repro_of_spec(repro, spec, target);
	result_expectation(&repro->expect, result);
	return convert_schedule(repro, spec, recording, &repro->expect);
}
