/*
 * The fault path, from the violation to the installed entry.
 *
 * What makes an install right, in order: the snapshot of the sequence number precedes the
 * translation; the check under mmu_lock follows it; the install lies in the same section of mmu_lock
 * as the check. Each step left out is a row of the bug table.
 */
#include "mmu/dirty.h"
#include "mmu/fault.h"
#include "mmu/nx.h"
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
	/* The leaf may begin elsewhere: what is given back is the page that was taken. */
	fault->refcounted_page = fault->pfn;
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

static u64 ad_type_of(const struct kvm *kvm)
{
	switch (kvm->variant.knob[KNOB_ad_bits]) {
	case ad_bits_disabled:
		return SPTE_TDP_AD_DISABLED;
	case ad_bits_wrprot_only:
		return SPTE_TDP_AD_WRPROT_ONLY;
	default:
		return SPTE_TDP_AD_ENABLED;
	}
}

/* The proposal of 2024: a prefetch may write over a leaf, and keeps A. */
static bool keeps_accessed(const struct kvm *kvm)
{
	return kvm_has(kvm, KNOB_make_spte, make_spte_prefetch_keeps_accessed);
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

/*
 * A fault meets a leaf that tracks accesses, made by a prefault since it was translated. The host makes pages writable
 * without a notification, so the leaf may know more. Upstream writes over it by what the fault knows, and takes
 * MMU-writable from under dirty logging. spte_change.
 */
static bool leaf_knows_writable(const struct kvm *kvm, const struct kvm_page_fault *fault,
				u64 old_spte)
{
	return !fault->prefetch && kvm_has(kvm, KNOB_tracked_leaf, tracked_leaf_asked) &&
	       is_shadow_present_pte(old_spte) && is_host_writable_spte(old_spte);
}

/*
 * Return: what the leaf is to be; *wrprot: the guest must not write although the host lets it. Whoever may write
 * from here on is marked first: a harvest holds mmu_lock for writing, so it comes before the mark or finds it.
 * Mirrors make_spte as the fault path calls it.
 */
static u64 fault_spte(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault,
		      const struct tdp_iter *iter, bool *wrprot)
{
	struct kvm *kvm = vcpu->kvm;
	bool nx = kvm_has(kvm, KNOB_nx_huge_pages, nx_huge_pages_on);
	bool host_writable = fault->map_writable || leaf_knows_writable(kvm, fault, iter->old_spte);
	u64 spte;

	*wrprot = host_writable && kvm_gfn_is_write_tracked(fault->slot, fault->gfn);
	spte = make_spte(&(struct spte_args){
		.pfn = fault->pfn,
		.level = iter->level,
		.ad_type = ad_type_of(kvm),
		.host_writable = host_writable,
		.write_tracked = *wrprot,
		.prefetch = fault->prefetch,
		.keep_accessed = keeps_accessed(kvm),
		.exec = !nx || iter->level == PT_LEVEL_4K,
		.old_spte = iter->old_spte,
	});
	if (is_writable_pte(spte) && !bug(fault_marks_nothing))
		mark_page_dirty_in_slot(vcpu, fault->slot, fault->gfn);
	return spte;
}

/*
 * Another vCPU was faster, or the violation came from an outdated TLB entry. A prefetch leaves every leaf alone: what
 * it knows of the host may be older than what the leaf is made of.
 */
static bool already_mapped(const struct kvm *kvm, const struct kvm_page_fault *fault, u64 old_spte,
			   u32 level)
{
	if (!is_shadow_present_pte(old_spte))
		return false;
	if (!is_last_spte(old_spte, level))
		return fault->prefetch && bug(prefetch_content_with_table);
	if (bug(dirty_left_out_over_writable))
		return false;
	if (fault->prefetch)
		return !keeps_accessed(kvm) && !bug(prefetch_overwrites_leaf);
	return is_access_allowed(fault->access, old_spte);
}

/* Return: whether what the leaf has replaced is owed a flush, before mmu_lock is let go. */
static bool replaced_owes_flush(const struct kvm *kvm, const struct kvm_page_fault *fault,
				u64 old_spte, u64 new_spte, u32 level)
{
	if (!is_shadow_present_pte(old_spte))
		return false;
	if (!is_last_spte(old_spte, level))
		return !bug(map_over_table_skips_flush);
	if (mmio_over_leaf_flushes(kvm, fault))
		return true;
	/* A fault takes away nothing else, and MMU-writable it must not. */
	return !bug(prefetch_overwrites_leaf) && !keeps_accessed(kvm) &&
	       WARN_ON(leaf_spte_change_needs_tlb_flush(old_spte, new_spte));
}

/*
 * Return: @ret; or what there is to do if the leaf denies the write because the page is tracked. That it was there
 * before makes no difference: the guest would only fault again. false_retry SP1.
 */
static enum subject_ret mapped(const struct kvm_page_fault *fault, bool wrprot,
			       enum subject_ret ret)
{
	if (wrprot && fault->access == ACCESS_WRITE)
		return SUBJECT_WRITE_PROTECTED;
	return fault->slot ? ret : SUBJECT_EMULATE;
}

static enum subject_ret tdp_mmu_map_handle_target_level(struct kvm_vcpu *vcpu,
							struct kvm_page_fault *fault,
							struct tdp_iter *iter)
{
	u64 old_spte = iter->old_spte, new_spte;
	bool wrprot = false;

	if (already_mapped(vcpu->kvm, fault, old_spte, iter->level))
		return SUBJECT_SPURIOUS;
	if (!fault->slot)
		new_spte = make_mmio_spte(vcpu, fault->gfn);
	else
		new_spte = fault_spte(vcpu, fault, iter, &wrprot);
	if (new_spte == old_spte)
		return mapped(fault, wrprot, SUBJECT_SPURIOUS);
	if (tdp_mmu_set_spte_atomic(vcpu->kvm, iter, new_spte))
		return retry(fault, RETRY_LOST_LEAF);
	if (replaced_owes_flush(vcpu->kvm, fault, old_spte, new_spte, iter->level))
		kvm_flush_remote_tlbs_range(vcpu->kvm, iter->gfn,
					    iter->gfn + PT_PAGES(iter->level));
	return mapped(fault, wrprot, SUBJECT_FIXED);
}

/*
 * Puts a new table where the walk stands: empty where there was nothing, else with what the huge leaf there says.
 * Return: whether nobody was faster.
 */
static bool add_table(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault, struct tdp_iter *iter)
{
	bool late = bug(nx_marked_late), tracked;
	struct kvm *kvm = vcpu->kvm;
	struct kvm_mmu_page_role role = vcpu->root->role;
	struct kvm_mmu_page *sp;
	int error;

	role.level = (u8)(iter->level - 1);
	sp = tdp_mmu_alloc_sp(iter->gfn, role);
	tdp_mmu_init_child_sp(sp, iter, vcpu->root->role);
	vcpu->free_pages--;
	/* Before others can find the table: whoever takes it out must know whether it is to be unlisted. */
	sp->nx_huge_page_disallowed = fault->huge_page_disallowed && !late;
	if (is_shadow_present_pte(iter->old_spte))
		error = tdp_mmu_split_huge_page(kvm, iter, sp, true);
	else
		error = tdp_mmu_link_sp(kvm, iter, sp, true);
	if (error) {
		/* Never linked, so nobody can be inside. */
		tdp_mmu_free_sp(sp);
		return false;
	}
	tracked = fault->huge_page_disallowed && fault->req_level >= iter->level;
	if (late && fault->huge_page_disallowed)
		WRITE_ONCE(sp->nx_huge_page_disallowed, true);
	if (tracked)
		track_possible_nx_huge_page(kvm, sp, iter->sptep);
	return true;
}

/* Context: mmu_lock for reading, the check has passed in this section. Mirrors kvm_tdp_mmu_map. */
static enum subject_ret kvm_tdp_mmu_map(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault)
{
	bool nx = kvm_has(vcpu->kvm, KNOB_nx_huge_pages, nx_huge_pages_on);
	enum subject_ret ret;
	struct kvm_mmu_page *root = vcpu->root;
	struct tdp_iter iter;

	WARN_ON(root->role.invalid && !bug(obsolete_root_test_dropped));
	kvm_mmu_hugepage_adjust(vcpu->kvm, fault);
	rcu_read_lock();
	for_each_tdp_pte(iter, root, fault->gfn, fault->gfn + 1) {
		if (nx)
			disallowed_hugepage_adjust(fault, iter.old_spte, iter.level);
		/* Its owner is about to write there: what we installed would be lost. */
		if (is_frozen_spte(iter.old_spte) && !bug(fault_ignores_frozen)) {
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
		if (!add_table(vcpu, fault, &iter)) {
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

/*
 * A write to what is tracked is emulated, and needs no leaf. Without a lock: who begins to track now protects the
 * leafs that are there. Mirrors the kernel function of its name.
 */
static bool page_fault_handle_page_track(const struct kvm_page_fault *fault)
{
	return fault->slot && fault->present && fault->access == ACCESS_WRITE &&
	       kvm_gfn_is_write_tracked(fault->slot, fault->gfn);
}

/* Context: kvm->srcu. Mirrors kvm_tdp_mmu_page_fault. */
static enum subject_ret kvm_tdp_mmu_page_fault(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault)
{
	struct kvm *kvm = vcpu->kvm;
	enum subject_ret ret;
	bool stale;

	might_sleep();
	if (page_fault_handle_page_track(fault))
		return SUBJECT_WRITE_PROTECTED;
	ret = fast_page_fault(vcpu, fault);
	if (ret != SUBJECT_RET_COUNT)
		return ret;
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
		host_put_page(bug(huge_fault_puts_first_page) ? fault->pfn
							      : fault->refcounted_page);
	if (!bug_if(retry_keeps_mmu_lock, stale))
		read_unlock(&kvm->mmu_lock);
	return ret;
}

enum subject_ret kvm_mmu_do_page_fault(struct kvm_vcpu *vcpu, const struct kvm_fault_cause *cause,
				       u8 *level)
{
	struct kvm_page_fault fault;
	enum subject_ret ret;
	gfn_t gfn = cause->gfn;

	fault.gfn = gfn;
	fault.access = cause->access;
	fault.prefetch = cause->prefetch;
	fault.present = cause->present;
	fault.huge_page_disallowed = false;
	fault.max_level = PT_LEVEL_1G;
	fault.req_level = fault.goal_level = PT_LEVEL_4K;
	fault.early_level = 0;

	vcpu->retry_on = NULL;
	event(fault_begun, .vcpu = vcpu->hw->id, .gfn = gfn, .access = cause->access,
	      .prefetch = cause->prefetch);
	fault.slots = kvm_memslots(vcpu->kvm, vcpu->as_id);
	fault.slot = gfn_to_memslot(fault.slots, gfn);
	if (bug_if(host_level_read_early, fault.slot))
		fault.early_level = kvm_mmu_max_mapping_level(vcpu->kvm, fault.slot, gfn);
	ret = kvm_tdp_mmu_page_fault(vcpu, &fault);
	event(fault_ended, .gfn = gfn, .ret = ret);
	if (level)
		*level = fault.goal_level;
	return ret;
}
