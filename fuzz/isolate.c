/*
 * Work in a child process, because a sanitizer's report ends the process that makes it. The child's
 * standard error goes to a file in memory; its first telling line names the death.
 */
#include "fuzz/fuzz.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"

/* What assert_failed() writes in front of the place. */
#define ASSERT_MARK "framework bug: "

void *shared_alloc(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ASSERT(memory != MAP_FAILED);
	return memory;
}

/* Of the sanitizers' runtime; not there without one. */
void __sanitizer_symbolize_pc(void *pc, const char *format, char *text, size_t room)
	__attribute__((weak));

void reports_prepare(void)
{
	char text[256];

	/*
	 * The runtime starts the symbolizer at its first report and keeps it. Children of a process that has none
	 * start one each, and have it read all debug information anew; the pipes to ours they inherit.
	 */
	if (__sanitizer_symbolize_pc)
		__sanitizer_symbolize_pc((void *)reports_prepare, "%f", text, sizeof(text));
}

static bool executed_here;

void run_executes_here(void)
{
	executed_here = true;
}

bool run_executed_here(void)
{
	return executed_here;
}

/* Nobody would hear of what this child finds, or end it, once its parent has gone, whatever the parent has died of. */
static void end_with_parent(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_UNFINISHED);
}

struct child child_start(void (*work)(void *ctx), void *ctx)
{
	struct child child;
	pid_t parent = getpid();

	/* The race detector sees no synchronisation any more in the child of a process with fibers. */
	ASSERT(!CONFIG_TSAN || !run_executed_here());
	child.report_fd = (int)syscall(SYS_memfd_create, "report", 0);
	ASSERT(child.report_fd >= 0);
	fflush(stdout);
	fflush(stderr);
	child.pid = fork();
	ASSERT(child.pid >= 0);
	if (child.pid)
		return child;
	end_with_parent(parent);
	/* The parent decides when to end; a terminal would interrupt both. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_DFL);
	dup2(child.report_fd, STDERR_FILENO);
	work(ctx);
	_exit(0);
}

static void read_report(struct child *child, struct buf *report)
{
	char chunk[4096];
	ssize_t got;

	lseek(child->report_fd, 0, SEEK_SET);
	while ((got = read(child->report_fd, chunk, sizeof(chunk))) > 0)
		buf_append(report, chunk, (size_t)got);
	close(child->report_fd);
}

/* Copies what names the kind of error, up to the first of @ends, blanks as dashes. */
static void name_class(char *class, size_t size, const char *text, const char *ends)
{
	size_t len = min_u64(strcspn(text, ends), size - 1);

	while (len && text[len - 1] == ' ')
		len--;
	for (size_t i = 0; i < len; i++)
		class[i] = text[i] == ' ' ? '-' : text[i];
	class[len] = 0;
}

static bool classify_line(struct death *death, const char *mark)
{
	const char *at = strstr(buf_text(&death->report), mark);

	if (!at)
		return false;
	snprintf(death->what, sizeof(death->what), "%.*s", (int)strcspn(at, "\n"), at);
	/* Only the race detector names its errors in more than one word. */
	name_class(death->class, sizeof(death->class), at + strlen(mark),
		   strstr(mark, "Thread") ? "(:\n" : " (:\n");
	return true;
}

/* A failed ASSERT has happened where it stands: "file:condition". */
static void name_assertion(struct death *death)
{
	char file[SITE_TEXT_MAX / 2], condition[SITE_TEXT_MAX / 2];
	const char *at = strstr(buf_text(&death->report), ASSERT_MARK);
	size_t nr = 0;

	if (!at || sscanf(at + strlen(ASSERT_MARK), "%79[^:]:%*d: '%79[^\n]", file, condition) != 2)
		return;
	for (const char *c = condition; *c && strcmp(c, "' does not hold"); c++)
		if (*c != ' ')
			condition[nr++] = *c;
	condition[nr] = 0;
	snprintf(death->site[0], sizeof(death->site[0]), "%s:%s", file, condition);
}

static void classify(struct death *death, int status)
{
	static const char *const marks[] = {
		"ERROR: AddressSanitizer: ",  "WARNING: ThreadSanitizer: ",
		"WARNING: MemorySanitizer: ", "runtime error: ",
		"ERROR: ThreadSanitizer: ",   "ERROR: MemorySanitizer: "
	};

	death->kind = VERDICT_SANITIZER;
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FRAMEWORK) {
		death->kind = VERDICT_FRAMEWORK;
		snprintf(death->class, sizeof(death->class), "assert");
		snprintf(death->what, sizeof(death->what), "%.*s",
			 (int)strcspn(buf_text(&death->report), "\n"), buf_text(&death->report));
		name_assertion(death);
		return;
	}
	report_sites(buf_text(&death->report), death->site);
	for (u32 i = 0; i < ARRAY_SIZE(marks); i++)
		if (classify_line(death, marks[i])) {
			/* Somebody else was handed the memory between the check and the report. */
			if (!strcmp(death->class, "unknown-crash"))
				snprintf(death->class, sizeof(death->class), "use-after-poison");
			return;
		}
	if (WIFSIGNALED(status)) {
		snprintf(death->class, sizeof(death->class), "signal-%d", WTERMSIG(status));
		snprintf(death->what, sizeof(death->what), "killed by signal %d (%s)",
			 WTERMSIG(status), strsignal(WTERMSIG(status)));
		return;
	}
	snprintf(death->class, sizeof(death->class), "exit-%d", WEXITSTATUS(status));
	snprintf(death->what, sizeof(death->what), "ended with code %d", WEXITSTATUS(status));
}

void death_expectation(struct expectation *expect, const struct death *death)
{
	*expect = (struct expectation){ .oracle = "" };
	snprintf(expect->oracle, sizeof(expect->oracle), "%s",
		 death->kind == VERDICT_FRAMEWORK ? "framework" : "sanitizer");
	memcpy(expect->class, death->class, sizeof(expect->class));
	memcpy(expect->site, death->site, sizeof(expect->site));
}

bool child_ended(struct child *child, bool block, struct death *death)
{
	int status, got;

	do
		got = waitpid(child->pid, &status, block ? 0 : WNOHANG);
	while (got < 0 && errno == EINTR);
	if (!got)
		return false;
	ASSERT(got == child->pid);
	*death = (struct death){ .died = !WIFEXITED(status) || WEXITSTATUS(status) };
	read_report(child, &death->report);
	if (death->died)
		classify(death, status);
	return true;
}
