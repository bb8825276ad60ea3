/*
 * From what engines left to findings (docs/findings.md): artifacts are replayed and sorted by what makes failures one, and
 * each finding has a folder, which is on disk before anything slow is tried with it.
 *
 * Linked into the command line only: it needs JSON, and binaries of engines know none. Rows of threads have book.c,
 * folder.c, meta.c and regular.c alone, for what stress finds.
 */
#ifndef FUZZ_TRIAGE_TRIAGE_H
#define FUZZ_TRIAGE_TRIAGE_H

#include "fuzz/cli/cli.h"

/* --- what a run says of itself (run_log.c) --- */

/* Who found something, in what. "": not known. */
struct origin {
	char target[48], bug[64], engine[32], sanitizer[32], commit[64], compiler[128];
};
struct log_row {
	char *artifact;
	double seconds, executions; /* negative: not known */
};
struct run_log {
	bool there;
	struct origin origin;
	u32 nr_rows;
	struct log_row *rows;
};
/* Reads <folder>/run.jsonl, if it is there. Lines that say nothing are told on standard error and left out. */
void run_log_read(struct run_log *log, const char *folder);
/* Return: what is known of that artifact, NULL if nothing is. The first line about it counts. */
const struct log_row *run_log_find(const struct run_log *log, const char *artifact);
void run_log_free(struct run_log *log);

/* --- files of others (regular.c) --- */

/* No engine writes larger ones: what a program can have fits into INPUT_BYTES_MAX. */
#define ARTIFACT_BYTES_MAX (1u << 20)

/* Reads a regular file of bounded size; never waits. Return: false after an error message. */
bool artifact_read(struct buf *bytes, const char *path);

/* --- folders that are there as a whole or not at all (folder.c) --- */

struct folder_file {
	const char *name;
	const struct buf *content;
};

/*
 * Makes the folder @path with @files in it. Return: false after an error message, or with *taken when something else is
 * there; nothing is left behind then.
 */
bool folder_create(const char *path, const struct folder_file *files, u32 nr, bool *taken);
/*
 * Replaces these files in the folder @path, all or none, and leaves others as they are. Return: false after an error
 * message.
 */
bool folder_update(const char *path, const struct folder_file *files, u32 nr);
void folder_remove(const char *path);
/*
 * A hidden name beside the folders in @parent, for what is to be swept if this process dies: ".new.<pid><suffix>".
 */
void folder_hidden(struct buf *path, const char *parent, const char *suffix);
/* Completes an update that was interrupted behind its point of no return, and removes what dead processes left. */
void folder_recover(const char *path);
/* Removes what dead processes left beside the folders in @parent. */
void folder_sweep(const char *parent);

/* --- meta.json (meta.c) --- */

#define META_VERSION 1

enum meta_state {
	META_FINE,
	META_MISSING,
	META_BROKEN, /* no object, or a key that every finding has is not there, or of another type */
	META_OTHER_VERSION,
};
/* Return: META_FINE with the object in *meta, which the caller frees. Otherwise @why says what was found. */
enum meta_state meta_read(cJSON **meta, const char *path, struct buf *why);
/* Artifacts come out sorted. */
void meta_print(struct buf *buf, cJSON *meta);
/* Everything but artifacts, times and the command. @repro is what finding.repro says at first. */
cJSON *meta_create(const struct origin *origin, const struct repro *repro,
		   const struct expectation *verdict, const char *signature);
const char *meta_text(const cJSON *meta, const char *key); /* "" if it is not there */
bool meta_flag(const cJSON *meta, const char *key);
void meta_set(cJSON *meta, const char *key, cJSON *value);
/* Each is there once. Return: whether it was not there. */
bool meta_add_artifact(cJSON *meta, const char *name);
u32 meta_count(const cJSON *meta);
/* finding.repro is @text from now on: how large it is, and what would show that hands have edited it. */
void meta_set_repro(cJSON *meta, const struct repro *repro, const struct buf *text);
/* The command that shows it again, in the configuration that the meta says, once it lies in @folder. */
void meta_set_replay(cJSON *meta, const char *folder);
/* Whether @text is what was written last. */
bool meta_wrote(const cJSON *meta, const struct buf *text);

/* --- all findings of a folder (book.c) --- */

struct known_finding {
	char *path, *signature;
	cJSON *meta; /* NULL: there is none that we could read; the folder is left as it is */
	bool is_new; /* of this call */
	bool changed; /* meta, since it was written */
	u32 seen; /* artifacts of this call, known ones as well */
};
struct book {
	const char *folder;
	u32 nr;
	struct known_finding *at;
};
/* Reads what is there, after sweeping. What is odd is told on standard error. */
void book_open(struct book *book, const char *folder);
/* Return: NULL if there is none. */
struct known_finding *book_find(const struct book *book, const char *signature);
/*
 * Creates a finding: finding.repro, meta.json, and explain.txt if @explanation says something. The meta is the book's from
 * then on. Return: NULL after an error message; the text has gone to standard error then.
 */
struct known_finding *book_add(struct book *book, const struct repro *repro, cJSON *meta,
			       const struct buf *explanation);
/* Writes meta.json if it has changed. Return: false after an error message. */
bool book_write(struct known_finding *finding);
void book_close(struct book *book);

/* --- artifacts (artifact.c) --- */

/* One thing to replay: an input of an engine, or a text. */
struct artifact {
	char *path, *name; /* the name counts: it ends with a hash of the bytes */
	bool is_text;
	const struct target *target; /* of an input */
	enum bug_id bug;
	const struct origin *origin;
	double seconds, executions; /* negative: not known */
};
/* What an artifact stands for, in static memory until the next call. */
struct exhibit {
	u32 schedules; /* that it asks for */
	struct input input;
	struct repro repro; /* of a text */
	bool is_text;
};
/* Return: false after an error message. */
bool artifact_load(struct exhibit *exhibit, const struct artifact *artifact);
/* Schedule @nth of it. Pointers lead into @exhibit. */
void exhibit_spec(const struct exhibit *exhibit, enum bug_id bug, u32 nth, struct run_spec *spec);
/* The same as a text that names strategy and seed. The expectation is the caller's. */
void exhibit_repro(const struct exhibit *exhibit, const struct run_spec *spec,
		   const struct target *target, struct repro *repro);

/* --- replaying many (replay.c) --- */

/* A schedule that takes longer has gone round in a loop without points: engines give up at 25. */
#define HANG_SECONDS 30.0

struct outcome {
	u32 done;
	u32 nth; /* schedule that failed */
	enum verdict_kind kind;
	bool hung; /* kind is VERDICT_UNFINISHED: it had to be killed */
	int exit_code;
	struct expectation expect;
};
/*
 * Replays all of them in children, of which one does as many as it survives, and tells of each in order. @report is what
 * a child that died of it wrote. Ends early when interrupted.
 */
void replay_all(const struct artifact *artifacts, u32 nr, double hang_seconds,
		void (*tell)(const struct artifact *artifact, const struct outcome *outcome,
			     const struct buf *report, void *ctx),
		void *ctx);
/* Whether an engine would have stopped at it. */
bool outcome_fails(const struct outcome *outcome);

/* --- the whole (triage.c) --- */

struct triage {
	const char *folder;
	bool minimise, json;
	u32 nr;
	struct artifact *artifacts;
};
/* Return: exit code. */
int triage_all(const struct triage *triage);

#endif
