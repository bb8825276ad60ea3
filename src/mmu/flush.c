/* Telling vCPUs to drop what they have cached. The machine does it; here is what for. */
#include "mmu/mmu_internal.h"
#include "mmu/tdp_mmu.h"

void kvm_flush_remote_tlbs(struct kvm *kvm)
{
	machine_request_all(REQUEST_TLB_FLUSH);
}

void kvm_flush_remote_tlbs_range(struct kvm *kvm, gfn_t start, gfn_t end)
{
	struct flush_range range = { .start = start, .end = end };

	bool leafs = bug(table_flush_reaches_leafs_only);

	if (kvm->variant.knob[KNOB_remote_flush] != remote_flush_ranged && !leafs) {
		kvm_flush_remote_tlbs(kvm);
		return;
	}
	if (bug(ranged_flush_too_short))
		range.end--;
	range.leafs_only = leafs;
	machine_flush_range(&range);
}
