/*
 * stale_tlb, each invariant on a violation and on its legal neighbour, in a world made by hand (fake_world.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "oracle/fake_world.h"

static void zap_with_tlb(void)
{
	world_mapped(3);
	tlb_fill_by_hand(3);
	as(1);
	lock(LOCK_EXCLUSIVE);
	change(table, 3, SPTE_NONPRESENT);
	silent();
}

static void flush_is_due_at_unlock(void **state)
{
	oracle_stats_clear();
	zap_with_tlb();
	unlock();
	convicted(ORACLE_stale_tlb, "D1");

	zap_with_tlb();
	fake_vcpu(0)->nr_tlb = 0;
	unlock();
	silent();
	assert_int_equal(oracle_stats()->stale_then_flushed, 1);

	zap_with_tlb();
	fake_vcpu(0)->running = false;
	fake_vcpu(0)->requests = BIT_ULL(FAKE_FLUSH);
	unlock();
	silent();

	/* Another task's unlock is nobody's due point but its own. */
	zap_with_tlb();
	as(0);
	unlock();
	silent();

	/* Filled after the change: has read the entry of now. */
	zap_with_tlb();
	fake_vcpu(0)->tlb[0].filled_at = event_context.clock;
	unlock();
	silent();
}

static void flush_is_due_when_start_returns(void **state)
{
	zap_with_tlb();
	event(notifier_start_returned, .start = HVA + 3, .end = HVA + 4);
	convicted(ORACLE_stale_tlb, "D1");
}

static void flush_for_other_losses(void **state)
{
	world_mapped(3);
	tlb_fill_by_hand(3);
	as(1);
	lock(LOCK_EXCLUSIVE);
	install(3, LEAF_RW & ~(PTE_W | SPTE_MMU_WRITABLE));
	unlock();
	convicted(ORACLE_stale_tlb, "D3");

	world_mapped(3);
	tlb_fill_by_hand(3);
	fake_vcpu(0)->tlb[0].access = PTE_R | PTE_X;
	as(1);
	lock(LOCK_EXCLUSIVE);
	install(3, LEAF_RW & ~(PTE_W | SPTE_MMU_WRITABLE));
	unlock();
	silent();

	/* W alone: whoever wants it gone flushes elsewhere. */
	world_mapped(3);
	tlb_fill_by_hand(3);
	as(1);
	lock(LOCK_EXCLUSIVE);
	install(3, LEAF_RW & ~PTE_W);
	unlock();
	silent();

	world_mapped(3);
	tlb_fill_by_hand(3);
	as(1);
	lock(LOCK_EXCLUSIVE);
	change(root, 0, SPTE_NONPRESENT);
	unlock();
	convicted(ORACLE_stale_tlb, "D2");
}

static void loading_a_root_flushes(void **state)
{
	world();
	tlb_fill_by_hand(3);
	enter();
	silent();
	fake_load_root(0, root);
	fake_vcpu(0)->nr_tlb = 0;
	enter();
	silent();
	tlb_fill_by_hand(3);
	fake_load_root(0, root);
	silent();
	enter();
	convicted(ORACLE_stale_tlb, "T3");

	world();
	fake_vcpu(0)->psc[fake_vcpu(0)->nr_psc++] = (struct psc_view){
		.root = root, .table = 1, .level = 1, .filled_at = event_context.clock
	};
	enter();
	silent();
	fake_load_root(0, root);
	enter();
	convicted(ORACLE_stale_tlb, "T3");
}

static void flushes_are_served_before_entry(void **state)
{
	world();
	as(0);
	event(vcpu_entered, .vcpu = 0);
	silent();
	event(request_sent, .vcpu = 0, .request = FAKE_FLUSH);
	fake_vcpu(0)->requests = BIT_ULL(FAKE_FLUSH);
	event(vcpu_entered, .vcpu = 0);
	convicted(ORACLE_stale_tlb, "T8");
}

static void flush_for_mmio(void **state)
{
	world_mapped(3);
	tlb_fill_by_hand(3);
	as(1);
	lock(LOCK_EXCLUSIVE);
	change(table, 3, SPTE_NONPRESENT | SPTE_MMIO_VALUE);
	unlock();
	convicted(ORACLE_stale_tlb, "D1");
}

static void flush_for_cached_tables(void **state)
{
	world_mapped(3);
	psc_fill_by_hand();
	as(1);
	lock(LOCK_SHARED);
	change(root, 0, SPTE_NONPRESENT);
	silent();
	unlock();
	convicted(ORACLE_stale_tlb, "D2");

	/* A flush of leafs alone leaves the table in use; one of everything does not. */
	world_mapped(3);
	psc_fill_by_hand();
	as(1);
	lock(LOCK_SHARED);
	change(root, 0, SPTE_NONPRESENT);
	fake_vcpu(0)->running = false;
	fake_vcpu(0)->requests = BIT_ULL(FAKE_FLUSH);
	unlock();
	silent();
	lock(LOCK_SHARED);
	fake_vcpu(0)->requests = 0;
	change(root, 0, TABLE | pfn_bits(fake_table()));
	fake_vcpu(0)->psc[0].filled_at = event_context.clock;
	change(root, 0, SPTE_NONPRESENT);
	fake_vcpu(0)->requests = BIT_ULL(FAKE_FLUSH_RANGE);
	fake_vcpu(0)->range = (struct gfn_range){ .end = GFNS };
	fake_vcpu(0)->leafs_only = true;
	unlock();
	convicted(ORACLE_stale_tlb, "D2");

	/* What leads elsewhere, or was cached later, is not concerned; a leaf does not take tables. */
	world_mapped(3);
	psc_fill_by_hand();
	as(1);
	lock(LOCK_SHARED);
	change(table, 3, SPTE_NONPRESENT);
	unlock();
	lock(LOCK_SHARED);
	fake_vcpu(0)->psc[0].gfn = PT_PAGES(PT_LEVEL_MAX);
	change(root, 0, SPTE_NONPRESENT);
	unlock();
	silent();
}

static void no_flush_for_invalid_roots(void **state)
{
	world_mapped(3);
	tlb_fill_by_hand(3);
	psc_fill_by_hand();
	fake_vcpu(0)->running = false;
	as(1);
	event(root_invalidated, .root = root);
	lock(LOCK_SHARED);
	change(table, 3, SPTE_NONPRESENT);
	change(root, 0, SPTE_NONPRESENT);
	unlock();
	silent();

	/* Release: nobody will run again. */
	world_mapped(3);
	tlb_fill_by_hand(3);
	as(1);
	lock(LOCK_EXCLUSIVE);
	event(walk_begun, .root = root, .end = GFNS, .kind = WALK_ZAP_ALL, .level = 2);
	change(table, 3, SPTE_NONPRESENT);
	unlock();
	silent();
}

static void invalid_roots_are_left(void **state)
{
	/* The request has thrown the vCPU out before the lock is given back. */
	world();
	fake_vcpu(0)->running = true;
	as(1);
	lock(LOCK_EXCLUSIVE);
	event(root_invalidated, .root = root);
	event(vcpu_entered, .vcpu = 0);
	fake_vcpu(0)->running = false;
	unlock();
	silent();
	enter();
	convicted(ORACLE_stale_tlb, "T8");

	world();
	fake_vcpu(0)->running = true;
	as(1);
	lock(LOCK_EXCLUSIVE);
	event(root_invalidated, .root = root);
	as(2);
	unlock();
	silent();
	as(1);
	unlock();
	convicted(ORACLE_stale_tlb, "T8");
}

static void request_of(u32 task)
{
	as(task);
	for (u32 vcpu = 0; vcpu < FAKE_VCPUS; vcpu++)
		event(request_sent, .vcpu = vcpu, .request = FAKE_FLUSH);
}

static void requests_are_waited_for(void **state)
{
	/* Out and in again. Another sender has only begun: his request is no business of the first. */
	world();
	enter();
	request_of(1);
	enter();
	request_of(2);
	fake_vcpu(0)->requests = BIT_ULL(FAKE_FLUSH);
	as(1);
	event(request_waited, .request = FAKE_FLUSH);
	silent();
	as(2);
	event(request_waited, .request = FAKE_FLUSH);
	convicted(ORACLE_stale_tlb, "T8");
}

/* Task 1 clears @bits of a mapped page that vCPU 0 writes to, inside a harvest. */
static void harvested(u64 bits)
{
	world_mapped(3);
	tlb_fill_by_hand(3);
	as(1);
	harvest_begin(HARVEST_GET);
	lock(LOCK_EXCLUSIVE);
	change(table, 3, fake_words(table)[3] & ~bits);
	unlock();
	silent();
}

static void harvests_flush_before_they_return(void **state)
{
	harvested(PTE_W);
	harvest_end(HARVEST_GET);
	convicted(ORACLE_stale_tlb, "D4");
	harvested(PTE_D);
	harvest_end(HARVEST_GET);
	convicted(ORACLE_stale_tlb, "D5");

	/* Flushed; a harvest of another task; an entry that does not write. */
	harvested(PTE_W);
	fake_vcpu(0)->nr_tlb = 0;
	harvest_end(HARVEST_GET);
	silent();
	harvested(PTE_W);
	as(2);
	harvest_end(HARVEST_GET);
	silent();
	harvested(PTE_D);
	fake_vcpu(0)->tlb[0].access = PTE_R | PTE_X;
	harvest_end(HARVEST_GET);
	silent();

	/* The page may be written again, as the tables say. */
	harvested(PTE_W);
	as(0);
	fast_fault(3, LEAF_RW);
	as(1);
	harvest_end(HARVEST_GET);
	silent();
	harvested(PTE_D);
	fake_words(table)[3] |= PTE_D;
	harvest_end(HARVEST_GET);
	silent();
}

static void harvested_without_ad_bits(void)
{
	harvested(PTE_D);
	fake.no_ad_bits = true;
	harvest_end(HARVEST_GET);
}

/* Where the CPU keeps no D, or W stands for it, its absence is no reason to flush. */
static void dirty_that_nobody_reads(void **state)
{
	harvested_without_ad_bits();
	silent();

	world_locked(0);
	fake_words(table)[3] = LEAF_RW | SPTE_AD_WRPROT_ONLY | pfn_bits(host_pfn(3));
	tlb_fill_by_hand(3);
	harvest_begin(HARVEST_GET);
	change(table, 3, fake_words(table)[3] & ~PTE_D);
	harvest_end(HARVEST_GET);
	silent();
}

static void tracked_world(void)
{
	world_mapped(3);
	tlb_fill_by_hand(3);
	fake_words(table)[3] = (LEAF_RW & ~(PTE_RWX | PTE_A)) | SPTE_AD_DISABLED | SPTE_SAVED_R |
			       SPTE_SAVED_X | pfn_bits(host_pfn(3));
	as(1);
}

/* What access tracking has left in TLBs is no debt of its own, but all that come behind pay for it. */
static void tracked_pages_are_flushed_later(void **state)
{
	tracked_world();
	lock(LOCK_EXCLUSIVE);
	unlock();
	silent();
	lock(LOCK_EXCLUSIVE);
	change(table, 3, fake_words(table)[3] & ~SPTE_MMU_WRITABLE);
	unlock();
	convicted(ORACLE_stale_tlb, "D3");

	/* Nothing to change for who turns dirty logging on. */
	tracked_world();
	dirty_log(DIRTY_LOG_ENABLING, DIRTY_LOG_BITMAP, false);
	dirty_log(DIRTY_LOG_ENABLED, DIRTY_LOG_BITMAP, false);
	convicted(ORACLE_stale_tlb, "D4");
	tracked_world();
	dirty_log(DIRTY_LOG_ENABLING, DIRTY_LOG_BITMAP, false);
	fake_vcpu(0)->nr_tlb = 0;
	dirty_log(DIRTY_LOG_ENABLED, DIRTY_LOG_BITMAP, false);
	silent();
	tracked_world();
	dirty_log(DIRTY_LOG_ENABLING, DIRTY_LOG_INITIALLY_SET, false);
	dirty_log(DIRTY_LOG_ENABLED, DIRTY_LOG_INITIALLY_SET, false);
	silent();

	/* Cached since the last walk, which clears nothing that is used behind it. */
	tracked_world();
	dirty_log(DIRTY_LOG_ENABLING, DIRTY_LOG_BITMAP, false);
	walk(WALK_WRPROT, 1);
	event(walk_ended, .root = root);
	fake_vcpu(0)->tlb[0].filled_at = event_context.clock;
	dirty_log(DIRTY_LOG_ENABLED, DIRTY_LOG_BITMAP, false);
	silent();
}

static void enabling_flushes_for_cleared_dirty(void **state)
{
	for (u32 d_bits = 0; d_bits < 2; d_bits++) {
		world_mapped(3);
		tlb_fill_by_hand(3);
		fake_words(table)[3] &= ~PTE_D;
		as(1);
		dirty_log(DIRTY_LOG_ENABLING, DIRTY_LOG_BITMAP, d_bits);
		dirty_log(DIRTY_LOG_ENABLED, DIRTY_LOG_BITMAP, d_bits);
		if (d_bits)
			convicted(ORACLE_stale_tlb, "D4");
		else
			silent();
	}
	/* By a walk of its own. */
	world_mapped(3);
	tlb_fill_by_hand(3);
	as(1);
	dirty_log(DIRTY_LOG_ENABLING, DIRTY_LOG_BITMAP, true);
	lock(LOCK_SHARED);
	walk(WALK_CLEAR_DIRTY, 1);
	change(table, 3, fake_words(table)[3] & ~PTE_D);
	event(walk_ended, .root = root);
	unlock();
	silent();
	dirty_log(DIRTY_LOG_ENABLED, DIRTY_LOG_BITMAP, true);
	convicted(ORACLE_stale_tlb, "D5");
}

/* vCPU 0 runs on a huge leaf with @bits, and has it in its TLB. Task 1 holds mmu_lock. */
static void huge_with_tlb(u64 bits)
{
	world_huge();
	fake_words(root)[0] = huge_leaf(bits);
	tlb_fill_by_hand(0);
	fake_vcpu(0)->tlb[0].level = PT_LEVEL_2M;
	as(1);
	lock(LOCK_SHARED);
}

static void splits_owe_nothing(void **state)
{
	if (!HUGE_FITS)
		skip();
	huge_with_tlb(LEAF_RW);
	walk(WALK_SPLIT, 1);
	table = small_leafs(LEAF_RW);
	change(root, 0, TABLE | pfn_bits(table));
	unlock();
	silent();
	/* One page of what is cached as a huge one is taken away. */
	lock(LOCK_EXCLUSIVE);
	change(table, 5, SPTE_NONPRESENT);
	unlock();
	convicted(ORACLE_stale_tlb, "D1");

	/* A table with a hole is no split. */
	huge_with_tlb(LEAF_RW);
	walk(WALK_SPLIT, 1);
	table = small_leafs(LEAF_RW);
	fake_words(table)[6] = SPTE_NONPRESENT;
	change(root, 0, TABLE | pfn_bits(table));
	unlock();
	convicted(ORACLE_stale_tlb, "D1");

	/* Write protection of the huge leaf that is flushed for later is no debt of the split. */
	huge_with_tlb(LEAF_RW & ~PTE_W);
	walk(WALK_SPLIT, 1);
	change(root, 0, TABLE | pfn_bits(small_leafs(LEAF_RW & ~PTE_W)));
	unlock();
	silent();
}

static void recovery_flushes_tables(void **state)
{
	if (!HUGE_FITS)
		skip();
	for (u32 cached = 0; cached < 2; cached++) {
		world_huge();
		as(1);
		lock(LOCK_SHARED);
		table = small_leafs(LEAF_RW);
		change(root, 0, TABLE | pfn_bits(table));
		tlb_fill_by_hand(3);
		if (cached)
			psc_fill_by_hand();
		walk(WALK_RECOVER, 2);
		change(root, 0, huge_leaf(LEAF_RW));
		unlock();
		if (cached)
			convicted(ORACLE_stale_tlb, "D2");
		else
			silent();
	}
}

/* Clearing by hand takes MMU-writable from huge leafs, and flushes behind mmu_lock. */
static void huge_leafs_of_a_harvest(void **state)
{
	if (!HUGE_FITS)
		skip();
	for (u32 harvests = 0; harvests < 2; harvests++) {
		huge_with_tlb(LEAF_RW);
		if (harvests)
			harvest_begin(HARVEST_CLEAR);
		change(root, 0, huge_leaf(LEAF_RW & ~(PTE_W | SPTE_MMU_WRITABLE)));
		unlock();
		if (!harvests) {
			convicted(ORACLE_stale_tlb, "D3");
			continue;
		}
		silent();
		harvest_end(HARVEST_CLEAR);
		convicted(ORACLE_stale_tlb, "D4");
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(flush_is_due_at_unlock),
	cmocka_unit_test(flush_is_due_when_start_returns),
	cmocka_unit_test(flush_for_other_losses),
	cmocka_unit_test(loading_a_root_flushes),
	cmocka_unit_test(flushes_are_served_before_entry),
	cmocka_unit_test(flush_for_mmio),
	cmocka_unit_test(flush_for_cached_tables),
	cmocka_unit_test(no_flush_for_invalid_roots),
	cmocka_unit_test(invalid_roots_are_left),
	cmocka_unit_test(requests_are_waited_for),
	cmocka_unit_test(harvests_flush_before_they_return),
	cmocka_unit_test(dirty_that_nobody_reads),
	cmocka_unit_test(tracked_pages_are_flushed_later),
	cmocka_unit_test(enabling_flushes_for_cleared_dirty),
	cmocka_unit_test(splits_owe_nothing),
	cmocka_unit_test(recovery_flushes_tables),
	cmocka_unit_test(huge_leafs_of_a_harvest),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
