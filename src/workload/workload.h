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

enum op_args {
	OP_ARGS_NONE,
	OP_ARGS_GFN,
	OP_ARGS_ACCESS_GFN,
	OP_ARGS_GFN_RANGE,
	OP_ARGS_HVA,
	OP_ARGS_HVA_RANGE,
	OP_ARGS_PROT_HVA_RANGE,
	OP_ARGS_SLOT,
	OP_ARGS_SLOT_GFN,
	OP_ARGS_SLOT_GFN_RANGE,
	OP_ARGS_COUNT
};

/* What the arguments of an op are, in the order in which they are written. */
enum op_page { OP_PAGE_NONE, OP_PAGE_GFN, OP_PAGE_HVA };
struct op_form {
	const char *words; /* for lists: "r|w|x GFN" */
	u8 accesses; /* the first so many of access_letters; 0: none is asked for */
	bool slot;
	u8 page; /* enum op_page: op->start, and with range op->end */
	bool range;
	bool in_slot; /* the range lies in the gfns that the world gives to the slot */
};
extern const struct op_form op_forms[OP_ARGS_COUNT];

/* vm: a caller of the VM's ioctls. TASK_RCU is a task, too, but no part of a program. */
enum task_kind { TASK_VCPU, TASK_NOTIFIER, TASK_VM, TASK_KIND_COUNT };

/* Who must still be there while an op is at work. */
enum op_needs { NEEDS_NOTHING, NEEDS_MM = 1, NEEDS_VM = 2, NEEDS_BOTH = NEEDS_MM | NEEDS_VM };

enum op_id {
#define OP(name, args, kind, needs, what) OP_##name,
#include "workload/ops.def"
#undef OP
	OP_COUNT
};

struct op_row {
	const char *name, *what;
	enum op_args args;
	enum task_kind kind;
	enum op_needs needs;
};
extern const struct op_row op_rows[OP_COUNT];
extern const char *const task_kind_names[TASK_KIND_COUNT]; /* "vcpu", "notifier", "vm" */
extern const char access_letters[ACCESS_COUNT]; /* r w x */

struct op {
	u8 id; /* enum op_id */
	u8 access; /* enum access, 0 for ops that take none */
	u8 slot; /* id of a slot of the world, 0 for ops that take none */
	u64 start, end; /* gfn or hva; end only for ranges, else 0 */
};

static inline const struct op_form *op_form(const struct op *op)
{
	return &op_forms[op_rows[op->id].args];
}

struct task_program {
	u8 kind; /* enum task_kind */
	u8 vcpu; /* for TASK_VCPU; no two tasks share a vCPU */
	u8 nr_ops; /* at least 1 */
	struct op ops[OPS_MAX];
};

/* Host pages that are mapped from the start. */
struct map_line {
	hva_t start, end;
	u32 order; /* of its pages, log2: 0, or the geometry once or twice for huge pages */
	bool read_only; /* mapped read-only, and a write copies */
};

/* What a program starts from. All numbers are page numbers. */
struct world {
	u32 geometry; /* PT_INDEX_BITS it was made for */
	u32 levels; /* of the root, 2 .. PT_LEVEL_MAX */
	u64 seq;
	u64 points_max; /* limit points */
	struct mmu_variant variant;
	u32 subscribers; /* bit: row of subscriber_names that listens to the host, beside the MMU */
	u32 absent; /* BIT(id): this slot is a template, which is not there until it is created */
	u32 dirty_mode; /* enum dirty_log_mode; words in dirty_mode_words */
	u32 nr_slots, nr_maps;
	struct subject_slot slots[SLOTS_MAX]; /* ids differ, in all address spaces */
	struct map_line maps[MAPS_MAX];
};
#define WORLD_LEVELS_DEFAULT 3
#define WORLD_GEOMETRY_MIN   3
#define WORLD_GEOMETRY_MAX   9
#define WORLD_SEQ_MAX	     ((1ull << 56) - 1)
#define WORLD_POINTS_MAX_MAX 1000000
/*
 * Pages of the machine that a program may come to use, as program_pages() counts them: room is left
 * for what is under way in each task.
 */
#define PROGRAM_PAGES_MAX 1900

struct program {
	struct world world;
	u32 nr_tasks; /* at least 1 */
	struct task_program tasks[PROGRAM_TASKS_MAX];
};

/* Words of "subscriber" lines, by enum host_subscriber. NULL-terminated. */
extern const char *const subscriber_names[];
/* Words of the line "dirty", by enum dirty_log_mode. */
extern const char *const dirty_mode_words[DIRTY_LOG_MODE_COUNT];
/*
 * Whether an op of the program clears bits of a dirty log that user space never got: what is lost with
 * them is nobody's fault, and whoever describes the program says so.
 */
bool program_clears_blindly(const struct program *program);

/* Return: the world's slot of that id, NULL if there is none. */
const struct subject_slot *world_slot(const struct world *world, u32 id);

/* Return: the limit of points that a world has unless it says so: walks of wide tables are long. */
static inline u64 world_points_default(u32 geometry)
{
	return min_u64(60000ull << (geometry - WORLD_GEOMETRY_MIN), WORLD_POINTS_MAX_MAX);
}
/* Return: gfns 0 .. this - 1 are reached by the world's root. */
u64 world_gfns(const struct world *world);
/* A world of this build's geometry with nothing in it: no slots, no maps, defaults for the rest. */
void world_clear(struct world *world, const struct mmu_variant *variant);
/* Return: an upper bound of the pages that tables, mapped pages and their copies take. */
u64 program_pages(const struct program *program);

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
	u8 task; /* where: task or TASK_RCU, op (0-based index), place */
	u16 op; /* of TASK_RCU: number of the callback */
	u8 place; /* enum directive_place */
	u8 action; /* enum directive_action */
	u8 to; /* DO_SWITCH: task or TASK_RCU; DO_UNTIL: task whose passing is awaited */
	u32 ordinal; /* points and blocks of the op up to here, from 1; 0 unknown */
	struct site_ref site; /* AT_SITE */
	struct site_ref until; /* DO_UNTIL: the other task runs until it has passed this site */
	u64 answer; /* DO_ANSWER: 0 .. ANSWER_MAX; 0 is what is answered without a directive */
};
#define ANSWER_MAX    0xffffu
#define CALLBACKS_MAX 0x10000u

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

/* What must come out: oracle "none" (or "") means no violation. Texts hold no blanks. */
struct expectation {
	char oracle[24], class[32];
	char site[2][SITE_TEXT_MAX]; /* "" if unknown */
};

/* A reproducer: everything a .repro says. */
struct repro {
	char target[48];
	enum bug_id bug;
	struct expectation expect;
	u32 forbidden; /* mask of BIT(enum retry_class), lines "forbid"; see forbid_words */
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
	u32 slots_max; /* memslots: at least 1 */
	u32 pages_min, pages_max; /* a slot: few, so that ops meet */
	u32 vms_min, vms_max; /* tasks that call ioctls of the VM */
	u32 as_max; /* address spaces; 0 is 1 */
	u32 levels_weights[PT_LEVEL_MAX + 1]; /* by levels of the root; all 0: mostly 3 */
	u32 huge_of_8; /* of 8 worlds, how many have room for huge pages, and some of them */
	u32 logging_of_8; /* of 8 worlds, how many log dirty pages from the start */
	bool has_absent; /* slots may be templates */
	bool has_subscribers; /* others may subscribe to the host */
	u32 writes_of_8; /* of 8 accesses, how many write for certain; of the others 3 of 8 do */
	u32 execs_of_8; /* of 8 accesses that do not write for certain, how many execute; of the others 1 of 8 does */
	u32 by_write_of_8; /* of 8 programs, how many have writes found by W, whatever the knobs say */
	u32 knobs_of_8; /* of 8 knobs, how many are drawn, if the variant is the default one */
	bool swarm; /* each program draws from some of the ops */
	enum bug_id bug; /* canary: armed for ever */
};
/* Targets register themselves: TARGET(name) = { ... }; collected through the section "targets". */
#define TARGET(id)                                                        \
	static const struct target target_##id;                           \
	static const struct target *const target_ptr_##id                 \
		__attribute__((section("targets"), used)) = &target_##id; \
	static const struct target target_##id

u32 targets_count(void);
const struct target *target_nth(u32 nth);
const struct target *target_by_name(const char *name);
/* Return: what keeps programs from being drawn from it, NULL if nothing does. */
const char *target_problem(const struct target *target);

/* Draws a program: total, deterministic in (target, seed, variant); always program_valid(). */
void program_generate(struct program *program, const struct target *target, u64 seed,
		      const struct mmu_variant *variant);

/* --- variants (variants.c) --- */

/* Values that no oracle convicts. Return: how many @knob has; the @nth of them. */
u32 variant_nr_legal(u32 knob);
u8 variant_legal_nth(u32 knob, u32 nth);
/*
 * Two values that were never in one kernel: into *one and *other (enum knob_value). Return: why;
 * NULL when there are none.
 */
const char *variant_conflict(const struct mmu_variant *variant, u32 *one, u32 *other);

/* --- binary form (decode.c) --- */

#define INPUT_HEADER_BYTES 16
#define INPUT_RECORD_BYTES 8
/* Enough for whatever input_encode() writes. */
#define INPUT_BYTES_MAX 4096

struct input {
	struct program program;
	struct schedule schedule; /* strategy by its row number, see strategy_row */
	u32 strategy_row; /* 0..255, taken modulo the number of strategies by whoever runs it */
	u32 schedules; /* K, 1..32 */
};
/*
 * Every byte string is an input: unknown tags are skipped, a short tail is ignored, and what would
 * not be valid is folded into what is or left out. @data may be NULL when @size is 0.
 */
void input_decode(struct input *input, const struct target *target, const u8 *data, size_t size);
/*
 * Return: bytes written such that decoding them, for whatever target, gives an equal program and
 * schedule; 0 when @room is too small. The form knows directives by ordinal only: sites are left
 * out, and so are directives without an ordinal, beyond the 65535th point, or of the kind DO_UNTIL.
 * An illegal value of a knob becomes the default one. Context: program_valid() holds.
 */
size_t input_encode(const struct input *input, u8 *data, size_t room);

/* --- mutation of the binary form (mutate.c) --- */

enum mutation {
#define MUTATION(name, weight, what) MUTATION_##name,
#include "workload/mutations.def"
#undef MUTATION
	MUTATION_COUNT
};
struct mutation_row {
	const char *name, *what;
	u32 weight;
};
extern const struct mutation_row mutation_rows[MUTATION_COUNT];

/*
 * Changes an input of @size bytes in place, for engines. @data has @room bytes. @target draws what the input leaves
 * to the generator, and its ops are preferred; NULL: then such an input keeps its ops. Deterministic in all of these.
 * Return: the new size, at most @room.
 */
size_t input_mutate(const struct target *target, u8 *data, size_t size, size_t room, u64 seed);
/*
 * One particular mutation, of the records that there are. Return: the new size; 0 when there is nothing that it could
 * work on, or no room.
 */
size_t input_mutate_by(enum mutation mutation, const struct target *target, u8 *data, size_t size,
		       size_t room, u64 seed);
/*
 * Makes one of two inputs: a header, the lines of the world, and each task with its directives, from either. Return: bytes
 * written, at most @room.
 */
size_t input_splice(const struct target *target, const u8 *one, size_t one_size, const u8 *other,
		    size_t other_size, u8 *data, size_t room, u64 seed);

/* --- text form (text.c) --- */

struct text_error {
	u32 line, column;
	char message[240]; /* "expected ..., found ..." */
};
/*
 * Parses @size bytes, which need no NUL at the end. A target is looked up among those of this
 * binary, if it has any. A text of another geometry parses; program_execute() cannot run it.
 * Return: true, or false with the error filled in and *repro unspecified.
 */
bool repro_parse(struct repro *repro, const char *text, size_t size, struct text_error *error);
/*
 * Canonical text: parse(print(x)) = x, and print(parse(t)) = t byte for byte for canonical t. Lines
 * that say the default are left out, except variant and expect.
 */
void repro_print(struct buf *buf, const struct repro *repro);
/* Appends one op, directive or the head of a task as the text writes it (no newline). */
void op_print(struct buf *buf, const struct op *op);
/* Appends the number of a task, or "rcu0". */
void task_print(struct buf *buf, u32 task);
void directive_print(struct buf *buf, const struct program *program,
		     const struct directive *directive);
/*
 * Limits, overlaps, shared vCPUs, ops that their task may not issue, gfns and hvas out of range.
 * Return: true; false with a message and line and column 0. @error may be NULL.
 */
bool program_valid(const struct program *program, struct text_error *error);
/* Whether tasks, ops and answers that @schedule speaks of exist. Otherwise as program_valid(). */
bool schedule_valid(const struct program *program, const struct schedule *schedule,
		    struct text_error *error);
/*
 * "upstream", "default", or K=V,... over the default, or over what comes first ("upstream,K=V"): into *variant. Values that exclude each other
 * are refused. The error's line is 0.
 */
bool variant_parse(struct mmu_variant *variant, const char *text, size_t size,
		   struct text_error *error);
void variant_print(struct buf *buf, const struct mmu_variant *variant);
/* Words of "forbid" lines by bit of the mask. NULL-terminated. */
extern const char *const forbid_words[];
/* Return: the word of @words nearest to the @size bytes at @word, NULL when none is near. */
const char *word_nearest(const char *word, size_t size, const char *const *words, u32 nr_words);

/* --- execution (execute.c) --- */

/*
 * Ops since op_counts_clear(): those that did their work; those that were skipped because the process
 * or the VM which they need had gone; those that a full dirty ring has ended. Children of a fork count
 * for themselves.
 */
struct op_counts {
	u64 done[OP_COUNT], skipped[OP_COUNT], ring_full[OP_COUNT];
};
const struct op_counts *op_counts(void);
void op_counts_clear(void);
/* Results (event op_ended) of an op that was skipped, or ended by a full dirty ring; others end with less. */
#define OP_SKIPPED   (~0ull)
#define OP_RING_FULL (~0ull - 1)

enum program_outcome { PROGRAM_DONE, PROGRAM_STUCK, PROGRAM_UNFINISHED, PROGRAM_ABANDONED };

/*
 * Takes down what the last program left, builds the world, and runs the tasks. When all have ended
 * it emits quiesced and calls @inspect (may be NULL). What is left stays as it is until the next call.
 *
 * The environment's driver and the oracles must be set up before. The event clock starts at 0 here.
 * Context: no task; program_valid() holds, and the geometry is this build's.
 */
enum program_outcome program_execute(const struct program *program, void (*inspect)(void));

/*
 * Takes down what the last program left, as the next one would: for whoever counts which code an input reaches.
 * Context: no task; a program has been executed.
 */
void program_clear(void);

/*
 * Whether programs to come keep account of what the guest writes and user space hears of (writes.c). For worlds
 * that are judged at rest; oracles know better by events.
 */
void program_watch_writes(bool on);
/*
 * Finds the next page, *@at counting from 0, that was written since its last report, by a memslot that has been what it is
 * since before that. Return: whether there was one. Context: the program has come to its end.
 */
bool program_next_unreported(u32 *at, u32 *as_id, gfn_t *gfn);

/* --- the environment, for drivers above the layers (environment.c) --- */

struct sched_driver;
/* Who schedules the programs to come. Must be set before program_execute(). */
void program_set_driver(const struct sched_driver *driver);
/* Ends of ops are stops in the schedules to come. */
void program_arm_op_ends(bool armed);
/* Names for addresses that are equal in every build; see kern_object_id(). */
u64 program_object_id(const volatile void *addr);
/* Whether memory at @addr may be read: it is outside the arena, or somebody owns it. */
bool program_memory_live(const volatile void *addr);
/*
 * For benchmarks: @nr loads through READ_ONCE, each a point. Context: a task.
 * program_prepare_points() comes first, outside of tasks.
 */
u64 program_pass_points(u64 nr);
void program_prepare_points(void);

#endif
