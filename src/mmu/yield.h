/*
 * How a walk gives way: inline, because every walk asks at every entry.
 */
#ifndef MMU_YIELD_H
#define MMU_YIELD_H

#include "mmu/tdp_mmu.h"

/*
 * Return: whether somebody wants the CPU or mmu_lock and the walk has got on since it last gave way. Mirrors
 * tdp_mmu_iter_need_resched.
 */
static __inlined bool tdp_mmu_iter_need_resched(struct kvm *kvm, const struct tdp_iter *iter)
{
	WARN_ON(iter->yielded);
	if (!need_resched() && !rwlock_needbreak(&kvm->mmu_lock))
		return false;
	/* Progress first: a walk that gave way here already would never end under contention. */
	return iter->next_last_level_gfn != iter->yielded_gfn || bug(yield_without_progress);
}

/*
 * Gives way when somebody wants the CPU or mmu_lock and the walk has got on since it last did.
 * Flushes first if @flush. Return: true when it yielded: the caller owes no flush any more, must not
 * touch the iterator and continues its loop.
 */
static __inlined bool tdp_mmu_iter_cond_resched(struct kvm *kvm, struct tdp_iter *iter, bool flush,
						bool shared)
{
	if (!tdp_mmu_iter_need_resched(kvm, iter))
		return false;
	WARN_ON(iter->gfn > iter->next_last_level_gfn);
	/*
	 * Before the unlock: as soon as mmu_lock is free, whoever waits for this range may find it
	 * empty, owe no flush of its own, and free the pages that TLBs still reach.
	 */
	if (flush && !bug(yield_skips_flush))
		kvm_flush_remote_tlbs(kvm);
	event(walk_yielded, .root = kern_page_nr(iter->pt_path[iter->root_level]),
	      .position = iter->next_last_level_gfn);
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

#endif
