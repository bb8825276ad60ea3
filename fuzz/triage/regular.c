/* Reading what others have left under a name: whatever lies there, it is bounded and never waited for. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz/triage/triage.h"

static const char *kind_name(mode_t mode)
{
	if (S_ISDIR(mode))
		return "a directory";
	if (S_ISFIFO(mode))
		return "a FIFO";
	return S_ISSOCK(mode) ? "a socket" : "a device";
}

static bool is_fine(const struct stat *status, const char *path)
{
	if (!S_ISREG(status->st_mode))
		fprintf(stderr, "%s: expected a regular file, found %s\n", path,
			kind_name(status->st_mode));
	else if (status->st_size > ARTIFACT_BYTES_MAX)
		fprintf(stderr, "%s: expected at most %u bytes, found %lld: no input is as large\n",
			path, ARTIFACT_BYTES_MAX, (long long)status->st_size);
	else
		return true;
	return false;
}

static bool read_to_end(struct buf *bytes, int fd, const char *path)
{
	char chunk[4096];
	ssize_t got;

	do {
		got = read(fd, chunk, sizeof(chunk));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			fprintf(stderr, "%s: cannot be read: %s\n", path, strerror(errno));
		else
			buf_append(bytes, chunk, (size_t)got);
	} while (got > 0 || (got < 0 && errno == EINTR));
	return !got;
}

bool artifact_read(struct buf *bytes, const char *path)
{
	/* A FIFO that nobody writes to must not keep us waiting. */
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat status;
	bool ok = false;

	if (fd < 0 || fstat(fd, &status))
		fprintf(stderr, "%s: cannot be read: %s\n", path, strerror(errno));
	else
		ok = is_fine(&status, path) && read_to_end(bytes, fd, path);
	if (fd >= 0)
		close(fd);
	return ok;
}
