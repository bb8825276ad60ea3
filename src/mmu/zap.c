/*
 * Taking mappings away: leafs of a range, and whole roots.
 *
 * Why a root may be zapped without a TLB flush:
 *  1. role.invalid is set and every vCPU is asked to let go of the root in one section of mmu_lock held
 *     for writing, and the request waits: when the section ends nobody runs on the root, and nobody
 *     will before he has let go of it.
 *  2. What vCPUs have cached under its tag is not used while it is not loaded, and whoever loads a root
 *     flushes, also one that got the same page.
 *  3. Until it is empty the root has a reference, so that notifiers find it on the list: a page must
 *     not be freed while an entry leads to it, though nobody can follow it.
 */
#include "mmu/mmu_internal.h"
#include "mmu/spte.h"
#include "mmu/tdp_mmu.h"
#include "mmu/yield.h"

/* First gfn that no root of this level reaches. */
static gfn_t tdp_mmu_max_gfn_exclusive(const struct kvm_mmu_page *root)
{
	return PT_PAGES(root->role.level + 1);
}

/* --- leafs --- */

/*
 * Empties every leaf in [start, end), tables stay. Return: whether a flush is owed, for what was
 * zapped here since the last yield, or @flush.
 */
static bool tdp_mmu_zap_leafs(struct kvm *kvm, struct kvm_mmu_page *root, gfn_t start, gfn_t end,
			      bool can_yield, bool flush)
{
	bool late_offers = bug(zap_offers_after_change_only), changed = false;
	struct tdp_iter iter;

	end = min_u64(end, tdp_mmu_max_gfn_exclusive(root));
	if (bug(zap_stops_early))
		end--;
	lockdep_assert_held_write(&kvm->mmu_lock);
	event(walk_begun, .root = root->pfn, .start = start, .end = end,
	      .kind = can_yield ? WALK_ZAP_LEAFS : WALK_ZAP_LEAFS_NONBLOCK, .level = PT_LEVEL_4K);
	rcu_read_lock();
	for_each_tdp_pte(iter, root, start, end) {
		if (can_yield && (!late_offers || changed) &&
		    tdp_mmu_iter_cond_resched(kvm, &iter, flush, false)) {
			flush = changed = false;
			if (!bug(zap_goes_on_after_yield))
				continue;
		}
		if (!is_shadow_present_pte(iter.old_spte))
			continue;
		if (!is_last_spte(iter.old_spte, iter.level)) {
			if (bug_if(zap_takes_tables, iter.level < root->role.level))
				tdp_mmu_iter_set_spte(kvm, &iter, SHADOW_NONPRESENT_VALUE);
			continue;
		}
		tdp_mmu_iter_set_spte(kvm, &iter, SHADOW_NONPRESENT_VALUE);
		changed = true;
		/* No vCPU runs on an invalid root, and loading a root flushes. */
		if (!root->role.invalid)
			flush = true;
	}
	rcu_read_unlock();
	event(walk_ended, .root = root->pfn);
	return flush;
}

bool kvm_tdp_mmu_unmap_gfn_range(struct kvm *kvm, const struct kvm_gfn_range *range, bool flush)
{
	/*
	 * Invalid roots, too: nobody can run on one, but when this returns the host frees pages, and
	 * no entry may lead to them any more.
	 */
	struct tdp_root_filter filter = { .as_id = (int)range->as_id,
					  .only_valid = bug(unmap_skips_invalid_roots) };
	struct kvm_mmu_page *root;

	/* What is owed for one root is owed in the next as well: that walk may give way. */
	for_each_tdp_mmu_root_yield_safe(kvm, root, filter)
		flush = tdp_mmu_zap_leafs(kvm, root, range->start, range->end, range->may_block,
					  flush && !bug(flush_forgotten_between_roots));
	return flush;
}

/* Mirrors kvm_tdp_mmu_zap_leafs. */
static bool zap_leafs_of_valid_roots(struct kvm *kvm, gfn_t start, gfn_t end, bool flush)
{
	struct tdp_root_filter filter = { .as_id = -1, .only_valid = true };
	struct kvm_mmu_page *root;

	for_each_tdp_mmu_root_yield_safe(kvm, root, filter)
		flush = tdp_mmu_zap_leafs(kvm, root, start, end, true, flush);
	return flush;
}

void kvm_zap_gfn_range(struct kvm *kvm, gfn_t gfn_start, gfn_t gfn_end)
{
	int idx = srcu_read_lock(&kvm->srcu);

	write_lock(&kvm->mmu_lock);
	/*
	 * An invalidation like any other for the faults: the walk may give way, and what is mapped
	 * behind it meanwhile would stay. Memslot updates need not wait for it, nothing is to be paired.
	 */
	kvm_mmu_invalidate_begin(kvm);
	kvm_mmu_invalidate_range_add(kvm, gfn_start, gfn_end);
	if (zap_leafs_of_valid_roots(kvm, gfn_start, gfn_end, false))
		kvm_flush_remote_tlbs_range(kvm, gfn_start, gfn_end);
	kvm_mmu_invalidate_end(kvm);
	write_unlock(&kvm->mmu_lock);
	srcu_read_unlock(&kvm->srcu, idx);
}

/* --- roots --- */

/*
 * One pass: takes away every entry at @zap_level and below. What hangs on one goes with it without a
 * chance to give way; the passes below have seen to it that this is one table, long empty.
 */
static void __tdp_mmu_zap_root(struct kvm *kvm, struct kvm_mmu_page *root, bool shared,
			       u32 zap_level, enum walk_kind kind)
{
	gfn_t end = tdp_mmu_max_gfn_exclusive(root);
	struct tdp_iter iter;

	event(walk_begun, .root = root->pfn, .start = 0, .end = end, .kind = kind,
	      .level = zap_level);
	for_each_tdp_pte_min_level(iter, root, zap_level, 0, end) {
	retry:
		if (!bug_if(zap_root_offers_per_table, iter.level == zap_level) &&
		    tdp_mmu_iter_cond_resched(kvm, &iter, false, shared))
			continue;
		if (!is_shadow_present_pte(iter.old_spte) || iter.level > zap_level)
			continue;
		if (!shared)
			tdp_mmu_iter_set_spte(kvm, &iter, SHADOW_NONPRESENT_VALUE);
		else if (tdp_mmu_set_spte_atomic(kvm, &iter, SHADOW_NONPRESENT_VALUE))
			/*
			 * Faults test role.invalid under mmu_lock, vCPUs have left, and other zappers hold
			 * the lock for writing: nobody is faster, but an exchange may fail all the same.
			 * Who went on would leave the entry mapped: accounting. Whoever waits for the lock
			 * comes first.
			 */
			goto retry;
	}
	event(walk_ended, .root = root->pfn);
}

/* Return: the level of the pass behind the one at @level, 0 for the first. */
static u32 next_pass(u8 design, u32 level, u32 top)
{
	switch (design) {
	case zap_root_single_pass:
		return top;
	case zap_root_two_pass:
		return level ? top : (u32)min_u64(3, top - 1);
	case zap_root_per_level:
		/*
		 * Upstream: 4K, 2M, 1G, root. Of five levels the fourth has no pass of its own: there
		 * the last pass takes E tables with each entry, in one go. stall.
		 */
		return level < 3 ? level + 1 : top;
	default:
		return level + 1;
	}
}

static void tdp_mmu_zap_root(struct kvm *kvm, struct kvm_mmu_page *root, bool shared)
{
	u8 design = kvm->variant.knob[KNOB_zap_root];
	u32 top = root->role.level, level = 0;
	enum walk_kind kind = WALK_ZAP_ROOT;

	/*
	 * On the list as long as anything is mapped: a notifier that comes while we give way must find
	 * the root, or the page it frees is still mapped when it returns.
	 */
	WARN_ON(!READ_ONCE(root->tdp_mmu_root_count));
	if (!shared)
		kind = WALK_ZAP_ALL;
	else if (design == zap_root_two_pass)
		kind = WALK_ZAP_ROOT_TWO_PASS;
	rcu_read_lock();
	do {
		level = next_pass(design, level, top);
		__tdp_mmu_zap_root(kvm, root, shared, level, kind);
	} while (level < top);
	rcu_read_unlock();
	if (shared)
		event(root_zapped, .root = root->pfn);
}

void kvm_tdp_mmu_zap_invalidated_roots(struct kvm *kvm)
{
	struct tdp_root_filter filter = { .as_id = -1, .only_valid = false };
	struct kvm_mmu_page *root;

	read_lock(&kvm->mmu_lock);
	for_each_tdp_mmu_root_yield_safe(kvm, root, filter) {
		if (!root->tdp_mmu_scheduled_root_to_zap)
			continue;
		root->tdp_mmu_scheduled_root_to_zap = false;
		KVM_BUG_ON(!root->role.invalid);
		tdp_mmu_zap_root(kvm, root, true);
		/*
		 * Last: while it maps anything the root must be there for notifiers. (The reference of
		 * this iteration keeps it for so long, too; who walks without one relies on the order.)
		 */
		kvm_tdp_mmu_put_root(kvm, root);
	}
	read_unlock(&kvm->mmu_lock);
}

/*
 * Context: mmu_lock for writing, until whatever the zap is for is decided. Nobody runs on any of the
 * old roots when this returns. Mirrors __kvm_mmu_zap_all_fast_front_half.
 */
static void zap_all_fast_front_half(struct kvm *kvm)
{
	kvm_tdp_mmu_invalidate_all_roots(kvm);
	/*
	 * In the same section: a vCPU that served the request before the roots were marked would load
	 * the same one again. And waiting: the zap does not flush.
	 */
	if (bug(request_without_wait))
		machine_request_all_nowait(REQUEST_FREE_OBSOLETE_ROOTS);
	else
		machine_request_all(REQUEST_FREE_OBSOLETE_ROOTS);
}

void kvm_mmu_zap_all_fast(struct kvm *kvm)
{
	lockdep_assert_held(&kvm->slots_lock);
	write_lock(&kvm->mmu_lock);
	zap_all_fast_front_half(kvm);
	write_unlock(&kvm->mmu_lock);
	kvm_tdp_mmu_zap_invalidated_roots(kvm);
}

void kvm_mmu_zap_all(struct kvm *kvm)
{
	struct tdp_root_filter filter = { .as_id = -1, .only_valid = false };
	struct kvm_mmu_page *root;

	write_lock(&kvm->mmu_lock);
	/* No flush: this is for a process or VM whose vCPUs can never run again. */
	for_each_tdp_mmu_root_yield_safe(kvm, root, filter)
		tdp_mmu_zap_root(kvm, root, false);
	write_unlock(&kvm->mmu_lock);
}

void kvm_arch_flush_shadow_memslot(struct kvm *kvm, const struct kvm_memory_slot *slot)
{
	const struct kvm_gfn_range range = { .start = slot->base_gfn,
					     .end = memslot_end(slot),
					     .as_id = slot->as_id,
					     .may_block = true };
	bool all = kvm->variant.knob[KNOB_slot_zap] == slot_zap_all_fast;

	write_lock(&kvm->mmu_lock);
	/*
	 * Nobody faults through the slot any more: it is marked, and those who saw it before have
	 * left kvm->srcu. So no invalidation need be open for the range.
	 */
	if (all)
		zap_all_fast_front_half(kvm);
	else if (kvm_tdp_mmu_unmap_gfn_range(kvm, &range, false))
		kvm_flush_remote_tlbs(kvm);
	write_unlock(&kvm->mmu_lock);
	/* Before the update goes on: what is still mapped then outlives the slot. */
	if (all && !bug(invalidated_roots_left))
		kvm_tdp_mmu_zap_invalidated_roots(kvm);
}

void kvm_mmu_uninit_tdp_mmu(struct kvm *kvm)
{
	/* The lock for the assertions' sake: nobody else is there. */
	write_lock(&kvm->mmu_lock);
	kvm_tdp_mmu_invalidate_all_roots(kvm);
	write_unlock(&kvm->mmu_lock);
	kvm_tdp_mmu_zap_invalidated_roots(kvm);
	WARN_ON(READ_ONCE(kvm->tdp_mmu_pages));
	WARN_ON(kvm->tdp_mmu_roots);
	/*
	 * Puts of the last references have queued callbacks. Here they free what is theirs alone; upstream
	 * they use what the caller is about to take down.
	 */
	rcu_barrier();
}
