#define _GNU_SOURCE /* ppoll() */
#include "kern/thread/library.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <urcu/urcu-memb.h>

void library_register_thread(void)
{
	urcu_memb_register_thread();
}

void library_unregister_thread(void)
{
	urcu_memb_unregister_thread();
}

void library_read_lock(void)
{
	urcu_memb_read_lock();
}

void library_read_unlock(void)
{
	urcu_memb_read_unlock();
}

bool library_read_ongoing(void)
{
	return urcu_memb_read_ongoing();
}

void library_synchronize(void)
{
	urcu_memb_synchronize_rcu();
}

/*
 * For the race detector, which sees the library's calls of libc, but not the atomic accesses that order them: neither
 * its memory nor its locks are to be told.
 */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "called_from_lib:liburcu-memb.so\n";
}

/*
 * The library's worker naps 10 ms before it looks what was queued: longer than most runs take, so that callbacks would
 * run behind the last op, where nobody races with them. This one is found before libc's: that nap becomes a yield,
 * and any other call is what it was.
 */
int poll(struct pollfd *fds, nfds_t nr, int milliseconds)
{
	struct timespec time = { milliseconds / 1000, milliseconds % 1000 * 1000000L };

	if (!fds && !nr && milliseconds == 10)
		return sched_yield();
	return ppoll(fds, nr, milliseconds < 0 ? NULL : &time, NULL);
}

/* --- callbacks --- */

_Static_assert(sizeof(struct rcu_head) == 2 * sizeof(void *),
	       "the head of backend/types.h has room for the library's");

static void callback(struct rcu_head *head)
{
	library_callback(head);
}

void library_call_rcu(void *head)
{
	urcu_memb_call_rcu(head, callback);
}

void library_barrier(void)
{
	urcu_memb_barrier();
}

/* A child of fork() has a worker of its own, and the parent's is not in the middle of something. */
void library_prepare(void)
{
	static bool prepared;

	if (prepared)
		return;
	prepared = true;
	pthread_atfork(urcu_memb_call_rcu_before_fork, urcu_memb_call_rcu_after_fork_parent,
		       urcu_memb_call_rcu_after_fork_child);
}
