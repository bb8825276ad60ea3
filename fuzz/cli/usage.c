/* What a user does wrong ends the process, with a message. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz/cli/cli.h"

void usage_error(const char *fmt, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "mmurace: ");
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\n");
	exit(EXIT_USAGE);
}
