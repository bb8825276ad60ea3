/*
 * A machine without anything on top: what unit tests of this folder set up and run. Tables are built by
 * hand. Asserts stand outside the tasks; tasks leave what they saw in statics. Included by tests only,
 * behind cmocka.h, oracle/oracle.h and oracle/judge.h.
 */
#ifndef MACHINE_FIXTURE_H
#define MACHINE_FIXTURE_H

#include "base/hash.h"
#include "machine/machine_internal.h"

#define SCHEDULES 300
#define LEVELS	  3
#define LINK	  (PTE_RWX)

/* The driver is asked once more after a task has ended, when nothing orders it before the test. */
static u64 seed;

/* Stateless, so that it may run in any task: the choice is a hash of how far the schedule is. */
static inline u32 next_hashed(void *ctx, const struct sched_stop *stop)
{
	u64 hash = hash_u64(HASH_SEED, __atomic_load_n(&seed, __ATOMIC_RELAXED));
	u64 left = stop->runnable;

	hash = hash_u64(hash, sched_points());
	sched_grant(1 + (hash >> 8) % 4);
	for (u64 skip = hash % (u64)__builtin_popcountll(left); skip; skip--)
		left &= left - 1;
	return (u32)__builtin_ctzll(left);
}

/* What the environment answers, by kind of question. */
static u64 answers[ANSWER_KIND_COUNT];

static inline u64 value_answer(void *ctx, const struct sched_stop *stop, u64 bound)
{
	return __atomic_load_n(&answers[stop->answer], __ATOMIC_RELAXED) % bound;
}

static struct vcpu *cpu[2];
static pfn_t root;
static enum guest_result result[8];

/* Plain stores: no task runs. Return: the entry of @gfn at @level; LINK entries lead there. */
static inline u64 *entry_of(gfn_t gfn, u32 level)
{
	pfn_t table = root;

	for (u32 at = LEVELS; at > level; at--) {
		u64 *ptep = frame_words(table) + PT_INDEX(gfn, at);

		if (!*ptep)
			*ptep = frame_alloc(FRAME_PAGE_TABLE) << PTE_PFN_SHIFT | LINK;
		table = pte_pfn(*ptep);
	}
	return frame_words(table) + PT_INDEX(gfn, level);
}

static inline u64 leaf(pfn_t pfn, u64 bits)
{
	return pfn << PTE_PFN_SHIFT | bits;
}

static inline void set_up(void)
{
	kern_reset();
	machine_reset();
	root = frame_alloc(FRAME_PAGE_TABLE);
	for (u32 i = 0; i < ARRAY_SIZE(cpu); i++) {
		cpu[i] = vcpu_create(i);
		vcpu_load_root(cpu[i], root, LEVELS);
	}
}

static inline void run(u32 nr_tasks, void (*body)(u32 task), u64 schedule)
{
	static const struct sched_driver driver = { .next = next_hashed, .value = value_answer };

	__atomic_store_n(&seed, schedule, __ATOMIC_RELAXED);
	kern_set_driver(&driver);
	assert_int_equal(kern_run_tasks(nr_tasks, body, 100000), KERN_DONE);
}

static inline enum guest_result access_once(u32 vcpu, gfn_t gfn, enum access access)
{
	enum guest_result end;

	while (!vcpu_enter(cpu[vcpu])) {
		if (vcpu_take_request(cpu[vcpu], REQUEST_TLB_FLUSH))
			vcpu_flush_tlb(cpu[vcpu]);
		if (vcpu_take_request(cpu[vcpu], REQUEST_TLB_FLUSH_RANGE))
			vcpu_flush_ranges(cpu[vcpu]);
		vcpu_take_request(cpu[vcpu], REQUEST_FREE_OBSOLETE_ROOTS);
	}
	end = vcpu_access(cpu[vcpu], gfn, access);
	vcpu_leave(cpu[vcpu]);
	return end;
}

/* Each task body of one access: gfn and kind come from here. */
static gfn_t wanted_gfn;
static enum access wanted;

static inline void access_task(u32 task)
{
	result[0] = access_once(0, wanted_gfn, wanted);
}

static inline enum guest_result access_alone(gfn_t gfn, enum access access)
{
	wanted_gfn = gfn;
	wanted = access;
	run(1, access_task, 0);
	return result[0];
}

/* --- what is told --- */

static u64 told[EVENT_COUNT]; /* how often */
static u64 last_field[EVENT_COUNT]; /* last field of the last one */

static inline void note_event(const struct event *event)
{
	u32 last = event_rows[event->id].nr_fields - 1;

	__atomic_fetch_add(&told[event->id], 1, __ATOMIC_RELAXED);
	__atomic_store_n(&last_field[event->id], event_field(event, last), __ATOMIC_RELAXED);
}

/*
 * Has @tap told of @events, and nobody of others; NULL: ends that. Oracles must not judge tables without
 * an MMU: they keep out of a schedule that has its verdict.
 */
static inline void listen_by(void (*tap)(const struct event *event), event_mask events)
{
	oracle_convict(&(struct finding){ .class = "none", .sentence = "" });
	oracle_tap(tap);
	event_context.interest = tap ? events : 0;
}

/* Counts @events; 0: no longer. */
static inline void listen(event_mask events)
{
	for (u32 i = 0; events && i < EVENT_COUNT; i++)
		told[i] = 0;
	listen_by(events ? note_event : NULL, events);
}

/* --- one entry that tasks contend for --- */

/* Maps gfn 5 of a fresh machine; tasks go straight to its entry. */
static u64 *contended, *above; /* the entry, and the one that leads to its table */

static inline void set_up_contended(void)
{
	set_up();
	contended = entry_of(5, 1);
	above = entry_of(5, 2);
	*contended = leaf(99, PTE_RWX);
}

#endif
