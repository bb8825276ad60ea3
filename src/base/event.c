#include "base/event.h"

#include "base/hash.h"

struct event_context event_context = { .task = TASK_NONE, .lock_interest = ~0ull };

const struct event_row event_rows[EVENT_COUNT] = {
#define FIELD(type, name) #name,
#define EVENT(name_, fields_)                                                                    \
	[EVENT_##name_] = { .name = #name_,                                                      \
			    .nr_fields = (sizeof(struct event_##name_) - sizeof(struct event)) / \
					 sizeof(u64),                                            \
			    .fields = { fields_ } },
#include "base/events.def"
#undef EVENT
#undef FIELD
};

const char *const lock_class_names[LOCK_CLASS_COUNT] = {
#define LOCK_CLASS(id, name) [LOCK_##id] = name,
#include "base/lock_classes.def"
#undef LOCK_CLASS
};

#define EVENT(name, fields)                                               \
	__attribute__((weak)) void event_tell_##name(struct event *event) \
	{                                                                 \
		if (!CONFIG_EVENTS)                                       \
			return;                                           \
		event_fill_head(event, EVENT_##name);                     \
		event_sink(event);                                        \
	}
#include "base/events.def"
#undef EVENT

void event_print(struct buf *buf, const struct event *event)
{
	const struct event_row *row = &event_rows[event->id];

	buf_printf(buf, "%s", row->name);
	for (u32 i = 0; i < row->nr_fields; i++)
		buf_printf(buf, " %s=%#llx", row->fields[i],
			   (unsigned long long)event_field(event, i));
}

u64 event_hash(u64 hash, const struct event *event)
{
	hash = hash_text(hash, event_rows[event->id].name);
	hash = hash_u64(hash, event->task);
	hash = hash_u64(hash, event->op);
	for (u32 i = 0; i < event_rows[event->id].nr_fields; i++)
		hash = hash_u64(hash, event_field(event, i));
	return hash;
}
