/* What each task holds and waits for, for assertions and for the report of a deadlock. */
#ifndef KERN_FIBER_HELD_H
#define KERN_FIBER_HELD_H

#include "kern/kern.h"

/* Context: no task. Nobody holds or waits for anything. */
void held_reset(void);
/* Emits op_left_holding when the running task holds a lock or stands in a read section. */
void held_report(void);
/* Return: the lock that @task is queued on, NULL if none. */
const struct fiber_lock *held_waits_for(u32 task);
/* Return: a task that holds @lock (the writer, else the lowest reader), ~0 when there is none. */
u64 held_by(const struct fiber_lock *lock);

#endif
