/*
 * assertion: what the code and the environment find wrong on their own.
 *
 *  AS1  A WARN_ON, KVM_BUG_ON or lockdep assertion never holds.
 *  AS4  An op that has ended holds no lock and stands in no RCU or SRCU section.
 *
 * (AS2, memory that is not allocated, is lifetime's; AS3, sleeping in atomic context, lock_order's.)
 */
#include "oracle/judge.h"

static const char as1[] = "An assertion of the code itself holds.";
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
	if (event->id == EVENT_warned) {
		detail_text(&detail, "line ");
		detail_decimal(&detail, value);
		return convict(event, "AS1", as1, &detail);
	}
	detail_text(&detail, "holds ");
	detail_text(&detail, value < LOCK_CLASS_COUNT ? lock_class_names[value] : "a lock");
	convict(event, "AS4", as4, &detail);
}
