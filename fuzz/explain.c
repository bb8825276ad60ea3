/*
 * A failure in the style of kernel commit messages: what is broken, who races with whom, and the
 * interleaving in one column for each task. Lines have ranks; the least interesting ranks are left
 * out until what remains fits on a page.
 */
#include "fuzz/fuzz.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define LINES_WANTED 48
#define RANK_MAX     3
#define LINE_BYTES   120

struct line {
	u8 column, rank;
	char text[LINE_BYTES];
};

struct page {
	struct line *lines;
	u32 nr, room;
	u32 width, nr_columns; /* one for each task, and one for rcu0 if it ran */
	const struct repro *repro;
	const struct recording *recording;
};

static __printf(4, 5) void add_line(struct page *page, u32 task, u32 rank, const char *fmt, ...)
{
	u32 column = task == TASK_RCU ? page->repro->program.nr_tasks : task;
	struct line *line;
	va_list args;

	if (column >= page->nr_columns)
		return;
	if (page->nr == page->room) {
		page->room = page->room ? page->room * 2 : 256;
		page->lines = realloc(page->lines, page->room * sizeof(*page->lines));
		ASSERT(page->lines);
	}
	line = &page->lines[page->nr++];
	line->column = (u8)column;
	line->rank = (u8)rank;
	va_start(args, fmt);
	vsnprintf(line->text, sizeof(line->text), fmt, args);
	va_end(args);
}

/*
 * A guest table entry in words: EPT permissions in bits 0-2, a huge leaf in bit 7, A and D in bits 8 and 9, the
 * frame from bit 12 on. One that grants nothing but is shadow-present stands for a page whose accesses are
 * tracked.
 */
static const char *spte_words(char *text, size_t size, u64 spte)
{
	u64 pfn = (spte & (BIT_ULL(52) - 1)) >> 12;

	if (spte == SPTE_FROZEN)
		snprintf(text, size, "frozen");
	else if ((spte & SPTE_MMIO_MASK) == SPTE_MMIO_VALUE)
		snprintf(text, size, "MMIO");
	else if (!(spte & 7) && spte & SPTE_SHADOW_PRESENT)
		snprintf(text, size, "pfn %llu tracked", (unsigned long long)pfn);
	else if (!(spte & 7))
		snprintf(text, size, "none");
	else
		snprintf(text, size, "pfn %llu %s%s%s%s%s", (unsigned long long)pfn,
			 spte & 1 ? "r" : "", spte & 2 ? "w" : "", spte & 4 ? "x" : "",
			 spte & BIT_ULL(9) ? " dirty" : "", spte & BIT_ULL(7) ? " huge" : "");
	return text;
}

/*
 * A host entry in words: present in bit 0, writable in bit 1, a huge leaf in bit 7, migration and swap entries
 * in bits 58 and 59, a table in bit 60.
 */
static const char *host_pte_words(char *text, size_t size, u64 pte)
{
	u64 pfn = (pte & ~(BIT_ULL(58) | BIT_ULL(59))) >> 12;

	if (pte & BIT_ULL(60))
		snprintf(text, size, "a table");
	else if (pte & BIT_ULL(58))
		snprintf(text, size, "migrating");
	else if (pte & BIT_ULL(59))
		snprintf(text, size, "swapped out");
	else if (!(pte & 1))
		snprintf(text, size, "none");
	else
		snprintf(text, size, "pfn %llu r%s%s", (unsigned long long)pfn, pte & 2 ? "w" : "",
			 pte & BIT_ULL(7) ? " huge" : "");
	return text;
}

static const char *expression_of(const struct sched_site *site)
{
	const char *colon = strchr(site_text(site), ':');

	return colon ? colon + 1 : site_text(site);
}

static void op_line(struct page *page, const struct recorded_event *event)
{
	const struct task_program *task = &page->repro->program.tasks[event->head.task];
	struct buf buf = { 0 };

	if (event->fields[1] < task->nr_ops)
		op_print(&buf, &task->ops[event->fields[1]]);
	add_line(page, event->head.task, 0, "%s {", buf_text(&buf));
	buf_free(&buf);
}

static void changed_line(struct page *page, const struct recorded_event *event)
{
	char old[40], new[40];
	const unsigned long long *field = (const unsigned long long *)event->fields;

	if (event->head.id == EVENT_spte_changed)
		add_line(page, event->head.task, 0, "  SPTE %llu[%llu]: %s -> %s", field[0],
			 field[1], spte_words(old, sizeof(old), field[2]),
			 spte_words(new, sizeof(new), field[3]));
	else
		add_line(page, event->head.task, 0, "  host %s %#llx: %s -> %s",
			 field[3] > PT_LEVEL_4K ? "entry" : "PTE", field[0],
			 host_pte_words(old, sizeof(old), field[1]),
			 host_pte_words(new, sizeof(new), field[2]));
}

/* How interesting an event is, from 0 on, and one more; none here: never shown. */
static const u8 ranks[EVENT_COUNT] = {
	[EVENT_fault_snapshot] = 1,    [EVENT_fault_translated] = 1,
	[EVENT_fault_checked] = 1,     [EVENT_fault_retried] = 1,
	[EVENT_invalidate_begun] = 1,  [EVENT_invalidate_range_added] = 1,
	[EVENT_invalidate_ended] = 1,  [EVENT_warned] = 1,
	[EVENT_dead_access] = 1,       [EVENT_slept_in_atomic] = 1,
	[EVENT_slept_in_nonblock] = 1, [EVENT_rcuwait_taken] = 1,
	[EVENT_yield_overdue] = 1,     [EVENT_walk_yielded] = 1,
	[EVENT_memslot_changed] = 1,   [EVENT_root_invalidated] = 1,
	[EVENT_rcu_ran] = 1,	       [EVENT_dirty_log_changed] = 1,
	[EVENT_dirty_marked] = 1,      [EVENT_dirty_taken] = 1,
	[EVENT_dirty_given_up] = 1,    [EVENT_guest_written] = 1,
	[EVENT_write_tracked] = 1,     [EVENT_age_judged] = 1,
	[EVENT_young_begun] = 1,       [EVENT_young_ended] = 1,
	[EVENT_pfncache_filled] = 1,   [EVENT_pfncache_dropped] = 1,
	[EVENT_pfncache_used] = 1,     [EVENT_guest_accessed] = 2,
	[EVENT_tlb_filled] = 2,	       [EVENT_tlb_flushed] = 2,
	[EVENT_tlb_range_flushed] = 2, [EVENT_request_sent] = 2,
	[EVENT_frame_freed] = 2,       [EVENT_root_created] = 2,
	[EVENT_root_zapped] = 2,       [EVENT_root_loaded] = 2,
	[EVENT_rcu_queued] = 2,	       [EVENT_synchronized] = 2,
	[EVENT_cmpxchg_refused] = 2,   [EVENT_mmio_used] = 2,
	[EVENT_harvest_begun] = 2,     [EVENT_harvest_ended] = 2,
	[EVENT_pml_logged] = 2,	       [EVENT_pml_taken] = 2,
	[EVENT_pml_switched] = 2,      [EVENT_age_begun] = 2,
	[EVENT_young_read] = 2,	       [EVENT_notifier_start] = 3,
	[EVENT_notifier_end] = 3,      [EVENT_fault_ended] = 3,
	[EVENT_walk_begun] = 3,	       [EVENT_walk_ended] = 3,
	[EVENT_psc_filled] = 3,	       [EVENT_subscriber_called] = 3,
	[EVENT_active_raised] = 3,     [EVENT_active_lowered] = 3,
	[EVENT_frame_allocated] = 3,   [EVENT_vcpu_interrupted] = 3,
	[EVENT_age_ended] = 3,	       [EVENT_pfncaches_scanned] = 3,
};

/* More than RANK_MAX: never shown. */
static u32 rank_of(const struct recorded_event *event)
{
	if (event->head.id == EVENT_lock_acquired || event->head.id == EVENT_lock_released)
		return event->fields[1] == LOCK_mmu_lock ? 1 : 3;
	return ranks[event->head.id] ? ranks[event->head.id] - 1u : RANK_MAX + 1;
}

/* Words for the numbers of enum retry_reason, memslot_step, subject_ret, vcpu_request, lock_class. */
static const char *const retry_words[RETRY_REASON_COUNT] = {
	[RETRY_BEFORE_GUP] = "before the translation",
	[RETRY_AFTER_GUP] = "after the translation",
	[RETRY_LOCKED] = "under mmu_lock",
	[RETRY_UNSET_RANGE] = "no range yet",
	[RETRY_OBSOLETE_ROOT] = "obsolete root",
	[RETRY_FROZEN] = "frozen entry",
	[RETRY_LOST_TABLE] = "lost the race for a table",
	[RETRY_LOST_LEAF] = "lost the race for the leaf",
	[RETRY_SLOT_INVALID] = "the memslot is going away",
	[RETRY_NO_TABLE] = "a table vanished",
	[RETRY_MMIO_GONE] = "no MMIO entry any more",
};

static const char *const step_words[] = {
	[MEMSLOT_BEGUN] = "update begins",
	[MEMSLOT_INVALID] = "is marked invalid",
	[MEMSLOT_GONE] = "is gone",
	[MEMSLOT_ADDED] = "is there",
	[MEMSLOT_RESTORED] = "is there again",
	[MEMSLOT_FREED] = "is freed",
	[MEMSLOT_ENDED] = "update ends",
};

static const char *const ret_words[SUBJECT_RET_COUNT] = {
	[SUBJECT_RETRY] = "RETRY",
	[SUBJECT_FIXED] = "FIXED",
	[SUBJECT_SPURIOUS] = "SPURIOUS",
	[SUBJECT_EMULATE] = "EMULATE",
	[SUBJECT_WRITE_PROTECTED] = "WRITE_PROTECTED",
	[SUBJECT_BAD_ADDRESS] = "-EFAULT",
	[SUBJECT_NO_MEMORY] = "-ENOMEM",
	[SUBJECT_AGAIN] = "-EAGAIN",
	[SUBJECT_NO_SLOT] = "-ENOENT",
	[SUBJECT_RING_FULL] = "dirty ring full",
};

/* In the order of the machine's requests. */
static const char *const request_words[] = { "flush its TLB", "flush a range of its TLB",
					     "let go of obsolete roots",
					     "update its dirty logging" };
static const char *const rights_words[] = { "r", "rw" };
static const char *const space_words[] = { "", " (as 1)" };
static const char *const log_words[] = {
	[DIRTY_LOG_ENABLING] = "is being turned on",
	[DIRTY_LOG_ENABLED] = "is on",
	[DIRTY_LOG_DISABLING] = "is being turned off",
	[DIRTY_LOG_DISABLED] = "is off",
};
static const char *const harvest_words[] = {
	[HARVEST_GET] = "gets and takes",
	[HARVEST_COPY] = "gets",
	[HARVEST_CLEAR] = "clears",
	[HARVEST_RESET] = "resets",
};
/* Of a range walk, by enum walk_kind. */
static const char *const walk_words[] = {
	[WALK_ZAP_LEAFS] = "walks",	    [WALK_ZAP_LEAFS_NONBLOCK] = "walks",
	[WALK_ZAP_ROOT] = "walks",	    [WALK_ZAP_ROOT_TWO_PASS] = "walks",
	[WALK_ZAP_ALL] = "walks",	    [WALK_WRPROT] = "write-protects",
	[WALK_CLEAR_DIRTY] = "clears D in", [WALK_SPLIT] = "splits",
	[WALK_RECOVER] = "recovers",
};
/* In the order of the host's consumers, and of its callbacks. */
static const char *const consumer_words[] = { "reclaim", "page idle", "look-around", "DAMON" };
static const char *const call_words[] = {
	"start", "end", "change_pte", "release", "clear_flush_young", "clear_young", "test_young"
};
static const char *const fast_words[] = { "", ", fast only" };
static const char *const age_words[] = { "old", "young" };
/* A mask of YOUNG_*. */
static const char *const young_words[] = { "old", "young", "old, fast", "young, fast" };
static const char *const switch_words[] = { "off", "on" };
/* A dirty ring is told as a vCPU's id + 1. */
static const char *const ring_words[] = { "",	       " (ring 0)", " (ring 1)",
					  " (ring 2)", " (ring 3)", " (ring 4)",
					  " (ring 5)", " (ring 6)", " (ring 7)" };
_Static_assert(ARRAY_SIZE(ring_words) == VCPUS_MAX + 1, "one word for each ring");
static const char *const source_words[] = { "", " (TLB)" };

#define WORDS(table) { table, ARRAY_SIZE(table) }
static const struct {
	const char *const *words;
	u32 nr;
} word_tables[] = {
	['r'] = WORDS(retry_words),   ['s'] = WORDS(step_words),       ['f'] = WORDS(ret_words),
	['q'] = WORDS(request_words), ['l'] = WORDS(lock_class_names), ['w'] = WORDS(rights_words),
	['a'] = WORDS(space_words),   ['t'] = WORDS(source_words),     ['d'] = WORDS(log_words),
	['h'] = WORDS(harvest_words), ['k'] = WORDS(walk_words),       ['o'] = WORDS(switch_words),
	['g'] = WORDS(ring_words),    ['c'] = WORDS(consumer_words),   ['b'] = WORDS(call_words),
	['p'] = WORDS(fast_words),    ['e'] = WORDS(age_words),	       ['y'] = WORDS(young_words),
};

/* %N: field N in decimal; %xN: in hex; %cN: the word for it, c as in word_tables. */
static const char *const phrases[EVENT_COUNT] = {
	[EVENT_fault_snapshot] = "snapshot: seq %0",
	[EVENT_fault_translated] = "gfn %x0 is pfn %1 %w2",
	[EVENT_fault_checked] = "check passed: seq %1",
	[EVENT_fault_retried] = "RETRY: %r1",
	[EVENT_fault_ended] = "fault on gfn %x0: %f1",
	[EVENT_invalidate_begun] = "invalidation begins",
	[EVENT_invalidate_range_added] = "adds gfns %x0..%x1",
	[EVENT_invalidate_ended] = "invalidation ends",
	[EVENT_tlb_filled] = "TLB fill: gfn %x2, pfn %4",
	[EVENT_psc_filled] = "caches that table %4 is at gfn %x2",
	[EVENT_tlb_flushed] = "vCPU %0 flushes its TLB",
	[EVENT_tlb_range_flushed] = "vCPU %0 flushes gfns %x1..%x2",
	[EVENT_guest_accessed] = "guest access: gfn %x1, pfn %2%t4",
	[EVENT_mmio_used] = "MMIO at gfn %x1, generation %2",
	[EVENT_vcpu_interrupted] = "vCPU %0 has to leave the guest",
	[EVENT_pml_switched] = "vCPU %0 turns its log %o1",
	[EVENT_pml_logged] = "vCPU %0 logs gfn %x1",
	[EVENT_pml_taken] = "takes gfn %x1 from the log of vCPU %0",
	[EVENT_dirty_log_changed] = "dirty log of gfns %x2..%x3%a1 %d0",
	[EVENT_dirty_marked] = "marks gfn %x1%a0 dirty%g2",
	[EVENT_harvest_begun] = "%h0 what is dirty in gfns %x2..%x3%a1",
	[EVENT_dirty_taken] = "takes gfn %x1%a0%g2",
	[EVENT_harvest_ended] = "is done with the dirty log: error %1",
	[EVENT_dirty_given_up] = "gives up gfn %x1%a0, never got",
	[EVENT_guest_written] = "the kernel writes to gfn %x1%a0, pfn %2",
	[EVENT_write_tracked] = "gfn %x1%a0 is write-tracked by %2",
	[EVENT_age_begun] = "%c0 asks for the age of host pages %x1..%x2",
	[EVENT_age_judged] = "host page %x0 is %e1",
	[EVENT_age_ended] = "%c0 knows",
	[EVENT_young_begun] = "%b0 of host pages %x1..%x2%p3",
	[EVENT_young_read] = "reads the leaf of gfn %x1",
	[EVENT_young_ended] = "%b0: %y1",
	[EVENT_pfncache_filled] = "pfncache: gfn %x0, host page %x1, pfn %2",
	[EVENT_pfncache_dropped] = "pfncache drops host page %x0, pfn %1",
	[EVENT_pfncache_used] = "writes through the pfncache: gfn %x0, pfn %2",
	[EVENT_pfncaches_scanned] = "has looked through the pfncaches",
	[EVENT_request_sent] = "asks vCPU %0 to %q1",
	[EVENT_frame_allocated] = "pfn %0 is allocated",
	[EVENT_frame_freed] = "pfn %0 is freed",
	[EVENT_dead_access] = "touches object %x0, which is freed",
	[EVENT_memslot_changed] = "memslot gfns %x2..%x3%a1 %s0",
	[EVENT_root_created] = "root %0 is made%a2",
	[EVENT_root_invalidated] = "root %0 becomes invalid",
	[EVENT_root_zapped] = "root %0 is zapped",
	[EVENT_root_loaded] = "vCPU %0 loads root %1",
	[EVENT_walk_begun] = "%k3 gfns %x1..%x2 of root %0",
	[EVENT_walk_ended] = "walk of root %0 ends",
	[EVENT_walk_yielded] = "gives way at gfn %x1",
	[EVENT_yield_overdue] = "touched %0 entries since it last offered to give way",
	[EVENT_rcu_queued] = "call_rcu of object %x0",
	[EVENT_rcu_ran] = "callback for object %x0",
	[EVENT_synchronized] = "readers of %l0 have left",
	[EVENT_cmpxchg_refused] = "the exchange of SPTE %0[%1] is refused",
	[EVENT_slept_in_atomic] = "sleeps with %l0 held",
	[EVENT_active_raised] = "active invalidations: %0",
	[EVENT_active_lowered] = "active invalidations: %0",
};

static void print_word(struct buf *buf, char table, unsigned long long value)
{
	if (value < word_tables[(u8)table].nr)
		buf_printf(buf, "%s", word_tables[(u8)table].words[value]);
	else
		buf_printf(buf, "%llu", value);
}

static void print_phrase(struct buf *buf, const char *phrase, const unsigned long long *field)
{
	for (; *phrase; phrase++) {
		if (*phrase != '%') {
			buf_append(buf, phrase, 1);
			continue;
		}
		phrase++;
		if (*phrase >= '0' && *phrase <= '9') {
			buf_printf(buf, "%llu", field[*phrase - '0']);
			continue;
		}
		if (*phrase == 'x')
			buf_printf(buf, "%#llx", field[phrase[1] - '0']);
		else
			print_word(buf, *phrase, field[phrase[1] - '0']);
		phrase++;
	}
}

/* Events that have a phrase in words, the others as their fields. */
static void print_event(struct buf *buf, const struct recorded_event *event)
{
	const struct event_row *row = &event_rows[event->head.id];
	const unsigned long long *field = (const unsigned long long *)event->fields;

	if (phrases[event->head.id]) {
		print_phrase(buf, phrases[event->head.id], field);
		return;
	}
	buf_printf(buf, "%s:", row->name);
	for (u32 i = 0; i < row->nr_fields && strcmp(row->fields[i], "nothing"); i++)
		buf_printf(buf, " %s %#llx", row->fields[i], field[i]);
}

static void event_line(struct page *page, const struct recorded_event *event)
{
	u32 rank = rank_of(event);
	struct buf buf = { 0 };

	switch (event->head.id) {
	case EVENT_op_begun:
		op_line(page, event);
		return;
	case EVENT_op_ended:
		if (event->fields[2] == OP_RING_FULL)
			add_line(page, event->head.task, 0, "} ended: the dirty ring is full");
		else if (event->fields[2] == OP_SKIPPED)
			add_line(page, event->head.task, 0, "} skipped: process or VM has gone");
		else
			add_line(page, event->head.task, 0, "}");
		return;
	case EVENT_spte_changed:
	case EVENT_host_pte_changed:
		changed_line(page, event);
		return;
	case EVENT_task_stuck:
		add_line(page, (u32)event->fields[0], 0, "  stuck on %s",
			 event->fields[1] < LOCK_CLASS_COUNT ? lock_class_names[event->fields[1]]
							     : "a wait");
		return;
	case EVENT_lock_acquired:
	case EVENT_lock_released:
		add_line(page, event->head.task, rank, "  %s", expression_of(event->head.site));
		return;
	default:
		break;
	}
	if (rank > RANK_MAX)
		return;
	print_event(&buf, event);
	add_line(page, event->head.task, rank, "  %s", buf_text(&buf));
	buf_free(&buf);
}

/* An access to the words that faults and invalidations talk through. */
static void invalidate_line(struct page *page, const struct step *step)
{
	const char *expression = expression_of(step->site);
	const char *name = strstr(expression, "mmu_invalidate_") + strlen("mmu_invalidate_");
	bool read = strstr(expression, "READ"), range = strstr(expression, "range");
	char value[24];

	if (step->value == ~0ull)
		snprintf(value, sizeof(value), "unset");
	else
		snprintf(value, sizeof(value), "%#llx", (unsigned long long)step->value);
	add_line(page, step->task, read || range ? 2 : 1, "  %s %.*s%s%s",
		 read ? "reads" : "writes", (int)strcspn(name, ")"), name, read ? ": " : ", was ",
		 value);
}

static void step_line(struct page *page, const struct step *step)
{
	const char *expression = expression_of(step->site);
	bool switched = step->chosen != step->task && step->chosen != TASK_NONE;

	if (step->kind == SCHED_AT_BLOCK) {
		add_line(page, step->task, 0, "  waits: %s", expression);
		return;
	}
	if (step->answered && step->answer)
		add_line(page, step->task, 0, "  %s: answer %llu", expression,
			 (unsigned long long)step->answer);
	if (step->kind != SCHED_AT_POINT)
		return;
	if (switched)
		add_line(page, step->task, 0, "  <stops before %s>", expression);
	else if (strstr(expression, "mmu_invalidate_"))
		invalidate_line(page, step);
}

static void collect_lines(struct page *page)
{
	const struct recording *recording = page->recording;
	u32 event = 0;

	for (u32 i = 0; i <= recording->nr_steps; i++) {
		for (; event < recording->nr_events && recording->events[event].step == i; event++)
			event_line(page, &recording->events[event]);
		if (i < recording->nr_steps)
			step_line(page, &recording->steps[i]);
	}
}

static u32 count_to_rank(const struct page *page, u32 rank)
{
	u32 nr = 0;

	for (u32 i = 0; i < page->nr; i++)
		nr += page->lines[i].rank <= rank;
	return nr;
}

/* One line of text in its column; what does not fit goes on below, indented. */
static void print_cell(struct buf *buf, const struct page *page, const struct line *line)
{
	const char *text = line->text;
	u32 room = page->width - 2, indent = 0;

	do {
		u32 len = (u32)min_u64(strlen(text), room - indent);

		if (strlen(text) > len)
			for (u32 cut = len; cut > len / 2; cut--)
				if (text[cut] == ' ') {
					len = cut;
					break;
				}
		buf_printf(buf, "  %*s%.*s\n", (int)(line->column * page->width + indent), "",
			   (int)len, text);
		text += len;
		while (*text == ' ')
			text++;
		indent = 4;
	} while (*text);
}

static void print_column_heads(struct buf *buf, const struct page *page)
{
	const struct program *program = &page->repro->program;

	for (u32 i = 0; i < page->nr_columns; i++) {
		const struct task_program *task = &program->tasks[i];
		char head[40];

		if (i == program->nr_tasks)
			snprintf(head, sizeof(head), "rcu0");
		else if (task->kind == TASK_VCPU)
			snprintf(head, sizeof(head), "task %u (vcpu %u)", i, task->vcpu);
		else
			snprintf(head, sizeof(head), "task %u (%s)", i,
				 task_kind_names[task->kind]);
		buf_printf(buf, "%-*s", i + 1 < page->nr_columns ? (int)page->width : 1, head);
	}
	buf_printf(buf, "\n");
}

static void print_columns(struct buf *buf, struct page *page)
{
	u32 rank = RANK_MAX, shown = 0, total, last = TASK_NONE;

	while (rank && count_to_rank(page, rank) > LINES_WANTED)
		rank--;
	total = count_to_rank(page, rank);
	buf_printf(buf, "\n  ");
	print_column_heads(buf, page);
	for (u32 i = 0; i < page->nr; i++) {
		const struct line *line = &page->lines[i];

		if (line->rank > rank)
			continue;
		shown++;
		/* Beginning and end tell the story; a middle that is too long does not. */
		if (total > LINES_WANTED && shown == LINES_WANTED / 3)
			buf_printf(buf, "  ... %u lines ...\n", total - LINES_WANTED);
		if (total > LINES_WANTED && shown >= LINES_WANTED / 3 &&
		    shown < LINES_WANTED / 3 + total - LINES_WANTED)
			continue;
		if (last != TASK_NONE && last != line->column)
			buf_printf(buf, "\n");
		last = line->column;
		print_cell(buf, page, line);
	}
}

static void print_where(struct buf *buf, const struct repro *repro, const struct verdict *verdict,
			u32 nth)
{
	const struct program *program = &repro->program;
	u32 task = verdict->task[nth];

	if (!verdict->site[nth])
		return;
	buf_printf(buf, "  %-9s ", nth ? "and" : "between");
	if (task == TASK_RCU)
		buf_printf(buf, "rcu0 at ");
	else if (task < program->nr_tasks)
		buf_printf(buf, "task %u at ", task);
	buf_printf(buf, "%s\n", site_text(verdict->site[nth]));
}

/* The waits of a cycle, with the two places of each. */
static void print_holds(struct buf *buf, const struct verdict *verdict)
{
	for (u32 i = 0; i < verdict->nr_holds; i++) {
		const struct verdict_hold *hold = &verdict->holds[i];

		buf_printf(buf, "  %-9s ", i ? "" : "cycle");
		if (hold->task == TASK_RCU)
			buf_printf(buf, "rcu0");
		else
			buf_printf(buf, "task %u", hold->task);
		buf_printf(buf, " took %s at %s,\n  %-9s   then asked for %s at %s\n",
			   hold->outer < LOCK_CLASS_COUNT ? lock_class_names[hold->outer] : "?",
			   site_text(hold->taken), "",
			   hold->inner < LOCK_CLASS_COUNT ? lock_class_names[hold->inner] : "?",
			   site_text(hold->asked));
	}
}

static void print_head(struct buf *buf, const struct repro *repro, const struct run_result *result)
{
	u32 depth = schedule_depth(&repro->schedule);
	struct expectation actual;

	result_expectation(&actual, result);
	buf_printf(buf, "%s: ", repro->target);
	expectation_print(buf, &actual);
	buf_printf(buf, "\n\n  %-9s %s\n", "bug", bug_rows[repro->bug].slug);
	if (repro->why[0])
		buf_printf(buf, "  %-9s %s\n", "why", repro->why);
	if (program_clears_blindly(&repro->program))
		buf_printf(buf, "  %-9s %s\n", "blind", BLIND_NOTE);
	if (repro->schedule.strategy[0])
		buf_printf(buf, "  %-9s %s, seed %llu (not converted to directives)\n", "schedule",
			   repro->schedule.strategy, (unsigned long long)repro->schedule.seed);
	buf_printf(buf, "  %-9s %u (switches and answers that differ from the default schedule)\n",
		   "depth", depth);
	if (result->kind == VERDICT_VIOLATION) {
		buf_printf(buf, "  %-9s %s\n", "broken", result->verdict.sentence);
		if (result->verdict.detail[0])
			buf_printf(buf, "  %-9s %s\n", "found", result->verdict.detail);
		print_where(buf, repro, &result->verdict, 0);
		print_where(buf, repro, &result->verdict, 1);
		print_holds(buf, &result->verdict);
	} else if (result->died[0]) {
		buf_printf(buf, "  %-9s %s\n", "found", result->died);
	}
}

static void print_directives(struct buf *buf, const struct repro *repro)
{
	if (repro->schedule.has_first)
		buf_printf(buf, "  %-9s task %u\n", "starts", repro->schedule.first);
	for (u32 i = 0; i < repro->schedule.nr_directives; i++) {
		buf_printf(buf, "  %-9s ", i ? "" : "deviates");
		directive_print(buf, &repro->program, &repro->schedule.directives[i]);
		buf_printf(buf, "\n");
	}
}

static bool rcu_ran(const struct recording *recording)
{
	for (u32 i = 0; i < recording->nr_steps; i++)
		if (recording->steps[i].task == TASK_RCU)
			return true;
	return false;
}

bool explain(struct buf *buf, const struct repro *repro)
{
	static struct recording *recording;
	struct page page = { .repro = repro };
	struct run_result result;
	struct run_spec spec;

	if (!recording)
		recording = recording_alloc();
	run_spec_of(&spec, repro);
	spec.recording = recording;
	run_isolated(&spec, &result, false);
	page.recording = recording;
	page.nr_columns = repro->program.nr_tasks + rcu_ran(recording);
	page.width = (u32)max_u64(100 / page.nr_columns, 24);
	print_head(buf, repro, &result);
	print_directives(buf, repro);
	if (result.unmet)
		buf_printf(buf, "  %-9s %s\n", "diverged", result.divergence);
	collect_lines(&page);
	if (result.kind == VERDICT_VIOLATION && result.verdict.task[0] != TASK_NONE)
		add_line(&page, result.verdict.task[0], 0, "  *** %s %s",
			 oracle_rows[result.verdict.oracle].name, result.verdict.class);
	print_columns(buf, &page);
	if (result.kind == VERDICT_VIOLATION && result.verdict.task[0] == TASK_NONE)
		buf_printf(buf, "\n  *** %s %s, when all tasks had ended\n",
			   oracle_rows[result.verdict.oracle].name, result.verdict.class);
	free(page.lines);
	return !result.unmet && !result.died[0];
}
