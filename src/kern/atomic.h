/*
 * Accesses to memory that tasks share without a lock. Objects are integers or pointers of 1 to 8
 * bytes; each verb touches its object once.
 *
 * Every ordering is the kernel's: READ_ONCE and WRITE_ONCE order nothing; acquire and release order
 * one side; value-returning RMWs order both. The fiber backend is sequentially consistent, so that
 * orderings matter to the race detector only (a weak-memory mode would give them their full price).
 *
 *   READ_ONCE(x)                   value of lvalue x
 *   WRITE_ONCE(x, v)
 *   smp_load_acquire(p)            value at p; pairs with smp_store_release(p)
 *   smp_store_release(p, v)
 *   smp_store_mb(x, v)             store, then full barrier
 *   smp_mb(), smp_rmb(), smp_wmb() barriers; no points
 *   xchg(p, v)                     stores v, returns what was there; full barrier
 *   try_cmpxchg64(p, old, v)       if *p == *old stores v and returns true, else *old = *p and false
 *   fetch_add(p, n) fetch_or(p, mask) fetch_and(p, mask)    return the old value; full barrier
 *   dec_and_test(p)                subtracts 1; true when the result is 0
 *   inc_not_zero(p)                adds 1 unless *p is 0; false when it is
 */
#ifndef KERN_ATOMIC_H
#define KERN_ATOMIC_H
#endif
