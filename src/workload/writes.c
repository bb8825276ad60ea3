/*
 * What the guest has written that user space has not heard of: for judging a world at rest where no events
 * tell of it (endstate LD1). Times are those of a clock that ticks with each stamp.
 *
 * A write is dated before it begins, a report when the harvest has returned, a change of a memslot when it has returned:
 * what is dated later than both has come later than both. The other way round nothing is known, and
 * nothing is claimed. Stamps are relaxed: the race detector must not take them for an order that the code under test
 * relies on.
 */
#include "workload/workload_internal.h"

#define PAGES_MAX 4096u /* a power of two; what exceeds it is not judged */

struct page {
	u64 name; /* page_name(); 0: free */
	u64 written, reported; /* 0: never */
};

static struct {
	bool on;
	u64 clock;
	u64 all_reported; /* by a reset of the dirty rings */
	u32 nr_used;
	gfn_t cached; /* the only page that the program has in its pfncache, WRITES_NOWHERE if there are more */
	u64 settled[SLOTS_MAX]; /* when the last change of each slot had returned */
	bool given_up[SLOTS_MAX]; /* user space has cleared bits that it never got */
	u32 used[PAGES_MAX];
	struct page pages[PAGES_MAX];
} writes;

#define WRITES_NOWHERE (~0ull)

void program_watch_writes(bool on)
{
	writes.on = on;
}

static gfn_t only_cached(const struct program *program)
{
	gfn_t only = WRITES_NOWHERE;

	for (u32 i = 0; i < program->nr_tasks; i++)
		for (u32 j = 0; j < program->tasks[i].nr_ops; j++) {
			const struct op *op = &program->tasks[i].ops[j];

			if (op->id != OP_pfncache_map)
				continue;
			if (only != WRITES_NOWHERE && only != op->start)
				return WRITES_NOWHERE;
			only = op->start;
		}
	return only;
}

void writes_reset(const struct program *program)
{
	if (!writes.on)
		return;
	for (u32 i = 0; i < min_u64(writes.nr_used, PAGES_MAX); i++)
		writes.pages[writes.used[i]] = (struct page){ .name = 0 };
	writes.nr_used = 0;
	writes.clock = writes.all_reported = 0;
	writes.cached = only_cached(program);
	for (u32 i = 0; i < SLOTS_MAX; i++) {
		writes.settled[i] = 0;
		writes.given_up[i] = false;
	}
}

u64 writes_stamp(void)
{
	return writes.on ? __atomic_add_fetch(&writes.clock, 1, __ATOMIC_RELAXED) : 0;
}

static u64 page_name(u32 as_id, gfn_t gfn)
{
	return gfn * AS_MAX + as_id + 1;
}

static void raise_to(u64 *to, u64 stamp)
{
	u64 old = __atomic_load_n(to, __ATOMIC_RELAXED);

	while (old < stamp && !__atomic_compare_exchange_n(to, &old, stamp, true, __ATOMIC_RELAXED,
							   __ATOMIC_RELAXED))
		;
}

/* Return: whether @page is this one, or has become it: tasks may be threads. */
static bool page_claim(struct page *page, u64 name)
{
	u64 found = 0;

	if (__atomic_compare_exchange_n(&page->name, &found, name, false, __ATOMIC_RELAXED,
					__ATOMIC_RELAXED)) {
		writes.used[__atomic_fetch_add(&writes.nr_used, 1, __ATOMIC_RELAXED)] =
			(u32)(page - writes.pages);
		return true;
	}
	return found == name;
}

static struct page *page_of(u32 as_id, gfn_t gfn)
{
	u64 name = page_name(as_id, gfn);

	for (u32 probes = 0, at = (u32)(name * 2654435761u); probes < PAGES_MAX; probes++, at++)
		if (page_claim(&writes.pages[at % PAGES_MAX], name))
			return &writes.pages[at % PAGES_MAX];
	return NULL;
}

void writes_done(u32 as_id, gfn_t gfn, u64 stamp)
{
	struct page *page = stamp ? page_of(as_id, gfn) : NULL;

	if (page)
		raise_to(&page->written, stamp);
}

void writes_through_cache(u64 stamp)
{
	if (stamp && writes.cached != WRITES_NOWHERE)
		writes_done(0, writes.cached, stamp);
}

void writes_reported(u32 as_id, gfn_t start, const u64 *mask)
{
	u64 now = writes_stamp();

	for (u32 i = 0; now && i < DIRTY_WORDS_MAX; i++)
		for (u64 left = mask[i]; left; left &= left - 1) {
			gfn_t gfn = start + i * 64 + (u32)__builtin_ctzll(left);
			struct page *page = page_of(as_id, gfn);

			if (page)
				raise_to(&page->reported, now);
		}
}

void writes_all_reported(void)
{
	u64 now = writes_stamp();

	if (now)
		raise_to(&writes.all_reported, now);
}

void writes_slot_changed(u32 slot)
{
	u64 now = writes_stamp();

	if (now)
		raise_to(&writes.settled[slot], now);
}

void writes_given_up(u32 slot)
{
	if (writes.on)
		__atomic_store_n(&writes.given_up[slot], true, __ATOMIC_RELAXED);
}

/* Whether the memslot that is there now was there, and logged as it does now, since before @stamp. */
static bool settled_before(u32 as_id, gfn_t gfn, u64 stamp)
{
	for (u32 i = 0; i < inspect_nr_slots(); i++) {
		struct slot_view slot = inspect_slot(i);

		if (slot.as_id == as_id && gfn_in(gfn, slot.start, slot.end))
			return !writes.given_up[slot.id] && writes.settled[slot.id] < stamp;
	}
	return false;
}

bool program_next_unreported(u32 *at, u32 *as_id, gfn_t *gfn)
{
	while (writes.on && *at < min_u64(writes.nr_used, PAGES_MAX)) {
		const struct page *page = &writes.pages[writes.used[(*at)++]];

		*as_id = (u32)((page->name - 1) % AS_MAX);
		*gfn = (page->name - 1) / AS_MAX;
		if (page->written > max_u64(page->reported, writes.all_reported) &&
		    settled_before(*as_id, *gfn, page->written))
			return true;
	}
	return false;
}
