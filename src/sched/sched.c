/*
 * One schedule, from the first task's first op to the last task's last.
 *
 * Points are counted by how far the budget has fallen below what it is spent at, so that the hot path
 * writes one word. fill() is the only place that sets it: to the nearest of the running task's next
 * stop and the schedule's limit, or to nothing when the driver records, which makes every point a
 * stop.
 */
#include "sched/sched.h"

#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "sched/fiber.h"

#define GRANT_WITHOUT_END (1ull << 62)
#define AWAIT_BYTES_MAX	  64

struct task {
	u64 op_points; /* points of the current op before the task last gained the CPU */
	u32 op;
	bool begun;
	struct sched_site *site; /* where it is stopped */
	const volatile void *awaited;
	u32 awaited_size;
	u64 seen[AWAIT_BYTES_MAX / sizeof(u64)];
};

struct sched sched;

static struct {
	const struct sched_driver *driver;
	bool records; /* the driver does */
	bool watched; /* the race detector must be told when the driver is called */
	void (*body)(u32 task);
	struct task tasks[TASKS_MAX];
	u64 spent_at; /* points of the schedule when the budget is used up */
	u64 gained; /* points of the schedule when the running task gained the CPU */
	u64 stop_at; /* the running task's next stop, in points of the schedule */
	u64 limit;
	u64 grant; /* set by sched_grant() during a decision */
	u32 running; /* TASK_NONE: the main fiber */
	enum sched_outcome outcome;
} state;

u64 sched_points(void)
{
	return state.spent_at - sched.budget;
}

u64 sched_ordinal(void)
{
	if (state.running == TASK_NONE)
		return 0;
	return state.tasks[state.running].op_points + (sched_points() - state.gained);
}

/* @now: sched_points(). */
static void fill(u64 now)
{
	u64 next = min_u64(state.stop_at, state.limit);

	state.spent_at = next > now && likely(!state.records) ? next - 1 : now;
	sched.budget = state.spent_at - now;
}

void sched_grant(u64 points)
{
	state.grant = points ? points : 1;
}

static bool await_satisfied(const struct task *task)
{
	const volatile u64 *now = task->awaited;

	for (u32 i = 0; i < task->awaited_size / sizeof(u64); i++)
		if (now[i] != task->seen[i])
			return true;
	return false;
}

/* Return: those that wait for memory to change and have got what they wait for. */
static __noinline u64 awaiting_ready(void)
{
	u64 ready = 0;

	for (u64 left = sched.awaiting; left; left &= left - 1) {
		u32 nr = (u32)__builtin_ctzll(left);

		if (await_satisfied(&state.tasks[nr]))
			ready |= BIT_ULL(nr);
	}
	return ready;
}

static u64 runnable_now(void)
{
	if (likely(!sched.awaiting))
		return sched.runnable;
	return (sched.runnable & ~sched.awaiting) | awaiting_ready();
}

static struct sched_stop stop_here(enum sched_stop_kind kind, const struct sched_site *site,
				   const volatile void *addr)
{
	struct sched_stop
		stop; /* field by field: AddressSanitizer makes a call of filling it with zeros */

	stop.kind = kind;
	stop.task = state.running;
	stop.op = event_context.op;
	stop.site = site;
	stop.addr = addr;
	stop.due = false;
	stop.answer = 0;
	stop.runnable = runnable_now();
	return stop;
}

/* Gives the CPU to @to. Returns when the caller is chosen again (at once, if it is @to itself). */
static void run_task(u32 to)
{
	u32 from = state.running;
	u64 now = sched_points();

	state.stop_at = state.grant > state.limit ? state.limit : now + state.grant;
	if (to == from) {
		fill(now);
		return;
	}
	if (likely(from != TASK_NONE))
		state.tasks[from].op_points += now - state.gained;
	state.gained = now;
	state.running = to;
	fill(now);
	event_context.switches++;
	sched.slice++;
	event_context.task = to == TASK_NONE ? TASK_NONE : to;
	event_context.op = to == TASK_NONE ? 0 : state.tasks[to].op;
	fiber_switch(to == TASK_NONE ? FIBER_MAIN : to);
}

static void leave(enum sched_outcome outcome)
{
	state.outcome = outcome;
	state.grant = GRANT_WITHOUT_END;
	run_task(TASK_NONE);
}

static void record(const struct sched_stop *stop)
{
	fiber_unwatch();
	state.driver->record(state.driver->ctx, stop);
	fiber_watch();
}

/* Around questions to the driver. Looking away costs the race detector more than a switch. */
static void unwatch(void)
{
	if (unlikely(state.watched))
		fiber_unwatch();
}

static void watch(void)
{
	if (unlikely(state.watched))
		fiber_watch();
}

/* Asks the driver who goes on after @stop, and lets it. */
static void decide(struct sched_stop *stop)
{
	u32 to;

	stop->due = true;
	if (unlikely(state.records))
		record(stop);
	if (sched_points() >= state.limit) {
		leave(SCHED_UNFINISHED);
		return;
	}
	if (!stop->runnable) {
		leave(sched.live ? SCHED_STUCK : SCHED_DONE);
		return;
	}
	state.grant = GRANT_WITHOUT_END;
	unwatch();
	to = state.driver->next(state.driver->ctx, stop);
	watch();
	ASSERT(to < TASKS_MAX && (stop->runnable & BIT_ULL(to)));
	sched.awaiting &= ~BIT_ULL(to);
	run_task(to);
}

void sched_point_slow(struct sched_site *site, const volatile void *addr)
{
	struct sched_stop stop = stop_here(SCHED_AT_POINT, site, addr);
	u64 now = sched_points();

	if (site->armed || now >= state.stop_at || now >= state.limit) {
		state.tasks[state.running].site = site;
		decide(&stop);
		event_context.site = site;
		return;
	}
	if (state.records)
		record(&stop);
	fill(sched_points());
}

void sched_block(struct sched_site *site, const volatile void *addr)
{
	struct sched_stop stop;

	sched.budget--;
	sched.runnable &= ~BIT_ULL(state.running);
	stop = stop_here(SCHED_AT_BLOCK, site, addr);
	state.tasks[state.running].site = site;
	decide(&stop);
	event_context.site = site;
}

void sched_await(struct sched_site *site, const volatile void *addr, const void *seen, u32 size)
{
	struct task *task = &state.tasks[state.running];
	struct sched_stop stop;

	ASSERT(size <= AWAIT_BYTES_MAX && !(size % sizeof(u64)));
	task->awaited = addr;
	task->awaited_size = size;
	for (u32 i = 0; i < size / sizeof(u64); i++)
		task->seen[i] = ((const u64 *)seen)[i];
	if (await_satisfied(task)) {
		sched_point(site, addr);
		return;
	}
	sched.budget--;
	sched.awaiting |= BIT_ULL(state.running);
	stop = stop_here(SCHED_AT_BLOCK, site, addr);
	task->site = site;
	decide(&stop);
	event_context.site = site;
}

u64 sched_value_slow(const struct sched_site *site, const volatile void *addr, u32 kind, u64 bound)
{
	struct sched_stop stop = stop_here(SCHED_AT_POINT, site, addr);
	u64 answer;

	stop.answer = (u8)kind;
	unwatch();
	answer = state.driver->value(state.driver->ctx, &stop, bound);
	watch();
	return answer;
}

void sched_op_begin(u32 op)
{
	struct task *task = &state.tasks[state.running];
	struct sched_stop stop;
	bool first = !task->begun;

	task->begun = true;
	task->op = op;
	task->op_points = 0;
	state.gained = sched_points();
	event_context.op = op;
	event_context.site = NULL;
	if (first)
		return;
	if (likely(sched.budget--))
		return;
	stop = stop_here(SCHED_AT_START, NULL, NULL);
	if (sched_points() >= state.stop_at || sched_points() >= state.limit) {
		task->site = NULL;
		decide(&stop);
		event_context.site = NULL;
		return;
	}
	if (state.records)
		record(&stop);
	fill(sched_points());
}

void sched_op_end(bool armed)
{
	struct sched_stop stop;

	event_context.site = NULL;
	if (!armed)
		return;
	stop = stop_here(SCHED_AT_END, NULL, NULL);
	decide(&stop);
}

static void task_end(void)
{
	struct sched_stop stop;

	sched.runnable &= ~BIT_ULL(state.running);
	sched.live &= ~BIT_ULL(state.running);
	state.tasks[state.running].site = NULL;
	event_context.site = NULL;
	fiber_publish_end();
	stop = stop_here(SCHED_AT_END, NULL, NULL);
	decide(&stop);
}

static void task_prepare(struct task *task)
{
	task->begun = false;
	task->op = 0;
	task->op_points = 0;
	task->site = NULL;
}

void sched_spawn(u32 task)
{
	ASSERT(task < TASKS_MAX && state.running != TASK_NONE && !(sched.live & BIT_ULL(task)));
	task_prepare(&state.tasks[task]);
	sched.live |= BIT_ULL(task);
	sched.runnable |= BIT_ULL(task);
}

/* Every fiber runs this for ever; a schedule parks it inside task_end() and the next goes on there. */
static void fiber_main(void)
{
	fiber_entered();
	for (;;) {
		fiber_see_start();
		state.body(state.running);
		task_end();
	}
}

enum sched_outcome sched_run(const struct sched_driver *driver, u32 nr_tasks,
			     void (*body)(u32 task), u64 points_max)
{
	struct sched_stop stop;

	ASSERT(nr_tasks && nr_tasks <= TASKS_MAX && event_context.task == TASK_NONE);
	fiber_pool_prepare(fiber_main);
	state.driver = driver;
	state.records = driver->record;
	state.watched = CONFIG_TSAN && !driver->self_contained;
	state.body = body;
	state.spent_at = 0;
	sched.budget = 0;
	state.gained = 0;
	state.limit = points_max;
	state.running = TASK_NONE;
	for (u32 i = 0; i < nr_tasks; i++)
		task_prepare(&state.tasks[i]);
	sched.answers = ~0u;
	sched.live = sched.runnable = nr_tasks == 64 ? ~0ull : BIT_ULL(nr_tasks) - 1;
	sched.awaiting = 0;
	event_context.switches = 0;
	fiber_publish_start();
	stop = stop_here(SCHED_AT_BEGIN, NULL, NULL);
	decide(&stop);
	fiber_see_end();
	event_context.task = TASK_NONE;
	event_context.site = NULL;
	for (u64 left = sched.live; left; left &= left - 1)
		fiber_rebuild((u32)__builtin_ctzll(left));
	return state.outcome;
}

void sched_abandon(void)
{
	ASSERT(state.running != TASK_NONE);
	leave(SCHED_ABANDONED);
	__builtin_unreachable();
}

const struct sched_site *sched_site_of(u32 task)
{
	return state.tasks[task].site;
}

extern struct sched_site __start_kern_sites[] __attribute__((weak));
extern struct sched_site __stop_kern_sites[] __attribute__((weak));

struct sched_site *sched_sites(u32 *nr_sites)
{
	static bool prepared;
	u32 nr = (u32)(__stop_kern_sites - __start_kern_sites);

	*nr_sites = nr;
	if (prepared)
		return __start_kern_sites;
	prepared = true;
	for (u32 i = 0; i < nr; i++) {
		struct sched_site *site = &__start_kern_sites[i];
		u64 hash = hash_text(HASH_SEED, site->function);

		hash = hash_text(hash, ":");
		for (const char *c = site->expression; *c; c++)
			if (*c != ' ' && *c != '\t' && *c != '\n')
				hash = hash_u64(hash, (u8)*c);
		site->index = i;
		site->hash = hash;
	}
	return __start_kern_sites;
}

void sched_site_print(struct buf *buf, const struct sched_site *site)
{
	if (!site) {
		buf_printf(buf, "-");
		return;
	}
	buf_printf(buf, "%s:", site->function);
	for (const char *c = site->expression; *c; c++)
		if (*c != ' ' && *c != '\t' && *c != '\n')
			buf_append(buf, c, 1);
}
