/*
 * What oracles may see of the host process's memory: the encoding of host PTEs and accessors that
 * take no lock, make no point and change nothing.
 */
#ifndef HOST_INSPECT_H
#define HOST_INSPECT_H

#include "base/types.h"

#define HVA_MAX 0x1000u

/* A host PTE: 0 is none; migration and swap entries keep pfn and other bits but are not present. */
#define HOST_PTE_PRESENT   BIT_ULL(0)
#define HOST_PTE_WRITE	   BIT_ULL(1)
#define HOST_PTE_YOUNG	   BIT_ULL(5)
#define HOST_PTE_DIRTY	   BIT_ULL(6)
#define HOST_PTE_MIGRATION BIT_ULL(58)
#define HOST_PTE_SWAP	   BIT_ULL(59) /* not present; the page is still there */
#define HOST_PTE_HUGE	   BIT_ULL(7) /* a leaf above 4K: pfn is that of its first page */
#define HOST_PTE_TABLE \
	BIT_ULL(60) /* above 4K: the entry leads to a table; the other bits say nothing */
#define HOST_PTE_PFN_SHIFT 12

/*
 * A bit of software: somebody who only watches has found the page accessed, and has cleared YOUNG. It goes where
 * the page goes; reclaim takes it for an access. Stands for the page's young flag.
 */
#define HOST_PTE_KNOWN_YOUNG BIT_ULL(9)

static inline bool host_pte_present(u64 pte)
{
	return pte & HOST_PTE_PRESENT;
}

static inline bool host_pte_writable(u64 pte)
{
	return (pte & (HOST_PTE_PRESENT | HOST_PTE_WRITE)) == (HOST_PTE_PRESENT | HOST_PTE_WRITE);
}

static inline pfn_t host_pte_pfn(u64 pte)
{
	return (pte & ~(HOST_PTE_MIGRATION | HOST_PTE_SWAP)) >> HOST_PTE_PFN_SHIFT;
}

/*
 * What maps @hva, in the form of a PTE: that of memory, or for a page of a huge leaf what it amounts to (its own
 * pfn, HOST_PTE_HUGE set); 0 when there is none or @hva is out of range.
 */
u64 inspect_host_pte(hva_t hva);
/* The level of the leaf that maps @hva; PT_LEVEL_4K unless a huge one does. */
u32 inspect_host_level(hva_t hva);
/* Whether the process has ended: its subscribers were released, its memory is gone. */
bool inspect_host_released(void);
/*
 * counts[pfn], for all pfns below @nr: the references that the host itself accounts for (PTEs, migration
 * and swap entries, and sharers). Walks all tables; true only while no operation of the host is under way.
 */
void inspect_host_count_references(u64 *counts, u32 nr);

#endif
