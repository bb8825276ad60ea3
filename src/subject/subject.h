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
	bool logging; /* dirty logging is on when it is created */
};

/* One bit a page of a memslot, from its first one. */
#define DIRTY_WORDS_MAX (0x1000u / 64)
struct dirty_bitmap {
	u64 words[DIRTY_WORDS_MAX];
};

struct subject_config {
	struct mmu_variant variant;
	u32 nr_vcpus;
	u32 root_level; /* 2 .. PT_LEVEL_MAX */
	u64 seq; /* initial sequence number of invalidations */
	bool counts_users; /* the program may destroy the VM: see subject_get() */
	bool tracks_pages; /* the program may call subject_track() */
	bool has_pfncache; /* the program may call subject_pfncache_*() */
	u32 dirty_mode; /* enum dirty_log_mode */
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
 * Serves pending requests, loads the root if there is none, and enters guest mode. Return: false when
 * the vCPU's dirty ring is full: it is in user space then, and does not run before a reset.
 * Context: the vCPU's task, outside guest mode.
 */
bool subject_vcpu_enter(u32 vcpu);
/*
 * Resolves what violations would, before the guest asks for it (KVM_PRE_FAULT_MEMORY): chunk by chunk,
 * each an in-kernel loop of attempts to read-map a page of [start, end) at whatever level, up to the
 * first failure. Return: of the last chunk, FIXED or SPURIOUS when it is mapped, else an error; never
 * RETRY. Context: the vCPU's task, outside guest mode, no locks; may sleep.
 */
enum subject_ret subject_prefault(u32 vcpu, gfn_t start, gfn_t end);
/*
 * The kernel writes to @gfn on the vCPU's behalf (an emulated instruction, a paravirtual record): through
 * the host's mapping, then marks the page dirty. Return: FIXED, or EMULATE without a memslot, BAD_ADDRESS.
 * Context: the vCPU's task, outside guest mode, no locks; may sleep.
 */
enum subject_ret subject_write_guest(u32 vcpu, gfn_t gfn);
/*
 * The vCPU goes from one address space to the other (system management mode): it lets go of its root
 * and loads one of the other with its next entry. Context: as above.
 */
void subject_switch_as(u32 vcpu);
/*
 * The vCPU's guest runs a guest of its own from now on, or no longer: shadow pages that mirror its tables come
 * and go (they map nothing). Nothing happens the second time. Context: as above.
 */
void subject_nest(u32 vcpu, bool on);
/* One access in guest mode. Return: true when it was done, false when it needs subject_fault(). */
bool subject_vcpu_access(u32 vcpu, gfn_t gfn, enum access access);
void subject_vcpu_leave(u32 vcpu);

/* --- the VM as a whole; context: a task, no locks, may sleep --- */

enum subject_slot_change { SLOT_CREATE, SLOT_DELETE, SLOT_MOVE, SLOT_FLAGS };
/*
 * Changes a memslot (KVM_SET_USER_MEMORY_REGION). @slot: for CREATE all of it, else its id and as_id;
 * @to: for MOVE, the new first gfn; FLAGS turns dirty logging on or off. Return: 0; -EEXIST, -ENOENT
 * (no such slot), -EINVAL (overlaps another one or leaves the guest), -ENOMEM.
 */
int subject_set_slot(enum subject_slot_change change, const struct subject_slot *slot, gfn_t to);
/* Invalidates every root and zaps it, as a change of the nx_huge_pages parameter does. */
void subject_zap_all(void);
/* Zaps [start, end) of every address space, as a change of the guest's memory types does. */
void subject_zap_gfn_range(gfn_t start, gfn_t end);

/* Says that the guest page is (or is no longer) write-tracked: no entry lets the guest write to it. */
void subject_track(u32 as_id, gfn_t gfn, bool on);
/*
 * The VM's pfncache, a page of the guest that the kernel writes to without a fault: maps @gfn there (again), lets it
 * go, or writes to it, mapping it again where an invalidation has taken it. Return: 0; -EFAULT: no memslot, no page, or
 * (use) nothing was mapped. Context: as the others; use: the vCPU's task, outside guest mode.
 */
int subject_pfncache_map(gfn_t gfn);
void subject_pfncache_unmap(void);
int subject_pfncache_use(u32 vcpu);
/* One round of NX recovery: zaps page tables that execute faults have split off huge pages. */
void subject_nx_recovery(void);

/*
 * KVM_GET_DIRTY_LOG of memslot @id. Return: 0 with the bits of its pages, the rest of the bitmap 0;
 * -ENOENT: no such memslot, or it does not log; -ENXIO: there is a dirty ring instead.
 */
int subject_get_dirty_log(u32 id, struct dirty_bitmap *bitmap);
/*
 * KVM_CLEAR_DIRTY_LOG: clears the bits of @mask, pages [first, first + nr_pages) of the memslot; @first a
 * multiple of 64, @nr_pages, too, or up to the memslot's end. Return: 0; -ENOENT, -ENXIO as above;
 * -EINVAL: out of range, or the log is not cleared by hand.
 */
int subject_clear_dirty_log(u32 id, u32 first, u32 nr_pages, const struct dirty_bitmap *mask);
/*
 * User space takes all entries of all dirty rings and KVM_RESET_DIRTY_RINGS makes room for new ones.
 * Return: how many; -EINVAL without rings.
 */
int subject_reset_dirty_rings(void);

/*
 * Users of the VM: one for its owner, one for each op that works on it; counted if the configuration
 * says so, else get succeeds and put does nothing. Who drops the last one destroys it, in its task.
 */
bool subject_get(void);
void subject_put(void);
/* The owner closes the VM; nothing the second time. */
void subject_close(void);

#endif
