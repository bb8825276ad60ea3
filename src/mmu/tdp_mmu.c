/*
 * Changing entries of TDP tables. Structural changes (leaf, table, nothing) go through one funnel,
 * handle_changed_spte, with the value that was really replaced.
 */
#include <errno.h>

#include "mmu/mmu_internal.h"
#include "mmu/spte.h"

/*
 * Checks and accounts for a change that has happened. Context: mmu_lock, for reading when @shared.
 * Tables are only ever added here so far: a range zap leaves them in place.
 */
static void handle_changed_spte(struct kvm *kvm, u64 old_spte, u64 new_spte, u32 level)
{
	bool was_present = is_shadow_present_pte(old_spte);
	bool is_present = is_shadow_present_pte(new_spte);
	bool was_leaf = was_present && is_last_spte(old_spte, level);
	bool is_leaf = is_present && is_last_spte(new_spte, level);

	/* In place a mapping never moves to another frame: TLBs would hold both. */
	if (KVM_BUG_ON(was_leaf && is_leaf && spte_to_pfn(old_spte) != spte_to_pfn(new_spte)))
		return;
	if (old_spte == new_spte)
		return;
	if (is_leaf)
		WARN_ON(!spte_writable_invariants_hold(new_spte));
	if (!was_present && !is_present) {
		WARN_ON(!is_frozen_spte(new_spte));
		return;
	}
	WARN_ON(was_present && !was_leaf);
	if (is_present && !is_leaf)
		fetch_add(&kvm->tdp_mmu_pages, 1);
}

int tdp_mmu_set_spte_atomic(struct kvm *kvm, struct tdp_iter *iter, u64 new_spte)
{
	u64 old_spte = iter->old_spte;

	WARN_ON(iter->yielded || is_frozen_spte(iter->old_spte));
	lockdep_assert_held_read(&kvm->mmu_lock);
	/*
	 * Other faults race here, each with the entry it read: whoever is first wins, and the value
	 * that the loser would have replaced is not lost.
	 */
	if (!pte_try_cmpxchg(iter->sptep, &iter->old_spte, new_spte))
		return -EBUSY;
	handle_changed_spte(kvm, old_spte, new_spte, iter->level);
	return 0;
}

void tdp_mmu_iter_set_spte(struct kvm *kvm, struct tdp_iter *iter, u64 new_spte)
{
	u64 old_spte = iter->old_spte;

	WARN_ON(iter->yielded);
	WARN_ON(is_frozen_spte(old_spte) || is_frozen_spte(new_spte));
	lockdep_assert_held_write(&kvm->mmu_lock);
	/*
	 * The CPU may set D under our hands: then the value replaced is what the exchange returns,
	 * not what the walk read. With nothing of the kind possible a plain store will do.
	 */
	if (is_shadow_present_pte(old_spte) && is_last_spte(old_spte, iter->level) &&
	    spte_needs_atomic_update(old_spte))
		old_spte = pte_xchg(iter->sptep, new_spte);
	else
		pte_write(iter->sptep, old_spte, new_spte);
	iter->old_spte = old_spte;
	handle_changed_spte(kvm, old_spte, new_spte, iter->level);
}

bool tdp_mmu_iter_cond_resched(struct kvm *kvm, struct tdp_iter *iter, bool flush, bool shared)
{
	WARN_ON(iter->yielded);
	if (!need_resched() && !rwlock_needbreak(&kvm->mmu_lock))
		return false;
	/* Progress first: a walk that gave way here already would never end under contention. */
	if (iter->next_last_level_gfn == iter->yielded_gfn && !bug(yield_without_progress))
		return false;
	/*
	 * Before the unlock: as soon as mmu_lock is free, whoever waits for this range may find it
	 * empty, owe no flush of its own, and free the pages that TLBs still reach.
	 */
	WARN_ON(iter->gfn > iter->next_last_level_gfn);
	if (flush && !bug(yield_skips_flush))
		kvm_flush_remote_tlbs(kvm);
	event(walk_yielded, .root = kvm->tdp_mmu_root->pfn, .position = iter->next_last_level_gfn);
	/* Tables may be freed while we are away: no pointer into them survives this. */
	rcu_read_unlock();
	if (shared)
		cond_resched_rwlock_read(&kvm->mmu_lock);
	else
		cond_resched_rwlock_write(&kvm->mmu_lock);
	rcu_read_lock();
	iter->yielded = true;
	return true;
}
