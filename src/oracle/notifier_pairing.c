/*
 * notifier_pairing: what a notification begins it ends, for everybody who heard of it.
 *
 *  NP1  Within one notification a subscriber hears of an end as often as of a start, and of the same
 *       range, also when another one has refused. One that has refused, or was not told of the start,
 *       hears of no end. A start that anybody has refused does not return: the host must change nothing.
 *  NP2  Within one notification the MMU ends as many invalidations as it begins: memslots do not change
 *       in between, so the range overlaps one at the end exactly if it did at the start.
 *  NP4  Release may run twice, from exit and from unregister, also at the same time or one behind the
 *       other. No more than that, and nothing else is called any more when who took a subscriber off
 *       the list has waited for callbacks. The MMU does not leave without a release: its mappings would
 *       outlive the subscription.
 *  NP5  Within one notification the count of active invalidations is raised before the MMU begins its
 *       own; where the VM has a pfncache, that is looked through in between: a refresh that the count does not
 *       stop is found by this, and one that comes behind it is stopped. Sequence number before in_progress, at
 *       each end; in_progress before the count. (One that is never lowered is accounting's, AC0.)
 *
 * A subscriber that is taken off the list between a start and its end does not hear of the end. That is
 * told of afterwards only, and at exit for all at once: from the MMU's release on (its own, or that of
 * exit) missing ends are let off.
 * NP3 speaks of guest_memfd and NP6 of encrypted memory, neither of which exists.
 */
#include "oracle/judge.h"

#define SUBSCRIBERS_MAX 8u /* further ones are not followed */
#define RELEASES_MAX	2u

static const char np1_end[] = "A subscriber hears of an end only when it agreed to the start.";
static const char np1_missing[] = "Who agreed to a start hears of its end.";
static const char np1_refused[] = "A start that somebody has refused is given up.";
static const char np1_range[] = "A start and its end name the range of their notification.";
static const char np2[] = "A notification ends as many invalidations as it began.";
static const char np4_twice[] = "A subscriber is released at most twice.";
static const char np4_left[] = "A subscriber that has left is not called.";
static const char np4_never[] = "The MMU is released before it leaves.";
static const char np5_raise[] = "The count is raised before the invalidation begins.";
static const char np5_scan_early[] = "The count is raised before the pfncache is looked through.";
static const char np5_scan_late[] =
	"The pfncache is looked through before the invalidation begins.";
static const char np5_seq[] = "The sequence number is raised before in_progress is lowered.";
static const char np5_count[] =
	"The count is lowered when the notification's invalidations have ended altogether.";

static struct {
	bool has_end, left;
	u32 releases;
} subscribers[SUBSCRIBERS_MAX];

/* What a task's notification has done so far; [task][0]: what it does outside of any. */
static struct progress {
	u32 owed; /* mask of subscribers that agreed to the start and heard of no end yet */
	u32 raised, begun, ended, lowered;
	bool dropped; /* the count was lowered */
	bool refused; /* by a subscriber */
	struct ghost_mark started[SUBSCRIBERS_MAX];
	struct hva_range range;
	struct ghost_mark start, last; /* of the notification; last invalidation event */
} tasks[TASKS_MAX + 1][GHOST_NESTED_MAX + 1];
static u32 touched; /* mask of those that there is something to forget of */

static void forget(struct progress *task)
{
	task->owed = 0;
	task->raised = task->begun = task->ended = task->lowered = 0;
	task->dropped = task->refused = false;
	task->start.time = task->last.time = 0;
	task->start.task = task->last.task = TASK_NONE;
}

void notifier_pairing_reset(void)
{
	for (u32 i = 0; i < SUBSCRIBERS_MAX; i++) {
		subscribers[i].has_end = subscribers[i].left = false;
		subscribers[i].releases = 0;
	}
	for (; touched; touched &= touched - 1)
		for (u32 i = 0; i <= GHOST_NESTED_MAX; i++)
			forget(&tasks[__builtin_ctz(touched)][i]);
}

/* Of the innermost notification that is open once @event has happened; or the one that has ended with it. */
static struct progress *of_task(const struct event *event)
{
	u32 task = event->task < TASKS_MAX ? event->task : TASKS_MAX;
	u32 depth = ghost_task(event->task)->depth;

	if (event->id == EVENT_notifier_end_returned && depth < GHOST_NESTED_MAX)
		depth++;
	touched |= 1u << task;
	return &tasks[task][depth];
}

static void convict(const struct event *event, const char *class, const char *sentence,
		    struct ghost_mark against, const char *name, u64 value)
{
	const struct hva_range *range = &of_task(event)->range;

	oracle_convict(&(struct finding){
		.oracle = ORACLE_notifier_pairing,
		.class = class,
		.sentence = sentence,
		.at = ghost_mark(event),
		.against = against,
		.values = { { name, value }, { "start", range->start }, { "end", range->end } },
	});
}

/* --- subscribers --- */

/* The rest of a notification that is under way may miss it. */
static bool is_going(u32 subscriber)
{
	return subscribers[GHOST_MMU_SUBSCRIBER].releases || subscribers[subscriber].releases ||
	       subscribers[subscriber].left;
}

static bool range_differs(const struct event_subscriber_called *event)
{
	const struct ghost_notification *open = ghost_notification(ghost_task(event->head.task));

	return !open || event->start != open->range.start || event->end != open->range.end;
}

static void start_called(const struct event_subscriber_called *event, u32 subscriber)
{
	struct progress *task = of_task(&event->head);

	if (range_differs(event))
		convict(&event->head, "NP1", np1_range, task->start, "subscriber", subscriber);
	task->refused |= event->error != 0;
	if (event->error || !subscribers[subscriber].has_end)
		return;
	task->owed |= 1u << subscriber;
	task->started[subscriber] = ghost_mark(&event->head);
}

static void end_called(const struct event_subscriber_called *event, u32 subscriber)
{
	struct progress *task = of_task(&event->head);

	if (range_differs(event))
		convict(&event->head, "NP1", np1_range, task->start, "subscriber", subscriber);
	else if (!(task->owed >> subscriber & 1))
		convict(&event->head, "NP1", np1_end, task->start, "subscriber", subscriber);
	task->owed &= ~(1u << subscriber);
}

static __noinline void subscriber_called(const struct event_subscriber_called *event)
{
	u32 subscriber = (u32)event->subscriber;
	struct ghost_mark none = { .task = TASK_NONE };

	if (event->subscriber >= SUBSCRIBERS_MAX)
		return;
	/* Unregister may have found it listed still, and be behind exit with its own release. */
	if (subscribers[subscriber].left && event->what != NOTIFIER_RELEASE)
		convict(&event->head, "NP4", np4_left, none, "subscriber", subscriber);
	switch (event->what) {
	case NOTIFIER_START:
		return start_called(event, subscriber);
	case NOTIFIER_END:
		return end_called(event, subscriber);
	case NOTIFIER_RELEASE:
		if (++subscribers[subscriber].releases > RELEASES_MAX)
			convict(&event->head, "NP4", np4_twice, none, "subscriber", subscriber);
		return;
	}
}

static __noinline void subscriber_left(const struct event_subscriber_left *event)
{
	struct ghost_mark none = { .task = TASK_NONE };

	if (event->subscriber >= SUBSCRIBERS_MAX)
		return;
	if (event->subscriber == GHOST_MMU_SUBSCRIBER && !subscribers[0].releases)
		convict(&event->head, "NP4", np4_never, none, "subscriber", event->subscriber);
	subscribers[event->subscriber].left = true;
}

/* --- the notification as a whole --- */

static __noinline void notification_begun(const struct event *event)
{
	struct progress *task = of_task(event);

	forget(task);
	task->start = ghost_mark(event);
	task->range = ghost_notification(ghost_task(event->task))->range;
}

static void start_returned(const struct event *event)
{
	const struct progress *task = of_task(event);

	if (task->refused)
		convict(event, "NP1", np1_refused, task->start, "refused", true);
}

static __noinline void notification_over(const struct event *event)
{
	struct progress *task = of_task(event);

	for (u32 owed = task->owed; owed; owed &= owed - 1) {
		u32 subscriber = (u32)__builtin_ctz(owed);

		if (!is_going(subscriber))
			convict(event, "NP1", np1_missing, task->started[subscriber], "subscriber",
				subscriber);
	}
	if (task->begun != task->ended && !is_going(GHOST_MMU_SUBSCRIBER))
		convict(event, "NP2", np2, task->last, "begun", task->begun);
	forget(task);
}

/* --- NP5: the steps of the MMU --- */

/* VMs without a pfncache skip this; range by range, and outside of notifications nobody asks for it. */
static void pfncaches_scanned(const struct event *event)
{
	const struct progress *task = of_task(event);

	if (!ghost_task(event->task)->depth)
		return;
	if (!task->raised)
		convict(event, "NP5", np5_scan_early, task->start, "begun", task->begun);
	else if (task->begun)
		convict(event, "NP5", np5_scan_late, task->last, "begun", task->begun);
}

static __noinline void step(const struct event *event)
{
	struct progress *task = of_task(event);
	bool inside = ghost_task(event->task)->depth;

	switch (event->id) {
	case EVENT_active_raised:
		task->raised++;
		break;
	case EVENT_invalidate_begun:
		if (inside && !task->raised)
			convict(event, "NP5", np5_raise, task->start, "begun", task->begun);
		task->begun++;
		break;
	case EVENT_invalidate_ended:
		if (task->dropped)
			convict(event, "NP5", np5_count, task->last, "ended", task->ended);
		task->ended++;
		break;
	case EVENT_in_progress_lowered:
		if (task->lowered >= task->ended)
			convict(event, "NP5", np5_seq, task->last, "ended", task->ended);
		else if (task->dropped)
			convict(event, "NP5", np5_count, task->last, "ended", task->ended);
		task->lowered++;
		break;
	case EVENT_active_lowered:
		task->dropped = inside;
		break;
	}
	task->last = ghost_mark(event);
	/* Outside a notification (a range zapped for the VM itself) each pair stands alone. */
	if (!inside && task->lowered == task->begun)
		forget(task);
}

void notifier_pairing_event(const struct event *event)
{
	const void *payload = event;
	const struct event_subscriber_joined *joined = payload;

	switch (event->id) {
	case EVENT_notifier_start:
		return notification_begun(event);
	case EVENT_notifier_start_returned:
		return start_returned(event);
	case EVENT_notifier_end_returned:
		return notification_over(event);
	case EVENT_subscriber_joined:
		if (joined->subscriber < SUBSCRIBERS_MAX)
			subscribers[joined->subscriber].has_end = joined->has_end;
		return;
	case EVENT_subscriber_called:
		return subscriber_called(payload);
	case EVENT_subscriber_left:
		return subscriber_left(payload);
	case EVENT_pfncaches_scanned:
		return pfncaches_scanned(event);
	default:
		return step(event);
	}
}
