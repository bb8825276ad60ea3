/* How a finding of threads is called, and what exit code it is. */
#include <stdio.h>
#include <string.h>

#include "fuzz/stress/stress.h"

void stress_outcome_of_death(struct stress_outcome *outcome, const struct death *death)
{
	struct expectation expect = { 0 };
	struct buf signature = { 0 };

	*outcome =
		(struct stress_outcome){ .kind = death->kind == VERDICT_FRAMEWORK ? STRESS_BROKEN
										  : STRESS_DIED };
	death_expectation(&expect, death);
	snprintf(outcome->oracle, sizeof(outcome->oracle), "%s", expect.oracle);
	snprintf(outcome->class, sizeof(outcome->class), "%s", expect.class);
	memcpy(outcome->site, expect.site, sizeof(outcome->site));
	snprintf(outcome->text, sizeof(outcome->text), "%s", death->what);
	signature_print(&signature, &expect, BUG_none);
	snprintf(outcome->signature, sizeof(outcome->signature), "%s", buf_text(&signature));
	buf_free(&signature);
}

int stress_exit_code(enum stress_kind kind)
{
	switch (kind) {
	case STRESS_CLEAN:
		break;
	case STRESS_DISORDER:
	case STRESS_WARNED:
		return EXIT_SAFETY;
	case STRESS_HUNG:
		return EXIT_NO_PROGRESS;
	case STRESS_DIED:
		return EXIT_SANITIZER;
	case STRESS_BROKEN:
		return EXIT_FRAMEWORK;
	}
	return EXIT_EXPECTED;
}
