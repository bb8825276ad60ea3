/*
 * The race detector does not watch this file: an iterator is its caller's own, and entries are read by
 * pte_read(), which tells the detector itself. Anything else that is shared belongs into the callers.
 */
#include "mmu/tdp_iter.h"

#include "machine/machine.h"
#include "mmu/mmu_internal.h"
#include "mmu/spte.h"

/* Takes the entry for next_last_level_gfn in the table of the current level. */
static void tdp_iter_refresh_sptep(struct tdp_iter *iter)
{
	gfn_t pages = PT_PAGES(iter->level);

	/* Whoever takes a table out of the tree waits for readers before it frees it, for us only here. */
	WARN_ON(!rcu_read_lock_held());
	iter->sptep = iter->pt_path[iter->level] + PT_INDEX(iter->next_last_level_gfn, iter->level);
	iter->gfn = iter->next_last_level_gfn & ~(pages - 1);
	iter->old_spte = pte_read(iter->sptep);
}

/* Out of line: few steps of tdp_iter_next() restart, and each would save registers for it. */
__noinline void tdp_iter_restart(struct tdp_iter *iter)
{
	iter->yielded = false;
	iter->yielded_gfn = iter->next_last_level_gfn;
	iter->level = iter->root_level;
	tdp_iter_refresh_sptep(iter);
	iter->valid = true;
}

void tdp_iter_start(struct tdp_iter *iter, u64 *root_pt, u32 root_level, u32 min_level,
		    gfn_t next_last_level_gfn)
{
	iter->next_last_level_gfn = next_last_level_gfn;
	iter->root_level = root_level;
	iter->min_level = min_level;
	iter->pt_path[root_level] = root_pt;
	tdp_iter_restart(iter);
}

/* Return: the table below an entry, NULL when there is none (empty, frozen or a leaf). */
static u64 *spte_to_child_pt(u64 spte, u32 level)
{
	if (!is_shadow_present_pte(spte) || is_last_spte(spte, level))
		return NULL;
	return frame_words(spte_to_pfn(spte));
}

static bool try_step_down(struct tdp_iter *iter)
{
	u64 *child;

	if (iter->level == iter->min_level)
		return false;
	/*
	 * Read again: since the visit a zapper may have taken the table away and freed it, and what
	 * the visit saw would lead into it.
	 */
	if (!bug(step_down_trusts_visit))
		iter->old_spte = pte_read(iter->sptep);
	child = spte_to_child_pt(iter->old_spte, iter->level);
	if (!child)
		return false;
	iter->level--;
	iter->pt_path[iter->level] = child;
	tdp_iter_refresh_sptep(iter);
	return true;
}

static bool try_step_side(struct tdp_iter *iter)
{
	/* The last entry of its table: the walk goes on above. */
	if (PT_INDEX(iter->gfn, iter->level) == PT_ENTRIES - 1)
		return false;
	iter->gfn += PT_PAGES(iter->level);
	iter->next_last_level_gfn = iter->gfn;
	iter->sptep++;
	iter->old_spte = pte_read(iter->sptep);
	return true;
}

static bool try_step_up(struct tdp_iter *iter)
{
	if (iter->level == iter->root_level)
		return false;
	iter->level++;
	iter->gfn &= ~(PT_PAGES(iter->level) - 1);
	iter->sptep = iter->pt_path[iter->level] + PT_INDEX(iter->gfn, iter->level);
	iter->old_spte = pte_read(iter->sptep);
	return true;
}

void tdp_iter_next(struct tdp_iter *iter)
{
	if (iter->yielded) {
		/*
		 * The tables above may be gone. The entry that the walk stood at has not been dealt
		 * with: stepping on from here would skip it and leave a mapping behind.
		 */
		tdp_iter_restart(iter);
		if (!bug(iterator_advances_after_yield))
			return;
	}
	if (try_step_down(iter))
		return;
	do {
		if (try_step_side(iter))
			return;
	} while (try_step_up(iter));
	iter->valid = false;
}
