/* All that is judged at rest, in one call. */
#include "endstate/internal.h"

struct first {
	bool found;
	struct endstate_finding *finding;
};

static void keep_first(const struct endstate_finding *finding, void *ctx)
{
	struct first *first = ctx;

	if (!first->found)
		*first->finding = *finding;
	first->found = true;
}

bool endstate_judge(const struct endstate_write *written, u32 nr_written,
		    struct endstate_finding *finding)
{
	struct first first = { .finding = finding };

	/* What can hurt the guest first: what was leaked is found beside it. */
	endstate_mappings(keep_first, &first);
	endstate_dirty(written, nr_written, keep_first, &first);
	endstate_accounting(inspect_host_released(), keep_first, &first);
	return first.found;
}
