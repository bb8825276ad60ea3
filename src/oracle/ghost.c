/*
 * Building the ghost state. Records of tables and entries belong to a schedule or a table by number
 * (epoch, birth), so that forgetting them costs nothing.
 */
#include "oracle/ghost.h"

#include "oracle/ghost_build.h"

#define LEAF_PERMISSIONS (PTE_RWX | SPTE_HOST_WRITABLE | SPTE_MMU_WRITABLE)

struct ghost ghost;

static struct ghost_table tables[GHOST_FRAMES_MAX];
static struct ghost_entry entries[GHOST_FRAMES_MAX][PT_ENTRIES];

static const struct ghost_mark nobody = { .task = TASK_NONE };

static void task_reset(struct ghost_task *task)
{
	task->locks = 0;
	task->mmu_locks = 0;
	task->mmu_exclusive = false;
	task->unsettled = false;
	task->ages = task->asks = false;
	task->section = 0;
	task->mmu_acquired = nobody;
	task->chores = 0;
	task->walk = 0;
	task->walked = 0;
	task->depth = 0;
	task->vcpu = 0;
	task->rcu_synced = task->slots_synced = 0;
	task->fault.active = false;
	task->fault.checked_section = 0;
	task->fault.checked = nobody;
}

void ghost_reset(u64 seq)
{
	ghost.epoch++;
	ghost.sections = 0;
	ghost.seq = seq;
	ghost.active = 0;
	ghost.nr_open = 0;
	ghost.unsettled = 0;
	ghost.nr_ages = ghost.nr_asks = 0;
	ghost.nr_started = 0;
	ghost.settled = 0;
	ghost.hull = (struct gfn_range){ ~0ull, 0 };
	ghost.ended = nobody;
	ghost.invalidating = 0;
	ghost.dying = false;
	ghost.released = nobody;
	ghost.left_inside = false;
	ghost.memslot.open = ghost.memslot.going = false;
	ghost.memslot.last = nobody;
	ghost.nr_logs = 0;
	for (u32 i = 0; i < VCPUS_MAX; i++)
		ghost.vcpu_entered[i] = 0;
	for (u32 i = 0; i < ARRAY_SIZE(ghost.tasks); i++)
		task_reset(&ghost.tasks[i]);
}

/* --- tables and entries --- */

static struct ghost_table *table_made(pfn_t pfn)
{
	struct ghost_table *table = &tables[pfn];

	table->epoch = ghost.epoch;
	table->birth = ++ghost.births;
	table->words = inspect_table(pfn);
	table->base = 0;
	table->root = 0;
	table->level = 0;
	table->link = GHOST_PRIVATE;
	table->flags = 0;
	table->as_id = 0;
	table->detached = nobody;
	return table;
}

/* Return: the record of @pfn, NULL when it is not followed. */
static struct ghost_table *table_at(pfn_t pfn)
{
	if (!pfn || pfn >= GHOST_FRAMES_MAX)
		return NULL;
	return tables[pfn].epoch == ghost.epoch ? &tables[pfn] : table_made(pfn);
}

const struct ghost_table *ghost_linked_table(pfn_t pfn)
{
	if (!pfn || pfn >= GHOST_FRAMES_MAX || tables[pfn].epoch != ghost.epoch)
		return NULL;
	return tables[pfn].link == GHOST_PRIVATE ? NULL : &tables[pfn];
}

const struct ghost_entry *ghost_entry(pfn_t table, u32 index)
{
	if (!table || table >= GHOST_FRAMES_MAX || index >= PT_ENTRIES ||
	    tables[table].epoch != ghost.epoch ||
	    entries[table][index].birth != tables[table].birth)
		return NULL;
	return &entries[table][index];
}

static struct ghost_entry *entry_touched(pfn_t pfn, u64 index, u64 birth)
{
	struct ghost_entry *entry = &entries[pfn][index];

	if (entry->birth != birth) {
		entry->birth = birth;
		entry->changed = nobody;
		entry->installed = nobody;
	}
	return entry;
}

/*
 * A table became reachable, or is no longer. What stands below it shares its lot: tables may be
 * filled before they are linked, and are taken away whole.
 */
static void table_linked(pfn_t pfn, u32 level, gfn_t base, pfn_t root, enum ghost_link link,
			 const struct event *event)
{
	const u64 *words = inspect_table(pfn);
	struct ghost_table *table;

	if (!words)
		return;
	table = table_at(pfn);
	if (!table || table->link == link)
		return;
	table->level = (u8)level;
	table->base = base;
	table->root = root;
	table->link = (u8)link;
	if (link == GHOST_DETACHED) {
		table->detached = ghost_mark(event);
		table->section = ghost_task(event->task)->section;
	}
	if (level == PT_LEVEL_4K)
		return;
	for (u32 i = 0; i < PT_ENTRIES; i++)
		if (ghost_is_table(words[i], level))
			table_linked(pte_pfn(words[i]), level - 1, base + i * PT_PAGES(level), root,
				     link, event);
}

void ghost_frame_allocated(const struct event_frame_allocated *event)
{
	if (event->kind == FRAME_PAGE_TABLE && event->pfn && event->pfn < GHOST_FRAMES_MAX)
		table_made(event->pfn);
}

void ghost_frame_freed(const struct event_frame_freed *event)
{
	if (event->kind != FRAME_PAGE_TABLE || !event->pfn || event->pfn >= GHOST_FRAMES_MAX)
		return;
	ghost.freed.link = GHOST_PRIVATE;
	if (ghost_linked_table(event->pfn))
		ghost.freed = tables[event->pfn];
	tables[event->pfn].epoch = 0;
}

static void relink(const struct event_spte_changed *event)
{
	const struct ghost_change *change = &ghost.change;
	bool same =
		change->was_table && change->is_table && pte_pfn(event->old) == pte_pfn(event->new);

	if (same)
		return;
	if (change->was_table)
		table_linked(pte_pfn(event->old), change->level - 1, change->gfn, change->root,
			     GHOST_DETACHED, &event->head);
	if (change->is_table)
		table_linked(pte_pfn(event->new), change->level - 1, change->gfn, change->root,
			     GHOST_LINKED, &event->head);
}

static bool installs(const struct event_spte_changed *event)
{
	const struct ghost_change *change = &ghost.change;

	if (change->link != GHOST_LINKED || change->by_cpu || !change->is_leaf || change->restores)
		return false;
	return !change->was_leaf || pte_pfn(event->old) != pte_pfn(event->new) ||
	       (event->new & ~event->old &LEAF_PERMISSIONS);
}

/*
 * Whether what a leaf gives way to is a table of leafs, built in private, that lead every page where it
 * was and allow no less: nothing is taken away then.
 */
static bool splits(const struct event_spte_changed *event)
{
	u32 below = ghost.change.level - 1;
	const u64 *words = inspect_table(pte_pfn(event->new));
	u64 rights = event->old & PTE_RWX;

	for (u32 i = 0; words && i < PT_ENTRIES; i++)
		if (!ghost_is_leaf(words[i], below) || (rights & ~words[i]) ||
		    pte_pfn(words[i]) != pte_pfn(event->old) + i * PT_PAGES(below))
			return false;
	return words;
}

/* Whether it can be the fast page fault that did it. What it may change is for spte_change to say. */
static bool restores(const struct event_spte_changed *event)
{
	const struct ghost_change *change = &ghost.change;
	const struct ghost_task *task = ghost_task(event->head.task);

	return task->fault.active && !task->mmu_locks && event->how == PTE_CMPXCHG &&
	       change->was_leaf && change->is_leaf && pte_pfn(event->old) == pte_pfn(event->new);
}

void ghost_spte_changed(const struct event_spte_changed *event)
{
	struct ghost_change *change = &ghost.change;
	struct ghost_table *table = event->index < PT_ENTRIES ? table_at(event->table) : NULL;
	u32 level = table ? table->level : 0;
	struct ghost_entry *entry;

	change->level = level;
	change->link = table ? table->link : GHOST_PRIVATE;
	change->root = table ? table->root : 0;
	change->gfn = level ? table->base + event->index * PT_PAGES(level) : 0;
	change->by_cpu = event->how == PTE_ASSIST;
	change->by_ager = !change->by_cpu && ghost_task(event->head.task)->ages;
	change->was_mapped = ghost_maps(event->old);
	change->is_mapped = ghost_maps(event->new);
	change->was_leaf = level && ghost_is_leaf(event->old, level);
	change->is_leaf = level && ghost_is_leaf(event->new, level);
	change->was_table = level && ghost_is_table(event->old, level);
	change->is_table = level && ghost_is_table(event->new, level);
	change->restores = restores(event);
	change->splits = change->was_leaf && change->is_table && splits(event);
	change->installs = installs(event);
	change->revives =
		change->is_mapped && !change->was_mapped && table && (table->flags & GHOST_ZAPPED);
	/*
	 * What a fault has made of an entry it has made, whether or not that gives anything; and whoever stands in
	 * a table that is detached under him may do his work there.
	 */
	if (!change->by_cpu && change->is_mapped &&
	    (change->is_leaf || (change->link != GHOST_LINKED && event->how == PTE_CMPXCHG)))
		ghost_task(event->head.task)->fault.installed = true;
	change->previous = nobody;
	if (!table)
		return;
	entry = entry_touched(event->table, event->index, table->birth);
	change->previous = entry->changed;
	entry->changed = ghost_mark(&event->head);
	if (change->installs || change->restores)
		entry->installed = ghost_mark(&event->head);
	if (change->link == GHOST_LINKED && (change->was_table || change->is_table))
		relink(event);
}

void ghost_root_created(const struct event_root_created *event)
{
	struct ghost_table *table;

	table_linked(event->root, (u32)event->level, 0, event->root, GHOST_LINKED, &event->head);
	table = table_at(event->root);
	if (!table)
		return;
	table->flags = GHOST_ROOT;
	table->as_id = (u8)event->as_id;
}

/* The three events hold the root, and nothing else. */
void ghost_root_changed(const struct event *event)
{
	struct ghost_table *table = table_at(event_field(event, 0));

	if (!table || !(table->flags & GHOST_ROOT))
		return;
	switch (event->id) {
	case EVENT_root_invalidated:
		table->flags |= GHOST_INVALID;
		if (event->task < TASKS_MAX && ghost.tasks[event->task].mmu_locks)
			ghost.invalidating |= 1u << event->task;
		return;
	case EVENT_root_zapped:
		/* A valid one is zapped at release only, and may be filled again. */
		if (table->flags & GHOST_INVALID)
			table->flags |= GHOST_ZAPPED;
		return;
	case EVENT_root_unlisted:
		table->flags |= GHOST_UNLISTED;
		return table_linked(event_field(event, 0), table->level, 0, table->root,
				    GHOST_DETACHED, event);
	}
}

void ghost_walk_begun(const struct event_walk_begun *event)
{
	struct ghost_task *task = ghost_task(event->head.task);

	if (event->kind == WALK_ZAP_ALL)
		ghost.dying = true;
	task->chores |= GHOST_WALKS;
	task->walk = (u32)event->kind;
	task->walked = event->head.time;
}

/* --- dirty logs --- */

const struct ghost_log *ghost_log(u64 as_id, gfn_t gfn)
{
	for (u32 i = 0; i < ghost.nr_logs; i++)
		if (ghost.logs[i].as_id == as_id &&
		    gfn_in(gfn, ghost.logs[i].start, ghost.logs[i].end))
			return &ghost.logs[i];
	return NULL;
}

/* Forgets all logs that overlap [start, end). */
static void logs_end(u64 as_id, gfn_t start, gfn_t end)
{
	u32 kept = 0;

	for (u32 i = 0; i < ghost.nr_logs; i++) {
		const struct ghost_log *log = &ghost.logs[i];

		if (log->as_id == as_id && log->start < end && start < log->end)
			continue;
		if (kept++ != i)
			ghost.logs[kept - 1] = *log;
	}
	ghost.nr_logs = kept;
}

static void log_begins(u64 as_id, gfn_t start, gfn_t end)
{
	struct ghost_log *log;

	logs_end(as_id, start, end);
	if (ghost.nr_logs == SLOTS_MAX)
		return;
	log = &ghost.logs[ghost.nr_logs++];
	*log = (struct ghost_log){
		.as_id = as_id, .start = start, .end = end, .serial = ++ghost.log_serials
	};
}

/*
 * A memslot is published: from here on its pages are marked if it logs. Whoever turns that on is told
 * of behind it, and in between faults may have marked what they have mapped.
 */
static void slot_added(const struct event_memslot_changed *event)
{
	for (u32 i = 0; i < inspect_nr_slots(); i++) {
		struct slot_view slot = inspect_slot(i);

		if (slot.as_id == event->as_id && slot.start == event->start &&
		    slot.end == event->end && slot.logging)
			return log_begins(event->as_id, event->start, event->end);
	}
	logs_end(event->as_id, event->start, event->end);
}

/* Return: the log that the event speaks of, made if it was not told of before. */
static struct ghost_log *log_told_of(const struct event_dirty_log_changed *event)
{
	struct ghost_log *log = (struct ghost_log *)ghost_log(event->as_id, event->start);
	bool told = log && log->start == event->start && log->end == event->end && !log->enabled;

	if (!told) {
		log_begins(event->as_id, event->start, event->end);
		log = (struct ghost_log *)ghost_log(event->as_id, event->start);
	}
	if (!log)
		return NULL;
	log->mode = event->mode;
	log->d_bits = event->d_bits;
	return log;
}

void ghost_dirty_log_changed(const struct event_dirty_log_changed *event)
{
	struct ghost_task *task = ghost_task(event->head.task);
	struct ghost_log *log = (struct ghost_log *)ghost_log(event->as_id, event->start);

	switch (event->step) {
	case DIRTY_LOG_ENABLING:
		task->chores |= GHOST_ENABLES;
		task->walked = event->head.time;
		log_told_of(event);
		return;
	case DIRTY_LOG_ENABLED:
		/* A memslot that is created, or comes to its new place, with a log needs no enabling. */
		log = log_told_of(event);
		if (log)
			log->enabled = event->head.time;
		task->chores &= ~(u32)GHOST_ENABLES;
		return;
	case DIRTY_LOG_DISABLING:
		if (log)
			log->enabled = 0;
		return;
	case DIRTY_LOG_DISABLED:
		return logs_end(event->as_id, event->start, event->end);
	}
}

/* --- memslots and grace periods --- */

void ghost_memslot_changed(const struct event_memslot_changed *event)
{
	struct ghost_memslot *memslot = &ghost.memslot;

	memslot->last = ghost_mark(&event->head);
	switch (event->step) {
	case MEMSLOT_BEGUN:
		memslot->open = true;
		memslot->going = false;
		memslot->task = event->head.task;
		return;
	case MEMSLOT_INVALID:
		memslot->going = true;
		memslot->as_id = event->as_id;
		memslot->start = event->start;
		memslot->end = event->end;
		return;
	case MEMSLOT_GONE:
		return logs_end(event->as_id, event->start, event->end);
	case MEMSLOT_ADDED:
		return slot_added(event);
	case MEMSLOT_ENDED:
		memslot->open = memslot->going = false;
		return;
	}
}

void ghost_synchronized(const struct event_synchronized *event)
{
	struct ghost_task *task = ghost_task(event->head.task);

	if (event->class == LOCK_rcu)
		task->rcu_synced = event->head.time;
	else if (event->class == LOCK_kvm_srcu)
		task->slots_synced = event->head.time;
}

void ghost_mmu_released(const struct event *event)
{
	if (!ghost.released.time)
		ghost.released = ghost_mark(event);
}

/* --- locks --- */

void ghost_mmu_lock_acquired(const struct event *event)
{
	struct ghost_task *task = ghost_task(event->task);

	task->mmu_locks++;
	task->mmu_exclusive = event_field(event, LOCK_MODE_FIELD) == LOCK_EXCLUSIVE;
	task->section = ++ghost.sections;
	task->mmu_acquired = ghost_mark(event);
}

/* The section is over: from here on everybody sees all that it did to the range and the counts. */
static void settle(struct ghost_task *task, u64 time)
{
	task->unsettled = false;
	ghost.unsettled--;
	ghost.settled = time;
}

void ghost_mmu_lock_released(const struct event *event)
{
	struct ghost_task *task = ghost_task(event->task);

	if (!task->mmu_locks)
		return;
	task->mmu_locks--;
	if (task->mmu_locks)
		return;
	if (event->task < TASKS_MAX)
		ghost.invalidating &= ~(1u << event->task);
	if (task->unsettled)
		settle(task, event->time);
}

/* --- invalidations --- */

/*
 * An invalidation event stands somewhere among the stores it speaks of. Until its section of
 * mmu_lock ends, somebody without the lock may still read what was there before, or half of the new
 * range.
 */
static void unsettle(const struct event *event)
{
	struct ghost_task *task = ghost_task(event->task);

	if (!task->unsettled) {
		task->unsettled = true;
		ghost.unsettled++;
	}
	if (!task->mmu_locks)
		settle(task, event->time);
}

/* Return: the last invalidation that @task has opened, NULL if none is kept. */
static struct ghost_invalidation *open_by(u32 task)
{
	for (u32 i = ghost.nr_open; i-- > 0;)
		if (ghost.open[i].task == task)
			return &ghost.open[i];
	return NULL;
}

void ghost_invalidate_begun(const struct event *event)
{
	if (!ghost.active)
		ghost.hull = (struct gfn_range){ ~0ull, 0 };
	ghost.active++;
	if (ghost.nr_open < GHOST_INVALIDATIONS_MAX) {
		struct ghost_invalidation *open = &ghost.open[ghost.nr_open++];

		open->task = event->task;
		open->nr_ranges = 0;
		open->last = ghost_mark(event);
	}
	unsettle(event);
}

void ghost_invalidate_range_added(const struct event_invalidate_range_added *event)
{
	struct ghost_invalidation *open = open_by(event->head.task);

	ghost.hull.start = min_u64(ghost.hull.start, event->start);
	ghost.hull.end = max_u64(ghost.hull.end, event->end);
	unsettle(&event->head);
	if (!open)
		return;
	open->last = ghost_mark(&event->head);
	/* One range a slot; whatever a subject adds beyond that counts towards the hull. */
	if (open->nr_ranges < SLOTS_MAX)
		open->ranges[open->nr_ranges++] = (struct gfn_range){ event->start, event->end };
}

void ghost_invalidate_ended(const struct event *event)
{
	struct ghost_invalidation *open = open_by(event->task);

	ghost.seq++;
	ghost.ended = ghost_mark(event);
	if (ghost.active)
		ghost.active--;
	unsettle(event);
	if (!open)
		return;
	ghost.nr_open--;
	for (; open < &ghost.open[ghost.nr_open]; open++) {
		const struct ghost_invalidation *next = open + 1;

		open->task = next->task;
		open->nr_ranges = next->nr_ranges;
		open->last = next->last;
		for (u32 i = 0; i < next->nr_ranges; i++)
			open->ranges[i] = next->ranges[i];
	}
}

const struct ghost_invalidation *ghost_invalidating(gfn_t gfn)
{
	for (u32 i = 0; i < ghost.nr_open; i++)
		for (u32 n = 0; n < ghost.open[i].nr_ranges; n++)
			if (gfn_in(gfn, ghost.open[i].ranges[n].start, ghost.open[i].ranges[n].end))
				return &ghost.open[i];
	return NULL;
}

/*
 * All four events hold the range, and nothing else. Notifications of one task nest: what a huge page of
 * the host is split for stands inside another one.
 */
void ghost_notifier_moved(const struct event *event, enum ghost_bracket to)
{
	struct ghost_task *task = ghost_task(event->task);
	struct ghost_notification *at;

	if (to == GHOST_STARTING && task->depth < GHOST_NESTED_MAX)
		task->notifications[task->depth++] = (struct ghost_notification){ 0 };
	if (!task->depth)
		return;
	at = &task->notifications[task->depth - 1];
	ghost.nr_started += (to == GHOST_STARTED) - (at->bracket == GHOST_STARTED);
	at->bracket = to;
	at->range.start = event_field(event, 0);
	at->range.end = event_field(event, 1);
	if (to != GHOST_OUTSIDE)
		return;
	ghost.left_inside |= at->mmu_started && ghost.released.time;
	task->depth--;
}

/* --- aging --- */

void ghost_aging(const struct event *event)
{
	bool young = event->id == EVENT_young_begun || event->id == EVENT_young_ended;
	bool begins = event->id == EVENT_young_begun || event->id == EVENT_age_begun;
	struct ghost_task *task = ghost_task(event->task);
	bool *inside = young ? &task->ages : &task->asks;
	u32 *nr = young ? &ghost.nr_ages : &ghost.nr_asks;

	if (*inside == begins)
		return;
	*inside = begins;
	*nr += begins ? 1 : -1u;
}

/* --- faults --- */

void ghost_fault_begun(const struct event_fault_begun *event)
{
	struct ghost_fault *fault = &ghost_task(event->head.task)->fault;

	fault->active = true;
	fault->translated = false;
	fault->vcpu = (u32)event->vcpu;
	fault->gfn = event->gfn;
	fault->access = event->access;
	fault->begun = event->head.time;
	fault->snapshot = ghost.seq;
	fault->checked_section = 0;
	fault->installed = false;
	fault->refused = false;
	fault->prefetch = event->prefetch;
	fault->checked = nobody;
}

void ghost_fault_snapshot(const struct event *event)
{
	struct ghost_fault *fault = &ghost_task(event->task)->fault;

	/* One that is taken after the translation proves nothing about it. */
	if (fault->translated)
		return;
	fault->snapshot = ghost.seq;
}

void ghost_fault_checked(const struct event_fault_checked *event)
{
	struct ghost_task *task = ghost_task(event->head.task);

	task->fault.checked_section = task->mmu_locks ? task->section : 0;
	task->fault.checked_gfn = event->gfn;
	task->fault.checked = ghost_mark(&event->head);
}

/* --- the tables as they stand --- */

/* Return: the words of a table, NULL when the frame holds none (any more). */
static inline const u64 *words_of(pfn_t table)
{
	if (table >= GHOST_FRAMES_MAX || tables[table].epoch != ghost.epoch)
		return NULL;
	return tables[table].words;
}

static inline u64 entry_now(pfn_t table, u32 index)
{
	const u64 *words = words_of(table);

	return words ? words[index] : 0;
}

/*
 * Looks for a leaf in one table, from *@gfn up to the table's end; stops at an entry that leads on
 * to another table. Moves *@gfn behind what it has seen. Return: whether it has found one.
 */
static inline bool leaf_in_table(const u64 *words, u32 level, gfn_t *gfn, gfn_t end,
				 struct ghost_leaf *leaf)
{
	u64 pages = PT_PAGES(level);
	gfn_t base = *gfn & ~(pages - 1);

	for (u32 i = PT_INDEX(base, level); i < PT_ENTRIES && base < end; i++, base += pages) {
		u64 pte = words[i];

		if (!ghost_maps(pte))
			continue;
		*gfn = base;
		if (ghost_is_table(pte, level))
			return false;
		*gfn += pages;
		leaf->index = i;
		leaf->level = level;
		leaf->gfn = base;
		leaf->pte = pte;
		return true;
	}
	*gfn = base;
	return false;
}

bool ghost_next_leaf(const struct root_view *root, gfn_t *gfn, gfn_t end, struct ghost_leaf *leaf)
{
	end = min_u64(end, PT_PAGES(root->level + 1));
	while (*gfn < end) {
		pfn_t table = root->pfn;
		u32 level = root->level;
		const u64 *words = words_of(table);

		while (words) {
			u64 pte = words[PT_INDEX(*gfn, level)];

			if (!ghost_is_table(pte, level))
				break;
			table = pte_pfn(pte);
			level--;
			words = words_of(table);
		}
		leaf->table = table;
		if (!words) /* an entry that leads to a table that is gone: nothing is mapped there */
			*gfn = (*gfn | (PT_PAGES(level + 1) - 1)) + 1;
		else if (leaf_in_table(words, level, gfn, end, leaf))
			return true;
	}
	return false;
}

struct ghost_mark ghost_leaf_installed(const struct ghost_leaf *leaf)
{
	const struct ghost_entry *entry = ghost_entry(leaf->table, leaf->index);

	return entry ? entry->installed : nobody;
}

struct ghost_mark ghost_path_changed(pfn_t root, gfn_t gfn, u64 since, u32 task, bool *frozen)
{
	const struct ghost_table *top = ghost_linked_table(root);
	struct ghost_mark found = nobody;
	pfn_t table = root;

	if (frozen)
		*frozen = false;
	for (u32 level = top ? top->level : 0; level; level--) {
		u32 index = PT_INDEX(gfn, level);
		const struct ghost_entry *entry = ghost_entry(table, index);
		u64 pte = entry_now(table, index);

		if (entry && entry->changed.time > since && entry->changed.task != task)
			found = entry->changed;
		if (frozen && pte == SPTE_FROZEN)
			*frozen = true;
		if (!ghost_is_table(pte, level))
			break;
		table = pte_pfn(pte);
	}
	return found;
}

struct ghost_mark ghost_last_change(pfn_t root, gfn_t gfn)
{
	const struct ghost_table *top = ghost_linked_table(root);
	pfn_t table = root;
	u32 level = top ? top->level : 0;
	const struct ghost_entry *entry;

	if (!level)
		return nobody;
	for (; level > PT_LEVEL_4K; level--) {
		u64 pte = entry_now(table, PT_INDEX(gfn, level));

		if (!ghost_is_table(pte, level))
			break;
		table = pte_pfn(pte);
	}
	entry = ghost_entry(table, PT_INDEX(gfn, level));
	return entry ? entry->changed : nobody;
}

struct root_view ghost_root(pfn_t pfn)
{
	const struct ghost_table *table = ghost_linked_table(pfn);

	if (!table || !(table->flags & GHOST_ROOT))
		return (struct root_view){ .pfn = pfn };
	return (struct root_view){ .pfn = pfn,
				   .level = table->level,
				   .as_id = table->as_id,
				   .invalid = table->flags & GHOST_INVALID };
}

bool ghost_tag_counts(pfn_t root)
{
	const struct ghost_table *table = ghost_linked_table(root);

	return !ghost.dying && !(table && (table->flags & GHOST_INVALID));
}
