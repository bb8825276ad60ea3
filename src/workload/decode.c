/*
 * The binary form: a header, then records of 8 bytes that can be inserted, erased and reordered.
 * Numbers are little-endian.
 *
 *   header     u32 world seed, u8 variant, u8 strategy row, u8 K, u8 flags, u64 seed
 *   flags      bit 0: line "start"; bit 1: bare; bits 4-7: the task that starts
 *   record     u8 tag (bits 0-3) and number (bits 4-7), then by tag:
 *
 *   OP         number: task;  u8 op (0-5), access (6-7); u16 pages - 1, or slot, or pages - 1 (0-11)
 *                             and slot (12-14); u32 gfn or hva
 *   DIRECTIVE  number: task;  u8 op (0-3), place (4-5), action (6-7); u16 ordinal; u16 argument;
 *                             u16 op / 16 (of rcu0: number of the callback)
 *   TASK       number: task;  u8 kind; u8 vCPU; 5 bytes 0
 *   SLOT       number: id (4-6), address space (7); u24 pages - 1 (0-11), hva (12-23); u32 gfn
 *   ABSENT     the same, of a slot that is not there at the start
 *   MAP        number: ro;    u16 hva; u16 pages - 1; u8 order / geometry; 2 bytes 0
 *   SEQ                       56 bits
 *   LIMIT                     3 bytes 0; u32 points
 *   LEVELS                    u8 levels; 6 bytes 0
 *   SUBSCRIBERS               u8 mask; 6 bytes 0
 *   DIRTY                     u8 mode; u8 mask of the slots that log; 5 bytes 0
 *   KNOBS                     56 bits: the knobs that the header does not hold
 *
 * The task 15 is rcu0: directives may name it, as their task and as the one to switch to; an OP or TASK of
 * it is skipped.
 *
 * The world and, when no record names a task or an op, the tasks are drawn from the target's generator
 * with the world seed. A bare input starts from an empty world instead. The first slot, map, or task
 * or op that a record names replaces all those that were drawn; DIRTY speaks of the slots that are there in
 * the end. Variant: the knobs' legal values, in mixed radix, first knob lowest: those up to HEADER_KNOBS in
 * the header, the others in the record KNOBS, or drawn. Values that exclude each other stand for the default
 * variant in the header, and for what there was in the record. K: 1 .. 32 schedules, whose seeds follow
 * each other.
 */
#include <string.h>

#include "workload/workload_internal.h"

/* What one byte has room for; a knob that is new comes behind them. */
#define HEADER_KNOBS KNOB_fast_page_fault

_Static_assert(OP_COUNT <= 64 && ACCESS_COUNT <= 4, "an op and its access share a byte");
_Static_assert(TASKS_MAX <= 16 && OPS_MAX <= 16, "numbers have 4 bits");
_Static_assert(SLOTS_MAX <= 8 && AS_MAX <= 2, "a slot and its address space share 4 bits");
_Static_assert(CALLBACKS_MAX <= 1 << 16, "the op of a directive has 4 bits and 16 more");
_Static_assert(HVA_MAX <= 1 << 12, "hvas and sizes of slots have 12 bits");
_Static_assert(ANSWER_MAX <= UINT16_MAX, "an argument has 16 bits");
_Static_assert(INPUT_HEADER_BYTES +
			       INPUT_RECORD_BYTES * (PROGRAM_TASKS_MAX * (1 + OPS_MAX) + SLOTS_MAX +
						     MAPS_MAX + 6 + DIRECTIVES_MAX) <=
		       INPUT_BYTES_MAX,
	       "whatever is encoded fits");

/* --- variants --- */

/* The knobs [@first, @end) as @bits say; @variant stays as it is if they do not go together. */
static void variant_decode(struct mmu_variant *variant, u32 first, u32 end, u64 bits)
{
	struct mmu_variant decoded = *variant;
	u32 one, other;

	for (u32 knob = first; knob < end; knob++) {
		u32 nr = variant_nr_legal(knob);

		decoded.knob[knob] = variant_legal_nth(knob, (u32)(bits % nr));
		bits /= nr;
	}
	if (!variant_conflict(&decoded, &one, &other))
		*variant = decoded;
}

/* Position of @value among the legal values of @knob; of the default one if it is not legal. */
static u32 legal_position(u32 knob, u8 value)
{
	u32 nr = variant_nr_legal(knob);

	for (u32 nth = 0; nth < nr; nth++)
		if (variant_legal_nth(knob, nth) == value)
			return nth;
	return legal_position(knob, variant_default.knob[knob]);
}

static u64 variant_encode(const struct mmu_variant *variant, u32 first, u32 end, u32 nr_bits)
{
	u64 bits = 0;

	for (u32 knob = end; knob-- > first;)
		bits = bits * variant_nr_legal(knob) + legal_position(knob, variant->knob[knob]);
	ASSERT(bits < BIT_ULL(nr_bits));
	return bits;
}

/* --- decoding --- */

struct decoder {
	struct program *program;
	bool has_slots, has_maps, has_tasks, has_dirty;
	u32 logging; /* BIT(id): what a record has said, if it has */
	u32 typed; /* tasks whose kind a record has said */
};

/* The tasks that were drawn go; empty ones take their place until they are compacted. */
static struct task_program *decode_task(struct decoder *decoder, u32 nr)
{
	struct program *program = decoder->program;

	if (!decoder->has_tasks) {
		decoder->has_tasks = true;
		program->nr_tasks = PROGRAM_TASKS_MAX;
		for (u32 i = 0; i < PROGRAM_TASKS_MAX; i++) {
			program->tasks[i].kind = TASK_VCPU;
			program->tasks[i].vcpu = (u8)i;
			program->tasks[i].nr_ops = 0;
		}
	}
	return &program->tasks[nr];
}

static void decode_kind(struct decoder *decoder, u32 nr, const u8 *record)
{
	struct task_program *task;

	if (nr == TASK_RCU)
		return;
	task = decode_task(decoder, nr);
	if (decoder->typed >> nr & 1)
		return;
	decoder->typed |= 1u << nr;
	task->kind = record[1] % TASK_KIND_COUNT;
	task->vcpu = record[2] % VCPUS_MAX;
}

void input_get_op(const u8 *record, struct op *op)
{
	*op = (struct op){ .id = record[1] % 64 % OP_COUNT, .access = record[1] >> 6 };
	op->slot = op_form(op)->in_slot ? record[3] >> 4 & 7 : record[2];
	op->start = input_get(record + 4, 4);
	op->end = op->start + 1 +
		  input_get(record + 2, 2) % (op_form(op)->in_slot ? 0x1000 : 0x10000);
}

static void decode_op(struct decoder *decoder, u32 nr, const u8 *record)
{
	struct task_program *task;
	struct op op;

	input_get_op(record, &op);
	if (nr == TASK_RCU)
		return;
	task = decode_task(decoder, nr);
	if (!(decoder->typed >> nr & 1)) {
		decoder->typed |= 1u << nr;
		task->kind = (u8)op_rows[op.id].kind;
	}
	if (task->nr_ops == OPS_MAX)
		return;
	task->ops[task->nr_ops++] = op;
}

static void decode_slot(struct decoder *decoder, u32 nr, bool absent, const u8 *record)
{
	struct world *world = &decoder->program->world;
	u32 id = nr % SLOTS_MAX;
	u32 packed = (u32)input_get(record + 1, 3);
	gfn_t start = input_get(record + 4, 4);

	if (!decoder->has_slots)
		world->nr_slots = world->absent = 0;
	decoder->has_slots = true;
	if (world->nr_slots == SLOTS_MAX)
		return;
	if (absent && !world_slot(world, id))
		world->absent |= 1u << id;
	world->slots[world->nr_slots++] = (struct subject_slot){
		.id = id,
		.as_id = nr >> 3,
		.start = start,
		.end = start + 1 + (packed & 0xfff),
		.hva = packed >> 12,
	};
}

static void decode_map(struct decoder *decoder, u32 nr, const u8 *record)
{
	struct world *world = &decoder->program->world;
	hva_t start = input_get(record + 1, 2);

	if (!decoder->has_maps)
		world->nr_maps = 0;
	decoder->has_maps = true;
	if (world->nr_maps == MAPS_MAX)
		return;
	world->maps[world->nr_maps++] = (struct map_line){
		.start = start,
		.end = start + 1 + input_get(record + 3, 2),
		.order = record[5] % 3 * world->geometry,
		.read_only = nr & 1,
	};
}

static void decode_dirty(struct decoder *decoder, const u8 *record)
{
	decoder->program->world.dirty_mode = record[1];
	decoder->has_dirty = true;
	decoder->logging = record[2];
}

/* Slots may be named behind what says whether they log. */
static void apply_logging(struct decoder *decoder)
{
	struct world *world = &decoder->program->world;

	for (u32 i = 0; decoder->has_dirty && i < world->nr_slots; i++)
		world->slots[i].logging = decoder->logging >> world->slots[i].id & 1;
}

static void decode_scalar(struct world *world, const u8 *record)
{
	switch (record[0] & 15) {
	case TAG_SEQ:
		world->seq = input_get(record + 1, 7);
		break;
	case TAG_LIMIT:
		world->points_max = input_get(record + 4, 4);
		break;
	case TAG_LEVELS:
		world->levels = record[1];
		break;
	case TAG_SUBSCRIBERS:
		world->subscribers = record[1];
		break;
	case TAG_KNOBS:
		variant_decode(&world->variant, HEADER_KNOBS, KNOB_COUNT, input_get(record + 1, 7));
		break;
	default: /* directives have their turn when the tasks are known; the rest is unknown */
		break;
	}
}

static void decode_record(struct decoder *decoder, const u8 *record)
{
	u32 nr = record[0] >> 4;

	switch (record[0] & 15) {
	case TAG_OP:
		decode_op(decoder, nr, record);
		break;
	case TAG_TASK:
		decode_kind(decoder, nr, record);
		break;
	case TAG_SLOT:
	case TAG_ABSENT:
		decode_slot(decoder, nr, (record[0] & 15) == TAG_ABSENT, record);
		break;
	case TAG_MAP:
		decode_map(decoder, nr, record);
		break;
	case TAG_DIRTY:
		decode_dirty(decoder, record);
		break;
	default:
		decode_scalar(&decoder->program->world, record);
		break;
	}
}

/* Any number stands for a task that there is. */
static u8 task_fold(const struct program *program, u32 task)
{
	return (u8)(task == TASK_RCU ? TASK_RCU : task % program->nr_tasks);
}

void input_get_directive(const u8 *record, struct directive *directive)
{
	u32 argument = (u32)input_get(record + 4, 2);

	memset(directive, 0, sizeof(*directive));
	directive->task = record[0] >> 4;
	directive->op = (u16)((record[1] & 15) | input_get(record + 6, 2) << 4);
	directive->place = (record[1] >> 4 & 3) % (AT_END + 1);
	directive->ordinal = (u32)input_get(record + 2, 2);
	if (record[1] >> 6 & 1) {
		directive->action = DO_ANSWER;
		directive->place = AT_SITE;
		directive->answer = argument;
	} else {
		directive->action = DO_SWITCH;
		directive->to = (u8)(argument % 256);
	}
	if (directive->place == AT_SITE && !directive->ordinal)
		directive->ordinal = 1;
}

static void decode_directive(struct schedule *schedule, const struct program *program,
			     const u8 *record)
{
	struct directive *directive = &schedule->directives[schedule->nr_directives];

	if ((record[0] & 15) != TAG_DIRECTIVE || schedule->nr_directives == DIRECTIVES_MAX)
		return;
	schedule->nr_directives++;
	input_get_directive(record, directive);
	directive->task = task_fold(program, directive->task);
	if (directive->task != TASK_RCU)
		directive->op = (directive->op & 15) % program->tasks[directive->task].nr_ops;
	if (directive->action == DO_SWITCH)
		directive->to = task_fold(program, (u32)input_get(record + 4, 2));
}

void input_decode(struct input *input, const struct target *target, const u8 *data, size_t size)
{
	u8 header[INPUT_HEADER_BYTES] = { 0 };
	struct schedule *schedule = &input->schedule;
	struct program *program = &input->program;
	struct decoder decoder = { .program = program };
	struct mmu_variant variant = variant_default;
	size_t nr_records;

	if (size)
		memcpy(header, data, size < sizeof(header) ? size : sizeof(header));
	nr_records = size < sizeof(header) ? 0 : (size - sizeof(header)) / INPUT_RECORD_BYTES;
	variant_decode(&variant, 0, HEADER_KNOBS, header[4]);
	program_generate(program, target, input_get(header, 4), &variant);
	if (header[7] & FLAG_BARE)
		world_clear(&program->world, &variant);
	for (size_t i = 0; i < nr_records; i++)
		decode_record(&decoder, data + sizeof(header) + i * INPUT_RECORD_BYTES);
	apply_logging(&decoder);
	program_repair(program);

	memset(schedule->strategy, 0, sizeof(schedule->strategy));
	schedule->seed = input_get(header + 8, 8);
	schedule->has_first = header[7] & FLAG_START;
	schedule->first = schedule->has_first ? (header[7] >> 4) % program->nr_tasks : 0;
	schedule->nr_directives = 0;
	for (size_t i = 0; i < nr_records; i++)
		decode_directive(schedule, program, data + sizeof(header) + i * INPUT_RECORD_BYTES);
	input->strategy_row = header[5];
	input->schedules = (header[6] - 1u) % SCHEDULES_MAX + 1;
}

/* --- encoding --- */

struct encoder {
	u8 *data;
	size_t size, room;
	bool full;
};

/* Return: a record of zeroes but for its first byte; a dummy when there is no room. */
static u8 *encode_record(struct encoder *encoder, enum input_tag tag, u32 nr)
{
	static u8 dummy[INPUT_RECORD_BYTES];
	u8 *record = encoder->data + encoder->size;

	if (encoder->room - encoder->size < INPUT_RECORD_BYTES) {
		encoder->full = true;
		return dummy;
	}
	encoder->size += INPUT_RECORD_BYTES;
	memset(record, 0, INPUT_RECORD_BYTES);
	record[0] = (u8)(tag | nr << 4);
	return record;
}

/* What slots say in the record that is about all of them. */
static void encode_dirty(struct encoder *encoder, const struct world *world)
{
	u32 logging = 0;
	u8 *record;

	for (u32 i = 0; i < world->nr_slots; i++)
		logging |= (u32)world->slots[i].logging << world->slots[i].id;
	if (!logging && world->dirty_mode == DIRTY_LOG_BITMAP)
		return;
	record = encode_record(encoder, TAG_DIRTY, 0);
	record[1] = (u8)world->dirty_mode;
	record[2] = (u8)logging;
}

static void encode_knobs(struct encoder *encoder, const struct mmu_variant *variant)
{
	u64 bits = variant_encode(variant, HEADER_KNOBS, KNOB_COUNT, 56);

	if (bits != variant_encode(&variant_default, HEADER_KNOBS, KNOB_COUNT, 56))
		input_put(encode_record(encoder, TAG_KNOBS, 0) + 1, 7, bits);
}

static void encode_world(struct encoder *encoder, const struct world *world)
{
	encode_knobs(encoder, &world->variant);
	encode_dirty(encoder, world);
	if (world->seq)
		input_put(encode_record(encoder, TAG_SEQ, 0) + 1, 7, world->seq);
	if (world->points_max != world_points_default(world->geometry))
		input_put(encode_record(encoder, TAG_LIMIT, 0) + 4, 4, world->points_max);
	if (world->levels != WORLD_LEVELS_DEFAULT)
		input_put(encode_record(encoder, TAG_LEVELS, 0) + 1, 1, world->levels);
	if (world->subscribers)
		input_put(encode_record(encoder, TAG_SUBSCRIBERS, 0) + 1, 1, world->subscribers);
	for (u32 i = 0; i < world->nr_slots; i++) {
		const struct subject_slot *slot = &world->slots[i];
		bool absent = world->absent >> slot->id & 1;
		u8 *record = encode_record(encoder, absent ? TAG_ABSENT : TAG_SLOT,
					   slot->id | slot->as_id << 3);

		input_put(record + 1, 3, slot->hva << 12 | (slot->end - slot->start - 1));
		input_put(record + 4, 4, slot->start);
	}
	for (u32 i = 0; i < world->nr_maps; i++) {
		const struct map_line *map = &world->maps[i];
		u8 *record = encode_record(encoder, TAG_MAP, map->read_only);

		input_put(record + 1, 2, map->start);
		input_put(record + 3, 2, map->end - map->start - 1);
		record[5] = (u8)(map->order / world->geometry);
	}
}

void input_put_op(u8 *record, const struct op *op)
{
	record[1] = (u8)(op->id | op->access << 6);
	if (op_form(op)->in_slot)
		input_put(record + 2, 2, (op->end - op->start - 1) | (u64)op->slot << 12);
	else if (op_form(op)->range)
		input_put(record + 2, 2, op->end - op->start - 1);
	else
		input_put(record + 2, 2, op->slot);
	input_put(record + 4, 4, op->start);
}

static void encode_task(struct encoder *encoder, u32 nr, const struct task_program *task)
{
	u8 *record = encode_record(encoder, TAG_TASK, nr);

	record[1] = task->kind;
	record[2] = task->vcpu;
	for (u32 i = 0; i < task->nr_ops; i++) {
		const struct op *op = &task->ops[i];

		record = encode_record(encoder, TAG_OP, nr);
		input_put_op(record, op);
	}
}

void input_put_directive(u8 *record, const struct directive *directive)
{
	bool answers = directive->action == DO_ANSWER;

	record[1] = (u8)((directive->op & 15) | directive->place << 4 | answers << 6);
	input_put(record + 6, 2, directive->op >> 4);
	input_put(record + 2, 2, directive->ordinal);
	input_put(record + 4, 2, answers ? directive->answer : directive->to);
}

static void encode_directive(struct encoder *encoder, const struct directive *directive)
{
	if (directive->action == DO_UNTIL || directive->ordinal > UINT16_MAX ||
	    (directive->place == AT_SITE && !directive->ordinal))
		return;
	input_put_directive(encode_record(encoder, TAG_DIRECTIVE, directive->task), directive);
}

size_t input_encode(const struct input *input, u8 *data, size_t room)
{
	struct encoder encoder = { .data = data, .size = INPUT_HEADER_BYTES, .room = room };
	const struct schedule *schedule = &input->schedule;

	if (room < INPUT_HEADER_BYTES)
		return 0;
	memset(data, 0, INPUT_HEADER_BYTES);
	data[4] = (u8)variant_encode(&input->program.world.variant, 0, HEADER_KNOBS, 8);
	data[5] = (u8)input->strategy_row;
	data[6] = (u8)input->schedules;
	data[7] = FLAG_BARE;
	if (schedule->has_first)
		data[7] |= (u8)(FLAG_START | schedule->first << 4);
	input_put(data + 8, 8, schedule->seed);
	encode_world(&encoder, &input->program.world);
	for (u32 i = 0; i < input->program.nr_tasks; i++)
		encode_task(&encoder, i, &input->program.tasks[i]);
	for (u32 i = 0; i < schedule->nr_directives; i++)
		encode_directive(&encoder, &schedule->directives[i]);
	return encoder.full ? 0 : encoder.size;
}
