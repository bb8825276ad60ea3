/*
 * lost_young: who asks whether a page is in use gets a true answer, and does no harm by asking.
 *
 * A young call is one of the MMU's callbacks that age: clear_flush_young, clear_young, test_young.
 *
 *  LY1  Inside a young call nothing of a table entry changes but A; and, of a leaf whose A and D are
 *       software's, what access tracking puts aside. So nothing becomes present, no frame moves, and no right
 *       is given or taken beyond that.
 *  LY2  Where A and D are software's, a leaf that is aged is the old one with R and X put aside, without R, W, X
 *       and A: no right that it had is forgotten, and the next access is noticed.
 *  LY3  A call that has read a leaf with A set says young, also if its own change came to nothing.
 *  LY4  test_young changes nothing.
 *  LY5  In the design lockless, and where the caller wants fast answers only, no young call takes mmu_lock;
 *       where they hold mmu_lock they read each leaf with it held for writing. None gives way or
 *       sleeps: all run under the PTL. Only the design fast_only calls an answer fast, and none for which
 *       mmu_lock was taken.
 *  LY7  Who judges a page judges it young if its host PTE says so, or said so until he cleared it, or
 *       any subscriber has said so since he came to the page; and he has asked the MMU. (Who only tests, as
 *       DAMON does for its samples, need ask no more when he has found it young.)
 *
 * Never judged (LY6): an A bit that is lost or late, a page that is called old although the guest uses it: plain
 * stores, prefetches and access tracking lose some. Nor a clear of A that meets something else than the leaf
 * that was read: where A is the CPU's the ager looks and clears in two steps, with nothing held but RCU. (What is
 * FROZEN is its owner's all the same: spte_change C4.) Nor who asks the MMU when its release has returned.
 * What an ager may reach, and until when, is lifetime's.
 */
#include "oracle/judge.h"

struct rule {
	const char *class, *sentence;
};

static const struct rule
	changed_more = { "LY1",
			 "Who ages a page changes A of its leaf, or tracks accesses to it." },
	tracked_wrong = { "LY2", "Access tracking puts R and X aside and takes R, W, X and A." },
	denied = { "LY3", "Who has read a leaf that was accessed says young." },
	test_changed = { "LY4", "A test of the age changes nothing." },
	lock_taken = { "LY5", "Lockless and fast young calls take no mmu_lock." },
	lock_missing = { "LY5", "In this design leafs are aged with mmu_lock held for writing." },
	gave_way = { "LY5", "A young call neither gives way nor sleeps." },
	fast_lie = { "LY5", "An answer is fast only in that design, and without mmu_lock." },
	judged_old = { "LY7", "A page is judged young when anybody has said so." },
	not_asked = { "LY7", "Who judges the age of a page has asked the MMU." };

/* The young call that a task is in. Of no meaning outside (struct ghost_task, ages). */
static struct young_call {
	u64 what, design; /* enum notifier_call, enum young_design */
	bool fast_only;
	u64 section; /* of mmu_lock, the last one before the call */
	struct ghost_mark begun;
	struct ghost_mark accessed; /* when it read a leaf with A set; time 0: it did not */
	u64 gfn, spte; /* of that */
} calls[TASKS_MAX];

#define ANSWERS_MAX 8u /* of one page; where there are more nobody need have asked */

/* What a task that judges the age of pages has learned since it came to this one. */
static struct judge {
	u64 consumer; /* enum age_consumer */
	struct ghost_mark begun; /* of the whole */
	u32 nr_answers;
	struct answer {
		u64 subscriber, result;
		struct hva_range range;
		struct ghost_mark at;
	} answers[ANSWERS_MAX];
	struct hva_range cleared; /* whose host PTE the task took A from */
	struct ghost_mark cleared_at;
} judges[TASKS_MAX];

static bool mmu_joined;

void lost_young_reset(void)
{
	mmu_joined = false;
}

/* --- the young call --- */

static void convict_entry(const struct event_spte_changed *event, const struct rule *rule)
{
	oracle_convict(&(struct finding){
		.oracle = ORACLE_lost_young,
		.class = rule->class,
		.sentence = rule->sentence,
		.at = ghost_mark(&event->head),
		.against = ghost.change.previous,
		.values = { { "table", event->table },
			    { "index", event->index },
			    { "old", event->old },
			    { "new", event->new } },
	});
}

static void convict_call(const struct rule *rule, struct ghost_mark at, struct ghost_mark against,
			 const struct young_call *call, const char *name, u64 value)
{
	oracle_convict(&(struct finding){
		.oracle = ORACLE_lost_young,
		.class = rule->class,
		.sentence = rule->sentence,
		.at = at,
		.against = against,
		.values = { { "call", call->what },
			    { "design", call->design },
			    { "fast_only", call->fast_only },
			    { name, value } },
	});
}

/* Whether a leaf was replaced; of a table that nobody knows the level of, anything present counts as one. */
static bool was_leaf(const struct event_spte_changed *event)
{
	return ghost.change.level ? ghost.change.was_leaf : ghost_maps(event->old);
}

static u64 tracked(u64 spte)
{
	return (spte | (spte & (PTE_R | PTE_X)) << 54) & ~(PTE_RWX | PTE_A);
}

/* LY1, LY2, LY4. */
static __noinline void aged(const struct event_spte_changed *event)
{
	const struct young_call *call = &calls[event->head.task];
	u64 differs = event->old ^ event->new;

	if (!differs)
		return;
	if (call->what == NOTIFIER_TEST_YOUNG)
		return convict_entry(event, &test_changed);
	if (!was_leaf(event)) {
		if (differs != PTE_A || (event->new &PTE_A))
			convict_entry(event, &changed_more);
		return;
	}
	if ((event->old & SPTE_AD_MASK) != SPTE_AD_DISABLED) {
		if (differs != PTE_A)
			convict_entry(event, &changed_more);
		return;
	}
	if (differs & ~(PTE_RWX | SAVED_BITS | PTE_A))
		convict_entry(event, &changed_more);
	else if (event->new != tracked(event->old))
		convict_entry(event, &tracked_wrong);
}

static bool is_lockless(const struct young_call *call)
{
	return call->design == YOUNG_LOCKLESS || call->fast_only;
}

static bool took_lock(const struct young_call *call, const struct ghost_task *task)
{
	return task->section != call->section;
}

static void begun(const struct event_young_begun *event)
{
	struct young_call *call = &calls[event->head.task];

	call->what = event->call;
	call->design = event->design;
	call->fast_only = event->fast_only;
	call->section = ghost_task(event->head.task)->section;
	call->begun = ghost_mark(&event->head);
	call->accessed.time = 0;
}

static void read(const struct event_young_read *event)
{
	const struct ghost_task *task = ghost_task(event->head.task);
	struct young_call *call = &calls[event->head.task];

	if (is_lockless(call)) {
		if (took_lock(call, task))
			convict_call(&lock_taken, task->mmu_acquired, call->begun, call, "gfn",
				     event->gfn);
	} else if (call->design == YOUNG_WRITE_LOCK || call->design == YOUNG_WRITE_LOCK_FLUSH) {
		if (!task->mmu_locks || !task->mmu_exclusive)
			convict_call(&lock_missing, ghost_mark(&event->head), call->begun, call,
				     "gfn", event->gfn);
	}
	if (call->accessed.time || !(event->spte & PTE_A) ||
	    !ghost_is_leaf(event->spte, (u32)event->level))
		return;
	call->accessed = ghost_mark(&event->head);
	call->gfn = event->gfn;
	call->spte = event->spte;
}

/* @task has left the call, but @call is still its. */
static void ended(const struct event_young_ended *event)
{
	const struct ghost_task *task = ghost_task(event->head.task);
	struct young_call *call = &calls[event->head.task];
	struct ghost_mark at = ghost_mark(&event->head);

	if (call->accessed.time && !(event->result & YOUNG_YES))
		convict_call(&denied, at, call->accessed, call, "gfn", call->gfn);
	if (is_lockless(call) && took_lock(call, task))
		convict_call(&lock_taken, task->mmu_acquired, call->begun, call, "result",
			     event->result);
	if ((event->result & YOUNG_FAST) &&
	    (call->design != YOUNG_FAST_ONLY || took_lock(call, task)))
		convict_call(&fast_lie, at,
			     took_lock(call, task) ? task->mmu_acquired : call->begun, call,
			     "result", event->result);
}

/* --- who asks --- */

static void convict_page(const struct event_age_judged *event, const struct rule *rule,
			 struct ghost_mark against)
{
	oracle_convict(&(struct finding){
		.oracle = ORACLE_lost_young,
		.class = rule->class,
		.sentence = rule->sentence,
		.at = ghost_mark(&event->head),
		.against = against,
		.values = { { "consumer", judges[event->head.task].consumer },
			    { "hva", event->hva },
			    { "young", event->young } },
	});
}

static void next_page(struct judge *judge)
{
	judge->nr_answers = 0;
	judge->cleared = (struct hva_range){ 0, 0 };
}

static void answered(const struct event_subscriber_called *event)
{
	struct judge *judge = &judges[event->head.task];

	if (judge->nr_answers < ANSWERS_MAX)
		judge->answers[judge->nr_answers] =
			(struct answer){ .subscriber = event->subscriber,
					 .result = event->error,
					 .range = { event->start, event->end },
					 .at = ghost_mark(&event->head) };
	judge->nr_answers += judge->nr_answers <= ANSWERS_MAX;
}

/* Under the PTL, and that until the page is judged: what the entry says then is what it said all along, but for this. */
static void host_pte_changed(const struct event_host_pte_changed *event)
{
	struct judge *judge = &judges[event->head.task];

	/* Reclaim clears the mark of those who watch with it. */
	if (((event->old ^ event->new) & ~HOST_PTE_KNOWN_YOUNG) != HOST_PTE_YOUNG ||
	    !host_pte_present(event->old) || (event->new &HOST_PTE_YOUNG))
		return;
	judge->cleared = (struct hva_range){ event->hva, event->hva + PT_PAGES(event->level) };
	judge->cleared_at = ghost_mark(&event->head);
}

static bool in_range(hva_t hva, const struct hva_range *range)
{
	return hva >= range->start && hva < range->end;
}

/* LY7. */
static void judged(const struct event_age_judged *event)
{
	struct judge *judge = &judges[event->head.task];
	u64 pte = inspect_host_pte(event->hva);
	bool cleared = in_range(event->hva, &judge->cleared);
	bool asked = judge->nr_answers > ANSWERS_MAX;

	/* Nothing is mapped: there is no page to be young. */
	if (!host_pte_present(pte))
		return next_page(judge);
	for (u32 i = 0; i < min_u64(judge->nr_answers, ANSWERS_MAX); i++) {
		const struct answer *answer = &judge->answers[i];

		if (!in_range(event->hva, &answer->range))
			continue;
		asked |= answer->subscriber == GHOST_MMU_SUBSCRIBER;
		if ((answer->result & YOUNG_YES) && !event->young)
			convict_page(event, &judged_old, answer->at);
	}
	if (((pte & HOST_PTE_YOUNG) || cleared) && !event->young)
		convict_page(event, &judged_old, cleared ? judge->cleared_at : judge->begun);
	/* What was found young in a test, which takes nothing away, stays young whatever the MMU would say. */
	if (judge->consumer == AGE_DAMON && event->young && !cleared)
		asked = true;
	if (mmu_joined && !ghost.released.time && !asked)
		convict_page(event, &not_asked, judge->begun);
	next_page(judge);
}

void lost_young_event(const struct event *event)
{
	const struct ghost_task *task = ghost_task(event->task);
	const void *payload = event;
	const struct event_subscriber_joined *joined = payload;

	if (event->id == EVENT_subscriber_joined)
		mmu_joined |= joined->subscriber == GHOST_MMU_SUBSCRIBER;
	if (event->task >= TASKS_MAX)
		return;
	switch (event->id) {
	case EVENT_spte_changed:
		if (ghost.change.by_ager)
			aged(payload);
		return;
	case EVENT_young_begun:
		return begun(payload);
	case EVENT_young_read:
		if (task->ages)
			read(payload);
		return;
	case EVENT_young_ended:
		return ended(payload);
	case EVENT_walk_yielded:
	case EVENT_slept_in_atomic:
		if (task->ages)
			convict_call(&gave_way, ghost_mark(event), calls[event->task].begun,
				     &calls[event->task], "what", event_field(event, 0));
		return;
	case EVENT_age_begun:
		judges[event->task].consumer = event_field(event, 0);
		judges[event->task].begun = ghost_mark(event);
		return next_page(&judges[event->task]);
	case EVENT_subscriber_called:
		if (task->asks)
			answered(payload);
		return;
	case EVENT_host_pte_changed:
		if (task->asks)
			host_pte_changed(payload);
		return;
	case EVENT_age_judged:
		if (task->asks)
			judged(payload);
		return;
	}
}
