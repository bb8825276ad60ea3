/*
 * RCU and SRCU readers, and what waits for them. A grace period that begins captures the readers that
 * are inside; each of them, when it leaves its outermost section, is struck off everywhere. Nothing
 * is given away: a later reader never delays an earlier grace period, and none ends before the last
 * captured reader is out.
 *
 * Callbacks wait in one queue. A reader that is still inside when a second callback is queued was
 * captured by the first as well or came later, so the first is never ready after the second, and one
 * task that takes them in order loses no interleaving that matters.
 */
#include "kern/kern.h"
#include "kern/fiber/fiber_kern.h"
#include "kern/fiber/held.h"
#include "kern/shared/memory.h"

void __tsan_acquire(void *token);
void __tsan_release(void *token);

static struct {
	struct rcu_head *first, **last;
	u64 readers; /* bit: task is inside */
	u64 waiting; /* bit: task waits for readers to leave */
	u64 barrier; /* bit: task waits for callbacks to run */
	u64 queued, ran; /* callbacks */
	bool idle; /* TASK_RCU has come to a callback whose readers are still inside */
	u8 token; /* for the race detector: readers before what comes after a grace period */
} rcu;

void rcu_reset(void)
{
	rcu.first = NULL;
	rcu.last = &rcu.first;
	rcu.readers = rcu.waiting = rcu.barrier = 0;
	rcu.queued = rcu.ran = 0;
	rcu.idle = false;
}

static void publish(void *token)
{
	if (CONFIG_TSAN)
		__tsan_release(token);
}

static void see(void *token)
{
	if (CONFIG_TSAN)
		__tsan_acquire(token);
}

/* Strikes @reader off what each task of *@waiting waits for, and wakes those that are done. */
static void reader_left(u64 *waiting, u32 reader)
{
	for (u64 left = *waiting; left; left &= left - 1) {
		u32 task = (u32)__builtin_ctzll(left);

		held[task].waits_readers &= ~BIT_ULL(reader);
		if (held[task].waits_readers)
			continue;
		*waiting &= ~BIT_ULL(task);
		sched_wake(BIT_ULL(task));
	}
}

/* Waits until the tasks in @readers have left. *@waiting: the list that they look at when they do. */
static void wait_for_readers(struct sched_site *site, u64 readers, u64 *waiting,
			     enum lock_class class)
{
	u32 me = event_context.task;

	held[me].waits_readers = readers;
	held[me].waits_class = (u8) class;
	while (held[me].waits_readers) {
		*waiting |= BIT_ULL(me);
		sched_block(site, NULL);
	}
	held[me].waits_class = LOCK_CLASS_COUNT;
}

/* --- RCU --- */

void fiber_rcu_read_lock(struct sched_site *site)
{
	u32 me = event_context.task;

	sched_point(site, NULL);
	if (held[me].rcu_depth++)
		return;
	rcu.readers |= BIT_ULL(me);
	held_add(&held[me], LOCK_rcu, LOCK_SHARED, site);
}

static void rcu_reader_left(u32 me)
{
	reader_left(&rcu.waiting, me);
	for (struct rcu_head *head = rcu.first; head; head = head->next)
		head->readers &= ~BIT_ULL(me);
	if (rcu.idle && !rcu.first->readers) {
		rcu.idle = false;
		sched_wake(BIT_ULL(TASK_RCU));
	}
}

void fiber_rcu_read_unlock(struct sched_site *site)
{
	u32 me = event_context.task;

	event_context.site = site;
	if (WARN_ON(!held[me].rcu_depth))
		return;
	if (--held[me].rcu_depth)
		return;
	if (!held_is_alone())
		publish(&rcu.token);
	rcu.readers &= ~BIT_ULL(me);
	held_remove(&held[me], LOCK_rcu);
	if (unlikely(rcu.waiting || rcu.first))
		rcu_reader_left(me);
}

bool(rcu_read_lock_held)(void)
{
	return event_context.task == TASK_NONE || held[event_context.task].rcu_depth;
}

static bool is_queued(const struct rcu_head *head)
{
	const struct rcu_head *queued = rcu.first;

	while (queued && queued != head)
		queued = queued->next;
	return queued;
}

void fiber_call_rcu(struct sched_site *site, struct rcu_head *head,
		    void (*func)(struct rcu_head *head))
{
	if (event_context.task == TASK_NONE) {
		func(head);
		return;
	}
	fiber_point(site, head);
	/* Twice the same: what it stands in would be freed twice, and the queue would become a ring. */
	if (WARN_ON(is_queued(head)))
		return;
	publish(head);
	event(rcu_queued, .object = kern_object_id(head));
	head->next = NULL;
	head->func = func;
	head->readers = rcu.readers;
	*rcu.last = head;
	rcu.last = &head->next;
	rcu.queued++;
	if (!(sched.live & BIT_ULL(TASK_RCU)))
		sched_spawn(TASK_RCU);
}

static void run_callback(struct rcu_head *head)
{
	see(&rcu.token);
	see(head);
	rcu.first = head->next;
	if (!rcu.first)
		rcu.last = &rcu.first;
	event(rcu_ran, .object = kern_object_id(head));
	head->func(head);
	kern_op_end((u32)rcu.ran);
	rcu.ran++;
	sched_wake(rcu.barrier);
	rcu.barrier = 0;
}

void rcu_task_body(void)
{
	struct sched_site *site = KERN_SITE(SCHED_NOTHING, 0, "grace_period()");

	while (rcu.first) {
		/* The wait is part of the op whose callback it holds up, so that texts can name it. */
		kern_op_begin((u32)rcu.ran);
		while (rcu.first->readers) {
			rcu.idle = true;
			held[TASK_RCU].waits_class = LOCK_rcu;
			held[TASK_RCU].waits_readers = rcu.first->readers;
			sched_block(site, NULL);
			held[TASK_RCU].waits_class = LOCK_CLASS_COUNT;
		}
		run_callback(rcu.first);
	}
}

void fiber_synchronize_rcu(struct sched_site *site)
{
	if (event_context.task == TASK_NONE)
		return;
	held_asks_for(site, LOCK_rcu, LOCK_WAITED);
	fiber_might_sleep();
	sched_point(site, NULL);
	wait_for_readers(site, rcu.readers, &rcu.waiting, LOCK_rcu);
	see(&rcu.token);
	event(synchronized, .class = LOCK_rcu);
}

void fiber_rcu_barrier(struct sched_site *site)
{
	u32 me = event_context.task;
	u64 queued;

	if (me == TASK_NONE)
		return;
	fiber_might_sleep();
	sched_point(site, NULL);
	queued = rcu.queued;
	while (rcu.ran < queued) {
		rcu.barrier |= BIT_ULL(me);
		held[me].waits_class = LOCK_rcu;
		sched_block(site, NULL);
	}
	held[me].waits_class = LOCK_CLASS_COUNT;
	see(&rcu.token);
}

/* --- SRCU --- */

void(srcu_init_class)(struct srcu_struct *srcu, enum lock_class class)
{
	*srcu = (struct srcu_struct){ .class = (u8) class };
}

int fiber_srcu_read_lock(struct sched_site *site, struct srcu_struct *srcu)
{
	u32 me = event_context.task;

	fiber_point(site, srcu);
	srcu->readers |= BIT_ULL(me);
	srcu->depth[me]++;
	held[me].srcu_depth++;
	held[me].srcu_class = srcu->class;
	held_add(&held[me], srcu->class, LOCK_SHARED, site);
	return 0;
}

void fiber_srcu_read_unlock(struct sched_site *site, struct srcu_struct *srcu, int idx)
{
	u32 me = event_context.task;

	fiber_no_point(site, srcu);
	if (WARN_ON(!srcu->depth[me] || idx))
		return;
	held[me].srcu_depth--;
	held_remove(&held[me], srcu->class);
	if (--srcu->depth[me])
		return;
	if (!held_is_alone())
		publish(&srcu->readers);
	srcu->readers &= ~BIT_ULL(me);
	if (unlikely(srcu->waiting))
		reader_left(&srcu->waiting, me);
}

bool(srcu_read_lock_held)(const struct srcu_struct *srcu)
{
	return event_context.task == TASK_NONE || srcu->depth[event_context.task];
}

void fiber_synchronize_srcu(struct sched_site *site, struct srcu_struct *srcu)
{
	if (event_context.task == TASK_NONE)
		return;
	/* Told each time: what is held here may differ, and a cycle closes here or nowhere. */
	held_tell_nested(site, held[event_context.task].classes, srcu->class, LOCK_WAITED);
	fiber_might_sleep();
	fiber_point(site, srcu);
	wait_for_readers(site, srcu->readers, &srcu->waiting, srcu->class);
	see(&srcu->readers);
	event(synchronized, .class = srcu->class);
}
