/*
 * assertion: what the code and the environment find wrong on their own.
 *
 *  AS1  A WARN_ON, KVM_BUG_ON or lockdep assertion never holds.
 *  AS2  No verb touches memory that is not allocated.
 *  AS3  Nobody sleeps with a spinning lock or inside RCU.
 *  AS4  An op that has ended holds no lock and stands in no RCU or SRCU section.
 */
#include "oracle/judge.h"

static const char as1[] = "An assertion of the code itself holds.";
static const char as2[] = "Memory that is freed, or was never allocated, is not touched.";
static const char as3[] = "Nobody sleeps while it holds a spinning lock or stands inside RCU.";

static const char as4[] = "An op that has ended holds nothing.";

void assertion_reset(void)
{
}

static void convict(const struct event *event, const char *class, const char *sentence,
		    const struct detail *detail)
{
	oracle_convict(&(struct finding){
		.oracle = ORACLE_assertion,
		.class = class,
		.sentence = sentence,
		.at = ghost_mark(event),
		.detail = detail,
	});
}

void assertion_event(const struct event *event)
{
	u64 value = event_field(event, 0);
	struct detail detail;

	detail.length = 0;
	detail.text[0] = '\0';
	switch (event->id) {
	case EVENT_warned:
		detail_text(&detail, "line ");
		detail_decimal(&detail, value);
		return convict(event, "AS1", as1, &detail);
	case EVENT_dead_access:
		detail_text(&detail, "object ");
		detail_hex(&detail, value);
		return convict(event, "AS2", as2, &detail);
	default:
		detail_text(&detail, "holds ");
		detail_text(&detail, value < LOCK_CLASS_COUNT ? lock_class_names[value] : "a lock");
		if (event->id == EVENT_op_left_holding)
			return convict(event, "AS4", as4, &detail);
		return convict(event, "AS3", as3, &detail);
	}
}
