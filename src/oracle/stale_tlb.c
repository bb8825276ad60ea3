/*
 * stale_tlb: a ledger of owed flushes. A change that takes something away from an entry of a valid
 * root opens a debt; when it is due, no vCPU may have a usable TLB entry that is older than the
 * change and allows more than the tables do now.
 *
 *  D1   A leaf was removed, or gave way to an MMIO entry: due when the changer's section of mmu_lock
 *       ends, also to give way, and before range_start returns.
 *  D2   A table was removed or replaced: due before the remover leaves its RCU section, which is what
 *       keeps the table from being freed. No event tells of that; whoever removes tables of a valid
 *       root holds mmu_lock around his RCU section, for reading at least, and gives both back together:
 *       the end of the section of mmu_lock is the latest legal moment, and judged. Covers what is cached
 *       of tables and of pages below. (A table freed too early is lifetime's, L1.)
 *  D3   The MMU-writable bit of a leaf was cleared: due when the section ends. (A harvest that takes it
 *       from a huge leaf flushes where it flushes for the rest: D4.)
 *  D4   Dirty logging has cleared W of a leaf: due when the harvest, or the enabling, returns.
 *  D5   Dirty logging has cleared D: as D4.
 *  T1   What counts is what an entry allows beyond the table entry of now, not that it is old.
 *  T2   A TLB entry writes silently only if it was filled with W and D, or where there are no A/D bits
 *       with W; a table entry allows it likewise, if D is what writes are found by.
 *  T3   When a vCPU goes into the guest on a root that it has loaded since it last did, nothing that is
 *       cached under that tag is left over from before: the frame may have been another root's.
 *  T4   Whoever flushes after the change pays: the entries are looked at, not who dropped them.
 *  T5   What access tracking has taken W from without a flush is flushed for by whoever takes MMU-writable
 *       (D3), and by every enabling, whether or not it changes an entry: nothing that was cached before
 *       its last walk writes what the tables do not allow.
 *  T7   An entry filled after the change has read the new value and is no debt's business. One that a
 *       walk through a cached table made has the age of what was cached.
 *  T8   When a request that waits has returned, every vCPU has been out of the guest since, and none
 *       goes in with a request pending. When who made a root invalid releases mmu_lock, no vCPU is in
 *       the guest on an invalid root, and none goes in on one later.
 *
 * Entries of a vCPU that is out of the guest with a flush of them pending are not usable; others are
 * judged. Never owed: flushes for a cleared A bit, for access tracking (D6); for invalid roots (nobody runs
 * on them, and loading a root flushes), for what release zaps (D7); for upgrades, and for splits, which say
 * the same (D8). Too many flushes are no fault.
 */
#include "oracle/judge.h"

/* More than vCPUs have entries, without which there is no debt. What exceeds it is let off. */
#define DEBTS_MAX (2 * VCPUS_MAX * (TLB_ENTRIES_MAX + PSC_ENTRIES_MAX))

struct debt {
	const char *class;
	pfn_t root;
	gfn_t start, end;
	u32 access; /* mask of BIT(enum access) taken away */
	u32 table_level; /* D2: of the table that is gone; else 0 */
	u32 task; /* who owes it */
	bool late; /* due when the harvest or the enabling returns, else with the section of mmu_lock */
	bool dirty; /* a table entry without D does not allow silent writes */
	u32 usable; /* entries that could be used when it was made */
	struct ghost_mark change;
};

_Static_assert(PTE_RWX == (BIT_ULL(ACCESS_READ) | BIT_ULL(ACCESS_WRITE) | BIT_ULL(ACCESS_EXEC)),
	       "the mask of a TLB entry has the bits of a table entry");

static struct debt debts[DEBTS_MAX];
static u32 nr_debts;
_Static_assert(VCPUS_MAX <= 8, "a mask of vCPUs is a byte");

/* [vcpu]: when it loaded its root, 0: judged since. [task][vcpu]: when it was last sent a request. */
static u64 loaded[VCPUS_MAX], sent[TASKS_MAX][VCPUS_MAX];
static u8 sent_to[TASKS_MAX]; /* mask of vCPUs for which the latter is of this schedule */
static u64 requests; /* mask of the requests ever sent in this schedule */
static u32 invalidators; /* mask of tasks that made a root invalid in their section of mmu_lock */

static const char d_sentence[] =
	"A TLB flush for what an entry has lost is due before mmu_lock is released.";
static const char late_sentence[] =
	"A TLB flush for what dirty logging has cleared is due before its call returns.";
static const char t5_sentence[] =
	"Who turns dirty logging on flushes, whether or not there was an entry to change.";
static const char t3_sentence[] = "Loading a root leaves nothing cached of an earlier use of it.";
static const char t8_entered[] = "No vCPU goes into the guest with a request left unserved.";
static const char t8_waited[] =
	"A request that waits returns when every vCPU has been out of the guest.";
static const char t8_root[] = "No vCPU is in the guest on a root that was made invalid.";

void stale_tlb_reset(void)
{
	nr_debts = 0;
	requests = 0;
	invalidators = 0;
	for (u32 i = 0; i < VCPUS_MAX; i++)
		loaded[i] = 0;
	for (u32 i = 0; i < TASKS_MAX; i++)
		sent_to[i] = 0;
}

/* Return: whether @entry is older than the debt and allows something that was taken away. */
static bool concerned(const struct tlb_view *entry, const struct debt *debt)
{
	return entry->root == debt->root && entry->gfn < debt->end &&
	       entry->gfn + PT_PAGES(entry->level) > debt->start &&
	       entry->filled_at < debt->change.time && (entry->access & debt->access);
}

/* Return: whether @entry leads to the table that is gone, or to one below it. */
static bool psc_concerned(const struct psc_view *entry, const struct debt *debt)
{
	return entry->root == debt->root && entry->level <= debt->table_level &&
	       entry->gfn < debt->end && entry->gfn + PT_PAGES(entry->level + 1) > debt->start &&
	       entry->filled_at < debt->change.time;
}

static bool tlb_usable(u32 vcpu, const struct tlb_view *entry)
{
	return inspect_cached_usable(vcpu, entry->root, entry->gfn,
				     entry->gfn + PT_PAGES(entry->level), false);
}

static bool psc_usable(u32 vcpu, const struct psc_view *entry)
{
	return inspect_cached_usable(vcpu, entry->root, entry->gfn,
				     entry->gfn + PT_PAGES(entry->level + 1), true);
}

static __noinline void owe(const struct debt *owed)
{
	struct debt *debt = &debts[nr_debts];
	u32 usable = 0, physical = 0;

	for (u32 vcpu = 0; vcpu < inspect_nr_vcpus(); vcpu++) {
		for (u32 i = 0; i < inspect_nr_tlb(vcpu); i++) {
			struct tlb_view entry = inspect_tlb(vcpu, i);

			if (!concerned(&entry, owed))
				continue;
			physical++;
			usable += tlb_usable(vcpu, &entry);
		}
		for (u32 i = 0; owed->table_level && i < inspect_nr_psc(vcpu); i++) {
			struct psc_view entry = inspect_psc(vcpu, i);

			if (!psc_concerned(&entry, owed))
				continue;
			physical++;
			usable += psc_usable(vcpu, &entry);
		}
	}
	if (!physical || nr_debts == DEBTS_MAX || !ghost_tag_counts(owed->root))
		return;
	nr_debts++;
	debt->class = owed->class;
	debt->root = owed->root;
	debt->start = owed->start;
	debt->end = owed->end;
	debt->access = owed->access;
	debt->table_level = owed->table_level;
	debt->task = owed->task;
	debt->late = owed->late;
	debt->dirty = owed->dirty;
	debt->usable = usable;
	debt->change = owed->change;
}

/* What of a leaf that stays a leaf of its frame was taken away. Return: whether a flush is owed for it. */
static bool owes_in_place(const struct event_spte_changed *event, struct debt *owed)
{
	const struct ghost_task *task = ghost_task(event->head.task);
	u64 taken = event->old & ~event->new;
	bool logs = task->chores & (GHOST_HARVESTS | GHOST_ENABLES);

	owed->access = BIT_ULL(ACCESS_WRITE);
	if ((taken & SPTE_MMU_WRITABLE) &&
	    !((task->chores & GHOST_HARVESTS) && ghost.change.level > PT_LEVEL_4K)) {
		owed->class = "D3";
		return true;
	}
	/* Access tracking takes R as well, and nobody ever flushes for it. */
	if (!logs || !(taken & (PTE_W | PTE_D | SPTE_MMU_WRITABLE)) || (taken & PTE_R))
		return false;
	owed->late = true;
	owed->dirty = taken & PTE_D;
	owed->class = (taken & (PTE_W | SPTE_MMU_WRITABLE)) ? "D4" : "D5";
	return true;
}

static __noinline void spte_changed(const struct event_spte_changed *event)
{
	const struct ghost_change *change = &ghost.change;
	struct debt owed = { .root = change->root,
			     .start = change->gfn,
			     .access = PTE_RWX,
			     .task = event->head.task };

	if (change->link != GHOST_LINKED || change->by_cpu || event->head.task == TASK_NONE)
		return;
	if (change->was_leaf && (!change->is_mapped || change->is_table)) {
		if (change->splits)
			return;
		owed.class = "D1";
	} else if (change->was_table &&
		   !(change->is_table && pte_pfn(event->old) == pte_pfn(event->new))) {
		owed.class = "D2";
		owed.table_level = change->level - 1;
	} else if (!change->was_leaf || !owes_in_place(event, &owed)) {
		return;
	}
	owed.end = change->gfn + PT_PAGES(change->level);
	owed.change = ghost_mark(&event->head);
	owe(&owed);
}

/* What the tables allow without asking, as far as the debt is about it. */
static u64 allowed(u64 pte, const struct debt *debt)
{
	u64 rights = pte & PTE_RWX;

	if (debt->dirty && inspect_ad_bits() && (pte & SPTE_AD_MASK) == SPTE_AD_ENABLED &&
	    !(pte & PTE_D))
		rights &= ~PTE_W;
	return rights;
}

/* T1. Return: whether @entry, which a debt concerns, allows more than the tables do now. */
static bool exceeds(const struct tlb_view *entry, const struct debt *debt)
{
	struct root_view root = ghost_root(entry->root);
	gfn_t gfn = max_u64(entry->gfn, debt->start);
	gfn_t end = min_u64(entry->gfn + PT_PAGES(entry->level), debt->end);
	struct ghost_leaf leaf;

	if (!root.level)
		return true;
	for (gfn_t at = gfn; gfn < end; gfn = at) {
		/* No leaf, or not before some pages behind. */
		if (!ghost_next_leaf(&root, &at, end, &leaf) || leaf.gfn > gfn)
			return true;
		if (ghost_leaf_pfn(&leaf, gfn) != entry->pfn + (gfn - entry->gfn))
			return true;
		if (entry->access & debt->access & ~allowed(leaf.pte, debt))
			return true;
	}
	return false;
}

static void convict_debt(const struct debt *debt, const struct event *due, u32 vcpu, gfn_t gfn,
			 pfn_t pfn, u64 access)
{
	oracle_convict(&(struct finding){
		.oracle = ORACLE_stale_tlb,
		.class = debt->class,
		.sentence = !debt->late			     ? d_sentence
			    : debt->change.task != TASK_NONE ? late_sentence
							     : t5_sentence,
		.at = ghost_mark(due),
		.against = debt->change,
		.values = { { "vcpu", vcpu },
			    { "gfn", gfn },
			    { debt->table_level && !access ? "table" : "pfn", pfn },
			    { "access", access } },
	});
}

/* Return: whether a cached table of @vcpu has convicted. */
static bool judge_psc(const struct debt *debt, const struct event *due, u32 vcpu)
{
	for (u32 i = 0; i < inspect_nr_psc(vcpu); i++) {
		struct psc_view entry = inspect_psc(vcpu, i);

		if (!psc_concerned(&entry, debt) || !psc_usable(vcpu, &entry))
			continue;
		convict_debt(debt, due, vcpu, entry.gfn, entry.table, 0);
		return true;
	}
	return false;
}

static void judge(const struct debt *debt, const struct event *due)
{
	/* Made invalid since: nobody runs on it any more. */
	if (!ghost_tag_counts(debt->root))
		return;
	for (u32 vcpu = 0; vcpu < inspect_nr_vcpus(); vcpu++) {
		for (u32 i = 0; i < inspect_nr_tlb(vcpu); i++) {
			struct tlb_view entry = inspect_tlb(vcpu, i);

			if (concerned(&entry, debt) && tlb_usable(vcpu, &entry) &&
			    exceeds(&entry, debt))
				return convict_debt(debt, due, vcpu, entry.gfn, entry.pfn,
						    entry.access);
		}
		if (debt->table_level && judge_psc(debt, due, vcpu))
			return;
	}
	oracle_count_stale_then_flushed(debt->usable);
}

/* All that the task owes is due now: with the section of mmu_lock, or (@late) with a call of dirty logging. */
static __noinline void settle(const struct event *due, bool late)
{
	u32 kept = 0;

	for (u32 i = 0; i < nr_debts; i++) {
		if (debts[i].task == due->task && debts[i].late == late)
			judge(&debts[i], due);
		else if (kept++ != i)
			debts[kept - 1] = debts[i];
	}
	nr_debts = kept;
}

/*
 * T5. Ledgers know of no debt where nothing was changed: whoever tracks accesses, or resets a dirty ring, may
 * have cleared W or D before, and has not flushed, or not yet.
 */
static void enabled(const struct event_dirty_log_changed *event)
{
	struct debt debt = { .class = "D4",
			     .start = event->start,
			     .end = event->end,
			     .access = BIT_ULL(ACCESS_WRITE),
			     .task = event->head.task,
			     .late = true,
			     .dirty = event->d_bits,
			     .change = { .time = ghost_task(event->head.task)->walked,
					 .task = TASK_NONE } };

	for (u32 i = 0; i < inspect_nr_roots(); i++) {
		struct root_view root = inspect_root(i);

		debt.root = root.pfn;
		if (root.as_id == event->as_id)
			judge(&debt, &event->head);
	}
}

static __noinline void dirty_log_changed(const struct event_dirty_log_changed *event)
{
	if (event->step != DIRTY_LOG_ENABLED)
		return;
	if (nr_debts)
		settle(&event->head, true);
	/* With all bits set nothing is protected, nor flushed, before it is cleared. */
	if (event->mode != DIRTY_LOG_INITIALLY_SET)
		enabled(event);
}

/* --- roots and requests --- */

static void convict_vcpu(const struct event *event, const char *class, const char *sentence,
			 u64 vcpu, const char *name, u64 value)
{
	oracle_convict(&(struct finding){
		.oracle = ORACLE_stale_tlb,
		.class = class,
		.sentence = sentence,
		.at = ghost_mark(event),
		.values = { { "vcpu", vcpu },
			    { "root", inspect_vcpu_root((u32)vcpu) },
			    { name, value } },
	});
}

static bool runs_on_invalid(u32 vcpu)
{
	return inspect_in_guest_mode(vcpu) && ghost_root(inspect_vcpu_root(vcpu)).invalid;
}

/* The section in which a root became invalid is over: its request must have thrown everybody out. */
static __noinline void invalidated(const struct event *event)
{
	invalidators &= ~(1u << event->task);
	for (u32 vcpu = 0; vcpu < inspect_nr_vcpus(); vcpu++)
		if (runs_on_invalid(vcpu))
			return convict_vcpu(event, "T8", t8_root, vcpu, "task", event->task);
}

static __noinline void released(const struct event *event)
{
	if (nr_debts)
		settle(event, false);
	if (event->task < TASKS_MAX && (invalidators >> event->task & 1))
		invalidated(event);
}

static __noinline void request_waited(const struct event_request_waited *event)
{
	u32 task = event->head.task;

	if (task >= TASKS_MAX)
		return;
	for (u32 vcpu = 0; vcpu < inspect_nr_vcpus(); vcpu++)
		if ((sent_to[task] >> vcpu & 1) && inspect_in_guest_mode(vcpu) &&
		    ghost.vcpu_entered[vcpu] < sent[task][vcpu])
			return convict_vcpu(&event->head, "T8", t8_waited, vcpu, "request",
					    event->request);
}

/* Whoever loads a root flushes before he goes in. */
static void judge_tag(const struct event *event, u32 vcpu)
{
	pfn_t root = inspect_vcpu_root(vcpu);
	u64 since = loaded[vcpu];

	loaded[vcpu] = 0;
	for (u32 i = 0; i < inspect_nr_tlb(vcpu); i++) {
		struct tlb_view entry = inspect_tlb(vcpu, i);

		if (entry.root == root && entry.filled_at < since)
			return convict_vcpu(event, "T3", t3_sentence, vcpu, "gfn", entry.gfn);
	}
	for (u32 i = 0; i < inspect_nr_psc(vcpu); i++) {
		struct psc_view entry = inspect_psc(vcpu, i);

		if (entry.root == root && entry.filled_at < since)
			return convict_vcpu(event, "T3", t3_sentence, vcpu, "table", entry.table);
	}
}

/* Between its look at the requests and the guest nothing happens: one that is there was overlooked. */
static __noinline void vcpu_entered(const struct event_vcpu_entered *event)
{
	u32 vcpu = (u32)event->vcpu;

	for (u64 left = requests; left; left &= left - 1) {
		u32 request = (u32)__builtin_ctzll(left);

		if (inspect_request_pending(vcpu, request))
			return convict_vcpu(&event->head, "T8", t8_entered, vcpu, "request",
					    request);
	}
	/* While the request to let go of it is still to come, it may. */
	if (!ghost.invalidating && runs_on_invalid(vcpu))
		return convict_vcpu(&event->head, "T8", t8_root, vcpu, "task", event->head.task);
	if (vcpu < VCPUS_MAX && loaded[vcpu])
		judge_tag(&event->head, vcpu);
}

static void request_sent(const struct event_request_sent *event)
{
	requests |= BIT_ULL(event->request);
	if (event->head.task >= TASKS_MAX || event->vcpu >= VCPUS_MAX)
		return;
	sent_to[event->head.task] |= (u8)(1u << event->vcpu);
	sent[event->head.task][event->vcpu] = event->head.time;
}

void stale_tlb_event(const struct event *event)
{
	const void *payload = event;
	const struct event_root_loaded *load = payload;

	switch (event->id) {
	case EVENT_spte_changed:
		return spte_changed(payload);
	case EVENT_lock_released:
		if (nr_debts | invalidators)
			released(event);
		return;
	case EVENT_notifier_start_returned:
		if (nr_debts)
			settle(event, false);
		return;
	case EVENT_harvest_ended:
		if (nr_debts)
			settle(event, true);
		return;
	case EVENT_dirty_log_changed:
		return dirty_log_changed(payload);
	case EVENT_root_loaded:
		if (load->vcpu < VCPUS_MAX)
			loaded[load->vcpu] = load->root ? event->time : 0;
		return;
	case EVENT_root_invalidated:
		if (event->task < TASKS_MAX && ghost_task(event->task)->mmu_locks)
			invalidators |= 1u << event->task;
		return;
	case EVENT_request_sent:
		return request_sent(payload);
	case EVENT_request_waited:
		return request_waited(payload);
	case EVENT_vcpu_entered:
		return vcpu_entered(payload);
	}
}
