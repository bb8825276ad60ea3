#include "mmu/mmu_internal.h"
#include "mmu/spte.h"

void kvm_flush_remote_tlbs(struct kvm *kvm)
{
	machine_request_all(REQUEST_TLB_FLUSH);
}

/*
 * Empties every leaf in [start, end), tables stay. Return: whether a flush is owed, for what was
 * zapped here since the last yield, or @flush.
 */
static bool tdp_mmu_zap_leafs(struct kvm *kvm, struct kvm_mmu_page *root, gfn_t start, gfn_t end,
			      bool can_yield, bool flush)
{
	struct tdp_iter iter;

	end = min_u64(end, PT_PAGES(root->role.level + 1));
	if (bug(zap_stops_early))
		end--;
	lockdep_assert_held_write(&kvm->mmu_lock);
	event(walk_begun, .root = root->pfn, .start = start, .end = end);
	rcu_read_lock();
	for_each_tdp_pte(iter, root, start, end) {
		if (can_yield && tdp_mmu_iter_cond_resched(kvm, &iter, flush, false)) {
			flush = false;
			if (!bug(zap_goes_on_after_yield))
				continue;
		}
		if (!is_shadow_present_pte(iter.old_spte) ||
		    !is_last_spte(iter.old_spte, iter.level))
			continue;
		tdp_mmu_iter_set_spte(kvm, &iter, SHADOW_NONPRESENT_VALUE);
		/* No vCPU runs on an invalid root, and loading a root flushes. */
		if (!root->role.invalid)
			flush = true;
	}
	rcu_read_unlock();
	return flush;
}

bool kvm_tdp_mmu_unmap_gfn_range(struct kvm *kvm, const struct kvm_gfn_range *range, bool flush)
{
	return tdp_mmu_zap_leafs(kvm, kvm->tdp_mmu_root, range->start, range->end, range->may_block,
				 flush);
}
