/* Tables that execute faults have split off huge pages. */
#ifndef MMU_NX_H
#define MMU_NX_H

#include "mmu/mmu_internal.h"

/* Tables that one round of recovery takes at most. */
#define NX_ROUND_MAX 8

/*
 * @sp was linked, by an execute fault where a huge leaf could have been: it is listed, unless somebody has taken
 * it out since. Context: mmu_lock, RCU.
 */
void track_possible_nx_huge_page(struct kvm *kvm, struct kvm_mmu_page *sp, u64 *parent_sptep);
/* @sp is out of the tree. Context: mmu_lock; @sp is not freed yet. */
void untrack_possible_nx_huge_page(struct kvm *kvm, struct kvm_mmu_page *sp);
/* One round of the worker. Context: no locks. */
void kvm_recover_nx_huge_pages(struct kvm *kvm);

#endif
