/*
 * Two subscribers beside the MMU under test, as other drivers of the kernel are: one that may sleep in
 * start and so must refuse when it must not, and one that needs every end.
 */
#include <errno.h>

#include "host/host_internal.h"

/* A driver that keeps its own mappings under a mutex, and drops them in start. */
struct driver {
	struct mmu_notifier mn;
	struct mutex mutex;
	hva_t dropped; /* first page of the last range; under the mutex */
	bool released; /* under the mutex */
};

/* A driver that refuses to map while a range is open. */
struct counter {
	struct mmu_notifier mn;
	u64 open; /* starts without an end; by verbs only */
};

static struct driver *driver;

void host_subscribers_reset(void)
{
	driver = NULL;
}

/* Return: whether the mutex was taken. */
static bool driver_lock(struct driver *d, const struct mmu_notifier_range *range)
{
	/* Somebody may sleep under the mutex: to wait for it is to sleep. */
	if (!range->blockable && !bug(driver_blocks_in_nonblock))
		return mutex_trylock(&d->mutex);
	mutex_lock(&d->mutex);
	return true;
}

static int driver_start(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	struct driver *d = container_of(mn, struct driver, mn);

	if (!driver_lock(d, range))
		return -EAGAIN;
	d->dropped = range->start;
	mutex_unlock(&d->mutex);
	return 0;
}

/* May be called twice: there is nothing to let go of the second time. */
static void driver_release(struct mmu_notifier *mn)
{
	struct driver *d = container_of(mn, struct driver, mn);

	mutex_lock(&d->mutex);
	d->released = true;
	mutex_unlock(&d->mutex);
}

static const struct mmu_notifier_ops driver_ops = {
	.invalidate_range_start = driver_start,
	.release = driver_release,
};

static void driver_map_again(hva_t hva)
{
	pfn_t pfn;
	bool writable;

	if (host_get_user_page(hva, false, &pfn, &writable) == GUP_OK)
		host_put_page(pfn);
}

void host_driver_work(void)
{
	if (!driver)
		return;
	mutex_lock(&driver->mutex);
	/* Whoever starts an invalidation now waits for us, or is refused. */
	cond_resched();
	/* Faulting pages in takes mmap_lock, under which start waits for the mutex. */
	if (!driver->released && bug(driver_mutex_around_gup))
		driver_map_again(driver->dropped);
	mutex_unlock(&driver->mutex);
}

static int counter_start(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	fetch_add(&container_of(mn, struct counter, mn)->open, 1);
	return 0;
}

static void counter_end(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	u64 open = fetch_add(&container_of(mn, struct counter, mn)->open, -1ull);

	WARN_ON(!open);
}

static const struct mmu_notifier_ops counter_ops = {
	.invalidate_range_start = counter_start,
	.invalidate_range_end = counter_end,
};

static void add_driver(void)
{
	driver = kern_alloc(sizeof(*driver));
	mutex_init_class(&driver->mutex, LOCK_driver_mutex);
	driver->mn.ops = &driver_ops;
	mmu_notifier_register(&driver->mn);
}

static void add_counter(void)
{
	struct counter *counter = kern_alloc(sizeof(*counter));

	counter->mn.ops = &counter_ops;
	mmu_notifier_register(&counter->mn);
}

void host_add_subscribers(u32 mask)
{
	if (mask & BIT_ULL(SUBSCRIBER_DRIVER))
		add_driver();
	if (mask & BIT_ULL(SUBSCRIBER_COUNTER))
		add_counter();
}
