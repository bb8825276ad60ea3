/*
 * Locks as model state. A verb whose lock is taken queues its task and blocks;
 * a release wakes all waiters that could now have the lock, and whichever the schedule runs first
 * takes it. So a lock word is never spun upon, and every order of acquisition can be explored.
 */
#include "kern/kern.h"
#include "kern/fiber/fiber_kern.h"
#include "kern/fiber/held.h"
#include "kern/shared/memory.h"

void __tsan_acquire(void *token);
void __tsan_release(void *token);

struct held held[TASKS_MAX];
u64 held_spinning;

void held_reset(void)
{
	for (u32 i = 0; i < TASKS_MAX; i++) {
		struct held *task = &held[i];

		task->waits_class = LOCK_CLASS_COUNT;
		task->waits_for = NULL;
		task->waits_readers = 0;
		task->asleep = false;
		/* Only a schedule that was given up leaves something here. */
		if (likely(!task->classes))
			continue;
		task->classes = 0;
		task->locks = task->atomic_depth = task->rcu_depth = task->srcu_depth = 0;
		for (u32 class = 0; class < LOCK_CLASS_COUNT; class ++)
			task->depth[class] = 0;
	}
	for (u32 i = 0; i < TASKS_MAX; i++)
		held[i].non_block = 0;
}

static u64 lock_holder(const struct fiber_lock *lock)
{
	if (lock->writer)
		return lock->writer - 1u;
	return lock->readers ? (u64)__builtin_ctzll(lock->readers) : ~0ull;
}

u64 held_blocks(u32 task)
{
	const struct held *waiter = &held[task];

	if (waiter->waits_for)
		return lock_holder(waiter->waits_for);
	if (waiter->waits_readers)
		return (u64)__builtin_ctzll(waiter->waits_readers);
	if (waiter->waits_class == LOCK_CLASS_COUNT)
		return ~0ull;
	for (u32 i = 0; i < TASKS_MAX; i++)
		if (i != task && (held[i].classes >> waiter->waits_class & 1))
			return i;
	return ~0ull;
}

void held_tell_nested(struct sched_site *site, u64 outers, enum lock_class inner,
		      enum lock_mode mode)
{
	const struct held *me = &held[event_context.task];

	event_context.site = site;
	for (; outers; outers &= outers - 1) {
		u32 outer = (u32)__builtin_ctzll(outers);

		event_context.nested_told[inner] |= BIT_ULL(outer);
		event_context.outer_site = me->taken_at[outer];
		event(lock_nested, .outer = outer, .inner = inner,
		      .outer_mode = me->shared >> outer & 1 ? LOCK_SHARED : LOCK_EXCLUSIVE,
		      .mode = mode);
	}
	event_context.outer_site = NULL;
}

static void init(struct fiber_lock *lock, enum lock_class class, bool sleeps)
{
	*lock = (struct fiber_lock){ .class = (u8) class, .sleeps = sleeps };
	if (!sleeps)
		held_spinning |= BIT_ULL(class);
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

void fiber_might_sleep(void)
{
	const struct held *me = &held[event_context.task];

	if (unlikely(me->atomic_depth | me->rcu_depth))
		event(slept_in_atomic, .what = me->atomic_depth ? me->atomic_class : (u64)LOCK_rcu);
	if (unlikely(me->non_block))
		event(slept_in_nonblock, .what = ~0ull);
}

void held_report(void)
{
	const struct held *me = &held[event_context.task];

	if (likely(!me->classes))
		return;
	event(op_left_holding, .class = me->locks	 ? me->lock_class
					: me->srcu_depth ? me->srcu_class
							 : (u64)__builtin_ctzll(me->classes));
}

static __inlined void note_taken(struct sched_site *site, const struct fiber_lock *lock,
				 enum lock_mode mode)
{
	struct held *me = &held[event_context.task];

	me->locks++;
	me->lock_class = lock->class;
	held_add(me, lock->class, mode, site);
	if (lock->sleeps)
		return;
	me->atomic_depth++;
	me->atomic_class = lock->class;
}

static __inlined void note_dropped(const struct fiber_lock *lock)
{
	struct held *me = &held[event_context.task];

	me->locks--;
	held_remove(me, lock->class);
	if (!lock->sleeps)
		me->atomic_depth--;
}

static bool can_have(const struct fiber_lock *lock, enum lock_mode mode)
{
	return !lock->writer && (mode == LOCK_SHARED || !lock->readers);
}

/* Queues the running task until it can have the lock. Nothing is taken yet. */
static __noinline void wait_for(struct sched_site *site, struct fiber_lock *lock,
				enum lock_mode mode)
{
	u32 me = event_context.task;
	u64 *queue = mode == LOCK_SHARED ? &lock->waiting_readers : &lock->waiting_writers;

	held[me].waits_for = lock;
	held[me].waits_class = lock->class;
	while (!can_have(lock, mode)) {
		*queue |= BIT_ULL(me);
		sched_block(site, lock);
		*queue &= ~BIT_ULL(me);
	}
	held[me].waits_for = NULL;
	held[me].waits_class = LOCK_CLASS_COUNT;
}

/*
 * Edges for the race detector. Writers order everybody, readers order the next writer only: a race
 * between two readers must stay one.
 */
static void see_holders(struct fiber_lock *lock, enum lock_mode mode)
{
	u64 me;

	if (!CONFIG_TSAN || event_context.task == TASK_NONE)
		return;
	me = BIT_ULL(event_context.task);
	if (!(lock->saw_writer & me))
		__tsan_acquire(&lock->writer);
	lock->saw_writer |= me;
	/* Who takes it behind this holder sees the readers through it. */
	if (mode == LOCK_EXCLUSIVE && lock->readers_left) {
		__tsan_acquire(&lock->readers);
		lock->readers_left = false;
	}
}

static void publish_holder(struct fiber_lock *lock, enum lock_mode mode)
{
	if (!CONFIG_TSAN || held_is_alone())
		return;
	if (mode == LOCK_SHARED) {
		__tsan_release(&lock->readers);
		lock->readers_left = true;
	} else {
		__tsan_release(&lock->writer);
		lock->saw_writer = BIT_ULL(event_context.task);
	}
}

/* The lock can be had, and nothing was switched since that was seen. */
static __inlined void got(struct sched_site *site, struct fiber_lock *lock, enum lock_mode mode)
{
	u32 me = event_context.task;

	if (mode == LOCK_SHARED)
		lock->readers |= BIT_ULL(me);
	else
		lock->writer = (u8)(me + 1);
	note_taken(site, lock, mode);
	see_holders(lock, mode);
	if (event_context.lock_interest >> lock->class & 1)
		event(lock_acquired, .lock = lock->id, .class = lock->class, .mode = mode);
}

static __cold void must_not_sleep(const struct fiber_lock *lock)
{
	event(slept_in_nonblock, .what = lock->class);
}

/*
 * A lock that cannot be had blocks at once: the point in front of it would be one more place to
 * switch with nothing happening in between. In line, for each mode by itself: it happens often.
 */
static __inlined void take(struct sched_site *site, struct fiber_lock *lock, enum lock_mode mode)
{
	held_asks_for(site, lock->class, mode);
	if (lock->sleeps) {
		if (unlikely(held[event_context.task].non_block))
			must_not_sleep(lock);
		fiber_might_sleep();
	}
	if (can_have(lock, mode))
		fiber_point(site, lock);
	event_context.site = site;
	if (!can_have(lock, mode))
		wait_for(site, lock, mode);
	got(site, lock, mode);
}

bool fiber_trylock(struct sched_site *site, struct fiber_lock *lock, enum lock_mode mode)
{
	if (fiber_answer(site, lock, ANSWER_TRYLOCK, 2) || !can_have(lock, mode))
		return false;
	got(site, lock, mode);
	return true;
}

void fiber_section_enter(struct sched_site *site, enum lock_class class)
{
	held_add(&held[event_context.task], class, LOCK_SHARED, site);
}

void fiber_section_leave(enum lock_class class)
{
	ASSERT(held[event_context.task].depth[class]);
	held_remove(&held[event_context.task], class);
}

void fiber_non_block(int by)
{
	held[event_context.task].non_block += (u32)by;
}

/* Wakes who could have the lock now. They stay queued until they run and find out. */
static void wake_waiters(struct fiber_lock *lock)
{
	if (likely(!(lock->waiting_readers | lock->waiting_writers)) || lock->writer)
		return;
	sched_wake(lock->waiting_readers);
	if (!lock->readers)
		sched_wake(lock->waiting_writers);
}

static __inlined void drop(struct sched_site *site, struct fiber_lock *lock, enum lock_mode mode)
{
	u32 me = event_context.task;

	fiber_no_point(site, lock);
	/* What the code under test has not taken it must not give back. */
	if (WARN_ON(mode == LOCK_SHARED ? !(lock->readers & BIT_ULL(me)) : lock->writer != me + 1))
		return;
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
	if (unlikely(held[event_context.task].non_block))
		must_not_sleep(lock);
	if (mode == LOCK_SHARED) {
		fiber_unlock_shared(site, lock);
		fiber_lock_shared(site, lock);
	} else {
		fiber_unlock_exclusive(site, lock);
		fiber_lock_exclusive(site, lock);
	}
	return 1;
}

bool(spin_is_contended)(spinlock_t *lock)
{
	return lock->lock.waiting_writers;
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
