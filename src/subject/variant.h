/*
 * The design knobs (variants.def) as C: one enum and one member for each knob. A const struct
 * mmu_variant is chosen when the VM is created and never changes.
 */
#ifndef SUBJECT_VARIANT_H
#define SUBJECT_VARIANT_H

#include "base/types.h"

#define VARIANT(knob, value, ...) knob##_##value,
#define KNOB(knob, ...)
enum knob_value {
#include "subject/variants.def"
	KNOB_VALUE_COUNT
};
#undef KNOB

#undef VARIANT
#define VARIANT(...)
#define KNOB(knob, upstream, standard) KNOB_##knob,
enum knob {
#include "subject/variants.def"
	KNOB_COUNT
};
#undef KNOB

/* if (variant->knob[KNOB_fault_precheck] == fault_precheck_none) ... */
struct mmu_variant {
	u8 knob[KNOB_COUNT]; /* enum knob_value */
};

#define KNOB(knob_, upstream_, standard_) [KNOB_##knob_] = knob_##_##upstream_,
static const struct mmu_variant variant_upstream = { .knob = {
#include "subject/variants.def"
						     } };
#undef KNOB
#define KNOB(knob_, upstream_, standard_) [KNOB_##knob_] = knob_##_##standard_,
/* Upstream plus accepted repairs. */
static const struct mmu_variant variant_default = { .knob = {
#include "subject/variants.def"
						    } };
#undef KNOB
#undef VARIANT

/* For texts and lists. convicted_by: oracle name, or "none" for a legal value. */
struct variant_row {
	const char *knob, *value, *release, *convicted_by, *what;
	u8 knob_id; /* enum knob */
};
extern const struct variant_row variant_rows[KNOB_VALUE_COUNT];

#endif
