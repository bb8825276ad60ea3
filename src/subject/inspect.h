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
/* Who keeps A and D of an entry, bits 52-53: the CPU both; software both; the CPU A, and W stands for D. */
#define SPTE_AD_MASK	    (3ull << 52)
#define SPTE_AD_ENABLED	    (0ull << 52)
#define SPTE_AD_DISABLED    (1ull << 52)
#define SPTE_AD_WRPROT_ONLY (2ull << 52)
/* Access-tracked (A/D disabled): R and X are kept here while the entry grants nothing; W is not kept. */
#define SPTE_SAVED_R BIT_ULL(54)
#define SPTE_SAVED_X BIT_ULL(56)
#define SPTE_FROZEN  (SPTE_NONPRESENT | 0x5a0ull)
/*
 * An entry for a page without a memslot: W and X without R, which hardware refuses as misconfigured.
 * Not shadow-present. Bits 3-10 and 52-62 hold the generation of the memslots.
 */
#define SPTE_MMIO_MASK	0x7ull
#define SPTE_MMIO_VALUE 0x6ull

/* Result of one attempt to resolve a violation (RET_PF_* of KVM, and what user space would see). */
enum subject_ret {
	SUBJECT_RETRY, /* try the access again */
	SUBJECT_FIXED,
	SUBJECT_SPURIOUS, /* the entry allowed the access already */
	SUBJECT_EMULATE, /* no memslot: MMIO */
	SUBJECT_WRITE_PROTECTED,
	SUBJECT_BAD_ADDRESS, /* the host has no page there: -EFAULT */
	SUBJECT_NO_MEMORY, /* no page tables to be had: -ENOMEM */
	SUBJECT_AGAIN, /* prefault of a memslot that is being changed: -EAGAIN */
	SUBJECT_NO_SLOT, /* prefault of a page without a memslot: -ENOENT */
	SUBJECT_RING_FULL, /* prefault that user space has to reset the dirty ring for */
	SUBJECT_RET_COUNT
};

/* Where an attempt gave up with SUBJECT_RETRY: payload of fault_retried. */
enum retry_reason {
	RETRY_BEFORE_GUP, /* lockless test before the translation */
	RETRY_AFTER_GUP, /* lockless test after it */
	RETRY_LOCKED, /* test under mmu_lock */
	RETRY_UNSET_RANGE, /* under mmu_lock: an invalidation is open but has no range yet */
	RETRY_OBSOLETE_ROOT,
	RETRY_SLOT_INVALID, /* the memslot is being deleted or moved */
	RETRY_FROZEN, /* met an entry that somebody else owns */
	RETRY_LOST_TABLE, /* lost the race to link a table */
	RETRY_LOST_LEAF, /* lost the race to write the leaf */
	RETRY_NO_TABLE, /* a table vanished on the way down */
	RETRY_MMIO_GONE, /* the walk for an MMIO entry found none any more */
	RETRY_REASON_COUNT
};

/* What a walk is for: payload of walk_begun. Decides how long it may go on without giving way. */
enum walk_kind {
	WALK_ZAP_LEAFS, /* one entry at a time, may give way */
	WALK_ZAP_LEAFS_NONBLOCK, /* may not */
	WALK_ZAP_ROOT, /* a pass of zap_root in the design per_level, or one judged like it */
	WALK_ZAP_ROOT_TWO_PASS, /* a pass in the design two_pass */
	WALK_ZAP_ALL, /* at release: nobody can run any more, but faulters may still be at work */
	WALK_WRPROT, /* takes W from the leafs of a memslot */
	WALK_CLEAR_DIRTY, /* takes D, or W, from the leafs of a memslot */
	WALK_SPLIT, /* puts a table of smaller leafs in the place of each huge one; level: that of the new leafs */
	WALK_RECOVER, /* puts a huge leaf in the place of a table; level: the lowest that may become one */
};

/* Steps of a memslot update: payload of memslot_changed. */
enum memslot_step {
	MEMSLOT_BEGUN, /* slots_lock is held, nothing has changed yet */
	MEMSLOT_INVALID, /* readers see the slot marked as going away */
	MEMSLOT_GONE, /* the final set without it (or without its old place) is published */
	MEMSLOT_ADDED, /* the final set with it is published; after GONE when it moves */
	MEMSLOT_RESTORED, /* the update failed: the old slot is published again */
	MEMSLOT_FREED, /* nobody can reach the old structure any more; it is freed next */
	MEMSLOT_ENDED,
};

/* Steps of the life of a memslot's dirty log: payload of dirty_log_changed. */
enum dirty_log_step {
	DIRTY_LOG_ENABLING, /* the memslot that says so is published */
	DIRTY_LOG_ENABLED, /* what needs be protected is, and TLBs have heard: writes count from here on */
	DIRTY_LOG_DISABLING, /* about to publish a memslot without it */
	DIRTY_LOG_DISABLED,
};
/* What user space has asked for: KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 and its flag, KVM_CAP_DIRTY_LOG_RING. */
enum dirty_log_mode {
	DIRTY_LOG_BITMAP, /* GET takes the bits and protects the pages */
	DIRTY_LOG_MANUAL, /* GET copies, CLEAR takes and protects */
	DIRTY_LOG_INITIALLY_SET, /* the same, and all bits are set and nothing is protected at first */
	DIRTY_LOG_RING, /* each vCPU fills a ring, RESET protects */
	DIRTY_LOG_MODE_COUNT
};
/* Payload of harvest_begun. A HARVEST_COPY reports what is set and takes nothing. */
enum harvest_kind { HARVEST_GET, HARVEST_COPY, HARVEST_CLEAR, HARVEST_RESET };

/* The designs of young callbacks, in the order of the values of the knob young: payload of young_begun. */
enum young_design {
	YOUNG_WRITE_LOCK_FLUSH, /* mmu_lock for writing, all roots; found young: TLBs are flushed */
	YOUNG_WRITE_LOCK, /* the same without the flush */
	YOUNG_FAST_ONLY, /* TDP tables without mmu_lock; shadow pages under it, unless the caller will not wait */
	YOUNG_LOCKLESS, /* TDP tables without mmu_lock; shadow pages under locks of their own */
};

struct root_view {
	pfn_t pfn;
	u32 level;
	u32 as_id;
	bool invalid;
};

struct slot_view {
	u32 id;
	gfn_t start, end;
	hva_t hva;
	u32 as_id;
	bool going; /* KVM_MEMSLOT_INVALID: being deleted or moved */
	bool logging; /* KVM_MEM_LOG_DIRTY_PAGES */
};

/* Roots on the list, newest first: valid ones, and invalid ones with references. */
u32 inspect_nr_roots(void);
struct root_view inspect_root(u32 nth);
/* Memslots of the sets that readers see now, all address spaces. */
u32 inspect_nr_slots(void);
struct slot_view inspect_slot(u32 nth);
/*
 * Whether the dirty bitmap of the memslot at @gfn, in the set that readers see now, has its bit set; false: there is no
 * memslot, or no bitmap.
 */
bool inspect_dirty_bit(u32 as_id, gfn_t gfn);
/* Whether an entry of a dirty ring that was not reset yet names that page. */
bool inspect_dirty_ring(u32 as_id, gfn_t gfn);
/* Generation of the set that readers of @as_id see now; bit 63: the set before may still be read. */
u64 inspect_memslot_generation(u32 as_id);
/* The address space that @vcpu runs in. */
u32 inspect_vcpu_as(u32 vcpu);
/* The VM's cache of one guest page's translation (gfn_to_pfn_cache). */
struct pfncache_view {
	bool valid; /* readers may use it */
	gfn_t gfn;
	hva_t hva;
	pfn_t pfn;
};
struct pfncache_view inspect_pfncache(void);
/* Whether there is a VM: between subject_create() and the end of its destruction. */
bool inspect_vm(void);

/* Counters as the MMU keeps them; for end-state checks only, never as a source of ghost state. */
struct mmu_counters {
	u64 in_progress; /* invalidations begun and not ended */
	u64 active_invalidations; /* between range_start and range_end */
	u64 seq;
	u64 tables; /* non-root page tables */
	u64 scheduled_roots; /* invalid roots whose zap is still due */
	u64 memslot_waiters; /* updates that wait for active_invalidations to become 0 */
	u64 nx_pages; /* page tables on the list of those that an execute fault has split off */
	u64 nx_pages_gone; /* of which are linked no more, though still listed */
};
struct mmu_counters inspect_mmu_counters(void);

#endif
