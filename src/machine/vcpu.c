/*
 * vCPUs: guest mode and requests. Nobody empties another vCPU's TLB: a sender posts a request, makes
 * sure that the vCPU is out of the guest, and the vCPU flushes on its way back in.
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
	vcpu->nr_psc = 0;
	vcpu->nr_ranges = 0;
	vcpu->owes_ranges = false;
	vcpu->pml_on = false;
	vcpu->nr_pml = 0;
	vcpu->violation_present = false;
	spin_lock_init_class(&vcpu->ranges_lock, LOCK_range_requests);
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

void vcpu_load_root(struct vcpu *vcpu, pfn_t root, u32 level)
{
	vcpu->root = root;
	vcpu->root_level = (u8)level;
	event(root_loaded, .vcpu = vcpu->id, .root = root);
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
	bool pending = fetch_and(&vcpu->requests, ~BIT_ULL(request)) & BIT_ULL(request);

	if (request == REQUEST_TLB_FLUSH_RANGE && pending)
		vcpu->owes_ranges = true;
	return pending;
}

bool vcpu_requests_pending(const struct vcpu *vcpu)
{
	return READ_ONCE(vcpu->requests);
}

/*
 * @vcpu has just been seen outside: what it read of the tables comes before whatever the sender does
 * with them, up to freeing one. No point, since the mode was read in the one before; acquire, which a
 * failed exchange is not. Pairs with the release in vcpu_leave(); for the race detector.
 */
static void accesses_seen(const struct vcpu *vcpu)
{
	(void)__atomic_load_n(&vcpu->mode, __ATOMIC_ACQUIRE);
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
	if (try_cmpxchg64(&vcpu->mode, &mode, EXITING_GUEST_MODE)) {
		event(vcpu_interrupted, .vcpu = vcpu->id);
		return true;
	}
	accesses_seen(vcpu);
	return mode == EXITING_GUEST_MODE;
}

/* Until @vcpu has gone out of the guest once; whether it is back in by then does not matter. */
static void wait_outside(struct vcpu *vcpu)
{
	u64 exiting = EXITING_GUEST_MODE;

	await_change(&vcpu->mode, &exiting, sizeof(exiting));
	accesses_seen(vcpu);
}

/* Return: whether @vcpu was in guest mode. */
static bool post(struct vcpu *vcpu, enum vcpu_request request)
{
	/* Request before mode, see 1. above; pairs with smp_store_mb() in vcpu_enter(). */
	fetch_or(&vcpu->requests, BIT_ULL(request));
	event(request_sent, .vcpu = vcpu->id, .request = request);
	return interrupt(vcpu);
}

/* @interrupted: mask of vCPUs that were in guest mode. */
static void wait_all(u32 interrupted, enum vcpu_request request)
{
	for (; interrupted; interrupted &= interrupted - 1)
		wait_outside(&machine.vcpus[__builtin_ctz(interrupted)]);
	event(request_waited, .request = request);
}

void machine_request_all(enum vcpu_request request)
{
	u32 interrupted = 0;

	for (u32 i = 0; i < machine.nr_vcpus; i++)
		if (post(&machine.vcpus[i], request))
			interrupted |= 1u << i;
	wait_all(interrupted, request);
}

void machine_request_all_nowait(enum vcpu_request request)
{
	for (u32 i = 0; i < machine.nr_vcpus; i++)
		post(&machine.vcpus[i], request);
}

void machine_kick_all(void)
{
	/*
	 * No request: a vCPU that is on its way in need not turn back, since what it has to do outside
	 * it has just done. One in the guest leaves it, but maybe long after this has returned.
	 */
	for (u32 i = 0; i < machine.nr_vcpus; i++)
		interrupt(&machine.vcpus[i]);
}

/* Return: the request that has @vcpu drop what it has cached for @range, or more. */
static enum vcpu_request add_range(struct vcpu *vcpu, const struct flush_range *range)
{
	bool added;

	/* Races with other senders and with vcpu_flush_ranges(): a lost range is a lost flush. */
	spin_lock(&vcpu->ranges_lock);
	added = vcpu->nr_ranges < FLUSH_RANGES_MAX;
	if (added)
		vcpu->ranges[vcpu->nr_ranges++] = *range;
	spin_unlock(&vcpu->ranges_lock);
	return added ? REQUEST_TLB_FLUSH_RANGE : REQUEST_TLB_FLUSH;
}

void machine_flush_range(const struct flush_range *range)
{
	u32 interrupted = 0;

	for (u32 i = 0; i < machine.nr_vcpus; i++) {
		struct vcpu *vcpu = &machine.vcpus[i];

		/* Range before request: a vCPU that finds the request must find the range. */
		if (post(vcpu, add_range(vcpu, range)))
			interrupted |= 1u << i;
	}
	wait_all(interrupted, REQUEST_TLB_FLUSH_RANGE);
}
