/*
 * Tasks, giving way, and answers of the environment.
 */
#ifndef KERN_TASK_H
#define KERN_TASK_H

#include "base/types.h"

/* How a run of tasks came to an end. */
enum kern_outcome { KERN_DONE, KERN_STUCK, KERN_UNFINISHED, KERN_ABANDONED };

/*
 * Runs body(0) .. body(nr_tasks - 1) as concurrent tasks and waits for all, and for RCU callbacks. points_max
 * bounds the schedule; in the thread backend time does (thread/thread_kern.h). Emits task_stuck and deadlocked when tasks are left that can never run.
 * Context: no task. The fiber backend takes its schedule from kern_set_driver().
 */
enum kern_outcome kern_run_tasks(u32 nr_tasks, void (*body)(u32 task), u64 points_max);

/* Brackets of one op of the running task, for reproducers that name ops. @nth: 0-based. */
void kern_op_begin(u32 nth);
void kern_op_end(u32 nth);

/* Return: number of the running task, TASK_NONE outside. No point. */
u32 current_task(void);

/* Return: true when the environment says that the CPU is wanted. An answer: false by default. */
bool need_resched(void);
/*
 * Stands for an allocation that may sleep and reclaim memory. Return: false when the environment lets
 * it fail (ANSWER_ALLOC). Context: may sleep; for lock order it takes LOCK_fs_reclaim for a moment.
 */
bool kern_may_alloc(void);
/*
 * Waiting for a condition that another task makes true and then says so. One waiter at a time; a second
 * one emits rcuwait_taken.
 *
 *	prepare_to_rcuwait(&w);
 *	for (;;) {
 *		set_current_state(TASK_UNINTERRUPTIBLE);	before the condition is read
 *		if (condition) break;
 *		schedule();					sleeps unless woken since
 *	}
 *	finish_rcuwait(&w);
 *
 * @class names what is waited for, for lock order and the report of a deadlock.
 */
void rcuwait_init_class(struct rcuwait *w, enum lock_class class);
void prepare_to_rcuwait(struct rcuwait *w);
void finish_rcuwait(struct rcuwait *w);
/* Wakes the waiter, if there is one. Context: any. */
void rcuwait_wake_up(struct rcuwait *w);
enum task_state { TASK_RUNNING, TASK_UNINTERRUPTIBLE };
void set_current_state(enum task_state state);
/* Context: may sleep. */
void schedule(void);

/* A point where a sleepable task gives way. Context: may sleep. */
void cond_resched(void);
/* Says that the caller may sleep here. Emits slept_in_atomic when it must not. No point. */
void might_sleep(void);

/*
 *   await_change(addr, seen, size)  gives way until the size bytes at addr differ from those at
 *                                   seen; size a multiple of 8, at most 64. Context: may sleep or
 *                                   spin; a point.
 *   environment_answer(kind, bound) what the environment answers to a question of that kind (enum
 *                                   answer_kind), in [0, bound): 0 by default. A point.
 *   WARN_ON(cond), KVM_BUG_ON(cond) value of cond; when true, emits warned (the code under test has
 *                                   found itself wrong). No point.
 */

#endif
