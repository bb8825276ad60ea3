/* What drivers need of the environment, handed on: they stand above the layers that know it. */
#include "kern/kern.h"
#include "workload/workload.h"

void program_set_driver(const struct sched_driver *driver)
{
	kern_set_driver(driver);
}

void program_arm_op_ends(bool armed)
{
	kern_arm_op_ends(armed);
}

u64 program_object_id(const volatile void *addr)
{
	return kern_object_id(addr);
}

bool program_memory_live(const volatile void *addr)
{
	return kern_memory_live(addr);
}
