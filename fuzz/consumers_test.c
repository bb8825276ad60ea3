/*
 * Who asks for the age of pages is told apart by what he holds, whom he asks, and in which order: by nothing
 * else may the MMU's answers differ between them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "fuzz/fuzz.h"

/* The second of two tasks; the first one has touched the page and is through. */
#define AGER   1u
#define WORLDS 200u

static const struct consumer {
	enum op_id op;
	enum age_consumer id;
	/* Locks of the host taken and let go, callbacks that have returned, judgements. */
	const char *expected;
} consumers[AGE_CONSUMER_COUNT] = {
	{ OP_shrink, AGE_RECLAIM, "in:reclaim +rmap +ptl clear_flush_young young -ptl -rmap end" },
	{ OP_page_idle, AGE_PAGE_IDLE, "+rmap +ptl clear_young young -ptl -rmap end" },
	{ OP_look_around, AGE_LOOK_AROUND,
	  "in:reclaim +rmap +ptl clear_young young clear_young old -ptl -rmap end" },
	{ OP_damon, AGE_DAMON,
	  "+mmap +ptl clear_young young -ptl -mmap +mmap +ptl test_young old -ptl -mmap end" },
};

static struct {
	char text[2048];
	size_t size;
	bool ages;
	u64 consumer;
	u32 judged;
} trace;

static void put(const char *sign, const char *word)
{
	int size = snprintf(trace.text + trace.size, sizeof(trace.text) - trace.size, "%s%s%s",
			    trace.size ? " " : "", sign, word);

	trace.size += (size_t)size;
	assert_true(trace.size < sizeof(trace.text));
}

static void put_lock(const char *sign, u64 class)
{
	if (class == LOCK_mmap_lock)
		put(sign, "mmap");
	else if (class == LOCK_rmap_lock)
		put(sign, "rmap");
	else if (class == LOCK_ptl)
		put(sign, "ptl");
}

static const char *call_name(u64 call)
{
	switch (call) {
	case NOTIFIER_CLEAR_FLUSH_YOUNG:
		return "clear_flush_young";
	case NOTIFIER_CLEAR_YOUNG:
		return "clear_young";
	case NOTIFIER_TEST_YOUNG:
		return "test_young";
	default:
		return "another";
	}
}

static void watch_ager(const struct event *event)
{
	switch (event->id) {
	case EVENT_lock_acquired:
		return put_lock("+", event_field(event, 1));
	case EVENT_lock_released:
		return put_lock("-", event_field(event, 1));
	case EVENT_lock_nested:
		/* Reclaim is no lock, and is told of once, by the first lock taken inside. */
		if (event_field(event, 0) == LOCK_fs_reclaim &&
		    event_field(event, 1) == LOCK_rmap_lock)
			put("in:", "reclaim");
		return;
	case EVENT_subscriber_called:
		return put("", call_name(event_field(event, 1)));
	case EVENT_age_judged:
		trace.judged++;
		return put("", event_field(event, 1) ? "young" : "old");
	case EVENT_age_ended:
		trace.ages = false;
		return put("", "end");
	default:
		return;
	}
}

static void watch(const struct event *event)
{
	if (event->task != AGER)
		return;
	if (event->id == EVENT_age_begun) {
		trace.ages = true;
		trace.consumer = event_field(event, 0);
	} else if (trace.ages) {
		watch_ager(event);
	}
}

static void run_watched(const struct run_spec *spec)
{
	struct run_result result;

	memset(&trace, 0, sizeof(trace));
	oracle_tap(watch);
	run_execute(spec, &result);
	oracle_tap(NULL);
	assert_int_equal(result.kind, VERDICT_NONE);
	assert_false(trace.ages);
}

static void load(struct repro *repro, const struct consumer *consumer)
{
	static char text[1 << 12];
	struct text_error error;
	char path[160];
	size_t size;
	FILE *file;

	snprintf(path, sizeof(path), "reproducers/age_by_%s.repro", op_rows[consumer->op].name);
	file = fopen(path, "r");
	assert_non_null(file);
	size = fread(text, 1, sizeof(text), file);
	fclose(file);
	assert_true(repro_parse(repro, text, size, &error));
}

static void each_consumer_has_its_trace(void **unused)
{
	static struct repro repro;

	for (u32 i = 0; i < AGE_CONSUMER_COUNT; i++) {
		struct run_spec spec;

		load(&repro, &consumers[i]);
		if (repro.program.world.geometry != PT_INDEX_BITS)
			skip();
		assert_int_equal(repro.program.tasks[AGER].ops[0].id, consumers[i].op);
		run_spec_of(&spec, &repro);
		run_watched(&spec);
		assert_int_equal(trace.consumer, consumers[i].id);
		assert_string_equal(trace.text, consumers[i].expected);
	}
}

/* Return: a slot that vCPUs see from the start, whose first page no huge leaf maps; NULL if there is none. */
static const struct subject_slot *usual_slot(const struct world *world)
{
	for (u32 i = 0; i < world->nr_slots; i++) {
		const struct subject_slot *slot = &world->slots[i];
		bool huge = false;

		for (u32 map = 0; map < world->nr_maps; map++)
			huge |= world->maps[map].order && world->maps[map].start <= slot->hva &&
				world->maps[map].end > slot->hva;
		if (!huge && !slot->as_id && !(world->absent & BIT_ULL(slot->id)))
			return slot;
	}
	return NULL;
}

/* The world of @program, in which one vCPU touches the first page of @slot and is followed by an ager. */
static void set_tasks(struct program *program, const struct subject_slot *slot, enum op_id op)
{
	bool range = op_forms[op_rows[op].args].range;

	program->nr_tasks = 2;
	program->tasks[0] = (struct task_program){
		.kind = TASK_VCPU,
		.nr_ops = 1,
		.ops = { { .id = OP_touch, .start = slot->start } },
	};
	program->tasks[AGER] = (struct task_program){
		.kind = TASK_NOTIFIER,
		.nr_ops = 1,
		.ops = { { .id = (u8)op, .start = slot->hva, .end = range ? slot->hva + 1 : 0 } },
	};
}

/* Return: false when the world maps no such page, so that there is nothing to ask for. */
static bool run_all(struct program *program, char texts[][sizeof(trace.text)])
{
	const struct run_spec spec = { .program = program };
	const struct subject_slot *slot = usual_slot(&program->world);

	for (u32 i = 0; i < AGE_CONSUMER_COUNT && slot; i++) {
		set_tasks(program, slot, consumers[i].op);
		assert_true(program_valid(program, NULL));
		run_watched(&spec);
		if (!trace.judged)
			return false;
		memcpy(texts[i], trace.text, sizeof(trace.text));
	}
	return slot;
}

/* (The host asks for huge leafs as reclaim does, who looks around, too: those are left out.) */
static void no_consumer_is_like_another(void **unused)
{
	static char texts[AGE_CONSUMER_COUNT][sizeof(trace.text)];
	static struct program program;
	u32 worlds = 0;

	/* A table of 512 neighbours makes a trace that nobody reads. */
	if (PT_INDEX_BITS != 3)
		skip();
	for (u64 seed = 1; worlds < WORLDS; seed++) {
		assert_true(seed < 4 * WORLDS);
		program_generate(&program, target_by_name("age_vs_zap"), seed, &variant_default);
		if (!run_all(&program, texts))
			continue;
		worlds++;
		for (u32 i = 0; i < AGE_CONSUMER_COUNT; i++)
			for (u32 k = 0; k < i; k++)
				assert_string_not_equal(texts[i], texts[k]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_consumer_has_its_trace),
		cmocka_unit_test(no_consumer_is_like_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
