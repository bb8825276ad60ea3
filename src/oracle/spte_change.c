/*
 * spte_change: what may happen to a table entry, and by whom.
 *
 *  C0  The value that a writer believes to replace is the one it does replace; only A may differ
 *      (the CPU sets it at any time), and only where the CPU keeps A and D. Catches lost updates
 *      before they have any consequence.
 *  C1  A leaf never moves to another frame in place.
 *  C2  A leaf with W is MMU-writable, and one that is MMU-writable is host-writable.
 *  C3  In place: host-writable is never taken away. MMU-writable is given by a fault under mmu_lock
 *      only and taken under mmu_lock. W is given by a fault. D is taken by nobody but a fault that
 *      installs, given by the CPU or a fault. A fault that writes a leaf with W sets D as well.
 *  C4  A FROZEN entry is replaced by the task that froze it. (To freeze it again is no change.)
 *  C5  Nothing present is written into a table that was taken out of the tree; bits of an entry
 *      that is present there already may change, and whoever took the table out rewrites its entries
 *      to FROZEN or nothing. A root is out of the tree when it is off the list.
 *  C6  Nothing replaces nothing, unless FROZEN or an MMIO entry has a part in it.
 *  C7  Without mmu_lock only the CPU writes, only A, and D of a leaf. (Lockless agers and the fast
 *      fault path do not exist yet.)
 *
 * Filling a table before it is linked is private and free of C3, C5 and C7.
 */
#include "oracle/judge.h"

#define SPTE_AD_TYPE (3ull << 52) /* 0: the CPU keeps A and D */

struct rule {
	const char *class, *sentence;
};

static const struct rule
	expected_differs = { "C0",
			     "The value replaced is the one that the writer believed to replace." },
	moved = { "C1", "A leaf never moves to another frame in place." },
	lattice = { "C2", "W needs MMU-writable, and MMU-writable needs host-writable." },
	host_writable_taken = { "C3", "Host-writable is not taken from an entry in place." },
	writable_given = { "C3", "W and MMU-writable are given by faults under mmu_lock." },
	mmu_writable_taken = { "C3", "MMU-writable is taken under mmu_lock." },
	dirty_changed = { "C3",
			  "D is set by the CPU or a fault and cleared by a fault that installs." },
	dirty_missing = { "C3", "A fault that sets W sets D in the same value." },
	frozen_replaced = { "C4", "A FROZEN entry is replaced by its owner." },
	detached_written = { "C5", "Nothing present is written into a detached table." },
	nothing_replaced = { "C6", "Nothing replaces nothing unless one is FROZEN or for MMIO." },
	cpu_bits = { "C7", "The CPU sets A, and D of a leaf, and changes nothing else." },
	unlocked = { "C7", "Software changes entries under mmu_lock." };

void spte_change_reset(void)
{
}

static void convict(const struct event_spte_changed *event, const struct rule *rule)
{
	oracle_convict(&(struct finding){
		.oracle = ORACLE_spte_change,
		.class = rule->class,
		.sentence = rule->sentence,
		.at = ghost_mark(&event->head),
		.against = ghost.change.previous,
		.values = { { "table", event->table },
			    { "index", event->index },
			    { "old", event->old },
			    { "new", event->new },
			    { "expected", event->expected } },
	});
}

static void judge_expected(const struct event_spte_changed *event)
{
	u64 differs = event->expected ^ event->old;

	if (!(event->old & SPTE_AD_TYPE) && ghost.change.was_mapped)
		differs &= ~PTE_A;
	if (differs)
		convict(event, &expected_differs);
}

static void judge_cpu(const struct event_spte_changed *event)
{
	const struct ghost_change *change = &ghost.change;
	u64 differs = event->old ^ event->new;
	u64 may = PTE_A;

	if (change->was_leaf || !change->level)
		may |= PTE_D;
	if ((differs & ~may) || (event->old & differs) || !change->was_mapped)
		convict(event, &cpu_bits);
}

/* C1, C3: a leaf became another leaf. */
static void judge_in_place(const struct event_spte_changed *event, bool by_fault)
{
	u64 given = event->new & ~event->old, taken = event->old & ~event->new;
	bool locked = ghost_task(event->head.task)->mmu_locks;

	if (pte_pfn(event->old) != pte_pfn(event->new))
		convict(event, &moved);
	if (taken & SPTE_HOST_WRITABLE)
		convict(event, &host_writable_taken);
	if ((given & (PTE_W | SPTE_MMU_WRITABLE)) && !(by_fault && locked))
		convict(event, &writable_given);
	if ((taken & SPTE_MMU_WRITABLE) && !locked)
		convict(event, &mmu_writable_taken);
	if (((given | taken) & PTE_D) && !ghost.change.by_cpu && !by_fault)
		convict(event, &dirty_changed);
}

static void judge_leaf(const struct event_spte_changed *event, bool by_fault)
{
	u64 new = event->new;

	if ((new &PTE_W) && !(new &SPTE_MMU_WRITABLE))
		convict(event, &lattice);
	if ((new &SPTE_MMU_WRITABLE) && !(new &SPTE_HOST_WRITABLE))
		convict(event, &lattice);
	if (by_fault && (new &PTE_W) && !(new &(PTE_D | SPTE_AD_TYPE)))
		convict(event, &dirty_missing);
}

static void judge_nothing(const struct event_spte_changed *event)
{
	bool frozen = event->old == SPTE_FROZEN || event->new == SPTE_FROZEN;
	bool mmio = ghost_is_mmio(event->old) || ghost_is_mmio(event->new);

	if (event->old != event->new && !frozen && !mmio)
		convict(event, &nothing_replaced);
}

void spte_change_event(const struct event *payload)
{
	const struct event_spte_changed *event = (const void *)payload;
	const struct ghost_change *change = &ghost.change;
	u32 task = event->head.task;
	/* The CPU of a faulting vCPU is outside the guest: whatever it writes is the fault's. */
	bool by_fault = !change->by_cpu && ghost_task(task)->fault.active;

	judge_expected(event);
	if (change->by_cpu)
		judge_cpu(event);
	else if (change->link == GHOST_LINKED && task != TASK_NONE && !ghost_task(task)->mmu_locks)
		convict(event, &unlocked);
	if (event->old == SPTE_FROZEN && event->new != SPTE_FROZEN && change->previous.time &&
	    change->previous.task != task)
		convict(event, &frozen_replaced);
	if (!change->was_mapped && !change->is_mapped)
		judge_nothing(event);
	if (change->link == GHOST_DETACHED && change->is_mapped &&
	    (!change->was_mapped || pte_pfn(event->old) != pte_pfn(event->new)))
		convict(event, &detached_written);
	if (change->is_leaf)
		judge_leaf(event, by_fault);
	if (change->was_leaf && change->is_leaf)
		judge_in_place(event, by_fault);
}
