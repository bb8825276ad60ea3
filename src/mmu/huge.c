/*
 * How large a leaf may be. A fault looks up its level under mmu_lock behind the check of the sequence number, and
 * what it learns of the host holds until it lets go of the lock: whoever splits a huge page of the host
 * announces that over the whole of it, and his start waits for the lock.
 */
#include "mmu/dirty.h"
#include "mmu/fault.h"
#include "mmu/spte.h"
#include "mmu/tdp_mmu.h"

/*
 * Whether the leaf of @level over @gfn would stay inside the memslot, and lie in the host as it lies in the guest.
 * Mirrors what lpage_info says.
 */
static bool slot_allows(const struct kvm_memory_slot *slot, gfn_t gfn, u32 level)
{
	gfn_t pages = PT_PAGES(level), start = gfn & ~(pages - 1);

	if (start < slot->base_gfn || start + pages > memslot_end(slot))
		return false;
	return !((slot->base_gfn ^ slot->userspace_addr) & (pages - 1));
}

/* Context: mmu_lock: nobody begins to track a page meanwhile. */
static bool tracking_allows(const struct kvm_memory_slot *slot, gfn_t gfn, u32 level)
{
	gfn_t pages = PT_PAGES(level), start = gfn & ~(pages - 1);

	if (!slot->gfn_write_track)
		return true;
	for (gfn_t at = start; at < start + pages; at++)
		if (kvm_gfn_is_write_tracked(slot, at))
			return false;
	return true;
}

u8 kvm_mmu_max_mapping_level(struct kvm *kvm, const struct kvm_memory_slot *slot, gfn_t gfn)
{
	u32 level = (u32)min_u64(PT_LEVEL_1G, kvm->root_level), host_level;

	while (level > PT_LEVEL_4K &&
	       (!slot_allows(slot, gfn, level) || !tracking_allows(slot, gfn, level)))
		level--;
	if (level == PT_LEVEL_4K)
		return PT_LEVEL_4K;
	host_level = host_mapping_level(gfn_to_hva_memslot(slot, gfn));
	return (u8)min_u64(level, host_level);
}

void kvm_mmu_hugepage_adjust(struct kvm *kvm, struct kvm_page_fault *fault)
{
	fault->huge_page_disallowed =
		fault->access == ACCESS_EXEC && kvm_has(kvm, KNOB_nx_huge_pages, nx_huge_pages_on);
	if (fault->max_level == PT_LEVEL_4K || !fault->slot)
		return;
	/* What is logged is logged by 4K pages. */
	if (kvm_slot_dirty_track_enabled(fault->slot))
		return;
	fault->req_level = fault->early_level;
	if (likely(!fault->req_level))
		fault->req_level = kvm_mmu_max_mapping_level(kvm, fault->slot, fault->gfn);
	if (fault->req_level == PT_LEVEL_4K || fault->huge_page_disallowed)
		return;
	fault->goal_level = fault->req_level;
	fault->pfn &= ~(PT_PAGES(fault->goal_level) - 1);
}

void disallowed_hugepage_adjust(struct kvm_page_fault *fault, u64 spte, u32 level)
{
	const struct kvm_mmu_page *child;
	gfn_t below;

	if (level == PT_LEVEL_4K || level != fault->goal_level || !is_shadow_present_pte(spte) ||
	    is_large_pte(spte))
		return;
	child = sptep_to_sp(frame_words(spte_to_pfn(spte)));
	if (!READ_ONCE(child->nx_huge_page_disallowed))
		return;
	/* The small leafs below are there so that they can be executed: a huge one would undo that. */
	below = PT_PAGES(level) - PT_PAGES(level - 1);
	fault->pfn |= fault->gfn & below;
	fault->goal_level--;
}
