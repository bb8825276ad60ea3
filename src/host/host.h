/*
 * The primary MMU: one host process with VMAs, page tables under split PTE locks, pages that are
 * really freed and reused, and the subscriptions of secondary MMUs.
 *
 * Contract with subscribers, as in mm/: a downgrade is start, PTE lock, change, unlock, free
 * (before or after end), end. PTEs are read and changed only under their PTE lock; that is what
 * orders a cleared PTE against a subscriber's sequence number. Upgrades (none to present, read-only
 * to writable for the same page, migration entry to present) and changes of A and D notify nobody; but whoever
 * clears A asks the subscribers, under the PTL, what they know of the page's age.
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
	/*
	 * PT_LEVEL_4K, or the level of huge pages: each whole, aligned piece of the range is mapped by one huge
	 * leaf, if it is populated and not read-only; the rest, and what finds no room, by 4K pages.
	 */
	u32 level;
};

/* An empty address space without subscribers. Context: after kern_reset() and machine_reset(). */
void host_reset(void);
/*
 * Adds a writable VMA over [start, end) and, if asked, its pages, in order of their hvas. Ranges of
 * two maps must not overlap. Emits host_pte_changed for each page.
 */
void host_add_map(const struct host_map *map);

/*
 * --- huge pages (huge.c) ---
 *
 * A huge leaf stands in the table above (level 2 or 3) and owns one reference on each of its 4K pages. It
 * changes as a whole or not at all: whoever wants to change a part splits it first, which is a pair of
 * start and end of its own over the whole leaf, inside whatever pair is open, with the change of the leaf to
 * a table of PTEs (or of smaller huge leafs) under the PTL of the upper table. GUP and upgrades never split.
 */

/*
 * Context: no task. host_collapse() may be called from now on, and munmap gives tables back: both go while
 * others may walk them. Without this nobody need take care of that, and lockless walks have no points for it.
 */
void host_allow_collapse(void);
/*
 * khugepaged: maps the piece of PT_PAGES(PT_LEVEL_2M) pages around @hva by a huge leaf, with new pages. Gives
 * up unless every PTE of it is present, writable, not shared, and nobody else holds a reference. mmap_lock for
 * writing; start; PTEs cleared; the leaf takes the table's place; end; old pages are freed, and the table
 * when nobody can be walking it (see host_mapping_level()). Context: a task, no locks; may sleep; behind
 * host_allow_collapse().
 */
void host_collapse(hva_t hva);
/*
 * Return: the level of the leaf that maps @hva now, PT_LEVEL_4K when nothing huge does. Reads the host's
 * tables without a lock, with interrupts off: tables are not freed meanwhile. True for as long as the caller
 * keeps invalidations of @hva out, because what splits a leaf announces itself.
 * Context: mmu_lock. Mirrors host_pfn_mapping_level.
 */
u32 host_mapping_level(hva_t hva);

/* --- subscriptions (notifier.c) --- */

/* Subscribers that there may ever be in one schedule. */
#define SUBSCRIBERS_MAX 64

struct mmu_notifier_range {
	hva_t start, end;
	bool blockable; /* false: on behalf of the OOM reaper, which must not wait */
};

struct mmu_notifier;
/*
 * All called inside notifier SRCU. start and end: without PTE locks; they may sleep when the range is
 * blockable. change_pte and the young callbacks: under the PTL, so they neither sleep nor give way. Any of
 * them but start may be NULL.
 */
struct mmu_notifier_ops {
	/*
	 * Return: 0, or -EAGAIN, which is allowed only when the range is not blockable, and only to
	 * subscribers without an end. Every subscriber is called even after one has refused; then the
	 * host changes nothing and calls end at once.
	 */
	int (*invalidate_range_start)(struct mmu_notifier *mn,
				      const struct mmu_notifier_range *range);
	void (*invalidate_range_end)(struct mmu_notifier *mn,
				     const struct mmu_notifier_range *range);
	/* The page at @hva was replaced by @pfn; inside a start/end pair over it. (Linux up to 6.9.) */
	void (*change_pte)(struct mmu_notifier *mn, hva_t hva, pfn_t pfn, bool writable);
	/*
	 * Whether a page of the range was accessed, and forget it; the first one flushes TLBs where the
	 * subscriber has such a policy. Return: mask of YOUNG_*. @fast_only: say what can be said without
	 * locks that are held for long (only with the knob young = fast_only, and to those with has_fast_aging).
	 */
	u32 (*clear_flush_young)(struct mmu_notifier *mn, hva_t start, hva_t end);
	u32 (*clear_young)(struct mmu_notifier *mn, hva_t start, hva_t end, bool fast_only);
	/* Whether it was accessed, of a page or a huge page; forgets nothing. */
	u32 (*test_young)(struct mmu_notifier *mn, hva_t hva, bool fast_only);
	bool has_fast_aging;
	/*
	 * The process lets go of its memory, or the subscription ends: everything must be unmapped. May
	 * be called twice, also at the same time. No other callback begins after it has returned.
	 */
	void (*release)(struct mmu_notifier *mn);
};
struct mmu_notifier {
	const struct mmu_notifier_ops *ops;
	struct mmu_notifier *next; /* published by rcu_assign_pointer(), read inside SRCU */
	u32 id; /* order of registration, for events */
	bool listed; /* by verbs; written under the list lock */
};

/*
 * Adds a subscriber after those that are there. Emits subscriber_joined. Context: no task (world
 * set-up; stands for mm_take_all_locks, which lets no notification be under way).
 */
void mmu_notifier_register(struct mmu_notifier *mn);
/*
 * Ends a subscription: calls release if the process has not done so (both may happen at once), takes it
 * off the list, and waits for callbacks that are under way. @mn may be freed afterwards. Emits
 * subscriber_left. Context: may sleep; no lock that a callback takes; users are counted
 * (host_count_users()), which tells that the list may change while tasks run.
 */
void mmu_notifier_unregister(struct mmu_notifier *mn);

/* Subscribers of the host's own, beside the MMU under test (subscribers.c). */
enum host_subscriber {
	SUBSCRIBER_DRIVER, /* takes a mutex in start: sleeps, or refuses when it must not; has no end */
	SUBSCRIBER_COUNTER, /* counts starts and ends, and expects as many of each at the end */
	SUBSCRIBER_COUNT
};
/* Registers those in the mask of BIT(enum host_subscriber). Context: no task; behind the subject. */
void host_add_subscribers(u32 mask);
/* The driver does something else under its mutex: nothing, unless it subscribes. Context: task. */
void host_driver_work(void);

/* --- get_user_pages (gup.c) --- */

enum gup_result {
	GUP_OK,
	GUP_FAULT, /* no VMA, or a read-only one and a page to be written */
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
/*
 * The kernel writes through the host's mapping of @hva (copy_to_user): faults the page in writable and marks it
 * dirty in the host. Return: GUP_OK with the pfn it wrote to (no reference), else GUP_FAULT. Context: as
 * host_get_user_page().
 */
enum gup_result host_write_user(hva_t hva, pfn_t *pfn);
/* Drops a reference that host_get_user_page() took. Any context. */
void host_put_page(pfn_t pfn);

/*
 * --- operations of the primary MMU (mm.c); context: a task, no locks held, may sleep ---
 *
 * Ranges: start <= end <= HVA_MAX; an empty one is left alone. What a page contains is not
 * modelled, so nothing is ever copied.
 */

/*
 * mmap over [start, end) with MAP_POPULATE: mmap_lock for writing; adds writable VMAs where there are
 * none and faults every page in.
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
 * mprotect: mmap_lock for writing; the VMAs of [start, end) become read-only or writable; PTEs lose W
 * with the first, inside one start/end pair, which the second has as well though it changes no PTE.
 * GUP in write mode fails where the VMA is read-only.
 */
void host_mprotect(hva_t start, hva_t end, bool writable);
/*
 * Reclaims one page as vmscan does: rmap lock; start; PTE to swap entry, which keeps the page; end;
 * then, if nobody else holds a reference, frees it and empties the PTE. A fault on a swap entry maps
 * the same page again (an upgrade). Does nothing for a page that is not present or is shared.
 * Stands inside LOCK_fs_reclaim for lock order.
 */
void host_reclaim(hva_t hva);
/*
 * Unmaps and frees [start, end) as the OOM reaper does: mmap_lock for reading if it can be had at once,
 * one start/end pair that must not block; skipped if a subscriber refuses. VMAs stay.
 */
void host_oom_reap(hva_t start, hva_t end);

/*
 * --- aging (age.c) ---
 *
 * Who wants to know whether pages are in use asks the host's tables and every subscriber: what both say is
 * or-ed. All hold the PTL (of a huge leaf: the upper one) while they ask. Each emits age_begun, for every page
 * age_judged under the PTL, and age_ended; hva: of a huge leaf, its first page. What is not present is not asked
 * for. Only user space's accesses set the host's A bit: page faults, host_populate() and host_write_user(); a
 * lookup that needs no fault does not.
 *
 * Page idle tracking and DAMON only watch: what they find accessed they mark (HOST_PTE_KNOWN_YOUNG), and the mark
 * moves with the page. Shrink and look-around take the mark for an access and clear it: such a page is judged
 * young though nobody says so any more.
 */

/*
 * Context: no task. Look-around passes fast_only from now on, and goes on to the neighbours only if the
 * answer for the page was fast, or there was nobody to ask (what was proposed with the knob young =
 * fast_only). Without this it asks as everybody does.
 */
void host_look_fast(void);
/*
 * Classic reclaim: rmap lock; clear_flush_young under the PTL; a page that was accessed is left alone, any
 * other reclaimed as by host_reclaim(), for which an old huge leaf is split. A shared page is asked for, and
 * stays. Inside LOCK_fs_reclaim. Mirrors folio_referenced and shrink_folio_list for one page.
 */
void host_shrink(hva_t hva);
/*
 * Page idle tracking: rmap lock; clear_young under the PTL; an accessed page is marked as such, which
 * others who watch do not see. Mirrors page_idle_clear_pte_refs_one.
 */
void host_page_idle(hva_t hva);
/*
 * Multi-generational LRU: rmap lock; under one hold of the PTL clear_young of the page, and if it was young and
 * nobody waits for the PTL, of its present neighbours in the same table, each alone. A huge leaf is asked for as
 * by host_shrink(). Inside LOCK_fs_reclaim. Mirrors folio_referenced_one and lru_gen_look_around.
 */
void host_look_around(hva_t hva);
/*
 * DAMON: mmap_lock for reading; clear_young page by page over [start, end), PTL by PTL; then, in a second round with
 * mmap_lock taken anew, the sample: test_young page by page, where the host's A bit is not set. Both rounds judge.
 * What others forget in between is lost to the sample. Mirrors damon_va_mkold and damon_va_young.
 */
void host_damon(hva_t start, hva_t end);

/*
 * --- the end of the process ---
 *
 * Users of the address space: one for the process itself, one for each op that works on it. Who drops
 * the last one takes it down: subscribers are released, then everything is unmapped. Ops that work
 * through the rmap or the OOM reaper are no users and may still be at it.
 */
/* Context: no task. Users are counted from now on; without this get succeeds and put does nothing. */
void host_count_users(void);
/* Return: false when the address space is being taken down. Mirrors mmget_not_zero. */
bool host_mm_get(void);
/* Context: no locks, may sleep. Mirrors mmput. */
void host_mm_put(void);
/* The process itself lets go; nothing the second time. Context as host_mm_put(). */
void host_exit(void);

/*
 * All sharers of a write-protected page go away and a write reuses the page: read-only to writable,
 * same page, no notification. Does nothing when the PTE is not a present read-only one.
 * mmap_lock for reading.
 */
void host_reuse(hva_t hva);

#endif
