/*
 * Incremental 64-bit hash for trace hashes and state hashes. Order matters; equal input gives equal
 * output on every machine. Not for adversaries.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/types.h"

#define HASH_SEED 0xcbf29ce484222325ull

static inline u64 hash_u64(u64 hash, u64 value)
{
	hash = (hash ^ value) * 0x9e3779b97f4a7c15ull;
	return hash ^ (hash >> 29);
}

static inline u64 hash_text(u64 hash, const char *text)
{
	for (; *text; text++)
		hash = (hash ^ (u8)*text) * 0x100000001b3ull;
	return hash;
}

#endif
