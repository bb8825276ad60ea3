/*
 * Locks: the slow halves, and what checks how they are used.
 *
 * The race detector is told of a lock in so many words, because the word of a lock knows no difference between
 * readers and writers: taken for a sequence of atomic accesses, each reader would be ordered behind the one
 * before, and races between two holders of mmu_lock for reading would go unseen.
 */
#include "kern/kern.h"

void __tsan_mutex_create(void *addr, unsigned flags);
void __tsan_mutex_destroy(void *addr, unsigned flags);
void __tsan_mutex_pre_lock(void *addr, unsigned flags);
void __tsan_mutex_post_lock(void *addr, unsigned flags, int recursion);
int __tsan_mutex_pre_unlock(void *addr, unsigned flags);
void __tsan_mutex_post_unlock(void *addr, unsigned flags);
#define TSAN_READ     (1u << 3)
#define TSAN_TRY      (1u << 4)
#define TSAN_TRY_FAIL (1u << 5)

u32 thread_memory_lock;
static struct thread_lock framework;

static unsigned tsan_mode(enum lock_mode mode)
{
	return mode == LOCK_SHARED ? TSAN_READ : 0;
}

static void init(struct thread_lock *lock, enum lock_class class, bool sleeps)
{
	/* What stood here in an earlier run was never taken down. */
	if (CONFIG_TSAN) {
		__tsan_mutex_destroy(lock, 0);
		__tsan_mutex_create(lock, 0);
	}
	*lock = (struct thread_lock){ .class = (u8) class, .sleeps = sleeps };
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

/* --- taking and giving back --- */

void thread_wait_exclusive(struct thread_lock *lock)
{
	u32 turns = 0, word;

	/* From here on no reader comes in: else they could take turns for ever. */
	word = __atomic_add_fetch(&lock->word, THREAD_LOCK_WAITER, __ATOMIC_RELAXED);
	for (;;) {
		u32 taken = (word - THREAD_LOCK_WAITER) | THREAD_LOCK_WRITER;

		if (!(word & (THREAD_LOCK_WRITER | THREAD_LOCK_READERS))) {
			if (__atomic_compare_exchange_n(&lock->word, &word, taken, false,
							__ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
				return;
			continue;
		}
		thread_wait(&turns);
		word = __atomic_load_n(&lock->word, __ATOMIC_RELAXED);
	}
}

void thread_wait_shared(struct thread_lock *lock)
{
	u32 turns = 0;

	__atomic_fetch_add(&lock->waiting_readers, 1, __ATOMIC_RELAXED);
	for (;;) {
		__atomic_fetch_sub(&lock->word, 1, __ATOMIC_RELAXED);
		do {
			thread_wait(&turns);
		} while (__atomic_load_n(&lock->word, __ATOMIC_RELAXED) & ~THREAD_LOCK_READERS);
		if (!(__atomic_fetch_add(&lock->word, 1, __ATOMIC_ACQUIRE) & ~THREAD_LOCK_READERS))
			break;
	}
	__atomic_fetch_sub(&lock->waiting_readers, 1, __ATOMIC_RELAXED);
}

static bool try(struct thread_lock *lock, enum lock_mode mode)
{
	u32 word = 0;

	if (mode == LOCK_EXCLUSIVE)
		return __atomic_compare_exchange_n(&lock->word, &word, THREAD_LOCK_WRITER, false,
						   __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
	word = __atomic_load_n(&lock->word, __ATOMIC_RELAXED);
	while (!(word & ~THREAD_LOCK_READERS))
		if (__atomic_compare_exchange_n(&lock->word, &word, word + 1, false,
						__ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return true;
	return false;
}

void thread_lock_checked(struct thread_lock *lock, enum lock_mode mode, const char *file, u32 line)
{
	thread_point();
	if (lock->sleeps)
		thread_might_sleep(file, line);
	thread_self.taking = (struct thread_held){ lock, mode };
	if (CONFIG_TSAN)
		__tsan_mutex_pre_lock(lock, tsan_mode(mode));
	if (mode == LOCK_SHARED)
		thread_lock_shared(lock);
	else
		thread_lock_exclusive(lock);
	if (CONFIG_TSAN)
		__tsan_mutex_post_lock(lock, tsan_mode(mode), 0);
	thread_self.taking.lock = NULL;
	thread_note_taken(lock, mode);
	if (!lock->sleeps)
		thread_self.atomic_depth++;
}

void thread_unlock_checked(struct thread_lock *lock, enum lock_mode mode, const char *file,
			   u32 line)
{
	/* What was not taken must not be given back. */
	if (!thread_note_dropped(lock, mode)) {
		thread_warned(file, line, __func__, "gives back a lock that it does not hold");
		return;
	}
	if (!lock->sleeps)
		thread_self.atomic_depth--;
	if (CONFIG_TSAN)
		__tsan_mutex_pre_unlock(lock, tsan_mode(mode));
	if (mode == LOCK_SHARED)
		thread_unlock_shared(lock);
	else
		thread_unlock_exclusive(lock);
	if (CONFIG_TSAN)
		__tsan_mutex_post_unlock(lock, tsan_mode(mode));
}

bool thread_trylock(struct thread_lock *lock, enum lock_mode mode)
{
	bool got;

	thread_point();
	if (thread_answer(ANSWER_TRYLOCK, 2))
		return false;
	if (CONFIG_TSAN)
		__tsan_mutex_pre_lock(lock, tsan_mode(mode) | TSAN_TRY);
	got = try(lock, mode);
	if (CONFIG_TSAN)
		__tsan_mutex_post_lock(lock, tsan_mode(mode) | TSAN_TRY | (got ? 0 : TSAN_TRY_FAIL),
				       0);
	if (got && THREAD_CHECKS) {
		thread_note_taken(lock, mode);
		if (!lock->sleeps)
			thread_self.atomic_depth++;
	}
	return got;
}

int thread_resched_lock(struct thread_lock *lock, enum lock_mode mode, const char *file, u32 line)
{
	if (THREAD_CHECKS && (thread_self.rcu_depth || thread_self.non_block))
		thread_warned(file, line, __func__, "gives way where nobody may");
	if (THREAD_CHECKS)
		thread_unlock_checked(lock, mode, file, line);
	else if (mode == LOCK_SHARED)
		thread_unlock_shared(lock);
	else
		thread_unlock_exclusive(lock);
	/* Whoever waits gets a chance: the lock has no queue. */
	for (u32 i = 0; i < 8 && (!i || thread_needbreak(lock)); i++) {
		thread_look_for_stop();
		sched_yield();
	}
	if (THREAD_CHECKS)
		thread_lock_checked(lock, mode, file, line);
	else if (mode == LOCK_SHARED)
		thread_lock_shared(lock);
	else
		thread_lock_exclusive(lock);
	return 1;
}

/* --- what the running thread holds --- */

void thread_note_taken(const void *lock, enum lock_mode mode)
{
	struct thread_self *self = &thread_self;

	ASSERT(self->nr_held < THREAD_HELD_MAX);
	self->held[self->nr_held++] = (struct thread_held){ lock, mode };
}

static u32 find_held(const void *lock, enum lock_mode mode)
{
	u32 nth = thread_self.nr_held;

	while (nth &&
	       (thread_self.held[nth - 1].lock != lock || thread_self.held[nth - 1].mode != mode))
		nth--;
	return nth;
}

bool thread_is_held(const void *lock, enum lock_mode mode)
{
	return find_held(lock, mode);
}

bool thread_note_dropped(const void *lock, enum lock_mode mode)
{
	struct thread_self *self = &thread_self;
	u32 nth = find_held(lock, mode);

	if (!nth)
		return false;
	self->nr_held--;
	for (u32 i = nth - 1; i < self->nr_held; i++)
		self->held[i] = self->held[i + 1];
	return true;
}

bool thread_holds(const struct thread_lock *lock, enum lock_mode mode)
{
	/* Setting up or taking down: nobody else is there. */
	return thread_self.task == TASK_NONE || thread_is_held(lock, mode);
}

void thread_report_held(void)
{
	if (thread_self.nr_held || thread_self.rcu_depth)
		thread_warned(__FILE__, __LINE__, __func__,
			      "an op leaves a lock or a section held");
}

void thread_drop_all(void)
{
	struct thread_held *taking = &thread_self.taking;

	if (CONFIG_TSAN && taking->lock)
		__tsan_mutex_post_lock((void *)taking->lock,
				       tsan_mode(taking->mode) | TSAN_TRY | TSAN_TRY_FAIL, 0);
	taking->lock = NULL;
	for (u32 i = thread_self.nr_held; CONFIG_TSAN && i-- > 0;) {
		const struct thread_held *held = &thread_self.held[i];

		if (held->mode == LOCK_WAITED)
			continue;
		/* The race detector only: others find the lock taken, until they end as well. */
		__tsan_mutex_pre_unlock((void *)held->lock, tsan_mode(held->mode));
		__tsan_mutex_post_unlock((void *)held->lock, tsan_mode(held->mode));
	}
	thread_self.nr_held = 0;
}

void thread_might_sleep(const char *file, u32 line)
{
	if (THREAD_CHECKS && (thread_self.atomic_depth || thread_self.rcu_depth))
		thread_warned(file, line, __func__, "sleeps in atomic context");
	if (THREAD_CHECKS && thread_self.non_block)
		thread_warned(file, line, __func__, "sleeps where nobody may block");
}

void thread_non_block(int by)
{
	thread_self.non_block += (u32)by;
}

/* --- the framework's own --- */

void thread_framework_lock(void)
{
	if (CONFIG_TSAN)
		__tsan_mutex_pre_lock(&framework, 0);
	/* Nobody ends in here, even if the run is given up. */
	while (!try(&framework, LOCK_EXCLUSIVE))
		sched_yield();
	if (CONFIG_TSAN)
		__tsan_mutex_post_lock(&framework, 0, 0);
}

void thread_framework_unlock(void)
{
	if (CONFIG_TSAN)
		__tsan_mutex_pre_unlock(&framework, 0);
	thread_unlock_exclusive(&framework);
	if (CONFIG_TSAN)
		__tsan_mutex_post_unlock(&framework, 0);
}
