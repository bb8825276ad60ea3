/*
 * Directives over a strategy. A directive with a site is met where its task has passed that site for
 * the given time in the given op: the site is armed, so every pass is a stop and is counted here. A
 * directive without one is met by ordinal: the grant of its task ends there. Each directive is met
 * once; those that are not are the divergence of the replay.
 */
#include "fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

struct watch {
	u32 site; /* number of the armed site, SITE_NOWHERE when matched otherwise */
	u32 until_site;
	u32 passes;
	bool met;
};

static struct {
	const struct run_spec *spec;
	struct watch *watches;
	u32 room;
	struct {
		u32 op;
		u64 ordinal;
		bool between; /* behind the end of op, before the start of the next */
	} tasks[TASKS_MAX];
	struct {
		bool active, passed;
		u32 task, other;
		u32 site, left;
	} until;
	char refusal[300]; /* why the first directive that was reached could not be obeyed */
} state;

static bool by_site(const struct directive *directive)
{
	return directive->place == AT_SITE && directive->site.text[0];
}

/*
 * Whether the task ends with the op. rcu0 ends whenever nothing more is queued, and is started again: that
 * is what the end of a callback means; what comes before another one is the start of that.
 */
static bool last_op(const struct run_spec *spec, const struct directive *directive)
{
	if (directive->task == TASK_RCU)
		return true;
	return directive->task < spec->program->nr_tasks &&
	       directive->op + 1u >= spec->program->tasks[directive->task].nr_ops;
}

bool directives_need_op_ends(const struct run_spec *spec)
{
	for (u32 i = 0; i < spec->nr_directives; i++) {
		const struct directive *directive = &spec->directives[i];

		if (directive->place == AT_START)
			return true;
		if (directive->place == AT_END && !last_op(spec, directive))
			return true;
		if (directive->place == AT_SITE && !directive->site.text[0] && directive->op)
			return true;
	}
	return false;
}

void directives_begin(const struct run_spec *spec)
{
	if (spec->nr_directives > state.room) {
		state.room = spec->nr_directives;
		state.watches = realloc(state.watches, state.room * sizeof(*state.watches));
		ASSERT(state.watches);
	}
	state.spec = spec;
	state.refusal[0] = 0;
	state.until.active = false;
	for (u32 i = 0; i < TASKS_MAX; i++) {
		state.tasks[i].op = 0;
		state.tasks[i].ordinal = 0;
		state.tasks[i].between = false;
	}
	for (u32 i = 0; i < spec->nr_directives; i++) {
		const struct directive *directive = &spec->directives[i];
		struct watch *watch = &state.watches[i];

		*watch = (struct watch){ .site = SITE_NOWHERE, .until_site = SITE_NOWHERE };
		if (by_site(directive))
			watch->site = site_by_text(directive->site.text);
		if (directive->action == DO_UNTIL)
			watch->until_site = site_by_text(directive->until.text);
		if (watch->site != SITE_NOWHERE)
			site_arm(watch->site, true);
		if (watch->until_site != SITE_NOWHERE)
			site_arm(watch->until_site, true);
	}
}

/* Says where @task stands, as far as it explains why it does not go on. */
static void print_standing(struct buf *buf, u32 task)
{
	if (task == TASK_RCU)
		buf_printf(buf, "rcu0");
	else
		buf_printf(buf, "task %u", task);
	if (task != TASK_RCU && task >= state.spec->program->nr_tasks)
		buf_printf(buf, " does not exist");
	else if (!(sched.live & BIT_ULL(task)))
		buf_printf(buf, task == TASK_RCU ? " has nothing to run" : " has ended");
	else if (!(sched.runnable & BIT_ULL(task)) || (sched.awaiting & BIT_ULL(task)))
		buf_printf(buf, " is blocked on %s", site_text(sched_site_of(task)));
	else
		buf_printf(buf, " stands at %s", site_text(sched_site_of(task)));
}

/* @directive was reached but @task, which it names, cannot run. */
static void refuse(u32 task)
{
	struct buf buf = { 0 };

	if (state.refusal[0])
		return;
	print_standing(&buf, task);
	snprintf(state.refusal, sizeof(state.refusal), "%s", buf_text(&buf));
	buf_free(&buf);
}

static bool occurs_here(const struct directive *directive, const struct watch *watch)
{
	return watch->passes == (directive->site.occurrence ? directive->site.occurrence : 1);
}

static bool matches(const struct directive *directive, const struct watch *watch,
		    const struct sched_stop *stop)
{
	bool runnable = stop->runnable & BIT_ULL(stop->task);

	switch (directive->place) {
	case AT_START:
		return stop->kind == SCHED_AT_START;
	case AT_END:
		return stop->kind == SCHED_AT_END && runnable != last_op(state.spec, directive);
	default:
		if (!directive->site.text[0])
			return stop->kind != SCHED_AT_END && directive->ordinal == sched_ordinal();
		return stop->site && watch->site == site_number(stop->site) &&
		       occurs_here(directive, watch);
	}
}

static void count_passes(const struct sched_stop *stop)
{
	u32 number;

	if (!stop->site || !stop->site->armed)
		return;
	number = site_number(stop->site);
	for (u32 i = 0; i < state.spec->nr_directives; i++) {
		const struct directive *directive = &state.spec->directives[i];

		if (state.watches[i].site == number && directive->task == stop->task &&
		    directive->op == stop->op)
			state.watches[i].passes++;
	}
	if (state.until.active && state.until.other == stop->task && state.until.site == number &&
	    state.until.left && !--state.until.left)
		state.until.passed = true;
}

static bool obey(const struct directive *directive, struct watch *watch,
		 const struct sched_stop *stop, u32 *to)
{
	if (!(stop->runnable & BIT_ULL(directive->to))) {
		refuse(directive->to);
		return false;
	}
	watch->met = directive->action == DO_SWITCH;
	*to = directive->to;
	if (directive->action == DO_SWITCH)
		return true;
	if (watch->until_site == SITE_NOWHERE)
		return false;
	state.until.active = true;
	state.until.passed = false;
	state.until.task = directive->task;
	state.until.other = directive->to;
	state.until.site = watch->until_site;
	state.until.left = directive->until.occurrence ? directive->until.occurrence : 1;
	return true;
}

static void until_done(void)
{
	state.until.active = false;
	for (u32 i = 0; i < state.spec->nr_directives; i++)
		if (state.spec->directives[i].action == DO_UNTIL &&
		    state.spec->directives[i].task == state.until.task &&
		    state.watches[i].until_site == state.until.site)
			state.watches[i].met = true;
}

static void note_place(const struct sched_stop *stop)
{
	if (stop->task == TASK_NONE)
		return;
	state.tasks[stop->task].op = stop->op;
	state.tasks[stop->task].ordinal = sched_ordinal();
	state.tasks[stop->task].between = stop->kind == SCHED_AT_END;
}

bool directives_next(const struct sched_stop *stop, u32 *to)
{
	bool passing = state.until.active && state.until.passed;

	note_place(stop);
	if (stop->kind == SCHED_AT_BEGIN) {
		if (!state.spec->has_first)
			return false;
		*to = state.spec->first;
		if (stop->runnable & BIT_ULL(*to))
			return true;
		refuse(*to);
		return false;
	}
	count_passes(stop);
	/* The awaited site was passed at the stop before this one: the delayed task goes on. */
	if (passing && stop->task == state.until.other) {
		until_done();
		if (stop->runnable & BIT_ULL(state.until.task)) {
			*to = state.until.task;
			return true;
		}
	}
	for (u32 i = 0; i < state.spec->nr_directives; i++) {
		const struct directive *directive = &state.spec->directives[i];

		if (directive->action == DO_ANSWER || directive->task != stop->task ||
		    directive->op != stop->op || state.watches[i].met)
			continue;
		if (matches(directive, &state.watches[i], stop) &&
		    obey(directive, &state.watches[i], stop, to))
			return true;
	}
	return false;
}

u32 directives_veto(const struct sched_stop *stop, u32 to)
{
	u64 others = stop->runnable & ~BIT_ULL(state.until.task);

	if (!state.until.active || to != state.until.task)
		return to;
	if (stop->runnable & BIT_ULL(state.until.other))
		return state.until.other;
	if (others)
		return (u32)__builtin_ctzll(others);
	refuse(state.until.other);
	state.until.active = false;
	return to;
}

u64 directives_grant(u32 task)
{
	u64 grant = ~0ull;
	u32 op = state.tasks[task].op + state.tasks[task].between;
	u64 ordinal = state.tasks[task].between ? 0 : state.tasks[task].ordinal;

	if (state.until.active && state.until.passed && state.until.other == task)
		return 1;
	for (u32 i = 0; i < state.spec->nr_directives; i++) {
		const struct directive *directive = &state.spec->directives[i];

		if (state.watches[i].met || directive->task != task || directive->op != op ||
		    directive->action == DO_ANSWER)
			continue;
		if (directive->place == AT_START && state.tasks[task].between)
			grant = 1;
		else if (directive->place == AT_SITE && !directive->site.text[0] &&
			 directive->ordinal > ordinal)
			grant = min_u64(grant, directive->ordinal - ordinal);
	}
	return grant;
}

bool directives_answer(const struct sched_stop *stop, u64 *answer)
{
	for (u32 i = 0; i < state.spec->nr_directives; i++) {
		const struct directive *directive = &state.spec->directives[i];

		if (directive->action != DO_ANSWER || directive->task != stop->task ||
		    directive->op != stop->op || state.watches[i].met ||
		    !matches(directive, &state.watches[i], stop))
			continue;
		state.watches[i].met = true;
		*answer = directive->answer;
		return true;
	}
	return false;
}

static void explain_unmet(struct run_result *result, u32 nth)
{
	const struct directive *directive = &state.spec->directives[nth];
	const struct watch *watch = &state.watches[nth];
	struct buf buf = { 0 };

	directive_print(&buf, state.spec->program, directive);
	buf_printf(&buf, ": ");
	if (by_site(directive) && watch->site == SITE_NOWHERE) {
		buf_printf(&buf, "no site has this text");
	} else if (directive->action == DO_UNTIL && watch->until_site == SITE_NOWHERE) {
		buf_printf(&buf, "no site is named %s", directive->until.text);
	} else if (state.refusal[0]) {
		buf_printf(&buf, "%s", state.refusal);
	} else {
		buf_printf(&buf, "never reached");
		if (watch->passes)
			buf_printf(&buf, " (the site was passed %u times)", watch->passes);
		buf_printf(&buf, "; ");
		print_standing(&buf, directive->task);
	}
	snprintf(result->divergence, sizeof(result->divergence), "%s", buf_text(&buf));
	buf_free(&buf);
}

void directives_end(struct run_result *result)
{
	for (u32 i = 0; i < state.spec->nr_directives; i++) {
		if (state.watches[i].site != SITE_NOWHERE)
			site_arm(state.watches[i].site, false);
		if (state.watches[i].until_site != SITE_NOWHERE)
			site_arm(state.watches[i].until_site, false);
		if (state.watches[i].met)
			continue;
		if (!result->unmet++) {
			result->unmet_first = i;
			explain_unmet(result, i);
		}
	}
	if (!result->unmet && state.refusal[0]) {
		result->unmet = 1;
		result->unmet_first = 0;
		snprintf(result->divergence, sizeof(result->divergence), "start %u: %s",
			 state.spec->first, state.refusal);
	}
}
