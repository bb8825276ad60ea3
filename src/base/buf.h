/*
 * A growing text buffer: the only way in which the layers below fuzz/ produce text. Never used on
 * the hot path.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/types.h"

struct buf {
	char *data; /* NUL-terminated whenever size > 0; NULL at first */
	size_t size, room;
};

__printf(2, 3) void buf_printf(struct buf *buf, const char *fmt, ...);
void buf_append(struct buf *buf, const void *data, size_t size);
/* Return: the text so far, "" when nothing was written. */
const char *buf_text(const struct buf *buf);
void buf_clear(struct buf *buf);
void buf_free(struct buf *buf);

#endif
