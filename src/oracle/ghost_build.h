/*
 * How events become ghost state, for oracle.c only. What happens often and does little stands here
 * in line; ghost_event() is called with a constant id, so that one switch is all that an event meets.
 */
#ifndef ORACLE_GHOST_BUILD_H
#define ORACLE_GHOST_BUILD_H

#include "oracle/ghost.h"

#define LOCK_CLASS_FIELD 1
#define LOCK_MODE_FIELD	 2
_Static_assert(offsetof(struct event_lock_acquired, class) ==
			       sizeof(struct event) + LOCK_CLASS_FIELD * sizeof(u64) &&
		       offsetof(struct event_lock_released, class) ==
			       offsetof(struct event_lock_acquired, class) &&
		       offsetof(struct event_lock_acquired, mode) ==
			       sizeof(struct event) + LOCK_MODE_FIELD * sizeof(u64),
	       "both events of a lock hold its class in the same place");

/*
 * Counts what the task holds. Return: whether that is all: of locks other than mmu_lock, which are told
 * of only while everything is tapped, nobody wants to know more.
 */
static inline bool ghost_lock_only_counts(const struct event *event, u32 id)
{
	struct ghost_task *task = ghost_task(event->task);

	if (id == EVENT_lock_acquired)
		task->locks++;
	else if (likely(task->locks))
		task->locks--;
	return event_field(event, LOCK_CLASS_FIELD) != LOCK_mmu_lock;
}

__noinline void ghost_mmu_lock_acquired(const struct event *event);
__noinline void ghost_mmu_lock_released(const struct event *event);
__noinline void ghost_frame_allocated(const struct event_frame_allocated *event);
__noinline void ghost_frame_freed(const struct event_frame_freed *event);
__noinline void ghost_spte_changed(const struct event_spte_changed *event);
__noinline void ghost_root_created(const struct event_root_created *event);
__noinline void ghost_root_changed(const struct event *event);
__noinline void ghost_walk_begun(const struct event_walk_begun *event);
__noinline void ghost_dirty_log_changed(const struct event_dirty_log_changed *event);
__noinline void ghost_memslot_changed(const struct event_memslot_changed *event);
__noinline void ghost_synchronized(const struct event_synchronized *event);
__noinline void ghost_mmu_released(const struct event *event);
__noinline void ghost_notifier_moved(const struct event *event, enum ghost_bracket to);
__noinline void ghost_aging(const struct event *event);
__noinline void ghost_fault_begun(const struct event_fault_begun *event);
__noinline void ghost_fault_snapshot(const struct event *event);
__noinline void ghost_fault_checked(const struct event_fault_checked *event);
__noinline void ghost_invalidate_begun(const struct event *event);
__noinline void ghost_invalidate_range_added(const struct event_invalidate_range_added *event);
__noinline void ghost_invalidate_ended(const struct event *event);

/* The MMU has answered. */
static inline void ghost_subscriber_called(const struct event_subscriber_called *event)
{
	struct ghost_task *task = ghost_task(event->head.task);

	if (event->subscriber != GHOST_MMU_SUBSCRIBER)
		return;
	if (event->what == NOTIFIER_RELEASE)
		ghost_mmu_released(&event->head);
	else if ((event->what == NOTIFIER_START || event->what == NOTIFIER_END) && task->depth)
		task->notifications[task->depth - 1].mmu_started =
			event->what == NOTIFIER_START && !event->error;
}

/* What the task was, or is from here on, in the middle of. */
static inline void ghost_chores(const struct event *event)
{
	struct ghost_task *task = ghost_task(event->task);

	if (event->id == EVENT_walk_ended)
		task->chores &= ~(u32)GHOST_WALKS;
	else if (event->id == EVENT_harvest_begun)
		task->chores |= GHOST_HARVESTS;
	else
		task->chores &= ~(u32)GHOST_HARVESTS;
}

/* What one task is about, and nobody else knows of yet. @id: the event's. */
__attribute__((always_inline)) static inline void ghost_task_event(const struct event *event,
								   u32 id)
{
	const void *payload = event;

	switch (id) {
	case EVENT_walk_begun:
		return ghost_walk_begun(payload);
	case EVENT_walk_ended:
	case EVENT_harvest_begun:
	case EVENT_harvest_ended:
		return ghost_chores(event);
	case EVENT_young_begun:
	case EVENT_young_ended:
	case EVENT_age_begun:
	case EVENT_age_ended:
		return ghost_aging(event);
	case EVENT_cmpxchg_refused:
		ghost_task(event->task)->fault.refused = true;
		return;
	case EVENT_vcpu_entered:
		ghost.vcpu_entered[event_field(event, 0) % VCPUS_MAX] = event->time;
		ghost_task(event->task)->vcpu = (u32)event_field(event, 0) % VCPUS_MAX;
		return;
	case EVENT_notifier_start:
		return ghost_notifier_moved(event, GHOST_STARTING);
	case EVENT_notifier_start_returned:
		return ghost_notifier_moved(event, GHOST_STARTED);
	case EVENT_notifier_end:
		return ghost_notifier_moved(event, GHOST_ENDING);
	case EVENT_notifier_end_returned:
		return ghost_notifier_moved(event, GHOST_OUTSIDE);
	case EVENT_fault_begun:
		return ghost_fault_begun(payload);
	case EVENT_fault_snapshot:
		return ghost_fault_snapshot(event);
	case EVENT_fault_translated:
		ghost_task(event->task)->fault.translated = true;
		return;
	case EVENT_fault_checked:
		return ghost_fault_checked(payload);
	case EVENT_fault_ended:
		ghost_task(event->task)->fault.active = false;
		return;
	}
}

/* Context: of lock events, those that do not only count. @id: the event's. */
__attribute__((always_inline)) static inline void ghost_event(const struct event *event, u32 id)
{
	const void *payload = event;

	switch (id) {
	case EVENT_lock_acquired:
		return ghost_mmu_lock_acquired(event);
	case EVENT_lock_released:
		return ghost_mmu_lock_released(event);
	case EVENT_frame_allocated:
		return ghost_frame_allocated(payload);
	case EVENT_frame_freed:
		return ghost_frame_freed(payload);
	case EVENT_spte_changed:
		return ghost_spte_changed(payload);
	case EVENT_root_created:
		return ghost_root_created(payload);
	case EVENT_root_invalidated:
	case EVENT_root_zapped:
	case EVENT_root_unlisted:
		return ghost_root_changed(event);
	case EVENT_dirty_log_changed:
		return ghost_dirty_log_changed(payload);
	case EVENT_memslot_changed:
		return ghost_memslot_changed(payload);
	case EVENT_synchronized:
		return ghost_synchronized(payload);
	case EVENT_subscriber_called:
		return ghost_subscriber_called(payload);
	case EVENT_invalidate_begun:
		return ghost_invalidate_begun(event);
	case EVENT_invalidate_range_added:
		return ghost_invalidate_range_added(payload);
	case EVENT_invalidate_ended:
		return ghost_invalidate_ended(event);
	default:
		return ghost_task_event(event, id);
	}
}

#endif
