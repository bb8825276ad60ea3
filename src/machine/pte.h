/*
 * The raw accessors through which software changes an entry of a guest page table, and the one
 * through which hardware does. Each is one environment verb in its caller's name and emits one
 * spte_changed when the value has become visible.
 *
 *   pte_read(ptep)                      value
 *   pte_write(ptep, expected, new)      plain store; expected: what the caller believes to replace
 *   pte_xchg(ptep, new)                 value replaced, in one atomic step
 *   pte_try_cmpxchg(ptep, &old, new)    true when *ptep was old; else old = *ptep
 *   pte_fetch_and(ptep, mask)           value before; bits outside of the mask are cleared in one atomic step
 *   pte_assist(ptep, old, bits)         the walker's: sets bits if *ptep is still old, all of it
 *
 * What a reader finds behind a table entry is ordered by the address dependency in the kernel, and a
 * race detector knows none: pte_read and pte_walk acquire where the entry leads somewhere. pte_xchg counts what it
 * returns as what its caller believes to have replaced.
 *
 *   pte_walk(ptep)                      the walker's read of an entry
 *   pte_fill(ptep, new)                 store into a table that nobody else can reach yet: no point
 *
 * The environment may refuse a pte_try_cmpxchg (ANSWER_CMPXCHG): it then fails as if somebody had
 * interfered for a moment, and emits cmpxchg_refused. Each of software's accessors counts as an
 * entry touched, which bounds how long a walk goes on without an offer to give way.
 *
 * ptep points into a page-table frame, linked or not. These are macros because a site is named by
 * the function they stand in.
 */
#ifndef MACHINE_PTE_H
#define MACHINE_PTE_H

#include "kern/kern.h"
#include "machine/inspect.h"

/* These emit the event of their name. */
void pte_tell_changed(const u64 *ptep, u64 old, u64 new, u64 expected, enum pte_write how);
void pte_tell_refused(const u64 *ptep);
/* For the entry at @ptep: spte_changed. Called by the accessors and the walker only. */
static inline void pte_changed(const u64 *ptep, u64 old, u64 new, u64 expected, enum pte_write how)
{
	if (CONFIG_EVENTS)
		pte_tell_changed(ptep, old, new, expected, how);
}
/* cmpxchg_refused. */
static inline void pte_refused(const u64 *ptep)
{
	if (CONFIG_EVENTS)
		pte_tell_refused(ptep);
}

/* Outside of tasks nobody asks for the count: it may land in the place of any task. */
_Static_assert((TASKS_MAX & (TASKS_MAX - 1)) == 0, "a task number is cut to an index by a mask");
static inline void pte_touched(void)
{
	u32 *touched = &event_context.touched[FRAMEWORK_READ(event_context.task) & (TASKS_MAX - 1)];

	if (!CONFIG_EVENTS)
		return;
	FRAMEWORK_WRITE(*touched, FRAMEWORK_READ(*touched) + 1);
}

#define pte_read(ptep)                                     \
	({                                                 \
		pte_touched();                             \
		KERN_POINT(ptep, "READ_ONCE(*" #ptep ")"); \
		KERN_LOAD_DEPENDENT(ptep, PTE_RWX);        \
	})
#define pte_walk(ptep)                                     \
	({                                                 \
		KERN_POINT(ptep, "READ_ONCE(*" #ptep ")"); \
		KERN_LOAD_DEPENDENT(ptep, PTE_RWX);        \
	})
#define pte_write(ptep, expected, new)                                                    \
	({                                                                                \
		u64 *ptep_ = (ptep), replaced_, new_ = (new);                             \
		pte_touched();                                                            \
		KERN_POINT(ptep_, "WRITE_ONCE(*" #ptep ")");                              \
		/* For the event only. */                                                 \
		replaced_ = CONFIG_EVENTS ? __atomic_load_n(ptep_, __ATOMIC_RELAXED) : 0; \
		__atomic_store_n(ptep_, new_, __ATOMIC_RELAXED);                          \
		pte_changed(ptep_, replaced_, new_, expected, PTE_PLAIN);                 \
	})
#define pte_fill(ptep, new)                                                \
	({                                                                 \
		u64 *ptep_ = (ptep), replaced_ = *ptep_, new_ = (new);     \
		*ptep_ = new_;                                             \
		pte_changed(ptep_, replaced_, new_, replaced_, PTE_PLAIN); \
	})
#define pte_xchg(ptep, new)                                               \
	({                                                                \
		u64 *ptep_ = (ptep), replaced_, new_ = (new);             \
		pte_touched();                                            \
		KERN_POINT(ptep_, "xchg(" #ptep ")");                     \
		replaced_ = KERN_XCHG(ptep_, new_);                       \
		pte_changed(ptep_, replaced_, new_, replaced_, PTE_XCHG); \
		replaced_;                                                \
	})
#define pte_fetch_and(ptep, mask)                                                     \
	({                                                                            \
		u64 *ptep_ = (ptep), replaced_, mask_ = (mask);                       \
		pte_touched();                                                        \
		KERN_POINT(ptep_, "fetch_and(" #ptep ")");                            \
		replaced_ = KERN_FETCH(ptep_, and, &, mask_);                         \
		pte_changed(ptep_, replaced_, replaced_ &mask_, replaced_, PTE_XCHG); \
		replaced_;                                                            \
	})
#define pte_try_cmpxchg(ptep, old, new)                                                          \
	({                                                                                       \
		u64 *ptep_ = (ptep), *old_ = (old), expected_ = *old_, new_ = (new);             \
		bool done_ = false;                                                              \
		pte_touched();                                                                   \
		if (unlikely(KERN_ANSWER(ptep_, "try_cmpxchg64(" #ptep ")", ANSWER_CMPXCHG, 2))) \
			pte_refused(ptep_);                                                      \
		else                                                                             \
			done_ = KERN_CMPXCHG(ptep_, old_, new_);                                 \
		if (done_)                                                                       \
			pte_changed(ptep_, expected_, new_, expected_, PTE_CMPXCHG);             \
		done_;                                                                           \
	})
#define pte_assist(ptep, old, bits)                                                 \
	({                                                                          \
		u64 *ptep_ = (ptep), expected_ = (old), seen_ = expected_;          \
		u64 new_ = expected_ | (bits);                                      \
		bool done_;                                                         \
		KERN_POINT(ptep_, "assist(" #ptep ")");                             \
		done_ = KERN_CMPXCHG(ptep_, &seen_, new_);                          \
		if (done_)                                                          \
			pte_changed(ptep_, expected_, new_, expected_, PTE_ASSIST); \
		done_;                                                              \
	})

#endif
