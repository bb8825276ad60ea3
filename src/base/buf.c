#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

static void buf_reserve(struct buf *buf, size_t more)
{
	size_t need = buf->size + more + 1;

	if (need <= buf->room)
		return;
	buf->room = need < 256 ? 256 : need * 2;
	buf->data = realloc(buf->data, buf->room);
	ASSERT(buf->data);
}

void buf_append(struct buf *buf, const void *data, size_t size)
{
	buf_reserve(buf, size);
	if (size)
		memcpy(buf->data + buf->size, data, size);
	buf->size += size;
	buf->data[buf->size] = 0;
}

void buf_printf(struct buf *buf, const char *fmt, ...)
{
	va_list args, again;
	int len;

	va_start(args, fmt);
	va_copy(again, args);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	ASSERT(len >= 0);
	buf_reserve(buf, (size_t)len);
	vsnprintf(buf->data + buf->size, (size_t)len + 1, fmt, again);
	va_end(again);
	buf->size += (size_t)len;
}

const char *buf_text(const struct buf *buf)
{
	return buf->data ? buf->data : "";
}

void buf_clear(struct buf *buf)
{
	buf->size = 0;
	if (buf->data)
		buf->data[0] = 0;
}

void buf_free(struct buf *buf)
{
	free(buf->data);
	*buf = (struct buf){ 0 };
}
