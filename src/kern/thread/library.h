/* The few calls of liburcu (memb) that the backend makes: its headers and ours name the same things. */
#ifndef KERN_THREAD_LIBRARY_H
#define KERN_THREAD_LIBRARY_H

#include "base/types.h"

void library_register_thread(void);
void library_unregister_thread(void);
void library_read_lock(void);
void library_read_unlock(void);
bool library_read_ongoing(void);
void library_synchronize(void);

/* Before anything is queued. Context: no task. */
void library_prepare(void);
/* Has library_callback(@head) called by the library's worker after a grace period. */
void library_call_rcu(void *head);
/* Waits until all that was queued before has run. */
void library_barrier(void);
/* Defined by who uses it (rcu.c). */
void library_callback(void *head);

#endif
