/* Faults: what one carries along, and who resolves it. */
#ifndef MMU_FAULT_H
#define MMU_FAULT_H

#include "mmu/mmu_internal.h"

struct kvm_page_fault {
	gfn_t gfn;
	enum access access;
	bool prefetch; /* nobody waits for it */
	struct kvm_memslots *slots;
	struct kvm_memory_slot *slot; /* NULL: MMIO */
	bool present; /* the guest met an entry that grants something, but not this access */
	bool huge_page_disallowed; /* an execute fault that must not be resolved by a huge leaf */
	u8 max_level, req_level, goal_level; /* of leafs: allowed at all, possible, aimed at */
	u8 early_level; /* what a bug has taken for possible before it could know; 0: nothing */
	u64 mmu_seq; /* snapshot of mmu_invalidate_seq, taken before the translation */
	pfn_t pfn; /* of what goal_level maps, from hugepage_adjust on */
	pfn_t refcounted_page; /* the page that the fault holds a reference on */
	bool map_writable;
};

/* What a fault starts from. */
struct kvm_fault_cause {
	gfn_t gfn;
	enum access access;
	bool present, prefetch;
};
/*
 * One attempt. @level: of the leaf that it aimed at last; may be NULL. Context: kvm->srcu, no other lock, root
 * loaded. Mirrors kvm_mmu_do_page_fault.
 */
enum subject_ret kvm_mmu_do_page_fault(struct kvm_vcpu *vcpu, const struct kvm_fault_cause *cause,
				       u8 *level);
/* Mirrors kvm_vcpu_pre_fault_memory. Context: the vCPU's task, no locks; may sleep. */
enum subject_ret kvm_vcpu_pre_fault_memory(struct kvm_vcpu *vcpu, gfn_t start, gfn_t end);
/* Gives up the attempt, saying where. Return: SUBJECT_RETRY. */
enum subject_ret kvm_fault_retry(gfn_t gfn, enum retry_reason reason);

/*
 * fast_fault.c: undoes write protection or access tracking without mmu_lock. Return: FIXED or SPURIOUS, or
 * SUBJECT_RET_COUNT when that is not what the violation came from. Context: kvm->srcu. Mirrors fast_page_fault.
 */
enum subject_ret fast_page_fault(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault);

/* --- huge.c: how large a leaf may be --- */

/*
 * Return: the highest level at which @gfn may be mapped: inside the memslot, at the same offset in the host, no
 * page write-tracked, and mapped that large by the host now. Context: mmu_lock, in the section in which the
 * answer is used. Mirrors kvm_mmu_max_mapping_level.
 */
u8 kvm_mmu_max_mapping_level(struct kvm *kvm, const struct kvm_memory_slot *slot, gfn_t gfn);
/* Settles the levels of a fault that may install. Context: as above. Mirrors kvm_mmu_hugepage_adjust. */
void kvm_mmu_hugepage_adjust(struct kvm *kvm, struct kvm_page_fault *fault);
/* A table in the way that NX split off: one level down. Mirrors disallowed_hugepage_adjust. */
void disallowed_hugepage_adjust(struct kvm_page_fault *fault, u64 spte, u32 level);

#endif
