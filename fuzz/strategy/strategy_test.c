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
		if (task == TASK_NONE)
			stop.kind = SCHED_AT_BEGIN;
		else if (!(stop.runnable & BIT_ULL(task)))
			stop.kind = SCHED_AT_BLOCK;
		grants[i] = 0;
		chosen[i] = task = strategy->next(&stop, &grants[i]);
		assert_true(task < TASKS_MAX && (stop.runnable & BIT_ULL(task)));
		assert_true(strategy->value(&stop, 3) < 3);
		assert_int_equal(strategy->value(&stop, 1), 0);
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
		cmocka_unit_test(names_lead_to_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
