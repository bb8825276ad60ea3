/*
 * stale_mapping, each invariant on a violation and on its legal neighbour, in a world made by hand (fake_world.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "oracle/fake_world.h"

static void host_changes(gfn_t gfn, u64 new)
{
	u64 old = inspect_host_pte(HVA + gfn);

	event(host_pte_changed, .hva = HVA + gfn, .old = old, .new = new, .level = PT_LEVEL_4K);
}

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

/* A world where the host has a huge page, and the guest too; task 0 holds mmu_lock. */
static void world_huge_mapped(u64 bits)
{
	world_huge();
	as(0);
	lock(LOCK_EXCLUSIVE);
	change(root, 0, huge_leaf(bits));
}

static void huge_host_changes(u64 new)
{
	event(host_pte_changed, .hva = HVA, .old = inspect_host_pte(HVA), .new = new,
	      .level = PT_LEVEL_2M);
}

static void huge_pages_are_taken_back_whole(void **state)
{
	if (!HUGE_FITS)
		skip();
	world_huge_mapped(LEAF_RW);
	huge_host_changes(HOST_PTE_TABLE);
	silent();
	huge_host_changes(0);
	convicted(ORACLE_stale_mapping, "SM1");

	world_huge_mapped(LEAF_RO);
	huge_host_changes(inspect_host_pte(HVA) & ~HOST_PTE_WRITE);
	silent();
	world_huge_mapped(LEAF_RW);
	huge_host_changes(inspect_host_pte(HVA) & ~HOST_PTE_WRITE);
	convicted(ORACLE_stale_mapping, "SM1");

	/* One small leaf, or one TLB entry, of one of the pages; one page of a huge entry. */
	world_mapped(5);
	huge_host_changes(0);
	convicted(ORACLE_stale_mapping, "SM1");
	world();
	tlb_fill_by_hand(5);
	huge_host_changes(0);
	convicted(ORACLE_stale_mapping, "SM2");
	world_huge_mapped(LEAF_RO);
	host_changes(6, 0);
	convicted(ORACLE_stale_mapping, "SM1");

	/* What a slot ends in front of is not its own; a table that a leaf takes the place of says nothing. */
	world_mapped(5);
	fake.slots[0].end = 5;
	huge_host_changes(0);
	silent();
	event(host_pte_changed, .hva = HVA, .old = HOST_PTE_TABLE | HOST_PTE_PRESENT,
	      .new = inspect_host_pte(HVA), .level = PT_LEVEL_2M);
	silent();
}

static void huge_entries_need_huge_pages(void **state)
{
	if (!HUGE_FITS)
		skip();
	world_huge_mapped(LEAF_RW);
	silent();
	/* The frames are the right ones, and next to each other. */
	world();
	as(0);
	lock(LOCK_EXCLUSIVE);
	change(root, 0, huge_leaf(LEAF_RW));
	convicted(ORACLE_stale_mapping, "SM3");
	/* One of them is not. */
	world_huge();
	fake.host[HVA + 7] = fake.host[HVA + 6];
	as(0);
	lock(LOCK_EXCLUSIVE);
	change(root, 0, huge_leaf(LEAF_RW));
	convicted(ORACLE_stale_mapping, "SM3");
}

/* A fault on page 5 while the others are about to be changed one by one. */
static void huge_pages_reach_beyond_ranges(void **state)
{
	if (!HUGE_FITS)
		skip();
	world_huge();
	start_and_return(1, HVA + 2, HVA + 4);
	as(0);
	lock(LOCK_EXCLUSIVE);
	change(root, 0, huge_leaf(LEAF_RW));
	silent();
	start_and_return(2, HVA + 6, HVA + 7);
	silent();
	/* The whole of it. */
	start_and_return(3, HVA, HVA + GFNS);
	convicted(ORACLE_stale_mapping, "SM5");
	world_huge();
	start_and_return(1, HVA, HVA + GFNS);
	as(0);
	lock(LOCK_EXCLUSIVE);
	change(root, 0, huge_leaf(LEAF_RW));
	convicted(ORACLE_stale_mapping, "SM5");
	/* Small pages of the host justify nothing. */
	world_huge_mapped(LEAF_RW);
	for (hva_t hva = HVA; hva < HVA + GFNS; hva++)
		fake.host_level[hva] = PT_LEVEL_4K;
	start_and_return(1, HVA + 2, HVA + 3);
	convicted(ORACLE_stale_mapping, "SM5");
}

/* The host splits a huge page inside of a notification: that is still open when the inner one is over. */
static void notifications_nest(void **state)
{
	world_locked(0);
	unlock();
	start_and_return(1, HVA + 3, HVA + 4);
	start_and_return(1, HVA, HVA + GFNS);
	event(notifier_end, .start = HVA, .end = HVA + GFNS);
	event(notifier_end_returned, .start = HVA, .end = HVA + GFNS);
	fault_done(0, 5);
	silent();
	fault_done(0, 3);
	convicted(ORACLE_stale_mapping, "SM5");

	world_locked(0);
	unlock();
	start_and_return(1, HVA + 3, HVA + 4);
	start_and_return(1, HVA, HVA + GFNS);
	fault_done(0, 5);
	convicted(ORACLE_stale_mapping, "SM5");
}

/* What a fault restores without mmu_lock derives from a leaf that the start of an invalidation must find. */
static void fast_faults_are_no_installs(void **state)
{
	world_locked(0);
	install(3, LEAF_RW & ~PTE_W);
	unlock();
	begin_and_end();
	as(0);
	fast_fault(3, LEAF_RW);
	silent();
	host_changes(3, 0);
	convicted(ORACLE_stale_mapping, "SM1");
}

/* The VM's pfncache maps a page of the guest's, and says so. */
static void cache_fill(gfn_t gfn)
{
	fake.pfncache = (struct pfncache_view){
		.valid = true, .gfn = gfn, .hva = HVA + gfn, .pfn = host_pfn(gfn)
	};
	event(pfncache_filled, .gfn = gfn, .hva = HVA + gfn, .pfn = host_pfn(gfn));
}

static void cache_drop(void)
{
	fake.pfncache.valid = false;
	event(pfncache_dropped, .hva = fake.pfncache.hva, .pfn = fake.pfncache.pfn);
}

static void cache_use(gfn_t gfn, pfn_t pfn, bool write)
{
	event(pfncache_used, .gfn = gfn, .hva = HVA + gfn, .pfn = pfn, .write = write);
}

static void pfncaches_reach_what_the_host_maps(void **state)
{
	pfn_t pfn;

	world();
	as(0);
	pfn = host_pfn(3);
	cache_fill(3);
	cache_use(3, pfn, true);
	silent();
	cache_use(3, host_pfn(4), false);
	convicted(ORACLE_stale_mapping, "SM7");

	/* A reader holds the lock, so start waits: the host has changed nothing yet. */
	world();
	as(0);
	cache_fill(3);
	as(1);
	event(notifier_start, .start = HVA + 3, .end = HVA + 4);
	as(0);
	cache_use(3, pfn, true);
	silent();

	world();
	as(0);
	cache_fill(3);
	fake.host[HVA + 3] = 0;
	cache_use(3, pfn, false);
	convicted(ORACLE_stale_mapping, "SM7");

	world_with(true, 0);
	as(0);
	cache_fill(3);
	cache_use(3, pfn, false);
	silent();
	cache_use(3, pfn, true);
	convicted(ORACLE_stale_mapping, "SM7");
}

static void started(gfn_t gfn)
{
	as(1);
	event(notifier_start, .start = HVA + gfn, .end = HVA + gfn + 1);
	event(notifier_start_returned, .start = HVA + gfn, .end = HVA + gfn + 1);
}

static void started_range_has_no_pfncache(void **state)
{
	world();
	as(0);
	cache_fill(3);
	started(4);
	silent();
	started(3);
	convicted(ORACLE_stale_mapping, "SM7");
	assert_int_equal(oracle_verdict()->task[1], 0);

	/* Start has found it; a refresh that it has overtaken gives up, and comes again behind the end. */
	world();
	as(0);
	cache_fill(3);
	as(1);
	cache_drop();
	started(3);
	as(0);
	cache_fill(4);
	silent();
	cache_fill(3);
	convicted(ORACLE_stale_mapping, "SM7");
	world();
	started(3);
	event(notifier_end, .start = HVA + 3, .end = HVA + 4);
	as(0);
	cache_fill(3);
	silent();

	/* Part of a huge page of the host: what lies in the range does, whoever maps the rest. */
	world_huge();
	started(3);
	as(0);
	cache_fill(3);
	convicted(ORACLE_stale_mapping, "SM7");

	/* What it holds says that it was emptied. */
	world();
	as(0);
	cache_fill(3);
	fake.pfncache.valid = false;
	started(3);
	silent();
}

static void cache_outlives(bool released)
{
	world();
	as(0);
	cache_fill(3);
	as(1);
	if (released)
		called(0, NOTIFIER_RELEASE, 0);
}

static void lost_pages_have_no_pfncache(void **state)
{
	pfn_t pfn;

	/* Nobody was told. */
	cache_outlives(false);
	host_changes(4, 0);
	host_changes(3, inspect_host_pte(HVA + 3) | HOST_PTE_YOUNG);
	silent();
	host_changes(3, 0);
	convicted(ORACLE_stale_mapping, "SM7");
	cache_outlives(false);
	host_changes(3, inspect_host_pte(HVA + 3) & ~HOST_PTE_WRITE);
	convicted(ORACLE_stale_mapping, "SM7");

	cache_outlives(false);
	pfn = host_pfn(3);
	event(frame_freed, .pfn = host_pfn(4), .generation = 1, .kind = FRAME_HOST_PAGE);
	silent();
	event(frame_freed, .pfn = pfn, .generation = 1, .kind = FRAME_HOST_PAGE);
	convicted(ORACLE_stale_mapping, "SM8");
	cache_outlives(false);
	cache_drop();
	host_changes(3, 0);
	event(frame_freed, .pfn = pfn, .generation = 1, .kind = FRAME_HOST_PAGE);
	silent();

	/* The process lets go, and the MMU hears of nothing any more. Whoever still used it would be found. */
	cache_outlives(true);
	started(3);
	host_changes(3, 0);
	event(frame_freed, .pfn = pfn, .generation = 1, .kind = FRAME_HOST_PAGE);
	cache_fill(3);
	silent();
	fake.host[HVA + 3] = 0;
	cache_use(3, pfn, false);
	convicted(ORACLE_stale_mapping, "SM7");

	/* A VM that has gone. */
	cache_outlives(false);
	fake.vm = false;
	started(3);
	silent();
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(install_is_legal),
	cmocka_unit_test(install_sees_invalidations),
	cmocka_unit_test(hull_starts_over),
	cmocka_unit_test(install_needs_host),
	cmocka_unit_test(links_carry_subtrees),
	cmocka_unit_test(host_takes_back),
	cmocka_unit_test(host_takes_back_from_tlb),
	cmocka_unit_test(started_range_is_empty),
	cmocka_unit_test(freed_pages_are_unmapped),
	cmocka_unit_test(guest_reaches_what_the_host_maps),
	cmocka_unit_test(all_roots_are_judged),
	cmocka_unit_test(refused_starts_are_none),
	cmocka_unit_test(gone_slots_map_nothing),
	cmocka_unit_test(released_means_empty),
	cmocka_unit_test(mmio_entries_age),
	cmocka_unit_test(mmio_entries_map_nothing),
	cmocka_unit_test(huge_pages_are_taken_back_whole),
	cmocka_unit_test(huge_entries_need_huge_pages),
	cmocka_unit_test(huge_pages_reach_beyond_ranges),
	cmocka_unit_test(notifications_nest),
	cmocka_unit_test(fast_faults_are_no_installs),
	cmocka_unit_test(pfncaches_reach_what_the_host_maps),
	cmocka_unit_test(started_range_has_no_pfncache),
	cmocka_unit_test(lost_pages_have_no_pfncache),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
