/* Canonical text. */
#include <string.h>

#include "workload/workload_internal.h"

/* Free text on one line: what is no printable character becomes a blank, none stand at the ends. */
static void print_free(struct buf *buf, const char *text)
{
	size_t size = strlen(text);

	while (size && (u8)text[size - 1] <= ' ')
		size--;
	while (size && (u8)*text <= ' ') {
		text++;
		size--;
	}
	for (; size; size--, text++)
		buf_append(buf, (u8)*text < ' ' || *text == 0x7f ? " " : text, 1);
}

void variant_print(struct buf *buf, const struct mmu_variant *variant)
{
	const char *comma = "";

	if (!memcmp(variant, &variant_upstream, sizeof(*variant))) {
		buf_printf(buf, "upstream");
		return;
	}
	if (!memcmp(variant, &variant_default, sizeof(*variant))) {
		buf_printf(buf, "default");
		return;
	}
	for (u32 i = 0; i < KNOB_COUNT; i++) {
		const struct variant_row *row = &variant_rows[variant->knob[i]];

		if (variant->knob[i] == variant_default.knob[i])
			continue;
		buf_printf(buf, "%s%s=%s", comma, row->knob, row->value);
		comma = ",";
	}
}

/* "A..B", page numbers. */
static void print_range(struct buf *buf, u64 start, u64 end)
{
	buf_printf(buf, "0x%llx..0x%llx", (unsigned long long)start, (unsigned long long)end);
}

/* A line "as" stands where the address space is another than that of the slot before. */
static void print_slots(struct buf *buf, const struct world *world)
{
	u32 as_id = 0;

	for (u32 i = 0; i < world->nr_slots; i++) {
		const struct subject_slot *slot = &world->slots[i];

		if (slot->as_id != as_id)
			buf_printf(buf, "as        %u\n", slot->as_id);
		as_id = slot->as_id;
		buf_printf(buf, "slot %-5u", slot->id);
		print_range(buf, slot->start, slot->end);
		buf_printf(buf, " hva 0x%llx%s%s\n", (unsigned long long)slot->hva,
			   world->absent >> slot->id & 1 ? " absent" : "",
			   slot->logging ? " log" : "");
	}
}

static void print_world(struct buf *buf, const struct world *world)
{
	buf_printf(buf, "geometry  %u\n", world->geometry);
	if (world->levels != WORLD_LEVELS_DEFAULT)
		buf_printf(buf, "levels    %u\n", world->levels);
	buf_printf(buf, "variant   ");
	variant_print(buf, &world->variant);
	buf_printf(buf, "\n");
	if (world->seq)
		buf_printf(buf, "seq       %llu\n", (unsigned long long)world->seq);
	if (world->dirty_mode != DIRTY_LOG_BITMAP)
		buf_printf(buf, "dirty     %s\n", dirty_mode_words[world->dirty_mode]);
	print_slots(buf, world);
	for (u32 i = 0; i < world->nr_maps; i++) {
		const struct map_line *map = &world->maps[i];

		buf_printf(buf, "map       ");
		print_range(buf, map->start, map->end);
		buf_printf(buf, " order %u%s\n", map->order, map->read_only ? " ro" : "");
	}
	for (u32 i = 0; subscriber_names[i]; i++)
		if (world->subscribers >> i & 1)
			buf_printf(buf, "subscriber %s\n", subscriber_names[i]);
	if (world->points_max != world_points_default(world->geometry))
		buf_printf(buf, "limit     points %llu\n", (unsigned long long)world->points_max);
}

/* Fields from the left, "-" for an empty one that others follow. */
static void print_expectation(struct buf *buf, const struct expectation *expect)
{
	bool second = expect->site[1][0], first = expect->site[0][0] || second;

	if (!expect->oracle[0] || !strcmp(expect->oracle, "none")) {
		buf_printf(buf, "expect    none\n");
		return;
	}
	buf_printf(buf, "expect    %s", expect->oracle);
	if (expect->class[0] || first)
		buf_printf(buf, " %s", expect->class[0] ? expect->class : "-");
	if (first)
		buf_printf(buf, "  %s", expect->site[0][0] ? expect->site[0] : "-");
	if (second)
		buf_printf(buf, " / %s", expect->site[1]);
	buf_printf(buf, "\n");
}

static void print_head(struct buf *buf, const struct repro *repro)
{
	buf_printf(buf, "repro 1\n");
	buf_printf(buf, "target    %s\n", repro->target);
	print_world(buf, &repro->program.world);
	if (repro->bug != BUG_none)
		buf_printf(buf, "bug       %s\n", bug_rows[repro->bug].slug);
	print_expectation(buf, &repro->expect);
	for (u32 i = 0; forbid_words[i]; i++)
		if (repro->forbidden >> i & 1)
			buf_printf(buf, "forbid    %s\n", forbid_words[i]);
	if (repro->why[0]) {
		buf_printf(buf, "why       ");
		print_free(buf, repro->why);
		buf_printf(buf, "\n");
	}
	if (repro->fix[0]) {
		buf_printf(buf, "fix       ");
		print_free(buf, repro->fix);
		buf_printf(buf, "\n");
	}
}

void op_print(struct buf *buf, const struct op *op)
{
	const struct op_form *form = op_form(op);

	buf_printf(buf, "%s", op_rows[op->id].name);
	if (form->accesses)
		buf_printf(buf, " %c", access_letters[op->access]);
	if (form->slot)
		buf_printf(buf, " %u", op->slot);
	if (form->page == OP_PAGE_NONE)
		return;
	buf_printf(buf, " ");
	if (form->range)
		print_range(buf, op->start, op->end);
	else
		buf_printf(buf, "0x%llx", (unsigned long long)op->start);
}

void task_print(struct buf *buf, u32 task)
{
	if (task == TASK_RCU)
		buf_printf(buf, "rcu0");
	else
		buf_printf(buf, "%u", task);
}

/* "task N vcpu K", "task N notifier" or "task N vm". */
static void print_task_head(struct buf *buf, u32 nr, const struct task_program *task)
{
	buf_printf(buf, "task %u %s", nr, task_kind_names[task->kind]);
	if (task->kind == TASK_VCPU)
		buf_printf(buf, " %u", task->vcpu);
}

static void print_tasks(struct buf *buf, const struct program *program)
{
	struct buf head = { 0 };
	int width = 0;

	for (u32 i = 0; i < program->nr_tasks; i++) {
		buf_clear(&head);
		print_task_head(&head, i, &program->tasks[i]);
		width = (int)max_u64((u64)width, head.size);
	}
	for (u32 i = 0; i < program->nr_tasks; i++) {
		const struct task_program *task = &program->tasks[i];

		buf_clear(&head);
		print_task_head(&head, i, task);
		buf_printf(buf, "%-*s  {", width, buf_text(&head));
		for (u32 j = 0; j < task->nr_ops; j++) {
			buf_printf(buf, j ? "; " : " ");
			op_print(buf, &task->ops[j]);
		}
		buf_printf(buf, " }\n");
	}
	buf_free(&head);
}

/* The op's name, and which of that name it is in its task, from 1. */
static void print_op_name(struct buf *buf, const struct task_program *task, u32 nr)
{
	u32 nth = 0;

	for (u32 i = 0; i <= nr; i++)
		nth += task->ops[i].id == task->ops[nr].id;
	buf_printf(buf, "%s#%u", op_rows[task->ops[nr].id].name, nth);
}

static void print_site(struct buf *buf, const struct site_ref *site)
{
	buf_printf(buf, " %s#%u", site->text, site->occurrence ? site->occurrence : 1);
}

void directive_print(struct buf *buf, const struct program *program,
		     const struct directive *directive)
{
	buf_printf(buf, "at ");
	task_print(buf, directive->task);
	buf_printf(buf, " ");
	if (directive->task == TASK_RCU)
		buf_printf(buf, "callback#%u", directive->op + 1);
	else
		print_op_name(buf, &program->tasks[directive->task], directive->op);
	if (directive->place == AT_START)
		buf_printf(buf, " start");
	else if (directive->place == AT_END)
		buf_printf(buf, " end");
	else if (directive->site.text[0])
		print_site(buf, &directive->site);
	if (directive->ordinal)
		buf_printf(buf, " ~%u", directive->ordinal);
	switch (directive->action) {
	case DO_SWITCH:
		buf_printf(buf, "   switch ");
		task_print(buf, directive->to);
		break;
	case DO_UNTIL:
		buf_printf(buf, "   until ");
		task_print(buf, directive->to);
		print_site(buf, &directive->until);
		break;
	case DO_ANSWER:
		buf_printf(buf, "   answer %llu", (unsigned long long)directive->answer);
		break;
	}
}

static void print_schedule(struct buf *buf, const struct program *program,
			   const struct schedule *schedule)
{
	if (!schedule->strategy[0] && !schedule->has_first && !schedule->nr_directives)
		return;
	buf_printf(buf, "\n");
	if (schedule->strategy[0])
		buf_printf(buf, "strategy %s seed %llu\n", schedule->strategy,
			   (unsigned long long)schedule->seed);
	if (schedule->has_first)
		buf_printf(buf, "start %u\n", schedule->first);
	for (u32 i = 0; i < schedule->nr_directives; i++) {
		directive_print(buf, program, &schedule->directives[i]);
		buf_printf(buf, "\n");
	}
}

void repro_print(struct buf *buf, const struct repro *repro)
{
	print_head(buf, repro);
	buf_printf(buf, "\n");
	print_tasks(buf, &repro->program);
	print_schedule(buf, &repro->program, &repro->schedule);
}
