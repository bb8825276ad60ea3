/*
 * Everything above the layers: executing one schedule, recording it, turning it into directives,
 * making it small, explaining it, and searching for it.
 *
 * fuzz/cli and fuzz/engine are the callers. Schedules run on the calling thread; all state that one
 * leaves behind is reset by the next. Functions named *_isolated run in a forked child, so that a
 * sanitizer's report or a crash becomes a verdict.
 */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include "base/buf.h"
#include "base/bug.h"
#include "base/types.h"
#include "endstate/endstate.h"
#include "fuzz/strategy/strategy.h"
#include "oracle/oracle.h"
#include "sched/sched.h"
#include "workload/workload.h"

/* Exit codes of mmurace. */
enum exit_code {
#define EXIT_CODE(name, number, what) EXIT_##name = (number),
#include "fuzz/exit_codes.def"
#undef EXIT_CODE
};

/* --- sites by text (sites.c) --- */

#define SITE_NOWHERE (~0u)
/* Sites with equal texts are one; its number is the index of the first record. */
u32 site_number(const struct sched_site *site);
/* Return: the number, SITE_NOWHERE when no site has this text. */
u32 site_by_text(const char *text);
/* Return: "function:expression", "-" for NULL. Lives as long as the process. */
const char *site_text(const struct sched_site *site);
const struct sched_site *site_nth(u32 number);
u32 sites_count(void);
void site_arm(u32 number, bool armed);

/* What is said once of a program that clears blindly. */
#define BLIND_NOTE \
	"user space clears dirty bits that it never got: pages may be lost by its own doing"

/* --- one execution (run.c) --- */

enum verdict_kind {
	VERDICT_NONE, /* ran to its end, nothing to object */
	VERDICT_VIOLATION,
	VERDICT_UNFINISHED, /* a limit, or tasks left that cannot run and no oracle that objects */
	VERDICT_SANITIZER, /* the process died of a report or a signal */
	VERDICT_FRAMEWORK, /* the process died of an ASSERT */
};

/* What to run. All pointers are borrowed. */
struct run_spec {
	const struct program *program;
	enum bug_id bug;
	u32 forbidden; /* mask of BIT(enum retry_class) */
	const struct strategy *strategy; /* NULL: lowest */
	u64 seed;
	bool has_first;
	u8 first; /* the task that runs first, if has_first */
	const struct directive *directives;
	u32 nr_directives;
	struct recording *recording; /* NULL: not recorded */
};

struct run_result {
	enum verdict_kind kind;
	struct verdict verdict; /* VERDICT_VIOLATION */
	u64 points, switches;
	u64 hash, state_hash; /* when recorded */
	u32 unmet; /* directives that were not met */
	u32 unmet_first; /* index of the first one */
	char divergence[400]; /* where and why it was not met */
	char died[160]; /* VERDICT_SANITIZER, VERDICT_FRAMEWORK: of what */
	struct expectation death; /* the same in the words of reproducers */
};

/* Fills @spec from a reproducer: everything but the recording. */
void run_spec_of(struct run_spec *spec, const struct repro *repro);
void run_execute(const struct run_spec *spec, struct run_result *result);
/*
 * run_execute() in a child. Reports go to standard error when @loud. The recording, if there is one,
 * is complete up to the death.
 */
void run_isolated(const struct run_spec *spec, struct run_result *result, bool loud);
/* The same; what it wrote on standard error is appended to @report. */
void run_reported(const struct run_spec *spec, struct run_result *result, struct buf *report);
/* Called when an oracle objects, in the context of event_sink(). NULL: the schedule is abandoned. */
void run_on_violation(void (*hook)(void));

/*
 * Called at every stop of the schedules to come, before the operation there and before any switch, unless
 * they are recorded. NULL: not called. For figures; a search goes without.
 */
void run_on_stop(void (*hook)(const struct sched_stop *stop));

/*
 * Called when it was decided who goes on at a stop, be it the same task. NULL: not called. Context of the hook: calls no
 * library; see sched_driver.
 */
void run_on_switch(void (*hook)(const struct sched_stop *stop, u32 to));

/* The verdict in the words of reproducers; oracle "none" when there is nothing to object. */
void result_expectation(struct expectation *expect, const struct run_result *result);
/* Whether @actual is what @expected asks for; empty fields of @expected match anything. */
/* The same oracle and class, whatever the sites. */
bool expectation_alike(const struct expectation *expected, const struct expectation *actual);
bool expectation_met(const struct expectation *expected, const struct expectation *actual);
/* Oracle, class and sites in one line. */
void expectation_print(struct buf *buf, const struct expectation *expect);
int result_exit_code(const struct run_result *result);

/* --- the end of a program, without events (rest.c) --- */

/*
 * Judges what a program that has come to its end has left. program_watch_writes() says whether lost writes are among it.
 * Return: whether it is in disorder, with @finding filled in. Context: program_execute() has returned PROGRAM_DONE.
 */
bool rest_judge(struct endstate_finding *finding);
/* "oracle class: sentence name=value ..." */
void rest_print(struct buf *buf, const struct endstate_finding *finding);

/* Of a clock that never goes back (clock.c). */
double seconds_now(void);

/* --- isolation (isolate.c) --- */

/* Memory that parent and children share, zeroed. Never fails (ASSERT). */
void *shared_alloc(size_t size);

struct death {
	bool died;
	enum verdict_kind kind; /* VERDICT_SANITIZER or VERDICT_FRAMEWORK */
	char what[160]; /* first line of the report, or the signal */
	char class[32];
	char site[2][SITE_TEXT_MAX]; /* see report_sites(); of an ASSERT "file:condition" */
	struct buf report; /* what the child wrote on standard error */
};
struct child {
	int pid, report_fd;
};
/*
 * Children to come will die of reports, one after the other: these are written much faster then. Context: no two of
 * them at the same time.
 */
void reports_prepare(void);
/* Runs work(ctx) in a child. Its standard error is kept for the report. */
struct child child_start(void (*work)(void *ctx), void *ctx);
/* Return: whether the child has ended; @death is filled in then. Waits if @block. */
bool child_ended(struct child *child, bool block, struct death *death);
/* A death in the words of reproducers. */
void death_expectation(struct expectation *expect, const struct death *death);
/* The schedule has ended its process. */
void result_of_death(struct run_result *result, const struct death *death);
/* This process executes a schedule. Afterwards: whether it, or the one it was forked from, has. */
void run_executes_here(void);
bool run_executed_here(void);

/* --- what makes two failures one (signature.c) --- */

/*
 * The functions of a sanitizer's report: of each of its first two stacks the first one in the code under test or its
 * world, in the order of the alphabet; "" if there is none.
 */
void report_sites(const char *report, char sites[2][SITE_TEXT_MAX]);
/* "oracle class site / site bug slug": equal for equal findings. */
void signature_print(struct buf *buf, const struct expectation *expect, enum bug_id bug);

/* --- recording (record.c) --- */

/* One stop: a point, a block, the start or end of an op, or the schedule's begin. */
struct step {
	const struct sched_site *site;
	u64 runnable;
	u64 object, value;
	u64 answer; /* of the environment, asked at this point */
	u32 ordinal, occurrence;
	u8 kind; /* enum sched_stop_kind */
	u8 task;
	u16 op; /* of TASK_RCU: number of the callback */
	u8 chosen; /* who goes on; TASK_NONE when nobody could */
	bool due; /* a decision was taken here */
	bool answered;
};
struct recorded_event {
	u32 step; /* steps recorded before it */
	struct event head;
	u64 fields[8];
};
#define STEPS_MAX  (1u << 16)
#define EVENTS_MAX (1u << 16)

struct recording {
	u64 hash; /* tasks, ops, sites, objects and values of all points, and all events */
	u64 runnable_hash;
	u32 nr_steps, nr_events;
	u32 lost; /* steps and events beyond the room */
	struct step steps[STEPS_MAX];
	struct recorded_event events[EVENTS_MAX];
};
struct recording *recording_alloc(void);
/* For run.c: the recording that run_execute() is filling. */
void record_begin(struct recording *recording);
void record_stop(void *ctx, const struct sched_stop *stop);
void record_choice(u32 task);
void record_answer(u64 answer);
void record_event(const struct event *event);
void step_print(struct buf *buf, const struct step *step);
/* The whole recording, one stop or event a line. */
void recording_print(struct buf *buf, const struct recording *recording);
/* Where two recordings part. Return: false when they are equal. */
bool recording_difference(struct buf *buf, const struct recording *a, const struct recording *b);

/* --- directives (strategy/directives.c) --- */

/*
 * Deviations from what a strategy does. Those with a site text stop there because the site is armed;
 * those without are met by ordinal, because the grant ends there.
 */
void directives_begin(const struct run_spec *spec);
void directives_end(struct run_result *result);
/* Return: true when a directive decides at this stop, with *to filled in. */
bool directives_next(const struct sched_stop *stop, u32 *to);
/* Changes a choice that a directive in force forbids. */
u32 directives_veto(const struct sched_stop *stop, u32 to);
/* Points until @task, going on from here, must stop for a directive; ~0 if it need not. */
u64 directives_grant(u32 task);
bool directives_answer(const struct sched_stop *stop, u64 *answer);
/* Whether ends of ops must be stops. */
bool directives_need_op_ends(const struct run_spec *spec);

/* --- conversion (convert.c) --- */

/*
 * Turns the schedule of @spec, recorded in @recording, into directives by site in @repro->schedule,
 * such that the verdict stays the same. Return: true; false when the directives do not lead there
 * (@repro then keeps strategy and seed).
 */
bool convert_schedule(struct repro *repro, const struct run_spec *spec,
		      const struct recording *recording, const struct expectation *expect);
/*
 * What a reproducer says of its origin: target, bug, why, fix, and the strategy and seed of @spec. Program
 * and expectation are the caller's.
 */
void repro_describe(struct repro *repro, const struct run_spec *spec, const char *target);
/* A reproducer that names strategy and seed, without an expectation. @spec must not point into it. */
void repro_of_spec(struct repro *repro, const struct run_spec *spec, const char *target);
/* Runs @spec recorded and isolated, fills in @repro, which @spec must not point into. Return: as above. */
bool convert_failure(struct repro *repro, const struct run_spec *spec, const char *target,
		     struct run_result *result);

/* --- how large it is (size.c) --- */

u32 program_nr_ops(const struct program *program);
/* Decisions that differ from the default schedule; not those of a strategy. */
u32 schedule_depth(const struct schedule *schedule);

/* --- minimising (minimise.c) --- */

struct minimise_stats {
	u32 ops, tasks, directives;
	u64 attempts;
	double seconds;
};
/*
 * Makes @repro as small as it gets with its verdict kept. Return: false, with @message filled in,
 * when it does not fail as it says to begin with.
 */
bool minimise(struct repro *repro, struct minimise_stats *stats, struct buf *message);

/* --- explaining (explain.c) --- */

/* Header, racing pair and interleaving in columns. Return: false when the replay died or diverged. */
bool explain(struct buf *buf, const struct repro *repro);

/* --- searching (campaign.c) --- */

#define SCHEDULES_PER_PROGRAM 16
#define FINDINGS_MAX	      64

struct campaign {
	const struct target *target;
	const struct program *program; /* all schedules are of this one; NULL: programs are drawn */
	struct mmu_variant variant;
	enum bug_id bug;
	const struct strategy *strategy; /* NULL: all that search, in turn */
	u64 seed;
	u64 schedules; /* 0: no limit */
	double seconds; /* 0: no limit */
	bool stop_on_first;
	const char *stop_oracle; /* with stop_on_first: only a verdict of this oracle; NULL: any */
	u32 forbidden;
	bool check; /* each schedule runs twice and must come out the same */
	bool census; /* no bug acts; probes, events and retries are counted */
};
/* What the schedules of a census went through. */
struct census {
	u64 probes[BUG_COUNT];
	u64 events[EVENT_COUNT];
	u64 retries[RETRY_REASON_COUNT]; /* by the place where the MMU gave up */
};
struct finding {
	struct expectation expect; /* verdicts that are equal in it are one finding */
	struct run_result result;
	u64 schedule; /* number of the first schedule that shows it */
	u64 count;
};
struct campaign_state {
	u32 stop; /* set by the parent: end after this schedule */
	u32 nr_findings;
	u64 done, unfinished, violations, deaths;
	u64 bug_reached, bug_triggered;
	u64 sites_seen;
	struct op_counts ops;
	double elapsed;
	struct oracle_stats stats;
	struct census census;
	bool disagreed; /* check: two runs of one schedule differ */
	char disagreement[2000];
	struct finding findings[FINDINGS_MAX];
	u8 site_seen[4096];
};
/* The program and the schedule that number @nr of a campaign stands for. @program is filled in. */
void campaign_spec(const struct campaign *campaign, u64 nr, struct program *program,
		   struct run_spec *spec);
/* @tick is called several times a second and at each new finding; may be NULL. */
void campaign_run(const struct campaign *campaign, struct campaign_state *state,
		  void (*tick)(const struct campaign_state *state, void *ctx), void *ctx);
/* Fills a reproducer, converted, for one finding. Return: whether directives reproduce it. */
bool campaign_repro(const struct campaign *campaign, const struct finding *finding,
		    struct repro *repro);
/* The same without running anything: strategy and seed. */
void campaign_repro_raw(const struct campaign *campaign, const struct finding *finding,
			struct repro *repro);
struct campaign_state *campaign_state_alloc(void);
/* Ends campaigns cleanly, from a signal handler. */
void campaign_interrupt(void);
bool campaign_interrupted(void);

/* --- the kill matrix (matrix.c) --- */

struct matrix_row {
	enum bug_id bug;
	u64 reached, triggered;
	u32 seeds, detected; /* seeds tried; seeds for which the declared oracle convicted */
	u64 schedules_to_first; /* the most that any seed needed; 0: not found */
	u32 depth; /* directives of the reproducer */
	bool has_repro, repro_ok, silent_disarmed;
	bool unfinished;
};
/* @budget: schedules for each seed, 0: what the row declares. @repro: NULL if there is none. */
void matrix_row_fill(struct matrix_row *row, enum bug_id bug, u64 budget, u32 seeds,
		     const struct repro *repro);
bool matrix_row_ok(const struct matrix_row *row);

/* --- comparing designs (compare.c) --- */

/* Figures of one schedule: FIGURE(name, what it counts). */
enum compare_figure {
#define FIGURE(name, what) FIGURE_##name,
#include "fuzz/figures.def"
#undef FIGURE
	FIGURE_COUNT
};
struct figure_row {
	const char *name, *what;
};
extern const struct figure_row figure_rows[FIGURE_COUNT];

/* Runs @spec and counts. Schedules that end early count up to there. */
void compare_measure(const struct run_spec *spec, u64 figures[FIGURE_COUNT]);

#define COMPARE_SCHEDULES_MAX 100000
struct compare {
	const struct target *target;
	struct mmu_variant variant; /* what the other knobs are */
	const struct strategy *strategy; /* NULL: all that search, in turn */
	u32 knob;
	u64 seed;
	u32 schedules; /* for each value, at most COMPARE_SCHEDULES_MAX */
};
/* One value of the knob. */
struct compare_column {
	u32 value; /* enum knob_value */
	const char *conflict; /* why it does not go with the others; NULL: it was measured */
	u32 conflict_with; /* enum knob_value */
	u64 total[FIGURE_COUNT], median[FIGURE_COUNT]; /* of a schedule */
};
#define COMPARE_COLUMNS_MAX 8
struct comparison {
	u32 nr_columns;
	struct compare_column columns[COMPARE_COLUMNS_MAX];
};
/*
 * The same programs and seeds for each value. Return: true; false when the child in which they run
 * died, with @death filled in.
 */
bool compare_run(const struct compare *compare, struct comparison *comparison, struct death *death);

/* --- benchmarks (bench.c) --- */

struct bench_row {
	const char *name, *what, *metric, *unit;
	double (*measure)(void);
};
extern const struct bench_row bench_rows[];
u32 bench_count(void);

#endif
