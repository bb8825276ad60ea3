/*
 * notifier_pairing, each invariant on a violation and on its legal neighbour, in a world made by hand (fake_world.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "oracle/fake_world.h"

static void mmu_ends(void)
{
	lock(LOCK_EXCLUSIVE);
	event(invalidate_ended, 0);
	event(in_progress_lowered, .count = 0);
	unlock();
	event(active_lowered, .count = 0);
	called(0, NOTIFIER_END, 0);
}

static void starts_have_ends(void **state)
{
	notified_world();
	mmu_starts();
	called(1, NOTIFIER_START, 11);
	mmu_ends();
	notification_over();
	silent();
	notified_world();
	mmu_starts();
	notification_over();
	convicted(ORACLE_notifier_pairing, "NP1");
	assert_int_equal(oracle_verdict()->task[1], 1);

	/* Who has refused hears no end; nor who was not told. */
	notified_world();
	called(0, NOTIFIER_START, 11);
	notification_over();
	silent();
	as(1);
	event(notifier_start, .start = HVA + 3, .end = HVA + 4);
	called(0, NOTIFIER_START, 11);
	called(0, NOTIFIER_END, 0);
	convicted(ORACLE_notifier_pairing, "NP1");
	notified_world();
	called(0, NOTIFIER_END, 0);
	convicted(ORACLE_notifier_pairing, "NP1");
	notified_world();
	mmu_starts();
	mmu_ends();
	called(0, NOTIFIER_END, 0);
	convicted(ORACLE_notifier_pairing, "NP1");

	/* The host goes on although one of several has refused. */
	notified_world();
	called(1, NOTIFIER_START, 11);
	mmu_starts();
	silent();
	event(notifier_start_returned, .start = HVA + 3, .end = HVA + 4);
	convicted(ORACLE_notifier_pairing, "NP1");

	/* Of another range. */
	notified_world();
	event(subscriber_called, .subscriber = 0, .what = NOTIFIER_START, .start = HVA,
	      .end = HVA + 4);
	convicted(ORACLE_notifier_pairing, "NP1");

	/* Released in between. */
	notified_world();
	mmu_starts();
	as(2);
	called(0, NOTIFIER_RELEASE, 0);
	as(1);
	notification_over();
	silent();
}

static void invalidations_pair_up(void **state)
{
	notified_world();
	called(0, NOTIFIER_START, 0);
	called(0, NOTIFIER_END, 0);
	notification_over();
	silent();
	notified_world();
	event(active_raised, .count = 1);
	called(0, NOTIFIER_START, 0);
	lock(LOCK_EXCLUSIVE);
	event(invalidate_ended, 0);
	event(in_progress_lowered, .count = 0);
	unlock();
	called(0, NOTIFIER_END, 0);
	notification_over();
	convicted(ORACLE_notifier_pairing, "NP2");

	/* A range that is zapped for the VM itself stands alone. */
	world();
	for (u32 i = 0; i < 2; i++) {
		lock(LOCK_EXCLUSIVE);
		event(invalidate_begun, 0);
		event(invalidate_range_added, .start = 3, .end = 4);
		event(invalidate_ended, 0);
		event(in_progress_lowered, .count = 0);
		unlock();
	}
	silent();
}

static void steps_have_an_order(void **state)
{
	notified_world();
	event(invalidate_begun, 0);
	convicted(ORACLE_notifier_pairing, "NP5");

	notified_world();
	mmu_starts();
	event(in_progress_lowered, .count = 0);
	convicted(ORACLE_notifier_pairing, "NP5");

	notified_world();
	mmu_starts();
	event(active_lowered, .count = 0);
	silent();
	event(invalidate_ended, 0);
	convicted(ORACLE_notifier_pairing, "NP5");

	notified_world();
	mmu_starts();
	event(invalidate_ended, 0);
	event(active_lowered, .count = 0);
	silent();
	event(in_progress_lowered, .count = 0);
	convicted(ORACLE_notifier_pairing, "NP5");
}

static void releases_and_leaving(void **state)
{
	notified_world();
	called(0, NOTIFIER_RELEASE, 0);
	as(2);
	event(subscriber_left, .subscriber = 0);
	called(0, NOTIFIER_RELEASE, 0);
	event(subscriber_left, .subscriber = 1);
	silent();
	called(0, NOTIFIER_CHANGE_PTE, 0);
	convicted(ORACLE_notifier_pairing, "NP4");

	notified_world();
	for (u32 i = 0; i < 2; i++)
		called(0, NOTIFIER_RELEASE, 0);
	silent();
	called(0, NOTIFIER_RELEASE, 0);
	convicted(ORACLE_notifier_pairing, "NP4");

	notified_world();
	event(subscriber_left, .subscriber = 0);
	convicted(ORACLE_notifier_pairing, "NP4");
}

/* A huge page is split between the start and the end of another notification. */
static void inner_pair(bool ends)
{
	notified_world();
	mmu_starts();
	event(notifier_start_returned, .start = HVA + 3, .end = HVA + 4);
	event(notifier_start, .start = HVA, .end = HVA + GFNS);
	event(active_raised, .count = 2);
	event(invalidate_begun, 0);
	event(subscriber_called, .subscriber = 0, .what = NOTIFIER_START, .start = HVA,
	      .end = HVA + GFNS);
	event(notifier_start_returned, .start = HVA, .end = HVA + GFNS);
	if (ends) {
		event(invalidate_ended, 0);
		event(in_progress_lowered, .count = 1);
		event(active_lowered, .count = 1);
		event(subscriber_called, .subscriber = 0, .what = NOTIFIER_END, .start = HVA,
		      .end = HVA + GFNS);
	}
	event(notifier_end_returned, .start = HVA, .end = HVA + GFNS);
}

static void pairs_nest(void **state)
{
	inner_pair(true);
	mmu_ends();
	notification_over();
	silent();
	inner_pair(false);
	convicted(ORACLE_notifier_pairing, "NP1");
	/* What the inner one has ended is not the outer one's. */
	inner_pair(true);
	notification_over();
	convicted(ORACLE_notifier_pairing, "NP1");
}

static void scan(void)
{
	event(pfncaches_scanned, .start = HVA + 3, .end = HVA + 4);
}

static void pfncaches_are_scanned_in_between(void **state)
{
	notified_world();
	event(active_raised, .count = 1);
	scan();
	lock(LOCK_EXCLUSIVE);
	event(invalidate_begun, 0);
	event(invalidate_range_added, .start = 3, .end = 4);
	unlock();
	called(0, NOTIFIER_START, 0);
	mmu_ends();
	notification_over();
	silent();

	notified_world();
	scan();
	convicted(ORACLE_notifier_pairing, "NP5");

	notified_world();
	mmu_starts();
	scan();
	convicted(ORACLE_notifier_pairing, "NP5");
	assert_int_equal(oracle_verdict()->task[1], 1);

	/* No memslot is in the range: no invalidation begins. */
	notified_world();
	event(active_raised, .count = 1);
	scan();
	called(0, NOTIFIER_START, 0);
	silent();

	/* Each notification for itself: another task's, or an outer one, has begun its own. */
	notified_world();
	mmu_starts();
	as(2);
	event(notifier_start, .start = HVA + 3, .end = HVA + 4);
	event(active_raised, .count = 2);
	scan();
	as(1);
	event(notifier_start, .start = HVA, .end = HVA + GFNS);
	event(active_raised, .count = 3);
	scan();
	silent();
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(starts_have_ends),    cmocka_unit_test(invalidations_pair_up),
	cmocka_unit_test(steps_have_an_order), cmocka_unit_test(releases_and_leaving),
	cmocka_unit_test(pairs_nest),	       cmocka_unit_test(pfncaches_are_scanned_in_between),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
