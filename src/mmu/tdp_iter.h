/*
 * Walks the entries of a TDP root in pre-order, restartable after a yield. Mirrors tdp_iter.
 *
 * Context for every function: inside RCU, or mmu_lock held for writing. Child tables are reached
 * through entries that others may change, so each is read once and again before stepping down.
 */
#ifndef MMU_TDP_ITER_H
#define MMU_TDP_ITER_H

#include "base/types.h"

struct tdp_iter {
	u64 *sptep; /* entry the walk stands at */
	u64 old_spte; /* its value when the walk came by; refreshed by a failed cmpxchg */
	gfn_t gfn; /* first gfn that the entry covers */
	u32 level, root_level;
	u32 min_level; /* never steps below */
	gfn_t next_last_level_gfn; /* where a restart goes on */
	gfn_t yielded_gfn; /* next_last_level_gfn at the last (re)start: no progress since if equal */
	u64 *pt_path[PT_LEVEL_MAX + 1]; /* [level]: table the walk is in */
	bool yielded; /* gave way: sptep and old_spte may be stale, the next step restarts */
	bool valid;
};

void tdp_iter_start(struct tdp_iter *iter, u64 *root_pt, u32 root_level, u32 min_level,
		    gfn_t next_last_level_gfn);
/* Goes on with the next entry; after a yield, from the root with the same gfn, without advancing. */
void tdp_iter_next(struct tdp_iter *iter);
/* Starts over at the root for next_last_level_gfn. */
void tdp_iter_restart(struct tdp_iter *iter);

#define for_each_tdp_pte_min_level(iter, root, min_level, start, end)                    \
	for (tdp_iter_start(&(iter), (root)->spt, (root)->role.level, min_level, start); \
	     (iter).valid && (iter).gfn < (end); tdp_iter_next(&(iter)))

#define for_each_tdp_pte(iter, root, start, end) \
	for_each_tdp_pte_min_level(iter, root, PT_LEVEL_4K, start, end)

#endif
