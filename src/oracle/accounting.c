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
#include "oracle/judge.h"

static const char counters_sentence[] = "With all tasks ended no invalidation is open.";
static const char waits_sentence[] =
	"With all tasks ended no root waits for its zap, and nobody for invalidations to end.";
static const char revived_sentence[] = "Nothing comes into a root that has been zapped.";
static const char zapped_sentence[] = "A root that has been zapped is empty.";
static const char vm_sentence[] = "When the VM is gone so are its page tables.";
static const char slots_sentence[] =
	"Updates of the memslots free each structure that is not used.";
static const char lock_sentence[] = "With all tasks ended no lock is held.";
static const char frozen_sentence[] = "With all tasks ended no linked entry is FROZEN.";
static const char page_sentence[] =
	"With all tasks ended a host page has the host's references only.";
static const char leak_sentence[] = "With all tasks ended every page table is linked.";
static const char nx_sentence[] =
	"With all tasks ended the list of split-off page tables holds linked ones only.";
static const char table_sentence[] = "The MMU counts as many page tables as are linked.";

static s64 structures; /* of memslots: made and not freed */
static bool slots_counted; /* those that were there before the first update are among them */

void accounting_reset(void)
{
	structures = 0;
	slots_counted = false;
}

struct end_state {
	const struct event *event;
	u64 tables;
};

static void convict(const struct end_state *end, const char *class, const char *sentence,
		    const char *first, u64 first_value, const char *second, u64 second_value)
{
	oracle_convict(&(struct finding){
		.oracle = ORACLE_accounting,
		.class = class,
		.sentence = sentence,
		.at = ghost_mark(end->event),
		.values = { { first, first_value }, { second, second_value } },
	});
}

static void judge_locks(const struct end_state *end)
{
	for (u32 i = 0; i < TASKS_MAX; i++)
		if (ghost.tasks[i].locks)
			convict(end, "AC0", lock_sentence, "task", i, "locks",
				ghost.tasks[i].locks);
}

/* Counts the tables below, and looks for entries that somebody still owns. */
static void judge_table(struct end_state *end, pfn_t table, u32 level)
{
	const u64 *words = inspect_table(table);

	for (u32 i = 0; words && i < PT_ENTRIES; i++) {
		u64 pte = words[i];

		if (pte == SPTE_FROZEN)
			convict(end, "AC0", frozen_sentence, "table", table, "index", i);
		if (!ghost_is_table(pte, level))
			continue;
		end->tables++;
		judge_table(end, pte_pfn(pte), level - 1);
	}
}

/* A page table is no page that the host maps, but somebody must still reach it. */
static void judge_table_frame(const struct end_state *end, pfn_t pfn)
{
	const struct ghost_table *table = ghost_linked_table(pfn);

	if (!inspect_vm())
		convict(end, "AC4", vm_sentence, "table", pfn, NULL, 0);
	else if (!table || table->link != GHOST_LINKED)
		convict(end, "AC1", leak_sentence, "table", pfn, NULL, 0);
}

static void judge_pages(const struct end_state *end)
{
	static u64 references[GHOST_FRAMES_MAX];
	u32 nr = (u32)min_u64(inspect_nr_frames() + 1, GHOST_FRAMES_MAX);

	inspect_host_count_references(references, nr);
	for (pfn_t pfn = 1; pfn < nr; pfn++) {
		struct frame_view frame = inspect_frame(pfn);

		if (frame.count == references[pfn] || !frame.generation)
			continue;
		if (frame.allocated && frame.kind == FRAME_PAGE_TABLE) {
			judge_table_frame(end, pfn);
			continue;
		}
		oracle_convict(&(struct finding){
			.oracle = ORACLE_accounting,
			.class = "AC0",
			.sentence = page_sentence,
			.at = ghost_mark(end->event),
			.values = { { "pfn", pfn },
				    { "count", frame.count },
				    { "references", references[pfn] } },
		});
	}
}

static void judge_slots(const struct end_state *end)
{
	if (slots_counted && structures != (s64)inspect_nr_slots())
		convict(end, "AC4", slots_sentence, "structures", (u64)structures, "slots",
			inspect_nr_slots());
}

static void judge_counters(const struct end_state *end, const struct mmu_counters *counters)
{
	if ((counters->in_progress || counters->active_invalidations) && !ghost.left_inside)
		convict(end, "AC0", counters_sentence, "in_progress", counters->in_progress,
			"active", counters->active_invalidations);
	if (counters->scheduled_roots || counters->memslot_waiters)
		convict(end, "AC0", waits_sentence, "scheduled_roots", counters->scheduled_roots,
			"memslot_waiters", counters->memslot_waiters);
	if (counters->nx_pages_gone)
		convict(end, "AC7", nx_sentence, "listed", counters->nx_pages, "gone",
			counters->nx_pages_gone);
	if (end->tables != counters->tables)
		convict(end, "AC1", table_sentence, "linked", end->tables, "counted",
			counters->tables);
}

/* AC3. The tables that hung below it are out of the tree and judged as such (spte_change C5). */
static void judge_zapped(const struct event *event, pfn_t root)
{
	const struct end_state now = { .event = event };
	const struct ghost_table *table = ghost_linked_table(root);
	const u64 *words = inspect_table(root);

	if (!table ||
	    !(table->flags & (event->id == EVENT_quiesced ? GHOST_INVALID : GHOST_ZAPPED)))
		return;
	for (u32 i = 0; words && i < PT_ENTRIES; i++)
		if (ghost_maps(words[i]))
			convict(&now, "AC3", zapped_sentence, "root", root, "index", i);
}

static __noinline void quiesced(const struct event *event)
{
	struct end_state end = { .event = event };
	struct mmu_counters counters;

	judge_locks(&end);
	judge_pages(&end);
	if (!inspect_vm())
		return;
	counters = inspect_mmu_counters();
	for (u32 i = 0; i < inspect_nr_roots(); i++) {
		struct root_view root = inspect_root(i);

		judge_zapped(event, root.pfn);
		judge_table(&end, root.pfn, root.level);
	}
	judge_counters(&end, &counters);
	judge_slots(&end);
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
