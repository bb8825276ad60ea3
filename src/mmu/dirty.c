/* Dirty logging with bitmaps, and turning it on and off. Why no write is lost: dirty.h. */
#include "mmu/dirty.h"

#include <errno.h>

#include "mmu/tdp_mmu.h"

/* --- marking --- */

static void bitmap_mark(struct kvm_memory_slot *slot, gfn_t gfn)
{
	u64 at = gfn - slot->base_gfn;

	fetch_or(&slot->dirty_bitmap[at / 64], BIT_ULL(at % 64));
	event(dirty_marked, .as_id = slot->as_id, .gfn = gfn);
}

void mark_page_dirty_in_slot(struct kvm_vcpu *vcpu, struct kvm_memory_slot *slot, gfn_t gfn)
{
	if (!slot || !kvm_slot_dirty_track_enabled(slot))
		return;
	if (vcpu->kvm->rings)
		kvm_dirty_ring_push(vcpu, slot, gfn - slot->base_gfn);
	else if (slot->dirty_bitmap)
		bitmap_mark(slot, gfn);
}

void vmx_flush_pml_buffer(struct kvm_vcpu *vcpu)
{
	gfn_t gfn;

	while (vcpu_pml_take(vcpu->hw, &gfn))
		mark_page_dirty_in_slot(
			vcpu, gfn_to_memslot(kvm_memslots(vcpu->kvm, vcpu->as_id), gfn), gfn);
}

void vmx_update_cpu_dirty_logging(struct kvm_vcpu *vcpu)
{
	if (kvm_has_pml(vcpu->kvm))
		vcpu_set_pml(vcpu->hw, READ_ONCE(vcpu->kvm->nr_memslots_dirty_logging));
}

/* --- on and off --- */

void kvm_prepare_dirty_bitmap(struct kvm *kvm, struct kvm_memory_slot *slot)
{
	slot->dirty_bitmap = NULL;
	if (!kvm_slot_dirty_track_enabled(slot) || kvm->rings)
		return;
	slot->dirty_bitmap = kern_alloc(memslot_words(slot) * sizeof(u64));
	if (kvm->dirty_mode != DIRTY_LOG_INITIALLY_SET)
		return;
	/* User space will look at every page once, and by clearing its bit have it protected. */
	for (u64 at = 0; at < slot->npages; at++)
		slot->dirty_bitmap[at / 64] |= BIT_ULL(at % 64);
}

void dirty_log_tell(struct kvm *kvm, const struct kvm_memory_slot *slot, enum dirty_log_step step)
{
	event(dirty_log_changed, .step = step, .as_id = slot->as_id, .start = slot->base_gfn,
	      .end = memslot_end(slot), .mode = kvm->dirty_mode, .d_bits = kvm_has_pml(kvm));
}

void kvm_count_dirty_logging(struct kvm *kvm, const struct kvm_memory_slot *old,
			     const struct kvm_memory_slot *new)
{
	bool logged = old && kvm_slot_dirty_track_enabled(old);
	bool logs = new && kvm_slot_dirty_track_enabled(new);

	if (logged != logs)
		fetch_add(&kvm->nr_memslots_dirty_logging, logs ? 1 : -1ull);
}

/*
 * The CPUs' logs are on before the first D is cleared: vCPUs have acknowledged by the time this returns. D that is
 * cleared earlier is set again by a CPU that logs nothing. Mirrors kvm_mmu_update_cpu_dirty_logging.
 */
static void kvm_mmu_update_cpu_dirty_logging(struct kvm *kvm, bool enable)
{
	u64 nr = READ_ONCE(kvm->nr_memslots_dirty_logging);

	if (!kvm_has_pml(kvm) || !((enable && nr == 1) || !nr))
		return;
	if (bug_if(pml_request_without_wait, enable))
		machine_request_all_nowait(REQUEST_UPDATE_DIRTY_LOGGING);
	else
		machine_request_all(REQUEST_UPDATE_DIRTY_LOGGING);
}

static bool remove_write_access(struct kvm *kvm, const struct kvm_memory_slot *slot, u32 min_level)
{
	bool changed;

	read_lock(&kvm->mmu_lock);
	changed = kvm_tdp_mmu_wrprot_slot(kvm, slot, min_level);
	read_unlock(&kvm->mmu_lock);
	return changed;
}

static bool leaf_clear_dirty(struct kvm *kvm, const struct kvm_memory_slot *slot)
{
	bool changed;

	read_lock(&kvm->mmu_lock);
	changed = kvm_tdp_mmu_clear_dirty_slot(kvm, slot);
	read_unlock(&kvm->mmu_lock);
	return changed;
}

/* Return: whether an entry has changed. */
static bool protect_logged_slot(struct kvm *kvm, const struct kvm_memory_slot *slot)
{
	bool changed;

	if (kvm_has(kvm, KNOB_eager_page_split, eager_page_split_on)) {
		read_lock(&kvm->mmu_lock);
		kvm_tdp_mmu_try_split_huge_pages(kvm, slot, slot->base_gfn, memslot_end(slot),
						 true);
		read_unlock(&kvm->mmu_lock);
	}
	if (!kvm_has_pml(kvm))
		return remove_write_access(kvm, slot, PT_LEVEL_4K);
	/*
	 * A huge leaf with W would log one page for all: writes to it must fault, and split. Upstream clears D first.
	 * The CPU may set it again before W goes, and log that page; whoever splits the leaf in between (an execute
	 * fault, a prefault) hands W and D down to leafs that nobody looks at any more. lost_dirty.
	 */
	if (kvm_has(kvm, KNOB_logging_order, logging_order_huge_first)) {
		changed = remove_write_access(kvm, slot, PT_LEVEL_2M);
		return leaf_clear_dirty(kvm, slot) || changed;
	}
	changed = leaf_clear_dirty(kvm, slot);
	return remove_write_access(kvm, slot, PT_LEVEL_2M) || changed;
}

/* Mirrors kvm_mmu_slot_apply_flags where logging goes on. */
static void enable_dirty_logging(struct kvm *kvm, const struct kvm_memory_slot *slot)
{
	bool late = bug(pml_enabled_late), changed;

	if (!late)
		kvm_mmu_update_cpu_dirty_logging(kvm, true);
	/* Pages are protected one by one, as user space clears the bits that are set now. */
	if (kvm->dirty_mode == DIRTY_LOG_INITIALLY_SET)
		return;
	changed = protect_logged_slot(kvm, slot);
	if (late)
		kvm_mmu_update_cpu_dirty_logging(kvm, true);
	/*
	 * Also if no entry had a right to lose: it may have been taken without a flush, by access tracking or by a
	 * reset of rings that has not flushed yet, and TLBs still write.
	 */
	if (!bug_if(enable_flushes_if_changed, !changed))
		kvm_flush_remote_tlbs_range(kvm, slot->base_gfn, memslot_end(slot));
}

void kvm_arch_commit_memory_region(struct kvm *kvm, const struct kvm_memory_slot *old,
				   const struct kvm_memory_slot *new,
				   enum subject_slot_change change)
{
	bool logged = old && kvm_slot_dirty_track_enabled(old);
	bool logs = new && kvm_slot_dirty_track_enabled(new);

	kvm_count_dirty_logging(kvm, old, new);
	if (logged == logs)
		return;
	/* What is created has no entries yet, and what was there has been zapped: writes fault. */
	if (change != SLOT_FLAGS) {
		kvm_mmu_update_cpu_dirty_logging(kvm, logs);
		if (!logs)
			dirty_log_tell(kvm, old, DIRTY_LOG_DISABLED);
		return;
	}
	if (logs) {
		enable_dirty_logging(kvm, new);
	} else {
		kvm_mmu_update_cpu_dirty_logging(kvm, false);
		kvm_mmu_recover_huge_pages(kvm, new);
	}
	dirty_log_tell(kvm, logs ? new : old, logs ? DIRTY_LOG_ENABLED : DIRTY_LOG_DISABLED);
}

/* --- harvests --- */

/* The leafs of huge pages over the first and the last page. Context: mmu_lock for writing. */
static void protect_huge_leafs(struct kvm *kvm, const struct kvm_memory_slot *slot, gfn_t start,
			       gfn_t last)
{
	gfn_t pages = PT_PAGES(PT_LEVEL_2M);

	if (kvm_has(kvm, KNOB_eager_page_split, eager_page_split_on))
		kvm_tdp_mmu_try_split_huge_pages(kvm, slot, start, last + 1, false);
	kvm_mmu_slot_gfn_write_protect(kvm, slot, start, PT_LEVEL_2M);
	/* A word has 64 pages: with small huge pages more than two may lie in between. */
	for (gfn_t gfn = (start & ~(pages - 1)) + pages; gfn <= last; gfn += pages)
		kvm_mmu_slot_gfn_write_protect(kvm, slot, gfn, PT_LEVEL_2M);
}

void kvm_arch_mmu_enable_log_dirty_pt_masked(struct kvm *kvm, const struct kvm_memory_slot *slot,
					     gfn_t offset, u64 mask)
{
	gfn_t gfn = slot->base_gfn + offset;

	/* Nothing was split or protected when logging began. */
	if (kvm->dirty_mode == DIRTY_LOG_INITIALLY_SET && !bug(clear_leaves_huge_leafs))
		protect_huge_leafs(kvm, slot, gfn + (gfn_t)__builtin_ctzll(mask),
				   gfn + 63 - (gfn_t)__builtin_clzll(mask));
	kvm_tdp_mmu_clear_dirty_pt_masked(kvm, slot, gfn, mask, !kvm_has_pml(kvm));
}

static void tell_taken(const struct kvm_memory_slot *slot, gfn_t offset, u64 mask)
{
	for (; mask; mask &= mask - 1)
		event(dirty_taken, .as_id = slot->as_id,
		      .gfn = slot->base_gfn + offset + (gfn_t)__builtin_ctzll(mask));
}

/* Context: slots_lock. */
static void harvest_begin(struct kvm *kvm, const struct kvm_memory_slot *slot,
			  enum harvest_kind kind)
{
	event(harvest_begun, .kind = kind, .as_id = slot->as_id, .start = slot->base_gfn,
	      .end = memslot_end(slot));
	/*
	 * Out of the guest, CPUs empty their logs. Nobody waits for that: what comes too late for this harvest is
	 * for the next one. Mirrors kvm_arch_sync_dirty_log.
	 */
	if (kvm_has_pml(kvm))
		machine_kick_all();
}

/*
 * Outside of mmu_lock, inside slots_lock. It is owed for what was taken, not for what was changed: an entry may
 * have lost W or D before, and TLBs not have heard of it.
 */
static void harvest_flush(struct kvm *kvm, const struct kvm_memory_slot *slot, bool taken)
{
	if (taken)
		kvm_flush_remote_tlbs_range(kvm, slot->base_gfn, memslot_end(slot));
}

/* Context: mmu_lock for writing. Return: the bits of word @nth, no longer set. */
static u64 take_word(struct kvm *kvm, struct kvm_memory_slot *slot, u32 nth)
{
	bool protect_first = bug(harvest_protects_first);
	u64 mask = READ_ONCE(slot->dirty_bitmap[nth]);

	if (!mask)
		return 0;
	if (protect_first)
		kvm_arch_mmu_enable_log_dirty_pt_masked(kvm, slot, nth * 64, mask);
	/* The bits first: whoever marks from here on, marks for the next harvest. */
	mask = xchg(&slot->dirty_bitmap[nth], 0);
	tell_taken(slot, nth * 64, mask);
	if (!protect_first)
		kvm_arch_mmu_enable_log_dirty_pt_masked(kvm, slot, nth * 64, mask);
	return mask;
}

static void harvest_get(struct kvm *kvm, struct kvm_memory_slot *slot, struct dirty_bitmap *bitmap)
{
	bool taken = false;

	write_lock(&kvm->mmu_lock);
	for (u32 i = 0; i < memslot_words(slot); i++) {
		bitmap->words[i] = take_word(kvm, slot, i);
		taken |= bitmap->words[i] != 0;
	}
	write_unlock(&kvm->mmu_lock);
	harvest_flush(kvm, slot, taken);
}

int kvm_get_dirty_log_protect(struct kvm *kvm, u32 id, struct dirty_bitmap *bitmap)
{
	bool copies = kvm->dirty_mode != DIRTY_LOG_BITMAP;
	enum harvest_kind kind = copies ? HARVEST_COPY : HARVEST_GET;
	struct kvm_memory_slot *slot;

	lockdep_assert_held(&kvm->slots_lock);
	if (kvm->rings)
		return -ENXIO;
	slot = kvm_memslot_by_id(kvm, id);
	if (!slot || !slot->dirty_bitmap)
		return -ENOENT;
	harvest_begin(kvm, slot, kind);
	if (copies)
		for (u32 i = 0; i < memslot_words(slot); i++)
			bitmap->words[i] = READ_ONCE(slot->dirty_bitmap[i]);
	else
		harvest_get(kvm, slot, bitmap);
	event(harvest_ended, .kind = kind);
	return 0;
}

/* Context: mmu_lock for writing. Return: whether bits were really cleared. */
static bool clear_word(struct kvm *kvm, struct kvm_memory_slot *slot, u32 nth, u64 mask)
{
	if (!mask)
		return false;
	mask &= fetch_and(&slot->dirty_bitmap[nth], ~mask);
	if (!mask)
		return false;
	tell_taken(slot, nth * 64, mask);
	kvm_arch_mmu_enable_log_dirty_pt_masked(kvm, slot, nth * 64, mask);
	return true;
}

/* Whether [first, first + nr_pages) may be cleared at a time: whole words, or up to the end. */
static bool clearable(const struct kvm_memory_slot *slot, u32 first, u32 nr_pages)
{
	if (first % 64 || first > slot->npages || nr_pages > slot->npages - first)
		return false;
	return !(nr_pages % 64) || first + nr_pages == slot->npages;
}

int kvm_clear_dirty_log_protect(struct kvm *kvm, u32 id, u32 first, u32 nr_pages,
				const struct dirty_bitmap *mask)
{
	struct kvm_memory_slot *slot;
	bool taken = false;

	lockdep_assert_held(&kvm->slots_lock);
	if (kvm->rings)
		return -ENXIO;
	if (kvm->dirty_mode == DIRTY_LOG_BITMAP)
		return -EINVAL;
	slot = kvm_memslot_by_id(kvm, id);
	if (!slot || !slot->dirty_bitmap)
		return -ENOENT;
	if (!clearable(slot, first, nr_pages))
		return -EINVAL;
	harvest_begin(kvm, slot, HARVEST_CLEAR);
	write_lock(&kvm->mmu_lock);
	for (u32 i = first / 64; i < (first + nr_pages + 63) / 64; i++)
		taken |= clear_word(kvm, slot, i, mask->words[i]);
	write_unlock(&kvm->mmu_lock);
	harvest_flush(kvm, slot, taken);
	event(harvest_ended, .kind = HARVEST_CLEAR);
	return 0;
}
