/*
 * What `mmurace bench contract` compares: three functions of the MMU over the thread backend, and the same written
 * by hand. Each is prepared, run once, and looked at; only what runs is counted.
 */
#ifndef FUZZ_CONTRACT_CONTRACT_H
#define FUZZ_CONTRACT_CONTRACT_H

#include <stdbool.h>
#include <stdint.h>

/* Pages that are mapped, one by one, from gfn 0: less than a table has, so that a walk never steps up. */
#define CONTRACT_PAGES	256u
#define CONTRACT_LEVELS 4u

/* One way to do one of them. All for a gfn below CONTRACT_PAGES; build() was called before. */
struct contract_body {
	void (*prepare)(uint64_t gfn);
	uint64_t (*run)(uint64_t gfn);
	/* Return: whether run(), which returned @result, has done its work. */
	bool (*done)(uint64_t gfn, uint64_t result);
};

enum contract_function { CONTRACT_FAULT, CONTRACT_ZAP, CONTRACT_WALK, CONTRACT_FUNCTIONS };

/* Context of all of these: one task, no locks. */
void contract_build_ours(void);
void contract_build_twin(void);
extern const struct contract_body contract_ours[CONTRACT_FUNCTIONS];
extern const struct contract_body contract_twin[CONTRACT_FUNCTIONS];
/* The twin with locks of pthreads, for information; run is NULL where no lock is taken. */
extern const struct contract_body contract_pthread[CONTRACT_FUNCTIONS];

#endif
