/* Read-only windows for the oracles; compiled without instrumentation. */
#include "subject/inspect.h"

#include "mmu/mmu_internal.h"

u32 inspect_nr_roots(void)
{
	return kvm_vm && kvm_vm->tdp_mmu_root ? 1 : 0;
}

struct root_view inspect_root(u32 nth)
{
	const struct kvm_mmu_page *root = kvm_vm->tdp_mmu_root;

	return (struct root_view){ .pfn = root->pfn,
				   .level = root->role.level,
				   .as_id = 0,
				   .invalid = root->role.invalid };
}

u32 inspect_nr_slots(void)
{
	return kvm_vm ? kvm_vm->memslots->nr : 0;
}

struct slot_view inspect_slot(u32 nth)
{
	const struct kvm_memory_slot *slot = &kvm_vm->memslots->slots[nth];

	return (struct slot_view){ .start = slot->base_gfn,
				   .end = slot->base_gfn + slot->npages,
				   .hva = slot->userspace_addr,
				   .as_id = slot->as_id };
}

struct mmu_counters inspect_mmu_counters(void)
{
	return (struct mmu_counters){ .in_progress = kvm_vm->mmu_invalidate_in_progress,
				      .active_invalidations = kvm_vm->mn_active_invalidate_count,
				      .seq = kvm_vm->mmu_invalidate_seq,
				      .tables = kvm_vm->tdp_mmu_pages };
}
