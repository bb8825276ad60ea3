/*
 * The pfncache. Its page has no reference and no entry in a table; invalidations take it away.
 *
 * Why nobody uses a page that the host has taken back:
 *  1. A reader holds the lock while it uses the page, and start waits for it: after start has looked through the
 *     caches, nobody is at a page of its range, and none is valid.
 *  2. Whoever fills the cache does so under the lock, behind a look at mn_active_invalidate_count and the sequence
 *     number. The count is raised before the look through the caches: a fill behind that look sees it, or, when
 *     the end has come as well, the number that the end has raised before it lowered the count.
 *  3. in_progress would not do: it is raised behind the look through the caches.
 *  4. Only one task at a time translates: two could each keep half of what the other has found.
 */
#include <errno.h>

#include "mmu/pfncache.h"

#include "mmu/dirty.h"

#define HVA_NOWHERE HVA_MAX

void kvm_gpc_init(struct kvm *kvm)
{
	struct gfn_to_pfn_cache *gpc = kern_alloc(sizeof(*gpc));

	mutex_init_class(&gpc->refresh_lock, LOCK_gpc_refresh);
	rwlock_init_class(&gpc->lock, LOCK_gpc);
	spin_lock_init_class(&kvm->gpc_lock, LOCK_gpc_list);
	gpc->uhva = HVA_NOWHERE;
	kvm->gpc = gpc;
}

void kvm_gpc_destroy(struct kvm *kvm)
{
	if (!kvm->gpc)
		return;
	kvm_gpc_deactivate(kvm);
	kern_free(kvm->gpc);
	kvm->gpc = NULL;
}

/* --- invalidation --- */

static bool lies_in(const struct gfn_to_pfn_cache *gpc, hva_t start, hva_t end)
{
	return gpc->valid && gpc->uhva >= start && gpc->uhva < end;
}

static void drop(struct gfn_to_pfn_cache *gpc)
{
	if (gpc->valid)
		event(pfncache_dropped, .hva = gpc->uhva, .pfn = gpc->pfn);
	gpc->valid = false;
}

static void invalidate_one(struct gfn_to_pfn_cache *gpc, hva_t start, hva_t end)
{
	bool hit;

	read_lock(&gpc->lock);
	hit = lies_in(gpc, start, end);
	read_unlock(&gpc->lock);
	if (!hit)
		return;
	/* Between the two it may have been refreshed, or mapped elsewhere. */
	write_lock(&gpc->lock);
	if (lies_in(gpc, start, end))
		drop(gpc);
	write_unlock(&gpc->lock);
}

void gfn_to_pfn_cache_invalidate_start(struct kvm *kvm, hva_t start, hva_t end)
{
	spin_lock(&kvm->gpc_lock);
	if (kvm->gpc->listed)
		invalidate_one(kvm->gpc, start, end);
	event(pfncaches_scanned, .start = start, .end = end);
	spin_unlock(&kvm->gpc_lock);
}

/* --- filling it --- */

/*
 * Return: whether what was translated may be of the past; *open: how many invalidations are under way. Context: lock for
 * writing. Mirrors mmu_notifier_retry_cache.
 */
static bool retry_cache(struct kvm *kvm, u64 mmu_seq, u64 *open)
{
	if (bug(pfncache_tests_in_progress))
		*open = READ_ONCE(kvm->mmu_invalidate_in_progress);
	else
		*open = READ_ONCE(kvm->mn_active_invalidate_count);
	if (*open)
		return true;
	/* Pairs with the end of an invalidation: whoever sees the count lowered sees the number raised. */
	smp_rmb();
	return READ_ONCE(kvm->mmu_invalidate_seq) != mmu_seq && !bug(pfncache_forgets_seq);
}

/*
 * Translates gpc->uhva, outside of the lock, until no invalidation has come in between. Return: 0, -EFAULT. Context: lock for
 * writing, which is let go of meanwhile, and refresh_lock. Mirrors hva_to_pfn_retry.
 */
static int hva_to_pfn_retry(struct kvm *kvm, struct gfn_to_pfn_cache *gpc)
{
	bool again = false, writable;
	u64 mmu_seq, open = 0;
	pfn_t pfn = 0;

	/* A reader must not use the old page by the new address, or find it behind an invalidation of the new one. */
	if (!bug(pfncache_valid_while_refreshed))
		drop(gpc);
	do {
		hva_t uhva = gpc->uhva;

		mmu_seq = READ_ONCE(kvm->mmu_invalidate_seq);
		smp_rmb();
		write_unlock(&gpc->lock);
		if (again) {
			host_put_page(pfn);
			/* Upstream spins through the loop, and gives way when it is asked to. */
			if (open && !bug(pfncache_tests_in_progress))
				await_change(&kvm->mn_active_invalidate_count, &open, sizeof(open));
			else
				cond_resched();
		}
		again = true;
		if (host_get_user_page(uhva, true, &pfn, &writable) != GUP_OK) {
			write_lock(&gpc->lock);
			return -EFAULT;
		}
		write_lock(&gpc->lock);
		/* refresh_lock keeps others from filling it. */
		WARN_ON(gpc->valid && !bug(pfncache_refreshed_by_two) &&
			!bug(pfncache_valid_while_refreshed));
	} while (retry_cache(kvm, mmu_seq, &open));
	gpc->valid = true;
	gpc->pfn = pfn;
	event(pfncache_filled, .gfn = gpc->gfn, .hva = gpc->uhva, .pfn = pfn);
	/* From here on invalidations take care of it. */
	host_put_page(pfn);
	return 0;
}

/* Where the gfn lies now, by the memslots as they are. Return: whether that is new. Context: lock for writing. */
static bool locate(struct kvm *kvm, struct gfn_to_pfn_cache *gpc, gfn_t gfn)
{
	struct kvm_memslots *slots = kvm_memslots(kvm, 0);
	u64 generation = READ_ONCE(slots->generation);
	hva_t old_uhva = gpc->uhva;

	if (gpc->gfn == gfn && gpc->generation == generation && gpc->uhva != HVA_NOWHERE)
		return false;
	gpc->gfn = gfn;
	gpc->generation = generation;
	gpc->slot = gfn_to_memslot(slots, gfn);
	/* A memslot that is going away has no host address any more. */
	gpc->uhva = gpc->slot && !(gpc->slot->flags & KVM_MEMSLOT_INVALID)
			    ? gfn_to_hva_memslot(gpc->slot, gfn)
			    : HVA_NOWHERE;
	return gpc->uhva != old_uhva;
}

/* Return: 0, -EFAULT, also when it is not active. Context: kvm->srcu, refresh_lock. Mirrors __kvm_gpc_refresh. */
static int refresh(struct kvm *kvm, struct gfn_to_pfn_cache *gpc, gfn_t gfn)
{
	int error = 0;
	bool moved;

	write_lock(&gpc->lock);
	if (!gpc->active) {
		write_unlock(&gpc->lock);
		return -EFAULT;
	}
	moved = locate(kvm, gpc, gfn);
	if (gpc->uhva == HVA_NOWHERE)
		error = -EFAULT;
	else if (!gpc->valid || moved)
		error = hva_to_pfn_retry(kvm, gpc);
	if (error) {
		drop(gpc);
		gpc->pfn = 0;
	}
	write_unlock(&gpc->lock);
	return error;
}

static void refresh_begin(struct gfn_to_pfn_cache *gpc)
{
	if (!bug(pfncache_refreshed_by_two))
		mutex_lock(&gpc->refresh_lock);
}

static void refresh_end(struct gfn_to_pfn_cache *gpc)
{
	if (!bug(pfncache_refreshed_by_two))
		mutex_unlock(&gpc->refresh_lock);
}

int kvm_gpc_activate(struct kvm *kvm, gfn_t gfn)
{
	struct gfn_to_pfn_cache *gpc = kvm->gpc;
	int error;

	refresh_begin(gpc);
	/* On the list before it can become valid: an invalidation must find it. */
	spin_lock(&kvm->gpc_lock);
	gpc->listed = true;
	spin_unlock(&kvm->gpc_lock);
	write_lock(&gpc->lock);
	gpc->active = true;
	write_unlock(&gpc->lock);
	error = refresh(kvm, gpc, gfn);
	refresh_end(gpc);
	return error;
}

void kvm_gpc_deactivate(struct kvm *kvm)
{
	struct gfn_to_pfn_cache *gpc = kvm->gpc;

	refresh_begin(gpc);
	write_lock(&gpc->lock);
	gpc->active = false;
	drop(gpc);
	gpc->pfn = 0;
	write_unlock(&gpc->lock);
	/* Last: until it was invalid an invalidation had to find it. */
	spin_lock(&kvm->gpc_lock);
	gpc->listed = false;
	spin_unlock(&kvm->gpc_lock);
	refresh_end(gpc);
}

/* --- using it --- */

/* Context: kvm->srcu, lock in either mode. Mirrors kvm_gpc_check. */
static bool gpc_check(struct kvm *kvm, const struct gfn_to_pfn_cache *gpc)
{
	struct kvm_memslots *slots = kvm_memslots(kvm, 0);

	if (!gpc->active || READ_ONCE(slots->generation) != gpc->generation)
		return false;
	return gpc->uhva != HVA_NOWHERE && gpc->valid;
}

/* The write itself. Context: as gpc_check(), which has said that it may be. */
static void write_page(struct kvm_vcpu *vcpu, const struct gfn_to_pfn_cache *gpc)
{
	event(pfncache_used, .gfn = gpc->gfn, .hva = gpc->uhva, .pfn = gpc->pfn, .write = 1);
	event(guest_written, .as_id = 0, .gfn = gpc->gfn, .pfn = gpc->pfn);
	/* The CPU sets no D for a write of the kernel's: nobody else knows of it. */
	if (!bug(pfncache_write_marks_nothing))
		mark_page_dirty_in_slot(vcpu, gpc->slot, gpc->gfn);
}

int kvm_gpc_write(struct kvm_vcpu *vcpu)
{
	struct kvm *kvm = vcpu->kvm;
	struct gfn_to_pfn_cache *gpc = kvm->gpc;
	bool late = bug(pfncache_used_unlocked);
	int error = 0;

	read_lock(&gpc->lock);
	/* Each turn more means that an invalidation, or a memslot update, has come in between. */
	while (!gpc_check(kvm, gpc)) {
		read_unlock(&gpc->lock);
		refresh_begin(gpc);
		/* Changed under refresh_lock only: what it is to map is what it maps. */
		error = refresh(kvm, gpc, gpc->gfn);
		refresh_end(gpc);
		if (error)
			return error;
		read_lock(&gpc->lock);
	}
	if (!late)
		write_page(vcpu, gpc);
	read_unlock(&gpc->lock);
	if (late) {
		cond_resched();
		write_page(vcpu, gpc);
	}
	return error;
}
