/*
 * RCU and SRCU. Nesting of readers is allowed; RCU readers must not sleep, SRCU readers may.
 *
 * The fiber backend is adversarial: a grace period ends as late as the schedule likes, and as early as
 * the readers that it waits for permit. Callbacks run in the order of their call_rcu(), each as one
 * op of the task TASK_RCU, at any time after the readers that were inside at its call_rcu() have left.
 * A program is not over before all callbacks have run.
 */
#ifndef KERN_RCU_H
#define KERN_RCU_H

#include "base/types.h"

void rcu_read_lock(void);
void rcu_read_unlock(void);
/*
 * Return: whether the running task is inside an RCU reader; true where nobody asks (threads without checks). No
 * point.
 */
bool rcu_read_lock_held(void);

/*
 * struct rcu_head: embedded in what is to be freed; contents belong to the backend. Zeroed before its first use.
 *
 * Has @func(@head) called after a grace period. Context: any; not between two uses of one head.
 * Outside of tasks (take-down) it is called at once. @func may not sleep. Emits rcu_queued, rcu_ran; for
 * a head that is still queued warned, and nothing else happens.
 */
void call_rcu(struct rcu_head *head, void (*func)(struct rcu_head *head));
/* Waits until all readers that are inside now have left. Context: may sleep, no RCU reader. */
void synchronize_rcu(void);
/* Waits until all callbacks queued so far have run. Context: may sleep, no RCU reader. */
void rcu_barrier(void);

void srcu_init_class(struct srcu_struct *srcu, enum lock_class class);
int srcu_read_lock(struct srcu_struct *srcu);
/* @idx: what srcu_read_lock() returned. */
void srcu_read_unlock(struct srcu_struct *srcu, int idx);
/* As synchronize_rcu(), for readers of @srcu. Inside one of them it never returns. */
void synchronize_srcu(struct srcu_struct *srcu);

/*
 * Return: whether the running task is inside a read section of @srcu; true where nobody knows (threads without
 * checks). No point.
 */
bool srcu_read_lock_held(const struct srcu_struct *srcu);

/*
 *   rcu_dereference(p)        load of a pointer that an updater publishes; Context: RCU or SRCU reader
 *   rcu_assign_pointer(p, v)  publishes v; release order
 */

#endif
