/*
 * Data races that are known well enough (known.c). ThreadSanitizer asks this function about every report before it
 * prints it and ends the process; here it is told that a known one does not count.
 */
#include <stdio.h>

#include "base/hash.h"
#include "fuzz/engine/engine.h"

/* Of ThreadSanitizer, for debuggers; absent in other rows. */
int __tsan_get_report_data(void *report, const char **description, int *count, int *stacks,
			   int *accesses, int *locations, int *mutexes, int *threads, int *tids,
			   void **sleep, unsigned long nr_sleep) __attribute__((weak));
int __tsan_get_report_mop(void *report, unsigned long nth, int *tid, void **addr, int *size,
			  int *write, int *atomic, void **trace, unsigned long nr_trace)
	__attribute__((weak));

/* Of the linker: where this program begins, in this process. */
extern const char __executable_start[] __attribute__((visibility("hidden")));

/* The library's name for it is one of C++: bool __tsan::OnReport(const ReportDesc *, bool). */
bool races_on_report(void *report,
		     bool suppressed) __asm__("_ZN6__tsan8OnReportEPKNS_10ReportDescEb");

/* Return: a number of the two accesses, whichever was reported as the first; 0 if there are no two. */
static u64 race_number(void *report, u64 places[2], const char **what)
{
	int count, stacks, accesses = 0, locations, mutexes, threads, tids;
	void *sleep[1];

	if (!__tsan_get_report_data || !__tsan_get_report_mop)
		return 0;
	__tsan_get_report_data(report, what, &count, &stacks, &accesses, &locations, &mutexes,
			       &threads, &tids, sleep, 1);
	for (u32 i = 0; i < 2; i++) {
		int tid, size, write, atomic;
		void *addr, *trace[1] = { NULL };

		if ((int)i >= accesses)
			return 0;
		__tsan_get_report_mop(report, i, &tid, &addr, &size, &write, &atomic, trace, 1);
		places[i] = (u64)((uintptr_t)trace[0] - (uintptr_t)__executable_start);
	}
	return hash_text(HASH_SEED, *what) + hash_u64(HASH_SEED, places[0]) +
	       hash_u64(HASH_SEED, places[1]);
}

/*
 * Return: whether the report is of no interest. Context: locks of the library are held, it looks away from what
 * this thread does.
 */
bool races_on_report(void *report, bool suppressed)
{
	u64 places[2];
	const char *what;
	u64 number = suppressed ? 0 : race_number(report, places, &what);

	if (!number)
		return suppressed;
	if (known_meets(number))
		return true;
	fprintf(stderr, "mmurace: ThreadSanitizer: finding %016llx: sanitizer %s +%#llx / +%#llx\n",
		(unsigned long long)number, what, (unsigned long long)places[0],
		(unsigned long long)places[1]);
	known_report();
	return false;
}
