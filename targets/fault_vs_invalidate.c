/* vCPU faults against what the host does to its own pages: the race that every MMU has to get right. */
#include "workload/workload.h"

TARGET(fault_vs_invalidate) = {
	.name = "fault_vs_invalidate",
	.what = "page faults and guest accesses against unmapping, migration and write protection",
	.op_weights = {
		[OP_fault] = 3,
		[OP_touch] = 5,
		[OP_munmap] = 3,
		[OP_dontneed] = 3,
		[OP_migrate] = 5,
		[OP_wrprotect] = 3,
		[OP_reuse] = 1,
		[OP_populate] = 2,
	},
	.tasks_min = 2,
	.tasks_max = 4,
	.ops_min = 1,
	.ops_max = 5,
	.vcpus_max = 2,
	.slots_max = 2,
	.pages_min = 2,
	.pages_max = 6,
};
