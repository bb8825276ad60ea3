/* From the name of a verb to its function; and the verbs that other programs have. */
#include "fuzz/cli/cli.h"

#include <string.h>

int verb_call(const char *name, int argc, char **argv)
{
	static int (*const functions[])(int argc, char **argv) = {
#define VERB(name, ...) verb_##name,
#include "fuzz/cli/verbs.def"
#undef VERB
	};

	for (u32 i = 0; i < verbs_count(); i++)
		if (!strcmp(verbs[i].name, name))
			return functions[i](argc, argv);
	unknown_name("verb", name, verb_name, verbs_count());
}

/* In rows whose tasks are threads this is the only verb (fuzz/stress): they link no schedules, and these no threads. */
int verb_stress(int argc, char **argv)
{
	static struct options options;

	options_parse(&options, argc, argv);
	usage_error("stress: expected a configuration whose tasks are threads, this is %s; "
		    "out/bin/mmurace chooses thread-tsan-3 (./build.sh build thread-tsan-3)",
		    CONFIG_NAME);
}

/* Builds commits: a script beside the dispatcher. */
int verb_bisect(int argc, char **argv)
{
	static struct options options;

	options_parse(&options, argc, argv);
	usage_error("bisect: expected to be called as out/bin/mmurace, which builds commits and "
		    "asks each of them; this is one of them");
}
