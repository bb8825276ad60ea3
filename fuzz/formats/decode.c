/* The binary form: any bytes are a valid input, and what is encoded comes back. */
#include <string.h>

#include "base/assert.h"
#include "workload/workload.h"

/* A target of its own: this binary holds no other. */
static const struct target formats_target = {
	.name = "decode",
	.what = "any op",
	.op_weights = {
#define OP(name, args, kind, needs, what) [OP_##name] = 1,
#include "workload/ops.def"
#undef OP
	},
	.tasks_min = 1,
	.tasks_max = 4,
	.ops_min = 1,
	.ops_max = 4,
	.vcpus_max = 4,
	.vms_max = 4,
	.as_max = 2,
	.has_absent = true,
	.has_subscribers = true,
	.slots_max = 3,
	.pages_min = 1,
	.pages_max = 8,
};

static struct input input, again;
static struct repro repro;
static u8 encoded[INPUT_BYTES_MAX];

static void print_input(struct buf *buf, const struct input *what)
{
	repro.program = what->program;
	repro.schedule = what->schedule;
	repro_print(buf, &repro);
	buf_printf(buf, "%llu %u %u", (unsigned long long)what->schedule.seed, what->strategy_row,
		   what->schedules);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);
int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct buf left = { 0 }, right = { 0 };
	size_t written;

	input_decode(&input, &formats_target, data, size);
	ASSERT(program_valid(&input.program, NULL));
	ASSERT(schedule_valid(&input.program, &input.schedule, NULL));
	ASSERT(input.schedules >= 1 && input.schedules <= 32);
	written = input_encode(&input, encoded, sizeof(encoded));
	ASSERT(written);
	input_decode(&again, &formats_target, encoded, written);
	print_input(&left, &input);
	print_input(&right, &again);
	ASSERT(left.size == right.size && !memcmp(left.data, right.data, left.size));
	buf_free(&left);
	buf_free(&right);
	return 0;
}
