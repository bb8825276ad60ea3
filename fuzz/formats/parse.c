/* The text form: any bytes are an error with its place, or a text whose print is a fixed point. */
#include <string.h>

#include "base/assert.h"
#include "workload/workload.h"

static struct repro repro, again;

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);
int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct buf left = { 0 }, right = { 0 };
	struct text_error error;

	if (!repro_parse(&repro, (const char *)data, size, &error)) {
		ASSERT(error.line && error.column && error.message[0]);
		return 0;
	}
	ASSERT(program_valid(&repro.program, NULL));
	ASSERT(schedule_valid(&repro.program, &repro.schedule, NULL));
	repro_print(&left, &repro);
	ASSERT(repro_parse(&again, left.data, left.size, &error));
	repro_print(&right, &again);
	ASSERT(left.size == right.size && !memcmp(left.data, right.data, left.size));
	buf_free(&left);
	buf_free(&right);
	return 0;
}
