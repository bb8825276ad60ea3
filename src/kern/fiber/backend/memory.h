/* What the allocator needs of this backend: all tasks run on one thread, and none is switched in there. */
#ifndef BACKEND_MEMORY_H
#define BACKEND_MEMORY_H

#include "kern/fiber/held.h"

void __tsan_acquire(void *token);
void __tsan_release(void *token);

static inline void backend_memory_lock(void)
{
}

static inline void backend_memory_unlock(void)
{
}

/* What the last owner did happens before what the next one does. */
static inline void backend_hand_over(void *memory, size_t size)
{
	if (CONFIG_TSAN && !held_is_alone())
		__tsan_release(memory);
}

static inline void backend_take_over(void *memory)
{
	if (CONFIG_TSAN)
		__tsan_acquire(memory);
}

#endif
