/* Each mutation does what it says and nothing else; and no bytes, and no room, are too odd for any. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "workload/workload.h"

#define PROGRAMS     200u
#define TRIES	     20u
#define GUARD	     0xa5
#define SOURCE_BYTES 400u

static struct input before, after;
static u8 bytes[INPUT_BYTES_MAX + 1], twin[INPUT_BYTES_MAX + 1];

static u32 nr_ops(const struct program *program)
{
	u32 nr = 0;

	for (u32 i = 0; i < program->nr_tasks; i++)
		nr += program->tasks[i].nr_ops;
	return nr;
}

/* How many ops of @one, counted by task and op, are not in @other. */
static u32 ops_missing(const struct program *one, const struct program *other)
{
	u32 missing = 0;

	for (u32 i = 0; i < one->nr_tasks; i++) {
		u32 has[OP_COUNT] = { 0 }, had[OP_COUNT] = { 0 };

		for (u32 k = 0; k < one->tasks[i].nr_ops; k++)
			had[one->tasks[i].ops[k].id]++;
		for (u32 k = 0; i < other->nr_tasks && k < other->tasks[i].nr_ops; k++)
			has[other->tasks[i].ops[k].id]++;
		for (u32 id = 0; id < OP_COUNT; id++)
			missing += had[id] > has[id] ? had[id] - has[id] : 0;
	}
	return missing;
}

/* Ops that are not what they were, in tasks that have as many as they had. ~0 if they have not. */
static u32 ops_changed(bool but_page, bool but_choice)
{
	u32 nr = 0;

	if (before.program.nr_tasks != after.program.nr_tasks)
		return ~0u;
	for (u32 i = 0; i < before.program.nr_tasks; i++) {
		const struct task_program *one = &before.program.tasks[i];
		const struct task_program *other = &after.program.tasks[i];

		if (one->nr_ops != other->nr_ops || one->kind != other->kind)
			return ~0u;
		for (u32 k = 0; k < one->nr_ops; k++) {
			const struct op *a = &one->ops[k], *b = &other->ops[k];
			bool pages = a->start == b->start && a->end == b->end;
			bool choice = a->access == b->access && a->slot == b->slot;

			nr += a->id != b->id || (!but_page && !pages) || (!but_choice && !choice);
		}
	}
	return nr;
}

static bool program_equal(void)
{
	struct buf left = { 0 }, right = { 0 };
	static struct repro repro;
	bool equal;

	memset(&repro, 0, sizeof(repro));
	repro.program = before.program;
	repro_print(&left, &repro);
	repro.program = after.program;
	repro_print(&right, &repro);
	equal = left.size == right.size && !memcmp(left.data, right.data, left.size);
	buf_free(&left);
	buf_free(&right);
	return equal;
}

static u32 directives_changed(void)
{
	u32 nr = 0;

	for (u32 i = 0; i < before.schedule.nr_directives; i++)
		nr += memcmp(&before.schedule.directives[i], &after.schedule.directives[i],
			     sizeof(struct directive)) != 0;
	return nr;
}

/* Whether the schedule is what it was, as far as the header says. */
static bool schedule_equal(void)
{
	return before.schedule.seed == after.schedule.seed &&
	       before.schedule.has_first == after.schedule.has_first &&
	       before.schedule.first == after.schedule.first &&
	       before.strategy_row == after.strategy_row && before.schedules == after.schedules;
}

static bool done_header(enum mutation mutation)
{
	switch (mutation) {
	case MUTATION_seed:
		return program_equal() && before.schedule.seed != after.schedule.seed;
	case MUTATION_strategy:
		return program_equal() && before.strategy_row != after.strategy_row;
	case MUTATION_schedules:
		return program_equal() && before.schedules != after.schedules;
	case MUTATION_first:
		return program_equal() && (before.schedule.has_first != after.schedule.has_first ||
					   before.schedule.first != after.schedule.first);
	case MUTATION_variant:
		return schedule_equal() && !ops_changed(false, false) &&
		       memcmp(&before.program.world.variant, &after.program.world.variant,
			      sizeof(struct mmu_variant));
	default:
		return schedule_equal() && !after.schedule.nr_directives && !program_equal();
	}
}

static bool done_ops(enum mutation mutation)
{
	const struct program *one = &before.program, *other = &after.program;
	u32 was = nr_ops(one), is = nr_ops(other);

	switch (mutation) {
	case MUTATION_op_insert:
		return is == was + 1;
	case MUTATION_op_delete:
		return is == was - 1;
	case MUTATION_op_replace:
		return ops_changed(false, false) == 1 && ops_missing(one, other) <= 1;
	case MUTATION_op_retarget:
		return ops_changed(false, false) == 1 && !ops_changed(true, false);
	case MUTATION_op_resize:
		return ops_changed(false, false) == 1 && !ops_changed(true, false);
	case MUTATION_op_vary:
		return ops_changed(false, false) == 1 && !ops_missing(one, other);
	case MUTATION_op_task:
		return is == was && ops_missing(one, other);
	default: /* the order only */
		return is == was && !ops_missing(one, other) &&
		       (directives_changed() || !program_equal());
	}
}

static bool done_directives(enum mutation mutation)
{
	u32 was = before.schedule.nr_directives, is = after.schedule.nr_directives;

	switch (mutation) {
	case MUTATION_directive_insert:
		return program_equal() && is == was + 1;
	case MUTATION_directive_delete:
		return program_equal() && is == was - 1;
	default:
		return program_equal() && is == was && directives_changed() == 1;
	}
}

static bool done(enum mutation mutation)
{
	if (mutation == MUTATION_world)
		return schedule_equal() && !program_equal();
	if (mutation <= MUTATION_redraw)
		return done_header(mutation);
	if (mutation >= MUTATION_directive_insert)
		return schedule_equal() && done_directives(mutation);
	return schedule_equal() && done_ops(mutation);
}

/* A drawn program, spelled out, with a few directives. Return: its size. */
static size_t draw_source(u64 seed, const struct target *target)
{
	size_t size;

	memset(&before, 0, sizeof(before));
	program_generate(&before.program, target, seed, &variant_default);
	before.schedules = 8;
	before.schedule.nr_directives = 3;
	for (u32 i = 0; i < 3; i++)
		before.schedule.directives[i] = (struct directive){ .ordinal = 7 + i };
	size = input_encode(&before, bytes, INPUT_BYTES_MAX);
	input_decode(&before, target, bytes, size);
	return size;
}

static void check_mutation(enum mutation mutation)
{
	u32 tried = 0, did = 0;

	for (u64 seed = 0; seed < PROGRAMS * TRIES; seed++) {
		const struct target *target = target_nth((u32)(seed % targets_count()));
		size_t size = draw_source(seed / TRIES, target), was = size;

		memcpy(twin, bytes, size);
		size = input_mutate_by(mutation, target, bytes, size, INPUT_BYTES_MAX, seed);
		if (!size) {
			assert_memory_equal(bytes, twin, was);
			continue;
		}
		tried++;
		input_decode(&after, target, bytes, size);
		assert_true(program_valid(&after.program, NULL));
		did += done(mutation);
	}
	/* Some come to nothing: a page folds to the one that it was, a knob excludes another. */
	if (!tried ||
	    did * 100 < tried * (mutation == MUTATION_world || mutation == MUTATION_variant ||
						 mutation == MUTATION_record_move
					 ? 20
					 : 50))
		fail_msg("%s did what it says %u times of %u", mutation_rows[mutation].name, did,
			 tried);
}

static void mutations_do_what_they_say(void **state)
{
	for (u32 mutation = 0; mutation < MUTATION_COUNT; mutation++)
		check_mutation(mutation);
}

/* Tags that exist are as likely as all others together. */
static size_t draw_bytes(struct prng *prng, u8 *to)
{
	size_t size = prng_below(prng, SOURCE_BYTES);

	for (size_t i = 0; i < size; i++)
		to[i] = (u8)(prng_below(prng, 2) ? prng_next(prng) : prng_below(prng, 16));
	return size;
}

static void no_bytes_are_too_odd(void **state)
{
	static u8 other[SOURCE_BYTES];

	for (u64 seed = 0; seed < 20000; seed++) {
		struct prng prng = prng_seeded(seed);
		const struct target *target = target_nth((u32)(seed % targets_count()));
		size_t size = draw_bytes(&prng, bytes), other_size = draw_bytes(&prng, other);
		size_t room = size + prng_below(&prng, 64), made, again;
		bool splice = seed & 1;

		memcpy(twin, bytes, size);
		if (splice) {
			room = prng_below(&prng, 2 * SOURCE_BYTES);
			made = input_splice(target, twin, size, other, other_size, bytes, room,
					    seed);
			bytes[room] = GUARD;
			again = input_splice(target, twin, size, other, other_size, bytes, room,
					     seed);
			assert_int_equal(made, again);
		} else {
			target = prng_below(&prng, 4) ? target : NULL;
			bytes[room] = GUARD;
			made = input_mutate(target, bytes, size, room, seed);
			again = input_mutate(target, twin, size, room, seed);
			assert_int_equal(made, again);
			assert_memory_equal(bytes, twin, made);
		}
		assert_true(made <= room);
		assert_int_equal(bytes[room], GUARD);
		input_decode(&after, target_nth(0), bytes, made);
		assert_true(program_valid(&after.program, NULL));
		assert_true(schedule_valid(&after.program, &after.schedule, NULL));
	}
}

/* An input that is a header only is the generator's program: an op more or less leaves it that. */
static void drawn_programs_are_spelled_out(void **state)
{
	u32 spelled = 0, alike = 0;

	for (u64 seed = 0; seed < 4000; seed++) {
		const struct target *target = target_nth((u32)(seed % targets_count()));
		size_t size;

		memset(bytes, 0, sizeof(bytes));
		bytes[0] = (u8)seed;
		input_decode(&before, target, bytes, INPUT_HEADER_BYTES);
		size = input_mutate(target, bytes, INPUT_HEADER_BYTES, INPUT_BYTES_MAX, seed);
		if (size == INPUT_HEADER_BYTES)
			continue;
		spelled++;
		input_decode(&after, target, bytes, size);
		alike += ops_missing(&before.program, &after.program) <= 4;
	}
	assert_true(spelled > 1000);
	assert_true(alike * 100 > spelled * 75);
}

/* The ops of each task come from one of the two, and from either. */
static void splices_keep_tasks_whole(void **state)
{
	static u8 parents[2][INPUT_BYTES_MAX];
	u32 from[2] = { 0 };

	for (u64 seed = 0; seed < 1000; seed++) {
		const struct target *target = target_by_name("everything");
		size_t sizes[2], made;

		for (u32 i = 0; i < 2; i++) {
			sizes[i] = draw_source(2 * seed + i, target);
			memcpy(parents[i], bytes, sizes[i]);
		}
		made = input_splice(target, parents[0], sizes[0], parents[1], sizes[1], bytes,
				    INPUT_BYTES_MAX, seed);
		/* Each of its records is one of a parent's; of a task's, all or none. */
		for (u32 number = 0; number < 4; number++) {
			u32 in[2] = { 0 }, has[2] = { 0 }, nr = 0;

			for (size_t at = INPUT_HEADER_BYTES; at < made; at += INPUT_RECORD_BYTES)
				nr += bytes[at] == (1 | number << 4);
			for (u32 i = 0; i < 2; i++)
				for (size_t at = INPUT_HEADER_BYTES; at < sizes[i];
				     at += INPUT_RECORD_BYTES) {
					if (parents[i][at] != (1 | number << 4))
						continue;
					has[i]++;
					for (size_t k = INPUT_HEADER_BYTES; k < made;
					     k += INPUT_RECORD_BYTES)
						if (!memcmp(bytes + k, parents[i] + at,
							    INPUT_RECORD_BYTES)) {
							in[i]++;
							break;
						}
				}
			assert_true((nr == has[0] && in[0] == nr) || (nr == has[1] && in[1] == nr));
			from[0] += nr && in[0] == has[0] && nr == has[0];
			from[1] += nr && in[1] == has[1] && nr == has[1];
		}
	}
	assert_true(from[0] > 500 && from[1] > 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mutations_do_what_they_say),
		cmocka_unit_test(no_bytes_are_too_odd),
		cmocka_unit_test(drawn_programs_are_spelled_out),
		cmocka_unit_test(splices_keep_tasks_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
