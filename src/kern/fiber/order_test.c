/*
 * Grace periods and waits under schedules that are drawn one by one, and what is told of lock order. Asserts stand
 * outside the tasks: a failed one jumps to the main stack.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kern/fiber/fiber_kern.h"
#include "kern/shared/instrument.h"
#include "kern/kern.h"

static u64 seen_events[EVENT_COUNT];
static struct {
	u64 outer, inner, mode;
	bool has_outer_site;
} nested[16];
static u32 nr_nested;
static u64 stuck_class[TASKS_MAX], stuck_holder[TASKS_MAX];

UNINSTRUMENTED void event_sink(const struct event *event)
{
	const struct event_lock_nested *pair = (const void *)event;
	const struct event_task_stuck *stuck = (const void *)event;

	seen_events[event->id]++;
	if (event->id == EVENT_lock_nested && nr_nested < ARRAY_SIZE(nested)) {
		nested[nr_nested].outer = pair->outer;
		nested[nr_nested].inner = pair->inner;
		nested[nr_nested].mode = pair->mode;
		nested[nr_nested++].has_outer_site = event_context.outer_site != NULL;
	} else if (event->id == EVENT_task_stuck) {
		stuck_class[stuck->stuck_task] = stuck->lock_class;
		stuck_holder[stuck->stuck_task] = stuck->holder;
	}
}

/* Round robin, one point each; or the lowest task as far as it gets. */
static bool lowest;

static u32 next_task(void *ctx, const struct sched_stop *stop)
{
	u64 later = 0;

	if (!lowest) {
		sched_grant(1);
		if (stop->task != TASK_NONE)
			later = stop->runnable & ~(BIT_ULL(stop->task + 1) - 1);
	}
	return (u32)__builtin_ctzll(later ? later : stop->runnable);
}

static u32 refused; /* bit: questions of that kind are answered with 1 */
static u32 asked;

static u64 value_answer(void *ctx, const struct sched_stop *stop, u64 bound)
{
	asked |= 1u << stop->answer;
	return refused >> stop->answer & 1;
}

static struct shared {
	struct rcu_head heads[2];
	u64 number, ran[2], left;
	spinlock_t spin;
	rwlock_t rw;
	struct mutex mutex, other;
	struct rw_semaphore sem;
	struct srcu_struct srcu;
	struct rcuwait wait;
	bool flag[8];
} *shared;

static enum kern_outcome run(u32 nr_tasks, void (*body)(u32 task))
{
	static const struct sched_driver driver = { .next = next_task, .value = value_answer };

	kern_reset();
	shared = kern_alloc(sizeof(*shared));
	spin_lock_init_class(&shared->spin, LOCK_ptl);
	rwlock_init_class(&shared->rw, LOCK_mmu_lock);
	mutex_init_class(&shared->mutex, LOCK_slots_lock);
	mutex_init_class(&shared->other, LOCK_driver_mutex);
	init_rwsem_class(&shared->sem, LOCK_mmap_lock);
	srcu_init_class(&shared->srcu, LOCK_kvm_srcu);
	rcuwait_init_class(&shared->wait, LOCK_mn_active);
	event_context.interest = ~(event_mask)0;
	for (u32 i = 0; i < EVENT_COUNT; i++)
		seen_events[i] = 0;
	nr_nested = 0;
	asked = 0;
	kern_set_driver(&driver);
	return kern_run_tasks(nr_tasks, body, 10000);
}

/* --- call_rcu --- */

static void callback(struct rcu_head *head)
{
	u64 nth = head == &shared->heads[1];

	/* Plain accesses: the race detector checks that the grace period orders them. */
	shared->ran[nth] = shared->left;
	WRITE_ONCE(shared->flag[nth], current_task() == TASK_RCU);
}

static void body_call_rcu(u32 task)
{
	kern_op_begin(0);
	if (task == 0) {
		rcu_read_lock();
		rcu_read_lock();
		for (u32 i = 0; i < 6; i++)
			WRITE_ONCE(shared->number, i);
		rcu_read_unlock();
		shared->left = 1;
		rcu_read_unlock();
		return;
	}
	while (!READ_ONCE(shared->number))
		;
	call_rcu(&shared->heads[0], callback);
	call_rcu(&shared->heads[1], callback);
	shared->flag[2] = true;
}

static void callbacks_wait_for_the_readers_that_were_inside(void **state)
{
	lowest = false;
	assert_int_equal(run(2, body_call_rcu), KERN_DONE);
	assert_int_equal(shared->ran[0], 1);
	assert_int_equal(shared->ran[1], 1);
	assert_true(shared->flag[0] && shared->flag[1] && shared->flag[2]);
	assert_int_equal(seen_events[EVENT_rcu_queued], 2);
	assert_int_equal(seen_events[EVENT_rcu_ran], 2);
}

static void body_late_reader(u32 task)
{
	kern_op_begin(0);
	if (task == 0) {
		call_rcu(&shared->heads[0], callback);
		rcu_read_lock(); /* too late to hold up the callback */
		WRITE_ONCE(shared->number, 1);
		while (!READ_ONCE(shared->flag[0]))
			;
		rcu_read_unlock();
	}
}

static void a_later_reader_delays_nothing(void **state)
{
	lowest = false;
	assert_int_equal(run(1, body_late_reader), KERN_DONE);
	assert_true(shared->flag[0]);
}

static void body_call_rcu_twice(u32 task)
{
	kern_op_begin(0);
	rcu_read_lock();
	call_rcu(&shared->heads[0], callback);
	call_rcu(&shared->heads[1], callback);
	call_rcu(&shared->heads[1], callback);
	rcu_read_unlock();
}

static void what_is_queued_twice_runs_once_and_is_told(void **state)
{
	lowest = true;
	assert_int_equal(run(1, body_call_rcu_twice), KERN_DONE);
	assert_int_equal(seen_events[EVENT_warned], 1);
	assert_int_equal(seen_events[EVENT_rcu_ran], 2);
}

static void count_taken_down(struct rcu_head *head)
{
	shared->ran[0] = 7;
}

static void outside_of_tasks_callbacks_run_at_once(void **state)
{
	lowest = false;
	assert_int_equal(run(1, body_late_reader), KERN_DONE);
	call_rcu(&shared->heads[0], count_taken_down);
	assert_int_equal(shared->ran[0], 7);
}

/* --- synchronize --- */

static void body_synchronize(u32 task)
{
	int idx;

	kern_op_begin(0);
	if (task == 0) {
		idx = srcu_read_lock(&shared->srcu);
		rcu_read_lock();
		for (u32 i = 0; i < 6; i++)
			WRITE_ONCE(shared->number, i + 1);
		shared->ran[0] = 5;
		rcu_read_unlock();
		for (u32 i = 0; i < 6; i++)
			WRITE_ONCE(shared->number, i + 1);
		shared->ran[1] = 6;
		srcu_read_unlock(&shared->srcu, idx);
		return;
	}
	while (!READ_ONCE(shared->number))
		;
	synchronize_rcu();
	shared->flag[0] = shared->ran[0] == 5;
	synchronize_srcu(&shared->srcu);
	shared->flag[1] = shared->ran[1] == 6;
	call_rcu(&shared->heads[0], callback);
	rcu_barrier();
	shared->flag[2] = READ_ONCE(shared->flag[0]) && current_task() == 1;
	kern_op_end(0);
}

static void synchronize_waits_for_readers(void **state)
{
	lowest = false;
	assert_int_equal(run(2, body_synchronize), KERN_DONE);
	assert_true(shared->flag[1] && shared->flag[2]);
	assert_int_equal(seen_events[EVENT_synchronized], 2);
	assert_int_equal(seen_events[EVENT_slept_in_atomic], 0);
}

static void body_self(u32 task)
{
	kern_op_begin(0);
	srcu_read_lock(&shared->srcu);
	synchronize_srcu(&shared->srcu);
}

static void a_reader_that_synchronizes_waits_for_itself(void **state)
{
	lowest = true;
	assert_int_equal(run(1, body_self), KERN_STUCK);
	assert_int_equal(stuck_class[0], LOCK_kvm_srcu);
	assert_int_equal(stuck_holder[0], 0);
	assert_int_equal(nr_nested, 1);
	assert_int_equal(nested[0].outer, LOCK_kvm_srcu);
	assert_int_equal(nested[0].inner, LOCK_kvm_srcu);
	assert_int_equal(nested[0].mode, LOCK_WAITED);
}

/* --- rcuwait --- */

static void body_rcuwait(u32 task)
{
	kern_op_begin(0);
	if (task == 1) {
		WRITE_ONCE(shared->number, 1);
		rcuwait_wake_up(&shared->wait);
		return;
	}
	prepare_to_rcuwait(&shared->wait);
	for (;;) {
		set_current_state(TASK_UNINTERRUPTIBLE);
		if (READ_ONCE(shared->number))
			break;
		schedule();
	}
	finish_rcuwait(&shared->wait);
	shared->flag[0] = true;
	kern_op_end(0);
}

static void a_wake_up_is_never_lost(void **state)
{
	for (u32 i = 0; i < 2; i++) {
		lowest = i;
		assert_int_equal(run(2, body_rcuwait), KERN_DONE);
		assert_true(shared->flag[0]);
		assert_int_equal(seen_events[EVENT_rcuwait_taken], 0);
	}
}

static void body_two_waiters(u32 task)
{
	kern_op_begin(0);
	if (task == 2) {
		lock_section_enter(LOCK_mn_active);
		down_write(&shared->sem);
		down_write(&shared->sem);
		return;
	}
	prepare_to_rcuwait(&shared->wait);
	set_current_state(TASK_UNINTERRUPTIBLE);
	schedule();
}

static void a_second_waiter_is_told_and_the_stuck_are_named(void **state)
{
	lowest = true;
	assert_int_equal(run(3, body_two_waiters), KERN_STUCK);
	assert_int_equal(seen_events[EVENT_rcuwait_taken], 1);
	assert_int_equal(stuck_class[0], LOCK_mn_active);
	assert_int_equal(stuck_holder[0], 2);
	assert_int_equal(stuck_class[2], LOCK_mmap_lock);
}

/* --- trylocks and answers --- */

static void body_trylock(u32 task)
{
	kern_op_begin(0);
	if (task == 0) {
		shared->flag[0] = mutex_trylock(&shared->mutex);
		shared->flag[1] = down_read_trylock(&shared->sem);
		WRITE_ONCE(shared->number, 1);
		shared->flag[4] = kern_may_alloc();
		if (shared->flag[0])
			mutex_unlock(&shared->mutex);
		if (shared->flag[1])
			up_read(&shared->sem);
		shared->flag[5] = environment_answer(ANSWER_TLB, 3);
		return;
	}
	shared->flag[2] = mutex_trylock(&shared->mutex);
	shared->flag[3] = down_read_trylock(&shared->sem);
	if (shared->flag[2])
		mutex_unlock(&shared->mutex);
	if (shared->flag[3])
		up_read(&shared->sem);
}

static void a_trylock_fails_when_taken_or_when_told_to(void **state)
{
	lowest = false;
	refused = 0;
	assert_int_equal(run(2, body_trylock), KERN_DONE);
	assert_true(shared->flag[0] && shared->flag[1] && shared->flag[3] && shared->flag[4]);
	assert_false(shared->flag[2] || shared->flag[5]);
	assert_int_equal(asked, 1u << ANSWER_TRYLOCK | 1u << ANSWER_ALLOC | 1u << ANSWER_TLB);
	refused = ~0u;
	assert_int_equal(run(2, body_trylock), KERN_DONE);
	refused = 0;
	assert_false(shared->flag[0] || shared->flag[1] || shared->flag[2] || shared->flag[3]);
	assert_false(shared->flag[4]);
	assert_true(shared->flag[5]);
}

/* --- lock order --- */

static void body_nested(u32 task)
{
	int idx;

	kern_op_begin(0);
	for (u32 i = 0; i < 2; i++) {
		mutex_lock(&shared->mutex);
		down_read(&shared->sem);
		up_read(&shared->sem);
		/* No edge: nobody waits to become a reader. */
		idx = srcu_read_lock(&shared->srcu);
		srcu_read_unlock(&shared->srcu, idx);
		synchronize_srcu(&shared->srcu);
		mutex_unlock(&shared->mutex);
	}
	kern_op_end(0);
}

static void pairs_are_told_once_and_waits_each_time(void **state)
{
	lowest = true;
	assert_int_equal(run(1, body_nested), KERN_DONE);
	assert_int_equal(nr_nested, 3);
	assert_int_equal(nested[0].outer, LOCK_slots_lock);
	assert_int_equal(nested[0].inner, LOCK_mmap_lock);
	assert_int_equal(nested[0].mode, LOCK_SHARED);
	assert_true(nested[0].has_outer_site);
	for (u32 i = 1; i < 3; i++) {
		assert_int_equal(nested[i].outer, LOCK_slots_lock);
		assert_int_equal(nested[i].inner, LOCK_kvm_srcu);
		assert_int_equal(nested[i].mode, LOCK_WAITED);
	}
}

static void body_recursive(u32 task)
{
	kern_op_begin(0);
	read_lock(&shared->rw);
	read_lock(&shared->rw);
}

static void recursion_is_told(void **state)
{
	lowest = true;
	run(1, body_recursive);
	assert_int_equal(nr_nested, 1);
	assert_int_equal(nested[0].outer, LOCK_mmu_lock);
	assert_int_equal(nested[0].inner, LOCK_mmu_lock);
}

static void body_non_block(u32 task)
{
	kern_op_begin(0);
	non_block_start();
	spin_lock(&shared->spin);
	spin_unlock(&shared->spin);
	write_lock(&shared->rw);
	if (task)
		cond_resched_rwlock_write(&shared->rw);
	write_unlock(&shared->rw);
	if (task)
		mutex_lock(&shared->mutex);
	if (task)
		mutex_unlock(&shared->mutex);
	non_block_end();
	might_sleep();
	kern_op_end(0);
}

static void sleeping_where_nobody_may_is_told(void **state)
{
	lowest = true;
	assert_int_equal(run(1, body_non_block), KERN_DONE);
	assert_int_equal(seen_events[EVENT_slept_in_nonblock], 0);
	assert_int_equal(run(2, body_non_block), KERN_DONE);
	/* The yield; the mutex by its class and by the sleep. */
	assert_int_equal(seen_events[EVENT_slept_in_nonblock], 3);
}

static void body_section(u32 task)
{
	kern_op_begin(0);
	lock_section_enter(LOCK_mn_active);
	spin_lock(&shared->spin);
	spin_unlock(&shared->spin);
	if (!task)
		lock_section_leave(LOCK_mn_active);
	kern_op_end(0);
}

static void a_section_is_held_until_it_is_left(void **state)
{
	lowest = true;
	assert_int_equal(run(2, body_section), KERN_DONE);
	assert_int_equal(nr_nested, 1);
	assert_int_equal(nested[0].outer, LOCK_mn_active);
	assert_int_equal(seen_events[EVENT_op_left_holding], 1);
}

static void body_overdue(u32 task)
{
	kern_op_begin(0);
	event_context.touched_max[task] = 2;
	for (u32 i = 0; i < 4; i++) {
		event_context.touched[task] = i;
		need_resched();
	}
}

static void an_offer_that_comes_too_late_is_told(void **state)
{
	lowest = true;
	assert_int_equal(run(1, body_overdue), KERN_DONE);
	assert_int_equal(seen_events[EVENT_yield_overdue], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(callbacks_wait_for_the_readers_that_were_inside),
		cmocka_unit_test(a_later_reader_delays_nothing),
		cmocka_unit_test(what_is_queued_twice_runs_once_and_is_told),
		cmocka_unit_test(outside_of_tasks_callbacks_run_at_once),
		cmocka_unit_test(synchronize_waits_for_readers),
		cmocka_unit_test(a_reader_that_synchronizes_waits_for_itself),
		cmocka_unit_test(a_wake_up_is_never_lost),
		cmocka_unit_test(a_second_waiter_is_told_and_the_stuck_are_named),
		cmocka_unit_test(a_trylock_fails_when_taken_or_when_told_to),
		cmocka_unit_test(pairs_are_told_once_and_waits_each_time),
		cmocka_unit_test(recursion_is_told),
		cmocka_unit_test(sleeping_where_nobody_may_is_told),
		cmocka_unit_test(a_section_is_held_until_it_is_left),
		cmocka_unit_test(an_offer_that_comes_too_late_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
