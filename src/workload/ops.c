/*
 * What each op does. A vCPU is outside guest mode between two ops, so that whoever waits for it to
 * leave the guest need not wait for the whole task.
 */
#include "workload/workload_internal.h"

/*
 * After an attempt that has to be repeated: pending requests are served, as on the way back into the
 * guest, and the vCPU sits out what it would otherwise spin upon.
 */
static void settle_for_retry(u32 vcpu, gfn_t gfn)
{
	subject_vcpu_enter(vcpu);
	subject_vcpu_leave(vcpu);
	subject_retry_wait(vcpu, gfn);
}

static u64 op_fault(const struct world *world, const struct task_program *task, const struct op *op)
{
	enum subject_ret ret;

	/* The violation comes from the guest. */
	subject_vcpu_enter(task->vcpu);
	subject_vcpu_leave(task->vcpu);
	for (;;) {
		ret = subject_fault(task->vcpu, op->start, op->access);
		if (ret != SUBJECT_RETRY)
			return ret;
		settle_for_retry(task->vcpu, op->start);
	}
}

/* Each turn more means that the entry was taken away again, or that the fault has to be repeated. */
static u64 op_touch(const struct world *world, const struct task_program *task, const struct op *op)
{
	u32 vcpu = task->vcpu;
	enum subject_ret ret = SUBJECT_FIXED;

	for (;;) {
		bool done;

		subject_vcpu_enter(vcpu);
		done = subject_vcpu_access(vcpu, op->start, op->access);
		subject_vcpu_leave(vcpu);
		if (done)
			return ret;
		ret = subject_fault(vcpu, op->start, op->access);
		if (ret == SUBJECT_RETRY)
			settle_for_retry(vcpu, op->start);
		else if (ret != SUBJECT_FIXED && ret != SUBJECT_SPURIOUS)
			return ret;
	}
}

static u64 op_munmap(const struct world *world, const struct task_program *task,
		     const struct op *op)
{
	host_munmap(op->start, op->end);
	return 0;
}

static u64 op_dontneed(const struct world *world, const struct task_program *task,
		       const struct op *op)
{
	host_dontneed(op->start, op->end);
	return 0;
}

static u64 op_migrate(const struct world *world, const struct task_program *task,
		      const struct op *op)
{
	host_migrate(op->start);
	return 0;
}

static u64 op_wrprotect(const struct world *world, const struct task_program *task,
			const struct op *op)
{
	host_wrprotect(op->start, op->end);
	return 0;
}

static u64 op_reuse(const struct world *world, const struct task_program *task, const struct op *op)
{
	host_reuse(op->start);
	return 0;
}

static u64 op_populate(const struct world *world, const struct task_program *task,
		       const struct op *op)
{
	host_populate(op->start, op->end);
	return 0;
}

static u64 op_mprotect(const struct world *world, const struct task_program *task,
		       const struct op *op)
{
	host_mprotect(op->start, op->end, op->access == ACCESS_WRITE);
	return 0;
}

static u64 op_reclaim(const struct world *world, const struct task_program *task,
		      const struct op *op)
{
	host_reclaim(op->start);
	return 0;
}

static u64 op_oom_reap(const struct world *world, const struct task_program *task,
		       const struct op *op)
{
	host_oom_reap(op->start, op->end);
	return 0;
}

static u64 op_driver(const struct world *world, const struct task_program *task,
		     const struct op *op)
{
	host_driver_work();
	return 0;
}

static u64 op_exit(const struct world *world, const struct task_program *task, const struct op *op)
{
	host_exit();
	return 0;
}

static u64 op_smm(const struct world *world, const struct task_program *task, const struct op *op)
{
	subject_switch_as(task->vcpu);
	return 0;
}

static u64 op_zap_all(const struct world *world, const struct task_program *task,
		      const struct op *op)
{
	subject_zap_all();
	return 0;
}

static u64 op_zap_gfn_range(const struct world *world, const struct task_program *task,
			    const struct op *op)
{
	subject_zap_gfn_range(op->start, op->end);
	return 0;
}

static u64 op_close(const struct world *world, const struct task_program *task, const struct op *op)
{
	subject_close();
	return 0;
}

static u64 op_prefault(const struct world *world, const struct task_program *task,
		       const struct op *op)
{
	return subject_prefault(task->vcpu, op->start);
}

/* What the world says of the slot goes with each change: CREATE needs all of it. */
static u64 change_slot(const struct world *world, const struct op *op,
		       enum subject_slot_change change)
{
	const struct subject_slot *slot = world_slot(world, op->slot);

	return (u64)-subject_set_slot(change, slot, op->start);
}

static u64 op_slot_create(const struct world *world, const struct task_program *task,
			  const struct op *op)
{
	return change_slot(world, op, SLOT_CREATE);
}

static u64 op_slot_delete(const struct world *world, const struct task_program *task,
			  const struct op *op)
{
	return change_slot(world, op, SLOT_DELETE);
}

static u64 op_slot_move(const struct world *world, const struct task_program *task,
			const struct op *op)
{
	return change_slot(world, op, SLOT_MOVE);
}

static u64 op_slot_flags(const struct world *world, const struct task_program *task,
			 const struct op *op)
{
	return change_slot(world, op, SLOT_FLAGS);
}

static u64 op_call(const struct world *world, const struct task_program *task, const struct op *op)
{
	switch (op->id) {
#define OP(name, args, kind, needs, what) \
	case OP_##name:                   \
		return op_##name(world, task, op);
#include "workload/ops.def"
#undef OP
	default:
		ASSERT(!"an op without a row");
		return 0;
	}
}

static struct op_counts counts;

const struct op_counts *op_counts(void)
{
	return &counts;
}

void op_counts_clear(void)
{
	counts = (struct op_counts){ 0 };
}

/* Process first, VM second: the VM holds no reference to the process's users. */
static bool users_get(enum op_needs needs)
{
	if (needs & NEEDS_MM && !host_mm_get())
		return false;
	if (!(needs & NEEDS_VM) || subject_get())
		return true;
	if (needs & NEEDS_MM)
		host_mm_put();
	return false;
}

/* In the other order; either may be the last one, and then takes down what it has let go of. */
static void users_put(enum op_needs needs)
{
	if (needs & NEEDS_VM)
		subject_put();
	if (needs & NEEDS_MM)
		host_mm_put();
}

u64 op_execute(const struct world *world, const struct task_program *task, const struct op *op)
{
	enum op_needs needs = op_rows[op->id].needs;
	u64 result;

	if (!users_get(needs)) {
		counts.skipped[op->id]++;
		return OP_SKIPPED;
	}
	result = op_call(world, task, op);
	users_put(needs);
	counts.done[op->id]++;
	return result;
}
