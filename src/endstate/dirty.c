/* What was written and not reported will be. */
#include "endstate/internal.h"

static const char sentence[] = "A page written since its last report is pending.";

static bool is_logged(u32 as_id, gfn_t gfn)
{
	for (u32 i = 0; i < inspect_nr_slots(); i++) {
		struct slot_view slot = inspect_slot(i);

		if (slot.as_id == as_id && gfn_in(gfn, slot.start, slot.end))
			return slot.logging;
	}
	return false;
}

static bool in_pml(u32 as_id, gfn_t gfn)
{
	for (u32 vcpu = 0; vcpu < inspect_nr_vcpus(); vcpu++)
		for (u32 i = 0; inspect_vcpu_as(vcpu) == as_id && i < inspect_nr_pml(vcpu); i++)
			if (inspect_pml(vcpu, i) == gfn)
				return true;
	return false;
}

void endstate_dirty(const struct endstate_write *written, u32 nr_written, endstate_convict convict,
		    void *ctx)
{
	const struct judgement to = { convict, ctx };

	for (u32 i = 0; inspect_vm() && i < nr_written; i++) {
		u32 as_id = written[i].as_id;
		gfn_t gfn = written[i].gfn;

		if (is_logged(as_id, gfn) && !inspect_dirty_bit(as_id, gfn) &&
		    !inspect_dirty_ring(as_id, gfn) && !in_pml(as_id, gfn))
			CONVICT(&to, "lost_dirty", "LD1", sentence,
				{ { "as", as_id }, { "gfn", gfn } });
	}
}
