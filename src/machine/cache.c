/*
 * What a vCPU has cached of the tables: translations of pages (TLB) and where the tables on the way
 * to them are (paging-structure cache). Two short lists, oldest entry first, that only their own vCPU
 * touches, inside the guest and outside.
 */
#include "machine/machine_internal.h"

/* --- TLB --- */

const struct tlb_entry *tlb_find(const struct vcpu *vcpu, gfn_t gfn)
{
	for (u32 i = 0; i < vcpu->nr_tlb; i++) {
		const struct tlb_entry *entry = &vcpu->tlb[i];

		if (entry->root == vcpu->root && tlb_covers(entry, gfn))
			return entry;
	}
	return NULL;
}

/* Takes entry @nth out; the others keep their order, which is that of their fills. */
static void tlb_remove(struct vcpu *vcpu, u32 nth)
{
	vcpu->nr_tlb--;
	for (u32 i = nth; i < vcpu->nr_tlb; i++)
		vcpu->tlb[i] = vcpu->tlb[i + 1];
}

static bool tlb_same_page(const struct tlb_entry *a, const struct tlb_entry *b)
{
	return a->root == b->root && a->gfn == b->gfn && a->level == b->level;
}

void tlb_fill(struct vcpu *vcpu, const struct tlb_entry *entry)
{
	u32 same = 0;

	while (same < vcpu->nr_tlb && !tlb_same_page(&vcpu->tlb[same], entry))
		same++;
	if (same < vcpu->nr_tlb) {
		tlb_remove(vcpu, same);
	} else if (vcpu->nr_tlb == TLB_ENTRIES_MAX) {
		gfn_t oldest = vcpu->tlb[0].gfn;

		tlb_remove(vcpu, 0);
		event(tlb_dropped, .vcpu = vcpu->id, .gfn = oldest);
	}
	/* An oracle may look at the TLB while it handles the event: the entry must be there. */
	vcpu->tlb[vcpu->nr_tlb++] = *entry;
	event(tlb_filled, .vcpu = vcpu->id, .root = entry->root, .gfn = entry->gfn,
	      .level = entry->level, .pfn = entry->pfn, .access = entry->access);
}

/* --- paging-structure cache --- */

const struct psc_entry *psc_find(const struct vcpu *vcpu, gfn_t gfn)
{
	const struct psc_entry *deepest = NULL;

	for (u32 i = 0; i < vcpu->nr_psc; i++) {
		const struct psc_entry *entry = &vcpu->psc[i];

		if (entry->root != vcpu->root || !psc_covers(entry, gfn))
			continue;
		if (entry->level == PT_LEVEL_4K)
			return entry;
		if (!deepest || entry->level < deepest->level)
			deepest = entry;
	}
	return deepest;
}

static void psc_remove(struct vcpu *vcpu, u32 nth)
{
	vcpu->nr_psc--;
	for (u32 i = nth; i < vcpu->nr_psc; i++)
		vcpu->psc[i] = vcpu->psc[i + 1];
}

static bool psc_same_table(const struct psc_entry *a, const struct psc_entry *b)
{
	return a->root == b->root && a->gfn == b->gfn && a->level == b->level;
}

void psc_fill(struct vcpu *vcpu, const struct psc_entry *entry)
{
	u32 same = 0;

	while (same < vcpu->nr_psc && !psc_same_table(&vcpu->psc[same], entry))
		same++;
	if (same < vcpu->nr_psc)
		psc_remove(vcpu, same);
	else if (vcpu->nr_psc == PSC_ENTRIES_MAX)
		psc_remove(vcpu, 0);
	vcpu->psc[vcpu->nr_psc++] = *entry;
	event(psc_filled, .vcpu = vcpu->id, .root = entry->root, .gfn = entry->gfn,
	      .level = entry->level, .table = entry->table);
}

/* --- dropping --- */

void tlb_evict(struct vcpu *vcpu, gfn_t gfn, bool tables)
{
	u32 before = vcpu->nr_tlb + vcpu->nr_psc;

	for (u32 i = vcpu->nr_tlb; i-- > 0;)
		if (vcpu->tlb[i].root == vcpu->root && tlb_covers(&vcpu->tlb[i], gfn))
			tlb_remove(vcpu, i);
	for (u32 i = tables ? vcpu->nr_psc : 0; i-- > 0;)
		if (vcpu->psc[i].root == vcpu->root && psc_covers(&vcpu->psc[i], gfn))
			psc_remove(vcpu, i);
	if (vcpu->nr_tlb + vcpu->nr_psc != before)
		event(tlb_dropped, .vcpu = vcpu->id, .gfn = gfn);
}

void vcpu_drop_gfn(struct vcpu *vcpu, gfn_t gfn)
{
	tlb_evict(vcpu, gfn, true);
}

void vcpu_flush_tlb(struct vcpu *vcpu)
{
	vcpu->nr_tlb = 0;
	vcpu->nr_psc = 0;
	event(tlb_flushed, .vcpu = vcpu->id);
}

void vcpu_flush_tlb_current(struct vcpu *vcpu)
{
	for (u32 i = vcpu->nr_tlb; i-- > 0;)
		if (vcpu->tlb[i].root == vcpu->root)
			tlb_remove(vcpu, i);
	for (u32 i = vcpu->nr_psc; i-- > 0;)
		if (vcpu->psc[i].root == vcpu->root)
			psc_remove(vcpu, i);
	event(tlb_flushed, .vcpu = vcpu->id);
}

static void flush_range(struct vcpu *vcpu, const struct flush_range *range)
{
	for (u32 i = vcpu->nr_tlb; i-- > 0;) {
		const struct tlb_entry *entry = &vcpu->tlb[i];

		if (range_drops(range, entry->gfn, entry->gfn + PT_PAGES(entry->level), false))
			tlb_remove(vcpu, i);
	}
	for (u32 i = vcpu->nr_psc; i-- > 0;) {
		const struct psc_entry *entry = &vcpu->psc[i];

		if (range_drops(range, entry->gfn, entry->gfn + PT_PAGES(entry->level + 1), true))
			psc_remove(vcpu, i);
	}
	event(tlb_range_flushed, .vcpu = vcpu->id, .start = range->start, .end = range->end);
}

void vcpu_flush_ranges(struct vcpu *vcpu)
{
	/*
	 * Races with machine_flush_range(), which adds a range and then posts the request. One that
	 * is served here before it was posted leaves a request with nothing to do; a list that was
	 * emptied after the drop, without the lock, would lose it: stale_tlb notices.
	 */
	spin_lock(&vcpu->ranges_lock);
	for (u32 i = 0; i < vcpu->nr_ranges; i++)
		flush_range(vcpu, &vcpu->ranges[i]);
	vcpu->nr_ranges = 0;
	vcpu->owes_ranges = false;
	spin_unlock(&vcpu->ranges_lock);
}
