/* Read-only windows for the oracles; compiled without instrumentation. */
#include "subject/inspect.h"

#include "mmu/dirty.h"
#include "mmu/mmu_internal.h"
#include "mmu/pfncache.h"
#include "mmu/spte.h"

bool inspect_vm(void)
{
	return kvm_vm;
}

/* The list is read as it stands: no point lies between two of its stores. */
u32 inspect_nr_roots(void)
{
	u32 nr = 0;

	if (!kvm_vm)
		return 0;
	for (const struct kvm_mmu_page *root = kvm_vm->tdp_mmu_roots; root; root = root->next_root)
		nr++;
	return nr;
}

struct root_view inspect_root(u32 nth)
{
	const struct kvm_mmu_page *root = kvm_vm->tdp_mmu_roots;

	while (nth--)
		root = root->next_root;
	return (struct root_view){ .pfn = root->pfn,
				   .level = root->role.level,
				   .as_id = root->role.as_id,
				   .invalid = root->role.invalid };
}

u32 inspect_nr_slots(void)
{
	u32 nr = 0;

	for (u32 as_id = 0; kvm_vm && as_id < AS_MAX; as_id++)
		nr += kvm_vm->memslots[as_id]->nr;
	return nr;
}

struct slot_view inspect_slot(u32 nth)
{
	const struct kvm_memory_slot *slot;
	u32 as_id = 0;

	for (; nth >= kvm_vm->memslots[as_id]->nr; as_id++)
		nth -= kvm_vm->memslots[as_id]->nr;
	slot = kvm_vm->memslots[as_id]->slots[nth];
	return (struct slot_view){ .id = slot->id,
				   .start = slot->base_gfn,
				   .end = memslot_end(slot),
				   .hva = slot->userspace_addr,
				   .as_id = as_id,
				   .going = slot->flags & KVM_MEMSLOT_INVALID,
				   .logging = slot->flags & KVM_MEM_LOG_DIRTY_PAGES };
}

bool inspect_dirty_bit(u32 as_id, gfn_t gfn)
{
	const struct kvm_memslots *slots = kvm_vm ? kvm_vm->memslots[as_id] : NULL;

	for (u32 i = 0; slots && i < slots->nr; i++) {
		const struct kvm_memory_slot *slot = slots->slots[i];
		u64 at = gfn - slot->base_gfn;

		if (at < slot->npages)
			return slot->dirty_bitmap && kern_memory_live(slot->dirty_bitmap) &&
			       (slot->dirty_bitmap[at / 64] >> at % 64 & 1);
	}
	return false;
}

bool inspect_dirty_ring(u32 as_id, gfn_t gfn)
{
	for (u32 i = 0; kvm_vm && kvm_vm->rings && i < kvm_vm->nr_vcpus; i++)
		for (u32 at = 0; at < DIRTY_RING_ENTRIES; at++) {
			const struct kvm_dirty_gfn *entry = &kvm_vm->rings[i].entries[at];

			if (entry->state != DIRTY_ENTRY_INVALID && entry->as_id == as_id &&
			    entry->gfn == gfn)
				return true;
		}
	return false;
}

u64 inspect_memslot_generation(u32 as_id)
{
	return kvm_vm->memslots[as_id]->generation;
}

struct pfncache_view inspect_pfncache(void)
{
	const struct gfn_to_pfn_cache *gpc = kvm_vm ? kvm_vm->gpc : NULL;

	if (!gpc)
		return (struct pfncache_view){ .valid = false };
	return (struct pfncache_view){
		.valid = gpc->valid, .gfn = gpc->gfn, .hva = gpc->uhva, .pfn = gpc->pfn
	};
}

u32 inspect_vcpu_as(u32 vcpu)
{
	return kvm_vm && vcpu < kvm_vm->nr_vcpus ? kvm_vm->vcpus[vcpu].as_id : 0;
}

/* Whether the entry that once led to a listed table does so no longer. */
static bool nx_page_gone(const struct kvm_mmu_page *sp)
{
	pfn_t parent;

	if (!kern_memory_live(sp))
		return true;
	parent = kern_page_nr(sp->parent_sptep);
	if (!inspect_frame_is(parent, FRAME_PAGE_TABLE))
		return true;
	return !is_shadow_present_pte(*sp->parent_sptep) ||
	       spte_to_pfn(*sp->parent_sptep) != sp->pfn;
}

struct mmu_counters inspect_mmu_counters(void)
{
	u64 scheduled = 0, nx_pages = 0, nx_gone = 0;

	for (const struct kvm_mmu_page *root = kvm_vm->tdp_mmu_roots; root; root = root->next_root)
		scheduled += root->tdp_mmu_scheduled_root_to_zap;
	for (const struct kvm_mmu_page *sp = kvm_vm->possible_nx_huge_pages; sp; sp = sp->nx_next) {
		nx_pages++;
		nx_gone += nx_page_gone(sp);
		if (!kern_memory_live(sp))
			break;
	}
	return (struct mmu_counters){ .in_progress = kvm_vm->mmu_invalidate_in_progress,
				      .active_invalidations = kvm_vm->mn_active_invalidate_count,
				      .seq = kvm_vm->mmu_invalidate_seq,
				      .tables = kvm_vm->tdp_mmu_pages,
				      .scheduled_roots = scheduled,
				      .nx_pages = nx_pages,
				      .nx_pages_gone = nx_gone,
				      .memslot_waiters =
					      kvm_vm->mn_memslots_update_rcuwait.waiter != 0 };
}
