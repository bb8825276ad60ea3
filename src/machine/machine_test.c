/*
 * Frames, walker, TLB and requests on their own, over tables that the test builds by hand. Asserts
 * stand outside the tasks; tasks leave what they saw in statics.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/hash.h"
#include "machine/machine_internal.h"
#include "oracle/oracle.h"

#define SCHEDULES 300
#define LEVELS	  3
#define LINK	  (PTE_RWX)

/* The driver is asked once more after a task has ended, when nothing orders it before the test. */
static u64 seed;

/* Stateless, so that it may run in any task: the choice is a hash of how far the schedule is. */
static u32 next_hashed(void *ctx, const struct sched_stop *stop)
{
	u64 hash = hash_u64(HASH_SEED, __atomic_load_n(&seed, __ATOMIC_RELAXED));
	u64 left = stop->runnable;

	hash = hash_u64(hash, sched_points());
	sched_grant(1 + (hash >> 8) % 4);
	for (u64 skip = hash % (u64)__builtin_popcountll(left); skip; skip--)
		left &= left - 1;
	return (u32)__builtin_ctzll(left);
}

/* What the environment answers, by kind of question. */
static u64 answers[ANSWER_KIND_COUNT];

static u64 value_answer(void *ctx, const struct sched_stop *stop, u64 bound)
{
	return __atomic_load_n(&answers[stop->answer], __ATOMIC_RELAXED) % bound;
}

static struct vcpu *cpu[2];
static pfn_t root;
static enum guest_result result[8];

/* Plain stores: no task runs. Return: the entry of @gfn at @level; LINK entries lead there. */
static u64 *entry_of(gfn_t gfn, u32 level)
{
	pfn_t table = root;

	for (u32 at = LEVELS; at > level; at--) {
		u64 *ptep = frame_words(table) + PT_INDEX(gfn, at);

		if (!*ptep)
			*ptep = frame_alloc(FRAME_PAGE_TABLE) << PTE_PFN_SHIFT | LINK;
		table = pte_pfn(*ptep);
	}
	return frame_words(table) + PT_INDEX(gfn, level);
}

static u64 leaf(pfn_t pfn, u64 bits)
{
	return pfn << PTE_PFN_SHIFT | bits;
}

static void set_up(void)
{
	kern_reset();
	machine_reset();
	root = frame_alloc(FRAME_PAGE_TABLE);
	for (u32 i = 0; i < ARRAY_SIZE(cpu); i++) {
		cpu[i] = vcpu_create(i);
		vcpu_load_root(cpu[i], root, LEVELS);
	}
}

static void run(u32 nr_tasks, void (*body)(u32 task), u64 schedule)
{
	static const struct sched_driver driver = { .next = next_hashed, .value = value_answer };

	__atomic_store_n(&seed, schedule, __ATOMIC_RELAXED);
	kern_set_driver(&driver);
	assert_int_equal(kern_run_tasks(nr_tasks, body, 100000), KERN_DONE);
}

/* --- frames --- */

static void frames_count_users_and_generations(void **state)
{
	pfn_t pfn;

	kern_reset();
	machine_reset();
	assert_int_equal(inspect_frame_generation(1), 0);
	pfn = frame_alloc(FRAME_PAGE_TABLE);
	assert_int_equal(pfn, 1);
	assert_int_equal(inspect_frame_count(pfn), 1);
	assert_true(inspect_frame_is(pfn, FRAME_PAGE_TABLE));
	assert_false(inspect_frame_is(pfn, FRAME_HOST_PAGE));
	frame_words(pfn)[1] = 7;
	assert_int_equal(inspect_table_entry(pfn, 1), 7);
	frame_free(pfn);
	assert_false(inspect_frame_is(pfn, FRAME_PAGE_TABLE));
	assert_int_equal(inspect_table_entry(pfn, 1), 0);
	frame_free(pfn); /* warned of, ignored */
	assert_int_equal(frame_alloc(FRAME_HOST_PAGE), pfn);
	assert_int_equal(inspect_frame_generation(pfn), 2);
	assert_int_equal(inspect_nr_frames(), 1);
	kern_reset();
	machine_reset();
	assert_int_equal(inspect_frame_count(pfn), 0);
	assert_int_equal(inspect_frame_generation(pfn), 0);
}

static void put_too_often_task(u32 task)
{
	frame_put(root);
	frame_put(root);
	frame_get(root);
	frame_get(root);
	frame_put(root);
}

/* A subject that counts wrongly is the oracles' business: the machine must survive it. */
static void wrong_counts_do_no_harm(void **state)
{
	kern_reset();
	machine_reset();
	root = frame_alloc(FRAME_HOST_PAGE);
	run(1, put_too_often_task, 0);
	assert_false(inspect_frame_is(root, FRAME_HOST_PAGE));
	assert_int_equal(frame_alloc(FRAME_HOST_PAGE), root);
	assert_int_equal(inspect_frame_count(root), 1);
}

static void last_put_frees_task(u32 task)
{
	frame_put(root);
}

static void last_put_frees(void **state)
{
	for (u64 i = 0; i < 20; i++) {
		kern_reset();
		machine_reset();
		root = frame_alloc(FRAME_HOST_PAGE);
		frame_set_users(root, 3);
		run(3, last_put_frees_task, i);
		assert_int_equal(inspect_frame_count(root), 0);
		assert_int_equal(frame_alloc(FRAME_HOST_PAGE), root);
	}
}

/* --- walker and TLB --- */

static enum guest_result access_once(u32 vcpu, gfn_t gfn, enum access access)
{
	enum guest_result end;

	while (!vcpu_enter(cpu[vcpu])) {
		if (vcpu_take_request(cpu[vcpu], REQUEST_TLB_FLUSH))
			vcpu_flush_tlb(cpu[vcpu]);
		if (vcpu_take_request(cpu[vcpu], REQUEST_TLB_FLUSH_RANGE))
			vcpu_flush_ranges(cpu[vcpu]);
		vcpu_take_request(cpu[vcpu], REQUEST_FREE_OBSOLETE_ROOTS);
	}
	end = vcpu_access(cpu[vcpu], gfn, access);
	vcpu_leave(cpu[vcpu]);
	return end;
}

static bool also_write;

static void read_then_write_task(u32 task)
{
	result[0] = access_once(0, 5, ACCESS_READ);
	result[1] = access_once(0, 5, ACCESS_READ);
	if (also_write)
		result[2] = access_once(0, 5, ACCESS_WRITE);
}

static void read_fills_without_write(void **state)
{
	struct tlb_view view;

	set_up();
	*entry_of(5, 1) = leaf(99, PTE_RWX);
	also_write = false;
	run(1, read_then_write_task, 0);
	assert_int_equal(result[0], GUEST_DONE);
	assert_int_equal(result[1], GUEST_DONE);
	assert_int_equal(inspect_nr_tlb(0), 1);
	view = inspect_tlb(0, 0);
	assert_int_equal(view.gfn, 5);
	assert_int_equal(view.root, root);
	assert_int_equal(view.pfn, 99);
	assert_int_equal(view.level, 1);
	assert_int_equal(view.access, PTE_R | PTE_X);
	assert_int_equal(*entry_of(5, 1), leaf(99, PTE_RWX | PTE_A));
	assert_true(*entry_of(5, 2) & PTE_A);
	assert_true(*entry_of(5, 3) & PTE_A);
	assert_true(inspect_tlb_usable(0, root));
	assert_false(inspect_tlb_usable(0, root + 1));
	assert_false(inspect_tlb_usable(7, root));
}

static void write_sets_dirty_and_replaces_entry(void **state)
{
	set_up();
	*entry_of(5, 1) = leaf(99, PTE_RWX);
	also_write = true;
	run(1, read_then_write_task, 0);
	assert_int_equal(result[2], GUEST_DONE);
	assert_int_equal(inspect_nr_tlb(0), 1);
	assert_int_equal(inspect_tlb(0, 0).access, PTE_RWX);
	assert_int_equal(*entry_of(5, 1), leaf(99, PTE_RWX | PTE_A | PTE_D));
}

static void violations_task(u32 task)
{
	result[0] = access_once(0, 1, ACCESS_WRITE);
	result[1] = access_once(0, 2, ACCESS_READ);
	result[2] = access_once(0, 3, ACCESS_EXEC);
	result[3] = access_once(0, PT_PAGES(LEVELS + 1) + 1, ACCESS_READ);
	result[4] = access_once(0, PT_PAGES(2), ACCESS_WRITE);
}

static void violations_change_accessed_bits_only(void **state)
{
	set_up();
	*entry_of(1, 1) = leaf(99, PTE_R | PTE_X);
	*entry_of(3, 1) = leaf(98, PTE_R | PTE_W);
	*entry_of(PT_PAGES(2), 1) = leaf(97, PTE_RWX);
	*entry_of(PT_PAGES(2), 2) &= ~PTE_W; /* the path forbids what the leaf allows */
	run(1, violations_task, 0);
	for (u32 i = 0; i < 5; i++)
		assert_int_equal(result[i], GUEST_VIOLATION);
	assert_int_equal(inspect_nr_tlb(0), 0);
	assert_int_equal(*entry_of(1, 1), leaf(99, PTE_R | PTE_X));
	assert_int_equal(*entry_of(2, 1), 0);
	assert_true(*entry_of(1, 2) & PTE_A);
}

static void huge_task(u32 task)
{
	result[0] = access_once(0, PT_PAGES(2) + 3, ACCESS_WRITE);
	result[1] = access_once(0, PT_PAGES(2) + 4, ACCESS_WRITE);
}

static void huge_leaf_fills_one_entry(void **state)
{
	set_up();
	*entry_of(PT_PAGES(2), 2) = leaf(PT_PAGES(2) * 7, PTE_RWX | PTE_PS);
	run(1, huge_task, 0);
	assert_int_equal(result[1], GUEST_DONE);
	assert_int_equal(inspect_nr_tlb(0), 1);
	assert_int_equal(inspect_tlb(0, 0).gfn, PT_PAGES(2));
	assert_int_equal(inspect_tlb(0, 0).level, 2);
	assert_int_equal(inspect_tlb(0, 0).pfn, PT_PAGES(2) * 7);
}

static void fill_up_task(u32 task)
{
	for (gfn_t gfn = 0; gfn <= TLB_ENTRIES_MAX; gfn++)
		access_once(0, gfn, ACCESS_READ);
}

static void full_tlb_drops_oldest(void **state)
{
	set_up();
	for (gfn_t gfn = 0; gfn <= TLB_ENTRIES_MAX; gfn++)
		*entry_of(gfn, 1) = leaf(100 + gfn, PTE_RWX);
	run(1, fill_up_task, 0);
	assert_int_equal(inspect_nr_tlb(0), TLB_ENTRIES_MAX);
	for (u32 i = 0; i < TLB_ENTRIES_MAX; i++)
		assert_int_equal(inspect_tlb(0, i).gfn, i + 1);
	vcpu_drop_gfn(cpu[0], 4);
	assert_int_equal(inspect_nr_tlb(0), TLB_ENTRIES_MAX - 1);
	assert_int_equal(inspect_tlb(0, 3).gfn, 5);
	vcpu_load_root(cpu[0], 0, LEVELS); /* entries stay, tagged with a root that is not loaded */
	assert_int_equal(inspect_nr_tlb(0), TLB_ENTRIES_MAX - 1);
	assert_false(inspect_tlb_usable(0, root));
	vcpu_load_root(cpu[0], root, LEVELS); /* nor does loading it drop anything */
	assert_int_equal(inspect_nr_tlb(0), TLB_ENTRIES_MAX - 1);
	vcpu_flush_tlb_current(cpu[0]);
	assert_int_equal(inspect_nr_tlb(0), 0);
	assert_int_equal(inspect_nr_psc(0), 0);
}

/* --- paging-structure cache --- */

/* Each task body of one access: gfn and kind come from here. */
static gfn_t wanted_gfn;
static enum access wanted;

static void access_task(u32 task)
{
	result[0] = access_once(0, wanted_gfn, wanted);
}

static enum guest_result access_alone(gfn_t gfn, enum access access)
{
	wanted_gfn = gfn;
	wanted = access;
	run(1, access_task, 0);
	return result[0];
}

static void walk_learns_the_way_down(void **state)
{
	struct psc_view upper, lower;

	set_up();
	*entry_of(5, 1) = leaf(99, PTE_RWX);
	event_context.clock = 7;
	assert_int_equal(access_alone(5, ACCESS_READ), GUEST_DONE);
	assert_int_equal(inspect_nr_psc(0), 2);
	upper = inspect_psc(0, 0);
	lower = inspect_psc(0, 1);
	assert_int_equal(upper.level, 2);
	assert_int_equal(upper.table, pte_pfn(*entry_of(5, 3)));
	assert_int_equal(lower.level, 1);
	assert_int_equal(lower.table, pte_pfn(*entry_of(5, 2)));
	assert_int_equal(lower.gfn, 0);
	assert_int_equal(lower.root, root);
	assert_int_equal(upper.filled_at, 7);
	assert_int_equal(lower.filled_at, 7);
	assert_int_equal(inspect_tlb(0, 0).filled_at, 7);
	assert_int_equal(inspect_nr_psc(1), 0);
	assert_int_equal(inspect_nr_psc(7), 0);
}

static void walk_goes_on_from_the_deepest_table(void **state)
{
	set_up();
	*entry_of(5, 1) = leaf(99, PTE_RWX);
	*entry_of(6, 1) = leaf(98, PTE_RWX);
	*entry_of(6 + PT_PAGES(2), 1) = leaf(97, PTE_RWX);
	event_context.clock = 7;
	access_alone(5, ACCESS_READ);
	/* The table is unlinked: it is still reached, and what is found there is as old as the way. */
	*entry_of(5, 2) = 0;
	event_context.clock = 20;
	assert_int_equal(access_alone(6, ACCESS_WRITE), GUEST_DONE);
	assert_int_equal(inspect_tlb(0, 1).pfn, 98);
	assert_int_equal(inspect_tlb(0, 1).filled_at, 7);
	/* Its neighbour is found below the level-2 table, which the cache knows as well. */
	*entry_of(5, 3) = 0;
	assert_int_equal(access_alone(6 + PT_PAGES(2), ACCESS_READ), GUEST_DONE);
	assert_int_equal(inspect_tlb(0, 2).filled_at, 7);
	assert_int_equal(inspect_nr_psc(0), 3);
	assert_int_equal(inspect_psc(0, 2).filled_at, 7);
	vcpu_drop_gfn(cpu[0], 5);
	assert_int_equal(inspect_nr_psc(0), 1);
	assert_int_equal(inspect_nr_tlb(0), 2);
	assert_int_equal(access_alone(5, ACCESS_READ), GUEST_VIOLATION);
	vcpu_flush_tlb(cpu[0]);
	assert_int_equal(inspect_nr_psc(0), 0);
	assert_int_equal(access_alone(6, ACCESS_READ), GUEST_VIOLATION);
}

static void cached_way_keeps_its_rights(void **state)
{
	set_up();
	*entry_of(5, 1) = leaf(99, PTE_RWX);
	*entry_of(6, 1) = leaf(98, PTE_RWX);
	*entry_of(5, 3) &= ~PTE_W;
	*entry_of(5, 2) &= ~PTE_X;
	assert_int_equal(access_alone(5, ACCESS_READ), GUEST_DONE);
	assert_int_equal(inspect_tlb(0, 0).access, PTE_R);
	assert_int_equal(access_alone(6, ACCESS_WRITE), GUEST_VIOLATION);
	assert_int_equal(access_alone(6, ACCESS_EXEC), GUEST_VIOLATION);
	assert_int_equal(access_alone(6, ACCESS_READ), GUEST_DONE);
	assert_int_equal(inspect_tlb(0, 1).access, PTE_R);
}

static void full_cache_forgets_the_oldest_way(void **state)
{
	struct psc_entry again;

	set_up();
	for (u32 i = 0; i < PSC_ENTRIES_MAX; i++)
		*entry_of(i * PT_PAGES(2), 1) = leaf(100 + i, PTE_RWX);
	for (u32 i = 0; i < PSC_ENTRIES_MAX; i++)
		access_alone(i * PT_PAGES(2), ACCESS_READ);
	/* One level-2 table and eight below it: the former is forgotten. */
	assert_int_equal(inspect_nr_psc(0), PSC_ENTRIES_MAX);
	for (u32 i = 0; i < PSC_ENTRIES_MAX; i++)
		assert_int_equal(inspect_psc(0, i).gfn, i * PT_PAGES(2));
	vcpu_drop_gfn(cpu[0], 0);
	again = cpu[0]->psc[2];
	again.table = 77;
	psc_fill(cpu[0], &again);
	assert_int_equal(inspect_nr_psc(0), PSC_ENTRIES_MAX - 1);
	assert_int_equal(inspect_psc(0, 2).gfn, 4 * PT_PAGES(2));
	assert_int_equal(inspect_psc(0, PSC_ENTRIES_MAX - 2).table, 77);
}

static void flush_of_the_current_root_leaves_others(void **state)
{
	pfn_t other;

	set_up();
	*entry_of(5, 1) = leaf(99, PTE_RWX);
	access_alone(5, ACCESS_READ);
	other = root;
	root = frame_alloc(FRAME_PAGE_TABLE);
	*entry_of(5, 1) = leaf(98, PTE_RWX);
	vcpu_load_root(cpu[0], root, LEVELS);
	access_alone(5, ACCESS_READ);
	assert_int_equal(inspect_nr_tlb(0), 2);
	assert_int_equal(inspect_nr_psc(0), 4);
	vcpu_flush_tlb_current(cpu[0]);
	assert_int_equal(inspect_nr_tlb(0), 1);
	assert_int_equal(inspect_tlb(0, 0).root, other);
	assert_int_equal(inspect_nr_psc(0), 2);
	assert_int_equal(inspect_psc(0, 1).root, other);
}

static void misconfigured_task(u32 task)
{
	result[0] = access_once(0, 1, ACCESS_READ);
	result[1] = access_once(0, 2, ACCESS_WRITE);
	result[2] = access_once(0, PT_PAGES(2), ACCESS_READ);
}

static void illegal_entry_is_told_from_a_violation(void **state)
{
	set_up();
	*entry_of(1, 1) = PTE_W | PTE_X | 1ull << 40;
	*entry_of(2, 1) = leaf(99, PTE_W);
	*entry_of(PT_PAGES(2), 2) = leaf(98, PTE_W | PTE_X | PTE_PS);
	run(1, misconfigured_task, 0);
	for (u32 i = 0; i < 3; i++)
		assert_int_equal(result[i], GUEST_MISCONFIG);
	assert_int_equal(inspect_nr_tlb(0), 0);
	assert_int_equal(*entry_of(2, 1), leaf(99, PTE_W));
	assert_false(pte_hw_present(*entry_of(1, 1)));
}

/* --- what the environment may do --- */

static void environment_evicts(void **state)
{
	set_up();
	*entry_of(5, 1) = leaf(99, PTE_RWX);
	*entry_of(6, 1) = leaf(98, PTE_RWX);
	access_alone(5, ACCESS_READ);
	access_alone(6, ACCESS_READ);
	*entry_of(5, 1) = 0;
	assert_int_equal(access_alone(5, ACCESS_READ), GUEST_DONE); /* by the TLB */
	answers[ANSWER_TLB] = 1;
	assert_int_equal(access_alone(5, ACCESS_READ), GUEST_VIOLATION);
	assert_int_equal(inspect_nr_tlb(0), 1);
	assert_int_equal(inspect_nr_psc(0), 2);
	*entry_of(5, 3) = 0;
	assert_int_equal(access_alone(6, ACCESS_READ),
			 GUEST_DONE); /* walked from the cached table */
	answers[ANSWER_TLB] = 2;
	assert_int_equal(access_alone(6, ACCESS_READ), GUEST_VIOLATION);
	assert_int_equal(inspect_nr_psc(0), 0);
	answers[ANSWER_TLB] = 0;
}

static u64 cmpxchg_old, touched;
static bool cmpxchg_done;

static void accessors_task(u32 task)
{
	u64 *ptep = frame_words(root) + 6; /* far from what is walked below */

	pte_write(ptep, 0, 5);
	cmpxchg_old = pte_read(ptep);
	cmpxchg_done = pte_try_cmpxchg(ptep, &cmpxchg_old, 6);
	pte_xchg(ptep + 1, 9);
	touched = event_context.touched[task];
	access_once(0, 4, ACCESS_READ);
	touched += 100 * (event_context.touched[task] - touched);
}

static void environment_refuses_an_exchange(void **state)
{
	set_up();
	run(1, accessors_task, 0);
	assert_true(cmpxchg_done);
	assert_int_equal(frame_words(root)[6], 6);
	set_up();
	answers[ANSWER_CMPXCHG] = 1;
	run(1, accessors_task, 0);
	answers[ANSWER_CMPXCHG] = 0;
	assert_false(cmpxchg_done);
	assert_int_equal(cmpxchg_old, 5);
	assert_int_equal(frame_words(root)[6], 5);
}

static void software_is_counted_and_the_walker_is_not(void **state)
{
	set_up();
	run(1, accessors_task, 0);
	assert_int_equal(touched, 4);
}

/* --- ranged flushes --- */

static void set_up_three_pages(void)
{
	set_up();
	*entry_of(5, 1) = leaf(99, PTE_RWX);
	*entry_of(6, 1) = leaf(98, PTE_RWX);
	*entry_of(PT_PAGES(2), 1) = leaf(97, PTE_RWX);
	access_alone(5, ACCESS_READ);
	access_alone(6, ACCESS_READ);
	access_alone(PT_PAGES(2), ACCESS_READ);
}

static struct flush_range flushed;
static u32 nr_flushes;

static void flush_range_task(u32 task)
{
	for (u32 i = 0; i < nr_flushes; i++)
		machine_flush_range(&flushed);
}

static void flush_range_alone(struct flush_range range, u32 times)
{
	flushed = range;
	nr_flushes = times;
	run(1, flush_range_task, 0);
}

static void serve_task(u32 task)
{
	if (vcpu_take_request(cpu[0], REQUEST_TLB_FLUSH_RANGE))
		vcpu_flush_ranges(cpu[0]);
}

static void ranged_flush_drops_its_range_only(void **state)
{
	set_up_three_pages();
	flush_range_alone((struct flush_range){ 5, 6, .leafs_only = true }, 1);
	assert_true(inspect_request_pending(0, REQUEST_TLB_FLUSH_RANGE));
	assert_false(inspect_request_pending(0, REQUEST_TLB_FLUSH));
	assert_true(inspect_flush_pending(0));
	assert_true(inspect_tlb_usable(0, root));
	assert_false(inspect_cached_usable(0, root, 5, 6, false));
	assert_false(inspect_cached_usable(0, root, 0, PT_PAGES(2), false));
	assert_true(inspect_cached_usable(0, root, 0, PT_PAGES(2), true));
	assert_true(inspect_cached_usable(0, root, 6, 7, false));
	assert_false(inspect_cached_usable(0, root + 1, 6, 7, false));
	/* A vCPU in the guest uses what it has; one that will not find the request will, too. */
	cpu[0]->running = true;
	assert_true(inspect_cached_usable(0, root, 5, 6, false));
	cpu[0]->running = false;
	cpu[0]->requests = 0;
	assert_true(inspect_cached_usable(0, root, 5, 6, false));
	cpu[0]->requests = BIT_ULL(REQUEST_TLB_FLUSH_RANGE);
	run(1, serve_task, 0);
	assert_false(inspect_flush_pending(0));
	assert_int_equal(inspect_nr_tlb(0), 2);
	assert_int_equal(inspect_tlb(0, 0).gfn, 6);
	assert_int_equal(inspect_nr_psc(0), 3);
	assert_true(inspect_cached_usable(0, root, 5, 6, false));
	flush_range_alone((struct flush_range){ 5, 6, .leafs_only = false }, 1);
	assert_false(inspect_cached_usable(0, root, 0, PT_PAGES(2), true));
	run(1, serve_task, 0);
	assert_int_equal(inspect_nr_tlb(0), 2);
	assert_int_equal(inspect_nr_psc(0), 1); /* the table beside; both above the page are gone */
	assert_int_equal(inspect_psc(0, 0).gfn, PT_PAGES(2));
}

static void too_many_ranges_become_a_full_flush(void **state)
{
	set_up_three_pages();
	flush_range_alone((struct flush_range){ 5, 6, .leafs_only = false }, FLUSH_RANGES_MAX);
	assert_false(inspect_request_pending(0, REQUEST_TLB_FLUSH));
	flush_range_alone((struct flush_range){ 6, 7, .leafs_only = false }, 1);
	assert_true(inspect_request_pending(0, REQUEST_TLB_FLUSH));
	assert_true(inspect_request_pending(1, REQUEST_TLB_FLUSH));
	assert_false(inspect_cached_usable(0, root, 6, 7, false));
	assert_int_equal(access_alone(5, ACCESS_READ), GUEST_DONE);
	assert_int_equal(inspect_nr_tlb(0), 1);
	assert_int_equal(cpu[0]->nr_ranges, 0);
}

/* --- what is told --- */

static u64 told[EVENT_COUNT]; /* how often */
static u64 last_field[EVENT_COUNT]; /* last field of the last one */

static void note_event(const struct event *event)
{
	u32 last = event_rows[event->id].nr_fields - 1;

	__atomic_fetch_add(&told[event->id], 1, __ATOMIC_RELAXED);
	__atomic_store_n(&last_field[event->id], event_field(event, last), __ATOMIC_RELAXED);
}

/* Only @events: no oracle need know of tables without an MMU. */
static void listen(u64 events)
{
	if (events)
		for (u32 i = 0; i < EVENT_COUNT; i++)
			told[i] = 0;
	oracle_tap(events ? note_event : NULL);
	event_context.interest = events;
}

static void serve_all_task(u32 task)
{
	serve_task(task);
	machine_request_all(REQUEST_TLB_FLUSH);
	vcpu_drop_gfn(cpu[0], 6);
	vcpu_drop_gfn(cpu[0], 6);
}

static void caches_and_requests_are_told(void **state)
{
	listen(BIT_ULL(EVENT_psc_filled) | BIT_ULL(EVENT_tlb_range_flushed) |
	       BIT_ULL(EVENT_tlb_dropped) | BIT_ULL(EVENT_request_waited) |
	       BIT_ULL(EVENT_cmpxchg_refused));
	set_up_three_pages();
	assert_int_equal(told[EVENT_psc_filled], 3);
	assert_int_equal(last_field[EVENT_psc_filled], pte_pfn(*entry_of(PT_PAGES(2), 2)));
	flush_range_alone((struct flush_range){ 5, 6, .leafs_only = true }, 2);
	assert_int_equal(told[EVENT_request_waited], 2);
	assert_int_equal(last_field[EVENT_request_waited], REQUEST_TLB_FLUSH_RANGE);
	run(1, serve_all_task, 0);
	assert_int_equal(told[EVENT_tlb_range_flushed], 2);
	assert_int_equal(last_field[EVENT_tlb_range_flushed], 6);
	assert_int_equal(told[EVENT_request_waited], 3);
	assert_int_equal(last_field[EVENT_request_waited], REQUEST_TLB_FLUSH);
	assert_int_equal(told[EVENT_tlb_dropped], 1);
	set_up();
	answers[ANSWER_CMPXCHG] = 1;
	run(1, accessors_task, 0);
	answers[ANSWER_CMPXCHG] = 0;
	listen(0);
	assert_int_equal(told[EVENT_cmpxchg_refused], 1);
	assert_int_equal(last_field[EVENT_cmpxchg_refused], 6);
}

/* --- races --- */

/* Maps gfn 5 of a fresh machine; tasks go straight to its entry. */
static u64 *contended, *above; /* the entry, and the one that leads to its table */

static void set_up_contended(void)
{
	set_up();
	contended = entry_of(5, 1);
	above = entry_of(5, 2);
	*contended = leaf(99, PTE_RWX);
}

static u64 zapped;

static void assist_vs_zap_task(u32 task)
{
	if (task == 0)
		result[0] = access_once(0, 5, ACCESS_WRITE);
	else
		zapped = pte_xchg(contended, 0);
}

static void assist_never_revives_an_entry(void **state)
{
	u32 done = 0, dirty = 0;

	for (u64 i = 0; i < SCHEDULES; i++) {
		set_up_contended();
		run(2, assist_vs_zap_task, i);
		assert_int_equal(*contended, 0);
		/* The write got through if and only if the zapper saw its D bit. */
		assert_int_equal(result[0] == GUEST_DONE, !!(zapped & PTE_D));
		done += result[0] == GUEST_DONE;
		dirty += !!(zapped & PTE_D);
	}
	assert_in_range(done, 1, SCHEDULES - 1);
	assert_int_equal(done, dirty);
}

static u32 usable_after_flush, entered_meanwhile;

/* An entry is stale when it is usable and still holds the page that was zapped before the flush. */
static bool stale(u32 vcpu)
{
	bool found = false;

	for (u32 i = 0; i < inspect_nr_tlb(vcpu); i++)
		found |= inspect_tlb(vcpu, i).pfn == 99;
	return found && inspect_tlb_usable(vcpu, root);
}

static void flush_vs_guests_task(u32 task)
{
	if (task < 2) {
		for (u32 i = 0; i < 3; i++)
			access_once(task, 5, ACCESS_WRITE);
		return;
	}
	pte_xchg(contended, 0);
	machine_request_all(REQUEST_TLB_FLUSH);
	usable_after_flush += stale(0) + stale(1);
	entered_meanwhile += inspect_in_guest_mode(0) + inspect_in_guest_mode(1);
}

static void flush_request_leaves_nothing_usable(void **state)
{
	usable_after_flush = entered_meanwhile = 0;
	for (u64 i = 0; i < SCHEDULES; i++) {
		set_up_contended();
		run(3, flush_vs_guests_task, i);
		assert_int_equal(usable_after_flush, 0);
		assert_false(inspect_in_guest_mode(0) || inspect_in_guest_mode(1));
	}
	/* Some had served the request and were back before the sender noticed. */
	assert_true(entered_meanwhile);
}

/* The table above the contended entry is unlinked; a vCPU may know the way, or be on it. */
static void unlink_vs_guests_task(u32 task)
{
	pfn_t table = kern_page_nr(contended);

	if (task < 2) {
		for (u32 i = 0; i < 3; i++)
			access_once(task, 5 + i, ACCESS_WRITE);
		return;
	}
	pte_xchg(above, 0);
	machine_request_all(REQUEST_TLB_FLUSH);
	for (u32 i = 0; i < 2; i++) {
		usable_after_flush += stale(i);
		for (u32 n = 0; n < inspect_nr_psc(i); n++)
			usable_after_flush +=
				inspect_psc(i, n).table == table && inspect_tlb_usable(i, root);
	}
}

static void nothing_leads_to_an_unlinked_table_after_a_flush(void **state)
{
	usable_after_flush = 0;
	for (u64 i = 0; i < SCHEDULES; i++) {
		set_up_contended();
		run(3, unlink_vs_guests_task, i);
		assert_int_equal(usable_after_flush, 0);
	}
}

static u32 others_usable;

static void ranged_flush_vs_guests_task(u32 task)
{
	const struct flush_range range = { 5, 6, .leafs_only = true };

	if (task < 2) {
		for (u32 i = 0; i < 4; i++)
			access_once(task, 5 + i % 2, ACCESS_WRITE);
		return;
	}
	if (task == 2)
		pte_xchg(contended, 0);
	machine_flush_range(&range);
	if (task != 2)
		return;
	for (u32 i = 0; i < 2; i++)
		for (u32 n = 0; n < inspect_nr_tlb(i); n++) {
			bool usable = inspect_cached_usable(i, root, inspect_tlb(i, n).gfn,
							    inspect_tlb(i, n).gfn + 1, false);

			usable_after_flush += usable && inspect_tlb(i, n).pfn == 99;
			others_usable += usable && inspect_tlb(i, n).pfn == 98;
		}
}

static void ranged_flush_leaves_nothing_of_it_usable(void **state)
{
	usable_after_flush = others_usable = 0;
	for (u64 i = 0; i < SCHEDULES; i++) {
		set_up_contended();
		*entry_of(6, 1) = leaf(98, PTE_RWX);
		run(4, ranged_flush_vs_guests_task, i);
		assert_int_equal(usable_after_flush, 0);
	}
	assert_true(others_usable);
}

static u64 sent;
static u32 pending_seen;

/* Leaves the guest only when the sender has returned. */
static void nowait_task(u32 task)
{
	if (task == 0) {
		while (!vcpu_enter(cpu[0]))
			vcpu_take_request(cpu[0], REQUEST_FREE_OBSOLETE_ROOTS);
		while (!READ_ONCE(sent))
			cond_resched();
		vcpu_leave(cpu[0]);
		pending_seen += vcpu_requests_pending(cpu[0]);
		return;
	}
	machine_request_all_nowait(REQUEST_FREE_OBSOLETE_ROOTS);
	WRITE_ONCE(sent, 1);
}

static void request_without_wait_leaves_vcpus_in_the_guest(void **state)
{
	pending_seen = 0;
	for (u64 i = 0; i < SCHEDULES; i++) {
		set_up_contended();
		sent = 0;
		run(2, nowait_task, i);
		assert_int_equal(cpu[0]->mode, OUTSIDE_GUEST_MODE);
		assert_true(inspect_request_pending(1, REQUEST_FREE_OBSOLETE_ROOTS));
	}
	assert_in_range(pending_seen, 1, SCHEDULES - 1);
}

static void senders_that_are_vcpus_task(u32 task)
{
	for (u32 i = 0; i < 3; i++) {
		access_once(task, 5, ACCESS_READ);
		machine_request_all(REQUEST_TLB_FLUSH);
	}
}

static void senders_may_be_vcpus(void **state)
{
	for (u64 i = 0; i < SCHEDULES; i++) {
		set_up_contended();
		run(2, senders_that_are_vcpus_task, i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_count_users_and_generations),
		cmocka_unit_test(last_put_frees),
		cmocka_unit_test(wrong_counts_do_no_harm),
		cmocka_unit_test(read_fills_without_write),
		cmocka_unit_test(write_sets_dirty_and_replaces_entry),
		cmocka_unit_test(violations_change_accessed_bits_only),
		cmocka_unit_test(huge_leaf_fills_one_entry),
		cmocka_unit_test(full_tlb_drops_oldest),
		cmocka_unit_test(walk_learns_the_way_down),
		cmocka_unit_test(walk_goes_on_from_the_deepest_table),
		cmocka_unit_test(cached_way_keeps_its_rights),
		cmocka_unit_test(full_cache_forgets_the_oldest_way),
		cmocka_unit_test(flush_of_the_current_root_leaves_others),
		cmocka_unit_test(illegal_entry_is_told_from_a_violation),
		cmocka_unit_test(environment_evicts),
		cmocka_unit_test(environment_refuses_an_exchange),
		cmocka_unit_test(software_is_counted_and_the_walker_is_not),
		cmocka_unit_test(ranged_flush_drops_its_range_only),
		cmocka_unit_test(too_many_ranges_become_a_full_flush),
		cmocka_unit_test(caches_and_requests_are_told),
		cmocka_unit_test(nothing_leads_to_an_unlinked_table_after_a_flush),
		cmocka_unit_test(ranged_flush_leaves_nothing_of_it_usable),
		cmocka_unit_test(request_without_wait_leaves_vcpus_in_the_guest),
		cmocka_unit_test(assist_never_revives_an_entry),
		cmocka_unit_test(flush_request_leaves_nothing_usable),
		cmocka_unit_test(senders_may_be_vcpus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
