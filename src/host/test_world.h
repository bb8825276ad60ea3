/*
 * What tests of the primary MMU share: hashed schedules, a subscriber that counts, and accounts. Asserts
 * stand outside the tasks; tasks leave what they saw in statics. Included by tests only, behind cmocka.h;
 * a test binary holds it once.
 */
#ifndef HOST_TEST_WORLD_H
#define HOST_TEST_WORLD_H

#include "base/hash.h"
#include "host/host_internal.h"

#define SCHEDULES 400
/* The driver is asked once more after a task has ended, when nothing orders it before the test. */
static u64 seed;

/* Stateless, so that it may run in any task: the choice is a hash of how far the schedule is. */
static inline u32 next_hashed(void *ctx, const struct sched_stop *stop)
{
	u64 hash = hash_u64(HASH_SEED, __atomic_load_n(&seed, __ATOMIC_RELAXED));
	u64 left = stop->runnable;

	hash = hash_u64(hash, sched_points());
	sched_grant(1 + (hash >> 8) % 8);
	for (u64 skip = hash % (u64)__builtin_popcountll(left); skip; skip--)
		left &= left - 1;
	return (u32)__builtin_ctzll(left);
}

static bool trylocks_fail;

static inline u64 value_answer(void *ctx, const struct sched_stop *stop, u64 bound)
{
	return stop->answer == ANSWER_TRYLOCK && __atomic_load_n(&trylocks_fail, __ATOMIC_RELAXED);
}

/* --- the subscriber --- */

static u64 starts, ends;
static struct hva_range last_start;
static u64 pte_at_start; /* of the range's first page */

static inline int count_start(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	fetch_add(&starts, 1);
	WRITE_ONCE(last_start.start, range->start);
	WRITE_ONCE(last_start.end, range->end);
	WRITE_ONCE(pte_at_start, inspect_host_pte(range->start));
	return 0;
}

static inline void count_end(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	fetch_add(&ends, 1);
}

static const struct mmu_notifier_ops counting_ops = {
	.invalidate_range_start = count_start,
	.invalidate_range_end = count_end,
};
static struct mmu_notifier counting = { .ops = &counting_ops };

/* Nobody is in the machine, and nothing mapped. */
static inline void set_up_host(void)
{
	kern_reset();
	machine_reset();
	host_reset();
}

/* Behind all maps. */
static inline void set_up_counting(void)
{
	mmu_notifier_register(&counting);
	starts = ends = 0;
}

static inline void run(u32 nr_tasks, void (*body)(u32 task), u64 schedule)
{
	static const struct sched_driver driver = { .next = next_hashed, .value = value_answer };

	__atomic_store_n(&seed, schedule, __ATOMIC_RELAXED);
	kern_set_driver(&driver);
	assert_int_equal(kern_run_tasks(nr_tasks, body, 100000), KERN_DONE);
}

static inline pfn_t mapped(hva_t hva)
{
	return host_pte_pfn(inspect_host_pte(hva));
}

/* Every page has as many users as the host has references, and none was lost or left half moved. */
static inline void assert_accounts_balance(void)
{
	static u64 counts[KERN_PAGES_MAX];

	inspect_host_count_references(counts, KERN_PAGES_MAX);
	for (pfn_t pfn = 1; pfn <= inspect_nr_frames(); pfn++)
		if (inspect_frame_is(pfn, FRAME_HOST_PAGE) || counts[pfn])
			assert_int_equal(inspect_frame_count(pfn), counts[pfn]);
	for (hva_t hva = 0; hva < HVA_MAX; hva++)
		assert_false(inspect_host_pte(hva) & HOST_PTE_MIGRATION);
	assert_int_equal(starts, ends);
}

/* Host pages that are allocated. */
static inline u32 pages_live(void)
{
	u32 live = 0;

	for (pfn_t pfn = 1; pfn <= inspect_nr_frames(); pfn++)
		live += inspect_frame_is(pfn, FRAME_HOST_PAGE);
	return live;
}

static struct seen {
	enum gup_result result;
	pfn_t pfn;
	bool writable;
	u64 count; /* users while the reference was held */
} seen[4];

static inline void gup(struct seen *s, hva_t hva, bool write)
{
	s->result = host_get_user_page(hva, write, &s->pfn, &s->writable);
	if (s->result != GUP_OK)
		return;
	s->count = frame_count(s->pfn);
	host_put_page(s->pfn);
}

#endif
