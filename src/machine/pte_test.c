/*
 * The accessors of table entries, and the assist of the walker against them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "oracle/oracle.h"
#include "oracle/judge.h"
#include "machine/fixture.h"

static u64 cmpxchg_old, fetched, touched;
static bool cmpxchg_done;

static void accessors_task(u32 task)
{
	u64 *ptep = frame_words(root) + 6; /* far from what is walked below */

	pte_write(ptep, 0, 5);
	cmpxchg_old = pte_read(ptep);
	cmpxchg_done = pte_try_cmpxchg(ptep, &cmpxchg_old, 6);
	pte_xchg(ptep + 1, 9);
	fetched = pte_fetch_and(ptep + 1, ~1ull);
	touched = event_context.touched[task];
	access_once(0, 4, ACCESS_READ);
	touched += 100 * (event_context.touched[task] - touched);
}

static void environment_refuses_an_exchange(void **state)
{
	set_up();
	run(1, accessors_task, 0);
	assert_true(cmpxchg_done);
	assert_int_equal(frame_words(root)[6], 6);
	set_up();
	answers[ANSWER_CMPXCHG] = 1;
	run(1, accessors_task, 0);
	answers[ANSWER_CMPXCHG] = 0;
	assert_false(cmpxchg_done);
	assert_int_equal(cmpxchg_old, 5);
	assert_int_equal(frame_words(root)[6], 5);
}

static void refusal_is_told(void **state)
{
	listen(EVENT_BIT(EVENT_cmpxchg_refused));
	set_up();
	answers[ANSWER_CMPXCHG] = 1;
	run(1, accessors_task, 0);
	answers[ANSWER_CMPXCHG] = 0;
	listen(0);
	assert_int_equal(told[EVENT_cmpxchg_refused], 1);
	assert_int_equal(last_field[EVENT_cmpxchg_refused], 6);
}

static struct event_spte_changed last_change;

static void note_change(const struct event *event)
{
	const struct event_spte_changed *change = (const void *)event;

	if (event->id == EVENT_spte_changed && change->index == 7)
		last_change = *change;
}

static void bits_are_taken_away_in_one_step(void **state)
{
	listen_by(note_change, EVENT_BIT(EVENT_spte_changed));
	set_up();
	run(1, accessors_task, 0);
	listen(0);
	assert_int_equal(fetched, 9);
	assert_int_equal(frame_words(root)[7], 8);
	assert_int_equal(last_change.table, root);
	assert_int_equal(last_change.old, 9);
	assert_int_equal(last_change.new, 8);
	assert_int_equal(last_change.expected, 9);
	assert_int_equal(last_change.how, PTE_XCHG);
}

static u64 points_of_fill;

static void fill_task(u32 task)
{
	u64 before = sched_points();

	pte_fill(frame_words(root) + 7, 5);
	points_of_fill = sched_points() - before;
	touched = event_context.touched[task];
}

static void fill_of_a_private_table_is_told_and_nothing_else(void **state)
{
	listen_by(note_change, EVENT_BIT(EVENT_spte_changed));
	set_up();
	run(1, fill_task, 0);
	listen(0);
	assert_int_equal(frame_words(root)[7], 5);
	assert_int_equal(last_change.old, 0);
	assert_int_equal(last_change.new, 5);
	assert_int_equal(last_change.expected, 0);
	assert_int_equal(last_change.how, PTE_PLAIN);
	assert_int_equal(points_of_fill, 0);
	assert_int_equal(touched, 0);
}

static void software_is_counted_and_the_walker_is_not(void **state)
{
	set_up();
	run(1, accessors_task, 0);
	assert_int_equal(touched, 5);
}

static u64 zapped;

static void assist_vs_zap_task(u32 task)
{
	if (task == 0)
		result[0] = access_once(0, 5, ACCESS_WRITE);
	else
		zapped = pte_xchg(contended, 0);
}

static void assist_never_revives_an_entry(void **state)
{
	u32 done = 0, dirty = 0;

	for (u64 i = 0; i < SCHEDULES; i++) {
		set_up_contended();
		run(2, assist_vs_zap_task, i);
		assert_int_equal(*contended, 0);
		/* The write got through if and only if the zapper saw its D bit. */
		assert_int_equal(result[0] == GUEST_DONE, !!(zapped & PTE_D));
		done += result[0] == GUEST_DONE;
		dirty += !!(zapped & PTE_D);
	}
	assert_in_range(done, 1, SCHEDULES - 1);
	assert_int_equal(done, dirty);
}

static u64 taken[2];

/* Two agers and a write: nobody's change of a bit may undo another's. */
static void fetch_and_vs_assist_task(u32 task)
{
	if (task == 2)
		result[0] = access_once(0, 5, ACCESS_WRITE);
	else
		taken[task] = pte_fetch_and(contended, task ? ~PTE_D : ~PTE_A);
}

static void bits_taken_away_are_seen_by_who_took_them(void **state)
{
	u32 dirty_taken = 0, dirty_left = 0;

	for (u64 i = 0; i < SCHEDULES; i++) {
		set_up_contended();
		*contended |= PTE_A;
		run(3, fetch_and_vs_assist_task, i);
		assert_int_equal(result[0], GUEST_DONE);
		/* The walker has set D once: it is in memory, or who cleared it knows. */
		assert_int_equal(!!(taken[1] & PTE_D) + !!(*contended & PTE_D), 1);
		assert_true(taken[0] & PTE_A);
		assert_int_equal(*contended & ~(PTE_A | PTE_D), leaf(99, PTE_RWX));
		dirty_taken += !!(taken[1] & PTE_D);
		dirty_left += !!(*contended & PTE_D);
	}
	assert_true(dirty_taken && dirty_left);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(environment_refuses_an_exchange),
		cmocka_unit_test(refusal_is_told),
		cmocka_unit_test(bits_are_taken_away_in_one_step),
		cmocka_unit_test(fill_of_a_private_table_is_told_and_nothing_else),
		cmocka_unit_test(software_is_counted_and_the_walker_is_not),
		cmocka_unit_test(assist_never_revives_an_entry),
		cmocka_unit_test(bits_taken_away_are_seen_by_who_took_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
