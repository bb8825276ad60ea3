/* Words with a few values: knobs, and what a misspelt word may have meant. */
#include <string.h>

#include "workload/text_internal.h"

#define WORD_MAX 48

/* Least number of letters to insert, delete or replace that makes one word of the other. */
static u32 distance(const char *a, size_t size_a, const char *b, size_t size_b)
{
	u8 row[WORD_MAX + 1];

	for (size_t j = 0; j <= size_b; j++)
		row[j] = (u8)j;
	for (size_t i = 1; i <= size_a; i++) {
		u8 diagonal = row[0];

		row[0] = (u8)i;
		for (size_t j = 1; j <= size_b; j++) {
			u8 replaced = (u8)(diagonal + (a[i - 1] != b[j - 1]));

			diagonal = row[j];
			row[j] = (u8)min_u64(replaced, 1 + min_u64(row[j], row[j - 1]));
		}
	}
	return row[size_b];
}

const char *word_nearest(const char *word, size_t size, const char *const *words, u32 nr_words)
{
	const char *nearest = NULL;
	u32 least = (u32)(1 + size / 4);

	if (!size || size > WORD_MAX)
		return NULL;
	for (u32 i = 0; i < nr_words; i++) {
		size_t length = strlen(words[i]);
		u32 far;

		if (length > WORD_MAX)
			continue;
		far = distance(word, size, words[i], length);
		/* As many letters as the word has: nothing of it is left. */
		if (far > least || far >= length || (far == least && nearest))
			continue;
		nearest = words[i];
		least = far;
	}
	return nearest;
}

bool word_is(struct word word, const char *text)
{
	return word.size == strlen(text) && !memcmp(word.at, text, word.size);
}

u32 word_find(struct word word, const char *const *words, u32 nr_words)
{
	u32 i = 0;

	while (i < nr_words && !word_is(word, words[i]))
		i++;
	return i;
}

void word_quote(struct buf *buf, struct word word)
{
	if (!word.size) {
		buf_printf(buf, "the end of the line");
		return;
	}
	buf_printf(buf, "'");
	for (size_t i = 0; i < word.size && i < 40; i++)
		buf_append(buf, word.at[i] < ' ' || word.at[i] > '~' ? "?" : word.at + i, 1);
	buf_printf(buf, word.size > 40 ? "...'" : "'");
}

void expected_one_of(struct buf *buf, const char *what, struct word word, const char *const *words,
		     u32 nr_words)
{
	const char *near = word_nearest(word.at, word.size, words, nr_words);
	size_t size = 0;

	for (u32 i = 0; i < nr_words; i++)
		size += strlen(words[i]) + 2;
	if (size > 140) {
		buf_printf(buf, "expected %s", what);
	} else {
		buf_printf(buf, nr_words > 1 ? "expected one of " : "expected ");
		for (u32 i = 0; i < nr_words; i++)
			buf_printf(buf, i ? ", %s" : "%s", words[i]);
	}
	buf_printf(buf, ", found ");
	word_quote(buf, word);
	if (near)
		buf_printf(buf, "; did you mean '%s'?", near);
}

/* --- variants --- */

static bool fail(struct text_error *error, size_t column, struct buf *message)
{
	error->line = 0;
	error->column = (u32)column;
	text_copy(error->message, sizeof(error->message), message->data, message->size);
	buf_free(message);
	return false;
}

static bool fail_word(struct text_error *error, struct word word, const char *what,
		      const char *const *words, u32 nr_words)
{
	struct buf message = { 0 };

	expected_one_of(&message, what, word, words, nr_words);
	return fail(error, word.column, &message);
}

/* The values of @knob. Return: how many. */
static u32 knob_values(u32 knob, const char **words)
{
	u32 nr = 0;

	for (u32 i = 0; i < KNOB_VALUE_COUNT; i++)
		if (variant_rows[i].knob_id == knob)
			words[nr++] = variant_rows[i].value;
	return nr;
}

/* One K=V; its column into @columns, which hold 0 for the knobs that were not named before. */
static bool knob_parse(struct mmu_variant *variant, u32 *columns, struct word word,
		       struct text_error *error)
{
	const char *equals = memchr(word.at, '=', word.size);
	const char *knobs[KNOB_COUNT + 2], *values[KNOB_VALUE_COUNT];
	struct word name = word, value = word;
	struct buf message = { 0 };
	u32 knob, nr_values, nth;

	for (u32 i = 0; i < KNOB_COUNT; i++)
		knobs[i] = variant_rows[variant_default.knob[i]].knob;
	knobs[KNOB_COUNT] = "default";
	knobs[KNOB_COUNT + 1] = "upstream";
	if (equals)
		name.size = (size_t)(equals - word.at);
	knob = word_find(name, knobs, KNOB_COUNT);
	if (knob == KNOB_COUNT)
		return fail_word(error, name, "a variant", knobs, KNOB_COUNT + 2);
	value.at += name.size + !!equals;
	value.size -= name.size + !!equals;
	value.column += (u32)name.size + !!equals;
	nr_values = knob_values(knob, values);
	nth = equals ? word_find(value, values, nr_values) : nr_values;
	if (nth == nr_values)
		return fail_word(error, value, "a value", values, nr_values);
	if (columns[knob]) {
		buf_printf(&message, "expected each knob once, found '%s' again", knobs[knob]);
		return fail(error, word.column, &message);
	}
	columns[knob] = word.column;
	for (u32 i = 0; i < KNOB_VALUE_COUNT; i++)
		if (variant_rows[i].knob_id == knob && !nth--)
			variant->knob[knob] = (u8)i;
	return true;
}

/* Refuses values that exclude each other, at the later one of those that were named. */
static bool variant_together(const struct mmu_variant *variant, const u32 *columns,
			     struct text_error *error)
{
	const struct variant_row *rows = variant_rows;
	struct buf message = { 0 };
	u32 one, other;
	const char *why = variant_conflict(variant, &one, &other);

	if (!why)
		return true;
	buf_printf(&message, "%s=%s excludes %s=%s: %s", rows[one].knob, rows[one].value,
		   rows[other].knob, rows[other].value, why);
	return fail(error, max_u64(columns[rows[one].knob_id], columns[rows[other].knob_id]),
		    &message);
}

bool variant_parse(struct mmu_variant *variant, const char *text, size_t size,
		   struct text_error *error)
{
	struct word rest = { .at = text, .size = size, .column = 1 };
	u32 columns[KNOB_COUNT] = { 0 };

	*variant = variant_default;
	for (bool first = true;; first = false) {
		const char *comma = memchr(rest.at, ',', rest.size);
		struct word word = rest;

		if (comma)
			word.size = (size_t)(comma - rest.at);
		/* What the knobs behind it deviate from. */
		if (first && word_is(word, "upstream"))
			*variant = variant_upstream;
		else if ((!first || !word_is(word, "default")) &&
			 !knob_parse(variant, columns, word, error))
			return false;
		if (!comma)
			return variant_together(variant, columns, error);
		rest.at += word.size + 1;
		rest.size -= word.size + 1;
		rest.column += (u32)word.size + 1;
	}
}
