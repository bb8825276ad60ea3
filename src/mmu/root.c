#include "mmu/mmu_internal.h"
#include "mmu/spte.h"

/* Who owns a page-table frame; an entry is valid while its frame is one. */
static struct kvm_mmu_page *page_of_frame[KERN_PAGES_MAX];

struct kvm_mmu_page *tdp_mmu_alloc_sp(gfn_t gfn, u32 level)
{
	struct kvm_mmu_page *sp = kern_alloc(sizeof(*sp));

	sp->role.level = (u8)level;
	sp->gfn = gfn & ~(PT_PAGES(level + 1) - 1);
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

void kvm_tdp_mmu_alloc_root(struct kvm *kvm, u32 level)
{
	struct kvm_mmu_page *root = tdp_mmu_alloc_sp(0, level);

	root->tdp_mmu_root_count = 1;
	kvm->tdp_mmu_root = root;
	event(root_created, .root = root->pfn, .level = level, .as_id = 0);
}

void kvm_mmu_reload(struct kvm_vcpu *vcpu)
{
	struct kvm *kvm = vcpu->kvm;

	if (likely(vcpu->root))
		return;
	read_lock(&kvm->mmu_lock);
	fetch_add(&kvm->tdp_mmu_root->tdp_mmu_root_count, 1);
	vcpu->root = kvm->tdp_mmu_root;
	read_unlock(&kvm->mmu_lock);
	vcpu_load_root(vcpu->hw, vcpu->root->pfn, vcpu->root->role.level);
}

/* Nobody walks any more: plain reads, children first. */
static void free_subtree(struct kvm_mmu_page *sp)
{
	for (u32 i = 0; sp->role.level > PT_LEVEL_4K && i < PT_ENTRIES; i++) {
		u64 spte = sp->spt[i];

		if (is_shadow_present_pte(spte) && !is_last_spte(spte, sp->role.level))
			free_subtree(page_of_frame[spte_to_pfn(spte)]);
	}
	tdp_mmu_free_sp(sp);
}

void kvm_tdp_mmu_destroy(struct kvm *kvm)
{
	free_subtree(kvm->tdp_mmu_root);
	kvm->tdp_mmu_root = NULL;
}
