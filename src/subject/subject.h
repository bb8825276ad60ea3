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
	bool counts_users; /* the program may destroy the VM: see subject_get() */
	u32 nr_slots;
	struct subject_slot slots[SLOTS_MAX];
};

/* Context: no task; machine and host are reset and mapped. Creates the VM, its slots and vCPUs. */
void subject_create(const struct subject_config *config);
/*
 * Context: no task. Forgets the VM, whose memory the resets of kern and machine take; what a schedule
 * leaves behind is judged before, and a VM that is destroyed is destroyed by subject_close().
 */
void subject_reset(void);

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
/*
 * Resolves what a violation would, before the guest asks for it (KVM_PRE_FAULT_MEMORY): an in-kernel
 * loop of attempts to read-map @gfn. Return: FIXED or SPURIOUS when it is mapped, else an error; never
 * RETRY. Context: the vCPU's task, outside guest mode, no locks; may sleep.
 */
enum subject_ret subject_prefault(u32 vcpu, gfn_t gfn);
/*
 * The vCPU goes from one address space to the other (system management mode): it lets go of its root
 * and loads one of the other with its next entry. Context: as above.
 */
void subject_switch_as(u32 vcpu);
/* One access in guest mode. Return: true when it was done, false when it needs subject_fault(). */
bool subject_vcpu_access(u32 vcpu, gfn_t gfn, enum access access);
void subject_vcpu_leave(u32 vcpu);

/* --- the VM as a whole; context: a task, no locks, may sleep --- */

enum subject_slot_change { SLOT_CREATE, SLOT_DELETE, SLOT_MOVE, SLOT_FLAGS };
/*
 * Changes a memslot (KVM_SET_USER_MEMORY_REGION). @slot: for CREATE all of it, else its id and as_id;
 * @to: for MOVE, the new first gfn; FLAGS turns the dirty-log flag over. Return: 0; -EEXIST, -ENOENT
 * (no such slot), -EINVAL (overlaps another one or leaves the guest), -ENOMEM.
 */
int subject_set_slot(enum subject_slot_change change, const struct subject_slot *slot, gfn_t to);
/* Invalidates every root and zaps it, as a change of the nx_huge_pages parameter does. */
void subject_zap_all(void);
/* Zaps [start, end) of every address space, as a change of the guest's memory types does. */
void subject_zap_gfn_range(gfn_t start, gfn_t end);

/*
 * Users of the VM: one for its owner, one for each op that works on it; counted if the configuration
 * says so, else get succeeds and put does nothing. Who drops the last one destroys it, in its task.
 */
bool subject_get(void);
void subject_put(void);
/* The owner closes the VM; nothing the second time. */
void subject_close(void);

#endif
