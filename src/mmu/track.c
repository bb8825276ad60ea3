/*
 * Write tracking: pages that the guest must not write to unnoticed, as if they held page tables that somebody
 * shadows. Every leaf over one lacks MMU-writable, and none of them is huge.
 */
#include "mmu/dirty.h"
#include "mmu/tdp_mmu.h"

static u64 *track_count(const struct kvm_memory_slot *slot, gfn_t gfn)
{
	if (!slot->gfn_write_track || !gfn_in(gfn, slot->base_gfn, memslot_end(slot)))
		return NULL;
	return slot->gfn_write_track + (gfn - slot->base_gfn);
}

bool kvm_gfn_is_write_tracked(const struct kvm_memory_slot *slot, gfn_t gfn)
{
	u64 *count = track_count(slot, gfn);

	return count && READ_ONCE(*count);
}

/* Context: mmu_lock for writing, kvm->srcu. */
static void change_count(struct kvm_memory_slot *slot, gfn_t gfn, u64 *count, s64 by)
{
	u64 now = READ_ONCE(*count) + (u64)by;

	WRITE_ONCE(*count, now);
	event(write_tracked, .as_id = slot->as_id, .gfn = gfn, .count = now);
}

void kvm_write_track_add_gfn(struct kvm *kvm, u32 as_id, gfn_t gfn)
{
	struct kvm_memory_slot *slot;
	u64 *count;
	int idx = srcu_read_lock(&kvm->srcu);

	slot = gfn_to_memslot(kvm_memslots(kvm, as_id), gfn);
	write_lock(&kvm->mmu_lock);
	count = slot ? track_count(slot, gfn) : NULL;
	if (count) {
		change_count(slot, gfn, count, 1);
		/*
		 * The count first: the lock keeps faults out that have not seen it. And the flush with the lock held:
		 * whoever finds the page protected already, relies on what TLBs have heard.
		 */
		if (kvm_mmu_slot_gfn_write_protect(kvm, slot, gfn, PT_LEVEL_4K) &&
		    !bug(track_skips_flush))
			kvm_flush_remote_tlbs(kvm);
	}
	write_unlock(&kvm->mmu_lock);
	srcu_read_unlock(&kvm->srcu, idx);
}

void kvm_write_track_remove_gfn(struct kvm *kvm, u32 as_id, gfn_t gfn)
{
	int idx = srcu_read_lock(&kvm->srcu);
	struct kvm_memory_slot *slot = gfn_to_memslot(kvm_memslots(kvm, as_id), gfn);
	u64 *count;

	write_lock(&kvm->mmu_lock);
	count = slot ? track_count(slot, gfn) : NULL;
	if (count && READ_ONCE(*count))
		change_count(slot, gfn, count, -1);
	write_unlock(&kvm->mmu_lock);
	srcu_read_unlock(&kvm->srcu, idx);
}
