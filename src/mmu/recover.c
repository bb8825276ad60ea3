/*
 * When dirty logging ends: leafs become as large as the host allows. The new leaf is made from a small one below,
 * not from a translation, so no sequence number is asked: what the host maps huge cannot change in part
 * without a notification over all of it, which waits for mmu_lock.
 */
#include <errno.h>

#include "mmu/dirty.h"
#include "mmu/fault.h"
#include "mmu/spte.h"
#include "mmu/tdp_mmu.h"
#include "mmu/yield.h"

/* Return: whether the walk stands at a table that a leaf could take the place of. Context: mmu_lock. */
static bool recoverable(struct kvm *kvm, const struct kvm_memory_slot *slot,
			const struct tdp_iter *iter)
{
	gfn_t pages = PT_PAGES(iter->level);

	if (iter->level > PT_LEVEL_1G || !is_shadow_present_pte(iter->old_spte))
		return false;
	if (is_last_spte(iter->old_spte, iter->level))
		return false;
	/* Half outside of the memslot: whatever is there is not ours to map. */
	if (iter->gfn < slot->base_gfn)
		return false;
	/* What is known of the memslot's huge pages ends with the memslot. */
	if (bug_if(recover_over_slot_edge, iter->gfn + pages > memslot_end(slot)))
		return host_mapping_level(gfn_to_hva_memslot(slot, iter->gfn)) >= iter->level;
	if (iter->gfn + pages > memslot_end(slot))
		return false;
	return kvm_mmu_max_mapping_level(kvm, slot, iter->gfn) >= iter->level;
}

/*
 * Return: 0 with the leaf for the table at @parent, from the first leaf below; -ENOENT: there is none; -EAGAIN: the
 * walk should give way first. Mirrors tdp_mmu_make_huge_spte.
 */
static int make_huge_from_below(struct kvm *kvm, struct tdp_iter *parent, u64 *huge_spte)
{
	struct kvm_mmu_page *child = sptep_to_sp(frame_words(spte_to_pfn(parent->old_spte)));
	bool exec = !kvm_has(kvm, KNOB_nx_huge_pages, nx_huge_pages_on);
	struct tdp_iter iter;

	for_each_tdp_pte(iter, child, parent->gfn, parent->gfn + PT_PAGES(parent->level)) {
		if (!is_shadow_present_pte(iter.old_spte) ||
		    !is_last_spte(iter.old_spte, iter.level))
			continue;
		/* Asked of the outer walk: that is the one which gives way, and must get on meanwhile. */
		if (tdp_mmu_iter_need_resched(kvm, parent))
			return -EAGAIN;
		*huge_spte = make_huge_spte(iter.old_spte, parent->level, exec);
		return 0;
	}
	return -ENOENT;
}

static void recover_huge_pages_range(struct kvm *kvm, struct kvm_mmu_page *root,
				     const struct kvm_memory_slot *slot)
{
	gfn_t start = slot->base_gfn, end = memslot_end(slot);
	bool flush = false;
	struct tdp_iter iter;
	u64 huge_spte;
	int error;

	event(walk_begun, .root = root->pfn, .start = start, .end = end, .kind = WALK_RECOVER,
	      .level = PT_LEVEL_2M);
	rcu_read_lock();
	for_each_tdp_pte_min_level(iter, root, PT_LEVEL_2M, start, end) {
	retry:
		if (tdp_mmu_iter_cond_resched(kvm, &iter, flush, true)) {
			flush = false;
			continue;
		}
		if (!recoverable(kvm, slot, &iter))
			continue;
		error = make_huge_from_below(kvm, &iter, &huge_spte);
		if (error == -EAGAIN)
			goto retry;
		if (error)
			continue;
		if (tdp_mmu_set_spte_atomic(kvm, &iter, huge_spte))
			goto retry;
		flush = true;
	}
	/*
	 * Inside RCU: our read section is what keeps the tables from being freed, in which CPUs may still be
	 * walking by what they have cached.
	 */
	if (flush && !bug(recover_skips_flush))
		kvm_flush_remote_tlbs_range(kvm, start, end);
	rcu_read_unlock();
	event(walk_ended, .root = root->pfn);
}

/*
 * The entry is FROZEN, so that nobody maps there, until TLBs have heard that it is gone. Return: -EBUSY when
 * somebody was faster. The only place where FROZEN is seen in a table that is linked. Mirrors
 * tdp_mmu_zap_spte_atomic.
 */
static int tdp_mmu_zap_spte_atomic(struct kvm *kvm, struct tdp_iter *iter)
{
	u64 old_spte = iter->old_spte;

	if (!pte_try_cmpxchg(iter->sptep, &iter->old_spte, FROZEN_SPTE))
		return -EBUSY;
	kvm_flush_remote_tlbs_range(kvm, iter->gfn, iter->gfn + PT_PAGES(iter->level));
	pte_write(iter->sptep, FROZEN_SPTE, SHADOW_NONPRESENT_VALUE);
	handle_changed_spte(kvm, old_spte, SHADOW_NONPRESENT_VALUE, iter->level, true);
	return 0;
}

static void zap_collapsible_spte_range(struct kvm *kvm, struct kvm_mmu_page *root,
				       const struct kvm_memory_slot *slot)
{
	gfn_t start = slot->base_gfn, end = memslot_end(slot);
	struct tdp_iter iter;

	event(walk_begun, .root = root->pfn, .start = start, .end = end, .kind = WALK_RECOVER,
	      .level = PT_LEVEL_2M);
	rcu_read_lock();
	for_each_tdp_pte_min_level(iter, root, PT_LEVEL_2M, start, end) {
	retry:
		if (tdp_mmu_iter_cond_resched(kvm, &iter, false, true))
			continue;
		if (recoverable(kvm, slot, &iter) && tdp_mmu_zap_spte_atomic(kvm, &iter))
			goto retry;
	}
	rcu_read_unlock();
	event(walk_ended, .root = root->pfn);
}

void kvm_mmu_recover_huge_pages(struct kvm *kvm, const struct kvm_memory_slot *slot)
{
	struct tdp_root_filter filter = { .as_id = (int)slot->as_id, .only_valid = true };
	bool zap = kvm_has(kvm, KNOB_collapse, collapse_zap);
	struct kvm_mmu_page *root;

	read_lock(&kvm->mmu_lock);
	for_each_tdp_mmu_root_yield_safe(kvm, root, filter) {
		if (zap)
			zap_collapsible_spte_range(kvm, root, slot);
		else
			recover_huge_pages_range(kvm, root, slot);
	}
	read_unlock(&kvm->mmu_lock);
}
