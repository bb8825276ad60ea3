/* What the files of this folder share: how a linked entry is read, by hardware rules and KVM's documented bits. */
#ifndef ENDSTATE_INTERNAL_H
#define ENDSTATE_INTERNAL_H

#include "endstate/endstate.h"
#include "host/inspect.h"
#include "machine/inspect.h"
#include "subject/inspect.h"

struct judgement {
	endstate_convict convict;
	void *ctx;
};

/* Holds on to a frame: present to hardware, or (access-tracked) to KVM alone. MMIO entries do not. */
static inline bool entry_maps(u64 pte)
{
	if ((pte & (SPTE_MMIO_MASK | SPTE_SHADOW_PRESENT)) == SPTE_MMIO_VALUE)
		return false;
	return pte & (PTE_RWX | SPTE_SHADOW_PRESENT);
}

static inline bool entry_is_table(u64 pte, u32 level)
{
	return entry_maps(pte) && level > PT_LEVEL_4K && !(pte & PTE_PS);
}

#define CONVICT(judgement, oracle_, class_, sentence_, ...)                        \
	((judgement)->convict(&(struct endstate_finding){ .oracle = oracle_,       \
							  .class = class_,         \
							  .sentence = sentence_,   \
							  .values = __VA_ARGS__ }, \
			      (judgement)->ctx))

#endif
