/* Drawn programs run to their end, whoever is scheduled; what one leaves does not reach the next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/hash.h"
#include "host/inspect.h"
#include "kern/kern.h"
#include "sched/sched.h"
#include "subject/inspect.h"
#include "workload/workload.h"

/* Zaps pass 512 entries a table in the geometry of hardware: fewer programs, with room for more points. */
#define PROGRAMS   (PT_INDEX_BITS == 3 ? 2000u : 100u)
#define POINTS_MAX world_points_default(PT_INDEX_BITS)

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
	program.world.points_max = POINTS_MAX;
}

static void programs_end(void **state)
{
	program_set_driver(&driver);
	inspected = 0;
	for (u64 nr = 0; nr < PROGRAMS; nr++) {
		draw(nr);
		if (program_execute(&program, inspect) != PROGRAM_DONE)
			fail_msg("program %llu does not end", (unsigned long long)nr);
		/* What is under way in a task, beyond the bound: a page that was not linked. */
		assert_true(kern_pages_used() <= program_pages(&program) + 2 * program.nr_tasks);
	}
	assert_int_equal(inspected, PROGRAMS);
}

/* --- texts under the default schedule --- */

static u32 next_lowest(void *ctx, const struct sched_stop *stop)
{
	if (stop->task != TASK_NONE && stop->kind != SCHED_AT_BLOCK &&
	    (stop->runnable & BIT_ULL(stop->task)))
		return stop->task;
	return (u32)__builtin_ctzll(stop->runnable);
}

static u64 value_default(void *ctx, const struct sched_stop *stop, u64 bound)
{
	return 0;
}

static const struct sched_driver lowest = { .next = next_lowest, .value = value_default };

static struct end {
	bool vm;
	u32 nr_slots, as;
	struct slot_view slot;
	u64 host_pte;
} end;

static void inspect_end(void)
{
	end.vm = inspect_vm();
	end.nr_slots = end.vm ? inspect_nr_slots() : 0;
	end.slot = end.nr_slots ? inspect_slot(0) : (struct slot_view){ 0 };
	end.as = end.vm ? inspect_vcpu_as(0) : 0;
	end.host_pte = inspect_host_pte(0x100);
}

/* A world with one slot, and then @tasks: to its end. */
static void execute(const char *option, const char *tasks)
{
	static struct repro repro;
	struct text_error error;
	struct buf text = { 0 };

	buf_printf(&text,
		   "repro 1\ntarget canary\ngeometry %u\nslot 0 0x10..0x12 hva 0x100 %s\n"
		   "map 0x100..0x102 order 0\n%s",
		   PT_INDEX_BITS, option, tasks);
	if (!repro_parse(&repro, text.data, text.size, &error))
		fail_msg("%u:%u: %s", error.line, error.column, error.message);
	buf_free(&text);
	op_counts_clear();
	program_set_driver(&lowest);
	assert_int_equal(program_execute(&repro.program, inspect_end), PROGRAM_DONE);
}

static void slots_come_and_go(void **state)
{
	execute("absent", "task 0 vcpu 0 { touch r 0x10 }\n");
	assert_int_equal(end.nr_slots, 0);
	execute("absent", "task 0 vm { slot_create 0 }\ntask 1 vcpu 0 { touch w 0x10 }\n");
	assert_int_equal(end.nr_slots, 1);
	assert_int_equal(end.slot.start, 0x10);
	execute("", "task 0 vm { slot_move 0 0x18; slot_create 0 }\n");
	assert_int_equal(end.slot.start, 0x18);
	assert_int_equal(end.slot.hva, 0x100);
	execute("", "task 0 vm { slot_delete 0; slot_delete 0 }\n");
	assert_int_equal(end.nr_slots, 0);
	assert_int_equal(op_counts()->done[OP_slot_delete], 2);
}

static void vcpus_change_address_spaces(void **state)
{
	execute("", "task 0 vcpu 0 { touch r 0x10; smm; touch r 0x10 }\n");
	assert_int_equal(end.as, 1);
	execute("", "task 0 vcpu 0 { smm; smm }\n");
	assert_int_equal(end.as, 0);
}

static void the_host_does_what_is_asked(void **state)
{
	execute("", "task 0 vcpu 0 { prefault 0x10 }\ntask 1 vm { zap_gfn_range 0x10..0x11 }\n");
	assert_true(host_pte_writable(end.host_pte));
	execute("", "task 0 notifier { mprotect r 0x100..0x102 }\n");
	assert_true(host_pte_present(end.host_pte) && !host_pte_writable(end.host_pte));
	execute("", "task 0 notifier { mprotect w 0x100..0x102 }\n");
	assert_true(host_pte_writable(end.host_pte));
	execute("", "task 0 notifier { reclaim 0x100; driver }\n");
	assert_false(host_pte_present(end.host_pte));
	execute("", "task 0 notifier { oom_reap 0x100..0x102 }\n");
	assert_int_equal(end.host_pte, 0);
	/* The driver refuses nothing as long as nobody holds its mutex. */
	execute("\nsubscriber driver\nsubscriber counter\n",
		"task 0 notifier { driver; oom_reap 0x100..0x102 }\n");
	assert_int_equal(end.host_pte, 0);
}

/* Whoever needs what has gone is skipped and counted; reclaim and the OOM reaper need nothing. */
static void what_has_gone_is_not_used(void **state)
{
	const struct op_counts *counts = op_counts();

	execute("",
		"task 0 notifier { exit; exit }\n"
		"task 1 notifier { munmap 0x100..0x101; reclaim 0x101; oom_reap 0x100..0x101 }\n"
		"task 2 vcpu 0 { touch r 0x10; fault r 0x11 }\ntask 3 vm { zap_all }\n");
	assert_true(end.vm);
	assert_int_equal(end.host_pte, 0);
	assert_int_equal(counts->done[OP_exit], 2);
	assert_int_equal(counts->skipped[OP_munmap], 1);
	assert_int_equal(counts->skipped[OP_touch], 1);
	assert_int_equal(counts->skipped[OP_fault], 1);
	assert_int_equal(counts->done[OP_reclaim], 1);
	assert_int_equal(counts->done[OP_oom_reap], 1);
	assert_int_equal(counts->done[OP_zap_all], 1);
	execute("", "task 0 vm { close; close; zap_all; slot_delete 0 }\n"
		    "task 1 notifier { munmap 0x100..0x101 }\ntask 2 vcpu 0 { touch r 0x10 }\n");
	assert_false(end.vm);
	assert_int_equal(counts->done[OP_close], 2);
	assert_int_equal(counts->skipped[OP_zap_all], 1);
	assert_int_equal(counts->skipped[OP_slot_delete], 1);
	assert_int_equal(counts->skipped[OP_touch], 1);
	assert_int_equal(counts->done[OP_munmap], 1);
	/* The next program starts with both. */
	execute("", "task 0 vcpu 0 { touch r 0x10 }\n");
	assert_true(end.vm);
	assert_int_equal(counts->done[OP_touch], 1);
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
		program.world.points_max = POINTS_MAX;
		assert_int_equal(program_execute(&program, NULL), PROGRAM_DONE);
		assert_int_equal(sched_points(), points);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(programs_end),
		cmocka_unit_test(programs_can_be_left_anywhere),
		cmocka_unit_test(slots_come_and_go),
		cmocka_unit_test(vcpus_change_address_spaces),
		cmocka_unit_test(the_host_does_what_is_asked),
		cmocka_unit_test(what_has_gone_is_not_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
