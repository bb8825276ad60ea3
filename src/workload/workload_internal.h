/*
 * What the files of this folder share: how a part of a program is judged, one part at a time, so that
 * the parser can point at it and the decoder can leave it out.
 */
#ifndef WORKLOAD_WORKLOAD_INTERNAL_H
#define WORKLOAD_WORKLOAD_INTERNAL_H

#include "host/host.h"
#include "machine/machine.h"
#include "workload/workload.h"

enum flaw_part { FLAW_WORLD, FLAW_SLOT, FLAW_MAP, FLAW_TASK, FLAW_OP, FLAW_START, FLAW_DIRECTIVE };

/* What is wrong, and with which part: slot, map, task or directive @nr; ops: @sub of task @nr. */
struct flaw {
	enum flaw_part part;
	u32 nr, sub;
	char message[240];
};

/* Copies at most @room - 1 bytes and a NUL. */
void text_copy(char *to, size_t room, const char *from, size_t size);

/*
 * Each judges one part against the world, and against the parts of its kind before it. @flaw may be
 * NULL. Return: whether it is sound.
 */
bool world_check(const struct world *world, struct flaw *flaw);
bool slot_check(const struct world *world, u32 nr, struct flaw *flaw);
bool map_check(const struct world *world, u32 nr, struct flaw *flaw);
/* Kind, vCPU and number of ops, not the ops. */
bool task_check(const struct program *program, u32 nr, struct flaw *flaw);
bool op_check(const struct program *program, u32 task, u32 nr, struct flaw *flaw);
bool directive_check(const struct program *program, const struct schedule *schedule, u32 nr,
		     struct flaw *flaw);
/* The whole of it. */
bool program_check(const struct program *program, struct flaw *flaw);
bool schedule_check(const struct program *program, const struct schedule *schedule,
		    struct flaw *flaw);

/*
 * Parts of program_pages(). Tables that are zapped are freed as late as the schedule likes, and each op of
 * a vCPU may have to link its own again behind each zap: tables count once for each zap, and once more.
 */
struct page_tally {
	u64 pages, tables, zaps;
};
u64 map_pages(const struct map_line *map);
void tally_op(struct page_tally *tally, const struct world *world, const struct op *op);
u64 tally_pages(const struct page_tally *tally);

/*
 * Makes any values a sound program (repair.c): what is out of range is folded into the slots and maps
 * that there are, what collides or is too much is left out, and tasks without ops go. A sound program
 * of this build's geometry is not changed. @program: task kinds and counts may be anything up to the
 * sizes of the arrays, and the members in use are initialised.
 */
void program_repair(struct program *program);

/*
 * What the files that know the binary form share; decode.c describes it. Numbers of @nr_bytes bytes, the lowest
 * first.
 */
enum input_tag {
	TAG_NONE,
	TAG_OP,
	TAG_DIRECTIVE,
	TAG_TASK,
	TAG_SLOT,
	TAG_MAP,
	TAG_SEQ,
	TAG_LIMIT,
	TAG_LEVELS,
	TAG_SUBSCRIBERS,
	TAG_ABSENT,
	TAG_DIRTY,
	TAG_KNOBS,
	TAG_COUNT,
};
#define FLAG_START    1u
#define FLAG_BARE     2u
#define SCHEDULES_MAX 32u

static inline u64 input_get(const u8 *data, u32 nr_bytes)
{
	u64 value = 0;

	while (nr_bytes--)
		value = value << 8 | data[nr_bytes];
	return value;
}

static inline void input_put(u8 *data, u32 nr_bytes, u64 value)
{
	for (u32 i = 0; i < nr_bytes; i++)
		data[i] = (u8)(value >> 8 * i);
}

/* An op or directive and its record, whose first byte (tag and task) is not looked at or written. */
void input_get_op(const u8 *record, struct op *op);
void input_put_op(u8 *record, const struct op *op);
/* As the record says: task and op may not exist. The task is read from the record. */
void input_get_directive(const u8 *record, struct directive *directive);
void input_put_directive(u8 *record, const struct directive *directive);

/* Level of the host's pages that a map of this @order asks for; 0: there is no such order. */
static inline u32 order_level(const struct world *world, u32 order)
{
	return order % world->geometry || order > 2 * world->geometry
		       ? 0
		       : PT_LEVEL_4K + order / world->geometry;
}

/*
 * What user space knows (user.c): which bits of dirty logs it has got, which guest pages it has
 * write-tracked. The one forgets everything, the other begins anew. Context: no task; behind kern_reset().
 */
void user_clear(void);
void user_reset(const struct program *program);
/* The bodies of ops that need it. Return: an errno. Context: a task, no locks; may sleep. */
u64 user_change_slot(const struct subject_slot *slot, enum subject_slot_change change, gfn_t to);
u64 user_dirty_get(const struct subject_slot *slot);
u64 user_dirty_clear(const struct subject_slot *slot, gfn_t start, gfn_t end);
u64 user_dirty_clear_blind(const struct subject_slot *slot);
u64 user_track(gfn_t gfn, bool on);

/*
 * What the guest has written (writes.c). A stamp is taken before the write begins; 0: nobody keeps account. The others are
 * called when what they tell of has been done.
 */
void writes_reset(const struct program *program);
u64 writes_stamp(void);
void writes_done(u32 as_id, gfn_t gfn, u64 stamp);
void writes_through_cache(u64 stamp);
/* @mask: DIRTY_WORDS_MAX words, a bit a page from @start on. */
void writes_reported(u32 as_id, gfn_t start, const u64 *mask);
void writes_all_reported(void);
void writes_slot_changed(u32 slot);
void writes_given_up(u32 slot);

/*
 * Runs one op to its end. Context: a task. Return: of a vCPU enum subject_ret of the last attempt or
 * OP_RING_FULL, of the slot and dirty-log ops an errno, else 0; OP_SKIPPED.
 */
u64 op_execute(const struct world *world, const struct task_program *task, const struct op *op);

#endif
