/*
 * What the entry of engines (libfuzzer.c) consists of, beside running programs: which findings are known well
 * enough, and what inputs are kept for beyond the code they reach.
 */
#ifndef FUZZ_ENGINE_ENGINE_H
#define FUZZ_ENGINE_ENGINE_H

#include "fuzz/fuzz.h"

/* --- findings that further inputs add nothing to (known.c) --- */

/*
 * Reads the numbers of such findings, one in hexadecimal a line; what follows it on the line is for people. Ends the
 * process with EXIT_USAGE if the file is not like that. Context: no schedule runs.
 */
void known_load(const char *path);
/* Return: the number of a verdict: equal for equal oracle, class and sites, in every build. */
u64 known_number(const struct verdict *verdict);
/* Return: whether that is the number of such a finding; if so, it is counted. Context: any; calls no library. */
bool known_meets(u64 number);
/* How often the above has said so. */
u64 known_met(void);
/* Prints "mmurace: finding NUMBER: met N times more" for each that was met. */
void known_report(void);

/* --- features (features.c) --- */

/*
 * Engines that keep inputs for what they reach are told of more than edges: under which state of the protocol table
 * entries were written, and which site a task was switched away from for another one that stood at the same
 * memory. @which: "none", "state", "switch" or "all". Return: false if it is something else.
 */
bool features_choose(const char *which);

#endif
