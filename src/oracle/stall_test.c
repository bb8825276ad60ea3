/*
 * stall, each invariant on a violation and on its legal neighbour, in a world made by hand (fake_world.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "oracle/fake_world.h"

static void stall_world(bool invalid)
{
	world();
	if (invalid)
		event(root_invalidated, .root = root);
	as(0);
}

/* What a correct walk touches at most is let pass, one more is not. L is 2 here. */
static void bound_is(bool invalid, enum walk_kind kind, u32 level, u32 most, const char *class)
{
	stall_world(invalid);
	walk(kind, level);
	assert_int_equal(event_context.touched_max[0], most);
	event_context.touched[0] = most;
	event(walk_ended, .root = root);
	silent();
	assert_int_equal(event_context.touched_max[0], ~0u);
	walk(kind, level);
	assert_int_equal(event_context.touched[0], 0);
	event_context.touched[0] = most + 1;
	event(walk_ended, .root = root);
	if (!class)
		return silent();
	convicted(ORACLE_stall, class);
	stall_world(invalid);
	walk(kind, level);
	event(yield_overdue, .entries = most + 1, .bound = most);
	convicted(ORACLE_stall, class);
}

static void walks_offer_to_give_way(void **state)
{
	const u32 one = 3, all = ~0u;

	bound_is(true, WALK_ZAP_ROOT, 1, one, "ST1");
	bound_is(true, WALK_ZAP_ROOT, 2, one + PT_ENTRIES, "ST1");
	bound_is(true, WALK_ZAP_ROOT, 5, one + PT_ENTRIES, "ST1");
	bound_is(true, WALK_ZAP_ROOT_TWO_PASS, 2, one + PT_ENTRIES + PT_ENTRIES * PT_ENTRIES,
		 "ST1");
	bound_is(false, WALK_ZAP_LEAFS, 1, one, "ST2");
	bound_is(true, WALK_ZAP_LEAFS, 1, one, "ST2");
	bound_is(false, WALK_ZAP_ROOT, 1, all, NULL);
	bound_is(false, WALK_ZAP_LEAFS_NONBLOCK, 1, all, NULL);
	bound_is(true, WALK_ZAP_ALL, 1, all, NULL);
	bound_is(false, WALK_WRPROT, 1, one, "ST3");
	bound_is(false, WALK_CLEAR_DIRTY, 1, one + PT_ENTRIES, "ST3");
	bound_is(false, WALK_SPLIT, 1, one + PT_ENTRIES, "ST3");
	/* 3 reads down, the other entries of the table, 2 on the way out; then the step of the walk itself. */
	bound_is(false, WALK_RECOVER, 2, 3 + (PT_ENTRIES - 1) + 2 + 2, "ST3");
	event_context.touched[0] = 0;
}

static void take_entries(u32 nr, u64 ring)
{
	for (u32 i = 0; i < nr; i++) {
		event(dirty_marked, .gfn = i, .ring = ring);
		event(dirty_taken, .gfn = i, .ring = ring);
	}
}

static void resets_offer_to_give_way(void **state)
{
	stall_world(false);
	event_context.taken[0] = 100; /* of whatever was before */
	harvest_begin(HARVEST_RESET);
	take_entries(FAKE_VCPUS + 1, 1);
	/* An offer. */
	event_context.taken[0] = 0;
	take_entries(FAKE_VCPUS + 1, 1);
	harvest_end(HARVEST_RESET);
	silent();
	stall_world(false);
	harvest_begin(HARVEST_RESET);
	take_entries(FAKE_VCPUS + 2, 1);
	convicted(ORACLE_stall, "ST7");

	/* Bits of a bitmap do not count. */
	stall_world(false);
	harvest_begin(HARVEST_GET);
	event_context.taken[0] = 0;
	take_entries(FAKE_VCPUS + 2, 0);
	assert_int_equal(event_context.taken[0], 0);
	silent();
}

/* A page of 1G of the host may have a subtree of two levels to dismantle. */
static void recovery_goes_as_high_as_the_host(void **state)
{
	u32 low;

	if (!HUGE_FITS)
		skip();
	world();
	root = fake_root(3, 0);
	as(0);
	event(walk_begun, .root = root, .end = PT_PAGES(3), .kind = WALK_RECOVER, .level = 2);
	low = event_context.touched_max[0];
	fake.slots[0].end = PT_PAGES(3);
	fake.host_level[HVA] = PT_LEVEL_1G;
	event(walk_begun, .root = root, .end = PT_PAGES(3), .kind = WALK_RECOVER, .level = 2);
	assert_int_equal(event_context.touched_max[0], low + PT_ENTRIES * (PT_ENTRIES + 3));
	event(walk_ended, .root = root);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(walks_offer_to_give_way),
	cmocka_unit_test(resets_offer_to_give_way),
	cmocka_unit_test(recovery_goes_as_high_as_the_host),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
