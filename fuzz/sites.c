/*
 * Sites by text. Two records with one text (a macro used twice in a function, or a verb inlined) are
 * one site; its number is the index of the first record.
 */
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

static struct {
	struct sched_site *sites;
	u32 nr;
	u32 *number; /* by index */
	char **text; /* by index */
} table;

static void prepare(void)
{
	if (table.sites)
		return;
	table.sites = sched_sites(&table.nr);
	table.number = calloc(table.nr + 1, sizeof(*table.number));
	table.text = calloc(table.nr + 1, sizeof(*table.text));
	ASSERT(table.number && table.text);
	for (u32 i = 0; i < table.nr; i++) {
		struct buf buf = { 0 };
		u32 first = 0;

		sched_site_print(&buf, &table.sites[i]);
		table.text[i] = buf.data;
		while (strcmp(table.text[first], table.text[i]))
			first++;
		table.number[i] = first;
	}
}

u32 sites_count(void)
{
	prepare();
	return table.nr;
}

u32 site_number(const struct sched_site *site)
{
	prepare();
	return table.number[site->index];
}

u32 site_by_text(const char *text)
{
	prepare();
	for (u32 i = 0; i < table.nr; i++)
		if (!strcmp(table.text[i], text))
			return i;
	return SITE_NOWHERE;
}

const char *site_text(const struct sched_site *site)
{
	prepare();
	return site ? table.text[site->index] : "-";
}

const struct sched_site *site_nth(u32 number)
{
	prepare();
	return &table.sites[number];
}

void site_arm(u32 number, bool armed)
{
	prepare();
	for (u32 i = number; i < table.nr; i++)
		if (table.number[i] == number)
			table.sites[i].armed = armed;
}
