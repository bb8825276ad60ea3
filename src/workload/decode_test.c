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
		bytes[INPUT_HEADER_BYTES + i * INPUT_RECORD_BYTES] =
			(u8)(0xf0 | (i < 3 ? 13 + i : 0));
	bytes[INPUT_HEADER_BYTES + 7 * INPUT_RECORD_BYTES] = 1; /* an op, cut short */
	input_decode(&again, target_nth(0), bytes, INPUT_HEADER_BYTES + 8 * INPUT_RECORD_BYTES - 1);
	assert_same(&input, &again);
}

static void texts_survive_encoding(void **state)
{
	/* Behind the line of the geometry, which is this build's. */
	static const char rest[] =
		"levels 5\nvariant "
		"fault_precheck=none,zap_root=two_pass,pml=off,nx_recovery=locked\n"
		"seq 2147483647\ndirty manual\nslot 5 0x10..0x20 hva 0x100\nas 1\nslot 7 "
		"0x10..0x1010 hva 0 "
		"absent log\n"
		"map 0x100..0x110 order 0 ro\nsubscriber counter\n"
		"limit points 777\n"
		"task 0 notifier { munmap 0..0x1000; reuse 0xfff }\n"
		"task 1 vcpu 6 { fault w 0x7fff; smm; prefault 0x10..0x11 }\n"
		"task 2 vm { slot_create 7; slot_move 5 0x7fff; zap_gfn_range 0..0x1000; "
		"dirty_clear 7 0x10..0x1010; dirty_clear 5 0x1f..0x20; close }\n"
		"start 1\nat 0 munmap#1 ~65535 switch 1\nat 1 fault#1 start switch 0\n"
		"at 1 fault#1 ~3 answer 1\nat 2 close#1 end switch rcu0\n"
		"at rcu0 callback#65536 ~9 switch 2\nat rcu0 callback#2 ~1 answer 2\n";
	static struct repro repro;
	struct buf text = { 0 };
	struct text_error error;
	size_t written;

	buf_printf(&text, "repro 1\ntarget canary\ngeometry %u\n%s", PT_INDEX_BITS, rest);
	if (!repro_parse(&repro, text.data, text.size, &error))
		fail_msg("%u:%u: %s", error.line, error.column, error.message);
	buf_free(&text);
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

/* The orders of maps, whatever the geometry; what the header says of old knobs and a record of new ones. */
static void orders_survive_encoding(void **state)
{
	for (u32 nth = 0; nth <= 2; nth++) {
		struct world *world = &input.program.world;

		input_decode(&input, target_nth(0), NULL, 0);
		world->nr_maps = 1;
		world->maps[0] =
			(struct map_line){ .start = 3, .end = 0x100, .order = nth * PT_INDEX_BITS };
		world->dirty_mode = DIRTY_LOG_RING;
		world->slots[0].logging = true;
		input_decode(&again, target_nth(0), encoded,
			     input_encode(&input, encoded, sizeof(encoded)));
		assert_same(&input, &again);
		assert_int_equal(again.program.world.maps[0].order, nth * PT_INDEX_BITS);
		assert_true(again.program.world.slots[0].logging);
	}
}

/* Whatever the bits say: values that no oracle convicts, and that go together. All of them occur. */
static void variants_are_legal(void **state)
{
	bool seen[KNOB_VALUE_COUNT] = { false };
	u32 one, other, folded = 0;

	memset(bytes, 0, INPUT_HEADER_BYTES);
	bytes[7] = 2; /* bare */
	for (u32 bits = 0; bits < 256; bits++) {
		const struct mmu_variant *variant = &input.program.world.variant;

		bytes[4] = (u8)bits;
		decode(bytes, INPUT_HEADER_BYTES);
		assert_null(variant_conflict(variant, &one, &other));
		for (u32 knob = 0; knob < KNOB_COUNT; knob++)
			seen[variant->knob[knob]] = true;
		folded += !memcmp(variant, &variant_default, sizeof(*variant));
	}
	/* A record says the rest, in any mixed radix. */
	for (u64 bits = 0; bits < 4096; bits++) {
		const struct mmu_variant *variant = &input.program.world.variant;
		u8 *record = bytes + INPUT_HEADER_BYTES;

		bytes[4] = 0;
		memset(record, 0xff, INPUT_RECORD_BYTES);
		record[0] = 12;
		record[1] = (u8)bits;
		record[2] = (u8)(bits >> 8);
		decode(bytes, INPUT_HEADER_BYTES + INPUT_RECORD_BYTES);
		assert_null(variant_conflict(variant, &one, &other));
		for (u32 knob = 0; knob < KNOB_COUNT; knob++)
			seen[variant->knob[knob]] = true;
	}
	for (u32 i = 0; i < KNOB_VALUE_COUNT; i++)
		assert_int_equal(seen[i], !strcmp(variant_rows[i].convicted_by, "none"));
	assert_true(folded > 256 / 5 && folded < 256 / 2);
}

/* Of the task 15 there are directives, but no ops. */
static void callbacks_have_no_ops(void **state)
{
	u8 *record = bytes + INPUT_HEADER_BYTES;
	const struct directive *directive = &input.schedule.directives[0];

	memset(bytes, 0, sizeof(bytes));
	record[0] = 0xf1; /* an op */
	record[8] = 0xf3; /* a task */
	record[16] = 0xf2; /* a directive: op 0x125, ordinal 7, switch to rcu0 */
	record[17] = 5;
	record[18] = 7;
	record[20] = 15;
	record[22] = 0x12;
	decode(bytes, INPUT_HEADER_BYTES + 24);
	assert_int_equal(input.schedule.nr_directives, 1);
	assert_int_equal(directive->task, TASK_RCU);
	assert_int_equal(directive->op, 0x125);
	assert_int_equal(directive->ordinal, 7);
	assert_int_equal(directive->to, TASK_RCU);
	input.schedule.nr_directives = 0;
	input_decode(&again, target_nth(0), bytes, INPUT_HEADER_BYTES);
	assert_same(&input, &again);
}

static void drawn_programs_survive_encoding(void **state)
{
	memset(&input.schedule, 0, sizeof(input.schedule));
	input.strategy_row = 1;
	input.schedules = 1;
	for (u64 seed = 0; seed < 10000; seed++) {
		const struct target *target = target_nth((u32)(seed % targets_count()));
		size_t written;

		program_generate(&input.program, target, seed, &variant_default);
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
		cmocka_unit_test(orders_survive_encoding),
		cmocka_unit_test(variants_are_legal),
		cmocka_unit_test(callbacks_have_no_ops),
		cmocka_unit_test(drawn_programs_survive_encoding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
