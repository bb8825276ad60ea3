/* Reading reproducers, and finding them. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz/cli/cli.h"

/* The rows whose tables have the width that a text was made for. */
static void print_fitting_rows(u32 bits)
{
	static const struct {
		const char *name, *backend;
		u32 bits;
	} rows[] = {
#define CONFIG(id, name, backend, compiler, sanitizers, engine, bits) { name, backend, bits },
#include "fuzz/configs.def"
#undef CONFIG
	};
	u32 found = 0;

	for (u32 i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].bits == bits && !strcmp(rows[i].backend, "fiber"))
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
