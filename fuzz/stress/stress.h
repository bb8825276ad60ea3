/*
 * Stress: programs of a target's generator on threads that run freely. There is no schedule, no event and no promise that
 * anything happens twice: what can be said of a finding is how often the same program shows it again.
 *
 * A parent with one thread forks children; a child draws one program after the other, runs it, and looks at
 * what is left (rest_judge). Memory that both share says which program is at work, so that a child may die of a
 * report at any time.
 */
#ifndef FUZZ_STRESS_STRESS_H
#define FUZZ_STRESS_STRESS_H

#include "fuzz/fuzz.h"

#define STRESS_TASKS_DEFAULT \
	4u /* at least, as many as the target draws, unless the number is given */
#define STRESS_FINDINGS_MAX 32u
#define STRESS_STACK_BYTES  (512u << 10) /* of a thread */
/* A program that has not come to its end by then hangs. */
#define STRESS_LIMIT_SECONDS 10u
/* One that cannot be ended by then is killed with its process: before that ends itself, as broken. */
#define STRESS_KILL_SECONDS 25u

struct stress {
	const struct target *target;
	struct mmu_variant variant;
	enum bug_id bug;
	u64 seed;
	double seconds;
	u32 threads; /* tasks of a program, TASK_RCU included if it is TASKS_MAX; 0: see STRESS_TASKS_DEFAULT */
	u32 points_per_yield; /* 0: no yields */
	u32 runs; /* of the program of a finding, to see how often it fails */
	double search_seconds; /* for a schedule of it, with each tool; 0: no search */
	const char *folder; /* where findings go */
	const char *tool; /* the dispatcher beside this binary */
};

enum stress_kind {
	STRESS_CLEAN,
	STRESS_DISORDER, /* of what is left at the end */
	STRESS_WARNED, /* an assertion of the code under test */
	STRESS_HUNG,
	STRESS_DIED, /* a sanitizer's report, or a signal */
	STRESS_BROKEN, /* an ASSERT of the framework */
};

struct stress_outcome {
	enum stress_kind kind;
	char oracle[24], class[32]; /* as texts write an expectation */
	char site[2][SITE_TEXT_MAX]; /* of a report */
	char signature[400]; /* equal: the same finding */
	char text[600]; /* what is to be said, of a report its first line */
};

struct stress_finding {
	struct stress_outcome outcome;
	u64 program; /* number of the first one that shows it */
	u64 seen;
	u32 failed, runs; /* of its program, run again */
	bool known; /* its folder was there before */
	char path[1024]; /* its text; "" if it could not be written */
	char reproducer[1024]; /* "" if there is none: then why */
	const char *row; /* configuration in which the reproducer was found */
	char why_not[300];
};

struct stress_report {
	u64 programs;
	double seconds; /* of stress, without what findings took */
	bool interrupted;
	u64 not_kept; /* new findings behind the last one that there is room for */
	u32 nr_findings;
	struct stress_finding findings[STRESS_FINDINGS_MAX];
};

/* --- programs (program.c) --- */

/* Draws program @nr: the same in every process. */
void stress_draw(const struct stress *stress, u64 nr, struct program *program);
/*
 * Runs @program once and judges; @seed: of yields and answers. Afterwards this process may fork no child that runs
 * another. Context: threads can be made.
 */
void stress_run(const struct stress *stress, const struct program *program, u64 seed,
		struct stress_outcome *outcome);

/* --- what comes out (outcome.c) --- */

/* From how a child has died. */
void stress_outcome_of_death(struct stress_outcome *outcome, const struct death *death);
void stress_outcome_of_hang(struct stress_outcome *outcome);
/* Exit code of mmurace for a kind of finding. */
int stress_exit_code(enum stress_kind kind);

/* --- memory (memory.c) --- */

struct stress_memory {
	u64 threads, stack, world, runtime, factor;
	u64 needed; /* (threads * stack + world) * factor + runtime */
};
struct stress_memory stress_memory_of(u32 threads);
/* "64 threads x 512 KiB + ... = N MiB" */
void stress_memory_print(struct buf *buf, const struct stress_memory *memory);
/* Return: bytes that can be had without swapping; 0: unknown. */
u64 stress_memory_available(void);

/* --- children (child.c) --- */

/* Runs work(ctx) in a child for at most @seconds. Return: false when it had to be killed. */
bool stress_in_child(void (*work)(void *ctx), void *ctx, double seconds, struct death *death);
/* Once more, in a child of its own. */
void stress_run_isolated(const struct stress *stress, const struct program *program, u64 seed,
			 struct stress_outcome *outcome);

/* --- what becomes of a finding (follow.c) --- */

/* Writes program and @report. Context: as soon as it is found. */
void stress_save(const struct stress *stress, struct stress_finding *finding, const char *report);
/* Runs the program again, and searches it for a schedule. */
void stress_follow(const struct stress *stress, struct stress_finding *finding);

/* --- the whole (stress.c) --- */

/* @tell is called at each new finding, when all is known of it. */
void stress_all(const struct stress *stress, struct stress_report *report,
		void (*tell)(const struct stress_finding *finding));
/* Ends stress_all() early; from a signal handler. */
void stress_interrupt(void);
bool stress_interrupted(void);

#endif
