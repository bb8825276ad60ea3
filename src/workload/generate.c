/*
 * Draws programs that are worth scheduling: few pages, so that ops meet; one hot page, which most of
 * them want; ranges that end just behind it, cover several mapped pages or reach over two slots;
 * sequence numbers about to leave 31 and 32 bits; pages that are read-only or absent.
 */
#include "workload/workload_internal.h"

struct draw {
	struct prng prng;
	const struct target *target;
	struct program *program;
	u32 hot_of_8; /* of 8 ops, how many want the hot page */
	gfn_t hot_gfn;
	hva_t hot_hva;
	hva_t low, high; /* hvas behind the slots */
};

static u32 below(struct draw *draw, u32 bound)
{
	return prng_below(&draw->prng, bound);
}

static u32 between(struct draw *draw, u32 min, u32 max)
{
	return max > min ? min + below(draw, max - min + 1) : min;
}

static u64 draw_seq(struct draw *draw)
{
	switch (below(draw, 8)) {
	case 0:
		return BIT_ULL(31) - 2 + below(draw, 4);
	case 1:
		return BIT_ULL(32) - 2 + below(draw, 4);
	default:
		return 0;
	}
}

/* Next to the slot before in the host, apart from it, or (rarely) on the same pages. */
static hva_t draw_hva(struct draw *draw, const struct subject_slot *before)
{
	hva_t end = before->hva + (before->end - before->start);
	u32 how = below(draw, 8);

	if (how < 4)
		return end;
	if (how < 7)
		return end + 1 + below(draw, 4);
	return before->hva;
}

static void draw_slots(struct draw *draw)
{
	/* At the start of a leaf table, in its middle, just before the end of two levels. */
	static const u8 first_gfn[] = { 0x10, 0x10, 0x1d, 0x3e };
	static const u8 gaps[] = { 0, 1, 8 };
	static const u16 first_hva[] = { 0x100, 0x105 };
	struct world *world = &draw->program->world;
	u32 nr = between(draw, 1, draw->target->slots_max);
	gfn_t gfn = first_gfn[below(draw, ARRAY_SIZE(first_gfn))];
	hva_t hva = first_hva[below(draw, ARRAY_SIZE(first_hva))];

	if (world->levels == 2)
		gfn = 0;
	for (u32 i = 0; i < nr && i < SLOTS_MAX; i++) {
		struct subject_slot *slot = &world->slots[i];
		u32 nr_pages = between(draw, draw->target->pages_min, draw->target->pages_max);

		if (i) {
			gfn = slot[-1].end + gaps[below(draw, ARRAY_SIZE(gaps))];
			hva = draw_hva(draw, &slot[-1]);
		}
		*slot = (struct subject_slot){
			.id = i, .start = gfn, .end = gfn + nr_pages, .hva = hva
		};
		world->nr_slots++;
	}
}

/* One map behind each slot; a slot on the pages of another finds them mapped already. */
static void draw_maps(struct draw *draw)
{
	struct world *world = &draw->program->world;

	for (u32 i = 0; i < world->nr_slots; i++) {
		const struct subject_slot *slot = &world->slots[i];
		struct map_line *map = &world->maps[world->nr_maps];
		u64 nr_pages = slot->end - slot->start;

		if (nr_pages > 1 && !below(draw, 8))
			nr_pages--;
		*map = (struct map_line){ .start = slot->hva, .end = slot->hva + nr_pages };
		map->read_only = !below(draw, 4);
		if (map_check(world, world->nr_maps, NULL))
			world->nr_maps++;
	}
}

static void draw_world(struct draw *draw, const struct mmu_variant *variant)
{
	struct world *world = &draw->program->world;
	u32 levels;

	world_clear(world, variant);
	levels = below(draw, 8);
	world->levels = levels == 0 ? 2 : levels == 1 ? 4 : WORLD_LEVELS_DEFAULT;
	world->seq = draw_seq(draw);
	draw_slots(draw);
	draw_maps(draw);
}

static void draw_hot(struct draw *draw)
{
	static const u8 of_8[] = { 3, 5, 7 };
	const struct world *world = &draw->program->world;
	const struct subject_slot *slot = &world->slots[below(draw, world->nr_slots)];
	u64 nr_pages = slot->end - slot->start;
	u32 page = below(draw, (u32)nr_pages);

	draw->hot_of_8 = of_8[below(draw, ARRAY_SIZE(of_8))];
	draw->hot_gfn = slot->start + page;
	draw->hot_hva = slot->hva + page;
	draw->low = HVA_MAX;
	draw->high = 0;
	for (u32 i = 0; i < world->nr_slots; i++) {
		slot = &world->slots[i];
		draw->low = min_u64(draw->low, slot->hva);
		draw->high = max_u64(draw->high, slot->hva + (slot->end - slot->start));
	}
}

static bool wants_hot(struct draw *draw)
{
	return below(draw, 8) < draw->hot_of_8;
}

static u8 draw_id(struct draw *draw, u8 kind)
{
	u32 sum = 0, nth;

	for (u32 i = 0; i < OP_COUNT; i++)
		if (op_rows[i].kind == kind)
			sum += draw->target->op_weights[i];
	nth = sum ? below(draw, sum) : 0;
	for (u32 i = 0; i < OP_COUNT; i++) {
		if (op_rows[i].kind != kind)
			continue;
		if (!sum || nth < draw->target->op_weights[i])
			return (u8)i;
		nth -= draw->target->op_weights[i];
	}
	ASSERT(!"the weights do not add up");
	return 0;
}

/* The hot page, any page of a slot, or now and then the first one behind it: no slot is there. */
static gfn_t draw_gfn(struct draw *draw)
{
	const struct world *world = &draw->program->world;
	const struct subject_slot *slot;
	u32 nr_pages;

	if (wants_hot(draw))
		return draw->hot_gfn;
	slot = &world->slots[below(draw, world->nr_slots)];
	nr_pages = (u32)(slot->end - slot->start);
	if (!below(draw, 16))
		nr_pages++;
	return slot->start + below(draw, nr_pages);
}

static enum access draw_access(struct draw *draw)
{
	static const u8 accesses[] = { ACCESS_READ,  ACCESS_READ,  ACCESS_READ,	 ACCESS_READ,
				       ACCESS_WRITE, ACCESS_WRITE, ACCESS_WRITE, ACCESS_EXEC };

	return accesses[below(draw, ARRAY_SIZE(accesses))];
}

static hva_t draw_page(struct draw *draw)
{
	if (wants_hot(draw))
		return draw->hot_hva;
	return draw->low + below(draw, (u32)(draw->high - draw->low));
}

/* One or two pages, some, or everything behind all slots. */
static void draw_range(struct draw *draw, struct op *op)
{
	u32 nr_pages = (u32)(draw->high - draw->low), how = below(draw, 8);
	hva_t page = draw_page(draw);

	if (how < 5)
		nr_pages = 1 + how % 2;
	else if (how < 7)
		nr_pages = 1 + below(draw, nr_pages);
	op->start = max_u64(draw->low, page - below(draw, nr_pages));
	op->end = min_u64(draw->high, op->start + nr_pages);
}

static void draw_op(struct draw *draw, u8 kind, struct op *op)
{
	*op = (struct op){ .id = draw_id(draw, kind) };
	switch (op_rows[op->id].args) {
	case OP_ARGS_ACCESS_GFN:
		op->access = (u8)draw_access(draw);
		op->start = draw_gfn(draw);
		break;
	case OP_ARGS_HVA:
		op->start = draw_page(draw);
		break;
	case OP_ARGS_HVA_RANGE:
		draw_range(draw, op);
		break;
	}
}

static void draw_tasks(struct draw *draw)
{
	const struct target *target = draw->target;
	struct program *program = draw->program;
	u32 nr_tasks = between(draw, target->tasks_min, target->tasks_max);
	u32 vcpus = target->vcpus_max, nr_vcpus;

	/* One task is left for the notifiers, if there is one to spare. */
	if (nr_tasks > 1 && vcpus > nr_tasks - 1)
		vcpus = nr_tasks - 1;
	nr_vcpus = between(draw, 1, vcpus);
	for (u32 i = 0; i < nr_tasks && i < TASKS_MAX; i++) {
		struct task_program *task = &program->tasks[i];
		u32 nr_ops = between(draw, target->ops_min, target->ops_max);

		task->kind = i < nr_vcpus ? TASK_VCPU : TASK_NOTIFIER;
		task->vcpu = i < nr_vcpus ? (u8)i : 0;
		task->nr_ops = nr_ops < OPS_MAX ? (u8)nr_ops : OPS_MAX;
		for (u32 j = 0; j < task->nr_ops; j++)
			draw_op(draw, task->kind, &task->ops[j]);
		program->nr_tasks++;
	}
}

void program_generate(struct program *program, const struct target *target, u64 seed,
		      const struct mmu_variant *variant)
{
	struct draw draw = { .prng = prng_seeded(seed), .target = target, .program = program };

	program->nr_tasks = 0;
	draw_world(&draw, variant);
	draw_hot(&draw);
	draw_tasks(&draw);
	program_repair(program);
}
