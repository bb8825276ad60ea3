/*
 * spte_change: what may happen to a table entry, and by whom.
 *
 *  C0  The value that a writer believes to replace is the one it does replace; only A may differ
 *      (the CPU sets it at any time), and only where the CPU keeps A. Catches lost updates
 *      before they have any consequence.
 *  C1  A leaf never moves to another frame in place; nor do its pages when a table of smaller leafs takes
 *      its place.
 *  C2  A leaf with W is MMU-writable, and one that is MMU-writable is host-writable.
 *  C3  In place: host-writable is never taken away. MMU-writable is given by a fault under mmu_lock
 *      only and taken under mmu_lock. W is given by a fault, by a split only where the huge leaf had it.
 *      D is taken by a fault that installs, and by dirty logging under mmu_lock (in a harvest, an enabling,
 *      or a walk that clears D or W), or with W under mmu_lock: the CPU may set it behind the back of
 *      who takes W, and has logged it; it is given by the CPU or a fault that installs. A fault that writes
 *      a leaf with W sets D as well, whoever keeps D: it is a bit of software's where the CPU keeps none.
 *  C4  A FROZEN entry is replaced by the task that froze it. (To freeze it again is no change.)
 *  C5  Nothing present is written into a table that was taken out of the tree; bits of an entry
 *      that is present there already may change, and whoever took the table out rewrites its entries
 *      to FROZEN or nothing. A root is out of the tree when it is off the list. A fault that stood in the
 *      table when it was taken out may still write where its owner has not been: what it leaves there
 *      must be gone when that one gives mmu_lock back.
 *  C6  Nothing replaces nothing, unless FROZEN or an MMIO entry has a part in it.
 *  C7  Without mmu_lock the CPU writes, only A, and D of a leaf; and the fast page fault, in one exchange
 *      of a present leaf: W where the leaf is MMU-writable, R and X where they were saved for access
 *      tracking (whose place is cleared), and A; and whoever ages pages, of whom lost_young LY1 says what he
 *      may. A table takes the place of a huge leaf, or gives way to one, in a fault, a split or a recovery,
 *      and under mmu_lock.
 *
 * Filling a table before it is linked is private and free of C3, C5 and C7.
 */
#include "oracle/judge.h"

struct rule {
	const char *class, *sentence;
};

static const struct rule
	expected_differs = { "C0",
			     "The value replaced is the one that the writer believed to replace." },
	moved = { "C1", "A leaf never moves to another frame in place." },
	split_moved = { "C1", "A split leaves each page where it was." },
	lattice = { "C2", "W needs MMU-writable, and MMU-writable needs host-writable." },
	host_writable_taken = { "C3", "Host-writable is not taken from an entry in place." },
	writable_given = { "C3", "W is given by faults, MMU-writable by faults under mmu_lock." },
	split_gives = { "C3", "A split gives no right to write." },
	mmu_writable_taken = { "C3", "MMU-writable is taken under mmu_lock." },
	dirty_changed = { "C3", "D is set by the CPU or an install, cleared by dirty logging or an "
				"install." },
	dirty_missing = { "C3", "A fault that sets W sets D in the same value." },
	frozen_replaced = { "C4", "A FROZEN entry is replaced by its owner." },
	detached_written = { "C5", "Nothing present is written into a detached table." },
	nothing_replaced = { "C6", "Nothing replaces nothing unless one is FROZEN or for MMIO." },
	cpu_bits = { "C7", "The CPU sets A, and D of a leaf, and changes nothing else." },
	fast_fault = { "C7", "Without mmu_lock a fault restores W, R and X and sets A, no more." },
	unlocked = { "C7", "Software changes entries under mmu_lock." },
	reshaped = { "C7", "A leaf and a table change places in a fault, a split or a recovery." };

/* Entries that were written in a detached table, which its owner has yet to empty. */
#define LATE_MAX 16u
static struct {
	pfn_t table;
	u64 birth;
	u32 index, owner; /* task */
	struct event_spte_changed written;
} late[LATE_MAX];
u32 spte_change_late;

void spte_change_reset(void)
{
	spte_change_late = 0;
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

	if ((event->old & SPTE_AD_MASK) != SPTE_AD_DISABLED && ghost.change.was_mapped)
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

/* C7: the leaf is not locked against anybody, so nothing but what its own bits allow may come of it. */
static void judge_fast_fault(const struct event_spte_changed *event)
{
	u64 given = event->new & ~event->old, taken = event->old & ~event->new;
	u64 saved = (event->old & SAVED_BITS) >> 54;
	u64 may = PTE_A;

	/* All of it, or nothing: who is half tracked keeps the rest for ever. */
	if (taken)
		may |= saved;
	if (event->old & SPTE_MMU_WRITABLE)
		may |= PTE_W;
	if ((given & ~may) || (taken && taken != (event->old & SAVED_BITS)) ||
	    (taken && (saved & ~event->new)))
		convict(event, &fast_fault);
}

/* C1, C3: a leaf became another leaf. */
static void judge_in_place(const struct event_spte_changed *event, bool by_fault)
{
	const struct ghost_task *task = ghost_task(event->head.task);
	u64 given = event->new & ~event->old, taken = event->old & ~event->new;
	bool locked = task->mmu_locks;
	bool installs = by_fault && locked;
	bool logs = locked && ghost_logs_dirty(task);

	if (pte_pfn(event->old) != pte_pfn(event->new))
		convict(event, &moved);
	if (taken & SPTE_HOST_WRITABLE)
		convict(event, &host_writable_taken);
	if (((given & SPTE_MMU_WRITABLE) && !installs) ||
	    ((given & PTE_W) && !installs && !ghost.change.restores))
		convict(event, &writable_given);
	if ((taken & SPTE_MMU_WRITABLE) && !locked)
		convict(event, &mmu_writable_taken);
	if (ghost.change.by_cpu)
		return;
	if (((given & PTE_D) && !installs) ||
	    ((taken & PTE_D) && !installs && !logs && !(locked && (taken & PTE_W))))
		convict(event, &dirty_changed);
}

static void judge_leaf(const struct event_spte_changed *event, bool by_fault)
{
	bool installs = by_fault && !ghost.change.restores;
	u64 new = event->new;

	if ((new &PTE_W) && !(new &SPTE_MMU_WRITABLE))
		convict(event, &lattice);
	if ((new &SPTE_MMU_WRITABLE) && !(new &SPTE_HOST_WRITABLE))
		convict(event, &lattice);
	if (installs && (new &PTE_W) && !(new &PTE_D))
		convict(event, &dirty_missing);
}

/* C1, C3: the table was filled while nobody could see it; here it becomes what the guest runs on. */
static void judge_split(const struct event_spte_changed *event)
{
	const u64 writes = PTE_W | SPTE_MMU_WRITABLE | SPTE_HOST_WRITABLE;
	const u64 *words = inspect_table(pte_pfn(event->new));
	u32 below = ghost.change.level - 1;

	for (u32 i = 0; words && i < PT_ENTRIES; i++) {
		if (!ghost_is_leaf(words[i], below))
			continue;
		if (pte_pfn(words[i]) != pte_pfn(event->old) + i * PT_PAGES(below))
			return convict(event, &split_moved);
		if (words[i] & ~event->old & writes)
			return convict(event, &split_gives);
	}
}

/* A leaf and a table have changed places. */
static void judge_shape(const struct event_spte_changed *event, bool by_fault)
{
	const struct ghost_task *task = ghost_task(event->head.task);
	u32 wanted = ghost.change.is_table ? WALK_SPLIT : WALK_RECOVER;
	bool walks = (task->chores & GHOST_WALKS) && task->walk == wanted;

	if (!by_fault && !walks)
		convict(event, &reshaped);
	if (ghost.change.was_leaf)
		judge_split(event);
}

static void judge_nothing(const struct event_spte_changed *event)
{
	bool frozen = event->old == SPTE_FROZEN || event->new == SPTE_FROZEN;
	bool mmio = ghost_is_mmio(event->old) || ghost_is_mmio(event->new);

	if (event->old != event->new && !frozen && !mmio)
		convict(event, &nothing_replaced);
}

/*
 * Whether the owner of a detached table is still at it, and the writer was inside before. Remembers the entry
 * then; where there is no room, it is let off.
 */
static bool is_early(const struct event_spte_changed *event)
{
	const struct ghost_table *table = ghost_linked_table(event->table);
	const struct ghost_task *writer = ghost_task(event->head.task), *owner;

	if (!table || !writer->mmu_locks || writer->mmu_acquired.time > table->detached.time)
		return false;
	owner = ghost_task(table->detached.task);
	if (owner == writer || !owner->mmu_locks || owner->section != table->section)
		return false;
	if (spte_change_late == LATE_MAX)
		return true;
	late[spte_change_late].table = event->table;
	late[spte_change_late].birth = table->birth;
	late[spte_change_late].index = (u32)event->index;
	late[spte_change_late].owner = table->detached.task;
	late[spte_change_late++].written = *event;
	return true;
}

/* The owner is done: nothing is left that was written behind its back. */
static __noinline void released(const struct event *event)
{
	u32 kept = 0;

	for (u32 i = 0; i < spte_change_late; i++) {
		const struct ghost_table *table = ghost_linked_table(late[i].table);

		if (late[i].owner != event->task) {
			if (kept++ != i)
				late[kept - 1] = late[i];
			continue;
		}
		if (table && table->birth == late[i].birth && table->link == GHOST_DETACHED &&
		    ghost_maps(inspect_table_entry(late[i].table, late[i].index)))
			convict(&late[i].written, &detached_written);
	}
	spte_change_late = kept;
}

static inline void entry_changed(const struct event_spte_changed *event)
{
	const struct ghost_change *change = &ghost.change;
	u32 task = event->head.task;
	/* The CPU of a faulting vCPU is outside the guest: whatever it writes is the fault's. */
	bool by_fault = !change->by_cpu && ghost_task(task)->fault.active;

	judge_expected(event);
	if (change->by_cpu)
		judge_cpu(event);
	else if (change->restores)
		judge_fast_fault(event);
	else if (change->link == GHOST_LINKED && task != TASK_NONE &&
		 !ghost_task(task)->mmu_locks && !change->by_ager)
		convict(event, &unlocked);
	if (event->old == SPTE_FROZEN && event->new != SPTE_FROZEN && change->previous.time &&
	    change->previous.task != task)
		convict(event, &frozen_replaced);
	if (!change->was_mapped && !change->is_mapped)
		judge_nothing(event);
	if (change->link == GHOST_DETACHED && change->is_mapped &&
	    (!change->was_mapped || pte_pfn(event->old) != pte_pfn(event->new)) && !is_early(event))
		convict(event, &detached_written);
	if (change->is_leaf)
		judge_leaf(event, by_fault);
	if (change->was_leaf && change->is_leaf)
		judge_in_place(event, by_fault);
	else if ((change->was_leaf && change->is_table) || (change->was_table && change->is_leaf))
		judge_shape(event, by_fault);
}

void spte_change_event(const struct event *payload)
{
	if (payload->id == EVENT_lock_released)
		released(payload);
	else
		entry_changed((const void *)payload);
}
