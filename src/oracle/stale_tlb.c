/*
 * stale_tlb: a ledger of owed flushes. A change that takes something away from an entry of a valid
 * root opens a debt; when it is due, no vCPU may have a usable TLB entry that is older than the
 * change and allows more than the tables do now.
 *
 *  D1   A leaf was removed: due when the changer's section of mmu_lock ends, also to give way, and
 *       before range_start returns.
 *  D2   A table was removed or replaced: due when the section ends (so far nobody removes tables
 *       without the lock). Covers every translation below.
 *  D3   The MMU-writable bit of a leaf was cleared: due when the section ends.
 *  T1   What counts is what an entry allows beyond the table entry of now, not that it is old.
 *  T2   A TLB entry writes silently only if it was filled with W and D.
 *  T3   When a vCPU has loaded a root, no entry of that tag is left over from before.
 *  T4   Whoever flushes after the change pays: the entries are looked at, not who dropped them.
 *  T7   An entry filled after the change has read the new value and is no debt's business.
 *  T8   After a request that waits, vCPUs are out of the guest or have served it: entries of a vCPU
 *       that is out with a flush pending are not usable, others are judged.
 *
 * Never owed: flushes for a cleared A bit, for W cleared while the MMU may set it again, for
 * invalid roots (nobody runs on them, and loading a root flushes), for upgrades. Too many flushes
 * are no fault.
 */
#include "oracle/judge.h"

/* More than vCPUs have entries, without which there is no debt. What exceeds it is let off. */
#define DEBTS_MAX (2 * VCPUS_MAX * TLB_ENTRIES_MAX)

struct debt {
	const char *class;
	pfn_t root;
	gfn_t start, end;
	u32 access; /* mask of BIT(enum access) taken away */
	u32 task; /* who owes it */
	u32 usable; /* entries that could be used when it was made */
	struct ghost_mark change;
};

_Static_assert(PTE_RWX == (BIT_ULL(ACCESS_READ) | BIT_ULL(ACCESS_WRITE) | BIT_ULL(ACCESS_EXEC)),
	       "the mask of a TLB entry has the bits of a table entry");

static struct debt debts[DEBTS_MAX];
static u32 nr_debts;

static const char d_sentence[] =
	"A TLB flush for what an entry has lost is due before mmu_lock is released.";
static const char t3_sentence[] = "Loading a root leaves no TLB entry of an earlier use of it.";

void stale_tlb_reset(void)
{
	nr_debts = 0;
}

/* Return: whether @entry is older than the debt and allows something that was taken away. */
static bool concerned(const struct tlb_view *entry, const struct debt *debt)
{
	return entry->root == debt->root && entry->gfn < debt->end &&
	       entry->gfn + PT_PAGES(entry->level) > debt->start &&
	       entry->filled_at < debt->change.time && (entry->access & debt->access);
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
			usable += inspect_tlb_usable(vcpu, entry.root);
		}
	}
	if (!physical || nr_debts == DEBTS_MAX || ghost_root(owed->root).invalid)
		return;
	nr_debts++;
	debt->class = owed->class;
	debt->root = owed->root;
	debt->start = owed->start;
	debt->end = owed->end;
	debt->access = owed->access;
	debt->task = owed->task;
	debt->usable = usable;
	debt->change = owed->change;
}

static __noinline void spte_changed(const struct event_spte_changed *event)
{
	const struct ghost_change *change = &ghost.change;
	const char *class;
	u32 access = PTE_RWX;

	if (change->link != GHOST_LINKED || change->by_cpu || event->head.task == TASK_NONE)
		return;
	if (change->was_leaf && (!change->is_mapped || change->is_table)) {
		class = "D1";
	} else if (change->was_table &&
		   !(change->is_table && pte_pfn(event->old) == pte_pfn(event->new))) {
		class = "D2";
	} else if (change->was_leaf && (event->old & ~event->new &SPTE_MMU_WRITABLE)) {
		class = "D3";
		access = BIT_ULL(ACCESS_WRITE);
	} else {
		return;
	}
	owe(&(struct debt){ .class = class,
			    .root = change->root,
			    .start = change->gfn,
			    .end = change->gfn + PT_PAGES(change->level),
			    .access = access,
			    .task = event->head.task,
			    .change = ghost_mark(&event->head) });
}

/* T1. Return: whether @entry, which a debt concerns, allows more than the tables do now. */
static bool exceeds(const struct tlb_view *entry, const struct debt *debt)
{
	struct root_view root = ghost_root(entry->root);
	gfn_t gfn = max_u64(entry->gfn, debt->start), at = gfn;
	struct ghost_leaf leaf;

	if (!root.level || !ghost_next_leaf(&root, &at, gfn + 1, &leaf))
		return true;
	if (ghost_leaf_pfn(&leaf, gfn) != entry->pfn + (gfn - entry->gfn))
		return true;
	return entry->access & debt->access & ~leaf.pte & PTE_RWX;
}

static void judge(const struct debt *debt, const struct event *due)
{
	for (u32 vcpu = 0; vcpu < inspect_nr_vcpus(); vcpu++) {
		for (u32 i = 0; i < inspect_nr_tlb(vcpu); i++) {
			struct tlb_view entry = inspect_tlb(vcpu, i);

			if (!concerned(&entry, debt) || !inspect_tlb_usable(vcpu, entry.root) ||
			    !exceeds(&entry, debt))
				continue;
			oracle_convict(&(struct finding){
				.oracle = ORACLE_stale_tlb,
				.class = debt->class,
				.sentence = d_sentence,
				.at = ghost_mark(due),
				.against = debt->change,
				.values = { { "vcpu", vcpu },
					    { "gfn", entry.gfn },
					    { "pfn", entry.pfn },
					    { "access", entry.access } },
			});
			return;
		}
	}
	oracle_count_stale_then_flushed(debt->usable);
}

/* All that the task owes is due now. */
static __noinline void settle(const struct event *due)
{
	u32 kept = 0;

	for (u32 i = 0; i < nr_debts; i++) {
		if (debts[i].task == due->task)
			judge(&debts[i], due);
		else if (kept++ != i)
			debts[kept - 1] = debts[i];
	}
	nr_debts = kept;
}

static __noinline void root_loaded(const struct event_root_loaded *event)
{
	u32 vcpu = (u32)event->vcpu;

	for (u32 i = 0; event->root && i < inspect_nr_tlb(vcpu); i++) {
		struct tlb_view entry = inspect_tlb(vcpu, i);

		if (entry.root != event->root)
			continue;
		oracle_convict(&(struct finding){
			.oracle = ORACLE_stale_tlb,
			.class = "T3",
			.sentence = t3_sentence,
			.at = ghost_mark(&event->head),
			.values = { { "vcpu", vcpu },
				    { "root", event->root },
				    { "gfn", entry.gfn } },
		});
	}
}

static const char t8_sentence[] = "No vCPU is in the guest with a TLB flush left unserved.";

/* Between its look at the requests and the guest nothing happens: one that is there was overlooked. */
static __noinline void vcpu_entered(const struct event_vcpu_entered *event)
{
	if (!inspect_flush_pending((u32)event->vcpu))
		return;
	oracle_convict(&(struct finding){
		.oracle = ORACLE_stale_tlb,
		.class = "T8",
		.sentence = t8_sentence,
		.at = ghost_mark(&event->head),
		.values = { { "vcpu", event->vcpu } },
	});
}

void stale_tlb_event(const struct event *event)
{
	const void *payload = event;

	switch (event->id) {
	case EVENT_spte_changed:
		return spte_changed(payload);
	case EVENT_lock_released:
	case EVENT_notifier_start_returned:
		if (nr_debts)
			settle(event);
		return;
	case EVENT_root_loaded:
		return root_loaded(payload);
	case EVENT_vcpu_entered:
		return vcpu_entered(payload);
	}
}
