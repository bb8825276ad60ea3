/*
 * The fault path, from the violation to the installed entry.
 *
 * What makes an install right, in order: the snapshot of the sequence number precedes the
 * translation; the check under mmu_lock follows it; the install lies in the same section of mmu_lock
 * as the check. Each step left out is a row of the bug table.
 */
#include "mmu/mmu_internal.h"
#include "mmu/spte.h"

/* Gives up the attempt, saying where. */
static enum subject_ret retry(const struct kvm_page_fault *fault, enum retry_reason reason)
{
	event(fault_retried, .gfn = fault->gfn, .reason = reason);
	return SUBJECT_RETRY;
}

static u64 fault_snapshot_seq(struct kvm *kvm)
{
	u64 seq = READ_ONCE(kvm->mmu_invalidate_seq);

	if (bug_if(seq_truncated, seq > INT32_MAX))
		seq = (u64)(s64)(s32)seq;
	event(fault_snapshot, .seq = seq);
	return seq;
}

/*
 * Without mmu_lock: if the fault is bound to fail, it had better fail before it contends for the
 * lock that the invalidation holds. The answer is advice only.
 */
static bool fault_is_doomed(struct kvm_vcpu *vcpu, const struct kvm_page_fault *fault)
{
	return mmu_invalidate_retry_gfn_unsafe(vcpu, fault->mmu_seq, fault->gfn) != MMU_RETRY_NO;
}

/*
 * Translates the gfn and takes a reference on the page. Return: SUBJECT_FIXED to go on, or the
 * result of the attempt.
 */
static enum subject_ret kvm_mmu_faultin_pfn(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault)
{
	struct kvm *kvm = vcpu->kvm;
	u8 precheck = kvm->variant.knob[KNOB_fault_precheck];
	hva_t hva;

	/*
	 * First of all. Taken any later, an invalidation could begin and end between the
	 * translation and the snapshot, and nothing would tell that the page is not there any more.
	 */
	fault->mmu_seq = fault_snapshot_seq(kvm);
	/* Pairs with smp_wmb() in kvm_mmu_invalidate_end. */
	smp_rmb();
	/* No memslot: MMIO, emulated each time; no entry is kept for it. */
	if (!fault->slot)
		return SUBJECT_EMULATE;
	if (precheck == fault_precheck_before_and_after && fault_is_doomed(vcpu, fault))
		return retry(fault, RETRY_BEFORE_GUP);
	hva = gfn_to_hva_memslot(fault->slot, fault->gfn);
	if (host_get_user_page(hva, fault->access == ACCESS_WRITE, &fault->pfn,
			       &fault->map_writable) != GUP_OK)
		return SUBJECT_BAD_ADDRESS;
	event(fault_translated, .gfn = fault->gfn, .pfn = fault->pfn,
	      .writable = fault->map_writable);
	if (bug(snapshot_after_gup))
		fault->mmu_seq = fault_snapshot_seq(kvm);
	if (precheck != fault_precheck_none && fault_is_doomed(vcpu, fault)) {
		host_put_page(fault->pfn);
		return retry(fault, RETRY_AFTER_GUP);
	}
	return SUBJECT_FIXED;
}

/* Context: mmu_lock for reading, until the install. Return: SUBJECT_FIXED when the fault may install. */
static enum subject_ret is_page_fault_stale(struct kvm_vcpu *vcpu,
					    const struct kvm_page_fault *fault)
{
	enum mmu_retry stale;

	if (vcpu->root->role.invalid)
		return retry(fault, RETRY_OBSOLETE_ROOT);
	stale = mmu_invalidate_retry_gfn(vcpu, fault->mmu_seq, fault->gfn);
	if (stale == MMU_RETRY_NO || bug(recheck_dropped)) {
		event(fault_checked, .gfn = fault->gfn, .seq = fault->mmu_seq);
		return SUBJECT_FIXED;
	}
	return retry(fault, stale == MMU_RETRY_UNSET ? RETRY_UNSET_RANGE : RETRY_LOCKED);
}

static enum subject_ret tdp_mmu_map_handle_target_level(struct kvm_vcpu *vcpu,
							struct kvm_page_fault *fault,
							struct tdp_iter *iter)
{
	u64 old_spte = iter->old_spte, new_spte;

	/* Another vCPU was faster, or the violation came from an outdated TLB entry. */
	if (is_shadow_present_pte(old_spte) && is_last_spte(old_spte, iter->level) &&
	    is_access_allowed(fault->access, old_spte))
		return SUBJECT_SPURIOUS;
	new_spte = make_spte(&(struct spte_args){
		.pfn = fault->pfn, .level = iter->level, .host_writable = fault->map_writable });
	if (new_spte == old_spte)
		return SUBJECT_SPURIOUS;
	if (tdp_mmu_set_spte_atomic(vcpu->kvm, iter, new_spte))
		return retry(fault, RETRY_LOST_LEAF);
	/* A fault takes nothing away but a table, or MMU-writable, which it must not. */
	if (is_shadow_present_pte(old_spte) &&
	    (!is_last_spte(old_spte, iter->level) ||
	     WARN_ON(is_mmu_writable_spte(old_spte) && !is_mmu_writable_spte(new_spte))))
		kvm_flush_remote_tlbs(vcpu->kvm);
	return SUBJECT_FIXED;
}

/* Links a new table where the walk stands. Return: whether nobody was faster. */
static bool tdp_mmu_link_sp(struct kvm *kvm, struct tdp_iter *iter)
{
	struct kvm_mmu_page *sp = tdp_mmu_alloc_sp(iter->gfn, iter->level - 1);

	if (!tdp_mmu_set_spte_atomic(kvm, iter, make_nonleaf_spte(sp->pfn)))
		return true;
	/* Never linked, so nobody can be inside. */
	tdp_mmu_free_sp(sp);
	return false;
}

/* Context: mmu_lock for reading, the check has passed in this section. Mirrors kvm_tdp_mmu_map. */
static enum subject_ret kvm_tdp_mmu_map(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault)
{
	struct kvm *kvm = vcpu->kvm;
	enum subject_ret ret;
	struct tdp_iter iter;

	WARN_ON(vcpu->root->role.invalid);
	rcu_read_lock();
	for_each_tdp_pte(iter, vcpu->root, fault->gfn, fault->gfn + 1) {
		if (is_frozen_spte(iter.old_spte)) {
			ret = retry(fault, RETRY_FROZEN);
			goto out;
		}
		if (iter.level == fault->goal_level) {
			ret = tdp_mmu_map_handle_target_level(vcpu, fault, &iter);
			goto out;
		}
		if (is_shadow_present_pte(iter.old_spte) &&
		    !is_last_spte(iter.old_spte, iter.level))
			continue;
		if (!tdp_mmu_link_sp(kvm, &iter)) {
			ret = retry(fault, RETRY_LOST_TABLE);
			goto out;
		}
	}
	/* The step down found no table any more: somebody took it away since the visit. */
	ret = retry(fault, RETRY_NO_TABLE);
out:
	rcu_read_unlock();
	return ret;
}

/* Context: kvm->srcu. Mirrors kvm_tdp_mmu_page_fault. */
static enum subject_ret kvm_tdp_mmu_page_fault(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault)
{
	struct kvm *kvm = vcpu->kvm;
	enum subject_ret ret;
	bool stale;

	might_sleep(); /* the caches of page tables are filled up here, before any lock */
	ret = kvm_mmu_faultin_pfn(vcpu, fault);
	if (ret != SUBJECT_FIXED)
		return ret;
	read_lock(&kvm->mmu_lock);
	ret = is_page_fault_stale(vcpu, fault);
	stale = ret != SUBJECT_FIXED;
	if (!stale)
		ret = kvm_tdp_mmu_map(vcpu, fault);
	/*
	 * The reference goes while the lock is held: from here on the entry keeps the page, because
	 * whoever frees it must zap first and needs the lock for that.
	 */
	if (!bug_if(retry_leaks_page, stale))
		host_put_page(fault->pfn);
	if (!bug_if(retry_keeps_mmu_lock, stale))
		read_unlock(&kvm->mmu_lock);
	return ret;
}

enum subject_ret kvm_mmu_do_page_fault(struct kvm_vcpu *vcpu, gfn_t gfn, enum access access)
{
	struct kvm_page_fault fault = { .gfn = gfn, .access = access, .goal_level = PT_LEVEL_4K };
	enum subject_ret ret;

	vcpu->retry_waits = false;
	event(fault_begun, .vcpu = vcpu->hw->id, .gfn = gfn, .access = access);
	fault.slot = gfn_to_memslot(vcpu->kvm, gfn);
	ret = kvm_tdp_mmu_page_fault(vcpu, &fault);
	event(fault_ended, .gfn = gfn, .ret = ret);
	return ret;
}
