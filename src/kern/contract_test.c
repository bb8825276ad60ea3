/*
 * Every verb of the contract once, and what each promises, whatever the backend. A body that is missing or differs
 * in signature does not compile. Asserts stand outside the tasks: a failed one jumps to the main stack. What
 * RCU, SRCU and rcuwait promise is in grace_test.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <backend/fixture.h>

#include "kern/shared/instrument.h"

static struct shared {
	u64 number, count, refs;
	u64 *pointer;
	u64 pointee;
	spinlock_t spin;
	rwlock_t rw;
	struct mutex mutex;
	struct rw_semaphore sem;
	struct srcu_struct srcu;
	u32 inside, inside_max, readers;
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

static void expect_no_warnings(void)
{
	struct buf buf = { 0 };

	if (!fixture_warnings())
		return;
	fixture_print_warnings(&buf);
	fail_msg("%s", buf_text(&buf));
}

static void body_atomics(u32 task)
{
	u64 old = 10;

	kern_op_begin(0);
	shared->flag[0] = READ_ONCE(shared->number) == 0;
	WRITE_ONCE(shared->number, 5);
	smp_mb();
	smp_rmb();
	smp_wmb();
	shared->flag[1] = smp_load_acquire(&shared->number) == 5;
	smp_store_release(&shared->number, 6);
	smp_store_mb(shared->number, 7);
	shared->flag[2] = xchg(&shared->number, 8) == 7;
	shared->flag[3] = !try_cmpxchg64(&shared->number, &old, 9) && old == 8;
	shared->flag[4] = try_cmpxchg64(&shared->number, &old, 9);
	old = fetch_add(&shared->count, 3);
	old += fetch_or(&shared->count, 4);
	old += fetch_and(&shared->count, 6);
	shared->flag[5] = old == 0 + 3 + 7 && shared->count == 6;
	shared->flag[6] = !inc_not_zero(&shared->refs);
	shared->refs = 1;
	shared->flag[6] &= inc_not_zero(&shared->refs);
	shared->flag[6] &= !dec_and_test(&shared->refs);
	shared->flag[6] &= dec_and_test(&shared->refs);
	rcu_assign_pointer(shared->pointer, &shared->pointee);
	rcu_read_lock();
	shared->flag[7] = rcu_dereference(shared->pointer) == &shared->pointee;
	shared->flag[7] &= rcu_read_lock_held();
	rcu_read_unlock();
	kern_op_end(0);
}

static void atomics_do_what_their_names_say(void **state)
{
	assert_int_equal(run(1, body_atomics), KERN_DONE);
	for (u32 i = 0; i < ARRAY_SIZE(shared->flag); i++)
		assert_true(shared->flag[i]);
}

static void enter(void)
{
	shared->inside++;
	if (shared->inside > shared->inside_max)
		shared->inside_max = shared->inside;
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

static void body_spin(u32 task)
{
	kern_op_begin(0);
	for (u32 i = 0; i < 4; i++) {
		spin_lock(&shared->spin);
		enter();
		WRITE_ONCE(shared->number, task);
		shared->inside--;
		spin_unlock(&shared->spin);
	}
}

static void a_lock_lets_one_in(void **state)
{
	assert_int_equal(run(3, body_spin), KERN_DONE);
	assert_int_equal(shared->inside_max, 1);
	assert_int_equal(run(3, body_exclusive), KERN_DONE);
	expect_no_warnings();
}

/* The first two are readers, and hold the lock until the third waits for it. */
static void body_shared(u32 task)
{
	kern_op_begin(0);
	if (task == 2) {
		while (READ_ONCE(shared->readers) < 2)
			;
		write_lock(&shared->rw);
		shared->flag[0] = true;
		write_unlock(&shared->rw);
		return;
	}
	down_read(&shared->sem);
	read_lock(&shared->rw);
	lockdep_assert_held_read(&shared->rw);
	lockdep_assert_held_either(&shared->rw);
	/* Two readers are here at once: only verbs may be used. */
	fetch_add(&shared->readers, 1);
	while (!rwlock_needbreak(&shared->rw))
		fetch_or(&shared->count, 1);
	shared->flag[1 + task] = !shared->flag[0];
	read_unlock(&shared->rw);
	up_read(&shared->sem);
}

static void readers_share_and_see_a_waiting_writer(void **state)
{
	assert_int_equal(run(3, body_shared), KERN_DONE);
	assert_true(shared->flag[0] && shared->flag[1] && shared->flag[2]);
	expect_no_warnings();
}

static void body_yield(u32 task)
{
	kern_op_begin(0);
	if (task == 0) {
		write_lock(&shared->rw);
		while (!rwlock_needbreak(&shared->rw))
			WRITE_ONCE(shared->number, 1);
		if (need_resched())
			shared->flag[1] = true;
		while (!shared->flag[0])
			shared->flag[2] = cond_resched_rwlock_write(&shared->rw);
		write_unlock(&shared->rw);
		cond_resched();
		return;
	}
	while (!READ_ONCE(shared->number))
		;
	read_lock(&shared->rw);
	cond_resched_rwlock_read(&shared->rw);
	read_unlock(&shared->rw);
	write_lock(&shared->rw);
	shared->flag[0] = true;
	write_unlock(&shared->rw);
}

static void a_yield_lets_the_waiter_in(void **state)
{
	fixture_refuse(1u << ANSWER_RESCHED);
	assert_int_equal(run(2, body_yield), KERN_DONE);
	fixture_refuse(0);
	assert_true(shared->flag[1] && shared->flag[2]);
	expect_no_warnings();
}

/* The first holds both locks, the mutex alone keeps the second out. */
static void body_trylock(u32 task)
{
	kern_op_begin(0);
	if (task == 0) {
		shared->flag[0] = mutex_trylock(&shared->mutex);
		shared->flag[1] = down_read_trylock(&shared->sem);
		shared->flag[4] = kern_may_alloc();
		shared->flag[5] = environment_answer(ANSWER_TLB, 3);
		smp_store_release(&shared->number, 1);
		while (smp_load_acquire(&shared->number) == 1)
			;
	} else {
		while (!smp_load_acquire(&shared->number))
			;
		shared->flag[2] = mutex_trylock(&shared->mutex);
		shared->flag[3] = down_read_trylock(&shared->sem);
		smp_store_release(&shared->number, 2);
	}
	if (shared->flag[task ? 2 : 0])
		mutex_unlock(&shared->mutex);
	if (shared->flag[task ? 3 : 1])
		up_read(&shared->sem);
	kern_op_end(0);
}

static void a_trylock_fails_when_taken_or_when_told_to(void **state)
{
	assert_int_equal(run(2, body_trylock), KERN_DONE);
	assert_true(shared->flag[0] && shared->flag[1] && shared->flag[3] && shared->flag[4]);
	assert_false(shared->flag[2] || shared->flag[5]);
	fixture_refuse(~0u);
	assert_int_equal(run(2, body_trylock), KERN_DONE);
	fixture_refuse(0);
	assert_false(shared->flag[0] || shared->flag[1] || shared->flag[2] || shared->flag[3]);
	assert_false(shared->flag[4]);
	assert_true(shared->flag[5]);
	expect_no_warnings();
}

/* The race detector does not watch what the framework keeps to itself between two points of fibers. */
UNINSTRUMENTED static void count_plainly(void)
{
	shared->count++;
}

/* What is allowed where: nothing of it warns. */
static void body_sections(u32 task)
{
	int idx;

	kern_op_begin(0);
	idx = srcu_read_lock(&shared->srcu);
	shared->flag[task] = srcu_read_lock_held(&shared->srcu);
	might_sleep();
	mutex_lock(&shared->mutex);
	mutex_unlock(&shared->mutex);
	srcu_read_unlock(&shared->srcu, idx);
	lock_section_enter(LOCK_mn_active);
	non_block_start();
	spin_lock(&shared->spin);
	spin_unlock(&shared->spin);
	non_block_end();
	lock_section_leave(LOCK_mn_active);
	framework_lock();
	count_plainly();
	framework_unlock();
	kern_op_end(0);
}

static void sections_may_be_left_and_entered(void **state)
{
	assert_int_equal(run(3, body_sections), KERN_DONE);
	assert_true(shared->flag[0] && shared->flag[1] && shared->flag[2]);
	assert_int_equal(shared->count, 3);
	expect_no_warnings();
}

static void body_contend(u32 task)
{
	kern_op_begin(0);
	if (task == 0) {
		spin_lock(&shared->spin);
		shared->flag[0] = true;
		while (!spin_is_contended(&shared->spin))
			WRITE_ONCE(shared->number, 1);
		spin_unlock(&shared->spin);
	} else {
		spin_lock(&shared->spin);
		shared->flag[2] = true;
		spin_unlock(&shared->spin);
		/* Nobody else is left to want it, unless task 0 comes last. */
		spin_lock(&shared->spin);
		while (!shared->flag[0]) {
			spin_unlock(&shared->spin);
			cond_resched();
			spin_lock(&shared->spin);
		}
		spin_unlock(&shared->spin);
	}
	kern_op_end(0);
}

static void a_spinlock_knows_who_waits(void **state)
{
	assert_int_equal(run(2, body_contend), KERN_DONE);
	assert_true(shared->flag[0] && shared->flag[2]);
	expect_no_warnings();
}

static void body_await(u32 task)
{
	u64 seen = 0;

	kern_op_begin(0);
	if (task == 0) {
		await_change(&shared->number, &seen, sizeof(seen));
		shared->flag[0] = READ_ONCE(shared->number) == 3 && current_task() == 0;
	} else {
		WRITE_ONCE(shared->count, 1);
		WRITE_ONCE(shared->number, 3);
	}
	shared->flag[1 + task] = WARN_ON(task == 1);
	shared->flag[3 + task] = KVM_BUG_ON(task == 7);
}

static void awaiting_and_warning(void **state)
{
	assert_int_equal(run(2, body_await), KERN_DONE);
	assert_true(shared->flag[0]);
	assert_false(shared->flag[1]);
	assert_true(shared->flag[2]);
	assert_false(shared->flag[3] || shared->flag[4]);
	assert_int_equal(fixture_warnings(), 1);
}

static void memory_is_named_and_reused_in_a_fixed_order(void **state)
{
	u64 *first, *second;
	u64 id;

	kern_reset();
	first = kern_alloc(100);
	id = kern_object_id(first);
	assert_int_equal(id >> 16, 1);
	assert_int_equal(kern_object_id((char *)first + 70), id + 70);
	kern_free(first);
	assert_int_equal(kern_objects_live(), 0);
	second = kern_alloc(90);
	assert_ptr_equal(first, second);
	assert_int_equal(kern_object_id(second) >> 16, 2);
	assert_int_equal(kern_object_id(&id), 0);
	first = kern_page_alloc(true);
	second = kern_page_alloc(false);
	assert_int_equal(kern_page_nr(first), 1);
	assert_int_equal(kern_page_nr(second + PT_ENTRIES - 1), 2);
	assert_ptr_equal(kern_page_address(2), second);
	kern_page_free(first);
	assert_ptr_equal(kern_page_alloc(true), first);
	assert_int_equal(kern_pages_used(), 2);
	kern_reset();
	assert_int_equal(kern_pages_used(), 0);
}

/* An access behind the last word of one page is an access to the next. */
static void runs_of_pages_are_aligned_and_new(void **state)
{
	u64 *run, *freed;

	kern_reset();
	freed = kern_page_alloc(false);
	kern_page_free(freed);
	run = kern_page_alloc_run(4);
	assert_int_equal(kern_page_nr(run), 4); /* 1 was used, 2 and 3 are passed over */
	assert_int_equal(kern_pages_used(), 7);
	for (u32 i = 0; i < 4; i++) {
		assert_ptr_equal(run + i * PT_ENTRIES, kern_page_address(4 + i));
		assert_true(kern_memory_live(kern_page_address(4 + i)));
		run[i * PT_ENTRIES] = run[(i + 1) * PT_ENTRIES - 1] = i;
	}
	assert_false(kern_memory_live(kern_page_address(3)));
	assert_false(kern_memory_live(kern_page_address(8)));
	/* What was passed over goes to single pages, the lowest first, then what was freed before. */
	assert_int_equal(kern_page_nr(kern_page_alloc(true)), 2);
	assert_int_equal(kern_page_nr(kern_page_alloc(true)), 3);
	assert_ptr_equal(kern_page_alloc(true), freed);
	/* Nothing is passed over here; a part of a run is freed alone, and no run uses it again. */
	kern_page_free(run + PT_ENTRIES);
	assert_false(kern_memory_live(kern_page_address(5)));
	assert_true(kern_memory_live(kern_page_address(6)));
	assert_int_equal(kern_page_nr(kern_page_alloc_run(1)), 8);
	assert_int_equal(kern_page_nr(kern_page_alloc(false)), 5);
	assert_int_equal(kern_page_nr(kern_page_alloc_run(2)), 10);
	assert_int_equal(kern_page_nr(kern_page_alloc(false)), 9);
	kern_reset();
	for (pfn_t pfn = 1; pfn < 12; pfn++)
		assert_false(kern_memory_live(kern_page_address(pfn)));
	assert_int_equal(kern_page_nr(kern_page_alloc_run(8)), 8);
}

/* The number below KERN_PAGES_MAX is the last one; a refusal changes nothing. */
static void a_run_that_does_not_fit_is_refused(void **state)
{
	kern_reset();
	assert_null(kern_page_alloc_run(KERN_PAGES_MAX));
	assert_int_equal(kern_pages_used(), 0);
	assert_int_equal(kern_page_nr(kern_page_alloc_run(KERN_PAGES_MAX / 2)), KERN_PAGES_MAX / 2);
	assert_null(kern_page_alloc_run(1));
	assert_int_equal(kern_pages_used(), KERN_PAGES_MAX - 1);
	for (pfn_t pfn = 1; pfn < KERN_PAGES_MAX / 2; pfn++)
		assert_int_equal(kern_page_nr(kern_page_alloc(false)), pfn);
	kern_reset();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(atomics_do_what_their_names_say),
		cmocka_unit_test(a_lock_lets_one_in),
		cmocka_unit_test(readers_share_and_see_a_waiting_writer),
		cmocka_unit_test(a_yield_lets_the_waiter_in),
		cmocka_unit_test(a_trylock_fails_when_taken_or_when_told_to),
		cmocka_unit_test(sections_may_be_left_and_entered),
		cmocka_unit_test(a_spinlock_knows_who_waits),
		cmocka_unit_test(awaiting_and_warning),
		cmocka_unit_test(memory_is_named_and_reused_in_a_fixed_order),
		cmocka_unit_test(runs_of_pages_are_aligned_and_new),
		cmocka_unit_test(a_run_that_does_not_fit_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
