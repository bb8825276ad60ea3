/* mmurace of the rows whose tasks are threads: it has one verb. */
#define _GNU_SOURCE
#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz/cli/cli.h"
#include "fuzz/stress/stress.h"

/* See fuzz/sanitizer_options.c: a report of this binary is exit code 83. */
extern const char mmurace_reports_by_exit_code[];
const char mmurace_reports_by_exit_code[] = "yes";

struct request {
	struct stress stress;
	bool has_bug;
	u64 memory; /* bytes that can be had */
	const char *target;
};

static u64 number_or_exit(const char *name, const char *text, u64 least, u64 most)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno || *end || end == text || *text == '-' || value < least || value > most)
		usage_error("--%s: expected a number from %llu to %llu, found '%s'", name,
			    (unsigned long long)least, (unsigned long long)most, text);
	return value;
}

static double seconds_or_exit(const char *name, const char *text, bool may_be_zero)
{
	char *end;
	double value = strtod(text, &end);

	if (*end || end == text || !(value >= 0) || (!may_be_zero && !(value > 0)))
		usage_error("--%s: expected a positive number, found '%s'", name, text);
	return value;
}

static void config_or_exit(const char *name)
{
	if (strcmp(name, CONFIG_NAME))
		usage_error("--config: expected %s, which this binary is, found '%s'", CONFIG_NAME,
			    name);
}

static error_t parse_number(int key, char *arg, struct stress *stress)
{
	switch (key) {
	case OPT_STRESS_SECONDS:
		stress->seconds = seconds_or_exit("seconds", arg, false);
		return 0;
	case OPT_STRESS_THREADS:
		stress->threads = (u32)number_or_exit("threads", arg, 1, TASKS_MAX);
		return 0;
	case OPT_STRESS_SEED:
		stress->seed = number_or_exit("seed", arg, 0, ~0ull);
		return 0;
	case OPT_STRESS_YIELD:
		stress->points_per_yield = (u32)number_or_exit("yield", arg, 0, 1000000);
		return 0;
	case OPT_STRESS_RUNS:
		stress->runs = (u32)number_or_exit("runs", arg, 0, 100000);
		return 0;
	case OPT_STRESS_SEARCH:
		stress->search_seconds = seconds_or_exit("search", arg, true);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct request *request = state->input;

	switch (key) {
	case OPT_VARIANT:
		request->stress.variant = variant_or_exit(arg);
		return 0;
	case OPT_BUG:
		request->has_bug = true;
		request->stress.bug = bug_or_exit(arg);
		return 0;
	case OPT_STRESS_SAVE:
		request->stress.folder = arg;
		return 0;
	case OPT_CONFIG:
		config_or_exit(arg);
		return 0;
	case OPT_STRESS_MEMORY:
		request->memory = number_or_exit("memory", arg, 1, 1 << 30) << 20;
		return 0;
	case ARGP_KEY_ARG:
		if (request->target)
			usage_error("stress: expected TARGET, found '%s' behind it", arg);
		request->target = arg;
		return 0;
	default:
		return parse_number(key, arg, &request->stress);
	}
}

/* Fills "<out>/@below" in: this binary is <out>/<row>/bin/mmurace. */
static void out_path(char *path, size_t room, const char *below)
{
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

	self[len < 0 ? 0 : len] = 0;
	for (u32 up = 0; up < 3 && strrchr(self, '/'); up++)
		*strrchr(self, '/') = 0;
	snprintf(path, room, "%s/%s", self, below);
}

static void request_parse(struct request *request, int argc, char **argv)
{
	static char tool[PATH_MAX + 64], folder[PATH_MAX + 64], name[] = "mmurace stress";
	static struct argp_option list[OPTIONS_MAX];
	const struct verb *verb = verb_by_name("stress");
	struct argp argp = { list, parse, verb->arguments, verb->what, NULL, NULL, NULL };

	out_path(tool, sizeof(tool), "bin/mmurace");
	*request = (struct request){ .memory = stress_memory_available() };
	request->stress = (struct stress){
		.variant = variant_default,
		.seed = 1,
		.seconds = 60,
		.points_per_yield = 64,
		.runs = 50,
		.search_seconds = 10,
		.tool = tool,
	};
	verb_options(verb, list);
	argv[0] = name;
	argp_err_exit_status = EXIT_USAGE;
	argp_parse(&argp, argc, argv, 0, NULL, request);
	if (!request->target)
		usage_error("stress: expected TARGET, found no argument");
	request->stress.target = target_or_exit(request->target);
	if (!request->has_bug)
		request->stress.bug = request->stress.target->bug;
	if (!request->stress.folder) {
		out_path(folder, sizeof(folder), "findings");
		mkdir(folder, 0777);
		out_path(folder, sizeof(folder), "findings/stress");
		request->stress.folder = folder;
	}
	folder_probe(request->stress.folder);
}

/* --- what there is, and what it takes --- */

static u32 threads_of(const struct stress *stress)
{
	if (stress->threads)
		return stress->threads;
	return (u32)max_u64(STRESS_TASKS_DEFAULT, stress->target->tasks_max);
}

static void check_cores(const struct stress *stress)
{
	u32 threads = threads_of(stress), cores;
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof(cpus), &cpus))
		return;
	cores = (u32)CPU_COUNT(&cpus);
	if (threads == TASKS_MAX)
		printf("%u threads: %u tasks, and the one that runs RCU callbacks\n", threads,
		       PROGRAM_TASKS_MAX);
	if (cores < threads)
		printf("%u threads take turns on %u core%s: races between instructions are rarer "
		       "than "
		       "on as many cores\n",
		       threads, cores, cores == 1 ? "" : "s");
}

static void check_memory(const struct request *request)
{
	struct stress_memory memory = stress_memory_of(threads_of(&request->stress));
	struct buf text = { 0 };

	if (!request->memory || memory.needed <= request->memory)
		return;
	stress_memory_print(&text, &memory);
	usage_error(
		"stress: memory does not suffice: %s are needed, %llu MiB can be had. Take fewer "
		"--threads, or a --config with another sanitizer",
		buf_text(&text), (unsigned long long)request->memory >> 20);
}

/* --- what came out --- */

static void tell(const struct stress_finding *finding)
{
	printf("  %s\n    %s\n", finding->outcome.signature, finding->outcome.text);
	printf("    program %llu, fails %u of %u times when it is run again\n",
	       (unsigned long long)finding->program, finding->failed, finding->runs);
	if (finding->path[0])
		printf("    saved %s\n", finding->path);
	if (finding->reproducer[0]) {
		struct buf word = { 0 };

		word_print(&word, finding->reproducer);
		printf("    a schedule that fails every time: mmurace replay --config %s %s\n",
		       finding->row, buf_text(&word));
		buf_free(&word);
	} else {
		printf("    no schedule: %s\n", finding->why_not);
	}
	fflush(stdout);
}

static void print_table(const struct stress *stress, const struct stress_report *report)
{
	printf("%s, bug %s, seed %llu, %s: %llu programs in %.1f s (%.0f/s)\n",
	       stress->target->name, bug_rows[stress->bug].slug, (unsigned long long)stress->seed,
	       CONFIG_NAME, (unsigned long long)report->programs, report->seconds,
	       report->seconds > 0 ? (double)report->programs / report->seconds : 0);
	if (report->nr_findings)
		printf("  %7s %8s  %-9s  %s\n", "seen", "k of n", "schedule", "finding");
	for (u32 i = 0; i < report->nr_findings; i++) {
		const struct stress_finding *finding = &report->findings[i];
		char reliability[32];

		snprintf(reliability, sizeof(reliability), "%u of %u", finding->failed,
			 finding->runs);
		printf("  %7llu %8s  %-9s  %s\n", (unsigned long long)finding->seen, reliability,
		       finding->reproducer[0] ? "yes" : "no", finding->outcome.signature);
	}
	if (!report->nr_findings)
		printf("  nothing found\n");
	if (report->not_kept)
		printf("  %llu programs failed in yet other ways, which are not kept: mend or "
		       "disarm some of these first\n",
		       (unsigned long long)report->not_kept);
	if (report->interrupted)
		printf("  interrupted\n");
}

static int exit_code(const struct stress_report *report)
{
	if (report->interrupted)
		return EXIT_UNFINISHED;
	return report->nr_findings ? stress_exit_code(report->findings[0].outcome.kind)
				   : EXIT_EXPECTED;
}

static void on_signal(int signal)
{
	stress_interrupt();
}

int verb_stress(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_signal };
	static struct stress_report report;
	static struct request request;

	json_prepare();
	request_parse(&request, argc, argv);
	check_cores(&request.stress);
	check_memory(&request);
	fflush(stdout);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	stress_all(&request.stress, &report, tell);
	print_table(&request.stress, &report);
	return exit_code(&report);
}

int main(int argc, char **argv)
{
	if (argc < 2 || strcmp(argv[1], "stress")) {
		fprintf(stderr,
			"usage: mmurace stress TARGET [OPTION...]: tasks are threads in %s, and "
			"this is "
			"all that it can do. For the other verbs: --config fiber-plain\n",
			CONFIG_NAME);
		return EXIT_USAGE;
	}
	return verb_stress(argc - 1, argv + 1);
}
