/*
 * The point of every verb, tasks, and the environment's answers.
 */
#include "kern/kern.h"
#include "kern/fiber/fiber_kern.h"
#include "kern/shared/memory.h"
#include "kern/fiber/held.h"
#include "kern/shared/instrument.h"

void __tsan_acquire(void *token);

static const struct sched_driver *driver;
static bool op_ends_armed;
static void (*program_body)(u32 task);

static __cold void dead_access(const volatile void *addr)
{
	event(dead_access, .object = kern_object_id(addr));
	/* Whoever judges the event may have ended the schedule; if not, going on would be undefined. */
	sched_abandon();
}

UNINSTRUMENTED void fiber_point(struct sched_site *site, const volatile void *addr)
{
	sched_point(site, addr);
	/* After the switch: what the task was about to touch may be gone by now. */
	if (unlikely(memory_dead(addr)))
		dead_access(addr);
}

UNINSTRUMENTED void fiber_no_point(struct sched_site *site, const volatile void *addr)
{
	event_context.site = site;
	if (unlikely(memory_dead(addr)))
		dead_access(addr);
}

void fiber_await(struct sched_site *site, const volatile void *addr, const void *seen, u32 size)
{
	sched_await(site, addr, seen, size);
	if (unlikely(memory_dead(addr)))
		dead_access(addr);
}

/* What the running task has seen since it gained the CPU: nobody has stored there again. */
void fiber_see_through(const volatile void *addr)
{
	static struct {
		const volatile void *addr;
		u64 slice;
	} seen[32];
	u32 place = ((uintptr_t)addr >> 3) % ARRAY_SIZE(seen);

	if (seen[place].addr == addr && seen[place].slice == sched.slice)
		return;
	seen[place].addr = addr;
	seen[place].slice = sched.slice;
	if (CONFIG_TSAN)
		__tsan_acquire((void *)addr);
}

u64 fiber_answer(struct sched_site *site, const volatile void *addr, enum answer_kind kind,
		 u64 bound)
{
	u64 answer = sched_value(site, addr, kind, bound);

	if (unlikely(memory_dead(addr)))
		dead_access(addr);
	return answer;
}

/* The running task offers to give way: what it has touched since the last time is counted. */
static void offer(void)
{
	u32 me = event_context.task;

	if (unlikely(event_context.touched[me] > event_context.touched_max[me]))
		event(yield_overdue, .entries = event_context.touched[me],
		      .bound = event_context.touched_max[me]);
	event_context.touched[me] = 0;
	event_context.taken[me] = 0;
}

bool fiber_need_resched(struct sched_site *site)
{
	offer();
	return sched_value(site, NULL, ANSWER_RESCHED, 2);
}

bool fiber_may_alloc(struct sched_site *site)
{
	held_asks_for(site, LOCK_fs_reclaim, LOCK_EXCLUSIVE);
	fiber_might_sleep();
	return !sched_value(site, NULL, ANSWER_ALLOC, 2);
}

void fiber_cond_resched(struct sched_site *site)
{
	fiber_might_sleep();
	offer();
	sched_point(site, NULL);
}

u32 current_task(void)
{
	return event_context.task;
}

void kern_set_driver(const struct sched_driver *new_driver)
{
	driver = new_driver;
}

void kern_arm_op_ends(bool armed)
{
	op_ends_armed = armed;
}

void kern_op_begin(u32 nth)
{
	sched_op_begin(nth);
}

void kern_op_end(u32 nth)
{
	held_report();
	sched_op_end(op_ends_armed);
}

/* Says of every task that is left what it waits for, then that the schedule is stuck. */
static void report_stuck(void)
{
	for (u64 left = sched.live; left; left &= left - 1) {
		u32 task = (u32)__builtin_ctzll(left);
		const struct held *stuck = &held[task];

		event_context.site = sched_site_of(task);
		event(task_stuck, .stuck_task = task, .lock_class = stuck->waits_class,
		      .lock = stuck->waits_for ? stuck->waits_for->id : 0,
		      .holder = held_blocks(task));
	}
	event_context.site = NULL;
	event(deadlocked, .tasks = sched.live);
}

static void task_body(u32 task)
{
	if (task == TASK_RCU)
		rcu_task_body();
	else
		program_body(task);
}

enum kern_outcome kern_run_tasks(u32 nr_tasks, void (*body)(u32 task), u64 points_max)
{
	ASSERT(driver && nr_tasks <= PROGRAM_TASKS_MAX);
	program_body = body;
	switch (sched_run(driver, nr_tasks, task_body, points_max)) {
	case SCHED_DONE:
		return KERN_DONE;
	case SCHED_STUCK:
		report_stuck();
		return KERN_STUCK;
	case SCHED_UNFINISHED:
		return KERN_UNFINISHED;
	default:
		return KERN_ABANDONED;
	}
}

void kern_reset(void)
{
	memory_reset();
	held_reset();
	rcu_reset();
	for (u32 i = 0; i < TASKS_MAX; i++) {
		event_context.touched[i] = 0;
		event_context.touched_max[i] = ~0u;
	}
	for (u32 i = 0; i < LOCK_CLASS_COUNT; i++)
		event_context.nested_told[i] = 0;
}
