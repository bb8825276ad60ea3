/*
 * progress: what has to come to an end does.
 *
 *  PR1  No deadlock: tasks are left and none can ever run again. Reported with who waits for whom.
 *  PR2  Obstruction freedom: a fault that nobody interferes with ends in at most three attempts
 *       (one finds an old sequence number, one a new root, one succeeds). Three RETRYs of one task
 *       without a context switch in between convict, unless another task stands inside a
 *       notification or invalidation that holds the page, inside an update of the memslots, or is
 *       about to tell vCPUs that their root is invalid. So does a fourth attempt at one access,
 *       whatever the first three said. An attempt that failed because the environment refused it an
 *       exchange does not count. And: a walk that gave way goes on before it gives way again; two
 *       yields at one position convict. A split that has no table at hand gives the locks back to get
 *       one, which counts as a yield and asks nobody: once for each level that there is to split.
 *
 * A storm of unrelated invalidations may starve a fault for ever, and a schedule that has used up
 * its points says nothing: neither convicts.
 */
#include "oracle/judge.h"

#define ATTEMPTS_MAX 3

static const char pr1[] = "No set of tasks waits for itself for ever.";
static const char pr2_retry[] = "A fault that nobody interferes with ends within three attempts.";
static const char pr2_yield[] = "A walk that has given way gets on before it gives way again.";

struct stuck {
	u64 lock_class, holder; /* LOCK_CLASS_COUNT: waits for no lock; ~0: nobody */
	struct ghost_mark at;
};

/* How often something happened to one access without a context switch in between. */
struct row {
	u32 count, op;
	gfn_t gfn;
	u64 switches;
};

/* Retries in a row of each task, and the last yield of its current walk. */
static struct {
	struct row tries; /* attempts that began */
	struct row retries; /* attempts that ended in RETRY, since one ended otherwise */
	gfn_t yielded_at;
	u32 again; /* times in a row, behind the first, that it yielded there */
	struct ghost_mark yielded;
} tasks[TASKS_MAX];

static struct stuck stuck[TASKS_MAX];
static u32 stuck_tasks; /* mask */

void progress_reset(void)
{
	stuck_tasks = 0;
	for (u32 i = 0; i < TASKS_MAX; i++) {
		tasks[i].tries.count = tasks[i].retries.count = 0;
		tasks[i].yielded.time = 0;
	}
}

/* --- PR1 --- */

static void task_stuck(const struct event_task_stuck *event)
{
	u32 task = (u32)event->stuck_task;

	if (task >= TASKS_MAX)
		return;
	stuck_tasks |= 1u << task;
	stuck[task].lock_class = event->lock_class;
	stuck[task].holder = event->holder;
	stuck[task].at = ghost_mark(&event->head);
	stuck[task].at.task = task;
}

static bool is_stuck(u64 task)
{
	return task < TASKS_MAX && (stuck_tasks >> task & 1);
}

/* Appends "; task 1 waits for mmu_lock of task 0". */
static void detail_edge(struct detail *detail, u32 task)
{
	const struct stuck *waits = &stuck[task];

	detail_text(detail, detail->length ? "; task " : "task ");
	detail_decimal(detail, task);
	detail_text(detail, " waits for ");
	detail_text(detail, waits->lock_class < LOCK_CLASS_COUNT
				    ? lock_class_names[waits->lock_class]
				    : "memory to change");
	if (waits->holder >= TASKS_MAX)
		return;
	detail_text(detail, " of task ");
	detail_decimal(detail, waits->holder);
	if (!is_stuck(waits->holder))
		detail_text(detail, ", which has ended");
}

/* Where the holder stands: stuck itself, or where it took what it has never given back. */
static struct ghost_mark holder_mark(const struct stuck *waits)
{
	if (is_stuck(waits->holder))
		return stuck[waits->holder].at;
	if (waits->holder < TASKS_MAX && waits->lock_class == LOCK_mmu_lock)
		return ghost_task((u32)waits->holder)->mmu_acquired;
	return (struct ghost_mark){ .task = TASK_NONE };
}

static bool waits_for_task(u32 task)
{
	return stuck[task].holder < TASKS_MAX;
}

/* Return: who holds up @task, if that one waits for somebody itself; else @task. */
static u32 next_waiter(u32 task)
{
	u64 holder = stuck[task].holder;

	return is_stuck(holder) && waits_for_task((u32)holder) ? (u32)holder : task;
}

/*
 * Return: the waiter of the edge that the others hang on: the last one of a chain of waiters, or
 * the lowest task of a cycle; the lowest task if none waits for another. Context: some task is
 * stuck.
 */
static u32 core_waiter(void)
{
	u32 at = (u32)__builtin_ctz(stuck_tasks), core;

	for (u32 left = stuck_tasks; left; left &= left - 1) {
		if (waits_for_task((u32)__builtin_ctz(left))) {
			at = (u32)__builtin_ctz(left);
			break;
		}
	}
	for (u32 i = 0; i < TASKS_MAX; i++)
		at = next_waiter(at);
	/* After so many steps it is at the end, or in a cycle: once around finds its lowest. */
	core = at;
	for (u32 i = 0; i < TASKS_MAX; i++) {
		at = next_waiter(at);
		if (at < core)
			core = at;
	}
	return core;
}

static void deadlocked(const struct event_deadlocked *event)
{
	struct ghost_mark at = ghost_mark(&event->head), against = { .task = TASK_NONE };
	struct detail detail;

	detail.length = 0;
	detail.text[0] = '\0';
	for (u32 left = stuck_tasks; left; left &= left - 1)
		detail_edge(&detail, (u32)__builtin_ctz(left));
	if (stuck_tasks) {
		const struct stuck *core = &stuck[core_waiter()];

		at = core->at;
		against = holder_mark(core);
	}
	oracle_convict(&(struct finding){ .oracle = ORACLE_progress,
					  .class = "PR1",
					  .sentence = pr1,
					  .at = at,
					  .against = against,
					  .detail = &detail });
}

/* --- PR2: attempts --- */

static bool notifies(const struct ghost_notification *notification, gfn_t gfn)
{
	for (u32 i = 0; i < inspect_nr_slots(); i++) {
		struct slot_view slot = inspect_slot(i);
		hva_t hva = slot.hva + (gfn - slot.start);

		if (gfn_in(gfn, slot.start, slot.end) && hva >= notification->range.start &&
		    hva < notification->range.end)
			return true;
	}
	return false;
}

/* Return: whether another task is in the middle of something that makes a fault on @gfn retry. */
static bool others_hold(u32 task, gfn_t gfn)
{
	/* Range and counts are half written: readers without the lock see anything. */
	if (ghost.unsettled || ghost_in_hull(gfn))
		return true;
	if (ghost.memslot.open && ghost.memslot.task != task)
		return true;
	if (ghost.invalidating & ~(1u << task))
		return true;
	for (u32 i = 0; i < TASKS_MAX; i++)
		for (u32 n = 0; i != task && n < ghost.tasks[i].depth; n++)
			if (notifies(&ghost.tasks[i].notifications[n], gfn))
				return true;
	return false;
}

/* Return: how often it has happened in a row now. */
static u32 in_a_row(struct row *row, const struct event *event, gfn_t gfn)
{
	if (row->op != event->op || row->gfn != gfn || row->switches != event->switches)
		row->count = 0;
	row->op = event->op;
	row->gfn = gfn;
	row->switches = event->switches;
	return ++row->count;
}

static void convict_attempts(const struct event *event, gfn_t gfn, u32 attempts)
{
	if (others_hold(event->task, gfn))
		return;
	oracle_convict(&(struct finding){
		.oracle = ORACLE_progress,
		.class = "PR2",
		.sentence = pr2_retry,
		.at = ghost_mark(event),
		.values = { { "gfn", gfn }, { "attempts", attempts }, { "seq", ghost.seq } },
	});
}

/* A fourth attempt begins, whatever the three before it said: the access gets nowhere. */
static void fault_begun(const struct event_fault_begun *event)
{
	u32 task = event->head.task, count;

	if (task >= TASKS_MAX)
		return;
	count = in_a_row(&tasks[task].tries, &event->head, event->gfn);
	if (count > ATTEMPTS_MAX)
		convict_attempts(&event->head, event->gfn, count);
}

/* A third RETRY asks for a fourth attempt. */
static void fault_retried(const struct event_fault_retried *event)
{
	u32 task = event->head.task, count;

	if (task >= TASKS_MAX)
		return;
	if (ghost.tasks[task].fault.active && ghost.tasks[task].fault.refused) {
		/* Nobody interfered: not even the code itself could help it. */
		if (tasks[task].tries.count)
			tasks[task].tries.count--;
		return;
	}
	count = in_a_row(&tasks[task].retries, &event->head, event->gfn);
	if (count >= ATTEMPTS_MAX)
		convict_attempts(&event->head, event->gfn, count);
}

static void fault_ended(const struct event_fault_ended *event)
{
	if (event->head.task < TASKS_MAX && event->ret != SUBJECT_RETRY)
		tasks[event->head.task].retries.count = 0;
}

/* --- PR2: yields --- */

static void walk_yielded(const struct event_walk_yielded *event)
{
	u32 task = event->head.task, may;

	if (task >= TASKS_MAX)
		return;
	may = ghost.tasks[task].walk == WALK_SPLIT ? ghost_root(event->root).level : 0;
	if (!tasks[task].yielded.time || tasks[task].yielded_at != event->position)
		tasks[task].again = 0;
	else if (++tasks[task].again > may)
		oracle_convict(&(struct finding){
			.oracle = ORACLE_progress,
			.class = "PR2",
			.sentence = pr2_yield,
			.at = ghost_mark(&event->head),
			.against = tasks[task].yielded,
			.values = { { "root", event->root }, { "gfn", event->position } },
		});
	tasks[task].yielded_at = event->position;
	tasks[task].yielded = ghost_mark(&event->head);
}

void progress_event(const struct event *event)
{
	const void *payload = event;

	switch (event->id) {
	case EVENT_fault_retried:
		return fault_retried(payload);
	case EVENT_fault_ended:
		return fault_ended(payload);
	case EVENT_fault_begun:
		return fault_begun(payload);
	case EVENT_walk_begun:
		if (event->task < TASKS_MAX)
			tasks[event->task].yielded.time = 0;
		return;
	case EVENT_walk_yielded:
		return walk_yielded(payload);
	case EVENT_task_stuck:
		return task_stuck(payload);
	case EVENT_deadlocked:
		return deadlocked(payload);
	}
}
