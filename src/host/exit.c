/*
 * The end of the process. Subscribers are released before any page is freed: who still mapped one would
 * hear of nothing any more. What works through the rmap may be under way all the time.
 */
#include "host/host_internal.h"

void host_count_users(void)
{
	host.counts_users = true;
	host.mm->users = 1;
}

/* Mirrors exit_mmap. */
static void exit_mmap(void)
{
	host_notify_release();
	host_unmap_all();
}

bool host_mm_get(void)
{
	return !host.counts_users || inc_not_zero(&host.mm->users);
}

void host_mm_put(void)
{
	if (host.counts_users && dec_and_test(&host.mm->users))
		exit_mmap();
}

void host_exit(void)
{
	/* Races with another exit of the same process: its one reference goes once. */
	if (host.counts_users && !xchg(&host.mm->exited, 1))
		host_mm_put();
}
