/*
 * What oracles may see of an MMU under test: roots, memslots, counters at quiescence, and the numbers
 * in its events. Accessors take no lock, make no point and change nothing. Tables themselves are read
 * through machine/inspect.h.
 */
#ifndef SUBJECT_INSPECT_H
#define SUBJECT_INSPECT_H

#include "base/types.h"

/* Software bits of a table entry, as documented for KVM with EPT. */
#define SPTE_SHADOW_PRESENT BIT_ULL(11)
#define SPTE_HOST_WRITABLE  BIT_ULL(57)
#define SPTE_MMU_WRITABLE   BIT_ULL(58)
#define SPTE_NONPRESENT	    BIT_ULL(63) /* what an empty entry holds: suppress #VE */
#define SPTE_FROZEN	    (SPTE_NONPRESENT | 0x5a0ull)

/* Result of one attempt to resolve a violation (RET_PF_* of KVM, and what user space would see). */
enum subject_ret {
	SUBJECT_RETRY, /* try the access again */
	SUBJECT_FIXED,
	SUBJECT_SPURIOUS, /* the entry allowed the access already */
	SUBJECT_EMULATE, /* no memslot: MMIO */
	SUBJECT_WRITE_PROTECTED,
	SUBJECT_BAD_ADDRESS, /* the host has no page there: -EFAULT */
	SUBJECT_RET_COUNT
};

/* Where an attempt gave up with SUBJECT_RETRY: payload of fault_retried. */
enum retry_reason {
	RETRY_BEFORE_GUP, /* lockless test before the translation */
	RETRY_AFTER_GUP, /* lockless test after it */
	RETRY_LOCKED, /* test under mmu_lock */
	RETRY_UNSET_RANGE, /* under mmu_lock: an invalidation is open but has no range yet */
	RETRY_OBSOLETE_ROOT,
	RETRY_FROZEN, /* met an entry that somebody else owns */
	RETRY_LOST_TABLE, /* lost the race to link a table */
	RETRY_LOST_LEAF, /* lost the race to write the leaf */
	RETRY_NO_TABLE, /* a table vanished on the way down */
	RETRY_REASON_COUNT
};

struct root_view {
	pfn_t pfn;
	u32 level;
	u32 as_id;
	bool invalid;
};

struct slot_view {
	gfn_t start, end;
	hva_t hva;
	u32 as_id;
};

u32 inspect_nr_roots(void);
struct root_view inspect_root(u32 nth);
u32 inspect_nr_slots(void);
struct slot_view inspect_slot(u32 nth);

/* Counters as the MMU keeps them; for end-state checks only, never as a source of ghost state. */
struct mmu_counters {
	u64 in_progress; /* invalidations begun and not ended */
	u64 active_invalidations; /* between range_start and range_end */
	u64 seq;
	u64 tables; /* non-root page tables */
};
struct mmu_counters inspect_mmu_counters(void);

#endif
