/*
 * Fixed-width integers, page numbers and a few compiler words, for every layer.
 *
 * All addresses that programs speak of are page numbers: gfn_t counts guest frames, hva_t counts
 * pages of the host process, pfn_t counts frames of the machine. Ranges are half-open.
 */
#ifndef BASE_TYPES_H
#define BASE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;
typedef int64_t s64;

typedef u64 gfn_t;
typedef u64 hva_t;
typedef u64 pfn_t;

struct gfn_range {
	gfn_t start, end;
};

struct hva_range {
	hva_t start, end;
};

/* What a guest instruction wants of a page. Exactly one value, not a mask. */
enum access { ACCESS_READ, ACCESS_WRITE, ACCESS_EXEC, ACCESS_COUNT };

/* Geometry: PT_INDEX_BITS comes from the configuration row; SPTE bit positions never depend on it. */
#define PT_ENTRIES   (1u << PT_INDEX_BITS)
#define PT_LEVEL_MAX 5
#define PT_LEVEL_4K  1
#define PT_LEVEL_2M  2 /* of the host's huge pages; what they measure depends on the geometry */
#define PT_LEVEL_1G  3
/* Pages that one entry at @level covers. */
#define PT_PAGES(level)	      (1ull << (PT_INDEX_BITS * ((level) - 1)))
#define PT_INDEX(page, level) (((page) >> (PT_INDEX_BITS * ((level) - 1))) & (PT_ENTRIES - 1))

/*
 * Limits of a world and a program. Every one is checked by the decoder and the parser. TASKS_MAX comes from
 * the backend of the configuration row: 16 to search, 64 (sets of tasks are masks of 64 bits) where tasks are
 * threads; the last one of them, TASK_RCU, runs RCU callbacks.
 */
#define OPS_MAX	       16 /* a task */
#define VCPUS_MAX      (TASKS_MAX / 2)
#define SLOTS_MAX      8
#define MAPS_MAX       16
#define DIRECTIVES_MAX 64
#define AS_MAX	       2 /* address spaces of a guest: as_id 0, and 1 for system management mode */

/* The task that runs RCU callbacks, and how many tasks a program may have beside it. */
#define TASK_RCU	  (TASKS_MAX - 1)
#define PROGRAM_TASKS_MAX (TASKS_MAX - 1)

/* What the environment is asked, each with a default answer of 0; see kern/task.h. */
enum answer_kind {
	ANSWER_RESCHED, /* somebody wants the CPU */
	ANSWER_ALLOC, /* the allocation fails */
	ANSWER_CMPXCHG, /* the exchange of a table entry fails although nobody interfered */
	ANSWER_TLB, /* what the vCPU has cached for this page is evicted: 1 leaf entries, 2 all */
	ANSWER_TRYLOCK, /* the lock is said to be taken although it is free */
	ANSWER_KIND_COUNT
};

#define BIT_ULL(n)			(1ull << (n))
#define ARRAY_SIZE(a)			(sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
#define likely(x)			__builtin_expect(!!(x), 1)
#define unlikely(x)			__builtin_expect(!!(x), 0)
#define __printf(fmt, args)		__attribute__((format(printf, fmt, args)))
/* __noinline: keeps a long part out of a hot caller, which would save registers for it each time. */
#define __cold	   __attribute__((cold, noinline))
#define __inlined  __attribute__((always_inline)) inline
#define __noinline __attribute__((noinline))

/*
 * The value of a field of the framework that watched code reads again and again: one instruction that
 * the race detector is not told of. Never for what the code under test shares. Where tasks are threads it is an
 * access like any other.
 */
#define FRAMEWORK_READ(x)                                             \
	({                                                            \
		__typeof__(x) read_;                                  \
		if (CONFIG_TSAN && !CONFIG_THREADS)                   \
			__asm__("mov %1, %0" : "=q"(read_) : "m"(x)); \
		else                                                  \
			read_ = (x);                                  \
		read_;                                                \
	})

#define FRAMEWORK_WRITE(x, value)                                                 \
	do {                                                                      \
		__typeof__(x) written_ = (value);                                 \
		if (CONFIG_TSAN && !CONFIG_THREADS)                               \
			__asm__ volatile("mov %1, %0" : "=m"(x) : "q"(written_)); \
		else                                                              \
			(x) = written_;                                           \
	} while (0)

static inline u64 min_u64(u64 a, u64 b)
{
	return a < b ? a : b;
}

static inline u64 max_u64(u64 a, u64 b)
{
	return a > b ? a : b;
}

static inline bool gfn_in(gfn_t gfn, gfn_t start, gfn_t end)
{
	return gfn >= start && gfn < end;
}

#endif
