/*
 * A table of smaller leafs takes the place of a huge one. The translation is the same before and behind the
 * exchange, so nobody need flush: what TLBs hold of the huge leaf allows nothing that the small ones do not.
 */
#include <errno.h>

#include "mmu/dirty.h"
#include "mmu/spte.h"
#include "mmu/tdp_mmu.h"
#include "mmu/yield.h"

int tdp_mmu_split_huge_page(struct kvm *kvm, struct tdp_iter *iter, struct kvm_mmu_page *sp,
			    bool shared)
{
	bool exec = kvm_has(kvm, KNOB_nx_huge_pages, nx_huge_pages_on);
	u64 huge_spte = iter->old_spte;
	int error;

	/* All of it before anybody can see it: a walker that comes by must find every page mapped. */
	for (u32 i = 0; i < PT_ENTRIES; i++)
		pte_fill(sp->spt + i, make_small_spte(huge_spte, sp->role.level, i, exec));
	/*
	 * The CPU may set D of the huge leaf until here, and fast_page_fault W: then the exchange fails, and the
	 * small leafs are made once more.
	 */
	error = tdp_mmu_link_sp(kvm, iter, sp, shared);
	/* Never linked: as empty as it came. */
	for (u32 i = 0; error && i < PT_ENTRIES; i++)
		pte_fill(sp->spt + i, SHADOW_NONPRESENT_VALUE);
	return error;
}

static void unlock_for_alloc(struct kvm *kvm, bool shared)
{
	if (shared)
		read_unlock(&kvm->mmu_lock);
	else
		write_unlock(&kvm->mmu_lock);
}

static void lock_after_alloc(struct kvm *kvm, bool shared)
{
	if (shared)
		read_lock(&kvm->mmu_lock);
	else
		write_lock(&kvm->mmu_lock);
}

/*
 * Lets go of everything to allocate: it may sleep. The walk starts over, as behind a yield. Return: NULL without
 * memory, and outside of RCU. Context: RCU, mmu_lock.
 */
static struct kvm_mmu_page *alloc_for_split(struct kvm *kvm, struct tdp_iter *iter,
					    struct kvm_mmu_page_role role, bool shared)
{
	struct kvm_mmu_page *sp = NULL;

	rcu_read_unlock();
	unlock_for_alloc(kvm, shared);
	if (kern_may_alloc())
		sp = tdp_mmu_alloc_sp(iter->gfn, role);
	lock_after_alloc(kvm, shared);
	if (!sp)
		return NULL;
	rcu_read_lock();
	iter->yielded = true;
	return sp;
}

/* Return: 0, or -ENOMEM. Mirrors tdp_mmu_split_huge_pages_root, down to 4K. */
static int split_huge_pages_root(struct kvm *kvm, struct kvm_mmu_page *root, gfn_t start, gfn_t end,
				 bool shared)
{
	struct kvm_mmu_page *sp = NULL;
	struct tdp_iter iter;

	event(walk_begun, .root = root->pfn, .start = start, .end = end, .kind = WALK_SPLIT,
	      .level = PT_LEVEL_2M);
	rcu_read_lock();
	/* In pre-order: what comes of a 1G leaf is visited, and split, in its turn. */
	for_each_tdp_pte_min_level(iter, root, PT_LEVEL_2M, start, end) {
	retry:
		if (tdp_mmu_iter_cond_resched(kvm, &iter, false, shared))
			continue;
		if (!is_shadow_present_pte(iter.old_spte) || !is_large_pte(iter.old_spte))
			continue;
		if (!sp) {
			sp = alloc_for_split(kvm, &iter, root->role, shared);
			if (!sp) {
				event(walk_ended, .root = root->pfn);
				return -ENOMEM;
			}
			continue;
		}
		tdp_mmu_init_child_sp(sp, &iter, root->role);
		if (tdp_mmu_split_huge_page(kvm, &iter, sp, shared))
			goto retry;
		sp = NULL;
	}
	rcu_read_unlock();
	event(walk_ended, .root = root->pfn);
	/* Somebody else has split the leaf that it was meant for. */
	if (sp)
		tdp_mmu_free_sp(sp);
	return 0;
}

void kvm_tdp_mmu_try_split_huge_pages(struct kvm *kvm, const struct kvm_memory_slot *slot,
				      gfn_t start, gfn_t end, bool shared)
{
	struct tdp_root_filter filter = { .as_id = (int)slot->as_id, .only_valid = true };
	struct kvm_mmu_page *root;

	for_each_tdp_mmu_root_yield_safe(kvm, root, filter) {
		if (!split_huge_pages_root(kvm, root, start, end, shared))
			continue;
		/* Huge leafs are write-protected all the same, and split by whoever writes. */
		kvm_tdp_mmu_put_root(kvm, root);
		break;
	}
}
