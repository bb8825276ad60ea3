/*
 * The walker: what hardware does between a guest's access and the page. It holds no lock and knows
 * none. Every entry is read once, and whatever depends on that value being still there (setting A
 * or D) is one atomic step that fails if anything in the entry has changed; the walk then starts
 * over. So D never lands in an entry that was zapped, write-protected or redirected meanwhile. Without
 * A/D bits the walker reads and never writes.
 *
 * A table that a walk has come to may be unlinked before the walk reads it, or long before if the
 * paging-structure cache led there. What is read in it is as old as the way to it: whoever unlinks a
 * table owes a flush for it. So everything that a walk fills has the age of the walk's first step.
 */
#include "machine/machine_internal.h"

struct walk {
	struct vcpu *vcpu;
	gfn_t gfn;
	enum access access;
	u32 level;
	pfn_t table; /* of that level */
	u64 rights; /* R, W, X granted by all levels so far */
	u64 since; /* event clock of the first step down from the root, ~0 before */
};

/* Those from STEP_DONE on end the access. */
enum step { STEP_DOWN, STEP_AGAIN, STEP_DONE, STEP_VIOLATION, STEP_MISCONFIG, STEP_LOG_FULL };

static const u64 right_for[ACCESS_COUNT] = { PTE_R, PTE_W, PTE_X };
_Static_assert(PTE_R == 1 << ACCESS_READ && PTE_W == 1 << ACCESS_WRITE && PTE_X == 1 << ACCESS_EXEC,
	       "the mask of a TLB entry has the bits of a table entry");

static void guest_accessed(const struct vcpu *vcpu, gfn_t gfn, enum access access,
			   const struct tlb_entry *entry, bool from_tlb)
{
	event(guest_accessed, .vcpu = vcpu->id, .gfn = gfn, .pfn = entry->pfn + (gfn - entry->gfn),
	      .access = access, .from_tlb = from_tlb);
}

/* @granted: the rights that all entries met have in common, if any. */
static enum step violation(struct walk *walk, u64 granted)
{
	walk->vcpu->violation_present = granted & PTE_RWX;
	return STEP_VIOLATION;
}

static enum step step_down(struct walk *walk, u64 *ptep, u64 pte)
{
	pfn_t child = pte_pfn(pte);

	/*
	 * Races with whoever unlinks the child. An A bit put into an entry that names no table any
	 * more would change a value that its new owner believes to know: spte_change notices.
	 */
	if (~pte & PTE_A & machine.assisted && !pte_assist(ptep, pte, PTE_A))
		return STEP_AGAIN;
	if (KVM_BUG_ON(!child || child >= KERN_PAGES_MAX))
		return violation(walk, 0);
	walk->rights &= pte;
	walk->table = child;
	walk->level--;
	walk->since = min_u64(walk->since, event_clock());
	psc_fill(walk->vcpu,
		 &(struct psc_entry){ .gfn = walk->gfn & ~(PT_PAGES(walk->level + 1) - 1),
				      .root = walk->vcpu->root,
				      .table = child,
				      .filled_at = walk->since,
				      .level = (u8)walk->level,
				      .rights = (u8)(walk->rights & PTE_RWX) });
	return STEP_DOWN;
}

/*
 * Sets A, and for a write D, in the leaf at @ptep, if the CPU does and they are missing; *@pte: what was
 * read there, and what it holds then. D and the entry in the log are one step, as nothing else runs
 * between the exchange and the append: whoever finds D set by the CPU finds the page in the log, or the
 * vCPU has taken it out. Whether there is room must be known before the exchange, for D that is set and
 * not logged would never be set again. No race there: only this vCPU fills and empties its log.
 */
static enum step assist_leaf(struct walk *walk, u64 *ptep, u64 *pte)
{
	u64 wanted = walk->access == ACCESS_WRITE ? PTE_A | PTE_D : PTE_A;
	u64 missing = ~*pte & wanted & machine.assisted;

	if (!missing)
		return STEP_DONE;
	if (missing & PTE_D && pml_full(walk->vcpu))
		return STEP_LOG_FULL;
	/*
	 * Races with zaps, write protection, the clearing of D and changes of the page. A D bit set on the
	 * strength of the old value would be a write to a page that the guest has lost: stale_mapping
	 * notices.
	 */
	if (!pte_assist(ptep, *pte, missing))
		return STEP_AGAIN;
	*pte |= missing;
	if (missing & PTE_D && walk->vcpu->pml_on)
		pml_log(walk->vcpu, walk->gfn);
	return STEP_DONE;
}

static enum step step_leaf(struct walk *walk, u64 *ptep, u64 pte)
{
	struct tlb_entry entry = { .root = walk->vcpu->root, .level = (u8)walk->level };
	enum step assisted;

	walk->rights &= pte;
	if (!(walk->rights & right_for[walk->access]))
		return violation(walk, walk->rights);
	assisted = assist_leaf(walk, ptep, &pte);
	if (assisted != STEP_DONE)
		return assisted;
	entry.rights = (u8)(walk->rights & PTE_RWX);
	/* Without D a later write must come back here, to set it; where the CPU keeps none, W is enough. */
	entry.access = entry.rights;
	if (~pte & PTE_D & machine.assisted)
		entry.access &= PTE_R | PTE_X;
	entry.gfn = walk->gfn & ~(PT_PAGES(walk->level) - 1);
	entry.pfn = pte_pfn(pte);
	entry.filled_at = min_u64(walk->since, event_clock());
	tlb_fill(walk->vcpu, &entry);
	guest_accessed(walk->vcpu, walk->gfn, walk->access, &entry, false);
	return STEP_DONE;
}

static enum step step(struct walk *walk)
{
	u64 *ptep = frame_words(walk->table) + PT_INDEX(walk->gfn, walk->level);
	/* Races with every writer of the entry: from here on only this value counts. */
	u64 pte = pte_walk(ptep);

	if (!pte_hw_present(pte))
		return pte_hw_misconfigured(pte) ? STEP_MISCONFIG : violation(walk, 0);
	if (!pte_hw_leaf(pte, walk->level))
		return step_down(walk, ptep, pte);
	if (unlikely(pte_hw_illegal_leaf(pte, walk->level)))
		return STEP_MISCONFIG;
	return step_leaf(walk, ptep, pte);
}

/* Where the walk begins: as deep as the paging-structure cache knows the way. */
static void walk_begin(struct walk *walk)
{
	const struct psc_entry *known = psc_find(walk->vcpu, walk->gfn);

	if (known) {
		walk->level = known->level;
		walk->table = known->table;
		walk->rights = known->rights;
		walk->since = known->filled_at;
	} else {
		walk->level = walk->vcpu->root_level;
		walk->table = walk->vcpu->root;
		walk->rights = PTE_RWX;
		walk->since = ~0ull;
	}
}

static enum step walk_once(struct walk *walk)
{
	enum step next;

	walk_begin(walk);
	do {
		next = step(walk);
	} while (next == STEP_DOWN);
	return next;
}

static const enum guest_result result_of[] = {
	[STEP_DONE] = GUEST_DONE,
	[STEP_VIOLATION] = GUEST_VIOLATION,
	[STEP_MISCONFIG] = GUEST_MISCONFIG,
	[STEP_LOG_FULL] = GUEST_LOG_FULL,
};

static enum guest_result walk_tables(struct vcpu *vcpu, gfn_t gfn, enum access access)
{
	struct walk walk = { .vcpu = vcpu, .gfn = gfn, .access = access };
	enum step end;

	if (KVM_BUG_ON(!vcpu->root) || gfn >= PT_PAGES(vcpu->root_level + 1)) {
		vcpu->violation_present = false;
		return GUEST_VIOLATION;
	}
	/* Each turn more means that somebody else has changed an entry. */
	do {
		end = walk_once(&walk);
	} while (end == STEP_AGAIN);
	return result_of[end];
}

void machine_set_ad_bits(bool on)
{
	machine.assisted = on ? PTE_A | PTE_D : 0;
}

enum guest_result vcpu_access(struct vcpu *vcpu, gfn_t gfn, enum access access)
{
	const struct tlb_entry *hit;
	u64 evicted;

	/*
	 * In the guest by now: a flush may be asked for before the TLB is looked at, and must wait.
	 * Hardware may also forget anything at any time.
	 */
	evicted = environment_answer(ANSWER_TLB, 3);
	if (unlikely(evicted))
		tlb_evict(vcpu, gfn, evicted == 2);
	hit = tlb_find(vcpu, gfn);
	if (hit && (hit->access >> access & 1)) {
		guest_accessed(vcpu, gfn, access, hit, true);
		return GUEST_DONE;
	}
	if (hit && !(hit->rights >> access & 1)) {
		/*
		 * An outdated entry that allows too little faults as the tables would: the fault is
		 * spurious. Whatever is cached granted something when it was filled.
		 */
		vcpu->violation_present = true;
		return GUEST_VIOLATION;
	}
	return walk_tables(vcpu, gfn, access);
}
