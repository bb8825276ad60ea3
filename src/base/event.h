/*
 * Events: what the machine, the host, the MMU and the environment tell the oracles.
 *
 * event(name, .field = ...) builds the payload on the stack and calls event_tell_name(), which ends in
 * what the link provides (src/oracle; a unit test of a lower layer brings its own event_sink()). Nothing is buffered here. An
 * event that nobody is interested in costs one load and a branch.
 *
 * Where tasks are threads there are no events: event() is nothing, but its payload must still compile, and
 * what is only counted for events is not counted.
 */
#ifndef BASE_EVENT_H
#define BASE_EVENT_H

#include "base/buf.h"
#include "base/types.h"

struct sched_site;

#define CONFIG_EVENTS (!CONFIG_THREADS)

enum event_id {
#define EVENT(name, fields) EVENT_##name,
#include "base/events.def"
#undef EVENT
	EVENT_COUNT
};
/* A set of events. */
typedef unsigned __int128 event_mask;
#define EVENT_BIT(id) ((event_mask)1 << (id))
_Static_assert(EVENT_COUNT <= 128, "a set of events holds one bit for each");

enum lock_class {
#define LOCK_CLASS(id, name) LOCK_##id,
#include "base/lock_classes.def"
#undef LOCK_CLASS
	LOCK_CLASS_COUNT
};

/* LOCK_WAITED: not taken, but waited for until all holders have gone (synchronize_srcu, rcuwait). */
enum lock_mode { LOCK_EXCLUSIVE, LOCK_SHARED, LOCK_WAITED };

/* How a page-table entry was written: by software, or by a hardware assist. */
enum pte_write { PTE_PLAIN, PTE_XCHG, PTE_CMPXCHG, PTE_ASSIST };

/* Which callback was called: payload of subscriber_called. */
enum notifier_call {
	NOTIFIER_START,
	NOTIFIER_END,
	NOTIFIER_CHANGE_PTE,
	NOTIFIER_RELEASE,
	NOTIFIER_CLEAR_FLUSH_YOUNG,
	NOTIFIER_CLEAR_YOUNG,
	NOTIFIER_TEST_YOUNG,
};

/* What a subscriber knows of the age of pages: result of the young callbacks, or-ed over all of them. */
#define YOUNG_YES  1u /* accessed since it was cleared last */
#define YOUNG_FAST 2u /* found without a lock that others hold for long: knob young, fast_only */

/* Who asks for the age of pages: payload of age_begun. */
enum age_consumer { AGE_RECLAIM, AGE_PAGE_IDLE, AGE_LOOK_AROUND, AGE_DAMON, AGE_CONSUMER_COUNT };

/* Where the running task is; src/sched keeps it up to date. */
extern struct event_context {
	const struct sched_site *site; /* last verb begun by the running task, NULL outside */
	u32 task; /* running task, TASK_NONE outside of tasks */
	u32 op; /* 0-based index of its op */
	u64 switches; /* context switches since the schedule began */
	u64 clock; /* events since the schedule began */
	/* Of events that somebody reads. */
	union {
		event_mask interest;
		u64 interests[2];
	};
	u64 lock_interest; /* BIT(enum lock_class): of lock events, those that somebody reads */
	/* While lock_nested is told: where the outer lock was taken. */
	const struct sched_site *outer_site;
	/* [inner]: BIT(outer) of the pairs of lock classes that lock_nested was told of before. */
	u64 nested_told[LOCK_CLASS_COUNT];
	/*
	 * [task]: table entries that software has touched since it last offered to give way, and how
	 * many it may before yield_overdue is told. Counted by the accessors of machine/pte.h,
	 * compared and set back by need_resched(), bounded by whoever judges walks.
	 */
	u32 touched[TASKS_MAX];
	u32 touched_max[TASKS_MAX];
	u32 taken[TASKS_MAX]; /* likewise, of dirty rings; counted by whoever judges that */
} event_context;
#define TASK_NONE 255u

/* Common head of every payload. */
struct event {
	u32 id; /* enum event_id */
	u16 task, op;
	u64 time; /* event_context.clock at emission, from 1 */
	u64 switches;
	const struct sched_site *site;
};

/* The fields once more under one name, so that event() fills them, and only them, in one go. */
#define FIELD(type, name) type name;
#define EVENT(name, fields_)                                 \
	struct event_##name##_fields {                       \
		fields_                                      \
	};                                                   \
	struct event_##name {                                \
		struct event head;                           \
		union {                                      \
			struct event_##name##_fields fields; \
			struct {                             \
				fields_                      \
			};                                   \
		};                                           \
	};
#include "base/events.def"
#undef EVENT
#undef FIELD

/* Defined by whoever consumes events. Context: any; must not lock, yield or allocate. */
void event_sink(const struct event *event);

/*
 * event_tell_name(): fills the common head and hands the payload on. Called by event() only. One for each
 * event, so that who judges knows at compile time what he is told of; those of event.c are weak, and
 * call event_sink().
 */
#define EVENT(name, fields) void event_tell_##name(struct event *event);
#include "base/events.def"
#undef EVENT

static inline void event_fill_head(struct event *event, enum event_id id)
{
	event->id = id;
	event->task = (u16)event_context.task;
	event->op = (u16)event_context.op;
	event->time = ++event_context.clock;
	event->switches = event_context.switches;
	event->site = event_context.site;
}

/* Time in events, 0 where there are none. */
static inline u64 event_clock(void)
{
	return CONFIG_EVENTS ? event_context.clock : 0;
}

/* Whether somebody reads events of that row. */
#define EVENT_WANTED(id) (FRAMEWORK_READ(event_context.interests[(id) / 64]) & BIT_ULL((id) % 64))

#define event(name, ...)                                                               \
	do {                                                                           \
		if (CONFIG_EVENTS && unlikely(EVENT_WANTED(EVENT_##name))) {           \
			struct event_##name event_;                                    \
                                                                                       \
			event_.fields = (struct event_##name##_fields){ __VA_ARGS__ }; \
			event_tell_##name(&event_.head);                               \
		}                                                                      \
	} while (0)

/* For code that reads events without knowing their rows (printer, hash). */
struct event_row {
	const char *name;
	u32 nr_fields;
	const char *fields[8];
};
extern const struct event_row event_rows[EVENT_COUNT];
extern const char *const lock_class_names[LOCK_CLASS_COUNT];

/* Value of the @nth field; all fields are u64. */
static inline u64 event_field(const struct event *event, u32 nth)
{
	return ((const u64 *)(event + 1))[nth];
}

/* Size of the payload with its head, in bytes. */
static inline size_t event_size(enum event_id id)
{
	return sizeof(struct event) + event_rows[id].nr_fields * sizeof(u64);
}

/* Appends "name field=0x..." */
void event_print(struct buf *buf, const struct event *event);
/* Folds id, task, op and the payload into @hash; the site is folded in by the caller. */
u64 event_hash(u64 hash, const struct event *event);

#endif
