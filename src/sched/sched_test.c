/* The scheduler alone: default order, switches at points, blocking, awaiting, abandoning, limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/hash.h"
#include "sched/sched.h"

void event_sink(const struct event *event)
{
}

static struct sched_site site_a = { 0, SCHED_NOTHING, 0, 0, "body", "a(x)", 0 };
static struct sched_site site_b = { 0, SCHED_NOTHING, 0, 0, "body", "b(x)", 0 };

static u32 order[256], nr_order;
static u64 word;

static void note(u32 what)
{
	if (nr_order < ARRAY_SIZE(order))
		order[nr_order++] = what;
}

/* Switches to the next runnable task after every point (ctx != NULL), else the default schedule. */
static u32 next_round(void *ctx, const struct sched_stop *stop)
{
	u64 later;

	if (!ctx)
		return sched_preferred(stop);
	sched_grant(1);
	later = stop->task == TASK_NONE ? stop->runnable
					: stop->runnable & ~(BIT_ULL(stop->task + 1) - 1);
	return (u32)__builtin_ctzll(later ? later : stop->runnable);
}

static u64 value_one(void *ctx, const struct sched_stop *stop, u64 bound)
{
	return bound - 1;
}

static enum sched_outcome run(void *ctx, u32 nr, void (*body)(u32 task), u64 limit)
{
	struct sched_driver driver = { .ctx = ctx, .next = next_round, .value = value_one };

	nr_order = 0;
	word = 0;
	return sched_run(&driver, nr, body, limit);
}

static void body_points(u32 task)
{
	sched_op_begin(0);
	for (u32 i = 0; i < 3; i++) {
		sched_point(&site_a, NULL);
		note(task);
	}
}

static void tasks_run_one_after_another_by_default(void **state)
{
	const u32 expected[] = { 0, 0, 0, 1, 1, 1 };

	assert_int_equal(run(NULL, 2, body_points, 1000), SCHED_DONE);
	assert_int_equal(nr_order, 6);
	assert_memory_equal(order, expected, sizeof(expected));
	assert_int_equal(event_context.switches, 3); /* in, over, out */
}

static void a_grant_ends_after_its_points(void **state)
{
	const u32 expected[] = { 0, 1, 0, 1, 0, 1 };
	int on;

	assert_int_equal(run(&on, 2, body_points, 1000), SCHED_DONE);
	assert_int_equal(nr_order, 6);
	assert_memory_equal(order, expected, sizeof(expected));
}

static void an_armed_site_stops(void **state)
{
	int on;

	site_a.armed = 1;
	assert_int_equal(run(&on, 2, body_points, 1000), SCHED_DONE);
	site_a.armed = 0;
	assert_int_equal(order[1], 1);
}

static void body_await(u32 task)
{
	u64 seen = 0;

	sched_op_begin(0);
	if (task == 0) {
		sched_await(&site_a, &word, &seen, sizeof(seen));
		note((u32)word);
		return;
	}
	sched_point(&site_b, &word);
	word = 7;
	note(99);
}

static void await_returns_after_the_change(void **state)
{
	assert_int_equal(run(NULL, 2, body_await, 1000), SCHED_DONE);
	assert_int_equal(order[0], 99);
	assert_int_equal(order[1], 7);
}

static void body_stuck(u32 task)
{
	sched_op_begin(0);
	if (task == 0)
		sched_block(&site_a, NULL);
	note(task);
}

static void a_task_that_nobody_wakes_is_stuck(void **state)
{
	assert_int_equal(run(NULL, 2, body_stuck, 1000), SCHED_STUCK);
	assert_int_equal(sched.live, 1);
	assert_ptr_equal(sched_site_of(0), &site_a);
	/* The abandoned fiber starts from its beginning again. */
	assert_int_equal(run(NULL, 2, body_points, 1000), SCHED_DONE);
	assert_int_equal(nr_order, 6);
}

static void body_abandon(u32 task)
{
	sched_op_begin(0);
	sched_point(&site_a, NULL);
	if (task == 1)
		sched_abandon();
	note(task);
}

static void abandoning_ends_at_once(void **state)
{
	int on;

	assert_int_equal(run(&on, 3, body_abandon, 1000), SCHED_ABANDONED);
	assert_int_equal(run(NULL, 3, body_points, 1000), SCHED_DONE);
	assert_int_equal(nr_order, 9);
}

static void body_endless(u32 task)
{
	sched_op_begin(0);
	for (;;)
		sched_point(&site_a, NULL);
}

static void the_limit_leaves_a_schedule_unfinished(void **state)
{
	assert_int_equal(run(NULL, 2, body_endless, 500), SCHED_UNFINISHED);
	assert_int_equal(sched_points(), 500);
}

static void body_value(u32 task)
{
	sched_op_begin(0);
	note((u32)sched_value(&site_a, NULL, 3, 5));
}

static void answers_come_from_the_driver(void **state)
{
	assert_int_equal(run(NULL, 1, body_value, 100), SCHED_DONE);
	assert_int_equal(order[0], 4);
}

static u64 recorded, recorded_due;

static void record(void *ctx, const struct sched_stop *stop)
{
	recorded++;
	recorded_due += stop->due;
}

static void recording_sees_every_point_and_changes_nothing(void **state)
{
	int on;
	struct sched_driver driver = {
		.ctx = &on, .next = next_round, .value = value_one, .record = record
	};
	u32 plain[6];

	assert_int_equal(run(&on, 2, body_points, 1000), SCHED_DONE);
	for (u32 i = 0; i < 6; i++)
		plain[i] = order[i];
	nr_order = 0;
	recorded = recorded_due = 0;
	assert_int_equal(sched_run(&driver, 2, body_points, 1000), SCHED_DONE);
	assert_memory_equal(order, plain, sizeof(plain));
	assert_true(recorded >= 6 && recorded_due <= recorded);
}

static void a_site_prints_without_blanks(void **state)
{
	struct sched_site site = { .function = "f", .expression = "READ_ONCE(a -> b)" };
	struct buf buf = { 0 };

	sched_site_print(&buf, &site);
	assert_string_equal(buf_text(&buf), "f:READ_ONCE(a->b)");
	buf_free(&buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tasks_run_one_after_another_by_default),
		cmocka_unit_test(a_grant_ends_after_its_points),
		cmocka_unit_test(an_armed_site_stops),
		cmocka_unit_test(await_returns_after_the_change),
		cmocka_unit_test(a_task_that_nobody_wakes_is_stuck),
		cmocka_unit_test(abandoning_ends_at_once),
		cmocka_unit_test(the_limit_leaves_a_schedule_unfinished),
		cmocka_unit_test(answers_come_from_the_driver),
		cmocka_unit_test(recording_sees_every_point_and_changes_nothing),
		cmocka_unit_test(a_site_prints_without_blanks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
