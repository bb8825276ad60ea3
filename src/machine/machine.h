/*
 * The hardware: page frames, vCPUs with their TLBs, the walker that reads the guest's second-level
 * tables (EPT format), requests and inter-processor interrupts.
 *
 * The MMU under test builds tables in frames and writes their entries through the pte_* accessors
 * below; a guest access walks them on its own, one separately schedulable read a level. The machine
 * knows nothing of KVM: no software bits, no roles, no locks of the host.
 *
 * Page-modification logging: with it on, an assist that sets D puts the page's gfn into a short buffer of the
 * vCPU; a full one ends the access before D is set, and software empties the buffer behind every exit.
 */
#ifndef MACHINE_MACHINE_H
#define MACHINE_MACHINE_H

#include "kern/kern.h"
#include "machine/inspect.h"

/* --- frames (frame.c) --- */

/*
 * One record for each pfn. refcount: users of the page; the last put frees it. Page-table frames of
 * the guest have one user and are not host pages. A record of an earlier epoch counts as all zero.
 */
struct frame {
	u64 refcount; /* by verbs only, once others can reach the frame */
	u64 epoch; /* machine_reset() that the record is valid for */
	u32 generation; /* how often the pfn was handed out in this schedule */
	u16 kind; /* enum frame_kind, see inspect.h */
	bool allocated; /* not derived from refcount: a subject may put once too often */
};

/*
 * Puts the machine into its state after power-on: no frames, no vCPUs. Costs the same however
 * much the last schedule has used. Context: no task; before or after kern_reset(), which takes the
 * pages.
 */
void machine_reset(void);

/*
 * Return: a frame with refcount 1; the words of a page table are zeroed, what a host page contains
 * is not modelled. Emits frame_allocated. No point; any context, also set-up.
 */
pfn_t frame_alloc(enum frame_kind kind);
/*
 * Frees a frame whose only user is the caller (page tables). Emits frame_freed. A frame that is
 * free already is warned of and left alone. No point; any context, also take-down.
 */
void frame_free(pfn_t pfn);
/*
 * Sets the number of users of a frame that nobody else can reach yet. No point. Context: set-up, or
 * the task that has just allocated the frame.
 */
void frame_set_users(pfn_t pfn, u64 users);
/* Takes a further reference. Context: the caller holds one, or a lock that keeps one in place. */
void frame_get(pfn_t pfn);
/* Drops a reference; the last one frees the frame (warned of if it is free already). */
void frame_put(pfn_t pfn);
/* Users of the frame now; a READ_ONCE point. */
u64 frame_count(pfn_t pfn);
/* Words of a page-table frame. */
static inline u64 *frame_words(pfn_t pfn)
{
	return kern_page_address(pfn);
}

/*
 * Return: the first of @nr_pages host pages, each with refcount 1, with consecutive pfns, the first a
 * multiple of @nr_pages (a power of two); 0 when there is no such run. Each is freed on its own. Emits
 * frame_allocated for each. No point; any context, also set-up.
 */
pfn_t frame_alloc_run(u32 nr_pages);

/* --- entries of guest page tables (pte.h: accessors, each with one event) --- */

#include "machine/pte.h"

/* --- vCPUs (vcpu.c) --- */

enum vcpu_mode { OUTSIDE_GUEST_MODE, IN_GUEST_MODE, EXITING_GUEST_MODE };

enum vcpu_request {
	REQUEST_TLB_FLUSH, /* drop everything cached before the next entry; senders wait */
	REQUEST_TLB_FLUSH_RANGE, /* drop what vcpu->ranges names; posted by machine_flush_range() */
	REQUEST_FREE_OBSOLETE_ROOTS, /* let go of a root that has become invalid */
	REQUEST_UPDATE_DIRTY_LOGGING, /* turn PML on or off, as the memslots say; senders wait */
	REQUEST_COUNT
};
/* Requests that stand for a flush: with one pending, what an outside vCPU has cached is out of use. */
#define REQUESTS_FLUSHING (BIT_ULL(REQUEST_TLB_FLUSH) | BIT_ULL(REQUEST_TLB_FLUSH_RANGE))

struct tlb_entry {
	gfn_t gfn; /* aligned to its level */
	pfn_t root; /* tag: the root it was filled under */
	pfn_t pfn;
	u64 filled_at; /* event clock: events up to this time came before the fill */
	u8 level;
	u8 rights; /* mask of BIT(enum access): what the tables allowed at the fill */
	u8 access; /* the same, but write only if D was set: what needs no further walk */
};

/* A paging-structure cache entry: for the gfns from gfn on, the table of that level is in a frame. */
struct psc_entry {
	gfn_t gfn; /* first one that the table covers */
	pfn_t root; /* tag */
	pfn_t table;
	u64 filled_at; /* event clock; not younger than the entry that it was reached through */
	u8 level; /* of the table */
	u8 rights; /* R, W, X granted on the way to it */
};

/* What a ranged flush asks for. leafs_only: translations of pages, not of tables. */
struct flush_range {
	gfn_t start, end;
	bool leafs_only;
};

struct vcpu {
	u64 mode; /* enum vcpu_mode, by verbs only */
	u64 requests; /* mask of BIT_ULL(enum vcpu_request), by verbs only */
	u32 id;
	bool running; /* between vcpu_entered and vcpu_left; the vCPU's own task writes it */
	pfn_t root; /* loaded root, 0: none. Written by the vCPU's own task only */
	u8 root_level;
	u8 nr_tlb;
	u8 nr_psc;
	u8 nr_ranges; /* requested and not served; under ranges_lock, like ranges */
	bool owes_ranges; /* took REQUEST_TLB_FLUSH_RANGE and has not served it; own task writes it */
	bool pml_on; /* own task only, like the log */
	u8 nr_pml;
	/* The last violation: entries were met that grant something together, though not what was asked for. */
	bool violation_present;
	struct tlb_entry tlb[TLB_ENTRIES_MAX];
	struct psc_entry psc[PSC_ENTRIES_MAX]; /* oldest first, as the TLB */
	spinlock_t ranges_lock;
	struct flush_range ranges[FLUSH_RANGES_MAX];
	gfn_t pml[PML_ENTRIES_MAX]; /* oldest first */
};

/*
 * Context: no task; ids are created in ascending order from 0. Return: vCPU number @id, outside
 * guest mode, without a root or requests, its TLB empty.
 */
struct vcpu *vcpu_create(u32 id);
/* Return: vCPU @id, NULL when there is none. No point. */
struct vcpu *machine_vcpu(u32 id);
u32 machine_nr_vcpus(void);

/*
 * Loads a root. @root 0: none. What is cached under its tag stays: whoever loads a root flushes.
 * Context: the vCPU's own task, outside guest mode. Emits root_loaded.
 */
void vcpu_load_root(struct vcpu *vcpu, pfn_t root, u32 level);
/* Drops everything cached. Context: the vCPU's own task, outside guest mode. Emits tlb_flushed. */
void vcpu_flush_tlb(struct vcpu *vcpu);
/*
 * Drops what is cached under the loaded root. Context and event as vcpu_flush_tlb(). Mirrors
 * flush_tlb_current.
 */
void vcpu_flush_tlb_current(struct vcpu *vcpu);
/*
 * Serves REQUEST_TLB_FLUSH_RANGE: drops what the requested ranges name, under any root, and forgets
 * them. Context: the vCPU's own task, outside guest mode. Emits tlb_range_flushed for each.
 */
void vcpu_flush_ranges(struct vcpu *vcpu);
/*
 * A violation exit drops what is cached for that page under the loaded root, leaf and tables. Context:
 * the vCPU's own task. Emits tlb_dropped when there was something.
 */
void vcpu_drop_gfn(struct vcpu *vcpu, gfn_t gfn);

/*
 * Enters guest mode: store the mode, full barrier, test the requests. Return: false when a request
 * is pending, the vCPU is then outside guest mode again and the caller serves them.
 * Context: the vCPU's own task. Emits vcpu_entered on success.
 */
bool vcpu_enter(struct vcpu *vcpu);
/* Leaves guest mode; a sender that waits for it goes on. Emits vcpu_left. */
void vcpu_leave(struct vcpu *vcpu);
/*
 * Return: whether @request was pending; it is not any more. Context: the vCPU's own task, which
 * must serve a full flush before its next point: entries count as usable again. (What a ranged one
 * names counts as gone until vcpu_flush_ranges(), which has points.) Mirrors kvm_check_request.
 */
bool vcpu_take_request(struct vcpu *vcpu, enum vcpu_request request);

/* Return: whether any request is pending. Context: the vCPU's own task. A READ_ONCE point. */
bool vcpu_requests_pending(const struct vcpu *vcpu);

/*
 * Posts @request to every vCPU, interrupts those in guest mode and waits until they have left it. A
 * guest notices the interrupt between two accesses. On return every vCPU is outside guest mode or
 * has served the request. Emits request_sent for each.
 * Context: any, spinning (allowed under mmu_lock). The caller must not be in guest mode.
 * Emits request_waited at the end. Mirrors kvm_make_all_cpus_request with KVM_REQUEST_WAIT. Pairs with
 * vcpu_enter(), vcpu_leave().
 */
void machine_request_all(enum vcpu_request request);
/* The same without the wait: vCPUs in the guest are interrupted and leave it in their own time. */
void machine_request_all_nowait(enum vcpu_request request);
/*
 * Interrupts every vCPU that is in guest mode and waits for none: what is in its log by now may still be
 * there when this returns. Context: any. Mirrors kvm_vcpu_kick for all.
 */
void machine_kick_all(void);
/*
 * Has every vCPU drop what it has cached for @range, and only that, and waits as machine_request_all()
 * does. A vCPU whose list of ranges is full drops everything instead. Context: as there. Stands for
 * the ranged flush of a hypervisor.
 */
void machine_flush_range(const struct flush_range *range);

/* --- page-modification log (pml.c) --- */

/* Turns the log on or off. Context: the vCPU's own task, outside guest mode. Emits pml_switched on change. */
void vcpu_set_pml(struct vcpu *vcpu, bool on);
/*
 * Takes the oldest entry out of the log. Return: whether there was one. Context: as above. Emits
 * pml_taken; no point. Whoever takes it marks the page dirty next.
 */
bool vcpu_pml_take(struct vcpu *vcpu, gfn_t *gfn);

/* --- the walker (walk.c) --- */

/* Whether the CPU keeps A and D bits: on after machine_reset(). Context: no task. */
void machine_set_ad_bits(bool on);

enum guest_result {
	GUEST_DONE,
	GUEST_VIOLATION, /* the tables do not allow it */
	GUEST_MISCONFIG, /* met an entry that is no legal one: W without R, or pte_hw_illegal_leaf() */
	GUEST_LOG_FULL, /* D was to be set and there is no room in the log: the leaf was not changed */
};

/*
 * One guest access: TLB, else a walk from the deepest table that the paging-structure cache knows under
 * the loaded root (else from the root itself), with A assists on the way and A/D assists
 * at the leaf, then a TLB fill. Emits tlb_filled and guest_accessed. A violation changes nothing
 * beyond A bits; vcpu->violation_present says what kind it was. A gfn that the root does not reach is a violation.
 * Without A/D bits (machine_set_ad_bits()) there are no assists, and W is all that a write needs. A leaf of
 * level 2 or 3 is an entry with PTE_PS; the TLB holds it as one entry of its level, beside whatever it holds
 * for pages inside it, and goes by the oldest that covers the gfn. An assist that sets D while the log is on
 * appends gfn (of 4K, also below a huge leaf); pml_logged is emitted behind the spte_changed of the assist,
 * before tlb_filled, with no point between: who may look while an event is handled finds the entry in the log
 * at pml_logged, and not yet at spte_changed.
 * A full TLB drops its oldest entry (tlb_dropped); one of the same root, gfn and level is replaced
 * without an event of its own. The environment may evict what is cached for the page first
 * (ANSWER_TLB); a walk through a cached table has the age of that cache entry, and so has what it
 * fills; one from the root has that of its first step. Context: in guest mode, the vCPU's own task; a point for each table
 * read and each assist, and one before the TLB is looked at.
 */
enum guest_result vcpu_access(struct vcpu *vcpu, gfn_t gfn, enum access access);

#endif
