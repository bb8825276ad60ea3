/* Every byte string is a valid program, and what is encoded comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "workload/workload.h"

#define RECORDS 40

static struct input input, again;
static u8 bytes[INPUT_HEADER_BYTES + RECORDS * INPUT_RECORD_BYTES], encoded[INPUT_BYTES_MAX];

static void print_input(struct buf *buf, const struct input *what)
{
	static struct repro repro;

	memset(&repro, 0, sizeof(repro));
	repro.program = what->program;
	repro.schedule = what->schedule;
	repro_print(buf, &repro);
	buf_printf(buf, "seed %llu row %u schedules %u\n", (unsigned long long)what->schedule.seed,
		   what->strategy_row, what->schedules);
}

static void assert_same(const struct input *a, const struct input *b)
{
	struct buf left = { 0 }, right = { 0 };

	print_input(&left, a);
	print_input(&right, b);
	assert_string_equal(buf_text(&left), buf_text(&right));
	buf_free(&left);
	buf_free(&right);
}

static void assert_valid(const struct input *what)
{
	struct text_error error;

	if (!program_valid(&what->program, &error) ||
	    !schedule_valid(&what->program, &what->schedule, &error))
		fail_msg("%s", error.message);
	assert_in_range(what->schedules, 1, 32);
}

static void decode(const u8 *data, size_t size)
{
	size_t written;

	input_decode(&input, target_nth(0), data, size);
	assert_valid(&input);
	written = input_encode(&input, encoded, sizeof(encoded));
	assert_true(written >= INPUT_HEADER_BYTES);
	/* Another target: nothing of the program may come from its generator. */
	input_decode(&again, target_nth(targets_count() - 1), encoded, written);
	assert_same(&input, &again);
}

static void nothing_is_an_input(void **state)
{
	struct program drawn;

	decode(NULL, 0);
	program_generate(&drawn, target_nth(0), 0, &input.program.world.variant);
	again = input;
	again.program = drawn;
	assert_same(&input, &again);
	for (size_t size = 0; size < sizeof(bytes); size++)
		decode(bytes, size);
}

/* Tags that exist are as likely as all others together, and numbers are often small. */
static void any_bytes_are_an_input(void **state)
{
	for (u64 seed = 0; seed < 20000; seed++) {
		struct prng prng = prng_seeded(seed);
		size_t size = prng_below(&prng, sizeof(bytes) + 1);
		bool small = prng_below(&prng, 2);

		for (size_t i = 0; i < size; i++) {
			u64 drawn = prng_next(&prng);

			bytes[i] = (u8)drawn;
			if (small && i >= INPUT_HEADER_BYTES && (i % INPUT_RECORD_BYTES) > 1)
				bytes[i] &= (u8)(drawn >> 8) & (u8)(drawn >> 16);
		}
		decode(bytes, size);
	}
}

static void unknown_tags_and_tails_are_skipped(void **state)
{
	memset(bytes, 0, sizeof(bytes));
	bytes[0] = 7;
	input_decode(&input, target_nth(0), bytes, INPUT_HEADER_BYTES);
	for (u32 i = 0; i < 8; i++)
		bytes[INPUT_HEADER_BYTES + i * INPUT_RECORD_BYTES] = (u8)(0xf0 | (i + 9) % 16);
	bytes[INPUT_HEADER_BYTES + 7 * INPUT_RECORD_BYTES] = 1; /* an op, cut short */
	input_decode(&again, target_nth(0), bytes, INPUT_HEADER_BYTES + 8 * INPUT_RECORD_BYTES - 1);
	assert_same(&input, &again);
}

static void texts_survive_encoding(void **state)
{
	static const char text[] =
		"repro 1\ntarget canary\ngeometry 3\nlevels 5\nvariant fault_precheck=none\n"
		"seq 2147483647\nslot 5 0x10..0x20 hva 0x100\nmap 0x100..0x110 order 0 ro\n"
		"limit points 777\n"
		"task 0 notifier { munmap 0..0x1000; reuse 0xfff }\n"
		"task 1 vcpu 6 { fault w 0x7fff }\n"
		"start 1\nat 0 munmap#1 ~65535 switch 1\nat 1 fault#1 start switch 0\n"
		"at 1 fault#1 ~3 answer 1\n";
	static struct repro repro;
	struct text_error error;
	size_t written;

	assert_true(repro_parse(&repro, text, strlen(text), &error));
	input.program = repro.program;
	input.schedule = repro.schedule;
	input.strategy_row = 2;
	input.schedules = 32;
	written = input_encode(&input, encoded, sizeof(encoded));
	assert_true(written);
	input_decode(&again, target_nth(0), encoded, written);
	assert_same(&input, &again);
	for (size_t room = 0; room < written; room++)
		assert_int_equal(input_encode(&input, encoded, room), 0);
}

static void drawn_programs_survive_encoding(void **state)
{
	memset(&input.schedule, 0, sizeof(input.schedule));
	input.strategy_row = 1;
	input.schedules = 1;
	for (u64 seed = 0; seed < 5000; seed++) {
		size_t written;

		program_generate(&input.program, target_nth(0), seed, &variant_default);
		written = input_encode(&input, encoded, sizeof(encoded));
		input_decode(&again, target_nth(0), encoded, written);
		assert_same(&input, &again);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_an_input),
		cmocka_unit_test(any_bytes_are_an_input),
		cmocka_unit_test(unknown_tags_and_tails_are_skipped),
		cmocka_unit_test(texts_survive_encoding),
		cmocka_unit_test(drawn_programs_survive_encoding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
