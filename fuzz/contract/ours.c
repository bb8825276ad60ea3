/* The functions as the MMU has them, in a world of one memslot and one vCPU. */
#include "fuzz/contract/contract.h"
#include "host/host.h"
#include "mmu/fault.h"
#include "mmu/spte.h"
#include "mmu/tdp_mmu.h"

#define HVA 0x100u

static struct kvm_vcpu *vcpu;
static struct kvm_memory_slot *slot;
static u64 *leafs[CONTRACT_PAGES]; /* entries */
static u64 writable[CONTRACT_PAGES]; /* their values after a write fault */

static u64 walk(u64 gfn)
{
	struct tdp_iter iter;
	u64 spte = 0;

	rcu_read_lock();
	for_each_tdp_pte(iter, vcpu->root, gfn, gfn + 1)
		spte = iter.old_spte;
	rcu_read_unlock();
	return spte;
}

/* Context: as walk(), while nobody changes anything. */
static u64 *entry_of(gfn_t gfn)
{
	u64 *table = vcpu->root->spt;

	for (u32 level = vcpu->root->role.level; level > PT_LEVEL_4K; level--)
		table = frame_words(spte_to_pfn(table[PT_INDEX(gfn, level)]));
	return table + PT_INDEX(gfn, PT_LEVEL_4K);
}

void contract_build_ours(void)
{
	struct subject_config config = {
		.variant = variant_default,
		.nr_vcpus = 1,
		.root_level = CONTRACT_LEVELS,
		.nr_slots = 1,
		.slots = { { .end = CONTRACT_PAGES, .hva = HVA, .logging = true } },
	};

	host_add_map(&(struct host_map){ .start = HVA,
					 .end = HVA + CONTRACT_PAGES,
					 .level = PT_LEVEL_4K,
					 .populated = true });
	subject_create(&config);
	ASSERT(subject_vcpu_enter(0));
	subject_vcpu_leave(0);
	vcpu = &kvm_vm->vcpus[0];
	slot = gfn_to_memslot(kvm_memslots(kvm_vm, 0), 0);
	for (gfn_t gfn = 0; gfn < CONTRACT_PAGES; gfn++) {
		ASSERT(subject_fault(0, gfn, ACCESS_WRITE) == SUBJECT_FIXED);
		leafs[gfn] = entry_of(gfn);
		writable[gfn] = *leafs[gfn];
		ASSERT(is_writable_pte(writable[gfn]));
	}
}

/* --- fast_page_fault --- */

static struct kvm_page_fault violation = { .access = ACCESS_WRITE, .present = true };

static void protect(u64 gfn)
{
	violation.slot = slot;
	violation.gfn = gfn;
	*leafs[gfn] = writable[gfn] & ~PTE_W;
	slot->dirty_bitmap[gfn / 64] &= ~BIT_ULL(gfn % 64);
}

static u64 fault(u64 gfn)
{
	return fast_page_fault(vcpu, &violation);
}

static bool is_writable_and_marked(u64 gfn, u64 ret)
{
	return ret == SUBJECT_FIXED && *leafs[gfn] == writable[gfn] &&
	       (slot->dirty_bitmap[gfn / 64] >> gfn % 64 & 1);
}

/* --- zap --- */

static void map(u64 gfn)
{
	*leafs[gfn] = writable[gfn];
}

static u64 zap(u64 gfn)
{
	struct kvm_gfn_range range = { .start = gfn, .end = gfn + 1, .may_block = true };
	bool flush;

	write_lock(&kvm_vm->mmu_lock);
	flush = kvm_tdp_mmu_unmap_gfn_range(kvm_vm, &range, false);
	write_unlock(&kvm_vm->mmu_lock);
	return flush;
}

static bool is_empty(u64 gfn, u64 flush)
{
	return flush && *leafs[gfn] == SHADOW_NONPRESENT_VALUE;
}

/* --- walk --- */

static bool is_leaf(u64 gfn, u64 spte)
{
	return spte == writable[gfn];
}

const struct contract_body contract_ours[CONTRACT_FUNCTIONS] = {
	[CONTRACT_FAULT] = { protect, fault, is_writable_and_marked },
	[CONTRACT_ZAP] = { map, zap, is_empty },
	[CONTRACT_WALK] = { map, walk, is_leaf },
};
