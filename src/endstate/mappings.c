/* What the guest, or the kernel for it, can reach is what the host maps there now. */
#include "endstate/internal.h"

static const char leaf_sentence[] =
	"A table entry maps what the host maps there, with no more rights.";
static const char tlb_sentence[] =
	"A usable TLB entry maps what the host maps there, with no more rights.";
static const char slot_sentence[] = "Nothing translates a page that has no memslot.";
static const char cache_sentence[] = "A pfncache that is valid leads to what the host maps there.";

#define NOWHERE (~0ull)

/* Return: where @gfn lies in the host, NOWHERE without a memslot. */
static hva_t hva_of(u32 as_id, gfn_t gfn)
{
	for (u32 i = 0; i < inspect_nr_slots(); i++) {
		struct slot_view slot = inspect_slot(i);

		if (slot.as_id == as_id && gfn_in(gfn, slot.start, slot.end))
			return slot.hva + (gfn - slot.start);
	}
	return NOWHERE;
}

static bool host_backs(hva_t hva, pfn_t pfn, bool write)
{
	u64 pte = inspect_host_pte(hva);

	return host_pte_present(pte) && host_pte_pfn(pte) == pfn &&
	       (!write || host_pte_writable(pte));
}

/* One page of a leaf, or of a TLB entry. */
struct translation {
	u32 as_id;
	gfn_t gfn;
	pfn_t pfn;
	bool write;
	const char *class, *sentence, *name; /* what convicts it, and whose it is */
	u64 value;
};

static void judge_translation(const struct judgement *to, const struct translation *at)
{
	hva_t hva = hva_of(at->as_id, at->gfn);

	if (hva == NOWHERE)
		CONVICT(to, "stale_mapping", "SM6", slot_sentence,
			{ { "gfn", at->gfn }, { "pfn", at->pfn }, { at->name, at->value } });
	else if (!host_backs(hva, at->pfn, at->write))
		CONVICT(to, "stale_mapping", at->class, at->sentence,
			{ { "gfn", at->gfn },
			  { "pfn", at->pfn },
			  { "host", inspect_host_pte(hva) },
			  { at->name, at->value } });
}

static void judge_leaf(const struct judgement *to, u32 as_id, gfn_t gfn, u32 level, u64 pte)
{
	struct translation at = {
		.as_id = as_id,
		.write = pte & (PTE_W | SPTE_HOST_WRITABLE),
		.class = "SM1",
		.sentence = leaf_sentence,
		.name = "spte",
		.value = pte,
	};

	for (u64 i = 0; i < PT_PAGES(level); i++) {
		at.gfn = gfn + i;
		at.pfn = pte_pfn(pte) + i;
		judge_translation(to, &at);
	}
}

/* Levels go down with each step, so that entries in a circle end. */
static void judge_table(const struct judgement *to, u32 as_id, pfn_t table, gfn_t base, u32 level)
{
	const u64 *words = inspect_table(table);

	for (u32 i = 0; words && i < PT_ENTRIES; i++) {
		gfn_t gfn = base + i * PT_PAGES(level);

		if (entry_is_table(words[i], level))
			judge_table(to, as_id, pte_pfn(words[i]), gfn, level - 1);
		else if (entry_maps(words[i]))
			judge_leaf(to, as_id, gfn, level, words[i]);
	}
}

/* Return: whether a vCPU may run on it; *as_id is filled in then. */
static bool root_runs(pfn_t pfn, u32 *as_id)
{
	for (u32 i = 0; i < inspect_nr_roots(); i++) {
		struct root_view root = inspect_root(i);

		*as_id = root.as_id;
		if (root.pfn == pfn)
			return !root.invalid;
	}
	return false;
}

static void judge_tlb_entry(const struct judgement *to, u32 vcpu, const struct tlb_view *entry)
{
	struct translation at = {
		.write = entry->access >> ACCESS_WRITE & 1,
		.class = "SM2",
		.sentence = tlb_sentence,
		.name = "vcpu",
		.value = vcpu,
	};
	gfn_t end = entry->gfn + PT_PAGES(entry->level);

	if (!root_runs(entry->root, &at.as_id) ||
	    !inspect_cached_usable(vcpu, entry->root, entry->gfn, end, false))
		return;
	for (at.gfn = entry->gfn, at.pfn = entry->pfn; at.gfn < end; at.gfn++, at.pfn++)
		judge_translation(to, &at);
}

static void judge_pfncache(const struct judgement *to)
{
	struct pfncache_view cache = inspect_pfncache();

	if (cache.valid && !host_backs(cache.hva, cache.pfn, true))
		CONVICT(to, "stale_mapping", "SM7", cache_sentence,
			{ { "gfn", cache.gfn },
			  { "hva", cache.hva },
			  { "pfn", cache.pfn },
			  { "host", inspect_host_pte(cache.hva) } });
}

void endstate_mappings(endstate_convict convict, void *ctx)
{
	const struct judgement to = { convict, ctx };

	if (!inspect_vm())
		return;
	for (u32 i = 0; i < inspect_nr_roots(); i++) {
		struct root_view root = inspect_root(i);

		judge_table(&to, root.as_id, root.pfn, 0, root.level);
	}
	if (inspect_host_released())
		return;
	for (u32 vcpu = 0; vcpu < inspect_nr_vcpus(); vcpu++)
		for (u32 i = 0; i < inspect_nr_tlb(vcpu); i++) {
			struct tlb_view entry = inspect_tlb(vcpu, i);

			judge_tlb_entry(&to, vcpu, &entry);
		}
	judge_pfncache(&to);
}
