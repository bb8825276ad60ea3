/*
 * Locks. All are model state in the fiber backend: a task that cannot have one is not runnable until
 * it is released. Who gets a contended lock is the scheduler's choice. Each acquisition and release
 * emits lock_acquired or lock_released with the lock's class, after it has taken effect.
 *
 * Giving back what one does not hold emits warned, and changes nothing.
 *
 * In the thread backend locks spin, writers keep new readers out, nothing is emitted, and rows without a sanitizer check
 * neither this nor the assertions below.
 *
 * Initialisers take a class because oracles tell locks apart by it; they must run before first use.
 */
#ifndef KERN_LOCK_H
#define KERN_LOCK_H

#include "base/event.h"
#include "base/types.h"

/* Spinlocks. Context: any; the holder must not sleep. */
void spin_lock_init_class(spinlock_t *lock, enum lock_class class);
void spin_lock(spinlock_t *lock);
void spin_unlock(spinlock_t *lock);

/* Return: true when another task waits for it. Context: held. No point. */
bool spin_is_contended(spinlock_t *lock);

/* Spinning reader-writer locks. Not recursive. The holder must not sleep. */
void rwlock_init_class(rwlock_t *lock, enum lock_class class);
void read_lock(rwlock_t *lock);
void read_unlock(rwlock_t *lock);
void write_lock(rwlock_t *lock);
void write_unlock(rwlock_t *lock);
/* Return: true when another task waits for the lock in a mode that the holder blocks. No point. */
bool rwlock_needbreak(rwlock_t *lock);
/*
 * Releases the lock, lets others run and takes it again.
 * Context: held in that mode, RCU not held. Return: 1 (the yield is unconditional: the caller has
 * asked need_resched() and rwlock_needbreak() before).
 */
int cond_resched_rwlock_read(rwlock_t *lock);
int cond_resched_rwlock_write(rwlock_t *lock);

/* Sleeping locks. Context: may sleep. */
void mutex_init_class(struct mutex *lock, enum lock_class class);
void mutex_lock(struct mutex *lock);
void mutex_unlock(struct mutex *lock);
void init_rwsem_class(struct rw_semaphore *sem, enum lock_class class);
void down_read(struct rw_semaphore *sem);
void up_read(struct rw_semaphore *sem);
void down_write(struct rw_semaphore *sem);
void up_write(struct rw_semaphore *sem);

/* Return: false, with nothing taken, when it is not free or the environment says so (ANSWER_TRYLOCK). */
bool mutex_trylock(struct mutex *lock);
bool down_read_trylock(struct rw_semaphore *sem);

/*
 * For lock order only: the running task is inside something that others wait for as for a lock, though
 * it is none (the time from an invalidation's start to its end). No points.
 */
void lock_section_enter(enum lock_class class);
void lock_section_leave(enum lock_class class);

/* Between the two the running task must neither sleep nor give way; they nest. No points. */
void non_block_start(void);
void non_block_end(void);

/*
 * Around what the framework keeps beside the code under test (user space). No verb stands between
 * the two, and they do not nest. No points; nothing at all in the fiber backend, where nobody can come
 * in between: there the race detector must not watch the files that use it.
 */
void framework_lock(void);
void framework_unlock(void);

/* Assertions of the code under test. One that fails emits warned and lets the schedule go on. */
/* Any lock that is held exclusively, a mutex too. */
void lockdep_assert_held(const spinlock_t *lock);
void lockdep_assert_held_read(const rwlock_t *lock);
void lockdep_assert_held_write(const rwlock_t *lock);
/* Held in either mode. */
void lockdep_assert_held_either(const rwlock_t *lock);

#endif
