/*
 * The oracles, each on a violation and on its legal neighbour. What there is they see through windows
 * that stand here (fake_world.h), and what happens is told by hand, event by event, so that an MMU can
 * be made to do what it never would.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/hash.h"
#include "oracle/fake_world.h"
#include "sched/sched.h"

#define SEQ	100u
#define HVA	0x100u
#define GFNS	8u
#define LEAF_RO (SPTE_SHADOW_PRESENT | PTE_R | PTE_X | PTE_A)
#define LEAF_RW (LEAF_RO | PTE_W | PTE_D | SPTE_HOST_WRITABLE | SPTE_MMU_WRITABLE)
#define TABLE	(SPTE_SHADOW_PRESENT | PTE_RWX | PTE_A)

static pfn_t root, table; /* the table covers gfns 0 .. 7 */

/* --- the world --- */

static void fake_reset(void)
{
	fake.nr_frames = fake.nr_roots = fake.nr_slots = 0;
	for (u32 i = 0; i < FAKE_FRAMES; i++)
		fake.frames[i] = (struct frame_view){ .count = 0 };
	for (hva_t hva = 0; hva < HVA_MAX; hva++)
		fake.host[hva] = 0;
	for (u32 i = 0; i < FAKE_VCPUS; i++)
		fake.vcpus[i] = (struct fake_vcpu){ .root = 0 };
	fake.counters = (struct mmu_counters){ .seq = SEQ };
	fake.vm = true;
}

static void world_with(bool read_only, u32 forbidden)
{
	event_context.task = TASK_NONE;
	event_context.site = NULL;
	fake_reset();
	oracle_reset(&(struct oracle_config){ .seq = SEQ, .forbidden = forbidden });
	for (hva_t hva = HVA; hva < HVA + GFNS; hva++) {
		pfn_t pfn = fake_frame(FRAME_HOST_PAGE);

		fake.host[hva] = pfn << HOST_PTE_PFN_SHIFT | HOST_PTE_PRESENT |
				 (read_only ? 0 : HOST_PTE_WRITE);
	}
	fake.slots[fake.nr_slots++] = (struct slot_view){ .start = 0, .end = GFNS, .hva = HVA };
	root = fake_root(2, 0);
	for (u32 vcpu = 0; vcpu < FAKE_VCPUS; vcpu++)
		fake_load_root(vcpu, root);
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
	u64 *word = fake_words(in) + index, old = *word;

	*word = new;
	event(spte_changed, .table = in, .index = index, .old = old, .new = new,
	      .expected = expected, .how = how);
}

static void change(pfn_t in, u32 index, u64 new)
{
	change_expecting(in, index, new, fake_words(in)[index], PTE_XCHG);
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
	table = fake_table();
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
	struct fake_vcpu *vcpu = fake_vcpu(0);

	fake_load_root(0, root);
	vcpu->running = true;
	vcpu->tlb[vcpu->nr_tlb++] = (struct tlb_view){ .gfn = gfn,
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
	pfn_t second = fake_table();
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
	table = fake_table();
	fake_words(table)[1] = LEAF_RW | pfn_bits(host_pfn(1));
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
	fake_vcpu(0)->running = false;
	fake_vcpu(0)->requests = BIT_ULL(FAKE_FLUSH);
	host_changes(3, 0);
	silent();

	/* Read-only from now on: only entries that write matter. */
	world();
	tlb_fill_by_hand(3);
	fake_vcpu(0)->tlb[0].access = PTE_R | PTE_X;
	host_changes(3, inspect_host_pte(HVA + 3) & ~HOST_PTE_WRITE);
	silent();
	fake_vcpu(0)->tlb[0].access = PTE_RWX;
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
	fake_vcpu(0)->nr_tlb = 0;
	unlock();
	silent();
	assert_int_equal(oracle_stats()->stale_then_flushed, 1);

	zap_with_tlb();
	fake_vcpu(0)->running = false;
	fake_vcpu(0)->requests = BIT_ULL(FAKE_FLUSH);
	unlock();
	silent();

	/* Another task's unlock is nobody's due point but its own. */
	zap_with_tlb();
	as(0);
	unlock();
	silent();

	/* Filled after the change: has read the entry of now. */
	zap_with_tlb();
	fake_vcpu(0)->tlb[0].filled_at = event_context.clock;
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
	fake_vcpu(0)->tlb[0].access = PTE_R | PTE_X;
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

static void enter(void)
{
	fake_vcpu(0)->running = true;
	event(vcpu_entered, .vcpu = 0);
}

static void loading_a_root_flushes(void **state)
{
	world();
	tlb_fill_by_hand(3);
	enter();
	silent();
	fake_load_root(0, root);
	fake_vcpu(0)->nr_tlb = 0;
	enter();
	silent();
	tlb_fill_by_hand(3);
	fake_load_root(0, root);
	silent();
	enter();
	convicted(ORACLE_stale_tlb, "T3");

	world();
	fake_vcpu(0)->psc[fake_vcpu(0)->nr_psc++] = (struct psc_view){
		.root = root, .table = 1, .level = 1, .filled_at = event_context.clock
	};
	enter();
	silent();
	fake_load_root(0, root);
	enter();
	convicted(ORACLE_stale_tlb, "T3");
}

/* --- spte_change --- */

static void believed_value(void **state)
{
	u64 leaf;

	world_mapped(3);
	leaf = fake_words(table)[3];
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
	fake_words(table)[3] = old | pfn_bits(host_pfn(3));
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
	fake_words(table)[3] = LEAF_RO | pfn_bits(host_pfn(4));
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
	fake_words(in)[index] = old;
	change_expecting(in, index, new, old, PTE_ASSIST);
}

static void who_may_write(void **state)
{
	u64 leaf, link;

	world_mapped(3);
	leaf = fake_words(table)[3];
	link = fake_words(root)[0];
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
	fake_load_root(0, root);
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
	fake_load_root(0, root);
	spurious(1);
	spurious(2);
	silent();
	fake_words(table)[3] &= ~PTE_A;
	change_expecting(table, 3, fake_words(table)[3] | PTE_A, fake_words(table)[3], PTE_ASSIST);
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

	fake.frames[host_pfn(2)].count = 2;
	quiesce();
	convicted(ORACLE_accounting, "AC0");

	world();
	as(1);
	event(lock_acquired, .lock = 1, .class = LOCK_mmap_lock, .mode = LOCK_SHARED);
	quiesce();
	convicted(ORACLE_accounting, "AC0");

	world();
	fake_words(root)[1] = SPTE_FROZEN;
	quiesce();
	convicted(ORACLE_accounting, "AC0");

	/* A table that nobody reaches. */
	world();
	fake_table();
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
	event(request_sent, .vcpu = 0, .request = FAKE_FLUSH);
	fake_vcpu(0)->requests = BIT_ULL(FAKE_FLUSH);
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
	event(op_left_holding, .class = LOCK_kvm_srcu);
	convicted(ORACLE_assertion, "AS4");
}

/* --- two roots, memslots, release: stale_mapping --- */

static u64 leaf_of(gfn_t gfn)
{
	return LEAF_RW | pfn_bits(host_pfn(gfn));
}

static void memslot_step(enum memslot_step step, u64 object)
{
	event(memslot_changed, .step = step, .as_id = 0, .start = 0, .end = GFNS, .hva = HVA,
	      .object = object);
}

static void start_and_return(u32 task, hva_t start, hva_t end)
{
	as(task);
	event(notifier_start, .start = start, .end = end);
	event(notifier_start_returned, .start = start, .end = end);
}

/* What maps it under an old root counts as much as under the new one; other address spaces do not. */
static void all_roots_are_judged(void **state)
{
	world_mapped(3);
	as(2);
	lock(LOCK_EXCLUSIVE);
	event(root_invalidated, .root = root);
	fake.roots[0].invalid = true;
	unlock();
	fake_root(2, 0);
	silent();
	host_changes(3, 0);
	convicted(ORACLE_stale_mapping, "SM1");

	world_mapped(3);
	fake.slots[0].as_id = 1;
	host_changes(3, 0);
	silent();
}

static void refused_starts_are_none(void **state)
{
	world_mapped(3);
	as(1);
	event(notifier_start, .start = HVA + 2, .end = HVA + 4);
	event(notifier_end_returned, .start = HVA + 2, .end = HVA + 4);
	fault_done(0, 2);
	silent();
	start_and_return(1, HVA + 4, HVA + 5);
	fault_done(0, 4);
	convicted(ORACLE_stale_mapping, "SM5");
}

static void gone_slots_map_nothing(void **state)
{
	world_mapped(3);
	as(1);
	fake.slots[0].going = true;
	memslot_step(MEMSLOT_INVALID, 0);
	silent();
	memslot_step(MEMSLOT_GONE, 0);
	convicted(ORACLE_stale_mapping, "SM6");

	world();
	tlb_fill_by_hand(3);
	memslot_step(MEMSLOT_GONE, 0);
	convicted(ORACLE_stale_mapping, "SM6");

	/* Another address space; out of the guest with a flush pending; tagged with an invalid root. */
	world();
	tlb_fill_by_hand(3);
	event(memslot_changed, .step = MEMSLOT_GONE, .as_id = 1, .end = GFNS);
	fake_vcpu(0)->running = false;
	fake_vcpu(0)->requests = BIT_ULL(FAKE_FLUSH);
	memslot_step(MEMSLOT_GONE, 0);
	fake_vcpu(0)->requests = 0;
	event(root_invalidated, .root = root);
	memslot_step(MEMSLOT_GONE, 0);
	silent();

	/* A ranged flush that is pending takes only its own range out of use. */
	world();
	tlb_fill_by_hand(3);
	fake_vcpu(0)->running = false;
	fake_vcpu(0)->requests = BIT_ULL(FAKE_FLUSH_RANGE);
	fake_vcpu(0)->range = (struct gfn_range){ .start = 3, .end = 4 };
	memslot_step(MEMSLOT_GONE, 0);
	silent();
	fake_vcpu(0)->range = (struct gfn_range){ .start = 4, .end = 5 };
	memslot_step(MEMSLOT_GONE, 0);
	convicted(ORACLE_stale_mapping, "SM6");
}

static void called(u64 subscriber, enum notifier_call what, u64 error)
{
	event(subscriber_called, .subscriber = subscriber, .what = what, .start = HVA + 3,
	      .end = HVA + 4, .error = error);
}

static void released_means_empty(void **state)
{
	world_mapped(3);
	as(1);
	called(1, NOTIFIER_RELEASE, 0);
	silent();
	called(0, NOTIFIER_RELEASE, 0);
	convicted(ORACLE_stale_mapping, "SM9");

	world_mapped(3);
	as(1);
	lock(LOCK_EXCLUSIVE);
	change(table, 3, SPTE_NONPRESENT);
	unlock();
	called(0, NOTIFIER_RELEASE, 0);
	silent();
	fault_done(0, 4);
	convicted(ORACLE_stale_mapping, "SM9");
}

static void mmio_entries_age(void **state)
{
	world();
	fake.generation[0] = 7;
	event(mmio_used, .vcpu = 0, .gfn = GFNS, .generation = 7);
	event(mmio_used, .vcpu = 0, .gfn = 3, .generation = 6);
	/* A reader of the set before, which did not have the slot: the new one is in flux. */
	memslot_step(MEMSLOT_BEGUN, 0);
	fake.generation[0] = 7 | BIT_ULL(63);
	event(mmio_used, .vcpu = 0, .gfn = 3, .generation = 7);
	fake.generation[0] = 7;
	memslot_step(MEMSLOT_ENDED, 0);
	fake_vcpu(0)->as_id = 1;
	event(mmio_used, .vcpu = 0, .gfn = 3, .generation = 7);
	silent();
	fake_vcpu(0)->as_id = 0;
	event(mmio_used, .vcpu = 0, .gfn = 3, .generation = 7);
	convicted(ORACLE_stale_mapping, "SM10");

	/* An update is no excuse: the set of now has the slot, and the generation that was trusted... */
	world();
	fake.generation[0] = 7;
	memslot_step(MEMSLOT_BEGUN, 0);
	event(mmio_used, .vcpu = 0, .gfn = 3, .generation = 7);
	convicted(ORACLE_stale_mapping, "SM10");

	/* ...or was trusted though the memslots are in flux. */
	world();
	fake.generation[0] = 7 | BIT_ULL(63);
	memslot_step(MEMSLOT_BEGUN, 0);
	event(mmio_used, .vcpu = 0, .gfn = 3, .generation = 7 | BIT_ULL(63));
	convicted(ORACLE_stale_mapping, "SM10");
}

/* An MMIO entry maps nothing: neither is it an install, nor does it outlive a host page. */
static void mmio_entries_map_nothing(void **state)
{
	world_locked(0);
	change(table, 3, SPTE_NONPRESENT | SPTE_MMIO_VALUE | 0x1000);
	unlock();
	host_changes(3, 0);
	start_and_return(1, HVA + 3, HVA + 4);
	silent();
	lock(LOCK_EXCLUSIVE);
	change(table, 4, leaf_of(4));
	silent();
}

/* --- cached tables, invalid roots: stale_tlb --- */

/* vCPU 0 runs and has cached that gfns 0 .. 7 lead to the table. */
static void psc_fill_by_hand(void)
{
	struct fake_vcpu *vcpu = fake_vcpu(0);

	fake_load_root(0, root);
	vcpu->running = true;
	vcpu->psc[vcpu->nr_psc++] = (struct psc_view){
		.root = root, .table = table, .filled_at = event_context.clock, .level = PT_LEVEL_4K
	};
}

static void flush_for_mmio(void **state)
{
	world_mapped(3);
	tlb_fill_by_hand(3);
	as(1);
	lock(LOCK_EXCLUSIVE);
	change(table, 3, SPTE_NONPRESENT | SPTE_MMIO_VALUE);
	unlock();
	convicted(ORACLE_stale_tlb, "D1");
}

static void flush_for_cached_tables(void **state)
{
	world_mapped(3);
	psc_fill_by_hand();
	as(1);
	lock(LOCK_SHARED);
	change(root, 0, SPTE_NONPRESENT);
	silent();
	unlock();
	convicted(ORACLE_stale_tlb, "D2");

	/* A flush of leafs alone leaves the table in use; one of everything does not. */
	world_mapped(3);
	psc_fill_by_hand();
	as(1);
	lock(LOCK_SHARED);
	change(root, 0, SPTE_NONPRESENT);
	fake_vcpu(0)->running = false;
	fake_vcpu(0)->requests = BIT_ULL(FAKE_FLUSH);
	unlock();
	silent();
	lock(LOCK_SHARED);
	fake_vcpu(0)->requests = 0;
	change(root, 0, TABLE | pfn_bits(fake_table()));
	fake_vcpu(0)->psc[0].filled_at = event_context.clock;
	change(root, 0, SPTE_NONPRESENT);
	fake_vcpu(0)->requests = BIT_ULL(FAKE_FLUSH_RANGE);
	fake_vcpu(0)->range = (struct gfn_range){ .end = GFNS };
	fake_vcpu(0)->leafs_only = true;
	unlock();
	convicted(ORACLE_stale_tlb, "D2");

	/* What leads elsewhere, or was cached later, is not concerned; a leaf does not take tables. */
	world_mapped(3);
	psc_fill_by_hand();
	as(1);
	lock(LOCK_SHARED);
	change(table, 3, SPTE_NONPRESENT);
	unlock();
	lock(LOCK_SHARED);
	fake_vcpu(0)->psc[0].gfn = PT_PAGES(PT_LEVEL_MAX);
	change(root, 0, SPTE_NONPRESENT);
	unlock();
	silent();
}

static void no_flush_for_invalid_roots(void **state)
{
	world_mapped(3);
	tlb_fill_by_hand(3);
	psc_fill_by_hand();
	fake_vcpu(0)->running = false;
	as(1);
	event(root_invalidated, .root = root);
	lock(LOCK_SHARED);
	change(table, 3, SPTE_NONPRESENT);
	change(root, 0, SPTE_NONPRESENT);
	unlock();
	silent();

	/* Release: nobody will run again. */
	world_mapped(3);
	tlb_fill_by_hand(3);
	as(1);
	lock(LOCK_EXCLUSIVE);
	event(walk_begun, .root = root, .end = GFNS, .kind = WALK_ZAP_ALL, .level = 2);
	change(table, 3, SPTE_NONPRESENT);
	unlock();
	silent();
}

static void invalid_roots_are_left(void **state)
{
	/* The request has thrown the vCPU out before the lock is given back. */
	world();
	fake_vcpu(0)->running = true;
	as(1);
	lock(LOCK_EXCLUSIVE);
	event(root_invalidated, .root = root);
	event(vcpu_entered, .vcpu = 0);
	fake_vcpu(0)->running = false;
	unlock();
	silent();
	enter();
	convicted(ORACLE_stale_tlb, "T8");

	world();
	fake_vcpu(0)->running = true;
	as(1);
	lock(LOCK_EXCLUSIVE);
	event(root_invalidated, .root = root);
	as(2);
	unlock();
	silent();
	as(1);
	unlock();
	convicted(ORACLE_stale_tlb, "T8");
}

static void request_of(u32 task)
{
	as(task);
	for (u32 vcpu = 0; vcpu < FAKE_VCPUS; vcpu++)
		event(request_sent, .vcpu = vcpu, .request = FAKE_FLUSH);
}

static void requests_are_waited_for(void **state)
{
	/* Out and in again. Another sender has only begun: his request is no business of the first. */
	world();
	enter();
	request_of(1);
	enter();
	request_of(2);
	fake_vcpu(0)->requests = BIT_ULL(FAKE_FLUSH);
	as(1);
	event(request_waited, .request = FAKE_FLUSH);
	silent();
	as(2);
	event(request_waited, .request = FAKE_FLUSH);
	convicted(ORACLE_stale_tlb, "T8");
}

/* --- lifetime --- */

#define OBJECT 0x70000ull

/* Task 1 takes the table out of the tree and gives mmu_lock back. */
static void detach_table(void)
{
	as(1);
	lock(LOCK_SHARED);
	change(root, 0, SPTE_NONPRESENT);
	for (u32 i = 0; i < PT_ENTRIES; i++)
		change(table, i, SPTE_FROZEN);
	unlock();
}

static void callback(u64 object)
{
	as(TASK_RCU);
	event(rcu_ran, .object = object);
}

static void tables_wait_for_readers(void **state)
{
	world_mapped(3);
	detach_table();
	event(rcu_queued, .object = OBJECT);
	callback(OBJECT);
	fake_free_table(table);
	silent();

	/* Waiting for readers does as well, but only afterwards. */
	world_mapped(3);
	detach_table();
	event(synchronized, .class = LOCK_rcu);
	fake_free_table(table);
	silent();
	world_mapped(3);
	as(1);
	event(synchronized, .class = LOCK_rcu);
	detach_table();
	fake_free_table(table);
	convicted(ORACLE_lifetime, "L1");

	/* In a callback that was queued too early. */
	world_mapped(3);
	as(1);
	event(rcu_queued, .object = OBJECT);
	detach_table();
	event(rcu_queued, .object = OBJECT + 0x10000);
	callback(OBJECT);
	fake_free_table(table);
	convicted(ORACLE_lifetime, "L1");

	/* While it is linked. */
	world_mapped(3);
	as(1);
	event(synchronized, .class = LOCK_rcu);
	fake_free_table(table);
	convicted(ORACLE_lifetime, "L1");

	/* Never linked; taken down with the world. */
	world_mapped(3);
	as(1);
	fake_free_table(fake_table());
	as(TASK_NONE);
	fake_free_table(table);
	silent();
}

static void freed_tables_are_not_cached(void **state)
{
	world_mapped(3);
	detach_table();
	psc_fill_by_hand();
	as(1);
	event(synchronized, .class = LOCK_rcu);
	fake_free_table(table);
	convicted(ORACLE_lifetime, "L1");

	/* A leaf that was filled through it; one of the same page is no harm. */
	world_mapped(3);
	tlb_fill_by_hand(3);
	fake_vcpu(0)->running = false;
	fake_vcpu(0)->requests = BIT_ULL(FAKE_FLUSH);
	detach_table();
	fake_vcpu(0)->requests = 0;
	event(synchronized, .class = LOCK_rcu);
	fake_free_table(table);
	convicted(ORACLE_lifetime, "L1");

	/* Nobody runs on an invalid root. */
	world_mapped(3);
	psc_fill_by_hand();
	fake_vcpu(0)->running = false;
	event(root_invalidated, .root = root);
	detach_table();
	event(synchronized, .class = LOCK_rcu);
	fake_free_table(table);
	silent();
}

static void root_let_go(bool invalid, bool unlisted, bool unloaded)
{
	world();
	as(1);
	if (invalid)
		event(root_invalidated, .root = root);
	if (unlisted)
		fake_unlist(root);
	for (u32 vcpu = 0; unloaded && vcpu < FAKE_VCPUS; vcpu++)
		fake_load_root(vcpu, 0);
	event(synchronized, .class = LOCK_rcu);
	fake_free_table(root);
}

static void roots_are_let_go(void **state)
{
	root_let_go(true, true, true);
	silent();
	root_let_go(false, true, true);
	convicted(ORACLE_lifetime, "L5");
	root_let_go(true, false, true);
	convicted(ORACLE_lifetime, "L5");
	root_let_go(true, true, false);
	convicted(ORACLE_lifetime, "L5");

	world();
	event(root_invalidated, .root = root);
	fake_load_root(0, root);
	silent();
	fake_unlist(root);
	fake_load_root(0, 0);
	silent();
	fake_load_root(0, root);
	convicted(ORACLE_lifetime, "L5");
}

static void update_until(enum memslot_step last, bool sync)
{
	world();
	as(1);
	memslot_step(MEMSLOT_BEGUN, OBJECT);
	memslot_step(MEMSLOT_INVALID, OBJECT);
	event(synchronized, .class = LOCK_kvm_srcu);
	if (last == MEMSLOT_GONE)
		memslot_step(MEMSLOT_GONE, OBJECT);
	if (sync)
		event(synchronized, .class = LOCK_kvm_srcu);
	memslot_step(MEMSLOT_FREED, OBJECT + 8);
}

static void memslots_wait_for_readers(void **state)
{
	update_until(MEMSLOT_GONE, true);
	memslot_step(MEMSLOT_ENDED, OBJECT);
	silent();
	update_until(MEMSLOT_GONE, false);
	convicted(ORACLE_lifetime, "L6");

	/* Readers of another structure, or another task's wait, are not these. */
	world();
	as(1);
	memslot_step(MEMSLOT_BEGUN, OBJECT);
	memslot_step(MEMSLOT_GONE, OBJECT);
	event(synchronized, .class = LOCK_mn_srcu);
	as(2);
	event(synchronized, .class = LOCK_kvm_srcu);
	as(1);
	memslot_step(MEMSLOT_FREED, OBJECT);
	convicted(ORACLE_lifetime, "L6");
}

static void dead_memory_is_told_apart(void **state)
{
	world();
	event(dead_access, .object = 0x30010);
	convicted(ORACLE_lifetime, "L0");
	world();
	event(dead_access, .object = BIT_ULL(40) | 0x30010);
	convicted(ORACLE_lifetime, "L2");
	world();
	event(rcu_queued, .object = OBJECT + 8);
	event(dead_access, .object = OBJECT + 16);
	convicted(ORACLE_lifetime, "L0");
	world();
	event(rcu_queued, .object = OBJECT + 8);
	event(rcu_ran, .object = OBJECT + 8);
	event(dead_access, .object = OBJECT + 16);
	convicted(ORACLE_lifetime, "L2");
	update_until(MEMSLOT_GONE, true);
	event(dead_access, .object = OBJECT + 16);
	convicted(ORACLE_lifetime, "L6");
}

/* --- lock_order --- */

static void nested(u32 task, enum lock_class outer, enum lock_class inner, enum lock_mode mode)
{
	as(task);
	event(lock_nested, .outer = outer, .inner = inner, .outer_mode = LOCK_EXCLUSIVE,
	      .mode = mode);
}

static void two_locks_two_ways(void **state)
{
	struct sched_site taken = { .function = "taken" }, asked = { .function = "asked" };

	world();
	event_context.outer_site = &taken;
	event_context.site = &asked;
	nested(1, LOCK_mmap_lock, LOCK_driver_mutex, LOCK_EXCLUSIVE);
	event_context.site = NULL;
	nested(2, LOCK_driver_mutex, LOCK_mmu_lock, LOCK_EXCLUSIVE);
	silent();
	nested(2, LOCK_driver_mutex, LOCK_mmap_lock, LOCK_SHARED);
	event_context.outer_site = NULL;
	convicted(ORACLE_lock_order, "LO1");
	assert_string_equal(oracle_verdict()->detail, "task 2: driver mutex > mmap_lock; "
						      "task 1: mmap_lock > driver mutex");
	assert_int_equal(oracle_verdict()->nr_holds, 2);
	assert_ptr_equal(oracle_verdict()->site[1], &asked);
	assert_ptr_equal(oracle_verdict()->holds[1].taken, &taken);
	assert_ptr_equal(oracle_verdict()->holds[1].asked, &asked);
	assert_int_equal(oracle_verdict()->task[1], 1);

	/* Forgotten with the schedule. */
	world();
	nested(1, LOCK_mmap_lock, LOCK_driver_mutex, LOCK_EXCLUSIVE);
	world();
	nested(2, LOCK_driver_mutex, LOCK_mmap_lock, LOCK_EXCLUSIVE);
	silent();

	/* Three tasks, none of which does it alone. */
	nested(1, LOCK_mmap_lock, LOCK_rmap_lock, LOCK_EXCLUSIVE);
	nested(3, LOCK_rmap_lock, LOCK_ptl, LOCK_EXCLUSIVE);
	silent();
	nested(1, LOCK_ptl, LOCK_driver_mutex, LOCK_EXCLUSIVE);
	convicted(ORACLE_lock_order, "LO1");
	assert_int_equal(oracle_verdict()->nr_holds, 4);
}

static void waits_for_readers_close_cycles(void **state)
{
	world();
	nested(1, LOCK_kvm_srcu, LOCK_slots_lock, LOCK_EXCLUSIVE);
	silent();
	nested(2, LOCK_slots_lock, LOCK_kvm_srcu, LOCK_WAITED);
	convicted(ORACLE_lock_order, "LO1");

	world();
	nested(1, LOCK_kvm_srcu, LOCK_kvm_srcu, LOCK_WAITED);
	convicted(ORACLE_lock_order, "LO1");
	assert_null(oracle_verdict()->site[1]);

	/* Readers may ask for slots_arch_lock, whether or not one has. */
	world();
	nested(1, LOCK_slots_lock, LOCK_kvm_srcu, LOCK_WAITED);
	nested(1, LOCK_slots_arch_lock, LOCK_mn_active, LOCK_WAITED);
	silent();
	nested(1, LOCK_slots_arch_lock, LOCK_kvm_srcu, LOCK_WAITED);
	convicted(ORACLE_lock_order, "LO1");

	/* B11 without the prefault: a lock taken inside the section is held around the wait. */
	world();
	nested(2, LOCK_slots_lock, LOCK_kvm_srcu, LOCK_WAITED);
	nested(1, LOCK_kvm_srcu, LOCK_mmap_lock, LOCK_SHARED);
	silent();
	nested(2, LOCK_mmap_lock, LOCK_slots_lock, LOCK_EXCLUSIVE);
	convicted(ORACLE_lock_order, "LO1");
}

static void waits_for_invalidations(void **state)
{
	static const u32 updates[] = { LOCK_slots_lock, LOCK_slots_arch_lock };

	for (u32 i = 0; i < ARRAY_SIZE(updates); i++) {
		world();
		nested(1, LOCK_mn_active, LOCK_mmap_lock, LOCK_EXCLUSIVE);
		nested(1, LOCK_mn_active, LOCK_mmu_lock, LOCK_EXCLUSIVE);
		silent();
		nested(1, LOCK_mn_active, updates[i], LOCK_EXCLUSIVE);
		convicted(ORACLE_lock_order, "LO2");
	}
	world();
	nested(1, LOCK_mn_active, LOCK_kvm_srcu, LOCK_WAITED);
	convicted(ORACLE_lock_order, "LO2");

	/* By way of a lock that somebody holds around slots_lock. */
	world();
	nested(1, LOCK_mn_active, LOCK_driver_mutex, LOCK_EXCLUSIVE);
	nested(2, LOCK_slots_lock, LOCK_mn_active, LOCK_WAITED);
	silent();
	nested(3, LOCK_driver_mutex, LOCK_slots_lock, LOCK_EXCLUSIVE);
	convicted(ORACLE_lock_order, "LO2");

	world();
	event(rcuwait_taken, .class = LOCK_mn_active);
	convicted(ORACLE_lock_order, "LO3");
}

static void reclaim_is_a_lock(void **state)
{
	world();
	nested(1, LOCK_fs_reclaim, LOCK_mmu_lock, LOCK_EXCLUSIVE);
	nested(1, LOCK_fs_reclaim, LOCK_fs_reclaim, LOCK_EXCLUSIVE);
	nested(2, LOCK_slots_lock, LOCK_fs_reclaim, LOCK_EXCLUSIVE);
	silent();
	nested(2, LOCK_mmu_lock, LOCK_fs_reclaim, LOCK_EXCLUSIVE);
	convicted(ORACLE_lock_order, "LO7");
}

static void sleeping_and_recursion(void **state)
{
	world();
	nested(1, LOCK_mmu_lock, LOCK_mmu_lock, LOCK_SHARED);
	convicted(ORACLE_lock_order, "LO4");
	world();
	event(slept_in_atomic, .what = LOCK_ptl);
	convicted(ORACLE_lock_order, "LO5");
	assert_string_equal(oracle_verdict()->detail, "holds PTL");
	world();
	event(slept_in_nonblock, .what = LOCK_driver_mutex);
	convicted(ORACLE_lock_order, "LO6");
	assert_string_equal(oracle_verdict()->detail, "asks for driver mutex");
	world();
	event(slept_in_nonblock, .what = ~0ull);
	convicted(ORACLE_lock_order, "LO6");
}

/* The order that the locking documents give, all pairs of it at once: no cycle among them. */
#define IN LOCK_EXCLUSIVE
static const struct {
	enum lock_class outer, inner;
	enum lock_mode mode;
} documented[] = {
	{ LOCK_kvm_lock, LOCK_slots_lock, IN },
	{ LOCK_slots_lock, LOCK_slots_arch_lock, IN },
	{ LOCK_slots_arch_lock, LOCK_mn_invalidate_lock, IN },
	{ LOCK_slots_lock, LOCK_mn_invalidate_lock, IN },
	{ LOCK_slots_lock, LOCK_mmap_lock, IN },
	{ LOCK_slots_lock, LOCK_mmu_lock, IN },
	{ LOCK_slots_lock, LOCK_kvm_srcu, LOCK_WAITED },
	{ LOCK_kvm_lock, LOCK_kvm_srcu, LOCK_WAITED },
	{ LOCK_slots_lock, LOCK_mn_active, LOCK_WAITED },
	{ LOCK_slots_arch_lock, LOCK_mn_active, LOCK_WAITED },
	{ LOCK_mn_invalidate_lock, LOCK_mn_active, LOCK_WAITED },
	{ LOCK_slots_lock, LOCK_fs_reclaim, IN },
	{ LOCK_kvm_srcu, LOCK_slots_arch_lock, IN },
	{ LOCK_kvm_srcu, LOCK_mmap_lock, LOCK_SHARED },
	{ LOCK_kvm_srcu, LOCK_rmap_lock, IN },
	{ LOCK_kvm_srcu, LOCK_ptl, IN },
	{ LOCK_kvm_srcu, LOCK_mmu_lock, IN },
	{ LOCK_kvm_srcu, LOCK_tdp_mmu_pages_lock, IN },
	{ LOCK_kvm_srcu, LOCK_range_requests, IN },
	{ LOCK_kvm_srcu, LOCK_fs_reclaim, IN },
	{ LOCK_mmap_lock, LOCK_rmap_lock, IN },
	{ LOCK_mmap_lock, LOCK_ptl, IN },
	{ LOCK_mmap_lock, LOCK_fs_reclaim, IN },
	{ LOCK_rmap_lock, LOCK_ptl, IN },
	{ LOCK_mmap_lock, LOCK_mn_invalidate_lock, IN },
	{ LOCK_mmap_lock, LOCK_driver_mutex, IN },
	{ LOCK_mmap_lock, LOCK_mmu_lock, IN },
	{ LOCK_rmap_lock, LOCK_mn_invalidate_lock, IN },
	{ LOCK_rmap_lock, LOCK_driver_mutex, IN },
	{ LOCK_rmap_lock, LOCK_mmu_lock, IN },
	{ LOCK_fs_reclaim, LOCK_rmap_lock, IN },
	{ LOCK_fs_reclaim, LOCK_ptl, IN },
	{ LOCK_fs_reclaim, LOCK_mmu_lock, IN },
	{ LOCK_fs_reclaim, LOCK_driver_mutex, IN },
	{ LOCK_fs_reclaim, LOCK_mn_invalidate_lock, IN },
	{ LOCK_mn_active, LOCK_mn_invalidate_lock, IN },
	{ LOCK_mn_active, LOCK_mmu_lock, IN },
	{ LOCK_mn_active, LOCK_ptl, IN },
	{ LOCK_mn_active, LOCK_driver_mutex, IN },
	{ LOCK_mn_active, LOCK_range_requests, IN },
	{ LOCK_mn_srcu, LOCK_mn_invalidate_lock, IN },
	{ LOCK_mn_srcu, LOCK_mmu_lock, IN },
	{ LOCK_mn_srcu, LOCK_driver_mutex, IN },
	{ LOCK_mmu_lock, LOCK_tdp_mmu_pages_lock, IN },
	{ LOCK_mmu_lock, LOCK_range_requests, IN },
	{ LOCK_kvm_lock, LOCK_mn_srcu, LOCK_WAITED },
	{ LOCK_kvm_lock, LOCK_mn_list_lock, IN },
	{ LOCK_rcu, LOCK_tdp_mmu_pages_lock, IN },
	{ LOCK_rcu, LOCK_range_requests, IN },
};
#undef IN

static void documented_order(void **state)
{
	u32 nr = ARRAY_SIZE(documented);

	/* Whichever comes first and whichever last: the last edge is what closes a cycle. */
	for (u32 first = 0; first < nr; first++) {
		world();
		for (u32 i = 0; i < nr; i++) {
			u32 at = (first + i) % nr;

			nested(i % 3, documented[at].outer, documented[at].inner,
			       documented[at].mode);
		}
		silent();
	}
}

static void prefault_of(gfn_t gfn)
{
	event(fault_begun, .vcpu = 0, .gfn = gfn, .access = ACCESS_READ, .prefetch = true);
	event(fault_snapshot, .seq = SEQ);
}

static void prefaults_do_not_wait_for_slots(void **state)
{
	world();
	as(1);
	memslot_step(MEMSLOT_BEGUN, 0);
	memslot_step(MEMSLOT_INVALID, 0);
	as(0);
	prefault_of(3);
	retried(3, RETRY_BEFORE_GUP);
	convicted(ORACLE_false_retry, "FR1");
	world();
	as(1);
	memslot_step(MEMSLOT_BEGUN, 0);
	memslot_step(MEMSLOT_INVALID, 0);
	as(0);
	fault_until_check(3);
	retried(3, RETRY_SLOT_INVALID);
	silent();
	prefault_of(3);
	retried(3, RETRY_SLOT_INVALID);
	convicted(ORACLE_lock_order, "LO8");
}

/* --- stall --- */

static void walk(enum walk_kind kind, u32 level)
{
	event(walk_begun, .root = root, .start = 0, .end = GFNS, .kind = kind, .level = level);
}

static void stall_world(bool invalid)
{
	world();
	if (invalid)
		event(root_invalidated, .root = root);
	as(0);
}

/* What a correct walk touches at most is let pass, one more is not. L is 2 here. */
static void bound_is(bool invalid, enum walk_kind kind, u32 level, u32 most, const char *class)
{
	stall_world(invalid);
	walk(kind, level);
	assert_int_equal(event_context.touched_max[0], most);
	event_context.touched[0] = most;
	event(walk_ended, .root = root);
	silent();
	assert_int_equal(event_context.touched_max[0], ~0u);
	walk(kind, level);
	assert_int_equal(event_context.touched[0], 0);
	event_context.touched[0] = most + 1;
	event(walk_ended, .root = root);
	if (!class)
		return silent();
	convicted(ORACLE_stall, class);
	stall_world(invalid);
	walk(kind, level);
	event(yield_overdue, .entries = most + 1, .bound = most);
	convicted(ORACLE_stall, class);
}

static void walks_offer_to_give_way(void **state)
{
	const u32 one = 3, all = ~0u;

	bound_is(true, WALK_ZAP_ROOT, 1, one, "ST1");
	bound_is(true, WALK_ZAP_ROOT, 2, one + PT_ENTRIES, "ST1");
	bound_is(true, WALK_ZAP_ROOT, 5, one + PT_ENTRIES, "ST1");
	bound_is(true, WALK_ZAP_ROOT_TWO_PASS, 2, one + PT_ENTRIES + PT_ENTRIES * PT_ENTRIES,
		 "ST1");
	bound_is(false, WALK_ZAP_LEAFS, 1, one, "ST2");
	bound_is(true, WALK_ZAP_LEAFS, 1, one, "ST2");
	bound_is(false, WALK_ZAP_ROOT, 1, all, NULL);
	bound_is(false, WALK_ZAP_LEAFS_NONBLOCK, 1, all, NULL);
	bound_is(true, WALK_ZAP_ALL, 1, all, NULL);
	event_context.touched[0] = 0;
}

/* --- notifier_pairing --- */

static void notified_world(void)
{
	world();
	event(subscriber_joined, .subscriber = 0, .has_end = true);
	event(subscriber_joined, .subscriber = 1, .has_end = false);
	as(1);
	event(notifier_start, .start = HVA + 3, .end = HVA + 4);
}

static void mmu_starts(void)
{
	event(active_raised, .count = 1);
	lock(LOCK_EXCLUSIVE);
	event(invalidate_begun, 0);
	event(invalidate_range_added, .start = 3, .end = 4);
	unlock();
	called(0, NOTIFIER_START, 0);
}

static void mmu_ends(void)
{
	lock(LOCK_EXCLUSIVE);
	event(invalidate_ended, 0);
	event(in_progress_lowered, .count = 0);
	unlock();
	event(active_lowered, .count = 0);
	called(0, NOTIFIER_END, 0);
}

static void notification_over(void)
{
	event(notifier_end_returned, .start = HVA + 3, .end = HVA + 4);
}

static void starts_have_ends(void **state)
{
	notified_world();
	mmu_starts();
	called(1, NOTIFIER_START, 11);
	mmu_ends();
	notification_over();
	silent();
	notified_world();
	mmu_starts();
	notification_over();
	convicted(ORACLE_notifier_pairing, "NP1");
	assert_int_equal(oracle_verdict()->task[1], 1);

	/* Who has refused hears no end; nor who was not told. */
	notified_world();
	called(0, NOTIFIER_START, 11);
	notification_over();
	silent();
	as(1);
	event(notifier_start, .start = HVA + 3, .end = HVA + 4);
	called(0, NOTIFIER_START, 11);
	called(0, NOTIFIER_END, 0);
	convicted(ORACLE_notifier_pairing, "NP1");
	notified_world();
	called(0, NOTIFIER_END, 0);
	convicted(ORACLE_notifier_pairing, "NP1");
	notified_world();
	mmu_starts();
	mmu_ends();
	called(0, NOTIFIER_END, 0);
	convicted(ORACLE_notifier_pairing, "NP1");

	/* The host goes on although one of several has refused. */
	notified_world();
	called(1, NOTIFIER_START, 11);
	mmu_starts();
	silent();
	event(notifier_start_returned, .start = HVA + 3, .end = HVA + 4);
	convicted(ORACLE_notifier_pairing, "NP1");

	/* Of another range. */
	notified_world();
	event(subscriber_called, .subscriber = 0, .what = NOTIFIER_START, .start = HVA,
	      .end = HVA + 4);
	convicted(ORACLE_notifier_pairing, "NP1");

	/* Released in between. */
	notified_world();
	mmu_starts();
	as(2);
	called(0, NOTIFIER_RELEASE, 0);
	as(1);
	notification_over();
	silent();
}

static void invalidations_pair_up(void **state)
{
	notified_world();
	called(0, NOTIFIER_START, 0);
	called(0, NOTIFIER_END, 0);
	notification_over();
	silent();
	notified_world();
	event(active_raised, .count = 1);
	called(0, NOTIFIER_START, 0);
	lock(LOCK_EXCLUSIVE);
	event(invalidate_ended, 0);
	event(in_progress_lowered, .count = 0);
	unlock();
	called(0, NOTIFIER_END, 0);
	notification_over();
	convicted(ORACLE_notifier_pairing, "NP2");

	/* A range that is zapped for the VM itself stands alone. */
	world();
	for (u32 i = 0; i < 2; i++) {
		lock(LOCK_EXCLUSIVE);
		event(invalidate_begun, 0);
		event(invalidate_range_added, .start = 3, .end = 4);
		event(invalidate_ended, 0);
		event(in_progress_lowered, .count = 0);
		unlock();
	}
	silent();
}

static void steps_have_an_order(void **state)
{
	notified_world();
	event(invalidate_begun, 0);
	convicted(ORACLE_notifier_pairing, "NP5");

	notified_world();
	mmu_starts();
	event(in_progress_lowered, .count = 0);
	convicted(ORACLE_notifier_pairing, "NP5");

	notified_world();
	mmu_starts();
	event(active_lowered, .count = 0);
	silent();
	event(invalidate_ended, 0);
	convicted(ORACLE_notifier_pairing, "NP5");

	notified_world();
	mmu_starts();
	event(invalidate_ended, 0);
	event(active_lowered, .count = 0);
	silent();
	event(in_progress_lowered, .count = 0);
	convicted(ORACLE_notifier_pairing, "NP5");
}

static void releases_and_leaving(void **state)
{
	notified_world();
	called(0, NOTIFIER_RELEASE, 0);
	as(2);
	event(subscriber_left, .subscriber = 0);
	called(0, NOTIFIER_RELEASE, 0);
	event(subscriber_left, .subscriber = 1);
	silent();
	called(0, NOTIFIER_CHANGE_PTE, 0);
	convicted(ORACLE_notifier_pairing, "NP4");

	notified_world();
	for (u32 i = 0; i < 2; i++)
		called(0, NOTIFIER_RELEASE, 0);
	silent();
	called(0, NOTIFIER_RELEASE, 0);
	convicted(ORACLE_notifier_pairing, "NP4");

	notified_world();
	event(subscriber_left, .subscriber = 0);
	convicted(ORACLE_notifier_pairing, "NP4");
}

/* --- what is new in spte_change, false_retry, progress and accounting --- */

static void mmio_and_frozen_replace_nothing(void **state)
{
	world_locked(0);
	change(table, 3, SPTE_NONPRESENT | SPTE_MMIO_VALUE);
	change(table, 3, SPTE_NONPRESENT | SPTE_MMIO_VALUE | 8);
	change(table, 3, SPTE_NONPRESENT);
	change(table, 4, SPTE_FROZEN);
	as(1);
	lock(LOCK_SHARED);
	change(table, 4, SPTE_FROZEN);
	silent();
	change(table, 5, 0);
	convicted(ORACLE_spte_change, "C6");

	/* Bits of what is present in a detached table may change, its frame may not. */
	world_mapped(3);
	lock(LOCK_EXCLUSIVE);
	change(root, 0, SPTE_NONPRESENT);
	change(table, 3, fake_words(table)[3] & ~PTE_A);
	silent();
	fake_words(table)[3] = TABLE | pfn_bits(1);
	change(table, 3, TABLE | pfn_bits(2));
	convicted(ORACLE_spte_change, "C5");
}

static void unlisted_roots_stay_empty(void **state)
{
	world_mapped(3);
	event(root_invalidated, .root = root);
	fake_unlist(root);
	lock(LOCK_EXCLUSIVE);
	change(table, 4, leaf_of(4));
	convicted(ORACLE_spte_change, "C5");
}

static void zapped_roots_stay_empty(void **state)
{
	world_locked(1);
	event(root_invalidated, .root = root);
	event(root_zapped, .root = root);
	convicted(ORACLE_accounting, "AC3");

	world_locked(1);
	event(root_invalidated, .root = root);
	change(root, 0, SPTE_NONPRESENT);
	event(root_zapped, .root = root);
	unlock();
	event(synchronized, .class = LOCK_rcu);
	fake_free_table(table);
	quiesce();
	silent();
	as(1);
	lock(LOCK_SHARED);
	change(root, 1, TABLE | pfn_bits(fake_table()));
	convicted(ORACLE_accounting, "AC3");

	/* Nobody has zapped it. */
	world();
	event(root_invalidated, .root = root);
	fake_words(root)[1] = leaf_of(3);
	silent();
	quiesce();
	convicted(ORACLE_accounting, "AC3");

	/* A valid one may be filled again. */
	world_locked(1);
	event(root_zapped, .root = root);
	change(root, 1, TABLE | pfn_bits(fake_table()));
	silent();

	/* Behind the back of the events. */
	world();
	event(root_invalidated, .root = root);
	event(root_zapped, .root = root);
	fake_words(root)[1] = leaf_of(3);
	quiesce();
	convicted(ORACLE_accounting, "AC3");
}

static void nobody_waits_at_the_end(void **state)
{
	world();
	fake.counters.scheduled_roots = 1;
	quiesce();
	convicted(ORACLE_accounting, "AC0");
	world();
	fake.counters.memslot_waiters = 1;
	quiesce();
	convicted(ORACLE_accounting, "AC0");
	world();
	fake.counters.in_progress = 1;
	quiesce();
	convicted(ORACLE_accounting, "AC0");

	/* Unregistered in the middle of a notification. */
	notified_world();
	mmu_starts();
	as(2);
	called(0, NOTIFIER_RELEASE, 0);
	event(subscriber_left, .subscriber = 0);
	as(1);
	notification_over();
	fake.counters.in_progress = 1;
	quiesce();
	silent();

	/* An update that failed has freed the copy; one that changed the flags frees the old slot. */
	world();
	memslot_step(MEMSLOT_BEGUN, 0);
	memslot_step(MEMSLOT_INVALID, 1);
	memslot_step(MEMSLOT_RESTORED, 0);
	memslot_step(MEMSLOT_FREED, 1);
	quiesce();
	silent();
	memslot_step(MEMSLOT_BEGUN, 0);
	memslot_step(MEMSLOT_ADDED, 2);
	quiesce();
	convicted(ORACLE_accounting, "AC4");
	world();
	memslot_step(MEMSLOT_BEGUN, 0);
	memslot_step(MEMSLOT_ADDED, 2);
	fake.nr_slots++;
	quiesce();
	silent();

	/* With the VM its tables go. */
	world();
	fake.vm = false;
	quiesce();
	convicted(ORACLE_accounting, "AC4");
	root_let_go(true, true, true);
	fake.vm = false;
	quiesce();
	silent();
}

static void slot_and_mmio_retries(void **state)
{
	world();
	as(0);
	fault_until_check(3);
	retried(3, RETRY_SLOT_INVALID);
	convicted(ORACLE_false_retry, "FR1");

	world();
	as(1);
	memslot_step(MEMSLOT_BEGUN, 0);
	memslot_step(MEMSLOT_INVALID, 0);
	memslot_step(MEMSLOT_GONE, 0);
	oracle_stats_clear();
	as(0);
	fault_until_check(3);
	retried(3, RETRY_SLOT_INVALID);
	assert_int_equal(retries_of(RETRY_CLASS_slot), 1);
	fault_until_check(GFNS);
	silent();
	as(1);
	memslot_step(MEMSLOT_ENDED, 0);
	as(0);
	fault_until_check(3);
	retried(3, RETRY_SLOT_INVALID);
	convicted(ORACLE_false_retry, "FR1");

	/* The MMIO entry that the guest met was taken away before the attempt began, or never there. */
	world_locked(1);
	change(table, 3, SPTE_NONPRESENT | SPTE_MMIO_VALUE);
	as(0);
	enter();
	as(1);
	change(table, 3, SPTE_NONPRESENT);
	as(0);
	retried(3, RETRY_MMIO_GONE);
	silent();
	enter();
	retried(3, RETRY_MMIO_GONE);
	convicted(ORACLE_false_retry, "FR1");

	world();
	event(root_invalidated, .root = root);
	as(0);
	fault_until_check(3);
	retried(3, RETRY_OBSOLETE_ROOT);
	silent();
}

static void refused_exchanges(void **state)
{
	world_locked(0);
	oracle_stats_clear();
	for (u32 i = 0; i < 5; i++) {
		fault_until_check(3);
		fault_check(3);
		event(cmpxchg_refused, .table = table, .index = 3);
		retried(3, RETRY_LOST_LEAF);
		event(fault_ended, .gfn = 3, .ret = SUBJECT_RETRY);
	}
	silent();
	assert_int_equal(retries_of(RETRY_CLASS_other), 5);
	/* It excuses that attempt alone. */
	fault_until_check(3);
	fault_check(3);
	retried(3, RETRY_LOST_LEAF);
	convicted(ORACLE_false_retry, "FR1");
}

static void prefaults_leave_leafs(void **state)
{
	world_mapped(3);
	as(0);
	for (u32 i = 0; i < 2; i++) {
		prefault_of(3);
		event(fault_ended, .gfn = 3, .ret = SUBJECT_SPURIOUS);
	}
	silent();
	prefault_of(4);
	event(fault_ended, .gfn = 4, .ret = SUBJECT_AGAIN);
	silent();
	prefault_of(4);
	event(fault_ended, .gfn = 4, .ret = SUBJECT_SPURIOUS);
	convicted(ORACLE_false_retry, "PR4");

	/* Zapped since. */
	world_mapped(3);
	as(0);
	prefault_of(3);
	as(1);
	lock(LOCK_EXCLUSIVE);
	change(table, 3, SPTE_NONPRESENT);
	unlock();
	as(0);
	event(fault_ended, .gfn = 3, .ret = SUBJECT_SPURIOUS);
	silent();
}

/* Retries with a cause, nobody else having run in between. */
static void updates_hold_faults_up(void **state)
{
	world();
	as(1);
	memslot_step(MEMSLOT_BEGUN, 0);
	stormy_attempts(4, 0);
	silent();
	as(1);
	memslot_step(MEMSLOT_ENDED, 0);
	stormy_attempts(4, 0);
	convicted(ORACLE_progress, "PR2");

	/* The vCPUs are about to be told. */
	world();
	as(2);
	lock(LOCK_EXCLUSIVE);
	event(root_invalidated, .root = root);
	stormy_attempts(4, 0);
	silent();
	as(2);
	unlock();
	stormy_attempts(4, 0);
	convicted(ORACLE_progress, "PR2");
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

static const struct CMUnitTest mapping_tests[] = {
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
};

static const struct CMUnitTest root_tests[] = {
	cmocka_unit_test(all_roots_are_judged),
	cmocka_unit_test(refused_starts_are_none),
	cmocka_unit_test(gone_slots_map_nothing),
	cmocka_unit_test(released_means_empty),
	cmocka_unit_test(mmio_entries_age),
	cmocka_unit_test(mmio_entries_map_nothing),
	cmocka_unit_test(flush_for_mmio),
	cmocka_unit_test(flush_for_cached_tables),
	cmocka_unit_test(no_flush_for_invalid_roots),
	cmocka_unit_test(invalid_roots_are_left),
	cmocka_unit_test(requests_are_waited_for),
};

static const struct CMUnitTest lifetime_tests[] = {
	cmocka_unit_test(tables_wait_for_readers),   cmocka_unit_test(freed_tables_are_not_cached),
	cmocka_unit_test(roots_are_let_go),	     cmocka_unit_test(memslots_wait_for_readers),
	cmocka_unit_test(dead_memory_is_told_apart),
};

static const struct CMUnitTest lock_order_tests[] = {
	cmocka_unit_test(two_locks_two_ways),
	cmocka_unit_test(waits_for_readers_close_cycles),
	cmocka_unit_test(waits_for_invalidations),
	cmocka_unit_test(reclaim_is_a_lock),
	cmocka_unit_test(sleeping_and_recursion),
	cmocka_unit_test(documented_order),
	cmocka_unit_test(prefaults_do_not_wait_for_slots),
};

static const struct CMUnitTest walk_and_notifier_tests[] = {
	cmocka_unit_test(walks_offer_to_give_way), cmocka_unit_test(starts_have_ends),
	cmocka_unit_test(invalidations_pair_up),   cmocka_unit_test(steps_have_an_order),
	cmocka_unit_test(releases_and_leaving),
};

static const struct CMUnitTest further_tests[] = {
	cmocka_unit_test(mmio_and_frozen_replace_nothing),
	cmocka_unit_test(unlisted_roots_stay_empty),
	cmocka_unit_test(zapped_roots_stay_empty),
	cmocka_unit_test(nobody_waits_at_the_end),
	cmocka_unit_test(slot_and_mmio_retries),
	cmocka_unit_test(refused_exchanges),
	cmocka_unit_test(prefaults_leave_leafs),
	cmocka_unit_test(updates_hold_faults_up),
};

static const struct CMUnitTest sink_tests[] = {
	cmocka_unit_test(first_violation_stands),
	cmocka_unit_test(taps_change_nothing),
	cmocka_unit_test(state_hash_is_of_the_state),
};

int main(void)
{
	int failed = 0;

	failed += cmocka_run_group_tests(mapping_tests, NULL, NULL);
	failed += cmocka_run_group_tests(root_tests, NULL, NULL);
	failed += cmocka_run_group_tests(lifetime_tests, NULL, NULL);
	failed += cmocka_run_group_tests(lock_order_tests, NULL, NULL);
	failed += cmocka_run_group_tests(walk_and_notifier_tests, NULL, NULL);
	failed += cmocka_run_group_tests(further_tests, NULL, NULL);
	failed += cmocka_run_group_tests(sink_tests, NULL, NULL);
	return failed;
}
