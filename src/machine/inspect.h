/*
 * What oracles may see of the machine: plain types, hardware rules for decoding table entries, and
 * out-of-line accessors that take no lock, make no point and change nothing.
 */
#ifndef MACHINE_INSPECT_H
#define MACHINE_INSPECT_H

#include "base/types.h"

#define TLB_ENTRIES_MAX	 16
#define PSC_ENTRIES_MAX	 8
#define FLUSH_RANGES_MAX 4
#define PML_ENTRIES_MAX	 4

enum frame_kind { FRAME_HOST_PAGE, FRAME_PAGE_TABLE };

/* EPT entry bits that hardware reads or writes. */
#define PTE_R	      BIT_ULL(0)
#define PTE_W	      BIT_ULL(1)
#define PTE_X	      BIT_ULL(2)
#define PTE_RWX	      (PTE_R | PTE_W | PTE_X)
#define PTE_PS	      BIT_ULL(7)
#define PTE_A	      BIT_ULL(8)
#define PTE_D	      BIT_ULL(9)
#define PTE_PFN_SHIFT 12
#define PTE_PFN_MASK  (((1ull << 40) - 1) << PTE_PFN_SHIFT)

static inline pfn_t pte_pfn(u64 pte)
{
	return (pte & PTE_PFN_MASK) >> PTE_PFN_SHIFT;
}

/* W without R: hardware refuses the entry (EPT misconfiguration), whatever else it holds. */
static inline bool pte_hw_misconfigured(u64 pte)
{
	return (pte & (PTE_R | PTE_W)) == PTE_W;
}

static inline bool pte_hw_present(u64 pte)
{
	return (pte & PTE_RWX) && !pte_hw_misconfigured(pte);
}

static inline bool pte_hw_leaf(u64 pte, u32 level)
{
	return pte_hw_present(pte) && (level == PT_LEVEL_4K || (pte & PTE_PS));
}

static inline bool pte_hw_table(u64 pte, u32 level)
{
	return pte_hw_present(pte) && level > PT_LEVEL_4K && !(pte & PTE_PS);
}

/*
 * A leaf above 4K that hardware refuses: there are none above 1G, and the bits of the pfn that lie inside the
 * page are reserved. (In an entry for a 4K page bit 7 says nothing, and there are no such bits.)
 */
static inline bool pte_hw_illegal_leaf(u64 pte, u32 level)
{
	return (pte & PTE_PS) && (level > PT_LEVEL_1G || (pte_pfn(pte) & (PT_PAGES(level) - 1)));
}

/* A TLB entry as an oracle sees it. */
struct tlb_view {
	gfn_t gfn;
	pfn_t root, pfn;
	u64 filled_at; /* event clock: events up to this time came before the fill */
	u32 level;
	u32 access; /* mask of BIT(enum access): what needs no further walk */
};

/* A paging-structure cache entry as an oracle sees it. */
struct psc_view {
	gfn_t gfn;
	pfn_t root, table;
	u64 filled_at;
	u32 level; /* of the table */
};

u32 inspect_nr_vcpus(void);
/* Entries of @vcpu's TLB, whatever their root; 0 when there is no such vCPU. */
u32 inspect_nr_tlb(u32 vcpu);
/* @nth: below inspect_nr_tlb(); entries stand in the order of their fills, oldest first. */
struct tlb_view inspect_tlb(u32 vcpu, u32 nth);
/* Likewise for its paging-structure cache. */
u32 inspect_nr_psc(u32 vcpu);
struct psc_view inspect_psc(u32 vcpu, u32 nth);
/*
 * Whether entries of @vcpu tagged @root can still be used: the root is loaded, and the vCPU is not
 * outside guest mode with a flush pending.
 */
bool inspect_tlb_usable(u32 vcpu, pfn_t root);
/*
 * The same for one translation of [gfn, end): a ranged flush that is pending only takes what it names
 * out of use. @table: it is one of a page table, which a flush of leafs alone leaves.
 */
bool inspect_cached_usable(u32 vcpu, pfn_t root, gfn_t gfn, gfn_t end, bool table);
/*
 * Whether @vcpu executes guest code: from vcpu_entered to vcpu_left. A vCPU that has announced
 * guest mode but not tested its requests yet is outside: it will find them.
 */
bool inspect_in_guest_mode(u32 vcpu);
/* Whether a request to flush the TLB of @vcpu waits to be served. */
bool inspect_flush_pending(u32 vcpu);
/* Whether @request (enum vcpu_request) waits to be served by @vcpu. */
bool inspect_request_pending(u32 vcpu, u32 request);
/* The root that @vcpu has loaded, 0: none. */
pfn_t inspect_vcpu_root(u32 vcpu);

/* Entries of @vcpu's page-modification log, oldest first; 0 when there is no such vCPU. */
u32 inspect_nr_pml(u32 vcpu);
gfn_t inspect_pml(u32 vcpu, u32 nth);
bool inspect_pml_on(u32 vcpu);
/* Whether the CPU keeps A and D bits. */
bool inspect_ad_bits(void);

/* A frame as an oracle sees it; generation and count 0: never handed out in this schedule. */
struct frame_view {
	u64 count;
	u32 generation;
	u16 kind; /* enum frame_kind */
	bool allocated;
};
struct frame_view inspect_frame(pfn_t pfn);
u64 inspect_frame_count(pfn_t pfn);
u32 inspect_frame_generation(pfn_t pfn);
/* Return: whether the frame is allocated, and as what. */
bool inspect_frame_is(pfn_t pfn, enum frame_kind kind);
/*
 * Return: the words of the page table in frame @table, NULL when that is none. They may be read
 * until the frame is freed: memory of a freed table is poisoned.
 */
const u64 *inspect_table(pfn_t table);
/* Entry @index of the table in frame @table, as memory holds it; 0 when that is no page table. */
u64 inspect_table_entry(pfn_t table, u32 index);
/*
 * Pages handed out so far in this schedule are among pfns 1 .. this. Page tables of the host are there, too;
 * they are no frames, and have count and generation 0, as has a pfn that a run's alignment has skipped.
 */
u32 inspect_nr_frames(void);

#endif
