/*
 * The parser: strict, one pass, every error at its line and column. What a line says is judged as
 * soon as it is read, so that lines which others depend on have to come first: the format, geometry
 * and levels before slots, the world before the tasks, the tasks before the schedule.
 */
#include <string.h>

#include "workload/text_internal.h"

enum section { IN_WORLD, IN_TASKS, IN_SCHEDULE };

enum line_id {
	LINE_target,
	LINE_geometry,
	LINE_levels,
	LINE_variant,
	LINE_seq,
	LINE_dirty,
	LINE_as,
	LINE_slot,
	LINE_map,
	LINE_subscriber,
	LINE_limit,
	LINE_bug,
	LINE_expect,
	LINE_forbid,
	LINE_why,
	LINE_fix,
	LINE_task,
	LINE_strategy,
	LINE_start,
	LINE_at,
	LINE_COUNT
};

struct parser {
	const char *text;
	size_t size, at; /* at: next byte */
	size_t line_start;
	u32 line; /* from 1 */
	enum section section;
	u32 as_id; /* of the slots to come */
	u32 seen[LINE_COUNT]; /* line of the first such line, 0: none yet */
	struct repro *repro;
	struct text_error *error;
};

/* --- errors --- */

static bool fail_text(struct parser *parser, u32 column, struct buf *message)
{
	parser->error->line = parser->line;
	parser->error->column = column;
	text_copy(parser->error->message, sizeof(parser->error->message), message->data,
		  message->size);
	buf_free(message);
	return false;
}

#define fail_at(parser, column, ...)                  \
	({                                            \
		struct buf message_ = { 0 };          \
		buf_printf(&message_, __VA_ARGS__);   \
		fail_text(parser, column, &message_); \
	})

static bool fail_expected(struct parser *parser, const char *what, struct word found)
{
	struct buf message = { 0 };

	buf_printf(&message, "expected %s, found ", what);
	word_quote(&message, found);
	return fail_text(parser, found.column, &message);
}

static bool fail_one_of(struct parser *parser, const char *what, struct word found,
			const char *const *words, u32 nr_words)
{
	struct buf message = { 0 };

	expected_one_of(&message, what, found, words, nr_words);
	return fail_text(parser, found.column, &message);
}

/* --- words --- */

static bool at_line_end(const struct parser *parser)
{
	return parser->at == parser->size || parser->text[parser->at] == '\n';
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The next word of the line. With @punctuation, each of { } ; is a word of its own. */
static struct word scan(struct parser *parser, bool punctuation)
{
	struct word word;

	while (!at_line_end(parser) && is_blank(parser->text[parser->at]))
		parser->at++;
	word.at = parser->text + parser->at;
	word.size = 0;
	word.column = (u32)(parser->at - parser->line_start) + 1;
	while (!at_line_end(parser) && !is_blank(parser->text[parser->at])) {
		char c = parser->text[parser->at];
		bool alone = punctuation && (c == '{' || c == '}' || c == ';');

		if (alone && word.size)
			break;
		parser->at++;
		word.size++;
		if (alone)
			break;
	}
	return word;
}

static struct word next_word(struct parser *parser)
{
	return scan(parser, false);
}

static struct word peek_word(struct parser *parser)
{
	size_t at = parser->at;
	struct word word = scan(parser, false);

	parser->at = at;
	return word;
}

static bool line_end(struct parser *parser)
{
	struct word word = next_word(parser);

	return !word.size || fail_expected(parser, "the end of the line", word);
}

static bool literal(struct parser *parser, const char *text)
{
	struct word word = next_word(parser);

	return word_is(word, text) || fail_one_of(parser, text, word, &text, 1);
}

/* Letters, digits and what stands between them in names. Into @to of @room bytes. */
static bool name(struct parser *parser, const char *what, char *to, size_t room)
{
	struct word word = next_word(parser);

	for (size_t i = 0; i < word.size; i++) {
		char c = word.at[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '_' && c != '-')
			return fail_expected(parser, what, word);
	}
	if (!word.size || word.size >= room)
		return fail_expected(parser, what, word);
	text_copy(to, room, word.at, word.size);
	return true;
}

/* Any printable word. "-" stands for nothing. */
static bool printable(struct parser *parser, const char *what, struct word word, char *to,
		      size_t room)
{
	for (size_t i = 0; i < word.size; i++)
		if (word.at[i] <= ' ' || word.at[i] > '~')
			return fail_expected(parser, what, word);
	if (word.size >= room)
		return fail_at(parser, word.column, "expected %s of at most %zu characters", what,
			       room - 1);
	text_copy(to, room, word.at, word_is(word, "-") ? 0 : word.size);
	return true;
}

/* --- numbers --- */

enum digits { DIGITS_OK, DIGITS_NONE, DIGITS_TOO_BIG };

static u32 digit(char c)
{
	if (c >= '0' && c <= '9')
		return (u32)(c - '0');
	if (c >= 'a' && c <= 'f')
		return (u32)(c - 'a') + 10;
	if (c >= 'A' && c <= 'F')
		return (u32)(c - 'A') + 10;
	return 16;
}

/* Decimal, or hexadecimal after 0x. */
static enum digits digits(struct word word, u64 *value)
{
	u32 base = 10;
	size_t i = 0;

	*value = 0;
	if (word.size > 2 && word.at[0] == '0' && word.at[1] == 'x') {
		base = 16;
		i = 2;
	}
	if (i == word.size)
		return DIGITS_NONE;
	for (size_t j = i; j < word.size; j++)
		if (digit(word.at[j]) >= base)
			return DIGITS_NONE;
	for (; i < word.size; i++) {
		if (*value > (~0ull - digit(word.at[i])) / base)
			return DIGITS_TOO_BIG;
		*value = *value * base + digit(word.at[i]);
	}
	return DIGITS_OK;
}

static bool number(struct parser *parser, const char *what, struct word word, u64 min, u64 max,
		   u64 *value)
{
	enum digits how = digits(word, value);
	struct buf message = { 0 };

	if (how == DIGITS_OK && *value >= min && *value <= max)
		return true;
	buf_printf(&message, "expected %s", what);
	if (how != DIGITS_NONE)
		buf_printf(&message, " from %llu to %llu", (unsigned long long)min,
			   (unsigned long long)max);
	buf_printf(&message, ", found ");
	word_quote(&message, word);
	return fail_text(parser, word.column, &message);
}

static bool next_number(struct parser *parser, const char *what, u64 min, u64 max, u64 *value)
{
	return number(parser, what, next_word(parser), min, max, value);
}

/* Page numbers: whether they are in range is judged with what they belong to. */
#define PAGE_NUMBER_MAX (BIT_ULL(56) - 1)

/* A..B, not empty. */
static bool range(struct parser *parser, const char *what, struct word word, u64 *start, u64 *end)
{
	struct word left = word, right = word;
	size_t dots = 0;

	while (dots + 1 < word.size && (word.at[dots] != '.' || word.at[dots + 1] != '.'))
		dots++;
	if (dots + 1 >= word.size)
		return fail_expected(parser, what, word);
	left.size = dots;
	right.at += dots + 2;
	right.size -= dots + 2;
	right.column += (u32)dots + 2;
	if (!left.size || !right.size)
		return fail_expected(parser, what, word);
	if (!number(parser, "a page number", left, 0, PAGE_NUMBER_MAX, start) ||
	    !number(parser, "a page number", right, 0, PAGE_NUMBER_MAX, end))
		return false;
	if (*start >= *end)
		return fail_expected(parser, "a range that ends after it starts", word);
	return true;
}

/* NAME#N, N from 1: cuts #N off. */
static bool ordinal_of(struct parser *parser, const char *what, struct word *word, u32 *nth)
{
	struct word right = *word;
	size_t hash = word->size;
	u64 value;

	while (hash && word->at[hash - 1] != '#')
		hash--;
	if (hash < 2 || hash == word->size)
		return fail_expected(parser, what, *word);
	right.at += hash;
	right.size -= hash;
	right.column += (u32)hash;
	if (!number(parser, "a count", right, 1, UINT32_MAX, &value))
		return false;
	word->size = hash - 1;
	*nth = (u32)value;
	return true;
}

/* --- lines of the world --- */

static bool parse_target(struct parser *parser)
{
	const char *names[64];
	struct word word = peek_word(parser);
	u32 nr = targets_count();

	if (!name(parser, "the name of a target", parser->repro->target,
		  sizeof(parser->repro->target)))
		return false;
	if (!nr || target_by_name(parser->repro->target))
		return true;
	if (nr > ARRAY_SIZE(names))
		nr = ARRAY_SIZE(names);
	for (u32 i = 0; i < nr; i++)
		names[i] = target_nth(i)->name;
	return fail_one_of(parser, "a target", word, names, nr);
}

/* Slots are judged by geometry and levels, so these come first. */
static bool before_slots(struct parser *parser, const char *line)
{
	if (parser->seen[LINE_slot])
		return fail_at(parser, 1,
			       "expected '%s' before the first slot, which is on line %u", line,
			       parser->seen[LINE_slot]);
	return true;
}

static bool parse_geometry(struct parser *parser)
{
	u64 value;

	if (parser->seen[LINE_map])
		return fail_at(parser, 1,
			       "expected 'geometry' before the first map, which is on line %u",
			       parser->seen[LINE_map]);
	if (!before_slots(parser, "geometry") ||
	    !next_number(parser, "bits of a table index", WORLD_GEOMETRY_MIN, WORLD_GEOMETRY_MAX,
			 &value))
		return false;
	parser->repro->program.world.geometry = (u32)value;
	if (!parser->seen[LINE_limit])
		parser->repro->program.world.points_max = world_points_default((u32)value);
	return true;
}

static bool parse_levels(struct parser *parser)
{
	u64 value;

	if (!before_slots(parser, "levels") ||
	    !next_number(parser, "levels", 2, PT_LEVEL_MAX, &value))
		return false;
	parser->repro->program.world.levels = (u32)value;
	return true;
}

static bool parse_variant(struct parser *parser)
{
	struct word word = next_word(parser);

	if (!word.size)
		return fail_expected(parser, "a variant", word);
	if (variant_parse(&parser->repro->program.world.variant, word.at, word.size, parser->error))
		return true;
	parser->error->line = parser->line;
	parser->error->column += word.column - 1;
	return false;
}

static bool parse_seq(struct parser *parser)
{
	return next_number(parser, "a sequence number", 0, WORLD_SEQ_MAX,
			   &parser->repro->program.world.seq);
}

static bool parse_dirty(struct parser *parser)
{
	struct word word = next_word(parser);
	u32 mode = word_find(word, dirty_mode_words, DIRTY_LOG_MODE_COUNT);

	if (mode == DIRTY_LOG_MODE_COUNT)
		return fail_one_of(parser, "a mode of dirty logs", word, dirty_mode_words,
				   DIRTY_LOG_MODE_COUNT);
	parser->repro->program.world.dirty_mode = mode;
	return true;
}

static bool parse_as(struct parser *parser)
{
	u64 value;

	if (!next_number(parser, "an address space", 0, AS_MAX - 1, &value))
		return false;
	parser->as_id = (u32)value;
	return true;
}

/*
 * The rest of a line on which each of @words may stand once, in any order, and nothing else. *there:
 * BIT(position) of those that do.
 */
static bool options(struct parser *parser, const char *const *words, u32 nr_words, u32 *there)
{
	for (*there = 0;;) {
		struct word found = peek_word(parser);
		u32 nr = word_find(found, words, nr_words);
		struct buf what = { 0 };

		if (!found.size)
			return true;
		if (nr < nr_words && !(*there >> nr & 1)) {
			next_word(parser);
			*there |= 1u << nr;
			continue;
		}
		for (u32 i = 0; i < nr_words; i++)
			if (!(*there >> i & 1))
				buf_printf(&what, "%s or ", words[i]);
		buf_printf(&what, "the end of the line");
		fail_expected(parser, buf_text(&what), found);
		buf_free(&what);
		return false;
	}
}

static bool parse_slot(struct parser *parser)
{
	static const char *const words[] = { "absent", "log" };
	struct world *world = &parser->repro->program.world;
	struct subject_slot *slot = &world->slots[world->nr_slots];
	struct word id = next_word(parser), gfns;
	struct flaw flaw;
	u32 there;
	u64 value;

	if (world->nr_slots == SLOTS_MAX)
		return fail_at(parser, 1, "expected at most %u slots", SLOTS_MAX);
	if (!number(parser, "a slot", id, 0, SLOTS_MAX - 1, &value))
		return false;
	slot->id = (u32)value;
	slot->as_id = parser->as_id;
	gfns = next_word(parser);
	if (!range(parser, "gfns A..B", gfns, &slot->start, &slot->end) ||
	    !literal(parser, "hva") || !next_number(parser, "an hva", 0, HVA_MAX - 1, &slot->hva) ||
	    !options(parser, words, ARRAY_SIZE(words), &there))
		return false;
	for (u32 i = 0; i < world->nr_slots; i++)
		if (world->slots[i].id == slot->id)
			return fail_at(parser, id.column, "there is a slot %u already", slot->id);
	if (!slot_check(world, world->nr_slots, &flaw))
		return fail_at(parser, gfns.column, "%s", flaw.message);
	world->nr_slots++;
	slot->logging = there >> 1 & 1;
	world->absent |= (there & 1) << slot->id;
	return true;
}

static bool parse_map(struct parser *parser)
{
	static const char *const words[] = { "ro" };
	struct world *world = &parser->repro->program.world;
	struct map_line *map = &world->maps[world->nr_maps];
	struct word hvas = next_word(parser), order;
	struct flaw flaw;
	u32 there;
	u64 value;

	if (world->nr_maps == MAPS_MAX)
		return fail_at(parser, 1, "expected at most %u maps", MAPS_MAX);
	if (!range(parser, "hvas A..B", hvas, &map->start, &map->end) || !literal(parser, "order"))
		return false;
	order = next_word(parser);
	if (!number(parser, "an order", order, 0, UINT32_MAX, &value))
		return false;
	map->order = (u32)value;
	if (!options(parser, words, ARRAY_SIZE(words), &there))
		return false;
	map->read_only = there;
	if (!map_check(world, world->nr_maps, &flaw))
		return fail_at(parser,
			       order_level(world, map->order) && !(map->order && there)
				       ? hvas.column
				       : order.column,
			       "%s", flaw.message);
	world->nr_maps++;
	return true;
}

static bool parse_limit(struct parser *parser)
{
	return literal(parser, "points") && next_number(parser, "points", 1, WORLD_POINTS_MAX_MAX,
							&parser->repro->program.world.points_max);
}

static bool parse_bug(struct parser *parser)
{
	const char *slugs[BUG_COUNT] = { "none" };
	struct word word = next_word(parser);
	u32 nr;

	for (u32 i = 1; i < BUG_COUNT; i++)
		slugs[i] = bug_rows[i].slug;
	nr = word_find(word, slugs, BUG_COUNT);
	if (nr == BUG_COUNT)
		return fail_one_of(parser, "the slug of a bug, or none", word, slugs, BUG_COUNT);
	parser->repro->bug = nr;
	return true;
}

/* ORACLE [CLASS [SITE [/ SITE]]], or none. */
static bool parse_expect(struct parser *parser)
{
	struct expectation *expect = &parser->repro->expect;
	struct word word;

	if (!name(parser, "an oracle, or none", expect->oracle, sizeof(expect->oracle)))
		return false;
	if (!strcmp(expect->oracle, "none"))
		return true;
	if (!printable(parser, "a class", next_word(parser), expect->class,
		       sizeof(expect->class)) ||
	    !printable(parser, "a site", next_word(parser), expect->site[0], SITE_TEXT_MAX))
		return false;
	if (!peek_word(parser).size)
		return true;
	if (!literal(parser, "/"))
		return false;
	word = next_word(parser);
	if (!word.size)
		return fail_expected(parser, "a site", word);
	return printable(parser, "a site", word, expect->site[1], SITE_TEXT_MAX);
}

/* One word of a NULL-terminated list, whose bit is not set yet: into the mask. */
static bool parse_mask(struct parser *parser, const char *what, const char *const *words,
		       const char *already, u32 *mask)
{
	struct word word = next_word(parser);
	u32 nr_words = 0, nr;

	while (words[nr_words])
		nr_words++;
	nr = word_find(word, words, nr_words);
	if (nr == nr_words)
		return fail_one_of(parser, what, word, words, nr_words);
	if (*mask >> nr & 1)
		return fail_at(parser, word.column, "'%s' %s already", words[nr], already);
	*mask |= 1u << nr;
	return true;
}

static bool parse_forbid(struct parser *parser)
{
	return parse_mask(parser, "a class of retry", forbid_words, "is forbidden",
			  &parser->repro->forbidden);
}

static bool parse_subscriber(struct parser *parser)
{
	return parse_mask(parser, "a subscriber", subscriber_names, "subscribes",
			  &parser->repro->program.world.subscribers);
}

/* The rest of the line, without blanks at its ends. */
static bool free_text(struct parser *parser, char *to, size_t room)
{
	struct word word = peek_word(parser);
	size_t size = 0;

	if (!word.size)
		return fail_expected(parser, "some text", word);
	parser->at = (size_t)(word.at - parser->text);
	for (; !at_line_end(parser); parser->at++) {
		u8 c = (u8)parser->text[parser->at];

		if (c < ' ' || c == 0x7f)
			return fail_at(parser, (u32)(parser->at - parser->line_start) + 1,
				       "expected a printable character, found code %u", c);
		size++;
	}
	while (is_blank(word.at[size - 1]))
		size--;
	if (size >= room)
		return fail_at(parser, word.column, "expected at most %zu characters, found %zu",
			       room - 1, size);
	text_copy(to, room, word.at, size);
	return true;
}

static bool parse_why(struct parser *parser)
{
	return free_text(parser, parser->repro->why, sizeof(parser->repro->why));
}

static bool parse_fix(struct parser *parser)
{
	return free_text(parser, parser->repro->fix, sizeof(parser->repro->fix));
}

/* --- tasks --- */

/* One of the first @accesses letters. */
static bool parse_access(struct parser *parser, u32 accesses, struct op *op)
{
	struct word word = scan(parser, true);

	for (u32 i = 0; i < accesses; i++) {
		if (word.size == 1 && word.at[0] == access_letters[i]) {
			op->access = (u8)i;
			return true;
		}
	}
	return fail_expected(parser, accesses == ACCESS_COUNT ? "r, w or x" : "r or w", word);
}

/* The id of a slot that the world has. */
static bool parse_slot_ref(struct parser *parser, struct op *op)
{
	const struct world *world = &parser->repro->program.world;
	struct word word = scan(parser, true);
	u64 value;

	if (!number(parser, "a slot", word, 0, SLOTS_MAX - 1, &value))
		return false;
	op->slot = (u8)value;
	return world_slot(world, op->slot) ||
	       fail_at(parser, word.column, "there is no slot %u; expected one of the world's",
		       op->slot);
}

static bool parse_page(struct parser *parser, const struct op_form *form, struct word word,
		       struct op *op)
{
	if (!form->range)
		return number(parser, "a page number", word, 0, PAGE_NUMBER_MAX, &op->start);
	return range(parser, form->page == OP_PAGE_GFN ? "gfns A..B" : "hvas A..B", word,
		     &op->start, &op->end);
}

static bool parse_op_name(struct parser *parser, struct word word, u8 kind, struct op *op)
{
	const char *names[OP_COUNT];
	u32 id, nr = 0;

	for (u32 i = 0; i < OP_COUNT; i++)
		names[i] = op_rows[i].name;
	id = word_find(word, names, OP_COUNT);
	if (id < OP_COUNT && op_rows[id].kind == kind) {
		op->id = (u8)id;
		return true;
	}
	if (id < OP_COUNT)
		return fail_at(parser, word.column,
			       "'%s' is an op of a %s task, but this is a %s task", names[id],
			       task_kind_names[op_rows[id].kind], task_kind_names[kind]);
	for (u32 i = 0; i < OP_COUNT; i++)
		if (op_rows[i].kind == kind)
			names[nr++] = op_rows[i].name;
	return fail_one_of(parser, "an op", word, names, nr);
}

static bool parse_op(struct parser *parser, u32 task_nr)
{
	struct program *program = &parser->repro->program;
	struct task_program *task = &program->tasks[task_nr];
	struct word word = scan(parser, true), argument = word;
	const struct op_form *form;
	struct flaw flaw;
	struct op *op;

	if (task->nr_ops == OPS_MAX)
		return fail_at(parser, word.column, "expected at most %u ops", OPS_MAX);
	op = &task->ops[task->nr_ops];
	if (!parse_op_name(parser, word, task->kind, op))
		return false;
	form = op_form(op);
	if (form->accesses && !parse_access(parser, form->accesses, op))
		return false;
	if (form->slot && !parse_slot_ref(parser, op))
		return false;
	if (form->page != OP_PAGE_NONE) {
		argument = scan(parser, true);
		if (!parse_page(parser, form, argument, op))
			return false;
	}
	if (!op_check(program, task_nr, task->nr_ops, &flaw))
		return fail_at(parser, argument.column, "%s", flaw.message);
	task->nr_ops++;
	if (program_pages(program) > PROGRAM_PAGES_MAX)
		return fail_at(parser, word.column,
			       "up to here the program may need %llu pages, and there are %u",
			       (unsigned long long)program_pages(program), PROGRAM_PAGES_MAX);
	return true;
}

/* N vcpu K, N notifier or N vm. Tasks are numbered as they come. */
static bool parse_task_head(struct parser *parser, u32 nr)
{
	struct task_program *task = &parser->repro->program.tasks[nr];
	struct word word;
	u64 value;

	if (!next_number(parser, "the next task's number", nr, nr, &value))
		return false;
	word = scan(parser, true);
	task->kind = (u8)word_find(word, task_kind_names, TASK_KIND_COUNT);
	if (task->kind == TASK_KIND_COUNT)
		return fail_one_of(parser, "a kind of task", word, task_kind_names,
				   TASK_KIND_COUNT);
	if (task->kind != TASK_VCPU)
		return true;
	word = scan(parser, true);
	if (!number(parser, "a vCPU", word, 0, VCPUS_MAX - 1, &value))
		return false;
	task->vcpu = (u8)value;
	for (u32 i = 0; i < nr; i++)
		if (parser->repro->program.tasks[i].kind == TASK_VCPU &&
		    parser->repro->program.tasks[i].vcpu == value)
			return fail_at(parser, word.column, "vCPU %u is that of task %u already",
				       (u32)value, i);
	return true;
}

static bool parse_task(struct parser *parser)
{
	struct program *program = &parser->repro->program;
	u32 nr = program->nr_tasks;
	struct word word;

	if (nr == PROGRAM_TASKS_MAX)
		return fail_at(parser, 1, "expected at most %u tasks", PROGRAM_TASKS_MAX);
	program->nr_tasks++; /* whatever comes after an error is not looked at */
	if (!parse_task_head(parser, nr))
		return false;
	word = scan(parser, true);
	if (!word_is(word, "{"))
		return fail_expected(parser, "'{'", word);
	do {
		if (!parse_op(parser, nr))
			return false;
		word = scan(parser, true);
	} while (word_is(word, ";"));
	return word_is(word, "}") || fail_expected(parser, "';' or '}'", word);
}

/* --- the schedule --- */

/* A task's number, or rcu0. */
static bool task_ref(struct parser *parser, u8 *task)
{
	struct word word = next_word(parser);
	u64 value;

	if (word_is(word, "rcu0")) {
		*task = TASK_RCU;
		return true;
	}
	if (word.size && digit(word.at[0]) >= 10)
		return fail_expected(parser, "the number of a task, or rcu0", word);
	if (!number(parser, "a task", word, 0, parser->repro->program.nr_tasks - 1, &value))
		return false;
	*task = (u8)value;
	return true;
}

static bool parse_strategy(struct parser *parser)
{
	struct schedule *schedule = &parser->repro->schedule;

	return name(parser, "the name of a strategy", schedule->strategy,
		    sizeof(schedule->strategy)) &&
	       literal(parser, "seed") && next_number(parser, "a seed", 0, ~0ull, &schedule->seed);
}

static bool parse_start(struct parser *parser)
{
	struct schedule *schedule = &parser->repro->schedule;
	u32 column = peek_word(parser).column;
	struct flaw flaw;

	schedule->has_first = true;
	if (!task_ref(parser, &schedule->first))
		return false;
	return schedule_check(&parser->repro->program, schedule, &flaw) ||
	       fail_at(parser, column, "%s", flaw.message);
}

/* What RCU callbacks are called: all have one name, and are counted over the schedule. */
static bool callback_ref(struct parser *parser, struct word word, struct word name, u32 nth,
			 struct directive *directive)
{
	static const char *const words[] = { "callback" };

	if (!word_is(name, words[0]))
		return fail_one_of(parser, words[0], name, words, 1);
	if (nth > CALLBACKS_MAX)
		return fail_at(parser, word.column, "expected a callback up to %u, found %u",
			       CALLBACKS_MAX, nth);
	directive->op = (u16)(nth - 1);
	return true;
}

/* OP#N of a task, into the op's index. */
static bool parse_op_ref(struct parser *parser, struct directive *directive)
{
	const struct task_program *task;
	struct word word = next_word(parser), name = word;
	u32 nth, nr = 0;

	if (!ordinal_of(parser, "OP#N", &name, &nth))
		return false;
	if (directive->task == TASK_RCU)
		return callback_ref(parser, word, name, nth, directive);
	task = &parser->repro->program.tasks[directive->task];
	for (u32 i = 0; i < task->nr_ops; i++) {
		if (!word_is(name, op_rows[task->ops[i].id].name) || ++nr != nth)
			continue;
		directive->op = (u16)i;
		return true;
	}
	return fail_at(parser, word.column,
		       "expected an op of task %u; it has %u of the name '%.*s'", directive->task,
		       nr, name.size < 40 ? (int)name.size : 40, name.at);
}

static bool parse_site(struct parser *parser, struct word word, struct site_ref *site)
{
	static const char what[] = "FUNCTION:EXPRESSION#K";
	struct word full = word;
	const char *colon;

	if (!ordinal_of(parser, what, &word, &site->occurrence))
		return false;
	colon = memchr(word.at, ':', word.size);
	if (!colon || colon == word.at || colon == word.at + word.size - 1 || word.at[0] == '~')
		return fail_expected(parser, what, full);
	return printable(parser, "a site", word, site->text, sizeof(site->text));
}

/* [SITE | start | end] [~ORD]. */
static bool parse_place(struct parser *parser, struct directive *directive)
{
	struct word word = peek_word(parser);
	u64 value;

	if (word_is(word, "start") || word_is(word, "end")) {
		directive->place = word_is(word, "start") ? AT_START : AT_END;
		next_word(parser);
	} else if (word.size && word.at[0] != '~') {
		directive->place = AT_SITE;
		next_word(parser);
		if (!parse_site(parser, word, &directive->site))
			return false;
	}
	word = peek_word(parser);
	if (!word.size || word.at[0] != '~')
		return true;
	next_word(parser);
	word.at++;
	word.size--;
	word.column++;
	if (!number(parser, "an ordinal", word, 1, UINT32_MAX, &value))
		return false;
	directive->ordinal = (u32)value;
	return true;
}

static bool parse_action(struct parser *parser, struct directive *directive)
{
	static const char *const words[] = { "switch", "until", "answer" };
	struct word word = next_word(parser);

	if (word_is(word, "stale") || word_is(word, "hold"))
		return fail_at(
			parser, word.column,
			"'%.*s' belongs to a weak-memory mode, which this build does not have",
			(int)word.size, word.at);
	switch (word_find(word, words, ARRAY_SIZE(words))) {
	case 0:
		directive->action = DO_SWITCH;
		return task_ref(parser, &directive->to);
	case 1:
		directive->action = DO_UNTIL;
		return task_ref(parser, &directive->to) &&
		       parse_site(parser, next_word(parser), &directive->until);
	case 2:
		directive->action = DO_ANSWER;
		return next_number(parser, "an answer", 0, ANSWER_MAX, &directive->answer);
	default:
		return fail_one_of(parser, "an action", word, words, ARRAY_SIZE(words));
	}
}

static bool is_action(struct word word)
{
	static const char *const words[] = { "switch", "until", "answer", "stale", "hold" };

	return word_find(word, words, ARRAY_SIZE(words)) < ARRAY_SIZE(words);
}

static bool parse_at(struct parser *parser)
{
	struct schedule *schedule = &parser->repro->schedule;
	struct directive *directive = &schedule->directives[schedule->nr_directives];
	struct flaw flaw;
	u32 column;

	if (schedule->nr_directives == DIRECTIVES_MAX)
		return fail_at(parser, 1, "expected at most %u directives", DIRECTIVES_MAX);
	if (!task_ref(parser, &directive->task) || !parse_op_ref(parser, directive))
		return false;
	column = peek_word(parser).column;
	if (is_action(peek_word(parser)))
		return fail_expected(parser, "a site, start, end or ~ordinal", peek_word(parser));
	if (!parse_place(parser, directive) || !parse_action(parser, directive))
		return false;
	if (!directive_check(&parser->repro->program, schedule, schedule->nr_directives, &flaw))
		return fail_at(parser, column, "%s", flaw.message);
	schedule->nr_directives++;
	return true;
}

/* --- the whole --- */

static const struct line_row {
	const char *word;
	enum section section;
	bool many; /* may stand there more than once */
	bool (*parse)(struct parser *parser);
} line_rows[LINE_COUNT] = {
	[LINE_target] = { "target", IN_WORLD, false, parse_target },
	[LINE_geometry] = { "geometry", IN_WORLD, false, parse_geometry },
	[LINE_levels] = { "levels", IN_WORLD, false, parse_levels },
	[LINE_variant] = { "variant", IN_WORLD, false, parse_variant },
	[LINE_seq] = { "seq", IN_WORLD, false, parse_seq },
	[LINE_dirty] = { "dirty", IN_WORLD, false, parse_dirty },
	[LINE_as] = { "as", IN_WORLD, true, parse_as },
	[LINE_slot] = { "slot", IN_WORLD, true, parse_slot },
	[LINE_map] = { "map", IN_WORLD, true, parse_map },
	[LINE_subscriber] = { "subscriber", IN_WORLD, true, parse_subscriber },
	[LINE_limit] = { "limit", IN_WORLD, false, parse_limit },
	[LINE_bug] = { "bug", IN_WORLD, false, parse_bug },
	[LINE_expect] = { "expect", IN_WORLD, false, parse_expect },
	[LINE_forbid] = { "forbid", IN_WORLD, true, parse_forbid },
	[LINE_why] = { "why", IN_WORLD, false, parse_why },
	[LINE_fix] = { "fix", IN_WORLD, false, parse_fix },
	[LINE_task] = { "task", IN_TASKS, true, parse_task },
	[LINE_strategy] = { "strategy", IN_SCHEDULE, false, parse_strategy },
	[LINE_start] = { "start", IN_SCHEDULE, false, parse_start },
	[LINE_at] = { "at", IN_SCHEDULE, true, parse_at },
};

static bool fail_missing(struct parser *parser, const char *line)
{
	return fail_at(parser, 1, "expected a line '%s' before this", line);
}

/* What has to be known when the text gets from one section to another. */
static bool enter_section(struct parser *parser, enum section section)
{
	if (section >= IN_TASKS && !parser->seen[LINE_target])
		return fail_missing(parser, "target");
	if (section >= IN_TASKS && !parser->seen[LINE_geometry])
		return fail_missing(parser, "geometry");
	if (section >= IN_SCHEDULE && !parser->seen[LINE_task])
		return fail_missing(parser, "task");
	parser->section = section;
	return true;
}

static bool parse_line(struct parser *parser)
{
	const char *words[LINE_COUNT];
	struct word word = next_word(parser);
	const struct line_row *row;
	u32 id;

	if (!word.size)
		return true;
	for (u32 i = 0; i < LINE_COUNT; i++)
		words[i] = line_rows[i].word;
	id = word_find(word, words, LINE_COUNT);
	if (id == LINE_COUNT)
		return fail_one_of(parser, "a line's first word", word, words, LINE_COUNT);
	row = &line_rows[id];
	if (parser->seen[id] && !row->many)
		return fail_at(parser, word.column, "a second line '%s'; the first is line %u",
			       row->word, parser->seen[id]);
	if (row->section < parser->section)
		return fail_at(parser, word.column, "expected '%s' before the %s", row->word,
			       parser->section == IN_TASKS ? "tasks" : "schedule");
	if (!enter_section(parser, row->section))
		return false;
	if (!parser->seen[id])
		parser->seen[id] = parser->line;
	return row->parse(parser) && line_end(parser);
}

/* Past the end of the line. Return: whether there is another one. */
static bool next_line(struct parser *parser)
{
	if (parser->at == parser->size)
		return false;
	parser->at++;
	parser->line_start = parser->at;
	parser->line++;
	return true;
}

static bool parse_format(struct parser *parser)
{
	struct word word = next_word(parser);

	if (!word_is(word, "repro"))
		return fail_expected(parser, "'repro 1'", word);
	word = next_word(parser);
	if (!word_is(word, "1"))
		return fail_expected(parser, "format 1, the only one that this build reads", word);
	return line_end(parser);
}

bool repro_parse(struct repro *repro, const char *text, size_t size, struct text_error *error)
{
	struct parser parser = {
		.text = size ? text : "", .size = size, .line = 1, .repro = repro, .error = error
	};

	memset(repro, 0, sizeof(*repro));
	world_clear(&repro->program.world, &variant_default);
	text_copy(repro->expect.oracle, sizeof(repro->expect.oracle), "none", 4);
	if (!parse_format(&parser))
		return false;
	while (next_line(&parser))
		if (!parse_line(&parser))
			return false;
	return enter_section(&parser, IN_SCHEDULE);
}
