/* Every design has its price: for each value of a knob a program shows figures that no other value has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "fuzz/fuzz.h"

/* Programs of each target, each under one schedule. */
#define PROGRAMS 3000u

static u64 figures[KNOB_VALUE_COUNT][FIGURE_COUNT];

/* The default with @value; what does not go with it takes another value that does. */
static struct mmu_variant base_of(u32 value)
{
	struct mmu_variant variant = variant_default;
	u32 one, other;

	variant.knob[variant_rows[value].knob_id] = (u8)value;
	for (u32 i = 0; variant_conflict(&variant, &one, &other) && i < KNOB_VALUE_COUNT; i++) {
		u32 knob = variant_rows[one == value ? other : one].knob_id;

		if (variant_rows[i].knob_id == knob)
			variant.knob[knob] = (u8)i;
	}
	assert_null(variant_conflict(&variant, &one, &other));
	return variant;
}

/* One schedule of a program, whose variant is @base but for the knob of @value. */
static void measure(struct run_spec *spec, const struct mmu_variant *base, u32 value)
{
	static struct program program;
	const struct program *drawn = spec->program;

	program = *drawn;
	program.world.variant = *base;
	program.world.variant.knob[variant_rows[value].knob_id] = (u8)value;
	spec->program = &program;
	compare_measure(spec, figures[value]);
	spec->program = drawn;
}

/* Whether the figures of @value differ from those of every other value of its knob that goes with @base. */
static bool stands_out(struct run_spec *spec, const struct mmu_variant *base, u32 value)
{
	u32 one, other;

	measure(spec, base, value);
	for (u32 i = 0; i < KNOB_VALUE_COUNT; i++) {
		struct mmu_variant variant = *base;

		variant.knob[variant_rows[value].knob_id] = (u8)i;
		if (i == value || variant_rows[i].knob_id != variant_rows[value].knob_id ||
		    variant_conflict(&variant, &one, &other))
			continue;
		measure(spec, base, i);
		if (!memcmp(figures[i], figures[value], sizeof(figures[i])))
			return false;
	}
	return true;
}

/* A finding in upstream has a reproducer by the name of the knob and its value. */
static bool repro_of(u32 value, struct repro *repro)
{
	static char text[1 << 16];
	char path[160];
	size_t size;
	FILE *file;

	snprintf(path, sizeof(path), "reproducers/%s_%s.repro", variant_rows[value].knob,
		 variant_rows[value].value);
	file = fopen(path, "r");
	if (!file)
		return false;
	size = fread(text, 1, sizeof(text), file);
	fclose(file);
	return repro_parse(repro, text, size, &(struct text_error){ .line = 0 });
}

/* Whether the reproducer of a finding in its knob tells @value apart. */
static bool has_finding(u32 value)
{
	static struct repro repro;
	struct run_spec spec;

	for (u32 i = 0; i < KNOB_VALUE_COUNT; i++) {
		if (variant_rows[i].knob_id != variant_rows[value].knob_id || !repro_of(i, &repro))
			continue;
		run_spec_of(&spec, &repro);
		if (repro.program.world.geometry == PT_INDEX_BITS &&
		    stands_out(&spec, &repro.program.world.variant, value))
			return true;
	}
	return false;
}

static bool has_program(u32 value)
{
	const struct mmu_variant base = base_of(value);
	static struct program program;
	struct run_spec spec;

	for (u64 nr = 0; nr < PROGRAMS; nr++)
		for (u32 i = 0; i < targets_count(); i++) {
			const struct campaign campaign = { .target = target_nth(i),
							   .variant = base,
							   .seed = 1 };

			if (campaign.target->bug != BUG_none)
				continue;
			campaign_spec(&campaign, nr * SCHEDULES_PER_PROGRAM, &program, &spec);
			if (stands_out(&spec, &base, value))
				return true;
		}
	return false;
}

static void every_value_shows(void **state)
{
	u32 missing = 0;

	/* In wide tables a schedule is long, and the findings are of the other geometry. */
	if (PT_INDEX_BITS != 3)
		skip();
	for (u32 i = 0; i < KNOB_VALUE_COUNT; i++)
		if (!has_program(i) && !has_finding(i)) {
			print_error("no program tells %s=%s from the other values\n",
				    variant_rows[i].knob, variant_rows[i].value);
			missing++;
		}
	assert_int_equal(missing, 0);
}

static struct compare compare_of(u32 knob)
{
	return (struct compare){ .target = target_by_name("fault_vs_invalidate"),
				 .variant = variant_default,
				 .knob = knob,
				 .seed = 3,
				 .schedules = 300 };
}

static void equal_seeds_give_equal_figures(void **state)
{
	static struct comparison first, again;
	struct compare compare = compare_of(KNOB_fault_precheck);
	struct death death;

	assert_true(compare_run(&compare, &first, &death));
	assert_true(compare_run(&compare, &again, &death));
	assert_memory_equal(&first, &again, sizeof(first));
	assert_int_equal(first.nr_columns, 3);
	compare.seed = 4;
	assert_true(compare_run(&compare, &again, &death));
	assert_memory_not_equal(&first, &again, sizeof(first));
}

/* Totals are sums and medians middles of what single schedules show. */
static void figures_add_up(void **state)
{
	static struct comparison comparison;
	static u64 one[FIGURE_COUNT];
	static struct program program;
	struct compare compare = compare_of(KNOB_fault_precheck);
	struct campaign campaign = { .target = compare.target,
				     .variant = compare.variant,
				     .seed = compare.seed };
	const struct compare_column *column;
	u64 total[FIGURE_COUNT] = { 0 }, below = 0, above = 0;
	struct death death;

	assert_true(compare_run(&compare, &comparison, &death));
	column = &comparison.columns[2];
	assert_int_equal(column->value, variant_default.knob[KNOB_fault_precheck]);
	for (u64 nr = 0; nr < compare.schedules; nr++) {
		struct run_spec spec;

		campaign_spec(&campaign, nr, &program, &spec);
		compare_measure(&spec, one);
		for (u32 i = 0; i < FIGURE_COUNT; i++)
			total[i] += one[i];
		below += one[FIGURE_points] < column->median[FIGURE_points];
		above += one[FIGURE_points] > column->median[FIGURE_points];
	}
	assert_memory_equal(total, column->total, sizeof(total));
	assert_true(below <= compare.schedules / 2 && above <= compare.schedules / 2);
	assert_true(column->median[FIGURE_points] > 0);
	assert_int_equal(column->total[FIGURE_violations], 0);
	assert_true(column->total[FIGURE_fixed_locked] > 0);
	assert_true(column->total[FIGURE_read_points] > column->total[FIGURE_read_holds]);
	assert_true(column->total[FIGURE_cmpxchg_lost] > 0);
	/* Who tests early finds out early. */
	assert_true(comparison.columns[0].total[FIGURE_read_holds] >
		    column->total[FIGURE_read_holds]);
}

static void fast_faults_take_no_lock(void **state)
{
	static struct comparison comparison;
	struct compare compare = compare_of(KNOB_fast_page_fault);
	struct death death;

	compare.target = target_by_name("dirty_log_vs_fast_fault");
	compare.variant.knob[KNOB_ad_bits] = ad_bits_disabled;
	assert_true(compare_run(&compare, &comparison, &death));
	assert_int_equal(comparison.columns[0].value, fast_page_fault_off);
	assert_int_equal(comparison.columns[0].total[FIGURE_fixed_lockless], 0);
	assert_true(comparison.columns[1].total[FIGURE_fixed_lockless] > 0);
}

/* What each design of aging was replaced for by the next. */
static void each_design_of_aging_has_its_price(void **state)
{
	static struct comparison comparison;
	struct compare compare = compare_of(KNOB_young);
	const struct compare_column *columns = comparison.columns;
	struct death death;

	compare.target = target_by_name("age_vs_zap");
	assert_true(compare_run(&compare, &comparison, &death));
	assert_int_equal(comparison.nr_columns, 4);
	assert_int_equal(columns[0].value, young_write_lock_flush);
	for (u32 i = 0; i < 4; i++) {
		bool flushes = i == 0, locks = i < 3, is_fast = i == 2;

		assert_true(columns[i].total[FIGURE_young_found] > 0);
		assert_true(columns[i].total[FIGURE_young_calls] >
			    columns[i].total[FIGURE_young_found]);
		assert_true(columns[i].total[FIGURE_looked_around] > 0);
		assert_int_equal(columns[i].total[FIGURE_young_flushes] > 0, flushes);
		assert_int_equal(columns[i].total[FIGURE_young_holds] > 0, locks);
		assert_int_equal(columns[i].total[FIGURE_young_fast] > 0, is_fast);
	}
	/* Shadow pages are few: most answers need no lock. */
	assert_true(columns[2].total[FIGURE_young_holds] * 2 <
		    columns[1].total[FIGURE_young_holds]);
}

static void what_was_never_together_is_left_out(void **state)
{
	static struct comparison comparison;
	struct compare compare = compare_of(KNOB_zap_root);
	struct death death;

	assert_true(compare_run(&compare, &comparison, &death));
	assert_non_null(comparison.columns[0].conflict);
	assert_int_equal(variant_rows[comparison.columns[0].conflict_with].knob_id,
			 KNOB_fault_precheck);
	assert_int_equal(comparison.columns[0].total[FIGURE_points], 0);
	for (u32 i = 1; i < comparison.nr_columns; i++) {
		assert_null(comparison.columns[i].conflict);
		assert_true(comparison.columns[i].total[FIGURE_points]);
	}
}

int main(void)
{
	/* The race detector wants no child behind schedules that ran in this process: those come last. */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_seeds_give_equal_figures),
		cmocka_unit_test(fast_faults_take_no_lock),
		cmocka_unit_test(each_design_of_aging_has_its_price),
		cmocka_unit_test(what_was_never_together_is_left_out),
		cmocka_unit_test(figures_add_up),
		cmocka_unit_test(every_value_shows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
