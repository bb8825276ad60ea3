/*
 * The functions written by hand: the same algorithm over the same structures, with the builtins of the compiler,
 * pthreads and liburcu's own inline functions, and with none of our macros. It makes the checks that KVM makes,
 * and has the slow paths that KVM has, though nothing here takes them.
 *
 * The lock is written by hand, too: mmu_lock says whether somebody waits, which a pthread_rwlock cannot.
 */
#define _LGPL_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <stdlib.h>
#include <urcu/urcu-memb.h>

#include "fuzz/contract/contract.h"

/*
 * Where KVM has a function in another file than its callers, or for callers that are not here, it is not to be merged
 * into them, nor made for the few values that they call it with. (Only the latter: "used".)
 */
#define apart	__attribute__((noinline, used))
#define rare(x) __builtin_expect(!!(x), 0)

/* --- entries --- */

#define R		(1ull << 0)
#define W		(1ull << 1)
#define X		(1ull << 2)
#define LARGE		(1ull << 7)
#define ACCESSED	(1ull << 8)
#define DIRTY		(1ull << 9)
#define PRESENT		(1ull << 11)
#define AD_MASK		(3ull << 52)
#define AD_DISABLED	(1ull << 52)
#define SAVED_SHIFT	54
#define SAVED_MASK	((R | X) << SAVED_SHIFT)
#define HOST_WRITABLE	(1ull << 57)
#define MMU_WRITABLE	(1ull << 58)
#define NONPRESENT	(1ull << 63)
#define FROZEN		(NONPRESENT | 0x5a0ull)
#define MMIO_MASK	(R | W | X | 1ull << 63)
#define MMIO_VALUE	(W | X)
#define PFN_MASK	(((1ull << 40) - 1) << 12)
#define ENTRIES		512
#define LOG_DIRTY_PAGES 1ull
#define FRAMES		16

enum { READ, WRITE, EXEC };
enum result { FIXED, SPURIOUS, NOT_FAST };

static inline uint64_t pfn_of(uint64_t spte)
{
	return (spte & PFN_MASK) >> 12;
}

/* --- structures --- */

struct role {
	uint8_t level, as_id;
	bool invalid;
};

struct page {
	struct role role;
	uint64_t gfn, pfn;
	uint64_t *spt;
	uint64_t root_count;
	struct page *next_root;
	struct rcu_head rcu_head;
	uint64_t nx_huge_page_disallowed;
	struct page *nx_next;
	bool nx_listed;
};

struct lock {
	uint32_t word; /* bit 31: writer, from bit 16: writers that wait, below: readers */
	uint32_t waiting_readers;
};

struct slot {
	uint64_t flags, base_gfn;
	uint64_t *dirty_bitmap;
};

struct vm {
	struct lock mmu_lock;
	pthread_rwlock_t pthread_lock;
	pthread_spinlock_t pages_lock;
	struct page *roots, *nx_pages;
	uint64_t nr_tables;
	uint64_t *rings;
	bool fast_fault, ad_bits;
};

struct vcpu {
	struct vm *vm;
	struct page *root;
};

struct fault {
	uint64_t gfn;
	int access;
	bool present;
	struct slot *slot;
};

struct iter {
	uint64_t *sptep, old_spte, gfn;
	uint32_t level, root_level, min_level;
	uint64_t next_last_level_gfn, yielded_gfn;
	uint64_t *pt_path[6];
	bool yielded, valid;
};

struct range {
	uint64_t start, end;
	uint32_t as_id;
	bool may_block;
	void *argument;
};

static uint64_t frames[FRAMES][ENTRIES] __attribute__((aligned(4096)));
static struct page *page_of_frame[FRAMES];
static uint32_t nr_frames = 1; /* number 0 is none */
static __thread volatile uint32_t resched_wanted; /* set by nobody here */
static uint32_t nr_warnings;

static __attribute__((cold, noinline)) void warned(const char *what)
{
	nr_warnings++;
}
#define WARN(cond)                     \
	({                             \
		bool cond_ = !!(cond); \
		if (rare(cond_))       \
			warned(#cond); \
		cond_;                 \
	})

/* --- the lock --- */

static apart void write_lock_slow(struct lock *lock)
{
	uint32_t word = __atomic_add_fetch(&lock->word, 1u << 16, __ATOMIC_RELAXED);

	for (;;) {
		if (!(word & (1u << 31 | 0xffffu))) {
			if (__atomic_compare_exchange_n(&lock->word, &word,
							(word - (1u << 16)) | 1u << 31, false,
							__ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
				return;
			continue;
		}
		sched_yield();
		word = __atomic_load_n(&lock->word, __ATOMIC_RELAXED);
	}
}

static inline void write_lock(struct lock *lock)
{
	uint32_t nobody = 0;

	if (rare(!__atomic_compare_exchange_n(&lock->word, &nobody, 1u << 31, false,
					      __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)))
		write_lock_slow(lock);
}

static inline void write_unlock(struct lock *lock)
{
	__atomic_fetch_sub(&lock->word, 1u << 31, __ATOMIC_RELEASE);
}

static inline bool lock_needbreak(const struct lock *lock)
{
	uint32_t word = __atomic_load_n(&lock->word, __ATOMIC_RELAXED);

	if (word & 0x7fff0000u)
		return true;
	return word & 1u << 31 && __atomic_load_n(&lock->waiting_readers, __ATOMIC_RELAXED);
}

static apart void flush_remote_tlbs(struct vm *vm)
{
	/* One vCPU, which is outside. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* --- the iterator --- */

static void iter_refresh(struct iter *iter)
{
	uint64_t pages = 1ull << (9 * (iter->level - 1));

	iter->sptep = iter->pt_path[iter->level] +
		      (iter->next_last_level_gfn >> (9 * (iter->level - 1)) & (ENTRIES - 1));
	iter->gfn = iter->next_last_level_gfn & ~(pages - 1);
	iter->old_spte = __atomic_load_n(iter->sptep, __ATOMIC_ACQUIRE);
}

static apart void iter_restart(struct iter *iter)
{
	iter->yielded = false;
	iter->yielded_gfn = iter->next_last_level_gfn;
	iter->level = iter->root_level;
	iter_refresh(iter);
	iter->valid = true;
}

static apart void iter_start(struct iter *iter, uint64_t *root_pt, uint32_t root_level,
			     uint32_t min_level, uint64_t gfn)
{
	iter->next_last_level_gfn = gfn;
	iter->root_level = root_level;
	iter->min_level = min_level;
	iter->pt_path[root_level] = root_pt;
	iter_restart(iter);
}

static bool iter_down(struct iter *iter)
{
	if (iter->level == iter->min_level)
		return false;
	iter->old_spte = __atomic_load_n(iter->sptep, __ATOMIC_ACQUIRE);
	if (!(iter->old_spte & PRESENT) || iter->level == 1 || iter->old_spte & LARGE)
		return false;
	iter->level--;
	iter->pt_path[iter->level] = frames[pfn_of(iter->old_spte)];
	iter_refresh(iter);
	return true;
}

static bool iter_side(struct iter *iter)
{
	if ((iter->gfn >> (9 * (iter->level - 1)) & (ENTRIES - 1)) == ENTRIES - 1)
		return false;
	iter->gfn += 1ull << (9 * (iter->level - 1));
	iter->next_last_level_gfn = iter->gfn;
	iter->sptep++;
	iter->old_spte = __atomic_load_n(iter->sptep, __ATOMIC_ACQUIRE);
	return true;
}

static bool iter_up(struct iter *iter)
{
	if (iter->level == iter->root_level)
		return false;
	iter->level++;
	iter->gfn &= ~((1ull << (9 * (iter->level - 1))) - 1);
	iter->sptep =
		iter->pt_path[iter->level] + (iter->gfn >> (9 * (iter->level - 1)) & (ENTRIES - 1));
	iter->old_spte = __atomic_load_n(iter->sptep, __ATOMIC_ACQUIRE);
	return true;
}

static apart void iter_next(struct iter *iter)
{
	if (iter->yielded) {
		iter_restart(iter);
		return;
	}
	if (iter_down(iter))
		return;
	do {
		if (iter_side(iter))
			return;
	} while (iter_up(iter));
	iter->valid = false;
}

#define for_each_entry(iter, root, start, end)                               \
	for (iter_start(&(iter), (root)->spt, (root)->role.level, 1, start); \
	     (iter).valid && (iter).gfn < (end); iter_next(&(iter)))

/* --- a fault without mmu_lock --- */

static bool is_allowed(int access, uint64_t spte)
{
	switch (access) {
	case WRITE:
		return spte & W;
	case EXEC:
		return spte & X;
	default:
		return spte & R;
	}
}

static bool is_tracked(uint64_t spte)
{
	return (spte & AD_MASK) == AD_DISABLED && !(spte & (R | W | X));
}

/* Room is for one entry: nothing here has rings. */
static apart void ring_push(struct vm *vm, uint64_t gfn)
{
	vm->rings[0] = gfn;
}

static apart void mark_page_dirty(struct vcpu *vcpu, struct slot *slot, uint64_t gfn)
{
	uint64_t at = gfn - slot->base_gfn;

	if (!slot || !(slot->flags & LOG_DIRTY_PAGES))
		return;
	if (vcpu->vm->rings)
		ring_push(vcpu->vm, at);
	else if (slot->dirty_bitmap)
		__atomic_fetch_or(&slot->dirty_bitmap[at / 64], 1ull << at % 64, __ATOMIC_SEQ_CST);
}

static apart uint64_t restore_tracked(uint64_t spte)
{
	return (spte & ~SAVED_MASK) | (spte & SAVED_MASK) >> SAVED_SHIFT;
}

static uint64_t *lowest_entry(struct vcpu *vcpu, uint64_t gfn, uint64_t *spte, uint32_t *level)
{
	struct iter iter;
	uint64_t *sptep = NULL;

	for_each_entry(iter, vcpu->root, gfn, gfn + 1)
	{
		*spte = iter.old_spte;
		*level = iter.level;
		sptep = iter.sptep;
	}
	return sptep;
}

static bool try_entry(struct vcpu *vcpu, struct fault *fault, uint64_t *sptep, uint64_t spte,
		      uint32_t level, enum result *ret)
{
	uint64_t new_spte = spte;
	bool adds_write = false;

	*ret = NOT_FAST;
	if (!(spte & PRESENT) || (level != 1 && !(spte & LARGE)))
		return true;
	if (is_allowed(fault->access, spte)) {
		*ret = SPURIOUS;
		return true;
	}
	if (!vcpu->vm->ad_bits && is_tracked(spte))
		new_spte = restore_tracked(new_spte) | ACCESSED;
	if (fault->access == WRITE && spte & MMU_WRITABLE) {
		if (level > 1 && fault->slot->flags & LOG_DIRTY_PAGES)
			return true;
		new_spte |= W;
		adds_write = true;
	}
	if (new_spte == spte || !is_allowed(fault->access, new_spte))
		return true;
	if (!__atomic_compare_exchange_n(sptep, &spte, new_spte, false, __ATOMIC_SEQ_CST,
					 __ATOMIC_RELAXED))
		return false;
	*ret = FIXED;
	if (adds_write)
		mark_page_dirty(vcpu, fault->slot, fault->gfn);
	return true;
}

static bool can_be_fast(const struct vm *vm, const struct fault *fault)
{
	if (!vm->fast_fault)
		return false;
	if (!fault->present)
		return !vm->ad_bits;
	return fault->access == WRITE;
}

static apart enum result fast_fault(struct vcpu *vcpu, struct fault *fault)
{
	enum result ret = NOT_FAST;
	uint32_t tries = 0, level = 0;
	uint64_t spte = 0, *sptep;

	if (!fault->slot || !can_be_fast(vcpu->vm, fault))
		return NOT_FAST;
	urcu_memb_read_lock();
	do {
		sptep = lowest_entry(vcpu, fault->gfn, &spte, &level);
		if (!sptep || try_entry(vcpu, fault, sptep, spte, level, &ret))
			break;
	} while (++tries <= 4);
	urcu_memb_read_unlock();
	return ret;
}

/* --- changing entries with mmu_lock held for writing --- */

static apart bool needs_atomic_update(uint64_t spte)
{
	if (!(spte & W) && spte & MMU_WRITABLE)
		return true;
	if ((spte & AD_MASK) == AD_DISABLED)
		return true;
	return spte & W && !(spte & DIRTY);
}

static void free_page(struct rcu_head *head)
{
	struct page *page = caa_container_of(head, struct page, rcu_head);

	page_of_frame[page->pfn] = NULL;
	free(page);
}

static apart void free_page_rcu(struct page *page)
{
	urcu_memb_call_rcu(&page->rcu_head, free_page);
}

static apart struct page *page_of(const uint64_t *pt)
{
	return page_of_frame[(pt - frames[0]) / ENTRIES];
}

static apart void untrack_nx(struct vm *vm, struct page *page)
{
	struct page **link = &vm->nx_pages;

	pthread_spin_lock(&vm->pages_lock);
	page->nx_huge_page_disallowed = 0;
	while (page->nx_listed && *link != page)
		link = &(*link)->nx_next;
	if (page->nx_listed)
		*link = page->nx_next;
	pthread_spin_unlock(&vm->pages_lock);
}

static void entry_changed(struct vm *vm, uint64_t old, uint64_t value, uint32_t level, bool shared);

static uint64_t freeze_shared(uint64_t *sptep)
{
	uint64_t old = __atomic_exchange_n(sptep, FROZEN, __ATOMIC_SEQ_CST);

	while (old == FROZEN) {
		while (__atomic_load_n(sptep, __ATOMIC_RELAXED) == FROZEN)
			sched_yield();
		old = __atomic_exchange_n(sptep, FROZEN, __ATOMIC_SEQ_CST);
	}
	return old;
}

static uint64_t freeze_exclusive(uint64_t *sptep, uint32_t level)
{
	uint64_t old = __atomic_load_n(sptep, __ATOMIC_ACQUIRE);

	if (!(old & PRESENT))
		return old;
	if ((level == 1 || old & LARGE) && needs_atomic_update(old))
		return __atomic_exchange_n(sptep, FROZEN, __ATOMIC_SEQ_CST);
	__atomic_store_n(sptep, FROZEN, __ATOMIC_RELAXED);
	return old;
}

static void table_removed(struct vm *vm, uint64_t *pt, bool shared)
{
	struct page *page = page_of(pt);
	uint32_t level = page->role.level;

	__atomic_fetch_sub(&vm->nr_tables, 1, __ATOMIC_SEQ_CST);
	if (rare(__atomic_load_n(&page->nx_huge_page_disallowed, __ATOMIC_RELAXED)))
		untrack_nx(vm, page);
	for (uint32_t i = 0; i < ENTRIES; i++) {
		uint64_t old = shared ? freeze_shared(&pt[i]) : freeze_exclusive(&pt[i], level);

		if (shared || old & PRESENT)
			entry_changed(vm, old, FROZEN, level, shared);
	}
	free_page_rcu(page);
}

static apart bool invariants_hold(uint64_t spte)
{
	if (spte & W && !(spte & MMU_WRITABLE))
		return false;
	return !(spte & MMU_WRITABLE) || spte & HOST_WRITABLE;
}

static apart void entry_changed(struct vm *vm, uint64_t old, uint64_t value, uint32_t level,
				bool shared)
{
	bool was_present = old & PRESENT, is_present = value & PRESENT;
	bool was_leaf = was_present && (level == 1 || old & LARGE);
	bool is_leaf = is_present && (level == 1 || value & LARGE);
	bool pfn_changed = pfn_of(old) != pfn_of(value);

	if (WARN(was_leaf && is_leaf && pfn_changed))
		return;
	if (old == value)
		return;
	if (is_leaf)
		WARN(!invariants_hold(value));
	if (!was_present && !is_present) {
		WARN((old & MMIO_MASK) != MMIO_VALUE && (value & MMIO_MASK) != MMIO_VALUE &&
		     value != FROZEN);
		return;
	}
	if (is_present && !is_leaf)
		__atomic_fetch_add(&vm->nr_tables, 1, __ATOMIC_SEQ_CST);
	if (was_present && !was_leaf && (is_leaf || !is_present || WARN(pfn_changed)))
		table_removed(vm, frames[pfn_of(old)], shared);
}

static apart void set_entry(struct vm *vm, struct iter *iter, uint64_t value)
{
	uint64_t old = iter->old_spte;

	WARN(iter->yielded);
	WARN(old == FROZEN || value == FROZEN);
	if (old & PRESENT && (iter->level == 1 || old & LARGE) && needs_atomic_update(old))
		old = __atomic_exchange_n(iter->sptep, value, __ATOMIC_SEQ_CST);
	else
		__atomic_store_n(iter->sptep, value, __ATOMIC_RELAXED);
	iter->old_spte = old;
	entry_changed(vm, old, value, iter->level, false);
}

/* --- zap --- */

static bool get_root(struct page *root)
{
	uint64_t count = __atomic_load_n(&root->root_count, __ATOMIC_RELAXED);

	while (count && !__atomic_compare_exchange_n(&root->root_count, &count, count + 1, false,
						     __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		;
	return count;
}

static __attribute__((used)) void put_root(struct vm *vm, struct page *root)
{
	struct page **link = &vm->roots;

	if (__atomic_sub_fetch(&root->root_count, 1, __ATOMIC_SEQ_CST))
		return;
	WARN(!root->role.invalid);
	pthread_spin_lock(&vm->pages_lock);
	while (*link && *link != root)
		link = &(*link)->next_root;
	if (!WARN(!*link))
		__atomic_store_n(link, root->next_root, __ATOMIC_RELEASE);
	pthread_spin_unlock(&vm->pages_lock);
	free_page_rcu(root);
}

static apart struct page *next_root(struct vm *vm, struct page *prev, int as_id, bool only_valid)
{
	struct page *next;

	urcu_memb_read_lock();
	next = __atomic_load_n(prev ? &prev->next_root : &vm->roots, __ATOMIC_ACQUIRE);
	while (next) {
		if ((as_id < 0 || next->role.as_id == as_id) &&
		    (!only_valid || !next->role.invalid) && get_root(next))
			break;
		next = __atomic_load_n(&next->next_root, __ATOMIC_ACQUIRE);
	}
	urcu_memb_read_unlock();
	if (prev)
		put_root(vm, prev);
	return next;
}

static bool wants_to_give_way(struct vm *vm, const struct iter *iter)
{
	WARN(iter->yielded);
	if (!rare(resched_wanted) && !lock_needbreak(&vm->mmu_lock))
		return false;
	return iter->next_last_level_gfn != iter->yielded_gfn;
}

static apart void resched_lock(struct vm *vm, bool pthread)
{
	if (pthread)
		pthread_rwlock_unlock(&vm->pthread_lock);
	else
		write_unlock(&vm->mmu_lock);
	sched_yield();
	if (pthread)
		pthread_rwlock_wrlock(&vm->pthread_lock);
	else
		write_lock(&vm->mmu_lock);
}

static bool give_way(struct vm *vm, struct iter *iter, bool flush, bool pthread)
{
	if (!wants_to_give_way(vm, iter))
		return false;
	WARN(iter->gfn > iter->next_last_level_gfn);
	if (flush)
		flush_remote_tlbs(vm);
	urcu_memb_read_unlock();
	resched_lock(vm, pthread);
	urcu_memb_read_lock();
	iter->yielded = true;
	return true;
}

static bool zap_leafs(struct vm *vm, struct page *root, uint64_t start, uint64_t end,
		      bool can_yield, bool flush, bool pthread)
{
	uint64_t max = 1ull << (9 * root->role.level);
	struct iter iter;

	end = end < max ? end : max;
	urcu_memb_read_lock();
	for_each_entry(iter, root, start, end)
	{
		if (can_yield && give_way(vm, &iter, flush, pthread)) {
			flush = false;
			continue;
		}
		if (!(iter.old_spte & PRESENT) || (iter.level != 1 && !(iter.old_spte & LARGE)))
			continue;
		set_entry(vm, &iter, NONPRESENT);
		if (!root->role.invalid)
			flush = true;
	}
	urcu_memb_read_unlock();
	return flush;
}

static inline __attribute__((always_inline)) bool
unmap_range(struct vm *vm, const struct range *range, bool flush, bool pthread)
{
	struct page *root;

	for (root = next_root(vm, NULL, (int)range->as_id, false); root;
	     root = next_root(vm, root, (int)range->as_id, false))
		flush = zap_leafs(vm, root, range->start, range->end, range->may_block, flush,
				  pthread);
	return flush;
}

static apart bool unmap_gfn_range(struct vm *vm, const struct range *range, bool flush)
{
	return unmap_range(vm, range, flush, false);
}

static apart bool unmap_gfn_range_pthread(struct vm *vm, const struct range *range, bool flush)
{
	return unmap_range(vm, range, flush, true);
}

/* --- the world, and what is measured --- */

static struct vm vm __attribute__((used)) = { .fast_fault = true, .ad_bits = true };
static struct vcpu vcpu __attribute__((used)) = { .vm = &vm };
static uint64_t bitmap[CONTRACT_PAGES / 64];
static struct slot slot
	__attribute__((used)) = { .flags = LOG_DIRTY_PAGES, .dirty_bitmap = bitmap };
static uint64_t *leafs[CONTRACT_PAGES], writable[CONTRACT_PAGES];

static struct page *new_page(uint8_t level)
{
	struct page *page = calloc(1, sizeof(*page));

	page->role.level = level;
	page->pfn = nr_frames++;
	page->spt = frames[page->pfn];
	page_of_frame[page->pfn] = page;
	for (uint32_t i = 0; i < ENTRIES; i++)
		page->spt[i] = NONPRESENT;
	return page;
}

void contract_build_twin(void)
{
	struct page *page = new_page(CONTRACT_LEVELS), *child;

	pthread_rwlock_init(&vm.pthread_lock, NULL);
	pthread_spin_init(&vm.pages_lock, PTHREAD_PROCESS_PRIVATE);
	page->root_count = 2;
	vcpu.root = vm.roots = page;
	for (; page->role.level > 1; page = child) {
		child = new_page((uint8_t)(page->role.level - 1));
		page->spt[0] = PRESENT | R | W | X | ACCESSED | child->pfn << 12;
	}
	for (uint64_t gfn = 0; gfn < CONTRACT_PAGES; gfn++) {
		leafs[gfn] = &page->spt[gfn];
		writable[gfn] = PRESENT | R | W | X | ACCESSED | DIRTY | HOST_WRITABLE |
				MMU_WRITABLE | (FRAMES + gfn) << 12;
		*leafs[gfn] = writable[gfn];
	}
}

static struct fault violation = { .access = WRITE, .present = true, .slot = &slot };

static void protect(uint64_t gfn)
{
	violation.gfn = gfn;
	*leafs[gfn] = writable[gfn] & ~W;
	bitmap[gfn / 64] &= ~(1ull << gfn % 64);
}

static uint64_t fault(uint64_t gfn)
{
	return fast_fault(&vcpu, &violation);
}

static bool is_writable_and_marked(uint64_t gfn, uint64_t ret)
{
	return ret == FIXED && *leafs[gfn] == writable[gfn] && (bitmap[gfn / 64] >> gfn % 64 & 1);
}

static void map(uint64_t gfn)
{
	*leafs[gfn] = writable[gfn];
}

static uint64_t zap(uint64_t gfn)
{
	struct range range = { .start = gfn, .end = gfn + 1, .may_block = true };
	bool flush;

	write_lock(&vm.mmu_lock);
	flush = unmap_gfn_range(&vm, &range, false);
	write_unlock(&vm.mmu_lock);
	return flush;
}

static uint64_t zap_pthread(uint64_t gfn)
{
	struct range range = { .start = gfn, .end = gfn + 1, .may_block = true };
	bool flush;

	pthread_rwlock_wrlock(&vm.pthread_lock);
	flush = unmap_gfn_range_pthread(&vm, &range, false);
	pthread_rwlock_unlock(&vm.pthread_lock);
	return flush;
}

static bool is_empty(uint64_t gfn, uint64_t flush)
{
	return flush && *leafs[gfn] == NONPRESENT && !nr_warnings;
}

static uint64_t walk(uint64_t gfn)
{
	struct iter iter;
	uint64_t spte = 0;

	urcu_memb_read_lock();
	for_each_entry(iter, vcpu.root, gfn, gfn + 1) spte = iter.old_spte;
	urcu_memb_read_unlock();
	return spte;
}

static bool is_leaf(uint64_t gfn, uint64_t spte)
{
	return spte == writable[gfn];
}

const struct contract_body contract_twin[CONTRACT_FUNCTIONS] = {
	[CONTRACT_FAULT] = { protect, fault, is_writable_and_marked },
	[CONTRACT_ZAP] = { map, zap, is_empty },
	[CONTRACT_WALK] = { map, walk, is_leaf },
};

const struct contract_body contract_pthread[CONTRACT_FUNCTIONS] = {
	[CONTRACT_ZAP] = { map, zap_pthread, is_empty },
};
