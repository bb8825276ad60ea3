/*
 * The machine's state, for the files of this folder only.
 */
#ifndef MACHINE_MACHINE_INTERNAL_H
#define MACHINE_MACHINE_INTERNAL_H

#include "machine/machine.h"

extern struct machine_state {
	u64 epoch; /* of the schedule, from 1; frames with another one are as good as never used */
	u64 assisted; /* bits that the CPU sets by itself: A and D, or none */
	u32 nr_vcpus;
	struct vcpu vcpus[VCPUS_MAX]; /* [0, nr_vcpus) exist */
	struct frame frames[KERN_PAGES_MAX]; /* by pfn */
} machine;

/* First page that @entry covers is entry->gfn. */
static inline bool tlb_covers(const struct tlb_entry *entry, gfn_t gfn)
{
	return gfn_in(gfn, entry->gfn, entry->gfn + PT_PAGES(entry->level));
}

/* First page that the table covers is entry->gfn. */
static inline bool psc_covers(const struct psc_entry *entry, gfn_t gfn)
{
	return gfn_in(gfn, entry->gfn, entry->gfn + PT_PAGES(entry->level + 1));
}

/* Return: the oldest entry under the loaded root that translates @gfn, else NULL. */
const struct tlb_entry *tlb_find(const struct vcpu *vcpu, gfn_t gfn);
/* Adds @entry as the youngest. Emits tlb_filled, maybe tlb_dropped. */
void tlb_fill(struct vcpu *vcpu, const struct tlb_entry *entry);
/* Drops what the TLB holds for @gfn under the loaded root, and with @tables what leads there. */
void tlb_evict(struct vcpu *vcpu, gfn_t gfn, bool tables);

/* Return: the entry under the loaded root that leads deepest towards @gfn, else NULL. */
const struct psc_entry *psc_find(const struct vcpu *vcpu, gfn_t gfn);
/* Adds @entry as the youngest. Emits psc_filled. */
void psc_fill(struct vcpu *vcpu, const struct psc_entry *entry);

/* Whether setting D would end the access: the log is on and has no room. */
static inline bool pml_full(const struct vcpu *vcpu)
{
	return vcpu->pml_on && vcpu->nr_pml == PML_ENTRIES_MAX;
}
/*
 * An assist of @vcpu has just set D for @gfn; the log is on and was not full before. Emits pml_logged; no
 * point.
 */
void pml_log(struct vcpu *vcpu, gfn_t gfn);

/* Return: whether serving @range drops a translation of [gfn, end); @table: one of a page table. */
static inline bool range_drops(const struct flush_range *range, gfn_t gfn, gfn_t end, bool table)
{
	return range->start < end && gfn < range->end && !(table && range->leafs_only);
}

#endif
