/* Targets, in the order in which they were linked: each binary holds those that it was given. */
#include <string.h>

#include "workload/workload.h"

extern const struct target *const __start_targets[] __attribute__((weak));
extern const struct target *const __stop_targets[] __attribute__((weak));

u32 targets_count(void)
{
	return (u32)(__stop_targets - __start_targets);
}

const struct target *target_nth(u32 nth)
{
	return __start_targets[nth];
}

const char *target_problem(const struct target *target)
{
	u32 vcpu_ops = 0, vm_ops = 0, ops = 0;

	for (u32 i = 0; i < OP_COUNT; i++) {
		ops += target->op_weights[i];
		if (op_rows[i].kind == TASK_VCPU)
			vcpu_ops += target->op_weights[i];
		if (op_rows[i].kind == TASK_VM)
			vm_ops += target->op_weights[i];
	}
	if (!ops)
		return "no op has a weight";
	if (!target->tasks_min || target->tasks_min > target->tasks_max ||
	    target->tasks_max > PROGRAM_TASKS_MAX)
		return "expected 1 <= tasks_min <= tasks_max";
	if (!target->ops_min || target->ops_min > target->ops_max || target->ops_max > OPS_MAX)
		return "expected 1 <= ops_min <= ops_max";
	if (vcpu_ops && !target->vcpus_max)
		return "ops of vCPUs have weights, but vcpus_max is 0";
	if (!vm_ops != !target->vms_max)
		return "expected weights for ops of vm tasks if vms_max says so, and else none";
	if (target->as_max > AS_MAX)
		return "expected at most 2 address spaces";
	if (target->huge_of_8 > 8 || target->logging_of_8 > 8 || target->writes_of_8 > 8 ||
	    target->knobs_of_8 > 8)
		return "expected at most 8 of 8";
	if (target->levels_weights[0] || target->levels_weights[1])
		return "expected 2 levels at least";
	return NULL;
}

const struct target *target_by_name(const char *name)
{
	for (u32 i = 0; i < targets_count(); i++)
		if (!strcmp(target_nth(i)->name, name))
			return target_nth(i);
	return NULL;
}
