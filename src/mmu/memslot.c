/*
 * Memslots: two sets an address space, one published, one to be changed and then published in its place.
 *
 * Why a slot may be freed:
 *  1. Readers reach it through the published set, inside kvm->srcu, or hold slots_lock.
 *  2. It is freed behind synchronize_srcu() after a set without it was published.
 * Why nothing is mapped through it then:
 *  3. First a copy that is marked KVM_MEMSLOT_INVALID is published, and readers of the set before are
 *     waited for: every fault that does not see the mark has installed or given up.
 *  4. Then what the slot maps is zapped; no fault maps through a marked slot.
 *  5. Then the set without it is published.
 * Why start and end of an invalidation see the same slots: publishing waits until none is open, under
 * the lock under which the count of open ones is raised.
 */
#include <errno.h>

#include "mmu/dirty.h"
#include "mmu/tdp_mmu.h"

struct kvm_memslots *kvm_memslots(struct kvm *kvm, u32 as_id)
{
	return rcu_dereference(kvm->memslots[as_id]);
}

struct kvm_memory_slot *gfn_to_memslot(struct kvm_memslots *slots, gfn_t gfn)
{
	for (u32 i = 0; i < slots->nr; i++) {
		struct kvm_memory_slot *slot = slots->slots[i];

		if (gfn_in(gfn, slot->base_gfn, memslot_end(slot)))
			return slot;
	}
	return NULL;
}

static struct kvm_memory_slot *id_to_memslot(const struct kvm_memslots *slots, u32 id)
{
	for (u32 i = 0; i < slots->nr; i++)
		if (slots->slots[i]->id == id)
			return slots->slots[i];
	return NULL;
}

struct kvm_memory_slot *kvm_memslot_by_id(struct kvm *kvm, u32 id)
{
	struct kvm_memory_slot *slot = NULL;

	for (u32 as_id = 0; !slot && as_id < AS_MAX; as_id++)
		slot = id_to_memslot(kvm_memslots(kvm, as_id), id);
	return slot;
}

/* --- changing a set; context: slots_lock and slots_arch_lock, or no task --- */

static struct kvm_memslots *kvm_get_inactive_memslots(struct kvm *kvm, u32 as_id)
{
	struct kvm_memslots *sets = kvm->sets[as_id];

	return kvm->memslots[as_id] == &sets[0] ? &sets[1] : &sets[0];
}

static void remove_slot(struct kvm_memslots *slots, const struct kvm_memory_slot *slot)
{
	u32 at = 0;

	while (at < slots->nr && slots->slots[at] != slot)
		at++;
	if (KVM_BUG_ON(at == slots->nr))
		return;
	slots->nr--;
	for (; at < slots->nr; at++)
		slots->slots[at] = slots->slots[at + 1];
}

static void insert_slot(struct kvm_memslots *slots, struct kvm_memory_slot *slot)
{
	u32 at = slots->nr++;

	for (; at && slots->slots[at - 1]->userspace_addr > slot->userspace_addr; at--)
		slots->slots[at] = slots->slots[at - 1];
	slots->slots[at] = slot;
}

/* In the set that is not published: @new (or nothing) in the place of @old (or of nothing). */
static void kvm_replace_memslot(struct kvm *kvm, u32 as_id, const struct kvm_memory_slot *old,
				struct kvm_memory_slot *new)
{
	struct kvm_memslots *slots = kvm_get_inactive_memslots(kvm, as_id);

	if (old)
		remove_slot(slots, old);
	if (new)
		insert_slot(slots, new);
}

static struct kvm_memory_slot *copy_slot(const struct kvm_memory_slot *old)
{
	struct kvm_memory_slot *slot = kern_alloc(sizeof(*slot));

	*slot = *old;
	return slot;
}

static void tell_changed(enum memslot_step step, const struct kvm_memory_slot *slot)
{
	event(memslot_changed, .step = step, .as_id = slot->as_id, .start = slot->base_gfn,
	      .end = memslot_end(slot), .hva = slot->userspace_addr,
	      .object = kern_object_id(slot));
}

static void free_slot(struct kvm_memory_slot *slot)
{
	tell_changed(MEMSLOT_FREED, slot);
	kern_free(slot);
}

/* What a memslot has beside itself, for one that takes over nothing. */
static void alloc_slot_data(struct kvm *kvm, struct kvm_memory_slot *slot)
{
	kvm_prepare_dirty_bitmap(kvm, slot);
	slot->gfn_write_track = kvm->tracks_pages ? kern_alloc(slot->npages * sizeof(u64)) : NULL;
}

/* Of a memslot that nobody takes over from. Context: nobody can reach the slot any more. */
static void free_slot_data(const struct kvm_memory_slot *slot)
{
	kern_free(slot->dirty_bitmap);
	kern_free(slot->gfn_write_track);
}

/* --- publishing --- */

/* Context: mn_invalidate_lock, dropped meanwhile; slots_lock keeps other updates out. */
static void wait_for_invalidations(struct kvm *kvm)
{
	prepare_to_rcuwait(&kvm->mn_memslots_update_rcuwait);
	while (kvm->mn_active_invalidate_count && !bug(swap_ignores_active_count)) {
		/* Under the lock: the end that lowers the count to 0 finds us asleep, or we see 0. */
		if (!bug(waiter_sleeps_unannounced))
			set_current_state(TASK_UNINTERRUPTIBLE);
		spin_unlock(&kvm->mn_invalidate_lock);
		if (bug(waiter_sleeps_unannounced))
			set_current_state(TASK_UNINTERRUPTIBLE);
		schedule();
		spin_lock(&kvm->mn_invalidate_lock);
	}
	finish_rcuwait(&kvm->mn_memslots_update_rcuwait);
}

/* What the publication of a set means for one slot. */
struct publication {
	enum memslot_step step;
	const struct kvm_memory_slot *slot;
	bool logs; /* writes to it count from here on: nothing maps it yet */
};

/*
 * Publishes the set that was changed, tells the @nr_steps of what that means, and waits for readers of
 * the other one, which then is the one to be changed. Drops slots_arch_lock. Mirrors
 * kvm_swap_active_memslots.
 */
static void kvm_swap_active_memslots(struct kvm *kvm, u32 as_id, const struct publication *what,
				     u32 nr_steps)
{
	struct kvm_memslots *slots = kvm_get_inactive_memslots(kvm, as_id);
	u64 gen = READ_ONCE(kvm->memslots[as_id]->generation);
	/* Also until its readers are gone: what they know of a page is of the old generation. */
	u64 in_flux = bug(generation_steps_early) ? gen + AS_MAX
						  : gen | KVM_MEMSLOT_GEN_UPDATE_IN_PROGRESS;

	WARN_ON(gen & KVM_MEMSLOT_GEN_UPDATE_IN_PROGRESS);
	WRITE_ONCE(slots->generation, in_flux);
	spin_lock(&kvm->mn_invalidate_lock);
	wait_for_invalidations(kvm);
	rcu_assign_pointer(kvm->memslots[as_id], slots);
	for (u32 i = 0; i < nr_steps; i++) {
		tell_changed(what[i].step, what[i].slot);
		if (what[i].logs)
			dirty_log_tell(kvm, what[i].slot, DIRTY_LOG_ENABLED);
	}
	WRITE_ONCE(kvm->memslots_published[as_id], kvm->memslots_published[as_id] + 1);
	spin_unlock(&kvm->mn_invalidate_lock);
	/* First: readers may take slots_arch_lock, and we would wait for them with it held. */
	mutex_unlock(&kvm->slots_arch_lock);
	if (!bug(swap_without_grace_period))
		synchronize_srcu(&kvm->srcu);
	WRITE_ONCE(slots->generation, gen + AS_MAX);
}

/* Publishes @new in the place of @old, and makes the other set equal. Mirrors kvm_activate_memslot. */
static void kvm_activate_memslot(struct kvm *kvm, u32 as_id, struct kvm_memory_slot *old,
				 struct kvm_memory_slot *new, const struct publication *what,
				 u32 nr_steps)
{
	kvm_swap_active_memslots(kvm, as_id, what, nr_steps);
	kvm_replace_memslot(kvm, as_id, old, new);
}

/*
 * Publishes a marked copy of @old and zaps what @old maps. The other set still has @old: the update may
 * yet fail. Mirrors kvm_invalidate_memslot.
 */
static void kvm_invalidate_memslot(struct kvm *kvm, struct kvm_memory_slot *old,
				   struct kvm_memory_slot *marked)
{
	struct publication what = { MEMSLOT_INVALID, marked, false };

	marked->flags |= KVM_MEMSLOT_INVALID;
	kvm_replace_memslot(kvm, old->as_id, old, marked);
	kvm_swap_active_memslots(kvm, old->as_id, &what, 1);
	kvm_arch_flush_shadow_memslot(kvm, old);
	/* Dropped by the swap. */
	mutex_lock(&kvm->slots_arch_lock);
}

/* --- the four changes; context: slots_lock --- */

static int create_memslot(struct kvm *kvm, const struct kvm_memory_slot *template)
{
	struct kvm_memory_slot *new;
	struct publication what;

	mutex_lock(&kvm->slots_arch_lock);
	if (!kern_may_alloc()) {
		mutex_unlock(&kvm->slots_arch_lock);
		return -ENOMEM;
	}
	new = copy_slot(template);
	alloc_slot_data(kvm, new);
	what = (struct publication){ MEMSLOT_ADDED, new, kvm_slot_dirty_track_enabled(new) };
	kvm_replace_memslot(kvm, new->as_id, NULL, new);
	kvm_activate_memslot(kvm, new->as_id, NULL, new, &what, 1);
	kvm_arch_commit_memory_region(kvm, NULL, new, SLOT_CREATE);
	return 0;
}

/* DELETE (@new NULL) and MOVE: the old place is emptied before the new set is published. */
static int remove_or_move_memslot(struct kvm *kvm, struct kvm_memory_slot *old,
				  struct kvm_memory_slot *new)
{
	u32 as_id = old->as_id;
	struct kvm_memory_slot *marked;
	struct publication steps[2];

	mutex_lock(&kvm->slots_arch_lock);
	if (!kern_may_alloc()) {
		mutex_unlock(&kvm->slots_arch_lock);
		return -ENOMEM;
	}
	marked = copy_slot(old);
	kvm_invalidate_memslot(kvm, old, marked);
	/* What the moved slot needs beside itself is allocated here. */
	if (new && !kern_may_alloc()) {
		steps[0] = (struct publication){ MEMSLOT_RESTORED, old, false };
		kvm_activate_memslot(kvm, as_id, marked, old, steps, 1);
		free_slot(marked);
		return -ENOMEM;
	}
	if (new) {
		/* The bits go along; trackers have to come again. */
		alloc_slot_data(kvm, new);
		kern_free(new->dirty_bitmap);
		new->dirty_bitmap = old->dirty_bitmap;
	}
	steps[0] = (struct publication){ MEMSLOT_GONE, old, false };
	steps[1] = (struct publication){ MEMSLOT_ADDED, new,
					 new && kvm_slot_dirty_track_enabled(new) };
	kvm_replace_memslot(kvm, as_id, old, new);
	kvm_activate_memslot(kvm, as_id, marked, new, steps, new ? 2 : 1);
	kvm_arch_commit_memory_region(kvm, old, new, new ? SLOT_MOVE : SLOT_DELETE);
	if (new)
		kern_free(old->gfn_write_track);
	else
		free_slot_data(old);
	free_slot(marked);
	free_slot(old);
	return 0;
}

static int update_flags_memslot(struct kvm *kvm, struct kvm_memory_slot *old)
{
	struct kvm_memory_slot *new;
	struct publication steps[2];

	mutex_lock(&kvm->slots_arch_lock);
	if (!kern_may_alloc()) {
		mutex_unlock(&kvm->slots_arch_lock);
		return -ENOMEM;
	}
	new = copy_slot(old);
	new->flags ^= KVM_MEM_LOG_DIRTY_PAGES;
	kvm_prepare_dirty_bitmap(kvm, new);
	dirty_log_tell(kvm, new,
		       kvm_slot_dirty_track_enabled(new) ? DIRTY_LOG_ENABLING
							 : DIRTY_LOG_DISABLING);
	steps[0] = (struct publication){ MEMSLOT_ADDED, new, false };
	kvm_replace_memslot(kvm, old->as_id, old, new);
	kvm_activate_memslot(kvm, old->as_id, old, new, steps, 1);
	kvm_arch_commit_memory_region(kvm, old, new, SLOT_FLAGS);
	kern_free(old->dirty_bitmap);
	free_slot(old);
	return 0;
}

/* Return: whether [start, end) can be had by slot @id. Mirrors kvm_check_memslot_overlap. */
static bool range_free(struct kvm *kvm, const struct kvm_memslots *slots, u32 id, gfn_t start,
		       gfn_t end)
{
	if (start >= end || end > PT_PAGES(kvm->root_level + 1))
		return false;
	for (u32 i = 0; i < slots->nr; i++) {
		const struct kvm_memory_slot *slot = slots->slots[i];

		if (slot->id != id && start < memslot_end(slot) && slot->base_gfn < end)
			return false;
	}
	return true;
}

static struct kvm_memory_slot from_config(const struct subject_slot *slot)
{
	return (struct kvm_memory_slot){ .base_gfn = slot->start,
					 .npages = slot->end - slot->start,
					 .userspace_addr = slot->hva,
					 .as_id = (u16)slot->as_id,
					 .id = (u16)slot->id,
					 .flags = slot->logging ? KVM_MEM_LOG_DIRTY_PAGES : 0 };
}

/* @template: the slot as it is, or is to be. Context: slots_lock; nothing is wrong with the request. */
static int change_memslot(struct kvm *kvm, enum subject_slot_change change,
			  struct kvm_memory_slot *old, const struct kvm_memory_slot *template,
			  gfn_t to)
{
	struct kvm_memory_slot *new;
	int error;

	switch (change) {
	case SLOT_CREATE:
		return create_memslot(kvm, template);
	case SLOT_DELETE:
		return remove_or_move_memslot(kvm, old, NULL);
	case SLOT_FLAGS:
		return update_flags_memslot(kvm, old);
	default:
		new = copy_slot(template);
		new->base_gfn = to;
		error = remove_or_move_memslot(kvm, old, new);
		if (error)
			kern_free(new);
		return error;
	}
}

int kvm_set_memory_region(struct kvm *kvm, enum subject_slot_change change,
			  const struct subject_slot *slot, gfn_t to)
{
	struct kvm_memslots *slots = kvm_memslots(kvm, slot->as_id);
	struct kvm_memory_slot *old = id_to_memslot(slots, slot->id), template;
	int error;

	lockdep_assert_held(&kvm->slots_lock);
	if (change == SLOT_CREATE) {
		if (old || slots->nr == SLOTS_MAX)
			return -EEXIST;
		if (!range_free(kvm, slots, slot->id, slot->start, slot->end))
			return -EINVAL;
	} else if (!old) {
		return -ENOENT;
	} else if (change == SLOT_MOVE &&
		   (to == old->base_gfn ||
		    !range_free(kvm, slots, slot->id, to, to + old->npages))) {
		return -EINVAL;
	}
	template = old &&change != SLOT_CREATE ? *old : from_config(slot);
	tell_changed(MEMSLOT_BEGUN, &template);
	error = change_memslot(kvm, change, old, &template, to);
	tell_changed(MEMSLOT_ENDED, &template);
	return error;
}

/* --- a VM's life --- */

void kvm_init_memslots(struct kvm *kvm, const struct subject_config *config)
{
	for (u32 as_id = 0; as_id < AS_MAX; as_id++) {
		kvm->memslots[as_id] = &kvm->sets[as_id][0];
		/* Generations differ between address spaces: they go up in steps of AS_MAX. */
		kvm->sets[as_id][0].generation = as_id;
	}
	for (u32 i = 0; i < config->nr_slots; i++) {
		struct kvm_memory_slot template = from_config(&config->slots[i]);
		struct kvm_memory_slot *slot = copy_slot(&template);

		alloc_slot_data(kvm, slot);
		if (kvm_slot_dirty_track_enabled(slot)) {
			kvm->nr_memslots_dirty_logging++;
			dirty_log_tell(kvm, slot, DIRTY_LOG_ENABLED);
		}
		insert_slot(&kvm->sets[slot->as_id][0], slot);
		insert_slot(&kvm->sets[slot->as_id][1], slot);
	}
}

void kvm_free_memslots(struct kvm *kvm)
{
	for (u32 as_id = 0; as_id < AS_MAX; as_id++) {
		struct kvm_memslots *slots = kvm->memslots[as_id];

		for (u32 i = 0; i < slots->nr; i++) {
			free_slot_data(slots->slots[i]);
			kern_free(slots->slots[i]);
		}
	}
}
