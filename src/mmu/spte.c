#include "mmu/spte.h"

#include "base/bug.h"

bool spte_needs_atomic_update(u64 spte)
{
	if (!is_writable_pte(spte) && is_mmu_writable_spte(spte))
		return true;
	if (!spte_ad_enabled(spte))
		return true;
	return is_writable_pte(spte) && !(spte & PTE_D);
}

u64 make_spte(const struct spte_args *args)
{
	u64 spte = SPTE_MMU_PRESENT_MASK | SPTE_TDP_AD_ENABLED;

	spte |= PTE_R | PTE_X;
	if (!args->prefetch)
		spte |= PTE_A;
	if (args->level > PT_LEVEL_4K)
		spte |= PTE_PS;
	spte |= args->pfn << PTE_PFN_SHIFT;
	/* A host that maps read-only shares the page with somebody: a guest write must fault. */
	if (!args->host_writable && !bug(readonly_installed_writable))
		return spte;
	spte |= EPT_SPTE_HOST_WRITABLE;
	/*
	 * D comes with W: were it left to the CPU, clearing D without a flush would let a second
	 * fault on the page overwrite W=1,D=1 by W=1,D=0 behind a TLB entry that still writes.
	 */
	spte |= PTE_W | PTE_D;
	if (!bug(writable_without_mmu_writable))
		spte |= EPT_SPTE_MMU_WRITABLE;
	return spte;
}

u64 make_nonleaf_spte(pfn_t table)
{
	return SPTE_MMU_PRESENT_MASK | SPTE_TDP_AD_ENABLED | PTE_RWX | PTE_A |
	       table << PTE_PFN_SHIFT;
}

bool spte_writable_invariants_hold(u64 spte)
{
	if (is_writable_pte(spte) && !is_mmu_writable_spte(spte))
		return false;
	return !is_mmu_writable_spte(spte) || is_host_writable_spte(spte);
}
