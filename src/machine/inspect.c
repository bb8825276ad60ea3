#include "machine/inspect.h"

#include "machine/machine_internal.h"

u32 inspect_nr_vcpus(void)
{
	return machine.nr_vcpus;
}

u32 inspect_nr_tlb(u32 vcpu)
{
	return vcpu < machine.nr_vcpus ? machine.vcpus[vcpu].nr_tlb : 0;
}

struct tlb_view inspect_tlb(u32 vcpu, u32 nth)
{
	const struct tlb_entry *entry = &machine.vcpus[vcpu].tlb[nth];

	return (struct tlb_view){ .gfn = entry->gfn,
				  .root = entry->root,
				  .pfn = entry->pfn,
				  .filled_at = entry->filled_at,
				  .level = entry->level,
				  .access = entry->access };
}

u32 inspect_nr_psc(u32 vcpu)
{
	return vcpu < machine.nr_vcpus ? machine.vcpus[vcpu].nr_psc : 0;
}

struct psc_view inspect_psc(u32 vcpu, u32 nth)
{
	const struct psc_entry *entry = &machine.vcpus[vcpu].psc[nth];

	return (struct psc_view){ .gfn = entry->gfn,
				  .root = entry->root,
				  .table = entry->table,
				  .filled_at = entry->filled_at,
				  .level = entry->level };
}

bool inspect_tlb_usable(u32 vcpu, pfn_t root)
{
	if (!root || inspect_vcpu_root(vcpu) != root)
		return false;
	return machine.vcpus[vcpu].running ||
	       !(machine.vcpus[vcpu].requests & BIT_ULL(REQUEST_TLB_FLUSH));
}

/* A range whose request is not posted yet will not be found by a vCPU that enters now. */
static bool ranges_drop(const struct vcpu *vcpu, gfn_t gfn, gfn_t end, bool table)
{
	if (!(vcpu->requests & BIT_ULL(REQUEST_TLB_FLUSH_RANGE)) && !vcpu->owes_ranges)
		return false;
	for (u32 i = 0; i < vcpu->nr_ranges; i++)
		if (range_drops(&vcpu->ranges[i], gfn, end, table))
			return true;
	return false;
}

bool inspect_cached_usable(u32 vcpu, pfn_t root, gfn_t gfn, gfn_t end, bool table)
{
	if (!inspect_tlb_usable(vcpu, root))
		return false;
	return machine.vcpus[vcpu].running || !ranges_drop(&machine.vcpus[vcpu], gfn, end, table);
}

bool inspect_in_guest_mode(u32 vcpu)
{
	return vcpu < machine.nr_vcpus && machine.vcpus[vcpu].running;
}

pfn_t inspect_vcpu_root(u32 vcpu)
{
	return vcpu < machine.nr_vcpus ? machine.vcpus[vcpu].root : 0;
}

u32 inspect_nr_pml(u32 vcpu)
{
	return vcpu < machine.nr_vcpus ? machine.vcpus[vcpu].nr_pml : 0;
}

gfn_t inspect_pml(u32 vcpu, u32 nth)
{
	return machine.vcpus[vcpu].pml[nth];
}

bool inspect_pml_on(u32 vcpu)
{
	return vcpu < machine.nr_vcpus && machine.vcpus[vcpu].pml_on;
}

bool inspect_ad_bits(void)
{
	return machine.assisted;
}

/* Return: the record of a frame that was handed out in this schedule, else NULL. */
static const struct frame *frame_known(pfn_t pfn)
{
	if (!pfn || pfn >= KERN_PAGES_MAX || machine.frames[pfn].epoch != machine.epoch)
		return NULL;
	return &machine.frames[pfn];
}

struct frame_view inspect_frame(pfn_t pfn)
{
	const struct frame *frame = frame_known(pfn);

	if (!frame)
		return (struct frame_view){ .count = 0 };
	return (struct frame_view){ .count = frame->refcount,
				    .generation = frame->generation,
				    .kind = frame->kind,
				    .allocated = frame->allocated };
}

u64 inspect_frame_count(pfn_t pfn)
{
	const struct frame *frame = frame_known(pfn);

	return frame ? frame->refcount : 0;
}

u32 inspect_frame_generation(pfn_t pfn)
{
	const struct frame *frame = frame_known(pfn);

	return frame ? frame->generation : 0;
}

bool inspect_frame_is(pfn_t pfn, enum frame_kind kind)
{
	const struct frame *frame = frame_known(pfn);

	return frame && frame->allocated && frame->kind == kind;
}

/* Memory of a freed table is poisoned: an oracle must not be what trips over it. */
const u64 *inspect_table(pfn_t table)
{
	return inspect_frame_is(table, FRAME_PAGE_TABLE) ? frame_words(table) : NULL;
}

u64 inspect_table_entry(pfn_t table, u32 index)
{
	const u64 *words = inspect_table(table);

	return words && index < PT_ENTRIES ? words[index] : 0;
}

u32 inspect_nr_frames(void)
{
	return kern_pages_used();
}

bool inspect_flush_pending(u32 vcpu)
{
	return machine.vcpus[vcpu].requests & REQUESTS_FLUSHING;
}

bool inspect_request_pending(u32 vcpu, u32 request)
{
	return vcpu < machine.nr_vcpus && (machine.vcpus[vcpu].requests & BIT_ULL(request));
}
