/* Faults against roots that become invalid and are zapped under them: the fast way to drop everything. */
#include "workload/workload.h"

TARGET(fault_vs_root_zap) = {
	.name = "fault_vs_root_zap",
	.what = "page faults and guest accesses against zaps of all roots, in two address spaces",
	.op_weights = {
		[OP_fault] = 4,
		[OP_touch] = 6,
		[OP_prefault] = 2,
		[OP_smm] = 2,
		[OP_zap_all] = 6,
		[OP_zap_gfn_range] = 3,
		[OP_munmap] = 1,
		[OP_dontneed] = 2,
		[OP_migrate] = 2,
	},
	.tasks_min = 2,
	.tasks_max = 5,
	.ops_min = 1,
	.ops_max = 5,
	.vcpus_max = 3,
	.vms_max = 2,
	.as_max = 2,
	.slots_max = 2,
	.pages_min = 1,
	.pages_max = 4,
	.has_absent = true, /* their pages are emulated */
	.levels_weights = { [2] = 1, [3] = 4, [4] = 2, [5] = 2 },
};
