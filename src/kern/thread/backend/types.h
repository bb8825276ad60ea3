/* Types of the thread backend: locks that spin, counters of readers. */
#ifndef BACKEND_TYPES_H
#define BACKEND_TYPES_H

#include "base/types.h"

/*
 * Whether verbs check how they are used, and give way at random: in rows with a sanitizer. In the others a verb
 * is what one would write by hand, and nothing else.
 */
#define THREAD_CHECKS (CONFIG_TSAN || CONFIG_ASAN)

/*
 * One shape for all locks. word: LOCK_WRITER, writers that wait (in units of LOCK_WAITER), readers. New readers
 * stay out while a writer waits.
 */
struct thread_lock {
	u32 word;
	u32 waiting_readers;
	u8 class; /* enum lock_class */
	bool sleeps; /* waiting for it is sleeping */
};
#define THREAD_LOCK_WRITER  0x80000000u
#define THREAD_LOCK_WAITER  0x00010000u
#define THREAD_LOCK_WAITERS 0x7fff0000u
#define THREAD_LOCK_READERS 0x0000ffffu

typedef struct thread_spinlock {
	struct thread_lock lock;
} spinlock_t;
typedef struct thread_rwlock {
	struct thread_lock lock;
} rwlock_t;
struct mutex {
	struct thread_lock lock;
};
struct rw_semaphore {
	struct thread_lock lock;
};
struct srcu_struct {
	u64 readers[2];
	u32 index; /* of the counter that a reader takes who comes now */
	struct thread_lock updater; /* one grace period at a time */
	u8 class;
};
struct rcu_head {
	void *library[2]; /* liburcu's own head */
	void (*func)(struct rcu_head *head); /* NULL: not queued; by __atomic */
};
struct rcuwait {
	u32 waiter; /* task number + 1 */
	u8 class; /* of what is waited for */
};

#endif
