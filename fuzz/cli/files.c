/* Files: writing results so that nothing is lost or half there. */
#include "fuzz/cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"

/* More than any text has. A device may have no end. */
#define TEXT_BYTES_MAX (1u << 20)

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
	while (buf->size <= TEXT_BYTES_MAX && (got = fread(chunk, 1, sizeof(chunk), file)) > 0)
		buf_append(buf, chunk, got);
	ok = !ferror(file) && buf->size <= TEXT_BYTES_MAX;
	if (buf->size > TEXT_BYTES_MAX)
		fprintf(stderr, "%s: expected at most %u bytes, found more: no text is as large\n",
			path, TEXT_BYTES_MAX);
	else if (!ok)
		fprintf(stderr, "%s: cannot be read: %s\n", path, strerror(errno));
	fclose(file);
	return ok;
}

void word_print(struct buf *buf, const char *word)
{
	if (*word && !word[strcspn(word, " \t\n'\"\\$`&;|<>()*?[]#~!{}")]) {
		buf_printf(buf, "%s", word);
		return;
	}
	buf_printf(buf, "'");
	for (; *word; word++)
		buf_printf(buf, *word == '\'' ? "'\\''" : "%c", *word);
	buf_printf(buf, "'");
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

static void finding_name(struct buf *buf, const struct repro *repro)
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
