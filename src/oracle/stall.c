/*
 * stall: a walk that may give way offers to often enough. What counts is the table entries that it
 * reads and writes between two offers (calls of need_resched(), taken or declined), and behind the last.
 *
 *  ST1  Zapping an invalid root: a pass over the lowest level offers within
 *       STEP + 1 entries; a later pass within STEP + 1 + E; in the design two_pass each within
 *       STEP + 1 + E + E * E. The design single_pass is judged like a later pass. Valid roots (at
 *       release) may be filled again between two passes: not judged.
 *  ST2  Zapping the leafs of a range, if it may give way: within STEP + 1.
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
 * Not judged: calls that must not block (their range is what bounds them), and the walk at release,
 * when nobody can run any more. ST3 to ST7 speak of dirty logging, splitting, recovery and dirty rings,
 * of which there are none; ST5 holds because declined offers count as offers.
 */
#include "oracle/judge.h"

static const char st1[] = "Zapping a root offers to give way after each entry of a pass.";
static const char st2[] = "Zapping a range offers to give way at each entry.";

#define UNBOUNDED    (~0u)
#define TABLES_BELOW (PT_ENTRIES * PT_ENTRIES)

/* The walk that a task is on. */
static struct {
	const char *class, *sentence;
	struct ghost_mark begun;
	u64 root, level;
} walks[TASKS_MAX];

void stall_reset(void)
{
	for (u32 i = 0; i < TASKS_MAX; i++)
		event_context.touched_max[i] = UNBOUNDED;
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
		return one;
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
	bool leafs = event->kind == WALK_ZAP_LEAFS;

	if (task >= TASKS_MAX)
		return;
	event_context.touched[task] = 0;
	event_context.touched_max[task] = bound_of(event);
	walks[task].class = leafs ? "ST2" : "ST1";
	walks[task].sentence = leafs ? st2 : st1;
	walks[task].begun = ghost_mark(&event->head);
	walks[task].root = event->root;
	walks[task].level = event->level;
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

	if (event->id == EVENT_walk_begun)
		walk_begun(payload);
	else if (event->id == EVENT_walk_ended)
		walk_ended(event);
	else if (event->task < TASKS_MAX)
		overdue(event, late->entries, late->bound);
}
