/*
 * A world made of nothing but windows: what inspect.h headers show is what a test has put into `fake`.
 * For tests of oracles, which bring the events as well, so that an MMU can be made to do what it never
 * would. Included by tests only; a test binary holds it once.
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
};

/* Requests, by numbers that mean nothing to an oracle. */
enum fake_request { FAKE_FLUSH, FAKE_FLUSH_RANGE };

static struct fake {
	u64 words[FAKE_FRAMES][PT_ENTRIES];
	struct frame_view frames[FAKE_FRAMES];
	u32 nr_frames, nr_roots, nr_slots;
	u64 host[HVA_MAX];
	struct root_view roots[FAKE_ROOTS];
	struct slot_view slots[FAKE_SLOTS];
	struct fake_vcpu vcpus[FAKE_VCPUS];
	u64 generation[AS_MAX];
	struct mmu_counters counters;
	bool vm;
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

u64 inspect_memslot_generation(u32 as_id)
{
	return fake.generation[as_id];
}

u32 inspect_vcpu_as(u32 vcpu)
{
	return fake.vcpus[vcpu].as_id;
}

bool inspect_vm(void)
{
	return fake.vm;
}

struct mmu_counters inspect_mmu_counters(void)
{
	return fake.counters;
}

#endif
