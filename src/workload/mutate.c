/*
 * Mutations of the binary form that know records: ops and directives are inserted, deleted, moved and aimed at pages that
 * others use, where an engine's own would break one record in eight ways. decode.c describes the form; whatever
 * comes out decodes, as every byte string does.
 *
 * An input without records of tasks stands for what the generator draws. Before its ops are changed it is
 * spelled out: else the first op that a record names would replace them all.
 */
#include <string.h>

#include "workload/workload_internal.h"

/* Of mutations in a row that find nothing to work on. */
#define ATTEMPTS_MAX 16u
/* Mutations of one input, at most. */
#define STACKED_MAX 4u
/* Directives speak of early points more often than of late ones: 2 to the power of less than this. */
#define ORDINAL_BITS 9u

struct mutant {
	const struct target *target; /* whose ops are preferred; NULL: all are equal */
	u8 *data; /* a whole header, and whole records */
	size_t size, room;
	struct prng prng;
};

typedef bool mutate_fn(struct mutant *mutant);

#define MUTATION(name, weight, what) static mutate_fn mutate_##name;
#include "workload/mutations.def"
#undef MUTATION

const struct mutation_row mutation_rows[MUTATION_COUNT] = {
#define MUTATION(name, weight, what) { #name, what, weight },
#include "workload/mutations.def"
#undef MUTATION
};

static mutate_fn *const functions[MUTATION_COUNT] = {
#define MUTATION(name, weight, what) mutate_##name,
#include "workload/mutations.def"
#undef MUTATION
};

static u32 below(struct mutant *mutant, u32 bound)
{
	return prng_below(&mutant->prng, bound);
}

/* --- records --- */

#define TAGS_TASK  (BIT_ULL(TAG_OP) | BIT_ULL(TAG_TASK))
#define TAGS_SLOT  (BIT_ULL(TAG_SLOT) | BIT_ULL(TAG_ABSENT))
#define TAGS_WORLD (BIT_ULL(TAG_COUNT) - 1 - TAGS_TASK - BIT_ULL(TAG_DIRECTIVE) - BIT_ULL(TAG_NONE))
#define ANY_NUMBER (~0u)

static u32 nr_records(const struct mutant *mutant)
{
	return (u32)((mutant->size - INPUT_HEADER_BYTES) / INPUT_RECORD_BYTES);
}

static u8 *record_nth(const struct mutant *mutant, u32 nth)
{
	return mutant->data + INPUT_HEADER_BYTES + (size_t)nth * INPUT_RECORD_BYTES;
}

static u32 record_tag(const u8 *record)
{
	return record[0] & 15;
}

static u32 record_number(const u8 *record)
{
	return record[0] >> 4;
}

static bool record_is(const u8 *record, u64 tags, u32 number)
{
	return (tags >> record_tag(record) & 1) &&
	       (number == ANY_NUMBER || record_number(record) == number);
}

static u32 count_records(const struct mutant *mutant, u64 tags, u32 number)
{
	u32 nr = 0;

	for (u32 i = 0; i < nr_records(mutant); i++)
		nr += record_is(record_nth(mutant, i), tags, number);
	return nr;
}

/* Return: one that has one of @tags, and @number; NULL if none has. */
static u8 *pick_record(struct mutant *mutant, u64 tags, u32 number)
{
	u32 nr = count_records(mutant, tags, number);
	u32 nth = nr ? below(mutant, nr) : 0;

	for (u32 i = 0; nr; i++)
		if (record_is(record_nth(mutant, i), tags, number) && !nth--)
			return record_nth(mutant, i);
	return NULL;
}

/* Takes the record out and puts it in front of the one that is then number @to. */
static void shift_record(struct mutant *mutant, u32 from, u32 to)
{
	u8 kept[INPUT_RECORD_BYTES];

	memcpy(kept, record_nth(mutant, from), sizeof(kept));
	if (from < to)
		memmove(record_nth(mutant, from), record_nth(mutant, from + 1),
			(size_t)(to - from) * INPUT_RECORD_BYTES);
	else
		memmove(record_nth(mutant, to + 1), record_nth(mutant, to),
			(size_t)(from - to) * INPUT_RECORD_BYTES);
	memcpy(record_nth(mutant, to), kept, sizeof(kept));
}

static void delete_record(struct mutant *mutant, const u8 *record)
{
	u32 nth = (u32)((size_t)(record - mutant->data - INPUT_HEADER_BYTES) / INPUT_RECORD_BYTES);

	shift_record(mutant, nth, nr_records(mutant) - 1);
	mutant->size -= INPUT_RECORD_BYTES;
}

/* Return: a record of zeroes at a place drawn; NULL when there is no room. */
static u8 *insert_record(struct mutant *mutant, enum input_tag tag, u32 number)
{
	u32 nr = nr_records(mutant), to;
	u8 *record;

	if (mutant->room - mutant->size < INPUT_RECORD_BYTES)
		return NULL;
	mutant->size += INPUT_RECORD_BYTES;
	record = record_nth(mutant, nr);
	memset(record, 0, INPUT_RECORD_BYTES);
	record[0] = (u8)(tag | number << 4);
	to = below(mutant, nr + 1);
	shift_record(mutant, nr, to);
	return record_nth(mutant, to);
}

/* Return: number of a task that records speak of; 0 if there is none. */
static u32 pick_task(struct mutant *mutant)
{
	const u8 *record = pick_record(mutant, TAGS_TASK, ANY_NUMBER);

	return record ? record_number(record) : 0;
}

/* Return: enum task_kind; TASK_KIND_COUNT when no record says so. The first one that does decides. */
static u32 kind_of_task(const struct mutant *mutant, u32 number)
{
	for (u32 i = 0; i < nr_records(mutant); i++) {
		const u8 *record = record_nth(mutant, i);

		if (record_is(record, BIT_ULL(TAG_TASK), number))
			return record[1] % TASK_KIND_COUNT;
		if (record_is(record, BIT_ULL(TAG_OP), number))
			return op_rows[record[1] % 64 % OP_COUNT].kind;
	}
	return TASK_KIND_COUNT;
}

/* --- the header --- */

static bool mutate_seed(struct mutant *mutant)
{
	u64 seed = input_get(mutant->data + 8, 8);

	input_put(mutant->data + 8, 8,
		  below(mutant, 4) ? prng_next(&mutant->prng) : seed + 1 + below(mutant, 32));
	return true;
}

/* Another value for one byte of the header. */
static bool change_byte(struct mutant *mutant, u32 at, u32 bound)
{
	mutant->data[at] = (u8)((mutant->data[at] + 1 + below(mutant, bound - 1)) % bound);
	return true;
}

static bool mutate_strategy(struct mutant *mutant)
{
	return change_byte(mutant, 5, 256);
}

static bool mutate_schedules(struct mutant *mutant)
{
	return change_byte(mutant, 6, SCHEDULES_MAX);
}

static bool mutate_first(struct mutant *mutant)
{
	u8 flags = mutant->data[7] & FLAG_BARE;

	if (!(mutant->data[7] & FLAG_START) || below(mutant, 2))
		flags |= (u8)(FLAG_START | below(mutant, 16) << 4);
	mutant->data[7] = flags;
	return true;
}

static bool mutate_variant(struct mutant *mutant)
{
	return change_byte(mutant, 4, 256);
}

static bool mutate_redraw(struct mutant *mutant)
{
	input_put(mutant->data, 4, prng_next(&mutant->prng));
	mutant->data[7] &= (u8)~FLAG_BARE;
	mutant->size = INPUT_HEADER_BYTES;
	return true;
}

/* --- ops --- */

static u8 draw_op(struct mutant *mutant, u32 kind)
{
	bool any = !mutant->target || !below(mutant, 8);
	u32 weights[OP_COUNT], sum = 0, nth;

	for (u32 pass = 0; !sum; pass++) {
		for (u32 i = 0; i < OP_COUNT; i++) {
			bool mine = kind == TASK_KIND_COUNT || op_rows[i].kind == kind;

			weights[i] = any || pass ? 1 : mutant->target->op_weights[i];
			weights[i] *= mine;
			sum += weights[i];
		}
	}
	nth = below(mutant, sum);
	for (u32 i = 0;; i++) {
		if (nth < weights[i])
			return (u8)i;
		nth -= weights[i];
	}
}

static bool slot_record_has(const u8 *record, bool hva, u64 page)
{
	u64 packed = input_get(record + 1, 3),
	    start = hva ? packed >> 12 : input_get(record + 4, 4);

	return page >= start && page - start <= (packed & 0xfff);
}

/* The gfn that maps the hva *@page, or the other way round. Return: false when no slot has it. */
static bool other_side(struct mutant *mutant, bool from_hva, u64 *page)
{
	for (u32 i = 0; i < nr_records(mutant); i++) {
		const u8 *record = record_nth(mutant, i);
		u64 hva = input_get(record + 1, 3) >> 12, gfn = input_get(record + 4, 4);

		if (record_is(record, TAGS_SLOT, ANY_NUMBER) &&
		    slot_record_has(record, from_hva, *page)) {
			*page = from_hva ? *page - hva + gfn : *page - gfn + hva;
			return true;
		}
	}
	return false;
}

/* A page that an op wants or a slot has, as gfn or hva; or its neighbour. */
static u64 draw_page(struct mutant *mutant, bool hva)
{
	u64 page = 0;

	for (u32 i = 0; i < ATTEMPTS_MAX; i++) {
		const u8 *record = pick_record(mutant, BIT_ULL(TAG_OP) | TAGS_SLOT, ANY_NUMBER);
		bool is_hva = false;
		struct op op;

		if (!record)
			break;
		page = input_get(record + 4, 4);
		if (record_tag(record) == TAG_OP) {
			input_get_op(record, &op);
			if (op_form(&op)->page == OP_PAGE_NONE)
				continue;
			is_hva = op_form(&op)->page == OP_PAGE_HVA;
		} else {
			page += below(mutant, 1 + (u32)(input_get(record + 1, 3) & 0xfff));
		}
		if (is_hva == hva || other_side(mutant, is_hva, &page))
			break;
	}
	if (!below(mutant, 4))
		page += below(mutant, 2) ? 1 : page ? -1ull : 0;
	return page;
}

static u8 draw_slot(struct mutant *mutant)
{
	const u8 *record = pick_record(mutant, TAGS_SLOT, ANY_NUMBER);

	return (u8)((record ? record_number(record) : below(mutant, SLOTS_MAX)) % SLOTS_MAX);
}

/* Everything about @op but which one it is. */
static void draw_arguments(struct mutant *mutant, struct op *op)
{
	const struct op_form *form = op_form(op);

	op->access = form->accesses ? (u8)below(mutant, form->accesses) : 0;
	op->slot = form->slot ? draw_slot(mutant) : 0;
	op->start = form->page == OP_PAGE_NONE ? 0 : draw_page(mutant, form->page == OP_PAGE_HVA);
	op->end = form->range ? op->start + 1 + below(mutant, 4) : 0;
}

static bool mutate_op_insert(struct mutant *mutant)
{
	u32 number = below(mutant, 8) ? pick_task(mutant) : below(mutant, PROGRAM_TASKS_MAX);
	struct op op = { .id = draw_op(mutant, kind_of_task(mutant, number)) };
	u8 *record;

	draw_arguments(mutant, &op);
	record = insert_record(mutant, TAG_OP, number);
	if (!record)
		return false;
	input_put_op(record, &op);
	return true;
}

static bool mutate_op_delete(struct mutant *mutant)
{
	const u8 *record = pick_record(mutant, BIT_ULL(TAG_OP), ANY_NUMBER);

	if (!record || count_records(mutant, BIT_ULL(TAG_OP), ANY_NUMBER) == 1)
		return false;
	delete_record(mutant, record);
	return true;
}

static bool mutate_op_replace(struct mutant *mutant)
{
	u8 *record = pick_record(mutant, BIT_ULL(TAG_OP), ANY_NUMBER);
	const struct op_form *form;
	struct op op;

	if (!record)
		return false;
	input_get_op(record, &op);
	form = op_form(&op);
	op.id = draw_op(mutant, op_rows[op.id].kind);
	/* The page stays if the new one has a page of the same kind. */
	if (op_form(&op)->page != form->page || op_form(&op)->slot || form->slot)
		draw_arguments(mutant, &op);
	input_put_op(record, &op);
	return true;
}

static bool mutate_op_retarget(struct mutant *mutant)
{
	u8 *record = pick_record(mutant, BIT_ULL(TAG_OP), ANY_NUMBER);
	const struct op_form *form;
	struct op op;

	if (!record)
		return false;
	input_get_op(record, &op);
	form = op_form(&op);
	if (form->page == OP_PAGE_NONE)
		return false;
	input_put(record + 4, 4, draw_page(mutant, form->page == OP_PAGE_HVA));
	return true;
}

static bool mutate_op_resize(struct mutant *mutant)
{
	u8 *record = pick_record(mutant, BIT_ULL(TAG_OP), ANY_NUMBER);
	struct op op;

	if (!record)
		return false;
	input_get_op(record, &op);
	if (!op_form(&op)->range)
		return false;
	op.end = op.start + 1 + below(mutant, below(mutant, 4) ? 4 : 32);
	input_put_op(record, &op);
	return true;
}

static bool mutate_op_vary(struct mutant *mutant)
{
	u8 *record = pick_record(mutant, BIT_ULL(TAG_OP), ANY_NUMBER);
	const struct op_form *form;
	struct op op;

	if (!record)
		return false;
	input_get_op(record, &op);
	form = op_form(&op);
	if (form->accesses > 1)
		op.access =
			(u8)((op.access + 1 + below(mutant, form->accesses - 1u)) % form->accesses);
	else if (form->slot)
		op.slot = draw_slot(mutant);
	else
		return false;
	input_put_op(record, &op);
	return true;
}

static bool mutate_op_task(struct mutant *mutant)
{
	u8 *record = pick_record(mutant, BIT_ULL(TAG_OP), ANY_NUMBER);
	u32 kind, number;

	if (!record)
		return false;
	kind = op_rows[record[1] % 64 % OP_COUNT].kind;
	number = below(mutant, 4) ? pick_task(mutant) : below(mutant, PROGRAM_TASKS_MAX);
	if (number == record_number(record))
		return false;
	/* Another kind of task would do another op. */
	if (kind_of_task(mutant, number) != TASK_KIND_COUNT && kind_of_task(mutant, number) != kind)
		return false;
	record[0] = (u8)(TAG_OP | number << 4);
	return true;
}

/* --- any records --- */

static bool mutate_record_swap(struct mutant *mutant)
{
	u8 *one = pick_record(mutant, BIT_ULL(TAG_OP) | BIT_ULL(TAG_DIRECTIVE), ANY_NUMBER);
	u8 kept[INPUT_RECORD_BYTES];
	u8 *other;

	if (!one)
		return false;
	other = pick_record(mutant, BIT_ULL(record_tag(one)), record_number(one));
	if (!memcmp(one, other, sizeof(kept)))
		return false;
	memcpy(kept, one, sizeof(kept));
	memcpy(one, other, sizeof(kept));
	memcpy(other, kept, sizeof(kept));
	return true;
}

static bool mutate_record_move(struct mutant *mutant)
{
	u32 nr = nr_records(mutant), from;

	if (nr < 2)
		return false;
	from = below(mutant, nr);
	shift_record(mutant, from, (from + 1 + below(mutant, nr - 1)) % nr);
	return true;
}

static bool mutate_world(struct mutant *mutant)
{
	u8 *record = pick_record(mutant, TAGS_WORLD, ANY_NUMBER);
	u32 tag;

	if (record && below(mutant, 4)) {
		record[1 + below(mutant, INPUT_RECORD_BYTES - 1)] ^= (u8)(1u << below(mutant, 8));
		return true;
	}
	do
		tag = below(mutant, TAG_COUNT);
	while (!(TAGS_WORLD >> tag & 1));
	record = insert_record(mutant, tag, below(mutant, 16));
	if (!record)
		return false;
	input_put(record + 1, INPUT_RECORD_BYTES - 1, prng_next(&mutant->prng));
	return true;
}

/* --- directives --- */

static u32 draw_ordinal(struct mutant *mutant)
{
	return 1 + below(mutant, 1u << below(mutant, ORDINAL_BITS));
}

/* Where: the op and the point in it. rcu0 has callbacks instead, and few of them. */
static void draw_place(struct mutant *mutant, struct directive *directive)
{
	u32 nr_ops = count_records(mutant, BIT_ULL(TAG_OP), directive->task);

	directive->op = (u16)below(mutant, nr_ops && directive->task != TASK_RCU ? nr_ops : 4);
	directive->place = AT_SITE;
	if (directive->action == DO_SWITCH && !below(mutant, 8))
		directive->place = below(mutant, 2) ? AT_START : AT_END;
	directive->ordinal = directive->place == AT_SITE ? draw_ordinal(mutant) : 0;
}

static u8 draw_directed(struct mutant *mutant)
{
	return (u8)(below(mutant, 16) ? pick_task(mutant) : TASK_RCU);
}

static bool mutate_directive_insert(struct mutant *mutant)
{
	struct directive directive = { .task = draw_directed(mutant) };
	u8 *record;

	if (count_records(mutant, BIT_ULL(TAG_DIRECTIVE), ANY_NUMBER) >= DIRECTIVES_MAX)
		return false;
	if (below(mutant, 4)) {
		directive.action = DO_SWITCH;
		directive.to = draw_directed(mutant);
	} else {
		directive.action = DO_ANSWER;
		directive.answer = 1 + below(mutant, 4);
	}
	draw_place(mutant, &directive);
	record = insert_record(mutant, TAG_DIRECTIVE, directive.task);
	if (!record)
		return false;
	input_put_directive(record, &directive);
	return true;
}

static bool mutate_directive_delete(struct mutant *mutant)
{
	const u8 *record = pick_record(mutant, BIT_ULL(TAG_DIRECTIVE), ANY_NUMBER);

	if (!record)
		return false;
	delete_record(mutant, record);
	return true;
}

static bool mutate_directive_move(struct mutant *mutant)
{
	u8 *record = pick_record(mutant, BIT_ULL(TAG_DIRECTIVE), ANY_NUMBER);
	struct directive directive;
	u32 ordinal;

	if (!record)
		return false;
	if (!below(mutant, 4)) {
		input_get_directive(record, &directive);
		draw_place(mutant, &directive);
		input_put_directive(record, &directive);
		return true;
	}
	/* A few points on or back; the ordinal wraps nowhere. */
	ordinal = (u32)input_get(record + 2, 2);
	if (below(mutant, 2))
		ordinal = (u32)min_u64(ordinal + draw_ordinal(mutant), UINT16_MAX);
	else
		ordinal -= (u32)min_u64(draw_ordinal(mutant), ordinal ? ordinal - 1 : 0);
	input_put(record + 2, 2, ordinal);
	return true;
}

static bool mutate_directive_aim(struct mutant *mutant)
{
	u8 *record = pick_record(mutant, BIT_ULL(TAG_DIRECTIVE), ANY_NUMBER);
	struct directive directive;

	if (!record)
		return false;
	input_get_directive(record, &directive);
	if (directive.action == DO_ANSWER)
		directive.answer = below(mutant, 8);
	else
		directive.to = draw_directed(mutant);
	input_put_directive(record, &directive);
	return true;
}

/* --- inputs --- */

/* Cuts or fills @data so that header and records are whole. Return: the size, 0 when there is no room for it. */
static size_t make_whole(u8 *data, size_t size, size_t room)
{
	size = min_u64(size, room);
	if (room < INPUT_HEADER_BYTES)
		return 0;
	if (size < INPUT_HEADER_BYTES)
		memset(data + size, 0, INPUT_HEADER_BYTES - size);
	else
		return size - (size - INPUT_HEADER_BYTES) % INPUT_RECORD_BYTES;
	return INPUT_HEADER_BYTES;
}

/* What the generator drew becomes records, if there are no tasks in them yet. Return: whether tasks are records. */
static bool spell_out(struct mutant *mutant)
{
	static struct input input;
	static u8 spelled[INPUT_BYTES_MAX];
	size_t size;

	if (count_records(mutant, TAGS_TASK, ANY_NUMBER))
		return true;
	if (!mutant->target)
		return false;
	input_decode(&input, mutant->target, mutant->data, mutant->size);
	size = input_encode(&input, spelled, min_u64(mutant->room, sizeof(spelled)));
	if (!size)
		return false;
	memcpy(mutant->data, spelled, size);
	mutant->size = size;
	return true;
}

static bool of_header(u32 mutation)
{
	return mutation <= MUTATION_redraw;
}

static u32 draw_mutation(struct mutant *mutant, bool header_only)
{
	u32 sum = 0, nth, i;

	for (i = 0; i < MUTATION_COUNT; i++)
		sum += header_only && !of_header(i) ? 0 : mutation_rows[i].weight;
	nth = below(mutant, sum);
	for (i = 0; nth >= (header_only && !of_header(i) ? 0 : mutation_rows[i].weight); i++)
		nth -= header_only && !of_header(i) ? 0 : mutation_rows[i].weight;
	return i;
}

/* Not even a header: bytes that are left out are 0. */
static size_t mutate_short(u8 *data, size_t room, struct prng *prng)
{
	for (size_t i = 0; i < room; i++)
		data[i] = (u8)prng_next(prng);
	return room;
}

size_t input_mutate_by(enum mutation mutation, const struct target *target, u8 *data, size_t size,
		       size_t room, u64 seed)
{
	struct mutant mutant = { .target = target, .data = data, .room = room };

	mutant.prng = prng_seeded(seed);
	mutant.size = make_whole(data, size, room);
	return mutant.size && functions[mutation](&mutant) ? mutant.size : 0;
}

size_t input_mutate(const struct target *target, u8 *data, size_t size, size_t room, u64 seed)
{
	struct mutant mutant = { .target = target, .data = data, .room = room };
	u32 left;

	mutant.prng = prng_seeded(seed);
	mutant.size = make_whole(data, size, room);
	if (!mutant.size)
		return mutate_short(data, room, &mutant.prng);
	left = 1 + below(&mutant, below(&mutant, 2) ? 1 : STACKED_MAX);
	for (u32 attempts = 0; left && attempts < ATTEMPTS_MAX; attempts++) {
		u32 mutation = draw_mutation(&mutant, false);

		if (!of_header(mutation) && !spell_out(&mutant))
			mutation = draw_mutation(&mutant, true);
		left -= functions[mutation](&mutant);
	}
	return mutant.size;
}

/* --- two inputs --- */

static void append(struct mutant *mutant, const u8 *record)
{
	if (mutant->room - mutant->size < INPUT_RECORD_BYTES)
		return;
	memcpy(mutant->data + mutant->size, record, INPUT_RECORD_BYTES);
	mutant->size += INPUT_RECORD_BYTES;
}

/*
 * Which of the two a record is taken from, by what it is about: all lines of the world from one of them, a task with its
 * directives from one of them. Halves of tasks would find their pages gone.
 */
static u32 side(u32 sides, const u8 *record)
{
	if (record_is(record, TAGS_TASK | BIT_ULL(TAG_DIRECTIVE), ANY_NUMBER))
		return sides >> record_number(record) & 1;
	return sides >> 16 & 1;
}

size_t input_splice(const struct target *target, const u8 *one, size_t one_size, const u8 *other,
		    size_t other_size, u8 *data, size_t room, u64 seed)
{
	static u8 whole[2][INPUT_BYTES_MAX];
	struct mutant mutant = { .target = target, .data = data, .room = room };
	struct mutant parents[2] = { { .data = whole[0] }, { .data = whole[1] } };
	const u8 *bytes[2] = { one, other };
	size_t sizes[2] = { one_size, other_size };
	u32 sides;

	mutant.prng = prng_seeded(seed);
	for (u32 i = 0; i < 2; i++) {
		struct mutant *parent = &parents[i];

		parent->target = target;
		parent->room = sizeof(whole[i]);
		sizes[i] = min_u64(sizes[i], parent->room);
		if (sizes[i])
			memcpy(parent->data, bytes[i], sizes[i]);
		parent->size = make_whole(parent->data, sizes[i], parent->room);
		spell_out(parent);
	}
	if (room < INPUT_HEADER_BYTES)
		return mutate_short(data, room, &mutant.prng);
	memcpy(data, whole[below(&mutant, 2)], INPUT_HEADER_BYTES);
	mutant.size = INPUT_HEADER_BYTES;
	sides = (u32)prng_next(&mutant.prng);
	/* All of the world comes from its records, or from the generator of the side that gives it. */
	data[7] = (u8)((data[7] & ~FLAG_BARE) | (whole[sides >> 16 & 1][7] & FLAG_BARE));
	memcpy(data, whole[sides >> 16 & 1], 4);
	for (u32 from = 0; from < 2; from++)
		for (u32 i = 0; i < nr_records(&parents[from]); i++)
			if (side(sides, record_nth(&parents[from], i)) == from)
				append(&mutant, record_nth(&parents[from], i));
	return mutant.size;
}
