/*
 * Tasks as threads: a run begins for all of them at once, and ends when the last one has ended or the time is
 * up. Then the rest is asked to stop: every wait looks whether it should, and with checks every point; a thread that
 * should ends where it is. What it leaves behind is swept away with the arena.
 */
#define _GNU_SOURCE
#include "kern/kern.h"

#include <pthread.h>
#include <time.h>

#include "kern/shared/instrument.h"
#include "kern/shared/memory.h"
#include "kern/thread/thread_kern.h"

__thread struct thread_self thread_self = { .task = TASK_NONE };

static struct thread_knobs knobs = THREAD_KNOBS_DEFAULT;

static struct {
	void (*body)(u32 task);
	pthread_mutex_t mutex;
	pthread_cond_t ended;
	u32 nr_running; /* under the mutex */
	bool stopping; /* by __atomic */
	struct timespec until; /* when the run is given up; of a clock that nobody sets */
	pthread_barrier_t start;
	pthread_t threads[TASKS_MAX];
} run = { .mutex = PTHREAD_MUTEX_INITIALIZER, .ended = PTHREAD_COND_INITIALIZER };

void thread_kern_set(const struct thread_knobs *new_knobs)
{
	knobs = *new_knobs;
}

/* --- stopping --- */

bool thread_stopping(void)
{
	return __atomic_load_n(&run.stopping, __ATOMIC_RELAXED);
}

static void task_end(void)
{
	thread_rcu_unregister();
	pthread_mutex_lock(&run.mutex);
	run.nr_running--;
	pthread_cond_signal(&run.ended);
	pthread_mutex_unlock(&run.mutex);
}

static bool time_is_up(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec > run.until.tv_sec ||
	       (now.tv_sec == run.until.tv_sec && now.tv_nsec >= run.until.tv_nsec);
}

void thread_look_for_stop(void)
{
	bool is_callback = thread_self.task == TASK_RCU;

	/* When the tasks have ended, nobody but the callback itself looks at the time. */
	if (unlikely(is_callback) && !thread_stopping() && time_is_up())
		__atomic_store_n(&run.stopping, true, __ATOMIC_RELAXED);
	if (likely(!thread_stopping()) || thread_self.task == TASK_NONE)
		return;
	thread_drop_all();
	if (is_callback)
		thread_rcu_give_up();
	task_end();
	pthread_exit(NULL);
}

void thread_wait(u32 *turns)
{
	thread_look_for_stop();
	if (++*turns < 32)
		__builtin_ia32_pause();
	else
		sched_yield();
}

/* --- points --- */

/* Return: a number in [1, 2 * mean), so that @mean is the mean. */
UNINSTRUMENTED static u32 distance(u32 mean)
{
	u64 drawn = thread_self.prng.state = thread_self.prng.state * 6364136223846793005ull + 1;

	return 1 + (u32)(((drawn >> 32) * (2 * (u64)mean - 1)) >> 32);
}

static __noinline void give_way(void)
{
	u32 drawn;

	thread_look_for_stop();
	if (!knobs.points_per_yield) {
		thread_self.points_left = 1000;
		return;
	}
	drawn = distance(1u << 30);
	thread_self.points_left = distance(knobs.points_per_yield);
	if (drawn & 1)
		sched_yield();
	else
		for (u32 i = 0; i < (drawn >> 8) % 256; i++)
			__builtin_ia32_pause();
}

UNINSTRUMENTED void thread_point_checked(void)
{
	if (unlikely(!--thread_self.points_left))
		give_way();
}

/* --- what the environment answers --- */

bool thread_resched(void)
{
	thread_self.asks_left = ~0u;
	if (!knobs.asks_per_resched || thread_self.task == TASK_NONE)
		return false;
	thread_look_for_stop();
	thread_self.asks_left = distance(knobs.asks_per_resched);
	return true;
}

u64 thread_answer(enum answer_kind kind, u64 bound)
{
	if (thread_self.task == TASK_NONE || distance(512) > knobs.answers_of_1024)
		return 0;
	thread_look_for_stop();
	return bound > 1 ? 1 + distance(1u << 30) % (bound - 1) : 0;
}

bool thread_may_alloc(const char *file, u32 line)
{
	thread_might_sleep(file, line);
	thread_look_for_stop();
	return !thread_answer(ANSWER_ALLOC, 2);
}

void thread_cond_resched(const char *file, u32 line)
{
	thread_might_sleep(file, line);
	thread_look_for_stop();
	sched_yield();
}

static bool differs(const volatile u64 *addr, const u64 *seen, u32 nr_words)
{
	for (u32 i = 0; i < nr_words; i++)
		if (__atomic_load_n(&addr[i], __ATOMIC_RELAXED) != seen[i])
			return true;
	return false;
}

void thread_await(const volatile void *addr, const void *seen, u32 size)
{
	u32 turns = 0;

	thread_point();
	while (!differs(addr, seen, size / sizeof(u64)))
		thread_wait(&turns);
}

/* --- warnings --- */

static struct {
	u64 nr; /* by __atomic */
	struct {
		const char *file, *function, *what; /* file: published by release, last */
		u32 line;
	} first[16];
} warnings;

void thread_warned(const char *file, u32 line, const char *function, const char *what)
{
	u64 nth = __atomic_fetch_add(&warnings.nr, 1, __ATOMIC_RELAXED);

	if (nth >= ARRAY_SIZE(warnings.first))
		return;
	warnings.first[nth].line = line;
	warnings.first[nth].function = function;
	warnings.first[nth].what = what;
	__atomic_store_n(&warnings.first[nth].file, file, __ATOMIC_RELEASE);
}

u64 thread_kern_warnings(void)
{
	return __atomic_load_n(&warnings.nr, __ATOMIC_RELAXED);
}

void thread_kern_print_warnings(struct buf *buf)
{
	for (u32 i = 0; i < ARRAY_SIZE(warnings.first); i++) {
		const char *file = __atomic_load_n(&warnings.first[i].file, __ATOMIC_ACQUIRE);

		if (file)
			buf_printf(buf, "%s:%u: %s: %s\n", file, warnings.first[i].line,
				   warnings.first[i].function, warnings.first[i].what);
	}
}

void thread_kern_clear_warnings(void)
{
	warnings.nr = 0;
	for (u32 i = 0; i < ARRAY_SIZE(warnings.first); i++)
		warnings.first[i].file = NULL;
}

/* --- tasks --- */

u32 current_task(void)
{
	return thread_self.task;
}

void kern_op_begin(u32 nth)
{
	thread_look_for_stop();
	thread_point();
}

void kern_op_end(u32 nth)
{
	if (THREAD_CHECKS)
		thread_report_held();
}

void thread_self_begin(u32 task)
{
	struct prng seeds = prng_seeded(knobs.seed ^ (u64)task << 56);

	thread_self = (struct thread_self){ .task = task, .prng = { prng_next(&seeds) } };
	thread_self.asks_left = knobs.asks_per_resched ? distance(knobs.asks_per_resched) : ~0u;
	thread_self.points_left = knobs.points_per_yield ? distance(knobs.points_per_yield) : 1000;
}

static void *thread_body(void *nr)
{
	thread_self_begin((u32)(uintptr_t)nr);
	thread_rcu_register();
	pthread_barrier_wait(&run.start);
	run.body(thread_self.task);
	task_end();
	return NULL;
}

static struct timespec time_from_now(u32 milliseconds)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	now.tv_sec += milliseconds / 1000;
	now.tv_nsec += milliseconds % 1000 * 1000000L;
	if (now.tv_nsec >= 1000000000L) {
		now.tv_nsec -= 1000000000L;
		now.tv_sec++;
	}
	return now;
}

/* Return: whether all tasks have ended by then. */
static bool wait_for_tasks(const struct timespec *until)
{
	bool in_time = true;

	pthread_mutex_lock(&run.mutex);
	while (in_time && run.nr_running)
		in_time = !pthread_cond_clockwait(&run.ended, &run.mutex, CLOCK_MONOTONIC, until);
	in_time = !run.nr_running;
	pthread_mutex_unlock(&run.mutex);
	return in_time;
}

enum kern_outcome kern_run_tasks(u32 nr_tasks, void (*body)(u32 task), u64 points_max)
{
	struct timespec patience;

	ASSERT(nr_tasks && nr_tasks <= PROGRAM_TASKS_MAX && thread_self.task == TASK_NONE);
	run.body = body;
	run.nr_running = nr_tasks;
	__atomic_store_n(&run.stopping, false, __ATOMIC_RELAXED);
	thread_wait_reset();
	thread_rcu_start();
	pthread_barrier_init(&run.start, NULL, nr_tasks);
	run.until = time_from_now(knobs.milliseconds);
	for (u32 i = 0; i < nr_tasks; i++)
		ASSERT(!pthread_create(&run.threads[i], NULL, thread_body, (void *)(uintptr_t)i));
	if (!wait_for_tasks(&run.until)) {
		__atomic_store_n(&run.stopping, true, __ATOMIC_RELAXED);
		/* A task that loops where it meets neither a wait nor a point. */
		patience = time_from_now(THREAD_STOP_SECONDS * 1000);
		ASSERT(wait_for_tasks(&patience));
	}
	for (u32 i = 0; i < nr_tasks; i++)
		pthread_join(run.threads[i], NULL);
	pthread_barrier_destroy(&run.start);
	thread_rcu_end();
	return thread_stopping() ? KERN_UNFINISHED : KERN_DONE;
}

void kern_reset(void)
{
	static bool registered;

	/* Whoever builds and takes down worlds walks them, too. */
	if (!registered)
		thread_rcu_register();
	registered = true;
	memory_reset();
	thread_drop_all();
	thread_self.rcu_depth = thread_self.atomic_depth = thread_self.non_block = 0;
}
