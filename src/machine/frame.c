/*
 * Page frames. A frame is a page of the environment with a user count; its memory is taken and
 * given back by kern_page_alloc() and kern_page_free(), which also order the old owner before the
 * new one for the race detector.
 *
 * A record outlives the owners of its page: a subject that puts once too often reads what the next owner
 * writes. That is for the oracles, who are told by frame_freed and a warning, so the race detector
 * is not told of it: records are read and written by LOAD and STORE.
 */
#include "machine/machine_internal.h"

#define LOAD(field)	    FRAMEWORK_READ(field)
#define STORE(field, value) FRAMEWORK_WRITE(field, value)

struct machine_state machine;

void machine_reset(void)
{
	machine.epoch++;
	machine.nr_vcpus = 0;
	machine_set_ad_bits(true);
}

static __inlined struct frame *frame_at(pfn_t pfn)
{
	ASSERT(pfn && pfn < KERN_PAGES_MAX);
	return &machine.frames[pfn];
}

/* The page @pfn has just been handed out: it becomes a frame with one user. */
static void frame_begin(pfn_t pfn, enum frame_kind kind)
{
	struct frame *frame = frame_at(pfn);
	u32 before = LOAD(frame->epoch) == LOAD(machine.epoch) ? LOAD(frame->generation) : 0;

	STORE(frame->epoch, LOAD(machine.epoch));
	STORE(frame->refcount, 1);
	STORE(frame->generation, before + 1);
	STORE(frame->kind, (u16)kind);
	STORE(frame->allocated, true);
	event(frame_allocated, .pfn = pfn, .generation = before + 1, .kind = kind);
}

pfn_t frame_alloc(enum frame_kind kind)
{
	pfn_t pfn = kern_page_nr(kern_page_alloc(kind == FRAME_PAGE_TABLE));

	frame_begin(pfn, kind);
	return pfn;
}

pfn_t frame_alloc_run(u32 nr_pages)
{
	u64 *words = kern_page_alloc_run(nr_pages);
	pfn_t first = words ? kern_page_nr(words) : 0;

	for (u32 i = 0; first && i < nr_pages; i++)
		frame_begin(first + i, FRAME_HOST_PAGE);
	return first;
}

/* The last user is gone: the pfn may be handed out again by the very next allocation. */
static void frame_release(pfn_t pfn)
{
	struct frame *frame = frame_at(pfn);

	if (KVM_BUG_ON(LOAD(frame->epoch) != LOAD(machine.epoch) || !LOAD(frame->allocated)))
		return;
	STORE(frame->allocated, false);
	event(frame_freed, .pfn = pfn, .generation = LOAD(frame->generation),
	      .kind = LOAD(frame->kind));
	kern_page_free(frame_words(pfn));
}

void frame_free(pfn_t pfn)
{
	STORE(frame_at(pfn)->refcount, 0);
	frame_release(pfn);
}

void frame_set_users(pfn_t pfn, u64 users)
{
	STORE(frame_at(pfn)->refcount, users);
}

void frame_get(pfn_t pfn)
{
	fetch_add(&frame_at(pfn)->refcount, 1);
}

void frame_put(pfn_t pfn)
{
	/* One step: two users that put at once must not both, nor neither, find themselves last. */
	if (dec_and_test(&frame_at(pfn)->refcount))
		frame_release(pfn);
}

u64 frame_count(pfn_t pfn)
{
	return READ_ONCE(frame_at(pfn)->refcount);
}
