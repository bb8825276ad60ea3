/*
 * Sleeping until another task says that it may be worth while to look again. The waker clears what the
 * sleeper has set before it looked: a wake-up between the look and the sleep is not lost.
 */
#include "kern/kern.h"
#include "kern/fiber/fiber_kern.h"
#include "kern/fiber/held.h"

void __tsan_acquire(void *token);
void __tsan_release(void *token);

void(rcuwait_init_class)(struct rcuwait *w, enum lock_class class)
{
	*w = (struct rcuwait){ .class = (u8) class };
}

void fiber_prepare_to_rcuwait(struct sched_site *site, struct rcuwait *w)
{
	u32 me = event_context.task;

	/* What spins is dropped before the sleep; that it is, is judged there. */
	held_tell_nested(site, held[me].classes & ~held_spinning, w->class, LOCK_WAITED);
	fiber_point(site, w);
	if (w->waiter && w->waiter != me + 1)
		event(rcuwait_taken, .class = w->class);
	w->waiter = (u8)(me + 1);
	held[me].waits_class = w->class;
}

void fiber_finish_rcuwait(struct sched_site *site, struct rcuwait *w)
{
	u32 me = event_context.task;

	fiber_point(site, w);
	w->waiter = 0;
	held[me].waits_class = LOCK_CLASS_COUNT;
	held[me].asleep = false;
}

void fiber_rcuwait_wake_up(struct sched_site *site, struct rcuwait *w)
{
	u32 sleeper;

	fiber_point(site, w);
	if (!w->waiter)
		return;
	sleeper = w->waiter - 1u;
	if (CONFIG_TSAN)
		__tsan_release(&held[sleeper].asleep);
	if (!held[sleeper].asleep)
		return;
	held[sleeper].asleep = false;
	/* It may not have gone to sleep yet; it will find out then. */
	sched_wake(BIT_ULL(sleeper));
}

void fiber_set_current_state(struct sched_site *site, u32 state)
{
	sched_point(site, NULL);
	held[event_context.task].asleep = state != TASK_RUNNING;
}

void fiber_schedule(struct sched_site *site)
{
	u32 me = event_context.task;

	fiber_might_sleep();
	sched_point(site, NULL);
	while (held[me].asleep)
		sched_block(site, NULL);
	if (CONFIG_TSAN)
		__tsan_acquire(&held[me].asleep);
}
