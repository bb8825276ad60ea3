/*
 * Memslots: which guest pages lie where in the host, which of them are logged and tracked.
 */
#ifndef MMU_MEMSLOT_H
#define MMU_MEMSLOT_H

#include "kern/kern.h"
#include "subject/subject.h"

struct kvm;

#define KVM_MEM_LOG_DIRTY_PAGES BIT_ULL(0)
#define KVM_MEMSLOT_INVALID	BIT_ULL(16) /* about to go: nothing may be mapped through it any more */

/* Never changes once a set that holds it is published. Freed behind synchronize_srcu(). */
struct kvm_memory_slot {
	u64 flags; /* by verbs: who looks at a slot without kvm->srcu may find it freed */
	gfn_t base_gfn;
	u64 npages;
	hva_t userspace_addr;
	u16 as_id, id;
	u64 *dirty_bitmap; /* a bit a page, by verbs; NULL: not logged, or in rings */
	/* Trackers of each page, by verbs, changed under mmu_lock held for writing; NULL: nobody tracks. */
	u64 *gfn_write_track;
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
/* Return: memslot @id of any address space, NULL. Context: slots_lock. */
struct kvm_memory_slot *kvm_memslot_by_id(struct kvm *kvm, u32 id);
/* Context: the slot may be read. Mirrors kvm_slot_dirty_track_enabled. */
static inline bool kvm_slot_dirty_track_enabled(const struct kvm_memory_slot *slot)
{
	return slot->flags & KVM_MEM_LOG_DIRTY_PAGES;
}
/* Words of a bitmap with a bit for each of its pages. */
static inline u32 memslot_words(const struct kvm_memory_slot *slot)
{
	return (u32)((slot->npages + 63) / 64);
}
/* Context: no task. */
void kvm_init_memslots(struct kvm *kvm, const struct subject_config *config);
/* Mirrors kvm_set_memory_region; see subject_set_slot(). Context: slots_lock, may sleep. */
int kvm_set_memory_region(struct kvm *kvm, enum subject_slot_change change,
			  const struct subject_slot *slot, gfn_t to);
void kvm_free_memslots(struct kvm *kvm);

#endif
