/*
 * What this backend adds to the contract: runs that do not come to an end are given up, misuse is counted where it is
 * checked, and there is room for many tasks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kern/kern.h"
#include "kern/thread/thread_kern.h"

static struct shared {
	u64 number, count;
	struct rcu_head head, heads[2][2];
	spinlock_t spin;
	rwlock_t rw;
	struct mutex mutex, other;
	struct srcu_struct srcu;
	struct rcuwait wait;
} *shared;

static enum kern_outcome run(u32 nr_tasks, void (*body)(u32 task), u32 milliseconds)
{
	struct thread_knobs knobs = THREAD_KNOBS_DEFAULT;

	knobs.milliseconds = milliseconds;
	thread_kern_set(&knobs);
	thread_kern_clear_warnings();
	kern_reset();
	shared = kern_alloc(sizeof(*shared));
	spin_lock_init_class(&shared->spin, LOCK_test);
	rwlock_init_class(&shared->rw, LOCK_test);
	mutex_init_class(&shared->mutex, LOCK_test);
	mutex_init_class(&shared->other, LOCK_test);
	srcu_init_class(&shared->srcu, LOCK_test);
	rcuwait_init_class(&shared->wait, LOCK_test);
	return kern_run_tasks(nr_tasks, body, 10000);
}

/* --- what does not come to an end --- */

static void reach_both(void)
{
	fetch_add(&shared->number, 1);
	while (READ_ONCE(shared->number) < 2)
		;
}

/* Not in two orders for the same pair: the race detector would report that by itself. */
static void body_deadlock(u32 task)
{
	u64 zero = 0;

	if (task) {
		write_lock(&shared->rw);
		reach_both();
		await_change(&shared->count, &zero, sizeof(zero));
	} else {
		reach_both();
		read_lock(&shared->rw);
	}
}

static void body_self(u32 task)
{
	int idx = srcu_read_lock(&shared->srcu);

	synchronize_srcu(&shared->srcu);
	srcu_read_unlock(&shared->srcu, idx);
}

static void body_rcu_self(u32 task)
{
	rcu_read_lock();
	synchronize_rcu();
	rcu_read_unlock();
}

static void body_asleep(u32 task)
{
	prepare_to_rcuwait(&shared->wait);
	set_current_state(TASK_UNINTERRUPTIBLE);
	schedule();
}

static void never(struct rcu_head *head)
{
	shared->count++;
}

/* A reader that never leaves holds up callbacks, too. */
static void body_reader(u32 task)
{
	u64 zero = 0;

	rcu_read_lock();
	call_rcu(&shared->head, never);
	await_change(&shared->number, &zero, sizeof(zero));
}

static void wait_for_number(struct rcu_head *head)
{
	u64 zero = 0;

	await_change(&shared->number, &zero, sizeof(zero));
}

/* The tasks end, a callback does not. The one behind it is forgotten. */
static void body_callback(u32 task)
{
	struct rcu_head *other = kern_alloc(sizeof(*other));

	call_rcu(&shared->head, wait_for_number);
	call_rcu(other, never);
}

static void what_never_ends_is_given_up(void **state)
{
	static const struct {
		u32 nr_tasks;
		void (*body)(u32 task);
	} runs[] = {
		{ 2, body_deadlock }, { 1, body_self },	  { 1, body_rcu_self },
		{ 1, body_asleep },   { 1, body_reader }, { 1, body_callback },
	};

	for (u32 i = 0; i < ARRAY_SIZE(runs); i++)
		assert_int_equal(run(runs[i].nr_tasks, runs[i].body, 100), KERN_UNFINISHED);
	assert_int_equal(shared->count, 0);
}

static void body_fine(u32 task)
{
	write_lock(&shared->rw);
	shared->count++;
	write_unlock(&shared->rw);
}

static void the_next_run_is_a_new_one(void **state)
{
	assert_int_equal(run(1, body_asleep, 50), KERN_UNFINISHED);
	assert_int_equal(run(3, body_fine, 10000), KERN_DONE);
	assert_int_equal(shared->count, 3);
	assert_int_equal(thread_kern_warnings(), 0);
}

/* --- callbacks --- */

static void free_head(struct rcu_head *head)
{
	kern_free(head);
}

static void queue_again(struct rcu_head *head)
{
	if (++shared->count < 3)
		call_rcu(head, queue_again);
}

static void body_queue_again(u32 task)
{
	call_rcu(&shared->head, queue_again);
}

static void a_run_waits_for_callbacks_of_callbacks(void **state)
{
	assert_int_equal(run(1, body_queue_again, 10000), KERN_DONE);
	assert_int_equal(shared->count, 3);
	assert_int_equal(thread_kern_warnings(), 0);
}

static void nothing(struct rcu_head *head)
{
}

/* No memory is freed: who gets it next would be ordered behind that. */
static void body_unordered(u32 task)
{
	call_rcu(&shared->heads[task][0], nothing);
	if (task) {
		u64 zero = 0;

		await_change(&shared->number, &zero, sizeof(zero));
		call_rcu(&shared->heads[task][1], nothing);
		shared->count = 1;
		return;
	}
	shared->count = 2;
	call_rcu(&shared->heads[task][1], nothing);
	WRITE_ONCE(shared->number, 1);
}

static void body_readers(u32 task)
{
	u64 zero = 0;
	int idx;

	if (task)
		await_change(&shared->number, &zero, sizeof(zero));
	idx = srcu_read_lock(&shared->srcu);
	shared->count = task;
	srcu_read_unlock(&shared->srcu, idx);
	WRITE_ONCE(shared->number, 1);
}

static void body_rcu_readers(u32 task)
{
	u64 zero = 0;

	if (task)
		await_change(&shared->number, &zero, sizeof(zero));
	rcu_read_lock();
	shared->count = task;
	rcu_read_unlock();
	WRITE_ONCE(shared->number, 1);
}

static void body_shared_lock(u32 task)
{
	u64 zero = 0;

	if (task)
		await_change(&shared->number, &zero, sizeof(zero));
	read_lock(&shared->rw);
	shared->count = task;
	read_unlock(&shared->rw);
	WRITE_ONCE(shared->number, 1);
}

/*
 * Each of them writes in one task and then in the other. In between both queue callbacks, or one leaves what the other
 * enters behind it: that orders nothing, and the race detector must not think so.
 */
static void neither_callbacks_nor_readers_order_tasks(void **state)
{
	static void (*const bodies[])(u32 task) = { body_unordered, body_readers, body_rcu_readers,
						    body_shared_lock };

	if (!CONFIG_TSAN)
		skip();
	for (u32 i = 0; i < ARRAY_SIZE(bodies); i++) {
		pid_t child = fork();
		int status;

		if (!child) {
			if (freopen("/dev/null", "w", stderr))
				run(2, bodies[i], 10000);
			_exit(0);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		if (!WIFEXITED(status) || !WEXITSTATUS(status))
			fail_msg("race %u went unnoticed", i);
	}
}

/* What an updater did before a grace period is seen by whoever comes behind it, by any access. */
static void body_updater(u32 task)
{
	u64 zero = 0;
	int idx;

	if (!task) {
		shared->count = 7;
		synchronize_srcu(&shared->srcu);
		WRITE_ONCE(shared->number, 1);
		return;
	}
	await_change(&shared->number, &zero, sizeof(zero));
	idx = srcu_read_lock(&shared->srcu);
	WARN_ON(shared->count != 7);
	srcu_read_unlock(&shared->srcu, idx);
}

static void body_behind_readers(u32 task)
{
	u64 zero = 0;
	int idx;

	if (task) {
		await_change(&shared->number, &zero, sizeof(zero));
		synchronize_srcu(&shared->srcu);
		shared->count = 8;
		return;
	}
	idx = srcu_read_lock(&shared->srcu);
	WRITE_ONCE(shared->number, 1);
	shared->count = 7;
	srcu_read_unlock(&shared->srcu, idx);
}

/* The race detector of the row has nothing to say. */
static void grace_periods_order_readers_and_updaters(void **state)
{
	for (u32 i = 0; i < 20; i++) {
		assert_int_equal(run(2, body_updater, 10000), KERN_DONE);
		assert_int_equal(run(2, body_behind_readers, 10000), KERN_DONE);
		assert_int_equal(shared->count, 8);
	}
	assert_int_equal(thread_kern_warnings(), 0);
}

static void body_in_child(u32 task)
{
	call_rcu(&shared->head, never);
}

static void a_child_has_a_worker_of_its_own(void **state)
{
	pid_t child;
	int status;

	/* There it stops looking at processes that are forked from one with threads. */
	if (CONFIG_TSAN)
		skip();
	assert_int_equal(run(1, body_in_child, 10000), KERN_DONE);
	child = fork();
	if (!child)
		_exit(run(1, body_in_child, 10000) == KERN_DONE && shared->count == 1 ? 7 : 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	assert_int_equal(run(1, body_in_child, 10000), KERN_DONE);
	assert_int_equal(shared->count, 1);
}

/* --- many tasks --- */

static void body_many(u32 task)
{
	for (u32 i = 0; i < 50; i++) {
		int idx = srcu_read_lock(&shared->srcu);

		rcu_read_lock();
		read_lock(&shared->rw);
		fetch_add(&shared->number, shared->count ? 1 : 0);
		read_unlock(&shared->rw);
		rcu_read_unlock();
		srcu_read_unlock(&shared->srcu, idx);
		body_fine(task);
		call_rcu(kern_alloc(sizeof(struct rcu_head)), free_head);
	}
	kern_op_end(0);
}

static void as_many_tasks_as_there_may_be(void **state)
{
	assert_int_equal(PROGRAM_TASKS_MAX, 63);
	assert_int_equal(run(PROGRAM_TASKS_MAX, body_many, 100000), KERN_DONE);
	assert_int_equal(shared->count, PROGRAM_TASKS_MAX * 50);
	/* All callbacks have run: nothing but the shared object is left. */
	assert_int_equal(kern_objects_live(), 1);
	assert_int_equal(thread_kern_warnings(), 0);
}

/* --- misuse --- */

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

static void body_sleepy(u32 task)
{
	rcu_read_lock();
	might_sleep();
	rcu_read_unlock();
	spin_lock(&shared->spin);
	mutex_lock(&shared->mutex);
	mutex_unlock(&shared->mutex);
	spin_unlock(&shared->spin);
	non_block_start();
	mutex_lock(&shared->mutex);
	mutex_unlock(&shared->mutex);
	non_block_end();
}

static void body_unheld(u32 task)
{
	lockdep_assert_held(&shared->spin);
	lockdep_assert_held_read(&shared->rw);
	lockdep_assert_held_write(&shared->rw);
	lockdep_assert_held_either(&shared->rw);
	WARN_ON(rcu_read_lock_held());
	WARN_ON(srcu_read_lock_held(&shared->srcu));
}

static void body_leaving(u32 task)
{
	kern_op_begin(0);
	srcu_read_lock(&shared->srcu);
	kern_op_end(0);
}

static void misuse_is_counted_where_it_is_checked(void **state)
{
	struct buf buf = { 0 };

	if (!THREAD_CHECKS)
		skip();
	assert_int_equal(run(1, body_unbalanced, 10000), KERN_DONE);
	assert_int_equal(thread_kern_warnings(), 4);
	assert_int_equal(run(1, body_sleepy, 10000), KERN_DONE);
	assert_int_equal(thread_kern_warnings(), 3);
	assert_int_equal(run(1, body_leaving, 10000), KERN_DONE);
	assert_int_equal(thread_kern_warnings(), 1);
	assert_int_equal(run(1, body_unheld, 10000), KERN_DONE);
	assert_int_equal(thread_kern_warnings(), 4);
	thread_kern_print_warnings(&buf);
	assert_non_null(
		strstr(buf_text(&buf), "body_unheld: lockdep_assert_held_read(&shared->rw)"));
	assert_non_null(strstr(buf_text(&buf), "src/kern/thread/stop_test.c:"));
	buf_free(&buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* First: a process that has had threads is not forked under the race detector. */
		cmocka_unit_test(neither_callbacks_nor_readers_order_tasks),
		cmocka_unit_test(grace_periods_order_readers_and_updaters),
		cmocka_unit_test(what_never_ends_is_given_up),
		cmocka_unit_test(the_next_run_is_a_new_one),
		cmocka_unit_test(a_run_waits_for_callbacks_of_callbacks),
		cmocka_unit_test(a_child_has_a_worker_of_its_own),
		cmocka_unit_test(as_many_tasks_as_there_may_be),
		cmocka_unit_test(misuse_is_counted_where_it_is_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
