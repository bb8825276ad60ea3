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
	u8 task, rank;
	char text[LINE_BYTES];
};

struct page {
	struct line *lines;
	u32 nr, room;
	u32 width;
	const struct repro *repro;
	const struct recording *recording;
};

static __printf(4, 5) void add_line(struct page *page, u32 task, u32 rank, const char *fmt, ...)
{
	struct line *line;
	va_list args;

	if (task >= page->repro->program.nr_tasks)
		return;
	if (page->nr == page->room) {
		page->room = page->room ? page->room * 2 : 256;
		page->lines = realloc(page->lines, page->room * sizeof(*page->lines));
		ASSERT(page->lines);
	}
	line = &page->lines[page->nr++];
	line->task = (u8)task;
	line->rank = (u8)rank;
	va_start(args, fmt);
	vsnprintf(line->text, sizeof(line->text), fmt, args);
	va_end(args);
}

/* A guest table entry in words: EPT permissions in bits 0-2, the frame from bit 12 on. */
static const char *spte_words(char *text, size_t size, u64 spte)
{
	u64 pfn = (spte & (BIT_ULL(52) - 1)) >> 12;

	if (spte == SPTE_FROZEN)
		snprintf(text, size, "frozen");
	else if (!(spte & 7))
		snprintf(text, size, "none");
	else
		snprintf(text, size, "pfn %llu %s%s%s", (unsigned long long)pfn,
			 spte & 1 ? "r" : "", spte & 2 ? "w" : "", spte & 4 ? "x" : "");
	return text;
}

/* A host PTE in words: present in bit 0, writable in bit 1, migration entries in bit 58. */
static const char *host_pte_words(char *text, size_t size, u64 pte)
{
	u64 pfn = (pte & ~BIT_ULL(58)) >> 12;

	if (pte & BIT_ULL(58))
		snprintf(text, size, "migrating");
	else if (!(pte & 1))
		snprintf(text, size, "none");
	else
		snprintf(text, size, "pfn %llu r%s", (unsigned long long)pfn, pte & 2 ? "w" : "");
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
		add_line(page, event->head.task, 0, "  host PTE %#llx: %s -> %s", field[0],
			 host_pte_words(old, sizeof(old), field[1]),
			 host_pte_words(new, sizeof(new), field[2]));
}

/* How interesting an event is; more than RANK_MAX: never shown. */
static u32 rank_of(const struct recorded_event *event)
{
	switch (event->head.id) {
	case EVENT_fault_snapshot:
	case EVENT_fault_translated:
	case EVENT_fault_checked:
	case EVENT_fault_retried:
	case EVENT_invalidate_begun:
	case EVENT_invalidate_range_added:
	case EVENT_invalidate_ended:
	case EVENT_warned:
	case EVENT_dead_access:
	case EVENT_slept_in_atomic:
	case EVENT_walk_yielded:
		return 0;
	case EVENT_guest_accessed:
	case EVENT_tlb_filled:
	case EVENT_tlb_flushed:
	case EVENT_request_sent:
	case EVENT_frame_freed:
		return 1;
	case EVENT_notifier_start:
	case EVENT_notifier_end:
	case EVENT_fault_ended:
	case EVENT_walk_begun:
	case EVENT_frame_allocated:
		return 2;
	case EVENT_lock_acquired:
	case EVENT_lock_released:
		return event->fields[1] == LOCK_mmu_lock ? 1 : 3;
	default:
		return RANK_MAX + 1;
	}
}

static const char *const retry_words[RETRY_REASON_COUNT] = {
	[RETRY_BEFORE_GUP] = "before the translation",
	[RETRY_AFTER_GUP] = "after the translation",
	[RETRY_LOCKED] = "under mmu_lock",
	[RETRY_UNSET_RANGE] = "no range yet",
	[RETRY_OBSOLETE_ROOT] = "obsolete root",
	[RETRY_FROZEN] = "frozen entry",
	[RETRY_LOST_TABLE] = "lost the race for a table",
	[RETRY_LOST_LEAF] = "lost the race for the leaf",
	[RETRY_NO_TABLE] = "a table vanished",
};

/* The common events in words, the others as their fields. */
static void print_event(struct buf *buf, const struct recorded_event *event)
{
	const struct event_row *row = &event_rows[event->head.id];
	const unsigned long long *field = (const unsigned long long *)event->fields;

	switch (event->head.id) {
	case EVENT_fault_snapshot:
		buf_printf(buf, "snapshot: seq %llu", field[0]);
		return;
	case EVENT_fault_translated:
		buf_printf(buf, "gfn %#llx is pfn %lld %s", field[0], (long long)field[1],
			   field[2] ? "rw" : "r");
		return;
	case EVENT_fault_checked:
		buf_printf(buf, "check passed: seq %llu", field[1]);
		return;
	case EVENT_fault_retried:
		buf_printf(buf, "RETRY: %s",
			   field[1] < RETRY_REASON_COUNT ? retry_words[field[1]] : "?");
		return;
	case EVENT_invalidate_begun:
		buf_printf(buf, "invalidation begins");
		return;
	case EVENT_invalidate_range_added:
		buf_printf(buf, "adds gfns %#llx..%#llx", field[0], field[1]);
		return;
	case EVENT_invalidate_ended:
		buf_printf(buf, "invalidation ends");
		return;
	case EVENT_tlb_filled:
		buf_printf(buf, "TLB fill: gfn %#llx, pfn %llu", field[2], field[4]);
		return;
	case EVENT_guest_accessed:
		buf_printf(buf, "guest access: gfn %#llx, pfn %llu%s", field[1], field[2],
			   field[4] ? " (TLB)" : "");
		return;
	case EVENT_frame_freed:
		buf_printf(buf, "pfn %llu is freed", field[0]);
		return;
	default:
		buf_printf(buf, "%s:", row->name);
		for (u32 i = 0; i < row->nr_fields && strcmp(row->fields[i], "nothing"); i++)
			buf_printf(buf, " %s %#llx", row->fields[i], field[i]);
	}
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
		add_line(page, event->head.task, 1, "}");
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
		buf_printf(buf, "  %*s%.*s\n", (int)(line->task * page->width + indent), "",
			   (int)len, text);
		text += len;
		while (*text == ' ')
			text++;
		indent = 4;
	} while (*text);
}

static void print_columns(struct buf *buf, struct page *page)
{
	const struct program *program = &page->repro->program;
	u32 rank = RANK_MAX, shown = 0, total, last = TASK_NONE;

	while (rank && count_to_rank(page, rank) > LINES_WANTED)
		rank--;
	total = count_to_rank(page, rank);
	buf_printf(buf, "\n  ");
	for (u32 i = 0; i < program->nr_tasks; i++) {
		const struct task_program *task = &program->tasks[i];
		char head[40];

		if (task->kind == TASK_VCPU)
			snprintf(head, sizeof(head), "task %u (vcpu %u)", i, task->vcpu);
		else
			snprintf(head, sizeof(head), "task %u (%s)", i,
				 task_kind_names[task->kind]);
		buf_printf(buf, "%-*s", i + 1 < program->nr_tasks ? (int)page->width : 1, head);
	}
	buf_printf(buf, "\n");
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
		if (last != TASK_NONE && last != line->task)
			buf_printf(buf, "\n");
		last = line->task;
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
	if (task < program->nr_tasks)
		buf_printf(buf, "task %u at ", task);
	buf_printf(buf, "%s\n", site_text(verdict->site[nth]));
}

static void print_head(struct buf *buf, const struct repro *repro, const struct run_result *result)
{
	u32 depth = repro->schedule.nr_directives + repro->schedule.has_first;
	struct expectation actual;

	result_expectation(&actual, result);
	buf_printf(buf, "%s: ", repro->target);
	expectation_print(buf, &actual);
	buf_printf(buf, "\n\n  %-9s %s\n", "bug", bug_rows[repro->bug].slug);
	if (repro->why[0])
		buf_printf(buf, "  %-9s %s\n", "why", repro->why);
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
	page.width = (u32)max_u64(100 / repro->program.nr_tasks, 24);
	print_head(buf, repro, &result);
	print_directives(buf, repro);
	if (result.unmet)
		buf_printf(buf, "  %-9s %s\n", "diverged", result.divergence);
	collect_lines(&page);
	if (result.kind == VERDICT_VIOLATION && result.verdict.task[0] != TASK_NONE)
		add_line(&page, result.verdict.task[0], 0, "  *** %s %s",
			 oracle_rows[result.verdict.oracle].name, result.verdict.class);
	print_columns(buf, &page);
	free(page.lines);
	return !result.unmet && !result.died[0];
}
