/* Words of a text, for its parser and for what is parsed elsewhere. */
#ifndef WORKLOAD_TEXT_INTERNAL_H
#define WORKLOAD_TEXT_INTERNAL_H

#include "workload/workload_internal.h"

/* Not NUL-terminated; size 0 at the end of a line. */
struct word {
	const char *at;
	size_t size;
	u32 column; /* of its first byte, from 1 */
};

bool word_is(struct word word, const char *text);
/* Return: position in @words, @nr_words when it is none of them. */
u32 word_find(struct word word, const char *const *words, u32 nr_words);
/* Appends the word in quotes, shortened and without control characters. */
void word_quote(struct buf *buf, struct word word);
/*
 * Appends "expected one of ..., found ...; did you mean ...?", where a list that is too long gives
 * way to @what ("a target").
 */
void expected_one_of(struct buf *buf, const char *what, struct word word, const char *const *words,
		     u32 nr_words);

#endif
