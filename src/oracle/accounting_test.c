/*
 * accounting, each invariant on a violation and on its legal neighbour, in a world made by hand (fake_world.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "oracle/fake_world.h"

static void quiesce(void)
{
	event_context.task = TASK_NONE;
	event(quiesced, .tasks = 1);
}

static void end_state_adds_up(void **state)
{
	world();
	quiesce();
	silent();

	fake.frames[host_pfn(2)].count = 2;
	quiesce();
	convicted(ORACLE_accounting, "AC0");

	world();
	as(1);
	event(lock_acquired, .lock = 1, .class = LOCK_mmap_lock, .mode = LOCK_SHARED);
	quiesce();
	convicted(ORACLE_accounting, "AC0");

	world();
	fake_words(root)[1] = SPTE_FROZEN;
	quiesce();
	convicted(ORACLE_accounting, "AC0");

	/* A table that nobody reaches. */
	world();
	fake_table();
	quiesce();
	convicted(ORACLE_accounting, "AC1");

	/* Linked behind the MMU's back: it counts none. */
	world_locked(0);
	unlock();
	quiesce();
	convicted(ORACLE_accounting, "AC1");
}

static void zapped_roots_stay_empty(void **state)
{
	world_locked(1);
	event(root_invalidated, .root = root);
	event(root_zapped, .root = root);
	convicted(ORACLE_accounting, "AC3");

	world_locked(1);
	event(root_invalidated, .root = root);
	change(root, 0, SPTE_NONPRESENT);
	event(root_zapped, .root = root);
	unlock();
	event(synchronized, .class = LOCK_rcu);
	fake_free_table(table);
	quiesce();
	silent();
	as(1);
	lock(LOCK_SHARED);
	change(root, 1, TABLE | pfn_bits(fake_table()));
	convicted(ORACLE_accounting, "AC3");

	/* Nobody has zapped it. */
	world();
	event(root_invalidated, .root = root);
	fake_words(root)[1] = leaf_of(3);
	silent();
	quiesce();
	convicted(ORACLE_accounting, "AC3");

	/* A valid one may be filled again. */
	world_locked(1);
	event(root_zapped, .root = root);
	change(root, 1, TABLE | pfn_bits(fake_table()));
	silent();

	/* Behind the back of the events. */
	world();
	event(root_invalidated, .root = root);
	event(root_zapped, .root = root);
	fake_words(root)[1] = leaf_of(3);
	quiesce();
	convicted(ORACLE_accounting, "AC3");
}

static void nobody_waits_at_the_end(void **state)
{
	world();
	fake.counters.scheduled_roots = 1;
	quiesce();
	convicted(ORACLE_accounting, "AC0");
	world();
	fake.counters.memslot_waiters = 1;
	quiesce();
	convicted(ORACLE_accounting, "AC0");
	world();
	fake.counters.in_progress = 1;
	quiesce();
	convicted(ORACLE_accounting, "AC0");

	/* Unregistered in the middle of a notification. */
	notified_world();
	mmu_starts();
	as(2);
	called(0, NOTIFIER_RELEASE, 0);
	event(subscriber_left, .subscriber = 0);
	as(1);
	notification_over();
	fake.counters.in_progress = 1;
	quiesce();
	silent();

	/* An update that failed has freed the copy; one that changed the flags frees the old slot. */
	world();
	memslot_step(MEMSLOT_BEGUN, 0);
	memslot_step(MEMSLOT_INVALID, 1);
	memslot_step(MEMSLOT_RESTORED, 0);
	memslot_step(MEMSLOT_FREED, 1);
	quiesce();
	silent();
	memslot_step(MEMSLOT_BEGUN, 0);
	memslot_step(MEMSLOT_ADDED, 2);
	quiesce();
	convicted(ORACLE_accounting, "AC4");
	world();
	memslot_step(MEMSLOT_BEGUN, 0);
	memslot_step(MEMSLOT_ADDED, 2);
	fake.nr_slots++;
	quiesce();
	silent();

	/* With the VM its tables go. */
	world();
	fake.vm = false;
	quiesce();
	convicted(ORACLE_accounting, "AC4");
	root_let_go(true, true, true);
	fake.vm = false;
	quiesce();
	silent();
}

static void split_off_tables_are_linked(void **state)
{
	world();
	fake.counters.nx_pages = 2;
	quiesce();
	silent();
	fake.counters.nx_pages_gone = 1;
	quiesce();
	convicted(ORACLE_accounting, "AC7");
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(end_state_adds_up),
	cmocka_unit_test(zapped_roots_stay_empty),
	cmocka_unit_test(nobody_waits_at_the_end),
	cmocka_unit_test(split_off_tables_are_linked),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
