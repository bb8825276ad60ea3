/*
 * false_retry, each invariant on a violation and on its legal neighbour, in a world made by hand (fake_world.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "oracle/fake_world.h"

static u64 retries_of(enum retry_class class)
{
	return oracle_stats()->retries[class];
}

static void retry_under_lock(void (*before)(void), gfn_t gfn, enum retry_reason reason)
{
	world_locked(0);
	unlock();
	oracle_stats_clear();
	fault_until_check(gfn);
	before();
	as(0);
	lock(LOCK_SHARED);
	retried(gfn, reason);
}

static void retries_have_causes(void **state)
{
	retry_under_lock(begin_near, 4, RETRY_LOCKED);
	silent();
	assert_int_equal(retries_of(RETRY_CLASS_true), 1);
	retry_under_lock(begin_around, 4, RETRY_LOCKED);
	silent();
	assert_int_equal(retries_of(RETRY_CLASS_hull), 1);
	retry_under_lock(begin_and_end, 4, RETRY_LOCKED);
	silent();
	assert_int_equal(retries_of(RETRY_CLASS_seq), 1);
	retry_under_lock(begin_near, 3, RETRY_LOCKED);
	convicted(ORACLE_false_retry, "FR1");
	retry_under_lock(nothing, 3, RETRY_LOCKED);
	convicted(ORACLE_false_retry, "FR1");
	retry_under_lock(begin_near, 3, RETRY_AFTER_GUP);
	silent();
	assert_int_equal(retries_of(RETRY_CLASS_race), 1);
	retry_under_lock(nothing, 3, RETRY_AFTER_GUP);
	convicted(ORACLE_false_retry, "FR1");
	retry_under_lock(begin_near, 4, RETRY_UNSET_RANGE);
	convicted(ORACLE_false_retry, "RC8");
	retry_under_lock(nothing, 4, RETRY_OBSOLETE_ROOT);
	convicted(ORACLE_false_retry, "FR1");
}

/* Without the lock half of an end may be seen; under it a number read behind the end must match. */
static void end_under_way(void **state)
{
	world();
	invalidate_begin(1, 0, 1);
	as(1);
	lock(LOCK_EXCLUSIVE);
	event(invalidate_ended, 0);
	as(0);
	fault_until_check(3);
	retried(3, RETRY_AFTER_GUP);
	silent();
	as(1);
	unlock();
	as(0);
	lock(LOCK_SHARED);
	retried(3, RETRY_LOCKED);
	convicted(ORACLE_false_retry, "FR1");

	/* What is open elsewhere, and was before the fault began, excuses nothing. */
	world();
	invalidate_begin(1, 0, 1);
	as(0);
	fault_until_check(3);
	retried(3, RETRY_AFTER_GUP);
	convicted(ORACLE_false_retry, "FR1");
}

static void fixed_means_changed(void **state)
{
	world_locked(0);
	unlock();
	fault_until_check(3);
	event(fault_ended, .gfn = 3, .ret = SUBJECT_FIXED);
	convicted(ORACLE_false_retry, "SP2");

	/* Nor does it count that another task has installed it meanwhile. */
	world_locked(0);
	unlock();
	fault_until_check(3);
	fault_done(1, 3);
	silent();
	as(0);
	event(fault_ended, .gfn = 3, .ret = SUBJECT_FIXED);
	convicted(ORACLE_false_retry, "SP2");
}

static void unwanted_retries(void **state)
{
	world_with(false, BIT_ULL(RETRY_CLASS_hull));
	as(0);
	fault_until_check(3);
	invalidate_begin(1, 3, 4);
	as(0);
	retried(3, RETRY_AFTER_GUP);
	silent();
	begin_around();
	invalidate_begin(3, 6, 7);
	as(0);
	retried(4, RETRY_AFTER_GUP);
	silent();
	fault_until_check(5);
	retried(5, RETRY_LOCKED);
	convicted(ORACLE_false_retry, "hull");
}

static void lost_races(void **state)
{
	world_locked(0);
	unlock();
	fake_load_root(0, root);
	fault_until_check(3);
	lock(LOCK_SHARED);
	fault_check(3);
	fault_done(1, 3);
	as(0);
	retried(3, RETRY_LOST_LEAF);
	silent();
	fault_check(3);
	retried(3, RETRY_LOST_LEAF);
	convicted(ORACLE_false_retry, "FR1");
}

static void spurious(u32 op)
{
	event_context.op = op;
	fault_until_check(3);
	event(fault_ended, .gfn = 3, .ret = SUBJECT_SPURIOUS);
}

static void spurious_twice(void **state)
{
	world_mapped(3);
	fake_load_root(0, root);
	spurious(1);
	spurious(2);
	silent();
	fake_words(table)[3] &= ~PTE_A;
	change_expecting(table, 3, fake_words(table)[3] | PTE_A, fake_words(table)[3], PTE_ASSIST);
	spurious(2);
	silent();
	spurious(2);
	convicted(ORACLE_false_retry, "SP1");
}

static void slot_and_mmio_retries(void **state)
{
	world();
	as(0);
	fault_until_check(3);
	retried(3, RETRY_SLOT_INVALID);
	convicted(ORACLE_false_retry, "FR1");

	world();
	as(1);
	memslot_step(MEMSLOT_BEGUN, 0);
	memslot_step(MEMSLOT_INVALID, 0);
	memslot_step(MEMSLOT_GONE, 0);
	oracle_stats_clear();
	as(0);
	fault_until_check(3);
	retried(3, RETRY_SLOT_INVALID);
	assert_int_equal(retries_of(RETRY_CLASS_slot), 1);
	fault_until_check(GFNS);
	silent();
	as(1);
	memslot_step(MEMSLOT_ENDED, 0);
	as(0);
	fault_until_check(3);
	retried(3, RETRY_SLOT_INVALID);
	convicted(ORACLE_false_retry, "FR1");

	/* The MMIO entry that the guest met was taken away before the attempt began, or never there. */
	world_locked(1);
	change(table, 3, SPTE_NONPRESENT | SPTE_MMIO_VALUE);
	as(0);
	enter();
	as(1);
	change(table, 3, SPTE_NONPRESENT);
	as(0);
	retried(3, RETRY_MMIO_GONE);
	silent();
	enter();
	retried(3, RETRY_MMIO_GONE);
	convicted(ORACLE_false_retry, "FR1");

	world();
	event(root_invalidated, .root = root);
	as(0);
	fault_until_check(3);
	retried(3, RETRY_OBSOLETE_ROOT);
	silent();
}

static void refused_exchanges(void **state)
{
	world_locked(0);
	oracle_stats_clear();
	for (u32 i = 0; i < 5; i++) {
		fault_until_check(3);
		fault_check(3);
		event(cmpxchg_refused, .table = table, .index = 3);
		retried(3, RETRY_LOST_LEAF);
		event(fault_ended, .gfn = 3, .ret = SUBJECT_RETRY);
	}
	silent();
	assert_int_equal(retries_of(RETRY_CLASS_other), 5);
	/* It excuses that attempt alone. */
	fault_until_check(3);
	fault_check(3);
	retried(3, RETRY_LOST_LEAF);
	convicted(ORACLE_false_retry, "FR1");
}

static void prefaults_leave_leafs(void **state)
{
	world_mapped(3);
	as(0);
	for (u32 i = 0; i < 2; i++) {
		prefault_of(3);
		event(fault_ended, .gfn = 3, .ret = SUBJECT_SPURIOUS);
	}
	silent();
	prefault_of(4);
	event(fault_ended, .gfn = 4, .ret = SUBJECT_AGAIN);
	silent();
	prefault_of(4);
	event(fault_ended, .gfn = 4, .ret = SUBJECT_SPURIOUS);
	convicted(ORACLE_false_retry, "PR4");

	/* Zapped since. */
	world_mapped(3);
	as(0);
	prefault_of(3);
	as(1);
	lock(LOCK_EXCLUSIVE);
	change(table, 3, SPTE_NONPRESENT);
	unlock();
	as(0);
	event(fault_ended, .gfn = 3, .ret = SUBJECT_SPURIOUS);
	silent();
}

static void prefaults_leave_huge_leafs(void **state)
{
	if (!HUGE_FITS)
		skip();
	world_huge();
	as(0);
	fake_words(root)[0] = huge_leaf(LEAF_RO);
	prefault_of(5);
	event(fault_ended, .gfn = 5, .ret = SUBJECT_SPURIOUS);
	silent();
	/* A table where the leaf should be, with nothing in it. */
	world_locked(0);
	prefault_of(5);
	event(fault_ended, .gfn = 5, .ret = SUBJECT_SPURIOUS);
	convicted(ORACLE_false_retry, "PR4");
}

static void fast_faults_fix(void **state)
{
	world_locked(0);
	install(3, LEAF_RW & ~PTE_W);
	unlock();
	fast_fault(3, LEAF_RW);
	event(fault_ended, .gfn = 3, .ret = SUBJECT_FIXED);
	silent();
	/* Lost to another one: nothing was fixed. */
	fault_until_check(3);
	event(fault_ended, .gfn = 3, .ret = SUBJECT_FIXED);
	convicted(ORACLE_false_retry, "SP2");
}

static void detached_tables_may_be_filled(void **state)
{
	world_locked(0);
	unlock();
	as(1);
	fault_until_check(3);
	lock(LOCK_SHARED);
	fault_check(3);
	as(0);
	lock(LOCK_SHARED);
	change(root, 0, SPTE_NONPRESENT);
	as(1);
	change_expecting(table, 3, leaf_of(3), fake_words(table)[3], PTE_CMPXCHG);
	event(fault_ended, .gfn = 3, .ret = SUBJECT_FIXED);
	silent();
}

/* A prefetch over a leaf that grants nothing, and goes on granting nothing. */
static void leafs_may_be_rewritten(void **state)
{
	world_locked(0);
	install(3, SPTE_SHADOW_PRESENT | SPTE_AD_DISABLED | SPTE_SAVED_R);
	prefault_of(3);
	fault_check(3);
	install(3, SPTE_SHADOW_PRESENT | SPTE_AD_DISABLED | SPTE_SAVED_R | SPTE_SAVED_X);
	event(fault_ended, .gfn = 3, .ret = SUBJECT_FIXED);
	silent();
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(retries_have_causes),
	cmocka_unit_test(end_under_way),
	cmocka_unit_test(fixed_means_changed),
	cmocka_unit_test(unwanted_retries),
	cmocka_unit_test(lost_races),
	cmocka_unit_test(spurious_twice),
	cmocka_unit_test(slot_and_mmio_retries),
	cmocka_unit_test(refused_exchanges),
	cmocka_unit_test(prefaults_leave_leafs),
	cmocka_unit_test(prefaults_leave_huge_leafs),
	cmocka_unit_test(fast_faults_fix),
	cmocka_unit_test(detached_tables_may_be_filled),
	cmocka_unit_test(leafs_may_be_rewritten),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
