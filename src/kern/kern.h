/*
 * The kernel environment: one contract, one body chosen by the build (-I src/kern/<backend>).
 *
 * Machine, host and MMU code is written against these verbs, under the kernel's names, and against
 * nothing else. In the thread backend a verb is an atomic instruction or a lock that spins, and
 * tasks are threads. In the fiber backend a verb is a *point*: the scheduler may switch just before its
 * operation, and the trace names it by the text of its first argument. What gives something back (unlocks, the
 * ends of read sections) is none: others can do as much right behind it. Plain C accesses are no
 * points; memory that another task may touch without a common lock is reached by verbs only (the
 * race detector checks that).
 *
 * At most one verb stands in a full expression: gcc and clang order operands differently, and the
 * order of points is part of every reproducer.
 */
#ifndef KERN_KERN_H
#define KERN_KERN_H

#include "base/assert.h"
#include "base/bug.h"
#include "base/event.h"
#include "base/types.h"

#include <backend/types.h>

#include "kern/alloc.h"
#include "kern/atomic.h"
#include "kern/lock.h"
#include "kern/rcu.h"
#include "kern/task.h"

#include <backend/verbs.h>

#endif
