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

#define stale_mapping_interest                                                 \
	(BIT_ULL(EVENT_spte_changed) | BIT_ULL(EVENT_host_pte_changed) |       \
	 BIT_ULL(EVENT_frame_freed) | BIT_ULL(EVENT_notifier_start_returned) | \
	 BIT_ULL(EVENT_guest_accessed) | BIT_ULL(EVENT_memslot_changed) |      \
	 BIT_ULL(EVENT_subscriber_called) | BIT_ULL(EVENT_mmio_used))
#define stale_tlb_interest                                                     \
	(BIT_ULL(EVENT_spte_changed) | BIT_ULL(EVENT_lock_released) |          \
	 BIT_ULL(EVENT_notifier_start_returned) | BIT_ULL(EVENT_root_loaded) | \
	 BIT_ULL(EVENT_root_invalidated) | BIT_ULL(EVENT_request_sent) |       \
	 BIT_ULL(EVENT_request_waited) | BIT_ULL(EVENT_vcpu_entered))
#define lifetime_interest                                                                  \
	(BIT_ULL(EVENT_frame_freed) | BIT_ULL(EVENT_rcu_queued) | BIT_ULL(EVENT_rcu_ran) | \
	 BIT_ULL(EVENT_memslot_changed) | BIT_ULL(EVENT_root_loaded) | BIT_ULL(EVENT_dead_access))
#define spte_change_interest (BIT_ULL(EVENT_spte_changed))
#define false_retry_interest (BIT_ULL(EVENT_fault_retried) | BIT_ULL(EVENT_fault_ended))
#define lock_order_interest                                                  \
	(BIT_ULL(EVENT_lock_nested) | BIT_ULL(EVENT_rcuwait_taken) |         \
	 BIT_ULL(EVENT_slept_in_atomic) | BIT_ULL(EVENT_slept_in_nonblock) | \
	 BIT_ULL(EVENT_fault_retried))
#define progress_interest                                                                         \
	(BIT_ULL(EVENT_fault_begun) | BIT_ULL(EVENT_fault_retried) | BIT_ULL(EVENT_fault_ended) | \
	 BIT_ULL(EVENT_walk_begun) | BIT_ULL(EVENT_walk_yielded) | BIT_ULL(EVENT_task_stuck) |    \
	 BIT_ULL(EVENT_deadlocked))
#define stall_interest \
	(BIT_ULL(EVENT_walk_begun) | BIT_ULL(EVENT_walk_ended) | BIT_ULL(EVENT_yield_overdue))
#define accounting_interest                                         \
	(BIT_ULL(EVENT_spte_changed) | BIT_ULL(EVENT_root_zapped) | \
	 BIT_ULL(EVENT_memslot_changed) | BIT_ULL(EVENT_quiesced))
#define notifier_pairing_interest                                                  \
	(BIT_ULL(EVENT_notifier_start) | BIT_ULL(EVENT_notifier_start_returned) |  \
	 BIT_ULL(EVENT_notifier_end_returned) | BIT_ULL(EVENT_subscriber_joined) | \
	 BIT_ULL(EVENT_subscriber_called) | BIT_ULL(EVENT_subscriber_left) |       \
	 BIT_ULL(EVENT_invalidate_begun) | BIT_ULL(EVENT_invalidate_ended) |       \
	 BIT_ULL(EVENT_active_raised) | BIT_ULL(EVENT_in_progress_lowered) |       \
	 BIT_ULL(EVENT_active_lowered))
#define assertion_interest (BIT_ULL(EVENT_warned) | BIT_ULL(EVENT_op_left_holding))

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
		return oracle != ORACLE_accounting || ghost.change.revives;
	case EVENT_frame_freed: {
		const struct event_frame_freed *freed = payload;

		return (oracle == ORACLE_lifetime) == (freed->kind == FRAME_PAGE_TABLE);
	}
	case EVENT_subscriber_called: {
		const struct event_subscriber_called *called = payload;

		return oracle != ORACLE_stale_mapping || called->what == NOTIFIER_RELEASE;
	}
	case EVENT_fault_retried: {
		const struct event_fault_retried *retried = payload;

		return oracle != ORACLE_lock_order || retried->reason == RETRY_SLOT_INVALID;
	}
	}
	return true;
}

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
