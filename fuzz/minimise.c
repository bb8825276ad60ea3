/*
 * Making a reproducer small. Every step proposes a smaller reproducer and keeps it when the verdict
 * (oracle, class, sites) is the same; the steps are repeated until none succeeds.
 *
 * Leaving out an op or a task changes what the directives meet. When a smaller program does not fail
 * under the directives that are left, a short search looks for a schedule under which it does, and
 * the one with the fewest switches becomes the new list of directives.
 */
#include "fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"

#define SEARCH_SCHEDULES 3000
#define ATTEMPTS_MAX	 50000
#define SECONDS_MAX	 120.0

/* What a search in a child found. */
struct found {
	bool found;
	u64 seed, switches;
	u32 strategy;
};

static struct {
	struct expectation expect;
	struct repro best;
	struct repro trial;
	struct recording *recording;
	struct found *found;
	u64 attempts;
	double deadline;
} mini;

static bool out_of_time(void)
{
	return mini.attempts >= ATTEMPTS_MAX || campaign_interrupted() ||
	       (mini.attempts % 16 == 0 && seconds_now() > mini.deadline);
}

static bool valid(const struct repro *repro)
{
	struct text_error error;

	return repro->program.nr_tasks && program_valid(&repro->program, &error);
}

/* Whether @repro fails as it has to. @strict: and every directive is met. */
static bool fails(const struct repro *repro, bool strict)
{
	struct expectation actual;
	struct run_result result;
	struct run_spec spec;

	mini.attempts++;
	run_spec_of(&spec, repro);
	run_isolated(&spec, &result, false);
	result_expectation(&actual, &result);
	return expectation_met(&mini.expect, &actual) && !(strict && result.unmet);
}

/* Takes the trial when it is valid and fails. */
static bool keep_if_fails(void)
{
	if (out_of_time() || !valid(&mini.trial) || !fails(&mini.trial, true))
		return false;
	mini.best = mini.trial;
	return true;
}

static struct repro *propose(void)
{
	mini.trial = mini.best;
	return &mini.trial;
}

static void search_in_child(void *ctx)
{
	struct found *found = ctx;
	struct run_spec spec;
	struct run_result result;
	struct expectation actual;

	run_spec_of(&spec, &mini.trial);
	spec.has_first = false;
	spec.nr_directives = 0;
	for (u32 i = 0; i < SEARCH_SCHEDULES; i++) {
		u32 row = i ? 1 + i % (STRATEGY_COUNT - 1) : STRATEGY_lowest;

		spec.strategy = &strategy_rows[row];
		spec.seed = hash_u64(HASH_SEED, i);
		run_execute(&spec, &result);
		if (result.kind != VERDICT_VIOLATION ||
		    (found->found && result.switches >= found->switches))
			continue;
		result_expectation(&actual, &result);
		if (expectation_met(&mini.expect, &actual))
			*found = (struct found){ true, spec.seed, result.switches, row };
	}
}

/* Looks for another schedule under which the trial fails. Return: whether it was turned into one. */
static bool search_schedule(void)
{
	struct run_result result;
	struct run_spec spec;
	struct child child;
	struct death death;

	if (out_of_time() || !valid(&mini.trial) || !strcmp(mini.expect.oracle, "sanitizer"))
		return false;
	memset(mini.found, 0, sizeof(*mini.found));
	mini.attempts++;
	child = child_start(search_in_child, mini.found);
	child_ended(&child, true, &death);
	buf_free(&death.report);
	if (!mini.found->found)
		return false;
	run_spec_of(&spec, &mini.trial);
	spec.has_first = false;
	spec.nr_directives = 0;
	spec.strategy = &strategy_rows[mini.found->strategy];
	spec.seed = mini.found->seed;
	spec.recording = mini.recording;
	run_isolated(&spec, &result, false);
	return convert_schedule(&mini.trial, &spec, mini.recording, &mini.expect);
}

/* Takes the trial if it fails as it stands, or under another schedule. */
static bool keep_or_search(void)
{
	if (keep_if_fails())
		return true;
	if (!search_schedule())
		return false;
	mini.best = mini.trial;
	return true;
}

/* --- tasks and ops --- */

/* Whether @task has its number by its place behind @removed; that of rcu0 is fixed. */
static bool above(u32 task, u32 removed)
{
	return task > removed && task != TASK_RCU;
}

static void filter_directives(struct schedule *schedule, u32 task, s64 op)
{
	u32 nr = 0;

	for (u32 i = 0; i < schedule->nr_directives; i++) {
		struct directive directive = schedule->directives[i];

		if (op < 0) {
			if (directive.task == task ||
			    (directive.action != DO_ANSWER && directive.to == task))
				continue;
			directive.task -= above(directive.task, task);
			if (directive.action != DO_ANSWER)
				directive.to -= above(directive.to, task);
		} else if (directive.task == task) {
			if (directive.op == op)
				continue;
			directive.op -= directive.op > op;
		}
		schedule->directives[nr++] = directive;
	}
	schedule->nr_directives = nr;
}

static void remove_task(struct repro *repro, u32 task)
{
	struct program *program = &repro->program;

	filter_directives(&repro->schedule, task, -1);
	if (repro->schedule.has_first) {
		if (repro->schedule.first == task)
			repro->schedule.has_first = false;
		else
			repro->schedule.first -= repro->schedule.first > task;
	}
	program->nr_tasks--;
	memmove(&program->tasks[task], &program->tasks[task + 1],
		(program->nr_tasks - task) * sizeof(program->tasks[0]));
	memset(&program->tasks[program->nr_tasks], 0, sizeof(program->tasks[0]));
}

static bool drop_tasks(void)
{
	bool changed = false;

	for (u32 task = mini.best.program.nr_tasks; task-- && mini.best.program.nr_tasks > 1;) {
		remove_task(propose(), task);
		changed |= keep_or_search();
	}
	return changed;
}

static bool drop_ops(void)
{
	bool changed = false;

	for (u32 task = 0; task < mini.best.program.nr_tasks; task++) {
		for (u32 op = mini.best.program.tasks[task].nr_ops;
		     op-- && mini.best.program.tasks[task].nr_ops > 1;) {
			struct repro *trial = propose();
			struct task_program *body = &trial->program.tasks[task];

			filter_directives(&trial->schedule, task, op);
			body->nr_ops--;
			memmove(&body->ops[op], &body->ops[op + 1],
				(body->nr_ops - op) * sizeof(body->ops[0]));
			memset(&body->ops[body->nr_ops], 0, sizeof(body->ops[0]));
			changed |= keep_or_search();
		}
	}
	return changed;
}

/* The slots get the numbers of their places, and what names them follows. */
static void renumber_slots(struct program *program)
{
	struct world *world = &program->world;
	u32 absent = 0;
	u8 to[SLOTS_MAX] = { 0 };

	for (u32 i = 0; i < world->nr_slots; i++) {
		to[world->slots[i].id] = (u8)i;
		absent |= (world->absent >> world->slots[i].id & 1) << i;
		world->slots[i].id = i;
	}
	world->absent = absent;
	for (u32 i = 0; i < program->nr_tasks; i++)
		for (u32 j = 0; j < program->tasks[i].nr_ops; j++)
			program->tasks[i].ops[j].slot = to[program->tasks[i].ops[j].slot];
}

/* vCPUs are numbered in the order of their tasks, memslots in their own. */
static bool renumber(void)
{
	struct program *program = &propose()->program;
	u8 next = 0;

	for (u32 i = 0; i < program->nr_tasks; i++)
		if (program->tasks[i].kind == TASK_VCPU)
			program->tasks[i].vcpu = next++;
	renumber_slots(program);
	return memcmp(&mini.trial.program, &mini.best.program, sizeof(mini.best.program)) &&
	       keep_if_fails();
}

/* --- the world --- */

static bool drop_world_lines(void)
{
	bool changed = false;

	for (u32 i = mini.best.program.world.nr_slots;
	     i-- && mini.best.program.world.nr_slots > 1;) {
		struct world *world = &propose()->program.world;

		world->nr_slots--;
		world->absent &= ~(1u << world->slots[i].id);
		memmove(&world->slots[i], &world->slots[i + 1],
			(world->nr_slots - i) * sizeof(world->slots[0]));
		memset(&world->slots[world->nr_slots], 0, sizeof(world->slots[0]));
		changed |= keep_if_fails();
	}
	for (u32 i = mini.best.program.world.nr_maps; i--;) {
		struct world *world = &propose()->program.world;

		world->nr_maps--;
		memmove(&world->maps[i], &world->maps[i + 1],
			(world->nr_maps - i) * sizeof(world->maps[0]));
		memset(&world->maps[world->nr_maps], 0, sizeof(world->maps[0]));
		changed |= keep_if_fails();
	}
	return changed;
}

static bool set_number(u64 *best, u64 *trial, u64 value)
{
	if (*best == value)
		return false;
	*trial = value;
	return keep_if_fails();
}

#define TRY_FIELD(field, value) (propose(), set_number(&mini.best.field, &mini.trial.field, value))

/* Nobody subscribes but the MMU; slots are there, and in the first address space. */
static bool default_slots(void)
{
	bool changed = false;

	for (u32 i = 0; i < 8 * sizeof(u32); i++) {
		if (!(mini.best.program.world.subscribers >> i & 1))
			continue;
		propose()->program.world.subscribers &= ~(1u << i);
		changed |= keep_if_fails();
	}
	for (u32 i = 0; i < mini.best.program.world.nr_slots; i++) {
		const struct subject_slot *slot = &mini.best.program.world.slots[i];

		if (mini.best.program.world.absent >> slot->id & 1) {
			propose()->program.world.absent &= ~(1u << slot->id);
			changed |= keep_if_fails();
		}
		if (slot->as_id) {
			propose()->program.world.slots[i].as_id = 0;
			changed |= keep_if_fails();
		}
	}
	return changed;
}

/* Knobs have their default value, one by one; what upstream has is as good. */
static bool default_variant(void)
{
	bool changed = false;

	for (u32 knob = 0; knob < KNOB_COUNT; knob++) {
		u8 value = mini.best.program.world.variant.knob[knob];

		if (value == variant_default.knob[knob] || value == variant_upstream.knob[knob])
			continue;
		propose()->program.world.variant.knob[knob] = variant_default.knob[knob];
		changed |= keep_if_fails();
	}
	return changed;
}

static bool default_world(void)
{
	bool changed = false;
	struct world *world;

	changed |= TRY_FIELD(program.world.seq, 0);
	changed |= TRY_FIELD(program.world.points_max, world_points_default(PT_INDEX_BITS));
	world = &propose()->program.world;
	world->levels = WORLD_LEVELS_DEFAULT;
	if (mini.best.program.world.levels != world->levels)
		changed |= keep_if_fails();
	for (u32 i = 0; i < mini.best.program.world.nr_maps; i++) {
		if (!mini.best.program.world.maps[i].read_only)
			continue;
		propose()->program.world.maps[i].read_only = false;
		changed |= keep_if_fails();
	}
	return changed;
}

/* Ends come down to one page behind the start, by halves. */
static bool shrink_end(u64 *best_end, u64 *trial_end, u64 start)
{
	bool changed = false;

	for (u64 size = 1; start + size < *best_end; size *= 2) {
		propose();
		*trial_end = start + size;
		if (keep_if_fails()) {
			changed = true;
			break;
		}
	}
	return changed;
}

static bool shrink_ranges(void)
{
	bool changed = false;

	for (u32 task = 0; task < mini.best.program.nr_tasks; task++) {
		for (u32 op = 0; op < mini.best.program.tasks[task].nr_ops; op++) {
			struct op *best = &mini.best.program.tasks[task].ops[op];
			struct op *trial = &mini.trial.program.tasks[task].ops[op];

			if (!op_form(best)->range)
				continue;
			changed |= shrink_end(&best->end, &trial->end, best->start);
			if (best->end - best->start < 2)
				continue;
			propose();
			trial->start = trial->end - 1;
			changed |= keep_if_fails();
		}
	}
	for (u32 i = 0; i < mini.best.program.world.nr_maps; i++)
		changed |= shrink_end(&mini.best.program.world.maps[i].end,
				      &mini.trial.program.world.maps[i].end,
				      mini.best.program.world.maps[i].start);
	return changed;
}

/* Accesses become reads where it does not matter. */
static bool simplify_accesses(void)
{
	bool changed = false;

	for (u32 task = 0; task < mini.best.program.nr_tasks; task++) {
		for (u32 op = 0; op < mini.best.program.tasks[task].nr_ops; op++) {
			if (mini.best.program.tasks[task].ops[op].access == ACCESS_READ)
				continue;
			propose()->program.tasks[task].ops[op].access = ACCESS_READ;
			changed |= keep_if_fails();
		}
	}
	return changed;
}

/* --- directives --- */

static bool drop_directives(void)
{
	bool changed = false;

	for (u32 i = mini.best.schedule.nr_directives; i--;) {
		struct schedule *schedule = &propose()->schedule;

		schedule->nr_directives--;
		memmove(&schedule->directives[i], &schedule->directives[i + 1],
			(schedule->nr_directives - i) * sizeof(schedule->directives[0]));
		changed |= keep_if_fails();
	}
	if (mini.best.schedule.has_first) {
		propose()->schedule.has_first = false;
		changed |= keep_if_fails();
	}
	return changed;
}

/* Two directives often stand for one: leaving out a pair helps where single ones do not. */
static bool drop_pairs(void)
{
	for (u32 i = 0; i < mini.best.schedule.nr_directives; i++) {
		for (u32 k = i + 1; k < mini.best.schedule.nr_directives; k++) {
			struct schedule *schedule = &propose()->schedule;
			u32 nr = 0;

			for (u32 n = 0; n < mini.best.schedule.nr_directives; n++)
				if (n != i && n != k)
					schedule->directives[nr++] =
						mini.best.schedule.directives[n];
			schedule->nr_directives = nr;
			if (keep_if_fails())
				return true;
		}
	}
	return false;
}

/* The stop of the best run that @directive was met at; NULL when there is none. */
static const struct step *step_of(const struct directive *directive)
{
	for (u32 i = 0; i < mini.recording->nr_steps; i++) {
		const struct step *step = &mini.recording->steps[i];

		if (step->site && step->task == directive->task && step->op == directive->op &&
		    step->occurrence == directive->site.occurrence &&
		    !strcmp(site_text(step->site), directive->site.text))
			return step;
	}
	return NULL;
}

static void record_best(void)
{
	struct run_result result;
	struct run_spec spec;

	run_spec_of(&spec, &mini.best);
	spec.recording = mini.recording;
	run_isolated(&spec, &result, false);
}

/* Moves a switch that stands between locks to the nearest earlier lock operation of its op. */
static bool move_to_lock(u32 nth)
{
	const struct directive *directive = &mini.best.schedule.directives[nth];
	const struct step *at;

	if (directive->action != DO_SWITCH || directive->place != AT_SITE)
		return false;
	record_best();
	at = step_of(directive);
	if (!at || at->kind == SCHED_AT_BLOCK || at->site->object == SCHED_LOCK)
		return false;
	for (const struct step *step = at; step > mini.recording->steps;) {
		struct directive *moved;

		step--;
		if (step->task != at->task)
			continue;
		if (step->op != at->op)
			return false;
		if (!step->site || step->site->object != SCHED_LOCK)
			continue;
		moved = &propose()->schedule.directives[nth];
		moved->ordinal = step->ordinal;
		moved->site.occurrence = step->occurrence;
		snprintf(moved->site.text, sizeof(moved->site.text), "%s", site_text(step->site));
		return keep_if_fails();
	}
	return false;
}

static bool move_switches(void)
{
	bool changed = false;

	for (u32 i = 0; i < mini.best.schedule.nr_directives; i++)
		changed |= move_to_lock(i);
	return changed;
}

/* Another schedule of the same program may need fewer directives. */
static bool find_fewer(void)
{
	u32 before = schedule_depth(&mini.best.schedule);
	struct repro old = mini.best;
	bool better;

	propose();
	if (before < 2 || !search_schedule())
		return false;
	mini.best = mini.trial;
	while (drop_directives() || drop_pairs())
		;
	better = schedule_depth(&mini.best.schedule) < before;
	if (!better)
		mini.best = old;
	return better;
}

/* Ordinals and sites as they are in the final program. */
static void refresh_directives(void)
{
	struct run_spec spec;

	record_best();
	propose();
	run_spec_of(&spec, &mini.best);
	if (convert_schedule(&mini.trial, &spec, mini.recording, &mini.expect) &&
	    mini.trial.schedule.nr_directives <= mini.best.schedule.nr_directives)
		mini.best = mini.trial;
}

static void to_fixed_point(void)
{
	bool changed;

	do {
		changed = drop_tasks();
		changed |= drop_ops();
		changed |= drop_directives();
		changed |= drop_pairs();
		changed |= drop_world_lines();
		changed |= default_world();
		changed |= default_slots();
		changed |= default_variant();
		changed |= shrink_ranges();
		changed |= simplify_accesses();
		changed |= renumber();
		changed |= find_fewer();
		changed |= move_switches();
	} while (changed && !out_of_time());
}

/* A text that still names a strategy gets directives first, if that is possible. */
static void convert_first(void)
{
	struct run_result result;
	struct run_spec spec;

	if (!mini.best.schedule.strategy[0])
		return;
	run_spec_of(&spec, &mini.best);
	spec.recording = mini.recording;
	run_isolated(&spec, &result, false);
	propose();
	if (convert_schedule(&mini.trial, &spec, mini.recording, &mini.expect) || search_schedule())
		mini.best = mini.trial;
}

static bool prepare(const struct repro *repro, struct buf *message)
{
	struct expectation actual;
	struct run_result result;
	struct run_spec spec;

	if (!mini.recording) {
		mini.recording = recording_alloc();
		mini.found = shared_alloc(sizeof(*mini.found));
	}
	mini.attempts = 1;
	mini.deadline = seconds_now() + SECONDS_MAX;
	mini.best = *repro;
	run_spec_of(&spec, repro);
	run_isolated(&spec, &result, false);
	result_expectation(&actual, &result);
	/* Sites that the text leaves open are part of the verdict that is kept. */
	mini.expect = mini.best.expect = actual;
	if (!strcmp(actual.oracle, "sanitizer"))
		reports_prepare();
	if (strcmp(actual.oracle, "none") && expectation_met(&repro->expect, &actual))
		return true;
	buf_printf(message, "expected ");
	expectation_print(message, &repro->expect);
	buf_printf(message, ", found ");
	expectation_print(message, &actual);
	if (result.unmet)
		buf_printf(message, "; %s", result.divergence);
	return false;
}

bool minimise(struct repro *repro, struct minimise_stats *stats, struct buf *message)
{
	double start = seconds_now();

	if (!prepare(repro, message))
		return false;
	convert_first();
	to_fixed_point();
	refresh_directives();
	*repro = mini.best;
	*stats = (struct minimise_stats){
		.ops = program_nr_ops(&repro->program),
		.tasks = repro->program.nr_tasks,
		.directives = schedule_depth(&repro->schedule),
		.attempts = mini.attempts,
		.seconds = seconds_now() - start,
	};
	return true;
}
