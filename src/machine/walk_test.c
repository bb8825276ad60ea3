/*
 * The walker, the TLB and the paging-structure cache.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "oracle/oracle.h"
#include "oracle/judge.h"
#include "machine/fixture.h"

/* --- walker and TLB --- */

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

static void huge_leafs_of_level_three_and_of_single_pages(void **state)
{
	gfn_t gfn = PT_PAGES(3) + PT_PAGES(2) + 3;

	set_up();
	*entry_of(PT_PAGES(3), 3) = leaf(PT_PAGES(3) * 2, PTE_R | PTE_X | PTE_PS);
	*entry_of(5, 1) = leaf(99, PTE_RWX | PTE_PS); /* bit 7 says nothing here */
	assert_int_equal(access_alone(gfn, ACCESS_READ), GUEST_DONE);
	assert_int_equal(inspect_tlb(0, 0).level, 3);
	assert_int_equal(inspect_tlb(0, 0).gfn, PT_PAGES(3));
	assert_int_equal(inspect_tlb(0, 0).pfn, PT_PAGES(3) * 2);
	assert_int_equal(inspect_tlb(0, 0).access, PTE_R | PTE_X);
	assert_int_equal(inspect_nr_psc(0), 0);
	assert_int_equal(access_alone(PT_PAGES(3) * 2 - 1, ACCESS_WRITE), GUEST_VIOLATION);
	assert_int_equal(access_alone(PT_PAGES(3) * 2, ACCESS_READ), GUEST_VIOLATION);
	assert_int_equal(access_alone(5, ACCESS_READ), GUEST_DONE);
	assert_int_equal(inspect_tlb(0, 1).level, 1);
	assert_int_equal(inspect_tlb(0, 1).pfn, 99);
}

/* What the last access read, by the TLB or by a walk. */
static pfn_t pfn_seen;

static void note_access(const struct event *event)
{
	if (event->id == EVENT_guest_accessed)
		__atomic_store_n(&pfn_seen, ((const struct event_guest_accessed *)event)->pfn,
				 __ATOMIC_RELAXED);
}

/* A huge entry and one for a page in it, in both orders of their fills: the older one counts. */
static void tlb_holds_a_page_twice(void **state)
{
	pfn_t table;

	listen_by(note_access, EVENT_BIT(EVENT_guest_accessed));
	set_up();
	*entry_of(5, 2) = leaf(PT_PAGES(2) * 7, PTE_R | PTE_PS);
	access_alone(4, ACCESS_READ);
	assert_int_equal(pfn_seen, PT_PAGES(2) * 7 + 4);
	/* Split, with more rights for one page. The huge entry is there still, and still says no. */
	table = frame_alloc(FRAME_PAGE_TABLE);
	frame_words(table)[PT_INDEX(5, 1)] = leaf(300, PTE_RWX);
	*entry_of(5, 2) = table << PTE_PFN_SHIFT | LINK;
	assert_int_equal(access_alone(5, ACCESS_WRITE), GUEST_VIOLATION);
	cpu[0]->tlb[0].rights |= PTE_W; /* D is what it lacks: the walk finds the page itself */
	assert_int_equal(access_alone(5, ACCESS_WRITE), GUEST_DONE);
	assert_int_equal(pfn_seen, 300);
	assert_int_equal(inspect_nr_tlb(0), 2);
	assert_int_equal(inspect_tlb(0, 0).level, 2);
	assert_int_equal(inspect_tlb(0, 1).level, 1);
	assert_int_equal(access_alone(5, ACCESS_READ), GUEST_DONE);
	assert_int_equal(pfn_seen, PT_PAGES(2) * 7 + 5);
	/* The exit behind a violation takes both away, and the way; nothing else. */
	vcpu_drop_gfn(cpu[0], 5);
	assert_int_equal(inspect_nr_tlb(0), 0);
	access_alone(5, ACCESS_READ);
	*entry_of(5, 2) = leaf(PT_PAGES(2) * 9, PTE_R | PTE_PS);
	cpu[0]->nr_psc = 0;
	assert_int_equal(access_alone(6, ACCESS_READ), GUEST_DONE);
	assert_int_equal(pfn_seen, PT_PAGES(2) * 9 + 6);
	assert_int_equal(inspect_nr_tlb(0), 2);
	assert_int_equal(access_alone(5, ACCESS_READ), GUEST_DONE);
	assert_int_equal(pfn_seen, 300);
	listen(0);
}

static void ranged_flush_drops_a_huge_entry_for_a_page(void **state)
{
	set_up();
	*entry_of(5, 2) = leaf(PT_PAGES(2) * 7, PTE_RWX | PTE_PS);
	access_alone(5, ACCESS_WRITE);
	cpu[0]->ranges[cpu[0]->nr_ranges++] = (struct flush_range){ 6, 7, .leafs_only = true };
	cpu[0]->requests = BIT_ULL(REQUEST_TLB_FLUSH_RANGE);
	assert_false(inspect_cached_usable(0, root, 0, PT_PAGES(2), false));
	*entry_of(5, 2) = 0;
	assert_int_equal(access_alone(5, ACCESS_READ), GUEST_VIOLATION);
	assert_int_equal(inspect_nr_tlb(0), 0);
}

static void without_ad_bits_nothing_is_written(void **state)
{
	u64 *link;

	set_up();
	assert_true(inspect_ad_bits());
	machine_set_ad_bits(false);
	assert_false(inspect_ad_bits());
	*entry_of(5, 1) = leaf(99, PTE_R | PTE_W);
	*entry_of(6, 1) = leaf(98, PTE_R | PTE_X);
	link = entry_of(5, 2);
	vcpu_set_pml(cpu[0], true);
	assert_int_equal(access_alone(5, ACCESS_READ), GUEST_DONE);
	assert_int_equal(inspect_tlb(0, 0).access, PTE_R | PTE_W);
	*entry_of(5, 1) = 0; /* silently from here on: W is all that the TLB asks for */
	assert_int_equal(access_alone(5, ACCESS_WRITE), GUEST_DONE);
	assert_int_equal(access_alone(6, ACCESS_READ), GUEST_DONE);
	assert_int_equal(access_alone(6, ACCESS_WRITE), GUEST_VIOLATION);
	assert_int_equal(*entry_of(5, 1), 0);
	assert_int_equal(*entry_of(6, 1), leaf(98, PTE_R | PTE_X));
	assert_int_equal(*link & (PTE_A | PTE_D), 0);
	assert_int_equal(*entry_of(5, 3) & PTE_A, 0);
	assert_int_equal(inspect_nr_pml(0), 0);
	set_up();
	assert_true(inspect_ad_bits());
	*entry_of(5, 1) = leaf(99, PTE_RWX);
	assert_int_equal(access_alone(5, ACCESS_READ), GUEST_DONE);
	assert_int_equal(*entry_of(5, 1), leaf(99, PTE_RWX | PTE_A));
}

/* Return: what violation_present says of it. */
static bool violation_present(gfn_t gfn, enum access access)
{
	assert_int_equal(access_alone(gfn, access), GUEST_VIOLATION);
	return cpu[0]->violation_present;
}

static void violation_says_whether_something_was_granted(void **state)
{
	set_up();
	assert_false(cpu[0]->violation_present);
	*entry_of(1, 1) = leaf(99, PTE_R | PTE_X);
	*entry_of(2, 1) = leaf(98, PTE_R | PTE_W);
	*entry_of(3, 1) = leaf(97, 0); /* as when accesses are tracked */
	*entry_of(PT_PAGES(2), 1) = leaf(96, PTE_R | PTE_W);
	*entry_of(PT_PAGES(2), 2) &= ~(PTE_R | PTE_W);
	assert_true(violation_present(1, ACCESS_WRITE));
	assert_false(violation_present(3, ACCESS_WRITE));
	assert_true(violation_present(2, ACCESS_EXEC));
	assert_false(violation_present(4, ACCESS_READ));
	/* Each entry grants something, together they grant nothing. */
	assert_false(violation_present(PT_PAGES(2), ACCESS_EXEC));
	assert_true(violation_present(1, ACCESS_WRITE));
	assert_false(violation_present(PT_PAGES(3), ACCESS_READ)); /* no table */
	assert_true(violation_present(1, ACCESS_WRITE));
	assert_false(violation_present(PT_PAGES(LEVELS + 1) + 1, ACCESS_READ));
	/* By the TLB, though the entry in memory grants nothing any more. */
	assert_int_equal(access_alone(1, ACCESS_READ), GUEST_DONE);
	*entry_of(1, 1) = 0;
	assert_true(violation_present(1, ACCESS_WRITE));
	vcpu_drop_gfn(cpu[0], 1);
	assert_false(violation_present(1, ACCESS_WRITE));
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

static void huge_leaf_must_be_aligned_and_no_larger_than_three(void **state)
{
	u64 *top;

	set_up();
	*entry_of(0, 2) = leaf(PT_PAGES(2) * 7 + 1, PTE_RWX | PTE_PS);
	*entry_of(PT_PAGES(3), 3) = leaf(PT_PAGES(2), PTE_RWX | PTE_PS);
	assert_int_equal(access_alone(0, ACCESS_READ), GUEST_MISCONFIG);
	assert_int_equal(access_alone(PT_PAGES(3), ACCESS_READ), GUEST_MISCONFIG);
	assert_int_equal(*entry_of(0, 2) & PTE_A, 0);
	assert_int_equal(inspect_nr_tlb(0), 0);
	top = frame_words(root);
	vcpu_load_root(cpu[0], root, PT_LEVEL_1G + 1);
	vcpu_flush_tlb(cpu[0]);
	top[0] = leaf(PT_PAGES(4), PTE_RWX | PTE_PS);
	assert_int_equal(access_alone(0, ACCESS_READ), GUEST_MISCONFIG);
	vcpu_load_root(cpu[0], root, PT_LEVEL_1G);
	vcpu_flush_tlb(cpu[0]);
	assert_int_equal(access_alone(0, ACCESS_READ), GUEST_DONE);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(read_fills_without_write),
		cmocka_unit_test(write_sets_dirty_and_replaces_entry),
		cmocka_unit_test(violations_change_accessed_bits_only),
		cmocka_unit_test(huge_leaf_fills_one_entry),
		cmocka_unit_test(huge_leafs_of_level_three_and_of_single_pages),
		cmocka_unit_test(tlb_holds_a_page_twice),
		cmocka_unit_test(ranged_flush_drops_a_huge_entry_for_a_page),
		cmocka_unit_test(without_ad_bits_nothing_is_written),
		cmocka_unit_test(violation_says_whether_something_was_granted),
		cmocka_unit_test(full_tlb_drops_oldest),
		cmocka_unit_test(walk_learns_the_way_down),
		cmocka_unit_test(walk_goes_on_from_the_deepest_table),
		cmocka_unit_test(cached_way_keeps_its_rights),
		cmocka_unit_test(full_cache_forgets_the_oldest_way),
		cmocka_unit_test(flush_of_the_current_root_leaves_others),
		cmocka_unit_test(illegal_entry_is_told_from_a_violation),
		cmocka_unit_test(huge_leaf_must_be_aligned_and_no_larger_than_three),
		cmocka_unit_test(environment_evicts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
