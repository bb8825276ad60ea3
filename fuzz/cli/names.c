/* Names that a user types, and what they may have meant. */
#include "fuzz/cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES 64

/* Insertions, deletions and replacements that lead from @a to @b. */
static u32 edit_distance(const char *a, const char *b)
{
	u32 row[NAME_BYTES + 1];
	u32 len = (u32)min_u64(strlen(b), NAME_BYTES);

	for (u32 j = 0; j <= len; j++)
		row[j] = j;
	for (u32 i = 1; a[i - 1]; i++) {
		u32 diagonal = row[0];

		row[0] = i;
		for (u32 j = 1; j <= len; j++) {
			u32 above = row[j];
			u32 best = diagonal + (a[i - 1] != b[j - 1]);

			best = (u32)min_u64(best, above + 1);
			row[j] = (u32)min_u64(best, row[j - 1] + 1);
			diagonal = above;
		}
	}
	return row[len];
}

static u32 far_of(const char *name, const char *candidate)
{
	if (strlen(name) > 2 && strstr(candidate, name))
		return 1;
	return edit_distance(name, candidate);
}

void near_names(struct buf *buf, const char *name, const char *(*nth)(u32 nth), u32 count)
{
	u32 limit = (u32)strlen(name) / 3 + 2, nearest = limit + 1, found = 0;

	for (u32 i = 0; i < count; i++)
		nearest = (u32)min_u64(nearest, far_of(name, nth(i)));
	if (nearest > limit)
		return;
	buf_printf(buf, "Did you mean: ");
	for (u32 i = 0; i < count; i++)
		if (far_of(name, nth(i)) == nearest)
			buf_printf(buf, "%s%s", found++ ? ", " : "", nth(i));
	buf_printf(buf, "? ");
}

void unknown_name(const char *kind, const char *name, const char *(*nth)(u32 nth), u32 count)
{
	struct buf buf = { 0 };

	buf_printf(&buf, "no %s is named '%s'. ", kind, name);
	near_names(&buf, name, nth, count);
	buf_printf(&buf, "There are:");
	for (u32 i = 0; i < count; i++)
		buf_printf(&buf, " %s", nth(i));
	usage_error("%s", buf_text(&buf));
}

static const char *target_name(u32 nth)
{
	return target_nth(nth)->name;
}

static const char *bug_name(u32 nth)
{
	return bug_rows[nth].slug;
}

static const char *variant_name(u32 nth)
{
	static char names[KNOB_VALUE_COUNT + 2][NAME_BYTES];

	if (nth >= KNOB_VALUE_COUNT)
		return nth == KNOB_VALUE_COUNT ? "default" : "upstream";
	snprintf(names[nth], NAME_BYTES, "%s=%s", variant_rows[nth].knob, variant_rows[nth].value);
	return names[nth];
}

static const char *const configs[] = {
#define CONFIG(id, name, ...) name,
#include "fuzz/configs.def"
#undef CONFIG
};

const char *config_name(u32 nth)
{
	return configs[nth];
}

u32 configs_count(void)
{
	return ARRAY_SIZE(configs);
}

const struct target *target_or_exit(const char *name)
{
	const struct target *target = target_by_name(name);

	if (!target)
		unknown_name("target", name, target_name, targets_count());
	if (target_problem(target))
		usage_error("target %s: %s", name, target_problem(target));
	return target;
}

bool format_named(const char *name)
{
	const char *at = build_formats;
	size_t size = strlen(name);

	for (; *at; at += strcspn(at, " ") + 1)
		if (strcspn(at, " ") == size && !memcmp(at, name, size))
			return true;
	return false;
}

enum bug_id bug_or_exit(const char *slug)
{
	enum bug_id bug = bug_by_slug(slug);

	if (bug == BUG_COUNT)
		unknown_name("bug", slug, bug_name, BUG_COUNT);
	return bug;
}

static void set_knob(struct mmu_variant *variant, const char *pair, const char *text)
{
	for (u32 i = 0; i < KNOB_VALUE_COUNT; i++)
		if (!strcmp(variant_name(i), pair)) {
			variant->knob[variant_rows[i].knob_id] = (u8)i;
			return;
		}
	unknown_name("variant", pair, variant_name, KNOB_VALUE_COUNT + 2);
}

/* Values that were never in one kernel are refused by name. */
static void refuse_conflict(const struct mmu_variant *variant)
{
	u32 one, other;
	const char *why = variant_conflict(variant, &one, &other);

	if (why)
		usage_error("variant: %s excludes %s: %s", variant_name(one), variant_name(other),
			    why);
}

struct mmu_variant variant_or_exit(const char *text)
{
	struct mmu_variant variant = variant_default;
	char pair[NAME_BYTES];

	if (!strcmp(text, "default"))
		return variant_default;
	if (!strcmp(text, "upstream"))
		return variant_upstream;
	while (*text) {
		size_t len = strcspn(text, ",");

		snprintf(pair, sizeof(pair), "%.*s", (int)len, text);
		set_knob(&variant, pair, text);
		text += len;
		text += *text == ',';
	}
	refuse_conflict(&variant);
	return variant;
}
