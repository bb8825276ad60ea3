/*
 * Draws programs that are worth scheduling: few pages, so that ops meet; one hot page, which most of
 * them want; ranges that end just behind it, cover several mapped pages or reach over two slots;
 * sequence numbers about to leave 31 and 32 bits; pages that are read-only or absent.
 *
 * What only some targets ask for comes from a stream of its own, so that a target which does not ask
 * goes on drawing the programs that it always drew.
 */
#include <string.h>

#include "workload/workload_internal.h"

struct draw {
	struct prng prng;
	struct prng extra; /* for what a target has to ask for */
	u32 weights[OP_COUNT]; /* of the target, or in a swarm of some ops */
	const struct target *target;
	struct program *program;
	u32 hot_of_8; /* of 8 ops, how many want the hot page */
	u32 hot_slot; /* id */
	gfn_t hot_gfn;
	hva_t hot_hva;
	hva_t low, high; /* hvas behind the slots */
	u32 huge_order; /* of the huge pages that slots have room for; 0: the world has none */
};

static u32 below(struct draw *draw, u32 bound)
{
	return prng_below(&draw->prng, bound);
}

static u32 extra(struct draw *draw, u32 bound)
{
	return prng_below(&draw->extra, bound);
}

static u32 between(struct draw *draw, u32 min, u32 max)
{
	return max > min ? min + below(draw, max - min + 1) : min;
}

/* Position in @weights, drawn by them; @nr if all are 0. */
static u32 extra_weighted(struct draw *draw, const u32 *weights, u32 nr)
{
	u32 sum = 0, nth, i;

	for (i = 0; i < nr; i++)
		sum += weights[i];
	nth = sum ? extra(draw, sum) : 0;
	for (i = 0; i < nr && nth >= weights[i]; i++)
		nth -= weights[i];
	return sum ? i : nr;
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

static bool draws_levels(const struct target *target)
{
	u32 sum = 0;

	for (u32 i = 0; i <= PT_LEVEL_MAX; i++)
		sum += target->levels_weights[i];
	return sum;
}

/* Room for all slots of a program and the gaps between them. */
#define SLOTS_ROOM 48

/*
 * Where levels are drawn: just before the end of a table of any level, or of all that a root reaches, as
 * often as at @usual.
 */
static gfn_t draw_boundary(struct draw *draw, gfn_t usual)
{
	u32 levels = draw->program->world.levels, level;

	level = 2 + extra(draw, levels - 1);
	if (!extra(draw, 2) || PT_PAGES(level == levels ? level + 1 : level) > UINT32_MAX)
		return usual;
	if (level == levels)
		return PT_PAGES(level + 1) - SLOTS_ROOM;
	return PT_PAGES(level) * (1 + extra(draw, 2)) - 1 - extra(draw, 3);
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
	else if (draws_levels(draw->target))
		gfn = draw_boundary(draw, gfn);
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

/*
 * Where the target asks for huge pages, the slots are laid out anew: each holds a whole one (of the guest, and
 * behind the same place of the host), and often some pages before and behind it. One in eight is shifted, so
 * that no huge page can be mapped in it. Nothing above the 2M level below four levels of tables.
 */
static void draw_huge(struct draw *draw)
{
	struct world *world = &draw->program->world;
	u32 nr = world->nr_slots, level = PT_LEVEL_2M;
	gfn_t gfn = world->slots[0].start;
	hva_t hva = world->slots[0].hva;
	u64 size;

	if (!draw->target->huge_of_8 || extra(draw, 8) >= draw->target->huge_of_8)
		return;
	level += world->levels > PT_LEVEL_1G && PT_PAGES(PT_LEVEL_1G) < HVA_MAX / 8 &&
		 !extra(draw, 4);
	draw->huge_order = (level - 1) * PT_INDEX_BITS;
	size = PT_PAGES(level);
	if (gfn + nr * 3 * size > world_gfns(world))
		gfn = world_gfns(world) < 8 * size ? 0 : size;
	for (u32 i = 0; i < nr; i++) {
		struct subject_slot *slot = &world->slots[i];
		u32 before = extra(draw, 2) ? 0 : extra(draw, 4), behind = extra(draw, 4);

		gfn = (gfn + before + size - 1) & -size;
		hva = (hva + before + size - 1) & -size;
		/* Folded by the repair if it is beyond what the root reaches. */
		slot->start = gfn - before;
		slot->end = gfn + size + behind;
		slot->hva = hva - before + !extra(draw, 8);
		gfn = slot->end;
		hva = slot->hva + (slot->end - slot->start);
		world->nr_slots = i + (i == 0 || slot->end <= world_gfns(world));
		if (world->nr_slots == i)
			break;
	}
}

/* The last huge page that begins in the map reaches over its end, and over that of the slot. */
static void draw_overhang(struct world *world, u32 nr)
{
	struct map_line *map = &world->maps[nr], drawn = *map;

	map->end = (map->end + BIT_ULL(map->order) - 1) & -BIT_ULL(map->order);
	for (u32 i = nr; i < world->nr_maps; i++)
		if (!map_check(world, i, NULL))
			*map = drawn;
}

/* Some maps stay 4K, so that a collapse has something to do. */
static void draw_orders(struct draw *draw)
{
	struct world *world = &draw->program->world;

	for (u32 i = 0; draw->huge_order && i < world->nr_maps; i++) {
		struct map_line *map = &world->maps[i];

		if (map->read_only && !extra(draw, 4))
			continue;
		map->read_only = false;
		if (extra(draw, 8) < 5)
			map->order = extra(draw, 4) ? draw->huge_order : PT_INDEX_BITS;
		if (map->order && extra(draw, 8) < 3)
			draw_overhang(world, i);
	}
}

/* How dirty pages are logged, and which slots are from the start. */
static void draw_logging(struct draw *draw)
{
	static const u8 modes[] = { DIRTY_LOG_BITMAP,	     DIRTY_LOG_BITMAP,
				    DIRTY_LOG_BITMAP,	     DIRTY_LOG_MANUAL,
				    DIRTY_LOG_MANUAL,	     DIRTY_LOG_INITIALLY_SET,
				    DIRTY_LOG_INITIALLY_SET, DIRTY_LOG_RING };
	struct world *world = &draw->program->world;

	if (!draw->target->logging_of_8)
		return;
	world->dirty_mode = modes[extra(draw, ARRAY_SIZE(modes))];
	if (extra(draw, 8) >= draw->target->logging_of_8)
		return;
	for (u32 i = 0; i < world->nr_slots; i++)
		world->slots[i].logging = !i || extra(draw, 2);
}

/* Some slots have a twin in the other address space: the same pages, or the next ones of the host. */
static void draw_spaces(struct draw *draw)
{
	struct world *world = &draw->program->world;
	u32 nr = world->nr_slots;

	if (draw->target->as_max < 2)
		return;
	for (u32 i = 0; i < nr && world->nr_slots < SLOTS_MAX; i++) {
		struct subject_slot twin = world->slots[i];

		if (i && extra(draw, 2))
			continue;
		twin.id = world->nr_slots;
		twin.as_id = 1;
		twin.hva += extra(draw, 3) ? 0 : 1;
		world->slots[world->nr_slots++] = twin;
	}
}

/* One in four of the slots but the first is a template. */
static void draw_absent(struct draw *draw)
{
	struct world *world = &draw->program->world;

	for (u32 i = 1; draw->target->has_absent && i < world->nr_slots; i++)
		if (!extra(draw, 4))
			world->absent |= 1u << world->slots[i].id;
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

/* Writes are found by W, in one of the ways there are. */
static void find_by_write(struct draw *draw, struct mmu_variant *variant)
{
	static const u8 ad_bits[] = { ad_bits_enabled, ad_bits_disabled, ad_bits_wrprot_only };

	variant->knob[KNOB_ad_bits] = ad_bits[extra(draw, ARRAY_SIZE(ad_bits))];
	if (variant->knob[KNOB_ad_bits] == ad_bits_enabled)
		variant->knob[KNOB_pml] = pml_off;
	variant->knob[KNOB_fast_page_fault] = fast_page_fault_on;
}

/* With the default variant some knobs have any legal value: who names another variant wants that. */
static void draw_variant(struct draw *draw)
{
	struct mmu_variant *variant = &draw->program->world.variant, drawn = *variant;
	u32 one, other;

	if (!draw->target->knobs_of_8 || memcmp(variant, &variant_default, sizeof(*variant)))
		return;
	for (u32 knob = 0; knob < KNOB_COUNT; knob++)
		if (extra(draw, 8) < draw->target->knobs_of_8)
			drawn.knob[knob] =
				variant_legal_nth(knob, extra(draw, variant_nr_legal(knob)));
	if (draw->target->by_write_of_8 && extra(draw, 8) < draw->target->by_write_of_8)
		find_by_write(draw, &drawn);
	if (!variant_conflict(&drawn, &one, &other))
		*variant = drawn;
}

static void draw_world(struct draw *draw, const struct mmu_variant *variant)
{
	struct world *world = &draw->program->world;
	u32 levels;

	world_clear(world, variant);
	levels = below(draw, 8);
	world->levels = levels == 0 ? 2 : levels == 1 ? 4 : WORLD_LEVELS_DEFAULT;
	if (draws_levels(draw->target))
		world->levels =
			extra_weighted(draw, draw->target->levels_weights, PT_LEVEL_MAX + 1);
	world->seq = draw_seq(draw);
	draw_slots(draw);
	draw_huge(draw);
	draw_spaces(draw);
	draw_absent(draw);
	draw_maps(draw);
	draw_orders(draw);
	draw_logging(draw);
	if (draw->target->has_subscribers)
		world->subscribers = extra(draw, 1u << SUBSCRIBER_COUNT);
}

static void draw_hot(struct draw *draw)
{
	static const u8 of_8[] = { 3, 5, 7 };
	const struct world *world = &draw->program->world;
	const struct subject_slot *slot = &world->slots[below(draw, world->nr_slots)];
	u64 nr_pages = slot->end - slot->start;
	u32 page = below(draw, (u32)nr_pages);

	draw->hot_of_8 = of_8[below(draw, ARRAY_SIZE(of_8))];
	draw->hot_slot = slot->id;
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

/* Whether the world's dirty logs know the op: what is always refused says nothing. */
static bool suits(const struct draw *draw, u32 id)
{
	u32 mode = draw->program->world.dirty_mode;

	switch (id) {
	case OP_dirty_get:
		return mode != DIRTY_LOG_RING;
	case OP_dirty_clear:
	case OP_dirty_clear_blind:
		return mode == DIRTY_LOG_MANUAL || mode == DIRTY_LOG_INITIALLY_SET;
	case OP_dirty_reset:
		return mode == DIRTY_LOG_RING;
	default:
		return true;
	}
}

static u32 target_weight(const struct draw *draw, u32 id)
{
	return suits(draw, id) ? draw->target->op_weights[id] : 0;
}

/* In a swarm each program has about half of the target's ops, so that few of them meet more often. */
static void draw_weights(struct draw *draw)
{
	u32 kept[TASK_KIND_COUNT] = { 0 };

	for (u32 i = 0; i < OP_COUNT; i++) {
		draw->weights[i] = target_weight(draw, i);
		if (draw->target->swarm && !extra(draw, 2))
			draw->weights[i] = 0;
		kept[op_rows[i].kind] += draw->weights[i];
	}
	for (u32 i = 0; i < OP_COUNT; i++)
		if (!kept[op_rows[i].kind])
			draw->weights[i] = target_weight(draw, i);
}

/* Nothing comes behind the op that lets go of process or VM: it would be skipped most of the time. */
static u32 weight_of(const struct draw *draw, u32 id, bool last)
{
	return (id == OP_exit || id == OP_close) && !last ? 0 : draw->weights[id];
}

static u8 draw_id(struct draw *draw, u8 kind, bool last)
{
	u32 sum = 0, nth;

	for (u32 i = 0; i < OP_COUNT; i++)
		if (op_rows[i].kind == kind)
			sum += weight_of(draw, i, last);
	nth = sum ? below(draw, sum) : 0;
	for (u32 i = 0; i < OP_COUNT; i++) {
		if (op_rows[i].kind != kind)
			continue;
		if (!sum || nth < weight_of(draw, i, last))
			return (u8)i;
		nth -= weight_of(draw, i, last);
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

	u8 access = accesses[below(draw, ARRAY_SIZE(accesses))];

	if (draw->target->writes_of_8 && extra(draw, 8) < draw->target->writes_of_8)
		return ACCESS_WRITE;
	if (draw->target->execs_of_8 && extra(draw, 8) < draw->target->execs_of_8)
		return ACCESS_EXEC;
	return access;
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

/* The slot of the hot page, or any. */
static u8 draw_slot_id(struct draw *draw)
{
	const struct world *world = &draw->program->world;

	return (u8)(extra(draw, 8) < draw->hot_of_8
			    ? draw->hot_slot
			    : world->slots[extra(draw, world->nr_slots)].id);
}

/* Where a slot may move to: a few pages on or back, behind all of them, or a table further. */
static gfn_t draw_place(struct draw *draw, u8 slot)
{
	const struct world *world = &draw->program->world;
	gfn_t start = world_slot(world, slot)->start;

	switch (extra(draw, 4)) {
	case 0:
		return start + PT_ENTRIES;
	case 1:
		return world->slots[world->nr_slots - 1].end + extra(draw, 4);
	default:
		return max_u64(start + extra(draw, 8), 4) - 4;
	}
}

/* Some pages around the hot one, or of another slot. */
static void draw_gfn_range(struct draw *draw, struct op *op)
{
	u32 nr_pages = 1 + extra(draw, 8);

	op->start = max_u64(draw_gfn(draw), nr_pages) - extra(draw, nr_pages);
	op->end = op->start + nr_pages;
}

/* One page; where huge pages may be, often a range that begins, ends or leads over one. */
static void draw_prefault(struct draw *draw, struct op *op)
{
	u64 nr_pages = 1;

	op->start = draw_gfn(draw);
	if (draw->huge_order && extra(draw, 2))
		nr_pages += extra(draw, 2u << draw->huge_order);
	op->end = op->start + nr_pages;
}

/* All of the slot, or some pages around the hot one. */
static void draw_slot_range(struct draw *draw, struct op *op)
{
	const struct subject_slot *slot = world_slot(&draw->program->world, op->slot);
	u32 nr_pages = (u32)(slot->end - slot->start), page = extra(draw, nr_pages);

	op->start = slot->start;
	op->end = slot->end;
	if (!extra(draw, 2))
		return;
	if (slot->id == draw->hot_slot && extra(draw, 8) < draw->hot_of_8)
		page = (u32)(draw->hot_gfn - slot->start);
	op->start += page - extra(draw, (u32)min_u64(page + 1, 4));
	op->end = min_u64(slot->end, slot->start + page + 1 + extra(draw, 4));
}

static void draw_op(struct draw *draw, u8 kind, bool last, struct op *op)
{
	const struct op_form *form;

	*op = (struct op){ .id = draw_id(draw, kind, last) };
	form = op_form(op);
	if (form->accesses == ACCESS_COUNT)
		op->access = (u8)draw_access(draw);
	else if (form->accesses)
		op->access = (u8)extra(draw, form->accesses);
	if (form->slot)
		op->slot = draw_slot_id(draw);
	if (op->id == OP_prefault)
		draw_prefault(draw, op);
	else if (form->in_slot)
		draw_slot_range(draw, op);
	else if (form->page == OP_PAGE_HVA && form->range)
		draw_range(draw, op);
	else if (form->page == OP_PAGE_HVA)
		op->start = draw_page(draw);
	else if (form->page == OP_PAGE_GFN && form->range)
		draw_gfn_range(draw, op);
	else if (form->page == OP_PAGE_GFN)
		op->start = form->slot ? draw_place(draw, op->slot) : draw_gfn(draw);
}

static bool has_ops(const struct draw *draw, u8 kind)
{
	for (u32 i = 0; i < OP_COUNT; i++)
		if (op_rows[i].kind == kind && draw->weights[i])
			return true;
	return false;
}

/* How many of the @nr tasks that are no vCPUs call ioctls: at least one, if two are left or the target asks. */
static u32 draw_nr_vms(struct draw *draw, u32 nr)
{
	u32 max = (u32)min_u64(draw->target->vms_max, nr), min = nr > 1;

	min = (u32)min_u64(max_u64(draw->target->vms_min, min), max);
	if (!max || !has_ops(draw, TASK_VM))
		return 0;
	if (!has_ops(draw, TASK_NOTIFIER))
		return nr;
	return min + extra(draw, max - min + 1);
}

static void draw_tasks(struct draw *draw)
{
	const struct target *target = draw->target;
	struct program *program = draw->program;
	u32 nr_tasks = between(draw, target->tasks_min, target->tasks_max);
	u32 vcpus = target->vcpus_max, nr_vcpus, nr_vms;

	/* One task is left for the notifiers, if there is one to spare. */
	if (nr_tasks > 1 && vcpus > nr_tasks - 1)
		vcpus = nr_tasks - 1;
	nr_vcpus = between(draw, 1, vcpus);
	nr_vms = nr_tasks > nr_vcpus ? draw_nr_vms(draw, nr_tasks - nr_vcpus) : 0;
	for (u32 i = 0; i < nr_tasks && i < PROGRAM_TASKS_MAX; i++) {
		struct task_program *task = &program->tasks[i];
		u32 nr_ops = between(draw, target->ops_min, target->ops_max);

		task->kind = i < nr_vcpus	     ? TASK_VCPU
			     : i < nr_vcpus + nr_vms ? TASK_VM
						     : TASK_NOTIFIER;
		task->vcpu = i < nr_vcpus ? (u8)i : 0;
		task->nr_ops = nr_ops < OPS_MAX ? (u8)nr_ops : OPS_MAX;
		for (u32 j = 0; j < task->nr_ops; j++)
			draw_op(draw, task->kind, j + 1 == task->nr_ops, &task->ops[j]);
		program->nr_tasks++;
	}
}

void program_generate(struct program *program, const struct target *target, u64 seed,
		      const struct mmu_variant *variant)
{
	struct draw draw = {
		.prng = prng_seeded(seed),
		.extra = prng_seeded(~seed),
		.target = target,
		.program = program,
	};

	program->nr_tasks = 0;
	draw_world(&draw, variant);
	draw_weights(&draw);
	draw_hot(&draw);
	draw_tasks(&draw);
	draw_variant(&draw); /* the last: a variant that is given leaves the rest as it is */
	program_repair(program);
}
