/*
 * What an MMU under test must offer: the verbs that ops call. One subject a link; src/mmu is the
 * first. Notifier callbacks are not here: the subject registers them with the host itself.
 */
#ifndef SUBJECT_SUBJECT_H
#define SUBJECT_SUBJECT_H

#include "base/types.h"
#include "subject/inspect.h"
#include "subject/variant.h"

struct subject_slot {
	u32 id;
	u32 as_id;
	gfn_t start, end;
	hva_t hva; /* of start */
};

struct subject_config {
	struct mmu_variant variant;
	u32 nr_vcpus;
	u32 root_level; /* 2 .. PT_LEVEL_MAX */
	u64 seq; /* initial sequence number of invalidations */
	u32 nr_slots;
	struct subject_slot slots[SLOTS_MAX];
};

/* Context: no task; machine and host are reset and mapped. Creates the VM, its slots and vCPUs. */
void subject_create(const struct subject_config *config);
/* Context: no task. Forgets a VM whose memory the resets of kern and machine are about to take. */
void subject_reset(void);
/*
 * Context: no task. Frees everything the VM holds. Call after a schedule that ended well; a schedule
 * that was abandoned is cleaned up by the resets alone.
 */
void subject_destroy(void);

/* One attempt. Context: the vCPU's task, outside guest mode, no locks; may sleep. */
enum subject_ret subject_fault(u32 vcpu, gfn_t gfn, enum access access);
/*
 * After SUBJECT_RETRY: gives way while the cause is an invalidation that another task has open, as
 * a vCPU would spin through re-entries; returns at once for any other cause. Context: as above.
 */
void subject_retry_wait(u32 vcpu, gfn_t gfn);

/*
 * Serves pending requests, loads the root if there is none, and enters guest mode.
 * Context: the vCPU's task, outside guest mode.
 */
void subject_vcpu_enter(u32 vcpu);
/* One access in guest mode. Return: true when it was done, false when it needs subject_fault(). */
bool subject_vcpu_access(u32 vcpu, gfn_t gfn, enum access access);
void subject_vcpu_leave(u32 vcpu);

#endif
