/*
 * Mutations of programs for afl-fuzz, which loads this as AFL_CUSTOM_MUTATOR_LIBRARY: the same that
 * libfuzzer.c offers to libFuzzer. MMURACE_TARGET names the target whose inputs they are.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"

#define EXPORTED __attribute__((visibility("default")))

/* As afl-fuzz declares them; it hands over what afl_custom_init() has returned. */
EXPORTED void *afl_custom_init(void *afl, unsigned int seed);
EXPORTED size_t afl_custom_fuzz(void *data, u8 *input, size_t size, u8 **out, u8 *other,
				size_t other_size, size_t room);
EXPORTED void afl_custom_deinit(void *data);

/* Of 8 calls with two inputs, how many make one of them. */
#define SPLICES_OF_8 2u

struct mutator {
	const struct target *target;
	struct prng prng;
	u8 bytes[INPUT_BYTES_MAX];
};

void *afl_custom_init(void *afl, unsigned int seed)
{
	const char *name = getenv("MMURACE_TARGET");
	struct mutator *mutator = calloc(1, sizeof(*mutator));

	if (!mutator)
		return NULL;
	mutator->prng = prng_seeded(seed);
	mutator->target = name ? target_by_name(name) : NULL;
	if (name && !mutator->target) {
		fprintf(stderr, "mmurace: MMURACE_TARGET: no target is named '%s'\n", name);
		exit(EXIT_USAGE);
	}
	return mutator;
}

size_t afl_custom_fuzz(void *data, u8 *input, size_t size, u8 **out, u8 *other, size_t other_size,
		       size_t room)
{
	struct mutator *mutator = data;
	size_t most = min_u64(room, sizeof(mutator->bytes));
	u64 seed = prng_next(&mutator->prng);

	*out = mutator->bytes;
	if (other && prng_below(&mutator->prng, 8) < SPLICES_OF_8)
		return input_splice(mutator->target, input, size, other, other_size, mutator->bytes,
				    most, seed);
	size = min_u64(size, most);
	memcpy(mutator->bytes, input, size);
	return input_mutate(mutator->target, mutator->bytes, size, most, seed);
}

void afl_custom_deinit(void *data)
{
	free(data);
}
