#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void assert_failed(const char *file, int line, const char *cond)
{
	fprintf(stderr, "mmurace: framework bug: %s:%d: '%s' does not hold\n", file, line, cond);
	fflush(NULL);
	/* An engine keeps the input of a process that a signal ends, and loses that of one that leaves. */
	if (ENDS_BY_SIGNAL)
		abort();
	_exit(80);
}
