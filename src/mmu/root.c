/*
 * Page tables, and roots: who may load one, who keeps it alive, how it goes.
 *
 * A root starts with two references: the loading vCPU's, and one of the TDP MMU's own, which only the
 * zap of an invalidated root gives back. So the last reference of a valid root is never dropped; and
 * a root that anybody still zaps, walks or runs on is on the list, where notifiers find it.
 */
#include "mmu/mmu_internal.h"
#include "mmu/spte.h"
#include "mmu/tdp_mmu.h"

/* Who owns a page-table frame; an entry is valid while its frame is one. */
static struct kvm_mmu_page *page_of_frame[KERN_PAGES_MAX];

struct kvm_mmu_page *sptep_to_sp(const u64 *spt)
{
	return page_of_frame[kern_page_nr(spt)];
}

struct kvm_mmu_page *tdp_mmu_alloc_sp(gfn_t gfn, struct kvm_mmu_page_role role)
{
	struct kvm_mmu_page *sp = kern_alloc(sizeof(*sp));

	sp->role = role;
	sp->gfn = gfn & ~(PT_PAGES(role.level + 1) - 1);
	sp->pfn = frame_alloc(FRAME_PAGE_TABLE);
	sp->spt = frame_words(sp->pfn);
	for (u32 i = 0; i < PT_ENTRIES; i++)
		sp->spt[i] = SHADOW_NONPRESENT_VALUE;
	page_of_frame[sp->pfn] = sp;
	return sp;
}

void tdp_mmu_free_sp(struct kvm_mmu_page *sp)
{
	frame_free(sp->pfn);
	kern_free(sp);
}

static void tdp_mmu_free_sp_rcu_callback(struct rcu_head *head)
{
	tdp_mmu_free_sp(container_of(head, struct kvm_mmu_page, rcu_head));
}

void tdp_mmu_free_sp_rcu(struct kvm_mmu_page *sp)
{
	/* Walkers without mmu_lock may stand in it, and so may readers of the list of roots. */
	if (bug(table_freed_at_once))
		tdp_mmu_free_sp(sp);
	else
		call_rcu(&sp->rcu_head, tdp_mmu_free_sp_rcu_callback);
}

/* --- references and the list --- */

/* Return: false when the root has no reference left: it is on its way out. */
static bool kvm_tdp_mmu_get_root(struct kvm_mmu_page *root)
{
	/* Races with the last put: a root must not come back to life. */
	return inc_not_zero(&root->tdp_mmu_root_count);
}

/* Context: tdp_mmu_pages_lock. Mirrors list_del_rcu: @root itself still leads on to the next one. */
static void unlist_root(struct kvm *kvm, struct kvm_mmu_page *root)
{
	struct kvm_mmu_page **link = &kvm->tdp_mmu_roots;

	while (*link && *link != root)
		link = &(*link)->next_root;
	if (KVM_BUG_ON(!*link))
		return;
	/* Readers may be standing on @root: they go on from there, so only the way to it changes. */
	rcu_assign_pointer(*link, root->next_root);
}

void kvm_tdp_mmu_put_root(struct kvm *kvm, struct kvm_mmu_page *root)
{
	if (!dec_and_test(&root->tdp_mmu_root_count))
		return;
	/* The TDP MMU's own reference goes with the zap, which is for invalid roots only. */
	KVM_BUG_ON(!root->role.invalid);
	spin_lock(&kvm->tdp_mmu_pages_lock);
	unlist_root(kvm, root);
	event(root_unlisted, .root = root->pfn);
	spin_unlock(&kvm->tdp_mmu_pages_lock);
	tdp_mmu_free_sp_rcu(root);
}

static bool root_wanted(const struct kvm_mmu_page *root, struct tdp_root_filter filter)
{
	if (filter.as_id >= 0 && root->role.as_id != filter.as_id)
		return false;
	return !filter.only_valid || !root->role.invalid;
}

struct kvm_mmu_page *tdp_mmu_next_root(struct kvm *kvm, struct kvm_mmu_page *prev,
				       struct tdp_root_filter filter)
{
	bool counted = filter.only_valid || !bug(root_walked_without_reference);
	struct kvm_mmu_page *next;

	/* role.invalid changes under mmu_lock held for writing only. */
	lockdep_assert_held_either(&kvm->mmu_lock);
	/* The list does not: vCPUs take off it what they put last, without mmu_lock held for writing. */
	rcu_read_lock();
	next = prev ? rcu_dereference(prev->next_root) : rcu_dereference(kvm->tdp_mmu_roots);
	while (next) {
		/* Without a reference of ours the root may be gone when we come back from a yield. */
		if (root_wanted(next, filter) && (!counted || kvm_tdp_mmu_get_root(next)))
			break;
		next = rcu_dereference(next->next_root);
	}
	rcu_read_unlock();
	if (prev && counted)
		kvm_tdp_mmu_put_root(kvm, prev);
	return next;
}

void kvm_tdp_mmu_invalidate_all_roots(struct kvm *kvm)
{
	/*
	 * For writing: nobody may be mapping into a root while it becomes invalid. The list is safe
	 * without RCU: what is being taken off it is invalid already, and stays readable in here.
	 */
	lockdep_assert_held_write(&kvm->mmu_lock);
	rcu_read_lock();
	for (struct kvm_mmu_page *root = rcu_dereference(kvm->tdp_mmu_roots); root;
	     root = rcu_dereference(root->next_root)) {
		if (root->role.invalid)
			continue;
		if (!bug(root_not_scheduled))
			root->tdp_mmu_scheduled_root_to_zap = true;
		/* A vCPU may be asking, for an earlier request of ours, whether its root is obsolete. */
		WRITE_ONCE(root->role.invalid, true);
		event(root_invalidated, .root = root->pfn);
	}
	rcu_read_unlock();
}

/* --- vCPUs --- */

static bool same_role(struct kvm_mmu_page_role a, struct kvm_mmu_page_role b)
{
	return a.level == b.level && a.as_id == b.as_id && a.invalid == b.invalid;
}

/* Context: mmu_lock, pages_lock. Return: a valid root for that role with a reference, or NULL. */
static struct kvm_mmu_page *find_root(struct kvm *kvm, struct kvm_mmu_page_role role)
{
	struct kvm_mmu_page *root = kvm->tdp_mmu_roots;

	while (root && !same_role(root->role, role))
		root = root->next_root;
	/* A valid root has the TDP MMU's reference: taking one cannot fail. */
	if (root && WARN_ON(!kvm_tdp_mmu_get_root(root)))
		return NULL;
	return root;
}

static struct kvm_mmu_page *create_root(struct kvm *kvm, struct kvm_mmu_page_role role)
{
	struct kvm_mmu_page *root = tdp_mmu_alloc_sp(0, role);

	root->tdp_mmu_root_count = 2;
	root->next_root = kvm->tdp_mmu_roots;
	rcu_assign_pointer(kvm->tdp_mmu_roots, root);
	event(root_created, .root = root->pfn, .level = role.level, .as_id = role.as_id);
	return root;
}

/*
 * Return: a root with a reference for the vCPU. By the time it is loaded it may be invalid again: then
 * a request is pending, and the vCPU lets go of it before it enters the guest.
 */
static struct kvm_mmu_page *kvm_tdp_mmu_alloc_root(struct kvm_vcpu *vcpu)
{
	struct kvm *kvm = vcpu->kvm;
	struct kvm_mmu_page_role role = { .level = (u8)kvm->root_level, .as_id = vcpu->as_id };
	struct tdp_root_filter filter = { .as_id = role.as_id, .only_valid = true };
	struct kvm_mmu_page *root;

	read_lock(&kvm->mmu_lock);
	/* The usual case: somebody has made it, and the lock of the list need not be taken. */
	for_each_tdp_mmu_root_yield_safe(kvm, root, filter) {
		if (same_role(root->role, role))
			goto out;
	}
	spin_lock(&kvm->tdp_mmu_pages_lock);
	/* Races with another vCPU that looked, too, and was here first: one role, one valid root. */
	root = find_root(kvm, role);
	if (!root)
		root = create_root(kvm, role);
	spin_unlock(&kvm->tdp_mmu_pages_lock);
out:
	read_unlock(&kvm->mmu_lock);
	return root;
}

/* Mirrors kvm_mmu_load. */
static void kvm_mmu_load(struct kvm_vcpu *vcpu)
{
	vcpu->root = kvm_tdp_mmu_alloc_root(vcpu);
	vcpu_load_root(vcpu->hw, vcpu->root->pfn, vcpu->root->role.level);
	/*
	 * Nobody flushes for an invalid root, and its page may have become this one: what is cached
	 * under the tag is of another life.
	 */
	if (!bug(load_root_without_flush))
		vcpu_flush_tlb_current(vcpu->hw);
}

void kvm_mmu_reload(struct kvm_vcpu *vcpu)
{
	if (unlikely(!vcpu->root))
		kvm_mmu_load(vcpu);
}

void kvm_mmu_unload(struct kvm_vcpu *vcpu)
{
	struct kvm *kvm = vcpu->kvm;
	struct kvm_mmu_page *root = vcpu->root;
	bool reversed = bug(unload_locks_reversed);

	if (!root)
		return;
	vcpu->root = NULL;
	vcpu_load_root(vcpu->hw, 0, 0);
	if (reversed)
		spin_lock(&kvm->tdp_mmu_pages_lock);
	read_lock(&kvm->mmu_lock);
	if (reversed)
		spin_unlock(&kvm->tdp_mmu_pages_lock);
	kvm_tdp_mmu_put_root(kvm, root);
	read_unlock(&kvm->mmu_lock);
}

void kvm_mmu_free_obsolete_roots(struct kvm_vcpu *vcpu)
{
	/* Without mmu_lock: who makes it invalid now sends another request. */
	if (vcpu->root && READ_ONCE(vcpu->root->role.invalid) && !bug(reload_keeps_root))
		kvm_mmu_unload(vcpu);
}
