/*
 * A failure's way from a search to a reproducer: equal seeds give equal schedules, what fails is
 * converted to directives by site, becomes small, and can be explained.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fuzz/fuzz.h"

static struct campaign_state *state;
static struct recording *recordings[2];

static int set_up(void **unused)
{
	state = campaign_state_alloc();
	recordings[0] = recording_alloc();
	recordings[1] = recording_alloc();
	return 0;
}

static struct campaign campaign_of(enum bug_id bug)
{
	return (struct campaign){
		.target = target_by_name("fault_vs_invalidate"),
		.variant = variant_default,
		.bug = bug,
		.seed = 1,
		.schedules = 200000,
		.stop_on_first = true,
		.stop_oracle = bug_rows[bug].oracle,
	};
}

/* The reproducer of the first conviction by the declared oracle. */
static void find(struct repro *repro, enum bug_id bug)
{
	struct campaign campaign = campaign_of(bug);
	const struct finding *found = NULL;

	campaign_run(&campaign, state, NULL, NULL);
	for (u32 i = 0; i < state->nr_findings; i++)
		if (!strcmp(state->findings[i].expect.oracle, bug_rows[bug].oracle))
			found = &state->findings[i];
	assert_non_null(found);
	assert_true(campaign_repro(&campaign, found, repro));
}

static void run_recorded(const struct campaign *campaign, u64 nr, struct recording *recording,
			 struct run_result *result)
{
	static struct program program;
	struct run_spec spec;

	campaign_spec(campaign, nr, &program, &spec);
	spec.recording = recording;
	run_execute(&spec, result);
}

static void equal_seeds_give_equal_schedules(void **unused)
{
	struct campaign campaign = campaign_of(BUG_none);
	struct run_result first, again, other;
	struct buf buf = { 0 };

	for (u64 nr = 0; nr < 200; nr++) {
		run_recorded(&campaign, nr, recordings[0], &first);
		run_recorded(&campaign, nr + 1000, recordings[1], &other);
		run_recorded(&campaign, nr, recordings[1], &again);
		assert_false(recording_difference(&buf, recordings[0], recordings[1]));
		assert_int_equal(first.state_hash, again.state_hash);
		assert_int_equal(first.hash, again.hash);
	}
}

static void recording_changes_nothing(void **unused)
{
	static struct program program;
	struct campaign campaign = campaign_of(BUG_none);
	struct run_result plain, recorded;
	struct run_spec spec;

	for (u64 nr = 0; nr < 200; nr++) {
		campaign_spec(&campaign, nr, &program, &spec);
		run_execute(&spec, &plain);
		run_recorded(&campaign, nr, recordings[0], &recorded);
		assert_int_equal(plain.points, recorded.points);
		assert_int_equal(plain.switches, recorded.switches);
		assert_int_equal(plain.kind, recorded.kind);
	}
}

static void a_schedule_is_replayed_by_its_directives(void **unused)
{
	static struct repro repro;
	struct expectation actual;
	struct run_result result;
	struct run_spec spec;

	find(&repro, BUG_seq_test_dropped);
	assert_string_equal(repro.schedule.strategy, "");
	run_spec_of(&spec, &repro);
	run_isolated(&spec, &result, true);
	result_expectation(&actual, &result);
	assert_true(expectation_met(&repro.expect, &actual));
	assert_int_equal(result.unmet, 0);
}

static void directives_by_ordinal_do_the_same(void **unused)
{
	static struct repro repro;
	struct run_result sites, ordinals;
	struct run_spec spec;

	find(&repro, BUG_hull_not_widened);
	run_spec_of(&spec, &repro);
	spec.recording = recordings[0];
	run_isolated(&spec, &sites, true);
	for (u32 i = 0; i < repro.schedule.nr_directives; i++) {
		struct directive *directive = &repro.schedule.directives[i];

		if (directive->place != AT_SITE)
			continue;
		assert_true(directive->ordinal);
		directive->site.text[0] = 0;
	}
	spec.recording = recordings[1];
	run_isolated(&spec, &ordinals, true);
	assert_int_equal(sites.hash, ordinals.hash);
	assert_int_equal(ordinals.unmet, 0);
}

static void a_directive_that_is_not_met_is_told(void **unused)
{
	static struct repro repro;
	struct directive *directive = &repro.schedule.directives[0];
	struct run_result result;
	struct run_spec spec;

	find(&repro, BUG_seq_test_dropped);
	repro.schedule.nr_directives = 1;
	*directive = (struct directive){ .place = AT_SITE, .action = DO_SWITCH, .to = 1 };
	snprintf(directive->site.text, sizeof(directive->site.text), "nowhere:READ_ONCE(x)");
	directive->site.occurrence = 1;
	run_spec_of(&spec, &repro);
	run_isolated(&spec, &result, true);
	assert_int_equal(result.unmet, 1);
	assert_non_null(strstr(result.divergence, "no site has this text"));
}

static void what_is_found_becomes_small(void **unused)
{
	static struct repro repro, again;
	struct minimise_stats stats;
	struct buf message = { 0 }, text = { 0 }, text_again = { 0 };

	find(&repro, BUG_hull_not_widened);
	assert_true(minimise(&repro, &stats, &message));
	assert_true(stats.ops <= 6);
	assert_true(stats.directives <= 4);
	/* Minimising what is small changes nothing. */
	again = repro;
	assert_true(minimise(&again, &stats, &message));
	repro_print(&text, &repro);
	repro_print(&text_again, &again);
	assert_string_equal(buf_text(&text), buf_text(&text_again));
}

static void an_explanation_fits_on_a_page(void **unused)
{
	static struct repro repro;
	struct minimise_stats stats;
	struct buf text = { 0 }, message = { 0 };
	u32 lines = 0;

	find(&repro, BUG_seq_test_dropped);
	assert_true(minimise(&repro, &stats, &message));
	assert_true(explain(&text, &repro));
	for (const char *c = buf_text(&text); *c; c++)
		lines += *c == '\n';
	assert_true(lines > 10 && lines < 110);
	assert_non_null(strstr(buf_text(&text), "stale_mapping"));
	assert_non_null(strstr(buf_text(&text), "task 1"));
}

static void crash(void *ctx)
{
	abort();
}

static void a_death_in_a_child_is_named(void **unused)
{
	struct death death;
	struct child child = child_start(crash, NULL);

	assert_true(child_ended(&child, true, &death));
	assert_true(death.died);
	assert_int_equal(death.kind, VERDICT_SANITIZER);
	assert_true(death.class[0]);
	buf_free(&death.report);
}

static void overrun(void *ctx)
{
	volatile char *memory = malloc(8);

	memory[*(volatile size_t *)ctx] = 1;
}

static void a_report_in_a_child_is_named(void **unused)
{
	size_t behind = 8;
	struct death death;
	struct child child;

	if (!CONFIG_ASAN)
		return;
	child = child_start(overrun, &behind);
	assert_true(child_ended(&child, true, &death));
	assert_true(death.died);
	assert_int_equal(death.kind, VERDICT_SANITIZER);
	/* "heap-buffer-overflow", as long as a class may be */
	assert_string_equal(death.class, "heap-buffer-ove");
	buf_free(&death.report);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_schedule_is_replayed_by_its_directives),
		cmocka_unit_test(directives_by_ordinal_do_the_same),
		cmocka_unit_test(a_directive_that_is_not_met_is_told),
		cmocka_unit_test(what_is_found_becomes_small),
		cmocka_unit_test(an_explanation_fits_on_a_page),
		cmocka_unit_test(a_death_in_a_child_is_named),
		cmocka_unit_test(a_report_in_a_child_is_named),
		/* In this process, and so the last: see child_start(). */
		cmocka_unit_test(equal_seeds_give_equal_schedules),
		cmocka_unit_test(recording_changes_nothing),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
