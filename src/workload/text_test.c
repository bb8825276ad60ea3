/* Canonical texts come back byte for byte; everything else is refused at its line and column. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "workload/workload.h"

static struct repro repro, again;
static struct text_error error;

static const char canonical[] =
	"repro 1\n"
	"target    fault_vs_invalidate\n"
	"geometry  3\n"
	"levels    4\n"
	"variant   upstream\n"
	"seq       4294967295\n"
	"slot 0    0x10..0x20 hva 0x100\n"
	"slot 3    0x20..0x21 hva 0x110\n"
	"map       0x100..0x110 order 0\n"
	"map       0x110..0x111 order 0 ro\n"
	"limit     points 5000\n"
	"bug       seq_test_dropped\n"
	"expect    stale_mapping SM4  kvm_tdp_mmu_map:try_cmpxchg64(sptep) / f:WRITE_ONCE(seq)\n"
	"forbid    hull\n"
	"forbid    seq\n"
	"why       The fault translated  before an invalidation; it has begun and ended since.\n"
	"fix       invented\n"
	"\n"
	"task 0 vcpu 0    { fault w 0x10; touch x 0x1f; fault r 0x20 }\n"
	"task 1 notifier  { munmap 0x100..0x101; migrate 0x110; populate 0x0..0x3 }\n"
	"task 2 vcpu 7    { touch r 0xfff }\n"
	"\n"
	"strategy walk seed 18446744073709551615\n"
	"start 1\n"
	"at 0 fault#1 kvm_faultin_pfn:spin_lock(ptl)#2 ~14   switch 1\n"
	"at 0 fault#2 start   switch 2\n"
	"at 0 touch#1 end   switch 0\n"
	"at 1 populate#1 ~7   switch 0\n"
	"at 1 munmap#1 f:need_resched()#1   answer 1\n"
	"at 1 migrate#1 f:g(h)#1   until 0 f:x#3\n";

/* Every kind of task, op and line that the first text lacks. */
static const char canonical_vm[] =
	"repro 1\n"
	"target    everything\n"
	"geometry  3\n"
	"variant   zap_root=two_pass,slot_zap=range\n"
	"slot 0    0x10..0x20 hva 0x100\n"
	"as        1\n"
	"slot 3    0x10..0x11 hva 0x100 absent\n"
	"as        0\n"
	"slot 2    0x20..0x21 hva 0x110 absent\n"
	"map       0x100..0x110 order 0\n"
	"subscriber driver\n"
	"subscriber counter\n"
	"expect    none\n"
	"\n"
	"task 0 vcpu 3    { prefault 0x10..0x11; smm; touch r 0x11; smm }\n"
	"task 1 notifier  { mprotect r 0x100..0x102; reclaim 0x100; "
	"oom_reap 0x0..0x1000; driver; exit }\n"
	"task 2 vm        { slot_create 3; slot_delete 0; slot_move 2 "
	"0x1ff; slot_flags 2; zap_all; "
	"zap_gfn_range 0x0..0x200; close }\n"
	"task 3 notifier  { mprotect w 0x0..0x1 }\n"
	"\n"
	"start 2\n"
	"at 2 zap_all#1 f:g(h)#1   switch rcu0\n"
	"at rcu0 callback#1 free_rcu:kern_free(x)#1   switch 0\n"
	"at rcu0 callback#65536 end   switch 1\n"
	"at 0 touch#1 f:g(h)#1   until rcu0 f:x#1\n"
	"at rcu0 callback#17 ~2   answer 1\n";

/* Dirty logs and huge pages. */
static const char canonical_log[] =
	"repro 1\n"
	"target    split_vs_fault\n"
	"geometry  3\n"
	"variant   ad_bits=disabled,nx_huge_pages=off\n"
	"dirty     initially_set\n"
	"slot 0    0x40..0x88 hva 0x100 log\n"
	"slot 2    0x90..0x91 hva 0x150 absent log\n"
	"map       0x100..0x148 order 6\n"
	"map       0x14c..0x15a order 3\n"
	"expect    none\n"
	"\n"
	"task 0 vcpu 0    { prefault 0x3f..0x88; kernel_write 0x40; touch w 0x41 }\n"
	"task 1 vm        { dirty_get 0; dirty_clear 0 0x41..0x88; dirty_clear_blind 0; "
	"dirty_reset; "
	"track 0x40; untrack 0x40; nx_recovery }\n"
	"task 2 notifier  { collapse 0x107 }\n";

static bool parse(const char *text)
{
	return repro_parse(&repro, text, strlen(text), &error);
}

static void assert_prints(const struct repro *what, const char *text)
{
	struct buf buf = { 0 };

	repro_print(&buf, what);
	assert_string_equal(buf_text(&buf), text);
	buf_free(&buf);
}

static void canonical_text_comes_back(void **state)
{
	if (!parse(canonical))
		fail_msg("%u:%u: %s", error.line, error.column, error.message);
	assert_int_equal(repro.bug, BUG_seq_test_dropped);
	assert_int_equal(repro.forbidden, 6);
	assert_int_equal(repro.program.world.seq, UINT32_MAX);
	assert_int_equal(repro.program.nr_tasks, 3);
	assert_int_equal(repro.program.tasks[2].vcpu, 7);
	assert_int_equal(repro.schedule.directives[1].op, 2);
	assert_true(program_valid(&repro.program, &error));
	assert_true(schedule_valid(&repro.program, &repro.schedule, &error));
	assert_prints(&repro, canonical);
}

static void everything_else_comes_back(void **state)
{
	const struct program *program = &repro.program;

	if (!parse(canonical_vm))
		fail_msg("%u:%u: %s", error.line, error.column, error.message);
	assert_int_equal(program->world.absent, 1 << 3 | 1 << 2);
	assert_int_equal(program->world.slots[1].as_id, 1);
	assert_int_equal(program->world.slots[2].as_id, 0);
	assert_int_equal(program->world.subscribers, 3);
	assert_int_equal(program->tasks[2].kind, TASK_VM);
	assert_int_equal(program->tasks[2].ops[2].slot, 2);
	assert_int_equal(repro.schedule.directives[0].to, TASK_RCU);
	assert_int_equal(repro.schedule.directives[1].task, TASK_RCU);
	assert_int_equal(repro.schedule.directives[2].op, 65535);
	assert_true(program_valid(program, &error));
	assert_true(schedule_valid(program, &repro.schedule, &error));
	assert_prints(&repro, canonical_vm);
}

static void dirty_logs_and_huge_pages_come_back(void **state)
{
	const struct world *world = &repro.program.world;
	const struct op *clear = &repro.program.tasks[1].ops[1];
	char ring[sizeof(canonical_log)];

	if (!parse(canonical_log))
		fail_msg("%u:%u: %s", error.line, error.column, error.message);
	assert_int_equal(world->dirty_mode, DIRTY_LOG_INITIALLY_SET);
	assert_true(world->slots[0].logging && world->slots[1].logging);
	assert_int_equal(world->absent, 1 << 2);
	assert_int_equal(world->maps[0].order, 6);
	assert_int_equal(clear->slot, 0);
	assert_int_equal(clear->start, 0x41);
	assert_int_equal(clear->end, 0x88);
	assert_int_equal(repro.program.tasks[0].ops[0].end, 0x88);
	assert_true(program_valid(&repro.program, &error));
	assert_true(program_clears_blindly(&repro.program));
	assert_prints(&repro, canonical_log);
	/* Options stand in any order, every mode has its word. */
	assert_true(parse("repro 1\ntarget canary\ngeometry 3\ndirty ring\n"
			  "slot 0 1..2 hva 1 log absent\ntask 0 notifier { collapse 1 }\n"));
	assert_int_equal(world->dirty_mode, DIRTY_LOG_RING);
	assert_int_equal(world->absent, 1);
	assert_true(world->slots[0].logging);
	assert_false(program_clears_blindly(&repro.program));
	for (u32 i = 0; i < DIRTY_LOG_MODE_COUNT; i++) {
		snprintf(ring, sizeof(ring),
			 "repro 1\ntarget canary\ngeometry 3\ndirty %s\n"
			 "task 0 notifier { collapse 1 }\n",
			 dirty_mode_words[i]);
		assert_true(parse(ring));
		assert_int_equal(world->dirty_mode, i);
	}
}

/* Room for runs, for what a collapse takes, and for the tables that take the place of huge leafs. */
static void huge_pages_are_bounded(void **state)
{
	static const char world[] = "repro 1\ntarget canary\ngeometry 3\n"
				    "slot 0 0x40..0x80 hva 0x80\nmap 0x80..0xc0 order %u\n"
				    "task 0 vm { slot_flags 0 }\n%s";
	char text[400];
	u64 small, huge;

	if (PT_INDEX_BITS != 3)
		skip();

	snprintf(text, sizeof(text), world, 0, "");
	assert_true(parse(text));
	small = program_pages(&repro.program);
	snprintf(text, sizeof(text), world, 6, "");
	assert_true(parse(text));
	huge = program_pages(&repro.program);
	/* 63 pages before the run; a zap counts the 64 / 7 + 2 tables of a split twice. */
	assert_int_equal(huge, small + 63 + 2 * 11);
	snprintf(text, sizeof(text), world, 6, "task 1 notifier { collapse 0x80 }\n");
	assert_true(parse(text));
	assert_int_equal(program_pages(&repro.program), huge + 2 * 8 + 2 + 11);
	snprintf(text, sizeof(text), world, 0, "task 1 vcpu 0 { prefault 0x40..0x41 }\n");
	assert_true(parse(text));
	assert_int_equal(program_pages(&repro.program), small + 2 * 3);
	snprintf(text, sizeof(text), world, 0, "task 1 vcpu 0 { prefault 0x40..0x80 }\n");
	assert_true(parse(text));
	assert_int_equal(program_pages(&repro.program), small + 2 * (2 * 3 + 64 / 7));
}

/* A vCPU of 2 ops with 3 levels, 2 zaps, and a slot change that copies the set of slots. */
static void pages_are_bounded_over_zaps(void **state)
{
	assert_true(parse("repro 1\ntarget canary\ngeometry 3\nslot 0 1..2 hva 1\n"
			  "task 0 vcpu 0 { touch r 1; fault r 1 }\n"));
	assert_int_equal(program_pages(&repro.program), 1 + 2 * 3);
	assert_true(parse("repro 1\ntarget canary\ngeometry 3\nslot 0 1..2 hva 1\n"
			  "task 0 vcpu 0 { touch r 1; fault r 1 }\n"
			  "task 1 vm { zap_all; slot_delete 0 }\n"));
	assert_int_equal(program_pages(&repro.program), 1 + 2 * 3 * 3 + 2);
}

static void programs_have_fifteen_tasks(void **state)
{
	struct buf buf = { 0 };

	buf_printf(&buf, "repro 1\ntarget canary\ngeometry 3\n");
	for (u32 i = 0; i < PROGRAM_TASKS_MAX; i++)
		buf_printf(&buf, "task %u notifier { reuse 1 }\n", i);
	assert_true(parse(buf_text(&buf)));
	buf_printf(&buf, "task 15 notifier { reuse 1 }\n");
	assert_false(parse(buf_text(&buf)));
	assert_int_equal(error.line, 3 + PROGRAM_TASKS_MAX + 1);
	assert_non_null(strstr(error.message, "at most 15 tasks"));
	buf_free(&buf);
}

static void defaults_are_left_out(void **state)
{
	static const char shortest[] = "repro 1\n"
				       "target    canary\n"
				       "geometry  3\n"
				       "variant   upstream\n"
				       "expect    none\n"
				       "\n"
				       "task 0 notifier  { reuse 0x0 }\n";

	assert_true(
		parse("repro  1\n\n \t\n target canary\ngeometry 0x3\nlevels 3\nvariant upstream\n"
		      "seq 0\nas 0\nlimit points 60000\nbug none\nexpect none\n"
		      "task 0 notifier{reuse 0}"));
	assert_prints(&repro, shortest);
}

static void expectations_may_have_gaps(void **state)
{
	static const char *const lines[] = {
		"a", "a b", "a b  c:d", "a -  c:d", "a b  - / c:d", "a -  - / e", "a b  c / d",
	};

	for (u32 i = 0; i < ARRAY_SIZE(lines); i++) {
		struct buf buf = { 0 };

		buf_printf(
			&buf,
			"repro 1\ntarget    canary\ngeometry  3\nvariant   upstream\nexpect    %s\n"
			"\ntask 0 vcpu 0  { fault r 0x0 }\n",
			lines[i]);
		if (!parse(buf_text(&buf)))
			fail_msg("%s: %u: %s", lines[i], error.column, error.message);
		assert_prints(&repro, buf_text(&buf));
		buf_free(&buf);
	}
}

static void drawn_programs_come_back(void **state)
{
	for (u64 seed = 0; seed < 2000; seed++) {
		struct buf buf = { 0 };

		memset(&again, 0, sizeof(again));
		memcpy(again.target, "canary", sizeof("canary"));
		program_generate(&again.program, target_nth(seed % targets_count()), seed,
				 &variant_default);
		repro_print(&buf, &again);
		if (!parse(buf_text(&buf)))
			fail_msg("seed %llu: %u:%u: %s", (unsigned long long)seed, error.line,
				 error.column, error.message);
		assert_prints(&repro, buf_text(&buf));
		buf_free(&buf);
	}
}

/* What stands before the tasks, and a whole text up to its schedule. */
#define WORLD "repro 1\ntarget canary\ngeometry 3\n"
#define TASKS WORLD "task 0 vcpu 0 { fault r 1 }\ntask 1 notifier { munmap 1..2 }\n"

static const struct mistake {
	const char *text;
	u32 line, column;
	const char *says;
} mistakes[] = {
	{ "", 1, 1, "'repro 1', found the end of the line" },
	{ "repro 2\n", 1, 7, "format 1" },
	{ "repro 1 x\n", 1, 9, "the end of the line, found 'x'" },
	{ "repro 1\n# no\n", 2, 1, "found '#'" },
	{ "repro 1\ntraget canary\n", 2, 1, "did you mean 'target'?" },
	{ "repro 1\ntarget canery\n", 2, 8, "did you mean 'canary'?" },
	{ "repro 1\ntarget\n", 2, 7, "found the end of the line" },
	{ WORLD "target canary\n", 4, 1, "a second line 'target'; the first is line 2" },
	{ "repro 1\ngeometry 2\n", 2, 10, "from 3 to 9, found '2'" },
	{ "repro 1\ngeometry 3x\n", 2, 10, "found '3x'" },
	{ WORLD "levels 6\n", 4, 8, "from 2 to 5" },
	{ WORLD "slot 0 1..2 hva 1\nlevels 3\n", 5, 1,
	  "before the first slot, which is on line 4" },
	{ WORLD "seq 99999999999999999999999\n", 4, 5, "found '99999999999999999999999'" },
	{ WORLD "seq 0x\n", 4, 5, "found '0x'" },
	{ WORLD "as 2\n", 4, 4, "from 0 to 1" },
	{ WORLD "slot 0 1..3 hva 1 absnet\n", 4, 19, "absent or log or the end of the line" },
	{ WORLD "slot 0 1..3 hva 1 absent absent\n", 4, 26, "expected log or the end of the line" },
	{ WORLD "dirty rign\n", 4, 7, "did you mean 'ring'?" },
	{ WORLD "dirty ring\ndirty ring\n", 5, 1, "a second line" },
	{ WORLD "map 1..9 order 4\n", 4, 16, "expected order 0, 3 or 6" },
	{ WORLD "map 1..9 order 9\n", 4, 16, "found 9" },
	{ WORLD "map 1..9 order 3 ro\n", 4, 16, "order 0 for read-only pages" },
	{ "repro 1\ntarget canary\nmap 1..9 order 0\ngeometry 3\n", 4, 1, "before the first map" },
	{ WORLD "slot 1 4..8 hva 1\ntask 0 vm { dirty_clear 1 3..5 }\n", 5, 27,
	  "expected gfns A..B of slot 1" },
	{ WORLD "slot 1 4..8 hva 1\ntask 0 vm { dirty_clear 1 4..9 }\n", 5, 27, "found 0x4..0x9" },
	{ WORLD "task 0 vm { dirty_clear 1 4..9 }\n", 4, 25, "there is no slot 1" },
	{ WORLD "task 0 vcpu 0 { prefault 4 }\n", 4, 26, "gfns A..B" },
	{ WORLD "as 1\nslot 0 1..3 hva 1\nslot 1 2..4 hva 9\n", 6, 8, "overlap those of slot 0" },
	{ WORLD "subscriber drivr\n", 4, 12, "did you mean 'driver'?" },
	{ WORLD "subscriber driver\nsubscriber driver\n", 5, 12, "subscribes already" },
	{ WORLD "variant zap_root=single_pass\n", 4, 9,
	  "excludes fault_precheck=before_and_after" },
	{ WORLD "variant slot_zap=range,change_pte=present\n", 4, 24,
	  "change_pte=present excludes slot_zap=range" },
	{ WORLD "slot 8 1..2 hva 1\n", 4, 6, "from 0 to 7" },
	{ WORLD "slot 0 2..2 hva 1\n", 4, 8, "ends after it starts" },
	{ WORLD "slot 0 3..2 hva 1\n", 4, 8, "ends after it starts" },
	{ WORLD "slot 0 3 hva 1\n", 4, 8, "gfns A..B" },
	{ WORLD "slot 0 3.. hva 1\n", 4, 8, "gfns A..B" },
	{ WORLD "slot 0 3..y hva 1\n", 4, 11, "found 'y'" },
	{ WORLD "slot 0 1..513 hva 1\n", 4, 8, "0x200" },
	{ WORLD "slot 0 1..3 hva 0xfff\n", 4, 8, "0x1001" },
	{ WORLD "slot 0 1..3 hva 0x1000\n", 4, 17, "to 4095" },
	{ WORLD "slot 0 1..3 hav 1\n", 4, 13, "expected hva, found 'hav'" },
	{ WORLD "slot 0 1..3 hva 1\nslot 0 3..4 hva 9\n", 5, 6, "a slot 0 already" },
	{ WORLD "slot 0 1..3 hva 1\nslot 1 2..4 hva 9\n", 5, 8, "overlap those of slot 0" },
	{ WORLD "map 1..3 order 1\n", 4, 16,
	  "expected order 0, 3 or 6 (the geometry once or twice), found 1" },
	{ WORLD "map 1..3 order 0 rw\n", 4, 18, "found 'rw'" },
	{ WORLD "map 1..3 order 0\nmap 2..4 order 0\n", 5, 5, "overlap those mapped from 0x1" },
	{ WORLD "map 1..0x1001 order 0\n", 4, 5, "0x1001" },
	{ WORLD "map 0..0x1000 order 0\ntask 0 vcpu 0 { fault r 1 }\n", 5, 17, "pages" },
	{ WORLD "limit steps 4\n", 4, 7, "expected points, found 'steps'" },
	{ WORLD "limit points 0\n", 4, 14, "from 1" },
	{ WORLD "variant upstraem\n", 4, 9, "did you mean 'upstream'?" },
	{ WORLD "variant upstream,fault_precheck=nine\n", 4, 33, "did you mean 'none'?" },
	{ WORLD "variant upstream,\n", 4, 18, "expected a variant" },
	{ WORLD "variant young=lockless,upstream\n", 4, 24, "expected a variant" },
	{ WORLD "variant fault_precheck=nine\n", 4, 24, "did you mean 'none'?" },
	{ WORLD "variant fault_precheck=none,fault_precheck=none\n", 4, 29, "each knob once" },
	{ WORLD "variant fault_precheck=none,\n", 4, 29, "expected a variant" },
	{ WORLD "bug seq_tst_dropped\n", 4, 5, "did you mean 'seq_test_dropped'?" },
	{ WORLD "expect\n", 4, 7, "an oracle, or none" },
	{ WORLD "expect none SM4\n", 4, 13, "the end of the line" },
	{ WORLD "expect a b c d\n", 4, 14, "expected /, found 'd'" },
	{ WORLD "expect a b c /\n", 4, 15, "a site" },
	{ WORLD "forbid hul\n", 4, 8, "did you mean 'hull'?" },
	{ WORLD "forbid seq\nforbid seq\n", 5, 8, "already" },
	{ WORLD "why a\001b\n", 4, 6, "code 1" },
	{ WORLD "why  \n", 4, 6, "some text" },
	{ WORLD, 4, 1, "a line 'task'" },
	{ "repro 1\ntarget canary\ntask 0 vcpu 0 { fault r 1 }\n", 3, 1, "a line 'geometry'" },
	{ WORLD "start 0\n", 4, 1, "a line 'task'" },
	{ WORLD "task 1 vcpu 0 { fault r 1 }\n", 4, 6, "found '1'" },
	{ WORLD "task 0 vcpus 0 { fault r 1 }\n", 4, 8, "did you mean 'vcpu'?" },
	{ WORLD "task 0 vcpu 8 { fault r 1 }\n", 4, 13, "from 0 to 7" },
	{ WORLD "task 0 vcpu 0 fault r 1 }\n", 4, 15, "'{'" },
	{ WORLD "task 0 vcpu 0 { }\n", 4, 17,
	  "expected one of fault, touch, prefault, smm, kernel_write, nest, unnest, pfncache_use, "
	  "found '}'" },
	{ WORLD "task 0 vm { slot_create 0 }\n", 4, 25, "there is no slot 0" },
	{ WORLD "task 0 vm { slot_delete 9 }\n", 4, 25, "from 0 to 7" },
	{ WORLD "slot 0 1..2 hva 1\ntask 0 vm { slot_move 0 0x200 }\n", 5, 25, "below 0x200" },
	{ WORLD "task 0 vm { zap_gfn_range 1..0x201 }\n", 4, 27, "0x201" },
	{ WORLD "task 0 vm { zap_all 1 }\n", 4, 21, "';' or '}'" },
	{ WORLD "task 0 vm { munmap 1..2 }\n", 4, 13, "an op of a notifier task" },
	{ WORLD "task 0 notifier { mprotect x 1..2 }\n", 4, 28, "r or w, found 'x'" },
	{ WORLD "task 0 vm 0 { close }\n", 4, 11, "'{'" },
	{ WORLD "task 0 vcpu 0 { fault r 1; }\n", 4, 28, "found '}'" },
	{ WORLD "task 0 vcpu 0 { fault r 1\n", 4, 26, "';' or '}'" },
	{ WORLD "task 0 vcpu 0 { fault q 1 }\n", 4, 23, "r, w or x" },
	{ WORLD "task 0 vcpu 0 { fault r 0x200 }\n", 4, 25, "below 0x200, found 0x200" },
	{ WORLD "task 0 vcpu 0 { munmap 1..2 }\n", 4, 17, "an op of a notifier task" },
	{ WORLD "task 0 notifier { munmap 1 }\n", 4, 26, "hvas A..B" },
	{ WORLD "task 0 notifier { munmap 1..0x1001 }\n", 4, 26, "0x1001" },
	{ WORLD "task 0 notifier { migrate 0x1000 }\n", 4, 27, "below 0x1000" },
	{ WORLD "task 0 notifier { munmpa 1..2 }\n", 4, 19, "did you mean 'munmap'?" },
	{ WORLD "task 0 notifier { populate 0..0xf00 }\n", 4, 19, "may need" },
	{ WORLD "task 0 vcpu 1 { fault r 1 }\ntask 1 vcpu 1 { fault r 1 }\n", 5, 13,
	  "vCPU 1 is that of task 0 already" },
	{ TASKS "slot 0 1..2 hva 1\n", 6, 1, "expected 'slot' before the tasks" },
	{ TASKS "start 0\ntask 2 notifier { reuse 1 }\n", 7, 1, "before the schedule" },
	{ TASKS "start 2\n", 6, 7, "from 0 to 1" },
	{ TASKS "start rcu0\n", 6, 7, "nothing to run when a schedule starts" },
	{ TASKS "at rcu1 callback#1 f:g#1 switch 1\n", 6, 4, "the number of a task, or rcu0" },
	{ TASKS "at rcu0 calback#1 f:g#1 switch 1\n", 6, 9, "did you mean 'callback'?" },
	{ TASKS "at rcu0 callback#65537 f:g#1 switch 1\n", 6, 9, "up to 65536" },
	{ TASKS "at 0 callback#1 f:g#1 switch 1\n", 6, 6, "it has 0 of the name 'callback'" },
	{ TASKS "at 0 fault#1 f:g#1 switch 15\n", 6, 27, "from 0 to 1" },
	{ TASKS "strategy walk\n", 6, 14, "expected seed" },
	{ TASKS "at 0 fault f:g#1 switch 1\n", 6, 6, "OP#N" },
	{ TASKS "at 0 fault#0 f:g#1 switch 1\n", 6, 12, "from 1" },
	{ TASKS "at 0 fault#2 f:g#1 switch 1\n", 6, 6, "it has 1 of the name 'fault'" },
	{ TASKS "at 0 munmap#1 f:g#1 switch 1\n", 6, 6, "it has 0 of the name 'munmap'" },
	{ TASKS "at 0 fault#1 switch 1\n", 6, 14, "a site, start, end or ~ordinal" },
	{ TASKS "at 0 fault#1 f:g switch 1\n", 6, 14, "FUNCTION:EXPRESSION#K" },
	{ TASKS "at 0 fault#1 fg#1 switch 1\n", 6, 14, "FUNCTION:EXPRESSION#K" },
	{ TASKS "at 0 fault#1 :g#1 switch 1\n", 6, 14, "FUNCTION:EXPRESSION#K" },
	{ TASKS "at 0 fault#1 f:g#1 ~0 switch 1\n", 6, 21, "an ordinal" },
	{ TASKS "at 0 fault#1 f:g#1 swich 1\n", 6, 20, "did you mean 'switch'?" },
	{ TASKS "at 0 fault#1 f:g#1 switch 2\n", 6, 27, "from 0 to 1" },
	{ TASKS "at 0 fault#1 f:g#1 until 1 fg\n", 6, 28, "FUNCTION:EXPRESSION#K" },
	{ TASKS "at 0 fault#1 f:g#1 answer 65536\n", 6, 27, "to 65535" },
	{ TASKS "at 0 fault#1 start answer 1\n", 6, 14, "nothing is asked" },
	{ TASKS "at 0 fault#1 f:g#1 stale 1\n", 6, 20, "weak-memory mode" },
	{ TASKS "at 0 fault#1 f:g#1 hold until f:g#1\n", 6, 20, "weak-memory mode" },
	{ TASKS "at 0 fault#1 f:g#1 switch 1 2\n", 6, 29, "the end of the line" },
};

static void mistakes_are_told_where_they_are(void **state)
{
	for (u32 i = 0; i < ARRAY_SIZE(mistakes); i++) {
		const struct mistake *mistake = &mistakes[i];

		if (parse(mistake->text))
			fail_msg("taken for right: %s", mistake->text);
		if (error.line != mistake->line || error.column != mistake->column ||
		    !strstr(error.message, mistake->says))
			fail_msg("%s\n%u:%u: %s\nand not %u:%u: %s", mistake->text, error.line,
				 error.column, error.message, mistake->line, mistake->column,
				 mistake->says);
	}
}

/* Every prefix, and every text with one byte changed: an error or a text that prints and parses. */
static void break_text(const char *whole, size_t size)
{
	static char text[sizeof(canonical) + sizeof(canonical_vm) + sizeof(canonical_log)];

	for (size_t i = 0; i < size; i++) {
		static const char bytes[] = " \n\t#;{}~:.,0x-\377";

		repro_parse(&repro, whole, i, &error);
		memcpy(text, whole, size);
		for (size_t j = 0; j < sizeof(bytes); j++) {
			struct buf buf = { 0 };

			text[i] = bytes[j];
			if (!repro_parse(&repro, text, size, &error)) {
				assert_true(error.line && error.column && error.message[0]);
				continue;
			}
			repro_print(&buf, &repro);
			assert_true(repro_parse(&again, buf.data, buf.size, &error));
			assert_prints(&again, buf_text(&buf));
			buf_free(&buf);
		}
	}
}

static void broken_texts_end(void **state)
{
	break_text(canonical, sizeof(canonical) - 1);
	break_text(canonical_vm, sizeof(canonical_vm) - 1);
	break_text(canonical_log, sizeof(canonical_log) - 1);
}

static void free_text_stays_on_its_line(void **state)
{
	assert_true(parse(canonical));
	memcpy(repro.why, " two\nlines ", sizeof(" two\nlines "));
	memcpy(repro.fix, "\n", 2);
	repro.fix[0] = 0;
	{
		struct buf buf = { 0 };

		repro_print(&buf, &repro);
		assert_non_null(strstr(buf_text(&buf), "why       two lines\n"));
		assert_true(repro_parse(&again, buf.data, buf.size, &error));
		buf_free(&buf);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(canonical_text_comes_back),
		cmocka_unit_test(everything_else_comes_back),
		cmocka_unit_test(dirty_logs_and_huge_pages_come_back),
		cmocka_unit_test(huge_pages_are_bounded),
		cmocka_unit_test(pages_are_bounded_over_zaps),
		cmocka_unit_test(programs_have_fifteen_tasks),
		cmocka_unit_test(defaults_are_left_out),
		cmocka_unit_test(expectations_may_have_gaps),
		cmocka_unit_test(drawn_programs_come_back),
		cmocka_unit_test(mistakes_are_told_where_they_are),
		cmocka_unit_test(broken_texts_end),
		cmocka_unit_test(free_text_stays_on_its_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
