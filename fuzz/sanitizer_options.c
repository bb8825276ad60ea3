/*
 * Options of the sanitizers, built into every binary. Reports end the process at once, so that an
 * engine keeps the input that caused them. Fibers switch stacks: fake stacks are off. Variables such
 * as ASAN_OPTIONS still override all of this.
 */
#include "base/types.h"

const char *__asan_default_options(void);
const char *__tsan_default_options(void);
const char *__msan_default_options(void);
const char *__ubsan_default_options(void);

/* Defined by the command line tool, whose exit codes tell a report from other failures. */
extern const char mmurace_reports_by_exit_code[] __attribute__((weak));

const char *__asan_default_options(void)
{
	return mmurace_reports_by_exit_code
		       ? "detect_stack_use_after_return=0:detect_leaks=0:exitcode=83"
		       : "detect_stack_use_after_return=0:detect_leaks=0:symbolize=0";
}

const char *__tsan_default_options(void)
{
	return mmurace_reports_by_exit_code
		       ? "halt_on_error=1:report_signal_unsafe=0:atexit_sleep_ms=0:exitcode=83"
		       : "halt_on_error=1:report_signal_unsafe=0:atexit_sleep_ms=0:symbolize=0";
}

const char *__msan_default_options(void)
{
	return mmurace_reports_by_exit_code ? "exitcode=83" : "symbolize=0";
}

const char *__ubsan_default_options(void)
{
	return "halt_on_error=1:print_stacktrace=1";
}
