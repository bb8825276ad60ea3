/*
 * Changing entries of TDP tables. Structural changes (leaf, table, nothing) go through one funnel,
 * handle_changed_spte, with the value that was really replaced.
 */
#include <errno.h>

#include "mmu/nx.h"
#include "mmu/spte.h"
#include "mmu/tdp_mmu.h"

/*
 * The entry of a table that is out of the tree becomes FROZEN, whatever it was. A faulter that stands in
 * the table cannot install any more: it would expect the value that it read. Return: what was there.
 */
static u64 freeze_shared(u64 *sptep)
{
	u64 old_spte = pte_xchg(sptep, bug(detached_table_stays_open) ? SHADOW_NONPRESENT_VALUE
								      : FROZEN_SPTE);

	while (is_frozen_spte(old_spte)) {
		u64 frozen = FROZEN_SPTE;

		/* Somebody else has frozen it and will put something there: that is ours to take away. */
		await_change(sptep, &frozen, sizeof(frozen));
		old_spte = pte_xchg(sptep, FROZEN_SPTE);
	}
	return old_spte;
}

/*
 * The same where nobody else holds mmu_lock: only what is present need be rewritten. Return: what was
 * there, not present if nothing was done.
 */
static u64 freeze_exclusive(u64 *sptep, u32 level)
{
	u64 old_spte = pte_read(sptep);

	if (!is_shadow_present_pte(old_spte))
		return old_spte;
	/* The CPU may come by through what it has cached of the tables above, and set D. */
	if (is_last_spte(old_spte, level) && spte_needs_atomic_update(old_spte))
		return pte_xchg(sptep, FROZEN_SPTE);
	pte_write(sptep, old_spte, FROZEN_SPTE);
	return old_spte;
}

/*
 * Takes care of a table that has just been taken out of the tree, and of those below it. Who did it
 * owes a flush for what the CPU has cached of them, unless the root is invalid.
 */
static void handle_removed_pt(struct kvm *kvm, u64 *pt, bool shared)
{
	struct kvm_mmu_page *sp = sptep_to_sp(pt);
	u32 level = sp->role.level;

	if (!bug(removed_table_stays_counted))
		fetch_add(&kvm->tdp_mmu_pages, -1);
	if (unlikely(READ_ONCE(sp->nx_huge_page_disallowed)))
		untrack_possible_nx_huge_page(kvm, sp);
	for (u32 i = 0; i < PT_ENTRIES; i++) {
		u64 old_spte = shared ? freeze_shared(pt + i) : freeze_exclusive(pt + i, level);

		if (shared || is_shadow_present_pte(old_spte))
			handle_changed_spte(kvm, old_spte, FROZEN_SPTE, level, shared);
	}
	tdp_mmu_free_sp_rcu(sp);
}

void handle_changed_spte(struct kvm *kvm, u64 old_spte, u64 new_spte, u32 level, bool shared)
{
	bool was_present = is_shadow_present_pte(old_spte);
	bool is_present = is_shadow_present_pte(new_spte);
	bool was_leaf = was_present && is_last_spte(old_spte, level);
	bool is_leaf = is_present && is_last_spte(new_spte, level);
	bool pfn_changed = spte_to_pfn(old_spte) != spte_to_pfn(new_spte);

	/* In place a mapping never moves to another frame: TLBs would hold both. */
	if (KVM_BUG_ON(was_leaf && is_leaf && pfn_changed))
		return;
	if (old_spte == new_spte)
		return;
	if (is_leaf)
		WARN_ON(!spte_writable_invariants_hold(new_spte));
	if (!was_present && !is_present) {
		WARN_ON(!is_mmio_spte(old_spte) && !is_mmio_spte(new_spte) &&
			!is_frozen_spte(new_spte));
		return;
	}
	if (is_present && !is_leaf)
		fetch_add(&kvm->tdp_mmu_pages, 1);
	if (was_present && !was_leaf && (is_leaf || !is_present || WARN_ON(pfn_changed)))
		handle_removed_pt(kvm, frame_words(spte_to_pfn(old_spte)), shared);
}

int tdp_mmu_set_spte_atomic(struct kvm *kvm, struct tdp_iter *iter, u64 new_spte)
{
	u64 old_spte = iter->old_spte;

	WARN_ON(iter->yielded || is_frozen_spte(iter->old_spte));
	lockdep_assert_held_read(&kvm->mmu_lock);
	/*
	 * Other faults race here, each with the entry it read: whoever is first wins, and the value
	 * that the loser would have replaced is not lost.
	 */
	if (bug(set_spte_overwrites))
		pte_write(iter->sptep, old_spte, new_spte);
	else if (!pte_try_cmpxchg(iter->sptep, &iter->old_spte, new_spte))
		return -EBUSY;
	handle_changed_spte(kvm, old_spte, new_spte, iter->level, true);
	return 0;
}

void tdp_mmu_iter_set_spte(struct kvm *kvm, struct tdp_iter *iter, u64 new_spte)
{
	u64 old_spte = iter->old_spte;

	WARN_ON(iter->yielded);
	WARN_ON(is_frozen_spte(old_spte) || is_frozen_spte(new_spte));
	lockdep_assert_held_write(&kvm->mmu_lock);
	/*
	 * The CPU may set D under our hands: then the value replaced is what the exchange returns,
	 * not what the walk read. With nothing of the kind possible a plain store will do.
	 */
	if (is_shadow_present_pte(old_spte) && is_last_spte(old_spte, iter->level) &&
	    spte_needs_atomic_update(old_spte) && !bug(spte_written_plainly))
		old_spte = pte_xchg(iter->sptep, new_spte);
	else
		pte_write(iter->sptep, old_spte, new_spte);
	iter->old_spte = old_spte;
	handle_changed_spte(kvm, old_spte, new_spte, iter->level, false);
}

/* --- tables --- */

void tdp_mmu_init_child_sp(struct kvm_mmu_page *sp, const struct tdp_iter *iter,
			   struct kvm_mmu_page_role role)
{
	sp->role = role;
	sp->role.level = (u8)(iter->level - 1);
	sp->gfn = iter->gfn;
}

int tdp_mmu_link_sp(struct kvm *kvm, struct tdp_iter *iter, struct kvm_mmu_page *sp, bool shared)
{
	u64 spte = make_nonleaf_spte(sp->pfn, !kvm_ad_enabled(kvm));

	if (shared)
		return tdp_mmu_set_spte_atomic(kvm, iter, spte);
	tdp_mmu_iter_set_spte(kvm, iter, spte);
	return 0;
}
