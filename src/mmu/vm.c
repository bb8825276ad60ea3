/*
 * The subject's verbs: a VM's life, vCPU entries, and one attempt of a fault.
 */
#include "mmu/mmu_internal.h"
#include "mmu/tdp_mmu.h"

struct kvm *kvm_vm;

/*
 * Users of the VM, apart from it: who finds 0 here must not look at kvm_vm. NULL: nobody destroys the
 * VM while tasks run.
 */
static struct vm_users {
	u64 count;
	u64 closed; /* 1: the owner has let go */
} *users;

static void init_locks(struct kvm *kvm)
{
	rwlock_init_class(&kvm->mmu_lock, LOCK_mmu_lock);
	mutex_init_class(&kvm->kvm_lock, LOCK_kvm_lock);
	mutex_init_class(&kvm->slots_lock, LOCK_slots_lock);
	mutex_init_class(&kvm->slots_arch_lock, LOCK_slots_arch_lock);
	spin_lock_init_class(&kvm->tdp_mmu_pages_lock, LOCK_tdp_mmu_pages_lock);
	srcu_init_class(&kvm->srcu, LOCK_kvm_srcu);
}

void subject_create(const struct subject_config *config)
{
	struct kvm *kvm = kern_alloc(sizeof(*kvm));

	kvm->variant = config->variant;
	kvm->root_level = config->root_level;
	kvm->mmu_invalidate_seq = config->seq;
	kvm->mmu_invalidate_range_start = INVALID_GPA;
	kvm->mmu_invalidate_range_end = INVALID_GPA;
	init_locks(kvm);
	kvm_init_memslots(kvm, config);
	kvm_init_mmu_notifier(kvm);
	kvm->nr_vcpus = config->nr_vcpus;
	for (u32 i = 0; i < config->nr_vcpus; i++) {
		kvm->vcpus[i].kvm = kvm;
		kvm->vcpus[i].hw = vcpu_create(i);
	}
	users = NULL;
	if (config->counts_users) {
		users = kern_alloc(sizeof(*users));
		users->count = 1;
	}
	kvm_vm = kvm;
}

void subject_reset(void)
{
	kvm_vm = NULL;
}

/* --- the end --- */

void kvm_destroy_vm(struct kvm *kvm)
{
	/* First: from here on no callback of ours is under way, and none begins. */
	if (!bug(vm_freed_while_subscribed))
		mmu_notifier_unregister(&kvm->mmu_notifier);
	/* A start whose end will never come has raised it. */
	kvm->mn_active_invalidate_count = 0;
	for (u32 i = 0; i < kvm->nr_vcpus; i++)
		kvm_mmu_unload(&kvm->vcpus[i]);
	kvm_mmu_uninit_tdp_mmu(kvm);
	kvm_free_memslots(kvm);
	kvm_vm = NULL;
	kern_free(kvm);
}

bool subject_get(void)
{
	return !users || inc_not_zero(&users->count);
}

void subject_put(void)
{
	if (users && dec_and_test(&users->count))
		kvm_destroy_vm(kvm_vm);
}

void subject_close(void)
{
	if (users && !xchg(&users->closed, 1))
		subject_put();
}

/* --- vCPUs --- */

enum subject_ret subject_fault(u32 vcpu_id, gfn_t gfn, enum access access)
{
	struct kvm_vcpu *vcpu = &kvm_vm->vcpus[vcpu_id];
	enum subject_ret ret = SUBJECT_FIXED;
	int idx;

	/* A violation comes from the guest: requests were served and a root was loaded on the way in. */
	ASSERT(vcpu->root);
	/* A violation drops the entry that caused it, so that a retried access walks again. */
	vcpu_drop_gfn(vcpu->hw, gfn);
	idx = srcu_read_lock(&vcpu->kvm->srcu);
	if (vcpu->misconfig)
		ret = handle_mmio_page_fault(vcpu, gfn);
	vcpu->misconfig = false;
	if (ret == SUBJECT_FIXED)
		ret = kvm_mmu_do_page_fault(vcpu, gfn, access, false);
	srcu_read_unlock(&vcpu->kvm->srcu, idx);
	return ret;
}

void subject_retry_wait(u32 vcpu_id, gfn_t gfn)
{
	struct kvm_vcpu *vcpu = &kvm_vm->vcpus[vcpu_id];

	if (vcpu->retry_on)
		await_change(vcpu->retry_on, vcpu->retry_seen, vcpu->retry_size);
}

enum subject_ret subject_prefault(u32 vcpu_id, gfn_t gfn)
{
	return kvm_arch_vcpu_pre_fault_memory(&kvm_vm->vcpus[vcpu_id], gfn);
}

void subject_switch_as(u32 vcpu_id)
{
	struct kvm_vcpu *vcpu = &kvm_vm->vcpus[vcpu_id];

	kvm_mmu_unload(vcpu);
	/* What it remembers of MMIO stays: generations differ between address spaces. */
	vcpu->as_id ^= 1;
}

/* Requests are served outside guest mode, on the way in. Mirrors the head of vcpu_enter_guest. */
static void vcpu_serve_requests(struct kvm_vcpu *vcpu)
{
	if (likely(!vcpu_requests_pending(vcpu->hw)))
		return;
	/* The root first: a flush says nothing about one that is about to be let go. */
	if (vcpu_take_request(vcpu->hw, REQUEST_FREE_OBSOLETE_ROOTS))
		kvm_mmu_free_obsolete_roots(vcpu);
	if (vcpu_take_request(vcpu->hw, REQUEST_TLB_FLUSH))
		vcpu_flush_tlb(vcpu->hw);
	if (vcpu_take_request(vcpu->hw, REQUEST_TLB_FLUSH_RANGE))
		vcpu_flush_ranges(vcpu->hw);
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
	struct kvm_vcpu *vcpu = &kvm_vm->vcpus[vcpu_id];
	enum guest_result result = vcpu_access(vcpu->hw, gfn, access);

	vcpu->misconfig = result == GUEST_MISCONFIG;
	return result == GUEST_DONE;
}

void subject_vcpu_leave(u32 vcpu_id)
{
	vcpu_leave(kvm_vm->vcpus[vcpu_id].hw);
}

/* --- the VM as a whole --- */

int subject_set_slot(enum subject_slot_change change, const struct subject_slot *slot, gfn_t to)
{
	struct kvm *kvm = kvm_vm;
	int error;

	mutex_lock(&kvm->slots_lock);
	error = kvm_set_memory_region(kvm, change, slot, to);
	mutex_unlock(&kvm->slots_lock);
	return error;
}

/* Mirrors set_nx_huge_pages. */
void subject_zap_all(void)
{
	struct kvm *kvm = kvm_vm;

	mutex_lock(&kvm->kvm_lock);
	mutex_lock(&kvm->slots_lock);
	kvm_mmu_zap_all_fast(kvm);
	mutex_unlock(&kvm->slots_lock);
	mutex_unlock(&kvm->kvm_lock);
}

void subject_zap_gfn_range(gfn_t start, gfn_t end)
{
	kvm_zap_gfn_range(kvm_vm, start, end);
}
