/* What the options of a command line say, in checked form. */
#include "fuzz/cli/cli.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void interrupt(int signal)
{
	campaign_interrupt();
}

void handle_interrupts(void)
{
	struct sigaction action = { .sa_handler = interrupt };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

static u64 number_or_exit(const char *name, const char *text)
{
	char *end;
	u64 value;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno || *end || end == text || *text == '-')
		usage_error("--%s: expected a number, found '%s'", name, text);
	return value;
}

static double seconds_or_exit(const char *text)
{
	char *end;
	double value = strtod(text, &end);

	if (*end || end == text || !(value > 0))
		usage_error("--seconds: expected a positive number, found '%s'", text);
	return value;
}

static void config_or_exit(const char *name)
{
	for (u32 i = 0; i < configs_count(); i++)
		if (!strcmp(config_name(i), name)) {
			if (strcmp(name, CONFIG_NAME))
				usage_error(
					"--config: expected %s, which this binary is, found %s; "
					"out/bin/mmurace chooses the binary",
					CONFIG_NAME, name);
			return;
		}
	unknown_name("configuration", name, config_name, configs_count());
}

static u64 positive_or_exit(const char *name, const char *text)
{
	u64 value = number_or_exit(name, text);

	if (!value)
		usage_error("--%s: expected a positive number, found '%s'", name, text);
	return value;
}

static error_t parse_search_option(int key, char *arg, struct options *options)
{
	switch (key) {
	case OPT_SEED:
		options->has_seed = true;
		options->seed = number_or_exit("seed", arg);
		return 0;
	case OPT_SCHEDULES:
		options->schedules = positive_or_exit("schedules", arg);
		return 0;
	case OPT_SECONDS:
		options->seconds = seconds_or_exit(arg);
		return 0;
	case OPT_STRATEGY:
		options->strategy = strategy_or_exit(arg);
		return 0;
	case OPT_STOP_ON_FIRST:
		options->stop_on_first = true;
		return 0;
	case OPT_FORBID:
		options->forbidden |= (u32)BIT_ULL(retry_class_or_exit(arg));
		return 0;
	case OPT_CHECK:
		options->check = true;
		return 0;
	case OPT_BUDGET:
		options->budget = positive_or_exit("budget", arg);
		return 0;
	case OPT_SEEDS:
		options->seeds = positive_or_exit("seeds", arg);
		return 0;
	case OPT_REACHABILITY:
		options->reachability = true;
		return 0;
	case OPT_ALL:
		options->all = true;
		return 0;
	case OPT_WORDS:
		options->words = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case OPT_BUG:
		options->has_bug = true;
		options->bug = bug_or_exit(arg);
		return 0;
	case OPT_VARIANT:
		options->variant = variant_or_exit(arg);
		return 0;
	case OPT_SAVE:
		options->save = arg;
		return 0;
	case OPT_CONFIG:
		config_or_exit(arg);
		return 0;
	case OPT_JSON:
		options->json = true;
		return 0;
	case OPT_NEARBY:
		options->nearby = true;
		return 0;
	case OPT_TRACE:
		options->trace = true;
		return 0;
	case OPT_REPRODUCERS:
		options->reproducers = arg;
		return 0;
	case OPT_TARGET:
		options->target = target_or_exit(arg);
		return 0;
	case OPT_INPUT_TARGET:
		options->format = format_named(arg) ? arg : NULL;
		options->target = options->format ? NULL : target_or_exit(arg);
		return 0;
	case OPT_NO_MINIMISE:
		options->no_minimise = true;
		return 0;
	case OPT_OUTPUT:
		options->output = arg;
		return 0;
	case ARGP_KEY_ARG:
		if (options->nr_arguments == ARGUMENTS_MAX)
			usage_error("%s: more than %u arguments", options->verb->name,
				    ARGUMENTS_MAX);
		options->arguments[options->nr_arguments++] = arg;
		return 0;
	default:
		return parse_search_option(key, arg, options);
	}
}

static const struct argp_option *taken;

static const char *taken_name(u32 nth)
{
	return taken[nth].name;
}

/* argp says of an unknown option only that it is unknown: near names are looked for first. */
static void check_options(const char *verb, int argc, char **argv, u32 nr_taken)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++) {
		char name[64];
		struct buf buf = { 0 };
		bool matched = false;

		if (strncmp(argv[i], "--", 2))
			continue;
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(argv[i] + 2, "="), argv[i] + 2);
		for (u32 k = 0; k < nr_taken; k++)
			matched |= !strncmp(taken[k].name, name, strlen(name));
		if (matched || !strcmp(name, "help") || !strcmp(name, "usage"))
			continue;
		buf_printf(&buf, "%s has no option --%s. ", verb, name);
		near_names(&buf, name, taken_name, nr_taken);
		buf_printf(&buf, "It has:");
		for (u32 k = 0; k < nr_taken; k++)
			buf_printf(&buf, " --%s", taken[k].name);
		usage_error("%s", buf_text(&buf));
	}
}

void options_parse(struct options *options, int argc, char **argv)
{
	static struct argp_option list[OPTIONS_MAX];
	static char name[64];
	const struct verb *verb = verb_by_name(argv[0]);
	struct argp argp = { list, parse_option, verb->arguments, verb->what, NULL, NULL, NULL };

	json_prepare();
	memset(options, 0, sizeof(*options));
	options->verb = verb;
	options->variant = variant_default;
	options->seed = 1;
	options->seeds = 3;
	taken = list;
	check_options(verb->name, argc, argv, verb_options(verb, list));
	snprintf(name, sizeof(name), "mmurace %s", verb->name);
	argv[0] = name;
	argp_err_exit_status = EXIT_USAGE;
	argp_parse(&argp, argc, argv, 0, NULL, options);
	if (options->nr_arguments < verb->fewest)
		usage_error("%s: expected %s, found %u argument%s", verb->name, verb->arguments,
			    options->nr_arguments, options->nr_arguments == 1 ? "" : "s");
	if (options->nr_arguments > verb->most)
		usage_error("%s: expected %s, found '%s' behind it", verb->name,
			    *verb->arguments ? verb->arguments : "no argument",
			    options->arguments[verb->most]);
}
