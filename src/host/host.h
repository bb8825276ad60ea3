/*
 * The primary MMU: one host process with VMAs, page tables under split PTE locks, pages that are
 * really freed and reused, and the subscriptions of secondary MMUs.
 *
 * Contract with subscribers, as in mm/: a downgrade is start, PTE lock, change, unlock, free
 * (before or after end), end. PTEs are read and changed only under their PTE lock; that is what
 * orders a cleared PTE against a subscriber's sequence number. Upgrades (none to present, read-only
 * to writable for the same page, migration entry to present) notify nobody.
 */
#ifndef HOST_HOST_H
#define HOST_HOST_H

#include "host/inspect.h"
#include "kern/kern.h"
#include "machine/machine.h"

/* --- setting up; context: no task --- */

struct host_map {
	hva_t start, end; /* start < end <= HVA_MAX */
	bool read_only; /* PTEs read-only, pages shared with somebody outside (a write copies) */
	bool populated; /* PTEs present from the start */
};

/* An empty address space without subscribers. Context: after kern_reset() and machine_reset(). */
void host_reset(void);
/*
 * Adds a writable VMA over [start, end) and, if asked, its pages, in order of their hvas. Ranges of
 * two maps must not overlap. Emits host_pte_changed for each page.
 */
void host_add_map(const struct host_map *map);

/* --- subscriptions (notifier.c) --- */

struct mmu_notifier_range {
	hva_t start, end;
	bool blockable; /* always so far: nothing here reaps memory for an OOM killer */
};

struct mmu_notifier;
/* Both called without PTE locks, inside notifier SRCU; may sleep when the range is blockable. */
struct mmu_notifier_ops {
	/* Return: 0, or an error, which is allowed only when the range is not blockable. */
	int (*invalidate_range_start)(struct mmu_notifier *mn,
				      const struct mmu_notifier_range *range);
	void (*invalidate_range_end)(struct mmu_notifier *mn,
				     const struct mmu_notifier_range *range);
};
struct mmu_notifier {
	const struct mmu_notifier_ops *ops;
	struct mmu_notifier *next;
};

/* Adds a subscriber after those that are there. Context: no task (world set-up). */
void mmu_notifier_register(struct mmu_notifier *mn);

/* --- get_user_pages (gup.c) --- */

enum gup_result {
	GUP_OK,
	GUP_FAULT, /* no VMA */
};

/*
 * Translates @hva and takes a reference on the page. With @write the page is made writable first:
 * reused when nobody shares it, else copied (which notifies). Without @write, *@writable says
 * whether the PTE happens to be writable. Waits while a page is under migration.
 * First tries the PTE under its lock alone (stands for the walk with interrupts off), then takes
 * mmap_lock for reading and faults the page in.
 * Context: may sleep; mmu_lock not held. Mirrors get_user_pages_fast_only and
 * get_user_pages_unlocked as KVM calls them.
 */
enum gup_result host_get_user_page(hva_t hva, bool write, pfn_t *pfn, bool *writable);
/* Drops a reference that host_get_user_page() took. Any context. */
void host_put_page(pfn_t pfn);

/*
 * --- operations of the primary MMU (mm.c); context: a task, no locks held, may sleep ---
 *
 * Ranges: start <= end <= HVA_MAX; an empty one is left alone. What a page contains is not
 * modelled, so nothing is ever copied.
 */

/*
 * mmap over [start, end) with MAP_POPULATE: mmap_lock for writing; adds what VMA is missing and
 * faults every page in.
 */
void host_populate(hva_t start, hva_t end);
/*
 * Unmaps and frees: mmap_lock for writing, one start/end pair around all PTEs, the VMA goes too.
 * Pages are freed after their PTE lock was released and before the end.
 */
void host_munmap(hva_t start, hva_t end);
/*
 * Discards [start, end): as host_munmap(), but mmap_lock is held for reading only and the VMA stays, so
 * that the next access faults a new page in, maybe before this has returned.
 */
void host_dontneed(hva_t start, hva_t end);
/*
 * Moves one page: rmap lock; reference on the page; start; PTE to migration entry; end; entry to
 * the new page (an upgrade, no notification); free the old one. Gives up, restoring the PTE, when
 * somebody else holds a reference. Does nothing for a PTE that is not present. Sharers move along.
 */
void host_migrate(hva_t hva);
/*
 * Write-protects [start, end) for copy-on-write, as fork does: mmap_lock for writing, one start/end
 * pair; each page gains a sharer, one under migration too.
 */
void host_wrprotect(hva_t start, hva_t end);
/*
 * All sharers of a write-protected page go away and a write reuses the page: read-only to writable,
 * same page, no notification. Does nothing when the PTE is not a present read-only one.
 * mmap_lock for reading.
 */
void host_reuse(hva_t hva);

#endif
