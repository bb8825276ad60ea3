/*
 * Dirty rings: each vCPU puts the pages it has written into a ring of its own; user space takes them out and marks
 * them as taken; a reset makes room and has the pages protected again.
 *
 * An entry goes through three states. INVALID to DIRTY: the vCPU, behind its page. DIRTY to TAKEN: user space.
 * TAKEN to INVALID: the reset, in order. So the vCPU never writes over an entry that nobody has taken.
 */
#include "mmu/dirty.h"
#include "mmu/tdp_mmu.h"

/* Entries that may still come when the vCPU is told to stay out: its log, and a fault or two. */
#define RING_RESERVE (PML_ENTRIES_MAX + 4u)

void kvm_dirty_rings_alloc(struct kvm *kvm)
{
	/* One more, so that there are rings where there is no vCPU. */
	kvm->rings = kern_alloc((kvm->nr_vcpus + 1) * sizeof(*kvm->rings));
}

static u64 page_of(const struct kvm_memory_slot *slot, gfn_t offset)
{
	return (u64)slot->id << 32 | offset;
}

static u64 used(const struct kvm_dirty_ring *ring)
{
	u64 reset = READ_ONCE(ring->reset_index);

	return ring->dirty_index - reset;
}

void kvm_dirty_ring_push(struct kvm_vcpu *vcpu, const struct kvm_memory_slot *slot, gfn_t offset)
{
	struct kvm_dirty_ring *ring = &vcpu->kvm->rings[vcpu->hw->id];
	struct kvm_dirty_gfn *entry = &ring->entries[ring->dirty_index % DIRTY_RING_ENTRIES];

	/* The reserve is for what a vCPU may still put in before it stays out of the guest. */
	if (WARN_ON(used(ring) >= DIRTY_RING_ENTRIES))
		return;
	WRITE_ONCE(entry->page, page_of(slot, offset));
	entry->as_id = slot->as_id;
	entry->gfn = slot->base_gfn + offset;
	/* Release: who sees the state must see the page. Pairs with the acquire in user_collects_rings(). */
	smp_store_release(&entry->state, DIRTY_ENTRY_DIRTY);
	event(dirty_marked, .as_id = slot->as_id, .gfn = slot->base_gfn + offset,
	      .ring = vcpu->hw->id + 1);
	ring->dirty_index++;
}

bool kvm_dirty_ring_soft_full(const struct kvm_vcpu *vcpu)
{
	return vcpu->kvm->rings &&
	       used(&vcpu->kvm->rings[vcpu->hw->id]) >= DIRTY_RING_ENTRIES - RING_RESERVE;
}

u32 user_collects_rings(struct kvm *kvm)
{
	u32 nr = 0;

	for (u32 i = 0; i < kvm->nr_vcpus; i++) {
		struct kvm_dirty_ring *ring = &kvm->rings[i];

		for (u32 at = 0; at < DIRTY_RING_ENTRIES; at++) {
			u64 dirty = DIRTY_ENTRY_DIRTY;

			if (smp_load_acquire(&ring->entries[at].state) != DIRTY_ENTRY_DIRTY)
				continue;
			/* Two threads of user space may collect at a time. */
			nr += try_cmpxchg64(&ring->entries[at].state, &dirty, DIRTY_ENTRY_TAKEN);
		}
	}
	return nr;
}

/* Pages of one memslot that are protected together. */
struct batch {
	u32 slot;
	gfn_t offset;
	u64 mask; /* 0: none */
};

/* Mirrors kvm_reset_dirty_gfn. Context: slots_lock. */
static void protect_batch(struct kvm *kvm, struct batch *batch)
{
	struct kvm_memory_slot *slot = kvm_memslot_by_id(kvm, batch->slot);
	u64 mask = batch->mask;

	batch->mask = 0;
	/* The memslot may have gone, or have become another one, since the page was written. */
	if (!mask || !slot || batch->offset + 63 - (gfn_t)__builtin_clzll(mask) >= slot->npages)
		return;
	write_lock(&kvm->mmu_lock);
	kvm_arch_mmu_enable_log_dirty_pt_masked(kvm, slot, batch->offset, mask);
	write_unlock(&kvm->mmu_lock);
}

/* Return: whether the page could be added. */
static bool batch_add(struct batch *batch, u32 slot, gfn_t offset)
{
	s64 delta = (s64)(offset - batch->offset);

	if (!batch->mask) {
		*batch = (struct batch){ .slot = slot, .offset = offset, .mask = 1 };
		return true;
	}
	if (slot != batch->slot)
		return false;
	if (delta >= 0 && delta < 64) {
		batch->mask |= BIT_ULL(delta);
		return true;
	}
	/* In front of it, if none of its last pages is pushed out. */
	if (delta < 0 && delta > -64 && batch->mask << -delta >> -delta == batch->mask) {
		batch->offset = offset;
		batch->mask = batch->mask << -delta | 1;
		return true;
	}
	return false;
}

/* Return: entries reset. Context: slots_lock. Mirrors kvm_dirty_ring_reset. */
static u32 ring_reset(struct kvm *kvm, u32 nr)
{
	struct kvm_dirty_ring *ring = &kvm->rings[nr];
	struct batch batch = { .mask = 0 };
	u32 count = 0;

	for (;;) {
		struct kvm_dirty_gfn *entry =
			&ring->entries[ring->reset_index % DIRTY_RING_ENTRIES];
		u64 page;

		if (smp_load_acquire(&entry->state) != DIRTY_ENTRY_TAKEN)
			break;
		page = READ_ONCE(entry->page);
		event(dirty_taken, .as_id = entry->as_id, .gfn = entry->gfn, .ring = nr + 1);
		/* Before the page is protected: a write from now on is another entry. */
		smp_store_release(&entry->state, DIRTY_ENTRY_INVALID);
		WRITE_ONCE(ring->reset_index, ring->reset_index + 1);
		count++;
		/* A ring may be filled and taken again for as long as the reset goes on. */
		if (batch.mask && !bug(ring_reset_hogs))
			cond_resched();
		if (batch_add(&batch, (u32)(page >> 32), (u32)page))
			continue;
		protect_batch(kvm, &batch);
		batch_add(&batch, (u32)(page >> 32), (u32)page);
	}
	protect_batch(kvm, &batch);
	return count;
}

u32 kvm_vm_ioctl_reset_dirty_pages(struct kvm *kvm)
{
	u32 count = 0;

	mutex_lock(&kvm->slots_lock);
	event(harvest_begun, .kind = HARVEST_RESET);
	for (u32 i = 0; i < kvm->nr_vcpus; i++)
		count += ring_reset(kvm, i);
	mutex_unlock(&kvm->slots_lock);
	/*
	 * Behind the lock: another one may turn logging off and on meanwhile, and find the pages protected
	 * already; it must flush all the same.
	 */
	if (count)
		kvm_flush_remote_tlbs(kvm);
	event(harvest_ended, .kind = HARVEST_RESET);
	return count;
}
