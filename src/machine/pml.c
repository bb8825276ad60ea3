/*
 * Page-modification logging: a short list of gfns for each vCPU, oldest first. The walker appends in the guest
 * when it sets D, the vCPU's own task takes entries out behind the exit; nobody else reads or writes it.
 * So a page is in the log from the step that sets its D until its own vCPU takes it out, whatever others
 * do to the entry meanwhile; who wants to know it earlier can only have the vCPU leave the guest.
 */
#include "machine/machine_internal.h"

void pml_log(struct vcpu *vcpu, gfn_t gfn)
{
	vcpu->pml[vcpu->nr_pml++] = gfn;
	/* An oracle may look into the log while it handles the event: the entry must be there. */
	event(pml_logged, .vcpu = vcpu->id, .gfn = gfn);
}

void vcpu_set_pml(struct vcpu *vcpu, bool on)
{
	if (vcpu->pml_on == on)
		return;
	/* What is in the log stays: it was written while it counted, and is still to be taken. */
	vcpu->pml_on = on;
	event(pml_switched, .vcpu = vcpu->id, .on = on);
}

bool vcpu_pml_take(struct vcpu *vcpu, gfn_t *gfn)
{
	if (!vcpu->nr_pml)
		return false;
	*gfn = vcpu->pml[0];
	vcpu->nr_pml--;
	for (u32 i = 0; i < vcpu->nr_pml; i++)
		vcpu->pml[i] = vcpu->pml[i + 1];
	event(pml_taken, .vcpu = vcpu->id, .gfn = *gfn);
	return true;
}
