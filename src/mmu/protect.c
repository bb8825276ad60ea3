/*
 * Taking rights from leafs that stay: W, so that the next write faults; D, so that the CPU logs it; MMU-writable,
 * so that not even a fault gives W back. Valid roots only: nobody runs on others.
 */
#include "mmu/dirty.h"
#include "mmu/spte.h"
#include "mmu/tdp_mmu.h"
#include "mmu/yield.h"

static struct tdp_root_filter valid_roots(const struct kvm_memory_slot *slot)
{
	return (struct tdp_root_filter){ .as_id = (int)slot->as_id, .only_valid = true };
}

/* --- whole memslots, with mmu_lock held for reading --- */

static bool wrprot_gfn_range(struct kvm *kvm, struct kvm_mmu_page *root,
			     const struct kvm_memory_slot *slot, u32 min_level)
{
	gfn_t start = slot->base_gfn, end = memslot_end(slot);
	bool changed = false;
	struct tdp_iter iter;

	event(walk_begun, .root = root->pfn, .start = start, .end = end, .kind = WALK_WRPROT,
	      .level = min_level);
	rcu_read_lock();
	for_each_tdp_pte_min_level(iter, root, min_level, start, end) {
	retry:
		if (tdp_mmu_iter_cond_resched(kvm, &iter, false, true))
			continue;
		if (!is_shadow_present_pte(iter.old_spte) ||
		    !is_last_spte(iter.old_spte, iter.level) || !is_writable_pte(iter.old_spte))
			continue;
		/* Faults and the CPU change the entry, too: what they made of it is protected next. */
		if (tdp_mmu_set_spte_atomic(kvm, &iter, iter.old_spte & ~PTE_W))
			goto retry;
		changed = true;
	}
	rcu_read_unlock();
	event(walk_ended, .root = root->pfn);
	return changed;
}

bool kvm_tdp_mmu_wrprot_slot(struct kvm *kvm, const struct kvm_memory_slot *slot, u32 min_level)
{
	struct kvm_mmu_page *root;
	bool changed = false;

	for_each_tdp_mmu_root_yield_safe(kvm, root, valid_roots(slot))
		changed |= wrprot_gfn_range(kvm, root, slot, min_level);
	return changed;
}

/* Return: the bit by which writes through the leaf @spte are found. */
static u64 dirty_bit(const struct kvm *kvm, u64 spte)
{
	bool by_write = !kvm_ad_enabled(kvm) || spte_ad_need_write_protect(spte);

	return by_write && !bug(clear_dirty_ignores_wrprot_only) ? PTE_W : PTE_D;
}

/*
 * Upstream offers to give way behind the test for a leaf, so not at all while it finds none: a wide range with
 * empty tables is walked in one go. stall.
 */
static bool clear_dirty_gfn_range(struct kvm *kvm, struct kvm_mmu_page *root,
				  const struct kvm_memory_slot *slot)
{
	bool late = kvm_has(kvm, KNOB_clear_dirty_offers, clear_dirty_offers_at_leafs);
	gfn_t start = slot->base_gfn, end = memslot_end(slot);
	bool changed = false;
	struct tdp_iter iter;

	event(walk_begun, .root = root->pfn, .start = start, .end = end, .kind = WALK_CLEAR_DIRTY,
	      .level = PT_LEVEL_4K);
	rcu_read_lock();
	for_each_tdp_pte(iter, root, start, end) {
		bool leaf;
		u64 bit;
	retry:
		leaf = is_shadow_present_pte(iter.old_spte) &&
		       is_last_spte(iter.old_spte, iter.level);
		if (!leaf && late)
			continue;
		if (tdp_mmu_iter_cond_resched(kvm, &iter, false, true) || !leaf)
			continue;
		bit = dirty_bit(kvm, iter.old_spte);
		if (!(iter.old_spte & bit))
			continue;
		if (tdp_mmu_set_spte_atomic(kvm, &iter, iter.old_spte & ~bit))
			goto retry;
		changed = true;
	}
	rcu_read_unlock();
	event(walk_ended, .root = root->pfn);
	return changed;
}

bool kvm_tdp_mmu_clear_dirty_slot(struct kvm *kvm, const struct kvm_memory_slot *slot)
{
	struct kvm_mmu_page *root;
	bool changed = false;

	for_each_tdp_mmu_root_yield_safe(kvm, root, valid_roots(slot))
		changed |= clear_dirty_gfn_range(kvm, root, slot);
	return changed;
}

/* --- some pages, with mmu_lock held for writing --- */

/* Bits go without the funnel: the leaf stays a leaf. Mirrors tdp_mmu_clear_spte_bits. */
static void clear_spte_bits(struct tdp_iter *iter, u64 bits)
{
	/* Lost update: D from the CPU, or W from fast_page_fault, between the walk's read and a plain store. */
	if (spte_needs_atomic_update(iter->old_spte))
		iter->old_spte = pte_fetch_and(iter->sptep, ~bits);
	else
		pte_write(iter->sptep, iter->old_spte, iter->old_spte & ~bits);
}

static void clear_dirty_pt_masked(struct kvm *kvm, struct kvm_mmu_page *root, gfn_t gfn, u64 mask,
				  bool wrprot)
{
	gfn_t start = gfn + (gfn_t)__builtin_ctzll(mask);
	struct tdp_iter iter;

	lockdep_assert_held_write(&kvm->mmu_lock);
	rcu_read_lock();
	for_each_tdp_pte(iter, root, start, gfn + 64) {
		u64 bit;

		if (!mask)
			break;
		if (!is_shadow_present_pte(iter.old_spte) ||
		    !is_last_spte(iter.old_spte, iter.level))
			continue;
		/* Huge leafs over logged pages have no W (or no D) since logging began, or were split. */
		if (iter.level > PT_LEVEL_4K || !(mask >> (iter.gfn - gfn) & 1))
			continue;
		mask &= ~BIT_ULL(iter.gfn - gfn);
		bit = wrprot ? PTE_W : dirty_bit(kvm, iter.old_spte);
		if (iter.old_spte & bit)
			clear_spte_bits(&iter, bit);
	}
	rcu_read_unlock();
}

void kvm_tdp_mmu_clear_dirty_pt_masked(struct kvm *kvm, const struct kvm_memory_slot *slot,
				       gfn_t gfn, u64 mask, bool wrprot)
{
	struct kvm_mmu_page *root;

	for_each_tdp_mmu_root_yield_safe(kvm, root, valid_roots(slot))
		clear_dirty_pt_masked(kvm, root, gfn, mask, wrprot);
}

/* Return: whether an entry has changed. Mirrors write_protect_gfn. */
static bool write_protect_gfn(struct kvm *kvm, struct kvm_mmu_page *root, gfn_t gfn, u32 min_level)
{
	u64 taken = PTE_W | EPT_SPTE_MMU_WRITABLE;
	struct tdp_iter iter;
	bool changed = false;

	rcu_read_lock();
	for_each_tdp_pte_min_level(iter, root, min_level, gfn, gfn + 1) {
		if (!is_shadow_present_pte(iter.old_spte) ||
		    !is_last_spte(iter.old_spte, iter.level))
			continue;
		/* W may have gone long ago with TLBs that still write: MMU-writable decides. */
		if (!(iter.old_spte & taken))
			break;
		tdp_mmu_iter_set_spte(kvm, &iter, iter.old_spte & ~taken);
		changed = true;
	}
	rcu_read_unlock();
	return changed;
}

bool kvm_mmu_slot_gfn_write_protect(struct kvm *kvm, const struct kvm_memory_slot *slot, gfn_t gfn,
				    u32 min_level)
{
	struct kvm_mmu_page *root;
	bool changed = false;

	lockdep_assert_held_write(&kvm->mmu_lock);
	for_each_tdp_mmu_root_yield_safe(kvm, root, valid_roots(slot))
		changed |= write_protect_gfn(kvm, root, gfn, min_level);
	return changed;
}
