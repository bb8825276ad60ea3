/* Memslots come, go and move under faults, prefaults and invalidations that still hold the old set. */
#include "workload/workload.h"

TARGET(slot_delete_vs_fault) = {
	.name = "slot_delete_vs_fault",
	.what = "memslots are created, deleted, moved and flagged under faults and invalidations",
	.op_weights = {
		[OP_fault] = 4,
		[OP_touch] = 6,
		[OP_prefault] = 3,
		[OP_smm] = 1,
		[OP_slot_create] = 5,
		[OP_slot_delete] = 6,
		[OP_slot_move] = 3,
		[OP_slot_flags] = 1,
		[OP_zap_all] = 1,
		[OP_zap_gfn_range] = 2,
		[OP_munmap] = 2,
		[OP_dontneed] = 2,
		[OP_migrate] = 3,
	},
	.tasks_min = 2,
	.tasks_max = 4,
	.ops_min = 1,
	.ops_max = 5,
	.vcpus_max = 2,
	.vms_max = 2,
	.as_max = 2,
	.slots_max = 3,
	.pages_min = 1,
	.pages_max = 4,
	.has_absent = true,
};
