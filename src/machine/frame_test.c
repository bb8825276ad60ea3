/*
 * Frames: users, generations, runs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "oracle/oracle.h"
#include "oracle/judge.h"
#include "machine/fixture.h"

static void frames_count_users_and_generations(void **state)
{
	pfn_t pfn;

	kern_reset();
	machine_reset();
	assert_int_equal(inspect_frame_generation(1), 0);
	pfn = frame_alloc(FRAME_PAGE_TABLE);
	assert_int_equal(pfn, 1);
	assert_int_equal(inspect_frame_count(pfn), 1);
	assert_true(inspect_frame_is(pfn, FRAME_PAGE_TABLE));
	assert_false(inspect_frame_is(pfn, FRAME_HOST_PAGE));
	frame_words(pfn)[1] = 7;
	assert_int_equal(inspect_table_entry(pfn, 1), 7);
	frame_free(pfn);
	assert_false(inspect_frame_is(pfn, FRAME_PAGE_TABLE));
	assert_int_equal(inspect_table_entry(pfn, 1), 0);
	frame_free(pfn); /* warned of, ignored */
	assert_int_equal(frame_alloc(FRAME_HOST_PAGE), pfn);
	assert_int_equal(inspect_frame_generation(pfn), 2);
	assert_int_equal(inspect_nr_frames(), 1);
	kern_reset();
	machine_reset();
	assert_int_equal(inspect_frame_count(pfn), 0);
	assert_int_equal(inspect_frame_generation(pfn), 0);
}

static void put_too_often_task(u32 task)
{
	frame_put(root);
	frame_put(root);
	frame_get(root);
	frame_get(root);
	frame_put(root);
}

/* A subject that counts wrongly is the oracles' business: the machine must survive it. */
static void wrong_counts_do_no_harm(void **state)
{
	kern_reset();
	machine_reset();
	root = frame_alloc(FRAME_HOST_PAGE);
	run(1, put_too_often_task, 0);
	assert_false(inspect_frame_is(root, FRAME_HOST_PAGE));
	assert_int_equal(frame_alloc(FRAME_HOST_PAGE), root);
	assert_int_equal(inspect_frame_count(root), 1);
}

static void last_put_frees_task(u32 task)
{
	frame_put(root);
}

static void last_put_frees(void **state)
{
	for (u64 i = 0; i < 20; i++) {
		kern_reset();
		machine_reset();
		root = frame_alloc(FRAME_HOST_PAGE);
		frame_set_users(root, 3);
		run(3, last_put_frees_task, i);
		assert_int_equal(inspect_frame_count(root), 0);
		assert_int_equal(frame_alloc(FRAME_HOST_PAGE), root);
	}
}

static void runs_are_aligned_host_pages(void **state)
{
	pfn_t single, run, freed;

	listen(EVENT_BIT(EVENT_frame_allocated));
	kern_reset();
	machine_reset();
	single = frame_alloc(FRAME_PAGE_TABLE);
	run = frame_alloc_run(8);
	listen(0);
	assert_int_equal(single, 1);
	assert_int_equal(run, 8);
	assert_int_equal(told[EVENT_frame_allocated], 9);
	for (pfn_t pfn = run; pfn < run + 8; pfn++) {
		assert_true(inspect_frame_is(pfn, FRAME_HOST_PAGE));
		assert_int_equal(inspect_frame_count(pfn), 1);
		assert_int_equal(inspect_frame_generation(pfn), 1);
	}
	/* What alignment has skipped is no frame yet, though among those that oracles look through. */
	assert_int_equal(inspect_nr_frames(), 15);
	assert_int_equal(inspect_frame_generation(2), 0);
	assert_false(inspect_frame_is(2, FRAME_HOST_PAGE));
	assert_int_equal(frame_alloc(FRAME_PAGE_TABLE), 2);
	assert_int_equal(inspect_frame_generation(2), 1);
	freed = run + 3;
	frame_free(freed);
	assert_int_equal(frame_alloc(FRAME_HOST_PAGE), freed);
	assert_int_equal(inspect_frame_generation(freed), 2);
}

/* A failure takes nothing; and single pages are still to be had when no run is. */
static void no_room_for_a_run_is_said(void **state)
{
	u32 runs = 0, used;

	kern_reset();
	machine_reset();
	while (frame_alloc_run(64))
		runs++;
	assert_int_equal(runs, KERN_PAGES_MAX / 64 - 1);
	used = inspect_nr_frames();
	assert_int_equal(used, KERN_PAGES_MAX - 1);
	assert_int_equal(frame_alloc_run(64), 0);
	assert_int_equal(inspect_nr_frames(), used);
	assert_int_equal(frame_alloc(FRAME_PAGE_TABLE), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_count_users_and_generations),
		cmocka_unit_test(wrong_counts_do_no_harm),
		cmocka_unit_test(last_put_frees),
		cmocka_unit_test(runs_are_aligned_host_pages),
		cmocka_unit_test(no_room_for_a_run_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
