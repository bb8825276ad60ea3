/*
 * The kill matrix: every bug is found by search, unaided but for the few rows that are guided, and
 * convicted by the oracle that its row names; its reproducer fails when it is armed and is silent when it is not.
 */
#include "fuzz/fuzz.h"

#include <string.h>

/* The reproducer, as it stands and disarmed. */
static void try_repro(struct matrix_row *row, const struct repro *repro)
{
	struct expectation actual;
	struct run_result result;
	struct run_spec spec;

	row->has_repro = true;
	row->depth = schedule_depth(&repro->schedule);
	run_spec_of(&spec, repro);
	run_isolated(&spec, &result, false);
	result_expectation(&actual, &result);
	row->repro_ok = repro->bug == row->bug && !result.unmet &&
			expectation_met(&repro->expect, &actual) &&
			!strcmp(actual.oracle, bug_rows[row->bug].oracle);
	spec.bug = BUG_none;
	run_isolated(&spec, &result, false);
	row->silent_disarmed = result.kind == VERDICT_NONE;
}

static bool convicted(const struct campaign_state *state, const char *oracle, u64 *schedule)
{
	for (u32 i = 0; i < state->nr_findings; i++)
		if (!strcmp(state->findings[i].expect.oracle, oracle)) {
			*schedule = state->findings[i].schedule + 1;
			return true;
		}
	return false;
}

void matrix_row_fill(struct matrix_row *row, enum bug_id bug, u64 budget, u32 seeds,
		     const struct repro *repro)
{
	static struct campaign_state *state;
	const struct bug_row *what = &bug_rows[bug];
	struct campaign campaign = {
		.target = target_by_name(what->target),
		.program = repro && bug_guided(bug) ? &repro->program : NULL,
		.variant = variant_default,
		.bug = bug,
		.schedules = budget ? budget : what->schedules_max,
		.stop_on_first = true,
		.stop_oracle = what->oracle,
	};

	if (!state)
		state = campaign_state_alloc();
	*row = (struct matrix_row){ .bug = bug };
	for (u32 seed = 1; seed <= seeds && campaign.target; seed++) {
		u64 schedule = 0;

		campaign.seed = seed;
		campaign_run(&campaign, state, NULL, NULL);
		row->seeds++;
		row->reached += state->bug_reached;
		row->triggered += state->bug_triggered;
		if (convicted(state, what->oracle, &schedule)) {
			row->detected++;
			row->schedules_to_first = max_u64(row->schedules_to_first, schedule);
		}
		if (campaign_interrupted()) {
			row->unfinished = true;
			return;
		}
	}
	if (repro)
		try_repro(row, repro);
}

bool matrix_row_ok(const struct matrix_row *row)
{
	return row->seeds && row->detected == row->seeds && row->reached && row->triggered &&
	       row->has_repro && row->repro_ok && row->silent_disarmed;
}
