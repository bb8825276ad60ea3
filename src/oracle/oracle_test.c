/*
 * The event sink: verdicts, taps, counts, the hash of the end state; and assertions of the MMU. See
 * fake_world.h for what there is to see.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "oracle/fake_world.h"
#include "sched/sched.h"

static void assertions_convict(void **state)
{
	world();
	event(warned, .line = 17);
	convicted(ORACLE_assertion, "AS1");
	assert_string_equal(oracle_verdict()->detail, "line 17");
	world();
	event(op_left_holding, .class = LOCK_kvm_srcu);
	convicted(ORACLE_assertion, "AS4");
}

static u32 tapped, hooked;

static void count_tapped(const struct event *event)
{
	tapped++;
}

static void count_hooked(void)
{
	hooked++;
}

static void print_function(struct buf *buf, const struct sched_site *site)
{
	buf_printf(buf, "%s", site->function);
}

static void first_violation_stands(void **state)
{
	struct sched_site site = { .function = "f" };
	struct buf buf = { 0 };

	tapped = hooked = 0;
	oracle_on_violation(count_hooked);
	world();
	verdict_print(&buf, oracle_verdict(), print_function);
	assert_string_equal(buf_text(&buf), "none");
	event_context.site = &site;
	event(warned, .line = 1);
	event(slept_in_atomic, .what = LOCK_ptl);
	convicted(ORACLE_assertion, "AS1");
	assert_int_equal(hooked, 1);
	buf_clear(&buf);
	verdict_print(&buf, oracle_verdict(), print_function);
	assert_string_equal(buf_text(&buf), "assertion AS1 f");
	buf_free(&buf);
	oracle_on_violation(NULL);
	event_context.site = NULL;
}

/* Taps see everything; counts and verdicts do not depend on there being one. */
static void taps_change_nothing(void **state)
{
	u64 counted;

	world();
	oracle_stats_clear();
	event(op_begun, .op = 0, .nth = 0);
	event(quiesced, .tasks = 0);
	counted = oracle_stats()->events[EVENT_op_begun];
	oracle_tap(count_tapped);
	tapped = 0;
	event(op_begun, .op = 0, .nth = 0);
	event(quiesced, .tasks = 0);
	oracle_tap(NULL);
	assert_int_equal(tapped, 2);
	assert_int_equal(oracle_stats()->events[EVENT_op_begun], counted);
	assert_int_equal(oracle_stats()->events[EVENT_quiesced], 2);
}

static void state_hash_is_of_the_state(void **state)
{
	u64 empty, mapped;

	world();
	empty = oracle_state_hash();
	world();
	assert_true(oracle_state_hash() == empty);
	world_mapped(3);
	mapped = oracle_state_hash();
	assert_true(mapped != empty);
	tlb_fill_by_hand(3);
	assert_true(oracle_state_hash() != mapped);
	world_mapped(3);
	assert_true(oracle_state_hash() == mapped);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(assertions_convict),
	cmocka_unit_test(first_violation_stands),
	cmocka_unit_test(taps_change_nothing),
	cmocka_unit_test(state_hash_is_of_the_state),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
