/*
 * The catalogue of re-injectable defects (bugs.def) and the probe that arms one of them.
 *
 * if (!bug(zap_skips_flush)) ... is the whole interface for the code under test. At most one bug is
 * armed at a time. Builds with BUGS_ABSENT=1 turn every probe into constant 0; a misspelt slug is a
 * compile error either way.
 */
#ifndef BASE_BUG_H
#define BASE_BUG_H

#include "base/types.h"

enum bug_id {
	BUG_none,
#define BUG(slug, ...) BUG_##slug,
#define GUIDED(slug)
#include "base/bugs.def"
#undef BUG
#undef GUIDED
	BUG_COUNT
};

struct bug_row {
	const char *slug;
	const char *row; /* row of the public bug table (B83, ...), or "invented" */
	const char *oracle; /* the oracle that convicts it */
	const char *class; /* the invariant it breaks */
	const char *target; /* whose generator finds it unaided */
	u32 tasks, depth; /* tasks and directives that its reproducer needs */
	u64 schedules_max; /* found within so many schedules, with every seed of 1..20 */
	const char *fix; /* upstream commit, "rule", "invented", or "unmerged": of a proposal */
	const char *why; /* one sentence: what goes wrong */
};

extern const struct bug_row bug_rows[BUG_COUNT];
/* Whether the search for it is given the program. */
bool bug_guided(enum bug_id id);

/*
 * armed is set between schedules only. reached counts the visits of the armed bug's probes, triggered
 * those in which the defect changed what the code did. Armed with BUG_CENSUS no bug acts and the visits
 * of all probes are counted, each in its place.
 */
#define BUG_CENSUS BUG_COUNT
extern struct bug_state {
	enum bug_id armed;
	u64 reached, triggered;
	u64 census[BUG_COUNT];
} bug_state;

/* Counts a visit of the probe of @id, which matters here if @acts. Return: whether it acts. */
bool bug_visited(enum bug_id id, bool acts);

#define bug(slug) bug_if(slug, true)
/* A probe that is passed always but matters only where @cond holds. @cond is evaluated when armed. */
#define bug_if(slug, cond) \
	(!BUGS_ABSENT && unlikely(FRAMEWORK_READ(bug_state.armed)) && bug_visited(BUG_##slug, cond))

/* Return: the id, BUG_none for "none", BUG_COUNT for an unknown slug. */
enum bug_id bug_by_slug(const char *slug);

#endif
