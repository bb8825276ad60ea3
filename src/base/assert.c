#include "base/assert.h"

#include <stdio.h>
#include <unistd.h>

void assert_failed(const char *file, int line, const char *cond)
{
	fprintf(stderr, "mmurace: framework bug: %s:%d: '%s' does not hold\n", file, line, cond);
	fflush(NULL);
	_exit(80);
}
