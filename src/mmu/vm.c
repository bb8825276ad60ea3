/*
 * The subject's verbs: a VM's life, vCPU entries, and one attempt of a fault.
 */
#include <errno.h>

#include "mmu/dirty.h"
#include "mmu/fault.h"
#include "mmu/nx.h"
#include "mmu/pfncache.h"
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
	kvm->nr_vcpus = config->nr_vcpus;
	kvm->tracks_pages = config->tracks_pages;
	kvm->dirty_mode = config->dirty_mode;
	if (config->dirty_mode == DIRTY_LOG_RING)
		kvm_dirty_rings_alloc(kvm);
	machine_set_ad_bits(kvm_ad_enabled(kvm));
	init_locks(kvm);
	if (config->has_pfncache)
		kvm_gpc_init(kvm);
	kvm_init_memslots(kvm, config);
	kvm_init_mmu_notifier(kvm);
	for (u32 i = 0; i < config->nr_vcpus; i++) {
		kvm->vcpus[i].kvm = kvm;
		kvm->vcpus[i].hw = vcpu_create(i);
		if (kvm->nr_memslots_dirty_logging)
			vcpu_set_pml(kvm->vcpus[i].hw, kvm_has_pml(kvm));
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
	kvm_gpc_destroy(kvm);
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

/*
 * An access says what kind of violation it met. A violation without one is taken for a write to something that is
 * there: if nothing is, the fast path finds that out.
 */
static struct kvm_fault_cause cause_of(const struct kvm_vcpu *vcpu, gfn_t gfn, enum access access)
{
	return (struct kvm_fault_cause){
		.gfn = gfn,
		.access = access,
		.present = vcpu->hw->violation_present || access == ACCESS_WRITE,
	};
}

enum subject_ret subject_fault(u32 vcpu_id, gfn_t gfn, enum access access)
{
	struct kvm_vcpu *vcpu = &kvm_vm->vcpus[vcpu_id];
	struct kvm_fault_cause cause;
	enum subject_ret ret = SUBJECT_FIXED;
	int idx;

	/* The exit has made room in the log: the access is simply repeated. */
	if (unlikely(vcpu->log_full)) {
		vcpu->log_full = false;
		return SUBJECT_FIXED;
	}
	/* A violation comes from the guest: requests were served and a root was loaded on the way in. */
	ASSERT(vcpu->root);
	/* A violation drops the entry that caused it, so that a retried access walks again. */
	vcpu_drop_gfn(vcpu->hw, gfn);
	idx = srcu_read_lock(&vcpu->kvm->srcu);
	if (vcpu->misconfig)
		ret = handle_mmio_page_fault(vcpu, gfn);
	vcpu->misconfig = false;
	if (ret == SUBJECT_FIXED) {
		cause = cause_of(vcpu, gfn, access);
		ret = kvm_mmu_do_page_fault(vcpu, &cause, NULL);
	}
	srcu_read_unlock(&vcpu->kvm->srcu, idx);
	return ret;
}

void subject_retry_wait(u32 vcpu_id, gfn_t gfn)
{
	struct kvm_vcpu *vcpu = &kvm_vm->vcpus[vcpu_id];

	if (vcpu->retry_on)
		await_change(vcpu->retry_on, vcpu->retry_seen, vcpu->retry_size);
}

enum subject_ret subject_prefault(u32 vcpu_id, gfn_t start, gfn_t end)
{
	return kvm_vcpu_pre_fault_memory(&kvm_vm->vcpus[vcpu_id], start, end);
}

/* Mirrors kvm_vcpu_write_guest_page. */
enum subject_ret subject_write_guest(u32 vcpu_id, gfn_t gfn)
{
	struct kvm_vcpu *vcpu = &kvm_vm->vcpus[vcpu_id];
	int idx = srcu_read_lock(&vcpu->kvm->srcu);
	struct kvm_memory_slot *slot = gfn_to_memslot(kvm_memslots(vcpu->kvm, vcpu->as_id), gfn);
	enum subject_ret ret = SUBJECT_EMULATE;
	pfn_t pfn;

	/* A memslot that is going away has no host address any more. */
	if (slot && !(slot->flags & KVM_MEMSLOT_INVALID)) {
		ret = SUBJECT_BAD_ADDRESS;
		if (host_write_user(gfn_to_hva_memslot(slot, gfn), &pfn) == GUP_OK) {
			ret = SUBJECT_FIXED;
			event(guest_written, .as_id = slot->as_id, .gfn = gfn, .pfn = pfn);
			/* The CPU has set no D: nobody else knows of the write. */
			if (!bug(kernel_write_marks_nothing))
				mark_page_dirty_in_slot(vcpu, slot, gfn);
		}
	}
	srcu_read_unlock(&vcpu->kvm->srcu, idx);
	return ret;
}

void subject_switch_as(u32 vcpu_id)
{
	struct kvm_vcpu *vcpu = &kvm_vm->vcpus[vcpu_id];

	kvm_mmu_unload(vcpu);
	/* What it remembers of MMIO stays: generations differ between address spaces. */
	vcpu->as_id ^= 1;
}

/* Mirrors account_shadowed and unaccount_shadowed for the root of a nested guest's tables. */
void subject_nest(u32 vcpu_id, bool on)
{
	struct kvm_vcpu *vcpu = &kvm_vm->vcpus[vcpu_id];
	struct kvm *kvm = vcpu->kvm;
	u64 pages;

	if (vcpu->nested == on)
		return;
	vcpu->nested = on;
	write_lock(&kvm->mmu_lock);
	pages = kvm->indirect_shadow_pages;
	WRITE_ONCE(kvm->indirect_shadow_pages, on ? pages + 1 : pages - 1);
	write_unlock(&kvm->mmu_lock);
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
	if (vcpu_take_request(vcpu->hw, REQUEST_UPDATE_DIRTY_LOGGING))
		vmx_update_cpu_dirty_logging(vcpu);
}

bool subject_vcpu_enter(u32 vcpu_id)
{
	struct kvm_vcpu *vcpu = &kvm_vm->vcpus[vcpu_id];

	do {
		if (kvm_dirty_ring_soft_full(vcpu))
			return false;
		vcpu_serve_requests(vcpu);
		kvm_mmu_reload(vcpu);
	} while (!vcpu_enter(vcpu->hw));
	return true;
}

bool subject_vcpu_access(u32 vcpu_id, gfn_t gfn, enum access access)
{
	struct kvm_vcpu *vcpu = &kvm_vm->vcpus[vcpu_id];
	enum guest_result result = vcpu_access(vcpu->hw, gfn, access);

	vcpu->misconfig = result == GUEST_MISCONFIG;
	vcpu->log_full = result == GUEST_LOG_FULL;
	return result == GUEST_DONE;
}

void subject_vcpu_leave(u32 vcpu_id)
{
	struct kvm_vcpu *vcpu = &kvm_vm->vcpus[vcpu_id];
	int idx;

	vcpu_leave(vcpu->hw);
	if (likely(!vcpu->hw->nr_pml))
		return;
	/* Behind every exit: what stays in the log longer is not reported, and when the log is full it overflows. */
	idx = srcu_read_lock(&vcpu->kvm->srcu);
	vmx_flush_pml_buffer(vcpu);
	srcu_read_unlock(&vcpu->kvm->srcu, idx);
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

/* --- dirty logs and tracked pages --- */

int subject_get_dirty_log(u32 id, struct dirty_bitmap *bitmap)
{
	int error;

	*bitmap = (struct dirty_bitmap){ .words = { 0 } };
	mutex_lock(&kvm_vm->slots_lock);
	error = kvm_get_dirty_log_protect(kvm_vm, id, bitmap);
	mutex_unlock(&kvm_vm->slots_lock);
	return error;
}

int subject_clear_dirty_log(u32 id, u32 first, u32 nr_pages, const struct dirty_bitmap *mask)
{
	int error;

	mutex_lock(&kvm_vm->slots_lock);
	error = kvm_clear_dirty_log_protect(kvm_vm, id, first, nr_pages, mask);
	mutex_unlock(&kvm_vm->slots_lock);
	return error;
}

int subject_reset_dirty_rings(void)
{
	if (!kvm_vm->rings)
		return -EINVAL;
	user_collects_rings(kvm_vm);
	return (int)kvm_vm_ioctl_reset_dirty_pages(kvm_vm);
}

void subject_track(u32 as_id, gfn_t gfn, bool on)
{
	if (on)
		kvm_write_track_add_gfn(kvm_vm, as_id, gfn);
	else
		kvm_write_track_remove_gfn(kvm_vm, as_id, gfn);
}

void subject_nx_recovery(void)
{
	kvm_recover_nx_huge_pages(kvm_vm);
}

/* --- the pfncache --- */

int subject_pfncache_map(gfn_t gfn)
{
	int idx = srcu_read_lock(&kvm_vm->srcu), error;

	ASSERT(kvm_vm->gpc);
	error = kvm_gpc_activate(kvm_vm, gfn);
	srcu_read_unlock(&kvm_vm->srcu, idx);
	return error;
}

void subject_pfncache_unmap(void)
{
	/* Never mapped: this VM has none. */
	if (kvm_vm->gpc)
		kvm_gpc_deactivate(kvm_vm);
}

int subject_pfncache_use(u32 vcpu_id)
{
	struct kvm_vcpu *vcpu = &kvm_vm->vcpus[vcpu_id];
	int idx, error;

	if (!kvm_vm->gpc)
		return -EFAULT;
	idx = srcu_read_lock(&vcpu->kvm->srcu);
	error = kvm_gpc_write(vcpu);
	srcu_read_unlock(&vcpu->kvm->srcu, idx);
	return error;
}
