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
	static char help[] = "help";
	char *words[] = { help, NULL };

	if (argc < 2) {
		verb_help(1, words);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help"))
		return checked(verb_help(1, words));
	if (!strcmp(argv[1], "--version")) {
		printf("mmurace %s (%s, %s)\n", build_commit, CONFIG_NAME, build_compiler);
		return checked(EXIT_EXPECTED);
	}
	return checked(verb_call(argv[1], argc - 1, argv + 1));
}
