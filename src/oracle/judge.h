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
	 BIT_ULL(EVENT_guest_accessed))
#define stale_tlb_interest                                                     \
	(BIT_ULL(EVENT_spte_changed) | BIT_ULL(EVENT_lock_released) |          \
	 BIT_ULL(EVENT_notifier_start_returned) | BIT_ULL(EVENT_root_loaded) | \
	 BIT_ULL(EVENT_vcpu_entered))
#define spte_change_interest (BIT_ULL(EVENT_spte_changed))
#define false_retry_interest (BIT_ULL(EVENT_fault_retried) | BIT_ULL(EVENT_fault_ended))
#define progress_interest                                                                         \
	(BIT_ULL(EVENT_fault_begun) | BIT_ULL(EVENT_fault_retried) | BIT_ULL(EVENT_fault_ended) | \
	 BIT_ULL(EVENT_walk_begun) | BIT_ULL(EVENT_walk_yielded) | BIT_ULL(EVENT_task_stuck) |    \
	 BIT_ULL(EVENT_deadlocked))
#define accounting_interest (BIT_ULL(EVENT_quiesced))
#define assertion_interest                                                                     \
	(BIT_ULL(EVENT_warned) | BIT_ULL(EVENT_dead_access) | BIT_ULL(EVENT_slept_in_atomic) | \
	 BIT_ULL(EVENT_op_left_holding))

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
};

/* Records the verdict unless there is one, and tells whoever wants to know. May not return. */
__cold void oracle_convict(const struct finding *finding);

void oracle_count_retry(enum retry_class class);
void oracle_count_stale_then_flushed(u64 entries);
u32 oracle_forbidden(void);

#endif
