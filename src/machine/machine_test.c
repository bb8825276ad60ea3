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
#include "machine/machine.h"

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

static u64 value_default(void *ctx, const struct sched_stop *stop, u64 bound)
{
	return 0;
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
	static const struct sched_driver driver = { .next = next_hashed, .value = value_default };

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

	while (!vcpu_enter(cpu[vcpu]))
		if (vcpu_take_request(cpu[vcpu], REQUEST_TLB_FLUSH))
			vcpu_flush_tlb(cpu[vcpu]);
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
	vcpu_load_root(cpu[0], root, LEVELS);
	assert_int_equal(inspect_nr_tlb(0), 0);
}

/* --- races --- */

/* Maps gfn 5 of a fresh machine; tasks go straight to its entry. */
static u64 *contended;

static void set_up_contended(void)
{
	set_up();
	contended = entry_of(5, 1);
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
		cmocka_unit_test(assist_never_revives_an_entry),
		cmocka_unit_test(flush_request_leaves_nothing_usable),
		cmocka_unit_test(senders_may_be_vcpus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
