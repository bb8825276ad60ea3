/*
 * lifetime, each invariant on a violation and on its legal neighbour, in a world made by hand (fake_world.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "oracle/fake_world.h"

#define OBJECT 0x70000ull

/* Task 1 takes the table out of the tree and gives mmu_lock back. */
static void detach_table(void)
{
	as(1);
	lock(LOCK_SHARED);
	change(root, 0, SPTE_NONPRESENT);
	for (u32 i = 0; i < PT_ENTRIES; i++)
		change(table, i, SPTE_FROZEN);
	unlock();
}

static void callback(u64 object)
{
	as(TASK_RCU);
	event(rcu_ran, .object = object);
}

static void tables_wait_for_readers(void **state)
{
	world_mapped(3);
	detach_table();
	event(rcu_queued, .object = OBJECT);
	callback(OBJECT);
	fake_free_table(table);
	silent();

	/* Waiting for readers does as well, but only afterwards. */
	world_mapped(3);
	detach_table();
	event(synchronized, .class = LOCK_rcu);
	fake_free_table(table);
	silent();
	world_mapped(3);
	as(1);
	event(synchronized, .class = LOCK_rcu);
	detach_table();
	fake_free_table(table);
	convicted(ORACLE_lifetime, "L1");

	/* In a callback that was queued too early. */
	world_mapped(3);
	as(1);
	event(rcu_queued, .object = OBJECT);
	detach_table();
	event(rcu_queued, .object = OBJECT + 0x10000);
	callback(OBJECT);
	fake_free_table(table);
	convicted(ORACLE_lifetime, "L1");

	/* While it is linked. */
	world_mapped(3);
	as(1);
	event(synchronized, .class = LOCK_rcu);
	fake_free_table(table);
	convicted(ORACLE_lifetime, "L1");

	/* Never linked; taken down with the world. */
	world_mapped(3);
	as(1);
	fake_free_table(fake_table());
	as(TASK_NONE);
	fake_free_table(table);
	silent();
}

static void freed_tables_are_not_cached(void **state)
{
	world_mapped(3);
	detach_table();
	psc_fill_by_hand();
	as(1);
	event(synchronized, .class = LOCK_rcu);
	fake_free_table(table);
	convicted(ORACLE_lifetime, "L1");

	/* A leaf that was filled through it; one of the same page is no harm. */
	world_mapped(3);
	tlb_fill_by_hand(3);
	fake_vcpu(0)->running = false;
	fake_vcpu(0)->requests = BIT_ULL(FAKE_FLUSH);
	detach_table();
	fake_vcpu(0)->requests = 0;
	event(synchronized, .class = LOCK_rcu);
	fake_free_table(table);
	convicted(ORACLE_lifetime, "L1");

	/* Nobody runs on an invalid root. */
	world_mapped(3);
	psc_fill_by_hand();
	fake_vcpu(0)->running = false;
	event(root_invalidated, .root = root);
	detach_table();
	event(synchronized, .class = LOCK_rcu);
	fake_free_table(table);
	silent();
}

static void roots_are_let_go(void **state)
{
	root_let_go(true, true, true);
	silent();
	root_let_go(false, true, true);
	convicted(ORACLE_lifetime, "L5");
	root_let_go(true, false, true);
	convicted(ORACLE_lifetime, "L5");
	root_let_go(true, true, false);
	convicted(ORACLE_lifetime, "L5");

	world();
	event(root_invalidated, .root = root);
	fake_load_root(0, root);
	silent();
	fake_unlist(root);
	fake_load_root(0, 0);
	silent();
	fake_load_root(0, root);
	convicted(ORACLE_lifetime, "L5");
}

static void update_until(enum memslot_step last, bool sync)
{
	world();
	as(1);
	memslot_step(MEMSLOT_BEGUN, OBJECT);
	memslot_step(MEMSLOT_INVALID, OBJECT);
	event(synchronized, .class = LOCK_kvm_srcu);
	if (last == MEMSLOT_GONE)
		memslot_step(MEMSLOT_GONE, OBJECT);
	if (sync)
		event(synchronized, .class = LOCK_kvm_srcu);
	memslot_step(MEMSLOT_FREED, OBJECT + 8);
}

static void memslots_wait_for_readers(void **state)
{
	update_until(MEMSLOT_GONE, true);
	memslot_step(MEMSLOT_ENDED, OBJECT);
	silent();
	update_until(MEMSLOT_GONE, false);
	convicted(ORACLE_lifetime, "L6");

	/* Readers of another structure, or another task's wait, are not these. */
	world();
	as(1);
	memslot_step(MEMSLOT_BEGUN, OBJECT);
	memslot_step(MEMSLOT_GONE, OBJECT);
	event(synchronized, .class = LOCK_mn_srcu);
	as(2);
	event(synchronized, .class = LOCK_kvm_srcu);
	as(1);
	memslot_step(MEMSLOT_FREED, OBJECT);
	convicted(ORACLE_lifetime, "L6");
}

static void dead_memory_is_told_apart(void **state)
{
	world();
	event(dead_access, .object = 0x30010);
	convicted(ORACLE_lifetime, "L0");
	world();
	event(dead_access, .object = BIT_ULL(40) | 0x30010);
	convicted(ORACLE_lifetime, "L2");
	world();
	event(rcu_queued, .object = OBJECT + 8);
	event(dead_access, .object = OBJECT + 16);
	convicted(ORACLE_lifetime, "L0");
	world();
	event(rcu_queued, .object = OBJECT + 8);
	event(rcu_ran, .object = OBJECT + 8);
	event(dead_access, .object = OBJECT + 16);
	convicted(ORACLE_lifetime, "L2");
	update_until(MEMSLOT_GONE, true);
	event(dead_access, .object = OBJECT + 16);
	convicted(ORACLE_lifetime, "L6");
}

/* A huge leaf takes the table's place, then those who read it are waited for, or not. */
static void recovered(bool waits, bool cached)
{
	world_huge();
	as(1);
	lock(LOCK_SHARED);
	table = small_leafs(LEAF_RW);
	change(root, 0, TABLE | pfn_bits(table));
	walk(WALK_RECOVER, 2);
	/* Tagged like the huge leaf, and says the same: harmless. */
	tlb_fill_by_hand(3);
	change(root, 0, huge_leaf(LEAF_RW));
	unlock();
	silent();
	if (cached)
		psc_fill_by_hand();
	if (waits)
		event(synchronized, .class = LOCK_rcu);
	fake_free_table(table);
}

static void recovered_tables_wait_for_readers(void **state)
{
	if (!HUGE_FITS)
		skip();
	recovered(true, false);
	silent();
	recovered(false, false);
	convicted(ORACLE_lifetime, "L1");
	recovered(true, true);
	convicted(ORACLE_lifetime, "L1");
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(tables_wait_for_readers),
	cmocka_unit_test(freed_tables_are_not_cached),
	cmocka_unit_test(roots_are_let_go),
	cmocka_unit_test(memslots_wait_for_readers),
	cmocka_unit_test(dead_memory_is_told_apart),
	cmocka_unit_test(recovered_tables_wait_for_readers),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
