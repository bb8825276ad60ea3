/*
 * Bodies of the thread backend: in line, so that without checks they are what one would write by hand. With
 * checks a lock goes through functions that know who holds what, and every verb is a point first, where the
 * thread gives way now and then.
 */
#ifndef BACKEND_VERBS_H
#define BACKEND_VERBS_H

#include <sched.h>

#include "base/event.h"
#include "base/types.h"
#include "kern/thread/self.h"

#if !THREAD_CHECKS
#include <urcu/static/urcu-memb.h>
#endif

/* --- points and answers --- */

/* In front of an access: nothing without checks. The text names it in the fiber backend. */
#define KERN_POINT(ptr, text) thread_point()
/* Rows without checks never refuse an exchange: it is one instruction there. */
#define KERN_ANSWER(ptr, text, kind, bound) (THREAD_CHECKS ? thread_answer(kind, bound) : 0)

static inline void thread_point(void)
{
	if (THREAD_CHECKS)
		thread_point_checked();
}

#define environment_answer(kind, bound) thread_answer(kind, bound)
#define kern_may_alloc()		thread_may_alloc(__FILE__, __LINE__)
#define need_resched()			(unlikely(!--thread_self.asks_left) && thread_resched())
#define cond_resched()			thread_cond_resched(__FILE__, __LINE__)
#define might_sleep()			thread_might_sleep(__FILE__, __LINE__)
#define await_change(addr, seen, size)	thread_await(addr, seen, size)

/* --- memory --- */

#define KERN_LOAD_DEPENDENT(p, leads) __atomic_load_n((const volatile u64 *)(p), __ATOMIC_ACQUIRE)
#define KERN_XCHG(p, v)		      __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST)
#define KERN_CMPXCHG(p, old, v) \
	__atomic_compare_exchange_n(p, old, v, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)
#define KERN_FETCH(p, name, op, n) __atomic_fetch_##name(p, n, __ATOMIC_SEQ_CST)

#define READ_ONCE(x)                                     \
	({                                               \
		thread_point();                          \
		__atomic_load_n(&(x), __ATOMIC_RELAXED); \
	})
#define WRITE_ONCE(x, v)                                          \
	({                                                        \
		__typeof__(x) value_ = (v);                       \
		thread_point();                                   \
		__atomic_store_n(&(x), value_, __ATOMIC_RELAXED); \
	})
#define smp_load_acquire(p)                           \
	({                                            \
		thread_point();                       \
		__atomic_load_n(p, __ATOMIC_ACQUIRE); \
	})
#define smp_store_release(p, v)                                \
	({                                                     \
		__typeof__(*(p)) value_ = (v);                 \
		thread_point();                                \
		__atomic_store_n(p, value_, __ATOMIC_RELEASE); \
	})
/* On this CPU an exchange, which nothing passes in either direction. */
#define smp_store_mb(x, v)                                        \
	({                                                        \
		__typeof__(x) value_ = (v);                       \
		thread_point();                                   \
		__atomic_store_n(&(x), value_, __ATOMIC_SEQ_CST); \
		__asm__ volatile("" ::: "memory");                \
	})
/* The race detector knows no fences: what they order must be atomic, or ordered by something else, too. */
#define smp_mb()  __asm__ volatile("lock; addl $0, -4(%%rsp)" ::: "memory", "cc")
#define smp_rmb() __asm__ volatile("" ::: "memory")
#define smp_wmb() __asm__ volatile("" ::: "memory")

#define xchg(p, v)                             \
	({                                     \
		__typeof__(*(p)) value_ = (v); \
		thread_point();                \
		KERN_XCHG(p, value_);          \
	})
#define try_cmpxchg64(p, old, v)               \
	({                                     \
		__typeof__(*(p)) value_ = (v); \
		thread_point();                \
		KERN_CMPXCHG(p, old, value_);  \
	})
#define fetch_add(p, n)                   \
	({                                \
		thread_point();           \
		KERN_FETCH(p, add, +, n); \
	})
#define fetch_or(p, mask)                   \
	({                                  \
		thread_point();             \
		KERN_FETCH(p, or, |, mask); \
	})
#define fetch_and(p, mask)                   \
	({                                   \
		thread_point();              \
		KERN_FETCH(p, and, &, mask); \
	})
#define dec_and_test(p)                        \
	({                                     \
		thread_point();                \
		KERN_FETCH(p, sub, -, 1) == 1; \
	})
#define inc_not_zero(p)                                                        \
	({                                                                     \
		__typeof__(p) counter_ = (p);                                  \
		__typeof__(*(p)) count_;                                       \
		thread_point();                                                \
		count_ = __atomic_load_n(counter_, __ATOMIC_RELAXED);          \
		while (count_ && !KERN_CMPXCHG(counter_, &count_, count_ + 1)) \
			;                                                      \
		count_ != 0;                                                   \
	})

#define rcu_dereference(p)                               \
	({                                               \
		thread_point();                          \
		__atomic_load_n(&(p), __ATOMIC_ACQUIRE); \
	})
#define rcu_assign_pointer(p, v)                                  \
	({                                                        \
		__typeof__(p) value_ = (v);                       \
		thread_point();                                   \
		__atomic_store_n(&(p), value_, __ATOMIC_RELEASE); \
	})

/* --- locks --- */

static inline void thread_lock_exclusive(struct thread_lock *lock)
{
	u32 free = 0;

	if (unlikely(!__atomic_compare_exchange_n(&lock->word, &free, THREAD_LOCK_WRITER, false,
						  __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)))
		thread_wait_exclusive(lock);
}

static inline void thread_unlock_exclusive(struct thread_lock *lock)
{
	__atomic_fetch_sub(&lock->word, THREAD_LOCK_WRITER, __ATOMIC_RELEASE);
}

static inline void thread_lock_shared(struct thread_lock *lock)
{
	u32 before = __atomic_fetch_add(&lock->word, 1, __ATOMIC_ACQUIRE);

	if (unlikely(before & ~THREAD_LOCK_READERS))
		thread_wait_shared(lock);
}

static inline void thread_unlock_shared(struct thread_lock *lock)
{
	__atomic_fetch_sub(&lock->word, 1, __ATOMIC_RELEASE);
}

/* Without checks one instruction that is locked, and a branch. */
#define THREAD_LOCK(l, mode, name)                                                 \
	(THREAD_CHECKS ? thread_lock_checked(&(l)->lock, mode, __FILE__, __LINE__) \
		       : thread_lock_##name(&(l)->lock))
#define THREAD_UNLOCK(l, mode, name)                                                 \
	(THREAD_CHECKS ? thread_unlock_checked(&(l)->lock, mode, __FILE__, __LINE__) \
		       : thread_unlock_##name(&(l)->lock))

#define spin_lock(l)	THREAD_LOCK(l, LOCK_EXCLUSIVE, exclusive)
#define spin_unlock(l)	THREAD_UNLOCK(l, LOCK_EXCLUSIVE, exclusive)
#define read_lock(l)	THREAD_LOCK(l, LOCK_SHARED, shared)
#define read_unlock(l)	THREAD_UNLOCK(l, LOCK_SHARED, shared)
#define write_lock(l)	THREAD_LOCK(l, LOCK_EXCLUSIVE, exclusive)
#define write_unlock(l) THREAD_UNLOCK(l, LOCK_EXCLUSIVE, exclusive)
#define mutex_lock(l)	THREAD_LOCK(l, LOCK_EXCLUSIVE, exclusive)
#define mutex_unlock(l) THREAD_UNLOCK(l, LOCK_EXCLUSIVE, exclusive)
#define down_read(l)	THREAD_LOCK(l, LOCK_SHARED, shared)
#define up_read(l)	THREAD_UNLOCK(l, LOCK_SHARED, shared)
#define down_write(l)	THREAD_LOCK(l, LOCK_EXCLUSIVE, exclusive)
#define up_write(l)	THREAD_UNLOCK(l, LOCK_EXCLUSIVE, exclusive)

#define mutex_trylock(l)     thread_trylock(&(l)->lock, LOCK_EXCLUSIVE)
#define down_read_trylock(l) thread_trylock(&(l)->lock, LOCK_SHARED)

/* Who holds it asks: a writer is in the way of everybody, a reader of writers only. */
static inline bool thread_needbreak(const struct thread_lock *lock)
{
	u32 word = __atomic_load_n(&lock->word, __ATOMIC_RELAXED);

	if (word & THREAD_LOCK_WAITERS)
		return true;
	return word & THREAD_LOCK_WRITER &&
	       __atomic_load_n(&lock->waiting_readers, __ATOMIC_RELAXED);
}
#define rwlock_needbreak(l)  thread_needbreak(&(l)->lock)
#define spin_is_contended(l) thread_needbreak(&(l)->lock)

#define cond_resched_rwlock_read(l) thread_resched_lock(&(l)->lock, LOCK_SHARED, __FILE__, __LINE__)
#define cond_resched_rwlock_write(l) \
	thread_resched_lock(&(l)->lock, LOCK_EXCLUSIVE, __FILE__, __LINE__)

/* Who keeps count of lock classes is no part of this backend. */
#define lock_section_enter(class) ((void)(class))
#define lock_section_leave(class) ((void)(class))
#define non_block_start()	  thread_non_block(1)
#define non_block_end()		  thread_non_block(-1)

/* The framework's own records, in which TSan sees a lock like any other. */
#define framework_lock()   thread_framework_lock()
#define framework_unlock() thread_framework_unlock()

#define THREAD_WARN(cond, text)                                            \
	({                                                                 \
		bool warn_ = !!(cond);                                     \
		if (unlikely(warn_))                                       \
			thread_warned(__FILE__, __LINE__, __func__, text); \
		warn_;                                                     \
	})
#define WARN_ON(cond)	 THREAD_WARN(cond, "WARN_ON(" #cond ")")
#define KVM_BUG_ON(cond) THREAD_WARN(cond, "KVM_BUG_ON(" #cond ")")

#define THREAD_ASSERT_HELD(name, l, is_held) \
	((void)(l), THREAD_CHECKS ? THREAD_WARN(!(is_held), name "(" #l ")") : false)
#define lockdep_assert_held(l) \
	THREAD_ASSERT_HELD("lockdep_assert_held", l, thread_holds(&(l)->lock, LOCK_EXCLUSIVE))
#define lockdep_assert_held_read(l) \
	THREAD_ASSERT_HELD("lockdep_assert_held_read", l, thread_holds(&(l)->lock, LOCK_SHARED))
#define lockdep_assert_held_write(l) \
	THREAD_ASSERT_HELD("lockdep_assert_held_write", l, thread_holds(&(l)->lock, LOCK_EXCLUSIVE))
#define lockdep_assert_held_either(l)                                  \
	THREAD_ASSERT_HELD("lockdep_assert_held_either", l,            \
			   thread_holds(&(l)->lock, LOCK_EXCLUSIVE) || \
				   thread_holds(&(l)->lock, LOCK_SHARED))

/* --- RCU, SRCU, waits --- */

#if THREAD_CHECKS
#define rcu_read_lock()	     thread_rcu_read_lock()
#define rcu_read_unlock()    thread_rcu_read_unlock(__FILE__, __LINE__)
#define rcu_read_lock_held() thread_rcu_read_held()
#else
#define rcu_read_lock()	     _urcu_memb_read_lock()
#define rcu_read_unlock()    _urcu_memb_read_unlock()
#define rcu_read_lock_held() true
#endif

#define call_rcu(head, func) thread_call_rcu(head, func, __FILE__, __LINE__)
#define synchronize_rcu()    thread_synchronize_rcu(__FILE__, __LINE__)
#define rcu_barrier()	     thread_rcu_barrier(__FILE__, __LINE__)

/*
 * A reader counts before whatever it reads: on this CPU the locked instruction orders both sides. Relaxed, because
 * the race detector would take each reader for ordered behind all that have left by the same counter, and their
 * races would go unseen. What it may rely on is what the updater did that has changed the index before.
 */
static inline int thread_srcu_enter(struct srcu_struct *srcu)
{
	u32 index = __atomic_load_n(&srcu->index, __ATOMIC_ACQUIRE);

	__atomic_fetch_add(&srcu->readers[index], 1, __ATOMIC_RELAXED);
	__asm__ volatile("" ::: "memory");
	return (int)index;
}

static inline void thread_srcu_leave(struct srcu_struct *srcu, int idx)
{
	__atomic_fetch_sub(&srcu->readers[idx], 1, __ATOMIC_RELEASE);
}
#define srcu_read_lock(s) (THREAD_CHECKS ? thread_srcu_enter_checked(s) : thread_srcu_enter(s))
#define srcu_read_unlock(s, idx)                                               \
	(THREAD_CHECKS ? thread_srcu_leave_checked(s, idx, __FILE__, __LINE__) \
		       : thread_srcu_leave(s, idx))
#define srcu_read_lock_held(s) (!THREAD_CHECKS || thread_srcu_held(s))
#define synchronize_srcu(s)    thread_synchronize_srcu(s, __FILE__, __LINE__)

#define prepare_to_rcuwait(w)	 thread_prepare_to_rcuwait(w, __FILE__, __LINE__)
#define finish_rcuwait(w)	 thread_finish_rcuwait(w)
#define rcuwait_wake_up(w)	 thread_rcuwait_wake_up(w)
#define set_current_state(state) thread_set_current_state(state)
#define schedule()		 thread_schedule(__FILE__, __LINE__)

#endif
