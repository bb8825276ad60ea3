/*
 * Fibers: stacks and the switch between them, with what the sanitizers want to be told. x86-64 only.
 * Used by sched.c alone; never allocates after the first schedule.
 */
#ifndef SCHED_FIBER_H
#define SCHED_FIBER_H

#include "base/types.h"

/* Prepares the pool at first use and remembers the caller as the main fiber. */
void fiber_pool_prepare(void (*entry)(void));
/* Makes fiber @nr start from its entry again, whatever it was doing. Context: main fiber. */
void fiber_rebuild(u32 nr);
/* Switches to fiber @to (FIBER_MAIN: back to the caller of sched_run). */
void fiber_switch(u32 to);
/* First thing on a new fiber's stack. */
void fiber_entered(void);
/* Happens-before edges for the race detector: main to every task, every task to main. */
void fiber_publish_start(void);
void fiber_see_start(void);
void fiber_publish_end(void);
void fiber_see_end(void);

/*
 * Around calls of code that is not part of what the tasks do: the race detector watches library calls
 * even where it does not watch their callers.
 */
void fiber_unwatch(void);
void fiber_watch(void);

#define FIBER_MAIN TASKS_MAX

#endif
