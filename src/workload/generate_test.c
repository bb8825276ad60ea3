/* What is drawn is valid, equal for equal seeds, and holds what the catalogue's bugs need. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/hash.h"
#include "workload/workload.h"

#define PROGRAMS (CONFIG_THREADS ? 2000 : 20000)

static const struct target *searched(void)
{
	const struct target *target = target_by_name("fault_vs_invalidate");

	assert_non_null(target);
	return target;
}

static void drawn_programs_are_valid(void **state)
{
	static struct program program;
	struct text_error error;

	for (u32 nth = 0; nth < targets_count(); nth++) {
		const struct target *target = target_nth(nth);

		assert_ptr_equal(target_by_name(target->name), target);
		for (u64 seed = 0; seed < PROGRAMS; seed++) {
			program_generate(&program, target, seed, &variant_upstream);
			if (!program_valid(&program, &error))
				fail_msg("%s, seed %llu: %s", target->name,
					 (unsigned long long)seed, error.message);
			assert_in_range(program.nr_tasks, 1, target->tasks_max);
			assert_int_equal(program.tasks[0].kind, TASK_VCPU);
		}
	}
}

/* Whatever a target's table says, programs stay within the limits. */
static void absurd_targets_are_survived(void **state)
{
	static const struct target absurd[] = {
		{ .name = "empty" },
		{ .name = "huge",
		  .op_weights = { [OP_touch] = 1, [OP_populate] = 1, [OP_wrprotect] = 1 },
		  .tasks_min = 1000,
		  .tasks_max = 2000,
		  .ops_min = 1000,
		  .ops_max = 1000,
		  .vcpus_max = 1000,
		  .slots_max = 1000,
		  .pages_min = 1000,
		  .pages_max = 100000 },
	};
	static struct program program;
	struct text_error error;

	for (u64 seed = 0; seed < 1000; seed++) {
		program_generate(&program, &absurd[seed % 2], seed, &variant_upstream);
		if (!program_valid(&program, &error))
			fail_msg("seed %llu: %s", (unsigned long long)seed, error.message);
	}
}

static void equal_seeds_give_equal_programs(void **state)
{
	static struct repro a, b;

	for (u64 seed = 0; seed < 1000; seed++) {
		struct buf left = { 0 }, right = { 0 };

		memset(&b, 0xff, sizeof(b));
		memset(&b, 0, offsetof(struct repro, program));
		memset(&b.schedule, 0, sizeof(b.schedule));
		program_generate(&a.program, searched(), seed, &variant_upstream);
		program_generate(&b.program, searched(), seed, &variant_upstream);
		repro_print(&left, &a);
		repro_print(&right, &b);
		assert_string_equal(buf_text(&left), buf_text(&right));
		buf_free(&left);
		buf_free(&right);
	}
}

struct counts {
	u32 ops[OP_COUNT];
	u32 two_downgrades; /* two notifier tasks that can be inside an invalidation at once */
	u32 seq_past_31_bits, read_only, wide_ranges, ranges_over_slots;
};

static bool has_op(const struct task_program *task, enum op_id id)
{
	for (u32 i = 0; i < task->nr_ops; i++)
		if (task->ops[i].id == id)
			return true;
	return false;
}

static bool range_over_slots(const struct world *world, const struct op *op)
{
	u32 nr = 0;

	for (u32 i = 0; i < world->nr_slots; i++)
		nr += op->start <
			      world->slots[i].hva + world->slots[i].end - world->slots[i].start &&
		      world->slots[i].hva < op->end;
	return nr > 1;
}

static void count_ops(struct counts *counts, const struct program *program)
{
	u32 migrating = 0, downgrading = 0;

	for (u32 i = 0; i < program->nr_tasks; i++) {
		const struct task_program *task = &program->tasks[i];
		bool migrates = has_op(task, OP_migrate);

		migrating += migrates;
		downgrading += migrates || has_op(task, OP_munmap) || has_op(task, OP_wrprotect);
		for (u32 j = 0; j < task->nr_ops; j++) {
			const struct op *op = &task->ops[j];

			counts->ops[op->id]++;
			if (op_rows[op->id].args != OP_ARGS_HVA_RANGE)
				continue;
			counts->wide_ranges += op->end - op->start > 1;
			counts->ranges_over_slots += range_over_slots(&program->world, op);
		}
	}
	counts->two_downgrades += migrating && downgrading > 1;
}

static void every_bug_has_its_programs(void **state)
{
	static struct program program;
	struct counts counts = { 0 };

	for (u64 seed = 0; seed < PROGRAMS; seed++) {
		program_generate(&program, searched(), seed, &variant_upstream);
		count_ops(&counts, &program);
		counts.seq_past_31_bits += program.world.seq > INT32_MAX;
		for (u32 i = 0; i < program.world.nr_maps; i++)
			counts.read_only += program.world.maps[i].read_only;
	}
	for (u32 i = 0; i < OP_COUNT; i++)
		assert_true(searched()->op_weights[i] ? counts.ops[i] > PROGRAMS / 20
						      : !counts.ops[i]);
	assert_true(counts.two_downgrades > PROGRAMS / 20);
	assert_true(counts.seq_past_31_bits > PROGRAMS / 20);
	assert_true(counts.read_only > PROGRAMS / 20);
	assert_true(counts.wide_ranges > PROGRAMS / 4);
	assert_true(counts.ranges_over_slots > PROGRAMS / 20);
}

/* What a target asks for, counted over programs. */
struct asked {
	u32 programs[OP_COUNT]; /* with such an op */
	u32 second_as, absent, subscribed, huge, small_in_huge, logging,
		modes[DIRTY_LOG_MODE_COUNT];
	u32 refused; /* ops on dirty logs that the mode does not know */
	u32 levels[PT_LEVEL_MAX + 1], values[KNOB_VALUE_COUNT];
};

/* Whether a whole huge page fits into the slot, at the same place in it for guest and host. */
static bool holds_huge(const struct subject_slot *slot, u32 order)
{
	u64 size = 1ull << order, first = (slot->start + size - 1) & -size;

	return order && (slot->start ^ slot->hva) % size == 0 && first + size <= slot->end;
}

/* A huge map behind a slot that can use it, and a 4K one that a collapse could make huge. */
static void count_huge(struct asked *asked, const struct world *world)
{
	bool huge = false, small = false;

	for (u32 i = 0; i < world->nr_slots; i++)
		for (u32 j = 0; j < world->nr_maps; j++) {
			const struct subject_slot *slot = &world->slots[i];
			const struct map_line *map = &world->maps[j];

			if (slot->hva != map->start)
				continue;
			huge |= holds_huge(slot, map->order);
			small |= !map->order && !map->read_only && holds_huge(slot, PT_INDEX_BITS);
		}
	asked->huge += huge;
	asked->small_in_huge += small;
}

static bool is_refused(u32 mode, u32 id)
{
	bool by_hand = mode == DIRTY_LOG_MANUAL || mode == DIRTY_LOG_INITIALLY_SET;

	if (id == OP_dirty_reset)
		return mode != DIRTY_LOG_RING;
	if (id == OP_dirty_clear || id == OP_dirty_clear_blind)
		return !by_hand;
	return id == OP_dirty_get && mode == DIRTY_LOG_RING;
}

static void count_logging(struct asked *asked, const struct world *world)
{
	bool logging = false;

	for (u32 i = 0; i < world->nr_slots; i++)
		logging |= world->slots[i].logging;
	asked->logging += logging;
	asked->modes[world->dirty_mode]++;
}

static void count_asked(struct asked *asked, const struct program *program)
{
	const struct world *world = &program->world;
	bool has[OP_COUNT] = { false };

	for (u32 i = 0; i < program->nr_tasks; i++) {
		const struct task_program *task = &program->tasks[i];

		for (u32 j = 0; j < task->nr_ops; j++) {
			u32 id = task->ops[j].id;

			has[id] = true;
			asked->refused += is_refused(world->dirty_mode, id);
			/* Whoever lets go does nothing more. */
			assert_true((id != OP_exit && id != OP_close) || j + 1 == task->nr_ops);
		}
	}
	for (u32 i = 0; i < OP_COUNT; i++)
		asked->programs[i] += has[i];
	for (u32 i = 0; i < world->nr_slots; i++)
		asked->second_as += world->slots[i].as_id;
	asked->absent += world->absent != 0;
	count_huge(asked, world);
	count_logging(asked, world);
	asked->subscribed += world->subscribers != 0;
	asked->levels[world->levels]++;
	for (u32 knob = 0; knob < KNOB_COUNT; knob++)
		asked->values[world->variant.knob[knob]]++;
}

static void assert_asked(const struct target *target, const struct asked *asked)
{
	const u32 few = PROGRAMS / 50;
	bool draws_levels = false;

	for (u32 i = 0; i < OP_COUNT; i++)
		if (target->op_weights[i] ? asked->programs[i] < few : asked->programs[i])
			fail_msg("%s: %u programs with %s", target->name, asked->programs[i],
				 op_rows[i].name);
	assert_int_equal(asked->second_as > few, target->as_max > 1);
	assert_int_equal(asked->absent > few, target->has_absent);
	assert_int_equal(asked->huge > few, target->huge_of_8 != 0);
	assert_int_equal(asked->small_in_huge > few, target->huge_of_8 != 0);
	assert_int_equal(asked->logging > few, target->logging_of_8 != 0);
	assert_int_equal(asked->refused, 0);
	for (u32 i = 0; i < DIRTY_LOG_MODE_COUNT; i++)
		assert_int_equal(asked->modes[i] > few,
				 i == DIRTY_LOG_BITMAP || target->logging_of_8);
	assert_int_equal(asked->subscribed > few, target->has_subscribers);
	for (u32 i = 0; i <= PT_LEVEL_MAX; i++)
		draws_levels |= target->levels_weights[i] != 0;
	for (u32 i = 0; draws_levels && i <= PT_LEVEL_MAX; i++)
		assert_int_equal(asked->levels[i] > few, target->levels_weights[i] != 0);
	for (u32 i = 0; i < KNOB_VALUE_COUNT; i++) {
		bool standard = variant_default.knob[variant_rows[i].knob_id] == i;
		bool legal = !strcmp(variant_rows[i].convicted_by, "none");

		assert_int_equal(asked->values[i] > few, standard || (target->knobs_of_8 && legal));
	}
}

static void targets_get_what_they_ask_for(void **state)
{
	static struct program program;

	for (u32 nth = 0; nth < targets_count(); nth++) {
		const struct target *target = target_nth(nth);
		struct asked asked = { 0 };

		assert_null(target_problem(target));
		for (u64 seed = 0; seed < PROGRAMS; seed++) {
			program_generate(&program, target, seed, &variant_default);
			count_asked(&asked, &program);
		}
		assert_asked(target, &asked);
	}
}

/* A variant that is asked for is kept, and changes nothing else. */
static void swarms_keep_a_given_variant(void **state)
{
	const struct target *target = target_by_name("everything");
	static struct repro drawn, given;

	assert_non_null(target);
	for (u64 seed = 0; seed < 1000; seed++) {
		struct buf left = { 0 }, right = { 0 };

		program_generate(&drawn.program, target, seed, &variant_default);
		program_generate(&given.program, target, seed, &variant_upstream);
		assert_memory_equal(&given.program.world.variant, &variant_upstream,
				    sizeof(variant_upstream));
		drawn.program.world.variant = variant_upstream;
		repro_print(&left, &drawn);
		repro_print(&right, &given);
		assert_string_equal(buf_text(&left), buf_text(&right));
		buf_free(&left);
		buf_free(&right);
	}
}

/* Figures of different releases are compared: these targets draw what they always drew. */
static void old_targets_draw_the_same(void **state)
{
	static const struct {
		const char *name;
		u64 hash;
	} drawn[] = { { "fault_vs_invalidate", 0x83071496405c9413 },
		      { "canary", 0x2fe45c4c66c3fc1b } };
	static struct repro repro;

	for (u32 i = 0; i < ARRAY_SIZE(drawn) && PT_INDEX_BITS == 3; i++) {
		u64 hash = HASH_SEED;

		for (u64 seed = 0; seed < 3000; seed++) {
			struct buf text = { 0 };

			program_generate(&repro.program, target_by_name(drawn[i].name), seed,
					 &variant_default);
			repro_print(&text, &repro);
			hash = hash_text(hash, buf_text(&text));
			buf_free(&text);
		}
		if (hash != drawn[i].hash)
			fail_msg("%s draws others: %#llx", drawn[i].name, (unsigned long long)hash);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(drawn_programs_are_valid),
		cmocka_unit_test(absurd_targets_are_survived),
		cmocka_unit_test(equal_seeds_give_equal_programs),
		cmocka_unit_test(every_bug_has_its_programs),
		cmocka_unit_test(targets_get_what_they_ask_for),
		cmocka_unit_test(swarms_keep_a_given_variant),
		cmocka_unit_test(old_targets_draw_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
