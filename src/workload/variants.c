/* Which values of knobs are legal, and which go together. */
#include <string.h>

#include "workload/workload_internal.h"

static const struct exclusion {
	u8 one, other; /* enum knob_value */
	const char *why;
} exclusions[] = {
#define EXCLUDES(knob, value, other_knob, other_value, why_) \
	{ knob##_##value, other_knob##_##other_value, why_ },
#include "workload/exclusions.def"
#undef EXCLUDES
};

static bool has_value(const struct mmu_variant *variant, u32 value)
{
	return variant->knob[variant_rows[value].knob_id] == value;
}

const char *variant_conflict(const struct mmu_variant *variant, u32 *one, u32 *other)
{
	for (u32 i = 0; i < ARRAY_SIZE(exclusions); i++) {
		if (!has_value(variant, exclusions[i].one) ||
		    !has_value(variant, exclusions[i].other))
			continue;
		*one = exclusions[i].one;
		*other = exclusions[i].other;
		return exclusions[i].why;
	}
	return NULL;
}

static bool is_legal(u32 value, u32 knob)
{
	return variant_rows[value].knob_id == knob &&
	       !strcmp(variant_rows[value].convicted_by, "none");
}

u32 variant_nr_legal(u32 knob)
{
	u32 nr = 0;

	for (u32 i = 0; i < KNOB_VALUE_COUNT; i++)
		nr += is_legal(i, knob);
	return nr;
}

u8 variant_legal_nth(u32 knob, u32 nth)
{
	for (u32 i = 0; i < KNOB_VALUE_COUNT; i++)
		if (is_legal(i, knob) && !nth--)
			return (u8)i;
	return variant_default.knob[knob];
}
