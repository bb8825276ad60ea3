/* The table of verbs. */
#include "fuzz/cli/cli.h"

#include <stdio.h>

const struct verb verbs[] = {
	{ "run", "TARGET", "search a target for violations", verb_run },
	{ "search", "FILE", "search one program for a schedule that fails", verb_search },
	{ "stress", "TARGET", "run a target's programs on threads, without a schedule",
	  verb_stress },
	{ "replay", "FILE|FOLDER...", "run reproducers and compare verdicts", verb_replay },
	{ "minimise", "FILE -o FILE", "make a reproducer small, keeping its verdict",
	  verb_minimise },
	{ "explain", "FILE", "show a reproducer as an interleaving in columns", verb_explain },
	{ "triage", "ARTIFACT... --target TARGET -o FOLDER",
	  "turn engine artifacts into minimised, explained reproducers", verb_triage },
	{ "encode", "FILE -o FILE", "write a reproducer as an input for engines", verb_encode },
	{ "matrix", "", "prove that search finds every bug of the catalogue", verb_matrix },
	{ "compare", "KNOB", "count what each value of a design knob costs", verb_compare },
	{ "bench", "[NAME]", "measure speed and memory", verb_bench },
	{ "list", "targets|bugs|oracles|variants|strategies|ops|configs", "show what there is",
	  verb_list },
	{ "help", "", "this text", verb_help },
};

u32 verbs_count(void)
{
	return ARRAY_SIZE(verbs);
}

const char *verb_name(u32 nth)
{
	return verbs[nth].name;
}

/* In rows whose tasks are threads this is the only verb (fuzz/stress): they link no schedules, and these no threads. */
int verb_stress(int argc, char **argv)
{
	usage_error("stress: expected a configuration whose tasks are threads, this is %s; "
		    "out/bin/mmurace chooses thread-tsan-3 (./build.sh build thread-tsan-3)",
		    CONFIG_NAME);
}

int verb_help(int argc, char **argv)
{
	printf("usage: mmurace VERB [OPTION...] [ARGUMENT...]\n\n");
	for (u32 i = 0; i < verbs_count(); i++)
		printf("  %-9s %s\n            %s\n", verbs[i].name, verbs[i].arguments,
		       verbs[i].what);
	printf("\n'mmurace VERB --help' lists its options. Exit codes: 0 as expected, 1 usage or "
	       "input,\n80 bug of the framework, 81 safety violation, 82 no progress, 83 "
	       "sanitizer report,\n84 other verdict than expected or replay diverged, 85 "
	       "unfinished.\n");
	return EXIT_EXPECTED;
}
