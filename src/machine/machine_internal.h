/*
 * The machine's state, for the files of this folder only.
 */
#ifndef MACHINE_MACHINE_INTERNAL_H
#define MACHINE_MACHINE_INTERNAL_H

#include "machine/machine.h"

extern struct machine_state {
	u64 epoch; /* of the schedule, from 1; frames with another one are as good as never used */
	u32 nr_vcpus;
	struct vcpu vcpus[VCPUS_MAX]; /* [0, nr_vcpus) exist */
	struct frame frames[KERN_PAGES_MAX]; /* by pfn */
} machine;

/* First page that @entry covers is entry->gfn. */
static inline bool tlb_covers(const struct tlb_entry *entry, gfn_t gfn)
{
	return gfn_in(gfn, entry->gfn, entry->gfn + PT_PAGES(entry->level));
}

/* Return: the oldest entry under the loaded root that translates @gfn, else NULL. */
const struct tlb_entry *tlb_find(const struct vcpu *vcpu, gfn_t gfn);
/* Adds @entry as the youngest; fills in its time. Emits tlb_filled, maybe tlb_dropped. */
void tlb_fill(struct vcpu *vcpu, struct tlb_entry entry);

#endif
