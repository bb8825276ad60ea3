/*
 * The world at rest: what must hold when no task runs and all RCU callbacks have, judged by what the inspect.h
 * headers show and nothing else. The oracle `accounting` uses a part of it; where there are no events all of it is
 * what remains of the oracles.
 *
 * accounting, for a VM that is still there:
 *  AC0  No invalidation is open, no root waits for its zap, no update of memslots for invalidations; no linked entry
 *       is FROZEN; each host page has exactly the references that the host accounts for.
 *  AC1  The page tables reachable from the roots, not counting these, are as many as the MMU says, and there is no
 *       page table that is not reachable.
 *  AC3  An invalid root holds nothing present.
 *  AC4  Of a VM that has gone no page table is left.
 *  AC7  The list of page tables that execute faults have split off holds linked ones only.
 *
 * stale_mapping:
 *  SM1  A linked leaf of any root, valid or not, maps what the host maps there now; one that is writable, or may
 *       be made so, needs a host mapping that is. A leaf that is kept for its A bit alone counts.
 *  SM2  So does a usable TLB entry; one that can write without another walk needs a writable host mapping.
 *  SM6  Linked leafs and usable TLB entries lie in memslots.
 *  SM7  A pfncache that is valid leads to the page that the host maps there.
 *
 * lost_dirty:
 *  LD1  A page of a memslot that logs, written since its last report, is pending: its bit of the bitmap is set,
 *       or an entry of a dirty ring that was not reset names it, or a page-modification log does. Which pages
 *       these are is the caller's knowledge.
 *
 * Let off: detached tables; MMIO entries; TLB entries under roots that are invalid or on no list (nobody runs
 * on them), and all of them, and the pfncache, once the process has gone (nobody runs at all, and nobody tells a
 * pfncache); the counts of invalidations once the process
 * has gone (its MMU was unsubscribed, maybe between a start and its end); leafs that are larger than the
 * host's by now, but map the same.
 */
#ifndef ENDSTATE_ENDSTATE_H
#define ENDSTATE_ENDSTATE_H

#include "base/types.h"

#define ENDSTATE_VALUES_MAX 4

/* One violation. Texts live for ever. */
struct endstate_finding {
	const char *oracle; /* as in oracles.def */
	const char *class, *sentence;
	struct {
		const char *name; /* up to the first NULL */
		u64 value;
	} values[ENDSTATE_VALUES_MAX];
};
typedef void (*endstate_convict)(const struct endstate_finding *finding, void *ctx);

/* A page that the guest, or the kernel for it, has written since user space heard of it last. */
struct endstate_write {
	u32 as_id;
	gfn_t gfn;
};

/*
 * Each calls @convict for each violation that it comes across. Context: no task runs; the world still stands. The caller
 * is the only one: tables on the way are static.
 */

/* @let_off: the counts of invalidations prove nothing. */
void endstate_accounting(bool let_off, endstate_convict convict, void *ctx);
void endstate_mappings(endstate_convict convict, void *ctx);
void endstate_dirty(const struct endstate_write *written, u32 nr_written, endstate_convict convict,
		    void *ctx);

/* All three. Return: whether there was a violation; *first is the first one then. */
bool endstate_judge(const struct endstate_write *written, u32 nr_written,
		    struct endstate_finding *first);

#endif
