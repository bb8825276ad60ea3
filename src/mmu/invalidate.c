/*
 * The notifier side: what keeps a fault from installing a page that the host is taking back.
 *
 *  1. range_start raises mmu_invalidate_in_progress and widens the range before it zaps, both under
 *     mmu_lock. A fault that checks under the lock from then on sees it and retries.
 *  2. A fault that checked before is serialised by mmu_lock: its entry is there when the zap comes.
 *  3. range_end raises mmu_invalidate_seq before it lowers in_progress. A fault that translated
 *     before or during the invalidation took its snapshot earlier and finds another number.
 *  4. Several invalidations share one range, the hull of all that are open. It never shrinks before
 *     the last one ends: a fault may retry without need, never install without right.
 */
#include "mmu/mmu_internal.h"
#include "mmu/pfncache.h"
#include "mmu/tdp_mmu.h"
#include "mmu/young.h"

void kvm_mmu_invalidate_begin(struct kvm *kvm)
{
	u64 in_progress = kvm->mmu_invalidate_in_progress + 1;

	lockdep_assert_held_write(&kvm->mmu_lock);
	WRITE_ONCE(kvm->mmu_invalidate_in_progress, in_progress);
	event(invalidate_begun, 0);
	/* Only the first one may forget the old range: the others are still inside theirs. */
	if (!bug_if(begin_keeps_hull, in_progress == 1) &&
	    (in_progress == 1 || bug(begin_resets_hull))) {
		WRITE_ONCE(kvm->mmu_invalidate_range_start, INVALID_GPA);
		WRITE_ONCE(kvm->mmu_invalidate_range_end, INVALID_GPA);
	}
}

void kvm_mmu_invalidate_range_add(struct kvm *kvm, gfn_t start, gfn_t end)
{
	gfn_t hull_start = start, hull_end = end;

	lockdep_assert_held_write(&kvm->mmu_lock);
	WARN_ON(!kvm->mmu_invalidate_in_progress);
	if (kvm->mmu_invalidate_range_start != INVALID_GPA && !bug(hull_not_widened)) {
		hull_start = min_u64(start, kvm->mmu_invalidate_range_start);
		hull_end = max_u64(end, kvm->mmu_invalidate_range_end);
	}
	if (bug(hull_loses_last_page))
		hull_end--;
	/* Two stores: a reader without the lock may see one of them only, and asks again later. */
	WRITE_ONCE(kvm->mmu_invalidate_range_start, hull_start);
	/* Said in between: whoever reads the range without the lock may act on the first of them. */
	event(invalidate_range_added, .start = start, .end = end);
	WRITE_ONCE(kvm->mmu_invalidate_range_end, hull_end);
}

static void lower_in_progress(struct kvm *kvm, u64 in_progress)
{
	WRITE_ONCE(kvm->mmu_invalidate_in_progress, in_progress);
	event(in_progress_lowered, .count = in_progress);
}

void kvm_mmu_invalidate_end(struct kvm *kvm)
{
	u64 seq = kvm->mmu_invalidate_seq + 1, in_progress = kvm->mmu_invalidate_in_progress;

	lockdep_assert_held_write(&kvm->mmu_lock);
	if (bug(count_lowered_before_seq))
		lower_in_progress(kvm, in_progress - 1);
	WRITE_ONCE(kvm->mmu_invalidate_seq, seq);
	event(invalidate_ended, 0);
	/* Pairs with smp_rmb() in kvm_mmu_faultin_pfn: whoever sees the count lowered sees seq raised. */
	smp_wmb();
	if (!bug(end_forgets_in_progress) && !bug(count_lowered_before_seq))
		lower_in_progress(kvm, in_progress - 1);
	KVM_BUG_ON(!in_progress);
	WARN_ON(kvm->mmu_invalidate_range_start == INVALID_GPA);
}

/* The vCPU will wait for these four words to change before it tries again. */
static void remember_invalidation(struct kvm_vcpu *vcpu, u64 seq, u64 in_progress, gfn_t start,
				  gfn_t end)
{
	vcpu->retry_on = &vcpu->kvm->mmu_invalidate_seq;
	vcpu->retry_size = sizeof(vcpu->retry_seen);
	vcpu->retry_seen[0] = seq;
	vcpu->retry_seen[1] = in_progress;
	vcpu->retry_seen[2] = start;
	vcpu->retry_seen[3] = end;
}

enum mmu_retry mmu_invalidate_retry_gfn(struct kvm_vcpu *vcpu, u64 mmu_seq, gfn_t gfn)
{
	struct kvm *kvm = vcpu->kvm;
	u64 in_progress = kvm->mmu_invalidate_in_progress;

	lockdep_assert_held_either(&kvm->mmu_lock);
	if (unlikely(in_progress)) {
		gfn_t start = kvm->mmu_invalidate_range_start;
		gfn_t end = kvm->mmu_invalidate_range_end;

		/* begin and the first range_add share one lock section: the range is known by now. */
		if (start == INVALID_GPA || end == INVALID_GPA)
			return MMU_RETRY_UNSET;
		/* The zap of this range has happened: what the fault would install nobody removes. */
		if ((gfn_in(gfn, start, end) && !bug(in_progress_test_dropped)) ||
		    bug_if(range_test_dropped, !gfn_in(gfn, start, end))) {
			remember_invalidation(vcpu, kvm->mmu_invalidate_seq, in_progress, start,
					      end);
			return MMU_RETRY_IN_RANGE;
		}
	}
	/* An invalidation came and went: its zap found nothing, the fault's pfn is from before. */
	if (kvm->mmu_invalidate_seq != mmu_seq && !bug(seq_test_dropped))
		return MMU_RETRY_SEQ;
	return MMU_RETRY_NO;
}

enum mmu_retry mmu_invalidate_retry_gfn_unsafe(struct kvm_vcpu *vcpu, u64 mmu_seq, gfn_t gfn)
{
	struct kvm *kvm = vcpu->kvm;
	u64 in_progress = READ_ONCE(kvm->mmu_invalidate_in_progress);
	u64 seq;

	/* Each attempt reads it anew: one that kept an older value would never see it go down. */
	if (bug_if(in_progress_hoisted, vcpu->retry_seen[1]))
		in_progress = vcpu->retry_seen[1];

	/*
	 * Nothing orders these reads: the range may be that of an older invalidation, or half of a
	 * new one. A wrong answer costs a retry, or is found out under the lock.
	 */
	if (in_progress) {
		gfn_t start = READ_ONCE(kvm->mmu_invalidate_range_start);
		gfn_t end = READ_ONCE(kvm->mmu_invalidate_range_end);

		if (gfn_in(gfn, start, end)) {
			remember_invalidation(vcpu, mmu_seq, in_progress, start, end);
			return MMU_RETRY_IN_RANGE;
		}
	}
	seq = READ_ONCE(kvm->mmu_invalidate_seq);
	return seq != mmu_seq ? MMU_RETRY_SEQ : MMU_RETRY_NO;
}

/* What to do with every slot that a range of host pages overlaps; see kvm_handle_hva_range. */
struct kvm_hva_range {
	hva_t start, end;
	/* @flush: owed already. Return: whether a flush is owed now. NULL: none. */
	bool (*handler)(struct kvm *kvm, const struct kvm_gfn_range *range, bool flush);
	void (*on_lock)(
		struct kvm *kvm); /* once, under mmu_lock, if any slot overlaps; may be NULL */
	bool flush_on_ret;
	bool may_block;
	bool lockless; /* without mmu_lock */
	struct young_call *young; /* young calls only */
};

/* What has been done so far for a range that may overlap several slots. */
struct hva_walk {
	bool locked; /* mmu_lock, since the first slot that overlaps */
	bool flush; /* owed */
};

/* Context: kvm->srcu. Return: false when no further slot need be looked at. */
static bool handle_slot(struct kvm *kvm, const struct kvm_hva_range *range,
			struct kvm_memory_slot *slot, struct hva_walk *walk)
{
	/*
	 * Upstream starts each slot's walk with no flush owed. A yield in the second slot then drops
	 * mmu_lock while TLBs still hold what was zapped in the first: whoever takes the same pages
	 * back meanwhile finds nothing to zap, owes no flush of its own, and frees them. stale_tlb.
	 */
	bool carry = kvm->variant.knob[KNOB_unmap_flush] == unmap_flush_carried;
	hva_t start = max_u64(range->start, slot->userspace_addr);
	hva_t end = min_u64(range->end, slot->userspace_addr + slot->npages);
	struct kvm_gfn_range gfn_range;

	if (start >= end)
		return true;
	gfn_range.start = slot->base_gfn + (start - slot->userspace_addr);
	gfn_range.end = slot->base_gfn + (end - slot->userspace_addr);
	gfn_range.as_id = slot->as_id;
	gfn_range.may_block = range->may_block;
	gfn_range.young = range->young;
	if (!walk->locked && !range->lockless) {
		walk->locked = true;
		write_lock(&kvm->mmu_lock);
		if (range->on_lock)
			range->on_lock(kvm);
		if (bug_if(yield_between_begin_and_add, range->handler && range->on_lock)) {
			write_unlock(&kvm->mmu_lock);
			write_lock(&kvm->mmu_lock);
		}
		if (!range->handler)
			return false;
	}
	walk->flush |= range->handler(kvm, &gfn_range, carry && walk->flush);
	return true;
}

/*
 * Takes mmu_lock at the first overlapping slot and calls on_lock there; without a slot neither
 * happens, on start as on end, because slots do not change in between. Return: what the handlers returned, or-ed.
 */
static bool kvm_handle_hva_range(struct kvm *kvm, const struct kvm_hva_range *range)
{
	struct hva_walk walk = { .locked = false };
	int idx = srcu_read_lock(&kvm->srcu);
	bool more = true;

	for (u32 as_id = 0; more && as_id < (bug(unmap_forgets_smm) ? 1 : AS_MAX); as_id++) {
		struct kvm_memslots *slots = kvm_memslots(kvm, as_id);

		for (u32 i = 0; more && i < slots->nr; i++)
			more = handle_slot(kvm, range, slots->slots[i], &walk);
	}
	/* Under the lock still: when start has returned, the host frees the pages. */
	if (range->flush_on_ret && walk.flush && !bug(zap_skips_flush))
		kvm_flush_remote_tlbs(kvm);
	if (walk.locked)
		write_unlock(&kvm->mmu_lock);
	srcu_read_unlock(&kvm->srcu, idx);
	return walk.flush;
}

bool kvm_age_hva_range(struct kvm *kvm, struct young_call *call,
		       bool (*handler)(struct kvm *kvm, const struct kvm_gfn_range *range,
				       bool flush),
		       bool flush)
{
	const struct kvm_hva_range hva_range = {
		.start = call->start,
		.end = call->end,
		.handler = handler,
		.flush_on_ret = flush,
		.lockless = !kvm_young_is_locked(kvm),
		.young = call,
	};

	return kvm_handle_hva_range(kvm, &hva_range);
}

static bool kvm_mmu_unmap_gfn_range(struct kvm *kvm, const struct kvm_gfn_range *range, bool flush)
{
	kvm_mmu_invalidate_range_add(kvm, range->start, range->end);
	return kvm_tdp_mmu_unmap_gfn_range(kvm, range, flush);
}

/* Under mn_invalidate_lock; a pfncache that is being filled reads it without. */
static void set_active(struct kvm *kvm, u64 count)
{
	if (unlikely(kvm->gpc))
		WRITE_ONCE(kvm->mn_active_invalidate_count, count);
	else
		kvm->mn_active_invalidate_count = count;
}

static void raise_active(struct kvm *kvm)
{
	u64 count;

	spin_lock(&kvm->mn_invalidate_lock);
	count = kvm->mn_active_invalidate_count + 1;
	set_active(kvm, count);
	event(active_raised, .count = count);
	spin_unlock(&kvm->mn_invalidate_lock);
}

static int kvm_mmu_notifier_invalidate_range_start(struct mmu_notifier *mn,
						   const struct mmu_notifier_range *range)
{
	struct kvm *kvm = container_of(mn, struct kvm, mmu_notifier);
	const struct kvm_hva_range hva_range = {
		.start = range->start,
		.end = range->end,
		.handler = kvm_mmu_unmap_gfn_range,
		.on_lock = kvm_mmu_invalidate_begin,
		.flush_on_ret = true,
		.may_block = range->blockable,
	};

	/* First of all: keeps the memslots as they are until the matching end. */
	if (!bug(active_raised_late) && !bug_if(pfncache_dropped_before_count, kvm->gpc))
		raise_active(kvm);
	if (bug(start_takes_slots_lock)) {
		mutex_lock(&kvm->slots_lock);
		mutex_unlock(&kvm->slots_lock);
	}
	/* Before in_progress is raised, so whoever fills one asks for the count. */
	if (kvm->gpc && !bug(pfncache_dropped_late))
		gfn_to_pfn_cache_invalidate_start(kvm, range->start, range->end);
	if (kvm->gpc && bug(pfncache_dropped_before_count))
		raise_active(kvm);
	kvm_handle_hva_range(kvm, &hva_range);
	if (kvm->gpc && bug(pfncache_dropped_late))
		gfn_to_pfn_cache_invalidate_start(kvm, range->start, range->end);
	if (bug(active_raised_late))
		raise_active(kvm);
	return 0;
}

/* Return: whether nothing is open any more. */
static bool lower_active(struct kvm *kvm)
{
	u64 count = kvm->mn_active_invalidate_count;

	if (WARN_ON(!count))
		return false;
	set_active(kvm, count - 1);
	event(active_lowered, .count = count - 1);
	return count == 1;
}

static void kvm_mmu_notifier_invalidate_range_end(struct mmu_notifier *mn,
						  const struct mmu_notifier_range *range)
{
	struct kvm *kvm = container_of(mn, struct kvm, mmu_notifier);
	const struct kvm_hva_range hva_range = {
		.start = range->start,
		.end = range->end,
		.on_lock = kvm_mmu_invalidate_end,
	};

	bool wake;

	kvm_handle_hva_range(kvm, &hva_range);
	/* Last of all, after seq was raised: pairs with the count in start. */
	spin_lock(&kvm->mn_invalidate_lock);
	wake = lower_active(kvm);
	spin_unlock(&kvm->mn_invalidate_lock);
	/* A memslot update may be waiting to publish its set. */
	if (wake)
		rcuwait_wake_up(&kvm->mn_memslots_update_rcuwait);
}

/*
 * A page was replaced by a copy, announced under the PTL. Inside a pair of start and end there is nothing
 * left to be changed: start has zapped the page and faults are kept off it. So what Linux did up to 6.9
 * with an entry that is present all the same (zap it, then map the copy read-only) ends with the zap here.
 */
static bool kvm_change_spte_gfn(struct kvm *kvm, const struct kvm_gfn_range *range, bool flush)
{
	return kvm_tdp_mmu_unmap_gfn_range(kvm, range, flush);
}

static void no_lock_needed(struct kvm *kvm)
{
}

static void kvm_mmu_notifier_change_pte(struct mmu_notifier *mn, hva_t hva, pfn_t pfn,
					bool writable)
{
	struct kvm *kvm = container_of(mn, struct kvm, mmu_notifier);
	const struct kvm_hva_range hva_range = {
		.start = hva,
		.end = hva + 1,
		.handler = kvm_change_spte_gfn,
		.on_lock = no_lock_needed,
		.flush_on_ret = true,
		.may_block = false,
	};

	/* Without mmu_lock: it is our own start that raised it. */
	if (READ_ONCE(kvm->mmu_invalidate_in_progress))
		kvm_handle_hva_range(kvm, &hva_range);
}

static void kvm_mmu_notifier_release(struct mmu_notifier *mn)
{
	struct kvm *kvm = container_of(mn, struct kvm, mmu_notifier);
	int idx = srcu_read_lock(&kvm->srcu);

	kvm_mmu_zap_all(kvm);
	srcu_read_unlock(&kvm->srcu, idx);
}

static const struct mmu_notifier_ops kvm_mmu_notifier_ops = {
	.invalidate_range_start = kvm_mmu_notifier_invalidate_range_start,
	.invalidate_range_end = kvm_mmu_notifier_invalidate_range_end,
	.release = kvm_mmu_notifier_release,
	.clear_flush_young = kvm_mmu_notifier_clear_flush_young,
	.clear_young = kvm_mmu_notifier_clear_young,
	.test_young = kvm_mmu_notifier_test_young,
	.has_fast_aging = true,
};
static const struct mmu_notifier_ops kvm_mmu_notifier_ops_change_pte = {
	.invalidate_range_start = kvm_mmu_notifier_invalidate_range_start,
	.invalidate_range_end = kvm_mmu_notifier_invalidate_range_end,
	.change_pte = kvm_mmu_notifier_change_pte,
	.release = kvm_mmu_notifier_release,
	.clear_flush_young = kvm_mmu_notifier_clear_flush_young,
	.clear_young = kvm_mmu_notifier_clear_young,
	.test_young = kvm_mmu_notifier_test_young,
	.has_fast_aging = true,
};

void kvm_init_mmu_notifier(struct kvm *kvm)
{
	spin_lock_init_class(&kvm->mn_invalidate_lock, LOCK_mn_invalidate_lock);
	rcuwait_init_class(&kvm->mn_memslots_update_rcuwait, LOCK_mn_active);
	kvm->mmu_notifier.ops = kvm->variant.knob[KNOB_change_pte] == change_pte_present
					? &kvm_mmu_notifier_ops_change_pte
					: &kvm_mmu_notifier_ops;
	mmu_notifier_register(&kvm->mmu_notifier);
}
