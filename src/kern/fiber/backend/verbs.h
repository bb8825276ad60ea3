/*
 * Bodies of the fiber backend. Each verb is shadowed by a macro of its name that makes the site
 * record (function and first argument's text) and passes it to an out-of-line function. The memory
 * access itself stays in the caller, right after the point, where ASan and TSan see it.
 */
#ifndef BACKEND_VERBS_H
#define BACKEND_VERBS_H

#include "kern/fiber/fiber_kern.h"

long __tsan_atomic64_load(const volatile long *p, int order);

/*
 * The record of this call. Volatile reads and the section keep it from being folded. Macros of the
 * machine layer that wrap a verb pass their own caller's text through KERN_SITE too.
 */
#define KERN_SITE(object_, size_, text)                                                      \
	({                                                                                   \
		static struct sched_site site_                                               \
			__attribute__((section("kern_sites"),                                \
				       used)) = { 0, object_, size_, 0, __func__, text, 0 }; \
		&site_;                                                                      \
	})

#define KERN_OBJECT(x) (__builtin_classify_type(x) == 5 ? SCHED_POINTER : SCHED_VALUE)

/* The point of a verb on memory: @text names it, @ptr is what it is about to touch. */
#define KERN_POINT(ptr, text) \
	fiber_point(KERN_SITE(KERN_OBJECT(*(ptr)), sizeof(*(ptr)), text), (ptr))
/* The same, where the environment answers in [0, bound) how the verb goes; 0: as it would. */
#define KERN_ANSWER(ptr, text, kind, bound) \
	fiber_answer(KERN_SITE(KERN_OBJECT(*(ptr)), sizeof(*(ptr)), text), (ptr), kind, bound)

/*
 * The value at @p; what lies behind it is ordered by the address dependency if any bit of @leads is set,
 * else there is nothing behind it. Told to the race detector in so many words, because it knows no
 * dependencies, and also from files that it does not watch.
 */
#define KERN_LOAD_DEPENDENT(p, leads)                                                          \
	({                                                                                     \
		const volatile void *p_ = (p);                                                 \
		u64 loaded_;                                                                   \
		if (CONFIG_TSAN) {                                                             \
			loaded_ = (u64)__tsan_atomic64_load(p_, __ATOMIC_RELAXED);             \
			if (loaded_ & (leads))                                                 \
				fiber_see_through(p_);                                         \
		} else {                                                                       \
			loaded_ = __atomic_load_n((const volatile u64 *)p_, __ATOMIC_ACQUIRE); \
		}                                                                              \
		loaded_;                                                                       \
	})

/*
 * What a verb does that both reads and writes. All tasks run on one thread, and none is switched in the
 * middle of it: nobody but the race detector needs the CPU to do it in one step, too, and a locked
 * instruction waits for all stores before it.
 */
#if CONFIG_TSAN
#define KERN_FULL_ORDER __ATOMIC_SEQ_CST
#define KERN_XCHG(p, v) __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST)
#define KERN_CMPXCHG(p, old, v) \
	__atomic_compare_exchange_n(p, old, v, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)
#define KERN_FETCH(p, name, op, n) __atomic_fetch_##name(p, n, __ATOMIC_SEQ_CST)
#else
#define KERN_FULL_ORDER		   __ATOMIC_RELAXED
#define KERN_FETCH(p, name, op, n) KERN_XCHG(p, *(p)op(n))
#define KERN_XCHG(p, v)                         \
	({                                      \
		__typeof__(p) at_ = (p);        \
		__typeof__(*at_) found_ = *at_; \
		*at_ = (v);                     \
		found_;                         \
	})
/* Return: whether *@p was *@old; else the latter is what was there. */
#define KERN_CMPXCHG(p, old, v)                                   \
	({                                                        \
		__typeof__(p) at_ = (p);                          \
		__typeof__(*at_) *wanted_ = (old), found_ = *at_; \
		bool same_ = found_ == *wanted_;                  \
		if (same_)                                        \
			*at_ = (v);                               \
		else                                              \
			*wanted_ = found_;                        \
		same_;                                            \
	})
#endif

#define READ_ONCE(x)                                     \
	({                                               \
		KERN_POINT(&(x), "READ_ONCE(" #x ")");   \
		__atomic_load_n(&(x), __ATOMIC_RELAXED); \
	})
#define WRITE_ONCE(x, v)                                          \
	({                                                        \
		__typeof__(x) value_ = (v);                       \
		KERN_POINT(&(x), "WRITE_ONCE(" #x ")");           \
		__atomic_store_n(&(x), value_, __ATOMIC_RELAXED); \
	})
#define smp_load_acquire(p)                                \
	({                                                 \
		KERN_POINT(p, "smp_load_acquire(" #p ")"); \
		__atomic_load_n(p, __ATOMIC_ACQUIRE);      \
	})
#define smp_store_release(p, v)                                \
	({                                                     \
		__typeof__(*(p)) value_ = (v);                 \
		KERN_POINT(p, "smp_store_release(" #p ")");    \
		__atomic_store_n(p, value_, __ATOMIC_RELEASE); \
	})
#define smp_store_mb(x, v)                                       \
	({                                                       \
		__typeof__(x) value_ = (v);                      \
		KERN_POINT(&(x), "smp_store_mb(" #x ")");        \
		__atomic_store_n(&(x), value_, KERN_FULL_ORDER); \
	})
/* Sequentially consistent as the backend is: barriers order the compiler, and are no points. */
#define smp_mb()  __asm__ volatile("" ::: "memory")
#define smp_rmb() smp_mb()
#define smp_wmb() smp_mb()

#define xchg(p, v)                             \
	({                                     \
		__typeof__(*(p)) value_ = (v); \
		KERN_POINT(p, "xchg(" #p ")"); \
		KERN_XCHG(p, value_);          \
	})
#define try_cmpxchg64(p, old, v)                        \
	({                                              \
		__typeof__(*(p)) value_ = (v);          \
		KERN_POINT(p, "try_cmpxchg64(" #p ")"); \
		KERN_CMPXCHG(p, old, value_);           \
	})
#define fetch_add(p, n)                             \
	({                                          \
		KERN_POINT(p, "fetch_add(" #p ")"); \
		KERN_FETCH(p, add, +, n);           \
	})
#define fetch_or(p, mask)                          \
	({                                         \
		KERN_POINT(p, "fetch_or(" #p ")"); \
		KERN_FETCH(p, or, |, mask);        \
	})
#define fetch_and(p, mask)                          \
	({                                          \
		KERN_POINT(p, "fetch_and(" #p ")"); \
		KERN_FETCH(p, and, &, mask);        \
	})
#define dec_and_test(p)                                \
	({                                             \
		KERN_POINT(p, "dec_and_test(" #p ")"); \
		KERN_FETCH(p, sub, -, 1) == 1;         \
	})
#define inc_not_zero(p)                                                    \
	({                                                                 \
		__typeof__(*(p)) count_;                                   \
		KERN_POINT(p, "inc_not_zero(" #p ")");                     \
		count_ = __atomic_load_n(p, __ATOMIC_RELAXED);             \
		/* No switch since the point: the exchange cannot fail. */ \
		count_ &&KERN_CMPXCHG(p, &count_, count_ + 1);             \
	})

#define rcu_dereference(p)                                       \
	({                                                       \
		KERN_POINT(&(p), "rcu_dereference(" #p ")");     \
		(__typeof__(p))KERN_LOAD_DEPENDENT(&(p), ~0ull); \
	})
#define rcu_assign_pointer(p, v)                                  \
	({                                                        \
		__typeof__(p) value_ = (v);                       \
		KERN_POINT(&(p), "rcu_assign_pointer(" #p ")");   \
		__atomic_store_n(&(p), value_, __ATOMIC_RELEASE); \
	})

#define KERN_LOCK_SITE(text) KERN_SITE(SCHED_LOCK, 0, text)

#define spin_lock(l)	fiber_lock_exclusive(KERN_LOCK_SITE("spin_lock(" #l ")"), &(l)->lock)
#define spin_unlock(l)	fiber_unlock_exclusive(KERN_LOCK_SITE("spin_unlock(" #l ")"), &(l)->lock)
#define read_lock(l)	fiber_lock_shared(KERN_LOCK_SITE("read_lock(" #l ")"), &(l)->lock)
#define read_unlock(l)	fiber_unlock_shared(KERN_LOCK_SITE("read_unlock(" #l ")"), &(l)->lock)
#define write_lock(l)	fiber_lock_exclusive(KERN_LOCK_SITE("write_lock(" #l ")"), &(l)->lock)
#define write_unlock(l) fiber_unlock_exclusive(KERN_LOCK_SITE("write_unlock(" #l ")"), &(l)->lock)
#define cond_resched_rwlock_read(l)                                                        \
	fiber_resched_lock(KERN_LOCK_SITE("cond_resched_rwlock_read(" #l ")"), &(l)->lock, \
			   LOCK_SHARED)
#define cond_resched_rwlock_write(l)                                                        \
	fiber_resched_lock(KERN_LOCK_SITE("cond_resched_rwlock_write(" #l ")"), &(l)->lock, \
			   LOCK_EXCLUSIVE)
#define mutex_lock(l)	fiber_lock_exclusive(KERN_LOCK_SITE("mutex_lock(" #l ")"), &(l)->lock)
#define mutex_unlock(l) fiber_unlock_exclusive(KERN_LOCK_SITE("mutex_unlock(" #l ")"), &(l)->lock)
#define down_read(l)	fiber_lock_shared(KERN_LOCK_SITE("down_read(" #l ")"), &(l)->lock)
#define up_read(l)	fiber_unlock_shared(KERN_LOCK_SITE("up_read(" #l ")"), &(l)->lock)
#define down_write(l)	fiber_lock_exclusive(KERN_LOCK_SITE("down_write(" #l ")"), &(l)->lock)
#define up_write(l)	fiber_unlock_exclusive(KERN_LOCK_SITE("up_write(" #l ")"), &(l)->lock)

#define mutex_trylock(l) \
	fiber_trylock(KERN_LOCK_SITE("mutex_trylock(" #l ")"), &(l)->lock, LOCK_EXCLUSIVE)
#define down_read_trylock(l) \
	fiber_trylock(KERN_LOCK_SITE("down_read_trylock(" #l ")"), &(l)->lock, LOCK_SHARED)
#define lock_section_enter(class) \
	fiber_section_enter(KERN_SITE(SCHED_NOTHING, 0, "lock_section_enter(" #class ")"), class)
#define lock_section_leave(class) fiber_section_leave(class)
#define non_block_start()	  fiber_non_block(1)
#define non_block_end()		  fiber_non_block(-1)
#define framework_lock()	  ((void)0)
#define framework_unlock()	  ((void)0)

#define rcu_read_lock()	  fiber_rcu_read_lock(KERN_SITE(SCHED_NOTHING, 0, "rcu_read_lock()"))
#define rcu_read_unlock() fiber_rcu_read_unlock(KERN_SITE(SCHED_NOTHING, 0, "rcu_read_unlock()"))
#define srcu_read_lock(s) \
	fiber_srcu_read_lock(KERN_SITE(SCHED_NOTHING, 0, "srcu_read_lock(" #s ")"), s)
#define srcu_read_unlock(s, idx) \
	fiber_srcu_read_unlock(KERN_SITE(SCHED_NOTHING, 0, "srcu_read_unlock(" #s ")"), s, idx)

#define call_rcu(head, func) \
	fiber_call_rcu(KERN_SITE(SCHED_NOTHING, 0, "call_rcu(" #head ")"), head, func)
#define synchronize_rcu() fiber_synchronize_rcu(KERN_SITE(SCHED_NOTHING, 0, "synchronize_rcu()"))
#define rcu_barrier()	  fiber_rcu_barrier(KERN_SITE(SCHED_NOTHING, 0, "rcu_barrier()"))
#define synchronize_srcu(s) \
	fiber_synchronize_srcu(KERN_SITE(SCHED_NOTHING, 0, "synchronize_srcu(" #s ")"), s)

#define prepare_to_rcuwait(w) \
	fiber_prepare_to_rcuwait(KERN_SITE(SCHED_NOTHING, 0, "prepare_to_rcuwait(" #w ")"), w)
#define finish_rcuwait(w) \
	fiber_finish_rcuwait(KERN_SITE(SCHED_NOTHING, 0, "finish_rcuwait(" #w ")"), w)
#define rcuwait_wake_up(w) \
	fiber_rcuwait_wake_up(KERN_SITE(SCHED_NOTHING, 0, "rcuwait_wake_up(" #w ")"), w)
#define set_current_state(state) \
	fiber_set_current_state(KERN_SITE(SCHED_NOTHING, 0, "set_current_state(" #state ")"), state)
#define schedule() fiber_schedule(KERN_SITE(SCHED_NOTHING, 0, "schedule()"))

#define environment_answer(kind, bound)                                                        \
	fiber_answer(KERN_SITE(SCHED_NOTHING, 0, "environment_answer(" #kind ")"), NULL, kind, \
		     bound)
#define kern_may_alloc() fiber_may_alloc(KERN_SITE(SCHED_NOTHING, 0, "kern_may_alloc()"))
#define need_resched()	 fiber_need_resched(KERN_SITE(SCHED_NOTHING, 0, "need_resched()"))
#define cond_resched()	 fiber_cond_resched(KERN_SITE(SCHED_NOTHING, 0, "cond_resched()"))
#define might_sleep()	 fiber_might_sleep()
#define await_change(addr, seen, size) \
	fiber_await(KERN_SITE(SCHED_NOTHING, 0, "await_change(" #addr ")"), addr, seen, size)

#define WARN_ON(cond)                                    \
	({                                               \
		bool warn_ = !!(cond);                   \
		if (unlikely(warn_))                     \
			event(warned, .line = __LINE__); \
		warn_;                                   \
	})
#define KVM_BUG_ON(cond) WARN_ON(cond)

#define lockdep_assert_held(l)	     WARN_ON(!fiber_holds(&(l)->lock, LOCK_EXCLUSIVE))
#define lockdep_assert_held_read(l)  WARN_ON(!fiber_holds(&(l)->lock, LOCK_SHARED))
#define lockdep_assert_held_write(l) WARN_ON(!fiber_holds(&(l)->lock, LOCK_EXCLUSIVE))
#define lockdep_assert_held_either(l) \
	WARN_ON(!fiber_holds(&(l)->lock, LOCK_EXCLUSIVE) && !fiber_holds(&(l)->lock, LOCK_SHARED))

#endif
