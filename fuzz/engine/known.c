/*
 * Findings that are known well enough. libFuzzer ends at the first failing input, and reads its corpus again when it is
 * started anew: a bug that every other input hits would take all of its time. So whoever starts it again hands over
 * what was found often; a schedule that shows it is given up, and the input is no input for the corpus.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "fuzz/engine/engine.h"

#define KNOWN_MAX 256

static struct known {
	u64 number, met;
} known[KNOWN_MAX];
static u32 nr_known;
static u64 total; /* of met */

void known_load(const char *path)
{
	FILE *file = fopen(path, "r");
	char line[1024];

	while (file && nr_known < KNOWN_MAX && fgets(line, sizeof(line), file)) {
		char *end;

		errno = 0;
		known[nr_known].number = strtoull(line, &end, 16);
		if (errno || end == line || (*end && *end != ' ' && *end != '\n')) {
			fprintf(stderr,
				"mmurace: MMURACE_KNOWN: %s: expected a number, found '%s'\n", path,
				line);
			exit(EXIT_USAGE);
		}
		nr_known++;
	}
	if (!file) {
		fprintf(stderr, "mmurace: MMURACE_KNOWN: %s: cannot be read\n", path);
		exit(EXIT_USAGE);
	}
	fclose(file);
}

u64 known_number(const struct verdict *verdict)
{
	u64 hash = hash_text(HASH_SEED, oracle_rows[verdict->oracle].name);

	hash = hash_text(hash_u64(hash, 0), verdict->class);
	for (u32 i = 0; i < 2; i++)
		hash = hash_u64(hash, verdict->site[i] ? verdict->site[i]->hash : 0);
	return hash;
}

u64 known_met(void)
{
	return total;
}

bool known_meets(u64 number)
{
	for (u32 i = 0; i < nr_known; i++)
		if (known[i].number == number) {
			known[i].met++;
			total++;
			return true;
		}
	return false;
}

void known_report(void)
{
	for (u32 i = 0; i < nr_known; i++)
		if (known[i].met)
			fprintf(stderr, "mmurace: finding %016llx: met %llu times more\n",
				(unsigned long long)known[i].number,
				(unsigned long long)known[i].met);
}
