/*
 * KVM_PRE_FAULT_MEMORY: faults before the guest has them, in loops in the kernel.
 */
#include "mmu/dirty.h"
#include "mmu/fault.h"
#include "mmu/tdp_mmu.h"

/* A root that is obsolete is exchanged, a missing one loaded. Mirrors kvm_mmu_reload. */
static void prefault_reload(struct kvm_vcpu *vcpu)
{
	if (!bug(prefault_ignores_reload) &&
	    vcpu_take_request(vcpu->hw, REQUEST_FREE_OBSOLETE_ROOTS))
		kvm_mmu_free_obsolete_roots(vcpu);
	kvm_mmu_reload(vcpu);
}

/*
 * Attempt after attempt, in the kernel: nobody re-enters the guest in between, so what is only served
 * there must not be what the loop waits for. Upstream looks for a reload request before the loop and
 * not in it: a root that becomes obsolete in between makes every attempt retry until a signal comes, and
 * a memslot update that waits for kvm->srcu with it. Context: kvm->srcu. progress notices.
 *
 * A leaf that may be written is marked dirty although nobody has written yet. Upstream looks at the ring on the
 * way into the guest only, where a prefault never comes by: a range with more pages than the ring has entries
 * overwrites entries that nobody has taken. assertion.
 */
static enum subject_ret kvm_tdp_page_prefault(struct kvm_vcpu *vcpu, gfn_t gfn, u8 *level)
{
	const struct kvm_fault_cause cause = { .gfn = gfn,
					       .access = ACCESS_READ,
					       .prefetch = true };
	bool once = vcpu->kvm->variant.knob[KNOB_prefault_reload] == prefault_reload_once;
	enum subject_ret ret;

	for (;;) {
		/* Between two attempts, as between two visits to the guest: an attempt that retries has marked, too. */
		if (kvm_has(vcpu->kvm, KNOB_prefault_ring, prefault_ring_checked) &&
		    kvm_dirty_ring_soft_full(vcpu))
			return SUBJECT_RING_FULL;
		cond_resched();
		ret = kvm_mmu_do_page_fault(vcpu, &cause, level);
		if (ret != SUBJECT_RETRY)
			return ret == SUBJECT_EMULATE ? SUBJECT_NO_SLOT : ret;
		if (!once)
			prefault_reload(vcpu);
		/* What the loop would spin upon. */
		subject_retry_wait(vcpu->hw->id, gfn);
	}
}

/* One chunk: what one leaf maps. Return: *next is where the next chunk begins. */
static enum subject_ret pre_fault_chunk(struct kvm_vcpu *vcpu, gfn_t gfn, gfn_t *next)
{
	u8 level = PT_LEVEL_4K;
	enum subject_ret ret;

	prefault_reload(vcpu);
	ret = kvm_tdp_page_prefault(vcpu, gfn, &level);
	*next = (gfn & ~(PT_PAGES(level) - 1)) + PT_PAGES(level);
	return ret;
}

enum subject_ret kvm_vcpu_pre_fault_memory(struct kvm_vcpu *vcpu, gfn_t start, gfn_t end)
{
	int idx = srcu_read_lock(&vcpu->kvm->srcu);
	enum subject_ret ret = SUBJECT_FIXED;
	gfn_t gfn = start;

	if (bug(prefault_takes_slots_lock)) {
		mutex_lock(&vcpu->kvm->slots_lock);
		mutex_unlock(&vcpu->kvm->slots_lock);
	}
	while (gfn < end && (ret == SUBJECT_FIXED || ret == SUBJECT_SPURIOUS ||
			     ret == SUBJECT_WRITE_PROTECTED)) {
		ret = pre_fault_chunk(vcpu, gfn, &gfn);
		cond_resched();
	}
	if (ret == SUBJECT_AGAIN && bug(prefault_leaks_srcu))
		return ret;
	srcu_read_unlock(&vcpu->kvm->srcu, idx);
	return ret;
}
