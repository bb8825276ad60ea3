/*
 * Subscriptions: who hears of downgrades, and how one ends.
 *
 * Why a subscriber may be freed when mmu_notifier_unregister() has returned, although the end of the
 * process releases it at the same time:
 *  1. Callbacks run inside mn_srcu, and only of subscribers that were found on the list there.
 *  2. Whoever takes one off the list does so under the list lock, once; its next pointer stays, for
 *     those that stand on it.
 *  3. Both sides call release before they take it off, and wait for mn_srcu afterwards. So whoever
 *     comes second, and finds it off the list, has waited for the other's release as well, which is
 *     called inside mn_srcu.
 */
#include "host/host_internal.h"

void mmu_notifier_register(struct mmu_notifier *mn)
{
	struct mmu_notifier **last = &host.mm->subscribers;

	ASSERT(host.nr_subscribers < SUBSCRIBERS_MAX);
	while (*last)
		last = &(*last)->next;
	mn->next = NULL;
	mn->id = host.nr_subscribers++;
	mn->listed = true;
	*last = mn;
	host.announces_changes |= !!mn->ops->change_pte;
	host.tells_ages |=
		mn->ops->clear_flush_young || mn->ops->clear_young || mn->ops->test_young;
	event(subscriber_joined, .subscriber = mn->id, .has_end = !!mn->ops->invalidate_range_end);
}

static void called(const struct mmu_notifier *mn, enum notifier_call what,
		   const struct mmu_notifier_range *range, int error)
{
	event(subscriber_called, .subscriber = mn->id, .what = what, .start = range->start,
	      .end = range->end, .error = (u64)-error);
}

static void told_age(const struct mmu_notifier *mn, enum notifier_call what, hva_t start, hva_t end,
		     u32 young)
{
	event(subscriber_called, .subscriber = mn->id, .what = what, .start = start, .end = end,
	      .error = young);
}

/*
 * By a verb where a subscriber may go while tasks run: one that is gone with its notifier still listed is
 * found out here, and not by the call.
 */
static const struct mmu_notifier_ops *ops_of(const struct mmu_notifier *mn)
{
	return host.counts_users ? READ_ONCE(mn->ops) : mn->ops;
}

/* Context: inside mn_srcu. */
/*
 * The list changes only where the process or the VM may end while tasks run: elsewhere nobody could tell
 * one moment of reading it from another.
 */
static struct mmu_notifier *next_subscriber(struct mmu_notifier **link)
{
	return host.counts_users ? rcu_dereference(*link) : *link;
}

#define for_each_subscriber(mn)                                                    \
	for (struct mmu_notifier *mn = next_subscriber(&host.mm->subscribers); mn; \
	     mn = next_subscriber(&mn->next))

/* --- start and end --- */

static int call_start(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	const struct mmu_notifier_ops *ops = ops_of(mn);
	int error;

	if (!range->blockable)
		non_block_start();
	error = ops->invalidate_range_start(mn, range);
	if (!range->blockable)
		non_block_end();
	called(mn, NOTIFIER_START, range, error);
	/* Only a range that must not block may be refused, and who refuses hears of no end. */
	WARN_ON(error && (range->blockable || ops->invalidate_range_end));
	return error;
}

/* Context: inside mn_srcu. All are called, also behind one that refuses. */
static int call_starts(const struct mmu_notifier_range *range)
{
	int last = 0;

	for_each_subscriber(mn) {
		int error = call_start(mn, range);

		if (error)
			last = error;
	}
	return last;
}

/* Context: inside mn_srcu. */
static void call_ends(const struct mmu_notifier_range *range)
{
	for_each_subscriber(mn) {
		if (!mn->ops->invalidate_range_end)
			continue;
		mn->ops->invalidate_range_end(mn, range);
		called(mn, NOTIFIER_END, range, 0);
	}
}

/* Mirrors __mmu_notifier_invalidate_range_start. */
bool host_notify_start(const struct mmu_notifier_range *range)
{
	int idx, error;

	if (range->blockable)
		might_sleep();
	event(notifier_start, .start = range->start, .end = range->end);
	lock_section_enter(LOCK_mn_active);
	idx = srcu_read_lock(&host.mm->mn_srcu);
	error = call_starts(range);
	/* Who has heard of a start must hear of its end, or it refuses the range for ever. */
	if (error && !bug(refused_start_leaves_no_end))
		call_ends(range);
	srcu_read_unlock(&host.mm->mn_srcu, idx);
	if (error) {
		lock_section_leave(LOCK_mn_active);
		event(notifier_end_returned, .start = range->start, .end = range->end);
		return false;
	}
	event(notifier_start_returned, .start = range->start, .end = range->end);
	return true;
}

/* Mirrors __mmu_notifier_invalidate_range_end. */
void host_notify_end(const struct mmu_notifier_range *range)
{
	int idx;

	event(notifier_end, .start = range->start, .end = range->end);
	idx = srcu_read_lock(&host.mm->mn_srcu);
	call_ends(range);
	srcu_read_unlock(&host.mm->mn_srcu, idx);
	lock_section_leave(LOCK_mn_active);
	event(notifier_end_returned, .start = range->start, .end = range->end);
}

/* Mirrors __mmu_notifier_change_pte. */
void host_notify_change_pte(hva_t hva, pfn_t pfn, bool writable)
{
	const struct mmu_notifier_range range = { hva, hva + 1, .blockable = false };
	int idx;

	if (!host.announces_changes)
		return;
	idx = srcu_read_lock(&host.mm->mn_srcu);
	for_each_subscriber(mn) {
		if (!mn->ops->change_pte)
			continue;
		mn->ops->change_pte(mn, hva, pfn, writable);
		called(mn, NOTIFIER_CHANGE_PTE, &range, 0);
	}
	srcu_read_unlock(&host.mm->mn_srcu, idx);
}

/*
 * --- ages ---
 *
 * Under the PTL, so nobody may sleep or give way: a subscriber that lets go of the CPU in there leaves all
 * who fault in the same table spinning.
 */

/* Context: inside mn_srcu, PTL. */
static u32 call_clear_flush_young(struct mmu_notifier *mn, hva_t start, hva_t end)
{
	const struct mmu_notifier_ops *ops = ops_of(mn);
	u32 young;

	if (!ops->clear_flush_young)
		return 0;
	non_block_start();
	young = ops->clear_flush_young(mn, start, end);
	non_block_end();
	told_age(mn, NOTIFIER_CLEAR_FLUSH_YOUNG, start, end, young);
	return young;
}

/* Context: inside mn_srcu, PTL. */
static u32 call_clear_young(struct mmu_notifier *mn, hva_t start, hva_t end, bool fast_only)
{
	const struct mmu_notifier_ops *ops = ops_of(mn);
	u32 young;

	if (!ops->clear_young || (fast_only && !ops->has_fast_aging))
		return 0;
	non_block_start();
	young = ops->clear_young(mn, start, end, fast_only);
	non_block_end();
	told_age(mn, NOTIFIER_CLEAR_YOUNG, start, end, young);
	return young;
}

/* Context: inside mn_srcu, PTL. */
static u32 call_test_young(struct mmu_notifier *mn, hva_t hva, bool fast_only)
{
	const struct mmu_notifier_ops *ops = ops_of(mn);
	u32 young;

	if (!ops->test_young || (fast_only && !ops->has_fast_aging))
		return 0;
	non_block_start();
	young = ops->test_young(mn, hva, fast_only);
	non_block_end();
	told_age(mn, NOTIFIER_TEST_YOUNG, hva, hva + 1, young);
	return young;
}

/* Mirrors __mmu_notifier_clear_flush_young. */
u32 host_notify_clear_flush_young(hva_t start, hva_t end)
{
	u32 young = 0;
	int idx;

	if (!host.tells_ages)
		return 0;
	idx = srcu_read_lock(&host.mm->mn_srcu);
	/* All are asked, also behind one that knows: each has something to forget. */
	for_each_subscriber(mn)
		young |= call_clear_flush_young(mn, start, end);
	srcu_read_unlock(&host.mm->mn_srcu, idx);
	return young;
}

/* Mirrors __mmu_notifier_clear_young. */
u32 host_notify_clear_young(hva_t start, hva_t end, bool fast_only)
{
	u32 young = 0;
	int idx;

	if (!host.tells_ages)
		return 0;
	idx = srcu_read_lock(&host.mm->mn_srcu);
	for_each_subscriber(mn)
		young |= call_clear_young(mn, start, end, fast_only);
	srcu_read_unlock(&host.mm->mn_srcu, idx);
	return young;
}

/* Mirrors __mmu_notifier_test_young. */
u32 host_notify_test_young(hva_t hva, bool fast_only)
{
	u32 young = 0;
	int idx;

	if (!host.tells_ages)
		return 0;
	idx = srcu_read_lock(&host.mm->mn_srcu);
	for_each_subscriber(mn) {
		/* Not or-ed: slow is who has found it, though one before him had nothing to say, fast. */
		young = call_test_young(mn, hva, fast_only);
		if (young & YOUNG_YES)
			break;
	}
	srcu_read_unlock(&host.mm->mn_srcu, idx);
	return young;
}

/* --- the end of a subscription --- */

static const struct mmu_notifier_range everything = { 0, HVA_MAX, .blockable = true };

/* Context: inside mn_srcu. */
static void call_release(struct mmu_notifier *mn)
{
	const struct mmu_notifier_ops *ops = ops_of(mn);

	if (!ops->release)
		return;
	ops->release(mn);
	called(mn, NOTIFIER_RELEASE, &everything, 0);
}

/*
 * Takes @mn off the list, if nobody has done so. Return: whether it was there. Context: list lock.
 * Readers may stand on @mn: its own next pointer stays as it is.
 */
static bool unlist(struct mmu_notifier *mn)
{
	struct mmu_notifier **link = &host.mm->subscribers;

	if (!READ_ONCE(mn->listed))
		return false;
	while (*link != mn)
		link = &(*link)->next;
	rcu_assign_pointer(*link, mn->next);
	WRITE_ONCE(mn->listed, false);
	return true;
}

void mmu_notifier_unregister(struct mmu_notifier *mn)
{
	u32 id = mn->id;
	bool left = false;

	/* Races with host_notify_release(): both may call release, one of them takes it off. */
	if (READ_ONCE(mn->listed)) {
		int idx = srcu_read_lock(&host.mm->mn_srcu);

		call_release(mn);
		srcu_read_unlock(&host.mm->mn_srcu, idx);
		spin_lock(&host.mm->mn_list_lock);
		left = unlist(mn);
		spin_unlock(&host.mm->mn_list_lock);
	}
	/* Callbacks that are under way, the other's release among them. */
	if (!bug(unregister_without_grace_period))
		synchronize_srcu(&host.mm->mn_srcu);
	if (left)
		event(subscriber_left, .subscriber = id);
}

/* Return: mask of the ids of those that were on the list. */
static u64 unlist_all(void)
{
	struct mmu_notifier *mn;
	u64 ids = 0;

	spin_lock(&host.mm->mn_list_lock);
	while ((mn = READ_ONCE(host.mm->subscribers))) {
		ids |= BIT_ULL(mn->id);
		unlist(mn);
	}
	spin_unlock(&host.mm->mn_list_lock);
	return ids;
}

void host_notify_release(void)
{
	int idx = srcu_read_lock(&host.mm->mn_srcu);
	u64 left;

	for_each_subscriber(mn)
		call_release(mn);
	left = unlist_all();
	srcu_read_unlock(&host.mm->mn_srcu, idx);
	synchronize_srcu(&host.mm->mn_srcu);
	for (; left; left &= left - 1)
		event(subscriber_left, .subscriber = (u64)__builtin_ctzll(left));
}
