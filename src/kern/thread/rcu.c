/*
 * RCU by liburcu, callbacks by its call_rcu(), SRCU by two counters of readers.
 *
 * liburcu is not compiled for the race detector, and the atomic accesses by which it orders things are not
 * seen: what a grace period and a callback are ordered by is told through tokens.
 */
#include "kern/kern.h"

#include <setjmp.h>

#include "kern/thread/library.h"

void __tsan_acquire(void *token);
void __tsan_release(void *token);

static struct {
	u64 pending; /* callbacks that have not run, by __atomic, relaxed: it must order nobody */
	u64 run; /* number of the run; changes between runs only */
	jmp_buf give_up; /* the worker's: out of a callback that would wait for ever */
	u8 readers, callbacks; /* tokens: readers that have left, callbacks that have run */
} rcu;

void thread_rcu_register(void)
{
	library_register_thread();
}

void thread_rcu_unregister(void)
{
	while (library_read_ongoing())
		library_read_unlock();
	library_unregister_thread();
}

/* --- readers --- */

void thread_rcu_read_lock(void)
{
	thread_point();
	thread_self.rcu_depth++;
	library_read_lock();
}

void thread_rcu_read_unlock(const char *file, u32 line)
{
	if (!thread_self.rcu_depth) {
		thread_warned(file, line, __func__, "ends a read section that has not begun");
		return;
	}
	thread_self.rcu_depth--;
	if (CONFIG_TSAN && !thread_self.rcu_depth)
		__tsan_release(&rcu.readers);
	library_read_unlock();
}

bool thread_rcu_read_held(void)
{
	return thread_self.task == TASK_NONE || thread_self.rcu_depth;
}

/* --- grace periods --- */

/* A reader that waits for itself waits until the run is given up, which the library would not notice. */
static void wait_outside_of_readers(void)
{
	u32 turns = 0;

	while (library_read_ongoing())
		thread_wait(&turns);
}

void thread_synchronize_rcu(const char *file, u32 line)
{
	if (thread_self.task == TASK_NONE)
		return;
	thread_might_sleep(file, line);
	thread_look_for_stop();
	wait_outside_of_readers();
	library_synchronize();
	if (CONFIG_TSAN)
		__tsan_acquire(&rcu.readers);
}

/* --- callbacks --- */

void thread_call_rcu(struct rcu_head *head, void (*func)(struct rcu_head *head), const char *file,
		     u32 line)
{
	void (*none)(struct rcu_head *head) = NULL;

	if (thread_self.task == TASK_NONE) {
		func(head);
		return;
	}
	thread_point();
	if (!__atomic_compare_exchange_n(&head->func, &none, func, false, __ATOMIC_RELAXED,
					 __ATOMIC_RELAXED)) {
		thread_warned(file, line, __func__, "is queued already");
		return;
	}
	__atomic_fetch_add(&rcu.pending, 1, __ATOMIC_RELAXED);
	if (CONFIG_TSAN)
		__tsan_release(head);
	library_call_rcu(head);
}

/* The worker is the library's, and lives on between runs. */
static void begin_run(void)
{
	static __thread u64 run;

	if (run == rcu.run)
		return;
	run = rcu.run;
	thread_self_begin(TASK_RCU);
}

/*
 * Context: the worker, behind a grace period. When the run is given up, whoever is queued is forgotten, and whoever
 * waits (for a lock whose holder has ended, say) is left where it waits: the arena is swept next.
 */
static void run_callback(struct rcu_head *head)
{
	void (*func)(struct rcu_head *head) = __atomic_load_n(&head->func, __ATOMIC_RELAXED);

	if (_setjmp(rcu.give_up)) {
		while (library_read_ongoing())
			library_read_unlock();
		thread_self_begin(TASK_RCU);
		return;
	}
	if (thread_stopping())
		return;
	/* From here on it may be queued again. */
	__atomic_store_n(&head->func, NULL, __ATOMIC_RELAXED);
	func(head); /* may free it */
}

void library_callback(void *head)
{
	if (CONFIG_TSAN) {
		__tsan_acquire(head);
		__tsan_acquire(&rcu.readers);
	}
	begin_run();
	run_callback(head);
	if (CONFIG_TSAN)
		__tsan_release(&rcu.callbacks);
	__atomic_fetch_sub(&rcu.pending, 1, __ATOMIC_RELAXED);
}

void thread_rcu_give_up(void)
{
	_longjmp(rcu.give_up, 1);
}

static void barrier(void)
{
	library_barrier();
	if (CONFIG_TSAN)
		__tsan_acquire(&rcu.callbacks);
}

void thread_rcu_barrier(const char *file, u32 line)
{
	if (thread_self.task == TASK_NONE)
		return;
	thread_might_sleep(file, line);
	thread_point();
	thread_look_for_stop();
	wait_outside_of_readers();
	barrier();
	thread_look_for_stop();
}

void thread_rcu_start(void)
{
	library_prepare();
	rcu.run++;
}

void thread_rcu_end(void)
{
	/* Again for what callbacks have queued. The library takes 10 ms for each: not where there was none. */
	do {
		if (__atomic_load_n(&rcu.pending, __ATOMIC_RELAXED))
			library_barrier();
	} while (__atomic_load_n(&rcu.pending, __ATOMIC_RELAXED));
	if (CONFIG_TSAN)
		__tsan_acquire(&rcu.callbacks);
}

/* --- SRCU --- */

void(srcu_init_class)(struct srcu_struct *srcu, enum lock_class class)
{
	struct mutex updater;

	mutex_init_class(&updater, class);
	*srcu = (struct srcu_struct){ .class = (u8) class, .updater = updater.lock };
}

int thread_srcu_enter_checked(struct srcu_struct *srcu)
{
	thread_point();
	thread_note_taken(srcu, LOCK_WAITED);
	return thread_srcu_enter(srcu);
}

void thread_srcu_leave_checked(struct srcu_struct *srcu, int idx, const char *file, u32 line)
{
	if (!thread_note_dropped(srcu, LOCK_WAITED)) {
		thread_warned(file, line, __func__, "ends a read section that has not begun");
		return;
	}
	thread_srcu_leave(srcu, idx);
}

bool thread_srcu_held(const struct srcu_struct *srcu)
{
	return thread_self.task == TASK_NONE || thread_is_held(srcu, LOCK_WAITED);
}

static void wait_for_readers(struct srcu_struct *srcu, u32 index)
{
	u32 turns = 0;

	while (__atomic_load_n(&srcu->readers[index], __ATOMIC_SEQ_CST))
		thread_wait(&turns);
}

/*
 * Readers that are inside now count in either place. Those of the place that nobody takes any more are few,
 * namely who read the index before it changed last and counted late; so the wait for them ends. Then the places
 * change, and those of the other one are waited for.
 */
void thread_synchronize_srcu(struct srcu_struct *srcu, const char *file, u32 line)
{
	u32 index;

	if (thread_self.task == TASK_NONE)
		return;
	thread_might_sleep(file, line);
	thread_point();
	/* What the caller has published comes before the look at the counters; the exchange is a full barrier. */
	thread_lock_exclusive(&srcu->updater);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	index = __atomic_load_n(&srcu->index, __ATOMIC_RELAXED);
	wait_for_readers(srcu, !index);
	__atomic_store_n(&srcu->index, !index, __ATOMIC_SEQ_CST);
	wait_for_readers(srcu, index);
	thread_unlock_exclusive(&srcu->updater);
}
