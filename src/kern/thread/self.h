/* The running thread, and the out-of-line half of the thread backend: what verbs.h calls. */
#ifndef KERN_THREAD_SELF_H
#define KERN_THREAD_SELF_H

#include "base/event.h"
#include "base/prng.h"
#include "base/types.h"

#include <backend/types.h>

#define THREAD_HELD_MAX 48

struct thread_self {
	u32 task; /* TASK_NONE: the thread that runs programs */
	u32 asks_left; /* until need_resched() says yes */
	/* Rows with checks, from here on. */
	u32 points_left; /* until the next point that is looked at */
	u32 atomic_depth; /* spinning locks held */
	u32 rcu_depth, non_block;
	u32 nr_held;
	struct thread_held {
		const void *lock; /* struct thread_lock, or struct srcu_struct with LOCK_WAITED */
		enum lock_mode mode;
	} held[THREAD_HELD_MAX];
	struct thread_held taking; /* what it is about to hold, and may wait for */
	struct prng prng;
};
extern __thread struct thread_self thread_self;

/* --- points, answers, ends (task.c) --- */

void thread_point_checked(void);
u64 thread_answer(enum answer_kind kind, u64 bound);
bool thread_resched(void);
bool thread_may_alloc(const char *file, u32 line);
void thread_cond_resched(const char *file, u32 line);
void thread_await(const volatile void *addr, const void *seen, u32 size);
void thread_warned(const char *file, u32 line, const char *function, const char *what);
/*
 * One turn of a wait: relaxes the CPU, later gives it away. *@turns: 0 at first. Does not return when the run
 * is being given up.
 */
void thread_wait(u32 *turns);
/* Ends the running task if the run is being given up. */
void thread_look_for_stop(void);
bool thread_stopping(void);

/* The running thread is @task from here on. */
void thread_self_begin(u32 task);

/* --- locks (lock.c) --- */

void thread_wait_exclusive(struct thread_lock *lock);
/* The caller has counted itself as a reader, and a writer is there or waits. */
void thread_wait_shared(struct thread_lock *lock);
void thread_lock_checked(struct thread_lock *lock, enum lock_mode mode, const char *file, u32 line);
void thread_unlock_checked(struct thread_lock *lock, enum lock_mode mode, const char *file,
			   u32 line);
bool thread_trylock(struct thread_lock *lock, enum lock_mode mode);
int thread_resched_lock(struct thread_lock *lock, enum lock_mode mode, const char *file, u32 line);
bool thread_holds(const struct thread_lock *lock, enum lock_mode mode);
void thread_might_sleep(const char *file, u32 line);
void thread_non_block(int by);
void thread_framework_lock(void);
void thread_framework_unlock(void);
/* The running thread holds one more, or one less. Return: false when it does not hold it. */
void thread_note_taken(const void *lock, enum lock_mode mode);
bool thread_note_dropped(const void *lock, enum lock_mode mode);
bool thread_is_held(const void *lock, enum lock_mode mode);
/* Something is held at the end of an op. */
void thread_report_held(void);
/* Forgets what the running thread holds: it ends in the middle. */
void thread_drop_all(void);

/* --- RCU (rcu.c) --- */

struct rcu_head;
void thread_rcu_read_lock(void);
void thread_rcu_read_unlock(const char *file, u32 line);
bool thread_rcu_read_held(void);
void thread_call_rcu(struct rcu_head *head, void (*func)(struct rcu_head *head), const char *file,
		     u32 line);
void thread_synchronize_rcu(const char *file, u32 line);
void thread_rcu_barrier(const char *file, u32 line);
/* Every thread that uses RCU, from its beginning to its end. */
void thread_rcu_register(void);
/* Leaves read sections, too. */
void thread_rcu_unregister(void);
/* Callbacks of the run to come are queued from now on. Context: no task. */
void thread_rcu_start(void);
/* Returns when all callbacks have run, or were given up. */
void thread_rcu_end(void);
/* Leaves the callback that runs. Context: TASK_RCU. Does not return. */
__attribute__((noreturn)) void thread_rcu_give_up(void);

int thread_srcu_enter_checked(struct srcu_struct *srcu);
void thread_srcu_leave_checked(struct srcu_struct *srcu, int idx, const char *file, u32 line);
bool thread_srcu_held(const struct srcu_struct *srcu);
void thread_synchronize_srcu(struct srcu_struct *srcu, const char *file, u32 line);

/* --- waits (wait.c) --- */

void thread_prepare_to_rcuwait(struct rcuwait *w, const char *file, u32 line);
void thread_finish_rcuwait(struct rcuwait *w);
void thread_rcuwait_wake_up(struct rcuwait *w);
void thread_set_current_state(u32 state);
void thread_schedule(const char *file, u32 line);
/* Context: no task. Nobody sleeps. */
void thread_wait_reset(void);

#endif
