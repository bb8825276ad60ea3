/*
 * Subscriptions. The list is complete before tasks run, so SRCU guards nothing yet; it is taken
 * because callbacks run inside it, which matters to lock order.
 */
#include "host/host_internal.h"

void mmu_notifier_register(struct mmu_notifier *mn)
{
	struct mmu_notifier **last = &host.subscribers;

	while (*last)
		last = &(*last)->next;
	mn->next = NULL;
	*last = mn;
}

/* Mirrors mmu_notifier_invalidate_range_start. */
void host_notify_start(hva_t start, hva_t end)
{
	const struct mmu_notifier_range range = { start, end, .blockable = true };
	int idx;

	might_sleep();
	event(notifier_start, .start = start, .end = end);
	idx = srcu_read_lock(&host.mm->mn_srcu);
	for (struct mmu_notifier *mn = host.subscribers; mn; mn = mn->next) {
		int error = mn->ops->invalidate_range_start(mn, &range);

		/* Only a range that must not block may be refused: this one happens anyway. */
		WARN_ON(error);
	}
	srcu_read_unlock(&host.mm->mn_srcu, idx);
	event(notifier_start_returned, .start = start, .end = end);
}

/* Mirrors mmu_notifier_invalidate_range_end. */
void host_notify_end(hva_t start, hva_t end)
{
	const struct mmu_notifier_range range = { start, end, .blockable = true };
	int idx;

	event(notifier_end, .start = start, .end = end);
	idx = srcu_read_lock(&host.mm->mn_srcu);
	for (struct mmu_notifier *mn = host.subscribers; mn; mn = mn->next)
		mn->ops->invalidate_range_end(mn, &range);
	srcu_read_unlock(&host.mm->mn_srcu, idx);
	event(notifier_end_returned, .start = start, .end = end);
}
