/*
 * The page-modification log: what gets into it, how it ends an access, and that no interleaving with
 * software that clears D loses a page.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "oracle/oracle.h"
#include "oracle/judge.h"
#include "machine/fixture.h"

static void set_up_logging(void)
{
	set_up();
	vcpu_set_pml(cpu[0], true);
}

static void map(gfn_t start, gfn_t end, u64 bits)
{
	for (gfn_t gfn = start; gfn < end; gfn++)
		*entry_of(gfn, 1) = leaf(100 + gfn, bits);
}

static void setting_dirty_logs_the_page(void **state)
{
	set_up_logging();
	map(4, 7, PTE_RWX);
	*entry_of(6, 1) |= PTE_A | PTE_D; /* by software: its business to have marked it */
	assert_int_equal(access_alone(5, ACCESS_READ), GUEST_DONE);
	assert_int_equal(inspect_nr_pml(0), 0);
	assert_int_equal(access_alone(5, ACCESS_WRITE), GUEST_DONE);
	assert_int_equal(access_alone(6, ACCESS_WRITE), GUEST_DONE);
	assert_int_equal(access_alone(4, ACCESS_WRITE), GUEST_DONE);
	assert_int_equal(access_alone(5, ACCESS_WRITE), GUEST_DONE); /* by the TLB */
	assert_int_equal(inspect_nr_pml(0), 2);
	assert_int_equal(inspect_pml(0, 0), 5);
	assert_int_equal(inspect_pml(0, 1), 4);
	assert_int_equal(inspect_nr_pml(1), 0);
	assert_int_equal(inspect_nr_pml(7), 0);
	/* D is cleared in memory alone: the TLB still writes silently. A flush ends that. */
	*entry_of(5, 1) &= ~PTE_D;
	assert_int_equal(access_alone(5, ACCESS_WRITE), GUEST_DONE);
	assert_int_equal(inspect_nr_pml(0), 2);
	vcpu_flush_tlb(cpu[0]);
	assert_int_equal(access_alone(5, ACCESS_WRITE), GUEST_DONE);
	assert_int_equal(inspect_nr_pml(0), 3);
	assert_int_equal(inspect_pml(0, 2), 5);
}

static void log_below_a_huge_leaf_names_the_page(void **state)
{
	set_up_logging();
	*entry_of(0, 2) = leaf(PT_PAGES(2) * 7, PTE_RWX | PTE_PS);
	*entry_of(PT_PAGES(3), 3) = leaf(PT_PAGES(3) * 2, PTE_RWX | PTE_PS);
	assert_int_equal(access_alone(3, ACCESS_WRITE), GUEST_DONE);
	assert_int_equal(access_alone(4, ACCESS_WRITE), GUEST_DONE); /* D is set by now */
	assert_int_equal(access_alone(PT_PAGES(3) + PT_PAGES(2) + 1, ACCESS_WRITE), GUEST_DONE);
	assert_int_equal(inspect_nr_pml(0), 2);
	assert_int_equal(inspect_pml(0, 0), 3);
	assert_int_equal(inspect_pml(0, 1), PT_PAGES(3) + PT_PAGES(2) + 1);
	assert_int_equal(*entry_of(0, 2), leaf(PT_PAGES(2) * 7, PTE_RWX | PTE_PS | PTE_A | PTE_D));
}

static void switched_off_log_stays_as_it_is(void **state)
{
	gfn_t gfn = 0;

	listen(EVENT_BIT(EVENT_pml_switched) | EVENT_BIT(EVENT_pml_logged) |
	       EVENT_BIT(EVENT_pml_taken));
	set_up();
	map(0, 3, PTE_RWX);
	assert_false(inspect_pml_on(0));
	assert_int_equal(access_alone(0, ACCESS_WRITE), GUEST_DONE);
	assert_int_equal(inspect_nr_pml(0), 0);
	vcpu_set_pml(cpu[0], false); /* no change, no event */
	vcpu_set_pml(cpu[0], true);
	vcpu_set_pml(cpu[0], true);
	assert_int_equal(told[EVENT_pml_switched], 1);
	assert_int_equal(last_field[EVENT_pml_switched], 1);
	assert_true(inspect_pml_on(0));
	assert_false(inspect_pml_on(1));
	assert_false(inspect_pml_on(7));
	assert_int_equal(access_alone(1, ACCESS_WRITE), GUEST_DONE);
	assert_int_equal(told[EVENT_pml_logged], 1);
	assert_int_equal(last_field[EVENT_pml_logged], 1);
	vcpu_set_pml(cpu[0], false);
	assert_int_equal(told[EVENT_pml_switched], 2);
	assert_int_equal(last_field[EVENT_pml_switched], 0);
	assert_int_equal(access_alone(2, ACCESS_WRITE), GUEST_DONE);
	assert_true(*entry_of(2, 1) & PTE_D);
	assert_int_equal(inspect_nr_pml(0), 1);
	assert_true(vcpu_pml_take(cpu[0], &gfn));
	assert_int_equal(gfn, 1);
	assert_int_equal(last_field[EVENT_pml_taken], 1);
	assert_false(vcpu_pml_take(cpu[0], &gfn));
	assert_int_equal(gfn, 1);
	assert_int_equal(told[EVENT_pml_taken], 1);
	listen(0);
}

static void full_log_ends_the_access(void **state)
{
	gfn_t gfn;
	u64 before;

	set_up_logging();
	map(0, PML_ENTRIES_MAX + 2, PTE_RWX);
	map(PML_ENTRIES_MAX + 1, PML_ENTRIES_MAX + 2, PTE_R);
	for (gfn = 0; gfn < PML_ENTRIES_MAX; gfn++)
		assert_int_equal(access_alone(gfn, ACCESS_WRITE), GUEST_DONE);
	before = *entry_of(gfn, 1);
	for (u32 i = 0; i < 2; i++)
		assert_int_equal(access_alone(gfn, ACCESS_WRITE), GUEST_LOG_FULL);
	assert_int_equal(*entry_of(gfn, 1), before);
	assert_int_equal(inspect_nr_tlb(0), PML_ENTRIES_MAX);
	assert_int_equal(inspect_nr_pml(0), PML_ENTRIES_MAX);
	/* What needs no D is not kept from the guest, and what is forbidden is said to be. */
	assert_int_equal(access_alone(0, ACCESS_WRITE), GUEST_DONE);
	assert_int_equal(access_alone(gfn, ACCESS_READ), GUEST_DONE);
	assert_int_equal(access_alone(gfn + 1, ACCESS_WRITE), GUEST_VIOLATION);
	assert_int_equal(access_alone(gfn, ACCESS_WRITE), GUEST_LOG_FULL);
	/* One entry less is room enough; the oldest goes first. */
	assert_true(vcpu_pml_take(cpu[0], &gfn));
	assert_int_equal(gfn, 0);
	assert_int_equal(access_alone(PML_ENTRIES_MAX, ACCESS_WRITE), GUEST_DONE);
	for (gfn_t next = 1; next <= PML_ENTRIES_MAX; next++) {
		assert_true(vcpu_pml_take(cpu[0], &gfn));
		assert_int_equal(gfn, next);
	}
	assert_false(vcpu_pml_take(cpu[0], &gfn));
}

static void full_log_does_not_matter_when_it_is_off(void **state)
{
	set_up_logging();
	map(0, PML_ENTRIES_MAX + 1, PTE_RWX);
	for (gfn_t gfn = 0; gfn < PML_ENTRIES_MAX; gfn++)
		access_alone(gfn, ACCESS_WRITE);
	vcpu_set_pml(cpu[0], false);
	assert_int_equal(access_alone(PML_ENTRIES_MAX, ACCESS_WRITE), GUEST_DONE);
	assert_int_equal(inspect_nr_pml(0), PML_ENTRIES_MAX);
}

static void new_vcpu_has_nothing_of_the_last_schedule(void **state)
{
	set_up_logging();
	map(1, 2, PTE_RWX);
	access_alone(1, ACCESS_WRITE);
	access_alone(2, ACCESS_READ);
	cpu[0]->violation_present = true;
	set_up();
	assert_int_equal(inspect_nr_pml(0), 0);
	assert_false(inspect_pml_on(0));
	assert_false(cpu[0]->violation_present);
}

/* --- what is told, and when --- */

static u32 stage; /* 1: D was set, 2: logged, 3: in the TLB, 4: accessed */
static bool in_order, logged_when_told;

static void note_order(const struct event *event)
{
	const struct event_spte_changed *change = (const void *)event;
	bool dirty = event->id == EVENT_spte_changed && change->new & ~change->old & PTE_D;
	u32 next = dirty			       ? 1
		   : event->id == EVENT_pml_logged     ? 2
		   : event->id == EVENT_tlb_filled     ? 3
		   : event->id == EVENT_guest_accessed ? 4
						       : 0;

	if (!next)
		return;
	in_order &= next == stage + 1;
	stage = next;
	if (event->id == EVENT_pml_logged)
		logged_when_told = inspect_nr_pml(0) == 1 && inspect_pml(0, 0) == 5;
}

static void page_is_in_the_log_before_it_is_written(void **state)
{
	set_up_logging();
	map(5, 6, PTE_RWX);
	stage = 0;
	in_order = true;
	listen_by(note_order, ~(event_mask)0);
	access_alone(5, ACCESS_WRITE);
	listen(0);
	assert_true(in_order);
	assert_int_equal(stage, 4);
	assert_true(logged_when_told);
}

/* --- races --- */

/* Two vCPUs write to one page; software clears D and has both flush, as often as they write. */
static u32 cleared_dirty, logged[2], full_seen;

static void drain(u32 task)
{
	gfn_t gfn;

	while (vcpu_pml_take(cpu[task], &gfn))
		logged[task] += gfn == 5;
}

static void clear_vs_writes_task(u32 task)
{
	if (task == 2) {
		for (u32 i = 0; i < 2; i++) {
			cleared_dirty += !!(pte_fetch_and(contended, ~PTE_D) & PTE_D);
			machine_request_all(REQUEST_TLB_FLUSH);
		}
		return;
	}
	for (u32 i = 0; i < 3; i++) {
		access_once(task, 5, ACCESS_WRITE);
		drain(task);
	}
}

/* D goes from 0 to 1 as often as it went back, plus once if it is set: each time one log has it. */
static void each_dirty_bit_is_logged_once(void **state)
{
	u32 most = 0, least = ~0u;

	for (u64 i = 0; i < SCHEDULES; i++) {
		u32 times;

		set_up_contended();
		for (u32 n = 0; n < ARRAY_SIZE(cpu); n++)
			vcpu_set_pml(cpu[n], true);
		cleared_dirty = logged[0] = logged[1] = 0;
		run(3, clear_vs_writes_task, i);
		times = logged[0] + logged[1];
		assert_int_equal(times, cleared_dirty + !!(*contended & PTE_D));
		most = times > most ? times : most;
		least = times < least ? times : least;
	}
	assert_true(least < most);
	assert_int_equal(most, 3);
}

static gfn_t zapped_gfn;
static u64 zapped, nearly_full;

/* Writes until the log is full; the entry that the last write needs may be zapped at any time. */
static void full_vs_zap_task(u32 task)
{
	if (task == 1) {
		while (!READ_ONCE(nearly_full))
			cond_resched();
		zapped = pte_xchg(contended, 0);
		return;
	}
	for (gfn_t gfn = 0; gfn < zapped_gfn; gfn++)
		access_once(0, gfn, ACCESS_WRITE);
	WRITE_ONCE(nearly_full, 1);
	result[0] = access_once(0, zapped_gfn, ACCESS_WRITE);
}

static void full_log_leaves_nothing_in_the_entry(void **state)
{
	full_seen = 0;
	zapped_gfn = PML_ENTRIES_MAX;
	for (u64 i = 0; i < SCHEDULES; i++) {
		set_up_logging();
		map(0, PML_ENTRIES_MAX + 1, PTE_RWX);
		contended = entry_of(zapped_gfn, 1);
		nearly_full = 0;
		run(2, full_vs_zap_task, i);
		assert_int_equal(zapped, leaf(100 + zapped_gfn, PTE_RWX));
		assert_int_equal(*entry_of(zapped_gfn, 1), 0);
		assert_int_not_equal(result[0], GUEST_DONE);
		assert_int_equal(inspect_nr_pml(0), PML_ENTRIES_MAX);
		full_seen += result[0] == GUEST_LOG_FULL;
	}
	assert_in_range(full_seen, 1, SCHEDULES - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(setting_dirty_logs_the_page),
		cmocka_unit_test(log_below_a_huge_leaf_names_the_page),
		cmocka_unit_test(switched_off_log_stays_as_it_is),
		cmocka_unit_test(full_log_ends_the_access),
		cmocka_unit_test(full_log_does_not_matter_when_it_is_off),
		cmocka_unit_test(new_vcpu_has_nothing_of_the_last_schedule),
		cmocka_unit_test(page_is_in_the_log_before_it_is_written),
		cmocka_unit_test(each_dirty_bit_is_logged_once),
		cmocka_unit_test(full_log_leaves_nothing_in_the_entry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
