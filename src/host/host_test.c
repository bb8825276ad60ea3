/* The primary MMU on its own, pages of 4K, with a subscriber that counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "host/test_world.h"
#include "oracle/oracle.h"

/* Not aligned to a table, and longer than one in the small geometry. */
#define BASE  0x105
#define PAGES 12

static void set_up(bool read_only)
{
	set_up_host();
	host_add_map(&(struct host_map){
		.start = BASE, .end = BASE + PAGES, .read_only = read_only, .populated = true });
	set_up_counting();
}

/* --- one task --- */

static void translate_task(u32 task)
{
	gup(&seen[0], BASE + 3, false);
	gup(&seen[1], BASE + 3, true);
	gup(&seen[2], BASE - 1, false);
	gup(&seen[3], HVA_MAX + 5, false);
}

static void gup_takes_a_reference(void **state)
{
	set_up(false);
	run(1, translate_task, 0);
	for (u32 i = 0; i < 2; i++) {
		assert_int_equal(seen[i].result, GUP_OK);
		assert_int_equal(seen[i].pfn, mapped(BASE + 3));
		assert_int_equal(seen[i].count, 2);
		assert_true(seen[i].writable);
	}
	assert_int_equal(seen[2].result, GUP_FAULT);
	assert_int_equal(seen[3].result, GUP_FAULT);
	assert_int_equal(starts, 0);
	assert_accounts_balance();
}

static void munmap_task(u32 task)
{
	host_munmap(BASE + 2, BASE + PAGES - 1);
	gup(&seen[0], BASE + 2, false);
	gup(&seen[1], BASE + 1, false);
	gup(&seen[2], BASE + PAGES - 1, false);
}

static void munmap_frees_and_splits(void **state)
{
	pfn_t freed;

	set_up(false);
	freed = mapped(BASE + 4);
	run(1, munmap_task, 0);
	assert_int_equal(inspect_host_pte(BASE + 4), 0);
	assert_false(inspect_frame_is(freed, FRAME_HOST_PAGE));
	assert_int_equal(seen[0].result, GUP_FAULT);
	assert_int_equal(seen[1].result, GUP_OK);
	assert_int_equal(seen[2].result, GUP_OK);
	assert_int_equal(starts, 1);
	assert_int_equal(last_start.start, BASE + 2);
	assert_int_equal(last_start.end, BASE + PAGES - 1);
	assert_true(host_pte_present(pte_at_start));
	assert_accounts_balance();
}

static void dontneed_task(u32 task)
{
	host_dontneed(BASE + 2, BASE + 5);
	gup(&seen[0], BASE + 3, false);
}

static void dontneed_frees_and_the_next_access_maps_anew(void **state)
{
	set_up(false);
	run(1, dontneed_task, 0);
	assert_int_equal(inspect_host_pte(BASE + 2), 0);
	assert_int_equal(seen[0].result, GUP_OK);
	assert_int_equal(seen[0].pfn, mapped(BASE + 3));
	assert_true(seen[0].writable);
	assert_int_equal(starts, 1);
	assert_int_equal(last_start.start, BASE + 2);
	assert_int_equal(last_start.end, BASE + 5);
	assert_accounts_balance();
}

static void reuse_frame_task(u32 task)
{
	host_munmap(BASE, BASE + 1);
	host_populate(BASE + 0x40, BASE + 0x41); /* a table of its own, then the freed page */
	host_munmap(BASE + 1, BASE + 2);
	host_populate(BASE + 0x41, BASE + 0x42);
	gup(&seen[0], BASE + 0x41, true);
}

static void freed_frame_is_handed_out_next(void **state)
{
	pfn_t freed;

	set_up(false);
	freed = mapped(BASE + 1);
	run(1, reuse_frame_task, 0);
	assert_int_equal(mapped(BASE + 0x41), freed);
	assert_int_equal(inspect_frame_generation(freed), 2);
	assert_int_equal(seen[0].pfn, freed);
	assert_accounts_balance();
}

static void fault_in_task(u32 task)
{
	gup(&seen[0], 0x200, false);
	gup(&seen[1], 0x201, true);
}

static void gup_faults_pages_in(void **state)
{
	set_up(false);
	host_add_map(&(struct host_map){ .start = 0x200, .end = 0x202 });
	assert_int_equal(inspect_host_pte(0x200), 0);
	run(1, fault_in_task, 0);
	assert_int_equal(seen[0].result, GUP_OK);
	assert_true(host_pte_present(inspect_host_pte(0x200)));
	assert_true(inspect_host_pte(0x201) & HOST_PTE_DIRTY);
	assert_int_equal(starts, 0);
	assert_accounts_balance();
}

static void migrate_task(u32 task)
{
	host_migrate(BASE + 2);
	host_migrate(0x300); /* no table */
}

static void migrate_moves(void **state)
{
	pfn_t old;

	set_up(false);
	old = mapped(BASE + 2);
	run(1, migrate_task, 0);
	assert_true(host_pte_writable(inspect_host_pte(BASE + 2)));
	assert_int_not_equal(mapped(BASE + 2), old);
	assert_false(inspect_frame_is(old, FRAME_HOST_PAGE));
	assert_int_equal(starts, 1);
	assert_accounts_balance();
}

static void migrate_pinned_task(u32 task)
{
	seen[0].result = host_get_user_page(BASE + 2, false, &seen[0].pfn, &seen[0].writable);
	host_migrate(BASE + 2);
	host_put_page(seen[0].pfn);
}

static void migrate_gives_up_on_a_page_in_use(void **state)
{
	u64 pte;

	set_up(false);
	pte = inspect_host_pte(BASE + 2);
	run(1, migrate_pinned_task, 0);
	assert_int_equal(inspect_host_pte(BASE + 2), pte);
	assert_int_equal(starts, 1);
	assert_accounts_balance();
}

static void copy_task(u32 task)
{
	gup(&seen[0], BASE + 2, false);
	gup(&seen[1], BASE + 2, true);
	host_migrate(BASE + 3); /* a shared page: its sharers move along */
}

static void write_copies_a_shared_page(void **state)
{
	pfn_t shared;

	set_up(true);
	shared = mapped(BASE + 2);
	run(1, copy_task, 0);
	assert_int_equal(seen[0].pfn, shared);
	assert_false(seen[0].writable);
	assert_int_equal(seen[0].count, 3); /* PTE, sharer, GUP */
	assert_int_not_equal(seen[1].pfn, shared);
	assert_true(seen[1].writable);
	assert_int_equal(mapped(BASE + 2), seen[1].pfn);
	assert_int_equal(inspect_frame_count(shared), 1); /* the sharer's */
	assert_int_equal(inspect_frame_count(mapped(BASE + 3)), 2);
	assert_int_equal(starts, 2);
	assert_accounts_balance();
}

static void reuse_task(u32 task)
{
	host_wrprotect(BASE, BASE + 4);
	gup(&seen[0], BASE + 2, false);
	host_reuse(BASE + 2);
	gup(&seen[1], BASE + 2, true);
	host_reuse(BASE + 2);
	gup(&seen[2], BASE + 3, true);
}

static void reuse_keeps_the_page(void **state)
{
	pfn_t page;

	set_up(false);
	page = mapped(BASE + 2);
	run(1, reuse_task, 0);
	assert_false(seen[0].writable);
	assert_int_equal(seen[1].pfn, page);
	assert_true(seen[1].writable);
	assert_int_equal(inspect_frame_count(page), 1);
	assert_int_equal(mapped(BASE + 3), seen[2].pfn);
	assert_int_equal(starts, 2); /* the write protection, and the copy of the other page */
	assert_accounts_balance();
}

/* --- VMAs --- */

#define MODEL_PAGES 24

static u8 model[MODEL_PAGES]; /* 0: none, 1: read-only, 2: writable */

static void model_change(hva_t start, hva_t end, enum vma_change change)
{
	for (hva_t hva = start; hva < end; hva++) {
		u8 *page = &model[hva];

		if (change == VMA_REMOVE)
			*page = 0;
		else if (change == VMA_FILL_GAPS)
			*page = *page ? *page : 2;
		else
			*page = !*page ? 0 : change == VMA_WRITABLE ? 2 : 1;
	}
}

static void assert_vmas_are_as_the_model(void)
{
	u32 runs = 0;

	for (hva_t hva = 0; hva < MODEL_PAGES; hva++) {
		const struct host_vma *vma = host_vma_find(hva);

		assert_int_equal(vma ? 1 + vma->writable : 0, model[hva]);
		runs += model[hva] && (!hva || model[hva] != model[hva - 1]);
	}
	/* None is empty, and none could be part of its neighbour. */
	assert_int_equal(host.nr_vmas, runs);
}

static void vmas_follow_a_model(void **state)
{
	u64 dice = HASH_SEED;

	for (u32 round = 0; round < 200; round++) {
		kern_reset();
		machine_reset();
		host_reset();
		for (u32 i = 0; i < MODEL_PAGES; i++)
			model[i] = 0;
		for (u32 i = 0; i < 30; i++) {
			hva_t start, end;

			dice = hash_u64(dice, i);
			start = dice % MODEL_PAGES;
			end = start + 1 + (dice >> 10) % (MODEL_PAGES - start);
			host_vma_change(start, end, (enum vma_change)(dice >> 20 & 3));
			model_change(start, end, (enum vma_change)(dice >> 20 & 3));
			assert_vmas_are_as_the_model();
		}
	}
}

static void mprotect_task(u32 task)
{
	host_mprotect(BASE + 2, BASE + 10, false);
	gup(&seen[0], BASE + 3, true);
	gup(&seen[1], BASE + 3, false);
	host_reuse(BASE + 4);
	host_dontneed(BASE + 5, BASE + 6);
	host_populate(BASE + 4, BASE + 7);
	host_dontneed(BASE + 6, BASE + 7);
	gup(&seen[2], BASE + 6, false);
	host_mprotect(BASE + 3, BASE + 4, true);
	gup(&seen[3], BASE + 3, true);
}

static void mprotect_takes_the_right_to_write(void **state)
{
	pfn_t page;

	set_up(false);
	page = mapped(BASE + 3);
	run(1, mprotect_task, 0);
	assert_int_equal(seen[0].result, GUP_FAULT);
	assert_int_equal(seen[1].result, GUP_OK);
	assert_int_equal(seen[1].pfn, page);
	assert_false(seen[1].writable);
	for (hva_t hva = BASE; hva < BASE + PAGES; hva++)
		assert_int_equal(host_pte_writable(inspect_host_pte(hva)),
				 hva < BASE + 4 ? hva != BASE + 2 : hva >= BASE + 10);
	assert_true(host_pte_present(inspect_host_pte(BASE + 5)));
	assert_false(seen[2].writable);
	assert_int_equal(seen[3].result, GUP_OK);
	assert_int_equal(seen[3].pfn, page);
	assert_true(seen[3].writable);
	assert_int_equal(starts, 4); /* two protections, two discards */
	assert_accounts_balance();
}

/* --- reclaim --- */

static void reclaim_task(u32 task)
{
	host_reclaim(BASE + 2);
	seen[0].count = pages_live();
	gup(&seen[1], BASE + 2, true);
	host_reclaim(0x300); /* no table */
}

static void reclaim_frees_the_page(void **state)
{
	set_up(false);
	run(1, reclaim_task, 0);
	assert_int_equal(seen[0].count, PAGES - 1);
	assert_int_equal(seen[1].result, GUP_OK);
	assert_true(host_pte_writable(inspect_host_pte(BASE + 2)));
	assert_int_equal(starts, 1);
	assert_accounts_balance();
}

/* Takes the page at @hva so that its reclaim ends with a swap entry, then lets it go. */
static void leave_swap_entry(hva_t hva)
{
	pfn_t pfn;
	bool writable;

	host_get_user_page(hva, false, &pfn, &writable);
	host_reclaim(hva);
	host_put_page(pfn);
}

static u32 swapped;

static void swap_entries_task(u32 task)
{
	for (u32 i = 0; i < 9; i++)
		leave_swap_entry(BASE + i);
	for (u32 i = 0; i < 9; i++)
		swapped += host_pte_swap(inspect_host_pte(BASE + i));
	gup(&seen[0], BASE, false);
	host_munmap(BASE + 1, BASE + 2);
	host_dontneed(BASE + 2, BASE + 3);
	host_migrate(BASE + 3);
	host_reclaim(BASE + 3);
	host_wrprotect(BASE + 4, BASE + 6);
	gup(&seen[1], BASE + 4, false);
	gup(&seen[2], BASE + 5, true);
	host_mprotect(BASE + 6, BASE + 7, false);
	gup(&seen[3], BASE + 6, false);
	host_populate(BASE + 7, BASE + 8);
}

static void swap_entries_are_the_page_still(void **state)
{
	pfn_t page[9];

	set_up(false);
	for (u32 i = 0; i < ARRAY_SIZE(page); i++)
		page[i] = mapped(BASE + i);
	swapped = 0;
	run(1, swap_entries_task, 0);
	assert_int_equal(swapped, 9);
	/* The same page comes back, as it was. */
	assert_int_equal(seen[0].pfn, page[0]);
	assert_true(seen[0].writable);
	assert_int_equal(inspect_host_pte(BASE + 1), 0);
	assert_false(inspect_frame_is(page[1], FRAME_HOST_PAGE) && mapped(BASE + 5) != page[1]);
	assert_int_equal(inspect_host_pte(BASE + 2), 0);
	assert_true(host_pte_swap(inspect_host_pte(BASE + 3)));
	assert_int_equal(mapped(BASE + 3), page[3]);
	assert_int_equal(seen[1].pfn, page[4]);
	assert_false(seen[1].writable);
	assert_int_not_equal(seen[2].pfn, page[5]);
	assert_true(seen[2].writable);
	assert_int_equal(seen[3].pfn, page[6]);
	assert_false(seen[3].writable);
	assert_true(host_pte_writable(inspect_host_pte(BASE + 7)));
	assert_int_equal(mapped(BASE + 7), page[7]);
	assert_true(host_pte_swap(inspect_host_pte(BASE + 8)));
	assert_accounts_balance();
}

static void reclaim_shared_task(u32 task)
{
	host_reclaim(BASE + 2);
}

static void reclaim_leaves_shared_pages(void **state)
{
	u64 pte;

	set_up(true);
	pte = inspect_host_pte(BASE + 2);
	run(1, reclaim_shared_task, 0);
	assert_int_equal(inspect_host_pte(BASE + 2), pte);
	assert_int_equal(starts, 0);
	assert_accounts_balance();
}

/* --- ranges that must not block --- */

static u64 strict_starts, strict_ends, refusals;
static bool refuses;

/* May not wait, and says so. */
static int refuse_start(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	if (range->blockable || !refuses)
		return 0;
	fetch_add(&refusals, 1);
	return -EAGAIN;
}

static int strict_start(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	fetch_add(&strict_starts, 1);
	return 0;
}

static void strict_end(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	fetch_add(&strict_ends, 1);
}

static const struct mmu_notifier_ops refusing_ops = { .invalidate_range_start = refuse_start };
static const struct mmu_notifier_ops strict_ops = {
	.invalidate_range_start = strict_start,
	.invalidate_range_end = strict_end,
};
static struct mmu_notifier refusing = { .ops = &refusing_ops }, strict = { .ops = &strict_ops };

static void set_up_refusing(bool now)
{
	set_up(false);
	mmu_notifier_register(&refusing);
	mmu_notifier_register(&strict);
	strict_starts = strict_ends = refusals = 0;
	refuses = now;
}

static void oom_reap_task(u32 task)
{
	host_oom_reap(BASE + 2, BASE + 4);
	seen[0].count = pages_live();
	gup(&seen[1], BASE + 2, false);
}

static void reaper_takes_pages_and_leaves_vmas(void **state)
{
	set_up_refusing(false);
	run(1, oom_reap_task, 0);
	assert_int_equal(seen[0].count, PAGES - 2);
	assert_int_equal(seen[1].result, GUP_OK);
	assert_int_equal(starts, 1);
	assert_int_equal(last_start.end, BASE + 4);
	assert_accounts_balance();
}

static void refused_start_changes_nothing_and_all_hear_its_end(void **state)
{
	set_up_refusing(true);
	run(1, oom_reap_task, 0);
	assert_int_equal(seen[0].count, PAGES);
	assert_int_equal(refusals, 1);
	assert_int_equal(starts, 1);
	/* The one behind the refusal is called, too. */
	assert_int_equal(strict_starts, 1);
	assert_int_equal(strict_ends, 1);
	assert_accounts_balance();
}

static void reaper_that_gets_no_lock_does_nothing(void **state)
{
	set_up_refusing(false);
	trylocks_fail = true;
	run(1, oom_reap_task, 0);
	trylocks_fail = false;
	assert_int_equal(seen[0].count, PAGES);
	assert_int_equal(starts, 0);
	assert_accounts_balance();
}

static void driver_vs_reaper_task(u32 task)
{
	if (task == 0)
		host_driver_work();
	else if (task == 1)
		host_oom_reap(BASE + 2, BASE + 4);
	else
		host_munmap(BASE + 6, BASE + 7);
}

static void driver_refuses_while_it_is_at_work(void **state)
{
	u32 reaped = 0;

	for (u64 i = 0; i < SCHEDULES; i++) {
		set_up(false);
		host_add_subscribers(BIT_ULL(SUBSCRIBER_DRIVER) | BIT_ULL(SUBSCRIBER_COUNTER));
		run(i & 1 ? 2 : 3, driver_vs_reaper_task, i);
		reaped += !inspect_host_pte(BASE + 2);
		assert_int_equal(!inspect_host_pte(BASE + 2), !inspect_host_pte(BASE + 3));
		assert_accounts_balance();
	}
	assert_in_range(reaped, 1, SCHEDULES - 1);
}

/* --- change_pte --- */

static u64 changes, changed_outside;
static pfn_t changed_to;

static void note_change(struct mmu_notifier *mn, hva_t hva, pfn_t pfn, bool writable)
{
	fetch_add(&changes, 1);
	changed_to = pfn;
	changed_outside += READ_ONCE(starts) == READ_ONCE(ends);
	changed_outside += mapped(hva) != pfn || !writable;
}

static const struct mmu_notifier_ops changing_ops = {
	.invalidate_range_start = strict_start,
	.change_pte = note_change,
};
static struct mmu_notifier changing = { .ops = &changing_ops };

static void copy_once_task(u32 task)
{
	gup(&seen[0], BASE + 2, true);
}

static void copy_is_announced_between_start_and_end(void **state)
{
	set_up(true);
	mmu_notifier_register(&changing);
	changes = changed_outside = 0;
	run(1, copy_once_task, 0);
	assert_int_equal(changes, 1);
	assert_int_equal(changed_outside, 0);
	assert_int_equal(changed_to, seen[0].pfn);
	assert_accounts_balance();
}

/* --- the end of subscriptions and of the process --- */

/* One that must not be called once it was released and unregister has returned. */
static struct mortal {
	struct mmu_notifier mn;
	u64 releases, called_late;
	u64 gone; /* unregister has returned */
	u64 page_at_release; /* PTE of the first page */
	u64 inside; /* calls under way */
} *mortal;

static int mortal_start(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	struct mortal *me = container_of(mn, struct mortal, mn);

	fetch_add(&me->inside, 1);
	cond_resched();
	fetch_add(&me->called_late, READ_ONCE(me->gone));
	fetch_add(&me->inside, -1ull);
	return 0;
}

static void mortal_release(struct mmu_notifier *mn)
{
	struct mortal *me = container_of(mn, struct mortal, mn);

	fetch_add(&me->called_late, READ_ONCE(me->gone));
	WRITE_ONCE(me->page_at_release, inspect_host_pte(BASE));
	cond_resched();
	fetch_add(&me->releases, 1);
}

static const struct mmu_notifier_ops mortal_ops = {
	.invalidate_range_start = mortal_start,
	.release = mortal_release,
};

static void set_up_mortal(void)
{
	set_up(false);
	mortal = kern_alloc(sizeof(*mortal));
	mortal->mn.ops = &mortal_ops;
	mmu_notifier_register(&mortal->mn);
	host_add_subscribers(BIT_ULL(SUBSCRIBER_DRIVER));
	host_count_users();
}

static bool late_get;

static void exit_task(u32 task)
{
	host_exit();
	host_exit();
	late_get = host_mm_get();
	host_migrate(BASE + 2);
	host_oom_reap(BASE + 2, BASE + 4);
	gup(&seen[0], BASE + 2, false);
}

static void exit_releases_and_frees_everything(void **state)
{
	set_up_mortal();
	run(1, exit_task, 0);
	assert_false(late_get);
	assert_int_equal(mortal->releases, 1);
	assert_true(host_pte_present(mortal->page_at_release));
	assert_int_equal(pages_live(), 0);
	assert_int_equal(starts, 0); /* nobody subscribes any more when pages go */
	assert_int_equal(seen[0].result, GUP_FAULT);
	assert_null(host.mm->subscribers);
	assert_accounts_balance();
}

static void users_task(u32 task)
{
	if (task == 0) {
		host_exit();
	} else if (host_mm_get()) {
		gup(&seen[task], BASE + task, true);
		host_mm_put();
	} else {
		seen[task].result = GUP_FAULT;
	}
}

static void last_user_takes_the_memory_down(void **state)
{
	u32 refused = 0;

	for (u64 i = 0; i < SCHEDULES; i++) {
		set_up_mortal();
		run(3, users_task, i);
		refused += seen[1].result != GUP_OK;
		assert_int_equal(mortal->releases, 1);
		assert_int_equal(pages_live(), 0);
	}
	assert_in_range(refused, 1, SCHEDULES - 1);
}

static void uncounted_users_keep_the_memory(void **state)
{
	set_up(false);
	seen[1].result = GUP_FAULT;
	run(2, users_task, 0);
	assert_int_equal(seen[1].result, GUP_OK);
	assert_int_equal(pages_live(), PAGES);
}

static void unregister_task(u32 task)
{
	switch (task) {
	case 0:
		mmu_notifier_unregister(&mortal->mn);
		WRITE_ONCE(mortal->gone, 1);
		break;
	case 1:
		host_exit();
		break;
	case 2:
		host_migrate(BASE + 2);
		host_reclaim(BASE + 3);
		break;
	default:
		host_oom_reap(BASE, BASE + 2);
		break;
	}
}

static void unregister_waits_for_callbacks(void **state)
{
	u32 released_twice = 0, frees = 0;

	for (u64 i = 0; i < SCHEDULES; i++) {
		set_up_mortal();
		run(4, unregister_task, i);
		assert_int_equal(mortal->called_late, 0);
		assert_in_range(mortal->releases, 1, 2);
		assert_null(host.mm->subscribers);
		assert_int_equal(pages_live(), 0);
		released_twice += mortal->releases == 2;
		frees += mortal->releases == 1;
	}
	assert_true(released_twice && frees);
}

static void unregister_one_task(u32 task)
{
	mmu_notifier_unregister(&mortal->mn);
	host_munmap(BASE, BASE + 1);
}

static void unregister_leaves_the_others(void **state)
{
	set_up_mortal();
	run(1, unregister_one_task, 0);
	assert_int_equal(mortal->releases, 1);
	assert_false(mortal->mn.listed);
	assert_ptr_equal(host.mm->subscribers, &counting);
	assert_ptr_equal(counting.next->next, NULL);
	assert_int_equal(starts, 1);
	assert_accounts_balance();
}

/* --- what is told --- */

#define CALLS_MAX 32
static u64 told[EVENT_COUNT]; /* how often */
static struct event_subscriber_called calls[CALLS_MAX];
static u64 left, left_early, nested_driver_mmap;

/* Called in tasks, one at a time. */
static void note_event(const struct event *event)
{
	u64 nth = __atomic_fetch_add(&told[event->id], 1, __ATOMIC_RELAXED);
	const struct event_subscriber_left *went = (const void *)event;
	const struct event_lock_nested *nested = (const void *)event;

	if (event->id == EVENT_subscriber_called && nth < CALLS_MAX)
		calls[nth] = *(const struct event_subscriber_called *)event;
	if (event->id == EVENT_subscriber_left) {
		__atomic_fetch_or(&left, BIT_ULL(went->subscriber), __ATOMIC_RELAXED);
		__atomic_fetch_add(&left_early, __atomic_load_n(&mortal->inside, __ATOMIC_RELAXED),
				   __ATOMIC_RELAXED);
	}
	if (event->id == EVENT_lock_nested)
		nested_driver_mmap |=
			nested->outer == LOCK_driver_mutex && nested->inner == LOCK_mmap_lock;
}

/* Only @events: no oracle need know of a host without a guest. */
static void listen(event_mask events)
{
	if (events) {
		for (u32 i = 0; i < EVENT_COUNT; i++)
			told[i] = 0;
		left = left_early = nested_driver_mmap = 0;
	}
	oracle_tap(events ? note_event : NULL);
	event_context.interest = events;
}

#define SUBSCRIBER_EVENTS                                                          \
	(EVENT_BIT(EVENT_subscriber_joined) | EVENT_BIT(EVENT_subscriber_called) | \
	 EVENT_BIT(EVENT_subscriber_left) | EVENT_BIT(EVENT_notifier_start) |      \
	 EVENT_BIT(EVENT_notifier_start_returned) | EVENT_BIT(EVENT_notifier_end_returned))

static void assert_call(u32 nth, u64 subscriber, enum notifier_call what, u64 error)
{
	assert_int_equal(calls[nth].subscriber, subscriber);
	assert_int_equal(calls[nth].what, what);
	assert_int_equal(calls[nth].error, error);
}

static void refusal_is_told(void **state)
{
	listen(SUBSCRIBER_EVENTS);
	set_up_refusing(true);
	assert_int_equal(told[EVENT_subscriber_joined], 3);
	run(1, oom_reap_task, 0);
	listen(0);
	assert_int_equal(told[EVENT_subscriber_called], 5);
	assert_call(0, 0, NOTIFIER_START, 0);
	assert_call(1, 1, NOTIFIER_START, EAGAIN);
	assert_call(2, 2, NOTIFIER_START, 0);
	assert_call(3, 0, NOTIFIER_END, 0);
	assert_call(4, 2, NOTIFIER_END, 0);
	assert_int_equal(calls[4].start, BASE + 2);
	assert_int_equal(calls[4].end, BASE + 4);
	assert_int_equal(told[EVENT_notifier_start], 1);
	assert_int_equal(told[EVENT_notifier_start_returned], 0);
	assert_int_equal(told[EVENT_notifier_end_returned], 1);
}

static void each_subscriber_is_told_to_leave_once(void **state)
{
	for (u64 i = 0; i < SCHEDULES; i++) {
		listen(EVENT_BIT(EVENT_subscriber_left));
		set_up_mortal();
		run(4, unregister_task, i);
		listen(0);
		assert_int_equal(left_early, 0);
		assert_int_equal(told[EVENT_subscriber_left], 3);
		assert_int_equal(left, 7);
	}
}

/* --- defects that can be armed --- */

static void wrprotect_one_task(u32 task)
{
	host_wrprotect(BASE, BASE + 1);
}

static void reap_one_task(u32 task)
{
	host_oom_reap(BASE, BASE + 1);
}

static void migrate_one_task(u32 task)
{
	host_migrate(BASE);
}

static void run_with(enum bug_id id, void (*body)(u32 task))
{
	set_up_refusing(true);
	bug_state.armed = id;
	run(1, body, 0);
	bug_state.armed = BUG_none;
}

static void armed_defects_break_the_contract(void **state)
{
	if (BUGS_ABSENT)
		skip();
	run_with(BUG_none, wrprotect_one_task);
	assert_true(host_pte_writable(pte_at_start));
	run_with(BUG_wrprotect_notifies_late, wrprotect_one_task);
	assert_false(host_pte_writable(pte_at_start));
	run_with(BUG_refused_start_leaves_no_end, reap_one_task);
	assert_int_equal(starts, 1);
	assert_int_equal(ends, 0);
	assert_true(inspect_host_pte(BASE));
	run_with(BUG_refused_start_is_ignored, reap_one_task);
	assert_int_equal(ends, 1);
	assert_int_equal(inspect_host_pte(BASE), 0);
	run_with(BUG_migrate_without_start, migrate_one_task);
	assert_int_equal(starts, 0);
}

static void driver_task(u32 task)
{
	host_oom_reap(BASE, BASE + 1);
	host_driver_work();
}

static u64 slept(enum bug_id id, enum event_id event, void (*body)(u32 task), bool read_only)
{
	listen(EVENT_BIT(event));
	set_up(read_only);
	host_add_subscribers(BIT_ULL(SUBSCRIBER_DRIVER));
	bug_state.armed = id;
	run(1, body, 0);
	bug_state.armed = BUG_none;
	listen(0);
	return told[event];
}

static void armed_defects_sleep_where_they_must_not(void **state)
{
	if (BUGS_ABSENT)
		skip();
	assert_false(slept(BUG_none, EVENT_slept_in_nonblock, driver_task, false));
	assert_true(
		slept(BUG_driver_blocks_in_nonblock, EVENT_slept_in_nonblock, driver_task, false));
	assert_false(slept(BUG_none, EVENT_slept_in_atomic, copy_once_task, true));
	assert_true(slept(BUG_start_under_ptl, EVENT_slept_in_atomic, copy_once_task, true));
	slept(BUG_none, EVENT_lock_nested, driver_task, false);
	assert_false(nested_driver_mmap);
	slept(BUG_driver_mutex_around_gup, EVENT_lock_nested, driver_task, false);
	assert_true(nested_driver_mmap);
}

static void end_too_many_task(u32 task)
{
	const struct mmu_notifier_range range = host_range(BASE, BASE + 1);
	struct mmu_notifier *counter = counting.next;

	for (u32 i = 0; i < 2; i++)
		counter->ops->invalidate_range_start(counter, &range);
	for (u32 i = 0; i < 3; i++)
		counter->ops->invalidate_range_end(counter, &range);
}

static void counter_expects_as_many_ends_as_starts(void **state)
{
	listen(EVENT_BIT(EVENT_warned));
	set_up(false);
	host_add_subscribers(BIT_ULL(SUBSCRIBER_COUNTER));
	run(1, end_too_many_task, 0);
	listen(0);
	assert_int_equal(told[EVENT_warned], 1);
}

static void gup_vs_munmap_task(u32 task)
{
	if (task == 0)
		gup(&seen[0], BASE + 2, false);
	else
		host_munmap(BASE + 2, BASE + 3);
}

static void reference_by_an_outdated_pte_frees_twice(void **state)
{
	u64 warnings[2] = { 0, 0 };

	if (BUGS_ABSENT)
		skip();
	for (u64 i = 0; i < 2 * SCHEDULES; i++) {
		listen(EVENT_BIT(EVENT_warned));
		set_up(false);
		bug_state.armed = i & 1 ? BUG_gup_without_recheck : BUG_none;
		run(2, gup_vs_munmap_task, i / 2);
		bug_state.armed = BUG_none;
		listen(0);
		warnings[i & 1] += told[EVENT_warned];
	}
	assert_int_equal(warnings[0], 0);
	assert_true(warnings[1]);
}

static void unpaired_change_is_announced_alone(void **state)
{
	if (BUGS_ABSENT)
		skip();
	set_up(true);
	bug_state.armed = BUG_change_pte_unpaired;
	run(1, copy_once_task, 0);
	assert_int_equal(starts, 1); /* nobody wants to hear of changes: the pair stays */
	set_up(true);
	mmu_notifier_register(&changing);
	changes = changed_outside = 0;
	run(1, copy_once_task, 0);
	bug_state.armed = BUG_none;
	assert_int_equal(changes, 1);
	assert_int_equal(starts, 0);
}

/* --- races --- */

static void gup_vs_migrate_task(u32 task)
{
	if (task == 0)
		gup(&seen[0], BASE + 2, true);
	else
		host_migrate(BASE + 2);
}

static void gup_waits_for_migration(void **state)
{
	u32 moved = 0;

	for (u64 i = 0; i < SCHEDULES; i++) {
		pfn_t old;

		set_up(false);
		old = mapped(BASE + 2);
		run(2, gup_vs_migrate_task, i);
		assert_int_equal(seen[0].result, GUP_OK);
		assert_true(seen[0].pfn == old || seen[0].pfn == mapped(BASE + 2));
		moved += seen[0].pfn != old;
		assert_accounts_balance();
	}
	assert_in_range(moved, 1, SCHEDULES - 1);
}

static void copies_task(u32 task)
{
	if (task < 2)
		gup(&seen[task], BASE + 2, true);
	else
		host_reuse(BASE + 2);
}

static void only_one_copy_replaces_the_page(void **state)
{
	u32 pairs_in_vain = 0, copies = 0;

	for (u64 i = 0; i < SCHEDULES; i++) {
		pfn_t shared;

		set_up(true);
		shared = mapped(BASE + 2);
		run(i & 1 ? 2 : 3, copies_task, i);
		assert_int_equal(seen[0].pfn, seen[1].pfn);
		assert_int_equal(seen[0].pfn, mapped(BASE + 2));
		copies += mapped(BASE + 2) != shared;
		pairs_in_vain += starts > 1;
		assert_accounts_balance();
	}
	assert_in_range(copies, 1, SCHEDULES - 1);
	assert_true(pairs_in_vain);
}

static void storm_task(u32 task)
{
	u64 dice = hash_u64(hash_u64(HASH_SEED, seed + 12345), task);

	for (u32 i = 0; i < 4; i++) {
		hva_t hva;

		dice = hash_u64(dice, i);
		hva = BASE + dice % 4;
		switch ((dice >> 20) % 12) {
		case 0:
			host_munmap(hva, hva + 2);
			break;
		case 1:
			host_migrate(hva);
			break;
		case 2:
			host_wrprotect(hva, hva + 3);
			break;
		case 3:
			host_reuse(hva);
			break;
		case 4:
			host_populate(hva, hva + 2);
			break;
		case 5:
			host_mprotect(hva, hva + 2, dice >> 30 & 1);
			break;
		case 6:
			host_reclaim(hva);
			break;
		case 7:
			host_oom_reap(hva, hva + 3);
			break;
		case 8:
			host_dontneed(hva, hva + 2);
			break;
		case 9:
			host_driver_work();
			break;
		default:
			gup(&seen[task], hva, (dice >> 20) % 12 == 10);
			break;
		}
	}
}

static void accounts_balance_after_any_storm(void **state)
{
	for (u64 i = 0; i < 4 * SCHEDULES; i++) {
		set_up(i & 1);
		host_add_subscribers((u32)(i >> 1) & 3);
		run(4, storm_task, i);
		assert_accounts_balance();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gup_takes_a_reference),
		cmocka_unit_test(munmap_frees_and_splits),
		cmocka_unit_test(dontneed_frees_and_the_next_access_maps_anew),
		cmocka_unit_test(freed_frame_is_handed_out_next),
		cmocka_unit_test(gup_faults_pages_in),
		cmocka_unit_test(migrate_moves),
		cmocka_unit_test(migrate_gives_up_on_a_page_in_use),
		cmocka_unit_test(write_copies_a_shared_page),
		cmocka_unit_test(reuse_keeps_the_page),
		cmocka_unit_test(vmas_follow_a_model),
		cmocka_unit_test(mprotect_takes_the_right_to_write),
		cmocka_unit_test(reclaim_frees_the_page),
		cmocka_unit_test(swap_entries_are_the_page_still),
		cmocka_unit_test(reclaim_leaves_shared_pages),
		cmocka_unit_test(reaper_takes_pages_and_leaves_vmas),
		cmocka_unit_test(refused_start_changes_nothing_and_all_hear_its_end),
		cmocka_unit_test(reaper_that_gets_no_lock_does_nothing),
		cmocka_unit_test(driver_refuses_while_it_is_at_work),
		cmocka_unit_test(copy_is_announced_between_start_and_end),
		cmocka_unit_test(exit_releases_and_frees_everything),
		cmocka_unit_test(last_user_takes_the_memory_down),
		cmocka_unit_test(uncounted_users_keep_the_memory),
		cmocka_unit_test(unregister_waits_for_callbacks),
		cmocka_unit_test(unregister_leaves_the_others),
		cmocka_unit_test(armed_defects_break_the_contract),
		cmocka_unit_test(refusal_is_told),
		cmocka_unit_test(each_subscriber_is_told_to_leave_once),
		cmocka_unit_test(armed_defects_sleep_where_they_must_not),
		cmocka_unit_test(counter_expects_as_many_ends_as_starts),
		cmocka_unit_test(reference_by_an_outdated_pte_frees_twice),
		cmocka_unit_test(unpaired_change_is_announced_alone),
		cmocka_unit_test(gup_waits_for_migration),
		cmocka_unit_test(only_one_copy_replaces_the_page),
		cmocka_unit_test(accounts_balance_after_any_storm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
