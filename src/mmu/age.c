/*
 * Aging: whether the guest has accessed pages, asked by the host under a PTL, so that nobody here sleeps or
 * gives way.
 *
 * Why that is right without mmu_lock:
 *  1. Tables are freed behind RCU, and the list of roots is read inside it: what the walk stands in stays, though it
 *     may be out of the tree by now.
 *  2. A leaf is changed by an exchange against the value read: W, D and a zap that came in between are not undone.
 *     (Upstream clears A in what is there by then, which is right as long as that is a leaf: knob aged_leaf.)
 *  3. What is lost is an access that was noticed at the same time. Nobody relies on it, so no flush is owed either.
 */
#include "mmu/young.h"

#include "mmu/spte.h"

_Static_assert(YOUNG_LOCKLESS == (u32)young_lockless - (u32)young_write_lock_flush,
	       "designs are counted like the values of their knob");

static enum young_design young_design(const struct kvm *kvm)
{
	return (enum young_design)(kvm->variant.knob[KNOB_young] - young_write_lock_flush);
}

bool kvm_young_is_locked(const struct kvm *kvm)
{
	return young_design(kvm) <= YOUNG_WRITE_LOCK;
}

/* --- one leaf --- */

/*
 * Forgets that the leaf was accessed. Return: false when somebody else has changed it first: it is as good as accessed
 * again. Races with the CPU, faults without mmu_lock, and (in the designs without it) with everybody. Mirrors
 * kvm_tdp_mmu_age_spte.
 */
static bool age_spte(const struct kvm *kvm, struct tdp_iter *iter)
{
	u64 new_spte = mark_spte_for_access_track(iter->old_spte);

	if (bug(age_forgets_saved_bits))
		new_spte &= ~SHADOW_ACC_TRACK_SAVED_MASK;
	if (bug(age_written_plainly)) {
		pte_write(iter->sptep, iter->old_spte, new_spte);
		return true;
	}
	if (kvm_young_is_locked(kvm)) {
		/* Nobody but the CPU and the fast fault, whose W would be taken the next moment anyway. */
		if (spte_ad_enabled(iter->old_spte))
			pte_fetch_and(iter->sptep, ~PTE_A);
		else
			pte_xchg(iter->sptep, new_spte);
		return true;
	}
	/*
	 * Upstream takes the bit from what is there by now, which need not be a leaf any more. It is part of the value
	 * that says FROZEN, so that a faulter takes the entry of a table that is on its way out for an empty one. spte_change.
	 */
	if (spte_ad_enabled(iter->old_spte) && kvm_has(kvm, KNOB_aged_leaf, aged_leaf_blindly)) {
		pte_fetch_and(iter->sptep, ~PTE_A);
		return true;
	}
	return pte_try_cmpxchg(iter->sptep, &iter->old_spte, new_spte);
}

/* Return: whether a leaf of the range was accessed; the test goes no further than the first. Context: RCU. */
static bool age_root(struct kvm *kvm, struct kvm_mmu_page *root, const struct kvm_gfn_range *range)
{
	struct tdp_iter iter;
	bool young = false;

	for_each_tdp_pte(iter, root, range->start, range->end) {
		bool done = true;

		if (!is_shadow_present_pte(iter.old_spte) ||
		    !is_last_spte(iter.old_spte, iter.level))
			continue;
		event(young_read, .root = root->pfn, .gfn = iter.gfn, .level = iter.level,
		      .spte = iter.old_spte);
		if (!is_accessed_spte(iter.old_spte))
			continue;
		if (range->young->test && !bug(test_young_clears))
			return true;
		done = age_spte(kvm, &iter);
		/* A lost exchange: the leaf stays as it is, and what was read of it holds. */
		young |= done || !bug(age_ignores_lost_exchange);
	}
	return young;
}

/* --- all roots --- */

/* Mirrors the walk of kvm_tdp_mmu_age_gfn_range. Context: nothing but the caller's locks. */
static bool age_valid_roots(struct kvm *kvm, const struct kvm_gfn_range *range)
{
	struct kvm_mmu_page *root;
	bool young = false;

	if (!bug(age_walks_without_rcu))
		rcu_read_lock();
	for (root = rcu_dereference(kvm->tdp_mmu_roots); root;
	     root = rcu_dereference(root->next_root)) {
		/* Stale by the next line: then it ages what nobody uses any more. */
		if (root->role.as_id != range->as_id || READ_ONCE(root->role.invalid))
			continue;
		young |= age_root(kvm, root, range);
		if (young && range->young->test)
			break;
	}
	if (!bug(age_walks_without_rcu))
		rcu_read_unlock();
	return young;
}

/* Up to 6.14. Context: mmu_lock for writing. Mirrors kvm_tdp_mmu_handle_gfn. */
static bool age_all_roots(struct kvm *kvm, const struct kvm_gfn_range *range)
{
	struct kvm_mmu_page *root;
	bool young = false;

	lockdep_assert_held_write(&kvm->mmu_lock);
	rcu_read_lock();
	for (root = rcu_dereference(kvm->tdp_mmu_roots); root;
	     root = rcu_dereference(root->next_root))
		if (root->role.as_id == range->as_id)
			young |= age_root(kvm, root, range);
	rcu_read_unlock();
	return young;
}

/* --- shadow pages of nested guests --- */

/* Mirrors kvm_may_have_shadow_mmu_sptes. */
static bool may_have_shadow_sptes(struct kvm *kvm)
{
	return READ_ONCE(kvm->indirect_shadow_pages);
}

/*
 * What was proposed: TDP tables first; shadow pages under mmu_lock, and only if the caller will wait for that. The
 * answer is fast when the lock was not taken.
 */
static bool age_fast_first(struct kvm *kvm, const struct kvm_gfn_range *range)
{
	struct young_call *call = range->young;
	bool young = age_valid_roots(kvm, range);

	if (young && call->test)
		return true;
	if (!may_have_shadow_sptes(kvm))
		return young;
	if (call->fast_only) {
		/* There may be more to know of the page; but what is known is known. */
		if (!bug_if(fast_only_reports_failed, young))
			return young;
		call->slow = true;
		return false;
	}
	/* Nested guests map nothing in this model: their rmaps are empty, but to see that takes the lock. */
	call->slow = !bug(slow_age_claims_fast);
	write_lock(&kvm->mmu_lock);
	write_unlock(&kvm->mmu_lock);
	return young;
}

/*
 * Handler of young calls. Return: whether the range is young in this memslot. Context: kvm->srcu, and mmu_lock for writing
 * if kvm_young_is_locked(). Mirrors kvm_age_gfn and kvm_test_age_gfn.
 */
static bool kvm_age_gfn(struct kvm *kvm, const struct kvm_gfn_range *range, bool unused)
{
	bool young;

	switch (young_design(kvm)) {
	case YOUNG_WRITE_LOCK_FLUSH:
	case YOUNG_WRITE_LOCK:
		return age_all_roots(kvm, range);
	case YOUNG_FAST_ONLY:
		return age_fast_first(kvm, range);
	case YOUNG_LOCKLESS:
		break;
	}
	if (bug(lockless_age_takes_mmu_lock))
		write_lock(&kvm->mmu_lock);
	/* Shadow pages would come next, each rmap under a lock of its own; they are empty, see above. */
	young = age_valid_roots(kvm, range);
	if (bug(lockless_age_takes_mmu_lock))
		write_unlock(&kvm->mmu_lock);
	return young;
}

/* --- callbacks; context: a PTL of the host --- */

static u32 young_result(const struct kvm *kvm, const struct young_call *call, bool young)
{
	u32 result = young ? YOUNG_YES : 0;

	if (young_design(kvm) == YOUNG_FAST_ONLY && !call->slow)
		result |= YOUNG_FAST;
	return result;
}

static u32 young_call(struct mmu_notifier *mn, enum notifier_call what, struct young_call *call)
{
	struct kvm *kvm = container_of(mn, struct kvm, mmu_notifier);
	/* Under the PTL still, if at all: nobody else need hear that a page is old. */
	bool flush =
		what == NOTIFIER_CLEAR_FLUSH_YOUNG && young_design(kvm) == YOUNG_WRITE_LOCK_FLUSH;
	u32 result;

	event(young_begun, .call = what, .start = call->start, .end = call->end,
	      .fast_only = call->fast_only, .design = young_design(kvm));
	result = young_result(kvm, call, kvm_age_hva_range(kvm, call, kvm_age_gfn, flush));
	event(young_ended, .call = what, .result = result);
	return result;
}

u32 kvm_mmu_notifier_clear_flush_young(struct mmu_notifier *mn, hva_t start, hva_t end)
{
	return young_call(mn, NOTIFIER_CLEAR_FLUSH_YOUNG,
			  &(struct young_call){ .start = start, .end = end });
}

u32 kvm_mmu_notifier_clear_young(struct mmu_notifier *mn, hva_t start, hva_t end, bool fast_only)
{
	return young_call(
		mn, NOTIFIER_CLEAR_YOUNG,
		&(struct young_call){ .start = start, .end = end, .fast_only = fast_only });
}

u32 kvm_mmu_notifier_test_young(struct mmu_notifier *mn, hva_t hva, bool fast_only)
{
	return young_call(
		mn, NOTIFIER_TEST_YOUNG,
		&(struct young_call){
			.start = hva, .end = hva + 1, .test = true, .fast_only = fast_only });
}
