/*
 * Violations that are resolved without mmu_lock: dirty logging or access tracking has taken a right that the
 * entry is known to have, so an exchange of the entry gives it back.
 *
 * Why that is right without a translation and its check: MMU-writable says that the host maps the page
 * writable and nobody tracks it; whoever takes that bit holds mmu_lock for writing and flushes before he lets go of
 * it. And the exchange fails if anything in the entry has changed since it was read, a zap above all.
 */
#include "mmu/dirty.h"
#include "mmu/fault.h"
#include "mmu/spte.h"
#include "mmu/tdp_mmu.h"

/* No result: what the violation came from is for the slow path. */
#define NOT_FAST SUBJECT_RET_COUNT
/* Somebody else may be faster as often as this, and once more. */
#define TRIES_MAX 4

/*
 * Nothing there is never for us, unless access tracking made it so; what is there is only if W is missing. Mirrors
 * page_fault_can_be_fast.
 */
static bool page_fault_can_be_fast(const struct kvm *kvm, const struct kvm_page_fault *fault)
{
	if (!kvm_has(kvm, KNOB_fast_page_fault, fast_page_fault_on))
		return false;
	if (!fault->present)
		return !kvm_ad_enabled(kvm);
	return fault->access == ACCESS_WRITE;
}

/*
 * Return: the lowest entry for @gfn, with its value in *spte; the walk re-reads before it steps down, so the
 * value may be of the level above. Context: RCU. Mirrors fast_pf_get_last_sptep and its TDP form.
 */
static u64 *lowest_entry(struct kvm_vcpu *vcpu, gfn_t gfn, u64 *spte, u32 *level)
{
	struct tdp_iter iter;
	u64 *sptep = NULL;

	for_each_tdp_pte(iter, vcpu->root, gfn, gfn + 1) {
		*spte = iter.old_spte;
		*level = iter.level;
		sptep = iter.sptep;
	}
	return sptep;
}

/* The host maps the page writable, and nobody tracks it: so it was when the entry got the bit, and so it is still. */
static bool may_write(u64 spte)
{
	return is_mmu_writable_spte(spte) ||
	       (is_host_writable_spte(spte) && bug(fast_fault_trusts_host_writable));
}

/*
 * One try on the entry @sptep. Return: true when the fast path is through, with @ret; false to try again. Races
 * with everybody who changes entries; each of them, and we, by one atomic step.
 */
static bool try_entry(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault, u64 *sptep, u64 spte,
		      u32 level, enum subject_ret *ret)
{
	bool write = fault->access == ACCESS_WRITE, adds_write = false;
	u64 new_spte = spte;

	*ret = NOT_FAST;
	if (!is_shadow_present_pte(spte) || !is_last_spte(spte, level))
		return true;
	if (is_access_allowed(fault->access, spte)) {
		*ret = SUBJECT_SPURIOUS;
		return true;
	}
	if (!kvm_ad_enabled(vcpu->kvm) && is_access_track_spte(spte))
		new_spte = restore_acc_track_spte(new_spte) | PTE_A;
	if (write && may_write(spte)) {
		/* A huge leaf that could be written would make one mark stand for all its pages. */
		if (level > PT_LEVEL_4K && kvm_slot_dirty_track_enabled(fault->slot) &&
		    !bug(fast_fault_writes_huge))
			return true;
		new_spte |= PTE_W;
		adds_write = true;
	}
	if (new_spte == spte || !is_access_allowed(fault->access, new_spte))
		return true;
	if (bug_if(fast_fault_marks_first, adds_write)) {
		mark_page_dirty_in_slot(vcpu, fault->slot, fault->gfn);
		adds_write = false;
	}
	if (!pte_try_cmpxchg(sptep, &spte, new_spte))
		return false;
	*ret = SUBJECT_FIXED;
	/*
	 * Behind the exchange: a harvest between the two takes W again, and reports with the next round what
	 * the guest may write until then. The other order would let it take the mark of a write to come.
	 */
	if (adds_write)
		mark_page_dirty_in_slot(vcpu, fault->slot, fault->gfn);
	return true;
}

enum subject_ret fast_page_fault(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault)
{
	enum subject_ret ret = NOT_FAST;
	u32 tries = 0, level = 0;
	u64 spte = 0, *sptep;

	if (!fault->slot || !page_fault_can_be_fast(vcpu->kvm, fault))
		return NOT_FAST;
	rcu_read_lock();
	do {
		sptep = lowest_entry(vcpu, fault->gfn, &spte, &level);
		if (!sptep || try_entry(vcpu, fault, sptep, spte, level, &ret))
			break;
		/* Failed exchanges mean that others get on; the slow path ends the race. */
	} while (++tries <= TRIES_MAX);
	rcu_read_unlock();
	return ret;
}
