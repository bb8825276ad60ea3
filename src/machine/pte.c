#include "machine/machine.h"

static u64 index_in_table(const u64 *ptep)
{
	return (u64)(ptep - kern_page_address(kern_page_nr(ptep)));
}

void pte_tell_changed(const u64 *ptep, u64 old, u64 new, u64 expected, enum pte_write how)
{
	event(spte_changed, .table = kern_page_nr(ptep), .index = index_in_table(ptep), .old = old,
	      .new = new, .expected = expected, .how = how);
}

void pte_tell_refused(const u64 *ptep)
{
	event(cmpxchg_refused, .table = kern_page_nr(ptep), .index = index_in_table(ptep));
}
