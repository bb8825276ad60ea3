/*
 * lock_order, each invariant on a violation and on its legal neighbour, in a world made by hand (fake_world.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "oracle/fake_world.h"
#include "sched/sched.h"

static void nested(u32 task, enum lock_class outer, enum lock_class inner, enum lock_mode mode)
{
	as(task);
	event(lock_nested, .outer = outer, .inner = inner, .outer_mode = LOCK_EXCLUSIVE,
	      .mode = mode);
}

static void two_locks_two_ways(void **state)
{
	struct sched_site taken = { .function = "taken" }, asked = { .function = "asked" };

	world();
	event_context.outer_site = &taken;
	event_context.site = &asked;
	nested(1, LOCK_mmap_lock, LOCK_driver_mutex, LOCK_EXCLUSIVE);
	event_context.site = NULL;
	nested(2, LOCK_driver_mutex, LOCK_mmu_lock, LOCK_EXCLUSIVE);
	silent();
	nested(2, LOCK_driver_mutex, LOCK_mmap_lock, LOCK_SHARED);
	event_context.outer_site = NULL;
	convicted(ORACLE_lock_order, "LO1");
	assert_string_equal(oracle_verdict()->detail, "task 2: driver mutex > mmap_lock; "
						      "task 1: mmap_lock > driver mutex");
	assert_int_equal(oracle_verdict()->nr_holds, 2);
	assert_ptr_equal(oracle_verdict()->site[1], &asked);
	assert_ptr_equal(oracle_verdict()->holds[1].taken, &taken);
	assert_ptr_equal(oracle_verdict()->holds[1].asked, &asked);
	assert_int_equal(oracle_verdict()->task[1], 1);

	/* Forgotten with the schedule. */
	world();
	nested(1, LOCK_mmap_lock, LOCK_driver_mutex, LOCK_EXCLUSIVE);
	world();
	nested(2, LOCK_driver_mutex, LOCK_mmap_lock, LOCK_EXCLUSIVE);
	silent();

	/* Three tasks, none of which does it alone. */
	nested(1, LOCK_mmap_lock, LOCK_rmap_lock, LOCK_EXCLUSIVE);
	nested(3, LOCK_rmap_lock, LOCK_ptl, LOCK_EXCLUSIVE);
	silent();
	nested(1, LOCK_ptl, LOCK_driver_mutex, LOCK_EXCLUSIVE);
	convicted(ORACLE_lock_order, "LO1");
	assert_int_equal(oracle_verdict()->nr_holds, 4);
}

static void waits_for_readers_close_cycles(void **state)
{
	world();
	nested(1, LOCK_kvm_srcu, LOCK_slots_lock, LOCK_EXCLUSIVE);
	silent();
	nested(2, LOCK_slots_lock, LOCK_kvm_srcu, LOCK_WAITED);
	convicted(ORACLE_lock_order, "LO1");

	world();
	nested(1, LOCK_kvm_srcu, LOCK_kvm_srcu, LOCK_WAITED);
	convicted(ORACLE_lock_order, "LO1");
	assert_null(oracle_verdict()->site[1]);

	/* Readers may ask for slots_arch_lock, whether or not one has. */
	world();
	nested(1, LOCK_slots_lock, LOCK_kvm_srcu, LOCK_WAITED);
	nested(1, LOCK_slots_arch_lock, LOCK_mn_active, LOCK_WAITED);
	silent();
	nested(1, LOCK_slots_arch_lock, LOCK_kvm_srcu, LOCK_WAITED);
	convicted(ORACLE_lock_order, "LO1");

	/* B11 without the prefault: a lock taken inside the section is held around the wait. */
	world();
	nested(2, LOCK_slots_lock, LOCK_kvm_srcu, LOCK_WAITED);
	nested(1, LOCK_kvm_srcu, LOCK_mmap_lock, LOCK_SHARED);
	silent();
	nested(2, LOCK_mmap_lock, LOCK_slots_lock, LOCK_EXCLUSIVE);
	convicted(ORACLE_lock_order, "LO1");
}

static void waits_for_invalidations(void **state)
{
	static const u32 updates[] = { LOCK_slots_lock, LOCK_slots_arch_lock };

	for (u32 i = 0; i < ARRAY_SIZE(updates); i++) {
		world();
		nested(1, LOCK_mn_active, LOCK_mmap_lock, LOCK_EXCLUSIVE);
		nested(1, LOCK_mn_active, LOCK_mmu_lock, LOCK_EXCLUSIVE);
		silent();
		nested(1, LOCK_mn_active, updates[i], LOCK_EXCLUSIVE);
		convicted(ORACLE_lock_order, "LO2");
	}
	world();
	nested(1, LOCK_mn_active, LOCK_kvm_srcu, LOCK_WAITED);
	convicted(ORACLE_lock_order, "LO2");

	/* By way of a lock that somebody holds around slots_lock. */
	world();
	nested(1, LOCK_mn_active, LOCK_driver_mutex, LOCK_EXCLUSIVE);
	nested(2, LOCK_slots_lock, LOCK_mn_active, LOCK_WAITED);
	silent();
	nested(3, LOCK_driver_mutex, LOCK_slots_lock, LOCK_EXCLUSIVE);
	convicted(ORACLE_lock_order, "LO2");

	world();
	event(rcuwait_taken, .class = LOCK_mn_active);
	convicted(ORACLE_lock_order, "LO3");
}

static void reclaim_is_a_lock(void **state)
{
	world();
	nested(1, LOCK_fs_reclaim, LOCK_mmu_lock, LOCK_EXCLUSIVE);
	nested(1, LOCK_fs_reclaim, LOCK_fs_reclaim, LOCK_EXCLUSIVE);
	nested(2, LOCK_slots_lock, LOCK_fs_reclaim, LOCK_EXCLUSIVE);
	silent();
	nested(2, LOCK_mmu_lock, LOCK_fs_reclaim, LOCK_EXCLUSIVE);
	convicted(ORACLE_lock_order, "LO7");
}

static void sleeping_and_recursion(void **state)
{
	world();
	nested(1, LOCK_mmu_lock, LOCK_mmu_lock, LOCK_SHARED);
	convicted(ORACLE_lock_order, "LO4");
	world();
	event(slept_in_atomic, .what = LOCK_ptl);
	convicted(ORACLE_lock_order, "LO5");
	assert_string_equal(oracle_verdict()->detail, "holds PTL");
	world();
	event(slept_in_nonblock, .what = LOCK_driver_mutex);
	convicted(ORACLE_lock_order, "LO6");
	assert_string_equal(oracle_verdict()->detail, "asks for driver mutex");
	world();
	event(slept_in_nonblock, .what = ~0ull);
	convicted(ORACLE_lock_order, "LO6");
}

/* The order that the locking documents give, all pairs of it at once: no cycle among them. */
#define IN LOCK_EXCLUSIVE
static const struct {
	enum lock_class outer, inner;
	enum lock_mode mode;
} documented[] = {
	{ LOCK_kvm_lock, LOCK_slots_lock, IN },
	{ LOCK_slots_lock, LOCK_slots_arch_lock, IN },
	{ LOCK_slots_arch_lock, LOCK_mn_invalidate_lock, IN },
	{ LOCK_slots_lock, LOCK_mn_invalidate_lock, IN },
	{ LOCK_slots_lock, LOCK_mmap_lock, IN },
	{ LOCK_slots_lock, LOCK_mmu_lock, IN },
	{ LOCK_slots_lock, LOCK_kvm_srcu, LOCK_WAITED },
	{ LOCK_kvm_lock, LOCK_kvm_srcu, LOCK_WAITED },
	{ LOCK_slots_lock, LOCK_mn_active, LOCK_WAITED },
	{ LOCK_slots_arch_lock, LOCK_mn_active, LOCK_WAITED },
	{ LOCK_mn_invalidate_lock, LOCK_mn_active, LOCK_WAITED },
	{ LOCK_slots_lock, LOCK_fs_reclaim, IN },
	{ LOCK_kvm_srcu, LOCK_slots_arch_lock, IN },
	{ LOCK_kvm_srcu, LOCK_mmap_lock, LOCK_SHARED },
	{ LOCK_kvm_srcu, LOCK_rmap_lock, IN },
	{ LOCK_kvm_srcu, LOCK_ptl, IN },
	{ LOCK_kvm_srcu, LOCK_mmu_lock, IN },
	{ LOCK_kvm_srcu, LOCK_tdp_mmu_pages_lock, IN },
	{ LOCK_kvm_srcu, LOCK_range_requests, IN },
	{ LOCK_kvm_srcu, LOCK_fs_reclaim, IN },
	{ LOCK_mmap_lock, LOCK_rmap_lock, IN },
	{ LOCK_mmap_lock, LOCK_ptl, IN },
	{ LOCK_mmap_lock, LOCK_fs_reclaim, IN },
	{ LOCK_rmap_lock, LOCK_ptl, IN },
	{ LOCK_mmap_lock, LOCK_mn_invalidate_lock, IN },
	{ LOCK_mmap_lock, LOCK_driver_mutex, IN },
	{ LOCK_mmap_lock, LOCK_mmu_lock, IN },
	{ LOCK_rmap_lock, LOCK_mn_invalidate_lock, IN },
	{ LOCK_rmap_lock, LOCK_driver_mutex, IN },
	{ LOCK_rmap_lock, LOCK_mmu_lock, IN },
	{ LOCK_fs_reclaim, LOCK_rmap_lock, IN },
	{ LOCK_fs_reclaim, LOCK_ptl, IN },
	{ LOCK_fs_reclaim, LOCK_mmu_lock, IN },
	{ LOCK_fs_reclaim, LOCK_driver_mutex, IN },
	{ LOCK_fs_reclaim, LOCK_mn_invalidate_lock, IN },
	{ LOCK_mn_active, LOCK_mn_invalidate_lock, IN },
	{ LOCK_mn_active, LOCK_mmu_lock, IN },
	{ LOCK_mn_active, LOCK_ptl, IN },
	{ LOCK_mn_active, LOCK_driver_mutex, IN },
	{ LOCK_mn_active, LOCK_range_requests, IN },
	{ LOCK_mn_srcu, LOCK_mn_invalidate_lock, IN },
	{ LOCK_mn_srcu, LOCK_mmu_lock, IN },
	{ LOCK_mn_srcu, LOCK_driver_mutex, IN },
	{ LOCK_mmu_lock, LOCK_tdp_mmu_pages_lock, IN },
	{ LOCK_mmu_lock, LOCK_range_requests, IN },
	{ LOCK_kvm_lock, LOCK_mn_srcu, LOCK_WAITED },
	{ LOCK_kvm_lock, LOCK_mn_list_lock, IN },
	{ LOCK_rcu, LOCK_tdp_mmu_pages_lock, IN },
	{ LOCK_rcu, LOCK_range_requests, IN },
};
#undef IN

static void documented_order(void **state)
{
	u32 nr = ARRAY_SIZE(documented);

	/* Whichever comes first and whichever last: the last edge is what closes a cycle. */
	for (u32 first = 0; first < nr; first++) {
		world();
		for (u32 i = 0; i < nr; i++) {
			u32 at = (first + i) % nr;

			nested(i % 3, documented[at].outer, documented[at].inner,
			       documented[at].mode);
		}
		silent();
	}
}

static void prefaults_do_not_wait_for_slots(void **state)
{
	world();
	as(1);
	memslot_step(MEMSLOT_BEGUN, 0);
	memslot_step(MEMSLOT_INVALID, 0);
	as(0);
	prefault_of(3);
	retried(3, RETRY_BEFORE_GUP);
	convicted(ORACLE_false_retry, "FR1");
	world();
	as(1);
	memslot_step(MEMSLOT_BEGUN, 0);
	memslot_step(MEMSLOT_INVALID, 0);
	as(0);
	fault_until_check(3);
	retried(3, RETRY_SLOT_INVALID);
	silent();
	prefault_of(3);
	retried(3, RETRY_SLOT_INVALID);
	convicted(ORACLE_lock_order, "LO8");
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(two_locks_two_ways),
	cmocka_unit_test(waits_for_readers_close_cycles),
	cmocka_unit_test(waits_for_invalidations),
	cmocka_unit_test(reclaim_is_a_lock),
	cmocka_unit_test(sleeping_and_recursion),
	cmocka_unit_test(documented_order),
	cmocka_unit_test(prefaults_do_not_wait_for_slots),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
