/* Files: reading reproducers, writing results so that nothing is lost or half there. */
#include "fuzz/cli/cli.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"

bool file_read(struct buf *buf, const char *path)
{
	FILE *file = fopen(path, "rb");
	char chunk[4096];
	size_t got;
	bool ok;

	if (!file) {
		fprintf(stderr, "%s: cannot be read: %s\n", path, strerror(errno));
		return false;
	}
	while ((got = fread(chunk, 1, sizeof(chunk), file)) > 0)
		buf_append(buf, chunk, got);
	ok = !ferror(file);
	if (!ok)
		fprintf(stderr, "%s: cannot be read: %s\n", path, strerror(errno));
	fclose(file);
	return ok;
}

/* The rows whose tables have the width that a text was made for. */
static void print_fitting_rows(u32 bits)
{
	static const struct {
		const char *name;
		u32 bits;
	} rows[] = {
#define CONFIG(id, name, compiler, sanitizers, engine, bits) { name, bits },
#include "fuzz/configs.def"
#undef CONFIG
	};
	u32 found = 0;

	for (u32 i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].bits == bits)
			fprintf(stderr, "%s%s", found++ ? ", " : "; rows that fit: ", rows[i].name);
	fprintf(stderr, "%s\n", found ? "" : "; no configuration fits");
}

/* Verdicts that no oracle gives. */
static const char *const other_verdicts[] = { "none", "unfinished", "sanitizer", "framework" };

static bool is_verdict(const char *word)
{
	for (u32 i = 0; i < ORACLE_COUNT; i++)
		if (!strcmp(oracle_rows[i].name, word))
			return true;
	for (u32 i = 0; i < ARRAY_SIZE(other_verdicts); i++)
		if (!strcmp(other_verdicts[i], word))
			return true;
	return !*word;
}

/* A name that is no verdict can never come out: it is a slip, not another result. */
static bool check_expected(const struct repro *repro, const char *path)
{
	const char *names[ORACLE_COUNT + ARRAY_SIZE(other_verdicts)], *near;
	const char *word = repro->expect.oracle;
	u32 nr = 0;

	if (is_verdict(word))
		return true;
	for (u32 i = 0; i < ARRAY_SIZE(other_verdicts); i++)
		names[nr++] = other_verdicts[i];
	for (u32 i = 0; i < ORACLE_COUNT; i++)
		names[nr++] = oracle_rows[i].name;
	near = word_nearest(word, strlen(word), names, nr);
	fprintf(stderr,
		"%s: expected an oracle ('mmurace list oracles') or none, found '%s'%s%s%s\n", path,
		word, near ? ". Did you mean: " : "", near ? near : "", near ? "?" : "");
	return false;
}

static bool check_words(const struct repro *repro, const char *path)
{
	const char *strategy = repro->schedule.strategy;

	if (repro->program.world.geometry != PT_INDEX_BITS) {
		fprintf(stderr, "%s: expected geometry %u, which %s has, found %u", path,
			PT_INDEX_BITS, CONFIG_NAME, repro->program.world.geometry);
		print_fitting_rows(repro->program.world.geometry);
		return false;
	}
	if (*strategy && !strategy_by_name(strategy)) {
		fprintf(stderr, "%s: expected a strategy ('mmurace list strategies'), found '%s'\n",
			path, strategy);
		return false;
	}
	return check_expected(repro, path);
}

bool repro_load(struct repro *repro, const char *path)
{
	struct text_error error = { 0 };
	struct buf text = { 0 };
	bool ok = file_read(&text, path);

	if (!ok)
		return false;
	ok = repro_parse(repro, buf_text(&text), text.size, &error);
	if (!ok)
		fprintf(stderr, "%s:%u:%u: %s\n", path, error.line, error.column, error.message);
	buf_free(&text);
	return ok && check_words(repro, path);
}

static bool write_all(int fd, const char *data, size_t size)
{
	while (size) {
		ssize_t put = write(fd, data, size);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return false;
		data += put;
		size -= (size_t)put;
	}
	return !fsync(fd) || errno == EINVAL || errno == EROFS;
}

/* Return: whether there is something at @path that is no regular file: a device, a pipe. */
static bool is_special(const char *path)
{
	struct stat status;

	return !stat(path, &status) && !S_ISREG(status.st_mode);
}

static bool special_write(const char *path, const void *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write_all(fd, data, size);

	if (!ok)
		fprintf(stderr, "%s: cannot be written: %s\n", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return ok;
}

bool file_write(const char *given, const void *data, size_t size)
{
	char temporary[PATH_MAX + 32], real[PATH_MAX];
	/* What a link leads to is replaced, not the link; a device or a pipe is written, not replaced. */
	const char *path = realpath(given, real) ? real : given;
	int fd;
	bool ok;

	if (is_special(path))
		return special_write(path, data, size);
	snprintf(temporary, sizeof(temporary), "%s.%d.tmp", path, (int)getpid());
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	ok = fd >= 0 && write_all(fd, data, size);
	if (fd >= 0 && close(fd))
		ok = false;
	if (ok && rename(temporary, path))
		ok = false;
	if (!ok) {
		fprintf(stderr, "%s: cannot be written: %s\n", path, strerror(errno));
		unlink(temporary);
	}
	return ok;
}

/* Creates a file with some content where results will go, and removes it again. */
static void probe(const char *path)
{
	static const char content[4096] = "probe";
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	bool ok = fd >= 0 && write_all(fd, content, sizeof(content));
	int error = errno;

	if (fd >= 0) {
		close(fd);
		unlink(path);
	}
	if (!ok)
		usage_error("%s: expected a place that can be written, found: %s", path,
			    strerror(error));
}

void folder_probe(const char *path)
{
	char name[4096];

	if (mkdir(path, 0777) && errno != EEXIST)
		usage_error("%s: cannot be created: %s", path, strerror(errno));
	snprintf(name, sizeof(name), "%s/.probe.%d", path, (int)getpid());
	probe(name);
}

void file_probe(const char *path)
{
	char name[4096];

	if (is_special(path))
		return;
	snprintf(name, sizeof(name), "%s.%d.probe", path, (int)getpid());
	probe(name);
}

static int is_repro(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return len > 6 && !strcmp(entry->d_name + len - 6, ".repro");
}

bool repro_paths(char **paths, u32 *nr, u32 room, const char *path)
{
	struct dirent **entries;
	struct stat status;
	int count;

	if (stat(path, &status)) {
		fprintf(stderr, "%s: cannot be read: %s\n", path, strerror(errno));
		return false;
	}
	if (!S_ISDIR(status.st_mode)) {
		if (*nr < room)
			paths[(*nr)++] = strdup(path);
		return true;
	}
	count = scandir(path, &entries, is_repro, alphasort);
	if (count <= 0) {
		fprintf(stderr, "%s: expected files named *.repro, found none\n", path);
		return false;
	}
	for (int i = 0; i < count; i++) {
		char name[4096];

		snprintf(name, sizeof(name), "%s%s%s", path,
			 path[strlen(path) - 1] == '/' ? "" : "/", entries[i]->d_name);
		if (*nr < room)
			paths[(*nr)++] = strdup(name);
		free(entries[i]);
	}
	free(entries);
	return true;
}

const char *reproducers_folder(const char *given)
{
	static char path[4096];
	ssize_t len;

	if (given)
		return given;
	if (!access("reproducers", R_OK))
		return "reproducers";
	/* The binary is out/<row>/bin/mmurace. */
	len = readlink("/proc/self/exe", path, sizeof(path) - 32);
	if (len < 0)
		return NULL;
	path[len] = 0;
	for (u32 up = 0; up < 4; up++) {
		char *slash = strrchr(path, '/');

		if (!slash)
			return NULL;
		*slash = 0;
	}
	strncat(path, "/reproducers", sizeof(path) - strlen(path) - 1);
	return access(path, R_OK) ? NULL : path;
}

void finding_name(struct buf *buf, const struct repro *repro)
{
	const struct expectation *expect = &repro->expect;
	u64 hash = hash_text(HASH_SEED, repro->target);

	hash = hash_text(hash_u64(hash, repro->bug), expect->oracle);
	hash = hash_text(hash_u64(hash, 1), expect->class);
	hash = hash_text(hash_u64(hash, 2), expect->site[0]);
	hash = hash_text(hash_u64(hash, 3), expect->site[1]);
	buf_printf(buf, "%s-%s-%08llx", expect->oracle, expect->class[0] ? expect->class : "any",
		   (unsigned long long)(hash >> 32));
}

bool finding_save(struct repro *repro, const char *folder, struct buf *path)
{
	struct buf text = { 0 };
	bool ok;

	buf_clear(path);
	buf_printf(path, "%s/", folder);
	finding_name(path, repro);
	buf_printf(path, ".repro");
	repro_print(&text, repro);
	ok = file_write(buf_text(path), buf_text(&text), text.size);
	/* A finding is worth more than a tidy terminal. */
	if (!ok)
		fprintf(stderr, "%s\n", buf_text(&text));
	buf_free(&text);
	return ok;
}
