/*
 * What each oracle file offers to oracle.c, and how it convicts. Interest masks stand here so that
 * dispatch folds into tests of constants.
 */
#ifndef ORACLE_JUDGE_H
#define ORACLE_JUDGE_H

#include "oracle/ghost.h"
#include "oracle/oracle.h"

/*
 * name_reset() forgets what the last schedule left behind; name_event() is handed each event of the
 * interest mask, after the ghost state was brought up to date; of lock events, those of mmu_lock.
 */
#define ORACLE(name, what)       \
	void name##_reset(void); \
	__noinline void name##_event(const struct event *event);
#include "oracle/oracles.def"
#undef ORACLE

#define stale_mapping_interest                                                     \
	(EVENT_BIT(EVENT_spte_changed) | EVENT_BIT(EVENT_host_pte_changed) |       \
	 EVENT_BIT(EVENT_frame_freed) | EVENT_BIT(EVENT_notifier_start_returned) | \
	 EVENT_BIT(EVENT_guest_accessed) | EVENT_BIT(EVENT_memslot_changed) |      \
	 EVENT_BIT(EVENT_subscriber_called) | EVENT_BIT(EVENT_mmio_used) |         \
	 EVENT_BIT(EVENT_pfncache_filled) | EVENT_BIT(EVENT_pfncache_dropped) |    \
	 EVENT_BIT(EVENT_pfncache_used))
#define stale_tlb_interest                                                         \
	(EVENT_BIT(EVENT_spte_changed) | EVENT_BIT(EVENT_lock_released) |          \
	 EVENT_BIT(EVENT_notifier_start_returned) | EVENT_BIT(EVENT_root_loaded) | \
	 EVENT_BIT(EVENT_root_invalidated) | EVENT_BIT(EVENT_request_sent) |       \
	 EVENT_BIT(EVENT_request_waited) | EVENT_BIT(EVENT_vcpu_entered) |         \
	 EVENT_BIT(EVENT_harvest_ended) | EVENT_BIT(EVENT_dirty_log_changed))
#define lifetime_interest                                                                        \
	(EVENT_BIT(EVENT_frame_freed) | EVENT_BIT(EVENT_rcu_queued) | EVENT_BIT(EVENT_rcu_ran) | \
	 EVENT_BIT(EVENT_memslot_changed) | EVENT_BIT(EVENT_root_loaded) |                       \
	 EVENT_BIT(EVENT_dead_access))
#define spte_change_interest (EVENT_BIT(EVENT_spte_changed) | EVENT_BIT(EVENT_lock_released))
/* Entries written in detached tables that are still to be emptied: when mmu_lock is released they must be. */
extern u32 spte_change_late;
#define lost_dirty_interest                                                     \
	(EVENT_BIT(EVENT_spte_changed) | EVENT_BIT(EVENT_guest_accessed) |      \
	 EVENT_BIT(EVENT_guest_written) | EVENT_BIT(EVENT_pml_logged) |         \
	 EVENT_BIT(EVENT_pml_taken) | EVENT_BIT(EVENT_dirty_marked) |           \
	 EVENT_BIT(EVENT_dirty_taken) | EVENT_BIT(EVENT_harvest_ended) |        \
	 EVENT_BIT(EVENT_dirty_given_up) | EVENT_BIT(EVENT_dirty_log_changed) | \
	 EVENT_BIT(EVENT_memslot_changed) | EVENT_BIT(EVENT_quiesced))
#define lost_young_interest                                                       \
	(EVENT_BIT(EVENT_spte_changed) | EVENT_BIT(EVENT_young_begun) |           \
	 EVENT_BIT(EVENT_young_read) | EVENT_BIT(EVENT_young_ended) |             \
	 EVENT_BIT(EVENT_walk_yielded) | EVENT_BIT(EVENT_slept_in_atomic) |       \
	 EVENT_BIT(EVENT_host_pte_changed) | EVENT_BIT(EVENT_subscriber_joined) | \
	 EVENT_BIT(EVENT_subscriber_called) | EVENT_BIT(EVENT_age_begun) |        \
	 EVENT_BIT(EVENT_age_judged))
#define false_retry_interest (EVENT_BIT(EVENT_fault_retried) | EVENT_BIT(EVENT_fault_ended))
#define lock_order_interest                                                      \
	(EVENT_BIT(EVENT_lock_nested) | EVENT_BIT(EVENT_rcuwait_taken) |         \
	 EVENT_BIT(EVENT_slept_in_atomic) | EVENT_BIT(EVENT_slept_in_nonblock) | \
	 EVENT_BIT(EVENT_fault_retried))
#define progress_interest                                                \
	(EVENT_BIT(EVENT_fault_begun) | EVENT_BIT(EVENT_fault_retried) | \
	 EVENT_BIT(EVENT_fault_ended) | EVENT_BIT(EVENT_walk_begun) |    \
	 EVENT_BIT(EVENT_walk_yielded) | EVENT_BIT(EVENT_task_stuck) |   \
	 EVENT_BIT(EVENT_deadlocked))
#define stall_interest                                                     \
	(EVENT_BIT(EVENT_walk_begun) | EVENT_BIT(EVENT_walk_ended) |       \
	 EVENT_BIT(EVENT_yield_overdue) | EVENT_BIT(EVENT_harvest_begun) | \
	 EVENT_BIT(EVENT_harvest_ended) | EVENT_BIT(EVENT_dirty_taken))
#define accounting_interest                                             \
	(EVENT_BIT(EVENT_spte_changed) | EVENT_BIT(EVENT_root_zapped) | \
	 EVENT_BIT(EVENT_memslot_changed) | EVENT_BIT(EVENT_quiesced))
#define notifier_pairing_interest                                                      \
	(EVENT_BIT(EVENT_notifier_start) | EVENT_BIT(EVENT_notifier_start_returned) |  \
	 EVENT_BIT(EVENT_notifier_end_returned) | EVENT_BIT(EVENT_subscriber_joined) | \
	 EVENT_BIT(EVENT_subscriber_called) | EVENT_BIT(EVENT_subscriber_left) |       \
	 EVENT_BIT(EVENT_invalidate_begun) | EVENT_BIT(EVENT_invalidate_ended) |       \
	 EVENT_BIT(EVENT_active_raised) | EVENT_BIT(EVENT_in_progress_lowered) |       \
	 EVENT_BIT(EVENT_active_lowered) | EVENT_BIT(EVENT_pfncaches_scanned))
#define assertion_interest (EVENT_BIT(EVENT_warned) | EVENT_BIT(EVENT_op_left_holding))

/*
 * Of an event that many see and few act on: whether this oracle does. Looked at before it is called,
 * with the ghost state up to date.
 */
static inline bool judge_matters(enum oracle_id oracle, const struct event *event, u32 id)
{
	const void *payload = event;

	switch (id) {
	case EVENT_spte_changed:
		if (oracle == ORACLE_stale_mapping)
			return ghost.change.installs;
		if (oracle == ORACLE_lost_dirty)
			return ghost.nr_logs && (ghost.change.installs || ghost.change.restores);
		if (oracle == ORACLE_lost_young)
			return unlikely(ghost.nr_ages);
		return oracle != ORACLE_accounting || ghost.change.revives;
	case EVENT_lock_released:
		return oracle != ORACLE_spte_change || unlikely(spte_change_late);
	case EVENT_guest_accessed:
	case EVENT_guest_written:
	case EVENT_pml_taken:
	case EVENT_quiesced:
		return oracle != ORACLE_lost_dirty || ghost.nr_logs;
	case EVENT_frame_freed: {
		const struct event_frame_freed *freed = payload;

		return (oracle == ORACLE_lifetime) == (freed->kind == FRAME_PAGE_TABLE);
	}
	case EVENT_subscriber_called: {
		const struct event_subscriber_called *called = payload;

		if (oracle == ORACLE_lost_young)
			return called->what >= NOTIFIER_CLEAR_FLUSH_YOUNG;
		return oracle != ORACLE_stale_mapping || called->what == NOTIFIER_RELEASE;
	}
	case EVENT_host_pte_changed:
		return oracle != ORACLE_lost_young || unlikely(ghost.nr_asks);
	case EVENT_walk_yielded:
	case EVENT_slept_in_atomic:
		return oracle != ORACLE_lost_young || unlikely(ghost.nr_ages);
	case EVENT_fault_retried: {
		const struct event_fault_retried *retried = payload;

		return oracle != ORACLE_lock_order || retried->reason == RETRY_SLOT_INVALID;
	}
	}
	return true;
}

/* What access tracking puts aside, and where. */
#define SAVED_BITS (SPTE_SAVED_R | SPTE_SAVED_X)
_Static_assert(SPTE_SAVED_R >> 54 == PTE_R && SPTE_SAVED_X >> 54 == PTE_X,
	       "saved bits are shifted as one");

/* One line of text that is filled up to its end and then silently cut off. */
struct detail {
	char text[sizeof(((struct verdict *)0)->detail)];
	u32 length;
};
void detail_text(struct detail *detail, const char *text);
void detail_decimal(struct detail *detail, u64 value);
void detail_hex(struct detail *detail, u64 value);

#define FINDING_VALUES_MAX 6

struct finding {
	enum oracle_id oracle;
	const char *class, *sentence;
	struct ghost_mark at, against; /* against: time 0 if there is none */
	/* What the detail line says: name=value, up to the first NULL name ... */
	struct {
		const char *name;
		u64 value;
	} values[FINDING_VALUES_MAX];
	const struct detail *detail; /* ... unless the line is given. */
	const struct verdict_hold *holds; /* lock_order: at most VERDICT_HOLDS_MAX */
	u32 nr_holds;
};

/* Records the verdict unless there is one, and tells whoever wants to know. May not return. */
__cold void oracle_convict(const struct finding *finding);

void oracle_count_retry(enum retry_class class);
void oracle_count_stale_then_flushed(u64 entries);
u32 oracle_forbidden(void);

#endif
