/*
 * Who asks for the age of pages: what is held, who is asked what in which order, what is made of the answers,
 * and races with those who take the pages away. The subscribers answer what a test has told them to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/buf.h"
#include "host/test_world.h"
#include "oracle/oracle.h"

/* Three pages in one table, in any geometry. */
#define BASE  0x105
#define PAGES 3

#define IS_SMALL (PT_ENTRIES == 8)
/* A place for leafs of any level there is, and the highest of them. */
#define AT	  ((hva_t)(IS_SMALL ? 64 : 2 * PT_ENTRIES))
#define LEAF	  PT_PAGES(PT_LEVEL_2M)
#define LEVEL_MAX (IS_SMALL ? PT_LEVEL_1G : PT_LEVEL_2M)

/* --- the subscribers --- */

/* Ages by hva from @base on. */
struct ager {
	struct mmu_notifier mn;
	hva_t base;
	u32 young[PAGES]; /* mask of YOUNG_*; by verbs: tasks may ask at the same time */
	bool sticky; /* does not forget */
	bool touches; /* accesses the first page when it is asked for the second */
	bool gives_way; /* which nobody may who is asked for ages */
	bool gone; /* nobody may call it any more */
};
static struct ager agers[2]; /* the first has fast aging */
static u64 calls, calls_wrong; /* wrong: without a PTE that is present, or behind its end */
static struct buf trace; /* what happened, a line for each; one task runs */
static bool traces;
static hva_t trace_base;

static void say(const char *what, hva_t start, hva_t end, const char *more);

/* The one that keeps what maps @hva as it is. */
static void assert_ptl_is_held(hva_t hva)
{
	struct host_table *entry = host_entry_now(hva);

	lockdep_assert_held(host_is_leaf(entry) ? &host.mm->upper_ptl : &entry->ptl);
}

static rwlock_t yielded;

static void give_way(void)
{
	write_lock(&yielded);
	cond_resched_rwlock_write(&yielded);
	write_unlock(&yielded);
}

static u32 answer(struct mmu_notifier *mn, const char *what, hva_t start, hva_t end, bool forgets)
{
	struct ager *ager = container_of(mn, struct ager, mn);
	u32 young = 0;

	fetch_add(&calls, 1);
	if (READ_ONCE(ager->gone) || !host_pte_present(inspect_host_pte(start)))
		fetch_add(&calls_wrong, 1);
	else
		assert_ptl_is_held(start);
	if (ager->gives_way)
		give_way();
	for (hva_t hva = start; hva < end && hva < ager->base + PAGES; hva++) {
		u32 *of_page = &ager->young[hva - ager->base];

		if (hva < ager->base)
			continue;
		young |= READ_ONCE(*of_page);
		if (forgets && !ager->sticky)
			WRITE_ONCE(*of_page, 0);
	}
	if (ager->touches && forgets && start == BASE + 1)
		*host_ptep(host.tables[BASE / PT_ENTRIES], BASE) |= HOST_PTE_YOUNG;
	if (traces)
		say(what, start, end, ager == &agers[0] ? " of A" : " of B");
	return young;
}

static u32 note_flush(struct mmu_notifier *mn, hva_t start, hva_t end)
{
	return answer(mn, "clear_flush", start, end, true);
}

static u32 note_clear(struct mmu_notifier *mn, hva_t start, hva_t end, bool fast_only)
{
	return answer(mn, fast_only ? "clear_fast" : "clear", start, end, true);
}

static u32 note_test(struct mmu_notifier *mn, hva_t hva, bool fast_only)
{
	return answer(mn, fast_only ? "test_fast" : "test", hva, hva + 1, false);
}

static int no_start(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	return 0;
}

static const struct mmu_notifier_ops fast_ops = {
	.invalidate_range_start = no_start,
	.clear_flush_young = note_flush,
	.clear_young = note_clear,
	.test_young = note_test,
	.has_fast_aging = true,
};
static const struct mmu_notifier_ops slow_ops = {
	.invalidate_range_start = no_start,
	.clear_flush_young = note_flush,
	.clear_young = note_clear,
	.test_young = note_test,
};

/* --- what is told, and with what held --- */

static u64 depth[LOCK_CLASS_COUNT]; /* locks held; one task runs */
static bool in_reclaim;
static u64 judged, judged_young, warned, strangers;
/* [task]: the pages it has judged last, before one is reclaimed */
static struct {
	pfn_t first, end;
	u64 generations[KERN_PAGES_MAX]; /* by pfn */
} of_task[TASKS_MAX];

/* F: reclaim; r: rmap lock; m: mmap_lock; p: PTL. */
static void say(const char *what, hva_t start, hva_t end, const char *more)
{
	buf_printf(&trace, "%s%s%s%s: %s", in_reclaim ? "F" : "", depth[LOCK_rmap_lock] ? "r" : "",
		   depth[LOCK_mmap_lock] ? "m" : "", depth[LOCK_ptl] ? "p" : "", what);
	if (end)
		buf_printf(&trace, " %d..%d", (int)(start - trace_base), (int)(end - trace_base));
	buf_printf(&trace, "%s\n", more);
}

static void say_changed(const struct event_host_pte_changed *pte)
{
	u64 lost = pte->old & ~pte->new, won = pte->new & ~pte->old;
	const char *what = "changed";

	if (pte->new == HOST_PTE_TABLE)
		what = "split";
	else if (!pte->new)
		what = "gone";
	else if (won & HOST_PTE_SWAP)
		what = "swapped";
	else if (lost & HOST_PTE_YOUNG)
		what = "aged";
	else if (won & HOST_PTE_KNOWN_YOUNG)
		what = "marked";
	else if (lost & HOST_PTE_KNOWN_YOUNG)
		what = "unmarked";
	say(what, pte->hva, pte->hva + PT_PAGES(pte->level), "");
}

static void say_lock(const struct event_lock_acquired *lock)
{
	depth[lock->class]++;
	if (lock->class == LOCK_ptl || lock->class == LOCK_mmap_lock)
		say("lock", 0, 0, "");
}

static void trace_event(const struct event *event)
{
	const void *payload = event;
	const struct event_age_begun *begun = payload;
	const struct event_age_judged *age = payload;

	switch (event->id) {
	case EVENT_lock_nested:
		in_reclaim |= event_field(event, 0) == LOCK_fs_reclaim;
		return;
	case EVENT_lock_acquired:
		say_lock(payload);
		return;
	case EVENT_lock_released:
		depth[((const struct event_lock_released *)payload)->class]--;
		return;
	case EVENT_host_pte_changed:
		say_changed(payload);
		return;
	case EVENT_notifier_start:
		say("start", event_field(event, 0), event_field(event, 1), "");
		return;
	case EVENT_age_begun:
		buf_printf(&trace, "%u ", (u32)begun->consumer);
		say("begun", begun->start, begun->end, "");
		return;
	case EVENT_age_judged:
		say(age->young ? "young" : "old", age->hva, age->hva + 1, "");
		return;
	case EVENT_age_ended:
		in_reclaim = false;
		say("ended", 0, 0, "");
		return;
	}
}

static void note_judged(u32 task, hva_t hva)
{
	pfn_t first = mapped(hva), end = first + PT_PAGES(inspect_host_level(hva));

	of_task[task].first = first;
	of_task[task].end = end;
	for (pfn_t pfn = first; pfn < end; pfn++)
		of_task[task].generations[pfn] = inspect_frame_generation(pfn);
}

/* What a task reclaims must be what it has judged. */
static void note_changed(u32 task, u64 old, u64 new)
{
	pfn_t pfn = host_pte_pfn(new);

	if (!host_pte_present(old) || !host_pte_swap(new))
		return;
	strangers += pfn < of_task[task].first || pfn >= of_task[task].end ||
		     of_task[task].generations[pfn] != inspect_frame_generation(pfn);
}

/* Called in tasks, one at a time. */
static void note_event(const struct event *event)
{
	if (event->id == EVENT_age_judged) {
		__atomic_fetch_add(&judged, 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(&judged_young, event_field(event, 1), __ATOMIC_RELAXED);
	} else if (event->id == EVENT_warned || event->id == EVENT_dead_access ||
		   event->id == EVENT_slept_in_atomic || event->id == EVENT_slept_in_nonblock) {
		__atomic_fetch_add(&warned, 1, __ATOMIC_RELAXED);
	}
	if (traces)
		trace_event(event);
	else if (event->id == EVENT_age_judged)
		note_judged(event->task, event_field(event, 0));
	else if (event->id == EVENT_host_pte_changed)
		note_changed(event->task, event_field(event, 1), event_field(event, 2));
}

#define COUNTED                                                                                 \
	(EVENT_BIT(EVENT_age_judged) | EVENT_BIT(EVENT_warned) | EVENT_BIT(EVENT_dead_access) | \
	 EVENT_BIT(EVENT_slept_in_atomic) | EVENT_BIT(EVENT_slept_in_nonblock) |                \
	 EVENT_BIT(EVENT_host_pte_changed))
#define TRACED                                                              \
	(EVENT_BIT(EVENT_lock_nested) | EVENT_BIT(EVENT_lock_acquired) |    \
	 EVENT_BIT(EVENT_lock_released) | EVENT_BIT(EVENT_notifier_start) | \
	 EVENT_BIT(EVENT_age_begun) | EVENT_BIT(EVENT_age_ended))

static void listen(event_mask events)
{
	if (events)
		judged = judged_young = warned = strangers = 0;
	oracle_tap(events ? note_event : NULL);
	event_context.interest = events;
}

static void run_counting(u32 nr_tasks, void (*body)(u32 task), u64 schedule)
{
	listen(COUNTED);
	run(nr_tasks, body, schedule);
	listen(0);
	assert_int_equal(warned, 0);
}

/* Runs @body as the only task and takes down what happens. */
static const char *run_tracing(void (*body)(u32 task), hva_t base)
{
	buf_clear(&trace);
	for (u32 i = 0; i < LOCK_CLASS_COUNT; i++)
		depth[i] = event_context.nested_told[i] = 0;
	trace_base = base;
	in_reclaim = false;
	traces = true;
	listen(COUNTED | TRACED);
	run(1, body, 0);
	listen(0);
	traces = false;
	assert_int_equal(warned, 0);
	return buf_text(&trace);
}

/* --- worlds --- */

static void add_agers(hva_t base)
{
	agers[0] = (struct ager){ .mn.ops = &fast_ops, .base = base };
	agers[1] = (struct ager){ .mn.ops = &slow_ops, .base = base };
	mmu_notifier_register(&agers[0].mn);
	mmu_notifier_register(&agers[1].mn);
}

static void set_up_pages(void)
{
	set_up_host();
	host_add_map(&(struct host_map){ .start = BASE, .end = BASE + PAGES, .populated = true });
	set_up_counting();
	calls = calls_wrong = 0;
}

static void set_up(void)
{
	set_up_pages();
	add_agers(BASE);
}

/* One leaf, or what might be one. */
static void set_up_leaf(u32 level)
{
	hva_t end = AT + max_u64(PT_PAGES(level), LEAF);

	set_up_host();
	host_add_map(
		&(struct host_map){ .start = AT, .end = end, .populated = true, .level = level });
	set_up_counting();
	calls = calls_wrong = 0;
	add_agers(AT);
}

/* The process accesses the page. */
static void access_page(hva_t hva)
{
	pfn_t pfn;

	host_write_user(hva, &pfn);
}

static hva_t accessed;

static void access_task(u32 task)
{
	access_page(accessed);
}

static void access_as_process(hva_t hva)
{
	accessed = hva;
	run(1, access_task, 0);
	assert_true(inspect_host_pte(hva) & HOST_PTE_YOUNG);
}

/* --- the five ways to ask --- */

static void shrink_task(u32 task)
{
	host_shrink(BASE);
}

static void page_idle_task(u32 task)
{
	host_page_idle(BASE);
}

static void look_around_task(u32 task)
{
	host_look_around(BASE);
}

static void damon_task(u32 task)
{
	host_damon(BASE, BASE + PAGES - 1);
}

/* The first page: the process and subscriber B; the second: subscriber A, fast. The third is old. */
static const char *trace_of(void (*body)(u32 task), bool fast)
{
	set_up();
	if (fast)
		host_look_fast();
	access_as_process(BASE);
	agers[0].young[0] = agers[1].young[0] = YOUNG_YES;
	agers[0].young[1] = YOUNG_YES | YOUNG_FAST;
	if (fast)
		agers[0].young[0] |= YOUNG_FAST;
	return run_tracing(body, BASE);
}

/* Reclaim looks at one page, under the rmap lock, and has subscribers flush. */
static const char shrink_trace[] = "0 : begun 0..1\n"
				   "Frp: lock\n"
				   "Frp: aged 0..1\n"
				   "Frp: clear_flush 0..1 of A\n"
				   "Frp: clear_flush 0..1 of B\n"
				   "Frp: young 0..1\n"
				   ": ended\n";
/* Idle tracking is no part of reclaim, asks for no flush, and leaves its mark. */
static const char page_idle_trace[] = "1 : begun 0..1\n"
				      "rp: lock\n"
				      "rp: aged 0..1\n"
				      "rp: clear 0..1 of A\n"
				      "rp: clear 0..1 of B\n"
				      "rp: marked 0..1\n"
				      "rp: young 0..1\n"
				      ": ended\n";
/* Look-around has the neighbours as well, one by one and under the same hold of the PTL. */
static const char look_around_trace[] = "2 : begun 0..1\n"
					"Frp: lock\n"
					"Frp: aged 0..1\n"
					"Frp: clear 0..1 of A\n"
					"Frp: clear 0..1 of B\n"
					"Frp: young 0..1\n"
					"Frp: clear 1..2 of A\n"
					"Frp: clear 1..2 of B\n"
					"Frp: young 1..2\n"
					"Frp: clear 2..3 of A\n"
					"Frp: clear 2..3 of B\n"
					"Frp: old 2..3\n"
					": ended\n";
/* The same that leaves out whoever may be slow. */
static const char look_fast_trace[] = "2 : begun 0..1\n"
				      "Frp: lock\n"
				      "Frp: aged 0..1\n"
				      "Frp: clear_fast 0..1 of A\n"
				      "Frp: young 0..1\n"
				      "Frp: clear_fast 1..2 of A\n"
				      "Frp: young 1..2\n"
				      "Frp: clear_fast 2..3 of A\n"
				      "Frp: old 2..3\n"
				      ": ended\n";
/* DAMON holds mmap_lock in place of the rmap lock, a PTL for each page, and comes twice. */
static const char damon_trace[] = "3 : begun 0..2\n"
				  "m: lock\n"
				  "mp: lock\n"
				  "mp: aged 0..1\n"
				  "mp: clear 0..1 of A\n"
				  "mp: clear 0..1 of B\n"
				  "mp: marked 0..1\n"
				  "mp: young 0..1\n"
				  "mp: lock\n"
				  "mp: clear 1..2 of A\n"
				  "mp: clear 1..2 of B\n"
				  "mp: marked 1..2\n"
				  "mp: young 1..2\n"
				  "m: lock\n"
				  "mp: lock\n"
				  "mp: test 0..1 of A\n"
				  "mp: test 0..1 of B\n"
				  "mp: old 0..1\n"
				  "mp: lock\n"
				  "mp: test 1..2 of A\n"
				  "mp: test 1..2 of B\n"
				  "mp: old 1..2\n"
				  ": ended\n";

static void five_ways_to_ask_differ(void **state)
{
	assert_string_equal(trace_of(shrink_task, false), shrink_trace);
	assert_string_equal(trace_of(page_idle_task, false), page_idle_trace);
	assert_string_equal(trace_of(look_around_task, false), look_around_trace);
	assert_string_equal(trace_of(look_around_task, true), look_fast_trace);
	assert_string_equal(trace_of(damon_task, false), damon_trace);
}

static struct event_subscriber_called heard[4];
static u64 nr_heard;

static void note_heard(const struct event *event)
{
	u64 nth = __atomic_fetch_add(&nr_heard, 1, __ATOMIC_RELAXED);

	if (nth < ARRAY_SIZE(heard))
		heard[nth] = *(const struct event_subscriber_called *)event;
}

/* Each answer is told with who gave it. */
static void answers_are_told(void **state)
{
	set_up();
	agers[1].young[1] = YOUNG_YES | YOUNG_FAST;
	nr_heard = 0;
	oracle_tap(note_heard);
	event_context.interest = EVENT_BIT(EVENT_subscriber_called);
	run(1, damon_task, 0);
	listen(0);
	assert_int_equal(nr_heard, 8);
	for (u32 i = 0; i < 4; i++) {
		assert_int_equal(heard[i].subscriber, agers[i & 1].mn.id);
		assert_int_equal(heard[i].what, NOTIFIER_CLEAR_YOUNG);
		assert_int_equal(heard[i].start, BASE + i / 2);
		assert_int_equal(heard[i].end, BASE + i / 2 + 1);
		assert_int_equal(heard[i].error, i == 3 ? YOUNG_YES | YOUNG_FAST : 0);
	}
}

/* Whoever faults in the same table would spin meanwhile. */
static void who_is_asked_must_not_give_way(void **state)
{
	void (*const asks[])(u32 task) = { shrink_task, page_idle_task, damon_task };
	const u64 expected[] = { 1, 1, 4 };

	for (u32 i = 0; i < ARRAY_SIZE(asks); i++) {
		set_up();
		rwlock_init_class(&yielded, LOCK_mmu_lock);
		agers[0].gives_way = true;
		listen(EVENT_BIT(EVENT_slept_in_nonblock));
		run(1, asks[i], 0);
		listen(0);
		assert_int_equal(warned, expected[i]);
	}
}

/* --- decisions --- */

static void damon_one_task(u32 task)
{
	host_damon(BASE, BASE + 1);
}

/* Bit 0 of @who: the process; bits 1 and 2: the subscribers. */
static void set_up_young(u32 who, bool sticky)
{
	set_up();
	if (who & 1)
		access_as_process(BASE);
	for (u32 i = 0; i < 2; i++) {
		agers[i].young[0] = who >> (i + 1) & 1 ? YOUNG_YES : 0;
		agers[i].sticky = sticky;
	}
}

static void one_who_knows_is_enough(void **state)
{
	void (*const once[])(u32 task) = { shrink_task, page_idle_task, look_around_task };

	for (u32 who = 0; who < 8; who++) {
		for (u32 i = 0; i < ARRAY_SIZE(once); i++) {
			set_up_young(who, false);
			run_counting(1, once[i], 0);
			/* The neighbours are old. */
			assert_int_equal(judged, i == 2 && who ? PAGES : 1);
			assert_int_equal(judged_young, who != 0);
			assert_int_equal(agers[0].young[0] | agers[1].young[0], 0);
			assert_false(inspect_host_pte(BASE) & HOST_PTE_YOUNG);
		}
		/* The sample finds only what the first round could not clear. */
		set_up_young(who, true);
		run_counting(1, damon_one_task, 0);
		assert_int_equal(judged, 2);
		assert_int_equal(judged_young, (who != 0) + (who > 1));
	}
}

static u32 tested[4];
static u64 tested_calls[4];

static u32 ask_test(bool fast_only)
{
	struct host_table *table = host_entry_lockless(BASE);
	u32 young;

	spin_lock(&table->ptl);
	young = host_notify_test_young(BASE, fast_only);
	spin_unlock(&table->ptl);
	return young;
}

static void test_young_task(u32 task)
{
	static const u32 answers[][2] = {
		{ YOUNG_YES | YOUNG_FAST, YOUNG_YES }, /* fast, and nobody behind it is asked */
		{ 0, YOUNG_YES },
		{ YOUNG_FAST, YOUNG_YES }, /* nothing, fast: what was found was found slowly */
		{ 0, YOUNG_YES }, /* fast_only */
	};

	for (u32 i = 0; i < ARRAY_SIZE(tested); i++) {
		u64 before = READ_ONCE(calls);

		WRITE_ONCE(agers[0].young[0], answers[i][0]);
		WRITE_ONCE(agers[1].young[0], answers[i][1]);
		tested[i] = ask_test(i == 3);
		tested_calls[i] = READ_ONCE(calls) - before;
	}
}

static void test_stops_at_the_first_who_knows(void **state)
{
	set_up();
	run_counting(1, test_young_task, 0);
	assert_int_equal(tested[0], YOUNG_YES | YOUNG_FAST);
	assert_int_equal(tested_calls[0], 1);
	assert_int_equal(tested[1], YOUNG_YES);
	assert_int_equal(tested_calls[1], 2);
	assert_int_equal(tested[2], YOUNG_YES);
	assert_int_equal(tested_calls[2], 2);
	assert_int_equal(tested[3], 0);
	assert_int_equal(tested_calls[3], 1);
}

/* As between the rounds of DAMON. */
static void sample_asks_only_if_the_host_does_not_know(void **state)
{
	set_up();
	agers[0].touches = true;
	run_counting(1, damon_task, 0);
	assert_int_equal(judged, 4);
	assert_int_equal(judged_young, 1);
	assert_int_equal(calls, 2 * 2 + 2);
}

/* --- shrink --- */

static bool present(hva_t hva)
{
	return host_pte_present(inspect_host_pte(hva));
}

static void shrink_takes_two_rounds_for_a_young_page(void **state)
{
	for (u32 who = 0; who < 8; who++) {
		set_up_young(who, false);
		run_counting(1, shrink_task, 0);
		assert_int_equal(present(BASE), who != 0);
		assert_int_equal(starts, who == 0);
		run_counting(1, shrink_task, 0);
		assert_int_equal(inspect_host_pte(BASE), 0);
		assert_int_equal(pages_live(), PAGES - 1);
		assert_int_equal(starts, 1);
		assert_accounts_balance();
	}
}

static const char reclaim_trace[] = "0 : begun 0..1\n"
				    "Frp: lock\n"
				    "Frp: clear_flush 0..1 of A\n"
				    "Frp: clear_flush 0..1 of B\n"
				    "Frp: old 0..1\n"
				    "Fr: start 0..1\n"
				    "Frp: lock\n"
				    "Frp: swapped 0..1\n"
				    "Frp: lock\n"
				    "Frp: gone 0..1\n"
				    ": ended\n";

static void old_page_is_reclaimed_behind_the_ptl(void **state)
{
	set_up();
	assert_string_equal(run_tracing(shrink_task, BASE), reclaim_trace);
}

static void shrink_leaves_shared_pages(void **state)
{
	set_up_host();
	host_add_map(&(struct host_map){
		.start = BASE, .end = BASE + PAGES, .populated = true, .read_only = true });
	set_up_counting();
	run_counting(1, shrink_task, 0);
	assert_int_equal(judged, 1);
	assert_int_equal(judged_young, 0);
	assert_true(present(BASE));
	assert_accounts_balance();
}

/* Who only watches must not make reclaim believe that nobody uses the page. */
static void watchers_leave_what_they_found_to_reclaim(void **state)
{
	void (*const watchers[])(u32 task) = { page_idle_task, damon_one_task };
	void (*const reclaimers[])(u32 task) = { shrink_task, look_around_task };

	for (u32 i = 0; i < 4; i++) {
		for (u32 who = 0; who < 8; who++) {
			set_up_young(who, false);
			run_counting(1, watchers[i & 1], 0);
			assert_int_equal(judged_young, who != 0);
			/* Another watcher does not see the mark. */
			run_counting(1, page_idle_task, 0);
			assert_int_equal(judged_young, 0);
			run_counting(1, reclaimers[i / 2], 0);
			assert_int_equal(judged_young, who != 0);
			run_counting(1, shrink_task, 0);
			assert_int_equal(judged_young, 0);
			assert_false(present(BASE));
		}
	}
}

static void marked_and_moved_task(u32 task)
{
	host_page_idle(BASE);
	host_migrate(BASE);
	host_shrink(BASE);
}

static void mark_moves_with_the_page(void **state)
{
	set_up_young(2, false);
	run_counting(1, marked_and_moved_task, 0);
	assert_int_equal(judged_young, 2);
	assert_true(present(BASE));
	assert_int_equal(starts, 1);
}

/* --- look-around --- */

/* What A and B say of the page that was accessed by the process, who subscribes, and how many are judged. */
struct look_case {
	u32 of_fast, of_slow; /* mask of YOUNG_* */
	bool fast_joined, slow_joined;
	u64 judged, judged_fast; /* as everybody asks, and in the fast design */
	u64 calls_fast;
};

static void look_case(const struct look_case *c, bool fast)
{
	set_up_pages();
	agers[0] = (struct ager){ .mn.ops = &fast_ops, .base = BASE, .young = { c->of_fast } };
	agers[1] = (struct ager){ .mn.ops = &slow_ops, .base = BASE, .young = { c->of_slow } };
	if (c->fast_joined)
		mmu_notifier_register(&agers[0].mn);
	if (c->slow_joined)
		mmu_notifier_register(&agers[1].mn);
	if (fast)
		host_look_fast();
	access_as_process(BASE);
	run_counting(1, look_around_task, 0);
	assert_int_equal(judged, fast ? c->judged_fast : c->judged);
	assert_int_equal(judged_young, 1);
	if (fast)
		assert_int_equal(calls, c->calls_fast);
}

static void fast_look_goes_on_behind_a_fast_answer_only(void **state)
{
	static const u32 quick = YOUNG_YES | YOUNG_FAST;
	const struct look_case cases[] = {
		{ quick, 0, true, true, PAGES, PAGES, PAGES },
		{ YOUNG_YES, 0, true, true, PAGES, 1, 1 }, /* found, but slowly */
		{ 0, 0, true, true, PAGES, 1, 1 }, /* only the process has accessed it */
		{ 0, quick, true, true, PAGES, 1, 1 }, /* who would say so is not asked */
		{ 0, YOUNG_YES, false, true, PAGES, 1, 0 },
		{ 0, 0, false, false, PAGES, PAGES, 0 }, /* nobody to ask */
	};

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		look_case(&cases[i], false);
		look_case(&cases[i], true);
	}
}

static void only_look_around_asks_fast(void **state)
{
	void (*const others[])(u32 task) = { shrink_task, page_idle_task, damon_one_task };

	for (u32 i = 0; i < ARRAY_SIZE(others); i++) {
		set_up_young(4, false);
		host_look_fast();
		run_counting(1, others[i], 0);
		assert_int_equal(judged_young, 1);
	}
}

static void old_page_has_no_neighbours_looked_at(void **state)
{
	set_up_young(0, false);
	agers[0].young[1] = YOUNG_YES;
	access_as_process(BASE + 2);
	run_counting(1, look_around_task, 0);
	assert_int_equal(judged, 1);
	assert_int_equal(agers[0].young[1], YOUNG_YES);
	assert_true(inspect_host_pte(BASE + 2) & HOST_PTE_YOUNG);
}

static void look_with_hole_task(u32 task)
{
	host_munmap(BASE + 1, BASE + 2);
	access_page(BASE);
	host_look_around(BASE);
	host_look_around(BASE + 1);
}

static void what_is_not_present_is_not_asked_for(void **state)
{
	set_up();
	run_counting(1, look_with_hole_task, 0);
	assert_int_equal(judged, 2);
	assert_int_equal(calls, 4);
	assert_int_equal(calls_wrong, 0);
}

static void look_vs_access_task(u32 task)
{
	if (task == 0)
		host_look_around(BASE);
	else
		access_page(BASE + 1);
}

static void waiter_for_the_ptl_stops_the_look(void **state)
{
	u32 stopped = 0;

	for (u64 i = 0; i < SCHEDULES; i++) {
		set_up_young(2, false);
		/* The waiter is always there, and waits now and then. */
		run_counting(i & 1 ? 1 : 2, look_vs_access_task, i / 2);
		assert_true(judged == 1 || judged == PAGES);
		if (i & 1)
			assert_int_equal(judged, PAGES);
		stopped += judged == 1;
	}
	assert_in_range(stopped, 1, SCHEDULES / 2 - 1);
}

/* --- huge leafs --- */

static void leaf_shrink_task(u32 task)
{
	host_shrink(AT + 1);
}

static void leaf_idle_task(u32 task)
{
	host_page_idle(AT + 1);
}

static void leaf_look_task(u32 task)
{
	host_look_around(AT + 1);
}

static void leaf_damon_task(u32 task)
{
	/* A part, from its middle on. */
	host_damon(AT + 1, AT + 3);
}

/* In @expected, LEAF stands for the number of its pages. */
static void assert_leaf_trace(u32 level, void (*body)(u32 task), const char *expected)
{
	struct buf text = { 0 };
	const char *at = expected, *next;

	set_up_leaf(level);
	access_as_process(AT + 1);
	agers[1].young[2] = YOUNG_YES;
	while ((next = strstr(at, "LEAF"))) {
		buf_append(&text, at, (size_t)(next - at));
		buf_printf(&text, "%d", (int)PT_PAGES(level));
		at = next + strlen("LEAF");
	}
	buf_append(&text, at, strlen(at));
	assert_string_equal(run_tracing(body, AT), buf_text(&text));
	assert_int_equal(calls_wrong, 0);
	buf_free(&text);
}

static void huge_leaf_is_asked_for_as_a_whole(void **state)
{
	for (u32 level = PT_LEVEL_2M; level <= LEVEL_MAX; level++) {
		assert_leaf_trace(level, leaf_shrink_task,
				  "0 : begun 1..2\n"
				  "Frp: lock\n"
				  "Frp: aged 0..LEAF\n"
				  "Frp: clear_flush 0..LEAF of A\n"
				  "Frp: clear_flush 0..LEAF of B\n"
				  "Frp: young 0..1\n"
				  ": ended\n");
		assert_leaf_trace(level, leaf_idle_task,
				  "1 : begun 1..2\n"
				  "rp: lock\n"
				  "rp: aged 0..LEAF\n"
				  "rp: clear 0..LEAF of A\n"
				  "rp: clear 0..LEAF of B\n"
				  "rp: marked 0..LEAF\n"
				  "rp: young 0..1\n"
				  ": ended\n");
		assert_leaf_trace(level, leaf_look_task,
				  "2 : begun 1..2\n"
				  "Frp: lock\n"
				  "Frp: aged 0..LEAF\n"
				  "Frp: clear_flush 0..LEAF of A\n"
				  "Frp: clear_flush 0..LEAF of B\n"
				  "Frp: young 0..1\n"
				  ": ended\n");
		assert_leaf_trace(level, leaf_damon_task,
				  "3 : begun 1..3\n"
				  "m: lock\n"
				  "mp: lock\n"
				  "mp: aged 0..LEAF\n"
				  "mp: clear 0..LEAF of A\n"
				  "mp: clear 0..LEAF of B\n"
				  "mp: marked 0..LEAF\n"
				  "mp: young 0..1\n"
				  "m: lock\n"
				  "mp: lock\n"
				  "mp: test 0..1 of A\n"
				  "mp: test 0..1 of B\n"
				  "mp: old 0..1\n"
				  ": ended\n");
	}
}

static void leaf_shrinks_task(u32 task)
{
	for (u32 i = 0; i < 2; i++)
		host_shrink(AT + 1);
}

/* An old leaf is split for the one page that goes; what is left says what the leaf said. */
static void old_leaf_gives_one_page(void **state)
{
	for (u32 level = PT_LEVEL_2M; level <= LEVEL_MAX; level++) {
		set_up_leaf(level);
		agers[0].young[0] = YOUNG_YES;
		run_counting(1, leaf_shrinks_task, 0);
		assert_int_equal(judged, 2);
		assert_int_equal(judged_young, 1);
		for (hva_t hva = AT; hva < AT + PT_PAGES(level); hva++)
			assert_int_equal(present(hva), hva != AT + 1);
		assert_int_equal(pages_live(), PT_PAGES(level) - 1);
		assert_accounts_balance();
	}
}

/* --- accesses --- */

static u64 pte_after[4];

static void accesses_task(u32 task)
{
	gup(&seen[0], BASE, false);
	pte_after[0] = inspect_host_pte(BASE);
	access_page(BASE);
	pte_after[1] = inspect_host_pte(BASE);
	host_page_idle(BASE);
	pte_after[2] = inspect_host_pte(BASE);
	access_page(BASE);
	pte_after[3] = inspect_host_pte(BASE);
	host_populate(BASE + 0x80, BASE + 0x81);
	host_wrprotect(BASE + 1, BASE + 2);
	host_reuse(BASE + 1);
	host_munmap(BASE + 2, BASE + 3);
}

static void accesses_are_seen_and_lookups_are_not(void **state)
{
	set_up();
	run_counting(1, accesses_task, 0);
	assert_false(pte_after[0] & HOST_PTE_YOUNG);
	assert_true(pte_after[1] & HOST_PTE_YOUNG);
	assert_false(pte_after[2] & HOST_PTE_YOUNG);
	assert_true(pte_after[2] & HOST_PTE_DIRTY);
	/* Dirty already: the access counts all the same. */
	assert_true(pte_after[3] & HOST_PTE_YOUNG);
	assert_true(inspect_host_pte(BASE + 0x80) & HOST_PTE_YOUNG);
	assert_true(inspect_host_pte(BASE + 1) & HOST_PTE_YOUNG);
}

/* --- races --- */

static void shrink_vs_replace_task(u32 task)
{
	if (task == 0)
		host_shrink(BASE);
	else if (task == 1)
		host_dontneed(BASE, BASE + 1);
	else
		gup(&seen[2], BASE, true);
}

/* Whatever comes in the place of an old page was never judged: it stays. */
static void only_what_was_judged_is_reclaimed(void **state)
{
	u32 replaced = 0;

	for (u64 i = 0; i < 4 * SCHEDULES; i++) {
		pfn_t page;

		set_up();
		page = mapped(BASE);
		run_counting(3, shrink_vs_replace_task, i);
		assert_int_equal(strangers, 0);
		assert_int_equal(calls_wrong, 0);
		replaced += present(BASE) && mapped(BASE) != page;
		assert_accounts_balance();
	}
	assert_in_range(replaced, 1, 4 * SCHEDULES - 1);
}

static void young_vs_unmap_task(u32 task)
{
	if (task == 0)
		host_look_around(BASE);
	else if (task == 1)
		host_munmap(BASE, BASE + 2);
	else
		host_damon(BASE, BASE + PAGES);
}

static void young_page_may_be_unmapped_meanwhile(void **state)
{
	u32 missed = 0, found = 0;

	for (u64 i = 0; i < SCHEDULES; i++) {
		set_up_young(1, false);
		run_counting(3, young_vs_unmap_task, i);
		assert_int_equal(calls_wrong, 0);
		assert_false(present(BASE));
		assert_int_equal(pages_live(), PAGES - 2);
		/* Found once, by whoever came first; the mark went to where nobody looks any more. */
		missed += judged_young == 0;
		found += judged_young != 0;
		assert_accounts_balance();
	}
	assert_true(missed && found);
}

static void unregister_task(u32 task)
{
	if (task == 0) {
		mmu_notifier_unregister(&agers[0].mn);
		WRITE_ONCE(agers[0].gone, true);
	} else if (task == 1) {
		host_shrink(BASE);
	} else {
		host_damon(BASE, BASE + PAGES);
	}
}

static void unregister_waits_for_those_who_ask(void **state)
{
	u32 asked = 0, left_out = 0;

	for (u64 i = 0; i < SCHEDULES; i++) {
		set_up();
		agers[0].young[0] = YOUNG_YES;
		host_count_users();
		run_counting(3, unregister_task, i);
		assert_int_equal(calls_wrong, 0);
		asked += !agers[0].young[0];
		left_out += agers[0].young[0];
	}
	assert_true(asked && left_out);
}

static void storm_task(u32 task)
{
	u64 dice = hash_u64(hash_u64(HASH_SEED, seed + 4321), task);

	for (u32 i = 0; i < 4; i++) {
		hva_t hva;

		dice = hash_u64(dice, i);
		hva = AT + dice % LEAF;
		switch ((dice >> 20) % 12) {
		case 0:
			host_munmap(hva, hva + 2);
			break;
		case 1:
			host_migrate(hva);
			break;
		case 2:
			host_mprotect(hva, hva + 2, dice >> 30 & 1);
			break;
		case 3:
			host_populate(hva, hva + 2);
			break;
		case 4:
			host_dontneed(hva, hva + LEAF);
			break;
		case 5:
			host_collapse(hva);
			break;
		case 6:
			host_page_idle(hva);
			break;
		case 7:
			host_look_around(hva);
			break;
		case 8:
			host_damon(hva, hva + 4);
			break;
		case 9:
			access_page(hva);
			break;
		default:
			host_shrink(hva);
			break;
		}
	}
}

static void accounts_balance_after_any_storm(void **state)
{
	for (u64 i = 0; i < 4 * SCHEDULES; i++) {
		set_up_leaf(i & 1 ? PT_LEVEL_2M : PT_LEVEL_4K);
		host_allow_collapse();
		agers[i >> 1 & 1].young[0] = YOUNG_YES;
		agers[i >> 1 & 1].sticky = i >> 2 & 1;
		run_counting(4, storm_task, i);
		assert_int_equal(calls_wrong, 0);
		assert_int_equal(strangers, 0);
		assert_accounts_balance();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(five_ways_to_ask_differ),
		cmocka_unit_test(answers_are_told),
		cmocka_unit_test(who_is_asked_must_not_give_way),
		cmocka_unit_test(one_who_knows_is_enough),
		cmocka_unit_test(test_stops_at_the_first_who_knows),
		cmocka_unit_test(sample_asks_only_if_the_host_does_not_know),
		cmocka_unit_test(shrink_takes_two_rounds_for_a_young_page),
		cmocka_unit_test(old_page_is_reclaimed_behind_the_ptl),
		cmocka_unit_test(shrink_leaves_shared_pages),
		cmocka_unit_test(watchers_leave_what_they_found_to_reclaim),
		cmocka_unit_test(mark_moves_with_the_page),
		cmocka_unit_test(fast_look_goes_on_behind_a_fast_answer_only),
		cmocka_unit_test(only_look_around_asks_fast),
		cmocka_unit_test(old_page_has_no_neighbours_looked_at),
		cmocka_unit_test(what_is_not_present_is_not_asked_for),
		cmocka_unit_test(waiter_for_the_ptl_stops_the_look),
		cmocka_unit_test(huge_leaf_is_asked_for_as_a_whole),
		cmocka_unit_test(old_leaf_gives_one_page),
		cmocka_unit_test(accesses_are_seen_and_lookups_are_not),
		cmocka_unit_test(only_what_was_judged_is_reclaimed),
		cmocka_unit_test(young_page_may_be_unmapped_meanwhile),
		cmocka_unit_test(unregister_waits_for_those_who_ask),
		cmocka_unit_test(accounts_balance_after_any_storm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
