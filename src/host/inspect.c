#include "host/inspect.h"

#include "host/host_internal.h"

u64 inspect_host_pte(hva_t hva)
{
	if (hva >= HVA_MAX || !host.tables[hva / PT_ENTRIES])
		return 0;
	return *host_ptep(host.tables[hva / PT_ENTRIES], hva);
}

void inspect_host_count_references(u64 *counts, u32 nr)
{
	ASSERT(nr <= KERN_PAGES_MAX);
	for (pfn_t pfn = 0; pfn < nr; pfn++)
		counts[pfn] = host_sharers(pfn);
	for (u32 i = 0; i < host.nr_used; i++) {
		const u64 *ptes = host.tables[host.used[i]]->ptes;

		for (u32 n = 0; n < PT_ENTRIES; n++)
			if (ptes[n] && host_pte_pfn(ptes[n]) < nr)
				counts[host_pte_pfn(ptes[n])]++;
	}
}
