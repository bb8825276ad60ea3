/* What a dead child has died of, and whether two have died of the same. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "fuzz/stress/stress.h"

#define FRAMES_NAMED 2u

struct frames {
	u32 nr;
	char names[FRAMES_NAMED][64];
};

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
static void collect(struct frames *frames, const char *report)
{
	bool named = false; /* this stack has been: the rest says how it got there */

	while (*report && frames->nr < FRAMES_NAMED) {
		size_t size = strcspn(report, "\n");

		if (is_epilogue(report, size))
			return;
		if (!is_frame(report)) {
			named = false;
		} else if (!named && frame_of(report, size, frames->names[frames->nr],
					      sizeof(frames->names[0]))) {
			named = true;
			frames->nr++;
		}
		report += size + (report[size] == '\n');
	}
}

void stress_outcome_of_death(struct stress_outcome *outcome, const struct death *death)
{
	struct frames frames = { .nr = 0 };
	u32 first;

	*outcome =
		(struct stress_outcome){ .kind = death->kind == VERDICT_FRAMEWORK ? STRESS_BROKEN
										  : STRESS_DIED };
	snprintf(outcome->oracle, sizeof(outcome->oracle), "%s",
		 outcome->kind == STRESS_BROKEN ? "framework" : "sanitizer");
	snprintf(outcome->class, sizeof(outcome->class), "%s", death->class);
	/* Somebody else was handed the memory between the check and the report. */
	if (!strcmp(outcome->class, "unknown-crash"))
		snprintf(outcome->class, sizeof(outcome->class), "use-after-poison");
	snprintf(outcome->text, sizeof(outcome->text), "%s", death->what);
	collect(&frames, buf_text(&death->report));
	/* Which of two threads was first is chance. */
	first = frames.nr == 2 && strcmp(frames.names[0], frames.names[1]) > 0;
	snprintf(outcome->signature, sizeof(outcome->signature), "%s %s%s%s%s%s", outcome->oracle,
		 outcome->class, frames.nr ? " " : "", frames.nr ? frames.names[first] : "",
		 frames.nr == 2 ? " / " : "", frames.nr == 2 ? frames.names[!first] : "");
}

int stress_exit_code(enum stress_kind kind)
{
	switch (kind) {
	case STRESS_CLEAN:
		break;
	case STRESS_DISORDER:
	case STRESS_WARNED:
		return EXIT_SAFETY;
	case STRESS_HUNG:
		return EXIT_NO_PROGRESS;
	case STRESS_DIED:
		return EXIT_SANITIZER;
	case STRESS_BROKEN:
		return EXIT_FRAMEWORK;
	}
	return EXIT_EXPECTED;
}
