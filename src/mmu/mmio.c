/*
 * MMIO entries: what a fault leaves behind for a page without a memslot, so that the next access is
 * emulated without a fault. Nobody takes them away when a memslot appears; instead they hold the
 * generation of the memslots, and one of another generation, or while the memslots are in flux, is not
 * trusted.
 */
#include "mmu/fault.h"
#include "mmu/spte.h"

u64 make_mmio_spte(struct kvm_vcpu *vcpu, gfn_t gfn)
{
	u64 gen = READ_ONCE(kvm_memslots(vcpu->kvm, vcpu->as_id)->generation) & MMIO_SPTE_GEN_MASK;

	return mmio_spte_of(gfn, gen);
}

/*
 * Return: what dates the memory of the vCPU. Upstream asks address space 0, whatever the vCPU is in: a
 * memslot that appears in address space 1 does not make it forget, and it goes on emulating. stale_mapping.
 */
static u64 memory_generation(struct kvm_vcpu *vcpu)
{
	bool own = vcpu->kvm->variant.knob[KNOB_mmio_memory] == mmio_memory_own_space;

	return READ_ONCE(kvm_memslots(vcpu->kvm, own ? vcpu->as_id : 0)->generation);
}

void vcpu_cache_mmio_info(struct kvm_vcpu *vcpu, gfn_t gfn)
{
	u64 gen = memory_generation(vcpu);

	/* In flux: by the time somebody looks, it may have stepped to what we would remember. */
	if (gen & KVM_MEMSLOT_GEN_UPDATE_IN_PROGRESS)
		return;
	vcpu->mmio_cached = true;
	vcpu->mmio_gfn = gfn;
	vcpu->mmio_gen = gen;
}

/* @gen: of the vCPU's memslots, as it has found them. */
static void trusted(const struct kvm_vcpu *vcpu, gfn_t gfn, u64 gen)
{
	event(mmio_used, .vcpu = vcpu->hw->id, .gfn = gfn, .generation = gen);
}

/*
 * Return: the lowest entry for @gfn. Races with everybody: nothing is held but RCU. Mirrors
 * get_mmio_spte and kvm_tdp_mmu_get_walk.
 */
static u64 walk_lockless(struct kvm_vcpu *vcpu, gfn_t gfn)
{
	u64 spte = SHADOW_NONPRESENT_VALUE;
	struct tdp_iter iter;

	rcu_read_lock();
	for_each_tdp_pte(iter, vcpu->root, gfn, gfn + 1)
		spte = iter.old_spte;
	rcu_read_unlock();
	return spte;
}

/* Whether the vCPU remembers that the page has no memslot. Mirrors mmio_info_in_cache. */
static bool mmio_info_in_cache(struct kvm_vcpu *vcpu, gfn_t gfn)
{
	return vcpu->mmio_cached && vcpu->mmio_gfn == gfn &&
	       vcpu->mmio_gen == memory_generation(vcpu);
}

enum subject_ret handle_mmio_page_fault(struct kvm_vcpu *vcpu, gfn_t gfn)
{
	u64 gen = READ_ONCE(kvm_memslots(vcpu->kvm, vcpu->as_id)->generation), spte;

	if (mmio_info_in_cache(vcpu, gfn)) {
		trusted(vcpu, gfn, gen);
		return SUBJECT_EMULATE;
	}
	spte = walk_lockless(vcpu, gfn);
	if (!is_mmio_spte(spte))
		return kvm_fault_retry(gfn, RETRY_MMIO_GONE);
	gen = READ_ONCE(kvm_memslots(vcpu->kvm, vcpu->as_id)->generation);
	if ((gen & KVM_MEMSLOT_GEN_UPDATE_IN_PROGRESS) ||
	    mmio_spte_generation(spte) != (gen & MMIO_SPTE_GEN_MASK))
		return SUBJECT_FIXED;
	trusted(vcpu, gfn, gen);
	vcpu_cache_mmio_info(vcpu, gfn);
	return SUBJECT_EMULATE;
}
