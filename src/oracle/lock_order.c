/*
 * lock_order: locks are asked for in one order, whoever asks, and nobody sleeps where he must not.
 * Judged by who holds what while he asks for what, so a schedule convicts in which nobody hangs.
 *
 *  LO1  The waits for locks make no cycle. An edge leads from what is held to what is asked for. Read
 *       sections of RCU and SRCU are held, but nobody waits to enter one: only a wait for their readers
 *       (synchronize_srcu) is an edge towards them. So mmap_lock inside kvm->srcu and kvm->srcu inside
 *       mmap_lock go together; slots_lock inside kvm->srcu does not go with synchronize_srcu inside
 *       slots_lock. Such a wait inside a section of its own class is a cycle by itself. So is one for
 *       the readers of kvm->srcu with slots_arch_lock held: readers are entitled to that lock, also
 *       if none of this MMU asks for it (they come with shadow page tables).
 *  LO2  The same, where the cycle leads through the time from a start to its end, for which updates of
 *       the memslots wait with slots_lock and slots_arch_lock held. Whoever is inside must not ask for
 *       these, nor wait for the readers of kvm->srcu, whether or not an update is under way.
 *  LO3  One task at a time waits for the count of invalidations.
 *  LO4  No lock is taken while another of its class is held: a reader that asks again behind a waiting
 *       writer never gets it.
 *  LO5  Nobody sleeps with a spinning lock or inside RCU.
 *  LO6  Nobody sleeps or gives way inside a callback that must not block.
 *  LO7  The same as LO1 where the cycle leads through reclaim: who holds what a notifier's callback
 *       takes allocates no memory that reclaim may have to find.
 *  LO8  A prefault does not try again for a memslot that is going away: it stands inside kvm->srcu, and
 *       the update waits for that.
 */
#include "oracle/judge.h"

static const char lo1[] = "Locks are asked for in one order.";
static const char lo2[] =
	"Nobody waits for an update of the memslots between an invalidation's start and its end.";
static const char lo3[] = "One task at a time waits for the invalidations to end.";
static const char lo4[] = "No lock is taken while another of its class is held.";
static const char lo5[] = "Nobody sleeps while it holds a spinning lock or stands inside RCU.";
static const char lo6[] = "A callback that must not block neither sleeps nor gives way.";
static const char lo7[] = "No memory is allocated under a lock that reclaim takes.";
static const char lo8[] = "A prefault gives up when its memslot is going away.";

/* [outer][inner]: the first time that this schedule saw it; valid where the bit of inners is set. */
static struct edge {
	const struct sched_site *taken;
	struct ghost_mark asked;
} edges[LOCK_CLASS_COUNT][LOCK_CLASS_COUNT];
static u64 inners[LOCK_CLASS_COUNT]; /* [outer]: mask of inner */
_Static_assert(LOCK_CLASS_COUNT <= 64, "a mask holds one bit for each class");

#define BIT_LOCK(class) BIT_ULL(LOCK_##class)
/* What an update of the memslots holds, or waits for, while it waits for the invalidations. */
#define UPDATE_LOCKS (BIT_LOCK(slots_lock) | BIT_LOCK(slots_arch_lock) | BIT_LOCK(kvm_srcu))

void lock_order_reset(void)
{
	for (u32 i = 0; i < LOCK_CLASS_COUNT; i++) {
		inners[i] = 0;
		event_context.nested_told[i] = 0;
	}
}

static const char *name_of(u64 class)
{
	return class < LOCK_CLASS_COUNT ? lock_class_names[class] : "a lock";
}

/* A way through the graph; classes[0] is where it starts. */
struct way {
	u32 classes[LOCK_CLASS_COUNT + 1];
	u32 nr;
};

/* Return: whether there is a way from @from to @to. */
static bool leads_to(u64 from, u64 to)
{
	u64 seen = 0, fresh = inners[from];

	while (fresh) {
		u32 at = (u32)__builtin_ctzll(fresh);

		seen |= BIT_ULL(at);
		fresh = (fresh | inners[at]) & ~seen;
	}
	return (seen | BIT_ULL(from)) >> to & 1;
}

/* Finds the shortest way from @from to @to. Return: whether there is one. */
static bool find_way(u64 from, u64 to, struct way *way)
{
	u32 queue[LOCK_CLASS_COUNT], came_from[LOCK_CLASS_COUNT];
	u64 seen = BIT_ULL(from);
	u32 first = 0, last = 0;

	queue[last++] = (u32)from;
	while (first < last && !(seen >> to & 1)) {
		u32 at = queue[first++];

		for (u64 fresh = inners[at] & ~seen; fresh; fresh &= fresh - 1) {
			u32 next = (u32)__builtin_ctzll(fresh);

			seen |= BIT_ULL(next);
			came_from[next] = at;
			queue[last++] = next;
		}
	}
	if (!(seen >> to & 1))
		return false;
	way->nr = 1;
	for (u32 at = (u32)to; at != from; at = came_from[at])
		way->nr++;
	for (u32 at = (u32)to, i = way->nr; i-- > 0; at = came_from[at]) {
		way->classes[i] = at;
		if (!i)
			break;
	}
	return true;
}

static void detail_hold(struct detail *detail, const struct verdict_hold *hold)
{
	detail_text(detail, detail->length ? "; task " : "task ");
	detail_decimal(detail, hold->task);
	detail_text(detail, ": ");
	detail_text(detail, name_of(hold->outer));
	detail_text(detail, " > ");
	detail_text(detail, name_of(hold->inner));
}

/* The waits of one cycle, in its order; whole: of all of them, also those that found no room. */
struct cycle {
	struct verdict_hold holds[VERDICT_HOLDS_MAX];
	struct detail detail;
	struct ghost_mark at, against;
	u32 nr;
	u64 classes; /* mask */
};

static void add_wait(struct cycle *cycle, u32 outer, u32 inner)
{
	const struct edge *edge = &edges[outer][inner];
	struct verdict_hold hold = { .taken = edge->taken,
				     .asked = edge->asked.site,
				     .outer = outer,
				     .inner = inner,
				     .task = edge->asked.task };

	detail_hold(&cycle->detail, &hold);
	if (cycle->nr < VERDICT_HOLDS_MAX)
		cycle->holds[cycle->nr++] = hold;
	cycle->classes |= BIT_ULL(outer);
	cycle->against = edge->asked;
}

static void convict_cycle(const struct cycle *cycle)
{
	struct finding finding = { .oracle = ORACLE_lock_order,
				   .class = "LO1",
				   .sentence = lo1,
				   .at = cycle->at,
				   .against = cycle->against,
				   .detail = &cycle->detail,
				   .holds = cycle->holds,
				   .nr_holds = cycle->nr };

	if (cycle->classes & BIT_LOCK(fs_reclaim)) {
		finding.class = "LO7";
		finding.sentence = lo7;
	} else if (cycle->classes & BIT_LOCK(mn_active)) {
		finding.class = "LO2";
		finding.sentence = lo2;
	}
	oracle_convict(&finding);
}

/* Its cycle begins with the edge that closes it; the last wait is for what the task of that holds. */
static __cold void convict_way(const struct event_lock_nested *event, const struct way *way)
{
	struct cycle cycle = { .at = ghost_mark(&event->head), .against = { .task = TASK_NONE } };

	add_wait(&cycle, (u32)event->outer, (u32)event->inner);
	if (event->outer == event->inner)
		cycle.against = (struct ghost_mark){ .task = TASK_NONE };
	for (u32 i = 0; i + 1 < way->nr; i++)
		add_wait(&cycle, way->classes[i], way->classes[i + 1]);
	convict_cycle(&cycle);
}

/* Whether the edge, which is there by now, closes a cycle. Most lead to where none begins. */
static void judge_edge(const struct event_lock_nested *event)
{
	struct way way;

	if (unlikely(leads_to(event->inner, event->outer)) &&
	    find_way(event->inner, event->outer, &way))
		convict_way(event, &way);
}

/* A pair that is wrong by itself. */
static __cold void convict_pair(const struct event_lock_nested *event)
{
	struct cycle cycle = { .at = ghost_mark(&event->head), .against = { .task = TASK_NONE } };

	add_wait(&cycle, (u32)event->outer, (u32)event->inner);
	cycle.against = (struct ghost_mark){ .task = TASK_NONE };
	if (event->outer != event->inner)
		return convict_cycle(&cycle);
	oracle_convict(&(struct finding){ .oracle = ORACLE_lock_order,
					  .class = "LO4",
					  .sentence = lo4,
					  .at = cycle.at,
					  .detail = &cycle.detail,
					  .holds = cycle.holds,
					  .nr_holds = cycle.nr });
}

/* Whether the way back is there by the documents, though nobody may be on it in this schedule. */
static bool closes_alone(u64 outer, u64 inner)
{
	if (outer == LOCK_mn_active)
		return UPDATE_LOCKS >> inner & 1;
	return outer == LOCK_slots_arch_lock && inner == LOCK_kvm_srcu;
}

static void judge_pair(const struct event_lock_nested *event)
{
	/* An allocation on behalf of reclaim does not reclaim. */
	if (event->outer == event->inner ? event->outer != LOCK_fs_reclaim
					 : closes_alone(event->outer, event->inner))
		convict_pair(event);
}

/* These are never held asleep: LO5 convicts who tries. */
#define SPINNING                                                                            \
	(BIT_LOCK(mmu_lock) | BIT_LOCK(mn_invalidate_lock) | BIT_LOCK(tdp_mmu_pages_lock) | \
	 BIT_LOCK(mn_list_lock) | BIT_LOCK(ptl) | BIT_LOCK(range_requests))

static __noinline void lock_nested(const struct event_lock_nested *event)
{
	struct edge *edge;
	bool waited = event->mode == LOCK_WAITED;

	if (event->outer >= LOCK_CLASS_COUNT || event->inner >= LOCK_CLASS_COUNT ||
	    (inners[event->outer] >> event->inner & 1))
		return;
	/* Who gets ready to wait may hold the lock of the condition, and gives it back before he does. */
	if (waited && (SPINNING >> event->outer & 1))
		return;
	inners[event->outer] |= BIT_ULL(event->inner);
	edge = &edges[event->outer][event->inner];
	edge->taken = event_context.outer_site;
	edge->asked = ghost_mark(&event->head);
	if (event->outer != event->inner || !waited)
		judge_pair(event);
	if (event->outer != event->inner || waited)
		judge_edge(event);
}

static void convict_class(const struct event *event, const char *class, const char *sentence,
			  const char *word)
{
	u64 what = event_field(event, 0);
	struct detail detail;

	detail.length = 0;
	detail.text[0] = '\0';
	detail_text(&detail, word);
	detail_text(&detail, what == ~0ull ? "nothing by name" : name_of(what));
	oracle_convict(&(struct finding){ .oracle = ORACLE_lock_order,
					  .class = class,
					  .sentence = sentence,
					  .at = ghost_mark(event),
					  .detail = &detail });
}

static __noinline void fault_retried(const struct event_fault_retried *event)
{
	if (event->reason != RETRY_SLOT_INVALID || !ghost_task(event->head.task)->fault.prefetch)
		return;
	oracle_convict(&(struct finding){ .oracle = ORACLE_lock_order,
					  .class = "LO8",
					  .sentence = lo8,
					  .at = ghost_mark(&event->head),
					  .against = ghost.memslot.last,
					  .values = { { "gfn", event->gfn } } });
}

void lock_order_event(const struct event *event)
{
	const void *payload = event;

	switch (event->id) {
	case EVENT_lock_nested:
		return lock_nested(payload);
	case EVENT_rcuwait_taken:
		return convict_class(event, "LO3", lo3, "waits for ");
	case EVENT_slept_in_atomic:
		return convict_class(event, "LO5", lo5, "holds ");
	case EVENT_slept_in_nonblock:
		return convict_class(event, "LO6", lo6, "asks for ");
	case EVENT_fault_retried:
		return fault_retried(payload);
	}
}
