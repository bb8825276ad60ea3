/*
 * The subject's verbs: a VM's life, vCPU entries, and one attempt of a fault.
 */
#include "mmu/mmu_internal.h"

struct kvm *kvm_vm;

/* In the order of their host addresses, which is that in which a notification visits them. */
static void insert_by_hva(struct kvm_memslots *slots, struct kvm_memory_slot slot)
{
	u32 at = slots->nr++;

	for (; at && slots->slots[at - 1].userspace_addr > slot.userspace_addr; at--)
		slots->slots[at] = slots->slots[at - 1];
	slots->slots[at] = slot;
}

static struct kvm_memslots *create_memslots(const struct subject_config *config)
{
	struct kvm_memslots *slots = kern_alloc(sizeof(*slots));

	for (u32 i = 0; i < config->nr_slots; i++) {
		const struct subject_slot *from = &config->slots[i];

		insert_by_hva(slots, (struct kvm_memory_slot){ .base_gfn = from->start,
							       .npages = from->end - from->start,
							       .userspace_addr = from->hva,
							       .as_id = (u16)from->as_id,
							       .id = (u16)from->id });
	}
	return slots;
}

void subject_create(const struct subject_config *config)
{
	struct kvm *kvm = kern_alloc(sizeof(*kvm));

	kvm->variant = config->variant;
	kvm->mmu_invalidate_seq = config->seq;
	kvm->mmu_invalidate_range_start = INVALID_GPA;
	kvm->mmu_invalidate_range_end = INVALID_GPA;
	rwlock_init_class(&kvm->mmu_lock, LOCK_mmu_lock);
	srcu_init_class(&kvm->srcu, LOCK_kvm_srcu);
	kvm->memslots = create_memslots(config);
	kvm_tdp_mmu_alloc_root(kvm, config->root_level);
	kvm_init_mmu_notifier(kvm);
	kvm->nr_vcpus = config->nr_vcpus;
	for (u32 i = 0; i < config->nr_vcpus; i++) {
		kvm->vcpus[i].kvm = kvm;
		kvm->vcpus[i].hw = vcpu_create(i);
	}
	kvm_vm = kvm;
}

void subject_reset(void)
{
	kvm_vm = NULL;
}

void subject_destroy(void)
{
	struct kvm *kvm = kvm_vm;

	kvm_tdp_mmu_destroy(kvm);
	kern_free(kvm->memslots);
	kern_free(kvm);
	kvm_vm = NULL;
}

enum subject_ret subject_fault(u32 vcpu_id, gfn_t gfn, enum access access)
{
	struct kvm_vcpu *vcpu = &kvm_vm->vcpus[vcpu_id];
	enum subject_ret ret;
	int idx;

	/* A violation comes from the guest: requests were served and a root was loaded on the way in. */
	ASSERT(vcpu->root);
	/* A violation drops the entry that caused it, so that a retried access walks again. */
	vcpu_drop_gfn(vcpu->hw, gfn);
	idx = srcu_read_lock(&vcpu->kvm->srcu);
	ret = kvm_mmu_do_page_fault(vcpu, gfn, access);
	srcu_read_unlock(&vcpu->kvm->srcu, idx);
	return ret;
}

void subject_retry_wait(u32 vcpu_id, gfn_t gfn)
{
	struct kvm_vcpu *vcpu = &kvm_vm->vcpus[vcpu_id];

	if (vcpu->retry_waits)
		await_change(&vcpu->kvm->mmu_invalidate_seq, vcpu->retry_seen,
			     sizeof(vcpu->retry_seen));
}

/* Requests are served outside guest mode, on the way in. Mirrors the head of vcpu_enter_guest. */
static void vcpu_serve_requests(struct kvm_vcpu *vcpu)
{
	if (vcpu_take_request(vcpu->hw, REQUEST_TLB_FLUSH))
		vcpu_flush_tlb(vcpu->hw);
}

void subject_vcpu_enter(u32 vcpu_id)
{
	struct kvm_vcpu *vcpu = &kvm_vm->vcpus[vcpu_id];

	do {
		vcpu_serve_requests(vcpu);
		kvm_mmu_reload(vcpu);
	} while (!vcpu_enter(vcpu->hw));
}

bool subject_vcpu_access(u32 vcpu_id, gfn_t gfn, enum access access)
{
	return vcpu_access(kvm_vm->vcpus[vcpu_id].hw, gfn, access) == GUEST_DONE;
}

void subject_vcpu_leave(u32 vcpu_id)
{
	vcpu_leave(kvm_vm->vcpus[vcpu_id].hw);
}
