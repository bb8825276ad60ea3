/*
 * Huge leafs cannot be executed where the CPU has the flaw that nx_huge_pages works around: an execute fault
 * splits. The tables that this leaves behind are listed, and a worker takes them away by and by, so that huge
 * leafs come back.
 *
 * The flag nx_huge_page_disallowed of a table is set before the table is linked, and cleared under
 * tdp_mmu_pages_lock by whoever takes the table out. Whoever lists a table tests the flag under the lock: once
 * it is clear, nobody would take the table off the list before it is freed.
 */
#include "mmu/dirty.h"
#include "mmu/nx.h"
#include "mmu/spte.h"
#include "mmu/tdp_mmu.h"

/* Context: tdp_mmu_pages_lock. */
static void list_nx_page(struct kvm *kvm, struct kvm_mmu_page *sp)
{
	struct kvm_mmu_page **link = &kvm->possible_nx_huge_pages;

	if (sp->nx_listed)
		return;
	while (*link)
		link = &(*link)->nx_next;
	*link = sp;
	sp->nx_next = NULL;
	sp->nx_listed = true;
}

/* Context: tdp_mmu_pages_lock. Mirrors untrack_possible_nx_huge_page. */
static void unlist_nx_page(struct kvm *kvm, struct kvm_mmu_page *sp)
{
	struct kvm_mmu_page **link = &kvm->possible_nx_huge_pages;

	if (!sp->nx_listed)
		return;
	while (*link && *link != sp)
		link = &(*link)->nx_next;
	/* A table that was freed while it stood on the list has cut it off. accounting. */
	if (*link)
		*link = sp->nx_next;
	sp->nx_listed = false;
}

void track_possible_nx_huge_page(struct kvm *kvm, struct kvm_mmu_page *sp, u64 *parent_sptep)
{
	spin_lock(&kvm->tdp_mmu_pages_lock);
	/* Races with shared zappers: the table may have been linked and taken out already. */
	if (READ_ONCE(sp->nx_huge_page_disallowed) || bug(nx_listed_without_recheck)) {
		sp->parent_sptep = parent_sptep;
		list_nx_page(kvm, sp);
	}
	spin_unlock(&kvm->tdp_mmu_pages_lock);
}

void untrack_possible_nx_huge_page(struct kvm *kvm, struct kvm_mmu_page *sp)
{
	spin_lock(&kvm->tdp_mmu_pages_lock);
	WRITE_ONCE(sp->nx_huge_page_disallowed, false);
	unlist_nx_page(kvm, sp);
	spin_unlock(&kvm->tdp_mmu_pages_lock);
}

/* Return: the oldest listed table, taken off the list if @take; NULL if there is none. */
static struct kvm_mmu_page *first_nx_page(struct kvm *kvm, bool take)
{
	struct kvm_mmu_page *sp;

	spin_lock(&kvm->tdp_mmu_pages_lock);
	sp = kvm->possible_nx_huge_pages;
	if (sp && take) {
		WRITE_ONCE(sp->nx_huge_page_disallowed, false);
		unlist_nx_page(kvm, sp);
	}
	spin_unlock(&kvm->tdp_mmu_pages_lock);
	return sp;
}

/*
 * Faults would map a logged memslot by small leafs again. Upstream warns if there is no memslot; but when memslots are
 * deleted without a zap of all roots, their leafs are zapped and their tables stay. assertion. Context:
 * kvm->srcu.
 */
static bool logged(struct kvm *kvm, const struct kvm_mmu_page *sp)
{
	bool first_space = bug(nx_recovery_first_space);
	const struct kvm_memory_slot *slot;

	if (!READ_ONCE(kvm->nr_memslots_dirty_logging))
		return false;
	slot = gfn_to_memslot(kvm_memslots(kvm, first_space ? 0 : sp->role.as_id), sp->gfn);
	if (!slot) {
		WARN_ON(kvm_has(kvm, KNOB_nx_slot_gone, nx_slot_gone_warned) || first_space);
		return false;
	}
	return kvm_slot_dirty_track_enabled(slot);
}

/*
 * Takes the table out if its parent still leads to it: with mmu_lock held for reading others may have put a
 * leaf there, or another table. Return: whether a flush is owed. Mirrors
 * kvm_tdp_mmu_zap_possible_nx_huge_page, up to 6.17 kvm_tdp_mmu_zap_sp.
 */
static bool zap_nx_page(struct kvm *kvm, struct kvm_mmu_page *sp, bool shared)
{
	/* Of a table that was picked outside of RCU nothing may be left by now. lifetime. */
	u64 *parent_sptep = READ_ONCE(sp->parent_sptep);
	struct tdp_iter iter;
	bool leads_here;

	/* A table that was never listed stands in its place. Upstream looks, too. assertion. */
	if (WARN_ON(!parent_sptep))
		return false;
	iter = (struct tdp_iter){
		.sptep = parent_sptep,
		.old_spte = pte_read(parent_sptep),
		.level = sp->role.level + 1u,
		.gfn = sp->gfn,
	};
	leads_here = is_shadow_present_pte(iter.old_spte) &&
		     !is_last_spte(iter.old_spte, iter.level) &&
		     spte_to_pfn(iter.old_spte) == sp->pfn;
	if (!leads_here)
		return false;
	if (!shared) {
		tdp_mmu_iter_set_spte(kvm, &iter, SHADOW_NONPRESENT_VALUE);
		return true;
	}
	return !tdp_mmu_set_spte_atomic(kvm, &iter, SHADOW_NONPRESENT_VALUE);
}

/* One table. Return: whether a flush is owed, for it or before. Context: mmu_lock, RCU, kvm->srcu. */
static bool recover_one(struct kvm *kvm, struct kvm_mmu_page *sp, bool shared, bool flush)
{
	if (logged(kvm, sp)) {
		if (!shared)
			untrack_possible_nx_huge_page(kvm, sp);
		return flush;
	}
	if (zap_nx_page(kvm, sp, shared) && !bug(nx_recovery_forgets_flush))
		return true;
	return flush;
}

static void give_way(struct kvm *kvm, bool shared, bool flush)
{
	/* Before RCU ends: the tables that CPUs may still be walking are freed behind it. */
	if (flush && !bug(nx_recovery_yields_unflushed))
		kvm_flush_remote_tlbs(kvm);
	rcu_read_unlock();
	if (shared)
		cond_resched_rwlock_read(&kvm->mmu_lock);
	else
		cond_resched_rwlock_write(&kvm->mmu_lock);
	rcu_read_lock();
}

/* Context: kvm->srcu, RCU, mmu_lock in the mode that @shared says. */
static void recover_listed(struct kvm *kvm, bool shared)
{
	struct kvm_mmu_page *sp;
	bool flush = false;

	/* As many as there can be: one round of the worker takes its share. */
	for (u32 left = NX_ROUND_MAX; left; left--) {
		sp = first_nx_page(kvm, shared);
		if (!sp)
			break;
		if (bug(nx_picked_outside_rcu)) {
			give_way(kvm, shared, flush);
			flush = false;
		}
		flush = recover_one(kvm, sp, shared, flush);
		if (need_resched() || rwlock_needbreak(&kvm->mmu_lock)) {
			give_way(kvm, shared, flush);
			flush = false;
		}
	}
	if (flush)
		kvm_flush_remote_tlbs(kvm);
}

void kvm_recover_nx_huge_pages(struct kvm *kvm)
{
	bool shared = kvm_has(kvm, KNOB_nx_recovery, nx_recovery_shared);
	int idx = srcu_read_lock(&kvm->srcu);

	if (shared)
		read_lock(&kvm->mmu_lock);
	else
		write_lock(&kvm->mmu_lock);
	rcu_read_lock();
	recover_listed(kvm, shared);
	rcu_read_unlock();
	if (shared)
		read_unlock(&kvm->mmu_lock);
	else
		write_unlock(&kvm->mmu_lock);
	srcu_read_unlock(&kvm->srcu, idx);
}
