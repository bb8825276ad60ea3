/*
 * The live map, objects and pages. One arena, filled from the bottom; freed objects are kept by size
 * and reused last in, first out; freed pages likewise. Runs of pages are always new ones. Everything here is a function of the order of
 * calls alone, never of addresses.
 *
 * The backend says in backend/memory.h what keeps two tasks apart in here, and what the race detector is
 * told: not that, but that what the last owner of some memory did comes before what the next one does.
 */
#include "kern/kern.h"
#include "kern/shared/memory.h"

#include <backend/memory.h>

void __asan_poison_memory_region(const volatile void *addr, size_t size);
void __asan_unpoison_memory_region(const volatile void *addr, size_t size);
#define SIZE_CLASSES   64u /* of 64 bytes each */
#define PAGE_GRANULES_ ((sizeof(u64) * PT_ENTRIES + MEMORY_GRANULE - 1) / MEMORY_GRANULE)
_Static_assert(sizeof(u64) * PT_ENTRIES % MEMORY_GRANULE == 0,
	       "a page is a whole number of granules");

u8 memory_arena[MEMORY_BYTES] __attribute__((aligned(4096)));
u8 memory_live[MEMORY_BYTES / MEMORY_GRANULE];

static struct {
	u32 top; /* first granule of the object half never used */
	u32 objects_live, serial;
	u32 free_list[SIZE_CLASSES + 1]; /* by granules; 0: empty, else granule + 1 */
	u32 pages_used;
	u32 nr_free_pages;
	u16 free_pages[KERN_PAGES_MAX];
} memory;

/* Per granule: serial of the allocation, its first granule, its size, and the next free object. */
static struct {
	u32 serial, first, granules, next_free;
} granule_info[OBJECT_BYTES / MEMORY_GRANULE];

static void *granule_address(u32 granule)
{
	return memory_arena + (size_t)granule * MEMORY_GRANULE;
}

static void mark(u32 granule, u32 granules, bool live)
{
	for (u32 i = 0; i < granules; i++)
		memory_live[granule + i] = live;
	if (!CONFIG_ASAN)
		return;
	if (live)
		__asan_unpoison_memory_region(granule_address(granule), granules * MEMORY_GRANULE);
	else
		__asan_poison_memory_region(granule_address(granule), granules * MEMORY_GRANULE);
}

static void zero(u32 granule, u32 granules)
{
	u64 *word = granule_address(granule);

	for (u32 i = 0; i < granules * MEMORY_GRANULE / sizeof(u64); i++) {
		word[i] = 0;
		if (CONFIG_TSAN) /* stays a loop: memset would be watched */
			__asm__ volatile("" ::: "memory");
	}
}

void *kern_alloc(size_t size)
{
	u32 granules = (u32)((size + MEMORY_GRANULE - 1) / MEMORY_GRANULE), granule;

	ASSERT(size);
	backend_memory_lock();
	if (granules <= SIZE_CLASSES && memory.free_list[granules]) {
		granule = memory.free_list[granules] - 1;
		memory.free_list[granules] = granule_info[granule].next_free;
		backend_take_over(granule_address(granule));
	} else {
		granule = memory.top;
		memory.top += granules;
		ASSERT(memory.top <= OBJECT_BYTES / MEMORY_GRANULE);
	}
	memory.serial++;
	memory.objects_live++;
	for (u32 i = 0; i < granules; i++) {
		granule_info[granule + i].serial = memory.serial;
		granule_info[granule + i].first = granule;
	}
	granule_info[granule].granules = granules;
	mark(granule, granules, true);
	zero(granule, granules);
	backend_memory_unlock();
	return granule_address(granule);
}

void kern_free(void *ptr)
{
	u32 granule, granules;

	if (!ptr)
		return;
	backend_memory_lock();
	granule = (u32)(((u8 *)ptr - memory_arena) / MEMORY_GRANULE);
	ASSERT(granule < memory.top && memory_live[granule] &&
	       granule_info[granule].first == granule);
	granules = granule_info[granule].granules;
	backend_hand_over(ptr, granules * MEMORY_GRANULE);
	mark(granule, granules, false);
	memory.objects_live--;
	if (granules <= SIZE_CLASSES) {
		granule_info[granule].next_free = memory.free_list[granules];
		memory.free_list[granules] = granule + 1;
	}
	backend_memory_unlock();
}

u32 kern_objects_live(void)
{
	return memory.objects_live;
}

static u32 page_granule(pfn_t pfn)
{
	return (u32)(OBJECT_BYTES / MEMORY_GRANULE + pfn * PAGE_GRANULES_);
}

u64 *kern_page_alloc(bool zeroed)
{
	pfn_t pfn;

	backend_memory_lock();
	if (memory.nr_free_pages) {
		pfn = memory.free_pages[--memory.nr_free_pages];
		backend_take_over(kern_page_address(pfn));
	} else {
		pfn = ++memory.pages_used;
	}
	ASSERT(pfn < KERN_PAGES_MAX);
	mark(page_granule(pfn), PAGE_GRANULES_, true);
	if (zeroed)
		zero(page_granule(pfn), PAGE_GRANULES_);
	backend_memory_unlock();
	return kern_page_address(pfn);
}

static u64 *page_alloc_run(u32 nr_pages)
{
	pfn_t first = (memory.pages_used + nr_pages) & ~(pfn_t)(nr_pages - 1);

	ASSERT(nr_pages && !(nr_pages & (nr_pages - 1)));
	if (first + nr_pages > KERN_PAGES_MAX)
		return NULL;
	/* What alignment skips serves single pages. The lowest goes last, so that it is taken first. */
	for (pfn_t skipped = first; --skipped > memory.pages_used;)
		memory.free_pages[memory.nr_free_pages++] = (u16)skipped;
	memory.pages_used = (u32)(first + nr_pages - 1);
	mark(page_granule(first), nr_pages * PAGE_GRANULES_, true);
	return kern_page_address(first);
}

u64 *kern_page_alloc_run(u32 nr_pages)
{
	u64 *run;

	backend_memory_lock();
	run = page_alloc_run(nr_pages);
	backend_memory_unlock();
	return run;
}

void kern_page_free(u64 *page)
{
	pfn_t pfn = kern_page_nr(page);

	backend_memory_lock();
	ASSERT(pfn && memory_live[page_granule(pfn)]);
	backend_hand_over(page, PAGE_GRANULES_ * MEMORY_GRANULE);
	mark(page_granule(pfn), PAGE_GRANULES_, false);
	memory.free_pages[memory.nr_free_pages++] = (u16)pfn;
	backend_memory_unlock();
}

pfn_t kern_page_nr(const volatile void *addr)
{
	size_t offset = (size_t)((const volatile u8 *)addr - memory_arena);

	if (offset < OBJECT_BYTES || offset >= MEMORY_BYTES)
		return 0;
	return (offset - OBJECT_BYTES) / (PAGE_GRANULES_ * MEMORY_GRANULE);
}

u32 kern_pages_used(void)
{
	return memory.pages_used;
}

u64 kern_object_id(const volatile void *addr)
{
	size_t offset = (size_t)((const volatile u8 *)addr - memory_arena);
	u32 granule;

	if (offset >= MEMORY_BYTES)
		return 0;
	if (offset >= OBJECT_BYTES)
		return BIT_ULL(40) | kern_page_nr(addr) << 16 |
		       (offset - OBJECT_BYTES) % (PAGE_GRANULES_ * MEMORY_GRANULE);
	granule = (u32)(offset / MEMORY_GRANULE);
	if (granule >= memory.top)
		return 0;
	return (u64)granule_info[granule].serial << 16 |
	       (offset - (size_t)granule_info[granule].first * MEMORY_GRANULE);
}

bool kern_memory_live(const volatile void *addr)
{
	return !memory_dead(addr);
}

void memory_reset(void)
{
	mark(0, memory.top, false);
	for (u32 pfn = 1; pfn <= memory.pages_used; pfn++)
		mark(page_granule(pfn), PAGE_GRANULES_, false);
	for (u32 i = 0; i <= SIZE_CLASSES; i++)
		memory.free_list[i] = 0;
	memory.top = 0;
	memory.objects_live = 0;
	memory.serial = 0;
	memory.pages_used = 0;
	memory.nr_free_pages = 0;
}
