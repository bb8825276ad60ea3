#include "sched/fiber.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/assert.h"
#include "sched/sched.h"

/* Provided by the sanitizer runtimes; called only where the build has one. */
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
void __tsan_acquire(void *token);
void __tsan_ignore_thread_begin(void);
void __tsan_ignore_thread_end(void);
void __tsan_release(void *token);
void __sanitizer_start_switch_fiber(void **fake, const void *bottom, size_t size);
void __sanitizer_finish_switch_fiber(void *fake, const void **bottom, size_t *size);
void __asan_unpoison_memory_region(const volatile void *addr, size_t size);

/* A switch is no synchronisation: edges come from the locks that the tasks take. */
#define TSAN_NO_SYNC 1u

#define GUARD_BYTES 4096u

struct fiber {
	void *sp; /* saved stack pointer while parked */
	char *stack; /* lowest usable byte; a guard page lies below */
	void *tsan;
	void *fake; /* ASan's fake stack */
};

static struct fiber fibers[TASKS_MAX + 1];
static u32 running = FIBER_MAIN;
static void (*fiber_entry)(void);
static char start_token, end_token;
static const void *main_bottom;
static size_t main_size;

/* Saves the callee-saved registers on the old stack and takes those of the new one. */
__attribute__((naked, noinline)) static void stack_switch(void **save __attribute__((unused)),
							  void *to __attribute__((unused)))
{
	__asm__("pushq %rbp\n\tpushq %rbx\n\tpushq %r12\n\tpushq %r13\n\tpushq %r14\n\tpushq "
		"%r15\n\t"
		"movq %rsp, (%rdi)\n\tmovq %rsi, %rsp\n\t"
		"popq %r15\n\tpopq %r14\n\tpopq %r13\n\tpopq %r12\n\tpopq %rbx\n\tpopq "
		"%rbp\n\tret");
}

void fiber_rebuild(u32 nr)
{
	struct fiber *fiber = &fibers[nr];
	void **sp = (void **)(fiber->stack + SCHED_STACK_BYTES - 64);

	if (CONFIG_ASAN)
		__asan_unpoison_memory_region(fiber->stack, SCHED_STACK_BYTES);
	if (CONFIG_TSAN) {
		if (fiber->tsan) {
			/* What it did before it was left happens before all that main does now. */
			__tsan_switch_to_fiber(fiber->tsan, TSAN_NO_SYNC);
			__tsan_switch_to_fiber(fibers[FIBER_MAIN].tsan, 0);
			__tsan_destroy_fiber(fiber->tsan);
		}
		fiber->tsan = __tsan_create_fiber(0);
	}
	fiber->fake = NULL;
	*--sp = NULL; /* keeps the stack aligned as after a call */
	*--sp = (void *)fiber_entry;
	for (u32 i = 0; i < 6; i++)
		*--sp = NULL;
	fiber->sp = sp;
}

void fiber_pool_prepare(void (*entry)(void))
{
	if (CONFIG_TSAN)
		fibers[FIBER_MAIN].tsan = __tsan_get_current_fiber();
	if (fiber_entry)
		return;
	fiber_entry = entry;
	for (u32 nr = 0; nr < TASKS_MAX; nr++) {
		char *area = mmap(NULL, GUARD_BYTES + SCHED_STACK_BYTES, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		ASSERT(area != MAP_FAILED);
		ASSERT(!mprotect(area, GUARD_BYTES, PROT_NONE));
		fibers[nr].stack = area + GUARD_BYTES;
		fiber_rebuild(nr);
	}
}

void fiber_switch(u32 to)
{
	struct fiber *from = &fibers[running], *next = &fibers[to];

	if (CONFIG_TSAN)
		__tsan_switch_to_fiber(next->tsan, TSAN_NO_SYNC);
	if (CONFIG_ASAN)
		__sanitizer_start_switch_fiber(&from->fake,
					       to == FIBER_MAIN ? main_bottom : next->stack,
					       to == FIBER_MAIN ? main_size : SCHED_STACK_BYTES);
	running = to;
	stack_switch(&from->sp, next->sp);
	if (CONFIG_ASAN)
		__sanitizer_finish_switch_fiber(from->fake, NULL, NULL);
}

void fiber_entered(void)
{
	const void *bottom;
	size_t size;

	if (!CONFIG_ASAN)
		return;
	__sanitizer_finish_switch_fiber(NULL, &bottom, &size);
	if (!main_bottom) {
		main_bottom = bottom;
		main_size = size;
	}
}

void fiber_publish_start(void)
{
	if (CONFIG_TSAN)
		__tsan_release(&start_token);
}

void fiber_see_start(void)
{
	if (CONFIG_TSAN)
		__tsan_acquire(&start_token);
}

void fiber_publish_end(void)
{
	if (CONFIG_TSAN)
		__tsan_release(&end_token);
}

void fiber_see_end(void)
{
	if (CONFIG_TSAN)
		__tsan_acquire(&end_token);
}

void fiber_unwatch(void)
{
	if (CONFIG_TSAN)
		__tsan_ignore_thread_begin();
}

void fiber_watch(void)
{
	if (CONFIG_TSAN)
		__tsan_ignore_thread_end();
}
