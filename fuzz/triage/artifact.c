/* Artifacts: what they stand for. */
#include <string.h>

#include "fuzz/triage/triage.h"

bool artifact_load(struct exhibit *exhibit, const struct artifact *artifact)
{
	struct buf bytes = { 0 };
	bool ok = artifact_read(&bytes, artifact->path);

	memset(exhibit, 0, sizeof(*exhibit));
	exhibit->is_text = artifact->is_text;
	exhibit->schedules = 1;
	if (ok && artifact->is_text) {
		ok = repro_load(&exhibit->repro, artifact->path);
	} else if (ok) {
		input_decode(&exhibit->input, artifact->target, (const u8 *)buf_text(&bytes),
			     bytes.size);
		/* Without a strategy all schedules of an input are one. */
		if (exhibit->input.strategy_row % STRATEGY_COUNT != STRATEGY_lowest)
			exhibit->schedules = exhibit->input.schedules;
	}
	buf_free(&bytes);
	return ok;
}

void exhibit_spec(const struct exhibit *exhibit, enum bug_id bug, u32 nth, struct run_spec *spec)
{
	const struct input *input = &exhibit->input;

	if (exhibit->is_text) {
		run_spec_of(spec, &exhibit->repro);
		spec->bug = bug;
		return;
	}
	*spec = (struct run_spec){
		.program = &input->program,
		.bug = bug,
		.strategy = &strategy_rows[input->strategy_row % STRATEGY_COUNT],
		.seed = input->schedule.seed + nth,
		.has_first = input->schedule.has_first,
		.first = input->schedule.first,
		.directives = input->schedule.directives,
		.nr_directives = input->schedule.nr_directives,
	};
}

void exhibit_repro(const struct exhibit *exhibit, const struct run_spec *spec,
		   const struct target *target, struct repro *repro)
{
	if (!exhibit->is_text) {
		repro_of_spec(repro, spec, target->name);
		return;
	}
	*repro = exhibit->repro;
	repro->bug = spec->bug;
}
