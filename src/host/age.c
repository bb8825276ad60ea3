/*
 * Who asks for the age of pages, each with the locks that it has in mm/. Under the PTL the host's own A bit is
 * cleared, or only read, and the subscribers are asked, in this order; what they say is or-ed. An access that
 * comes behind the one and in front of the other is found the next time.
 *
 *	consumer	locks around the PTL		asks					a page that was accessed
 *	shrink		reclaim, rmap lock		clear_flush_young			stays
 *	page_idle	rmap lock			clear_young				is marked for reclaim
 *	look_around	reclaim, rmap lock		clear_young, then of the neighbours under
 *			the same hold (huge leafs:
 *			as shrink)
 *	damon		mmap_lock, for each round	clear_young; test_young			is marked for reclaim
 */
#include "host/host_internal.h"

/* What an ager does with a page. */
struct look {
	enum notifier_call asks;
	bool reclaims; /* takes the mark of those who watch for an access, and clears it */
	bool watches; /* leaves that mark, so that reclaim does not miss what is forgotten here */
	bool may_be_fast; /* asks for fast answers only where that design is at work */
};

static const struct look shrink_look = { .asks = NOTIFIER_CLEAR_FLUSH_YOUNG, .reclaims = true };
static const struct look idle_look = { .asks = NOTIFIER_CLEAR_YOUNG, .watches = true };
static const struct look gen_look = { .asks = NOTIFIER_CLEAR_YOUNG,
				      .reclaims = true,
				      .may_be_fast = true };
static const struct look neighbour_look = { .asks = NOTIFIER_CLEAR_YOUNG, .may_be_fast = true };
static const struct look sample_look = { .asks = NOTIFIER_TEST_YOUNG };

/* A page or a huge leaf whose PTL is held. */
struct aged {
	hva_t start, end; /* of what maps it */
	struct host_table *entry; /* its table, or the leaf itself */
	spinlock_t *ptl;
	u64 pte; /* the PTE or the leaf, as it stands */
};

/* --- entries --- */

/*
 * Return: whether @hva is mapped by a leaf, which is in @page with its PTL held then; nothing is held otherwise.
 * Context: mmap_lock or rmap_lock; no PTL.
 */
static bool age_lock_leaf(struct aged *page, hva_t hva, struct host_table *leaf)
{
	spin_lock(&host.mm->upper_ptl);
	/* Races with splits, and with whoever discards the leaf or makes it writable. */
	if (host_entry_now(hva) != leaf) {
		spin_unlock(&host.mm->upper_ptl);
		return false;
	}
	*page = (struct aged){ host_leaf_start(leaf, hva), host_leaf_end(leaf, hva), leaf,
			       &host.mm->upper_ptl, host_leaf(leaf) };
	return true;
}

/* The same for a PTE of @table. */
static bool age_lock_pte(struct aged *page, hva_t hva, struct host_table *table)
{
	u64 *ptep = host_ptep(table, hva), pte;

	spin_lock(&table->ptl);
	/* Races with everybody who unmaps: what is not present has no age. */
	pte = READ_ONCE(*ptep);
	if (!host_pte_present(pte)) {
		spin_unlock(&table->ptl);
		return false;
	}
	*page = (struct aged){ hva, hva + 1, table, &table->ptl, pte };
	return true;
}

/* Return: whether something present maps @hva; then it is in @page and its PTL is held. Context: as above. */
static bool age_lock(struct aged *page, hva_t hva)
{
	struct host_table *entry = host_entry_lockless(hva);

	while (host_is_leaf(entry)) {
		if (age_lock_leaf(page, hva, entry))
			return true;
		/* Another leaf, or none: others have got on. */
		entry = host_entry_lockless(hva);
	}
	return entry && age_lock_pte(page, hva, entry);
}

/* Context: PTL of @page. */
static void age_write(struct aged *page, u64 new)
{
	u64 *ptep;

	if (host_is_leaf(page->entry)) {
		page->entry = host_leaf_write(page->start, page->entry, new);
	} else {
		ptep = host_ptep(page->entry, page->start);
		host_pte_write(page->start, ptep, page->pte, new);
	}
	page->pte = new;
}

/* --- one page --- */

/* What of @pte says that the page was accessed. */
static u64 known_by(const struct look *look)
{
	return HOST_PTE_YOUNG | (look->reclaims ? HOST_PTE_KNOWN_YOUNG : 0);
}

/* Return: what the subscribers say, a mask of YOUNG_*. Context: PTL. */
static u32 ask(const struct look *look, const struct aged *page)
{
	bool fast_only = look->may_be_fast && host.looks_fast;

	switch (look->asks) {
	case NOTIFIER_CLEAR_FLUSH_YOUNG:
		return host_notify_clear_flush_young(page->start, page->end);
	case NOTIFIER_CLEAR_YOUNG:
		return host_notify_clear_young(page->start, page->end, fast_only);
	default:
		return host_notify_test_young(page->start, fast_only);
	}
}

/*
 * Return: whether the page was accessed, and YOUNG_FAST if subscribers said so. Context: PTL of @page. Mirrors
 * ptep_clear_young_notify and its kin; test_young is asked only if the host does not know, as by
 * damon_young_pmd_entry.
 */
static u32 judge(const struct look *look, struct aged *page)
{
	u64 known = page->pte & known_by(look);
	bool forgets = look->asks != NOTIFIER_TEST_YOUNG;
	u32 young = known ? YOUNG_YES : 0;

	if (known && forgets)
		age_write(page, page->pte & ~known);
	if ((!known || forgets) && !bug_if(walk_ages_primary_only, look->may_be_fast))
		young |= ask(look, page);
	/* What is forgotten here, in the host or by subscribers, nobody else would find any more. */
	if (look->watches && (young & YOUNG_YES) && !(page->pte & HOST_PTE_KNOWN_YOUNG))
		age_write(page, page->pte | HOST_PTE_KNOWN_YOUNG);
	event(age_judged, .hva = page->start, .young = young & YOUNG_YES);
	return young;
}

/* --- reclaim --- */

static void age_begin(enum age_consumer consumer, hva_t start, hva_t end)
{
	ASSERT(start <= end && end <= HVA_MAX);
	event(age_begun, .consumer = consumer, .start = start, .end = end);
}

/*
 * Return: the page of @hva with a reference for the caller if it was not accessed, 0 if it was, or is shared.
 * The reference is what keeps an old page from being another one by the time it is reclaimed. Context: PTL.
 */
static pfn_t judge_and_take(struct aged *page, hva_t hva)
{
	pfn_t pfn = host_pte_pfn(page->pte) + (hva - page->start);

	if ((judge(&shrink_look, page) & YOUNG_YES) || host_sharers(pfn))
		return 0;
	frame_get(pfn);
	return pfn;
}

/* Context: rmap_lock, inside LOCK_fs_reclaim; a reference on @pfn, which is dropped. */
static void reclaim_old(struct host_table *table, hva_t hva, pfn_t pfn)
{
	if (host_is_leaf(table))
		table = host_split_down(hva);
	/* Races with who discards the leaf: nothing is left to be taken away. */
	if (table)
		host_reclaim_page(table, hva, pfn);
	else
		frame_put(pfn);
}

void host_shrink(hva_t hva)
{
	struct aged page;
	pfn_t old = 0;

	age_begin(AGE_RECLAIM, hva, hva + 1);
	/* Whoever allocates may end up here: they must not hold what subscribers take under the PTL. */
	lock_section_enter(LOCK_fs_reclaim);
	down_read(&host.mm->rmap_lock);
	if (age_lock(&page, hva)) {
		old = judge_and_take(&page, hva);
		spin_unlock(page.ptl);
	}
	if (old)
		reclaim_old(page.entry, hva, old);
	up_read(&host.mm->rmap_lock);
	lock_section_leave(LOCK_fs_reclaim);
	event(age_ended, .consumer = AGE_RECLAIM);
}

/* --- page idle tracking --- */

void host_page_idle(hva_t hva)
{
	struct aged page;

	age_begin(AGE_PAGE_IDLE, hva, hva + 1);
	down_read(&host.mm->rmap_lock);
	if (age_lock(&page, hva)) {
		judge(&idle_look, &page);
		spin_unlock(page.ptl);
	}
	up_read(&host.mm->rmap_lock);
	event(age_ended, .consumer = AGE_PAGE_IDLE);
}

/* --- the multi-generational LRU --- */

void host_look_fast(void)
{
	host.looks_fast = true;
}

/* Whether the neighbours are worth it, by what was said of the page itself, @young. Context: its PTL. */
static bool look_on(const struct aged *page, u32 young)
{
	if (!(young & YOUNG_YES))
		return false;
	/* Others fault in the same table: they would wait for as many calls as there are neighbours. */
	if (spin_is_contended(page->ptl))
		return false;
	/* A slow answer would be as slow for each of them. */
	return !host.looks_fast || !host.tells_ages || (young & YOUNG_FAST);
}

/* Context: PTL of @page, whose table is looked through. Mirrors lru_gen_look_around. */
static void look_at_neighbours(const struct aged *page)
{
	hva_t first = page->start & ~(hva_t)(PT_ENTRIES - 1);

	for (hva_t hva = first; hva < first + PT_ENTRIES; hva++) {
		u64 *ptep = host_ptep(page->entry, hva), pte;
		struct aged next;

		if (hva == page->start)
			continue;
		pte = READ_ONCE(*ptep);
		if (!host_pte_present(pte))
			continue;
		next = (struct aged){ hva, hva + 1, page->entry, page->ptl, pte };
		judge(&neighbour_look, &next);
	}
}

/* Context: PTL of @page. Mirrors folio_referenced_one: huge leafs have no neighbours. */
static void look_around(struct aged *page)
{
	u32 young;

	if (host_is_leaf(page->entry)) {
		judge(&shrink_look, page);
		return;
	}
	young = judge(&gen_look, page);
	if (look_on(page, young))
		look_at_neighbours(page);
}

void host_look_around(hva_t hva)
{
	struct aged page;

	age_begin(AGE_LOOK_AROUND, hva, hva + 1);
	lock_section_enter(LOCK_fs_reclaim);
	down_read(&host.mm->rmap_lock);
	if (age_lock(&page, hva)) {
		look_around(&page);
		spin_unlock(page.ptl);
	}
	up_read(&host.mm->rmap_lock);
	lock_section_leave(LOCK_fs_reclaim);
	event(age_ended, .consumer = AGE_LOOK_AROUND);
}

/* --- DAMON --- */

/* Context: mmap_lock. Return: where to go on. */
static hva_t damon_page(hva_t hva, const struct look *look)
{
	struct aged page;
	hva_t next = hva + 1;

	if (age_lock(&page, hva)) {
		judge(look, &page);
		next = page.end;
		spin_unlock(page.ptl);
	}
	return next;
}

static void damon_round(hva_t start, hva_t end, const struct look *look)
{
	down_read(&host.mm->mmap_lock);
	for (hva_t hva = start; hva < end;)
		hva = damon_page(hva, look);
	up_read(&host.mm->mmap_lock);
}

void host_damon(hva_t start, hva_t end)
{
	age_begin(AGE_DAMON, start, end);
	damon_round(start, end, &idle_look);
	/* The sampling interval: whatever is accessed from here on is found. */
	damon_round(start, end, &sample_look);
	event(age_ended, .consumer = AGE_DAMON);
}
