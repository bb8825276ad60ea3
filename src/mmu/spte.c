#include "mmu/spte.h"

#include "base/bug.h"

bool spte_needs_atomic_update(u64 spte)
{
	if (!is_writable_pte(spte) && is_mmu_writable_spte(spte))
		return true;
	if (!spte_ad_enabled(spte) && !bug(tracked_spte_written_plainly))
		return true;
	return is_writable_pte(spte) && !(spte & PTE_D);
}

u64 mark_spte_for_access_track(u64 spte)
{
	if (spte_ad_enabled(spte))
		return spte & ~PTE_A;
	if (is_access_track_spte(spte))
		return spte;
	spte |= (spte & (PTE_R | PTE_X)) << SHADOW_ACC_TRACK_SAVED_BITS_SHIFT;
	return spte & ~(PTE_RWX | PTE_A);
}

u64 restore_acc_track_spte(u64 spte)
{
	u64 saved = spte & SHADOW_ACC_TRACK_SAVED_MASK;

	return (spte & ~SHADOW_ACC_TRACK_SAVED_MASK) | saved >> SHADOW_ACC_TRACK_SAVED_BITS_SHIFT;
}

static u64 writable_bits(const struct spte_args *args)
{
	u64 bits = PTE_W;

	/*
	 * D comes with W: were it left to the CPU, clearing D without a flush would let a second
	 * fault on the page overwrite W=1,D=1 by W=1,D=0 behind a TLB entry that still writes.
	 */
	if (!bug_if(dirty_left_out_over_writable, is_writable_pte(args->old_spte)))
		bits |= PTE_D;
	if (!bug(writable_without_mmu_writable))
		bits |= EPT_SPTE_MMU_WRITABLE;
	return bits;
}

u64 make_spte(const struct spte_args *args)
{
	u64 spte = SPTE_MMU_PRESENT_MASK | args->ad_type;

	spte |= PTE_R;
	if (args->exec)
		spte |= PTE_X;
	if (!args->prefetch || (args->keep_accessed && is_accessed_spte(args->old_spte)))
		spte |= PTE_A;
	if (args->level > PT_LEVEL_4K)
		spte |= PTE_PS;
	spte |= args->pfn << PTE_PFN_SHIFT;
	/* A host that maps read-only shares the page with somebody: a guest write must fault. */
	if (args->host_writable || bug(readonly_installed_writable)) {
		spte |= EPT_SPTE_HOST_WRITABLE;
		/* Tracked: W would let the guest change what somebody believes to know. */
		if (!args->write_tracked)
			spte |= writable_bits(args);
	}
	if (args->prefetch && !is_accessed_spte(spte))
		spte = mark_spte_for_access_track(spte);
	return spte;
}

u64 make_nonleaf_spte(pfn_t table, bool ad_disabled)
{
	return SPTE_MMU_PRESENT_MASK | PTE_RWX | table << PTE_PFN_SHIFT |
	       (ad_disabled ? SPTE_TDP_AD_DISABLED : SPTE_TDP_AD_ENABLED | PTE_A);
}

/* With X, or without; an access-tracked entry keeps X among the saved bits. */
static u64 set_exec(u64 spte, bool exec)
{
	bool tracked = is_access_track_spte(spte);

	if (tracked)
		spte = restore_acc_track_spte(spte);
	spte = exec ? spte | PTE_X : spte & ~PTE_X;
	return tracked ? mark_spte_for_access_track(spte) : spte;
}

u64 make_small_spte(u64 huge_spte, u32 level, u32 index, bool exec)
{
	u64 spte = huge_spte + (index * PT_PAGES(level) << PTE_PFN_SHIFT);

	if (level > PT_LEVEL_4K)
		return spte;
	spte &= ~PTE_PS;
	return exec ? set_exec(spte, true) : spte;
}

u64 make_huge_spte(u64 small_spte, u32 level, bool exec)
{
	u64 low_pfn = (PT_PAGES(level) - 1) << PTE_PFN_SHIFT;
	u64 spte = (small_spte & ~low_pfn) | PTE_PS;

	return exec ? spte : set_exec(spte, false);
}

bool leaf_spte_change_needs_tlb_flush(u64 old_spte, u64 new_spte)
{
	return is_mmu_writable_spte(old_spte) && !is_mmu_writable_spte(new_spte);
}

bool spte_writable_invariants_hold(u64 spte)
{
	if (is_writable_pte(spte) && !is_mmu_writable_spte(spte))
		return false;
	return !is_mmu_writable_spte(spte) || is_host_writable_spte(spte);
}
