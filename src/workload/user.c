/*
 * What user space knows of the VM, and where it must not trip over itself.
 *
 * Of each memslot's dirty log it keeps the bits that it has got and not cleared since. Clearing another bit
 * would throw away what nobody has seen. A get that overlaps a clear or a change of the same slot reports
 * bits of which user space cannot tell whether they are older than that: it does not remember them.
 *
 * A clear speaks of the log that the bits were got from; a slot that goes, or whose log is a new one by then,
 * would lose bits of the new one. So would a count of write tracking, which goes with its slot. Changes of
 * slots therefore keep clears and tracking out, as real user space does with a lock of its own; gets,
 * clears and tracking are free to meet each other. Programs without such ops do not take that lock. What is
 * known is kept under the framework's own lock, never across a call of the subject.
 */
#include <errno.h>

#include "workload/workload_internal.h"

struct slot_log {
	u64 got[DIRTY_WORDS_MAX];
	gfn_t start; /* of the slot by now */
	u32 upsets_begun, upsets_ended; /* clears and changes: equal when none is under way */
};

/* One guest page that is write-tracked, by how many tracks. */
struct tracked {
	gfn_t gfn;
	u32 count;
};
#define TRACKED_MAX (TASKS_MAX * OPS_MAX)

static struct {
	struct rw_semaphore *changes; /* NULL: no op of the program needs it */
	bool by_hand; /* CLEAR does something in this world, and a GET takes nothing */
	u32 used; /* BIT(id): slots whose log is not in its first state */
	u32 nr_tracked;
	struct slot_log logs[SLOTS_MAX];
	struct tracked tracked[TRACKED_MAX];
} user;

/* Ops that a change of a slot must not overlap. */
static bool excludes_changes(const struct program *program)
{
	for (u32 i = 0; i < program->nr_tasks; i++)
		for (u32 j = 0; j < program->tasks[i].nr_ops; j++)
			switch (program->tasks[i].ops[j].id) {
			case OP_dirty_clear:
			case OP_dirty_clear_blind:
			case OP_track:
			case OP_untrack:
				return true;
			default:
				break;
			}
	return false;
}

void user_clear(void)
{
	for (u32 i = 0; i < SLOTS_MAX; i++)
		if (user.used >> i & 1)
			user.logs[i] = (struct slot_log){ .start = 0 };
	user.used = user.nr_tracked = 0;
	user.changes = NULL;
}

void user_reset(const struct program *program)
{
	user.by_hand = program->world.dirty_mode == DIRTY_LOG_MANUAL ||
		       program->world.dirty_mode == DIRTY_LOG_INITIALLY_SET;
	if (!excludes_changes(program))
		return;
	user.changes = kern_alloc(sizeof(*user.changes));
	init_rwsem_class(user.changes, LOCK_user_space);
}

/* Context: framework_lock(). */
static struct slot_log *log_of(const struct subject_slot *slot)
{
	struct slot_log *log = &user.logs[slot->id];

	if (!(user.used >> slot->id & 1))
		log->start = slot->start;
	user.used |= 1u << slot->id;
	return log;
}

/* Word by word: a race detector would see a call of the library, and tasks take turns here without a lock. */
static void forget(struct slot_log *log)
{
	for (u32 i = 0; i < DIRTY_WORDS_MAX; i++)
		log->got[i] = 0;
}

static void changes_keep_out(void)
{
	if (user.changes)
		down_read(user.changes);
}

static void changes_may_come(void)
{
	if (user.changes)
		up_read(user.changes);
}

/* Bits that were got are those of a log that has gone, or goes; a failed change costs them, too. */
u64 user_change_slot(const struct subject_slot *slot, enum subject_slot_change change, gfn_t to)
{
	struct slot_log *log;
	int error;

	if (user.changes)
		down_write(user.changes);
	framework_lock();
	log = log_of(slot);
	log->upsets_begun++;
	framework_unlock();
	error = subject_set_slot(change, slot, to);
	framework_lock();
	if (!error && change != SLOT_FLAGS)
		log->start = change == SLOT_MOVE ? to : slot->start;
	forget(log);
	writes_slot_changed(slot->id);
	log->upsets_ended++;
	user.nr_tracked = 0;
	framework_unlock();
	if (user.changes)
		up_write(user.changes);
	return (u64)-error;
}

u64 user_dirty_get(const struct subject_slot *slot)
{
	struct dirty_bitmap bitmap;
	struct slot_log *log;
	u32 upsets;
	bool upset;
	int error;

	framework_lock();
	log = log_of(slot);
	upsets = log->upsets_begun;
	upset = upsets != log->upsets_ended;
	framework_unlock();
	error = subject_get_dirty_log(slot->id, &bitmap);
	if (error)
		return (u64)-error;
	framework_lock();
	/* The slot's place is read when all has been taken: see writes.c. */
	if (!user.by_hand)
		writes_reported(slot->as_id, log->start, bitmap.words);
	for (u32 i = 0; !upset && upsets == log->upsets_begun && i < DIRTY_WORDS_MAX; i++)
		log->got[i] |= bitmap.words[i];
	framework_unlock();
	return 0;
}

/* Bits [@first, @end) of one word whose first bit is page @page. */
static u64 word_mask(u32 page, u32 first, u32 end)
{
	u64 mask = ~0ull;

	if (first > page)
		mask &= first < page + 64 ? ~0ull << (first - page) : 0;
	if (end < page + 64)
		mask &= end > page ? ~0ull >> (page + 64 - end) : 0;
	return mask;
}

/* Whole words around [@first, @end), up to the end of the slot at most. */
static int clear_words(const struct subject_slot *slot, u32 first, u32 end,
		       const struct dirty_bitmap *mask)
{
	u32 nr_pages = (u32)(slot->end - slot->start);

	first &= ~63u;
	end = (u32)min_u64((end + 63) & ~63u, nr_pages);
	return subject_clear_dirty_log(slot->id, first, end - first, mask);
}

/* What the slot's place is by now does not matter: a log counts pages from its first one. */
u64 user_dirty_clear(const struct subject_slot *slot, gfn_t start, gfn_t end)
{
	u32 first = (u32)(start - slot->start), last = (u32)(end - slot->start);
	struct dirty_bitmap mask = { 0 };
	struct slot_log *log;
	int error;

	changes_keep_out();
	framework_lock();
	log = log_of(slot);
	log->upsets_begun++;
	/* From here on nobody else clears them: whoever gets them again gets what came later. */
	for (u32 i = first / 64; i <= (last - 1) / 64; i++) {
		mask.words[i] = log->got[i] & word_mask(i * 64, first, last);
		log->got[i] &= ~mask.words[i];
	}
	framework_unlock();
	error = clear_words(slot, first, last, &mask);
	framework_lock();
	writes_reported(slot->as_id, log->start, mask.words);
	log->upsets_ended++;
	framework_unlock();
	changes_may_come();
	return (u64)-error;
}

u64 user_dirty_clear_blind(const struct subject_slot *slot)
{
	u32 nr_pages = (u32)(slot->end - slot->start);
	struct dirty_bitmap mask = { 0 };
	struct slot_log *log;
	int error;

	changes_keep_out();
	framework_lock();
	log = log_of(slot);
	log->upsets_begun++;
	for (u32 i = 0; i < nr_pages; i++) {
		if (user.by_hand && !(log->got[i / 64] >> i % 64 & 1))
			event(dirty_given_up, .as_id = slot->as_id, .gfn = log->start + i);
		mask.words[i / 64] |= BIT_ULL(i % 64);
	}
	forget(log);
	if (user.by_hand)
		writes_given_up(slot->id);
	framework_unlock();
	error = clear_words(slot, 0, nr_pages, &mask);
	framework_lock();
	log->upsets_ended++;
	framework_unlock();
	changes_may_come();
	return (u64)-error;
}

/* Context: framework_lock(), like the next two. */
static struct tracked *tracked_of(gfn_t gfn)
{
	for (u32 i = 0; i < user.nr_tracked; i++)
		if (user.tracked[i].gfn == gfn)
			return &user.tracked[i];
	return NULL;
}

static void note_tracked(gfn_t gfn)
{
	struct tracked *tracked = tracked_of(gfn);

	if (!tracked) {
		tracked = &user.tracked[user.nr_tracked++];
		*tracked = (struct tracked){ .gfn = gfn };
	}
	tracked->count++;
}

/* Return: whether there was a track to be ended. */
static bool note_untracked(gfn_t gfn)
{
	struct tracked *tracked = tracked_of(gfn);

	if (!tracked || !tracked->count)
		return false;
	tracked->count--;
	return true;
}

/* Nobody ends what has not begun: -ENOENT. Tracking is of address space 0, as that of shadow pages. */
u64 user_track(gfn_t gfn, bool on)
{
	bool ends = false;

	changes_keep_out();
	if (on)
		subject_track(0, gfn, true);
	framework_lock();
	if (on)
		note_tracked(gfn);
	else
		ends = note_untracked(gfn);
	framework_unlock();
	if (ends)
		subject_track(0, gfn, false);
	changes_may_come();
	return on || ends ? 0 : ENOENT;
}
