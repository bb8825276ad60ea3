/* Carries a bug for ever: a search that does not find it within seconds is out of order. */
#include "workload/workload.h"

TARGET(canary) = {
	.name = "canary",
	.what = "must fail: the sequence number is never compared under the lock",
	.op_weights = { [OP_fault] = 1, [OP_touch] = 1, [OP_munmap] = 1, [OP_migrate] = 1 },
	.tasks_min = 2,
	.tasks_max = 3,
	.ops_min = 1,
	.ops_max = 3,
	.vcpus_max = 1,
	.slots_max = 1,
	.pages_min = 2,
	.pages_max = 4,
	.bug = BUG_seq_test_dropped,
};
