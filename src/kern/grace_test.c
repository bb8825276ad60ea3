/*
 * Grace periods and waits, whatever the backend. Asserts stand outside the tasks: a failed one jumps to the main
 * stack.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <backend/fixture.h>

/* Of what depends on who comes first, where that is drawn. */
#define RUNS 50

static struct shared {
	struct rcu_head heads[2];
	u64 number, ran[2], left;
	struct srcu_struct srcu;
	struct rcuwait wait;
	bool flag[8];
} *shared;

static enum kern_outcome run(u32 nr_tasks, void (*body)(u32 task))
{
	kern_reset();
	shared = kern_alloc(sizeof(*shared));
	srcu_init_class(&shared->srcu, LOCK_kvm_srcu);
	rcuwait_init_class(&shared->wait, LOCK_mn_active);
	return fixture_run(nr_tasks, body);
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
	assert_int_equal(run(2, body_call_rcu), KERN_DONE);
	assert_int_equal(shared->ran[0], 1);
	assert_int_equal(shared->ran[1], 1);
	assert_true(shared->flag[0] && shared->flag[1] && shared->flag[2]);
	assert_int_equal(fixture_warnings(), 0);
}

static void count_run(struct rcu_head *head)
{
	fetch_add(&shared->number, 1);
}

static void body_call_rcu_twice(u32 task)
{
	kern_op_begin(0);
	rcu_read_lock();
	call_rcu(&shared->heads[0], count_run);
	call_rcu(&shared->heads[1], count_run);
	call_rcu(&shared->heads[1], count_run);
	rcu_read_unlock();
}

static void what_is_queued_twice_runs_once_and_is_told(void **state)
{
	assert_int_equal(run(1, body_call_rcu_twice), KERN_DONE);
	assert_int_equal(fixture_warnings(), 1);
	assert_int_equal(shared->number, 2);
}

static void count_taken_down(struct rcu_head *head)
{
	shared->ran[0] = 7;
}

static void outside_of_tasks_callbacks_run_at_once(void **state)
{
	assert_int_equal(run(1, body_call_rcu_twice), KERN_DONE);
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
	for (u32 i = 0; i < RUNS; i++) {
		assert_int_equal(run(2, body_synchronize), KERN_DONE);
		assert_true(shared->flag[0] && shared->flag[1] && shared->flag[2]);
		assert_int_equal(fixture_warnings(), 0);
	}
}

/* One writer replaces what two readers look at, again and again; the old one is spoilt behind a grace period. */
static void body_srcu_stress(u32 task)
{
	static u64 values[2];

	kern_op_begin(0);
	for (u32 i = 0; i < 40; i++) {
		u64 *value;
		int idx;

		if (task == 0) {
			value = &values[i & 1];
			*value = 1;
			smp_store_release(&shared->left, (u64)(uintptr_t)value);
			synchronize_srcu(&shared->srcu);
			values[~i & 1] = 2; /* a reader that still looks there races */
			continue;
		}
		idx = srcu_read_lock(&shared->srcu);
		value = (u64 *)(uintptr_t)smp_load_acquire(&shared->left);
		if (value && *value != 1)
			fetch_add(&shared->number, 1);
		srcu_read_unlock(&shared->srcu, idx);
	}
	kern_op_end(0);
}

static void srcu_readers_never_see_what_was_spoilt_behind_them(void **state)
{
	for (u32 i = 0; i < RUNS; i++) {
		assert_int_equal(run(3, body_srcu_stress), KERN_DONE);
		assert_int_equal(shared->number, 0);
	}
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
	for (u32 i = 0; i < RUNS; i++) {
		assert_int_equal(run(2, body_rcuwait), KERN_DONE);
		assert_true(shared->flag[0]);
		assert_int_equal(fixture_warnings(), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(callbacks_wait_for_the_readers_that_were_inside),
		cmocka_unit_test(what_is_queued_twice_runs_once_and_is_told),
		cmocka_unit_test(outside_of_tasks_callbacks_run_at_once),
		cmocka_unit_test(synchronize_waits_for_readers),
		cmocka_unit_test(srcu_readers_never_see_what_was_spoilt_behind_them),
		cmocka_unit_test(a_wake_up_is_never_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
