/*
 * Any values become a sound program: for the decoder, which must take every byte string, and the
 * generator, which must not depend on what a target asks for.
 */
#include <string.h>

#include "workload/workload_internal.h"

static void repair_scalars(struct world *world)
{
	world->geometry = PT_INDEX_BITS;
	if (world->levels < 2 || world->levels > PT_LEVEL_MAX)
		world->levels = 2 + world->levels % (PT_LEVEL_MAX - 1);
	world->seq &= WORLD_SEQ_MAX;
	world->subscribers &= BIT_ULL(SUBSCRIBER_COUNT) - 1;
	world->dirty_mode %= DIRTY_LOG_MODE_COUNT;
	if (!world->points_max || world->points_max > WORLD_POINTS_MAX_MAX)
		world->points_max = world_points_default(PT_INDEX_BITS);
}

/* Makes the slot fit into guest and host; whether it collides is seen later. */
static void slot_fold(const struct world *world, struct subject_slot *slot)
{
	u64 gfns = world_gfns(world), nr_pages = slot->end - slot->start;

	slot->as_id %= AS_MAX;
	slot->id %= SLOTS_MAX;
	slot->hva %= HVA_MAX;
	slot->start %= gfns;
	nr_pages = min_u64(nr_pages, HVA_MAX - slot->hva);
	slot->end = slot->start + min_u64(nr_pages, gfns - slot->start);
}

static void repair_slots(struct world *world)
{
	u32 nr = world->nr_slots, absent = world->absent;

	world->nr_slots = world->absent = 0;
	for (u32 i = 0; i < nr; i++) {
		struct subject_slot slot = world->slots[i];

		slot_fold(world, &slot);
		world->slots[world->nr_slots] = slot;
		if (!slot_check(world, world->nr_slots, NULL))
			continue;
		world->nr_slots++;
		world->absent |= absent & 1u << slot.id;
	}
}

/* Return: pages of what is left. */
static u64 repair_maps(struct world *world)
{
	u32 nr = world->nr_maps;
	u64 pages = 0;

	world->nr_maps = 0;
	for (u32 i = 0; i < nr; i++) {
		struct map_line map = world->maps[i];

		if (map.read_only || !order_level(world, map.order))
			map.order = 0;
		map.end = min_u64(map.end, HVA_MAX);
		world->maps[world->nr_maps] = map;
		if (!map_check(world, world->nr_maps, NULL) ||
		    pages + map_pages(&map) >= PROGRAM_PAGES_MAX)
			continue;
		pages += map_pages(&map);
		world->nr_maps++;
	}
	return pages;
}

/* A gfn that the root does not reach stands for a page of a slot. */
static gfn_t gfn_fold(const struct world *world, gfn_t gfn)
{
	const struct subject_slot *slot;

	if (gfn < world_gfns(world))
		return gfn;
	if (!world->nr_slots)
		return gfn % world_gfns(world);
	slot = &world->slots[gfn % world->nr_slots];
	return slot->start + gfn / world->nr_slots % (slot->end - slot->start);
}

/* An hva out of range stands for one behind a slot. */
static hva_t hva_fold(const struct world *world, hva_t hva)
{
	const struct subject_slot *slot;

	if (hva < HVA_MAX)
		return hva;
	if (!world->nr_slots)
		return hva % HVA_MAX;
	slot = &world->slots[hva % world->nr_slots];
	return slot->hva + hva / world->nr_slots % (slot->end - slot->start);
}

static u8 op_of_kind(u32 id, u8 kind)
{
	u32 nr = 0;

	for (u32 i = 0; i < OP_COUNT; i++)
		nr += op_rows[i].kind == kind;
	id %= nr;
	for (u32 i = 0;; i++)
		if (op_rows[i].kind == kind && !id--)
			return (u8)i;
}

static u8 slot_fold_ref(const struct world *world, u8 id)
{
	if (world_slot(world, id) || !world->nr_slots)
		return id;
	return (u8)world->slots[id % world->nr_slots].id;
}

/* A range of the slot: its size stays if it can. An op on a slot that is not there is left out later. */
static void range_fold(const struct world *world, struct op *op)
{
	const struct subject_slot *slot = world_slot(world, op->slot);
	u64 nr_pages = op->end - op->start, size;

	if (!slot)
		return;
	size = slot->end - slot->start;
	if (op->start < slot->start || op->start >= slot->end)
		op->start = slot->start + op->start % size;
	op->end = op->start + min_u64(nr_pages ? nr_pages : 1, slot->end - op->start);
}

static void op_fold(const struct world *world, u8 kind, struct op *op)
{
	u64 nr_pages = op->end - op->start, limit = HVA_MAX;
	const struct op_form *form;

	if (op->id >= OP_COUNT || op_rows[op->id].kind != kind)
		op->id = op_of_kind(op->id, kind);
	form = op_form(op);
	op->access = form->accesses ? op->access % form->accesses : 0;
	op->slot = form->slot ? slot_fold_ref(world, op->slot) : 0;
	if (form->in_slot) {
		range_fold(world, op);
		return;
	}
	op->end = 0;
	if (form->page == OP_PAGE_NONE) {
		op->start = 0;
	} else if (form->page == OP_PAGE_GFN) {
		op->start = gfn_fold(world, op->start);
		limit = world_gfns(world);
	} else {
		op->start = hva_fold(world, op->start);
	}
	if (form->range) {
		/* Nobody means a range beyond everything: a few pages say more. */
		nr_pages = nr_pages && nr_pages <= HVA_MAX ? nr_pages : 1 + nr_pages % 8;
		op->end = min_u64(op->start + nr_pages, limit);
	}
}

static void repair_ops(struct program *program, u32 task_nr, struct page_tally *tally)
{
	struct task_program *task = &program->tasks[task_nr];
	u32 nr = task->nr_ops < OPS_MAX ? task->nr_ops : OPS_MAX;

	task->nr_ops = 0;
	for (u32 i = 0; i < nr; i++) {
		struct page_tally with = *tally;

		op_fold(&program->world, task->kind, &task->ops[i]);
		task->ops[task->nr_ops] = task->ops[i];
		tally_op(&with, &program->world, &task->ops[i]);
		/* An op on a slot cannot be folded where there is none. */
		if (tally_pages(&with) > PROGRAM_PAGES_MAX ||
		    !op_check(program, task_nr, task->nr_ops, NULL))
			continue;
		*tally = with;
		task->nr_ops++;
	}
}

/* Return: @wanted if nobody has it, else the lowest vCPU that is left, VCPUS_MAX if none is. */
static u8 vcpu_free(u32 taken, u32 wanted)
{
	u32 vcpu = 0;

	if (wanted < VCPUS_MAX && !(taken >> wanted & 1))
		return (u8)wanted;
	while (vcpu < VCPUS_MAX && (taken >> vcpu & 1))
		vcpu++;
	return (u8)vcpu;
}

static void repair_tasks(struct program *program, struct page_tally *tally)
{
	u32 nr = program->nr_tasks, taken = 0;

	program->nr_tasks = 0;
	for (u32 i = 0; i < nr; i++) {
		struct task_program *task = &program->tasks[program->nr_tasks];

		if (i != program->nr_tasks)
			*task = program->tasks[i];
		task->kind %= TASK_KIND_COUNT;
		repair_ops(program, program->nr_tasks, tally);
		if (!task->nr_ops)
			continue;
		if (task->kind == TASK_VCPU) {
			task->vcpu = vcpu_free(taken, task->vcpu);
			if (task->vcpu == VCPUS_MAX)
				continue;
			taken |= 1u << task->vcpu;
		} else {
			task->vcpu = 0;
		}
		program->nr_tasks++;
	}
}

void program_repair(struct program *program)
{
	struct page_tally tally = { .pages = 1 };
	struct world *world = &program->world;

	repair_scalars(world);
	repair_slots(world);
	tally.pages += repair_maps(world);
	repair_tasks(program, &tally);
	if (program->nr_tasks)
		return;
	/* Nothing is left: an op that needs no page. */
	program->nr_tasks = 1;
	program->tasks[0].kind = TASK_NOTIFIER;
	program->tasks[0].vcpu = 0;
	program->tasks[0].nr_ops = 1;
	program->tasks[0].ops[0] =
		(struct op){ .id = OP_reuse, .start = world->nr_slots ? world->slots[0].hva : 0 };
}
