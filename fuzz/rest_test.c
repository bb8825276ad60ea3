/*
 * Programs at rest: whatever generators draw leaves the world in order, and bugs of the catalogue whose
 * consequences last do not, whether or not an oracle has noticed before.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "fuzz/fuzz.h"

#define SCHEDULES_SILENT  20000
#define SCHEDULES_TO_FIND 20000

static bool at_rest; /* the schedule has come to its end */

static void note_rest(const struct event *event)
{
	at_rest |= event->id == EVENT_quiesced;
}

/* Oracles have nothing to say here. */
static void go_on(void)
{
}

/* Return: whether the world is in disorder at the end of schedule @nr; not every one comes to an end. */
static bool disorder(const struct campaign *campaign, u64 nr, struct endstate_finding *finding)
{
	static struct program program;
	struct run_result result;
	struct run_spec spec;

	campaign_spec(campaign, nr, &program, &spec);
	at_rest = false;
	run_execute(&spec, &result);
	return at_rest && rest_judge(finding);
}

static int set_up(void **state)
{
	oracle_tap(note_rest);
	run_on_violation(go_on);
	program_watch_writes(true);
	return 0;
}

static int take_down(void **state)
{
	oracle_tap(NULL);
	run_on_violation(NULL);
	program_watch_writes(false);
	return 0;
}

static struct campaign campaign_of(const struct target *target, enum bug_id bug)
{
	return (struct campaign){
		.target = target, .variant = variant_default, .bug = bug, .seed = 1
	};
}

static void programs_leave_order(void **state)
{
	u32 nr_targets = targets_count(), ended = 0;

	for (u64 nr = 0; nr < SCHEDULES_SILENT; nr++) {
		const struct target *target = target_nth((u32)nr % nr_targets);
		struct campaign campaign = campaign_of(target, BUG_none);
		struct endstate_finding finding;
		struct buf buf = { 0 };

		/* 15 of 16 schedules of a program are left out: programs are what counts here. */
		if (disorder(&campaign, nr * SCHEDULES_PER_PROGRAM + nr % SCHEDULES_PER_PROGRAM,
			     &finding)) {
			rest_print(&buf, &finding);
			fail_msg("%s, program %llu: %s", target->name, (unsigned long long)nr,
				 buf_text(&buf));
		}
		ended += at_rest;
	}
	/* Else it would be silent about nothing. */
	assert_true(ended > SCHEDULES_SILENT * 9 / 10);
}

/* What is left behind, in the words of the judgement. */
static const struct {
	enum bug_id bug;
	const char *oracle, *class;
	bool races; /* the race detector ends the process first */
} lasting[] = {
	{ BUG_zap_stops_early, "stale_mapping", "SM1", false },
	{ BUG_zap_skips_flush, "stale_mapping", "SM2", false },
	{ BUG_retry_leaks_page, "accounting", "AC0", false },
	{ BUG_removed_table_stays_counted, "accounting", "AC1", false },
	{ BUG_end_forgets_in_progress, "accounting", "AC0", false },
	{ BUG_pfncache_refreshed_by_two, "stale_mapping", "SM7", true },
	{ BUG_kernel_write_marks_nothing, "lost_dirty", "LD1", false },
	{ BUG_pfncache_write_marks_nothing, "lost_dirty", "LD1", false },
	{ BUG_fault_marks_nothing, "lost_dirty", "LD1", false },
};

static void lasting_bugs_are_convicted(void **state)
{
	for (u32 i = 0; i < ARRAY_SIZE(lasting); i++) {
		const struct target *target = target_by_name(bug_rows[lasting[i].bug].target);
		struct campaign campaign = campaign_of(target, lasting[i].bug);
		struct endstate_finding finding;
		bool found = CONFIG_TSAN && lasting[i].races;

		for (u64 nr = 0; !found && nr < SCHEDULES_TO_FIND; nr++)
			found = disorder(&campaign, nr, &finding) &&
				!strcmp(finding.oracle, lasting[i].oracle) &&
				!strcmp(finding.class, lasting[i].class);
		if (!found)
			fail_msg("%s leaves nothing behind", bug_rows[lasting[i].bug].slug);
	}
}

/* Writes cost nothing where nobody asks for them, and are not found. */
static void writes_are_watched_on_demand(void **state)
{
	struct campaign campaign = campaign_of(target_by_name("dirty_log_vs_fast_fault"),
					       BUG_kernel_write_marks_nothing);
	struct endstate_finding finding;

	program_watch_writes(false);
	for (u64 nr = 0; nr < 2000; nr++)
		assert_false(disorder(&campaign, nr, &finding));
	program_watch_writes(true);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(programs_leave_order),
	cmocka_unit_test(lasting_bugs_are_convicted),
	cmocka_unit_test(writes_are_watched_on_demand),
};

int main(void)
{
	return cmocka_run_group_tests(tests, set_up, take_down);
}
