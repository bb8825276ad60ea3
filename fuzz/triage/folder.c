/*
 * Folders with several files that are there as a whole or not at all, whatever ends this process, and however full the
 * disk is.
 *
 * A new folder is written beside its place under a hidden name and renamed into it. An update is written the same way and
 * renamed to .update in the folder: from there on it has happened, and whoever comes next completes it, file by file.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz/triage/triage.h"

#define STAGED	 ".new."
#define UPDATE	 "/.update"
#define OPEN_FDS 8

static int remove_entry(const char *path, const struct stat *status, int flag, struct FTW *ftw)
{
	return remove(path);
}

void folder_remove(const char *path)
{
	nftw(path, remove_entry, OPEN_FDS, FTW_DEPTH | FTW_PHYS);
}

void folder_hidden(struct buf *path, const char *parent, const char *suffix)
{
	buf_printf(path, "%s/" STAGED "%d%s", parent, (int)getpid(), suffix);
}

static void parent_of(struct buf *parent, const char *path)
{
	const char *slash = strrchr(path, '/');

	buf_append(parent, slash ? path : ".", slash ? (size_t)(slash - path) : 1);
}

/* Writes the files into a folder of ours in @parent. Return: false after an error message. */
static bool stage(struct buf *staged, const char *parent, const struct folder_file *files, u32 nr)
{
	bool ok;

	folder_hidden(staged, parent, "");
	folder_remove(buf_text(staged));
	ok = !mkdir(buf_text(staged), 0777);
	if (!ok)
		fprintf(stderr, "%s: cannot be created: %s\n", buf_text(staged), strerror(errno));
	for (u32 i = 0; ok && i < nr; i++) {
		struct buf path = { 0 };

		buf_printf(&path, "%s/%s", buf_text(staged), files[i].name);
		ok = file_write(buf_text(&path), buf_text(files[i].content),
				files[i].content->size);
		buf_free(&path);
	}
	if (!ok)
		folder_remove(buf_text(staged));
	return ok;
}

bool folder_create(const char *path, const struct folder_file *files, u32 nr, bool *taken)
{
	struct buf staged = { 0 }, parent = { 0 };
	bool done;

	*taken = false;
	parent_of(&parent, path);
	done = stage(&staged, buf_text(&parent), files, nr);
	if (done && rename(buf_text(&staged), path)) {
		done = false;
		*taken = errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR;
		if (!*taken)
			fprintf(stderr, "%s: cannot be created: %s\n", path, strerror(errno));
		folder_remove(buf_text(&staged));
	}
	buf_free(&staged);
	buf_free(&parent);
	return done;
}

/* Moves what lies in @path/.update to its place. Return: false after an error message; it is still there then. */
static bool complete(const char *path)
{
	struct buf update = { 0 };
	struct dirent *entry;
	bool ok = true;
	DIR *dir;

	buf_printf(&update, "%s" UPDATE, path);
	dir = opendir(buf_text(&update));
	while (dir && (entry = readdir(dir))) {
		struct buf from = { 0 }, to = { 0 };

		if (entry->d_name[0] == '.')
			continue;
		buf_printf(&from, "%s/%s", buf_text(&update), entry->d_name);
		buf_printf(&to, "%s/%s", path, entry->d_name);
		/* Whoever was at it at the same time has done it. */
		if (rename(buf_text(&from), buf_text(&to)) && errno != ENOENT) {
			fprintf(stderr, "%s: cannot be replaced: %s\n", buf_text(&to),
				strerror(errno));
			ok = false;
		}
		buf_free(&from);
		buf_free(&to);
	}
	if (dir)
		closedir(dir);
	if (ok)
		rmdir(buf_text(&update));
	buf_free(&update);
	return ok;
}

bool folder_update(const char *path, const struct folder_file *files, u32 nr)
{
	struct buf staged = { 0 }, update = { 0 }, parent = { 0 };
	bool ok;

	/* Beside the folder: in it, something half-written would be seen. */
	parent_of(&parent, path);
	buf_printf(&update, "%s" UPDATE, path);
	ok = stage(&staged, buf_text(&parent), files, nr);
	if (ok && rename(buf_text(&staged), buf_text(&update))) {
		fprintf(stderr, "%s: cannot be created: %s\n", buf_text(&update), strerror(errno));
		folder_remove(buf_text(&staged));
		ok = false;
	}
	ok = ok && complete(path);
	buf_free(&staged);
	buf_free(&update);
	buf_free(&parent);
	return ok;
}

/* One that has ended but whom nobody has waited for writes no more. */
static bool is_zombie(long pid)
{
	char path[64], state = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	file = fopen(path, "r");
	if (!file)
		return false;
	if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
		state = 0;
	fclose(file);
	return state == 'Z' || state == 'X';
}

/* Whether a process of that number, which @digits begins with, is no more. */
static bool is_dead(const char *digits)
{
	char *end;
	long pid = strtol(digits, &end, 10);

	if (end == digits || pid <= 0)
		return false;
	return kill((pid_t)pid, 0) ? errno == ESRCH : is_zombie(pid);
}

/* "<something>.<pid>.tmp", as file_write() names what it writes. */
static bool is_dead_temporary(const char *name)
{
	size_t size = strlen(name);
	const char *at = name + size - strlen(".tmp");

	if (size < strlen(".1.tmp") || strcmp(at, ".tmp"))
		return false;
	while (at > name && at[-1] >= '0' && at[-1] <= '9')
		at--;
	return at > name && at[-1] == '.' && is_dead(at);
}

/* What is staged, and what folder_probe() has tried the folder with. */
static bool is_dead_stage(const char *name)
{
	static const char *const starts[] = { STAGED, ".probe." };

	for (u32 i = 0; i < ARRAY_SIZE(starts); i++)
		if (!strncmp(name, starts[i], strlen(starts[i])) &&
		    is_dead(name + strlen(starts[i])))
			return true;
	return false;
}

static void remove_named(const char *folder, bool (*is_one)(const char *name))
{
	struct dirent *entry;
	DIR *dir = opendir(folder);

	while (dir && (entry = readdir(dir))) {
		struct buf path = { 0 };

		buf_printf(&path, "%s/%s", folder, entry->d_name);
		if (is_one(entry->d_name))
			folder_remove(buf_text(&path));
		buf_free(&path);
	}
	if (dir)
		closedir(dir);
}

void folder_recover(const char *path)
{
	complete(path);
	remove_named(path, is_dead_temporary);
}

void folder_sweep(const char *parent)
{
	remove_named(parent, is_dead_stage);
}
