/*
 * Sleeping until another task says that it may be worth while to look again. The sleeper says that it sleeps, and
 * looks then; the waker changes what is looked at, and looks for a sleeper then; a full barrier stands in
 * between on both sides. So the sleeper sees the change, or the waker sees the sleeper.
 */
#include "kern/kern.h"

/* [task]: 1 while it sleeps, by __atomic only. The last one: no task. */
static u32 asleep[TASKS_MAX + 1];

static u32 *asleep_of(u32 task)
{
	return &asleep[task < TASKS_MAX ? task : TASKS_MAX];
}

void thread_wait_reset(void)
{
	for (u32 i = 0; i <= TASKS_MAX; i++)
		__atomic_store_n(&asleep[i], 0, __ATOMIC_RELAXED);
}

void(rcuwait_init_class)(struct rcuwait *w, enum lock_class class)
{
	*w = (struct rcuwait){ .class = (u8) class };
}

void thread_prepare_to_rcuwait(struct rcuwait *w, const char *file, u32 line)
{
	u32 before;

	thread_point();
	before = __atomic_exchange_n(&w->waiter, thread_self.task + 1, __ATOMIC_SEQ_CST);
	if (unlikely(before && before != thread_self.task + 1))
		thread_warned(file, line, __func__, "somebody waits here already");
}

void thread_finish_rcuwait(struct rcuwait *w)
{
	thread_point();
	__atomic_store_n(&w->waiter, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(asleep_of(thread_self.task), 0, __ATOMIC_RELAXED);
}

void thread_rcuwait_wake_up(struct rcuwait *w)
{
	u32 waiter;

	thread_point();
	/* Also a barrier behind what the caller has changed. */
	waiter = __atomic_fetch_add(&w->waiter, 0, __ATOMIC_SEQ_CST);
	if (waiter)
		__atomic_store_n(asleep_of(waiter - 1), 0, __ATOMIC_RELEASE);
}

void thread_set_current_state(u32 state)
{
	thread_point();
	__atomic_store_n(asleep_of(thread_self.task), state != TASK_RUNNING, __ATOMIC_SEQ_CST);
}

void thread_schedule(const char *file, u32 line)
{
	u32 turns = 0;

	thread_might_sleep(file, line);
	sched_yield();
	while (__atomic_load_n(asleep_of(thread_self.task), __ATOMIC_ACQUIRE))
		thread_wait(&turns);
}
