/*
 * Memory of the code under test: zeroed objects from one arena with a live map.
 *
 * Every verb asks the live map before it touches memory, in every build; a verb on memory that is
 * not allocated emits dead_access and ends the schedule. ASan poison is the second net, and with threads the
 * only one, beside the race detector, to which freeing is a write. Allocation
 * is deterministic; the arena is emptied between schedules, at a cost proportional to its use.
 */
#ifndef KERN_ALLOC_H
#define KERN_ALLOC_H

#include "base/assert.h"
#include "base/types.h"

/* Return: @size zeroed bytes, aligned to 64, never NULL (the arena is sized for the limits). No point. */
void *kern_alloc(size_t size);
/* Frees what kern_alloc() returned; @ptr may be NULL. No point. */
void kern_free(void *ptr);
/*
 * Pages, numbered from 1 in order of first use (runs aside); the number is the pfn. A page holds PT_ENTRIES
 * 64-bit words. The last page freed is the first to be handed out again, so that a stale mapping
 * soon shows somebody else's page.
 */
#define KERN_PAGES_MAX 2048u
/* Return: a page, its words zeroed if @zeroed (else they are unspecified). Never NULL. No point. */
u64 *kern_page_alloc(bool zeroed);
/*
 * Return: the first of @nr_pages (a power of two) pages never used before, with consecutive numbers, the first a
 * multiple of @nr_pages; NULL when there is no such run. Words unspecified; each is freed on its own, and
 * is a single page from then on. Numbers that alignment passes over count as free pages. No point.
 */
u64 *kern_page_alloc_run(u32 nr_pages);
void kern_page_free(u64 *page);
/* @addr: any byte of a page, allocated or not. Return: its number; 0 when @addr is in no page. */
pfn_t kern_page_nr(const volatile void *addr);
/*
 * The arena: objects, then pages. A page table's record takes two granules of 64 bytes, a memslot's three; programs
 * grow with the number of tasks.
 */
#define KERN_OBJECT_BYTES ((32u << 10) * TASKS_MAX)
#define KERN_ARENA_BYTES  (KERN_OBJECT_BYTES + KERN_PAGES_MAX * (u32)sizeof(u64) * PT_ENTRIES)
extern u8 memory_arena[KERN_ARENA_BYTES];
/*
 * @pfn: 1 .. KERN_PAGES_MAX - 1. Return: its first word, whether or not it is allocated. Every step down in a walk asks:
 * in line, and unchecked where nothing is checked.
 */
static inline u64 *kern_page_address(pfn_t pfn)
{
	if (CONFIG_ASAN || CONFIG_TSAN || !CONFIG_THREADS)
		ASSERT(pfn && pfn < KERN_PAGES_MAX);
	return ((u64(*)[PT_ENTRIES])(void *)(memory_arena + KERN_OBJECT_BYTES))[pfn];
}
/*
 * Return: the highest number used in this schedule: pages that were handed out at least once are among
 * 1 .. this. All of them were, unless there was a run.
 */
u32 kern_pages_used(void);

/* Context: no task. Frees everything and forgets locks and readers of the last schedule. */
void kern_reset(void);
/* Return: objects allocated now. */
u32 kern_objects_live(void);

/*
 * A name for @addr that is equal in every build and process: serial number of its allocation in this
 * schedule (from 1) << 16, plus the offset in it; for a page, BIT_ULL(40) | number << 16 | offset; 0
 * when it is neither.
 */
u64 kern_object_id(const volatile void *addr);
/* Return: false when @addr lies in the arena and nobody owns it now. No point. */
bool kern_memory_live(const volatile void *addr);

#endif
