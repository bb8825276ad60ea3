/*
 * What is told of those who use the contract wrongly, and of locks. Asserts stand outside the tasks: a failed one
 * jumps to the main stack.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <backend/fixture.h>

static struct shared {
	u64 number, count;
	spinlock_t spin;
	rwlock_t rw;
	struct mutex mutex;
	struct rw_semaphore sem;
	struct srcu_struct srcu;
	bool flag[8];
} *shared;

static enum kern_outcome run(u32 nr_tasks, void (*body)(u32 task))
{
	kern_reset();
	shared = kern_alloc(sizeof(*shared));
	spin_lock_init_class(&shared->spin, LOCK_test);
	rwlock_init_class(&shared->rw, LOCK_test);
	mutex_init_class(&shared->mutex, LOCK_test);
	init_rwsem_class(&shared->sem, LOCK_test);
	srcu_init_class(&shared->srcu, LOCK_test);
	return fixture_run(nr_tasks, body);
}

static void body_exclusive(u32 task)
{
	kern_op_begin(0);
	for (u32 i = 0; i < 4; i++) {
		spin_lock(&shared->spin);
		WRITE_ONCE(shared->number, task);
		lockdep_assert_held(&shared->spin);
		spin_unlock(&shared->spin);
		mutex_lock(&shared->mutex);
		WRITE_ONCE(shared->count, task);
		mutex_unlock(&shared->mutex);
		write_lock(&shared->rw);
		lockdep_assert_held_write(&shared->rw);
		write_unlock(&shared->rw);
		down_write(&shared->sem);
		up_write(&shared->sem);
	}
}

static void what_is_taken_is_told_and_given_back(void **state)
{
	assert_int_equal(run(3, body_exclusive), KERN_DONE);
	assert_int_equal(seen_events[EVENT_lock_acquired], seen_events[EVENT_lock_released]);
	assert_int_equal(seen_events[EVENT_lock_acquired], 3 * 4 * 4);
	assert_int_equal(seen_events[EVENT_warned], 0);
}

static void body_sleepy(u32 task)
{
	int idx;

	kern_op_begin(0);
	idx = srcu_read_lock(&shared->srcu);
	shared->flag[0] = srcu_read_lock_held(&shared->srcu);
	might_sleep();
	srcu_read_unlock(&shared->srcu, idx);
	shared->flag[1] = srcu_read_lock_held(&shared->srcu);
	rcu_read_lock();
	might_sleep();
	rcu_read_unlock();
	spin_lock(&shared->spin);
	mutex_lock(&shared->mutex);
	mutex_unlock(&shared->mutex);
	spin_unlock(&shared->spin);
}

static void sleeping_in_atomic_context_is_told(void **state)
{
	assert_int_equal(run(1, body_sleepy), KERN_DONE);
	assert_int_equal(seen_events[EVENT_slept_in_atomic], 2);
	assert_true(shared->flag[0]);
	assert_false(shared->flag[1]);
}

static void body_leaving(u32 task)
{
	kern_op_begin(0);
	kern_op_end(0);
	kern_op_begin(1);
	srcu_read_lock(&shared->srcu);
	kern_op_end(1);
	kern_op_begin(2);
	mutex_lock(&shared->mutex);
	kern_op_end(2);
}

static void an_op_that_leaves_something_held_is_told(void **state)
{
	assert_int_equal(run(1, body_leaving), KERN_DONE);
	assert_int_equal(seen_events[EVENT_op_left_holding], 2);
}

static void body_unbalanced(u32 task)
{
	int idx;

	kern_op_begin(0);
	spin_unlock(&shared->spin);
	read_lock(&shared->rw);
	write_unlock(&shared->rw);
	read_unlock(&shared->rw);
	rcu_read_unlock();
	idx = srcu_read_lock(&shared->srcu);
	srcu_read_unlock(&shared->srcu, idx);
	srcu_read_unlock(&shared->srcu, idx);
	kern_op_end(0);
}

static void giving_back_what_was_not_taken_is_told(void **state)
{
	assert_int_equal(run(1, body_unbalanced), KERN_DONE);
	assert_int_equal(seen_events[EVENT_warned], 4);
	assert_int_equal(seen_events[EVENT_op_left_holding], 0);
}

static void body_abba(u32 task)
{
	kern_op_begin(0);
	if (task == 0) {
		mutex_lock(&shared->mutex);
		down_write(&shared->sem);
	} else {
		down_write(&shared->sem);
		mutex_lock(&shared->mutex);
	}
}

static void a_deadlock_names_its_tasks(void **state)
{
	assert_int_equal(run(2, body_abba), KERN_STUCK);
	assert_int_equal(seen_events[EVENT_task_stuck], 2);
	assert_int_equal(seen_events[EVENT_deadlocked], 1);
}

static void body_dead(u32 task)
{
	u64 *object = kern_alloc(sizeof(*object));

	kern_op_begin(0);
	shared->flag[0] = current_task() == 0;
	kern_free(object);
	WRITE_ONCE(*object, 1);
	shared->flag[1] = true;
}

static void a_verb_on_freed_memory_ends_the_schedule(void **state)
{
	assert_int_equal(run(1, body_dead), KERN_ABANDONED);
	assert_int_equal(seen_events[EVENT_dead_access], 1);
	assert_true(shared->flag[0]);
	assert_false(shared->flag[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_taken_is_told_and_given_back),
		cmocka_unit_test(sleeping_in_atomic_context_is_told),
		cmocka_unit_test(an_op_that_leaves_something_held_is_told),
		cmocka_unit_test(giving_back_what_was_not_taken_is_told),
		cmocka_unit_test(a_deadlock_names_its_tasks),
		cmocka_unit_test(a_verb_on_freed_memory_ends_the_schedule),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
