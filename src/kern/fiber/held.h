/* What each task holds and waits for, for assertions, lock order and the report of a deadlock. */
#ifndef KERN_FIBER_HELD_H
#define KERN_FIBER_HELD_H

#include "kern/kern.h"
#include "sched/sched.h"

struct held {
	u64 classes; /* BIT(lock class): of locks, read sections and sections held */
	u64 shared; /* those of them that were taken in shared mode last */
	u32 locks; /* of all kinds */
	u32 atomic_depth; /* spinning locks held */
	u32 rcu_depth, srcu_depth;
	u32 non_block; /* calls that must not block */
	u8 lock_class, atomic_class, srcu_class; /* of the last one taken */
	u8 waits_class; /* LOCK_CLASS_COUNT: waits for nothing that has a class */
	bool asleep; /* set_current_state() said so, and nobody has woken it since */
	const struct fiber_lock *waits_for; /* the lock that it is queued on */
	u64 waits_readers; /* tasks whose read sections it waits for */
	u8 depth[LOCK_CLASS_COUNT];
	const struct sched_site *taken_at[LOCK_CLASS_COUNT]; /* outermost one of each class */
};
extern struct held held[TASKS_MAX];
/* BIT(lock class) of those whose holders must not sleep. */
extern u64 held_spinning;

/* Context: no task. Nobody holds or waits for anything. */
void held_reset(void);
/* Emits op_left_holding when the running task holds a lock or stands in a section. */
void held_report(void);
/* Return: a task that keeps @task from going on, ~0 when there is none to be named. */
u64 held_blocks(u32 task);

/* The running task holds one more, or one less, of @class. */
static inline void held_add(struct held *me, u32 class, enum lock_mode mode,
			    const struct sched_site *site)
{
	if (me->depth[class]++)
		return;
	me->classes |= BIT_ULL(class);
	me->shared = (me->shared & ~BIT_ULL(class)) | (u64)(mode == LOCK_SHARED) << class;
	me->taken_at[class] = site;
}

static inline void held_remove(struct held *me, u32 class)
{
	if (!--me->depth[class])
		me->classes &= ~BIT_ULL(class);
}

/* Emits lock_nested for every class in @outers, which the running task holds. */
void held_tell_nested(struct sched_site *site, u64 outers, enum lock_class inner,
		      enum lock_mode mode);
/* The running task may have to wait for something of class @inner. */
static inline void held_asks_for(struct sched_site *site, enum lock_class inner,
				 enum lock_mode mode)
{
	u64 fresh = held[event_context.task].classes & ~event_context.nested_told[inner];

	if (unlikely(fresh))
		held_tell_nested(site, fresh, inner, mode);
}

/*
 * For the race detector. Return: true when no other task is left to which the running one could owe an
 * edge: what comes later is main's, or the work of TASK_RCU, ordered behind the call_rcu() that starts it.
 */
static inline bool held_is_alone(void)
{
	return event_context.task == TASK_NONE || sched.live == BIT_ULL(event_context.task);
}

/* Grace periods (rcu.c). Context: no task. */
void rcu_reset(void);
/* What the task TASK_RCU does: runs callbacks until there are none. */
void rcu_task_body(void);

#endif
