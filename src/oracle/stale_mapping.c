/*
 * stale_mapping: the guest reaches a page through KVM only while the host process maps it.
 *
 *  SM1  When the host takes a mapping away (unmaps it, moves it to another frame, makes it
 *       read-only), no linked leaf of any root, valid or not, maps a guest frame of it to the old
 *       host frame; for read-only: none that is writable, or that KVM may make writable again.
 *  SM2  At the same moment no usable TLB entry translates to the old frame; for read-only: none
 *       that writes without asking the tables again. So whenever the guest accesses a page, by TLB
 *       or by a walk, the host maps that frame there, and maps it writable if it is a write.
 *       When a huge leaf of the host gives way to a table nothing is taken away, nor when one takes the
 *       place of a table: entries that changed before have been judged. Else all of its pages are.
 *  SM3  When a leaf is installed or gains a permission, the host maps that very frame there, for each
 *       page of a huge leaf; a leaf that may be made writable needs a host mapping that is writable;
 *       and the host maps a huge leaf's pages by leafs that are as large, at least.
 *  SM4  A fault installs at its guest frame only if no invalidation has ended since it read the
 *       sequence number, and none is open whose hull holds the frame; that check and the install
 *       stand in one section of mmu_lock.
 *  SM5  From the return of range_start until range_end no linked leaf maps a page of the range, unless a
 *       huge leaf of the host maps it that reaches beyond the range: a fault on a page outside may map
 *       all of it, and whoever wants to change a part splits it first, in a notification of its own. A
 *       start that was refused is none: it does not return.
 *  SM6  When the set of memslots without a slot, or without its old place, is published, no linked
 *       leaf and no usable TLB entry translates a page of it.
 *  SM7  Whenever the kernel reaches a page through the VM's pfncache, the host maps that frame there, and
 *       writable if it is a write. When the host takes the mapping away the cache is not valid, nor from
 *       the return of range_start over it until range_end: a reader at work holds its lock, on which start
 *       waits.
 *  SM8  When a host page is freed, no linked leaf, no usable TLB entry and no valid pfncache leads to it.
 *       (For page tables lifetime L1 says this.)
 *  SM9  When the MMU's release has returned there is no linked leaf, and none is installed any more.
 *  SM10 When an MMIO entry is trusted because its generation is that of the memslots, the page has no
 *       memslot. In flux the memslots have no generation that an entry could have.
 *
 * Never judged: detached tables; entries that are zapped but not flushed while the zapper still
 * holds mmu_lock (stale_tlb does that); a fault's private translation; upgrades of the host; leafs of a
 * slot that is marked as going, until it is gone; TLB entries tagged with an invalid root, or left when
 * release has begun (nobody will run on them: only what the guest does reach counts); MMIO entries
 * trusted by readers of memslots that are published no longer; a pfncache that nobody uses, once the MMU's
 * release has returned: nobody tells it of anything any more. By SM3 to SM5: splits, and what the fast
 * page fault restores without mmu_lock, which derive from a leaf that is there and is SM1's.
 */
#include "oracle/judge.h"

static const char sm1[] =
	"When the host takes a mapping away, no table entry may still depend on it.";
static const char sm2[] =
	"When the host takes a mapping away, no usable TLB entry may still depend on it.";
static const char sm3[] =
	"An entry may only map what the host maps there now, with no more rights.";
static const char sm3_level[] = "A huge entry needs a leaf of the host that is as large.";
static const char sm4_range[] =
	"A fault must not install while an invalidation whose hull holds its page is open.";
static const char sm4_seq[] = "A fault must not install when an invalidation has ended since it "
			      "read the sequence number.";
static const char sm4_section[] =
	"The check for invalidations and the install must stand in one section of mmu_lock.";
static const char sm5[] =
	"From the return of range_start until range_end nothing may map the range.";
static const char sm7_used[] =
	"The kernel only reaches what the host maps there now, with no more rights.";
static const char sm7_started[] =
	"From the return of range_start until range_end no pfncache of the range is valid.";
static const char sm7_lost[] = "When the host takes a mapping away, no pfncache may depend on it.";
static const char sm6[] = "Nothing may translate a page whose memslot is gone.";
static const char sm9[] = "Nothing is mapped when the MMU has been released.";
static const char sm10[] =
	"An MMIO entry of the present generation stands for a page without a memslot.";
static const char sm8[] = "Nothing may lead to a host page that is freed.";

/* The VM's pfncache, as events tell of it. */
static struct {
	bool valid;
	hva_t hva;
	pfn_t pfn;
	struct ghost_mark filled;
} cache;

void stale_mapping_reset(void)
{
	cache.valid = false;
	cache.filled.time = 0;
}

/*
 * Whether the pfncache can be used, now that nobody may be at work with it: both what is told of it and what it
 * holds say so. Behind the MMU's release it hears of nothing.
 */
static bool cache_counts(void)
{
	struct pfncache_view view;

	if (likely(!cache.valid) || ghost.released.time || !inspect_vm())
		return false;
	view = inspect_pfncache();
	return view.valid && view.hva == cache.hva && view.pfn == cache.pfn;
}

static void convict_cache(const struct event *event, const char *class, const char *sentence,
			  struct ghost_mark against, hva_t hva, pfn_t pfn)
{
	oracle_convict(&(struct finding){
		.oracle = ORACLE_stale_mapping,
		.class = class,
		.sentence = sentence,
		.at = ghost_mark(event),
		.against = against,
		.values = { { "hva", hva }, { "pfn", pfn }, { "host", inspect_host_pte(hva) } },
	});
}

/* What the host has taken back: frames in a row, and the guest frames that they were mapped at. */
struct loss {
	const struct event *event;
	gfn_t gfn, end;
	pfn_t pfn; /* of gfn */
	bool gone; /* else it is read-only now */
	const char *table_class, *table_sentence, *tlb_class, *tlb_sentence;
};

/* Whether the guest can still use @entry, or will be able to. */
static bool tlb_counts(u32 vcpu, const struct tlb_view *entry)
{
	return inspect_cached_usable(vcpu, entry->root, entry->gfn,
				     entry->gfn + PT_PAGES(entry->level), false) &&
	       ghost_tag_counts(entry->root);
}

static bool tlb_depends(const struct tlb_view *entry, const struct loss *loss)
{
	gfn_t gfn = max_u64(entry->gfn, loss->gfn);

	if (gfn >= min_u64(entry->gfn + PT_PAGES(entry->level), loss->end) ||
	    entry->pfn + (gfn - entry->gfn) != loss->pfn + (gfn - loss->gfn))
		return false;
	return loss->gone || (entry->access >> ACCESS_WRITE & 1);
}

static void convict_tlb(const struct loss *loss, u32 vcpu, gfn_t gfn, pfn_t root)
{
	oracle_convict(&(struct finding){
		.oracle = ORACLE_stale_mapping,
		.class = loss->tlb_class,
		.sentence = loss->tlb_sentence,
		.at = ghost_mark(loss->event),
		.against = ghost_last_change(root, gfn),
		.values = { { "vcpu", vcpu }, { "gfn", gfn }, { "pfn", loss->pfn } },
	});
}

static void convict_table(const struct loss *loss, const struct ghost_leaf *leaf, gfn_t gfn)
{
	oracle_convict(&(struct finding){
		.oracle = ORACLE_stale_mapping,
		.class = loss->table_class,
		.sentence = loss->table_sentence,
		.at = ghost_mark(loss->event),
		.against = ghost_leaf_installed(leaf),
		.values = { { "gfn", gfn }, { "pfn", loss->pfn }, { "spte", leaf->pte } },
	});
}

/* Context: @leaf covers a part of the loss. */
static bool leaf_depends(const struct ghost_leaf *leaf, const struct loss *loss)
{
	gfn_t gfn = max_u64(leaf->gfn, loss->gfn);

	if (ghost_leaf_pfn(leaf, gfn) != loss->pfn + (gfn - loss->gfn))
		return false;
	return loss->gone || (leaf->pte & (PTE_W | SPTE_HOST_WRITABLE));
}

/* SM1 and SM2 for the guest frames of one address space. */
static void judge_loss(const struct loss *loss, u32 as_id)
{
	for (u32 i = 0; i < inspect_nr_roots(); i++) {
		struct root_view root = inspect_root(i);
		struct ghost_leaf leaf;
		gfn_t at = loss->gfn;

		while (root.as_id == as_id && ghost_next_leaf(&root, &at, loss->end, &leaf))
			if (leaf_depends(&leaf, loss))
				convict_table(loss, &leaf, max_u64(leaf.gfn, loss->gfn));
	}
	for (u32 vcpu = 0; vcpu < inspect_nr_vcpus(); vcpu++) {
		for (u32 i = 0; i < inspect_nr_tlb(vcpu); i++) {
			struct tlb_view entry = inspect_tlb(vcpu, i);

			if (tlb_depends(&entry, loss) && tlb_counts(vcpu, &entry) &&
			    ghost_root(entry.root).as_id == as_id)
				convict_tlb(loss, vcpu, max_u64(entry.gfn, loss->gfn), entry.root);
		}
	}
}

/* Context: under the entry's lock, which is what orders the host's change against the faults. */
static __noinline void host_pte_changed(const struct event_host_pte_changed *event)
{
	bool gone = !host_pte_present(event->new) ||
		    host_pte_pfn(event->new) != host_pte_pfn(event->old);
	hva_t end = event->hva + PT_PAGES(event->level);
	struct loss loss = { .event = &event->head,
			     .gone = gone,
			     .table_class = "SM1",
			     .table_sentence = sm1,
			     .tlb_class = "SM2",
			     .tlb_sentence = sm2 };

	if (!gone && (!host_pte_writable(event->old) || host_pte_writable(event->new)))
		return;
	for (u32 i = 0; i < inspect_nr_slots(); i++) {
		struct slot_view slot = inspect_slot(i);
		hva_t start = max_u64(event->hva, slot.hva);

		if (start >= min_u64(end, slot.hva + (slot.end - slot.start)))
			continue;
		loss.gfn = slot.start + (start - slot.hva);
		loss.end = min_u64(slot.end, slot.start + (end - slot.hva));
		loss.pfn = host_pte_pfn(event->old) + (start - event->hva);
		judge_loss(&loss, slot.as_id);
	}
	if (cache.hva >= event->hva && cache.hva < end &&
	    cache.pfn == host_pte_pfn(event->old) + (cache.hva - event->hva) && cache_counts())
		convict_cache(&event->head, "SM7", sm7_lost, cache.filled, cache.hva, cache.pfn);
}

static __noinline void host_page_freed(const struct event_frame_freed *event)
{
	struct loss loss = { .event = &event->head,
			     .pfn = event->pfn,
			     .gone = true,
			     .table_class = "SM8",
			     .table_sentence = sm8,
			     .tlb_class = "SM8",
			     .tlb_sentence = sm8 };

	for (u32 i = 0; i < inspect_nr_roots(); i++) {
		struct root_view root = inspect_root(i);
		struct ghost_leaf leaf;
		gfn_t gfn = 0;

		while (ghost_next_leaf(&root, &gfn, ~0ull, &leaf))
			if (loss.pfn - pte_pfn(leaf.pte) < PT_PAGES(leaf.level))
				convict_table(&loss, &leaf, leaf.gfn);
	}
	for (u32 vcpu = 0; vcpu < inspect_nr_vcpus(); vcpu++) {
		for (u32 i = 0; i < inspect_nr_tlb(vcpu); i++) {
			struct tlb_view entry = inspect_tlb(vcpu, i);

			if (loss.pfn - entry.pfn < PT_PAGES(entry.level) &&
			    tlb_counts(vcpu, &entry))
				convict_tlb(&loss, vcpu, entry.gfn, entry.root);
		}
	}
	if (cache.pfn == event->pfn && cache_counts())
		convict_cache(&event->head, "SM8", sm8, cache.filled, cache.hva, cache.pfn);
}

/* --- installs --- */

static void convict_install(const struct event_spte_changed *event, const char *class,
			    const char *sentence, gfn_t gfn, struct ghost_mark against)
{
	oracle_convict(&(struct finding){
		.oracle = ORACLE_stale_mapping,
		.class = class,
		.sentence = sentence,
		.at = ghost_mark(&event->head),
		.against = against,
		.values = { { "gfn", gfn }, { "spte", event->new } },
	});
}

/* The invalidation that the install ignores: one that names the frame, else the youngest. */
static struct ghost_mark hull_mark(gfn_t gfn)
{
	const struct ghost_invalidation *open = ghost_invalidating(gfn);

	if (!open && ghost.nr_open)
		open = &ghost.open[ghost.nr_open - 1];
	return open ? open->last : (struct ghost_mark){ .task = TASK_NONE };
}

static void judge_fault_install(const struct event_spte_changed *event)
{
	const struct ghost_task *task = ghost_task(event->head.task);
	const struct ghost_fault *fault = &task->fault;
	const struct ghost_change *change = &ghost.change;

	if (!fault->active ||
	    !gfn_in(fault->gfn, change->gfn, change->gfn + PT_PAGES(change->level)))
		return;
	if (ghost_in_hull(fault->gfn))
		convict_install(event, "SM4", sm4_range, fault->gfn, hull_mark(fault->gfn));
	else if (ghost.seq != fault->snapshot)
		convict_install(event, "SM4", sm4_seq, fault->gfn, ghost.ended);
	else if (!task->mmu_locks || fault->checked_section != task->section ||
		 fault->checked_gfn != fault->gfn)
		convict_install(event, "SM4", sm4_section, fault->gfn, fault->checked);
}

/* Whether a fault outside of @range may map @hva with the rest of the huge page of the host that holds it. */
static bool reaches_beyond(hva_t hva, const struct hva_range *range)
{
	u64 pages = PT_PAGES(inspect_host_level(hva));
	hva_t start = hva & ~(pages - 1);

	return start < range->start || start + pages > range->end;
}

/*
 * Return: whether a notification over @hva has returned from its start and not reached its end; unless @alone, one
 * over the whole huge page of the host that it may be mapped by.
 */
static bool started_over(hva_t hva, bool alone)
{
	for (u32 i = 0; ghost.nr_started && i < ARRAY_SIZE(ghost.tasks); i++) {
		const struct ghost_task *task = &ghost.tasks[i];

		for (u32 n = 0; n < task->depth; n++) {
			const struct ghost_notification *open = &task->notifications[n];

			if (open->bracket == GHOST_STARTED && hva >= open->range.start &&
			    hva < open->range.end && (alone || !reaches_beyond(hva, &open->range)))
				return true;
		}
	}
	return false;
}

static void judge_page(const struct event_spte_changed *event, gfn_t gfn, u32 as_id)
{
	pfn_t pfn = pte_pfn(event->new) + (gfn - ghost.change.gfn);
	struct ghost_mark none = { .task = TASK_NONE };
	bool in_slot = false;

	for (u32 i = 0; i < inspect_nr_slots(); i++) {
		struct slot_view slot = inspect_slot(i);
		hva_t hva = slot.hva + (gfn - slot.start);
		u64 host;

		if (slot.as_id != as_id || !gfn_in(gfn, slot.start, slot.end))
			continue;
		in_slot = true;
		if (started_over(hva, false))
			convict_install(event, "SM5", sm5, gfn, hull_mark(gfn));
		host = inspect_host_pte(hva);
		if (!host_pte_present(host) || host_pte_pfn(host) != pfn ||
		    ((event->new &SPTE_HOST_WRITABLE) && !host_pte_writable(host)))
			convict_install(event, "SM3", sm3, gfn, none);
		else if (ghost.change.level > PT_LEVEL_4K &&
			 inspect_host_level(hva) < ghost.change.level)
			convict_install(event, "SM3", sm3_level, gfn, none);
	}
	if (!in_slot)
		convict_install(event, "SM3", sm3, gfn, none);
}

static __noinline void installed(const struct event_spte_changed *event)
{
	const struct ghost_change *change = &ghost.change;
	u32 as_id;

	if (ghost.released.time)
		convict_install(event, "SM9", sm9, change->gfn, ghost.released);
	judge_fault_install(event);
	as_id = ghost_root(change->root).as_id;
	for (u64 i = 0; i < PT_PAGES(change->level); i++)
		judge_page(event, change->gfn + i, as_id);
}

/* --- SM5 at the return of start --- */

/* Return: whether @leaf maps a page of [start, end), which @event says is empty, that nothing justifies. */
static bool remains(const struct event_notifier_start_returned *event, const struct slot_view *slot,
		    const struct ghost_leaf *leaf, hva_t start, hva_t end)
{
	const struct hva_range range = { event->start, event->end };
	hva_t first = slot->hva + (max_u64(leaf->gfn, slot->start) - slot->start);

	end = min_u64(end, slot->hva + (leaf->gfn + PT_PAGES(leaf->level) - slot->start));
	for (hva_t hva = max_u64(start, first); hva < end; hva++)
		if (!reaches_beyond(hva, &range))
			return true;
	return false;
}

static void judge_slot(const struct event_notifier_start_returned *event,
		       const struct slot_view *slot)
{
	hva_t start = max_u64(event->start, slot->hva);
	hva_t end = min_u64(event->end, slot->hva + (slot->end - slot->start));

	for (u32 i = 0; start < end && i < inspect_nr_roots(); i++) {
		struct root_view root = inspect_root(i);
		gfn_t gfn = slot->start + (start - slot->hva);
		struct ghost_leaf leaf;

		if (root.as_id != slot->as_id)
			continue;
		while (ghost_next_leaf(&root, &gfn, slot->start + (end - slot->hva), &leaf)) {
			if (!remains(event, slot, &leaf, start, end))
				continue;
			oracle_convict(&(struct finding){
				.oracle = ORACLE_stale_mapping,
				.class = "SM5",
				.sentence = sm5,
				.at = ghost_mark(&event->head),
				.against = ghost_leaf_installed(&leaf),
				.values = { { "gfn", leaf.gfn }, { "spte", leaf.pte } },
			});
		}
	}
}

static __noinline void start_returned(const struct event_notifier_start_returned *event)
{
	for (u32 i = 0; i < inspect_nr_slots(); i++) {
		struct slot_view slot = inspect_slot(i);

		judge_slot(event, &slot);
	}
	if (cache.hva >= event->start && cache.hva < event->end && cache_counts())
		convict_cache(&event->head, "SM7", sm7_started, cache.filled, cache.hva, cache.pfn);
}

/* --- SM7 --- */

static void pfncache_filled(const struct event_pfncache_filled *event)
{
	cache.valid = true;
	cache.hva = event->hva;
	cache.pfn = event->pfn;
	cache.filled = ghost_mark(&event->head);
	/* By then it has seen the count of active invalidations, which is raised all that time. */
	if (started_over(event->hva, true) && !ghost.released.time)
		convict_cache(&event->head, "SM7", sm7_started, hull_mark(event->gfn), event->hva,
			      event->pfn);
}

/* Context: the reader holds the cache's lock, so start waits for it, and the host with its change. */
static void pfncache_used(const struct event_pfncache_used *event)
{
	u64 host = inspect_host_pte(event->hva);

	if (host_pte_present(host) && host_pte_pfn(host) == event->pfn &&
	    (!event->write || host_pte_writable(host)))
		return;
	convict_cache(&event->head, "SM7", sm7_used, cache.filled, event->hva, event->pfn);
}

/* --- SM6, SM9: what has to be gone altogether --- */

/* Convicts if a leaf under @root translates a page of [start, end). */
static void judge_emptied(const struct event *event, const struct root_view *root, gfn_t start,
			  gfn_t end, const char *class, const char *sentence)
{
	struct ghost_leaf leaf;
	gfn_t gfn = start;

	if (!ghost_next_leaf(root, &gfn, end, &leaf))
		return;
	oracle_convict(&(struct finding){
		.oracle = ORACLE_stale_mapping,
		.class = class,
		.sentence = sentence,
		.at = ghost_mark(event),
		.against = ghost_leaf_installed(&leaf),
		.values = { { "root", root->pfn }, { "gfn", leaf.gfn }, { "spte", leaf.pte } },
	});
}

static void judge_emptied_tlb(const struct event_memslot_changed *event, u32 vcpu)
{
	for (u32 i = 0; i < inspect_nr_tlb(vcpu); i++) {
		struct tlb_view entry = inspect_tlb(vcpu, i);

		if (entry.gfn >= event->end || entry.gfn + PT_PAGES(entry.level) <= event->start ||
		    ghost_root(entry.root).as_id != event->as_id || !tlb_counts(vcpu, &entry))
			continue;
		oracle_convict(&(struct finding){
			.oracle = ORACLE_stale_mapping,
			.class = "SM6",
			.sentence = sm6,
			.at = ghost_mark(&event->head),
			.against = ghost_last_change(entry.root, entry.gfn),
			.values = { { "vcpu", vcpu }, { "gfn", entry.gfn }, { "pfn", entry.pfn } },
		});
	}
}

static __noinline void memslot_gone(const struct event_memslot_changed *event)
{
	for (u32 i = 0; i < inspect_nr_roots(); i++) {
		struct root_view root = inspect_root(i);

		if (root.as_id == event->as_id)
			judge_emptied(&event->head, &root, event->start, event->end, "SM6", sm6);
	}
	for (u32 vcpu = 0; vcpu < inspect_nr_vcpus(); vcpu++)
		judge_emptied_tlb(event, vcpu);
}

static __noinline void subscriber_called(const struct event_subscriber_called *event)
{
	if (event->subscriber != GHOST_MMU_SUBSCRIBER)
		return;
	for (u32 i = 0; i < inspect_nr_roots(); i++) {
		struct root_view root = inspect_root(i);

		judge_emptied(&event->head, &root, 0, ~0ull, "SM9", sm9);
	}
}

/* --- SM10 --- */

static __noinline void mmio_used(const struct event_mmio_used *event)
{
	u32 as_id = inspect_vcpu_as((u32)event->vcpu);

	/* A reader of the set before: the one of now is in flux, which no generation of before was. */
	if (event->generation != inspect_memslot_generation(as_id))
		return;
	for (u32 i = 0; i < inspect_nr_slots(); i++) {
		struct slot_view slot = inspect_slot(i);

		if (slot.as_id != as_id || !gfn_in(event->gfn, slot.start, slot.end))
			continue;
		oracle_convict(&(struct finding){
			.oracle = ORACLE_stale_mapping,
			.class = "SM10",
			.sentence = sm10,
			.at = ghost_mark(&event->head),
			.against = ghost.memslot.last,
			.values = { { "vcpu", event->vcpu },
				    { "gfn", event->gfn },
				    { "generation", event->generation } },
		});
	}
}

/* --- SM2 as the guest sees it --- */

static const char sm2_access[] =
	"The guest only reaches pages that the host maps, with no more rights.";

static bool host_backs(gfn_t gfn, u32 as_id, pfn_t pfn, bool write)
{
	for (u32 i = 0; i < inspect_nr_slots(); i++) {
		struct slot_view slot = inspect_slot(i);
		u64 host;

		if (slot.as_id != as_id || !gfn_in(gfn, slot.start, slot.end))
			continue;
		host = inspect_host_pte(slot.hva + (gfn - slot.start));
		return host_pte_present(host) && host_pte_pfn(host) == pfn &&
		       (!write || host_pte_writable(host));
	}
	return false;
}

static __noinline void guest_accessed(const struct event_guest_accessed *event)
{
	pfn_t root = inspect_vcpu_root((u32)event->vcpu);

	if (host_backs(event->gfn, ghost_root(root).as_id, event->pfn,
		       event->access == ACCESS_WRITE))
		return;
	oracle_convict(&(struct finding){
		.oracle = ORACLE_stale_mapping,
		.class = "SM2",
		.sentence = sm2_access,
		.at = ghost_mark(&event->head),
		.against = ghost_last_change(root, event->gfn),
		.values = { { "vcpu", event->vcpu },
			    { "gfn", event->gfn },
			    { "pfn", event->pfn },
			    { "access", event->access },
			    { "from_tlb", event->from_tlb } },
	});
}

void stale_mapping_event(const struct event *event)
{
	const void *payload = event;
	const struct event_host_pte_changed *pte = payload;
	const struct event_memslot_changed *memslot = payload;

	switch (event->id) {
	case EVENT_spte_changed:
		return installed(payload);
	case EVENT_host_pte_changed:
		/* A table, or a huge leaf that gives way to one which says the same: nothing is taken away. */
		if (host_pte_present(pte->old) && !((pte->old | pte->new) & HOST_PTE_TABLE))
			host_pte_changed(pte);
		return;
	case EVENT_frame_freed:
		return host_page_freed(payload);
	case EVENT_notifier_start_returned:
		return start_returned(payload);
	case EVENT_guest_accessed:
		return guest_accessed(payload);
	case EVENT_memslot_changed:
		if (memslot->step == MEMSLOT_GONE)
			memslot_gone(memslot);
		return;
	case EVENT_subscriber_called:
		return subscriber_called(payload);
	case EVENT_mmio_used:
		return mmio_used(payload);
	case EVENT_pfncache_filled:
		return pfncache_filled(payload);
	case EVENT_pfncache_dropped:
		cache.valid = false;
		return;
	case EVENT_pfncache_used:
		return pfncache_used(payload);
	}
}
