/* Drawn programs run to their end, whoever is scheduled; what one leaves does not reach the next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/hash.h"
#include "sched/sched.h"
#include "workload/workload.h"

#define PROGRAMS 2000

static struct program program;
static u64 seed;
static u32 inspected;

/* Stateless, so that it may run in any task: the choice is a hash of how far the schedule is. */
static u64 drawn(void)
{
	return hash_u64(hash_u64(HASH_SEED, seed), sched_points());
}

static u32 next_hashed(void *ctx, const struct sched_stop *stop)
{
	u64 hash = drawn(), left = stop->runnable;

	sched_grant(1 + (hash >> 8) % 16);
	for (u64 skip = hash % (u64)__builtin_popcountll(left); skip; skip--)
		left &= left - 1;
	return (u32)__builtin_ctzll(left);
}

static u64 value_hashed(void *ctx, const struct sched_stop *stop, u64 bound)
{
	return (drawn() >> 16) % bound;
}

static const struct sched_driver driver = { .next = next_hashed, .value = value_hashed };

static void inspect(void)
{
	inspected++;
}

static void draw(u64 nr)
{
	seed = nr;
	program_generate(&program, target_nth((u32)(nr % targets_count())), nr, &variant_default);
}

static void programs_end(void **state)
{
	program_set_driver(&driver);
	inspected = 0;
	for (u64 nr = 0; nr < PROGRAMS; nr++) {
		draw(nr);
		if (program_execute(&program, inspect) != PROGRAM_DONE)
			fail_msg("program %llu does not end", (unsigned long long)nr);
	}
	assert_int_equal(inspected, PROGRAMS);
}

/* Left in the middle at every length, and run again as if nothing had been. */
static void programs_can_be_left_anywhere(void **state)
{
	u64 points;

	program_set_driver(&driver);
	draw(3);
	assert_int_equal(program_execute(&program, NULL), PROGRAM_DONE);
	points = sched_points();
	inspected = 0;
	for (u64 limit = 1; limit < points; limit++) {
		program.world.points_max = limit;
		assert_int_equal(program_execute(&program, inspect), PROGRAM_UNFINISHED);
		assert_int_equal(inspected, 0);
		program.world.points_max = WORLD_POINTS_MAX_DEFAULT;
		assert_int_equal(program_execute(&program, NULL), PROGRAM_DONE);
		assert_int_equal(sched_points(), points);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(programs_end),
		cmocka_unit_test(programs_can_be_left_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
