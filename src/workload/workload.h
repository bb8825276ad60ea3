/*
 * Programs: a world and tasks with their ops, and the two forms in which they are kept.
 *
 * A program comes from a target's generator, from the bytes of a fuzzing engine (decode.c: total,
 * every byte string is a program) or from a text (text.c: strict, errors with line and column). It
 * is executed by program_execute(); who schedules it and who judges it is decided elsewhere.
 */
#ifndef WORKLOAD_WORKLOAD_H
#define WORKLOAD_WORKLOAD_H

#include "base/bug.h"
#include "base/buf.h"
#include "base/prng.h"
#include "base/types.h"
#include "subject/subject.h"

enum op_args { OP_ARGS_ACCESS_GFN, OP_ARGS_HVA_RANGE, OP_ARGS_HVA };
enum task_kind { TASK_VCPU, TASK_NOTIFIER, TASK_KIND_COUNT };

enum op_id {
#define OP(name, args, kind, what) OP_##name,
#include "workload/ops.def"
#undef OP
	OP_COUNT
};

struct op_row {
	const char *name, *what;
	enum op_args args;
	enum task_kind kind;
};
extern const struct op_row op_rows[OP_COUNT];
extern const char *const task_kind_names[TASK_KIND_COUNT]; /* "vcpu", "notifier" */
extern const char access_letters[ACCESS_COUNT]; /* r w x */

struct op {
	u8 id; /* enum op_id */
	u8 access; /* enum access */
	u64 start, end; /* gfn or hva; end only for ranges */
};

struct task_program {
	u8 kind; /* enum task_kind */
	u8 vcpu; /* for TASK_VCPU; no two tasks share a vCPU */
	u8 nr_ops;
	struct op ops[OPS_MAX];
};

struct map_line {
	hva_t start, end;
	u32 order; /* 0: 4K pages; others are refused until huge pages exist */
	bool read_only;
};

/* What a program starts from. All numbers are page numbers. */
struct world {
	u32 geometry; /* PT_INDEX_BITS it was made for */
	u32 levels; /* of the root, 2 .. PT_LEVEL_MAX */
	u64 seq;
	u64 points_max; /* limit points */
	struct mmu_variant variant;
	u32 nr_slots, nr_maps;
	struct subject_slot slots[SLOTS_MAX];
	struct map_line maps[MAPS_MAX];
};
#define WORLD_LEVELS_DEFAULT 3
#define WORLD_POINTS_MAX_DEFAULT 20000

struct program {
	struct world world;
	u32 nr_tasks;
	struct task_program tasks[TASKS_MAX];
};

/* --- directives: deviations from the default schedule --- */

enum directive_place { AT_SITE, AT_START, AT_END };
enum directive_action { DO_SWITCH, DO_UNTIL, DO_ANSWER };

#define SITE_TEXT_MAX 160

/* A site as texts write it: "function:expression", and its occurrence in the op, from 1. */
struct site_ref {
	char text[SITE_TEXT_MAX]; /* "" when only the ordinal is known */
	u32 occurrence;
};

struct directive {
	u8 task; /* where: task, op (0-based index), place */
	u8 op;
	u8 place; /* enum directive_place */
	u8 action; /* enum directive_action */
	u8 to; /* DO_SWITCH: task; DO_UNTIL: task whose passing is awaited */
	u32 ordinal; /* points and blocks of the op up to here, from 1; 0 unknown */
	struct site_ref site; /* AT_SITE */
	struct site_ref until; /* DO_UNTIL: the other task runs until it has passed this site */
	u64 answer; /* DO_ANSWER */
};

/*
 * Who schedules: a strategy with a seed, or directives over the default schedule. Both may be given
 * in a binary input: the strategy then acts between the directives.
 */
struct schedule {
	char strategy[24]; /* "" : directives only */
	u64 seed;
	u8 first; /* the task that runs first (line "start") when has_first */
	bool has_first;
	u32 nr_directives;
	struct directive directives[DIRECTIVES_MAX];
};

/* What must come out: oracle "none" (or "") means no violation. */
struct expectation {
	char oracle[24], class[16];
	char site[2][SITE_TEXT_MAX]; /* "" if unknown */
};

/* A reproducer: everything a .repro says. */
struct repro {
	char target[48];
	enum bug_id bug;
	struct expectation expect;
	u32 forbidden; /* mask of BIT(enum retry_class), line "forbid" */
	char why[512], fix[64];
	struct program program;
	struct schedule schedule;
};

/* --- targets --- */

/* A target: one file in targets/, a table. Weights are relative; 0 or absent: never drawn. */
struct target {
	const char *name;
	const char *what;
	u32 op_weights[OP_COUNT];
	u32 tasks_min, tasks_max;
	u32 ops_min, ops_max; /* a task */
	u32 vcpus_max; /* tasks that are vCPUs: at least 1 */
	const char *seeds[8]; /* world lines for the generator to start from; see generate.c */
	enum bug_id bug; /* canary: armed for ever */
};
/* Targets register themselves: TARGET(name) = { ... }; collected through the section "targets". */
#define TARGET(id)                                                                        \
	static const struct target target_##id;                                           \
	static const struct target *const target_ptr_##id                                 \
		__attribute__((section("targets"), used)) = &target_##id;         \
	static const struct target target_##id

u32 targets_count(void);
const struct target *target_nth(u32 nth);
const struct target *target_by_name(const char *name);

/* Draws a program: total, deterministic in (target, seed), legal for the knobs. */
void program_generate(struct program *program, const struct target *target, u64 seed,
		      const struct mmu_variant *variant);

/* --- binary form (decode.c) --- */

#define INPUT_HEADER_BYTES 16
#define INPUT_RECORD_BYTES 8

struct input {
	struct program program;
	struct schedule schedule; /* strategy by its row number, see strategy_row */
	u32 strategy_row; /* modulo the number of strategies */
	u32 schedules; /* K, 1..32 */
};
/* Every byte string is an input: unknown tags are skipped, a short tail is ignored. */
void input_decode(struct input *input, const struct target *target, const u8 *data, size_t size);
/* Return: bytes written (at most @room) such that decoding gives an equal program and schedule. */
size_t input_encode(const struct input *input, u8 *data, size_t room);

/* --- text form (text.c) --- */

struct text_error {
	u32 line, column;
	char message[240]; /* "expected ..., found ..." */
};
/* Return: true, or false with the error filled in and *repro unspecified. */
bool repro_parse(struct repro *repro, const char *text, size_t size, struct text_error *error);
/* Canonical text: parse(print(x)) = x, and print(parse(t)) = t byte for byte for canonical t. */
void repro_print(struct buf *buf, const struct repro *repro);
/* Appends one op, directive or the head of a task as the text writes it (no newline). */
void op_print(struct buf *buf, const struct op *op);
void directive_print(struct buf *buf, const struct program *program, const struct directive *directive);
/* Checks what single lines cannot: limits, overlaps, shared vCPUs, directives of absent ops. */
bool program_valid(const struct program *program, struct text_error *error);

/* --- execution (execute.c) --- */

enum program_outcome { PROGRAM_DONE, PROGRAM_STUCK, PROGRAM_UNFINISHED, PROGRAM_ABANDONED };

/*
 * Builds the world, runs the tasks to their end, emits quiesced, and takes the world down. The
 * environment's driver and the oracles must be set up before. @inspect, when not NULL, is called
 * between quiescence and take-down.
 */
enum program_outcome program_execute(const struct program *program, void (*inspect)(void));

#endif
