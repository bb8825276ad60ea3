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

static u64 switches_told;

static void tell_switch(const struct sched_stop *stop, u32 to)
{
	switches_told += to != stop->task;
}

/* Of every switch but the last one, which ends the schedule; recorded or not. */
static void switches_are_told(void **unused)
{
	static struct program program;
	struct campaign campaign = campaign_of(BUG_none);
	struct run_result result;
	struct run_spec spec;

	run_on_switch(tell_switch);
	for (u64 nr = 0; nr < 50; nr++) {
		campaign_spec(&campaign, nr, &program, &spec);
		switches_told = 0;
		run_execute(&spec, &result);
		assert_int_equal(switches_told, result.switches - 1);
		switches_told = 0;
		run_recorded(&campaign, nr, recordings[0], &result);
		assert_int_equal(switches_told, result.switches - 1);
	}
	run_on_switch(NULL);
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
	assert_string_equal(death.class, "heap-buffer-overflow");
	buf_free(&death.report);
}

/* --- callbacks and answers --- */

static bool callbacks_ran(const struct recording *recording)
{
	for (u32 i = 0; i < recording->nr_steps; i++)
		if (recording->steps[i].task == TASK_RCU)
			return true;
	return false;
}

/* Deviations of a schedule in which callbacks ran, by site: they give the very same trace. */
static void callbacks_are_replayed_by_directives(void **unused)
{
	static struct program program;
	static struct repro repro;
	struct campaign campaign = campaign_of(BUG_none);
	u32 replayed = 0, named = 0;

	/* A zap of tables of 512 entries makes more stops than a recording holds. */
	if (PT_INDEX_BITS != 3)
		skip();
	campaign.target = target_by_name("fault_vs_root_zap");
	for (u64 nr = 0; nr < 3000 && replayed < 20; nr++) {
		struct run_result searched, directed;
		struct expectation expect;
		struct run_spec spec;

		campaign_spec(&campaign, nr, &program, &spec);
		spec.recording = recordings[0];
		run_isolated(&spec, &searched, true);
		result_expectation(&expect, &searched);
		memset(&repro, 0, sizeof(repro));
		if (!callbacks_ran(recordings[0]) ||
		    !convert_schedule(&repro, &spec, recordings[0], &expect))
			continue;
		repro.program = program;
		run_spec_of(&spec, &repro);
		spec.recording = recordings[1];
		run_isolated(&spec, &directed, true);
		assert_int_equal(directed.unmet, 0);
		for (u32 i = 0; i < repro.schedule.nr_directives; i++)
			named += repro.schedule.directives[i].task == TASK_RCU;
		/* Thinned out lists keep the verdict only. */
		replayed += searched.hash == directed.hash;
	}
	assert_int_equal(replayed, 20);
	assert_true(named > 0);
}

/* Asks for the answer 1 at the first question of the program whose site ends like that. */
static void answer_first(struct repro *repro, const char *question)
{
	struct directive *directive = &repro->schedule.directives[0];
	struct run_result result;
	struct run_spec spec;
	u32 nth = 0, answers = 0;

	repro->schedule.nr_directives = 0;
	run_spec_of(&spec, repro);
	spec.recording = recordings[0];
	run_isolated(&spec, &result, true);
	while (nth < recordings[0]->nr_steps &&
	       (!recordings[0]->steps[nth].site ||
		!strstr(site_text(recordings[0]->steps[nth].site), question)))
		nth++;
	if (nth == recordings[0]->nr_steps)
		fail_msg("nobody asks %s", question);
	*directive = (struct directive){ .task = recordings[0]->steps[nth].task,
					 .op = recordings[0]->steps[nth].op,
					 .place = AT_SITE,
					 .action = DO_ANSWER,
					 .answer = 1 };
	snprintf(directive->site.text, sizeof(directive->site.text), "%s",
		 site_text(recordings[0]->steps[nth].site));
	directive->site.occurrence = recordings[0]->steps[nth].occurrence;
	repro->schedule.nr_directives = 1;
	run_spec_of(&spec, repro);
	spec.recording = recordings[1];
	run_isolated(&spec, &result, true);
	if (result.unmet)
		fail_msg("%s: %s", question, result.divergence);
	for (u32 i = 0; i < recordings[1]->nr_steps; i++)
		answers += recordings[1]->steps[i].answer == 1;
	assert_int_equal(answers, 1);
	assert_true(recordings[0]->hash != recordings[1]->hash);
}

static void every_kind_of_question_is_answered(void **unused)
{
	static const char *const questions[] = { "need_resched()", "kern_may_alloc()",
						 "environment_answer(ANSWER_TLB)", "try_cmpxchg64(",
						 "_trylock(" };
	static struct repro repro;
	struct buf text = { 0 };
	struct text_error error;

	buf_printf(&text,
		   "repro 1\ntarget everything\ngeometry %u\nslot 0 0x10..0x12 hva 0x100\n"
		   "map 0x100..0x102 order 0\ntask 0 vcpu 0 { touch r 0x10; touch w 0x11 }\n"
		   "task 1 vm { zap_all }\ntask 2 notifier { oom_reap 0x100..0x102 }\n",
		   PT_INDEX_BITS);
	if (!repro_parse(&repro, text.data, text.size, &error))
		fail_msg("%u:%u: %s", error.line, error.column, error.message);
	buf_free(&text);
	for (u32 i = 0; i < ARRAY_SIZE(questions); i++)
		answer_first(&repro, questions[i]);
}

/* A wish that cannot be met at once is told, and a column shows what the callbacks do. */
static void callbacks_have_a_column(void **unused)
{
	static struct repro repro;
	struct buf text = { 0 }, page = { 0 };
	struct text_error error;
	struct run_result result;
	struct run_spec spec;

	buf_printf(&text,
		   "repro 1\ntarget everything\ngeometry %u\nslot 0 0x10..0x12 hva 0x100\n"
		   "map 0x100..0x102 order 0\ntask 0 vcpu 0 { touch r 0x10; touch r 0x11 }\n"
		   "task 1 vm { zap_all }\n",
		   PT_INDEX_BITS);
	assert_true(repro_parse(&repro, text.data, text.size, &error));
	assert_true(explain(&page, &repro));
	assert_non_null(strstr(buf_text(&page), "  rcu0\n"));
	assert_non_null(strstr(buf_text(&page), "callback for object"));
	repro.schedule.nr_directives = 1;
	repro.schedule.directives[0] = (struct directive){
		.place = AT_START, .op = 1, .action = DO_SWITCH, .to = TASK_RCU
	};
	run_spec_of(&spec, &repro);
	run_isolated(&spec, &result, true);
	assert_int_equal(result.unmet, 1);
	assert_non_null(strstr(result.divergence, "rcu0 has nothing to run"));
	buf_free(&text);
	buf_free(&page);
}

static void a_sanitizer_is_the_second_net_for_freed_memory(void **state)
{
	struct expectation expected = { .oracle = "lifetime", .class = "L0", .site = { "a:b(c)" } };
	struct expectation actual = { .oracle = "sanitizer", .class = "use-after-poison" };

	assert_true(expectation_met(&expected, &actual));
	snprintf(actual.class, sizeof(actual.class), "data-race");
	assert_false(expectation_met(&expected, &actual));
	snprintf(actual.class, sizeof(actual.class), "use-after-poison");
	snprintf(expected.oracle, sizeof(expected.oracle), "stale_tlb");
	assert_false(expectation_met(&expected, &actual));
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
		cmocka_unit_test(callbacks_are_replayed_by_directives),
		cmocka_unit_test(every_kind_of_question_is_answered),
		cmocka_unit_test(callbacks_have_a_column),
		/* In this process, and so the last: see child_start(). */
		cmocka_unit_test(equal_seeds_give_equal_schedules),
		cmocka_unit_test(recording_changes_nothing),
		cmocka_unit_test(switches_are_told),
		cmocka_unit_test(a_sanitizer_is_the_second_net_for_freed_memory),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
