/*
 * Types and verbs that the rooms of the MMU share. Field and function names are KVM's; each function
 * mirrors the kernel function of its name.
 */
#ifndef MMU_MMU_INTERNAL_H
#define MMU_MMU_INTERNAL_H

#include "host/host.h"
#include "kern/kern.h"
#include "machine/machine.h"
#include "mmu/memslot.h"
#include "mmu/tdp_iter.h"
#include "subject/subject.h"

/* No gfn: an invalidation that has not added its range yet. */
#define INVALID_GPA (~0ull)

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
	/*
	 * Split off a huge page for the sake of execution. Set before it is linked, cleared with the lock of
	 * roots and lists when it is taken out: who puts it on the list must look again under that lock.
	 */
	u64 nx_huge_page_disallowed;
	/* List of such tables, oldest first; under tdp_mmu_pages_lock. */
	struct kvm_mmu_page *nx_next;
	bool nx_listed;
	u64 *parent_sptep; /* entry that leads here; of a listed table */
};

struct kvm_vcpu {
	struct kvm *kvm;
	struct vcpu *hw;
	/* Own task only, like all that follows. */
	struct kvm_mmu_page *root;
	u8 as_id;
	u8 free_pages; /* page tables that a fault may take without allocating */
	bool misconfig; /* the last access met an entry that hardware refuses */
	bool log_full; /* the last access ended because the log had no room */
	bool nested; /* its guest runs a guest: has a shadow page */
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

	spinlock_t
		tdp_mmu_pages_lock; /* adding to and taking off the lists of roots and of NX pages */
	struct kvm_mmu_page *tdp_mmu_roots;
	u64 tdp_mmu_pages; /* page tables without roots; by verbs only */
	struct kvm_mmu_page *possible_nx_huge_pages; /* under tdp_mmu_pages_lock */

	/* Of nested guests; changed under mmu_lock held for writing, read without: by verbs. */
	u64 indirect_shadow_pages;
	struct gfn_to_pfn_cache *gpc; /* NULL: this VM has no pfncache */
	spinlock_t gpc_lock;

	u64 nr_memslots_dirty_logging; /* written under slots_lock; by verbs */
	u32 dirty_mode; /* enum dirty_log_mode */
	bool tracks_pages; /* memslots have counts of trackers */
	struct kvm_dirty_ring *rings; /* [nr_vcpus] with DIRTY_LOG_RING, else NULL */

	struct mmu_variant variant;
	u32 root_level;
	u32 nr_vcpus;
	struct kvm_vcpu vcpus[VCPUS_MAX];
};

/* The VM of this world (one at a time), NULL between worlds and once it is destroyed. */
extern struct kvm *kvm_vm;

/* --- what the knobs come to --- */

static inline bool kvm_has(const struct kvm *kvm, enum knob knob, enum knob_value value)
{
	return kvm->variant.knob[knob] == value;
}
/* Whether the CPU keeps A and D bits. Mirrors kvm_ad_enabled. */
static inline bool kvm_ad_enabled(const struct kvm *kvm)
{
	return !kvm_has(kvm, KNOB_ad_bits, ad_bits_disabled);
}
/* Whether dirty logging may rely on the CPU's log. Mirrors kvm_x86_ops.cpu_dirty_log_size. */
static inline bool kvm_has_pml(const struct kvm *kvm)
{
	return kvm_ad_enabled(kvm) && kvm_has(kvm, KNOB_pml, pml_on);
}

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
