/*
 * What a stress run needs, before it begins: a machine that starts to swap, or kills what is largest, would end it with
 * nothing to show.
 */
#include <stdio.h>
#include <string.h>

#include "fuzz/stress/stress.h"

/*
 * Upper bounds. What a child took at most with 4 and with 64 threads, in MiB: 3 and 5 without a sanitizer, 182 and 195 with
 * AddressSanitizer, 71 and 66 with ThreadSanitizer.
 */
#define WORLD_BYTES (8ull << 20)
static const struct {
	u64 factor; /* shadow memory, in multiples of what it is about, and the thing itself */
	u64 runtime; /* what the sanitizer keeps in any case */
} sanitizer = {
	.factor = CONFIG_TSAN	? 4
		  : CONFIG_ASAN ? 2
				: 1,
	.runtime = (CONFIG_TSAN	  ? 64ull
		    : CONFIG_ASAN ? 192ull
				  : 4ull)
		   << 20,
};

struct stress_memory stress_memory_of(u32 threads)
{
	struct stress_memory memory = {
		.threads = threads,
		.stack = STRESS_STACK_BYTES,
		.world = WORLD_BYTES,
		.runtime = sanitizer.runtime,
		.factor = sanitizer.factor,
	};

	memory.needed =
		(memory.threads * memory.stack + memory.world) * memory.factor + memory.runtime;
	return memory;
}

static u64 mebibytes(u64 bytes)
{
	return (bytes + (1 << 20) - 1) >> 20;
}

void stress_memory_print(struct buf *buf, const struct stress_memory *memory)
{
	buf_printf(buf,
		   "(%llu threads x %llu KiB of stack + %llu MiB of world) x %llu for the "
		   "sanitizer + %llu MiB = %llu MiB",
		   (unsigned long long)memory->threads, (unsigned long long)memory->stack >> 10,
		   (unsigned long long)mebibytes(memory->world), (unsigned long long)memory->factor,
		   (unsigned long long)mebibytes(memory->runtime),
		   (unsigned long long)mebibytes(memory->needed));
}

u64 stress_memory_available(void)
{
	FILE *file = fopen("/proc/meminfo", "r");
	unsigned long long kibibytes = 0;
	char line[128];

	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "MemAvailable: %llu kB", &kibibytes) == 1)
			break;
	fclose(file);
	return (u64)kibibytes << 10;
}
