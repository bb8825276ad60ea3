/*
 * The oracles, each on a violation and on its legal neighbour. The world is real (frames, host
 * PTEs, vCPUs, a VM with its root); what happens in it is told by hand, event by event, so that the
 * MMU can be made to do what it never would.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/hash.h"
#include "host/host.h"
#include "kern/kern.h"
#include "machine/machine.h"
#include "oracle/oracle.h"
#include "sched/sched.h"
#include "subject/subject.h"

#define SEQ	100u
#define HVA	0x100u
#define GFNS	8u
#define LEAF_RO (SPTE_SHADOW_PRESENT | PTE_R | PTE_X | PTE_A)
#define LEAF_RW (LEAF_RO | PTE_W | PTE_D | SPTE_HOST_WRITABLE | SPTE_MMU_WRITABLE)
#define TABLE	(SPTE_SHADOW_PRESENT | PTE_RWX | PTE_A)

static pfn_t root, table; /* the table covers gfns 0 .. 7 */

/* --- the world --- */

static void world_with(bool read_only, u32 forbidden)
{
	struct subject_config config = { .variant = variant_default,
					 .nr_vcpus = 2,
					 .root_level = 2,
					 .seq = SEQ,
					 .nr_slots = 1 };

	event_context.task = TASK_NONE;
	event_context.site = NULL;
	oracle_reset(&(struct oracle_config){ .seq = SEQ, .forbidden = forbidden });
	subject_reset();
	kern_reset();
	machine_reset();
	host_reset();
	host_add_map(&(struct host_map){ HVA, HVA + GFNS, read_only, true });
	config.slots[0] = (struct subject_slot){ .start = 0, .end = GFNS, .hva = HVA };
	subject_create(&config);
	root = inspect_root(0).pfn;
	for (u32 vcpu = 0; vcpu < 2; vcpu++)
		vcpu_load_root(machine_vcpu(vcpu), root, 2);
}

static void world(void)
{
	world_with(false, 0);
}

static void as(u32 task)
{
	event_context.task = task;
	event_context.op = 0;
}

static void lock(enum lock_mode mode)
{
	event(lock_acquired, .lock = 1, .class = LOCK_mmu_lock, .mode = mode);
}

static void unlock(void)
{
	event(lock_released, .lock = 1, .class = LOCK_mmu_lock, .mode = LOCK_SHARED);
}

static void change_expecting(pfn_t in, u32 index, u64 new, u64 expected, enum pte_write how)
{
	u64 *word = frame_words(in) + index, old = *word;

	*word = new;
	event(spte_changed, .table = in, .index = index, .old = old, .new = new,
	      .expected = expected, .how = how);
}

static void change(pfn_t in, u32 index, u64 new)
{
	change_expecting(in, index, new, frame_words(in)[index], PTE_XCHG);
}

static u64 pfn_bits(pfn_t pfn)
{
	return pfn << PTE_PFN_SHIFT;
}

static pfn_t host_pfn(gfn_t gfn)
{
	return host_pte_pfn(inspect_host_pte(HVA + gfn));
}

/* Context: mmu_lock. */
static void link_table(void)
{
	table = frame_alloc(FRAME_PAGE_TABLE);
	for (u32 i = 0; i < PT_ENTRIES; i++)
		frame_words(table)[i] = SPTE_NONPRESENT;
	change(root, 0, TABLE | pfn_bits(table));
}

/* A world in which @task holds mmu_lock and the table is linked. */
static void world_locked(u32 task)
{
	world();
	as(task);
	lock(LOCK_EXCLUSIVE);
	link_table();
}

static void fault_until_check(gfn_t gfn)
{
	event(fault_begun, .vcpu = 0, .gfn = gfn, .access = ACCESS_WRITE);
	event(fault_snapshot, .seq = SEQ);
	event(fault_translated, .gfn = gfn, .pfn = host_pfn(gfn), .writable = true);
}

static void fault_check(gfn_t gfn)
{
	event(fault_checked, .gfn = gfn, .seq = SEQ);
}

static void install(gfn_t gfn, u64 bits)
{
	change(table, (u32)gfn, bits | pfn_bits(host_pfn(gfn)));
}

/* A fault of @task that does everything right. Context: the table is linked, mmu_lock is free. */
static void fault_done(u32 task, gfn_t gfn)
{
	as(task);
	fault_until_check(gfn);
	lock(LOCK_SHARED);
	fault_check(gfn);
	install(gfn, LEAF_RW);
	unlock();
	event(fault_ended, .gfn = gfn, .ret = SUBJECT_FIXED);
}

static void world_mapped(gfn_t gfn)
{
	world_locked(0);
	unlock();
	fault_done(0, gfn);
}

static void invalidate_begin(u32 task, gfn_t start, gfn_t end)
{
	as(task);
	lock(LOCK_EXCLUSIVE);
	event(invalidate_begun, 0);
	event(invalidate_range_added, .start = start, .end = end);
	unlock();
}

static void invalidate_end(u32 task)
{
	as(task);
	lock(LOCK_EXCLUSIVE);
	event(invalidate_ended, 0);
	unlock();
}

/* vCPU 0 runs and has @gfn in its TLB. */
static void tlb_fill_by_hand(gfn_t gfn)
{
	struct vcpu *vcpu = machine_vcpu(0);

	vcpu_load_root(vcpu, root, 2);
	vcpu->running = true;
	vcpu->tlb[vcpu->nr_tlb++] = (struct tlb_entry){ .gfn = gfn,
							.root = root,
							.pfn = host_pfn(gfn),
							.filled_at = event_context.clock,
							.level = PT_LEVEL_4K,
							.access = PTE_RWX };
}

static void host_changes(gfn_t gfn, u64 new)
{
	u64 old = inspect_host_pte(HVA + gfn);

	event(host_pte_changed, .hva = HVA + gfn, .old = old, .new = new);
}

static void silent(void)
{
	const struct verdict *verdict = oracle_verdict();

	if (verdict->violated)
		fail_msg("%s %s: %s [%s]", oracle_rows[verdict->oracle].name, verdict->class,
			 verdict->sentence, verdict->detail);
}

static void convicted(enum oracle_id oracle, const char *class)
{
	const struct verdict *verdict = oracle_verdict();

	assert_true(verdict->violated);
	assert_string_equal(oracle_rows[verdict->oracle].name, oracle_rows[oracle].name);
	assert_string_equal(verdict->class, class);
}

/* --- stale_mapping --- */

static void install_is_legal(void **state)
{
	world_mapped(3);
	silent();
}

static void fault_with(gfn_t gfn, void (*before_lock)(void), void (*after_check)(void))
{
	world_locked(0);
	unlock();
	fault_until_check(gfn);
	before_lock();
	as(0);
	lock(LOCK_SHARED);
	fault_check(gfn);
	after_check();
	install(gfn, LEAF_RW);
}

static void nothing(void)
{
}

static void begin_near(void)
{
	invalidate_begin(1, 4, 6);
}

static void begin_and_end(void)
{
	invalidate_begin(1, 6, 7);
	invalidate_end(1);
}

static void begin_around(void)
{
	invalidate_begin(1, 0, 2);
	invalidate_begin(2, 6, 8);
}

static void begin_around_end_first(void)
{
	begin_around();
	invalidate_end(1);
}

static void relock(void)
{
	unlock();
	lock(LOCK_SHARED);
}

static void snapshot_too_late(void)
{
	begin_and_end();
	as(0);
	event(fault_snapshot, .seq = SEQ + 1);
}

static void install_sees_invalidations(void **state)
{
	fault_with(3, begin_near, nothing);
	silent();
	fault_with(4, begin_near, nothing);
	convicted(ORACLE_stale_mapping, "SM4");
	fault_with(3, begin_around, nothing);
	convicted(ORACLE_stale_mapping, "SM4");
	fault_with(3, begin_and_end, nothing);
	convicted(ORACLE_stale_mapping, "SM4");
	assert_int_equal(oracle_verdict()->task[1], 1);
	fault_with(0, begin_around_end_first, nothing);
	convicted(ORACLE_stale_mapping, "SM4");
	fault_with(3, snapshot_too_late, nothing);
	convicted(ORACLE_stale_mapping, "SM4");
	fault_with(3, nothing, relock);
	convicted(ORACLE_stale_mapping, "SM4");
}

/* The last end closes the hull: what began afterwards counts alone. */
static void hull_starts_over(void **state)
{
	world_locked(0);
	unlock();
	begin_around();
	invalidate_end(1);
	invalidate_end(2);
	invalidate_begin(1, 0, 1);
	fault_done(0, 3);
	silent();
	fault_done(0, 0);
	convicted(ORACLE_stale_mapping, "SM4");
}

static void install_needs_host(void **state)
{
	world_with(true, 0);
	as(0);
	lock(LOCK_SHARED);
	link_table();
	install(1, LEAF_RO);
	silent();
	install(2, LEAF_RW);
	convicted(ORACLE_stale_mapping, "SM3");

	world_locked(0);
	change(table, 1, LEAF_RO | pfn_bits(host_pfn(2)));
	convicted(ORACLE_stale_mapping, "SM3");

	/* Behind the slot. */
	world_locked(0);
	pfn_t second = frame_alloc(FRAME_PAGE_TABLE);
	change(root, 1, TABLE | pfn_bits(second));
	silent();
	change(second, 0, LEAF_RO | pfn_bits(host_pfn(2)));
	convicted(ORACLE_stale_mapping, "SM3");
}

/* What is below a table becomes reachable with it, and is gone with it. */
static void links_carry_subtrees(void **state)
{
	world();
	as(0);
	table = frame_alloc(FRAME_PAGE_TABLE);
	frame_words(table)[1] = LEAF_RW | pfn_bits(host_pfn(1));
	lock(LOCK_EXCLUSIVE);
	change(root, 0, TABLE | pfn_bits(table));
	host_changes(2, 0);
	silent();
	host_changes(1, 0);
	convicted(ORACLE_stale_mapping, "SM1");
}

static void host_takes_back(void **state)
{
	u64 pte;

	world_mapped(3);
	pte = inspect_host_pte(HVA + 3);
	host_changes(2, 0);
	host_changes(3, pte | HOST_PTE_DIRTY);
	silent();
	host_changes(3, 0);
	convicted(ORACLE_stale_mapping, "SM1");
	assert_int_equal(oracle_verdict()->task[1], 0);

	world_mapped(3);
	host_changes(3, inspect_host_pte(HVA + 3) & ~HOST_PTE_WRITE);
	convicted(ORACLE_stale_mapping, "SM1");

	world_locked(0);
	install(3, LEAF_RO);
	host_changes(3, inspect_host_pte(HVA + 3) & ~HOST_PTE_WRITE);
	silent();

	world_mapped(3);
	as(1);
	lock(LOCK_EXCLUSIVE);
	change(table, 3, SPTE_NONPRESENT);
	unlock();
	host_changes(3, 0);
	silent();
}

static void host_takes_back_from_tlb(void **state)
{
	world();
	tlb_fill_by_hand(3);
	host_changes(2, 0);
	silent();
	host_changes(3, 0);
	convicted(ORACLE_stale_mapping, "SM2");

	/* Outside the guest, a flush pending. */
	world();
	tlb_fill_by_hand(3);
	machine_vcpu(0)->running = false;
	machine_vcpu(0)->requests = BIT_ULL(REQUEST_TLB_FLUSH);
	host_changes(3, 0);
	silent();

	/* Read-only from now on: only entries that write matter. */
	world();
	tlb_fill_by_hand(3);
	machine_vcpu(0)->tlb[0].access = PTE_R | PTE_X;
	host_changes(3, inspect_host_pte(HVA + 3) & ~HOST_PTE_WRITE);
	silent();
	machine_vcpu(0)->tlb[0].access = PTE_RWX;
	host_changes(3, inspect_host_pte(HVA + 3) & ~HOST_PTE_WRITE);
	convicted(ORACLE_stale_mapping, "SM2");
}

static void started_range_is_empty(void **state)
{
	world_mapped(3);
	as(1);
	event(notifier_start, .start = HVA + 4, .end = HVA + 5);
	event(notifier_start_returned, .start = HVA + 4, .end = HVA + 5);
	silent();
	fault_done(0, 5);
	silent();
	fault_done(0, 4);
	convicted(ORACLE_stale_mapping, "SM5");

	world_mapped(3);
	as(1);
	event(notifier_start, .start = HVA + 2, .end = HVA + 4);
	silent();
	event(notifier_start_returned, .start = HVA + 2, .end = HVA + 4);
	convicted(ORACLE_stale_mapping, "SM5");

	world_mapped(3);
	as(1);
	event(notifier_start, .start = HVA + 4, .end = HVA + 5);
	event(notifier_start_returned, .start = HVA + 4, .end = HVA + 5);
	event(notifier_end, .start = HVA + 4, .end = HVA + 5);
	fault_done(0, 4);
	silent();
}

static void freed_pages_are_unmapped(void **state)
{
	world_mapped(3);
	as(1);
	event(frame_freed, .pfn = host_pfn(2), .generation = 1, .kind = FRAME_HOST_PAGE);
	silent();
	event(frame_freed, .pfn = host_pfn(3), .generation = 1, .kind = FRAME_HOST_PAGE);
	convicted(ORACLE_stale_mapping, "SM8");

	world();
	tlb_fill_by_hand(3);
	event(frame_freed, .pfn = host_pfn(3), .generation = 1, .kind = FRAME_HOST_PAGE);
	convicted(ORACLE_stale_mapping, "SM8");
}

/* --- stale_tlb --- */

static void zap_with_tlb(void)
{
	world_mapped(3);
	tlb_fill_by_hand(3);
	as(1);
	lock(LOCK_EXCLUSIVE);
	change(table, 3, SPTE_NONPRESENT);
	silent();
}

static void flush_is_due_at_unlock(void **state)
{
	oracle_stats_clear();
	zap_with_tlb();
	unlock();
	convicted(ORACLE_stale_tlb, "D1");

	zap_with_tlb();
	machine_vcpu(0)->nr_tlb = 0;
	unlock();
	silent();
	assert_int_equal(oracle_stats()->stale_then_flushed, 1);

	zap_with_tlb();
	machine_vcpu(0)->running = false;
	machine_vcpu(0)->requests = BIT_ULL(REQUEST_TLB_FLUSH);
	unlock();
	silent();

	/* Another task's unlock is nobody's due point but its own. */
	zap_with_tlb();
	as(0);
	unlock();
	silent();

	/* Filled after the change: has read the entry of now. */
	zap_with_tlb();
	machine_vcpu(0)->tlb[0].filled_at = event_context.clock;
	unlock();
	silent();
}

static void flush_is_due_when_start_returns(void **state)
{
	zap_with_tlb();
	event(notifier_start_returned, .start = HVA + 3, .end = HVA + 4);
	convicted(ORACLE_stale_tlb, "D1");
}

static void flush_for_other_losses(void **state)
{
	world_mapped(3);
	tlb_fill_by_hand(3);
	as(1);
	lock(LOCK_EXCLUSIVE);
	install(3, LEAF_RW & ~(PTE_W | SPTE_MMU_WRITABLE));
	unlock();
	convicted(ORACLE_stale_tlb, "D3");

	world_mapped(3);
	tlb_fill_by_hand(3);
	machine_vcpu(0)->tlb[0].access = PTE_R | PTE_X;
	as(1);
	lock(LOCK_EXCLUSIVE);
	install(3, LEAF_RW & ~(PTE_W | SPTE_MMU_WRITABLE));
	unlock();
	silent();

	/* W alone: whoever wants it gone flushes elsewhere. */
	world_mapped(3);
	tlb_fill_by_hand(3);
	as(1);
	lock(LOCK_EXCLUSIVE);
	install(3, LEAF_RW & ~PTE_W);
	unlock();
	silent();

	world_mapped(3);
	tlb_fill_by_hand(3);
	as(1);
	lock(LOCK_EXCLUSIVE);
	change(root, 0, SPTE_NONPRESENT);
	unlock();
	convicted(ORACLE_stale_tlb, "D2");
}

static void loading_a_root_flushes(void **state)
{
	world();
	tlb_fill_by_hand(3);
	vcpu_load_root(machine_vcpu(0), root, 2);
	silent();
	tlb_fill_by_hand(3);
	event(root_loaded, .vcpu = 0, .root = root);
	convicted(ORACLE_stale_tlb, "T3");
}

/* --- spte_change --- */

static void believed_value(void **state)
{
	u64 leaf;

	world_mapped(3);
	leaf = frame_words(table)[3];
	lock(LOCK_EXCLUSIVE);
	change_expecting(table, 3, SPTE_NONPRESENT, leaf & ~PTE_A, PTE_PLAIN);
	silent();

	world_mapped(3);
	lock(LOCK_EXCLUSIVE);
	change_expecting(table, 3, SPTE_NONPRESENT, leaf & ~PTE_D, PTE_PLAIN);
	convicted(ORACLE_spte_change, "C0");
}

/* Under mmu_lock, entry 3 goes from @old to @new of the same frame, by a fault or not. */
static void in_place(u64 old, u64 new, bool by_fault)
{
	world_locked(0);
	frame_words(table)[3] = old | pfn_bits(host_pfn(3));
	if (by_fault) {
		fault_until_check(3);
		fault_check(3);
	}
	install(3, new);
}

static void leaf_changes(void **state)
{
	in_place(LEAF_RO, LEAF_RW, true);
	silent();
	in_place(LEAF_RO, LEAF_RW, false);
	convicted(ORACLE_spte_change, "C3");
	in_place(LEAF_RW, LEAF_RO, true);
	convicted(ORACLE_spte_change, "C3");
	in_place(LEAF_RW, LEAF_RW & ~PTE_D, false);
	convicted(ORACLE_spte_change, "C3");
	in_place(LEAF_RO, LEAF_RW & ~PTE_D, true);
	convicted(ORACLE_spte_change, "C3");
	in_place(LEAF_RO, LEAF_RW & ~SPTE_MMU_WRITABLE, true);
	convicted(ORACLE_spte_change, "C2");
	in_place(LEAF_RO, (LEAF_RW & ~SPTE_HOST_WRITABLE), true);
	convicted(ORACLE_spte_change, "C2");

	world_locked(0);
	frame_words(table)[3] = LEAF_RO | pfn_bits(host_pfn(4));
	fault_until_check(3);
	fault_check(3);
	install(3, LEAF_RO);
	convicted(ORACLE_spte_change, "C1");
}

static void frozen_has_an_owner(void **state)
{
	world_locked(0);
	change(table, 3, SPTE_FROZEN);
	change(table, 3, SPTE_NONPRESENT);
	silent();
	change(table, 3, SPTE_FROZEN);
	unlock();
	as(1);
	lock(LOCK_EXCLUSIVE);
	change(table, 3, SPTE_NONPRESENT);
	convicted(ORACLE_spte_change, "C4");

	world_locked(0);
	change(table, 3, 0);
	convicted(ORACLE_spte_change, "C6");
}

static void detached_tables_stay_empty(void **state)
{
	world_mapped(3);
	lock(LOCK_EXCLUSIVE);
	change(root, 0, SPTE_NONPRESENT);
	change(table, 3, SPTE_FROZEN);
	silent();
	change(table, 4, LEAF_RO | pfn_bits(host_pfn(4)));
	convicted(ORACLE_spte_change, "C5");
}

static void assist(pfn_t in, u32 index, u64 old, u64 new)
{
	frame_words(in)[index] = old;
	change_expecting(in, index, new, old, PTE_ASSIST);
}

static void who_may_write(void **state)
{
	u64 leaf, link;

	world_mapped(3);
	leaf = frame_words(table)[3];
	link = frame_words(root)[0];
	assist(table, 3, leaf & ~(PTE_A | PTE_D), leaf);
	assist(root, 0, link & ~PTE_A, link);
	silent();
	assist(table, 3, leaf & ~PTE_W, leaf);
	convicted(ORACLE_spte_change, "C7");

	world_mapped(3);
	assist(root, 0, link, link | PTE_D);
	convicted(ORACLE_spte_change, "C7");

	world_mapped(3);
	change(table, 3, SPTE_NONPRESENT);
	convicted(ORACLE_spte_change, "C7");
}

/* --- false_retry --- */

static void retried(gfn_t gfn, enum retry_reason reason)
{
	event(fault_retried, .gfn = gfn, .reason = reason);
}

static u64 retries_of(enum retry_class class)
{
	return oracle_stats()->retries[class];
}

static void retry_under_lock(void (*before)(void), gfn_t gfn, enum retry_reason reason)
{
	world_locked(0);
	unlock();
	oracle_stats_clear();
	fault_until_check(gfn);
	before();
	as(0);
	lock(LOCK_SHARED);
	retried(gfn, reason);
}

static void retries_have_causes(void **state)
{
	retry_under_lock(begin_near, 4, RETRY_LOCKED);
	silent();
	assert_int_equal(retries_of(RETRY_CLASS_true), 1);
	retry_under_lock(begin_around, 4, RETRY_LOCKED);
	silent();
	assert_int_equal(retries_of(RETRY_CLASS_hull), 1);
	retry_under_lock(begin_and_end, 4, RETRY_LOCKED);
	silent();
	assert_int_equal(retries_of(RETRY_CLASS_seq), 1);
	retry_under_lock(begin_near, 3, RETRY_LOCKED);
	convicted(ORACLE_false_retry, "FR1");
	retry_under_lock(nothing, 3, RETRY_LOCKED);
	convicted(ORACLE_false_retry, "FR1");
	retry_under_lock(begin_near, 3, RETRY_AFTER_GUP);
	silent();
	assert_int_equal(retries_of(RETRY_CLASS_race), 1);
	retry_under_lock(nothing, 3, RETRY_AFTER_GUP);
	convicted(ORACLE_false_retry, "FR1");
	retry_under_lock(begin_near, 4, RETRY_UNSET_RANGE);
	convicted(ORACLE_false_retry, "RC8");
	retry_under_lock(nothing, 4, RETRY_OBSOLETE_ROOT);
	convicted(ORACLE_false_retry, "FR1");
}

/* Without the lock half of an end may be seen; under it a number read behind the end must match. */
static void end_under_way(void **state)
{
	world();
	invalidate_begin(1, 0, 1);
	as(1);
	lock(LOCK_EXCLUSIVE);
	event(invalidate_ended, 0);
	as(0);
	fault_until_check(3);
	retried(3, RETRY_AFTER_GUP);
	silent();
	as(1);
	unlock();
	as(0);
	lock(LOCK_SHARED);
	retried(3, RETRY_LOCKED);
	convicted(ORACLE_false_retry, "FR1");

	/* What is open elsewhere, and was before the fault began, excuses nothing. */
	world();
	invalidate_begin(1, 0, 1);
	as(0);
	fault_until_check(3);
	retried(3, RETRY_AFTER_GUP);
	convicted(ORACLE_false_retry, "FR1");
}

static void fixed_means_changed(void **state)
{
	world_locked(0);
	unlock();
	fault_until_check(3);
	event(fault_ended, .gfn = 3, .ret = SUBJECT_FIXED);
	convicted(ORACLE_false_retry, "SP2");

	/* Nor does it count that another task has installed it meanwhile. */
	world_locked(0);
	unlock();
	fault_until_check(3);
	fault_done(1, 3);
	silent();
	as(0);
	event(fault_ended, .gfn = 3, .ret = SUBJECT_FIXED);
	convicted(ORACLE_false_retry, "SP2");
}

static void unwanted_retries(void **state)
{
	world_with(false, BIT_ULL(RETRY_CLASS_hull));
	as(0);
	fault_until_check(3);
	invalidate_begin(1, 3, 4);
	as(0);
	retried(3, RETRY_AFTER_GUP);
	silent();
	begin_around();
	invalidate_begin(3, 6, 7);
	as(0);
	retried(4, RETRY_AFTER_GUP);
	silent();
	fault_until_check(5);
	retried(5, RETRY_LOCKED);
	convicted(ORACLE_false_retry, "hull");
}

static void lost_races(void **state)
{
	world_locked(0);
	unlock();
	vcpu_load_root(machine_vcpu(0), root, 2);
	fault_until_check(3);
	lock(LOCK_SHARED);
	fault_check(3);
	fault_done(1, 3);
	as(0);
	retried(3, RETRY_LOST_LEAF);
	silent();
	fault_check(3);
	retried(3, RETRY_LOST_LEAF);
	convicted(ORACLE_false_retry, "FR1");
}

static void spurious(u32 op)
{
	event_context.op = op;
	fault_until_check(3);
	event(fault_ended, .gfn = 3, .ret = SUBJECT_SPURIOUS);
}

static void spurious_twice(void **state)
{
	world_mapped(3);
	vcpu_load_root(machine_vcpu(0), root, 2);
	spurious(1);
	spurious(2);
	silent();
	frame_words(table)[3] &= ~PTE_A;
	change_expecting(table, 3, frame_words(table)[3] | PTE_A, frame_words(table)[3],
			 PTE_ASSIST);
	spurious(2);
	silent();
	spurious(2);
	convicted(ORACLE_false_retry, "SP1");
}

/* --- progress --- */

static void deadlocks_are_told(void **state)
{
	world();
	event(task_stuck, .stuck_task = 0, .lock_class = LOCK_mmu_lock, .lock = 1, .holder = 1);
	event(task_stuck, .stuck_task = 1, .lock_class = LOCK_CLASS_COUNT, .holder = ~0ull);
	silent();
	event(deadlocked, .tasks = 3);
	convicted(ORACLE_progress, "PR1");
	assert_string_equal(oracle_verdict()->detail, "task 0 waits for mmu_lock of task 1; "
						      "task 1 waits for memory to change");
}

static void stuck(u32 task, enum lock_class class, u32 holder)
{
	event(task_stuck, .stuck_task = task, .lock_class = class, .lock = 1, .holder = holder);
}

static void core_is(u32 waiter, u32 holder)
{
	event(deadlocked, 0);
	convicted(ORACLE_progress, "PR1");
	assert_int_equal(oracle_verdict()->task[0], waiter);
	assert_int_equal(oracle_verdict()->task[1], holder);
}

/* The pair does not depend on who waits for those that wait for each other. */
static void deadlocks_have_a_core(void **state)
{
	world();
	stuck(0, LOCK_mmap_lock, 3);
	stuck(1, LOCK_mmu_lock, 2);
	stuck(2, LOCK_mmap_lock, 1);
	stuck(3, LOCK_mmu_lock, 2);
	core_is(1, 2);

	/* Task 2 has ended and left mmu_lock locked. */
	world();
	as(2);
	lock(LOCK_SHARED);
	as(TASK_NONE);
	stuck(0, LOCK_mmap_lock, 1);
	stuck(1, LOCK_mmu_lock, 2);
	core_is(1, 2);
}

static void three_attempts(void)
{
	as(0);
	for (u32 i = 0; i < 3; i++) {
		fault_until_check(3);
		retried(3, RETRY_AFTER_GUP);
		event(fault_ended, .gfn = 3, .ret = SUBJECT_RETRY);
	}
}

/* Retries for an invalidation that came and went elsewhere meanwhile. */
static void stormy_attempts(u32 nr, u32 switches)
{
	for (u32 i = 0; i < nr; i++) {
		as(0);
		fault_until_check(3);
		invalidate_begin(1, 0, 1);
		invalidate_end(1);
		as(0);
		retried(3, RETRY_AFTER_GUP);
		event(fault_ended, .gfn = 3, .ret = SUBJECT_RETRY);
		event_context.switches += switches;
	}
}

static void faults_end_alone(void **state)
{
	/* In the range of another task's open invalidation: for as long as it takes. */
	world();
	invalidate_begin(1, 3, 4);
	three_attempts();
	silent();

	/* About to begin one. */
	world();
	as(2);
	event(notifier_start, .start = HVA + 3, .end = HVA + 4);
	stormy_attempts(3, 0);
	silent();

	/* Each has a cause, but nobody else ran. */
	world();
	stormy_attempts(3, 0);
	convicted(ORACLE_progress, "PR2");

	/* Others ran in between. */
	world();
	stormy_attempts(6, 1);
	silent();

	/* Whatever the attempts say: the fourth at one access is one too many. */
	world_mapped(3);
	for (u32 i = 0; i < 3; i++) {
		event(fault_begun, .vcpu = 0, .gfn = 3, .access = ACCESS_WRITE);
		event(fault_ended, .gfn = 3, .ret = SUBJECT_WRITE_PROTECTED);
	}
	convicted(ORACLE_progress, "PR2");
}

static void walks_get_on(void **state)
{
	world();
	as(0);
	event(walk_begun, .root = root, .start = 0, .end = 8);
	event(walk_yielded, .root = root, .position = 3);
	event(walk_yielded, .root = root, .position = 4);
	event(walk_begun, .root = root, .start = 0, .end = 8);
	event(walk_yielded, .root = root, .position = 4);
	as(1);
	event(walk_yielded, .root = root, .position = 4);
	silent();
	as(0);
	event(walk_yielded, .root = root, .position = 4);
	convicted(ORACLE_progress, "PR2");
}

/* --- accounting, assertion --- */

static void quiesce(void)
{
	event_context.task = TASK_NONE;
	event(quiesced, .tasks = 1);
}

static void end_state_adds_up(void **state)
{
	world();
	quiesce();
	silent();

	frame_set_users(host_pfn(2), 2);
	quiesce();
	convicted(ORACLE_accounting, "AC0");

	world();
	as(1);
	event(lock_acquired, .lock = 1, .class = LOCK_mmap_lock, .mode = LOCK_SHARED);
	quiesce();
	convicted(ORACLE_accounting, "AC0");

	world();
	frame_words(root)[1] = SPTE_FROZEN;
	quiesce();
	convicted(ORACLE_accounting, "AC0");

	/* A table that nobody reaches. */
	world();
	frame_alloc(FRAME_PAGE_TABLE);
	quiesce();
	convicted(ORACLE_accounting, "AC1");

	/* Linked behind the MMU's back: it counts none. */
	world_locked(0);
	unlock();
	quiesce();
	convicted(ORACLE_accounting, "AC1");
}

static void guest_reaches_what_the_host_maps(void **state)
{
	world_mapped(3);
	as(0);
	event(guest_accessed, .vcpu = 0, .gfn = 3, .pfn = host_pfn(3), .access = ACCESS_WRITE);
	silent();
	event(guest_accessed, .vcpu = 0, .gfn = 3, .pfn = host_pfn(4), .access = ACCESS_READ);
	convicted(ORACLE_stale_mapping, "SM2");

	world_with(true, 0);
	as(0);
	event(guest_accessed, .vcpu = 0, .gfn = 3, .pfn = host_pfn(3), .access = ACCESS_READ);
	silent();
	event(guest_accessed, .vcpu = 0, .gfn = 3, .pfn = host_pfn(3), .access = ACCESS_WRITE);
	convicted(ORACLE_stale_mapping, "SM2");
}

static void flushes_are_served_before_entry(void **state)
{
	world();
	as(0);
	event(vcpu_entered, .vcpu = 0);
	silent();
	machine_vcpu(0)->requests = BIT_ULL(REQUEST_TLB_FLUSH);
	event(vcpu_entered, .vcpu = 0);
	convicted(ORACLE_stale_tlb, "T8");
}

static void assertions_convict(void **state)
{
	world();
	event(warned, .line = 17);
	convicted(ORACLE_assertion, "AS1");
	assert_string_equal(oracle_verdict()->detail, "line 17");
	world();
	event(dead_access, .object = 0x30010);
	convicted(ORACLE_assertion, "AS2");
	world();
	event(op_left_holding, .class = LOCK_kvm_srcu);
	convicted(ORACLE_assertion, "AS4");
	world();
	event(slept_in_atomic, .what = LOCK_ptl);
	convicted(ORACLE_assertion, "AS3");
	assert_string_equal(oracle_verdict()->detail, "holds PTL");
}

/* --- the sink --- */

static u32 tapped, hooked;

static void count_tapped(const struct event *event)
{
	tapped++;
}

static void count_hooked(void)
{
	hooked++;
}

static void print_function(struct buf *buf, const struct sched_site *site)
{
	buf_printf(buf, "%s", site->function);
}

static void first_violation_stands(void **state)
{
	struct sched_site site = { .function = "f" };
	struct buf buf = { 0 };

	tapped = hooked = 0;
	oracle_on_violation(count_hooked);
	world();
	verdict_print(&buf, oracle_verdict(), print_function);
	assert_string_equal(buf_text(&buf), "none");
	event_context.site = &site;
	event(warned, .line = 1);
	event(slept_in_atomic, .what = LOCK_ptl);
	convicted(ORACLE_assertion, "AS1");
	assert_int_equal(hooked, 1);
	buf_clear(&buf);
	verdict_print(&buf, oracle_verdict(), print_function);
	assert_string_equal(buf_text(&buf), "assertion AS1 f");
	buf_free(&buf);
	oracle_on_violation(NULL);
	event_context.site = NULL;
}

/* Taps see everything; counts and verdicts do not depend on there being one. */
static void taps_change_nothing(void **state)
{
	u64 counted;

	world();
	oracle_stats_clear();
	event(op_begun, .op = 0, .nth = 0);
	event(quiesced, .tasks = 0);
	counted = oracle_stats()->events[EVENT_op_begun];
	oracle_tap(count_tapped);
	tapped = 0;
	event(op_begun, .op = 0, .nth = 0);
	event(quiesced, .tasks = 0);
	oracle_tap(NULL);
	assert_int_equal(tapped, 2);
	assert_int_equal(oracle_stats()->events[EVENT_op_begun], counted);
	assert_int_equal(oracle_stats()->events[EVENT_quiesced], 2);
}

static void state_hash_is_of_the_state(void **state)
{
	u64 empty, mapped;

	world();
	empty = oracle_state_hash();
	world();
	assert_true(oracle_state_hash() == empty);
	world_mapped(3);
	mapped = oracle_state_hash();
	assert_true(mapped != empty);
	tlb_fill_by_hand(3);
	assert_true(oracle_state_hash() != mapped);
	world_mapped(3);
	assert_true(oracle_state_hash() == mapped);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(install_is_legal),
		cmocka_unit_test(install_sees_invalidations),
		cmocka_unit_test(hull_starts_over),
		cmocka_unit_test(install_needs_host),
		cmocka_unit_test(links_carry_subtrees),
		cmocka_unit_test(host_takes_back),
		cmocka_unit_test(host_takes_back_from_tlb),
		cmocka_unit_test(started_range_is_empty),
		cmocka_unit_test(freed_pages_are_unmapped),
		cmocka_unit_test(flush_is_due_at_unlock),
		cmocka_unit_test(flush_is_due_when_start_returns),
		cmocka_unit_test(flush_for_other_losses),
		cmocka_unit_test(loading_a_root_flushes),
		cmocka_unit_test(believed_value),
		cmocka_unit_test(leaf_changes),
		cmocka_unit_test(frozen_has_an_owner),
		cmocka_unit_test(detached_tables_stay_empty),
		cmocka_unit_test(who_may_write),
		cmocka_unit_test(retries_have_causes),
		cmocka_unit_test(end_under_way),
		cmocka_unit_test(fixed_means_changed),
		cmocka_unit_test(guest_reaches_what_the_host_maps),
		cmocka_unit_test(flushes_are_served_before_entry),
		cmocka_unit_test(unwanted_retries),
		cmocka_unit_test(lost_races),
		cmocka_unit_test(spurious_twice),
		cmocka_unit_test(deadlocks_are_told),
		cmocka_unit_test(deadlocks_have_a_core),
		cmocka_unit_test(faults_end_alone),
		cmocka_unit_test(walks_get_on),
		cmocka_unit_test(end_state_adds_up),
		cmocka_unit_test(assertions_convict),
		cmocka_unit_test(first_violation_stands),
		cmocka_unit_test(taps_change_nothing),
		cmocka_unit_test(state_hash_is_of_the_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
