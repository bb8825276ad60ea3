/*
 * Locks, RCU and SRCU readers as model state. A verb whose lock is taken queues its task and blocks;
 * a release wakes all waiters that could now have the lock, and whichever the schedule runs first
 * takes it. So a lock word is never spun upon, and every order of acquisition can be explored.
 */
#include "kern/kern.h"
#include "kern/fiber/fiber_kern.h"
#include "kern/fiber/held.h"
#include "kern/fiber/memory.h"

void __tsan_acquire(void *token);
void __tsan_release(void *token);

static struct {
	const struct fiber_lock *waits_for;
	u32 rcu_depth, srcu_depth;
	u32 locks; /* of all kinds */
	u8 lock_class, srcu_class; /* of the last one taken */
	u32 atomic_depth; /* spinning locks held */
	u8 atomic_class; /* class of the last one taken */
} held[TASKS_MAX];

void held_reset(void)
{
	for (u32 i = 0; i < TASKS_MAX; i++) {
		held[i].waits_for = NULL;
		held[i].rcu_depth = held[i].srcu_depth = held[i].locks = 0;
		held[i].atomic_depth = 0;
	}
}

const struct fiber_lock *held_waits_for(u32 task)
{
	return held[task].waits_for;
}

u64 held_by(const struct fiber_lock *lock)
{
	if (lock->writer)
		return lock->writer - 1u;
	return lock->readers ? (u64)__builtin_ctzll(lock->readers) : ~0ull;
}

static void init(struct fiber_lock *lock, enum lock_class class, bool sleeps)
{
	*lock = (struct fiber_lock){ .class = (u8) class, .sleeps = sleeps };
}

void(spin_lock_init_class)(spinlock_t *lock, enum lock_class class)
{
	init(&lock->lock, class, false);
}

void(rwlock_init_class)(rwlock_t *lock, enum lock_class class)
{
	init(&lock->lock, class, false);
}

void(mutex_init_class)(struct mutex *lock, enum lock_class class)
{
	init(&lock->lock, class, true);
}

void(init_rwsem_class)(struct rw_semaphore *sem, enum lock_class class)
{
	init(&sem->lock, class, true);
}

void(srcu_init_class)(struct srcu_struct *srcu, enum lock_class class)
{
	*srcu = (struct srcu_struct){ .class = (u8) class };
}

void fiber_might_sleep(void)
{
	u32 me = event_context.task;

	if (unlikely(held[me].atomic_depth | held[me].rcu_depth))
		event(slept_in_atomic,
		      .what = held[me].atomic_depth ? held[me].atomic_class : (u64)LOCK_rcu);
}

void held_report(void)
{
	u32 me = event_context.task;

	if (likely(!(held[me].locks | held[me].rcu_depth | held[me].srcu_depth)))
		return;
	event(op_left_holding, .class = held[me].locks	      ? held[me].lock_class
					: held[me].srcu_depth ? held[me].srcu_class
							      : (u64)LOCK_rcu);
}

static void note_taken(const struct fiber_lock *lock)
{
	held[event_context.task].locks++;
	held[event_context.task].lock_class = lock->class;
	if (lock->sleeps)
		return;
	held[event_context.task].atomic_depth++;
	held[event_context.task].atomic_class = lock->class;
}

static void note_dropped(const struct fiber_lock *lock)
{
	held[event_context.task].locks--;
	if (!lock->sleeps)
		held[event_context.task].atomic_depth--;
}

static bool can_have(const struct fiber_lock *lock, enum lock_mode mode)
{
	return !lock->writer && (mode == LOCK_SHARED || !lock->readers);
}

/* Queues the running task until it can have the lock. Nothing is taken yet. */
static __attribute__((noinline)) void wait_for(struct sched_site *site, struct fiber_lock *lock,
					       enum lock_mode mode)
{
	u32 me = event_context.task;
	u64 *queue = mode == LOCK_SHARED ? &lock->waiting_readers : &lock->waiting_writers;

	held[me].waits_for = lock;
	while (!can_have(lock, mode)) {
		*queue |= BIT_ULL(me);
		sched_block(site, lock);
		*queue &= ~BIT_ULL(me);
	}
	held[me].waits_for = NULL;
}

/*
 * Edges for the race detector. Writers order everybody, readers order the next writer only: a race
 * between two readers must stay one.
 */
static void see_holders(struct fiber_lock *lock, enum lock_mode mode)
{
	if (!CONFIG_TSAN)
		return;
	__tsan_acquire(&lock->writer);
	if (mode == LOCK_EXCLUSIVE)
		__tsan_acquire(&lock->readers);
}

static void publish_holder(struct fiber_lock *lock, enum lock_mode mode)
{
	if (CONFIG_TSAN)
		__tsan_release(mode == LOCK_SHARED ? (void *)&lock->readers
						   : (void *)&lock->writer);
}

/*
 * A lock that cannot be had blocks at once: the point in front of it would be one more place to
 * switch with nothing happening in between.
 */
static void take(struct sched_site *site, struct fiber_lock *lock, enum lock_mode mode)
{
	u32 me = event_context.task;

	if (lock->sleeps)
		fiber_might_sleep();
	if (can_have(lock, mode))
		fiber_point(site, lock);
	event_context.site = site;
	if (!can_have(lock, mode))
		wait_for(site, lock, mode);
	if (mode == LOCK_SHARED)
		lock->readers |= BIT_ULL(me);
	else
		lock->writer = (u8)(me + 1);
	note_taken(lock);
	see_holders(lock, mode);
	if (event_context.lock_interest >> lock->class & 1)
		event(lock_acquired, .lock = lock->id, .class = lock->class, .mode = mode);
}

/* Wakes who could have the lock now. They stay queued until they run and find out. */
static void wake_waiters(struct fiber_lock *lock)
{
	if (lock->writer)
		return;
	sched_wake(lock->waiting_readers);
	if (!lock->readers)
		sched_wake(lock->waiting_writers);
}

static void drop(struct sched_site *site, struct fiber_lock *lock, enum lock_mode mode)
{
	u32 me = event_context.task;

	fiber_point(site, lock);
	ASSERT(mode == LOCK_SHARED ? !!(lock->readers & BIT_ULL(me)) : lock->writer == me + 1);
	publish_holder(lock, mode);
	if (mode == LOCK_SHARED)
		lock->readers &= ~BIT_ULL(me);
	else
		lock->writer = 0;
	note_dropped(lock);
	wake_waiters(lock);
	if (event_context.lock_interest >> lock->class & 1)
		event(lock_released, .lock = lock->id, .class = lock->class, .mode = mode);
}

void fiber_lock_exclusive(struct sched_site *site, struct fiber_lock *lock)
{
	take(site, lock, LOCK_EXCLUSIVE);
}

void fiber_unlock_exclusive(struct sched_site *site, struct fiber_lock *lock)
{
	drop(site, lock, LOCK_EXCLUSIVE);
}

void fiber_lock_shared(struct sched_site *site, struct fiber_lock *lock)
{
	take(site, lock, LOCK_SHARED);
}

void fiber_unlock_shared(struct sched_site *site, struct fiber_lock *lock)
{
	drop(site, lock, LOCK_SHARED);
}

int fiber_resched_lock(struct sched_site *site, struct fiber_lock *lock, enum lock_mode mode)
{
	if (unlikely(held[event_context.task].rcu_depth))
		event(slept_in_atomic, .what = LOCK_rcu);
	drop(site, lock, mode);
	take(site, lock, mode);
	return 1;
}

bool(rwlock_needbreak)(rwlock_t *lock)
{
	const struct fiber_lock *l = &lock->lock;

	return l->writer ? l->waiting_readers | l->waiting_writers : l->waiting_writers;
}

bool fiber_holds(const struct fiber_lock *lock, enum lock_mode mode)
{
	u32 me = event_context.task;

	if (me == TASK_NONE) /* setting up or taking down: nobody else is there */
		return true;
	return mode == LOCK_SHARED ? !!(lock->readers & BIT_ULL(me)) : lock->writer == me + 1;
}

void fiber_rcu_read_lock(struct sched_site *site)
{
	sched_point(site, NULL);
	held[event_context.task].rcu_depth++;
}

void fiber_rcu_read_unlock(struct sched_site *site)
{
	sched_point(site, NULL);
	ASSERT(held[event_context.task].rcu_depth);
	held[event_context.task].rcu_depth--;
}

bool(rcu_read_lock_held)(void)
{
	return event_context.task == TASK_NONE || held[event_context.task].rcu_depth;
}

int fiber_srcu_read_lock(struct sched_site *site, struct srcu_struct *srcu)
{
	u32 me = event_context.task;

	fiber_point(site, srcu);
	srcu->depth[me]++;
	held[me].srcu_depth++;
	held[me].srcu_class = srcu->class;
	return 0;
}

void fiber_srcu_read_unlock(struct sched_site *site, struct srcu_struct *srcu, int idx)
{
	u32 me = event_context.task;

	fiber_point(site, srcu);
	ASSERT(srcu->depth[me] && !idx);
	srcu->depth[me]--;
	held[me].srcu_depth--;
}

bool(srcu_read_lock_held)(const struct srcu_struct *srcu)
{
	return event_context.task == TASK_NONE || srcu->depth[event_context.task];
}
