/*
 * Requests, flushes and kicks: what a sender may rely on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "oracle/oracle.h"
#include "oracle/judge.h"
#include "machine/fixture.h"

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
static void serve_all_task(u32 task)
{
	serve_task(task);
	machine_request_all(REQUEST_TLB_FLUSH);
	vcpu_drop_gfn(cpu[0], 6);
	vcpu_drop_gfn(cpu[0], 6);
}

static void caches_and_requests_are_told(void **state)
{
	listen(EVENT_BIT(EVENT_psc_filled) | EVENT_BIT(EVENT_tlb_range_flushed) |
	       EVENT_BIT(EVENT_tlb_dropped) | EVENT_BIT(EVENT_request_waited));
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
	listen(0);
}

/* --- races --- */

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

static u32 kicked_out, kicked_outside;

/* Goes in and out; task 1 finds it somewhere on the way. */
static void kick_task(u32 task)
{
	if (task == 0) {
		for (u32 i = 0; i < 3; i++)
			access_once(0, 5, ACCESS_READ);
		return;
	}
	machine_kick_all();
	/* Nobody switches between the kick of the last vCPU and this. */
	kicked_out += __atomic_load_n(&cpu[0]->mode, __ATOMIC_RELAXED) == EXITING_GUEST_MODE;
	kicked_outside += __atomic_load_n(&cpu[0]->mode, __ATOMIC_RELAXED) == OUTSIDE_GUEST_MODE;
}

/* vCPU 1 never runs: it must not come to be taken for one that is on its way out. */
static void kick_waits_for_none_and_asks_for_nothing(void **state)
{
	kicked_out = kicked_outside = 0;
	for (u64 i = 0; i < SCHEDULES; i++) {
		listen(EVENT_BIT(EVENT_request_sent) | EVENT_BIT(EVENT_request_waited));
		set_up_contended();
		run(2, kick_task, i);
		listen(0);
		assert_int_equal(told[EVENT_request_sent] + told[EVENT_request_waited], 0);
		assert_int_equal(cpu[0]->mode, OUTSIDE_GUEST_MODE);
		assert_int_equal(cpu[1]->mode, OUTSIDE_GUEST_MODE);
		assert_false(vcpu_requests_pending(cpu[0]) || vcpu_requests_pending(cpu[1]));
	}
	assert_in_range(kicked_out, 1, SCHEDULES - 1);
	assert_in_range(kicked_outside, 1, SCHEDULES - 1);
}

static u32 unserved;

/* Every vCPU serves the request by turning its log on; none is in the guest without it afterwards. */
static void switch_logs_task(u32 task)
{
	if (task == 2) {
		machine_request_all(REQUEST_UPDATE_DIRTY_LOGGING);
		for (u32 i = 0; i < ARRAY_SIZE(cpu); i++)
			unserved += inspect_in_guest_mode(i) && !inspect_pml_on(i);
		return;
	}
	for (u32 i = 0; i < 4; i++) {
		if (vcpu_take_request(cpu[task], REQUEST_UPDATE_DIRTY_LOGGING))
			vcpu_set_pml(cpu[task], true);
		if (!vcpu_enter(cpu[task]))
			continue;
		vcpu_access(cpu[task], 5, ACCESS_READ);
		vcpu_leave(cpu[task]);
	}
}

static void logging_request_is_waited_for(void **state)
{
	unserved = 0;
	for (u64 i = 0; i < SCHEDULES; i++) {
		set_up_contended();
		run(3, switch_logs_task, i);
		assert_int_equal(unserved, 0);
		for (u32 n = 0; n < ARRAY_SIZE(cpu); n++)
			assert_true(inspect_pml_on(n) ||
				    inspect_request_pending(n, REQUEST_UPDATE_DIRTY_LOGGING));
	}
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
		cmocka_unit_test(ranged_flush_drops_its_range_only),
		cmocka_unit_test(too_many_ranges_become_a_full_flush),
		cmocka_unit_test(caches_and_requests_are_told),
		cmocka_unit_test(flush_request_leaves_nothing_usable),
		cmocka_unit_test(nothing_leads_to_an_unlinked_table_after_a_flush),
		cmocka_unit_test(ranged_flush_leaves_nothing_of_it_usable),
		cmocka_unit_test(request_without_wait_leaves_vcpus_in_the_guest),
		cmocka_unit_test(kick_waits_for_none_and_asks_for_nothing),
		cmocka_unit_test(logging_request_is_waited_for),
		cmocka_unit_test(senders_may_be_vcpus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
