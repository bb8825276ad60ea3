/*
 * Table entries as the MMU reads and makes them: hardware bits of EPT plus KVM's software bits.
 *
 * An empty entry is SHADOW_NONPRESENT_VALUE, not 0. "Present" is KVM's bit 11, not R|W|X. The write
 * state of a leaf is one of W/mmu-w/host-w = 111, 011 (write-protected), 001, 000: W implies
 * MMU-writable implies host-writable.
 */
#ifndef MMU_SPTE_H
#define MMU_SPTE_H

#include "base/types.h"
#include "machine/machine.h"

#define SPTE_MMU_PRESENT_MASK	BIT_ULL(11)
#define SPTE_TDP_AD_SHIFT	52
#define SPTE_TDP_AD_MASK	(3ull << SPTE_TDP_AD_SHIFT)
#define SPTE_TDP_AD_ENABLED	(0ull << SPTE_TDP_AD_SHIFT)
#define SPTE_TDP_AD_DISABLED	(1ull << SPTE_TDP_AD_SHIFT)
#define SPTE_TDP_AD_WRPROT_ONLY (2ull << SPTE_TDP_AD_SHIFT)
/* Access-tracked: R and X wait here, and the entry grants nothing. W is not kept: it comes back by a fault. */
#define SHADOW_ACC_TRACK_SAVED_BITS_SHIFT 54
#define SHADOW_ACC_TRACK_SAVED_MASK	  ((PTE_R | PTE_X) << SHADOW_ACC_TRACK_SAVED_BITS_SHIFT)
#define EPT_SPTE_HOST_WRITABLE		  BIT_ULL(57)
#define EPT_SPTE_MMU_WRITABLE		  BIT_ULL(58)
#define SHADOW_NONPRESENT_VALUE		  BIT_ULL(63)
/* Owned by one task until it writes something else. Bit positions do not depend on the geometry. */
#define FROZEN_SPTE (SHADOW_NONPRESENT_VALUE | 0x5a0ull)

/* W and X without R, which hardware refuses; generation in bits 3-10 and 52-62, gfn as a pfn. */
#define SHADOW_MMIO_MASK       (PTE_RWX | BIT_ULL(63))
#define SHADOW_MMIO_VALUE      (PTE_W | PTE_X)
#define MMIO_SPTE_GEN_LOW_BITS 8
#define MMIO_SPTE_GEN_MASK     (BIT_ULL(19) - 1)

static inline bool is_mmio_spte(u64 spte)
{
	return (spte & SHADOW_MMIO_MASK) == SHADOW_MMIO_VALUE;
}

static inline u64 mmio_spte_of(gfn_t gfn, u64 gen)
{
	u64 low = gen & (BIT_ULL(MMIO_SPTE_GEN_LOW_BITS) - 1), high = gen >> MMIO_SPTE_GEN_LOW_BITS;

	return SHADOW_MMIO_VALUE | gfn << PTE_PFN_SHIFT | low << 3 | high << 52;
}

static inline u64 mmio_spte_generation(u64 spte)
{
	u64 low = spte >> 3 & (BIT_ULL(MMIO_SPTE_GEN_LOW_BITS) - 1), high = spte >> 52 & 0x7ff;

	return high << MMIO_SPTE_GEN_LOW_BITS | low;
}

static inline bool is_shadow_present_pte(u64 spte)
{
	return spte & SPTE_MMU_PRESENT_MASK;
}

static inline bool is_frozen_spte(u64 spte)
{
	return spte == FROZEN_SPTE;
}

static inline bool is_last_spte(u64 spte, u32 level)
{
	return level == PT_LEVEL_4K || (spte & PTE_PS);
}

static inline pfn_t spte_to_pfn(u64 spte)
{
	return pte_pfn(spte);
}

static inline bool is_writable_pte(u64 spte)
{
	return spte & PTE_W;
}

static inline bool is_mmu_writable_spte(u64 spte)
{
	return spte & EPT_SPTE_MMU_WRITABLE;
}

static inline bool is_host_writable_spte(u64 spte)
{
	return spte & EPT_SPTE_HOST_WRITABLE;
}

static inline bool spte_ad_enabled(u64 spte)
{
	return (spte & SPTE_TDP_AD_MASK) != SPTE_TDP_AD_DISABLED;
}

/* Writes to the page are found by W, not by D. */
static inline bool spte_ad_need_write_protect(u64 spte)
{
	return (spte & SPTE_TDP_AD_MASK) != SPTE_TDP_AD_ENABLED;
}

static inline bool is_large_pte(u64 spte)
{
	return spte & PTE_PS;
}

static inline bool is_accessed_spte(u64 spte)
{
	return spte & PTE_A;
}

/* Present to KVM, but to the CPU there is nothing: the next access faults, and was one. */
static inline bool is_access_track_spte(u64 spte)
{
	return !spte_ad_enabled(spte) && !(spte & PTE_RWX);
}

static inline bool is_access_allowed(enum access access, u64 spte)
{
	switch (access) {
	case ACCESS_WRITE:
		return spte & PTE_W;
	case ACCESS_EXEC:
		return spte & PTE_X;
	default:
		return spte & PTE_R;
	}
}

/*
 * Return: whether somebody without mmu_lock may change @spte under the caller's hands, so that it
 * must be replaced in one atomic step: W may be set (write-protected but MMU-writable), access
 * tracking may come or go (A/D disabled), or the CPU may set D. A alone does not count: losing an
 * update of A is allowed. Mirrors spte_needs_atomic_update.
 */
bool spte_needs_atomic_update(u64 spte);

/* What a new leaf is made of. */
struct spte_args {
	pfn_t pfn; /* of the first page that it maps */
	u32 level;
	u64 ad_type; /* SPTE_TDP_AD_*: who keeps A and D */
	bool host_writable; /* the host maps the page writable */
	bool write_tracked; /* the guest must not write to it */
	bool prefetch; /* nobody has accessed it yet */
	bool keep_accessed; /* knob make_spte: a prefetch takes A over from the old leaf */
	bool exec; /* it may be executed, whatever the level */
	u64 old_spte; /* what it takes the place of */
};

/*
 * Return: the value of a leaf for a fault. W, MMU-writable and D come together; the caller holds
 * mmu_lock, and marks the page dirty before it publishes a leaf with W in a memslot that logs.
 * Mirrors make_spte.
 */
u64 make_spte(const struct spte_args *args);

/* Return: the value that links the page table in frame @table. Mirrors make_nonleaf_spte. */
u64 make_nonleaf_spte(pfn_t table, bool ad_disabled);

/*
 * Return: entry @index of the table, of @level, that takes the place of the leaf @huge_spte: the same
 * translation with the same bits, executable at 4K if @exec. Mirrors make_small_spte.
 */
u64 make_small_spte(u64 huge_spte, u32 level, u32 index, bool exec);
/*
 * Return: a leaf of @level over the table which holds the leaf @small_spte, of whatever level below.
 * Mirrors make_huge_spte.
 */
u64 make_huge_spte(u64 small_spte, u32 level, bool exec);

/* Return: @spte as it is before its page is accessed: A clear; without A/D bits, nothing granted. */
u64 mark_spte_for_access_track(u64 spte);
/* Return: @spte with what access tracking has taken. Context: is_access_track_spte() holds. */
u64 restore_acc_track_spte(u64 spte);

/*
 * Return: whether a leaf that replaces another one owes a flush at once: MMU-writable is lost. W alone may
 * have been gone for long with TLBs that still write, so its value says nothing. Mirrors
 * leaf_spte_change_needs_tlb_flush.
 */
bool leaf_spte_change_needs_tlb_flush(u64 old_spte, u64 new_spte);

/* Return: false when a leaf breaks W => MMU-writable => host-writable. */
bool spte_writable_invariants_hold(u64 spte);

#endif
