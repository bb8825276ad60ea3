/*
 * accounting: when all tasks have ended, everything that was taken has been given back.
 *
 *  AC0  No invalidation is open, by the MMU's own counters; no lock is held that was told of (search
 *       is told of mmu_lock only; assertion AS4 judges all, at the end of each op); no linked entry is
 *       FROZEN; each host page has exactly the references that the host accounts for (a fault that
 *       is over holds none).
 *  AC1  The page tables reachable from the roots, not counting these, are as many as the MMU says,
 *       and no other page table is left.
 *
 * May be left over: roots, linked tables without leaves, the sequence number, the range fields,
 * pending requests, TLB entries. Flushes are due when a lock is released: with no lock held none is
 * owed.
 */
#include "oracle/judge.h"

static const char counters_sentence[] = "With all tasks ended no invalidation is open.";
static const char lock_sentence[] = "With all tasks ended no lock is held.";
static const char frozen_sentence[] = "With all tasks ended no linked entry is FROZEN.";
static const char page_sentence[] =
	"With all tasks ended a host page has the host's references only.";
static const char leak_sentence[] = "With all tasks ended every page table is linked.";
static const char table_sentence[] = "The MMU counts as many page tables as are linked.";

void accounting_reset(void)
{
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

	if (!table || table->link != GHOST_LINKED)
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

void accounting_event(const struct event *event)
{
	struct end_state end = { .event = event };
	struct mmu_counters counters;

	judge_locks(&end);
	judge_pages(&end);
	if (!inspect_nr_roots())
		return;
	counters = inspect_mmu_counters();
	if (counters.in_progress || counters.active_invalidations)
		convict(&end, "AC0", counters_sentence, "in_progress", counters.in_progress,
			"active", counters.active_invalidations);
	for (u32 i = 0; i < inspect_nr_roots(); i++) {
		struct root_view root = inspect_root(i);

		judge_table(&end, root.pfn, root.level);
	}
	if (end.tables != counters.tables)
		convict(&end, "AC1", table_sentence, "linked", end.tables, "counted",
			counters.tables);
}
