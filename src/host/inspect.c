#include "host/inspect.h"

#include "host/host_internal.h"

u64 inspect_host_pte(hva_t hva)
{
	struct host_table *entry = hva < HVA_MAX ? host_entry_now(hva) : NULL;

	if (host_is_leaf(entry))
		return host_leaf(entry) +
		       ((hva - host_leaf_start(entry, hva)) << HOST_PTE_PFN_SHIFT);
	return entry ? *host_ptep(entry, hva) : 0;
}

u32 inspect_host_level(hva_t hva)
{
	struct host_table *entry = hva < HVA_MAX ? host_entry_now(hva) : NULL;

	return host_is_leaf(entry) ? host_leaf_level(entry) : PT_LEVEL_4K;
}

bool inspect_host_released(void)
{
	return host.counts_users && !host.mm->users;
}

void inspect_host_count_references(u64 *counts, u32 nr)
{
	ASSERT(nr <= KERN_PAGES_MAX);
	for (pfn_t pfn = 0; pfn < nr; pfn++)
		counts[pfn] = host_sharers(pfn);
	for (u32 i = 0; i < host.nr_used; i++) {
		hva_t start = (hva_t)host.used[i] * PT_ENTRIES;

		for (hva_t hva = start; hva < start + PT_ENTRIES; hva++) {
			u64 pte = inspect_host_pte(hva);

			if (pte && host_pte_pfn(pte) < nr)
				counts[host_pte_pfn(pte)]++;
		}
	}
}
