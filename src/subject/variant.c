#include "subject/variant.h"

#define KNOB(...)
#define VARIANT(knob_, value_, release_, convicted_by_, what_) \
	[knob_##_##value_] = { .knob = #knob_,                 \
			       .value = #value_,               \
			       .release = release_,            \
			       .convicted_by = convicted_by_,  \
			       .what = what_,                  \
			       .knob_id = KNOB_##knob_ },
const struct variant_row variant_rows[KNOB_VALUE_COUNT] = {
#include "subject/variants.def"
};
