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

u64 program_pass_points(u64 nr)
{
	u64 *words = kern_page_address(1), sum = 0;

	for (u64 i = 0; i < nr; i++)
		sum += READ_ONCE(words[i % 8]);
	return sum;
}

void program_prepare_points(void)
{
	kern_reset();
	kern_page_alloc(true);
}
