/*
 * The verbs of the TDP MMU: page tables and roots, changes of entries, zaps, flushes. Each mirrors the
 * kernel function of its name.
 */
#ifndef MMU_TDP_MMU_H
#define MMU_TDP_MMU_H

#include "mmu/mmu_internal.h"

/* --- root.c --- */

/* Return: a page table, empty (every entry SHADOW_NONPRESENT_VALUE), nowhere linked yet. */
struct kvm_mmu_page *tdp_mmu_alloc_sp(gfn_t gfn, struct kvm_mmu_page_role role);
/* Frees a page table that was never linked, so that nobody can be in it. */
void tdp_mmu_free_sp(struct kvm_mmu_page *sp);
/* Frees one that was, when everybody who could be in it has left. */
void tdp_mmu_free_sp_rcu(struct kvm_mmu_page *sp);
/* Return: what KVM knows of the page table in @spt. */
struct kvm_mmu_page *sptep_to_sp(const u64 *spt);

/* Makes sure that the vCPU has a root. Context: its own task, outside guest mode, no locks. */
void kvm_mmu_reload(struct kvm_vcpu *vcpu);
/* Serves REQUEST_FREE_OBSOLETE_ROOTS: lets go of the root if it is invalid. Context: as above. */
void kvm_mmu_free_obsolete_roots(struct kvm_vcpu *vcpu);
/* Lets go of the root, whatever it is. Context: as above, or the VM has no users any more. */
void kvm_mmu_unload(struct kvm_vcpu *vcpu);

/* Drops a reference; the last one takes an invalid root off the list and frees it by RCU. */
void kvm_tdp_mmu_put_root(struct kvm *kvm, struct kvm_mmu_page *root);
/* Which roots an iteration visits: all, or valid ones only; of one address space, or (-1) of all. */
struct tdp_root_filter {
	int as_id;
	bool only_valid;
};
/*
 * The root behind @prev (NULL: the first) that @filter wants, with a reference; drops that of @prev. So
 * mmu_lock may be let go between two roots. Who breaks off early keeps a reference.
 * Context: mmu_lock in either mode. Mirrors tdp_mmu_next_root.
 */
struct kvm_mmu_page *tdp_mmu_next_root(struct kvm *kvm, struct kvm_mmu_page *prev,
				       struct tdp_root_filter filter);
#define for_each_tdp_mmu_root_yield_safe(kvm, root, filter)             \
	for (root = tdp_mmu_next_root(kvm, NULL, filter); root != NULL; \
	     root = tdp_mmu_next_root(kvm, root, filter))
/* Marks every valid root invalid and schedules its zap. Context: mmu_lock for writing, slots_lock. */
void kvm_tdp_mmu_invalidate_all_roots(struct kvm *kvm);

/* --- tdp_mmu.c: changing entries --- */

/*
 * Replaces iter->old_spte by @new in one step. Context: mmu_lock for reading, RCU. Return: 0, or
 * -EBUSY with iter->old_spte refreshed when somebody else was faster.
 */
int tdp_mmu_set_spte_atomic(struct kvm *kvm, struct tdp_iter *iter, u64 new_spte);
/* The same with mmu_lock held for writing; cannot fail. */
void tdp_mmu_iter_set_spte(struct kvm *kvm, struct tdp_iter *iter, u64 new_spte);

/*
 * Checks and accounts for a change that has happened; a table that was taken out is dealt with. Context:
 * mmu_lock, for reading when @shared.
 */
void handle_changed_spte(struct kvm *kvm, u64 old_spte, u64 new_spte, u32 level, bool shared);
/* @sp is to hang at the entry where the walk stands, in a tree of that role. */
void tdp_mmu_init_child_sp(struct kvm_mmu_page *sp, const struct tdp_iter *iter,
			   struct kvm_mmu_page_role role);
/* Links it. Return: 0; with @shared maybe -EBUSY. Context: mmu_lock in that mode, RCU. */
int tdp_mmu_link_sp(struct kvm *kvm, struct tdp_iter *iter, struct kvm_mmu_page *sp, bool shared);
/*
 * split.c: puts @sp, filled with what the huge leaf at @iter says, in its place. Return: 0; with @shared maybe
 * -EBUSY with iter->old_spte refreshed and @sp empty. Context: as above. Mirrors tdp_mmu_split_huge_page.
 */
int tdp_mmu_split_huge_page(struct kvm *kvm, struct tdp_iter *iter, struct kvm_mmu_page *sp,
			    bool shared);

/* --- zap.c --- */

struct kvm_gfn_range {
	gfn_t start, end;
	u32 as_id;
	bool may_block;
	struct young_call *young; /* young calls only */
};
/*
 * Empties the range in all roots of its address space, invalid ones too. @flush: owed already.
 * Context: mmu_lock for writing. Return: whether the caller owes a flush.
 */
bool kvm_tdp_mmu_unmap_gfn_range(struct kvm *kvm, const struct kvm_gfn_range *range, bool flush);
/*
 * Invalidates all roots, makes all vCPUs let go of them, and zaps them. Context: slots_lock, no other
 * lock; may sleep.
 */
void kvm_mmu_zap_all_fast(struct kvm *kvm);
/* Zaps the scheduled roots and drops the reference that kept each. Context: as above. */
void kvm_tdp_mmu_zap_invalidated_roots(struct kvm *kvm);
/* Everything goes, in every root, valid or not; nobody can run any more. Context: no lock. */
void kvm_mmu_zap_all(struct kvm *kvm);
/* What a memslot maps goes, by the design that the knob slot_zap names. Context: slots_lock. */
void kvm_arch_flush_shadow_memslot(struct kvm *kvm, const struct kvm_memory_slot *slot);
/* Context: no lock; may sleep. */
void kvm_zap_gfn_range(struct kvm *kvm, gfn_t gfn_start, gfn_t gfn_end);
/* The VM has no users any more: frees every root and waits until that is done. */
void kvm_mmu_uninit_tdp_mmu(struct kvm *kvm);

/* --- flush.c; context: any lock that spins --- */

/* Drops what every vCPU has cached; waits until they have left guest mode. */
void kvm_flush_remote_tlbs(struct kvm *kvm);
/* The same for [start, end), and maybe more: see the knob remote_flush. */
void kvm_flush_remote_tlbs_range(struct kvm *kvm, gfn_t start, gfn_t end);

#endif
