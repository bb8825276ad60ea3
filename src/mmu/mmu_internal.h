/*
 * Types and verbs that the rooms of the MMU share. Field and function names are KVM's; each function
 * mirrors the kernel function of its name.
 */
#ifndef MMU_MMU_INTERNAL_H
#define MMU_MMU_INTERNAL_H

#include "host/host.h"
#include "kern/kern.h"
#include "machine/machine.h"
#include "mmu/tdp_iter.h"
#include "subject/subject.h"

/* No gfn: an invalidation that has not added its range yet. */
#define INVALID_GPA (~0ull)

struct kvm_memory_slot {
	gfn_t base_gfn;
	u64 npages;
	hva_t userspace_addr;
	u16 as_id, id;
};

/* Readers: kvm->srcu. Fixed once the VM exists. */
struct kvm_memslots {
	u32 nr;
	struct kvm_memory_slot slots[SLOTS_MAX];
};

struct kvm_mmu_page_role {
	u8 level;
	bool invalid; /* roots: zapped or about to be; no vCPU may load it. Under mmu_lock */
};

/* A page table of the guest, with what KVM knows of it. */
struct kvm_mmu_page {
	struct kvm_mmu_page_role role;
	gfn_t gfn; /* first gfn that it covers */
	pfn_t pfn; /* frame of spt */
	u64 *spt;
	u64 tdp_mmu_root_count; /* roots: references, by verbs only */
};

struct kvm_vcpu {
	struct kvm *kvm;
	struct vcpu *hw;
	struct kvm_mmu_page *root; /* own task only */
	/*
	 * What the last attempt read when an open invalidation made it retry (retry_waits): seq,
	 * in_progress, range start and end.
	 */
	bool retry_waits;
	u64 retry_seen[4];
};

struct kvm {
	/*
	 * Written under mmu_lock held for writing, read without it by a fault that wants to give up
	 * early: hence verbs on both sides. In this order, because a fault may wait for any change.
	 */
	u64 mmu_invalidate_seq;
	u64 mmu_invalidate_in_progress;
	gfn_t mmu_invalidate_range_start;
	gfn_t mmu_invalidate_range_end;

	rwlock_t mmu_lock;
	struct srcu_struct srcu;
	struct kvm_memslots *memslots;

	spinlock_t mn_invalidate_lock;
	u64 mn_active_invalidate_count; /* under mn_invalidate_lock */
	struct mmu_notifier mmu_notifier;

	struct kvm_mmu_page *tdp_mmu_root;
	u64 tdp_mmu_pages; /* page tables without roots; by verbs only */

	struct mmu_variant variant;
	u32 nr_vcpus;
	struct kvm_vcpu vcpus[VCPUS_MAX];
};

/* The VM of this world (one at a time), NULL between worlds. */
extern struct kvm *kvm_vm;

/* --- memslot.c: context: kvm->srcu --- */

struct kvm_memory_slot *gfn_to_memslot(struct kvm *kvm, gfn_t gfn);
static inline hva_t gfn_to_hva_memslot(const struct kvm_memory_slot *slot, gfn_t gfn)
{
	return slot->userspace_addr + (gfn - slot->base_gfn);
}

/* --- root.c --- */

/* Return: a page table, empty (every entry SHADOW_NONPRESENT_VALUE), nowhere linked yet. */
struct kvm_mmu_page *tdp_mmu_alloc_sp(gfn_t gfn, u32 level);
/* Frees a page table that is not linked (any more) and that nobody walks. */
void tdp_mmu_free_sp(struct kvm_mmu_page *sp);
/* Context: no task. Creates the VM's only root, with the TDP MMU's own reference. */
void kvm_tdp_mmu_alloc_root(struct kvm *kvm, u32 level);
/* Makes sure that the vCPU has a root. Context: its own task, outside guest mode, no locks. */
void kvm_mmu_reload(struct kvm_vcpu *vcpu);
/* Context: no task, nobody walks. Frees the root and everything below. */
void kvm_tdp_mmu_destroy(struct kvm *kvm);

/* --- map.c --- */

struct kvm_page_fault {
	gfn_t gfn;
	enum access access;
	struct kvm_memory_slot *slot;
	u8 goal_level;
	u64 mmu_seq; /* snapshot of mmu_invalidate_seq, taken before the translation */
	pfn_t pfn;
	bool map_writable;
};

/* One attempt. Context: kvm->srcu, no other lock, root loaded. Mirrors kvm_mmu_do_page_fault. */
enum subject_ret kvm_mmu_do_page_fault(struct kvm_vcpu *vcpu, gfn_t gfn, enum access access);

/* --- tdp_mmu.c: changing entries --- */

/*
 * Replaces iter->old_spte by @new in one step. Context: mmu_lock for reading, RCU. Return: 0, or
 * -EBUSY with iter->old_spte refreshed when somebody else was faster.
 */
int tdp_mmu_set_spte_atomic(struct kvm *kvm, struct tdp_iter *iter, u64 new_spte);
/* The same with mmu_lock held for writing; cannot fail. */
void tdp_mmu_iter_set_spte(struct kvm *kvm, struct tdp_iter *iter, u64 new_spte);
/*
 * Gives way when somebody wants the CPU or mmu_lock and the walk has got on since it last did.
 * Flushes first if @flush. Return: true when it yielded: the caller owes no flush any more, must not
 * touch the iterator and continues its loop.
 */
bool tdp_mmu_iter_cond_resched(struct kvm *kvm, struct tdp_iter *iter, bool flush, bool shared);

/* --- zap.c --- */

struct kvm_gfn_range {
	gfn_t start, end;
	bool may_block;
};
/* Context: mmu_lock for writing. Return: whether the caller owes a flush. */
bool kvm_tdp_mmu_unmap_gfn_range(struct kvm *kvm, const struct kvm_gfn_range *range, bool flush);
/* Drops what every vCPU's TLB holds; waits until they have left guest mode. */
void kvm_flush_remote_tlbs(struct kvm *kvm);

/* --- invalidate.c --- */

/* Context: mmu_lock for writing. */
void kvm_mmu_invalidate_begin(struct kvm *kvm);
void kvm_mmu_invalidate_range_add(struct kvm *kvm, gfn_t start, gfn_t end);
void kvm_mmu_invalidate_end(struct kvm *kvm);
/* Why a fault must not install; see struct kvm_vcpu.retry_seen. */
enum mmu_retry { MMU_RETRY_NO, MMU_RETRY_IN_RANGE, MMU_RETRY_UNSET, MMU_RETRY_SEQ };
/* Context: mmu_lock in either mode. Its answer holds until the lock is released. */
enum mmu_retry mmu_invalidate_retry_gfn(struct kvm_vcpu *vcpu, u64 mmu_seq, gfn_t gfn);
/* Without the lock: may be wrong either way, and the caller asks again under the lock. */
enum mmu_retry mmu_invalidate_retry_gfn_unsafe(struct kvm_vcpu *vcpu, u64 mmu_seq, gfn_t gfn);
/* Context: no task. */
void kvm_init_mmu_notifier(struct kvm *kvm);

#endif
