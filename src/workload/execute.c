/*
 * One program, from nothing to quiescence.
 */
#include "workload/workload_internal.h"

static const struct program *running;

static void task_body(u32 nr)
{
	const struct task_program *task = &running->tasks[nr];

	for (u32 i = 0; i < task->nr_ops; i++) {
		const struct op *op = &task->ops[i];
		u64 result;

		kern_op_begin(i);
		event(op_begun, .op = op->id, .nth = i);
		result = op_execute(&running->world, task, op);
		event(op_ended, .op = op->id, .nth = i, .result = result);
		kern_op_end(i);
	}
}

/* vCPUs are numbered without gaps up to the highest that a task has. */
static u32 vcpus_needed(const struct program *program)
{
	u32 nr = 0;

	for (u32 i = 0; i < program->nr_tasks; i++)
		if (program->tasks[i].kind == TASK_VCPU && program->tasks[i].vcpu >= nr)
			nr = program->tasks[i].vcpu + 1u;
	return nr;
}

static bool has_op(const struct program *program, enum op_id id)
{
	for (u32 i = 0; i < program->nr_tasks; i++)
		for (u32 j = 0; j < program->tasks[i].nr_ops; j++)
			if (program->tasks[i].ops[j].id == id)
				return true;
	return false;
}

/* Users need not be counted where nobody lets go before the end. */
static bool counts_users(const struct program *program)
{
	return has_op(program, OP_exit) || has_op(program, OP_close);
}

static void subject_build(const struct program *program)
{
	const struct world *world = &program->world;
	struct subject_config config = {
		.variant = world->variant,
		.nr_vcpus = vcpus_needed(program),
		.root_level = world->levels,
		.seq = world->seq,
		.counts_users = counts_users(program),
		.dirty_mode = world->dirty_mode,
		.tracks_pages = has_op(program, OP_track),
		.has_pfncache = has_op(program, OP_pfncache_map),
	};

	for (u32 i = 0; i < world->nr_slots; i++)
		if (!(world->absent >> world->slots[i].id & 1))
			config.slots[config.nr_slots++] = world->slots[i];
	if (config.counts_users)
		host_count_users();
	subject_create(&config);
}

void program_clear(void)
{
	subject_reset();
	kern_reset();
	machine_reset();
	host_reset();
	user_clear();
}

static void world_build(const struct program *program)
{
	const struct world *world = &program->world;

	program_clear();
	if (has_op(program, OP_collapse))
		host_allow_collapse();
	for (u32 i = 0; i < world->nr_maps; i++)
		host_add_map(&(struct host_map){ .start = world->maps[i].start,
						 .end = world->maps[i].end,
						 .read_only = world->maps[i].read_only,
						 .level = order_level(world, world->maps[i].order),
						 .populated = true });
	if (world->variant.knob[KNOB_young] == young_fast_only)
		host_look_fast();
	subject_build(program);
	user_reset(program);
	writes_reset(program);
	if (world->subscribers)
		host_add_subscribers(world->subscribers);
}

enum program_outcome program_execute(const struct program *program, void (*inspect)(void))
{
	ASSERT(program->world.geometry == PT_INDEX_BITS);
	event_context.clock = 0;
	event_context.op = 0;
	world_build(program);
	running = program;
	switch (kern_run_tasks(program->nr_tasks, task_body, program->world.points_max)) {
	case KERN_DONE:
		break;
	case KERN_STUCK:
		return PROGRAM_STUCK;
	case KERN_UNFINISHED:
		return PROGRAM_UNFINISHED;
	default:
		return PROGRAM_ABANDONED;
	}
	event(quiesced, .tasks = program->nr_tasks);
	if (inspect)
		inspect();
	return PROGRAM_DONE;
}
