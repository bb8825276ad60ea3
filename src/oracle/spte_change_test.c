/*
 * spte_change, each invariant on a violation and on its legal neighbour, in a world made by hand (fake_world.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "oracle/fake_world.h"

static void believed_value(void **state)
{
	u64 leaf;

	world_mapped(3);
	leaf = fake_words(table)[3];
	lock(LOCK_EXCLUSIVE);
	change_expecting(table, 3, SPTE_NONPRESENT, leaf & ~PTE_A, PTE_PLAIN);
	silent();

	world_mapped(3);
	lock(LOCK_EXCLUSIVE);
	change_expecting(table, 3, SPTE_NONPRESENT, leaf & ~PTE_D, PTE_PLAIN);
	convicted(ORACLE_spte_change, "C0");
}

/* Under mmu_lock, entry 3 goes from @old to @new of the same frame, by a fault or not. */
static void in_place(u64 old, u64 new, bool by_fault)
{
	world_locked(0);
	fake_words(table)[3] = old | pfn_bits(host_pfn(3));
	if (by_fault) {
		fault_until_check(3);
		fault_check(3);
	}
	install(3, new);
}

static void leaf_changes(void **state)
{
	in_place(LEAF_RO, LEAF_RW, true);
	silent();
	in_place(LEAF_RO, LEAF_RW, false);
	convicted(ORACLE_spte_change, "C3");
	in_place(LEAF_RW, LEAF_RO, true);
	convicted(ORACLE_spte_change, "C3");
	in_place(LEAF_RW, LEAF_RW & ~PTE_D, false);
	convicted(ORACLE_spte_change, "C3");
	in_place(LEAF_RO, LEAF_RW & ~PTE_D, true);
	convicted(ORACLE_spte_change, "C3");
	in_place(LEAF_RO, LEAF_RW & ~SPTE_MMU_WRITABLE, true);
	convicted(ORACLE_spte_change, "C2");
	in_place(LEAF_RO, (LEAF_RW & ~SPTE_HOST_WRITABLE), true);
	convicted(ORACLE_spte_change, "C2");

	world_locked(0);
	fake_words(table)[3] = LEAF_RO | pfn_bits(host_pfn(4));
	fault_until_check(3);
	fault_check(3);
	install(3, LEAF_RO);
	convicted(ORACLE_spte_change, "C1");
}

static void frozen_has_an_owner(void **state)
{
	world_locked(0);
	change(table, 3, SPTE_FROZEN);
	change(table, 3, SPTE_NONPRESENT);
	silent();
	change(table, 3, SPTE_FROZEN);
	unlock();
	as(1);
	lock(LOCK_EXCLUSIVE);
	change(table, 3, SPTE_NONPRESENT);
	convicted(ORACLE_spte_change, "C4");

	world_locked(0);
	change(table, 3, 0);
	convicted(ORACLE_spte_change, "C6");
}

static u32 nr_told, told[8];

static void tell(u32 written_under)
{
	told[nr_told++] = written_under;
}

/* Equal writes have equal numbers, and what is open meanwhile makes them differ. */
static void writes_are_told_with_their_state(void **state)
{
	world_locked(0);
	nr_told = 0;
	oracle_on_write(tell);
	change(table, 3, SPTE_FROZEN);
	change(table, 3, SPTE_NONPRESENT);
	change(table, 4, SPTE_FROZEN);
	change(table, 4, SPTE_NONPRESENT);
	event(invalidate_begun);
	event(invalidate_range_added, .start = 3, .end = 4);
	change(table, 3, SPTE_FROZEN);
	change(table, 4, SPTE_FROZEN);
	oracle_on_write(NULL);
	change(table, 3, SPTE_NONPRESENT);
	assert_int_equal(nr_told, 6);
	assert_int_not_equal(told[0], told[1]); /* another value */
	assert_int_equal(told[0], told[2]);
	assert_int_equal(told[1], told[3]);
	assert_int_not_equal(told[0], told[4]); /* an invalidation has the page */
	assert_int_not_equal(told[4], told[5]); /* has another one */
	assert_int_not_equal(told[0], told[5]);
}

static void detached_tables_stay_empty(void **state)
{
	world_mapped(3);
	lock(LOCK_EXCLUSIVE);
	change(root, 0, SPTE_NONPRESENT);
	change(table, 3, SPTE_FROZEN);
	silent();
	change(table, 4, LEAF_RO | pfn_bits(host_pfn(4)));
	convicted(ORACLE_spte_change, "C5");
}

static void assist(pfn_t in, u32 index, u64 old, u64 new)
{
	fake_words(in)[index] = old;
	change_expecting(in, index, new, old, PTE_ASSIST);
}

static void who_may_write(void **state)
{
	u64 leaf, link;

	world_mapped(3);
	leaf = fake_words(table)[3];
	link = fake_words(root)[0];
	assist(table, 3, leaf & ~(PTE_A | PTE_D), leaf);
	assist(root, 0, link & ~PTE_A, link);
	silent();
	assist(table, 3, leaf & ~PTE_W, leaf);
	convicted(ORACLE_spte_change, "C7");

	world_mapped(3);
	assist(root, 0, link, link | PTE_D);
	convicted(ORACLE_spte_change, "C7");

	world_mapped(3);
	change(table, 3, SPTE_NONPRESENT);
	convicted(ORACLE_spte_change, "C7");
}

static void mmio_and_frozen_replace_nothing(void **state)
{
	world_locked(0);
	change(table, 3, SPTE_NONPRESENT | SPTE_MMIO_VALUE);
	change(table, 3, SPTE_NONPRESENT | SPTE_MMIO_VALUE | 8);
	change(table, 3, SPTE_NONPRESENT);
	change(table, 4, SPTE_FROZEN);
	as(1);
	lock(LOCK_SHARED);
	change(table, 4, SPTE_FROZEN);
	silent();
	change(table, 5, 0);
	convicted(ORACLE_spte_change, "C6");

	/* Bits of what is present in a detached table may change, its frame may not. */
	world_mapped(3);
	lock(LOCK_EXCLUSIVE);
	change(root, 0, SPTE_NONPRESENT);
	change(table, 3, fake_words(table)[3] & ~PTE_A);
	silent();
	fake_words(table)[3] = TABLE | pfn_bits(1);
	change(table, 3, TABLE | pfn_bits(2));
	convicted(ORACLE_spte_change, "C5");
}

static void unlisted_roots_stay_empty(void **state)
{
	world_mapped(3);
	event(root_invalidated, .root = root);
	fake_unlist(root);
	lock(LOCK_EXCLUSIVE);
	change(table, 4, leaf_of(4));
	convicted(ORACLE_spte_change, "C5");
}

#define TRACKED                                                                         \
	(SPTE_SHADOW_PRESENT | SPTE_AD_DISABLED | SPTE_SAVED_R | SPTE_SAVED_X | PTE_D | \
	 SPTE_HOST_WRITABLE | SPTE_MMU_WRITABLE)
#define UNTRACKED                                                                 \
	(SPTE_SHADOW_PRESENT | SPTE_AD_DISABLED | PTE_R | PTE_X | PTE_A | PTE_D | \
	 SPTE_HOST_WRITABLE | SPTE_MMU_WRITABLE)

static void restored(u64 old, u64 new)
{
	world_locked(0);
	fake_words(table)[3] = old | pfn_bits(host_pfn(3));
	unlock();
	fast_fault(3, new);
}

static void fast_faults_restore(void **state)
{
	restored(LEAF_RW & ~PTE_W, LEAF_RW);
	silent();
	restored(TRACKED, UNTRACKED);
	silent();
	restored(TRACKED, UNTRACKED | PTE_W);
	silent();

	/* What the entry does not promise, what is the CPU's, half of what was saved, what is gone. */
	restored(LEAF_RO | PTE_D | SPTE_HOST_WRITABLE, LEAF_RW);
	convicted(ORACLE_spte_change, "C7");
	restored(LEAF_RW & ~(PTE_W | PTE_D), LEAF_RW);
	convicted(ORACLE_spte_change, "C7");
	restored(TRACKED, UNTRACKED & ~PTE_X);
	convicted(ORACLE_spte_change, "C7");
	restored(TRACKED, (UNTRACKED & ~PTE_X) | SPTE_SAVED_X);
	convicted(ORACLE_spte_change, "C7");
	restored(TRACKED & ~SPTE_SAVED_X, UNTRACKED);
	convicted(ORACLE_spte_change, "C7");
	restored(LEAF_RW, LEAF_RW & ~PTE_W);
	convicted(ORACLE_spte_change, "C7");

	/* No fault, or no exchange. */
	world_mapped(3);
	change_expecting(table, 3, fake_words(table)[3] & ~PTE_A, fake_words(table)[3],
			 PTE_CMPXCHG);
	convicted(ORACLE_spte_change, "C7");
	world_mapped(3);
	fault_until_check(3);
	change(table, 3, fake_words(table)[3] | PTE_A | SPTE_SAVED_R);
	convicted(ORACLE_spte_change, "C7");

	/* In a table that was just detached it does no harm. */
	world_locked(0);
	fake_words(table)[3] = (LEAF_RW & ~PTE_W) | pfn_bits(host_pfn(3));
	change(root, 0, SPTE_NONPRESENT);
	as(1);
	fast_fault(3, LEAF_RW);
	event(fault_ended, .gfn = 3, .ret = SUBJECT_FIXED);
	silent();
}

static void dirty_is_cleared_by_logging(void **state)
{
	world_mapped(3);
	lock(LOCK_EXCLUSIVE);
	harvest_begin(HARVEST_GET);
	change(table, 3, fake_words(table)[3] & ~PTE_D);
	harvest_end(HARVEST_GET);
	walk(WALK_CLEAR_DIRTY, 1);
	fake_words(table)[3] |= PTE_D;
	change(table, 3, fake_words(table)[3] & ~PTE_D);
	silent();
	event(walk_ended, .root = root);
	fake_words(table)[3] |= PTE_D;
	change(table, 3, fake_words(table)[3] & ~PTE_D);
	convicted(ORACLE_spte_change, "C3");

	/* Not without the lock, nor does logging set it. */
	world_mapped(3);
	harvest_begin(HARVEST_GET);
	change(table, 3, fake_words(table)[3] & ~PTE_D);
	convicted(ORACLE_spte_change, "C7");
	world_mapped(3);
	lock(LOCK_EXCLUSIVE);
	harvest_begin(HARVEST_GET);
	fake_words(table)[3] &= ~PTE_D;
	change(table, 3, fake_words(table)[3] | PTE_D);
	convicted(ORACLE_spte_change, "C3");
}

/* Whoever keeps D, an install that lets the guest write sets it; W given back without the lock need not. */
static void kinds_of_accessed_and_dirty(void **state)
{
	in_place(LEAF_RO | SPTE_AD_DISABLED, LEAF_RW | SPTE_AD_DISABLED, true);
	silent();
	in_place(LEAF_RO | SPTE_AD_DISABLED, (LEAF_RW & ~PTE_D) | SPTE_AD_DISABLED, true);
	convicted(ORACLE_spte_change, "C3");
	in_place(LEAF_RO | SPTE_AD_WRPROT_ONLY, (LEAF_RW & ~PTE_D) | SPTE_AD_WRPROT_ONLY, true);
	convicted(ORACLE_spte_change, "C3");
	restored(LEAF_RW & ~(PTE_W | PTE_D), LEAF_RW & ~PTE_D);
	silent();

	world_locked(0);
	change(table, 3, LEAF_RO | SPTE_AD_WRPROT_ONLY | pfn_bits(host_pfn(3)));
	change_expecting(table, 3, SPTE_NONPRESENT, fake_words(table)[3] & ~PTE_A, PTE_PLAIN);
	change(table, 3, LEAF_RO | SPTE_AD_DISABLED | pfn_bits(host_pfn(3)));
	silent();
	change_expecting(table, 3, SPTE_NONPRESENT, fake_words(table)[3] & ~PTE_A, PTE_PLAIN);
	convicted(ORACLE_spte_change, "C0");
}

/* Under mmu_lock a table of leafs with @bits takes the place of a huge leaf. */
static void split_into(u64 bits, s32 moved_by)
{
	world_huge();
	fake_words(root)[0] = huge_leaf(LEAF_RW & ~PTE_W);
	as(0);
	lock(LOCK_SHARED);
	walk(WALK_SPLIT, 1);
	table = small_leafs(bits);
	fake_words(table)[5] += (u64)moved_by << PTE_PFN_SHIFT;
	change(root, 0, TABLE | pfn_bits(table));
}

static void splits_keep_what_was(void **state)
{
	if (!HUGE_FITS)
		skip();
	split_into(LEAF_RW & ~PTE_W, 0);
	silent();
	/* And back. */
	walk(WALK_RECOVER, 2);
	change(root, 0, huge_leaf(LEAF_RW & ~PTE_W));
	silent();
	split_into(LEAF_RW & ~PTE_W, 1);
	convicted(ORACLE_spte_change, "C1");
	split_into(LEAF_RW, 0);
	convicted(ORACLE_spte_change, "C3");
	split_into(LEAF_RO, 0);
	event(walk_ended, .root = root);
	silent();
	change(root, 0, huge_leaf(LEAF_RO));
	convicted(ORACLE_spte_change, "C7");

	/* A fault may, nobody else. */
	world_huge();
	fake_words(root)[0] = huge_leaf(LEAF_RO);
	as(0);
	fault_until_check(3);
	lock(LOCK_SHARED);
	fault_check(3);
	change(root, 0, TABLE | pfn_bits(small_leafs(LEAF_RO)));
	silent();
	event(fault_ended, .gfn = 3, .ret = SUBJECT_RETRY);
	fake_words(root)[0] = huge_leaf(LEAF_RO);
	change(root, 0, TABLE | pfn_bits(small_leafs(LEAF_RO)));
	convicted(ORACLE_spte_change, "C7");
}

/* Task 1 stands in the table under mmu_lock, task 0 takes the table out, and has come to its third entry. */
static void overtaken(void)
{
	world_locked(0);
	unlock();
	as(1);
	lock(LOCK_SHARED);
	as(0);
	lock(LOCK_SHARED);
	change(root, 0, SPTE_NONPRESENT);
	for (u32 i = 0; i < 3; i++)
		change(table, i, SPTE_FROZEN);
	as(1);
	change(table, 5, LEAF_RO | pfn_bits(host_pfn(5)));
	silent();
}

static void detached_tables_are_emptied(void **state)
{
	overtaken();
	as(0);
	for (u32 i = 3; i < PT_ENTRIES; i++)
		change(table, i, SPTE_FROZEN);
	unlock();
	silent();

	/* Its owner leaves it there. */
	overtaken();
	unlock();
	silent();
	as(0);
	unlock();
	convicted(ORACLE_spte_change, "C5");

	/* Its owner is done; the writer has come later; the owner itself. */
	overtaken();
	as(0);
	change(table, 5, SPTE_FROZEN);
	unlock();
	as(1);
	change(table, 6, LEAF_RO | pfn_bits(host_pfn(6)));
	convicted(ORACLE_spte_change, "C5");
	overtaken();
	as(2);
	lock(LOCK_SHARED);
	change(table, 6, LEAF_RO | pfn_bits(host_pfn(6)));
	convicted(ORACLE_spte_change, "C5");
	overtaken();
	as(0);
	change(table, 6, LEAF_RO | pfn_bits(host_pfn(6)));
	convicted(ORACLE_spte_change, "C5");
}

/* Between the read of who takes W and his exchange the CPU has set D, and logged it. */
static void dirty_goes_with_writable(void **state)
{
	world_mapped(3);
	lock(LOCK_EXCLUSIVE);
	change(table, 3, fake_words(table)[3] & ~(PTE_W | PTE_D | SPTE_MMU_WRITABLE));
	silent();
}

/* Who ages needs no lock, and what he may do is lost_young's; anybody else needs one for the same. */
static void agers_need_no_lock(void **state)
{
	world_mapped(3);
	as(1);
	event(young_begun, .call = NOTIFIER_CLEAR_YOUNG, .start = HVA + 3, .end = HVA + 4,
	      .design = YOUNG_LOCKLESS);
	change(table, 3, fake_words(table)[3] & ~PTE_A);
	silent();
	event(young_ended, .call = NOTIFIER_CLEAR_YOUNG, .result = YOUNG_YES);
	change(table, 3, fake_words(table)[3] | PTE_A);
	convicted(ORACLE_spte_change, "C7");

	world_mapped(3);
	as(1);
	event(young_begun, .call = NOTIFIER_CLEAR_YOUNG, .start = HVA + 3, .end = HVA + 4,
	      .design = YOUNG_LOCKLESS);
	as(2);
	change(table, 3, fake_words(table)[3] & ~PTE_A);
	convicted(ORACLE_spte_change, "C7");

	/* What somebody else has frozen is not his either. */
	world_mapped(3);
	as(0);
	lock(LOCK_SHARED);
	change(table, 3, SPTE_FROZEN);
	as(1);
	event(young_begun, .call = NOTIFIER_CLEAR_YOUNG, .start = HVA + 3, .end = HVA + 4,
	      .design = YOUNG_LOCKLESS);
	change(table, 3, SPTE_FROZEN & ~PTE_A);
	convicted(ORACLE_spte_change, "C4");
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(believed_value),
	cmocka_unit_test(leaf_changes),
	cmocka_unit_test(frozen_has_an_owner),
	cmocka_unit_test(writes_are_told_with_their_state),
	cmocka_unit_test(detached_tables_stay_empty),
	cmocka_unit_test(who_may_write),
	cmocka_unit_test(mmio_and_frozen_replace_nothing),
	cmocka_unit_test(unlisted_roots_stay_empty),
	cmocka_unit_test(fast_faults_restore),
	cmocka_unit_test(dirty_is_cleared_by_logging),
	cmocka_unit_test(kinds_of_accessed_and_dirty),
	cmocka_unit_test(splits_keep_what_was),
	cmocka_unit_test(detached_tables_are_emptied),
	cmocka_unit_test(dirty_goes_with_writable),
	cmocka_unit_test(agers_need_no_lock),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
