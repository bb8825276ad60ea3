/*
 * accounting: when all tasks have ended, everything that was taken has been given back.
 *
 *  AC0  No invalidation is open, no root waits for its zap and no memslot update for invalidations, by
 *       the MMU's own counters; no lock is held that was told of (search is told of mmu_lock only;
 *       assertion AS4 judges all, at the end of each op); no linked entry is FROZEN; each host page has
 *       exactly the references that the host accounts for (a fault that is over holds none). The counts
 *       of invalidations are let off when the MMU was released and heard of a start but of no end.
 *  AC1  The page tables reachable from the roots, not counting these, are as many as the MMU says,
 *       and no other page table is left.
 *  AC2  Each table is freed once. (The machine notices: assertion AS1.)
 *  AC3  An invalid root that has been zapped holds nothing present, then and for ever after. When all
 *       tasks have ended every invalid root has been.
 *  AC4  With the VM no page table of it is left. While it is there, updates of its memslots have freed
 *       what they have made and do not use: as many structures have come up as slots have.
 *  AC7  The list of page tables that execute faults have split off holds linked ones only: recovery would
 *       work on one that is freed.
 *
 * May be left over: roots, also invalid empty ones that vCPUs hold; linked tables without leaves, MMIO
 * entries, the sequence number, the range fields, pending requests, cached translations. Flushes are due
 * when a lock is released: with no lock held none is owed.
 */
#include "endstate/endstate.h"
#include "oracle/judge.h"

static const char revived_sentence[] = "Nothing comes into a root that has been zapped.";
static const char zapped_sentence[] = "A root that has been zapped is empty.";
static const char slots_sentence[] =
	"Updates of the memslots free each structure that is not used.";
static const char lock_sentence[] = "With all tasks ended no lock is held.";

static s64 structures; /* of memslots: made and not freed */
static bool slots_counted; /* those that were there before the first update are among them */

void accounting_reset(void)
{
	structures = 0;
	slots_counted = false;
}

static void convict(const struct event *event, const char *class, const char *sentence,
		    const char *first, u64 first_value, const char *second, u64 second_value)
{
	oracle_convict(&(struct finding){
		.oracle = ORACLE_accounting,
		.class = class,
		.sentence = sentence,
		.at = ghost_mark(event),
		.values = { { first, first_value }, { second, second_value } },
	});
}

static void judge_locks(const struct event *event)
{
	for (u32 i = 0; i < TASKS_MAX; i++)
		if (ghost.tasks[i].locks)
			convict(event, "AC0", lock_sentence, "task", i, "locks",
				ghost.tasks[i].locks);
}

static void judge_slots(const struct event *event)
{
	if (slots_counted && structures != (s64)inspect_nr_slots())
		convict(event, "AC4", slots_sentence, "structures", (u64)structures, "slots",
			inspect_nr_slots());
}

/* AC3. The tables that hung below it are out of the tree and judged as such (spte_change C5). */
static void judge_zapped(const struct event *event, pfn_t root)
{
	const struct ghost_table *table = ghost_linked_table(root);
	const u64 *words = inspect_table(root);

	if (!table ||
	    !(table->flags & (event->id == EVENT_quiesced ? GHOST_INVALID : GHOST_ZAPPED)))
		return;
	for (u32 i = 0; words && i < PT_ENTRIES; i++)
		if (ghost_maps(words[i]))
			convict(event, "AC3", zapped_sentence, "root", root, "index", i);
}

/* What needs no events is judged beside the oracles, too. */
static void convict_at_rest(const struct endstate_finding *found, void *ctx)
{
	const struct event *event = ctx;
	struct finding finding = {
		.oracle = ORACLE_accounting,
		.class = found->class,
		.sentence = found->sentence,
		.at = ghost_mark(event),
	};

	for (u32 i = 0; i < ENDSTATE_VALUES_MAX; i++) {
		finding.values[i].name = found->values[i].name;
		finding.values[i].value = found->values[i].value;
	}
	oracle_convict(&finding);
}

static __noinline void quiesced(const struct event *event)
{
	struct event at = *event;

	judge_locks(event);
	/* The MMU may believe otherwise of a root that it has told to be invalid. */
	for (u32 i = 0; inspect_vm() && i < inspect_nr_roots(); i++)
		judge_zapped(event, inspect_root(i).pfn);
	endstate_accounting(ghost.left_inside, convict_at_rest, &at);
	if (inspect_vm())
		judge_slots(event);
}

static __noinline void revived(const struct event_spte_changed *event)
{
	oracle_convict(&(struct finding){
		.oracle = ORACLE_accounting,
		.class = "AC3",
		.sentence = revived_sentence,
		.at = ghost_mark(&event->head),
		.against = ghost.change.previous,
		.values = { { "root", event->table },
			    { "index", event->index },
			    { "new", event->new } },
	});
}

static void memslot_changed(const struct event_memslot_changed *event)
{
	switch (event->step) {
	case MEMSLOT_BEGUN:
		if (!slots_counted)
			structures = inspect_nr_slots();
		slots_counted = true;
		return;
	case MEMSLOT_INVALID:
	case MEMSLOT_ADDED:
		structures++;
		return;
	case MEMSLOT_FREED:
		structures--;
		return;
	}
}

void accounting_event(const struct event *event)
{
	const void *payload = event;

	switch (event->id) {
	case EVENT_spte_changed:
		return revived(payload);
	case EVENT_root_zapped:
		return judge_zapped(event, event_field(event, 0));
	case EVENT_memslot_changed:
		return memslot_changed(payload);
	default:
		return quiesced(event);
	}
}
