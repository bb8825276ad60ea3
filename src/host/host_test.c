/*
 * The primary MMU on its own, with a subscriber that counts. Asserts stand outside the tasks; tasks
 * leave what they saw in statics.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/hash.h"
#include "host/host.h"

#define SCHEDULES 400
/* Not aligned to a table, and longer than one in the small geometry. */
#define BASE  0x105
#define PAGES 12

/* The driver is asked once more after a task has ended, when nothing orders it before the test. */
static u64 seed;

/* Stateless, so that it may run in any task: the choice is a hash of how far the schedule is. */
static u32 next_hashed(void *ctx, const struct sched_stop *stop)
{
	u64 hash = hash_u64(HASH_SEED, __atomic_load_n(&seed, __ATOMIC_RELAXED));
	u64 left = stop->runnable;

	hash = hash_u64(hash, sched_points());
	sched_grant(1 + (hash >> 8) % 8);
	for (u64 skip = hash % (u64)__builtin_popcountll(left); skip; skip--)
		left &= left - 1;
	return (u32)__builtin_ctzll(left);
}

static u64 value_default(void *ctx, const struct sched_stop *stop, u64 bound)
{
	return 0;
}

/* --- the subscriber --- */

static u64 starts, ends;
static struct hva_range last_start;
static u64 pte_at_start; /* of the range's first page */

static int count_start(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	fetch_add(&starts, 1);
	WRITE_ONCE(last_start.start, range->start);
	WRITE_ONCE(last_start.end, range->end);
	WRITE_ONCE(pte_at_start, inspect_host_pte(range->start));
	return 0;
}

static void count_end(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	fetch_add(&ends, 1);
}

static const struct mmu_notifier_ops counting_ops = { count_start, count_end };
static struct mmu_notifier counting = { .ops = &counting_ops };

static void set_up(bool read_only)
{
	kern_reset();
	machine_reset();
	host_reset();
	host_add_map(&(struct host_map){ BASE, BASE + PAGES, read_only, true });
	mmu_notifier_register(&counting);
	starts = ends = 0;
}

static void run(u32 nr_tasks, void (*body)(u32 task), u64 schedule)
{
	static const struct sched_driver driver = { .next = next_hashed, .value = value_default };

	__atomic_store_n(&seed, schedule, __ATOMIC_RELAXED);
	kern_set_driver(&driver);
	assert_int_equal(kern_run_tasks(nr_tasks, body, 100000), KERN_DONE);
}

static pfn_t mapped(hva_t hva)
{
	return host_pte_pfn(inspect_host_pte(hva));
}

/* Every page has as many users as the host has references, and none was lost or left half moved. */
static void assert_accounts_balance(void)
{
	static u64 counts[KERN_PAGES_MAX];

	inspect_host_count_references(counts, KERN_PAGES_MAX);
	for (pfn_t pfn = 1; pfn <= inspect_nr_frames(); pfn++)
		if (inspect_frame_is(pfn, FRAME_HOST_PAGE) || counts[pfn])
			assert_int_equal(inspect_frame_count(pfn), counts[pfn]);
	for (hva_t hva = BASE; hva < BASE + PAGES; hva++)
		assert_false(inspect_host_pte(hva) & HOST_PTE_MIGRATION);
	assert_int_equal(starts, ends);
}

static struct seen {
	enum gup_result result;
	pfn_t pfn;
	bool writable;
	u64 count; /* users while the reference was held */
} seen[4];

static void gup(struct seen *s, hva_t hva, bool write)
{
	s->result = host_get_user_page(hva, write, &s->pfn, &s->writable);
	if (s->result != GUP_OK)
		return;
	s->count = frame_count(s->pfn);
	host_put_page(s->pfn);
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
		switch ((dice >> 20) % 7) {
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
		default:
			gup(&seen[task], hva, (dice >> 20) % 7 == 5);
			break;
		}
	}
}

static void accounts_balance_after_any_storm(void **state)
{
	for (u64 i = 0; i < 4 * SCHEDULES; i++) {
		set_up(i & 1);
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
		cmocka_unit_test(gup_waits_for_migration),
		cmocka_unit_test(only_one_copy_replaces_the_page),
		cmocka_unit_test(accounts_balance_after_any_storm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
