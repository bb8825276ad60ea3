/*
 * What engines keep an input for, beside the edges that it reaches. A feature is there or not: bytes are set, never
 * counted, so that an input is kept for something new and not for more of the same.
 *
 * libFuzzer reads the bytes of a section of its own; afl++'s runtime hands out places in its map to whoever has guards,
 * and so we have some, as instrumented code has. Nothing here is instrumented: an instrumented file that
 * names a section of an engine's makes the engine lose its own.
 */
#include <string.h>

#include "base/hash.h"
#include "fuzz/engine/engine.h"

/* Half of them for each kind. Engines look through all of them for each input. */
#define FEATURES 4096u

static u8 features[FEATURES] __attribute__((section("__libfuzzer_extra_counters"), used));

/* Where a task stood when it was stopped last in this schedule. */
static struct stand {
	const struct sched_site *site;
	const volatile void *addr;
} stands[TASKS_MAX];

/* --- afl++ --- */

extern u8 *__afl_area_ptr __attribute__((weak));
void __sanitizer_cov_trace_pc_guard_init(u32 *start, u32 *stop) __attribute__((weak));

static u32 guards[FEATURES];

static void get_guards(void)
{
	if (&__afl_area_ptr && __sanitizer_cov_trace_pc_guard_init)
		__sanitizer_cov_trace_pc_guard_init(guards, guards + FEATURES);
}
/* Where code that is instrumented does it: the map has to be large enough before afl-fuzz is told of its size. */
static void (*const get_guards_early)(void)
	__attribute__((section(".init_array.00002"), used)) = get_guards;

/* --- both --- */

static void reach(u64 hash, u32 half)
{
	u32 nth = (u32)(hash % (FEATURES / 2)) + half * (FEATURES / 2);

	if (&__afl_area_ptr)
		__afl_area_ptr[guards[nth]] = 1;
	else
		features[nth] = 1;
}

static void on_write(u32 state)
{
	reach(hash_u64(HASH_SEED, state), 0);
}

/*
 * A switch between two tasks that are about to touch the same memory is a race that goes one way or the other; of switches
 * between others there are too many to tell anything.
 */
static void on_switch(const struct sched_stop *stop, u32 to)
{
	const struct stand *other;

	if (stop->kind == SCHED_AT_BEGIN)
		for (u32 task = 0; task < TASKS_MAX; task++)
			stands[task].site = NULL;
	if (stop->task >= TASKS_MAX)
		return;
	stands[stop->task] = (struct stand){ stop->site, stop->addr };
	if (to == stop->task || to >= TASKS_MAX || !stop->site || !stop->addr)
		return;
	other = &stands[to];
	if (other->addr == stop->addr && other->site)
		reach(hash_u64(hash_u64(HASH_SEED, stop->site->hash), other->site->hash), 1);
}

bool features_choose(const char *which)
{
	bool all = !strcmp(which, "all"), state = all || !strcmp(which, "state");
	bool switches = all || !strcmp(which, "switch");

	oracle_on_write(state ? on_write : NULL);
	run_on_switch(switches ? on_switch : NULL);
	return state || switches || !strcmp(which, "none");
}
