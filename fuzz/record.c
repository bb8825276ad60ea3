/*
 * A recorded run: every stop and every event, and one hash over all of them. The hash is made of
 * texts, numbers of tasks and objects, and values, so that it is equal in every build of one source.
 */
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"

/* Passes of each site in the current op of each task. */
struct passes {
	u64 stamp; /* serial number of the recording and op (of rcu0: callback) that count belongs to */
	u32 count;
};

static struct {
	struct recording *to;
	struct passes *passes; /* TASKS_MAX * nr_sites */
	u32 nr_sites;
	u64 serial;
	bool open; /* the last step waits for its choice */
} record;

struct recording *recording_alloc(void)
{
	return shared_alloc(sizeof(struct recording));
}

void record_begin(struct recording *recording)
{
	if (!record.passes) {
		record.nr_sites = sites_count();
		record.passes =
			calloc((size_t)TASKS_MAX * (record.nr_sites + 1), sizeof(*record.passes));
		ASSERT(record.passes);
	}
	record.to = recording;
	record.serial++;
	record.open = false;
	recording->hash = recording->runnable_hash = HASH_SEED;
	recording->nr_steps = recording->nr_events = recording->lost = 0;
}

static u32 count_pass(const struct sched_stop *stop)
{
	struct passes *passes =
		&record.passes[stop->task * record.nr_sites + site_number(stop->site)];
	u64 stamp = record.serial * CALLBACKS_MAX + stop->op % CALLBACKS_MAX;

	if (passes->stamp != stamp)
		*passes = (struct passes){ .stamp = stamp };
	return ++passes->count;
}

/* The value at a point, by the size that its site declares; 0 where nobody may look. */
static u64 value_at(const struct sched_site *site, const volatile void *addr)
{
	if (site->object != SCHED_VALUE || !addr || !program_memory_live(addr))
		return 0;
	switch (site->size) {
	case 1:
		return *(const volatile u8 *)addr;
	case 2:
		return *(const volatile u16 *)addr;
	case 4:
		return *(const volatile u32 *)addr;
	case 8:
		return *(const volatile u64 *)addr;
	default:
		return 0;
	}
}

static void hash_step(struct recording *to, const struct step *step)
{
	u64 hash = hash_u64(to->hash, step->kind);

	hash = hash_u64(hash, step->task);
	hash = hash_u64(hash, step->op);
	hash = hash_u64(hash, step->site ? step->site->hash : 0);
	hash = hash_u64(hash, step->object);
	to->hash = hash_u64(hash, step->value);
	to->runnable_hash = hash_u64(to->runnable_hash, step->runnable);
}

void record_stop(void *ctx, const struct sched_stop *stop)
{
	struct recording *to = record.to;
	struct step step = {
		.site = stop->site,
		.runnable = stop->runnable,
		.ordinal = (u32)sched_ordinal(),
		.kind = (u8)stop->kind,
		.task = (u8)stop->task,
		.op = (u16)stop->op,
		.chosen = stop->due ? (u8)TASK_NONE : (u8)stop->task,
		.due = stop->due,
	};

	/* An op's end is a stop only where a directive needs it: no part of the trace. */
	record.open = stop->kind != SCHED_AT_END || !(stop->runnable & BIT_ULL(stop->task));
	if (!record.open)
		return;
	if (stop->site) {
		step.occurrence = count_pass(stop);
		step.object = program_object_id(stop->addr);
		step.value = value_at(stop->site, stop->addr);
	}
	hash_step(to, &step);
	if (to->nr_steps < STEPS_MAX) {
		to->steps[to->nr_steps++] = step;
	} else {
		to->lost++;
		record.open = false;
	}
}

void record_choice(u32 task)
{
	if (record.open)
		record.to->steps[record.to->nr_steps - 1].chosen = (u8)task;
}

void record_answer(u64 answer)
{
	struct recording *to = record.to;
	u32 nth = to->nr_steps;

	/* The default is what those are told, too, who are not asked. */
	if (!answer)
		return;
	to->hash = hash_u64(to->hash, answer);
	/* The point was passed by this task, maybe some switches ago. */
	while (nth--) {
		struct step *step = &to->steps[nth];

		if (step->task != event_context.task)
			continue;
		step->answered = true;
		step->answer = answer;
		return;
	}
}

void record_event(const struct event *event)
{
	struct recording *to = record.to;
	struct recorded_event *place;

	to->hash = event_hash(to->hash, event);
	to->hash = hash_u64(to->hash, event->site ? event->site->hash : 0);
	if (to->nr_events == EVENTS_MAX) {
		to->lost++;
		return;
	}
	place = &to->events[to->nr_events++];
	place->step = to->nr_steps;
	place->head = *event;
	for (u32 i = 0; i < event_rows[event->id].nr_fields; i++)
		place->fields[i] = event_field(event, i);
}

static const char *const kind_names[] = {
	[SCHED_AT_BEGIN] = "begin", [SCHED_AT_POINT] = "point", [SCHED_AT_BLOCK] = "block",
	[SCHED_AT_START] = "start", [SCHED_AT_END] = "end",
};

void step_print(struct buf *buf, const struct step *step)
{
	if (step->kind == SCHED_AT_BEGIN)
		buf_printf(buf, "begin");
	else if (step->task == TASK_RCU)
		buf_printf(buf, "rcu0 callback %u ~%u %s", step->op + 1, step->ordinal,
			   kind_names[step->kind]);
	else
		buf_printf(buf, "task %u op %u ~%u %s", step->task, step->op + 1, step->ordinal,
			   kind_names[step->kind]);
	if (step->site)
		buf_printf(buf, " %s#%u", site_text(step->site), step->occurrence);
	if (step->object)
		buf_printf(buf, " object %#llx", (unsigned long long)step->object);
	if (step->site && step->site->object == SCHED_VALUE)
		buf_printf(buf, " value %#llx", (unsigned long long)step->value);
	if (step->answered)
		buf_printf(buf, " answer %llu", (unsigned long long)step->answer);
	if (step->chosen == step->task || step->chosen == TASK_NONE)
		return;
	buf_printf(buf, step->chosen == TASK_RCU ? " -> " : " -> task ");
	task_print(buf, step->chosen);
}

static void recorded_event_print(struct buf *buf, const struct recorded_event *event)
{
	const struct event_row *row = &event_rows[event->head.id];

	buf_printf(buf, "    %s", row->name);
	for (u32 i = 0; i < row->nr_fields; i++)
		buf_printf(buf, " %s=%#llx", row->fields[i], (unsigned long long)event->fields[i]);
}

void recording_print(struct buf *buf, const struct recording *recording)
{
	u32 event = 0;

	for (u32 i = 0; i <= recording->nr_steps; i++) {
		for (; event < recording->nr_events && recording->events[event].step == i;
		     event++) {
			recorded_event_print(buf, &recording->events[event]);
			buf_printf(buf, "\n");
		}
		if (i < recording->nr_steps) {
			step_print(buf, &recording->steps[i]);
			buf_printf(buf, "\n");
		}
	}
	if (recording->lost)
		buf_printf(buf, "(%u more stops and events are not shown)\n", recording->lost);
}

static bool steps_equal(const struct step *a, const struct step *b)
{
	return a->kind == b->kind && a->task == b->task && a->op == b->op && a->site == b->site &&
	       a->object == b->object && a->value == b->value && a->runnable == b->runnable &&
	       a->chosen == b->chosen && a->answer == b->answer;
}

bool recording_difference(struct buf *buf, const struct recording *a, const struct recording *b)
{
	u32 i = 0;

	if (a->hash == b->hash && a->runnable_hash == b->runnable_hash)
		return false;
	while (i < a->nr_steps && i < b->nr_steps && steps_equal(&a->steps[i], &b->steps[i]))
		i++;
	buf_printf(buf, "two runs of one schedule part at stop %u of %u and %u\n", i, a->nr_steps,
		   b->nr_steps);
	for (u32 nth = 0; nth < 2; nth++) {
		const struct recording *run = nth ? b : a;

		buf_printf(buf, "  %s run: ", nth ? "second" : "first");
		if (i < run->nr_steps) {
			step_print(buf, &run->steps[i]);
			buf_printf(buf, " runnable %#llx",
				   (unsigned long long)run->steps[i].runnable);
		} else {
			buf_printf(buf, "no difference in stops; the events differ");
		}
		buf_printf(buf, "\n");
	}
	return true;
}
