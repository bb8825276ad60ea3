/*
 * The fault path, from the violation to the installed entry.
 *
 * What makes an install right, in order: the snapshot of the sequence number precedes the
 * translation; the check under mmu_lock follows it; the install lies in the same section of mmu_lock
 * as the check. Each step left out is a row of the bug table.
 */
#include "mmu/mmu_internal.h"
#include "mmu/spte.h"
#include "mmu/tdp_mmu.h"

enum subject_ret kvm_fault_retry(gfn_t gfn, enum retry_reason reason)
{
	event(fault_retried, .gfn = gfn, .reason = reason);
	return SUBJECT_RETRY;
}

static enum subject_ret retry(const struct kvm_page_fault *fault, enum retry_reason reason)
{
	return kvm_fault_retry(fault->gfn, reason);
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
 * The vCPU will try again when other memslots are published. The count is raised behind the pointer: with
 * the pointer still the old one, the count that was read before is too. No more than one publication
 * can come between, since the next waits for our section of kvm->srcu.
 */
static void wait_for_memslots(struct kvm_vcpu *vcpu, const struct kvm_page_fault *fault)
{
	u64 *published = &vcpu->kvm->memslots_published[vcpu->as_id], seen;

	seen = READ_ONCE(*published);
	if (kvm_memslots(vcpu->kvm, vcpu->as_id) != fault->slots)
		return;
	vcpu->retry_on = published;
	vcpu->retry_size = sizeof(seen);
	vcpu->retry_seen[0] = seen;
}

/*
 * The slot is being deleted or moved: the fault waits for the outcome. A prefault must not: it would go
 * round in circles inside kvm->srcu, which is what the update waits for.
 */
static enum subject_ret invalid_slot(struct kvm_vcpu *vcpu, const struct kvm_page_fault *fault)
{
	if (fault->prefetch && !bug(prefault_retries_invalid_slot))
		return SUBJECT_AGAIN;
	retry(fault, RETRY_SLOT_INVALID);
	wait_for_memslots(vcpu, fault);
	return SUBJECT_RETRY;
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
	/* No memslot: MMIO. There is nothing to translate. */
	if (!fault->slot) {
		vcpu_cache_mmio_info(vcpu, fault->gfn);
		return SUBJECT_FIXED;
	}
	if (READ_ONCE(fault->slot->flags) & KVM_MEMSLOT_INVALID)
		return invalid_slot(vcpu, fault);
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
	enum mmu_retry stale = MMU_RETRY_NO;

	/*
	 * The root may have been taken out of use, zapped and emptied since we looked: what is mapped
	 * into it now nobody removes before the VM goes.
	 */
	if (vcpu->root->role.invalid && !bug(obsolete_root_test_dropped))
		return retry(fault, RETRY_OBSOLETE_ROOT);
	if (fault->slot)
		stale = mmu_invalidate_retry_gfn(vcpu, fault->mmu_seq, fault->gfn);
	if (stale == MMU_RETRY_NO || bug(recheck_dropped)) {
		event(fault_checked, .gfn = fault->gfn, .seq = fault->mmu_seq);
		return SUBJECT_FIXED;
	}
	return retry(fault, stale == MMU_RETRY_UNSET ? RETRY_UNSET_RANGE : RETRY_LOCKED);
}

/*
 * A write to a page without a memslot races with the creation of one: readers of the new set have mapped
 * the page read-only, and the MMIO entry takes its place. Upstream flushes only where MMU-writable is
 * lost: TLBs keep a translation that no notifier finds in the tables any more, and owes a flush for.
 * stale_tlb.
 */
static bool mmio_over_leaf_flushes(const struct kvm *kvm, const struct kvm_page_fault *fault)
{
	return !fault->slot && kvm->variant.knob[KNOB_mmio_over_leaf] == mmio_over_leaf_flushed;
}

static enum subject_ret tdp_mmu_map_handle_target_level(struct kvm_vcpu *vcpu,
							struct kvm_page_fault *fault,
							struct tdp_iter *iter)
{
	u64 old_spte = iter->old_spte, new_spte;
	bool was_leaf = is_shadow_present_pte(old_spte) && is_last_spte(old_spte, iter->level);

	/* Another vCPU was faster, or the violation came from an outdated TLB entry. */
	if (was_leaf && (fault->prefetch || is_access_allowed(fault->access, old_spte)))
		return SUBJECT_SPURIOUS;
	if (!fault->slot)
		new_spte = make_mmio_spte(vcpu, fault->gfn);
	else
		new_spte = make_spte(&(struct spte_args){ .pfn = fault->pfn,
							  .level = iter->level,
							  .host_writable = fault->map_writable,
							  .prefetch = fault->prefetch });
	if (new_spte == old_spte)
		return fault->slot ? SUBJECT_SPURIOUS : SUBJECT_EMULATE;
	if (tdp_mmu_set_spte_atomic(vcpu->kvm, iter, new_spte))
		return retry(fault, RETRY_LOST_LEAF);
	if (is_shadow_present_pte(old_spte) &&
	    (!was_leaf || mmio_over_leaf_flushes(vcpu->kvm, fault) ||
	     /* A fault takes away nothing else, and MMU-writable it must not. */
	     WARN_ON(is_mmu_writable_spte(old_spte) && !is_mmu_writable_spte(new_spte))))
		kvm_flush_remote_tlbs_range(vcpu->kvm, iter->gfn,
					    iter->gfn + PT_PAGES(iter->level));
	return fault->slot ? SUBJECT_FIXED : SUBJECT_EMULATE;
}

/* Links a new table where the walk stands. Return: whether nobody was faster. */
static bool tdp_mmu_link_sp(struct kvm_vcpu *vcpu, struct tdp_iter *iter)
{
	struct kvm *kvm = vcpu->kvm;
	struct kvm_mmu_page_role role = vcpu->root->role;
	struct kvm_mmu_page *sp;

	role.level = (u8)(iter->level - 1);
	sp = tdp_mmu_alloc_sp(iter->gfn, role);
	vcpu->free_pages--;
	if (!tdp_mmu_set_spte_atomic(kvm, iter, make_nonleaf_spte(sp->pfn)))
		return true;
	/* Never linked, so nobody can be inside. */
	tdp_mmu_free_sp(sp);
	return false;
}

/* Context: mmu_lock for reading, the check has passed in this section. Mirrors kvm_tdp_mmu_map. */
static enum subject_ret kvm_tdp_mmu_map(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault)
{
	enum subject_ret ret;
	struct kvm_mmu_page *root = vcpu->root;
	struct tdp_iter iter;

	WARN_ON(root->role.invalid && !bug(obsolete_root_test_dropped));
	rcu_read_lock();
	for_each_tdp_pte(iter, root, fault->gfn, fault->gfn + 1) {
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
		if (!tdp_mmu_link_sp(vcpu, &iter)) {
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

/* A vCPU's store of page tables: filled up to FREE_PAGES_MAX when fewer are left than a fault may need. */
#define FREE_PAGES_MAX (2 * PT_LEVEL_MAX)

/* Before any lock: it may sleep. Return: false without memory. Mirrors mmu_topup_memory_caches. */
static bool mmu_topup_memory_caches(struct kvm_vcpu *vcpu)
{
	if (likely(vcpu->free_pages >= PT_LEVEL_MAX))
		return true;
	if (!kern_may_alloc())
		return false;
	vcpu->free_pages = FREE_PAGES_MAX;
	return true;
}

/* Context: kvm->srcu. Mirrors kvm_tdp_mmu_page_fault. */
static enum subject_ret kvm_tdp_mmu_page_fault(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault)
{
	struct kvm *kvm = vcpu->kvm;
	enum subject_ret ret;
	bool stale;

	might_sleep();
	if (!mmu_topup_memory_caches(vcpu))
		return SUBJECT_NO_MEMORY;
	ret = kvm_mmu_faultin_pfn(vcpu, fault);
	if (ret != SUBJECT_FIXED)
		return ret;
	read_lock(&kvm->mmu_lock);
	if (bug(fault_allocates_under_mmu_lock))
		kern_may_alloc();
	ret = is_page_fault_stale(vcpu, fault);
	stale = ret != SUBJECT_FIXED;
	if (!stale)
		ret = kvm_tdp_mmu_map(vcpu, fault);
	/*
	 * The reference goes while the lock is held: from here on the entry keeps the page, because
	 * whoever frees it must zap first and needs the lock for that.
	 */
	if (fault->slot && !bug_if(retry_leaks_page, stale))
		host_put_page(fault->pfn);
	if (!bug_if(retry_keeps_mmu_lock, stale))
		read_unlock(&kvm->mmu_lock);
	return ret;
}

enum subject_ret kvm_mmu_do_page_fault(struct kvm_vcpu *vcpu, gfn_t gfn, enum access access,
				       bool prefetch)
{
	struct kvm_page_fault fault = {
		.gfn = gfn, .access = access, .prefetch = prefetch, .goal_level = PT_LEVEL_4K
	};
	enum subject_ret ret;

	vcpu->retry_on = NULL;
	event(fault_begun, .vcpu = vcpu->hw->id, .gfn = gfn, .access = access,
	      .prefetch = prefetch);
	fault.slots = kvm_memslots(vcpu->kvm, vcpu->as_id);
	fault.slot = gfn_to_memslot(fault.slots, gfn);
	ret = kvm_tdp_mmu_page_fault(vcpu, &fault);
	event(fault_ended, .gfn = gfn, .ret = ret);
	return ret;
}

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
 */
static enum subject_ret kvm_tdp_page_prefault(struct kvm_vcpu *vcpu, gfn_t gfn)
{
	bool once = vcpu->kvm->variant.knob[KNOB_prefault_reload] == prefault_reload_once;
	enum subject_ret ret;

	for (;;) {
		cond_resched();
		ret = kvm_mmu_do_page_fault(vcpu, gfn, ACCESS_READ, true);
		if (ret != SUBJECT_RETRY)
			return ret == SUBJECT_EMULATE ? SUBJECT_NO_SLOT : ret;
		if (!once)
			prefault_reload(vcpu);
		/* What the loop would spin upon. */
		subject_retry_wait(vcpu->hw->id, gfn);
	}
}

enum subject_ret kvm_arch_vcpu_pre_fault_memory(struct kvm_vcpu *vcpu, gfn_t gfn)
{
	int idx = srcu_read_lock(&vcpu->kvm->srcu);
	enum subject_ret ret;

	if (bug(prefault_takes_slots_lock)) {
		mutex_lock(&vcpu->kvm->slots_lock);
		mutex_unlock(&vcpu->kvm->slots_lock);
	}
	prefault_reload(vcpu);
	ret = kvm_tdp_page_prefault(vcpu, gfn);
	if (ret == SUBJECT_AGAIN && bug(prefault_leaks_srcu))
		return ret;
	srcu_read_unlock(&vcpu->kvm->srcu, idx);
	return ret;
}
