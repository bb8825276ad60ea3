/* The arena and its live map, as far as the hot path of a point needs them. */
#ifndef KERN_SHARED_MEMORY_H
#define KERN_SHARED_MEMORY_H

#include "kern/kern.h"

#define MEMORY_GRANULE 64u
#define OBJECT_BYTES   KERN_OBJECT_BYTES
#define MEMORY_BYTES   KERN_ARENA_BYTES

extern u8 memory_live[MEMORY_BYTES / MEMORY_GRANULE];

/* Return: true when @addr lies in the arena and nobody owns it now. */
__attribute__((always_inline)) static inline bool memory_dead(const volatile void *addr)
{
	size_t offset = (size_t)((const volatile u8 *)addr - memory_arena);

	return offset < MEMORY_BYTES && !memory_live[offset / MEMORY_GRANULE];
}

/* Context: no task. Empties the arena. */
void memory_reset(void);

#endif
