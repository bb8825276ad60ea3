/*
 * Aging: what the notifier side and the walk of the tables share.
 */
#ifndef MMU_YOUNG_H
#define MMU_YOUNG_H

#include "mmu/mmu_internal.h"
#include "mmu/tdp_mmu.h"

/* One young call of the host. */
struct young_call {
	hva_t start, end;
	bool test; /* look, and change nothing */
	bool fast_only; /* the caller does not want to wait for mmu_lock */
	bool slow; /* set by the handler: mmu_lock was taken, or would have to be */
};

/* Whether the design holds mmu_lock for writing around young calls. */
bool kvm_young_is_locked(const struct kvm *kvm);

/*
 * invalidate.c: calls @handler for each memslot that the call's range overlaps; with mmu_lock held for writing if
 * kvm_young_is_locked(). @flush: flush TLBs if any says young. Return: whether one did. Context: a PTL. Mirrors
 * kvm_age_hva_range.
 */
bool kvm_age_hva_range(struct kvm *kvm, struct young_call *call,
		       bool (*handler)(struct kvm *kvm, const struct kvm_gfn_range *range,
				       bool flush),
		       bool flush);

/* age.c: the callbacks; see struct mmu_notifier_ops. */
u32 kvm_mmu_notifier_clear_flush_young(struct mmu_notifier *mn, hva_t start, hva_t end);
u32 kvm_mmu_notifier_clear_young(struct mmu_notifier *mn, hva_t start, hva_t end, bool fast_only);
u32 kvm_mmu_notifier_test_young(struct mmu_notifier *mn, hva_t hva, bool fast_only);

#endif
