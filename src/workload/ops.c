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

static u64 op_fault(const struct task_program *task, const struct op *op)
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
static u64 op_touch(const struct task_program *task, const struct op *op)
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

static u64 op_munmap(const struct task_program *task, const struct op *op)
{
	host_munmap(op->start, op->end);
	return 0;
}

static u64 op_dontneed(const struct task_program *task, const struct op *op)
{
	host_dontneed(op->start, op->end);
	return 0;
}

static u64 op_migrate(const struct task_program *task, const struct op *op)
{
	host_migrate(op->start);
	return 0;
}

static u64 op_wrprotect(const struct task_program *task, const struct op *op)
{
	host_wrprotect(op->start, op->end);
	return 0;
}

static u64 op_reuse(const struct task_program *task, const struct op *op)
{
	host_reuse(op->start);
	return 0;
}

static u64 op_populate(const struct task_program *task, const struct op *op)
{
	host_populate(op->start, op->end);
	return 0;
}

u64 op_execute(const struct task_program *task, const struct op *op)
{
	switch (op->id) {
#define OP(name, args, kind, what) \
	case OP_##name:            \
		return op_##name(task, op);
#include "workload/ops.def"
#undef OP
	default:
		ASSERT(!"an op without a row");
		return 0;
	}
}
