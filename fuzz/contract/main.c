/*
 * mmurace bench contract [N] [--json]: instructions that three functions of the MMU execute over the thread backend,
 * counted by valgrind's callgrind, beside the same functions written by hand (twin.c). They must not differ by more
 * than 2 %: a verb is what one would write oneself.
 *
 * The process starts itself again under valgrind, does there what is counted, and reads what callgrind has written.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <valgrind/callgrind.h>

#include "fuzz/contract/contract.h"
#include "host/host.h"
#include "kern/kern.h"
#include "kern/thread/thread_kern.h"
#include "machine/machine.h"
#include "subject/subject.h"

/* Exit codes of mmurace (docs/design.md). */
#define EXIT_EQUAL    0
#define EXIT_USAGE    1
#define EXIT_OURS     80 /* the framework costs what it must not */
#define PERCENT_MAX   2.0
#define TIMES_DEFAULT 1000u
#define TIMES_MAX     1000000u

enum side { OURS, TWIN, PTHREAD, SIDES };
static const char *const function_names[CONTRACT_FUNCTIONS] = {
	[CONTRACT_FAULT] = "fast_page_fault",
	[CONTRACT_ZAP] = "zap of one leaf",
	[CONTRACT_WALK] = "rcu walk",
};
static const struct contract_body *const sides[SIDES] = { contract_ours, contract_twin,
							  contract_pthread };

/* --- under valgrind --- */

static u32 times;

static u64 nothing(u64 gfn)
{
	return gfn;
}

/* callgrind counts only between two toggles. The first call, in which the linker looks for symbols, does not count. */
static void repeat(const struct contract_body *body, u64 (*volatile run)(u64 gfn), const char *name)
{
	if (body)
		body->prepare(0);
	run(0);
	CALLGRIND_ZERO_STATS;
	for (u32 i = 0; i < times; i++) {
		u64 gfn = i % CONTRACT_PAGES, result;

		if (body)
			body->prepare(gfn);
		CALLGRIND_TOGGLE_COLLECT;
		result = run(gfn);
		CALLGRIND_TOGGLE_COLLECT;
		ASSERT(!body || body->done(gfn, result));
	}
	CALLGRIND_DUMP_STATS_AT(name);
}

static void measure_all(u32 task)
{
	char name[32];

	contract_build_ours();
	contract_build_twin();
	repeat(NULL, nothing, "none");
	for (u32 i = 0; i < CONTRACT_FUNCTIONS; i++)
		for (u32 side = 0; side < SIDES; side++) {
			const struct contract_body *body = &sides[side][i];

			if (!body->run)
				continue;
			snprintf(name, sizeof(name), "%u.%u", i, side);
			repeat(body, body->run, name);
		}
}

static int measure(void)
{
	struct thread_knobs knobs = { .seed = 1, .milliseconds = INT_MAX };

	thread_kern_set(&knobs);
	subject_reset();
	kern_reset();
	machine_reset();
	host_reset();
	ASSERT(kern_run_tasks(1, measure_all, 0) == KERN_DONE);
	ASSERT(!thread_kern_warnings());
	return EXIT_EQUAL;
}

/* --- what callgrind has written --- */

static double counted[CONTRACT_FUNCTIONS][SIDES], nothing_counted;

/* Return: false when the file is not one of ours. */
static bool read_dump(const char *path)
{
	static const char trigger[] = "desc: Trigger: Client Request: ";
	char line[512], name[32] = "";
	unsigned long long total = 0;
	bool has_total = false;
	u32 function, side;
	FILE *file = fopen(path, "r");

	if (!file)
		return false;
	while (fgets(line, sizeof(line), file)) {
		if (!strncmp(line, trigger, sizeof(trigger) - 1))
			sscanf(line + sizeof(trigger) - 1, "%31s", name);
		has_total |= sscanf(line, "totals: %llu", &total) == 1;
	}
	fclose(file);
	if (!has_total || !*name)
		return false;
	if (!strcmp(name, "none"))
		nothing_counted = (double)total / times;
	else if (sscanf(name, "%u.%u", &function, &side) == 2 && function < CONTRACT_FUNCTIONS &&
		 side < SIDES)
		counted[function][side] = (double)total / times;
	else
		return false;
	return true;
}

/* Reads and removes what is in the folder. Return: how many counts. */
static u32 read_dumps(const char *folder)
{
	char path[PATH_MAX + 300];
	struct dirent *entry;
	DIR *dir = opendir(folder);
	u32 nr = 0;

	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		nr += read_dump(path);
		unlink(path);
	}
	if (dir)
		closedir(dir);
	rmdir(folder);
	return nr;
}

/* --- the comparison --- */

static bool equal(u32 function)
{
	double ratio = counted[function][OURS] / counted[function][TWIN];

	return ratio >= 1 - PERCENT_MAX / 100 && ratio <= 1 + PERCENT_MAX / 100;
}

static void print_json(u32 function, enum side side, const char *name)
{
	printf("{\"name\":\"contract: %s\",\"config\":\"%s\",\"metric\":\"%s\",\"value\":%.1f,"
	       "\"unit\":\"instructions\"}\n",
	       function_names[function], CONFIG_NAME, name, counted[function][side]);
}

static void print_row(u32 function, bool json)
{
	const double *row = counted[function];

	if (json) {
		print_json(function, OURS, "ours");
		print_json(function, TWIN, "twin");
		if (row[PTHREAD] > 0)
			print_json(function, PTHREAD, "twin with pthread_rwlock");
		return;
	}
	printf("%-18s %8.1f %8.1f %8.3f", function_names[function], row[OURS], row[TWIN],
	       row[OURS] / row[TWIN]);
	if (row[PTHREAD] > 0)
		printf(" %10.1f", row[PTHREAD]);
	else
		printf(" %10s", "-");
	printf("  %s\n", equal(function) ? "" : "DIFFERS");
}

static int compare(bool json)
{
	bool all_equal = true;

	if (!json)
		printf("%-18s %8s %8s %8s %10s  (instructions a call, %s)\n", "function", "ours",
		       "twin", "ratio", "pthread", CONFIG_NAME);
	for (u32 i = 0; i < CONTRACT_FUNCTIONS; i++) {
		for (u32 side = 0; side < SIDES; side++)
			if (sides[side][i].run)
				counted[i][side] -= nothing_counted;
		print_row(i, json);
		all_equal &= equal(i);
	}
	if (all_equal)
		return EXIT_EQUAL;
	fprintf(stderr, "mmurace: a function differs from its twin by more than %.0f %%\n",
		PERCENT_MAX);
	return EXIT_OURS;
}

/* Does not return. */
static void become_valgrind(const char *folder, const char *times_text)
{
	char self[PATH_MAX], out[PATH_MAX + 40];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

	ASSERT(length > 0);
	self[length] = 0;
	snprintf(out, sizeof(out), "--callgrind-out-file=%s/out", folder);
	execlp("valgrind", "valgrind", "--quiet", "--tool=callgrind", "--collect-atstart=no", out,
	       self, times_text, (char *)NULL);
	_exit(errno == ENOENT ? 127 : 126);
}

static int run_under_valgrind(bool json)
{
	char folder[] = "/tmp/mmurace-contract-XXXXXX", times_text[16];
	u32 nr, expected = 1;
	int status;
	pid_t child;

	if (!mkdtemp(folder)) {
		fprintf(stderr, "mmurace: cannot make %s: %s\n", folder, strerror(errno));
		return EXIT_USAGE;
	}
	snprintf(times_text, sizeof(times_text), "%u", times);
	child = fork();
	if (!child)
		become_valgrind(folder, times_text);
	ASSERT(child > 0 && waitpid(child, &status, 0) == child);
	nr = read_dumps(folder);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
		fprintf(stderr, "mmurace: valgrind is not there, and nothing else counts "
				"instructions. Install the package valgrind.\n");
		return EXIT_USAGE;
	}
	for (u32 i = 0; i < CONTRACT_FUNCTIONS; i++)
		for (u32 side = 0; side < SIDES; side++)
			expected += sides[side][i].run != NULL;
	if (!WIFEXITED(status) || WEXITSTATUS(status) || nr != expected) {
		fprintf(stderr, "mmurace: valgrind failed (status %d) and gave %u counts of %u\n",
			status, nr, expected);
		return EXIT_OURS;
	}
	return compare(json);
}

static int usage(void)
{
	fprintf(stderr,
		"usage: mmurace bench contract [TIMES] [--json]   (TIMES: 1 to %u, else %u)\n"
		"Counts instructions of three functions and of the same written by hand.\n",
		TIMES_MAX, TIMES_DEFAULT);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	bool json = false;

	times = TIMES_DEFAULT;
	for (int i = 1; i < argc; i++) {
		char *end;
		unsigned long value = strtoul(argv[i], &end, 10);

		if (!strcmp(argv[i], "--json")) {
			json = true;
			continue;
		}
		if (*end || value < 1 || value > TIMES_MAX)
			return usage();
		times = (u32)value;
	}
	return RUNNING_ON_VALGRIND ? measure() : run_under_valgrind(json);
}
