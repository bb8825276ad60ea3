/*
 * Where it happened, by the report that a process has died of: what makes two reports one finding, besides their kind.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "fuzz/fuzz.h"

#define SITES_MAX 2u

/*
 * A line of a stack: "    #2 function file:line" or "    #2 0xaddress in function file:line". Return: whether it is one
 * of the code under test or its world, with the name filled in.
 */
static bool frame_of(const char *line, size_t size, char *name, size_t room)
{
	char text[512], function[64], place[256];
	u32 nr;

	snprintf(text, sizeof(text), "%.*s", (int)min_u64(size, sizeof(text) - 1), line);
	if (sscanf(text, " #%u 0x%*x in %63s %255s", &nr, function, place) != 3 &&
	    sscanf(text, " #%u %63s %255s", &nr, function, place) != 3)
		return false;
	if (!strstr(place, "src/") || strstr(place, "src/kern/"))
		return false;
	snprintf(name, room, "%s", function);
	return true;
}

static bool is_frame(const char *line)
{
	while (*line == ' ' || *line == '\t')
		line++;
	return line[0] == '#' && isdigit((unsigned char)line[1]);
}

/*
 * Whether what follows is about the memory, the locks and the threads of the report: stacks of who made them, which
 * are all alike. They count for nothing even if a stack in front of them could not be restored.
 */
static bool is_epilogue(const char *line, size_t size)
{
	static const char *const words[] = { " created by ", " created at:", "  Location is ",
					     "  Thread " };
	char text[256];

	snprintf(text, sizeof(text), "%.*s", (int)min_u64(size, sizeof(text) - 1), line);
	for (u32 i = 0; i < ARRAY_SIZE(words); i++) {
		const char *at = strstr(text, words[i]);

		if (at && (words[i][1] != ' ' || at == text))
			return true;
	}
	return false;
}

/* The first frame of each stack that is of interest: where the two accesses, or use and free, were. */
void report_sites(const char *report, char sites[2][SITE_TEXT_MAX])
{
	char swapped[SITE_TEXT_MAX];
	bool named = false; /* this stack has been: the rest says how it got there */
	u32 nr = 0;

	sites[0][0] = sites[1][0] = 0;
	while (*report && nr < SITES_MAX) {
		size_t size = strcspn(report, "\n");

		if (is_epilogue(report, size))
			break;
		if (!is_frame(report)) {
			named = false;
		} else if (!named && frame_of(report, size, sites[nr], sizeof(sites[nr]))) {
			named = true;
			nr++;
		}
		report += size + (report[size] == '\n');
	}
	/* Which of two threads was first is chance. */
	if (nr < SITES_MAX || strcmp(sites[0], sites[1]) <= 0)
		return;
	memcpy(swapped, sites[0], sizeof(swapped));
	memcpy(sites[0], sites[1], sizeof(swapped));
	memcpy(sites[1], swapped, sizeof(swapped));
}

void signature_print(struct buf *buf, const struct expectation *expect, enum bug_id bug)
{
	buf_printf(buf, "%s%s%s", expect->oracle, expect->class[0] ? " " : "", expect->class);
	if (expect->site[0][0] || expect->site[1][0])
		buf_printf(buf, " %s", expect->site[0][0] ? expect->site[0] : "-");
	if (expect->site[1][0])
		buf_printf(buf, " / %s", expect->site[1]);
	if (bug != BUG_none)
		buf_printf(buf, " bug %s", bug_rows[bug].slug);
}
