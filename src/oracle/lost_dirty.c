/*
 * lost_dirty: what the guest has written since a page was reported is found by a later harvest.
 *
 * A page is pending while a bit of the bitmap says so, or an entry of a dirty ring, or what a harvest has
 * taken and not reported yet, or a page-modification log; or while somebody stands between his write and
 * his mark: a fault that has given W back without mmu_lock, the kernel behind a write of its own, whoever
 * has taken the page out of a page-modification log.
 *
 *  LD1  When a harvest returns, and at the end: a page that was written since its last report is pending.
 *       At the end nobody stands between any more.
 *  LD2  When a harvest returns that reports a page: nothing lets the guest write it silently, no usable
 *       TLB entry and no table entry of a valid root, unless the page is pending again. No huge entry
 *       of a page that is logged is writable.
 *  LD4  A page-modification log that is off logs nothing. Where dirty logging goes by D, and the
 *       entry's A/D bits are the CPU's, a table entry writes silently with W and D, else with W. An entry
 *       with W that a fault installs under mmu_lock has been marked before it can be seen.
 *  LD6  What is taken out of a dirty ring was put in. (Entries name pages of a memslot: where one has gone,
 *       or has moved, what they mean is no longer what they were marked for. Not judged from then on.)
 *
 * LD3, what is not judged: what was written before dirty logging was on, or once it is about to be off; a page
 * that user space has given up by clearing a bit it never got, until it is reported; memslots that are gone.
 * What a GET copies without taking it is still pending, by its bit; so is, with all bits set at first, a page
 * before it is cleared for the first time: what is written without a trace until then needs no rule of its own,
 * but a page that lacks its bit has no excuse.
 * LD5 (marks and harvests exclude each other by mmu_lock) has no rule of its own: what breaks it
 * breaks LD1 or LD2. That a full ring is not pushed to is the MMU's own assertion.
 *
 * Known per page is what events tell of it, in a table that is hashed and stamped with the schedule; a page
 * without an event costs nothing, nor does a world without dirty logging.
 */
#include "oracle/judge.h"

#define PAGES_MAX 4096u /* a power of two; what exceeds it is let off */

static const char ld1[] = "A page written since its last report is pending.";
static const char ld2_tlb[] = "No TLB entry writes a reported page without a trace.";
static const char ld2_table[] = "No table entry lets a reported page be written without a trace.";
static const char ld2_huge[] = "No huge entry of a page that is logged is writable.";
static const char ld4_pml[] = "A page-modification log that is off logs nothing.";
static const char ld4_mark[] =
	"A page is marked before an entry that lets the guest write it is seen.";
static const char ld6[] = "What is taken out of a dirty ring was put in.";

struct page {
	u64 epoch; /* schedule that the record belongs to */
	u64 as_id;
	gfn_t gfn;
	u64 serial; /* of the log that the rest is about, but for the entries of rings */
	u64 reported; /* time, 0: never */
	struct ghost_mark written; /* last write that counts */
	u32 taken; /* mask of tasks whose harvest has taken it and not ended */
	bool cleared; /* was reported once: with all bits set at first it counts from then on */
	bool given_up;
	u8 entries[VCPUS_MAX]; /* of each ring */
};

static struct page pages[PAGES_MAX];
static u32 known[PAGES_MAX]; /* which of them this schedule has come across */
static u32 nr_known;
static bool rings_judged; /* no memslot has gone so far */

/* What each task has written, or made writable, and has to mark next. */
static struct owing {
	enum { OWES_NOTHING, OWES_FAULT, OWES_MARK } what;
	u64 as_id;
	gfn_t gfn;
	u64 since; /* FAULT: when the fault began; MARK: when it was written, or taken out */
} owing[TASKS_MAX];

void lost_dirty_reset(void)
{
	nr_known = 0;
	rings_judged = true;
	for (u32 i = 0; i < TASKS_MAX; i++)
		owing[i].what = OWES_NOTHING;
}

/* --- pages --- */

/* Another log knows nothing of what the last one did. Entries of rings outlive both. */
static void page_joins(struct page *page, u64 serial)
{
	page->serial = serial;
	page->reported = 0;
	page->written = (struct ghost_mark){ .task = TASK_NONE };
	page->taken = 0;
	page->cleared = page->given_up = false;
}

static void page_made(struct page *page, u64 as_id, gfn_t gfn)
{
	page->epoch = ghost.epoch;
	page->as_id = as_id;
	page->gfn = gfn;
	for (u32 i = 0; i < VCPUS_MAX; i++)
		page->entries[i] = 0;
	page_joins(page, 0);
	known[nr_known++] = (u32)(page - pages);
}

/* Return: the record of a page, NULL when there is none (and no room, if one is to be made). */
static struct page *page_at(u64 as_id, gfn_t gfn, bool make)
{
	u32 at = (u32)((gfn * AS_MAX + as_id) * 2654435761u);

	for (u32 probes = 0; probes < PAGES_MAX; probes++, at++) {
		struct page *page = &pages[at % PAGES_MAX];

		if (page->epoch == ghost.epoch && page->gfn == gfn && page->as_id == as_id)
			return page;
		if (page->epoch == ghost.epoch)
			continue;
		if (!make)
			return NULL;
		page_made(page, as_id, gfn);
		return page;
	}
	return NULL;
}

/* Return: the record of a page that has a log, made if there is none; else NULL. */
static struct page *page_of(u64 as_id, gfn_t gfn)
{
	const struct ghost_log *log = ghost_log(as_id, gfn);
	struct page *page = log ? page_at(as_id, gfn, true) : NULL;

	if (page && page->serial != log->serial)
		page_joins(page, log->serial);
	return page;
}

/* LD3. Return: the log of a page, if what becomes of it is anybody's business; else NULL. */
static const struct ghost_log *log_that_counts(const struct page *page)
{
	const struct ghost_log *log = ghost_log(page->as_id, page->gfn);

	if (!log || log->serial != page->serial || !log->enabled || page->given_up)
		return NULL;
	return log;
}

static bool in_pml(const struct page *page)
{
	for (u32 vcpu = 0; vcpu < inspect_nr_vcpus(); vcpu++)
		for (u32 i = 0; inspect_vcpu_as(vcpu) == page->as_id && i < inspect_nr_pml(vcpu);
		     i++)
			if (inspect_pml(vcpu, i) == page->gfn)
				return true;
	return false;
}

/* Whether somebody is about to mark the page. A vCPU that goes into the guest again has had his time. */
static bool is_owed(const struct page *page)
{
	for (u32 i = 0; i < TASKS_MAX; i++) {
		const struct ghost_task *task = &ghost.tasks[i];

		if (owing[i].what == OWES_NOTHING || owing[i].gfn != page->gfn ||
		    owing[i].as_id != page->as_id)
			continue;
		if (owing[i].what == OWES_FAULT &&
		    (!task->fault.active || task->fault.begun != owing[i].since))
			continue;
		if (owing[i].what == OWES_MARK && ghost.vcpu_entered[task->vcpu] > owing[i].since)
			continue;
		return true;
	}
	return false;
}

/*
 * Whether a harvest that is under way, or still to come, reports it without anybody doing more. The bitmap is asked
 * itself: a mark that was made may have been lost since, and nobody tells of that.
 */
static bool is_noted(const struct page *page)
{
	for (u32 i = 0; i < VCPUS_MAX; i++)
		if (page->entries[i])
			return true;
	return page->taken || in_pml(page) || inspect_dirty_bit((u32)page->as_id, page->gfn);
}

static void convict(const struct event *event, const char *class, const char *sentence,
		    const struct page *page, struct ghost_mark against, const char *name, u64 value)
{
	oracle_convict(&(struct finding){
		.oracle = ORACLE_lost_dirty,
		.class = class,
		.sentence = sentence,
		.at = ghost_mark(event),
		.against = against,
		.values = { { "as", page->as_id },
			    { "gfn", page->gfn },
			    { "reported", page->reported },
			    { name, value } },
	});
}

/* --- LD1 --- */

/* @over: all tasks have ended. */
static void judge_written(const struct event *event, bool over)
{
	/* The VM has gone, and its logs with it. */
	if (!inspect_vm())
		return;
	for (u32 i = 0; i < nr_known; i++) {
		const struct page *page = &pages[known[i]];

		if (!page->written.time || page->written.time < page->reported ||
		    !log_that_counts(page) || is_noted(page) || (!over && is_owed(page)))
			continue;
		convict(event, "LD1", ld1, page, page->written, "written", page->written.time);
	}
}

static void written(const struct event *event, u64 as_id, gfn_t gfn)
{
	struct page *page = page_of(as_id, gfn);

	if (page && log_that_counts(page))
		page->written = ghost_mark(event);
}

static void owe(const struct event *event, u32 what, u64 as_id, gfn_t gfn)
{
	struct owing *owes;

	if (event->task >= TASKS_MAX)
		return;
	owes = &owing[event->task];
	owes->what = what;
	owes->as_id = as_id;
	owes->gfn = gfn;
	owes->since = what == OWES_FAULT ? ghost_task(event->task)->fault.begun : event->time;
}

/* --- LD2 --- */

/* LD4. Whether the guest can write through a table entry, and nobody gets to know. */
static bool writes_silently(u64 pte, const struct ghost_log *log)
{
	if (!(pte & PTE_W))
		return false;
	return !log->d_bits || (pte & SPTE_AD_MASK) != SPTE_AD_ENABLED || (pte & PTE_D);
}

static void judge_tables(const struct event *event, const struct page *page,
			 const struct ghost_log *log, bool pending)
{
	for (u32 i = 0; i < inspect_nr_roots(); i++) {
		struct root_view root = inspect_root(i);
		struct ghost_leaf leaf;
		gfn_t at = page->gfn;

		if (root.invalid || root.as_id != page->as_id ||
		    !ghost_next_leaf(&root, &at, page->gfn + 1, &leaf))
			continue;
		if (leaf.level > PT_LEVEL_4K && (leaf.pte & PTE_W))
			convict(event, "LD2", ld2_huge, page, ghost_leaf_installed(&leaf), "spte",
				leaf.pte);
		else if (!pending && writes_silently(leaf.pte, log))
			convict(event, "LD2", ld2_table, page,
				ghost_last_change(root.pfn, page->gfn), "spte", leaf.pte);
	}
}

static void judge_tlbs(const struct event *event, const struct page *page)
{
	for (u32 vcpu = 0; vcpu < inspect_nr_vcpus(); vcpu++) {
		for (u32 i = 0; i < inspect_nr_tlb(vcpu); i++) {
			struct tlb_view entry = inspect_tlb(vcpu, i);
			gfn_t end = entry.gfn + PT_PAGES(entry.level);

			if (!gfn_in(page->gfn, entry.gfn, end) ||
			    !(entry.access >> ACCESS_WRITE & 1) ||
			    ghost_root(entry.root).as_id != page->as_id ||
			    !ghost_tag_counts(entry.root) ||
			    !inspect_cached_usable(vcpu, entry.root, entry.gfn, end, false))
				continue;
			convict(event, "LD2", ld2_tlb, page,
				ghost_last_change(entry.root, page->gfn), "vcpu", vcpu);
		}
	}
}

static void judge_reported(const struct event *event, const struct page *page)
{
	const struct ghost_log *log = log_that_counts(page);
	bool pending;

	if (!log)
		return;
	pending = is_noted(page) || is_owed(page);
	judge_tables(event, page, log, pending);
	if (!pending)
		judge_tlbs(event, page);
}

static __noinline void harvest_ended(const struct event *event)
{
	u32 me = event->task < TASKS_MAX ? 1u << event->task : 0;

	for (u32 i = 0; i < nr_known; i++) {
		struct page *page = &pages[known[i]];

		if (!(page->taken & me))
			continue;
		page->taken &= ~me;
		page->reported = event->time;
		page->cleared = true;
		judge_reported(event, page);
		page->given_up = false;
	}
	judge_written(event, false);
}

/* --- marks --- */

static __noinline void dirty_marked(const struct event_dirty_marked *event)
{
	struct owing *owes = &owing[event->head.task % TASKS_MAX];
	struct page *page;

	if (event->head.task < TASKS_MAX && owes->gfn == event->gfn && owes->as_id == event->as_id)
		owes->what = OWES_NOTHING;
	if (!event->ring)
		return;
	page = page_at(event->as_id, event->gfn, true);
	if (page)
		page->entries[(event->ring - 1) % VCPUS_MAX]++;
}

static void ring_taken(const struct event_dirty_taken *event)
{
	struct page *page = page_at(event->as_id, event->gfn, true);
	u8 *entries = page ? &page->entries[(event->ring - 1) % VCPUS_MAX] : NULL;

	if (entries && !*entries && rings_judged)
		convict(&event->head, "LD6", ld6, page, (struct ghost_mark){ .task = TASK_NONE },
			"ring", event->ring);
	else if (entries && *entries)
		--*entries;
}

static __noinline void dirty_taken(const struct event_dirty_taken *event)
{
	struct page *page = page_of(event->as_id, event->gfn);

	if (event->ring)
		ring_taken(event);
	if (page && event->head.task < TASKS_MAX)
		page->taken |= 1u << event->head.task;
}

/* --- LD2, LD4: entries --- */

static bool huge_counts(const struct ghost_log *log, gfn_t start, gfn_t end)
{
	if (!log->enabled)
		return false;
	for (gfn_t gfn = max_u64(start, log->start); gfn < min_u64(end, log->end); gfn++) {
		const struct page *page = NULL;

		if (log->mode != DIRTY_LOG_INITIALLY_SET)
			return true;
		page = page_at(log->as_id, gfn, false);
		if (page && page->serial == log->serial && page->cleared)
			return true;
	}
	return false;
}

static void judge_install(const struct event_spte_changed *event, u64 as_id)
{
	const struct ghost_change *change = &ghost.change;
	struct page *page = page_of(as_id, change->gfn);

	if (page && ghost_task(event->head.task)->fault.active && log_that_counts(page) &&
	    !is_noted(page))
		convict(&event->head, "LD4", ld4_mark, page, change->previous, "spte", event->new);
}

/* An entry can be written through that could not before, or is new. Context: there is a log. */
static __noinline void spte_changed(const struct event_spte_changed *event)
{
	const struct ghost_change *change = &ghost.change;
	struct root_view root = ghost_root(change->root);
	gfn_t end = change->gfn + PT_PAGES(change->level);

	if (!(event->new &PTE_W) || root.invalid)
		return;
	if (change->level == PT_LEVEL_4K) {
		if (!change->restores)
			return judge_install(event, root.as_id);
		if (!(event->old & PTE_W))
			owe(&event->head, OWES_FAULT, root.as_id, change->gfn);
		return;
	}
	for (u32 i = 0; change->link == GHOST_LINKED && i < ghost.nr_logs; i++) {
		const struct page page = { .as_id = root.as_id, .gfn = change->gfn };

		if (ghost.logs[i].as_id == root.as_id &&
		    huge_counts(&ghost.logs[i], change->gfn, end))
			convict(&event->head, "LD2", ld2_huge, &page, change->previous, "spte",
				event->new);
	}
}

/* Huge entries that were there when dirty logging was turned on. */
static __noinline void dirty_log_changed(const struct event_dirty_log_changed *event)
{
	struct page page = { .as_id = event->as_id };

	if (event->step != DIRTY_LOG_ENABLED || event->mode == DIRTY_LOG_INITIALLY_SET)
		return;
	for (u32 i = 0; i < inspect_nr_roots(); i++) {
		struct root_view root = inspect_root(i);
		struct ghost_leaf leaf;
		gfn_t gfn = event->start;

		if (root.invalid || root.as_id != event->as_id)
			continue;
		while (ghost_next_leaf(&root, &gfn, event->end, &leaf)) {
			page.gfn = leaf.gfn;
			if (leaf.level > PT_LEVEL_4K && (leaf.pte & PTE_W))
				convict(&event->head, "LD2", ld2_huge, &page,
					ghost_leaf_installed(&leaf), "spte", leaf.pte);
		}
	}
}

static __noinline void pml_logged(const struct event_pml_logged *event)
{
	const struct page page = { .as_id = inspect_vcpu_as((u32)event->vcpu), .gfn = event->gfn };

	if (!inspect_pml_on((u32)event->vcpu))
		convict(&event->head, "LD4", ld4_pml, &page,
			(struct ghost_mark){ .task = TASK_NONE }, "vcpu", event->vcpu);
}

static __noinline void guest_accessed(const struct event_guest_accessed *event)
{
	if (event->access == ACCESS_WRITE)
		written(&event->head, ghost_root(inspect_vcpu_root((u32)event->vcpu)).as_id,
			event->gfn);
}

void lost_dirty_event(const struct event *event)
{
	const void *payload = event;
	const struct event_guest_written *write = payload;
	const struct event_pml_taken *logged = payload;
	const struct event_dirty_given_up *given_up = payload;
	struct page *page;

	switch (event->id) {
	case EVENT_spte_changed:
		return spte_changed(payload);
	case EVENT_guest_accessed:
		return guest_accessed(payload);
	case EVENT_guest_written:
		written(event, write->as_id, write->gfn);
		return owe(event, OWES_MARK, write->as_id, write->gfn);
	case EVENT_pml_logged:
		return pml_logged(payload);
	case EVENT_pml_taken:
		return owe(event, OWES_MARK, inspect_vcpu_as((u32)logged->vcpu), logged->gfn);
	case EVENT_dirty_marked:
		return dirty_marked(payload);
	case EVENT_dirty_taken:
		return dirty_taken(payload);
	case EVENT_dirty_given_up:
		page = page_of(given_up->as_id, given_up->gfn);
		if (page)
			page->given_up = true;
		return;
	case EVENT_dirty_log_changed:
		return dirty_log_changed(payload);
	case EVENT_harvest_ended:
		return harvest_ended(event);
	case EVENT_memslot_changed:
		rings_judged &=
			((const struct event_memslot_changed *)payload)->step != MEMSLOT_GONE;
		return;
	case EVENT_quiesced:
		return judge_written(event, true);
	}
}
