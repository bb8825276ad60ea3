/* Every strategy chooses a task that can run, and the same one again for the same seed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/prng.h"
#include "fuzz/strategy/strategy.h"

#define CHOICES 300

static void draw(const struct strategy *strategy, u64 seed, u32 *chosen, u64 *grants)
{
	struct prng prng = prng_seeded(seed + 7);
	u32 task = TASK_NONE;

	strategy->begin(seed);
	for (u32 i = 0; i < CHOICES; i++) {
		struct sched_stop stop = { .kind = SCHED_AT_POINT, .task = task };

		stop.runnable = 1 + prng_below(&prng, 254);
		stop.runnable |= prng_below(&prng, 2) ? BIT_ULL(TASK_RCU) : 0;
		if (task == TASK_NONE)
			stop.kind = SCHED_AT_BEGIN;
		else if (!(stop.runnable & BIT_ULL(task)))
			stop.kind = SCHED_AT_BLOCK;
		grants[i] = 0;
		chosen[i] = task = strategy->next(&stop, &grants[i]);
		assert_true(task < TASKS_MAX && (stop.runnable & BIT_ULL(task)));
		for (stop.answer = 0; stop.answer < ANSWER_KIND_COUNT; stop.answer++) {
			assert_true(strategy->value(&stop, 3) < 3);
			assert_int_equal(strategy->value(&stop, 1), 0);
		}
	}
}

static void choices_are_legal_and_repeat(void **unused)
{
	static u32 chosen[2][CHOICES];
	static u64 grants[2][CHOICES];

	for (u32 row = 0; row < STRATEGY_COUNT; row++) {
		for (u64 seed = 0; seed < 50; seed++) {
			draw(&strategy_rows[row], seed, chosen[0], grants[0]);
			draw(&strategy_rows[row], seed, chosen[1], grants[1]);
			assert_memory_equal(chosen[0], chosen[1], sizeof(chosen[0]));
			assert_memory_equal(grants[0], grants[1], sizeof(grants[0]));
		}
	}
}

/* Answers of one kind in a schedule: how many of 512 are not the default. */
static u32 count_answers(const struct strategy *strategy, u64 seed, u8 kind)
{
	struct sched_stop stop = { .kind = SCHED_AT_BEGIN, .task = TASK_NONE, .runnable = 3 };
	u64 grant;
	u32 nr = 0;

	strategy->begin(seed);
	strategy->next(&stop, &grant);
	stop = (struct sched_stop){ .kind = SCHED_AT_POINT, .runnable = 3, .answer = kind };
	for (u32 i = 0; i < 512; i++)
		nr += strategy->value(&stop, 2);
	/* Who is not asked may say what he likes, but a kind that is answered is asked about. */
	assert_true(!nr || strategy == &strategy_rows[STRATEGY_round_robin] ||
		    (sched.answers >> kind & 1));
	return nr;
}

/* In some schedules a kind is never answered otherwise, in some it is; most kinds only rarely. */
static void kinds_of_answers_swarm(void **unused)
{
	for (u32 row = 0; row < STRATEGY_COUNT; row++) {
		for (u8 kind = 0; kind < ANSWER_KIND_COUNT; kind++) {
			u32 never = 0, most = 0;

			for (u64 seed = 0; seed < 200; seed++) {
				u32 nr = count_answers(&strategy_rows[row], seed, kind);

				never += !nr;
				most = nr > most ? nr : most;
			}
			assert_true(never >= 40);
			if (row == STRATEGY_lowest)
				assert_int_equal(never, 200);
			else
				assert_true(never < 180);
			if (kind == ANSWER_ALLOC)
				assert_true(most < 64);
		}
	}
}

/* The task of callbacks has the highest number by far, and is drawn no more often than others. */
static void callbacks_get_their_share(void **unused)
{
	const struct strategy *walk = &strategy_rows[STRATEGY_walk];
	u32 chosen[TASKS_MAX] = { 0 };
	u64 grant;

	walk->begin(1);
	for (u32 i = 0; i < 30000; i++) {
		struct sched_stop stop = { .kind = SCHED_AT_BLOCK, .task = 3 };

		stop.runnable = 7 | BIT_ULL(TASK_RCU);
		chosen[walk->next(&stop, &grant)]++;
	}
	assert_in_range(chosen[TASK_RCU], 30000 / 5, 30000 / 3);
	assert_true(chosen[0] > 30000 / 8 && chosen[1] > 30000 / 8 && chosen[2] > 30000 / 8);
}

static void names_lead_to_rows(void **unused)
{
	for (u32 row = 0; row < STRATEGY_COUNT; row++)
		assert_ptr_equal(strategy_by_name(strategy_rows[row].name), &strategy_rows[row]);
	assert_null(strategy_by_name("walker"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(choices_are_legal_and_repeat),
		cmocka_unit_test(kinds_of_answers_swarm),
		cmocka_unit_test(callbacks_get_their_share),
		cmocka_unit_test(names_lead_to_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
