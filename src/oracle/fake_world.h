/*
 * A world made of nothing but windows: what inspect.h headers show is what a test has put into `fake`.
 * For tests of oracles, which bring the events as well, told by hand one by one, so that an MMU can be made
 * to do what it never would. Included by tests only, behind cmocka; a test binary holds it once.
 */
#ifndef ORACLE_FAKE_WORLD_H
#define ORACLE_FAKE_WORLD_H

#include "host/inspect.h"
#include "machine/inspect.h"
#include "oracle/oracle.h"
#include "subject/inspect.h"

#define FAKE_FRAMES 64u
#define FAKE_VCPUS  2u
#define FAKE_ROOTS  4u
#define FAKE_SLOTS  4u

struct fake_vcpu {
	pfn_t root;
	u64 requests;
	u32 as_id, nr_tlb, nr_psc;
	bool running;
	struct tlb_view tlb[TLB_ENTRIES_MAX];
	struct psc_view psc[PSC_ENTRIES_MAX];
	struct gfn_range range; /* of the ranged flush that is pending */
	bool leafs_only; /* it leaves tables */
	bool pml_on;
	u32 nr_pml;
	gfn_t pml[PML_ENTRIES_MAX];
};

/* Requests, by numbers that mean nothing to an oracle. */
enum fake_request { FAKE_FLUSH, FAKE_FLUSH_RANGE };

static struct fake {
	u64 words[FAKE_FRAMES][PT_ENTRIES];
	struct frame_view frames[FAKE_FRAMES];
	u32 nr_frames, nr_roots, nr_slots;
	u64 host[HVA_MAX]; /* what maps each page, of whatever level */
	u32 host_level[HVA_MAX]; /* 0: of 4K */
	struct root_view roots[FAKE_ROOTS];
	struct slot_view slots[FAKE_SLOTS];
	struct fake_vcpu vcpus[FAKE_VCPUS];
	u64 generation[AS_MAX];
	u64 dirty, ring; /* bits of the first pages, address space 0 */
	struct pfncache_view pfncache;
	struct mmu_counters counters;
	bool vm;
	bool released; /* the process has ended */
	bool no_ad_bits;
} fake;

static inline pfn_t fake_frame(enum frame_kind kind)
{
	pfn_t pfn = ++fake.nr_frames;

	fake.frames[pfn] = (struct frame_view){
		.count = 1, .generation = 1, .kind = (u16)kind, .allocated = true
	};
	event(frame_allocated, .pfn = pfn, .generation = 1, .kind = kind);
	return pfn;
}

static inline u64 *fake_words(pfn_t pfn)
{
	return fake.words[pfn];
}

/* Context: as every change of the fake world, anywhere. */
static inline void fake_free_table(pfn_t pfn)
{
	fake.frames[pfn].allocated = false;
	fake.frames[pfn].count = 0;
	event(frame_freed, .pfn = pfn, .generation = 1, .kind = FRAME_PAGE_TABLE);
}

static inline pfn_t fake_table(void)
{
	pfn_t pfn = fake_frame(FRAME_PAGE_TABLE);

	for (u32 i = 0; i < PT_ENTRIES; i++)
		fake.words[pfn][i] = SPTE_NONPRESENT;
	return pfn;
}

/* Newest first, as the window shows them. */
static inline pfn_t fake_root(u32 level, u32 as_id)
{
	pfn_t pfn = fake_table();

	for (u32 i = fake.nr_roots++; i > 0; i--)
		fake.roots[i] = fake.roots[i - 1];
	fake.roots[0] = (struct root_view){ .pfn = pfn, .level = level, .as_id = as_id };
	event(root_created, .root = pfn, .level = level, .as_id = as_id);
	return pfn;
}

static inline void fake_unlist(pfn_t pfn)
{
	for (u32 i = 0; i < fake.nr_roots; i++)
		if (fake.roots[i].pfn == pfn)
			fake.roots[i] = fake.roots[--fake.nr_roots];
	event(root_unlisted, .root = pfn);
}

static inline struct fake_vcpu *fake_vcpu(u32 vcpu)
{
	return &fake.vcpus[vcpu];
}

static inline void fake_load_root(u32 vcpu, pfn_t root)
{
	fake.vcpus[vcpu].root = root;
	event(root_loaded, .vcpu = vcpu, .root = root);
}

/* --- the windows --- */

u32 inspect_nr_vcpus(void)
{
	return FAKE_VCPUS;
}

u32 inspect_nr_tlb(u32 vcpu)
{
	return fake.vcpus[vcpu].nr_tlb;
}

struct tlb_view inspect_tlb(u32 vcpu, u32 nth)
{
	return fake.vcpus[vcpu].tlb[nth];
}

u32 inspect_nr_psc(u32 vcpu)
{
	return fake.vcpus[vcpu].nr_psc;
}

struct psc_view inspect_psc(u32 vcpu, u32 nth)
{
	return fake.vcpus[vcpu].psc[nth];
}

bool inspect_cached_usable(u32 vcpu, pfn_t root, gfn_t gfn, gfn_t end, bool table)
{
	const struct fake_vcpu *at = &fake.vcpus[vcpu];

	if (!root || at->root != root)
		return false;
	if (at->running)
		return true;
	if (at->requests & BIT_ULL(FAKE_FLUSH))
		return false;
	return !(at->requests & BIT_ULL(FAKE_FLUSH_RANGE)) || gfn >= at->range.end ||
	       end <= at->range.start || (table && at->leafs_only);
}

bool inspect_tlb_usable(u32 vcpu, pfn_t root)
{
	return inspect_cached_usable(vcpu, root, 0, 0, false);
}

bool inspect_in_guest_mode(u32 vcpu)
{
	return fake.vcpus[vcpu].running;
}

bool inspect_flush_pending(u32 vcpu)
{
	return fake.vcpus[vcpu].requests & (BIT_ULL(FAKE_FLUSH) | BIT_ULL(FAKE_FLUSH_RANGE));
}

bool inspect_request_pending(u32 vcpu, u32 request)
{
	return fake.vcpus[vcpu].requests >> request & 1;
}

pfn_t inspect_vcpu_root(u32 vcpu)
{
	return vcpu < FAKE_VCPUS ? fake.vcpus[vcpu].root : 0;
}

u32 inspect_nr_pml(u32 vcpu)
{
	return fake.vcpus[vcpu].nr_pml;
}

gfn_t inspect_pml(u32 vcpu, u32 nth)
{
	return fake.vcpus[vcpu].pml[nth];
}

bool inspect_pml_on(u32 vcpu)
{
	return fake.vcpus[vcpu].pml_on;
}

bool inspect_ad_bits(void)
{
	return !fake.no_ad_bits;
}

struct frame_view inspect_frame(pfn_t pfn)
{
	return pfn < FAKE_FRAMES ? fake.frames[pfn] : (struct frame_view){ .count = 0 };
}

u64 inspect_frame_count(pfn_t pfn)
{
	return inspect_frame(pfn).count;
}

u32 inspect_frame_generation(pfn_t pfn)
{
	return inspect_frame(pfn).generation;
}

bool inspect_frame_is(pfn_t pfn, enum frame_kind kind)
{
	struct frame_view frame = inspect_frame(pfn);

	return frame.allocated && frame.kind == kind;
}

const u64 *inspect_table(pfn_t table)
{
	return inspect_frame_is(table, FRAME_PAGE_TABLE) ? fake.words[table] : NULL;
}

u64 inspect_table_entry(pfn_t table, u32 index)
{
	const u64 *words = inspect_table(table);

	return words ? words[index] : 0;
}

u32 inspect_nr_frames(void)
{
	return fake.nr_frames;
}

u64 inspect_host_pte(hva_t hva)
{
	return hva < HVA_MAX ? fake.host[hva] : 0;
}

u32 inspect_host_level(hva_t hva)
{
	return hva < HVA_MAX && fake.host_level[hva] ? fake.host_level[hva] : PT_LEVEL_4K;
}

bool inspect_host_released(void)
{
	return fake.released;
}

void inspect_host_count_references(u64 *counts, u32 nr)
{
	for (u32 i = 0; i < nr; i++)
		counts[i] = 0;
	for (hva_t hva = 0; hva < HVA_MAX; hva++)
		if (host_pte_present(fake.host[hva]) && host_pte_pfn(fake.host[hva]) < nr)
			counts[host_pte_pfn(fake.host[hva])]++;
}

u32 inspect_nr_roots(void)
{
	return fake.nr_roots;
}

struct root_view inspect_root(u32 nth)
{
	return fake.roots[nth];
}

u32 inspect_nr_slots(void)
{
	return fake.nr_slots;
}

struct slot_view inspect_slot(u32 nth)
{
	return fake.slots[nth];
}

bool inspect_dirty_bit(u32 as_id, gfn_t gfn)
{
	return !as_id && gfn < 64 && (fake.dirty >> gfn & 1);
}

bool inspect_dirty_ring(u32 as_id, gfn_t gfn)
{
	return !as_id && gfn < 64 && (fake.ring >> gfn & 1);
}

u64 inspect_memslot_generation(u32 as_id)
{
	return fake.generation[as_id];
}

u32 inspect_vcpu_as(u32 vcpu)
{
	return fake.vcpus[vcpu].as_id;
}

struct pfncache_view inspect_pfncache(void)
{
	return fake.pfncache;
}

bool inspect_vm(void)
{
	return fake.vm;
}

struct mmu_counters inspect_mmu_counters(void)
{
	return fake.counters;
}

/* --- a small world, and how a correct MMU works in it --- */

#define SEQ	100u
#define HVA	0x100u
#define GFNS	8u
#define LEAF_RO (SPTE_SHADOW_PRESENT | PTE_R | PTE_X | PTE_A)
#define LEAF_RW (LEAF_RO | PTE_W | PTE_D | SPTE_HOST_WRITABLE | SPTE_MMU_WRITABLE)
#define TABLE	(SPTE_SHADOW_PRESENT | PTE_RWX | PTE_A)

static pfn_t root, table; /* the table covers gfns 0 .. 7 */

static inline void fake_reset(void)
{
	fake.nr_frames = fake.nr_roots = fake.nr_slots = 0;
	for (u32 i = 0; i < FAKE_FRAMES; i++)
		fake.frames[i] = (struct frame_view){ .count = 0 };
	for (hva_t hva = 0; hva < HVA_MAX; hva++)
		fake.host[hva] = fake.host_level[hva] = 0;
	for (u32 i = 0; i < FAKE_VCPUS; i++)
		fake.vcpus[i] = (struct fake_vcpu){ .root = 0 };
	fake.counters = (struct mmu_counters){ .seq = SEQ };
	fake.pfncache = (struct pfncache_view){ .valid = false };
	fake.vm = true;
	fake.released = false;
	fake.dirty = fake.ring = 0;
	fake.no_ad_bits = false;
}

static inline void world_with(bool read_only, u32 forbidden)
{
	event_context.task = TASK_NONE;
	event_context.site = NULL;
	fake_reset();
	oracle_reset(&(struct oracle_config){ .seq = SEQ, .forbidden = forbidden });
	for (hva_t hva = HVA; hva < HVA + GFNS; hva++) {
		pfn_t pfn = fake_frame(FRAME_HOST_PAGE);

		fake.host[hva] = pfn << HOST_PTE_PFN_SHIFT | HOST_PTE_PRESENT |
				 (read_only ? 0 : HOST_PTE_WRITE);
	}
	fake.slots[fake.nr_slots++] = (struct slot_view){ .start = 0, .end = GFNS, .hva = HVA };
	root = fake_root(2, 0);
	for (u32 vcpu = 0; vcpu < FAKE_VCPUS; vcpu++)
		fake_load_root(vcpu, root);
}

static inline void world(void)
{
	world_with(false, 0);
}

static inline void as(u32 task)
{
	event_context.task = task;
	event_context.op = 0;
}

static inline void lock(enum lock_mode mode)
{
	event(lock_acquired, .lock = 1, .class = LOCK_mmu_lock, .mode = mode);
}

static inline void unlock(void)
{
	event(lock_released, .lock = 1, .class = LOCK_mmu_lock, .mode = LOCK_SHARED);
}

static inline void change_expecting(pfn_t in, u32 index, u64 new, u64 expected, enum pte_write how)
{
	u64 *word = fake_words(in) + index, old = *word;

	*word = new;
	event(spte_changed, .table = in, .index = index, .old = old, .new = new,
	      .expected = expected, .how = how);
}

static inline void change(pfn_t in, u32 index, u64 new)
{
	change_expecting(in, index, new, fake_words(in)[index], PTE_XCHG);
}

static inline u64 pfn_bits(pfn_t pfn)
{
	return pfn << PTE_PFN_SHIFT;
}

static inline pfn_t host_pfn(gfn_t gfn)
{
	return host_pte_pfn(inspect_host_pte(HVA + gfn));
}

/* Context: mmu_lock. */
static inline void link_table(void)
{
	table = fake_table();
	change(root, 0, TABLE | pfn_bits(table));
}

/* A world in which @task holds mmu_lock and the table is linked. */
static inline void world_locked(u32 task)
{
	world();
	as(task);
	lock(LOCK_EXCLUSIVE);
	link_table();
}

static inline void fault_until_check(gfn_t gfn)
{
	event(fault_begun, .vcpu = 0, .gfn = gfn, .access = ACCESS_WRITE);
	event(fault_snapshot, .seq = SEQ);
	event(fault_translated, .gfn = gfn, .pfn = host_pfn(gfn), .writable = true);
}

static inline void fault_check(gfn_t gfn)
{
	event(fault_checked, .gfn = gfn, .seq = SEQ);
}

static inline void install(gfn_t gfn, u64 bits)
{
	change(table, (u32)gfn, bits | pfn_bits(host_pfn(gfn)));
}

/* A fault of @task that does everything right. Context: the table is linked, mmu_lock is free. */
static inline void fault_done(u32 task, gfn_t gfn)
{
	as(task);
	fault_until_check(gfn);
	lock(LOCK_SHARED);
	fault_check(gfn);
	install(gfn, LEAF_RW);
	unlock();
	event(fault_ended, .gfn = gfn, .ret = SUBJECT_FIXED);
}

static inline void world_mapped(gfn_t gfn)
{
	world_locked(0);
	unlock();
	fault_done(0, gfn);
}

static inline void invalidate_begin(u32 task, gfn_t start, gfn_t end)
{
	as(task);
	lock(LOCK_EXCLUSIVE);
	event(invalidate_begun, 0);
	event(invalidate_range_added, .start = start, .end = end);
	unlock();
}

static inline void invalidate_end(u32 task)
{
	as(task);
	lock(LOCK_EXCLUSIVE);
	event(invalidate_ended, 0);
	unlock();
}

/* vCPU 0 runs and has @gfn in its TLB. */
static inline void tlb_fill_by_hand(gfn_t gfn)
{
	struct fake_vcpu *vcpu = fake_vcpu(0);

	fake_load_root(0, root);
	vcpu->running = true;
	vcpu->tlb[vcpu->nr_tlb++] = (struct tlb_view){ .gfn = gfn,
						       .root = root,
						       .pfn = host_pfn(gfn),
						       .filled_at = event_context.clock,
						       .level = PT_LEVEL_4K,
						       .access = PTE_RWX };
}

static inline void silent(void)
{
	const struct verdict *verdict = oracle_verdict();

	if (verdict->violated)
		fail_msg("%s %s: %s [%s]", oracle_rows[verdict->oracle].name, verdict->class,
			 verdict->sentence, verdict->detail);
}

static inline void convicted(enum oracle_id oracle, const char *class)
{
	const struct verdict *verdict = oracle_verdict();

	assert_true(verdict->violated);
	assert_string_equal(oracle_rows[verdict->oracle].name, oracle_rows[oracle].name);
	assert_string_equal(verdict->class, class);
}

static inline void nothing(void)
{
}

static inline void begin_near(void)
{
	invalidate_begin(1, 4, 6);
}

static inline void begin_and_end(void)
{
	invalidate_begin(1, 6, 7);
	invalidate_end(1);
}

static inline void begin_around(void)
{
	invalidate_begin(1, 0, 2);
	invalidate_begin(2, 6, 8);
}

static inline void enter(void)
{
	fake_vcpu(0)->running = true;
	event(vcpu_entered, .vcpu = 0);
}

static inline void retried(gfn_t gfn, enum retry_reason reason)
{
	event(fault_retried, .gfn = gfn, .reason = reason);
}

static inline u64 leaf_of(gfn_t gfn)
{
	return LEAF_RW | pfn_bits(host_pfn(gfn));
}

static inline void memslot_step(enum memslot_step step, u64 object)
{
	event(memslot_changed, .step = step, .as_id = 0, .start = 0, .end = GFNS, .hva = HVA,
	      .object = object);
}

static inline void called(u64 subscriber, enum notifier_call what, u64 error)
{
	event(subscriber_called, .subscriber = subscriber, .what = what, .start = HVA + 3,
	      .end = HVA + 4, .error = error);
}

/* vCPU 0 runs and has cached that gfns 0 .. 7 lead to the table. */
static inline void psc_fill_by_hand(void)
{
	struct fake_vcpu *vcpu = fake_vcpu(0);

	fake_load_root(0, root);
	vcpu->running = true;
	vcpu->psc[vcpu->nr_psc++] = (struct psc_view){
		.root = root, .table = table, .filled_at = event_context.clock, .level = PT_LEVEL_4K
	};
}

static inline void root_let_go(bool invalid, bool unlisted, bool unloaded)
{
	world();
	as(1);
	if (invalid)
		event(root_invalidated, .root = root);
	if (unlisted)
		fake_unlist(root);
	for (u32 vcpu = 0; unloaded && vcpu < FAKE_VCPUS; vcpu++)
		fake_load_root(vcpu, 0);
	event(synchronized, .class = LOCK_rcu);
	fake_free_table(root);
}

static inline void prefault_of(gfn_t gfn)
{
	event(fault_begun, .vcpu = 0, .gfn = gfn, .access = ACCESS_READ, .prefetch = true);
	event(fault_snapshot, .seq = SEQ);
}

static inline void notified_world(void)
{
	world();
	event(subscriber_joined, .subscriber = 0, .has_end = true);
	event(subscriber_joined, .subscriber = 1, .has_end = false);
	as(1);
	event(notifier_start, .start = HVA + 3, .end = HVA + 4);
}

static inline void mmu_starts(void)
{
	event(active_raised, .count = 1);
	lock(LOCK_EXCLUSIVE);
	event(invalidate_begun, 0);
	event(invalidate_range_added, .start = 3, .end = 4);
	unlock();
	called(0, NOTIFIER_START, 0);
}

static inline void notification_over(void)
{
	event(notifier_end_returned, .start = HVA + 3, .end = HVA + 4);
}

/* --- huge pages, dirty logging, the fast page fault --- */

/* With larger tables the small world has no room for a huge page. */
#define HUGE_FITS (PT_PAGES(PT_LEVEL_2M) == GFNS)

/* The host maps all pages of the memslot by one huge leaf. */
static inline void world_huge(void)
{
	world();
	for (hva_t hva = HVA; hva < HVA + GFNS; hva++) {
		fake.host[hva] |= HOST_PTE_HUGE;
		fake.host_level[hva] = PT_LEVEL_2M;
	}
}

/* The entry that maps them, too. */
static inline u64 huge_leaf(u64 bits)
{
	return bits | PTE_PS | pfn_bits(host_pfn(0));
}

/* Return: a table, not linked yet, whose leafs say what the huge one does, with @bits. */
static inline pfn_t small_leafs(u64 bits)
{
	pfn_t pfn = fake_table();

	for (u32 i = 0; i < PT_ENTRIES; i++)
		fake_words(pfn)[i] = bits | pfn_bits(host_pfn(0) + i);
	return pfn;
}

static inline void walk(enum walk_kind kind, u32 level)
{
	event(walk_begun, .root = root, .start = 0, .end = GFNS, .kind = kind, .level = level);
}

static inline void dirty_log(enum dirty_log_step step, enum dirty_log_mode mode, bool d_bits)
{
	fake.slots[0].logging = step <= DIRTY_LOG_ENABLED;
	event(dirty_log_changed, .step = step, .as_id = 0, .start = 0, .end = GFNS, .mode = mode,
	      .d_bits = d_bits);
}

static inline void harvest_begin(enum harvest_kind kind)
{
	event(harvest_begun, .kind = kind, .as_id = 0, .start = 0, .end = GFNS);
}

static inline void harvest_end(enum harvest_kind kind)
{
	event(harvest_ended, .kind = kind, .error = 0);
}

/* A fault of the running task makes @new of entry @gfn without mmu_lock. */
static inline void fast_fault(gfn_t gfn, u64 new)
{
	fault_until_check(gfn);
	change_expecting(table, (u32)gfn, new | pfn_bits(host_pfn(gfn)), fake_words(table)[gfn],
			 PTE_CMPXCHG);
}

#endif
