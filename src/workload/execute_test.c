/* Drawn programs run to their end, whoever is scheduled; what one leaves does not reach the next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/hash.h"
#include "host/inspect.h"
#include "kern/kern.h"
#include "oracle/oracle.h"
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
	execute("",
		"task 0 vcpu 0 { prefault 0x10..0x11 }\ntask 1 vm { zap_gfn_range 0x10..0x11 }\n");
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

/* --- what user space knows of dirty logs --- */

static struct log_trace {
	u32 nr, given_up;
	u64 gfns[16]; /* that clears took */
	u64 last_result;
} trace;

static void note_log(const struct event *event)
{
	if (event->id == EVENT_dirty_given_up)
		trace.given_up++;
	if (event->id == EVENT_op_ended)
		trace.last_result = event_field(event, 2);
	if (event->id == EVENT_dirty_taken && trace.nr < ARRAY_SIZE(trace.gfns))
		trace.gfns[trace.nr++] = event_field(event, 1);
}

static void execute_logged(const char *mode, const char *tasks)
{
	struct buf option = { 0 };

	trace = (struct log_trace){ 0 };
	buf_printf(&option, "log\ndirty %s\nslot 1 0x20..0x22 hva 0x100 absent log", mode);
	oracle_tap(note_log);
	execute(buf_text(&option), tasks);
	oracle_tap(NULL);
	buf_free(&option);
}

static void only_what_was_got_is_cleared(void **state)
{
	execute_logged("manual", "task 0 vcpu 0 { touch w 0x10; touch w 0x11 }\n"
				 "task 1 vm { dirty_clear 0 0x10..0x12 }\n");
	assert_int_equal(trace.nr, 0);
	assert_int_equal(trace.last_result, 0);
	execute_logged("manual", "task 0 vcpu 0 { touch w 0x10; touch w 0x11 }\n"
				 "task 1 vm { dirty_get 0; dirty_clear 0 0x11..0x12 }\n");
	assert_int_equal(trace.nr, 1);
	assert_int_equal(trace.gfns[0], 0x11);
	/* What was cleared is not cleared again, what was left is. */
	execute_logged(
		"manual",
		"task 0 vcpu 0 { touch w 0x10; touch w 0x11 }\n"
		"task 1 vm { dirty_get 0; dirty_clear 0 0x11..0x12; dirty_clear 0 0x10..0x12 }\n");
	assert_int_equal(trace.nr, 2);
	assert_int_equal(trace.gfns[1], 0x10);
	assert_int_equal(trace.given_up, 0);
}

static void what_was_got_goes_with_its_log(void **state)
{
	/* Off and on again: the bits are those of another log. */
	execute_logged("manual", "task 0 vcpu 0 { touch w 0x10 }\n"
				 "task 1 vm { dirty_get 0; slot_flags 0; slot_flags 0; dirty_clear "
				 "0 0x10..0x12 }\n");
	assert_int_equal(trace.nr, 0);
	execute_logged("manual",
		       "task 0 vcpu 0 { touch w 0x10 }\n"
		       "task 1 vm { dirty_get 0; slot_move 0 0x18; dirty_clear 0 0x10..0x12 }\n");
	assert_int_equal(trace.nr, 0);
	/* The next program begins anew. */
	execute_logged("manual", "task 0 vcpu 0 { touch w 0x10 }\ntask 1 vm { dirty_get 0 }\n");
	execute_logged("manual",
		       "task 0 vcpu 0 { touch w 0x10 }\ntask 1 vm { dirty_clear 0 0x10..0x12 }\n");
	assert_int_equal(trace.nr, 0);
	/* A log counts from the slot's first page, wherever that is by now. */
	execute_logged("manual", "task 0 vm { slot_move 0 0x18 }\ntask 1 vcpu 0 { touch w 0x19 }\n"
				 "task 2 vm { dirty_get 0; dirty_clear 0 0x11..0x12 }\n");
	assert_int_equal(trace.nr, 1);
	assert_int_equal(trace.gfns[0], 0x19);
}

static void blind_clears_give_up_what_was_not_got(void **state)
{
	execute_logged("manual", "task 0 vcpu 0 { touch w 0x10; touch w 0x11 }\n"
				 "task 1 vm { dirty_clear_blind 0 }\n");
	assert_int_equal(trace.nr, 2);
	assert_int_equal(trace.given_up, 2);
	execute_logged("manual", "task 0 vcpu 0 { touch w 0x10 }\n"
				 "task 1 vm { dirty_get 0; dirty_clear_blind 0 }\n");
	assert_int_equal(trace.nr, 1);
	assert_int_equal(trace.given_up, 1);
	/* Where nothing is cleared by hand nothing is lost. */
	execute_logged("bitmap", "task 0 vm { dirty_clear_blind 0 }\n");
	assert_int_equal(trace.given_up, 0);
	assert_int_equal(trace.last_result, EINVAL);
	execute_logged("ring", "task 0 vcpu 0 { touch w 0x10 }\ntask 1 vm { dirty_get 0 }\n");
	assert_int_equal(trace.last_result, ENXIO);
	execute_logged("manual", "task 0 vm { dirty_get 1 }\n");
	assert_int_equal(trace.last_result, ENOENT);
	execute_logged("bitmap", "task 0 vm { dirty_reset }\n");
	assert_int_equal(trace.last_result, EINVAL);
}

/* How many entries a ring holds is the MMU's business: as many writes of the kernel as there is room for. */
static void a_full_ring_ends_the_op(void **state)
{
	const struct op_counts *counts = op_counts();
	struct buf tasks = { 0 };

	for (u32 nr = 1; nr <= OPS_MAX; nr++) {
		buf_clear(&tasks);
		buf_printf(&tasks, "task 0 vcpu 0 { kernel_write 0x10");
		for (u32 i = 1; i < nr - 1; i++)
			buf_printf(&tasks, "; kernel_write 0x10");
		buf_printf(&tasks, "%s }\n", nr > 1 ? "; touch w 0x11" : "");
		execute_logged("ring", buf_text(&tasks));
		if (counts->ring_full[OP_touch])
			break;
	}
	assert_int_equal(counts->ring_full[OP_touch], 1);
	assert_int_equal(counts->done[OP_touch], 0);
	assert_int_equal(trace.last_result, OP_RING_FULL);
	buf_printf(&tasks, "task 1 vm { dirty_reset }\ntask 2 vcpu 1 { fault w 0x10 }\n");
	execute_logged("ring", buf_text(&tasks));
	assert_int_equal(counts->ring_full[OP_touch], 1);
	assert_int_equal(counts->done[OP_fault], 1);
	assert_int_equal(trace.last_result, SUBJECT_FIXED);
	buf_free(&tasks);
}

static void only_what_is_tracked_is_let_go(void **state)
{
	execute_logged("bitmap", "task 0 vm { untrack 0x10 }\n");
	assert_int_equal(trace.last_result, ENOENT);
	execute_logged("bitmap", "task 0 vm { track 0x10 }\ntask 1 vcpu 0 { touch w 0x10 }\n");
	assert_int_equal(trace.last_result, SUBJECT_WRITE_PROTECTED);
	execute_logged("bitmap", "task 0 vm { track 0x10; track 0x10; untrack 0x10 }\n"
				 "task 1 vcpu 0 { touch w 0x10 }\n");
	assert_int_equal(trace.last_result, SUBJECT_WRITE_PROTECTED);
	execute_logged("bitmap", "task 0 vm { track 0x10; untrack 0x10 }\n"
				 "task 1 vcpu 0 { touch w 0x10 }\n");
	assert_int_equal(trace.last_result, SUBJECT_FIXED);
	/* Counts go with their slot. */
	execute_logged("bitmap",
		       "task 0 vm { track 0x10; slot_delete 0; slot_create 0; untrack 0x10 }\n");
	assert_int_equal(trace.last_result, ENOENT);
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
		cmocka_unit_test(only_what_was_got_is_cleared),
		cmocka_unit_test(what_was_got_goes_with_its_log),
		cmocka_unit_test(blind_clears_give_up_what_was_not_got),
		cmocka_unit_test(a_full_ring_ends_the_op),
		cmocka_unit_test(only_what_is_tracked_is_let_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
