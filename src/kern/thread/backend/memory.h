/*
 * What the allocator needs of this backend: a lock, of which the race detector is told nothing, so that it
 * does not take every two tasks that allocate for ordered.
 */
#ifndef BACKEND_MEMORY_H
#define BACKEND_MEMORY_H

#include <sched.h>

#include "base/types.h"

void __tsan_acquire(void *token);
void __tsan_release(void *token);
void __tsan_write_range(void *memory, unsigned long size);

extern u32 thread_memory_lock;

static inline void backend_memory_lock(void)
{
	while (__atomic_exchange_n(&thread_memory_lock, 1, __ATOMIC_ACQUIRE))
		sched_yield();
}

static inline void backend_memory_unlock(void)
{
	__atomic_store_n(&thread_memory_lock, 0, __ATOMIC_RELEASE);
}

/* Freeing is told as a write to all of it: whoever still uses it, unordered, is reported. */
static inline void backend_hand_over(void *memory, size_t size)
{
	if (!CONFIG_TSAN)
		return;
	__tsan_write_range(memory, size);
	__tsan_release(memory);
}

static inline void backend_take_over(void *memory)
{
	if (CONFIG_TSAN)
		__tsan_acquire(memory);
}

#endif
