/*
 * What a design costs: figures of schedules, counted from events and stops, for each value of one knob on
 * the same programs and seeds. Figures are of the model: how often and how long, never how many seconds.
 */
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

const struct figure_row figure_rows[FIGURE_COUNT] = {
#define FIGURE(name_, what_) [FIGURE_##name_] = { #name_, what_ },
#include "fuzz/figures.def"
#undef FIGURE
};

_Static_assert(FIGURE_retry_none == FIGURE_retry_true + RETRY_CLASS_none &&
		       RETRY_CLASS_none + 1 == RETRY_CLASS_COUNT,
	       "retries stand in the order of their classes");

/* What a task is doing. */
struct doing {
	u64 points;
	u64 taken_at[2]; /* points at which it took mmu_lock, by enum lock_mode */
	u64 fault_holds; /* of count.holds when its fault began */
	u64 holds;
	bool exchanging; /* stood before an exchange of a table entry, whose end is not known yet */
	bool answers; /* is in a young call */
	u64 judges; /* as whom, an enum age_consumer */
	u64 judged; /* pages so far */
};

static struct {
	u64 *figures;
	struct doing tasks[TASKS_MAX];
} count;

static void count_max(enum compare_figure figure, u64 value)
{
	count.figures[figure] = max_u64(count.figures[figure], value);
}

/* Exchanges of table entries, whose pointers have this name wherever there is one. */
static bool exchanges_entry(const struct sched_site *site)
{
	return site && !strncmp(site->expression, "try_cmpxchg64(", 14) &&
	       strstr(site->expression, "sptep");
}

/*
 * Entries are counted as touched just before the point at which they are, and offers to give way set the
 * count back: its greatest value at any stop is the longest stretch.
 */
static void count_stop(const struct sched_stop *stop)
{
	struct doing *doing;

	if (stop->kind == SCHED_AT_BEGIN)
		return;
	doing = &count.tasks[stop->task];
	/* What it stood before has happened, and nothing was told of it: it has failed. */
	count.figures[FIGURE_cmpxchg_lost] += doing->exchanging;
	doing->exchanging = stop->kind == SCHED_AT_POINT && exchanges_entry(stop->site);
	if (stop->kind == SCHED_AT_POINT || stop->kind == SCHED_AT_BLOCK) {
		doing->points++;
		count.figures[FIGURE_young_points] += doing->answers;
	}
	count_max(FIGURE_longest_stretch, event_context.touched[stop->task]);
}

static void count_request(const struct event *event)
{
	u64 request = event_field(event, 1);
	static const u8 figures[] = { FIGURE_flush_requests, FIGURE_range_flush_requests,
				      FIGURE_root_requests, FIGURE_logging_requests };

	ASSERT(request < ARRAY_SIZE(figures));
	count.figures[figures[request]]++;
	if (event->task < TASKS_MAX && figures[request] <= FIGURE_range_flush_requests)
		count.figures[FIGURE_young_flushes] += count.tasks[event->task].answers;
}

static void count_taken(struct doing *doing, u64 class, u64 mode)
{
	if (class != LOCK_mmu_lock)
		return;
	doing->holds++;
	count.figures[FIGURE_young_holds] += doing->answers;
	doing->taken_at[mode] = doing->points;
	count.figures[mode == LOCK_SHARED ? FIGURE_read_holds : FIGURE_write_holds]++;
}

static void count_released(struct doing *doing, u64 class, u64 mode)
{
	u64 points = doing->points - doing->taken_at[mode];

	if (class != LOCK_mmu_lock)
		return;
	count.figures[mode == LOCK_SHARED ? FIGURE_read_points : FIGURE_write_points] += points;
	if (mode == LOCK_EXCLUSIVE)
		count_max(FIGURE_longest_write, points);
}

static void count_fault(const struct doing *doing, u64 ret)
{
	bool locked = doing->holds != doing->fault_holds;

	if (ret == SUBJECT_FIXED)
		count.figures[locked ? FIGURE_fixed_locked : FIGURE_fixed_lockless]++;
	count.figures[FIGURE_spurious] += ret == SUBJECT_SPURIOUS;
	count.figures[FIGURE_emulated] += ret == SUBJECT_EMULATE;
}

static void count_written(struct doing *doing, u64 how)
{
	if (how == PTE_CMPXCHG)
		doing->exchanging = false;
	count.figures[how == PTE_ASSIST ? FIGURE_assists : FIGURE_entries_written]++;
}

static void count_answer(struct doing *doing, u64 result)
{
	doing->answers = false;
	count.figures[FIGURE_young_found] += !!(result & YOUNG_YES);
	count.figures[FIGURE_young_fast] += !!(result & YOUNG_FAST);
}

/* The first page that is judged is the one that was asked for. */
static void count_judged(struct doing *doing)
{
	count.figures[FIGURE_pages_judged]++;
	count.figures[FIGURE_looked_around] += doing->judged && doing->judges == AGE_LOOK_AROUND;
	doing->judged++;
}

static void count_age(struct doing *doing, const struct event *event)
{
	switch (event->id) {
	case EVENT_young_begun:
		doing->answers = true;
		count.figures[FIGURE_young_calls]++;
		return;
	case EVENT_young_ended:
		return count_answer(doing, event_field(event, 1));
	case EVENT_age_begun:
		doing->judges = event_field(event, 0);
		doing->judged = 0;
		return;
	case EVENT_age_judged:
		return count_judged(doing);
	default:
		return;
	}
}

/* Events of a task that matter in the light of what it has done before. */
static void count_of_task(const struct event *event)
{
	struct doing *doing = &count.tasks[event->task];

	switch (event->id) {
	case EVENT_lock_acquired:
		count_taken(doing, event_field(event, 1), event_field(event, 2));
		return;
	case EVENT_lock_released:
		count_released(doing, event_field(event, 1), event_field(event, 2));
		return;
	case EVENT_fault_begun:
		doing->fault_holds = doing->holds;
		return;
	case EVENT_fault_ended:
		count_fault(doing, event_field(event, 1));
		return;
	case EVENT_cmpxchg_refused:
		doing->exchanging = false;
		return;
	case EVENT_spte_changed:
		count_written(doing, event_field(event, 5));
		return;
	default:
		count_age(doing, event);
		return;
	}
}

static void count_event(const struct event *event)
{
	static const u8 plain[EVENT_COUNT] = {
		[EVENT_tlb_flushed] = FIGURE_tlb_flushes,
		[EVENT_tlb_range_flushed] = FIGURE_tlb_range_flushes,
		[EVENT_vcpu_interrupted] = FIGURE_interrupts,
		[EVENT_walk_begun] = FIGURE_walks,
		[EVENT_walk_yielded] = FIGURE_yields,
		[EVENT_guest_accessed] = FIGURE_guest_accesses,
		[EVENT_dirty_marked] = FIGURE_marked_dirty,
		[EVENT_young_read] = FIGURE_young_leafs,
	};

	if (plain[event->id])
		count.figures[plain[event->id]]++;
	else if (event->id == EVENT_request_sent)
		count_request(event);
	else if (event->task < TASKS_MAX)
		count_of_task(event);
}

void compare_measure(const struct run_spec *spec, u64 figures[FIGURE_COUNT])
{
	const struct oracle_stats *stats = oracle_stats();
	u64 before[RETRY_CLASS_COUNT];
	struct run_result result;

	memset(figures, 0, FIGURE_COUNT * sizeof(*figures));
	memset(&count, 0, sizeof(count));
	count.figures = figures;
	memcpy(before, stats->retries, sizeof(before));
	oracle_tap(count_event);
	run_on_stop(count_stop);
	run_execute(spec, &result);
	run_on_stop(NULL);
	oracle_tap(NULL);
	for (u32 i = 0; i < RETRY_CLASS_COUNT; i++)
		figures[FIGURE_retry_true + i] = stats->retries[i] - before[i];
	figures[FIGURE_points] = result.points;
	figures[FIGURE_violations] = result.kind == VERDICT_VIOLATION;
	figures[FIGURE_unfinished] = result.kind == VERDICT_UNFINISHED;
}

/* --- all values of a knob --- */

struct worker {
	const struct compare *compare;
	struct comparison *comparison; /* shared with the parent */
	u32 *samples; /* [column][figure][schedule] */
};

static u32 *samples_of(const struct worker *worker, u32 column, u32 figure)
{
	return worker->samples +
	       ((size_t)column * FIGURE_COUNT + figure) * worker->compare->schedules;
}

static void measure_schedule(const struct worker *worker, u32 nr, struct run_spec *spec,
			     struct program *program)
{
	u64 figures[FIGURE_COUNT];

	for (u32 i = 0; i < worker->comparison->nr_columns; i++) {
		struct compare_column *column = &worker->comparison->columns[i];

		if (column->conflict)
			continue;
		/* A swarm draws knobs, too: here all but one are given. */
		program->world.variant = worker->compare->variant;
		program->world.variant.knob[worker->compare->knob] = (u8)column->value;
		compare_measure(spec, figures);
		for (u32 figure = 0; figure < FIGURE_COUNT; figure++) {
			column->total[figure] += figures[figure];
			samples_of(worker, i, figure)[nr] =
				(u32)min_u64(figures[figure], UINT32_MAX);
		}
	}
}

static int ascending(const void *a, const void *b)
{
	u32 x = *(const u32 *)a, y = *(const u32 *)b;

	return (x > y) - (x < y);
}

static void take_medians(const struct worker *worker)
{
	u32 nr = worker->compare->schedules;

	for (u32 i = 0; i < worker->comparison->nr_columns; i++)
		for (u32 figure = 0; figure < FIGURE_COUNT; figure++) {
			u32 *samples = samples_of(worker, i, figure);

			qsort(samples, nr, sizeof(*samples), ascending);
			worker->comparison->columns[i].median[figure] = samples[nr / 2];
		}
}

static void work(void *ctx)
{
	const struct worker *worker = ctx;
	const struct compare *compare = worker->compare;
	const struct campaign campaign = {
		.target = compare->target,
		.variant = compare->variant,
		.strategy = compare->strategy,
		.seed = compare->seed,
	};
	static struct program program;

	for (u32 nr = 0; nr < compare->schedules && !campaign_interrupted(); nr++) {
		struct run_spec spec;

		campaign_spec(&campaign, nr, &program, &spec);
		measure_schedule(worker, nr, &spec, &program);
	}
	take_medians(worker);
}

/* One column for each value; those that do not go with the rest are named and left out. */
static void choose_columns(const struct compare *compare, struct comparison *comparison)
{
	for (u32 i = 0; i < KNOB_VALUE_COUNT; i++) {
		struct compare_column *column = &comparison->columns[comparison->nr_columns];
		struct mmu_variant variant = compare->variant;
		u32 one, other;

		if (variant_rows[i].knob_id != compare->knob)
			continue;
		ASSERT(comparison->nr_columns < COMPARE_COLUMNS_MAX);
		comparison->nr_columns++;
		column->value = i;
		variant.knob[compare->knob] = (u8)i;
		column->conflict = variant_conflict(&variant, &one, &other);
		if (column->conflict)
			column->conflict_with = one == i ? other : one;
	}
}

bool compare_run(const struct compare *compare, struct comparison *comparison, struct death *death)
{
	struct comparison *shared = shared_alloc(sizeof(*shared));
	struct worker worker = { .compare = compare, .comparison = shared };
	struct child child;

	choose_columns(compare, shared);
	worker.samples = calloc((size_t)shared->nr_columns * FIGURE_COUNT * compare->schedules,
				sizeof(*worker.samples));
	ASSERT(worker.samples);
	child = child_start(work, &worker);
	child_ended(&child, true, death);
	free(worker.samples);
	*comparison = *shared;
	return !death->died;
}
