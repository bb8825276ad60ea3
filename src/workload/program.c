/*
 * The tables of ops and words, and what makes a program sound.
 */
#include <string.h>

#include "workload/workload_internal.h"

const struct op_row op_rows[OP_COUNT] = {
#define OP(name_, args_, kind_, needs_, what_)    \
	[OP_##name_] = { .name = #name_,          \
			 .what = what_,           \
			 .args = OP_ARGS_##args_, \
			 .kind = TASK_##kind_,    \
			 .needs = NEEDS_##needs_ },
#include "workload/ops.def"
#undef OP
};

const struct op_form op_forms[OP_ARGS_COUNT] = {
	[OP_ARGS_NONE] = { .words = "none" },
	[OP_ARGS_GFN] = { .words = "GFN", .page = OP_PAGE_GFN },
	[OP_ARGS_ACCESS_GFN] = { .words = "r|w|x GFN",
				 .accesses = ACCESS_COUNT,
				 .page = OP_PAGE_GFN },
	[OP_ARGS_GFN_RANGE] = { .words = "GFN..GFN", .page = OP_PAGE_GFN, .range = true },
	[OP_ARGS_HVA] = { .words = "HVA", .page = OP_PAGE_HVA },
	[OP_ARGS_HVA_RANGE] = { .words = "HVA..HVA", .page = OP_PAGE_HVA, .range = true },
	[OP_ARGS_PROT_HVA_RANGE] = { .words = "r|w HVA..HVA",
				     .accesses = ACCESS_WRITE + 1,
				     .page = OP_PAGE_HVA,
				     .range = true },
	[OP_ARGS_SLOT] = { .words = "SLOT", .slot = true },
	[OP_ARGS_SLOT_GFN] = { .words = "SLOT GFN", .slot = true, .page = OP_PAGE_GFN },
	[OP_ARGS_SLOT_GFN_RANGE] = { .words = "SLOT GFN..GFN",
				     .slot = true,
				     .page = OP_PAGE_GFN,
				     .range = true,
				     .in_slot = true },
};

const char *const task_kind_names[TASK_KIND_COUNT] = { "vcpu", "notifier", "vm" };
const char *const subscriber_names[] = { "driver", "counter", NULL };
_Static_assert(ARRAY_SIZE(subscriber_names) == SUBSCRIBER_COUNT + 1,
	       "one word for each subscriber");
const char *const dirty_mode_words[DIRTY_LOG_MODE_COUNT] = {
	[DIRTY_LOG_BITMAP] = "bitmap",
	[DIRTY_LOG_MANUAL] = "manual",
	[DIRTY_LOG_INITIALLY_SET] = "initially_set",
	[DIRTY_LOG_RING] = "ring",
};
const char access_letters[ACCESS_COUNT] = { 'r', 'w', 'x' };

/* In the order of the oracles' classes of retry. One without a cause needs no line: it is wrong. */
const char *const forbid_words[] = { "true", "hull", "seq", "race", "slot", "root", "other", NULL };

#define flaw_is(flaw, part_, nr_, sub_, ...)                       \
	({                                                         \
		if (flaw) {                                        \
			struct buf text_ = { 0 };                  \
			buf_printf(&text_, __VA_ARGS__);           \
			flaw_fill(flaw, part_, nr_, sub_, &text_); \
		}                                                  \
		false;                                             \
	})

void text_copy(char *to, size_t room, const char *from, size_t size)
{
	if (size > room - 1)
		size = room - 1;
	if (size)
		memcpy(to, from, size);
	to[size] = 0;
}

static void flaw_fill(struct flaw *flaw, enum flaw_part part, u32 nr, u32 sub, struct buf *text)
{
	flaw->part = part;
	flaw->nr = nr;
	flaw->sub = sub;
	text_copy(flaw->message, sizeof(flaw->message), text->data, text->size);
	buf_free(text);
}

void world_clear(struct world *world, const struct mmu_variant *variant)
{
	memset(world, 0, sizeof(*world));
	world->geometry = PT_INDEX_BITS;
	world->levels = WORLD_LEVELS_DEFAULT;
	world->points_max = world_points_default(PT_INDEX_BITS);
	world->variant = *variant;
}

u64 world_gfns(const struct world *world)
{
	u32 bits = world->geometry * world->levels;

	/* Binary inputs have 32 bits for a gfn. */
	return BIT_ULL(bits < 32 ? bits : 32);
}

const struct subject_slot *world_slot(const struct world *world, u32 id)
{
	for (u32 i = 0; i < world->nr_slots; i++)
		if (world->slots[i].id == id)
			return &world->slots[i];
	return NULL;
}

static bool variant_sound(const struct mmu_variant *variant)
{
	for (u32 i = 0; i < KNOB_COUNT; i++)
		if (variant->knob[i] >= KNOB_VALUE_COUNT ||
		    variant_rows[variant->knob[i]].knob_id != i)
			return false;
	return true;
}

/* @flaw may be NULL. */
static bool variant_check(const struct mmu_variant *variant, struct flaw *flaw)
{
	const struct variant_row *rows = variant_rows;
	const char *why;
	u32 one, other;

	if (!variant_sound(variant))
		return flaw_is(flaw, FLAW_WORLD, 0, 0, "a knob of the variant has no such value");
	why = variant_conflict(variant, &one, &other);
	return !why || flaw_is(flaw, FLAW_WORLD, 0, 0, "%s=%s excludes %s=%s: %s", rows[one].knob,
			       rows[one].value, rows[other].knob, rows[other].value, why);
}

bool world_check(const struct world *world, struct flaw *flaw)
{
	if (world->geometry < WORLD_GEOMETRY_MIN || world->geometry > WORLD_GEOMETRY_MAX)
		return flaw_is(flaw, FLAW_WORLD, 0, 0,
			       "expected a geometry from %u to %u, found %u", WORLD_GEOMETRY_MIN,
			       WORLD_GEOMETRY_MAX, world->geometry);
	if (world->levels < 2 || world->levels > PT_LEVEL_MAX)
		return flaw_is(flaw, FLAW_WORLD, 0, 0, "expected 2 to %u levels, found %u",
			       PT_LEVEL_MAX, world->levels);
	if (world->seq > WORLD_SEQ_MAX)
		return flaw_is(flaw, FLAW_WORLD, 0, 0,
			       "expected a sequence number below 2^56, found %llu",
			       (unsigned long long)world->seq);
	if (!world->points_max || world->points_max > WORLD_POINTS_MAX_MAX)
		return flaw_is(flaw, FLAW_WORLD, 0, 0,
			       "expected a limit of 1 to %u points, found %llu",
			       WORLD_POINTS_MAX_MAX, (unsigned long long)world->points_max);
	if (!variant_check(&world->variant, flaw))
		return false;
	if (world->subscribers >> SUBSCRIBER_COUNT)
		return flaw_is(flaw, FLAW_WORLD, 0, 0, "there is no such subscriber");
	if (world->dirty_mode >= DIRTY_LOG_MODE_COUNT)
		return flaw_is(flaw, FLAW_WORLD, 0, 0, "there is no such mode of dirty logs");
	if (world->nr_slots > SLOTS_MAX || world->nr_maps > MAPS_MAX)
		return flaw_is(flaw, FLAW_WORLD, 0, 0,
			       "expected at most %u slots and %u maps, found %u and %u", SLOTS_MAX,
			       MAPS_MAX, world->nr_slots, world->nr_maps);
	return true;
}

static bool slot_in_range(const struct world *world, u32 nr, struct flaw *flaw)
{
	const struct subject_slot *slot = &world->slots[nr];

	if (slot->start >= slot->end)
		return flaw_is(flaw, FLAW_SLOT, nr, 0, "expected gfns A..B with A below B");
	if (slot->end > world_gfns(world))
		return flaw_is(flaw, FLAW_SLOT, nr, 0,
			       "expected gfns up to 0x%llx (%u levels), found 0x%llx",
			       (unsigned long long)world_gfns(world), world->levels,
			       (unsigned long long)slot->end);
	if (slot->hva >= HVA_MAX || slot->end - slot->start > HVA_MAX - slot->hva)
		return flaw_is(flaw, FLAW_SLOT, nr, 0,
			       "expected hvas below 0x%x, but the slot's go from 0x%llx to 0x%llx",
			       HVA_MAX, (unsigned long long)slot->hva,
			       (unsigned long long)(slot->hva + (slot->end - slot->start)));
	return true;
}

bool slot_check(const struct world *world, u32 nr, struct flaw *flaw)
{
	const struct subject_slot *slot = &world->slots[nr];

	if (slot->id >= SLOTS_MAX)
		return flaw_is(flaw, FLAW_SLOT, nr, 0, "expected a slot from 0 to %u, found %u",
			       SLOTS_MAX - 1, slot->id);
	if (slot->as_id >= AS_MAX)
		return flaw_is(flaw, FLAW_SLOT, nr, 0,
			       "expected an address space from 0 to %u, found %u", AS_MAX - 1,
			       slot->as_id);
	if (!slot_in_range(world, nr, flaw))
		return false;
	for (u32 i = 0; i < nr; i++) {
		const struct subject_slot *other = &world->slots[i];

		if (other->id == slot->id)
			return flaw_is(flaw, FLAW_SLOT, nr, 0,
				       "there is a slot %u already (slots of all address spaces "
				       "count as one)",
				       slot->id);
		if (slot->as_id == other->as_id && slot->start < other->end &&
		    other->start < slot->end)
			return flaw_is(flaw, FLAW_SLOT, nr, 0,
				       "the gfns of slot %u overlap those of slot %u", slot->id,
				       other->id);
	}
	return true;
}

bool map_check(const struct world *world, u32 nr, struct flaw *flaw)
{
	const struct map_line *map = &world->maps[nr];

	if (map->start >= map->end)
		return flaw_is(flaw, FLAW_MAP, nr, 0, "expected hvas A..B with A below B");
	if (map->end > HVA_MAX)
		return flaw_is(flaw, FLAW_MAP, nr, 0, "expected hvas up to 0x%x, found 0x%llx",
			       HVA_MAX, (unsigned long long)map->end);
	if (!order_level(world, map->order))
		return flaw_is(flaw, FLAW_MAP, nr, 0,
			       "expected order 0, %u or %u (the geometry once or twice), found %u",
			       world->geometry, 2 * world->geometry, map->order);
	if (map->order && map->read_only)
		return flaw_is(flaw, FLAW_MAP, nr, 0,
			       "expected order 0 for read-only pages, found %u: they are mapped "
			       "one by one",
			       map->order);
	for (u32 i = 0; i < nr; i++)
		if (map->start < world->maps[i].end && world->maps[i].start < map->end)
			return flaw_is(flaw, FLAW_MAP, nr, 0,
				       "these hvas overlap those mapped from 0x%llx",
				       (unsigned long long)world->maps[i].start);
	return true;
}

bool task_check(const struct program *program, u32 nr, struct flaw *flaw)
{
	const struct task_program *task = &program->tasks[nr];

	if (task->kind >= TASK_KIND_COUNT)
		return flaw_is(flaw, FLAW_TASK, nr, 0, "task %u is of no known kind", nr);
	if (!task->nr_ops || task->nr_ops > OPS_MAX)
		return flaw_is(flaw, FLAW_TASK, nr, 0, "expected 1 to %u ops, found %u", OPS_MAX,
			       task->nr_ops);
	if (task->kind != TASK_VCPU)
		return true;
	if (task->vcpu >= VCPUS_MAX)
		return flaw_is(flaw, FLAW_TASK, nr, 0, "expected a vCPU from 0 to %u, found %u",
			       VCPUS_MAX - 1, task->vcpu);
	for (u32 i = 0; i < nr; i++)
		if (program->tasks[i].kind == TASK_VCPU && program->tasks[i].vcpu == task->vcpu)
			return flaw_is(flaw, FLAW_TASK, nr, 0, "vCPU %u is that of task %u already",
				       task->vcpu, i);
	return true;
}

static bool op_in_slot(const struct world *world, const struct op *op)
{
	const struct subject_slot *slot = world_slot(world, op->slot);

	return op->start >= slot->start && op->start < op->end && op->end <= slot->end;
}

bool op_check(const struct program *program, u32 task_nr, u32 nr, struct flaw *flaw)
{
	const struct task_program *task = &program->tasks[task_nr];
	const struct op *op = &task->ops[nr];
	const struct op_form *form;
	u64 limit = HVA_MAX;

	if (op->id >= OP_COUNT)
		return flaw_is(flaw, FLAW_OP, task_nr, nr, "there is no such op");
	if (op_rows[op->id].kind != task->kind)
		return flaw_is(flaw, FLAW_OP, task_nr, nr,
			       "'%s' is an op of a %s task, but this is a %s task",
			       op_rows[op->id].name, task_kind_names[op_rows[op->id].kind],
			       task_kind_names[task->kind]);
	form = op_form(op);
	if (op->access && op->access >= form->accesses)
		return flaw_is(flaw, FLAW_OP, task_nr, nr,
			       form->accesses == ACCESS_COUNT ? "expected r, w or x"
							      : "expected r or w");
	if (form->slot && !world_slot(&program->world, op->slot))
		return flaw_is(flaw, FLAW_OP, task_nr, nr, "there is no slot %u", op->slot);
	if (form->page == OP_PAGE_NONE)
		return true;
	if (form->in_slot && !op_in_slot(&program->world, op))
		return flaw_is(flaw, FLAW_OP, task_nr, nr,
			       "expected gfns A..B of slot %u, A below B, found 0x%llx..0x%llx",
			       op->slot, (unsigned long long)op->start,
			       (unsigned long long)op->end);
	if (form->page == OP_PAGE_GFN)
		limit = world_gfns(&program->world);
	if (op->start >= limit || op->end > limit)
		return flaw_is(flaw, FLAW_OP, task_nr, nr, "expected %s below 0x%llx, found 0x%llx",
			       form->page == OP_PAGE_HVA ? "hvas"
			       : form->range		 ? "gfns"
							 : "a gfn",
			       (unsigned long long)limit,
			       (unsigned long long)max_u64(op->start, op->end));
	if (form->range && op->start >= op->end)
		return flaw_is(flaw, FLAW_OP, task_nr, nr, "expected %s A..B with A below B",
			       form->page == OP_PAGE_HVA ? "hvas" : "gfns");
	return true;
}

/* Pages of host page tables that a range of @nr_pages may need. */
static u64 host_tables(u64 nr_pages)
{
	return nr_pages / PT_ENTRIES + 2;
}

/*
 * A page that is mapped read-only has a sharer, who keeps it when it is copied. A run of pages for a huge
 * leaf needs room to begin at a multiple of its size; its tables are counted for when it is split.
 */
u64 map_pages(const struct map_line *map)
{
	u64 nr_pages = map->end - map->start, room = BIT_ULL(map->order) - 1;

	return (map->read_only ? 2 * nr_pages : nr_pages) + host_tables(nr_pages) +
	       (room < nr_pages ? room : 0);
}

/* Whether the host may come to map huge pages. */
static bool world_has_huge(const struct world *world)
{
	for (u32 i = 0; i < world->nr_maps; i++)
		if (world->maps[i].order)
			return true;
	return false;
}

/* Tables that all huge leafs of a memslot take when they are split. */
static u64 split_tables(const struct world *world, u32 id)
{
	const struct subject_slot *slot = world_slot(world, id);

	if (!slot || !world_has_huge(world))
		return 0;
	return (slot->end - slot->start) / (PT_ENTRIES - 1) + 2;
}

/* On the way to the first of @nr_pages, and behind it: one more at each boundary of each level. */
static u64 prefault_tables(const struct world *world, u64 nr_pages)
{
	return nr_pages > 1 ? 2 * world->levels + nr_pages / (PT_ENTRIES - 1) : world->levels;
}

/*
 * A fault links at most one table a level, the root included. Each write protection lets every page of
 * its range be copied once more while the sharers keep the old one. A memslot change publishes copies of
 * the set of slots, and each that takes the old place away may zap all roots. Where huge leafs are mapped,
 * whoever starts to log a memslot, or clears its log, splits them; what puts huge leafs back frees the
 * tables late, too.
 */
void tally_op(struct page_tally *tally, const struct world *world, const struct op *op)
{
	switch (op->id) {
	case OP_fault:
	case OP_touch:
	case OP_smm:
		tally->tables += world->levels;
		break;
	case OP_prefault:
		tally->tables += prefault_tables(world, op->end - op->start);
		break;
	case OP_collapse:
		/* A run of pages with the room to begin it, and the table that a split of it takes. */
		tally->pages += 2 * PT_PAGES(PT_LEVEL_2M) + host_tables(0);
		tally->zaps++;
		break;
	case OP_populate:
		tally->pages += op->end - op->start + host_tables(op->end - op->start);
		break;
	case OP_wrprotect:
		tally->pages += op->end - op->start;
		break;
	case OP_migrate:
	case OP_reclaim:
		tally->pages++;
		break;
	case OP_slot_flags:
		tally->tables += split_tables(world, op->slot);
		tally->pages += 2;
		tally->zaps++;
		break;
	case OP_slot_delete:
	case OP_slot_move:
		tally->pages += 2;
		tally->zaps++;
		break;
	case OP_dirty_clear:
	case OP_dirty_clear_blind:
		tally->tables += split_tables(world, op->slot);
		break;
	case OP_slot_create:
		tally->pages += 2;
		break;
	case OP_zap_all:
	case OP_nx_recovery:
		tally->zaps++;
		break;
	default:
		break;
	}
}

u64 tally_pages(const struct page_tally *tally)
{
	return tally->pages + tally->tables * (1 + tally->zaps);
}

u64 program_pages(const struct program *program)
{
	struct page_tally tally = { .pages = 1 }; /* the root */

	for (u32 i = 0; i < program->world.nr_maps; i++)
		tally.pages += map_pages(&program->world.maps[i]);
	for (u32 i = 0; i < program->nr_tasks; i++)
		for (u32 j = 0; j < program->tasks[i].nr_ops; j++)
			tally_op(&tally, &program->world, &program->tasks[i].ops[j]);
	return tally_pages(&tally);
}

bool program_clears_blindly(const struct program *program)
{
	for (u32 i = 0; i < program->nr_tasks; i++)
		for (u32 j = 0; j < program->tasks[i].nr_ops; j++)
			if (program->tasks[i].ops[j].id == OP_dirty_clear_blind)
				return true;
	return false;
}

static bool tasks_check(const struct program *program, struct flaw *flaw)
{
	if (!program->nr_tasks || program->nr_tasks > PROGRAM_TASKS_MAX)
		return flaw_is(flaw, FLAW_WORLD, 0, 0, "expected 1 to %u tasks, found %u",
			       PROGRAM_TASKS_MAX, program->nr_tasks);
	for (u32 i = 0; i < program->nr_tasks; i++) {
		if (!task_check(program, i, flaw))
			return false;
		for (u32 j = 0; j < program->tasks[i].nr_ops; j++)
			if (!op_check(program, i, j, flaw))
				return false;
	}
	return true;
}

bool program_check(const struct program *program, struct flaw *flaw)
{
	const struct world *world = &program->world;

	if (!world_check(world, flaw))
		return false;
	for (u32 i = 0; i < world->nr_slots; i++)
		if (!slot_check(world, i, flaw))
			return false;
	for (u32 i = 0; i < world->nr_maps; i++)
		if (!map_check(world, i, flaw))
			return false;
	if (!tasks_check(program, flaw))
		return false;
	if (program_pages(program) > PROGRAM_PAGES_MAX)
		return flaw_is(flaw, FLAW_WORLD, 0, 0,
			       "the program may need %llu pages, and there are %u: map, populate, "
			       "write-protect or zap less",
			       (unsigned long long)program_pages(program), PROGRAM_PAGES_MAX);
	return true;
}

static bool task_exists(const struct program *program, u32 task)
{
	return task < program->nr_tasks || task == TASK_RCU;
}

bool directive_check(const struct program *program, const struct schedule *schedule, u32 nr,
		     struct flaw *flaw)
{
	const struct directive *directive = &schedule->directives[nr];

	if (!task_exists(program, directive->task))
		return flaw_is(flaw, FLAW_DIRECTIVE, nr, 0, "there is no task %u", directive->task);
	if (directive->task != TASK_RCU && directive->op >= program->tasks[directive->task].nr_ops)
		return flaw_is(flaw, FLAW_DIRECTIVE, nr, 0, "task %u has no such op",
			       directive->task);
	if (directive->action != DO_ANSWER && !task_exists(program, directive->to))
		return flaw_is(flaw, FLAW_DIRECTIVE, nr, 0, "there is no task %u", directive->to);
	if (directive->place == AT_SITE && !directive->site.text[0] && !directive->ordinal)
		return flaw_is(flaw, FLAW_DIRECTIVE, nr, 0, "expected a site, an ordinal or both");
	if (directive->action == DO_UNTIL && !directive->until.text[0])
		return flaw_is(flaw, FLAW_DIRECTIVE, nr, 0, "expected a site to wait for");
	if (directive->action == DO_ANSWER && directive->place != AT_SITE)
		return flaw_is(flaw, FLAW_DIRECTIVE, nr, 0,
			       "nothing is asked at the start or end of an op");
	if (directive->action == DO_ANSWER && directive->answer > ANSWER_MAX)
		return flaw_is(flaw, FLAW_DIRECTIVE, nr, 0, "expected an answer up to %u",
			       ANSWER_MAX);
	return true;
}

bool schedule_check(const struct program *program, const struct schedule *schedule,
		    struct flaw *flaw)
{
	if (schedule->has_first && schedule->first == TASK_RCU)
		return flaw_is(flaw, FLAW_START, 0, 0,
			       "rcu0 has nothing to run when a schedule starts");
	if (schedule->has_first && schedule->first >= program->nr_tasks)
		return flaw_is(flaw, FLAW_START, 0, 0, "there is no task %u", schedule->first);
	if (schedule->nr_directives > DIRECTIVES_MAX)
		return flaw_is(flaw, FLAW_WORLD, 0, 0, "expected at most %u directives, found %u",
			       DIRECTIVES_MAX, schedule->nr_directives);
	for (u32 i = 0; i < schedule->nr_directives; i++)
		if (!directive_check(program, schedule, i, flaw))
			return false;
	return true;
}

/* For callers that have no text to point into. */
static void flaw_tell(const struct flaw *flaw, struct text_error *error)
{
	static const char *const parts[] = { NULL, "slot", "map", "task", "op", NULL, "directive" };
	struct buf text = { 0 };

	if (flaw->part == FLAW_OP)
		buf_printf(&text, "task %u op %u: ", flaw->nr, flaw->sub);
	else if (parts[flaw->part])
		buf_printf(&text, "%s %u: ", parts[flaw->part], flaw->nr);
	buf_printf(&text, "%s", flaw->message);
	error->line = error->column = 0;
	text_copy(error->message, sizeof(error->message), text.data, text.size);
	buf_free(&text);
}

bool program_valid(const struct program *program, struct text_error *error)
{
	struct flaw flaw;

	if (program_check(program, error ? &flaw : NULL))
		return true;
	if (error)
		flaw_tell(&flaw, error);
	return false;
}

bool schedule_valid(const struct program *program, const struct schedule *schedule,
		    struct text_error *error)
{
	struct flaw flaw;

	if (schedule_check(program, schedule, error ? &flaw : NULL))
		return true;
	if (error)
		flaw_tell(&flaw, error);
	return false;
}
