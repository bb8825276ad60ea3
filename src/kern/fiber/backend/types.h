/* Types of the fiber backend: locks are plain model state, at most 64 tasks. */
#ifndef BACKEND_TYPES_H
#define BACKEND_TYPES_H

#include "base/types.h"
#include "sched/sched.h"

/* One shape for all locks: who holds it, who waits. Bits are tasks; writer is a task number + 1. */
struct fiber_lock {
	u64 readers;
	u64 waiting_readers, waiting_writers;
	u64 id; /* object id, for events */
	u8 writer;
	u8 class; /* enum lock_class */
	bool sleeps; /* waiting for it is sleeping */
	/* For the race detector, so that it is told of those edges only that it does not have yet. */
	bool readers_left; /* since it was last taken exclusively */
	u64 saw_writer; /* tasks that have been ordered behind its last exclusive holder */
};

typedef struct fiber_spinlock {
	struct fiber_lock lock;
} spinlock_t;
typedef struct fiber_rwlock {
	struct fiber_lock lock;
} rwlock_t;
struct mutex {
	struct fiber_lock lock;
};
struct rw_semaphore {
	struct fiber_lock lock;
};
struct srcu_struct {
	u64 readers; /* bit: task is in a read section */
	u64 waiting; /* bit: task waits for readers to leave */
	u8 class;
	u8 depth[TASKS_MAX]; /* read sections that each task is in */
};
struct rcu_head {
	struct rcu_head *next;
	void (*func)(struct rcu_head *head);
	u64 readers; /* tasks that the callback waits for */
};
struct rcuwait {
	u8 class; /* of what is waited for */
	u8 waiter; /* task number + 1 */
};

#endif
