/*
 * progress, each invariant on a violation and on its legal neighbour, in a world made by hand (fake_world.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "oracle/fake_world.h"

static void deadlocks_are_told(void **state)
{
	world();
	event(task_stuck, .stuck_task = 0, .lock_class = LOCK_mmu_lock, .lock = 1, .holder = 1);
	event(task_stuck, .stuck_task = 1, .lock_class = LOCK_CLASS_COUNT, .holder = ~0ull);
	silent();
	event(deadlocked, .tasks = 3);
	convicted(ORACLE_progress, "PR1");
	assert_string_equal(oracle_verdict()->detail, "task 0 waits for mmu_lock of task 1; "
						      "task 1 waits for memory to change");
}

static void stuck(u32 task, enum lock_class class, u32 holder)
{
	event(task_stuck, .stuck_task = task, .lock_class = class, .lock = 1, .holder = holder);
}

static void core_is(u32 waiter, u32 holder)
{
	event(deadlocked, 0);
	convicted(ORACLE_progress, "PR1");
	assert_int_equal(oracle_verdict()->task[0], waiter);
	assert_int_equal(oracle_verdict()->task[1], holder);
}

/* The pair does not depend on who waits for those that wait for each other. */
static void deadlocks_have_a_core(void **state)
{
	world();
	stuck(0, LOCK_mmap_lock, 3);
	stuck(1, LOCK_mmu_lock, 2);
	stuck(2, LOCK_mmap_lock, 1);
	stuck(3, LOCK_mmu_lock, 2);
	core_is(1, 2);

	/* Task 2 has ended and left mmu_lock locked. */
	world();
	as(2);
	lock(LOCK_SHARED);
	as(TASK_NONE);
	stuck(0, LOCK_mmap_lock, 1);
	stuck(1, LOCK_mmu_lock, 2);
	core_is(1, 2);
}

static void three_attempts(void)
{
	as(0);
	for (u32 i = 0; i < 3; i++) {
		fault_until_check(3);
		retried(3, RETRY_AFTER_GUP);
		event(fault_ended, .gfn = 3, .ret = SUBJECT_RETRY);
	}
}

/* Retries for an invalidation that came and went elsewhere meanwhile. */
static void stormy_attempts(u32 nr, u32 switches)
{
	for (u32 i = 0; i < nr; i++) {
		as(0);
		fault_until_check(3);
		invalidate_begin(1, 0, 1);
		invalidate_end(1);
		as(0);
		retried(3, RETRY_AFTER_GUP);
		event(fault_ended, .gfn = 3, .ret = SUBJECT_RETRY);
		event_context.switches += switches;
	}
}

static void faults_end_alone(void **state)
{
	/* In the range of another task's open invalidation: for as long as it takes. */
	world();
	invalidate_begin(1, 3, 4);
	three_attempts();
	silent();

	/* About to begin one. */
	world();
	as(2);
	event(notifier_start, .start = HVA + 3, .end = HVA + 4);
	stormy_attempts(3, 0);
	silent();

	/* Each has a cause, but nobody else ran. */
	world();
	stormy_attempts(3, 0);
	convicted(ORACLE_progress, "PR2");

	/* Others ran in between. */
	world();
	stormy_attempts(6, 1);
	silent();

	/* Whatever the attempts say: the fourth at one access is one too many. */
	world_mapped(3);
	for (u32 i = 0; i < 3; i++) {
		event(fault_begun, .vcpu = 0, .gfn = 3, .access = ACCESS_WRITE);
		event(fault_ended, .gfn = 3, .ret = SUBJECT_WRITE_PROTECTED);
	}
	convicted(ORACLE_progress, "PR2");
}

static void walks_get_on(void **state)
{
	world();
	as(0);
	event(walk_begun, .root = root, .start = 0, .end = 8);
	event(walk_yielded, .root = root, .position = 3);
	event(walk_yielded, .root = root, .position = 4);
	event(walk_begun, .root = root, .start = 0, .end = 8);
	event(walk_yielded, .root = root, .position = 4);
	as(1);
	event(walk_yielded, .root = root, .position = 4);
	silent();
	as(0);
	event(walk_yielded, .root = root, .position = 4);
	convicted(ORACLE_progress, "PR2");
}

/* Retries with a cause, nobody else having run in between. */
static void updates_hold_faults_up(void **state)
{
	world();
	as(1);
	memslot_step(MEMSLOT_BEGUN, 0);
	stormy_attempts(4, 0);
	silent();
	as(1);
	memslot_step(MEMSLOT_ENDED, 0);
	stormy_attempts(4, 0);
	convicted(ORACLE_progress, "PR2");

	/* The vCPUs are about to be told. */
	world();
	as(2);
	lock(LOCK_EXCLUSIVE);
	event(root_invalidated, .root = root);
	stormy_attempts(4, 0);
	silent();
	as(2);
	unlock();
	stormy_attempts(4, 0);
	convicted(ORACLE_progress, "PR2");
}

/* In the outer one of two notifications of another task. */
static void nested_notifications_hold_faults_up(void **state)
{
	world();
	as(2);
	event(notifier_start, .start = HVA + 3, .end = HVA + 4);
	event(notifier_start, .start = HVA + 6, .end = HVA + 7);
	stormy_attempts(3, 0);
	silent();
	as(2);
	event(notifier_end_returned, .start = HVA + 6, .end = HVA + 7);
	stormy_attempts(3, 0);
	silent();
	as(2);
	event(notifier_end_returned, .start = HVA + 3, .end = HVA + 4);
	stormy_attempts(3, 0);
	convicted(ORACLE_progress, "PR2");
}

static void splits_fetch_tables(void **state)
{
	world();
	as(0);
	walk(WALK_SPLIT, 1);
	for (u32 i = 0; i < 3; i++)
		event(walk_yielded, .root = root, .position = 3);
	event(walk_yielded, .root = root, .position = 4);
	silent();
	for (u32 i = 0; i < 3; i++)
		event(walk_yielded, .root = root, .position = 4);
	convicted(ORACLE_progress, "PR2");
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(deadlocks_are_told),
	cmocka_unit_test(deadlocks_have_a_core),
	cmocka_unit_test(faults_end_alone),
	cmocka_unit_test(walks_get_on),
	cmocka_unit_test(updates_hold_faults_up),
	cmocka_unit_test(nested_notifications_hold_faults_up),
	cmocka_unit_test(splits_fetch_tables),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
