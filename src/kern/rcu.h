/*
 * RCU and SRCU, read side. Nesting is allowed; RCU readers must not sleep, SRCU readers may. The end
 * of a grace period (synchronize, callbacks) does not exist yet: nothing is freed by RCU so far.
 */
#ifndef KERN_RCU_H
#define KERN_RCU_H

#include "base/types.h"

void rcu_read_lock(void);
void rcu_read_unlock(void);
/* Return: whether the running task is inside an RCU reader. No point. */
bool rcu_read_lock_held(void);

void srcu_init_class(struct srcu_struct *srcu, enum lock_class class);
int srcu_read_lock(struct srcu_struct *srcu);
/* @idx: what srcu_read_lock() returned. */
void srcu_read_unlock(struct srcu_struct *srcu, int idx);

/* Return: whether the running task is inside a read section of @srcu. No point. */
bool srcu_read_lock_held(const struct srcu_struct *srcu);

/*
 *   rcu_dereference(p)        load of a pointer that an updater publishes; Context: RCU or SRCU reader
 *   rcu_assign_pointer(p, v)  publishes v; release order
 */

#endif
