/* Huge leafs: what maps them, what splits them, and collapses, with a subscriber that counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "host/test_world.h"
#include "oracle/oracle.h"

#define IS_SMALL (PT_ENTRIES == 8) /* level 3 fits into the address space */
/* A place for leafs of any level there is. */
#define AT   ((hva_t)(IS_SMALL ? 64 : 2 * PT_ENTRIES))
#define LEAF PT_PAGES(PT_LEVEL_2M)

static void set_up(hva_t start, hva_t end, u32 level)
{
	set_up_host();
	host_add_map(&(struct host_map){
		.start = start, .end = end, .populated = true, .level = level });
	set_up_counting();
}

/* One leaf. */
static void set_up_leaf(u32 level)
{
	set_up(AT, AT + PT_PAGES(level), level);
}

/* A piece of small pages that may become a leaf. */
static void set_up_small(void)
{
	set_up(AT, AT + LEAF, PT_LEVEL_4K);
	host_allow_collapse();
}

/* --- what is told, in order --- */

#define NOTES_MAX 4096
static struct note {
	u64 id, start, end, old, new, level;
} notes[NOTES_MAX];
static u32 nr_notes, nr_dead;

/* Called in tasks, one at a time. */
static void note_event(const struct event *event)
{
	const struct event_host_pte_changed *pte = (const void *)event;
	struct note *note;
	u32 nth;

	if (event->id == EVENT_dead_access) {
		__atomic_fetch_add(&nr_dead, 1, __ATOMIC_RELAXED);
		return;
	}
	nth = __atomic_fetch_add(&nr_notes, 1, __ATOMIC_RELAXED);
	if (nth >= NOTES_MAX)
		return;
	note = &notes[nth];
	*note = (struct note){ .id = event->id };
	if (event->id == EVENT_host_pte_changed) {
		note->start = pte->hva;
		note->old = pte->old;
		note->new = pte->new;
		note->level = pte->level;
	} else {
		note->start = event_field(event, 0);
		note->end = event_field(event, 1);
	}
}

static void listen(bool on)
{
	nr_notes = nr_dead = 0;
	oracle_tap(on ? note_event : NULL);
	event_context.interest =
		on ? EVENT_BIT(EVENT_notifier_start) | EVENT_BIT(EVENT_notifier_start_returned) |
				EVENT_BIT(EVENT_notifier_end) |
				EVENT_BIT(EVENT_notifier_end_returned) |
				EVENT_BIT(EVENT_host_pte_changed) | EVENT_BIT(EVENT_dead_access)
		   : 0;
}

static void deafen(void)
{
	oracle_tap(NULL);
	event_context.interest = 0;
}

/* Runs @body as the only task and listens. */
static void run_noting(void (*body)(u32 task))
{
	listen(true);
	run(1, body, 0);
	deafen();
}

static u32 read_note;

static void assert_pair(u64 id, hva_t start, hva_t end)
{
	const struct note *note = &notes[read_note++];

	assert_true(read_note <= nr_notes);
	assert_int_equal(note->id, id);
	assert_int_equal(note->start, start);
	assert_int_equal(note->end, end);
}

static void assert_started(hva_t start, hva_t end)
{
	assert_pair(EVENT_notifier_start, start, end);
	assert_pair(EVENT_notifier_start_returned, start, end);
}

static void assert_ended(hva_t start, hva_t end)
{
	assert_pair(EVENT_notifier_end, start, end);
	assert_pair(EVENT_notifier_end_returned, start, end);
}

static void assert_changed(hva_t hva, u32 level, u64 old, u64 new)
{
	const struct note *note = &notes[read_note++];

	assert_true(read_note <= nr_notes);
	assert_int_equal(note->id, EVENT_host_pte_changed);
	assert_int_equal(note->start, hva);
	assert_int_equal(note->level, level);
	assert_int_equal(note->old, old);
	assert_int_equal(note->new, new);
}

/* A split by one level with its pair. */
static void assert_split(hva_t start, u32 level, u64 leaf)
{
	assert_started(start, start + PT_PAGES(level));
	assert_changed(start, level, leaf, HOST_PTE_TABLE);
	assert_ended(start, start + PT_PAGES(level));
}

static void assert_all_noted(void)
{
	assert_int_equal(read_note, nr_notes);
	read_note = 0;
}

static u64 page_of(u64 pte, u64 nth)
{
	return pte + (nth << HOST_PTE_PFN_SHIFT);
}

static u64 wrong;

static void compare_levels_task(u32 task)
{
	for (hva_t hva = AT - 3; hva < AT + 2 * LEAF; hva++) {
		u32 level = host_mapping_level(hva);

		wrong += level != inspect_host_level(hva);
	}
	wrong += host_mapping_level(HVA_MAX) != PT_LEVEL_4K;
}

/* The MMU is told the same that oracles see. Behind everything else that looks at the world. */
static void assert_levels_agree(void)
{
	wrong = 0;
	run(1, compare_levels_task, 0);
	assert_int_equal(wrong, 0);
}

/* --- maps --- */

static void map_is_huge_where_it_can_be(void **state)
{
	hva_t start = AT - 3, end = AT + LEAF + 2;

	set_up_host();
	listen(true);
	host_add_map(&(struct host_map){
		.start = start, .end = end, .populated = true, .level = PT_LEVEL_2M });
	deafen();
	set_up_counting();
	assert_int_equal(nr_notes, 3 + 1 + 2);
	assert_int_equal(notes[3].level, PT_LEVEL_2M);
	assert_int_equal(notes[3].start, AT);
	assert_int_equal(notes[3].new, inspect_host_pte(AT));
	for (hva_t hva = start; hva < end; hva++) {
		bool huge = hva >= AT && hva < AT + LEAF;

		assert_true(host_pte_writable(inspect_host_pte(hva)));
		assert_int_equal(!!(inspect_host_pte(hva) & HOST_PTE_HUGE), huge);
		assert_int_equal(inspect_host_level(hva), huge ? PT_LEVEL_2M : PT_LEVEL_4K);
		if (huge)
			assert_int_equal(mapped(hva), mapped(AT) + (hva - AT));
	}
	assert_int_equal(mapped(AT) % LEAF, 0);
	assert_accounts_balance();
	assert_levels_agree();
}

static void map_without_room_is_small(void **state)
{
	if (!IS_SMALL)
		skip();
	set_up_host();
	for (u32 i = 1; i < KERN_PAGES_MAX; i++)
		frame_alloc(FRAME_PAGE_TABLE);
	for (pfn_t pfn = 9; pfn <= 9 * (LEAF + 1); pfn += 9)
		frame_free(pfn);
	host_add_map(&(struct host_map){
		.start = AT, .end = AT + LEAF, .populated = true, .level = PT_LEVEL_2M });
	assert_int_equal(inspect_host_level(AT), PT_LEVEL_4K);
	for (hva_t hva = AT; hva < AT + LEAF; hva++)
		assert_true(host_pte_writable(inspect_host_pte(hva)));
}

/* --- get_user_pages --- */

static void gup_all_task(u32 task)
{
	pfn_t first = mapped(AT), pfn;
	bool writable;

	for (u64 i = 0; i < LEAF; i++) {
		if (host_get_user_page(AT + i, i & 1, &pfn, &writable) != GUP_OK)
			wrong++;
		wrong += pfn != first + i || !writable;
		for (u64 n = 0; n < LEAF; n++)
			wrong += inspect_frame_count(first + n) != 1 + (n == i);
		host_put_page(pfn);
	}
}

static void gup_takes_the_page_itself(void **state)
{
	set_up_leaf(PT_LEVEL_2M);
	wrong = 0;
	run_noting(gup_all_task);
	assert_int_equal(wrong, 0);
	assert_int_equal(nr_notes, 0);
	assert_int_equal(inspect_host_level(AT), PT_LEVEL_2M);
	assert_accounts_balance();
}

static void write_user_task(u32 task)
{
	seen[0].result = host_write_user(AT + 3, &seen[0].pfn);
	seen[1].result = host_write_user(AT + LEAF, &seen[1].pfn);
	seen[2].result = host_write_user(AT + LEAF + 1, &seen[2].pfn);
	seen[3].result = host_write_user(HVA_MAX, &seen[3].pfn);
}

static void write_user_marks_dirty(void **state)
{
	pfn_t shared;

	set_up_leaf(PT_LEVEL_2M);
	host_add_map(&(struct host_map){
		.start = AT + LEAF, .end = AT + LEAF + 1, .read_only = true, .populated = true });
	shared = mapped(AT + LEAF);
	run(1, write_user_task, 0);
	assert_int_equal(seen[0].result, GUP_OK);
	assert_int_equal(seen[0].pfn, mapped(AT) + 3);
	assert_true(inspect_host_pte(AT) & HOST_PTE_DIRTY);
	assert_int_equal(inspect_host_level(AT), PT_LEVEL_2M);
	assert_int_equal(seen[1].result, GUP_OK);
	assert_int_equal(seen[1].pfn, mapped(AT + LEAF));
	assert_int_not_equal(seen[1].pfn, shared);
	assert_true(inspect_host_pte(AT + LEAF) & HOST_PTE_DIRTY);
	assert_int_equal(seen[2].result, GUP_FAULT);
	assert_int_equal(seen[3].result, GUP_FAULT);
	assert_int_equal(starts, 1); /* the copy */
	assert_accounts_balance();
}

/* --- ranges --- */

static void munmap_part_task(u32 task)
{
	host_munmap(AT + 3, AT + 5);
}

static void part_splits_inside_the_pair(void **state)
{
	u64 leaf, old[2];

	set_up_leaf(PT_LEVEL_2M);
	leaf = inspect_host_pte(AT);
	run_noting(munmap_part_task);
	assert_started(AT + 3, AT + 5);
	assert_split(AT, PT_LEVEL_2M, leaf);
	for (u64 i = 0; i < 2; i++) {
		old[i] = page_of(leaf & ~HOST_PTE_HUGE, 3 + i);
		assert_changed(AT + 3 + i, PT_LEVEL_4K, old[i], 0);
		assert_false(inspect_frame_is(host_pte_pfn(old[i]), FRAME_HOST_PAGE));
	}
	assert_ended(AT + 3, AT + 5);
	assert_all_noted();
	for (u64 i = 0; i < LEAF; i++)
		assert_int_equal(inspect_host_pte(AT + i),
				 i == 3 || i == 4 ? 0 : page_of(leaf & ~HOST_PTE_HUGE, i));
	assert_int_equal(inspect_host_level(AT), PT_LEVEL_4K);
	assert_int_equal(pages_live(), LEAF - 2);
	assert_accounts_balance();
	assert_levels_agree();
}

static void part_of_a_larger_leaf_splits_twice(void **state)
{
	u64 leaf;

	if (!IS_SMALL)
		skip();
	set_up_leaf(PT_LEVEL_1G);
	leaf = inspect_host_pte(AT);
	assert_int_equal(inspect_host_level(AT + LEAF), PT_LEVEL_1G);
	run_noting(munmap_part_task);
	assert_started(AT + 3, AT + 5);
	assert_split(AT, PT_LEVEL_1G, leaf);
	assert_split(AT, PT_LEVEL_2M, leaf);
	assert_int_equal(nr_notes, read_note + 4);
	read_note = 0;
	for (hva_t hva = AT + LEAF; hva < AT + PT_PAGES(PT_LEVEL_1G); hva++) {
		assert_int_equal(inspect_host_pte(hva), page_of(leaf, hva - AT));
		assert_int_equal(inspect_host_level(hva), PT_LEVEL_2M);
	}
	assert_int_equal(inspect_host_level(AT), PT_LEVEL_4K);
	assert_accounts_balance();
	assert_levels_agree();
}

static void discard_whole_task(u32 task)
{
	host_dontneed(AT, HVA_MAX);
	gup(&seen[0], AT + 1, true);
	gup(&seen[1], AT + 2, false);
}

static void whole_leaf_goes_in_one_step(void **state)
{
	for (u32 level = PT_LEVEL_2M; level <= (IS_SMALL ? PT_LEVEL_1G : PT_LEVEL_2M); level++) {
		u64 leaf;

		set_up_leaf(level);
		leaf = inspect_host_pte(AT);
		run_noting(discard_whole_task);
		assert_started(AT, HVA_MAX);
		assert_changed(AT, level, leaf, 0);
		assert_ended(AT, HVA_MAX);
		/* The next accesses map small pages. */
		assert_changed(AT + 1, PT_LEVEL_4K, 0, inspect_host_pte(AT + 1));
		assert_changed(AT + 2, PT_LEVEL_4K, 0, inspect_host_pte(AT + 2));
		assert_all_noted();
		assert_int_equal(seen[0].pfn, mapped(AT + 1));
		assert_int_equal(seen[1].pfn, mapped(AT + 2));
		assert_int_equal(pages_live(), 2);
		assert_accounts_balance();
	}
}

static void populate_task(u32 task)
{
	host_populate(AT - 1, AT + 3 * LEAF);
	host_populate(AT + LEAF + 1, AT + LEAF + 2);
}

static void populate_leaves_leafs_alone(void **state)
{
	u64 leaf;

	set_up_leaf(PT_LEVEL_2M);
	leaf = inspect_host_pte(AT);
	run(1, populate_task, 0);
	assert_int_equal(inspect_host_pte(AT), leaf);
	for (hva_t hva = AT - 1; hva < AT + 3 * LEAF; hva++)
		assert_true(host_pte_writable(inspect_host_pte(hva)));
	assert_int_equal(pages_live(), 1 + 3 * LEAF);
	assert_accounts_balance();
}

static void protect_task(u32 task)
{
	host_mprotect(AT, AT + LEAF, false);
	gup(&seen[0], AT + 1, true);
	gup(&seen[1], AT + 1, false);
	host_mprotect(AT, AT + LEAF, true);
	gup(&seen[2], AT + 2, true);
}

static void whole_leaf_is_protected_and_upgraded(void **state)
{
	u64 leaf, again;

	set_up_leaf(PT_LEVEL_2M);
	leaf = inspect_host_pte(AT);
	again = leaf | HOST_PTE_YOUNG | HOST_PTE_DIRTY;
	run_noting(protect_task);
	assert_started(AT, AT + LEAF);
	assert_changed(AT, PT_LEVEL_2M, leaf, leaf & ~HOST_PTE_WRITE);
	assert_ended(AT, AT + LEAF);
	assert_started(AT, AT + LEAF);
	assert_ended(AT, AT + LEAF);
	assert_changed(AT, PT_LEVEL_2M, leaf & ~HOST_PTE_WRITE, again);
	assert_all_noted();
	assert_int_equal(seen[0].result, GUP_FAULT);
	assert_int_equal(seen[1].result, GUP_OK);
	assert_false(seen[1].writable);
	assert_int_equal(seen[2].pfn, mapped(AT) + 2);
	assert_true(seen[2].writable);
	assert_accounts_balance();
}

static void protect_part_task(u32 task)
{
	host_mprotect(AT + 2, AT + 4, false);
	gup(&seen[0], AT + 2, true);
	gup(&seen[1], AT + 4, true);
}

static void part_is_protected_alone(void **state)
{
	u64 leaf;

	set_up_leaf(PT_LEVEL_2M);
	leaf = inspect_host_pte(AT) & ~HOST_PTE_HUGE;
	run_noting(protect_part_task);
	assert_started(AT + 2, AT + 4);
	assert_split(AT, PT_LEVEL_2M, leaf | HOST_PTE_HUGE);
	for (u64 i = 2; i < 4; i++)
		assert_changed(AT + i, PT_LEVEL_4K, page_of(leaf, i),
			       page_of(leaf, i) & ~HOST_PTE_WRITE);
	assert_ended(AT + 2, AT + 4);
	assert_all_noted();
	assert_int_equal(seen[0].result, GUP_FAULT);
	assert_int_equal(seen[1].result, GUP_OK);
	assert_accounts_balance();
}

static void unprotect_part_task(u32 task)
{
	host_mprotect(AT, AT + LEAF, false);
	host_mprotect(AT + 2, AT + LEAF, true);
	gup(&seen[0], AT + 3, true);
	gup(&seen[1], AT + 1, true);
}

/* Else the upgrade of one page would make pages of the other VMA writable. */
static void leaf_has_no_part_in_two_vmas(void **state)
{
	set_up_leaf(PT_LEVEL_2M);
	run(1, unprotect_part_task, 0);
	assert_int_equal(seen[0].result, GUP_OK);
	assert_int_equal(seen[1].result, GUP_FAULT);
	for (hva_t hva = AT; hva < AT + LEAF; hva++)
		assert_int_equal(host_pte_writable(inspect_host_pte(hva)), hva == AT + 3);
	assert_int_equal(starts, 3);
	assert_accounts_balance();
}

static void reuse_task(u32 task)
{
	host_mprotect(AT, AT + LEAF, false);
	host_reuse(AT + 1);
	seen[0].writable = host_pte_writable(inspect_host_pte(AT + 1));
	host_mprotect(AT, AT + LEAF, true);
	host_reuse(AT + 1);
}

static void reuse_makes_the_leaf_writable(void **state)
{
	set_up_leaf(PT_LEVEL_2M);
	run(1, reuse_task, 0);
	assert_false(seen[0].writable);
	assert_true(host_pte_writable(inspect_host_pte(AT + 7)));
	assert_int_equal(inspect_host_level(AT), PT_LEVEL_2M);
	assert_int_equal(starts, 2);
	assert_accounts_balance();
}

/* --- single pages --- */

static void migrate_task(u32 task)
{
	host_migrate(AT + 3);
}

static void reclaim_task(u32 task)
{
	host_reclaim(AT + 3);
}

static void migrate_splits_first(void **state)
{
	u64 leaf, page;

	set_up_leaf(PT_LEVEL_2M);
	leaf = inspect_host_pte(AT);
	page = page_of(leaf & ~HOST_PTE_HUGE, 3);
	run_noting(migrate_task);
	assert_split(AT, PT_LEVEL_2M, leaf);
	assert_started(AT + 3, AT + 4);
	assert_changed(AT + 3, PT_LEVEL_4K, page, (page & ~HOST_PTE_PRESENT) | HOST_PTE_MIGRATION);
	assert_ended(AT + 3, AT + 4);
	assert_changed(AT + 3, PT_LEVEL_4K, (page & ~HOST_PTE_PRESENT) | HOST_PTE_MIGRATION,
		       inspect_host_pte(AT + 3));
	assert_all_noted();
	assert_int_not_equal(mapped(AT + 3), host_pte_pfn(page));
	assert_int_equal(pages_live(), LEAF);
	assert_accounts_balance();
}

static void reclaim_splits_first(void **state)
{
	set_up_leaf(PT_LEVEL_2M);
	run(1, reclaim_task, 0);
	assert_int_equal(starts, 2);
	assert_int_equal(inspect_host_pte(AT + 3), 0);
	assert_true(host_pte_writable(inspect_host_pte(AT + 2)));
	assert_int_equal(pages_live(), LEAF - 1);
	assert_accounts_balance();
}

static void fork_task(u32 task)
{
	host_wrprotect(AT, AT + LEAF);
	gup(&seen[0], AT + 2, true);
}

static void fork_shares_small_pages(void **state)
{
	pfn_t pfn;

	set_up_leaf(PT_LEVEL_2M);
	pfn = mapped(AT + 2);
	run(1, fork_task, 0);
	assert_int_equal(inspect_host_level(AT), PT_LEVEL_4K);
	assert_int_equal(starts, 3); /* the fork, the split in it, the copy */
	assert_int_not_equal(seen[0].pfn, pfn);
	assert_int_equal(inspect_frame_count(pfn), 1);
	assert_int_equal(inspect_frame_count(mapped(AT + 3)), 2);
	assert_accounts_balance();
}

/* --- the reaper --- */

static bool refuses;

/* Does not let go of a whole leaf, and must not wait. */
static int refuse_wide(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	return refuses && !range->blockable && range->end - range->start == LEAF ? -EAGAIN : 0;
}

static const struct mmu_notifier_ops refusing_ops = { .invalidate_range_start = refuse_wide };
static struct mmu_notifier refusing = { .ops = &refusing_ops };

static void reap_task(u32 task)
{
	host_oom_reap(AT + 2, AT + LEAF + 1);
}

static void reaper_leaves_a_leaf_that_it_must_not_split(void **state)
{
	for (u32 i = 0; i < 2; i++) {
		set_up_leaf(PT_LEVEL_2M);
		host_add_map(&(struct host_map){
			.start = AT + LEAF, .end = AT + LEAF + 1, .populated = true });
		mmu_notifier_register(&refusing);
		refuses = i;
		run(1, reap_task, 0);
		assert_int_equal(starts, 2);
		assert_int_equal(inspect_host_level(AT), i ? PT_LEVEL_2M : PT_LEVEL_4K);
		assert_int_equal(pages_live(), i ? LEAF : 2);
		assert_int_equal(inspect_host_pte(AT + LEAF), 0);
		assert_accounts_balance();
	}
}

/* --- collapses --- */

static void collapse_task(u32 task)
{
	host_collapse(AT + 5);
}

static void collapse_replaces_the_table(void **state)
{
	u64 pte[LEAF];

	set_up_small();
	for (u64 i = 0; i < LEAF; i++)
		pte[i] = inspect_host_pte(AT + i);
	run_noting(collapse_task);
	assert_started(AT, AT + LEAF);
	for (u64 i = 0; i < LEAF; i++)
		assert_changed(AT + i, PT_LEVEL_4K, pte[i], 0);
	assert_changed(AT, PT_LEVEL_2M, HOST_PTE_TABLE, inspect_host_pte(AT));
	assert_ended(AT, AT + LEAF);
	assert_all_noted();
	assert_true(host_pte_writable(inspect_host_pte(AT)));
	assert_int_equal(inspect_host_level(AT + 1), PT_LEVEL_2M);
	assert_int_equal(pages_live(), LEAF);
	for (u64 i = 0; i < LEAF; i++)
		assert_false(inspect_frame_is(host_pte_pfn(pte[i]), FRAME_HOST_PAGE));
	assert_accounts_balance();
}

static void (*hinder)(void);

static void hindered_task(u32 task)
{
	bool writable;

	hinder();
	host_collapse(AT);
	if (seen[0].pfn)
		host_put_page(seen[0].pfn);
	host_get_user_page(AT + 1, false, &seen[0].pfn, &writable);
	host_put_page(seen[0].pfn);
}

static void hinder_hole(void)
{
	host_dontneed(AT + 2, AT + 3);
}

static void hinder_read_only(void)
{
	host_mprotect(AT + 2, AT + 3, false);
}

static void hinder_shared(void)
{
	host_wrprotect(AT + 2, AT + 3);
	host_reuse(AT + 2);
	host_wrprotect(AT + 3, AT + 4);
}

static void hinder_vma(void)
{
	host_munmap(AT + LEAF - 1, AT + LEAF);
}

static void hinder_pin(void)
{
	host_get_user_page(AT + 2, false, &seen[0].pfn, &seen[0].writable);
}

static void collapse_gives_up(void **state)
{
	void (*const all[])(void) = { hinder_hole, hinder_read_only, hinder_shared, hinder_vma,
				      hinder_pin };

	for (u32 i = 0; i < ARRAY_SIZE(all); i++) {
		set_up_small();
		hinder = all[i];
		seen[0].pfn = 0;
		run(1, hindered_task, 0);
		assert_int_equal(inspect_host_level(AT), PT_LEVEL_4K);
		assert_true(host_pte_present(inspect_host_pte(AT + 1)));
		assert_accounts_balance();
	}
}

static u32 objects[3];

static void unmap_table_task(u32 task)
{
	objects[0] = kern_objects_live();
	host_munmap(AT, AT + LEAF - 1);
	objects[1] = kern_objects_live();
	host_munmap(AT + LEAF - 1, AT + LEAF);
	objects[2] = kern_objects_live();
	gup(&seen[0], AT, false);
	host_populate(AT, AT + 1);
	gup(&seen[1], AT, false);
}

static void munmap_gives_the_last_vmas_table_back(void **state)
{
	set_up_small();
	run(1, unmap_table_task, 0);
	assert_int_equal(objects[1], objects[0]);
	assert_int_equal(objects[2], objects[0] - 1);
	assert_int_equal(seen[0].result, GUP_FAULT);
	assert_int_equal(seen[1].result, GUP_OK);
	assert_int_equal(seen[1].pfn, mapped(AT));
	assert_int_equal(starts, 2);
	assert_accounts_balance();
}

/* --- a walk for the level while the table goes --- */

#define LOOKS (3 * (u32)LEAF)
#define RACES (IS_SMALL ? SCHEDULES : SCHEDULES / 20)
static u32 levels[PT_LEVEL_1G + 1];
static bool unmaps;

static void level_vs_table_task(u32 task)
{
	if (task == 0) {
		if (unmaps)
			host_munmap(AT, AT + LEAF);
		else
			host_collapse(AT);
		return;
	}
	for (u32 i = 0; i < LOOKS; i++) {
		u32 level = host_mapping_level(AT + task);

		__atomic_fetch_add(&levels[level], 1, __ATOMIC_RELAXED);
	}
}

/* Return: in how many of the schedules memory was touched that is freed. */
static u32 level_vs_table(enum bug_id armed, bool by_munmap)
{
	static const struct sched_driver driver = { .next = next_hashed, .value = value_answer };
	u32 dead = 0;

	unmaps = by_munmap;
	kern_set_driver(&driver);
	for (u64 i = 0; i < RACES; i++) {
		set_up_small();
		listen(true);
		bug_state.armed = armed;
		__atomic_store_n(&seed, i, __ATOMIC_RELAXED);
		if (kern_run_tasks(3, level_vs_table_task, 100000) == KERN_DONE)
			assert_accounts_balance();
		bug_state.armed = BUG_none;
		dead += nr_dead;
		deafen();
	}
	return dead;
}

static void level_walk_keeps_tables(void **state)
{
	for (u32 i = 0; i < ARRAY_SIZE(levels); i++)
		levels[i] = 0;
	assert_int_equal(level_vs_table(BUG_none, false), 0);
	/* Before and behind the collapse. */
	assert_true(levels[PT_LEVEL_4K] && levels[PT_LEVEL_2M]);
	assert_int_equal(levels[PT_LEVEL_4K] + levels[PT_LEVEL_2M], 2 * LOOKS * RACES);
	assert_int_equal(level_vs_table(BUG_none, true), 0);
}

static void unprotected_walk_meets_a_freed_table(void **state)
{
	/* In the large geometry the walk would have to stand still for thousands of points. */
	if (BUGS_ABSENT || !IS_SMALL)
		skip();
	assert_true(level_vs_table(BUG_host_level_walk_unprotected, false));
	assert_true(level_vs_table(BUG_host_level_walk_unprotected, true));
}

static void split_without_pair_is_silent(void **state)
{
	u64 leaf;

	if (BUGS_ABSENT)
		skip();
	set_up_leaf(PT_LEVEL_2M);
	leaf = inspect_host_pte(AT);
	bug_state.armed = BUG_split_without_own_notifier;
	run_noting(munmap_part_task);
	bug_state.armed = BUG_none;
	assert_started(AT + 3, AT + 5);
	assert_changed(AT, PT_LEVEL_2M, leaf, HOST_PTE_TABLE);
	read_note = 0;
	assert_int_equal(starts, 1);
}

/* --- races --- */

static void three_task(u32 task)
{
	if (task == 0)
		gup(&seen[0], AT + 2, true);
	else if (task == 1)
		host_migrate(AT + 2);
	else
		host_collapse(AT);
}

/* Whoever waits for a migration cannot do so by an entry in a table that goes. */
static void gup_waits_where_tables_go(void **state)
{
	u32 collapsed = 0;

	for (u64 i = 0; i < SCHEDULES; i++) {
		set_up_small();
		run(3, three_task, i);
		assert_int_equal(seen[0].result, GUP_OK);
		collapsed += inspect_host_level(AT) == PT_LEVEL_2M;
		assert_accounts_balance();
	}
	assert_in_range(collapsed, 1, SCHEDULES - 1);
}

static void exit_task(u32 task)
{
	if (task == 0)
		host_exit();
	else if (task == 1)
		host_migrate(AT + 2);
	else
		host_oom_reap(AT + 1, AT + 3);
}

static void exit_takes_leafs_down(void **state)
{
	for (u64 i = 0; i < SCHEDULES; i++) {
		set_up_leaf(IS_SMALL && (i & 1) ? PT_LEVEL_1G : PT_LEVEL_2M);
		host_count_users();
		run(3, exit_task, i / 2);
		assert_int_equal(pages_live(), 0);
		for (hva_t hva = 0; hva < HVA_MAX; hva++)
			assert_int_equal(inspect_host_pte(hva), 0);
	}
}

static void storm_range(u32 what, hva_t start)
{
	/* Sharers stay for good: not too many of them, or there is no room. */
	hva_t end = what == 2 ? start + 16 : AT + 2 * LEAF;

	switch (what) {
	case 0:
		return host_munmap(start, end);
	case 1:
		return host_dontneed(start, end);
	case 2:
		return host_wrprotect(start, end);
	case 3:
		return host_mprotect(start, end, start & 1);
	case 4:
		return host_populate(start, end);
	default:
		return host_oom_reap(start, end);
	}
}

static void storm_page(u32 what, u32 task, hva_t hva)
{
	switch (what) {
	case 0:
		return host_migrate(hva);
	case 1:
		return host_reclaim(hva);
	case 2:
		return host_reuse(hva);
	case 3:
		return host_collapse(hva);
	case 4:
		host_write_user(hva, &seen[task].pfn);
		return;
	case 5:
		host_mapping_level(hva);
		return;
	default:
		return gup(&seen[task], hva, what & 1);
	}
}

static void storm_task(u32 task)
{
	u64 dice = hash_u64(hash_u64(HASH_SEED, seed + 4711), task);

	for (u32 i = 0; i < 4; i++) {
		hva_t hva;

		dice = hash_u64(dice, i);
		hva = AT + dice % (2 * LEAF);
		if (dice >> 20 & 1)
			storm_range((u32)(dice >> 24) % 6,
				    dice >> 30 & 1 ? hva & ~(hva_t)(LEAF - 1) : hva);
		else
			storm_page((u32)(dice >> 24) % 8, task, hva);
	}
}

static void accounts_balance_after_any_storm(void **state)
{
	for (u64 i = 0; i < (IS_SMALL ? 8 : 1) * SCHEDULES; i++) {
		u32 level = IS_SMALL ? 1 + (u32)i % 3 : 1 + (u32)i % 2;

		set_up(AT, AT + (level == PT_LEVEL_1G ? PT_PAGES(level) : 2 * LEAF), level);
		host_allow_collapse();
		run(4, storm_task, i);
		assert_accounts_balance();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(map_is_huge_where_it_can_be),
		cmocka_unit_test(map_without_room_is_small),
		cmocka_unit_test(gup_takes_the_page_itself),
		cmocka_unit_test(write_user_marks_dirty),
		cmocka_unit_test(part_splits_inside_the_pair),
		cmocka_unit_test(part_of_a_larger_leaf_splits_twice),
		cmocka_unit_test(whole_leaf_goes_in_one_step),
		cmocka_unit_test(populate_leaves_leafs_alone),
		cmocka_unit_test(whole_leaf_is_protected_and_upgraded),
		cmocka_unit_test(part_is_protected_alone),
		cmocka_unit_test(leaf_has_no_part_in_two_vmas),
		cmocka_unit_test(reuse_makes_the_leaf_writable),
		cmocka_unit_test(migrate_splits_first),
		cmocka_unit_test(reclaim_splits_first),
		cmocka_unit_test(fork_shares_small_pages),
		cmocka_unit_test(reaper_leaves_a_leaf_that_it_must_not_split),
		cmocka_unit_test(collapse_replaces_the_table),
		cmocka_unit_test(collapse_gives_up),
		cmocka_unit_test(munmap_gives_the_last_vmas_table_back),
		cmocka_unit_test(level_walk_keeps_tables),
		cmocka_unit_test(unprotected_walk_meets_a_freed_table),
		cmocka_unit_test(split_without_pair_is_silent),
		cmocka_unit_test(gup_waits_where_tables_go),
		cmocka_unit_test(exit_takes_leafs_down),
		cmocka_unit_test(accounts_balance_after_any_storm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
