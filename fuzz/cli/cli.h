/*
 * Parts that the verbs of mmurace share: options, names with near names, files, JSON, progress.
 * Verbs and options are rows of tables; every verb is a function that returns the exit code.
 */
#ifndef FUZZ_CLI_CLI_H
#define FUZZ_CLI_CLI_H

#include <argp.h>
#include <cjson/cJSON.h>

#include "fuzz/fuzz.h"

/* --- tables (tables.c) --- */

/* Numbers of options.def: the letter where there is one, for argp. */
enum option_index {
	OPT_BEFORE = 255,
#define OPTION(key, letter, name, argument, what) OPT_INDEX_##key,
#include "fuzz/cli/options.def"
#undef OPTION
};
enum option_key {
#define OPTION(key, letter, name, argument, what) OPT_##key = (letter) ? (letter) : OPT_INDEX_##key,
#include "fuzz/cli/options.def"
#undef OPTION
};
#define OPTIONS_MAX 24

struct verb {
	const char *name, *arguments, *what;
	u32 fewest, most; /* arguments */
	const int *keys; /* enum option_key, ends with 0 */
};
extern const struct verb verbs[];
u32 verbs_count(void);
const char *verb_name(u32 nth);
/* Return: NULL when there is none. */
const struct verb *verb_by_name(const char *name);
/* Fills in the options that @verb takes, ended as argp wants it. Return: how many there are. */
u32 verb_options(const struct verb *verb, struct argp_option list[OPTIONS_MAX]);

/* --- verbs --- */

/* Does what the verb of that name does. Return: the exit code. Ends the process if there is no such verb. */
int verb_call(const char *name, int argc, char **argv);
#define VERB(name, ...) int verb_##name(int argc, char **argv);
#include "fuzz/cli/verbs.def"
#undef VERB

/* --- options (options.c) --- */

#define ARGUMENTS_MAX 4096
/* What a command line says, in checked form. */
struct options {
	const struct verb *verb;
	bool has_bug, has_seed;
	enum bug_id bug;
	struct mmu_variant variant;
	const struct strategy *strategy;
	u64 seed, schedules, budget, seeds;
	double seconds;
	bool stop_on_first, check, json, nearby, trace, reachability, no_minimise, all, words;
	u32 forbidden;
	const char *save, *output, *reproducers;
	const struct target *target;
	const char *format; /* with OPT_INPUT_TARGET, instead of the target */
	char *arguments[ARGUMENTS_MAX];
	u32 nr_arguments;
};
/* Parses the command line of the verb that argv[0] names. Wrong usage ends the process with code 1. */
void options_parse(struct options *options, int argc, char **argv);
__attribute__((noreturn)) __printf(1, 2) void usage_error(const char *fmt, ...);
/* Handles SIGINT and SIGTERM by ending work cleanly. */
void handle_interrupts(void);

/* --- what this binary is (made by the build) --- */

extern const char *const build_commit, *const build_compiler;
extern const char *const build_sanitizer; /* as the row says, or "none" */
extern const char *const build_formats; /* "decode parse " */

/* --- names (names.c) --- */

/* Complains that there is no @kind named @name, with near names out of nth(0..count-1), and exits. */
__attribute__((noreturn)) void unknown_name(const char *kind, const char *name,
					    const char *(*nth)(u32 nth), u32 count);
/* Appends "Did you mean: a, b? " when some are near. */
void near_names(struct buf *buf, const char *name, const char *(*nth)(u32 nth), u32 count);
const struct target *target_or_exit(const char *name);
/* Whether it is a target for a format, whose inputs are no programs. */
bool format_named(const char *name);
enum bug_id bug_or_exit(const char *slug);
const struct strategy *strategy_or_exit(const char *name);
struct mmu_variant variant_or_exit(const char *text);
u32 retry_class_or_exit(const char *name);
const char *config_name(u32 nth);
u32 configs_count(void);

/* --- files (files.c) --- */

/* Reads a reproducer. Return: false after an error message (file:line:column: ...). */
bool repro_load(struct repro *repro, const char *path);
/* Reads a whole file. Return: false after an error message. */
bool file_read(struct buf *buf, const char *path);
/* A word for a shell: quoted if it has to be. */
void word_print(struct buf *buf, const char *word);
/* Writes through a temporary file and a rename. Return: false after an error message. */
bool file_write(const char *path, const void *data, size_t size);
/* Makes sure, before long work, that files can be written there. Exits with code 1 if not. */
void folder_probe(const char *path);
void file_probe(const char *path);
/* All *.repro below @path in order, or @path itself. Return: false after an error message. */
bool repro_paths(char **paths, u32 *nr, u32 room, const char *path);
/* The folder with the catalogue's reproducers, NULL when it is not found. */
const char *reproducers_folder(const char *given);
/* Writes @repro as "<oracle>-<class>-<hash>.repro"; never loses it. Return: whether it was written. */
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
