/* What was taken has been given back: counters, page tables and references of host pages. */
#include "endstate/internal.h"

#define FRAMES_MAX 8192u /* pfns above are not judged */

static const char counters_sentence[] = "With all tasks ended no invalidation is open.";
static const char waits_sentence[] =
	"With all tasks ended no root waits for its zap, and nobody for invalidations to end.";
static const char zapped_sentence[] = "A root that has been zapped is empty.";
static const char vm_sentence[] = "When the VM is gone so are its page tables.";
static const char frozen_sentence[] = "With all tasks ended no linked entry is FROZEN.";
static const char page_sentence[] =
	"With all tasks ended a host page has the host's references only.";
static const char leak_sentence[] = "With all tasks ended every page table is linked.";
static const char nx_sentence[] =
	"With all tasks ended the list of split-off page tables holds linked ones only.";
static const char table_sentence[] = "The MMU counts as many page tables as are linked.";

static struct {
	struct judgement to;
	u64 tables; /* linked, without the roots */
	struct {
		bool found;
		pfn_t table;
		u32 index;
	} frozen; /* the first entry that somebody still owns */
	u64 linked[FRAMES_MAX / 64]; /* bit: this frame is a table, or a root, that is reachable */
	u64 references[FRAMES_MAX];
} walk;

static void convict(const char *class, const char *sentence, const char *first, u64 first_value,
		    const char *second, u64 second_value)
{
	CONVICT(&walk.to, "accounting", class, sentence,
		{ { first, first_value }, { second, second_value } });
}

static bool is_linked(pfn_t table)
{
	return table < FRAMES_MAX && (walk.linked[table / 64] >> table % 64 & 1);
}

/* Return: false when it was there before: two entries that lead to one table would never end otherwise. */
static bool link_table(pfn_t table)
{
	if (table >= FRAMES_MAX)
		return true;
	if (is_linked(table))
		return false;
	walk.linked[table / 64] |= BIT_ULL(table % 64);
	return true;
}

/* Looks at what hangs below. What leads to a table that is none any more is no business of this. */
static void visit(pfn_t table, u32 level)
{
	const u64 *words = inspect_table(table);

	for (u32 i = 0; words && i < PT_ENTRIES; i++) {
		if (words[i] == SPTE_FROZEN && !walk.frozen.found) {
			walk.frozen.found = true;
			walk.frozen.table = table;
			walk.frozen.index = i;
		}
		if (!entry_is_table(words[i], level))
			continue;
		walk.tables++;
		if (link_table(pte_pfn(words[i])))
			visit(pte_pfn(words[i]), level - 1);
	}
}

static void visit_roots(void)
{
	u64 nr = min_u64(inspect_nr_frames() + 1, FRAMES_MAX);

	walk.tables = 0;
	walk.frozen.found = false;
	for (u32 i = 0; i < (nr + 63) / 64; i++)
		walk.linked[i] = 0;
	for (u32 i = 0; inspect_vm() && i < inspect_nr_roots(); i++) {
		struct root_view root = inspect_root(i);

		if (link_table(root.pfn))
			visit(root.pfn, root.level);
	}
}

static void judge_page(pfn_t pfn, const struct frame_view *frame)
{
	if (frame->count == walk.references[pfn] || !frame->generation)
		return;
	if (!frame->allocated || frame->kind != FRAME_PAGE_TABLE) {
		CONVICT(&walk.to, "accounting", "AC0", page_sentence,
			{ { "pfn", pfn },
			  { "count", frame->count },
			  { "references", walk.references[pfn] } });
	} else if (!inspect_vm()) {
		convict("AC4", vm_sentence, "table", pfn, NULL, 0);
	} else if (!is_linked(pfn)) {
		convict("AC1", leak_sentence, "table", pfn, NULL, 0);
	}
}

static void judge_pages(void)
{
	u32 nr = (u32)min_u64(inspect_nr_frames() + 1, FRAMES_MAX);

	inspect_host_count_references(walk.references, nr);
	for (pfn_t pfn = 1; pfn < nr; pfn++) {
		struct frame_view frame = inspect_frame(pfn);

		judge_page(pfn, &frame);
	}
}

static void judge_tables(void)
{
	for (u32 i = 0; i < inspect_nr_roots(); i++) {
		struct root_view root = inspect_root(i);
		const u64 *words = root.invalid ? inspect_table(root.pfn) : NULL;

		for (u32 at = 0; words && at < PT_ENTRIES; at++)
			if (entry_maps(words[at]))
				convict("AC3", zapped_sentence, "root", root.pfn, "index", at);
	}
	if (walk.frozen.found)
		convict("AC0", frozen_sentence, "table", walk.frozen.table, "index",
			walk.frozen.index);
}

static void judge_counters(bool let_off)
{
	struct mmu_counters counters = inspect_mmu_counters();

	if ((counters.in_progress || counters.active_invalidations) && !let_off)
		convict("AC0", counters_sentence, "in_progress", counters.in_progress, "active",
			counters.active_invalidations);
	if (counters.scheduled_roots || counters.memslot_waiters)
		convict("AC0", waits_sentence, "scheduled_roots", counters.scheduled_roots,
			"memslot_waiters", counters.memslot_waiters);
	if (counters.nx_pages_gone)
		convict("AC7", nx_sentence, "listed", counters.nx_pages, "gone",
			counters.nx_pages_gone);
	if (walk.tables != counters.tables)
		convict("AC1", table_sentence, "linked", walk.tables, "counted", counters.tables);
}

void endstate_accounting(bool let_off, endstate_convict to, void *ctx)
{
	walk.to = (struct judgement){ to, ctx };
	visit_roots();
	judge_pages();
	if (!inspect_vm())
		return;
	judge_tables();
	judge_counters(let_off);
}
