/*
 * Parts that the verbs of mmurace share: options, names with near names, files, JSON, progress.
 * Every verb is a function that returns the exit code.
 */
#ifndef FUZZ_CLI_CLI_H
#define FUZZ_CLI_CLI_H

#include <argp.h>
#include <cjson/cJSON.h>

#include "fuzz/fuzz.h"

struct verb {
	const char *name, *arguments, *what;
	int (*run)(int argc, char **argv);
};
extern const struct verb verbs[];
u32 verbs_count(void);

int verb_run(int argc, char **argv);
int verb_stress(int argc, char **argv);
int verb_search(int argc, char **argv);
int verb_replay(int argc, char **argv);
int verb_minimise(int argc, char **argv);
int verb_explain(int argc, char **argv);
int verb_list(int argc, char **argv);
int verb_matrix(int argc, char **argv);
int verb_compare(int argc, char **argv);
int verb_bench(int argc, char **argv);
int verb_triage(int argc, char **argv);
int verb_encode(int argc, char **argv);
int verb_help(int argc, char **argv);

/* --- options (options.c) --- */

/* Options that several verbs have; each verb lists those it takes. Values are keys. */
enum option_key {
	OPT_BUG = 256,
	OPT_VARIANT,
	OPT_STRATEGY,
	OPT_SEED,
	OPT_SCHEDULES,
	OPT_SECONDS,
	OPT_STOP_ON_FIRST,
	OPT_FORBID,
	OPT_CHECK,
	OPT_SAVE,
	OPT_CONFIG,
	OPT_JSON,
	OPT_NEARBY,
	OPT_TRACE,
	OPT_BUDGET,
	OPT_SEEDS,
	OPT_REACHABILITY,
	OPT_REPRODUCERS,
	OPT_TARGET,
	OPT_OUTPUT = 'o',
};

#define ARGUMENTS_MAX 4096
/* What a command line says, in checked form. */
struct options {
	const char *verb;
	bool has_bug, has_seed;
	enum bug_id bug;
	struct mmu_variant variant;
	const struct strategy *strategy;
	u64 seed, schedules, budget, seeds;
	double seconds;
	bool stop_on_first, check, json, nearby, trace, reachability;
	u32 forbidden;
	const char *save, *output, *reproducers;
	const struct target *target;
	char *arguments[ARGUMENTS_MAX];
	u32 nr_arguments;
};
/*
 * Parses the arguments of a verb, which takes the options in @keys (ends with 0) and between
 * @arguments_min and @arguments_max arguments. Wrong usage ends the process with code 1.
 */
void options_parse(struct options *options, int argc, char **argv, const int *keys,
		   const char *arguments, const char *what, u32 arguments_min, u32 arguments_max);
__attribute__((noreturn)) __printf(1, 2) void usage_error(const char *fmt, ...);
/* Handles SIGINT and SIGTERM by ending work cleanly. */
void handle_interrupts(void);

/* --- names (names.c) --- */

/* Complains that there is no @kind named @name, with near names out of nth(0..count-1), and exits. */
__attribute__((noreturn)) void unknown_name(const char *kind, const char *name,
					    const char *(*nth)(u32 nth), u32 count);
/* Appends "Did you mean: a, b? " when some are near. */
void near_names(struct buf *buf, const char *name, const char *(*nth)(u32 nth), u32 count);
const struct target *target_or_exit(const char *name);
enum bug_id bug_or_exit(const char *slug);
const struct strategy *strategy_or_exit(const char *name);
struct mmu_variant variant_or_exit(const char *text);
u32 retry_class_or_exit(const char *name);
const char *verb_name(u32 nth);
const char *config_name(u32 nth);
u32 configs_count(void);

/* --- files (files.c) --- */

/* Reads a reproducer. Return: false after an error message (file:line:column: ...). */
bool repro_load(struct repro *repro, const char *path);
/* Reads a whole file. Return: false after an error message. */
bool file_read(struct buf *buf, const char *path);
/* Writes through a temporary file and a rename. Return: false after an error message. */
bool file_write(const char *path, const void *data, size_t size);
/* Makes sure, before long work, that files can be written there. Exits with code 1 if not. */
void folder_probe(const char *path);
void file_probe(const char *path);
/* All *.repro below @path in order, or @path itself. Return: false after an error message. */
bool repro_paths(char **paths, u32 *nr, u32 room, const char *path);
/* The folder with the catalogue's reproducers, NULL when it is not found. */
const char *reproducers_folder(const char *given);
/* "<oracle>-<class>-<hash>": one name for one verdict. */
void finding_name(struct buf *buf, const struct repro *repro);
/* Converts, minimises and writes @repro; never loses it. Return: whether it was written. */
bool finding_save(struct repro *repro, const char *folder, struct buf *path);

/* --- JSON, one object a line (json.c) --- */

/* Before anything else of these. */
void json_prepare(void);
/* Prints and frees @object. */
void json_end(cJSON *object);
void json_text(cJSON *object, const char *name, const char *text);
/* Numbers are written as integers when they are. */
void json_number(cJSON *object, const char *name, double number);
void json_hash(cJSON *object, const char *name, u64 hash);
/* Oracle and class, or "none". */
void json_verdict(cJSON *object, const char *name, const struct expectation *expect);
/* Racing pair as reproducers write it, "" when there is none. */
void json_sites(cJSON *object, const char *name, const struct expectation *expect);
/* All 64 bits, as an integer. */
void json_u64(cJSON *object, const char *name, u64 number);

#endif
