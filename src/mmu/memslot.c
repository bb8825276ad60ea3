#include "mmu/mmu_internal.h"

struct kvm_memory_slot *gfn_to_memslot(struct kvm *kvm, gfn_t gfn)
{
	struct kvm_memslots *slots = rcu_dereference(kvm->memslots);

	WARN_ON(!srcu_read_lock_held(&kvm->srcu));
	for (u32 i = 0; i < slots->nr; i++) {
		struct kvm_memory_slot *slot = &slots->slots[i];

		if (gfn_in(gfn, slot->base_gfn, slot->base_gfn + slot->npages))
			return slot;
	}
	return NULL;
}
