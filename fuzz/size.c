/* How large a reproducer is. */
#include "fuzz/fuzz.h"

u32 program_nr_ops(const struct program *program)
{
	u32 nr = 0;

	for (u32 i = 0; i < program->nr_tasks; i++)
		nr += program->tasks[i].nr_ops;
	return nr;
}

u32 schedule_depth(const struct schedule *schedule)
{
	return schedule->nr_directives + schedule->has_first;
}
