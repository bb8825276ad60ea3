/*
 * The pfncache: one guest page that the kernel writes to at any time, without a fault and without mmu_lock.
 * Mirrors gfn_to_pfn_cache.
 */
#ifndef MMU_PFNCACHE_H
#define MMU_PFNCACHE_H

#include "mmu/mmu_internal.h"

struct gfn_to_pfn_cache {
	struct mutex refresh_lock; /* whoever translates anew; outside of lock */
	rwlock_t lock; /* all below; readers use the page under it */
	bool active;
	bool valid; /* the page may be used */
	gfn_t gfn;
	u64 generation; /* of the memslots that said where it lies in the host */
	struct kvm_memory_slot
		*slot; /* valid inside kvm->srcu while the generation is that of the set */
	hva_t uhva; /* HVA_MAX: nowhere */
	pfn_t pfn; /* of the kernel's mapping; 0: none */
	bool listed; /* under gpc_lock: invalidations look at it */
};

/* Context: no task. */
void kvm_gpc_init(struct kvm *kvm);
/* The VM goes. Context: nobody uses it any more. */
void kvm_gpc_destroy(struct kvm *kvm);
/* Drops what lies in [start, end) of the host. Context: range_start, behind the count and before mmu_lock; spins only. */
void gfn_to_pfn_cache_invalidate_start(struct kvm *kvm, hva_t start, hva_t end);
/* See subject_pfncache_map() and its like. Context: kvm->srcu, no lock; may sleep. */
int kvm_gpc_activate(struct kvm *kvm, gfn_t gfn);
void kvm_gpc_deactivate(struct kvm *kvm);
int kvm_gpc_write(struct kvm_vcpu *vcpu);

#endif
