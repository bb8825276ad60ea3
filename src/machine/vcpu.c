/*
 * vCPUs: guest mode, requests, and the TLB as a list that only its own vCPU touches. Nobody empties
 * another vCPU's TLB: a sender posts a request, makes sure that the vCPU is out of the guest, and
 * the vCPU flushes on its way back in.
 *
 * Why no entry is used after machine_request_all(REQUEST_TLB_FLUSH) has returned:
 *  1. The sender sets the request, then looks at the mode; the vCPU sets the mode, then looks at
 *     the requests; a full barrier stands in between on both sides. So the sender sees guest mode,
 *     or the vCPU sees the request, or both.
 *  2. If the sender sees guest mode, it waits for vcpu_leave(), which follows the last access.
 *  3. If it does not, the vCPU's next vcpu_enter() sees the request and refuses.
 * The oracle stale_tlb notices when one of the two orders is lost.
 */
#include "machine/machine_internal.h"

struct vcpu *vcpu_create(u32 id)
{
	struct vcpu *vcpu;

	ASSERT(id < VCPUS_MAX && id == machine.nr_vcpus);
	vcpu = &machine.vcpus[machine.nr_vcpus++];
	vcpu->mode = OUTSIDE_GUEST_MODE;
	vcpu->requests = 0;
	vcpu->id = id;
	vcpu->running = false;
	vcpu->root = 0;
	vcpu->root_level = 0;
	vcpu->nr_tlb = 0;
	return vcpu;
}

struct vcpu *machine_vcpu(u32 id)
{
	return id < machine.nr_vcpus ? &machine.vcpus[id] : NULL;
}

u32 machine_nr_vcpus(void)
{
	return machine.nr_vcpus;
}

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

void tlb_fill(struct vcpu *vcpu, struct tlb_entry entry)
{
	u32 same = 0;

	while (same < vcpu->nr_tlb && !tlb_same_page(&vcpu->tlb[same], &entry))
		same++;
	if (same < vcpu->nr_tlb) {
		tlb_remove(vcpu, same);
	} else if (vcpu->nr_tlb == TLB_ENTRIES_MAX) {
		gfn_t oldest = vcpu->tlb[0].gfn;

		tlb_remove(vcpu, 0);
		event(tlb_dropped, .vcpu = vcpu->id, .gfn = oldest);
	}
	/* An oracle may look at the TLB while it handles the event: the entry must be there. */
	entry.filled_at = event_context.clock;
	vcpu->tlb[vcpu->nr_tlb++] = entry;
	event(tlb_filled, .vcpu = vcpu->id, .root = entry.root, .gfn = entry.gfn,
	      .level = entry.level, .pfn = entry.pfn, .access = entry.access);
}

void vcpu_load_root(struct vcpu *vcpu, pfn_t root, u32 level)
{
	/* The frame may have been another root before; what was cached then is not this one's. */
	for (u32 i = vcpu->nr_tlb; i-- > 0;)
		if (vcpu->tlb[i].root == root)
			tlb_remove(vcpu, i);
	vcpu->root = root;
	vcpu->root_level = (u8)level;
	event(root_loaded, .vcpu = vcpu->id, .root = root);
}

void vcpu_flush_tlb(struct vcpu *vcpu)
{
	vcpu->nr_tlb = 0;
	event(tlb_flushed, .vcpu = vcpu->id);
}

void vcpu_drop_gfn(struct vcpu *vcpu, gfn_t gfn)
{
	bool dropped = false;

	for (u32 i = vcpu->nr_tlb; i-- > 0;) {
		if (vcpu->tlb[i].root != vcpu->root || !tlb_covers(&vcpu->tlb[i], gfn))
			continue;
		tlb_remove(vcpu, i);
		dropped = true;
	}
	if (dropped)
		event(tlb_dropped, .vcpu = vcpu->id, .gfn = gfn);
}

bool vcpu_enter(struct vcpu *vcpu)
{
	u64 requests;

	/* Mode before requests, see 1. above; pairs with fetch_or() in machine_request_all(). */
	smp_store_mb(vcpu->mode, IN_GUEST_MODE);
	requests = READ_ONCE(vcpu->requests);
	if (requests) {
		/* A sender may wait by now; nothing was accessed in between. */
		smp_store_release(&vcpu->mode, OUTSIDE_GUEST_MODE);
		return false;
	}
	vcpu->running = true;
	event(vcpu_entered, .vcpu = vcpu->id);
	return true;
}

void vcpu_leave(struct vcpu *vcpu)
{
	/* Release: the accesses of the guest are over; pairs with the wait in wait_outside(). */
	smp_store_release(&vcpu->mode, OUTSIDE_GUEST_MODE);
	vcpu->running = false;
	event(vcpu_left, .vcpu = vcpu->id);
}

bool vcpu_take_request(struct vcpu *vcpu, enum vcpu_request request)
{
	/* One step: a request that is posted between a test and a clear would be lost unserved. */
	u64 pending = fetch_and(&vcpu->requests, ~BIT_ULL(request));

	return pending & BIT_ULL(request);
}

/*
 * Return: whether @vcpu was in guest mode; it is told to leave. Mirrors
 * kvm_vcpu_exiting_guest_mode.
 */
static bool interrupt(struct vcpu *vcpu)
{
	u64 mode = IN_GUEST_MODE;

	/*
	 * Races with vcpu_enter() and vcpu_leave(). A plain store could turn OUTSIDE into EXITING,
	 * and the sender would wait for a vCPU that has long been out: progress notices.
	 */
	if (try_cmpxchg64(&vcpu->mode, &mode, EXITING_GUEST_MODE))
		return true;
	return mode == EXITING_GUEST_MODE;
}

/* Until @vcpu has gone out of the guest once; whether it is back in by then does not matter. */
static void wait_outside(struct vcpu *vcpu)
{
	u64 exiting = EXITING_GUEST_MODE;

	await_change(&vcpu->mode, &exiting, sizeof(exiting));
}

void machine_request_all(enum vcpu_request request)
{
	u32 interrupted = 0;

	for (u32 i = 0; i < machine.nr_vcpus; i++) {
		struct vcpu *vcpu = &machine.vcpus[i];

		/* Request before mode, see 1. above; pairs with smp_store_mb() in vcpu_enter(). */
		fetch_or(&vcpu->requests, BIT_ULL(request));
		event(request_sent, .vcpu = i, .request = request);
		if (interrupt(vcpu))
			interrupted |= 1u << i;
	}
	for (; interrupted; interrupted &= interrupted - 1)
		wait_outside(&machine.vcpus[__builtin_ctz(interrupted)]);
}
