/*
 * The event sink: ghost state, dispatch, the verdict, taps and counts.
 */
#include "oracle/oracle.h"

#include "base/hash.h"
#include "oracle/ghost_build.h"
#include "oracle/judge.h"

const struct oracle_row oracle_rows[ORACLE_COUNT] = {
#define ORACLE(name_, what_) [ORACLE_##name_] = { .name = #name_, .what = what_ },
#include "oracle/oracles.def"
#undef ORACLE
};

const char *const retry_class_names[RETRY_CLASS_COUNT] = {
	[RETRY_CLASS_true] = "true",   [RETRY_CLASS_hull] = "hull", [RETRY_CLASS_seq] = "seq",
	[RETRY_CLASS_race] = "race",   [RETRY_CLASS_slot] = "slot", [RETRY_CLASS_root] = "root",
	[RETRY_CLASS_other] = "other", [RETRY_CLASS_none] = "none",
};

/* What the ghost state or any oracle wants to see. */
#define ORACLE(name, what) | name##_interest
static const event_mask judged = ghost_interest
#include "oracle/oracles.def"
	;
#undef ORACLE

static struct verdict verdict;
static struct oracle_stats stats;
static struct oracle_config config;
static void (*violation_hook)(void);
static void (*tap)(const struct event *event);
static void (*write_hook)(u32 state);
static bool special; /* tapped, or decided already */

static u32 entry_kind(bool leaf, bool table, u64 pte)
{
	if (leaf || table)
		return leaf ? 1 : 2;
	return pte == SPTE_FROZEN ? 3 : ghost_is_mmio(pte) ? 4 : 0;
}

/* What oracle_on_write() promises: kinds of values in a mixed radix, and bits. */
__noinline static void tell_write(const struct event_spte_changed *event)
{
	const struct ghost_change *change = &ghost.change;
	const struct ghost_task *task = ghost_task(event->head.task);
	const struct ghost_table *root;
	u32 state;

	if (!change->level)
		return;
	root = ghost_linked_table(change->root);
	state = entry_kind(change->was_leaf, change->was_table, event->old);
	state = state * 5 + entry_kind(change->is_leaf, change->is_table, event->new);
	state = state * 3 + (task->mmu_locks ? 1 + task->mmu_exclusive : 0);
	state = state * 4 + (u32)event->how;
	state = state * 3 + (!ghost.active ? 0 : ghost_in_hull(change->gfn) ? 2 : 1);
	state = state * 4 + (root ? root->flags & (GHOST_INVALID | GHOST_ZAPPED) : 0) / 2;
	state = state * 3 + (!task->fault.active ? 0 : task->fault.snapshot == ghost.seq ? 1 : 2);
	state = state * 2 + (event->expected != event->old);
	state = state * 2 + (ghost.nr_started != 0);
	state = state * 2 + ghost.memslot.going;
	state = state * 2 + (task->depth != 0);
	write_hook(state);
}

/* With @id a constant, what remains of this are the calls that the event has to see. */
__attribute__((always_inline)) static inline void judge(const struct event *event, u32 id)
{
	if (!(judged >> id & 1))
		return;
	stats.events[id]++;
	/* Locks that are only counted go no further. */
	if ((id == EVENT_lock_acquired || id == EVENT_lock_released) &&
	    ghost_lock_only_counts(event, id))
		return;
	if (ghost_interest >> id & 1)
		ghost_event(event, id);
	if (id == EVENT_spte_changed && unlikely(write_hook))
		tell_write((const void *)event);
#define ORACLE(name, what)                                                          \
	if ((name##_interest >> id & 1) && judge_matters(ORACLE_##name, event, id)) \
		name##_event(event);
#include "oracle/oracles.def"
#undef ORACLE
}

/* Any event: of those that are tapped, and of who has them at hand as such. */
__cold void event_sink(const struct event *event)
{
	if (tap)
		tap(event);
	if (verdict.violated)
		return;
	switch (event->id) {
#define EVENT(name, fields)                 \
	case EVENT_##name:                  \
		judge(event, EVENT_##name); \
		return;
#include "base/events.def"
#undef EVENT
	}
}

/* One entrance for each event: no switch stands between an event and its judges. */
#define EVENT(name, fields)                           \
	void event_tell_##name(struct event *event)   \
	{                                             \
		event_fill_head(event, EVENT_##name); \
		if (unlikely(special))                \
			event_sink(event);            \
		else                                  \
			judge(event, EVENT_##name);   \
	}
#include "base/events.def"
#undef EVENT

static void set_interest(void)
{
	event_context.interest = tap ? ~(event_mask)0 : judged;
	/* What the others protect is judged where it changes; whether one is left held, kern tells. */
	event_context.lock_interest = tap ? ~0ull : BIT_ULL(LOCK_mmu_lock);
	special = tap || verdict.violated;
}

void oracle_reset(const struct oracle_config *new_config)
{
	config.seq = new_config->seq;
	config.forbidden = new_config->forbidden;
	verdict.violated = false;
	event_context.clock = 0;
	set_interest();
	ghost_reset(config.seq);
#define ORACLE(name, what) name##_reset();
#include "oracle/oracles.def"
#undef ORACLE
}

const struct verdict *oracle_verdict(void)
{
	return &verdict;
}

void oracle_on_violation(void (*hook)(void))
{
	violation_hook = hook;
}

void oracle_tap(void (*new_tap)(const struct event *event))
{
	tap = new_tap;
	set_interest();
}

void oracle_on_write(void (*hook)(u32 state))
{
	write_hook = hook;
}

const struct oracle_stats *oracle_stats(void)
{
	return &stats;
}

void oracle_stats_clear(void)
{
	for (u32 i = 0; i < RETRY_CLASS_COUNT; i++)
		stats.retries[i] = 0;
	for (u32 i = 0; i < EVENT_COUNT; i++)
		stats.events[i] = 0;
	stats.stale_then_flushed = 0;
}

void oracle_count_retry(enum retry_class class)
{
	stats.retries[class]++;
}

void oracle_count_stale_then_flushed(u64 nr_entries)
{
	stats.stale_then_flushed += nr_entries;
}

u32 oracle_forbidden(void)
{
	return config.forbidden;
}

/* --- verdicts --- */

void detail_text(struct detail *detail, const char *text)
{
	for (; *text && detail->length < sizeof(detail->text) - 1; text++)
		detail->text[detail->length++] = *text;
	detail->text[detail->length] = '\0';
}

static void detail_number(struct detail *detail, u64 value, u32 radix)
{
	char digits[24];
	u32 at = sizeof(digits) - 1;

	digits[at] = '\0';
	do {
		digits[--at] = "0123456789abcdef"[value % radix];
		value /= radix;
	} while (value);
	detail_text(detail, digits + at);
}

void detail_decimal(struct detail *detail, u64 value)
{
	detail_number(detail, value, 10);
}

void detail_hex(struct detail *detail, u64 value)
{
	detail_text(detail, "0x");
	detail_number(detail, value, 16);
}

static void detail_values(struct detail *detail, const struct finding *finding)
{
	for (u32 i = 0; i < FINDING_VALUES_MAX && finding->values[i].name; i++) {
		if (i)
			detail_text(detail, " ");
		detail_text(detail, finding->values[i].name);
		detail_text(detail, "=");
		detail_hex(detail, finding->values[i].value);
	}
}

static void set_site(u32 nth, const struct ghost_mark *mark)
{
	bool known = mark->time;

	verdict.site[nth] = known ? mark->site : NULL;
	verdict.task[nth] = known ? mark->task : TASK_NONE;
	verdict.time[nth] = known ? mark->time : 0;
}

void oracle_convict(const struct finding *finding)
{
	struct detail detail;

	if (verdict.violated)
		return;
	detail.length = 0;
	detail.text[0] = '\0';
	if (finding->detail)
		detail_text(&detail, finding->detail->text);
	else
		detail_values(&detail, finding);
	verdict.violated = true;
	special = true;
	verdict.oracle = finding->oracle;
	verdict.class = finding->class;
	verdict.sentence = finding->sentence;
	set_site(0, &finding->at);
	set_site(1, &finding->against);
	for (u32 i = 0; i <= detail.length; i++)
		verdict.detail[i] = detail.text[i];
	verdict.nr_holds = (u32)min_u64(finding->nr_holds, VERDICT_HOLDS_MAX);
	for (u32 i = 0; i < verdict.nr_holds; i++)
		verdict.holds[i] = finding->holds[i];
	if (violation_hook)
		violation_hook();
}

void verdict_print(struct buf *buf, const struct verdict *v,
		   void (*print_site)(struct buf *buf, const struct sched_site *site))
{
	bool printed = false;

	if (!v->violated) {
		buf_printf(buf, "none");
		return;
	}
	buf_printf(buf, "%s %s", oracle_rows[v->oracle].name, v->class);
	for (u32 i = 0; i < 2; i++) {
		if (!v->site[i])
			continue;
		buf_printf(buf, printed ? " / " : " ");
		print_site(buf, v->site[i]);
		printed = true;
	}
}

/* --- the end state --- */

static u64 hash_table(u64 hash, pfn_t table, u32 level)
{
	const u64 *words = inspect_table(table);

	for (u32 i = 0; i < PT_ENTRIES; i++) {
		u64 pte = words ? words[i] : 0;

		hash = hash_u64(hash, pte);
		if (ghost_is_table(pte, level))
			hash = hash_table(hash, pte_pfn(pte), level - 1);
	}
	return hash;
}

static u64 hash_psc(u64 hash, u32 vcpu)
{
	hash = hash_u64(hash, inspect_nr_psc(vcpu));
	for (u32 i = 0; i < inspect_nr_psc(vcpu); i++) {
		struct psc_view entry = inspect_psc(vcpu, i);

		hash = hash_u64(hash, entry.gfn);
		hash = hash_u64(hash, entry.root);
		hash = hash_u64(hash, entry.table);
		hash = hash_u64(hash, entry.level);
	}
	return hash;
}

static u64 hash_tlb(u64 hash, u32 vcpu)
{
	hash = hash_u64(hash, inspect_nr_tlb(vcpu));
	for (u32 i = 0; i < inspect_nr_tlb(vcpu); i++) {
		struct tlb_view entry = inspect_tlb(vcpu, i);

		hash = hash_u64(hash, entry.gfn);
		hash = hash_u64(hash, entry.root);
		hash = hash_u64(hash, entry.pfn);
		hash = hash_u64(hash, entry.level);
		hash = hash_u64(hash, entry.access);
	}
	return hash;
}

u64 oracle_state_hash(void)
{
	struct mmu_counters counters;
	u64 hash = HASH_SEED;

	for (u32 i = 0; i < inspect_nr_roots(); i++) {
		struct root_view root = inspect_root(i);

		hash = hash_u64(hash, root.pfn);
		hash = hash_u64(hash, root.level);
		hash = hash_u64(hash, root.invalid);
		hash = hash_table(hash, root.pfn, root.level);
	}
	for (u32 vcpu = 0; vcpu < inspect_nr_vcpus(); vcpu++)
		hash = hash_psc(hash_tlb(hash, vcpu), vcpu);
	for (hva_t hva = 0; hva < HVA_MAX; hva++)
		hash = hash_u64(hash, inspect_host_pte(hva));
	if (!inspect_vm())
		return hash;
	counters = inspect_mmu_counters();
	hash = hash_u64(hash, counters.in_progress);
	hash = hash_u64(hash, counters.active_invalidations);
	hash = hash_u64(hash, counters.seq);
	return hash_u64(hash, counters.tables);
}
