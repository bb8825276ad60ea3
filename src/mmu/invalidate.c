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

void kvm_mmu_invalidate_begin(struct kvm *kvm)
{
	u64 in_progress = kvm->mmu_invalidate_in_progress + 1;

	lockdep_assert_held_write(&kvm->mmu_lock);
	WRITE_ONCE(kvm->mmu_invalidate_in_progress, in_progress);
	event(invalidate_begun, 0);
	/* Only the first one may forget the old range: the others are still inside theirs. */
	if (in_progress == 1 || bug(begin_resets_hull)) {
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
	/* Said first: whoever reads the range without the lock may act on the first of two stores. */
	event(invalidate_range_added, .start = start, .end = end);
	/* Two stores: a reader without the lock may see one of them only, and asks again later. */
	WRITE_ONCE(kvm->mmu_invalidate_range_start, hull_start);
	WRITE_ONCE(kvm->mmu_invalidate_range_end, hull_end);
}

void kvm_mmu_invalidate_end(struct kvm *kvm)
{
	u64 seq = kvm->mmu_invalidate_seq + 1, in_progress = kvm->mmu_invalidate_in_progress;

	lockdep_assert_held_write(&kvm->mmu_lock);
	WRITE_ONCE(kvm->mmu_invalidate_seq, seq);
	event(invalidate_ended, 0);
	/* Pairs with smp_rmb() in kvm_mmu_faultin_pfn: whoever sees the count lowered sees seq raised. */
	smp_wmb();
	if (!bug(end_forgets_in_progress))
		WRITE_ONCE(kvm->mmu_invalidate_in_progress, in_progress - 1);
	KVM_BUG_ON(!in_progress);
	WARN_ON(kvm->mmu_invalidate_range_start == INVALID_GPA);
}

/* The vCPU will wait for these four words to change before it tries again. */
static void remember_invalidation(struct kvm_vcpu *vcpu, u64 seq, u64 in_progress, gfn_t start,
				  gfn_t end)
{
	vcpu->retry_waits = true;
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
	void (*on_lock)(struct kvm *kvm); /* once, under mmu_lock, if any slot overlaps */
	bool flush_on_ret;
	bool may_block;
};

/*
 * Takes mmu_lock at the first overlapping slot and calls on_lock there; without a slot neither
 * happens, on start as on end, because slots do not change in between.
 */
static void kvm_handle_hva_range(struct kvm *kvm, const struct kvm_hva_range *range)
{
	/*
	 * Upstream starts each slot's walk with no flush owed. A yield in the second slot then drops
	 * mmu_lock while TLBs still hold what was zapped in the first: whoever takes the same pages
	 * back meanwhile finds nothing to zap, owes no flush of its own, and frees them. stale_tlb.
	 */
	bool carry = kvm->variant.knob[KNOB_unmap_flush] == unmap_flush_carried;
	bool locked = false, flush = false;
	int idx = srcu_read_lock(&kvm->srcu);
	struct kvm_memslots *slots = rcu_dereference(kvm->memslots);

	for (u32 i = 0; i < slots->nr; i++) {
		const struct kvm_memory_slot *slot = &slots->slots[i];
		hva_t slot_end = slot->userspace_addr + slot->npages;
		hva_t start = max_u64(range->start, slot->userspace_addr);
		hva_t end = min_u64(range->end, slot_end);
		struct kvm_gfn_range gfn_range;

		if (start >= end)
			continue;
		gfn_range.start = slot->base_gfn + (start - slot->userspace_addr);
		gfn_range.end = slot->base_gfn + (end - slot->userspace_addr);
		gfn_range.may_block = range->may_block;
		if (!locked) {
			locked = true;
			write_lock(&kvm->mmu_lock);
			range->on_lock(kvm);
			if (!range->handler)
				break;
		}
		flush |= range->handler(kvm, &gfn_range, carry && flush);
	}
	/* Under the lock still: when start has returned, the host frees the pages. */
	if (range->flush_on_ret && flush && !bug(zap_skips_flush))
		kvm_flush_remote_tlbs(kvm);
	if (locked)
		write_unlock(&kvm->mmu_lock);
	srcu_read_unlock(&kvm->srcu, idx);
}

static bool kvm_mmu_unmap_gfn_range(struct kvm *kvm, const struct kvm_gfn_range *range, bool flush)
{
	kvm_mmu_invalidate_range_add(kvm, range->start, range->end);
	return kvm_tdp_mmu_unmap_gfn_range(kvm, range, flush);
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
	spin_lock(&kvm->mn_invalidate_lock);
	kvm->mn_active_invalidate_count++;
	spin_unlock(&kvm->mn_invalidate_lock);
	kvm_handle_hva_range(kvm, &hva_range);
	return 0;
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

	kvm_handle_hva_range(kvm, &hva_range);
	/* Last of all, after seq was raised: pairs with the count in start. */
	spin_lock(&kvm->mn_invalidate_lock);
	if (!WARN_ON(!kvm->mn_active_invalidate_count))
		kvm->mn_active_invalidate_count--;
	spin_unlock(&kvm->mn_invalidate_lock);
}

static const struct mmu_notifier_ops kvm_mmu_notifier_ops = {
	.invalidate_range_start = kvm_mmu_notifier_invalidate_range_start,
	.invalidate_range_end = kvm_mmu_notifier_invalidate_range_end,
};

void kvm_init_mmu_notifier(struct kvm *kvm)
{
	spin_lock_init_class(&kvm->mn_invalidate_lock, LOCK_mn_invalidate_lock);
	kvm->mmu_notifier.ops = &kvm_mmu_notifier_ops;
	mmu_notifier_register(&kvm->mmu_notifier);
}
