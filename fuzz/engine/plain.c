/*
 * Runs the inputs named on the command line, without an engine: for regression runs, and to see an
 * artifact fail in a build that the engine does not exist for. Folders stand for their files.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/types.h"

int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));
int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static int run_path(const char *path);

static int run_folder(const char *path)
{
	struct dirent **entries;
	int nr = scandir(path, &entries, NULL, alphasort), failed = 0;

	if (nr < 0) {
		fprintf(stderr, "%s: cannot be read\n", path);
		return 1;
	}
	for (int i = 0; i < nr; i++) {
		char inner[4096];

		snprintf(inner, sizeof(inner), "%s/%s", path, entries[i]->d_name);
		if (entries[i]->d_name[0] != '.')
			failed |= run_path(inner);
		free(entries[i]);
	}
	free(entries);
	return failed;
}

static int run_file(const char *path, size_t size)
{
	FILE *file = fopen(path, "rb");
	/* Exactly the input's size: a read beyond the end is caught. */
	u8 *data = malloc(size ? size : 1);
	int failed = 1;

	if (!file || !data || fread(data, 1, size, file) != size) {
		fprintf(stderr, "%s: cannot be read\n", path);
	} else {
		LLVMFuzzerTestOneInput(data, size);
		failed = 0;
	}
	if (file)
		fclose(file);
	free(data);
	return failed;
}

static int run_path(const char *path)
{
	struct stat status;

	if (stat(path, &status)) {
		fprintf(stderr, "%s: no such file\n", path);
		return 1;
	}
	if (S_ISDIR(status.st_mode))
		return run_folder(path);
	/* A pipe would wait for somebody to write. */
	if (!S_ISREG(status.st_mode)) {
		fprintf(stderr, "%s: expected a file or a folder, found something else\n", path);
		return 1;
	}
	return run_file(path, (size_t)status.st_size);
}

int main(int argc, char **argv)
{
	int failed = 0, nr = 0;

	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	for (int i = 1; i < argc; i++) {
		if (argv[i][0] == '-')
			continue; /* options of engines mean nothing here */
		failed |= run_path(argv[i]);
		nr++;
	}
	if (!nr) {
		fprintf(stderr, "usage: %s FILE|FOLDER...\n", argv[0]);
		return 1;
	}
	return failed;
}
