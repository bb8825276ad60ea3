/*
 * ASSERT: the framework itself is wrong. Never used for what a subject did (that is the oracles'
 * business) nor for what a user typed (that is an error message). Ends the process with exit code
 * 80, under an engine with a signal, after saying where; active in every build.
 */
#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

#include "base/types.h"

#define ASSERT(cond)                                              \
	do {                                                      \
		if (unlikely(!(cond)))                            \
			assert_failed(__FILE__, __LINE__, #cond); \
	} while (0)

/* Prints the place and the broken condition on standard error and ends the process. */
__cold __attribute__((noreturn)) void assert_failed(const char *file, int line, const char *cond);

#endif
