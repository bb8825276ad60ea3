/*
 * What becomes of a finding: it is on disk before anything else is tried; then it is run again, for how often its
 * program shows it; then schedules of its program are searched for one that shows the same, or anything, every time.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/hash.h"
#include "fuzz/stress/stress.h"
#include "fuzz/triage/triage.h"

/* Programs that hang are not waited for as often. */
#define RUNS_SECONDS 60.0

static void fill_repro(const struct stress *stress, const struct stress_finding *finding,
		       struct repro *repro)
{
	const struct stress_outcome *outcome = &finding->outcome;

	memset(repro, 0, sizeof(*repro));
	stress_draw(stress, finding->program, &repro->program);
	snprintf(repro->target, sizeof(repro->target), "%s", stress->target->name);
	repro->bug = stress->bug;
	snprintf(repro->expect.oracle, sizeof(repro->expect.oracle), "%s", outcome->oracle);
	snprintf(repro->expect.class, sizeof(repro->expect.class), "%s", outcome->class);
	memcpy(repro->expect.site, outcome->site, sizeof(repro->expect.site));
	snprintf(repro->why, sizeof(repro->why),
		 "found by stress on threads, where no schedule can be told");
}

/* Everything that the folder holds. Context: the parent. */
static struct book *open_book(const struct stress *stress)
{
	static struct book book;

	if (!book.folder)
		book_open(&book, stress->folder);
	return &book;
}

static void print_signature(struct buf *buf, const struct stress *stress,
			    const struct stress_finding *finding)
{
	buf_printf(buf, "%s", finding->outcome.signature);
	if (stress->bug != BUG_none)
		buf_printf(buf, " bug %s", bug_rows[stress->bug].slug);
}

/* Programs are what artifacts are elsewhere: each counts once. */
static void print_name(struct buf *name, const struct repro *repro)
{
	struct buf text = { 0 };

	repro_print(&text, repro);
	buf_printf(name, "program-%016llx",
		   (unsigned long long)hash_text(HASH_SEED, buf_text(&text)));
	buf_free(&text);
}

static struct known_finding *add(const struct stress *stress, const struct stress_finding *finding,
				 const struct repro *repro, const char *signature,
				 const char *report)
{
	static const struct origin here;
	struct known_finding *known;
	struct buf explanation = { 0 }, name = { 0 };
	cJSON *meta = meta_create(&here, repro, &repro->expect, signature);

	print_name(&name, repro);
	meta_add_artifact(meta, buf_text(&name));
	buf_printf(&explanation, "%s\nprogram %llu of seed %llu, %s\n\n%s", finding->outcome.text,
		   (unsigned long long)finding->program, (unsigned long long)stress->seed,
		   CONFIG_NAME, report);
	known = book_add(open_book(stress), repro, meta, &explanation);
	buf_free(&explanation);
	buf_free(&name);
	return known;
}

static void count_known(struct known_finding *known, const struct repro *repro)
{
	struct buf name = { 0 };

	print_name(&name, repro);
	if (known->meta && meta_add_artifact(known->meta, buf_text(&name)))
		known->changed = true;
	book_write(known);
	buf_free(&name);
}

void stress_save(const struct stress *stress, struct stress_finding *finding, const char *report)
{
	static struct repro repro;
	struct buf signature = { 0 };
	struct known_finding *known;

	fill_repro(stress, finding, &repro);
	print_signature(&signature, stress, finding);
	known = book_find(open_book(stress), buf_text(&signature));
	if (known)
		count_known(known, &repro);
	else
		known = add(stress, finding, &repro, buf_text(&signature), report);
	finding->known = known && !known->is_new;
	if (known)
		snprintf(finding->path, sizeof(finding->path), "%s/finding.repro", known->path);
	buf_free(&signature);
}

static void run_again(const struct stress *stress, struct stress_finding *finding)
{
	static struct program program;
	double deadline = seconds_now() + RUNS_SECONDS;

	stress_draw(stress, finding->program, &program);
	for (u32 i = 0; i < stress->runs && !stress_interrupted() && seconds_now() < deadline;
	     i++) {
		struct stress_outcome outcome;

		stress_run_isolated(stress, &program, hash_u64(stress->seed, i), &outcome);
		finding->runs++;
		finding->failed += outcome.kind != STRESS_CLEAN &&
				   !strcmp(outcome.signature, finding->outcome.signature);
	}
}

/* Reads until the tool has closed its end. What ends this process early ends the tool as well, and cleanly. */
static void hear_out(int fd, pid_t pid, struct buf *output)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	char chunk[4096];
	ssize_t got = 1;

	while (got > 0) {
		/* A signal may have come just before: so not for ever. */
		if (poll(&wait, 1, 100) > 0) {
			got = read(fd, chunk, sizeof(chunk));
			buf_append(output, chunk, got > 0 ? (size_t)got : 0);
		}
		/* Again and again: the first may come before the tool can hear it. */
		if (stress_interrupted())
			kill(pid, SIGINT);
	}
}

/* Runs the tool. Return: its exit code, -1 when it could not be run; what it printed goes to @output. */
static int run_tool(char *const *words, struct buf *output)
{
	int pipes[2], status = 0, pid, got;

	if (pipe2(pipes, O_CLOEXEC))
		return -1;
	fflush(stdout);
	fflush(stderr);
	pid = fork();
	if (!pid) {
		/* A terminal would interrupt both: the parent passes it on. */
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		dup2(pipes[1], STDOUT_FILENO);
		dup2(pipes[1], STDERR_FILENO);
		execv(words[0], words);
		_exit(127);
	}
	close(pipes[1]);
	if (pid > 0)
		hear_out(pipes[0], pid, output);
	close(pipes[0]);
	do
		got = pid < 0 ? pid : waitpid(pid, &status, 0);
	while (pid > 0 && got < 0 && errno == EINTR);
	return got == pid && pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Copies the last line that says something. */
static void last_line(const char *text, char *line, size_t room)
{
	while (*text) {
		size_t size = strcspn(text, "\n");

		if (size)
			snprintf(line, room, "%.*s", (int)size, text);
		text += size + (text[size] == '\n');
	}
}

static void say_why(const struct buf *output, const char *row, struct stress_finding *finding)
{
	char line[200] = "it says nothing";

	last_line(buf_text(output), line, sizeof(line));
	snprintf(finding->why_not, sizeof(finding->why_not),
		 "%s cannot search it (fewer --threads may help): %s", row, line);
}

/* "  saved PATH (N ops, ...)": the last one, which is converted and small. */
static bool saved_path(const char *text, char *path, size_t room)
{
	static const char mark[] = "saved ";
	bool found = false;

	for (const char *at = text; (at = strstr(at, mark)); found = true) {
		at += strlen(mark);
		snprintf(path, room, "%.*s", (int)strcspn(at, "\n"), at);
		if (strrchr(path, '('))
			strrchr(path, '(')[-1] = 0;
	}
	return found;
}

static struct known_finding *known_of(const struct stress *stress,
				      const struct stress_finding *finding)
{
	struct buf signature = { 0 };
	struct known_finding *known;

	print_signature(&signature, stress, finding);
	known = book_find(open_book(stress), buf_text(&signature));
	buf_free(&signature);
	return known;
}

/* The text with a schedule, at @saved, becomes the finding's; that of the program stays beside it. */
static void take_reproducer(const struct stress *stress, struct stress_finding *finding,
			    const char *row, const char *saved)
{
	static struct repro repro;
	struct known_finding *known = known_of(stress, finding);
	struct buf program = { 0 }, text = { 0 }, content = { 0 };
	const struct folder_file files[] = { { "program.repro", &program },
					     { "finding.repro", &text },
					     { "meta.json", &content } };
	struct text_error error;

	if (known && known->meta && artifact_read(&program, finding->path) &&
	    artifact_read(&text, saved) &&
	    repro_parse(&repro, buf_text(&text), text.size, &error)) {
		meta_set(known->meta, "config", cJSON_CreateString(row));
		meta_set(known->meta, "minimised", cJSON_CreateBool(!repro.schedule.strategy[0]));
		meta_set_repro(known->meta, &repro, &text);
		meta_set_replay(known->meta, known->path);
		meta_print(&content, known->meta);
		if (folder_update(known->path, files, ARRAY_SIZE(files))) {
			memcpy(finding->reproducer, finding->path, sizeof(finding->reproducer));
			finding->row = row;
		} else {
			fprintf(stderr, "%s\n", buf_text(&text));
		}
	}
	buf_free(&program);
	buf_free(&text);
	buf_free(&content);
}

/* Return: whether the tool of that configuration is built; it then has tried, or says why it could not. */
static bool search_with(const struct stress *stress, struct stress_finding *finding,
			const char *row)
{
	char seconds[32], binary[1100], saved[1200];
	struct buf folder = { 0 };
	char *words[] = { (char *)stress->tool, "search", finding->path, "--config", (char *)row,
			  "--seconds",		seconds,  "--save",	 NULL,	     NULL };
	struct buf output = { 0 };
	int code;

	snprintf(binary, sizeof(binary), "%.*s/../%s/bin/mmurace",
		 (int)(strrchr(stress->tool, '/') - stress->tool), stress->tool, row);
	if (access(binary, X_OK))
		return false;
	snprintf(seconds, sizeof(seconds), "%.3f", stress->search_seconds);
	folder_hidden(&folder, stress->folder, ".search");
	words[ARRAY_SIZE(words) - 2] = folder.data;
	code = run_tool(words, &output);
	if (code >= EXIT_SAFETY && code <= EXIT_SANITIZER &&
	    saved_path(buf_text(&output), saved, sizeof(saved)))
		take_reproducer(stress, finding, row, saved);
	else if (code == EXIT_EXPECTED)
		snprintf(finding->why_not, sizeof(finding->why_not),
			 "no schedule that %s tried in %.0f seconds fails", row,
			 stress->search_seconds);
	else if (stress_interrupted())
		snprintf(finding->why_not, sizeof(finding->why_not), "interrupted");
	else
		say_why(&output, row, finding);
	folder_remove(buf_text(&folder));
	buf_free(&folder);
	buf_free(&output);
	return true;
}

/* Rows that see what this one has seen come first. */
static void search_schedule(const struct stress *stress, struct stress_finding *finding)
{
	static const char *const narrow[] = { "fiber-tsan", "fiber-asan", "fiber-plain" };
	static const char *const wide[] = { "fiber-asan-9", "fiber-plain-9" };
	const char *const *rows = PT_INDEX_BITS == 3 ? narrow : wide;
	u32 nr = PT_INDEX_BITS == 3 ? ARRAY_SIZE(narrow) : ARRAY_SIZE(wide);
	bool tried = false;

	for (u32 i = 0; i < nr && !finding->reproducer[0] && !stress_interrupted(); i++) {
		if ((strstr(rows[i], "tsan") && !CONFIG_TSAN) ||
		    (strstr(rows[i], "asan") && !CONFIG_ASAN))
			continue;
		tried |= search_with(stress, finding, rows[i]);
	}
	if (!tried)
		snprintf(finding->why_not, sizeof(finding->why_not),
			 "nothing is built that could search: ./build.sh build %s", rows[nr - 1]);
}

static void try_search(const struct stress *stress, struct stress_finding *finding)
{
	if (stress_interrupted())
		snprintf(finding->why_not, sizeof(finding->why_not), "interrupted");
	else if (finding->known)
		snprintf(finding->why_not, sizeof(finding->why_not),
			 "it was known before, and is only counted");
	else if (!(stress->search_seconds > 0))
		snprintf(finding->why_not, sizeof(finding->why_not), "not searched for");
	else if (!finding->path[0])
		snprintf(finding->why_not, sizeof(finding->why_not), "its program was not written");
	else if (access(stress->tool, X_OK))
		snprintf(finding->why_not, sizeof(finding->why_not),
			 "%s is not there: ./build.sh build fiber-plain", stress->tool);
	else
		search_schedule(stress, finding);
}

void stress_follow(const struct stress *stress, struct stress_finding *finding)
{
	struct known_finding *known = known_of(stress, finding);

	run_again(stress, finding);
	if (known && known->meta && !finding->known) {
		meta_set(known->meta, "failed", cJSON_CreateNumber(finding->failed));
		meta_set(known->meta, "runs", cJSON_CreateNumber(finding->runs));
		known->changed = true;
		book_write(known);
	}
	try_search(stress, finding);
}
