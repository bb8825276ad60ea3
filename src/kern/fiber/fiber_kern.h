/*
 * Out-of-line half of the fiber backend. Also what a subject that is compiled without the macros
 * calls, with sites of its own making.
 */
#ifndef KERN_FIBER_FIBER_KERN_H
#define KERN_FIBER_FIBER_KERN_H

#include "base/event.h"
#include "base/types.h"
#include "sched/sched.h"

#include <backend/types.h>

/* Just before an access to @addr: asks the live map, then the scheduler. About a nanosecond. */
void fiber_point(struct sched_site *site, const volatile void *addr);

/*
 * In front of what gives something back: asks the live map, but is no point. Whatever others could do
 * while the running task still holds it they can do as well when it has let go, before its next point;
 * only a trylock could tell, and sections in which one may fail have points of their own.
 */
void fiber_no_point(struct sched_site *site, const volatile void *addr);

void fiber_lock_exclusive(struct sched_site *site, struct fiber_lock *lock);
void fiber_unlock_exclusive(struct sched_site *site, struct fiber_lock *lock);
void fiber_lock_shared(struct sched_site *site, struct fiber_lock *lock);
void fiber_unlock_shared(struct sched_site *site, struct fiber_lock *lock);
bool fiber_trylock(struct sched_site *site, struct fiber_lock *lock, enum lock_mode mode);
void fiber_section_enter(struct sched_site *site, enum lock_class class);
void fiber_section_leave(enum lock_class class);
void fiber_non_block(int by);
int fiber_resched_lock(struct sched_site *site, struct fiber_lock *lock, enum lock_mode mode);
bool fiber_holds(const struct fiber_lock *lock, enum lock_mode mode);

void fiber_rcu_read_lock(struct sched_site *site);
void fiber_rcu_read_unlock(struct sched_site *site);
int fiber_srcu_read_lock(struct sched_site *site, struct srcu_struct *srcu);
void fiber_srcu_read_unlock(struct sched_site *site, struct srcu_struct *srcu, int idx);

struct rcu_head;
void fiber_call_rcu(struct sched_site *site, struct rcu_head *head,
		    void (*func)(struct rcu_head *head));
void fiber_synchronize_rcu(struct sched_site *site);
void fiber_rcu_barrier(struct sched_site *site);
void fiber_synchronize_srcu(struct sched_site *site, struct srcu_struct *srcu);

void fiber_prepare_to_rcuwait(struct sched_site *site, struct rcuwait *w);
void fiber_finish_rcuwait(struct sched_site *site, struct rcuwait *w);
void fiber_rcuwait_wake_up(struct sched_site *site, struct rcuwait *w);
void fiber_set_current_state(struct sched_site *site, u32 state);
void fiber_schedule(struct sched_site *site);

/*
 * For the race detector: the running task goes where the value at @addr leads, and sees what was written
 * there before somebody stored it.
 */
void fiber_see_through(const volatile void *addr);

/* An answer of the environment about what stands at @addr; asks the live map afterwards. */
u64 fiber_answer(struct sched_site *site, const volatile void *addr, enum answer_kind kind,
		 u64 bound);
bool fiber_may_alloc(struct sched_site *site);
bool fiber_need_resched(struct sched_site *site);
void fiber_cond_resched(struct sched_site *site);
void fiber_might_sleep(void);
void fiber_await(struct sched_site *site, const volatile void *addr, const void *seen, u32 size);

/* Who drives the schedules of kern_run_tasks() from now on. */
void kern_set_driver(const struct sched_driver *driver);
/* Ends are stops for the schedules to come (a directive names one). */
void kern_arm_op_ends(bool armed);

#endif
