/*
 * lost_dirty, each invariant on a violation and on its legal neighbour, in a world made by hand (fake_world.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "oracle/fake_world.h"

static void mark(gfn_t gfn)
{
	fake.dirty |= BIT_ULL(gfn);
	event(dirty_marked, .as_id = 0, .gfn = gfn, .ring = 0);
}

static void take(gfn_t gfn)
{
	fake.dirty &= ~BIT_ULL(gfn);
	event(dirty_taken, .as_id = 0, .gfn = gfn, .ring = 0);
}

static void guest_writes(gfn_t gfn)
{
	event(guest_accessed, .vcpu = 0, .gfn = gfn, .pfn = host_pfn(gfn), .access = ACCESS_WRITE);
}

static void enable(enum dirty_log_mode mode, bool d_bits)
{
	if (mode == DIRTY_LOG_INITIALLY_SET)
		fake.dirty = ~0ull;
	dirty_log(DIRTY_LOG_ENABLING, mode, d_bits);
	dirty_log(DIRTY_LOG_ENABLED, mode, d_bits);
}

/* Logging is on and page 3 cannot be written. */
static void world_logged(enum dirty_log_mode mode, bool d_bits)
{
	world_locked(0);
	fake_words(table)[3] =
		(d_bits ? LEAF_RW & ~PTE_D : LEAF_RW & ~PTE_W) | pfn_bits(host_pfn(3));
	unlock();
	enable(mode, d_bits);
	as(0);
}

static void set_leaf(u64 bits)
{
	fake_words(table)[3] = bits | pfn_bits(host_pfn(3));
}

/* Task 1 reports page 3; @protects: it takes W or D as well. */
static void harvest(bool protects)
{
	as(1);
	harvest_begin(HARVEST_GET);
	take(3);
	if (protects)
		set_leaf(LEAF_RW & ~(PTE_W | PTE_D));
	harvest_end(HARVEST_GET);
}

static void quiesce(void)
{
	event_context.task = TASK_NONE;
	fake.counters.tables = 1;
	event(quiesced, .tasks = 1);
}

/* --- LD1 --- */

static void writes_are_pending(void **state)
{
	world_logged(DIRTY_LOG_BITMAP, false);
	mark(3);
	guest_writes(3);
	harvest_end(HARVEST_COPY);
	quiesce();
	silent();

	world_logged(DIRTY_LOG_BITMAP, false);
	guest_writes(3);
	silent();
	quiesce();
	convicted(ORACLE_lost_dirty, "LD1");
	world_logged(DIRTY_LOG_BITMAP, false);
	guest_writes(3);
	harvest_end(HARVEST_GET);
	convicted(ORACLE_lost_dirty, "LD1");

	/* The bit got lost behind its mark: who sets or takes another one of the word has stored over it. */
	world_logged(DIRTY_LOG_BITMAP, false);
	mark(3);
	guest_writes(3);
	fake.dirty = 0;
	quiesce();
	convicted(ORACLE_lost_dirty, "LD1");

	/* Reads, and other pages, are nobody's business. */
	world_logged(DIRTY_LOG_BITMAP, false);
	event(guest_accessed, .vcpu = 0, .gfn = 3, .pfn = host_pfn(3), .access = ACCESS_READ);
	mark(4);
	guest_writes(4);
	quiesce();
	silent();
}

static void reports_end_what_was_pending(void **state)
{
	world_logged(DIRTY_LOG_BITMAP, false);
	mark(3);
	guest_writes(3);
	harvest(true);
	quiesce();
	silent();
	guest_writes(3);
	quiesce();
	convicted(ORACLE_lost_dirty, "LD1");

	/* Written while a harvest has it in its hands: it will be reported. */
	world_logged(DIRTY_LOG_BITMAP, false);
	mark(3);
	as(1);
	harvest_begin(HARVEST_GET);
	take(3);
	as(0);
	guest_writes(3);
	as(2);
	harvest_begin(HARVEST_COPY);
	harvest_end(HARVEST_COPY);
	silent();
	as(1);
	harvest_end(HARVEST_GET);
	quiesce();
	silent();
}

static void logged_world(bool on)
{
	world_logged(DIRTY_LOG_BITMAP, true);
	fake_vcpu(0)->pml_on = on;
}

static void pml_holds_pages(void **state)
{
	logged_world(true);
	fake_vcpu(0)->pml[fake_vcpu(0)->nr_pml++] = 3;
	event(pml_logged, .vcpu = 0, .gfn = 3);
	guest_writes(3);
	harvest_end(HARVEST_GET);
	silent();
	/* Taken out, and not marked yet. */
	fake_vcpu(0)->nr_pml = 0;
	event(pml_taken, .vcpu = 0, .gfn = 3);
	harvest_end(HARVEST_GET);
	silent();
	mark(3);
	quiesce();
	silent();

	/* Of the other address space; never marked, which shows when the vCPU runs again, or at the end. */
	logged_world(true);
	fake_vcpu(0)->pml[fake_vcpu(0)->nr_pml++] = 3;
	fake_vcpu(0)->as_id = 1;
	guest_writes(3);
	harvest_end(HARVEST_GET);
	convicted(ORACLE_lost_dirty, "LD1");
	logged_world(true);
	guest_writes(3);
	event(pml_taken, .vcpu = 0, .gfn = 3);
	silent();
	event(vcpu_entered, .vcpu = 0);
	harvest_end(HARVEST_GET);
	convicted(ORACLE_lost_dirty, "LD1");
	logged_world(true);
	guest_writes(3);
	event(pml_taken, .vcpu = 0, .gfn = 3);
	quiesce();
	convicted(ORACLE_lost_dirty, "LD1");

	logged_world(false);
	event(pml_logged, .vcpu = 0, .gfn = 3);
	convicted(ORACLE_lost_dirty, "LD4");
}

static void kernel_writes_are_marked(void **state)
{
	world_logged(DIRTY_LOG_BITMAP, false);
	event(guest_written, .as_id = 0, .gfn = 3, .pfn = host_pfn(3));
	as(1);
	harvest_end(HARVEST_GET);
	silent();
	as(0);
	mark(3);
	quiesce();
	silent();

	world_logged(DIRTY_LOG_BITMAP, false);
	event(guest_written, .as_id = 0, .gfn = 3, .pfn = host_pfn(3));
	mark(4);
	quiesce();
	convicted(ORACLE_lost_dirty, "LD1");
}

static void fast_faults_mark_later(void **state)
{
	world_logged(DIRTY_LOG_BITMAP, false);
	fast_fault(3, LEAF_RW);
	as(1);
	guest_writes(3);
	harvest_end(HARVEST_GET);
	silent();
	as(0);
	mark(3);
	event(fault_ended, .gfn = 3, .ret = SUBJECT_FIXED);
	quiesce();
	silent();

	world_logged(DIRTY_LOG_BITMAP, false);
	fast_fault(3, LEAF_RW);
	guest_writes(3);
	event(fault_ended, .gfn = 3, .ret = SUBJECT_FIXED);
	harvest_end(HARVEST_GET);
	convicted(ORACLE_lost_dirty, "LD1");
}

/* --- LD3 --- */

static void unlogged_writes_do_not_count(void **state)
{
	/* Before it is on, and once it is about to be off. */
	world_locked(0);
	unlock();
	dirty_log(DIRTY_LOG_ENABLING, DIRTY_LOG_BITMAP, false);
	guest_writes(3);
	dirty_log(DIRTY_LOG_ENABLED, DIRTY_LOG_BITMAP, false);
	quiesce();
	silent();
	as(0);
	dirty_log(DIRTY_LOG_DISABLING, DIRTY_LOG_BITMAP, false);
	guest_writes(3);
	dirty_log(DIRTY_LOG_DISABLED, DIRTY_LOG_BITMAP, false);
	quiesce();
	silent();

	/* Lost, but then logging was turned off, or on anew, or the memslot has gone. */
	world_logged(DIRTY_LOG_BITMAP, false);
	guest_writes(3);
	dirty_log(DIRTY_LOG_DISABLING, DIRTY_LOG_BITMAP, false);
	quiesce();
	silent();
	world_logged(DIRTY_LOG_BITMAP, false);
	guest_writes(3);
	enable(DIRTY_LOG_BITMAP, false);
	quiesce();
	silent();
	world_logged(DIRTY_LOG_BITMAP, false);
	guest_writes(3);
	fake_words(table)[3] = SPTE_NONPRESENT;
	fake.nr_slots = 0;
	event(memslot_changed, .step = MEMSLOT_GONE, .as_id = 0, .start = 0, .end = GFNS);
	quiesce();
	silent();

	/* Of another memslot. */
	world_logged(DIRTY_LOG_BITMAP, false);
	guest_writes(3);
	event(memslot_changed, .step = MEMSLOT_GONE, .as_id = 0, .start = GFNS, .end = 2 * GFNS);
	event(memslot_changed, .step = MEMSLOT_GONE, .as_id = 1, .start = 0, .end = GFNS);
	quiesce();
	convicted(ORACLE_lost_dirty, "LD1");
}

static void initially_set_pages_count_when_cleared(void **state)
{
	world_logged(DIRTY_LOG_INITIALLY_SET, false);
	guest_writes(3);
	guest_writes(4);
	harvest_end(HARVEST_COPY);
	silent();
	harvest(true);
	guest_writes(4);
	quiesce();
	silent();
	guest_writes(3);
	quiesce();
	convicted(ORACLE_lost_dirty, "LD1");

	/* One that was left out when all bits were set: nobody will ever clear it. */
	world_logged(DIRTY_LOG_INITIALLY_SET, false);
	fake.dirty &= ~BIT_ULL(3);
	guest_writes(4);
	quiesce();
	silent();
	guest_writes(3);
	quiesce();
	convicted(ORACLE_lost_dirty, "LD1");
}

static void given_up_bits_are_nobodys(void **state)
{
	world_logged(DIRTY_LOG_MANUAL, false);
	mark(3);
	event(dirty_given_up, .as_id = 0, .gfn = 3);
	guest_writes(3);
	take(3);
	set_leaf(LEAF_RW);
	harvest_end(HARVEST_CLEAR);
	silent();
	/* From the report on it counts again. */
	guest_writes(3);
	quiesce();
	convicted(ORACLE_lost_dirty, "LD1");
}

/* --- LD2 --- */

static void reported_pages_are_protected(void **state)
{
	/* W is back, and nobody is about to mark: protected before the bits were taken. */
	world_logged(DIRTY_LOG_BITMAP, false);
	mark(3);
	set_leaf(LEAF_RW);
	harvest(false);
	convicted(ORACLE_lost_dirty, "LD2");
	/* Marked again since. */
	world_logged(DIRTY_LOG_BITMAP, false);
	mark(3);
	as(1);
	take(3);
	as(0);
	set_leaf(LEAF_RW);
	mark(3);
	as(1);
	harvest_end(HARVEST_GET);
	silent();
	/* A harvest that has reported another page. */
	world_logged(DIRTY_LOG_BITMAP, false);
	set_leaf(LEAF_RW);
	mark(3);
	take(4);
	harvest_end(HARVEST_GET);
	silent();
	/* An invalid root is nobody's any more. */
	world_logged(DIRTY_LOG_BITMAP, false);
	set_leaf(LEAF_RW);
	mark(3);
	fake.roots[0].invalid = true;
	event(root_invalidated, .root = root);
	harvest(false);
	silent();
}

/* What W and D say depends on the log, and on who keeps them. */
static void reported_with(bool d_bits, u64 leaf)
{
	world_logged(DIRTY_LOG_BITMAP, d_bits);
	mark(3);
	set_leaf(leaf);
	harvest(false);
}

static void modes_of_logging(void **state)
{
	reported_with(true, LEAF_RW & ~PTE_D);
	silent();
	reported_with(true, LEAF_RW & ~PTE_W);
	silent();
	reported_with(false, LEAF_RW & ~PTE_D);
	convicted(ORACLE_lost_dirty, "LD2");
	reported_with(true, LEAF_RW);
	convicted(ORACLE_lost_dirty, "LD2");
	reported_with(true, (LEAF_RW & ~PTE_D) | SPTE_AD_WRPROT_ONLY);
	convicted(ORACLE_lost_dirty, "LD2");
	reported_with(true, (LEAF_RW & ~PTE_W) | SPTE_AD_WRPROT_ONLY);
	silent();
}

static void tlbs_forget_reported_pages(void **state)
{
	for (u32 stale = 0; stale < 3; stale++) {
		world_logged(DIRTY_LOG_BITMAP, false);
		mark(3);
		tlb_fill_by_hand(3);
		if (stale == 1)
			fake_vcpu(0)->tlb[0].access = PTE_R | PTE_X;
		if (stale == 2) {
			fake_vcpu(0)->running = false;
			fake_vcpu(0)->requests = BIT_ULL(FAKE_FLUSH);
		}
		harvest(true);
		if (stale)
			silent();
		else
			convicted(ORACLE_lost_dirty, "LD2");
	}
}

static void huge_entries_are_not_writable(void **state)
{
	if (!HUGE_FITS)
		skip();
	/* There before. */
	for (u32 set = 0; set < 2; set++) {
		world_huge();
		fake_words(root)[0] = huge_leaf(LEAF_RW);
		enable(set ? DIRTY_LOG_INITIALLY_SET : DIRTY_LOG_BITMAP, true);
		if (!set)
			convicted(ORACLE_lost_dirty, "LD2");
	}
	silent();
	as(0);
	take(3);
	harvest_end(HARVEST_CLEAR);
	convicted(ORACLE_lost_dirty, "LD2");

	/* Installed since. */
	for (u32 set = 0; set < 3; set++) {
		world_huge();
		enable(set ? DIRTY_LOG_INITIALLY_SET : DIRTY_LOG_BITMAP, true);
		as(0);
		if (set == 2) {
			take(3);
			harvest_end(HARVEST_CLEAR);
		}
		lock(LOCK_SHARED);
		change(root, 0, huge_leaf(LEAF_RO));
		silent();
		change(root, 0, SPTE_NONPRESENT);
		change(root, 0, huge_leaf(LEAF_RW));
		if (set == 1)
			silent();
		else
			convicted(ORACLE_lost_dirty, "LD2");
	}
}

/* --- LD4, LD6 --- */

static void fault_on_logged(bool marks)
{
	world_logged(DIRTY_LOG_BITMAP, false);
	fault_until_check(4);
	lock(LOCK_SHARED);
	fault_check(4);
	if (marks)
		mark(4);
	install(4, LEAF_RW);
}

static void faults_mark_before_they_install(void **state)
{
	fault_on_logged(true);
	silent();
	fault_on_logged(false);
	convicted(ORACLE_lost_dirty, "LD4");

	/* One that does not let the guest write. */
	world_logged(DIRTY_LOG_BITMAP, false);
	fault_until_check(4);
	lock(LOCK_SHARED);
	fault_check(4);
	install(4, LEAF_RO);
	silent();
}

static void ring(bool marked, u64 nr)
{
	if (marked)
		event(dirty_marked, .as_id = 0, .gfn = 3, .ring = nr);
	else
		event(dirty_taken, .as_id = 0, .gfn = 3, .ring = nr);
}

static void rings_give_back_what_was_put_in(void **state)
{
	world_logged(DIRTY_LOG_RING, false);
	ring(true, 1);
	ring(true, 1);
	ring(true, 2);
	guest_writes(3);
	harvest_begin(HARVEST_RESET);
	ring(false, 1);
	ring(false, 2);
	harvest_end(HARVEST_RESET);
	quiesce();
	silent();
	as(0);
	ring(false, 2);
	convicted(ORACLE_lost_dirty, "LD6");

	/* Entries outlive the log that they were made for. */
	world_logged(DIRTY_LOG_RING, false);
	ring(true, 1);
	dirty_log(DIRTY_LOG_DISABLING, DIRTY_LOG_RING, false);
	dirty_log(DIRTY_LOG_DISABLED, DIRTY_LOG_RING, false);
	ring(false, 1);
	enable(DIRTY_LOG_RING, false);
	ring(true, 1);
	enable(DIRTY_LOG_RING, false);
	ring(false, 1);
	silent();

	/* An entry that is left is as good as a bit. */
	world_logged(DIRTY_LOG_RING, false);
	ring(true, 1);
	guest_writes(3);
	quiesce();
	silent();
}

/* A memslot comes with its log: faults mark as soon as they find it. */
static void slot_comes(bool logs)
{
	world_locked(0);
	unlock();
	fake.slots[0].logging = logs;
	memslot_step(MEMSLOT_ADDED, 0);
	as(0);
	mark(3);
	/* Without a log there is no bitmap to mark in. */
	if (!logs)
		fake.dirty = 0;
	dirty_log(DIRTY_LOG_ENABLED, DIRTY_LOG_BITMAP, false);
	guest_writes(3);
	quiesce();
}

static void marks_count_from_publication(void **state)
{
	slot_comes(true);
	silent();
	slot_comes(false);
	convicted(ORACLE_lost_dirty, "LD1");

	/* Turned on in between. */
	world_locked(0);
	unlock();
	fake.slots[0].logging = true;
	memslot_step(MEMSLOT_ADDED, 0);
	mark(3);
	enable(DIRTY_LOG_BITMAP, false);
	guest_writes(3);
	quiesce();
	silent();
}

static void moved_slots_leave_entries(void **state)
{
	world_logged(DIRTY_LOG_RING, false);
	fake_words(table)[3] = SPTE_NONPRESENT;
	memslot_step(MEMSLOT_GONE, 0);
	memslot_step(MEMSLOT_ADDED, 0);
	ring(false, 1);
	silent();
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(writes_are_pending),
	cmocka_unit_test(reports_end_what_was_pending),
	cmocka_unit_test(pml_holds_pages),
	cmocka_unit_test(kernel_writes_are_marked),
	cmocka_unit_test(fast_faults_mark_later),
	cmocka_unit_test(unlogged_writes_do_not_count),
	cmocka_unit_test(initially_set_pages_count_when_cleared),
	cmocka_unit_test(given_up_bits_are_nobodys),
	cmocka_unit_test(reported_pages_are_protected),
	cmocka_unit_test(modes_of_logging),
	cmocka_unit_test(tlbs_forget_reported_pages),
	cmocka_unit_test(huge_entries_are_not_writable),
	cmocka_unit_test(faults_mark_before_they_install),
	cmocka_unit_test(rings_give_back_what_was_put_in),
	cmocka_unit_test(marks_count_from_publication),
	cmocka_unit_test(moved_slots_leave_entries),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
