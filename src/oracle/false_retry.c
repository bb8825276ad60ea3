/*
 * false_retry: a fault that is told to try again must have been told so for a reason.
 *
 *  FR1  Each RETRY has a cause in ghost state at the point where the attempt gives up. What the MMU
 *       says about its reason only selects the causes that count there:
 *       under mmu_lock    the page is being invalidated (true), or lies in the union of what is
 *                         (hull), or an invalidation ended since the snapshot (seq); under the
 *                         lock all that is settled.
 *       without the lock  the same, or range and counts were moving during the attempt (race).
 *       lost, frozen      somebody else changed an entry on the way since the check, or owns it
 *                         (race).
 *                         A lost exchange may also have been refused by the environment (other).
 *       obsolete root     the root is invalid (root).
 *       slot invalid      an update of the memslots has marked the page's slot as going, and has not
 *                         ended: readers of an old set may still come across the mark (slot).
 *       MMIO gone         somebody else changed an entry on the way since the vCPU went into the guest
 *                         and met the MMIO entry there (race).
 *  RC8  Under mmu_lock an open invalidation always has a range.
 *  SP2  An attempt that says FIXED has installed something itself; what others did is SPURIOUS, or a
 *       lost race and a RETRY.
 *  SP1  Two SPURIOUS answers to one access in a row, while nobody has changed an entry on the way:
 *       the walk that failed again should have found what the fault found. (No guest waits for a
 *       prefault: it does not count.)
 *  PR4  A prefault that reports FIXED or SPURIOUS has found or left a leaf: there is one, or somebody
 *       else has changed an entry on the way since it checked.
 *
 * A cause that is legal but unwanted (oracle_config.forbidden) is a violation of its class's name.
 */
#include "oracle/judge.h"

static const char fr1[] = "A fault is told to retry only for a cause that exists.";
static const char rc8[] = "An open invalidation has a range by the time mmu_lock is released.";
static const char sp1[] = "An access that the tables allow succeeds after a spurious fault.";
static const char sp2[] = "An attempt that says FIXED has installed an entry.";
static const char pr4[] = "A prefault that reports success has found or left a leaf.";
static const char unwanted[] = "This cause of a retry is legal, but was asked not to occur.";

/* The last spurious attempt of each task; its op tells one access from the next. */
static struct {
	u64 ended; /* time, 0: the last attempt was not spurious */
	gfn_t gfn;
	u64 access;
	u32 op;
} spurious[TASKS_MAX];

void false_retry_reset(void)
{
	for (u32 i = 0; i < TASKS_MAX; i++)
		spurious[i].ended = 0;
}

/* The cause of a retry, and what it was. */
struct cause {
	enum retry_class class;
	struct ghost_mark mark;
};

static const struct cause no_cause = { RETRY_CLASS_none, { .task = TASK_NONE } };

static struct cause cause_locked(const struct ghost_fault *fault)
{
	const struct ghost_invalidation *open = ghost_invalidating(fault->gfn);

	if (open)
		return (struct cause){ RETRY_CLASS_true, open->last };
	if (ghost_in_hull(fault->gfn)) {
		struct cause hull = { RETRY_CLASS_hull, { .task = TASK_NONE } };

		if (ghost.nr_open)
			hull.mark = ghost.open[ghost.nr_open - 1].last;
		return hull;
	}
	if (ghost.seq != fault->snapshot)
		return (struct cause){ RETRY_CLASS_seq, ghost.ended };
	return no_cause;
}

static struct cause cause_lockless(const struct ghost_fault *fault)
{
	struct cause cause = cause_locked(fault);

	if (cause.class != RETRY_CLASS_none)
		return cause;
	/*
	 * The fields are read one by one: old ones, and halves of new ones, may be among them. But only
	 * while somebody was changing them: an open invalidation elsewhere is no excuse.
	 */
	if (ghost.unsettled || ghost.settled > fault->begun) {
		cause.class = RETRY_CLASS_race;
		if (ghost.nr_open)
			cause.mark = ghost.open[ghost.nr_open - 1].last;
	}
	return cause;
}

static struct cause cause_entry(const struct ghost_fault *fault, u32 task, bool may_be_frozen)
{
	pfn_t root = inspect_vcpu_root(fault->vcpu);
	u64 since = max_u64(fault->checked.time, fault->begun);
	bool frozen;
	struct ghost_mark mark = ghost_path_changed(root, fault->gfn, since, task, &frozen);

	if (mark.time)
		return (struct cause){ RETRY_CLASS_race, mark };
	if (frozen && may_be_frozen)
		return (struct cause){ RETRY_CLASS_race, ghost_last_change(root, fault->gfn) };
	return no_cause;
}

/* The environment may say that an exchange has failed though nobody interfered. */
static struct cause cause_exchange(const struct ghost_fault *fault, u32 task)
{
	struct cause cause = cause_entry(fault, task, false);

	if (cause.class == RETRY_CLASS_none && fault->refused)
		cause.class = RETRY_CLASS_other;
	return cause;
}

/* Before an attempt begins: what is known of the last one says nothing. */
static struct cause cause_mmio(const struct event_fault_retried *event)
{
	u32 task = event->head.task, vcpu = ghost_task(task)->vcpu;
	struct ghost_mark mark = ghost_path_changed(inspect_vcpu_root(vcpu), event->gfn,
						    ghost.vcpu_entered[vcpu], task, NULL);

	return mark.time ? (struct cause){ RETRY_CLASS_race, mark } : no_cause;
}

static struct cause cause_slot(const struct ghost_fault *fault)
{
	const struct ghost_memslot *memslot = &ghost.memslot;

	if (!memslot->going || memslot->as_id != inspect_vcpu_as(fault->vcpu) ||
	    !gfn_in(fault->gfn, memslot->start, memslot->end))
		return no_cause;
	return (struct cause){ RETRY_CLASS_slot, memslot->last };
}

static struct cause cause_root(const struct ghost_fault *fault)
{
	struct cause cause = no_cause;

	if (ghost_root(inspect_vcpu_root(fault->vcpu)).invalid)
		cause.class = RETRY_CLASS_root;
	return cause;
}

static struct cause cause_of(const struct event_fault_retried *event)
{
	const struct ghost_fault *fault = &ghost_task(event->head.task)->fault;

	switch (event->reason) {
	case RETRY_BEFORE_GUP:
	case RETRY_AFTER_GUP:
		return cause_lockless(fault);
	case RETRY_LOCKED:
		return cause_locked(fault);
	case RETRY_OBSOLETE_ROOT:
		return cause_root(fault);
	case RETRY_FROZEN:
		return cause_entry(fault, event->head.task, true);
	case RETRY_LOST_TABLE:
	case RETRY_LOST_LEAF:
		return cause_exchange(fault, event->head.task);
	case RETRY_NO_TABLE:
		return cause_entry(fault, event->head.task, false);
	case RETRY_SLOT_INVALID:
		return cause_slot(fault);
	case RETRY_MMIO_GONE:
		return cause_mmio(event);
	}
	return no_cause;
}

static void convict(const struct event_fault_retried *event, const char *class,
		    const char *sentence, struct ghost_mark against)
{
	oracle_convict(&(struct finding){
		.oracle = ORACLE_false_retry,
		.class = class,
		.sentence = sentence,
		.at = ghost_mark(&event->head),
		.against = against,
		.values = { { "gfn", event->gfn },
			    { "reason", event->reason },
			    { "snapshot", ghost_task(event->head.task)->fault.snapshot },
			    { "seq", ghost.seq },
			    { "open", ghost.active } },
	});
}

static void fault_retried(const struct event_fault_retried *event)
{
	struct cause cause = cause_of(event);

	oracle_count_retry(cause.class);
	if (event->reason == RETRY_UNSET_RANGE)
		convict(event, "RC8", rc8, cause.mark);
	else if (cause.class == RETRY_CLASS_none)
		convict(event, "FR1", fr1, cause.mark);
	else if (oracle_forbidden() >> cause.class & 1)
		convict(event, retry_class_names[cause.class], unwanted, cause.mark);
}

static void judge_fixed(const struct event_fault_ended *event, const struct ghost_fault *fault)
{
	pfn_t root = inspect_vcpu_root(fault->vcpu);

	if (fault->installed)
		return;
	oracle_convict(&(struct finding){
		.oracle = ORACLE_false_retry,
		.class = "SP2",
		.sentence = sp2,
		.at = ghost_mark(&event->head),
		.against = ghost_last_change(root, event->gfn),
		.values = { { "gfn", event->gfn }, { "access", fault->access } },
	});
}

static void judge_prefault(const struct event_fault_ended *event, const struct ghost_fault *fault)
{
	pfn_t pfn = inspect_vcpu_root(fault->vcpu);
	struct root_view root = ghost_root(pfn);
	u64 since = max_u64(fault->checked.time, fault->begun);
	gfn_t at = event->gfn;
	struct ghost_leaf leaf;

	if ((event->ret != SUBJECT_FIXED && event->ret != SUBJECT_SPURIOUS) ||
	    ghost_next_leaf(&root, &at, event->gfn + 1, &leaf) ||
	    ghost_path_changed(pfn, event->gfn, since, event->head.task, NULL).time)
		return;
	oracle_convict(&(struct finding){
		.oracle = ORACLE_false_retry,
		.class = "PR4",
		.sentence = pr4,
		.at = ghost_mark(&event->head),
		.against = ghost_last_change(pfn, event->gfn),
		.values = { { "gfn", event->gfn }, { "ret", event->ret } },
	});
}

static void fault_ended(const struct event_fault_ended *event)
{
	u32 task = event->head.task;
	const struct ghost_fault *fault = &ghost_task(task)->fault;
	u64 before;

	if (task >= TASKS_MAX)
		return;
	if (event->ret == SUBJECT_FIXED)
		judge_fixed(event, fault);
	if (fault->prefetch)
		return judge_prefault(event, fault);
	before = spurious[task].ended;
	spurious[task].ended = event->ret == SUBJECT_SPURIOUS ? event->head.time : 0;
	if (!spurious[task].ended)
		return;
	if (before && spurious[task].gfn == event->gfn && spurious[task].op == event->head.op &&
	    spurious[task].access == fault->access &&
	    !ghost_path_changed(inspect_vcpu_root(fault->vcpu), event->gfn, before, TASK_NONE, NULL)
		     .time)
		oracle_convict(&(struct finding){
			.oracle = ORACLE_false_retry,
			.class = "SP1",
			.sentence = sp1,
			.at = ghost_mark(&event->head),
			.values = { { "gfn", event->gfn }, { "access", fault->access } },
		});
	spurious[task].gfn = event->gfn;
	spurious[task].op = event->head.op;
	spurious[task].access = fault->access;
}

void false_retry_event(const struct event *event)
{
	const void *payload = event;

	if (event->id == EVENT_fault_retried)
		fault_retried(payload);
	else
		fault_ended(payload);
}
