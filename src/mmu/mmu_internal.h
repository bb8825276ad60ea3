/*
 * Types and verbs that the rooms of the MMU share. Field and function names are KVM's; each function
 * mirrors the kernel function of its name.
 */
#ifndef MMU_MMU_INTERNAL_H
#define MMU_MMU_INTERNAL_H

#include "host/host.h"
#include "kern/kern.h"
#include "machine/machine.h"
#include "mmu/tdp_iter.h"
#include "subject/subject.h"

/* No gfn: an invalidation that has not added its range yet. */
#define INVALID_GPA (~0ull)

#define KVM_MEM_LOG_DIRTY_PAGES BIT_ULL(0)
#define KVM_MEMSLOT_INVALID	BIT_ULL(16) /* about to go: nothing may be mapped through it any more */

/* Never changes once a set that holds it is published. Freed behind synchronize_srcu(). */
struct kvm_memory_slot {
	u64 flags; /* by verbs: who looks at a slot without kvm->srcu may find it freed */
	gfn_t base_gfn;
	u64 npages;
	hva_t userspace_addr;
	u16 as_id, id;
};

/*
 * One set of memslots. Of the two sets of an address space one is published; the other is changed
 * under slots_lock and slots_arch_lock and takes its place. Readers: kvm->srcu or slots_lock.
 */
struct kvm_memslots {
	/* By verbs. Bit 63: the set is published, but readers of the old one may still be at work. */
	u64 generation;
	u32 nr;
	struct kvm_memory_slot *slots[SLOTS_MAX]; /* by host address: the order of notifications */
};
#define KVM_MEMSLOT_GEN_UPDATE_IN_PROGRESS BIT_ULL(63)

struct kvm_mmu_page_role {
	u8 level;
	u8 as_id;
	/*
	 * Roots: zapped or about to be; no vCPU may load it. Written under mmu_lock held for writing; by
	 * verbs where it is read without.
	 */
	bool invalid;
};

/* A page table of the guest, with what KVM knows of it. */
struct kvm_mmu_page {
	struct kvm_mmu_page_role role;
	bool tdp_mmu_scheduled_root_to_zap; /* under slots_lock; or nobody else is there any more */
	gfn_t gfn; /* first gfn that it covers */
	pfn_t pfn; /* frame of spt */
	u64 *spt;
	u64 tdp_mmu_root_count; /* roots: references, by verbs only */
	struct kvm_mmu_page *next_root; /* list of roots: rcu_dereference() or tdp_mmu_pages_lock */
	struct rcu_head rcu_head;
};

struct kvm_vcpu {
	struct kvm *kvm;
	struct vcpu *hw;
	/* Own task only, like all that follows. */
	struct kvm_mmu_page *root;
	u8 as_id;
	u8 free_pages; /* page tables that a fault may take without allocating */
	bool misconfig; /* the last access met an entry that hardware refuses */
	/* What the last emulated access was: the page has no memslot, as of that generation. */
	gfn_t mmio_gfn;
	u64 mmio_gen;
	bool mmio_cached;
	/*
	 * What made the last attempt retry, if that is something that another task has open: where it
	 * stands (NULL: nothing of the kind) and what the attempt read there.
	 */
	const volatile void *retry_on;
	u32 retry_size; /* bytes */
	u64 retry_seen[4];
};

struct kvm {
	/*
	 * Written under mmu_lock held for writing, read without it by a fault that wants to give up
	 * early: hence verbs on both sides. In this order, because a fault may wait for any change.
	 */
	u64 mmu_invalidate_seq;
	u64 mmu_invalidate_in_progress;
	gfn_t mmu_invalidate_range_start;
	gfn_t mmu_invalidate_range_end;

	rwlock_t mmu_lock;
	struct mutex kvm_lock; /* of all VMs upstream; here there is one */
	struct mutex slots_lock, slots_arch_lock;
	struct srcu_struct srcu;
	struct kvm_memslots *memslots[AS_MAX]; /* published sets */
	u64 memslots_published
		[AS_MAX]; /* how often; for faults that would spin until the next time */
	struct kvm_memslots sets[AS_MAX][2];

	spinlock_t mn_invalidate_lock;
	u64 mn_active_invalidate_count; /* under mn_invalidate_lock */
	struct rcuwait mn_memslots_update_rcuwait;
	struct mmu_notifier mmu_notifier;

	spinlock_t tdp_mmu_pages_lock; /* adding to and taking off the list of roots */
	struct kvm_mmu_page *tdp_mmu_roots;
	u64 tdp_mmu_pages; /* page tables without roots; by verbs only */

	struct mmu_variant variant;
	u32 root_level;
	u32 nr_vcpus;
	struct kvm_vcpu vcpus[VCPUS_MAX];
};

/* The VM of this world (one at a time), NULL between worlds and once it is destroyed. */
extern struct kvm *kvm_vm;

/* --- memslot.c --- */

/* Context: kvm->srcu or slots_lock. */
struct kvm_memslots *kvm_memslots(struct kvm *kvm, u32 as_id);
/* Context: as above, for as long as the result is used. Return: NULL if there is none. */
struct kvm_memory_slot *gfn_to_memslot(struct kvm_memslots *slots, gfn_t gfn);
static inline hva_t gfn_to_hva_memslot(const struct kvm_memory_slot *slot, gfn_t gfn)
{
	return slot->userspace_addr + (gfn - slot->base_gfn);
}
static inline gfn_t memslot_end(const struct kvm_memory_slot *slot)
{
	return slot->base_gfn + slot->npages;
}
/* Context: no task. */
void kvm_init_memslots(struct kvm *kvm, const struct subject_config *config);
/* Mirrors kvm_set_memory_region; see subject_set_slot(). Context: slots_lock, may sleep. */
int kvm_set_memory_region(struct kvm *kvm, enum subject_slot_change change,
			  const struct subject_slot *slot, gfn_t to);
void kvm_free_memslots(struct kvm *kvm);

/* --- map.c --- */

struct kvm_page_fault {
	gfn_t gfn;
	enum access access;
	bool prefetch; /* nobody waits for it */
	struct kvm_memslots *slots;
	struct kvm_memory_slot *slot; /* NULL: MMIO */
	u8 goal_level;
	u64 mmu_seq; /* snapshot of mmu_invalidate_seq, taken before the translation */
	pfn_t pfn;
	bool map_writable;
};

/* One attempt. Context: kvm->srcu, no other lock, root loaded. Mirrors kvm_mmu_do_page_fault. */
enum subject_ret kvm_mmu_do_page_fault(struct kvm_vcpu *vcpu, gfn_t gfn, enum access access,
				       bool prefetch);
/* Mirrors kvm_arch_vcpu_pre_fault_memory. Context: the vCPU's task, no locks; may sleep. */
enum subject_ret kvm_arch_vcpu_pre_fault_memory(struct kvm_vcpu *vcpu, gfn_t gfn);
/* Gives up the attempt, saying where. Return: SUBJECT_RETRY. */
enum subject_ret kvm_fault_retry(gfn_t gfn, enum retry_reason reason);

/* --- mmio.c: entries that remember that a page has no memslot --- */

/* Return: the value of such an entry. Context: kvm->srcu. Mirrors make_mmio_spte. */
u64 make_mmio_spte(struct kvm_vcpu *vcpu, gfn_t gfn);
/* The vCPU remembers it, too. Context: kvm->srcu. */
void vcpu_cache_mmio_info(struct kvm_vcpu *vcpu, gfn_t gfn);
/*
 * The guest met a refused entry at @gfn. Return: EMULATE when it is trusted, RETRY when it is gone,
 * FIXED when it is of an old generation, and an ordinary fault must follow. Context: kvm->srcu.
 */
enum subject_ret handle_mmio_page_fault(struct kvm_vcpu *vcpu, gfn_t gfn);

/* --- invalidate.c --- */

/* Context: mmu_lock for writing. */
void kvm_mmu_invalidate_begin(struct kvm *kvm);
void kvm_mmu_invalidate_range_add(struct kvm *kvm, gfn_t start, gfn_t end);
void kvm_mmu_invalidate_end(struct kvm *kvm);
/* Why a fault must not install; see struct kvm_vcpu.retry_seen. */
enum mmu_retry { MMU_RETRY_NO, MMU_RETRY_IN_RANGE, MMU_RETRY_UNSET, MMU_RETRY_SEQ };
/* Context: mmu_lock in either mode. Its answer holds until the lock is released. */
enum mmu_retry mmu_invalidate_retry_gfn(struct kvm_vcpu *vcpu, u64 mmu_seq, gfn_t gfn);
/* Without the lock: may be wrong either way, and the caller asks again under the lock. */
enum mmu_retry mmu_invalidate_retry_gfn_unsafe(struct kvm_vcpu *vcpu, u64 mmu_seq, gfn_t gfn);
/* Context: no task. */
void kvm_init_mmu_notifier(struct kvm *kvm);

/* --- vm.c --- */

/* Context: a task, no locks; nobody uses the VM any more, but the host may be notifying it. */
void kvm_destroy_vm(struct kvm *kvm);

#endif
