/* mmurace help: what there is to be said, from the tables that the command line is parsed by. */
#include "fuzz/cli/cli.h"

#include <stdio.h>
#include <string.h>

#define COLUMN 26

static void print_verbs(void)
{
	for (u32 i = 0; i < verbs_count(); i++)
		printf("  %s %s\n      %s\n", verbs[i].name, verbs[i].arguments, verbs[i].what);
}

static const struct {
	int number;
	const char *what;
} exit_codes[] = {
#define EXIT_CODE(name, number, what) { number, what },
#include "fuzz/exit_codes.def"
#undef EXIT_CODE
};

static void print_exit_codes(void)
{
	printf("Exit status:\n");
	for (u32 i = 0; i < ARRAY_SIZE(exit_codes); i++)
		printf("  %-3d %s\n", exit_codes[i].number, exit_codes[i].what);
}

static void print_options(const struct verb *verb)
{
	struct argp_option list[OPTIONS_MAX];
	u32 nr = verb_options(verb, list);

	for (u32 i = 0; i < nr; i++) {
		char name[64];

		snprintf(name, sizeof(name), "%s--%s%s%s",
			 list[i].key < 256 ? (char[]){ '-', (char)list[i].key, ',', ' ', 0 }
					   : "    ",
			 list[i].name, list[i].arg ? "=" : "", list[i].arg ? list[i].arg : "");
		printf("  %-*s %s\n", COLUMN, name, list[i].doc);
	}
}

/* One text for people and for the man page. */
static void print_all(void)
{
	printf("Usage: mmurace VERB [OPTION...] [ARGUMENT...]\n\n"
	       "Finds, minimises and replays races between page faults, MMU-notifier "
	       "invalidations, aging\ncalls and root zaps in a C reimplementation of KVM's x86 "
	       "MMU. The interleaving is part of\nthe input: what fails once fails again.\n\n");
	printf("Verbs:\n");
	for (u32 i = 0; i < verbs_count(); i++)
		printf("  %-*s %s\n", COLUMN, verbs[i].name, verbs[i].what);
	printf("\nOptions may stand anywhere behind the verb.\n");
	for (u32 i = 0; i < verbs_count(); i++) {
		printf("\nmmurace %s [OPTION...] %s:\n", verbs[i].name, verbs[i].arguments);
		print_options(&verbs[i]);
	}
	printf("\n");
	print_exit_codes();
	printf("\nEnvironment:\n"
	       "  MMURACE_BUG                the bug that fuzz binaries, triage and decode arm\n"
	       "\nExamples:\n"
	       "  mmurace run everything --seconds 60 --save findings\n"
	       "  mmurace replay reproducers\n"
	       "  mmurace explain reproducers/zap_skips_flush.repro\n"
	       "  mmurace matrix --bug zap_skips_flush --seeds 20\n");
}

static void print_words(void)
{
	for (u32 i = 0; i < verbs_count(); i++) {
		struct argp_option list[OPTIONS_MAX];
		u32 nr = verb_options(&verbs[i], list);

		printf("%s", verbs[i].name);
		for (u32 k = 0; k < nr; k++)
			printf(" --%s%s", list[k].name, list[k].arg ? "=" : "");
		printf("\n");
	}
}

static void print_short(void)
{
	printf("usage: mmurace VERB [OPTION...] [ARGUMENT...]\n\n");
	print_verbs();
	printf("\n'mmurace VERB --help' lists its options, 'mmurace help --all' all of them.\n\n");
	print_exit_codes();
}

int verb_help(int argc, char **argv)
{
	static struct options options;

	options_parse(&options, argc, argv);
	if (options.all) {
		print_all();
	} else if (options.words) {
		print_words();
	} else if (options.nr_arguments) {
		static char help[] = "--help";
		char *words[] = { options.arguments[0], help, NULL };

		return verb_call(options.arguments[0], 2, words);
	} else {
		print_short();
	}
	return EXIT_EXPECTED;
}
