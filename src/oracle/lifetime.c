/*
 * lifetime: nothing is freed while somebody may still use it, and nothing is used after that.
 *
 *  L0  No verb touches memory that is freed, or was never allocated.
 *  L1  A page table that was linked once is freed after a grace period that began when it was out of
 *      the tree: by an RCU callback that was queued since, or by a task that has waited for readers
 *      since. At that moment no usable entry of a paging-structure cache or TLB leads to it, or came
 *      from it and says something else than the tables do now.
 *  L2  The same as L0 for a page, and for what was freed by an RCU callback: a walker went on in a
 *      table, or in a list of roots, after it had left RCU, or never was inside. (Lockless walkers inside
 *      detached tables are legal.)
 *  L5  A root is freed, and its frame used for something else, only when it is invalid, is on no list
 *      and no vCPU has it loaded; a root that is loaded is on the list.
 *  L6  The structure of a memslot is freed only after synchronize_srcu() that began when readers could
 *      no longer come across it; nobody touches it afterwards.
 *  L7  A table that was never linked may be freed at once.
 *  L8  Callbacks that are queued when the tasks end have run before anything is judged. (kern.)
 *
 * L3 speaks of shadow page tables, of which there are none. Entries tagged with an invalid root do
 * no harm and are not judged. Taking the world down, with no task running, is free of all this.
 */
#include "oracle/judge.h"

#define QUEUED_MAX     256u /* callbacks waiting at a time; what exceeds it is let off */
#define STRUCTURES_MAX 64u /* memslot structures remembered, the youngest ones */
/* Object ids (kern/alloc.h): of a page, and what names an allocation as a whole. */
#define OBJECT_PAGE	 BIT_ULL(40)
#define OBJECT_WHOLE(id) ((id) >> 16)

static const char l0[] = "Memory that is freed, or was never allocated, is not touched.";
static const char l1_linked[] = "A page table that is linked is not freed.";
static const char l1_grace[] =
	"A page table is freed when a grace period has passed since it was taken out of the tree.";
static const char l1_cached[] = "No usable cached entry leads to a page table that is freed.";
static const char l2[] =
	"What is freed by RCU is used only inside RCU, or under mmu_lock while linked.";
static const char l5_freed[] = "A root is freed when it is invalid, unlisted and loaded nowhere.";
static const char l5_loaded[] = "A root that is loaded is on the list of roots.";
static const char l6_freed[] =
	"A memslot is freed when an SRCU grace period has passed since it was unpublished.";
static const char l6_used[] = "A memslot is not touched when it is freed.";

/* Callbacks in the order of their call_rcu(), which is that in which they run. */
static struct {
	u64 object, time;
} queued[QUEUED_MAX];
static u32 queued_first, nr_queued;
static u64 callback_queued; /* time when the callback that runs was queued; ~0: not known */

/* What the last callbacks were handed, round and round. */
static u64 freed_by_rcu[QUEUED_MAX];
static u32 nr_freed_by_rcu;

/* Structures of memslots, oldest first; unpublished: time, 0 while readers find it. */
static struct structure {
	u64 whole, unpublished;
} structures[STRUCTURES_MAX];
static u32 nr_structures;
static u64 sets_changed; /* time of the last step that took a structure away from readers */

void lifetime_reset(void)
{
	queued_first = nr_queued = 0;
	callback_queued = ~0ull;
	nr_freed_by_rcu = 0;
	nr_structures = 0;
	sets_changed = 0;
}

/* --- grace periods --- */

static __noinline void rcu_queued(const struct event_rcu_queued *event)
{
	u32 at = (queued_first + nr_queued) % QUEUED_MAX;

	if (nr_queued == QUEUED_MAX)
		return;
	queued[at].object = event->object;
	queued[at].time = event->head.time;
	nr_queued++;
}

static __noinline void rcu_ran(const struct event_rcu_ran *event)
{
	callback_queued = ~0ull;
	freed_by_rcu[nr_freed_by_rcu++ % QUEUED_MAX] = OBJECT_WHOLE(event->object);
	for (u32 i = 0; i < nr_queued; i++) {
		u32 at = (queued_first + i) % QUEUED_MAX;

		if (queued[at].object != event->object)
			continue;
		callback_queued = queued[at].time;
		/* Those before it were not told of, or run out of order: they are let off. */
		queued_first = (at + 1) % QUEUED_MAX;
		nr_queued -= i + 1;
		return;
	}
}

static bool grace_has_passed(const struct event *event, u64 since)
{
	if (event->task == TASK_RCU)
		return callback_queued > since;
	return ghost_task(event->task)->rcu_synced > since;
}

/* --- L1 and L5: page tables --- */

static void convict_table(const struct event_frame_freed *event, const char *class,
			  const char *sentence)
{
	oracle_convict(&(struct finding){
		.oracle = ORACLE_lifetime,
		.class = class,
		.sentence = sentence,
		.at = ghost_mark(&event->head),
		.against = ghost.freed.detached,
		.values = { { "table", event->pfn },
			    { "root", ghost.freed.root },
			    { "level", ghost.freed.level },
			    { "gfn", ghost.freed.base } },
	});
}

static bool is_loaded(pfn_t root)
{
	for (u32 vcpu = 0; vcpu < inspect_nr_vcpus(); vcpu++)
		if (inspect_vcpu_root(vcpu) == root)
			return true;
	return false;
}

/* Whether @entry translates otherwise than the tables under its root do now. */
static bool differs_from_tables(const struct tlb_view *entry)
{
	struct root_view root = ghost_root(entry->root);
	struct ghost_leaf leaf;
	gfn_t at = entry->gfn;

	return !ghost_next_leaf(&root, &at, entry->gfn + 1, &leaf) ||
	       ghost_leaf_pfn(&leaf, entry->gfn) != entry->pfn;
}

static bool tlb_came_from(u32 vcpu, const struct tlb_view *entry)
{
	const struct ghost_table *table = &ghost.freed;
	gfn_t end = table->base + PT_PAGES(table->level + 1);

	return entry->root == table->root && entry->level <= table->level &&
	       gfn_in(entry->gfn, table->base, end) && entry->filled_at < table->detached.time &&
	       inspect_cached_usable(vcpu, entry->root, entry->gfn,
				     entry->gfn + PT_PAGES(entry->level), false) &&
	       differs_from_tables(entry);
}

static bool psc_leads_to(u32 vcpu, const struct psc_view *entry, pfn_t table)
{
	return entry->table == table && ghost_tag_counts(entry->root) &&
	       inspect_cached_usable(vcpu, entry->root, entry->gfn,
				     entry->gfn + PT_PAGES(entry->level + 1), true);
}

static void judge_caches(const struct event_frame_freed *event)
{
	/* With its root gone, or a stranger in its frame, nobody can have entries of it in use. */
	bool tag = ghost_root(ghost.freed.root).level && ghost_tag_counts(ghost.freed.root);

	for (u32 vcpu = 0; vcpu < inspect_nr_vcpus(); vcpu++) {
		for (u32 i = 0; i < inspect_nr_psc(vcpu); i++) {
			struct psc_view entry = inspect_psc(vcpu, i);

			if (psc_leads_to(vcpu, &entry, event->pfn))
				return convict_table(event, "L1", l1_cached);
		}
		for (u32 i = 0; tag && i < inspect_nr_tlb(vcpu); i++) {
			struct tlb_view entry = inspect_tlb(vcpu, i);

			if (tlb_came_from(vcpu, &entry))
				return convict_table(event, "L1", l1_cached);
		}
	}
}

static __noinline void table_freed(const struct event_frame_freed *event)
{
	const u8 done = GHOST_INVALID | GHOST_UNLISTED;
	const struct ghost_table *table = &ghost.freed;

	if (table->link == GHOST_PRIVATE || event->head.task == TASK_NONE)
		return;
	if ((table->flags & GHOST_ROOT) && ((table->flags & done) != done || is_loaded(event->pfn)))
		convict_table(event, "L5", l5_freed);
	else if (table->link == GHOST_LINKED)
		convict_table(event, "L1", l1_linked);
	else if (!grace_has_passed(&event->head, table->detached.time))
		convict_table(event, "L1", l1_grace);
	else
		judge_caches(event);
}

static __noinline void root_loaded(const struct event_root_loaded *event)
{
	const struct ghost_table *table = ghost_linked_table(event->root);

	if (!event->root || (table && (table->flags & GHOST_ROOT) && table->link == GHOST_LINKED))
		return;
	oracle_convict(&(struct finding){
		.oracle = ORACLE_lifetime,
		.class = "L5",
		.sentence = l5_loaded,
		.at = ghost_mark(&event->head),
		.against = table ? table->detached : (struct ghost_mark){ .task = TASK_NONE },
		.values = { { "vcpu", event->vcpu }, { "root", event->root } },
	});
}

/* --- L6: memslots --- */

static struct structure *structure_of(u64 object)
{
	for (u32 i = nr_structures; i-- > 0;)
		if (structures[i].whole == OBJECT_WHOLE(object))
			return &structures[i];
	return NULL;
}

/* Return: the record of @object, made if there is none; the oldest one has to make room. */
static struct structure *structure_known(u64 object)
{
	struct structure *structure = structure_of(object);

	if (structure)
		return structure;
	if (nr_structures == STRUCTURES_MAX) {
		nr_structures--;
		for (u32 i = 0; i < nr_structures; i++)
			structures[i] = structures[i + 1];
	}
	structure = &structures[nr_structures++];
	structure->whole = OBJECT_WHOLE(object);
	structure->unpublished = 0;
	return structure;
}

/*
 * What was not told of this structure holds for the set that it stood in. Not told of what is freed with
 * the VM, which has no readers any more.
 */
static void memslot_freed(const struct event_memslot_changed *event)
{
	u64 since = structure_known(event->object)->unpublished;

	if (!since)
		since = sets_changed;
	if (event->head.task == TASK_NONE || ghost_task(event->head.task)->slots_synced > since)
		return;
	oracle_convict(&(struct finding){
		.oracle = ORACLE_lifetime,
		.class = "L6",
		.sentence = l6_freed,
		.at = ghost_mark(&event->head),
		.values = { { "as", event->as_id },
			    { "start", event->start },
			    { "end", event->end },
			    { "object", event->object } },
	});
}

static __noinline void memslot_changed(const struct event_memslot_changed *event)
{
	switch (event->step) {
	case MEMSLOT_INVALID:
	case MEMSLOT_GONE:
	case MEMSLOT_RESTORED:
		structure_known(event->object)->unpublished = event->head.time;
		sets_changed = event->head.time;
		return;
	case MEMSLOT_ADDED:
		structure_known(event->object)->unpublished = 0;
		sets_changed = event->head.time;
		return;
	case MEMSLOT_FREED:
		return memslot_freed(event);
	}
}

/* --- L0, L2, L6: use after free --- */

static bool was_freed_by_rcu(u64 object)
{
	for (u32 i = 0; i < min_u64(nr_freed_by_rcu, QUEUED_MAX); i++)
		if (freed_by_rcu[i] == OBJECT_WHOLE(object))
			return true;
	return false;
}

static __noinline void dead_access(const struct event_dead_access *event)
{
	const char *class = "L0", *sentence = l0;

	if ((event->object & OBJECT_PAGE) || was_freed_by_rcu(event->object)) {
		class = "L2";
		sentence = l2;
	} else if (structure_of(event->object)) {
		class = "L6";
		sentence = l6_used;
	}
	oracle_convict(&(struct finding){
		.oracle = ORACLE_lifetime,
		.class = class,
		.sentence = sentence,
		.at = ghost_mark(&event->head),
		.values = { { "object", event->object } },
	});
}

void lifetime_event(const struct event *event)
{
	const void *payload = event;

	switch (event->id) {
	case EVENT_frame_freed:
		return table_freed(payload);
	case EVENT_rcu_queued:
		return rcu_queued(payload);
	case EVENT_rcu_ran:
		return rcu_ran(payload);
	case EVENT_memslot_changed:
		return memslot_changed(payload);
	case EVENT_root_loaded:
		return root_loaded(payload);
	case EVENT_dead_access:
		return dead_access(payload);
	}
}
