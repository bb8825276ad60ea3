#include "base/bug.h"

#include <string.h>

const struct bug_row bug_rows[BUG_COUNT] = {
	[BUG_none] = { .slug = "none" },
#define BUG(slug_, row_, oracle_, class_, target_, tasks_, depth_, max_, fix_, why_) \
	[BUG_##slug_] = { .slug = #slug_,                                            \
			  .row = row_,                                               \
			  .oracle = #oracle_,                                        \
			  .class = class_,                                           \
			  .target = #target_,                                        \
			  .tasks = tasks_,                                           \
			  .depth = depth_,                                           \
			  .schedules_max = max_,                                     \
			  .fix = fix_,                                               \
			  .why = why_ },
#define GUIDED(slug)
#include "base/bugs.def"
#undef BUG
#undef GUIDED
};

bool bug_guided(enum bug_id id)
{
	switch (id) {
#define BUG(...)
#define GUIDED(slug) case BUG_##slug:
#include "base/bugs.def"
#undef BUG
#undef GUIDED
		return true;
	default:
		return false;
	}
}

struct bug_state bug_state;

bool bug_visited(enum bug_id id, bool acts)
{
	if (bug_state.armed == BUG_CENSUS)
		__atomic_fetch_add(&bug_state.census[id], acts, __ATOMIC_RELAXED);
	if (bug_state.armed != id)
		return false;
	/* Tasks may be threads. */
	__atomic_fetch_add(&bug_state.reached, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&bug_state.triggered, acts, __ATOMIC_RELAXED);
	return acts;
}

enum bug_id bug_by_slug(const char *slug)
{
	for (u32 id = 0; id < BUG_COUNT; id++)
		if (!strcmp(bug_rows[id].slug, slug))
			return (enum bug_id)id;
	return BUG_COUNT;
}
