/*
 * lost_young, each invariant on a violation and on its legal neighbour, in a world made by hand (fake_world.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "oracle/fake_world.h"

#define SOFT (LEAF_RW | SPTE_AD_DISABLED)
#define TRACKED                                                                                \
	(SPTE_SHADOW_PRESENT | PTE_D | SPTE_HOST_WRITABLE | SPTE_MMU_WRITABLE | SPTE_SAVED_R | \
	 SPTE_SAVED_X | SPTE_AD_DISABLED)

static void young_begin(enum notifier_call call, enum young_design design, bool fast_only)
{
	event(young_begun, .call = call, .start = HVA + 3, .end = HVA + 4, .fast_only = fast_only,
	      .design = design);
}

static void young_end(enum notifier_call call, u32 result)
{
	event(young_ended, .call = call, .result = result);
}

static void young_see(u64 spte, u32 level)
{
	event(young_read, .root = root, .gfn = 3, .level = level, .spte = spte);
}

/* Task 1 ages page 3, whose leaf says @bits. */
static void young_world(u64 bits, enum notifier_call call)
{
	world_locked(0);
	install(3, bits);
	unlock();
	as(1);
	young_begin(call, YOUNG_LOCKLESS, false);
}

static void aged(u64 new)
{
	change_expecting(table, 3, new, fake_words(table)[3], PTE_CMPXCHG);
}

static u64 leaf(u64 bits)
{
	return bits | pfn_bits(host_pfn(3));
}

/* An ager finds @old and leaves @new. */
static void ages(u64 old, u64 new)
{
	young_world(old, NOTIFIER_CLEAR_YOUNG);
	aged(leaf(new));
}

static void only_the_age_changes(void **state)
{
	const u64 taken[] = { PTE_R, PTE_W, PTE_D, SPTE_HOST_WRITABLE, SPTE_MMU_WRITABLE };

	ages(LEAF_RW, LEAF_RW & ~PTE_A);
	silent();
	for (u32 i = 0; i < ARRAY_SIZE(taken); i++) {
		ages(LEAF_RW, LEAF_RW & ~PTE_A & ~taken[i]);
		convicted(ORACLE_lost_young, "LY1");
	}
	ages(LEAF_RW, (LEAF_RW & ~PTE_A) | SPTE_AD_WRPROT_ONLY);
	convicted(ORACLE_lost_young, "LY1");
	ages(LEAF_RW, TRACKED & ~SPTE_AD_DISABLED);
	convicted(ORACLE_lost_young, "LY1");
	/* A of these is the CPU's as well. */
	ages(LEAF_RW | SPTE_AD_WRPROT_ONLY, (LEAF_RW | SPTE_AD_WRPROT_ONLY) & ~PTE_A);
	silent();
	ages(SOFT, TRACKED & ~SPTE_MMU_WRITABLE);
	convicted(ORACLE_lost_young, "LY1");

	/* Nothing that is gone comes back. */
	young_world(LEAF_RW, NOTIFIER_CLEAR_YOUNG);
	fake_words(table)[3] = SPTE_NONPRESENT;
	aged(leaf(LEAF_RW & ~PTE_A));
	convicted(ORACLE_lost_young, "LY1");
	/* A blind clear of A is none of his leaf's business, and no harm, where a table has come. */
	young_world(LEAF_RW, NOTIFIER_CLEAR_YOUNG);
	change_expecting(root, 0, fake_words(root)[0] & ~PTE_A, fake_words(root)[0], PTE_XCHG);
	silent();
	change_expecting(root, 0, fake_words(root)[0] & ~PTE_X, fake_words(root)[0], PTE_XCHG);
	convicted(ORACLE_lost_young, "LY1");
}

/* The call is over, or is another task's, or the CPU did it: not the ager. */
static void others_are_not_judged(void **state)
{
	young_world(LEAF_RW, NOTIFIER_CLEAR_YOUNG);
	as(0);
	lock(LOCK_SHARED);
	aged(leaf(LEAF_RW & ~PTE_W));
	unlock();
	silent();
	young_world(LEAF_RW, NOTIFIER_CLEAR_YOUNG);
	young_end(NOTIFIER_CLEAR_YOUNG, YOUNG_YES);
	lock(LOCK_SHARED);
	aged(leaf(LEAF_RW & ~PTE_W));
	silent();
	young_world(LEAF_RW & ~PTE_A, NOTIFIER_TEST_YOUNG);
	as(2);
	young_begin(NOTIFIER_TEST_YOUNG, YOUNG_LOCKLESS, false);
	change_expecting(table, 3, leaf(LEAF_RW), leaf(LEAF_RW & ~PTE_A), PTE_ASSIST);
	silent();
}

static void tracking_forgets_nothing(void **state)
{
	ages(SOFT, TRACKED);
	silent();
	ages(SOFT & ~PTE_X, TRACKED & ~SPTE_SAVED_X);
	silent();
	ages(SOFT, TRACKED & ~SPTE_SAVED_X);
	convicted(ORACLE_lost_young, "LY2");
	ages(SOFT, TRACKED | PTE_A);
	convicted(ORACLE_lost_young, "LY2");
	ages(SOFT, TRACKED | PTE_R);
	convicted(ORACLE_lost_young, "LY2");
	ages(SOFT & ~PTE_X, TRACKED);
	convicted(ORACLE_lost_young, "LY2");
	/* A alone would leave accesses unnoticed. */
	ages(SOFT, SOFT & ~PTE_A);
	convicted(ORACLE_lost_young, "LY2");
	/* Tracked already. */
	ages(TRACKED, TRACKED);
	silent();
}

static void reads(u64 spte, u32 level, u32 result)
{
	young_world(LEAF_RW, NOTIFIER_CLEAR_YOUNG);
	young_see(LEAF_RW & ~PTE_A, PT_LEVEL_4K);
	young_see(spte, level);
	young_see(LEAF_RW & ~PTE_A, PT_LEVEL_4K);
	young_end(NOTIFIER_CLEAR_YOUNG, result);
}

static void what_was_read_is_told(void **state)
{
	reads(LEAF_RW, PT_LEVEL_4K, YOUNG_YES);
	silent();
	reads(LEAF_RW, PT_LEVEL_4K, 0);
	convicted(ORACLE_lost_young, "LY3");
	assert_int_equal(oracle_verdict()->task[1], 1);
	reads(LEAF_RW | PTE_PS, PT_LEVEL_2M, 0);
	convicted(ORACLE_lost_young, "LY3");
	reads(SOFT, PT_LEVEL_4K, 0);
	convicted(ORACLE_lost_young, "LY3");
	/* Not accessed; no leafs; not present. */
	reads(LEAF_RW & ~PTE_A, PT_LEVEL_4K, 0);
	silent();
	reads(TRACKED, PT_LEVEL_4K, 0);
	silent();
	reads(TABLE, PT_LEVEL_2M, 0);
	silent();
	reads(SPTE_FROZEN, PT_LEVEL_4K, 0);
	silent();
	reads(SPTE_MMIO_VALUE | PTE_A, PT_LEVEL_4K, 0);
	silent();

	/* Each call for itself. */
	young_world(LEAF_RW, NOTIFIER_CLEAR_YOUNG);
	young_see(LEAF_RW, PT_LEVEL_4K);
	young_end(NOTIFIER_CLEAR_YOUNG, YOUNG_YES);
	young_begin(NOTIFIER_CLEAR_YOUNG, YOUNG_LOCKLESS, false);
	young_end(NOTIFIER_CLEAR_YOUNG, 0);
	silent();
}

static void tests_change_nothing(void **state)
{
	young_world(LEAF_RW, NOTIFIER_TEST_YOUNG);
	young_see(LEAF_RW, PT_LEVEL_4K);
	young_end(NOTIFIER_TEST_YOUNG, YOUNG_YES);
	silent();
	young_world(LEAF_RW, NOTIFIER_TEST_YOUNG);
	aged(leaf(LEAF_RW & ~PTE_A));
	convicted(ORACLE_lost_young, "LY4");
	young_world(SOFT, NOTIFIER_TEST_YOUNG);
	aged(leaf(TRACKED));
	convicted(ORACLE_lost_young, "LY4");
}

/* A call in which mmu_lock is taken before the leaf is read, and given back behind it, or before. */
static void locked_call(enum young_design design, bool fast_only, enum lock_mode mode, bool early)
{
	world_mapped(3);
	as(1);
	young_begin(NOTIFIER_CLEAR_YOUNG, design, fast_only);
	lock(mode);
	if (early)
		unlock();
	young_see(LEAF_RW, PT_LEVEL_4K);
	if (!early)
		unlock();
	young_end(NOTIFIER_CLEAR_YOUNG, YOUNG_YES);
}

static void locks_go_with_the_design(void **state)
{
	const enum young_design locked[] = { YOUNG_WRITE_LOCK, YOUNG_WRITE_LOCK_FLUSH };

	for (u32 i = 0; i < ARRAY_SIZE(locked); i++) {
		locked_call(locked[i], false, LOCK_EXCLUSIVE, false);
		silent();
		locked_call(locked[i], false, LOCK_SHARED, false);
		convicted(ORACLE_lost_young, "LY5");
		locked_call(locked[i], false, LOCK_EXCLUSIVE, true);
		convicted(ORACLE_lost_young, "LY5");
	}
	locked_call(YOUNG_LOCKLESS, false, LOCK_SHARED, false);
	convicted(ORACLE_lost_young, "LY5");
	locked_call(YOUNG_FAST_ONLY, true, LOCK_EXCLUSIVE, false);
	convicted(ORACLE_lost_young, "LY5");
	/* Shadow pages are looked at under it. */
	locked_call(YOUNG_FAST_ONLY, false, LOCK_EXCLUSIVE, false);
	silent();

	/* Behind the last leaf that is read. */
	young_world(LEAF_RW, NOTIFIER_CLEAR_YOUNG);
	lock(LOCK_EXCLUSIVE);
	unlock();
	silent();
	young_end(NOTIFIER_CLEAR_YOUNG, YOUNG_YES);
	convicted(ORACLE_lost_young, "LY5");
	/* Before, and behind, the call, and by somebody else. */
	world_mapped(3);
	as(1);
	lock(LOCK_EXCLUSIVE);
	unlock();
	young_begin(NOTIFIER_CLEAR_YOUNG, YOUNG_LOCKLESS, false);
	as(2);
	lock(LOCK_EXCLUSIVE);
	unlock();
	as(1);
	young_see(LEAF_RW, PT_LEVEL_4K);
	young_end(NOTIFIER_CLEAR_YOUNG, YOUNG_YES);
	lock(LOCK_EXCLUSIVE);
	silent();
}

static void agers_do_not_wait(void **state)
{
	young_world(LEAF_RW, NOTIFIER_CLEAR_YOUNG);
	as(2);
	event(walk_yielded, .root = root, .position = 3);
	as(1);
	young_end(NOTIFIER_CLEAR_YOUNG, YOUNG_YES);
	event(walk_yielded, .root = root, .position = 3);
	silent();
	young_world(LEAF_RW, NOTIFIER_CLEAR_YOUNG);
	event(walk_yielded, .root = root, .position = 3);
	convicted(ORACLE_lost_young, "LY5");
	young_world(LEAF_RW, NOTIFIER_CLEAR_YOUNG);
	event(slept_in_atomic, .what = LOCK_ptl);
	convicted(ORACLE_lost_young, "LY5");
}

static void fast_answers_are_fast(void **state)
{
	/* Nothing but the tables of now was looked at. */
	for (u32 fast_only = 0; fast_only < 2; fast_only++) {
		world();
		as(1);
		young_begin(NOTIFIER_TEST_YOUNG, YOUNG_FAST_ONLY, fast_only);
		young_end(NOTIFIER_TEST_YOUNG, YOUNG_YES | YOUNG_FAST);
		silent();
	}
	world();
	as(1);
	young_begin(NOTIFIER_TEST_YOUNG, YOUNG_FAST_ONLY, false);
	lock(LOCK_EXCLUSIVE);
	unlock();
	young_end(NOTIFIER_TEST_YOUNG, YOUNG_YES | YOUNG_FAST);
	convicted(ORACLE_lost_young, "LY5");
	for (u32 design = 0; design <= YOUNG_LOCKLESS; design++) {
		if (design == YOUNG_FAST_ONLY)
			continue;
		world();
		as(1);
		young_begin(NOTIFIER_TEST_YOUNG, design, false);
		young_end(NOTIFIER_TEST_YOUNG, YOUNG_YES | YOUNG_FAST);
		convicted(ORACLE_lost_young, "LY5");
	}
}

/* --- LY7 --- */

static void age_begin(enum age_consumer consumer)
{
	as(1);
	event(age_begun, .consumer = consumer, .start = HVA, .end = HVA + GFNS);
}

static void age_world(enum age_consumer consumer)
{
	world();
	event(subscriber_joined, .subscriber = 0, .has_end = true);
	event(subscriber_joined, .subscriber = 1, .has_end = true);
	age_begin(consumer);
}

static void said(u64 subscriber, enum notifier_call call, gfn_t gfn, u32 result)
{
	event(subscriber_called, .subscriber = subscriber, .what = call, .start = HVA + gfn,
	      .end = HVA + gfn + 1, .error = result);
}

static void judge(gfn_t gfn, bool young)
{
	event(age_judged, .hva = HVA + gfn, .young = young);
}

/* The host's own A of the page is cleared. */
static void host_clears(gfn_t gfn, u64 lost)
{
	u64 old = fake.host[HVA + gfn] | lost;

	fake.host[HVA + gfn] = old & ~lost;
	event(host_pte_changed, .hva = HVA + gfn, .old = old, .new = old & ~lost,
	      .level = PT_LEVEL_4K);
}

static void who_has_said_young_counts(void **state)
{
	const enum notifier_call calls[] = { NOTIFIER_CLEAR_FLUSH_YOUNG, NOTIFIER_CLEAR_YOUNG,
					     NOTIFIER_TEST_YOUNG };

	for (u32 i = 0; i < ARRAY_SIZE(calls); i++) {
		age_world(AGE_PAGE_IDLE);
		said(0, calls[i], 3, 0);
		judge(3, false);
		said(0, calls[i], 3, YOUNG_YES);
		judge(3, true);
		silent();
		said(0, calls[i], 3, YOUNG_YES);
		judge(3, false);
		convicted(ORACLE_lost_young, "LY7");
	}
	/* Anybody. */
	age_world(AGE_PAGE_IDLE);
	said(0, NOTIFIER_CLEAR_YOUNG, 3, 0);
	said(1, NOTIFIER_CLEAR_YOUNG, 3, YOUNG_YES);
	judge(3, false);
	convicted(ORACLE_lost_young, "LY7");
	/* Of another page, or of the one before. Fast alone says nothing. */
	age_world(AGE_PAGE_IDLE);
	said(0, NOTIFIER_CLEAR_YOUNG, 3, YOUNG_YES);
	judge(3, true);
	said(1, NOTIFIER_CLEAR_YOUNG, 4, YOUNG_YES);
	said(0, NOTIFIER_CLEAR_YOUNG, 3, YOUNG_FAST);
	judge(3, false);
	silent();
	/* By somebody else. */
	age_world(AGE_PAGE_IDLE);
	said(0, NOTIFIER_CLEAR_YOUNG, 3, 0);
	as(2);
	said(0, NOTIFIER_CLEAR_YOUNG, 3, YOUNG_YES);
	as(1);
	judge(3, false);
	silent();
}

static void host_that_says_young_counts(void **state)
{
	age_world(AGE_RECLAIM);
	host_clears(3, HOST_PTE_YOUNG);
	said(0, NOTIFIER_CLEAR_FLUSH_YOUNG, 3, 0);
	judge(3, true);
	silent();
	host_clears(3, HOST_PTE_YOUNG);
	said(0, NOTIFIER_CLEAR_FLUSH_YOUNG, 3, 0);
	judge(3, false);
	convicted(ORACLE_lost_young, "LY7");
	/* Reclaim takes the mark of those who watch away, too, by the same write. */
	age_world(AGE_RECLAIM);
	host_clears(3, HOST_PTE_YOUNG | HOST_PTE_KNOWN_YOUNG);
	said(0, NOTIFIER_CLEAR_FLUSH_YOUNG, 3, 0);
	judge(3, false);
	convicted(ORACLE_lost_young, "LY7");
	/* That of another page, or before; and it is not A that goes. */
	age_world(AGE_RECLAIM);
	host_clears(3, HOST_PTE_YOUNG);
	said(0, NOTIFIER_CLEAR_FLUSH_YOUNG, 4, 0);
	judge(4, false);
	host_clears(3, HOST_PTE_DIRTY);
	said(0, NOTIFIER_CLEAR_FLUSH_YOUNG, 3, 0);
	judge(3, false);
	silent();
	/* It is there still. */
	age_world(AGE_RECLAIM);
	said(0, NOTIFIER_CLEAR_FLUSH_YOUNG, 3, 0);
	fake.host[HVA + 3] |= HOST_PTE_YOUNG;
	judge(3, false);
	convicted(ORACLE_lost_young, "LY7");
}

static void the_mmu_is_asked(void **state)
{
	for (u32 consumer = 0; consumer < AGE_CONSUMER_COUNT; consumer++) {
		age_world(consumer);
		said(0, NOTIFIER_CLEAR_YOUNG, 3, 0);
		judge(3, false);
		silent();
		judge(4, false);
		convicted(ORACLE_lost_young, "LY7");
		/* The host's own A is no excuse: that of the tables would stay. */
		age_world(consumer);
		host_clears(3, HOST_PTE_YOUNG);
		judge(3, true);
		convicted(ORACLE_lost_young, "LY7");
	}
	age_world(AGE_PAGE_IDLE);
	said(1, NOTIFIER_CLEAR_YOUNG, 3, YOUNG_YES);
	judge(3, true);
	convicted(ORACLE_lost_young, "LY7");
	age_world(AGE_PAGE_IDLE);
	said(0, NOTIFIER_CLEAR_YOUNG, 4, 0);
	judge(3, false);
	convicted(ORACLE_lost_young, "LY7");
	/* Who tests has found it young before; nobody else may stop there. */
	age_world(AGE_DAMON);
	fake.host[HVA + 3] |= HOST_PTE_YOUNG;
	judge(3, true);
	silent();
	age_world(AGE_LOOK_AROUND);
	fake.host[HVA + 3] |= HOST_PTE_YOUNG;
	judge(3, true);
	convicted(ORACLE_lost_young, "LY7");
}

static void nobody_is_there_to_ask(void **state)
{
	/* Who does not subscribe; who has been released; a page that is not mapped. */
	world();
	age_begin(AGE_PAGE_IDLE);
	judge(3, false);
	silent();
	age_world(AGE_PAGE_IDLE);
	as(2);
	called(0, NOTIFIER_RELEASE, 0);
	as(1);
	judge(3, false);
	silent();
	age_world(AGE_PAGE_IDLE);
	fake.host[HVA + 3] = 0;
	judge(3, false);
	silent();
	/* Over: what is said is nobody's. */
	age_world(AGE_PAGE_IDLE);
	event(age_ended, .consumer = AGE_PAGE_IDLE);
	judge(3, false);
	silent();
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(only_the_age_changes),	     cmocka_unit_test(others_are_not_judged),
	cmocka_unit_test(tracking_forgets_nothing),  cmocka_unit_test(what_was_read_is_told),
	cmocka_unit_test(tests_change_nothing),	     cmocka_unit_test(locks_go_with_the_design),
	cmocka_unit_test(agers_do_not_wait),	     cmocka_unit_test(fast_answers_are_fast),
	cmocka_unit_test(who_has_said_young_counts), cmocka_unit_test(host_that_says_young_counts),
	cmocka_unit_test(the_mmu_is_asked),	     cmocka_unit_test(nobody_is_there_to_ask),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
