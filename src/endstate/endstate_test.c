/*
 * The judgement of a world at rest: each invariant on a violation and on its legal neighbour, in a world made by hand. (What
 * `accounting` has of it is tested there, too.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "endstate/endstate.h"
#include "oracle/fake_world.h"

static const struct endstate_write page_3 = { .as_id = 0, .gfn = 3 };
static u32 nr_written;

static void in_order(void)
{
	struct endstate_finding finding;

	if (endstate_judge(&page_3, nr_written, &finding))
		fail_msg("%s %s: %s", finding.oracle, finding.class, finding.sentence);
}

static void in_disorder(const char *oracle, const char *class)
{
	struct endstate_finding finding;

	assert_true(endstate_judge(&page_3, nr_written, &finding));
	assert_string_equal(finding.oracle, oracle);
	assert_string_equal(finding.class, class);
}

static void unexpected(const struct endstate_finding *finding, void *ctx)
{
	fail_msg("%s %s: %s", finding->oracle, finding->class, finding->sentence);
}

/* Nothing translates what it should not; references may not add up. */
static void quiet(void)
{
	endstate_mappings(unexpected, NULL);
}

/* A leaf for gfn 3 that allows all that the host does; one table is linked. */
static void mapped(void)
{
	nr_written = 0;
	world_mapped(3);
	fake.counters.tables = 1;
	fake.slots[0].logging = false;
	in_order();
}

static void leafs_follow_the_host(void **state)
{
	hva_t hva = HVA + 3;
	u64 *leaf;

	mapped();
	leaf = &fake_words(table)[3];
	fake.host[hva] = 0;
	in_disorder("stale_mapping", "SM1");
	/* An access-tracked leaf holds on to its page, too; one for a page without a memslot to none. */
	*leaf &= ~PTE_RWX;
	in_disorder("stale_mapping", "SM1");
	*leaf = SPTE_MMIO_VALUE;
	quiet();

	mapped();
	leaf = &fake_words(table)[3];
	*leaf = leaf_of(3) + pfn_bits(1);
	in_disorder("stale_mapping", "SM1");

	/* Invalid roots count. */
	mapped();
	fake.roots[0].invalid = true;
	fake.host[hva] &= ~HOST_PTE_PRESENT;
	in_disorder("stale_mapping", "SM1");

	/* Rights: W, or the promise that it may come back. */
	mapped();
	leaf = &fake_words(table)[3];
	fake.host[hva] &= ~HOST_PTE_WRITE;
	in_disorder("stale_mapping", "SM1");
	*leaf &= ~PTE_W;
	in_disorder("stale_mapping", "SM1");
	*leaf &= ~(SPTE_HOST_WRITABLE | SPTE_MMU_WRITABLE);
	in_order();
}

static void huge_leafs_are_judged_page_by_page(void **state)
{
	u64 host;

	/* The world made by hand is smaller than a huge page of 512. */
	if (PT_PAGES(PT_LEVEL_2M) > GFNS)
		skip();
	world_huge();
	nr_written = 0;
	fake_words(root)[0] = LEAF_RW | PTE_PS | pfn_bits(host_pfn(0));
	in_order();
	/* The host's own page may be split, as long as it maps the same. */
	fake.host_level[HVA + 5] = PT_LEVEL_4K;
	in_order();
	host = fake.host[HVA + 5];
	fake.host[HVA + 5] = fake.host[HVA + 4];
	in_disorder("stale_mapping", "SM1");
	/* So is a TLB entry, with or without a leaf. */
	tlb_fill_by_hand(0);
	fake.vcpus[0].tlb[0].level = PT_LEVEL_2M;
	fake_words(root)[0] = SPTE_NONPRESENT;
	in_disorder("stale_mapping", "SM2");
	fake.host[HVA + 5] = host;
	in_order();
}

static void nothing_is_left_of_memslots(void **state)
{
	mapped();
	fake.slots[0].end = 3;
	in_disorder("stale_mapping", "SM6");
	mapped();
	fake.slots[0].as_id = 1;
	in_disorder("stale_mapping", "SM6");
}

static void tlb_entries_follow_the_host(void **state)
{
	struct fake_vcpu *vcpu = &fake.vcpus[0];

	mapped();
	tlb_fill_by_hand(3);
	in_order();
	fake_words(table)[3] = SPTE_NONPRESENT;
	in_order();
	fake.host[HVA + 3] &= ~HOST_PTE_WRITE;
	in_disorder("stale_mapping", "SM2");
	vcpu->tlb[0].access &= ~BIT_ULL(ACCESS_WRITE);
	in_order();
	fake.host[HVA + 3] = fake.host[HVA + 4];
	fake.frames[host_pfn(4)].count = 2;
	in_disorder("stale_mapping", "SM2");
	/* Out of use: to be flushed before the guest runs, of an invalid root, of a process that has gone. */
	vcpu->running = false;
	vcpu->requests = BIT_ULL(FAKE_FLUSH);
	quiet();
	vcpu->requests = 0;
	fake.roots[0].invalid = true;
	quiet();
	fake.roots[0].invalid = false;
	fake.released = true;
	quiet();
}

static void pfncaches_follow_the_host(void **state)
{
	mapped();
	fake.pfncache = (struct pfncache_view){
		.gfn = 3, .hva = HVA + 3, .pfn = host_pfn(3), .valid = true
	};
	in_order();
	fake.pfncache.pfn++;
	in_disorder("stale_mapping", "SM7");
	fake.pfncache.valid = false;
	in_order();
	fake.pfncache.valid = true;
	fake.pfncache.pfn--;
	fake_words(table)[3] = SPTE_NONPRESENT;
	fake.host[HVA + 3] &= ~HOST_PTE_WRITE;
	in_disorder("stale_mapping", "SM7");
	fake.released = true;
	in_order();
}

static void written_pages_are_pending(void **state)
{
	mapped();
	nr_written = 1;
	in_order();
	fake.slots[0].logging = true;
	in_disorder("lost_dirty", "LD1");
	fake.dirty = BIT_ULL(2);
	in_disorder("lost_dirty", "LD1");
	fake.dirty = BIT_ULL(3);
	in_order();
	fake.dirty = 0;
	fake.ring = BIT_ULL(3);
	in_order();
	fake.ring = 0;
	fake.vcpus[1].nr_pml = 1;
	fake.vcpus[1].pml[0] = 3;
	in_order();
	fake.vcpus[1].as_id = 1;
	in_disorder("lost_dirty", "LD1");
	nr_written = 0;
	in_order();
}

static void accounts_add_up(void **state)
{
	mapped();
	fake.counters.tables = 2;
	in_disorder("accounting", "AC1");
	mapped();
	fake_table();
	in_disorder("accounting", "AC1");
	mapped();
	fake_words(table)[4] = SPTE_FROZEN;
	in_disorder("accounting", "AC0");
	mapped();
	fake.frames[host_pfn(2)].count = 2;
	in_disorder("accounting", "AC0");
	/* One too few: somebody has given back what was not theirs. */
	fake.frames[host_pfn(2)].count = 0;
	in_disorder("accounting", "AC0");
	mapped();
	fake.counters.scheduled_roots = 1;
	in_disorder("accounting", "AC0");
	mapped();
	fake.counters.nx_pages_gone = 1;
	in_disorder("accounting", "AC7");

	/* An empty table may hang in an invalid root that was not zapped: but it must be. */
	mapped();
	fake_words(table)[3] = SPTE_NONPRESENT;
	in_order();
	fake.roots[0].invalid = true;
	in_disorder("accounting", "AC3");

	mapped();
	fake.counters.active_invalidations = 1;
	in_disorder("accounting", "AC0");
	/* Its MMU may have been unsubscribed between a start and its end. */
	fake.released = true;
	in_order();

	mapped();
	fake.vm = false;
	in_disorder("accounting", "AC4");
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(leafs_follow_the_host),
	cmocka_unit_test(huge_leafs_are_judged_page_by_page),
	cmocka_unit_test(nothing_is_left_of_memslots),
	cmocka_unit_test(tlb_entries_follow_the_host),
	cmocka_unit_test(pfncaches_follow_the_host),
	cmocka_unit_test(written_pages_are_pending),
	cmocka_unit_test(accounts_add_up),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
