/* Time, for limits and figures. */
#include <time.h>

#include "fuzz/fuzz.h"

double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}
