/*
 * Dirty logging: who marks, who harvests, and what must be taken from entries so that the next write is noticed.
 *
 * Why no write is lost, with a bitmap:
 *  1. A fault marks before its leaf with W can be seen, in one section of mmu_lock held for reading; a harvest
 *     takes bits and protects pages in one section held for writing. They cannot interleave.
 *  2. Whoever writes without the lock (fast_page_fault, the CPU's log, the kernel) marks behind the write. If a
 *     harvest comes in between, it takes a bit that is not set yet, and the mark is for the next one.
 *  3. A harvest takes the bits first, and protects then: a mark in between is for the next harvest, and a
 *     page that is marked and not protected is one that was written.
 *  4. TLBs hear of the protection before user space hears of the bits.
 */
#ifndef MMU_DIRTY_H
#define MMU_DIRTY_H

#include "mmu/mmu_internal.h"

/* --- dirty.c --- */

/*
 * Marks a page as written if its memslot logs. @vcpu: whose ring takes it. Context: kvm->srcu or mmu_lock.
 * Mirrors mark_page_dirty_in_slot.
 */
void mark_page_dirty_in_slot(struct kvm_vcpu *vcpu, struct kvm_memory_slot *slot, gfn_t gfn);
/* What the CPU has logged. Context: own task, outside guest mode, kvm->srcu. Mirrors vmx_flush_pml_buffer. */
void vmx_flush_pml_buffer(struct kvm_vcpu *vcpu);
/* Serves REQUEST_UPDATE_DIRTY_LOGGING. Context: own task, outside guest mode. */
void vmx_update_cpu_dirty_logging(struct kvm_vcpu *vcpu);
/*
 * @new has been published in the place of @old (either may be NULL): what turning dirty logging on or off
 * takes. Context: slots_lock, no other lock. Mirrors kvm_arch_commit_memory_region.
 */
void kvm_arch_commit_memory_region(struct kvm *kvm, const struct kvm_memory_slot *old,
				   const struct kvm_memory_slot *new,
				   enum subject_slot_change change);
/* The memslot is about to log, or not to any more. Context: slots_lock or no task. */
void kvm_prepare_dirty_bitmap(struct kvm *kvm, struct kvm_memory_slot *slot);
/* How many memslots log has changed by @by. Context: slots_lock or no task. */
void kvm_count_dirty_logging(struct kvm *kvm, const struct kvm_memory_slot *old,
			     const struct kvm_memory_slot *new);
void dirty_log_tell(struct kvm *kvm, const struct kvm_memory_slot *slot, enum dirty_log_step step);
/*
 * From here on writes to the pages of @mask (a bit a page from base_gfn + offset on) are noticed, if TLBs hear of
 * it. Context: mmu_lock for writing. Mirrors the kernel function of its name.
 */
void kvm_arch_mmu_enable_log_dirty_pt_masked(struct kvm *kvm, const struct kvm_memory_slot *slot,
					     gfn_t offset, u64 mask);

/* KVM_GET_DIRTY_LOG and KVM_CLEAR_DIRTY_LOG; see subject.h. Context: slots_lock. */
int kvm_get_dirty_log_protect(struct kvm *kvm, u32 id, struct dirty_bitmap *bitmap);
int kvm_clear_dirty_log_protect(struct kvm *kvm, u32 id, u32 first, u32 nr_pages,
				const struct dirty_bitmap *mask);

/* --- dirty_ring.c --- */

#define DIRTY_RING_ENTRIES 16u

enum dirty_entry_state { DIRTY_ENTRY_INVALID, DIRTY_ENTRY_DIRTY, DIRTY_ENTRY_TAKEN };

struct kvm_dirty_gfn {
	u64 state; /* enum dirty_entry_state, by verbs */
	u64 page; /* memslot << 32 | page of it; ordered by the state */
	u64 as_id, gfn; /* for events: the memslot may have moved by the time the entry is reset */
};

struct kvm_dirty_ring {
	u64 dirty_index; /* entries ever put in; the vCPU's own task, others read it */
	u64 reset_index; /* entries ever reset; under slots_lock, the vCPU reads it */
	struct kvm_dirty_gfn entries[DIRTY_RING_ENTRIES];
};

/* Context: no task. */
void kvm_dirty_rings_alloc(struct kvm *kvm);
/* Context: the vCPU's own task; the ring is not full. Mirrors kvm_dirty_ring_push. */
void kvm_dirty_ring_push(struct kvm_vcpu *vcpu, const struct kvm_memory_slot *slot, gfn_t offset);
/* Return: whether the vCPU must not enter the guest before a reset. Context: the vCPU's own task. */
bool kvm_dirty_ring_soft_full(const struct kvm_vcpu *vcpu);
/* User space: marks all entries as taken. Return: how many. Context: no locks. */
u32 user_collects_rings(struct kvm *kvm);
/* Return: how many entries were reset. Context: no locks. Mirrors kvm_vm_ioctl_reset_dirty_pages. */
u32 kvm_vm_ioctl_reset_dirty_pages(struct kvm *kvm);

/*
 * --- protect.c: taking W or D from the leafs of valid roots ---
 *
 * What is returned is whether an entry has changed. Whether a flush is owed does not depend on it: an entry may have
 * lost the right before, without one.
 */

/*
 * Every leaf of [start, end) at @min_level and above loses W. Context: mmu_lock for reading; may give way.
 * Mirrors kvm_tdp_mmu_wrprot_slot.
 */
bool kvm_tdp_mmu_wrprot_slot(struct kvm *kvm, const struct kvm_memory_slot *slot, u32 min_level);
/* Every leaf of the memslot loses D, or W where that stands for it. Context: as above. */
bool kvm_tdp_mmu_clear_dirty_slot(struct kvm *kvm, const struct kvm_memory_slot *slot);
/*
 * The 4K leafs of @mask (pages from @gfn on) lose D, or W if @wrprot or where that stands for D. Context: mmu_lock for
 * writing.
 */
void kvm_tdp_mmu_clear_dirty_pt_masked(struct kvm *kvm, const struct kvm_memory_slot *slot,
				       gfn_t gfn, u64 mask, bool wrprot);
/*
 * Leafs over @gfn at @min_level and above lose W and MMU-writable. Context: mmu_lock for writing. Return: whether
 * the caller owes a flush, before it lets go of the lock. Mirrors kvm_mmu_slot_gfn_write_protect.
 */
bool kvm_mmu_slot_gfn_write_protect(struct kvm *kvm, const struct kvm_memory_slot *slot, gfn_t gfn,
				    u32 min_level);

/* --- split.c, recover.c: leafs of another size --- */

/*
 * Tables of smaller leafs take the place of huge leafs over [start, end), down to 4K; gives up without
 * memory. Context: mmu_lock in the mode that @shared says, which is let go now and then. Mirrors
 * kvm_tdp_mmu_try_split_huge_pages.
 */
void kvm_tdp_mmu_try_split_huge_pages(struct kvm *kvm, const struct kvm_memory_slot *slot,
				      gfn_t start, gfn_t end, bool shared);
/*
 * Leafs become as large as the host allows, or go so that faults make them. Context: no locks but slots_lock.
 * Mirrors kvm_mmu_recover_huge_pages, up to 6.12 kvm_mmu_zap_collapsible_sptes.
 */
void kvm_mmu_recover_huge_pages(struct kvm *kvm, const struct kvm_memory_slot *slot);

/* --- track.c: write-tracked pages --- */

/* Context: kvm->srcu. A racy answer unless mmu_lock is held. Mirrors kvm_gfn_is_write_tracked. */
bool kvm_gfn_is_write_tracked(const struct kvm_memory_slot *slot, gfn_t gfn);
/* Context: no locks. Mirror kvm_write_track_add_gfn, kvm_write_track_remove_gfn. */
void kvm_write_track_add_gfn(struct kvm *kvm, u32 as_id, gfn_t gfn);
void kvm_write_track_remove_gfn(struct kvm *kvm, u32 as_id, gfn_t gfn);

#endif
