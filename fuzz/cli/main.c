/* mmurace: the command line. One verb, its options, its arguments. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fuzz/cli/cli.h"

/* See fuzz/sanitizer_options.c: a report of this binary is exit code 83. */
extern const char mmurace_reports_by_exit_code[];
const char mmurace_reports_by_exit_code[] = "yes";

/* A result that could not be printed is no result. */
static int checked(int code)
{
	if (!fflush(stdout) && !ferror(stdout))
		return code;
	fprintf(stderr, "mmurace: standard output cannot be written: %s\n", strerror(errno));
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		verb_help(argc, argv);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help"))
		return verb_help(argc, argv);
	for (u32 i = 0; i < verbs_count(); i++)
		if (!strcmp(verbs[i].name, argv[1]))
			return checked(verbs[i].run(argc - 1, argv + 1));
	unknown_name("verb", argv[1], verb_name, verbs_count());
}
