/*
 * stall: a walk that may give way offers to often enough. What counts is the table entries that it
 * reads and writes between two offers (calls of need_resched(), taken or declined), and behind the last.
 *
 *  ST1  Zapping an invalid root: a pass over the lowest level offers within
 *       STEP + 1 entries; a later pass within STEP + 1 + E; in the design two_pass each within
 *       STEP + 1 + E + E * E. The design single_pass is judged like a later pass. Valid roots (at
 *       release) may be filled again between two passes: not judged.
 *  ST2  Zapping the leafs of a range, if it may give way: within STEP + 1.
 *  ST3  Taking W from the leafs of a memslot: within STEP + 1. Taking D: within STEP + 1 + E, so that an empty
 *       table may be passed in one go, but not two (upstream does, see the knob clear_dirty_offers).
 *       Splitting them: STEP + 1 + E. Recovering huge ones: STEP + 1 + DISMANTLE or STEP + SEARCH,
 *       whichever is more.
 *  ST7  Resetting dirty rings: one entry of each ring, and one more.
 *
 * Where the bounds come from, with L the root's level and E the entries of a table. An offer precedes the
 * work at each entry. From one offer to the next a correct walk does this much at most:
 *
 *   work    1 exchange of the entry, failed or not: a failed one is tried again behind a new offer. In a
 *           pass above the lowest level the entry may hold a table, of which each of the E entries is
 *           frozen. The pass before has emptied them, so nothing lies below, unless a level was left
 *           out (as by two_pass): then there are E tables of E entries more.
 *   STEP    1 read of the entry before stepping down, which finds that the table has vanished; or
 *           1 read of each entry on the way up, L - 1 at most; 1 read of the entry aside. From the
 *           lowest level nobody steps down, from elsewhere the way up is shorter: L altogether.
 *           Stepping down is 2 reads, a restart after a yield is 1.
 *
 * Both are reached by correct code, so there is none to spare. A walk that does not offer while it goes
 * through one table of leafs touches up to twice E.
 *
 *   split   fills a table, E entries, and exchanges the entry for it; when the exchange fails the
 *           next comes behind an offer, with the same table filled anew. When there is no table at hand
 *           the locks are given back to get one (ST6), and the walk starts over: 1 read.
 *   SEARCH  Recovery looks for a leaf below a table to make the huge one from, in a walk of its own that
 *           offers at the first leaf. From the root down 1 + 2 * (L - 1) reads; below the entry, at the level
 *           of 2M E entries, of which the first is in that; above, E tables more, each with its 2 reads
 *           down, E entries and 1 on the way up; then up to L on the way out.
 *   DISMANTLE
 *           the E entries of a table that a huge leaf took the place of, each of which is frozen; above
 *           the level of 2M with E tables of E entries more. How high a walk may get is for the host's
 *           pages to say: a huge leaf needs one as large.
 *   reset   a ring takes an entry, then offers, unless it was the first one, then works on the last.
 *
 * Not judged: calls that must not block (their range is what bounds them), and the walk at release,
 * when nobody can run any more; harvests of a bitmap, which hold mmu_lock for all of it (ST4); what a fault
 * dismantles. ST5 holds because declined offers count as offers.
 */
#include "oracle/judge.h"

static const char st1[] = "Zapping a root offers to give way after each entry of a pass.";
static const char st3[] = "A walk over a memslot offers to give way at each entry.";
static const char st7[] = "Resetting dirty rings offers to give way at each entry.";
static const char st2[] = "Zapping a range offers to give way at each entry.";

#define UNBOUNDED    (~0u)
#define TABLES_BELOW (PT_ENTRIES * PT_ENTRIES)

/* The walk that a task is on. */
static struct {
	const char *class, *sentence;
	struct ghost_mark begun;
	u64 root, level;
	bool resets; /* dirty rings, instead of walking */
} walks[TASKS_MAX];

void stall_reset(void)
{
	for (u32 i = 0; i < TASKS_MAX; i++) {
		event_context.touched_max[i] = UNBOUNDED;
		walks[i].resets = false;
	}
}

/* Return: the level of the largest page that the host has in a part of [start, end) that it fills. */
static u32 host_level(const struct root_view *root, gfn_t start, gfn_t end)
{
	u64 pages = PT_PAGES(PT_LEVEL_1G);
	u32 level = PT_LEVEL_2M;

	for (u32 i = 0; root->level >= PT_LEVEL_1G && i < inspect_nr_slots(); i++) {
		struct slot_view slot = inspect_slot(i);
		gfn_t from = (max_u64(start, slot.start) + pages - 1) & ~(pages - 1);

		for (; slot.as_id == root->as_id && from + pages <= min_u64(end, slot.end);
		     from += pages)
			if (inspect_host_level(slot.hva + (from - slot.start)) > level)
				level = PT_LEVEL_1G;
	}
	return level;
}

static u32 recovery_bound(const struct root_view *root, gfn_t start, gfn_t end)
{
	bool giant = host_level(root, start, end) > PT_LEVEL_2M;
	u32 search = 1 + 2 * (root->level - 1) + PT_ENTRIES - 1 + root->level;
	u32 dismantle = 1 + PT_ENTRIES;

	if (giant) {
		search += PT_ENTRIES * (PT_ENTRIES + 3);
		dismantle += TABLES_BELOW;
	}
	return root->level + (u32)max_u64(search, dismantle);
}

/* Return: how many entries may be touched between two offers. */
static u32 bound_of(const struct event_walk_begun *event)
{
	struct root_view root = ghost_root(event->root);
	u32 one = root.level + 1; /* STEP + 1 */

	if (!root.level)
		return UNBOUNDED;
	switch (event->kind) {
	case WALK_ZAP_LEAFS:
	case WALK_WRPROT:
		return one;
	case WALK_CLEAR_DIRTY:
	case WALK_SPLIT:
		return one + PT_ENTRIES;
	case WALK_RECOVER:
		return recovery_bound(&root, event->start, event->end);
	case WALK_ZAP_ROOT:
		if (!root.invalid)
			return UNBOUNDED;
		if (event->level == PT_LEVEL_4K)
			return one;
		return one + PT_ENTRIES;
	case WALK_ZAP_ROOT_TWO_PASS:
		if (!root.invalid)
			return UNBOUNDED;
		return one + PT_ENTRIES + TABLES_BELOW;
	}
	return UNBOUNDED;
}

static void walk_begun(const struct event_walk_begun *event)
{
	u32 task = event->head.task;

	if (task >= TASKS_MAX)
		return;
	event_context.touched[task] = 0;
	event_context.touched_max[task] = bound_of(event);
	walks[task].class = "ST1";
	walks[task].sentence = st1;
	if (event->kind == WALK_ZAP_LEAFS) {
		walks[task].class = "ST2";
		walks[task].sentence = st2;
	} else if (event->kind >= WALK_WRPROT) {
		walks[task].class = "ST3";
		walks[task].sentence = st3;
	}
	walks[task].begun = ghost_mark(&event->head);
	walks[task].root = event->root;
	walks[task].level = event->level;
}

static void harvest_begun(const struct event_harvest_begun *event)
{
	u32 task = event->head.task;

	if (task >= TASKS_MAX || event->kind != HARVEST_RESET)
		return;
	event_context.taken[task] = 0;
	walks[task].class = "ST7";
	walks[task].sentence = st7;
	walks[task].begun = ghost_mark(&event->head);
	walks[task].root = walks[task].level = 0;
	walks[task].resets = true;
}

static __noinline void overdue(const struct event *event, u64 entries, u64 bound)
{
	oracle_convict(&(struct finding){
		.oracle = ORACLE_stall,
		.class = walks[event->task].class,
		.sentence = walks[event->task].sentence,
		.at = ghost_mark(event),
		.against = walks[event->task].begun,
		.values = { { "entries", entries },
			    { "bound", bound },
			    { "root", walks[event->task].root },
			    { "level", walks[event->task].level } },
	});
}

/* ST7. The first entry of each ring comes without an offer before it. */
static void dirty_taken(const struct event_dirty_taken *event)
{
	u32 task = event->head.task, bound = inspect_nr_vcpus() + 1;

	if (!event->ring || task >= TASKS_MAX || !walks[task].resets)
		return;
	if (++event_context.taken[task] > bound)
		overdue(&event->head, event_context.taken[task], bound);
}

static void walk_ended(const struct event *event)
{
	u32 task = event->task;

	if (task >= TASKS_MAX)
		return;
	if (event_context.touched[task] > event_context.touched_max[task])
		overdue(event, event_context.touched[task], event_context.touched_max[task]);
	event_context.touched_max[task] = UNBOUNDED;
}

void stall_event(const struct event *event)
{
	const void *payload = event;
	const struct event_yield_overdue *late = payload;

	switch (event->id) {
	case EVENT_walk_begun:
		return walk_begun(payload);
	case EVENT_harvest_begun:
		return harvest_begun(payload);
	case EVENT_dirty_taken:
		return dirty_taken(payload);
	case EVENT_harvest_ended:
		if (event->task < TASKS_MAX)
			walks[event->task].resets = false;
		return;
	case EVENT_walk_ended:
		return walk_ended(event);
	case EVENT_yield_overdue:
		if (event->task < TASKS_MAX)
			overdue(event, late->entries, late->bound);
		return;
	}
}
