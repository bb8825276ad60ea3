/*
 * What each op does. A vCPU is outside guest mode between two ops, so that whoever waits for it to
 * leave the guest need not wait for the whole task.
 */
#include "workload/workload_internal.h"

/*
 * A turn into the guest and out: requests are served, a root is loaded. Return: false when the dirty ring is
 * full; the vCPU is in user space then, and its op is over: the reset may be an op of the same task, so
 * that nobody may wait for it here.
 */
static bool visit_guest(u32 vcpu)
{
	if (!subject_vcpu_enter(vcpu))
		return false;
	subject_vcpu_leave(vcpu);
	return true;
}

/*
 * After an attempt that has to be repeated: pending requests are served, as on the way back into the
 * guest, and the vCPU sits out what it would otherwise spin upon. Return: as visit_guest().
 */
static bool settle_for_retry(u32 vcpu, gfn_t gfn)
{
	if (!visit_guest(vcpu))
		return false;
	subject_retry_wait(vcpu, gfn);
	return true;
}

static u64 op_fault(const struct world *world, const struct task_program *task, const struct op *op)
{
	enum subject_ret ret;

	/* The violation comes from the guest. */
	if (!visit_guest(task->vcpu))
		return OP_RING_FULL;
	for (;;) {
		ret = subject_fault(task->vcpu, op->start, op->access);
		if (ret != SUBJECT_RETRY)
			return ret;
		if (!settle_for_retry(task->vcpu, op->start))
			return OP_RING_FULL;
	}
}

/* Each turn more means that the entry was taken away again, or that the fault has to be repeated. */
static u64 op_touch(const struct world *world, const struct task_program *task, const struct op *op)
{
	u32 vcpu = task->vcpu;
	enum subject_ret ret = SUBJECT_FIXED;

	for (;;) {
		u64 stamp = 0;
		bool done;

		if (!subject_vcpu_enter(vcpu))
			return OP_RING_FULL;
		if (op->access == ACCESS_WRITE)
			stamp = writes_stamp();
		done = subject_vcpu_access(vcpu, op->start, op->access);
		if (done)
			writes_done(inspect_vcpu_as(vcpu), op->start, stamp);
		subject_vcpu_leave(vcpu);
		if (done)
			return ret;
		ret = subject_fault(vcpu, op->start, op->access);
		if (ret == SUBJECT_RETRY) {
			if (!settle_for_retry(vcpu, op->start))
				return OP_RING_FULL;
		} else if (ret != SUBJECT_FIXED && ret != SUBJECT_SPURIOUS) {
			return ret;
		}
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
	return subject_prefault(task->vcpu, op->start, op->end);
}

/* What the world says of the slot goes with each change: CREATE needs all of it. */
static u64 change_slot(const struct world *world, const struct op *op,
		       enum subject_slot_change change)
{
	return user_change_slot(world_slot(world, op->slot), change, op->start);
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

static u64 op_collapse(const struct world *world, const struct task_program *task,
		       const struct op *op)
{
	host_collapse(op->start);
	return 0;
}

static u64 op_kernel_write(const struct world *world, const struct task_program *task,
			   const struct op *op)
{
	enum subject_ret ret;
	u64 stamp;

	/* Within KVM_RUN, which begins with a look at the ring: what this marks still finds room there. */
	if (!visit_guest(task->vcpu))
		return OP_RING_FULL;
	stamp = writes_stamp();
	ret = subject_write_guest(task->vcpu, op->start);
	if (ret == SUBJECT_FIXED)
		writes_done(inspect_vcpu_as(task->vcpu), op->start, stamp);
	return ret;
}

static u64 op_dirty_get(const struct world *world, const struct task_program *task,
			const struct op *op)
{
	return user_dirty_get(world_slot(world, op->slot));
}

static u64 op_dirty_clear(const struct world *world, const struct task_program *task,
			  const struct op *op)
{
	return user_dirty_clear(world_slot(world, op->slot), op->start, op->end);
}

static u64 op_dirty_clear_blind(const struct world *world, const struct task_program *task,
				const struct op *op)
{
	return user_dirty_clear_blind(world_slot(world, op->slot));
}

static u64 op_dirty_reset(const struct world *world, const struct task_program *task,
			  const struct op *op)
{
	int nr = subject_reset_dirty_rings();

	writes_all_reported();
	return nr < 0 ? (u64)-nr : 0;
}

static u64 op_track(const struct world *world, const struct task_program *task, const struct op *op)
{
	return user_track(op->start, true);
}

static u64 op_untrack(const struct world *world, const struct task_program *task,
		      const struct op *op)
{
	return user_track(op->start, false);
}

static u64 op_nx_recovery(const struct world *world, const struct task_program *task,
			  const struct op *op)
{
	subject_nx_recovery();
	return 0;
}

static u64 op_shrink(const struct world *world, const struct task_program *task,
		     const struct op *op)
{
	host_shrink(op->start);
	return 0;
}

static u64 op_page_idle(const struct world *world, const struct task_program *task,
			const struct op *op)
{
	host_page_idle(op->start);
	return 0;
}

static u64 op_look_around(const struct world *world, const struct task_program *task,
			  const struct op *op)
{
	host_look_around(op->start);
	return 0;
}

static u64 op_damon(const struct world *world, const struct task_program *task, const struct op *op)
{
	host_damon(op->start, op->end);
	return 0;
}

static u64 op_nest(const struct world *world, const struct task_program *task, const struct op *op)
{
	subject_nest(task->vcpu, true);
	return 0;
}

static u64 op_unnest(const struct world *world, const struct task_program *task,
		     const struct op *op)
{
	subject_nest(task->vcpu, false);
	return 0;
}

static u64 op_pfncache_map(const struct world *world, const struct task_program *task,
			   const struct op *op)
{
	return (u64)-subject_pfncache_map(op->start);
}

static u64 op_pfncache_unmap(const struct world *world, const struct task_program *task,
			     const struct op *op)
{
	subject_pfncache_unmap();
	return 0;
}

static u64 op_pfncache_use(const struct world *world, const struct task_program *task,
			   const struct op *op)
{
	u64 stamp;
	int error;

	/* Within KVM_RUN, as a write of the kernel is. */
	if (!visit_guest(task->vcpu))
		return OP_RING_FULL;
	stamp = writes_stamp();
	error = subject_pfncache_use(task->vcpu);
	if (!error)
		writes_through_cache(stamp);
	return (u64)-error;
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

/* Without a lock: to the race detector it would order the ops of all tasks, and hide what they race for. */
static void count(u64 *counter)
{
	if (CONFIG_THREADS)
		__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
	else
		++*counter;
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
		count(&counts.skipped[op->id]);
		return OP_SKIPPED;
	}
	result = op_call(world, task, op);
	users_put(needs);
	count(result == OP_RING_FULL ? &counts.ring_full[op->id] : &counts.done[op->id]);
	return result;
}
