/* JSON, one object a line on standard output. */
#include "fuzz/cli/cli.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * Zeroed memory: the library is not instrumented, so what it writes into fresh memory would look
 * uninitialised to MemorySanitizer.
 */
static void *zeroed(size_t size)
{
	return calloc(1, size);
}

void json_prepare(void)
{
	cJSON_Hooks hooks = { .malloc_fn = zeroed, .free_fn = free };

	cJSON_InitHooks(&hooks);
}

void json_end(cJSON *object)
{
	char *text = cJSON_PrintUnformatted(object);

	puts(text);
	fflush(stdout);
	free(text);
	cJSON_Delete(object);
}

void json_text(cJSON *object, const char *name, const char *text)
{
	cJSON_AddStringToObject(object, name, text);
}

void json_number(cJSON *object, const char *name, double number)
{
	cJSON_AddNumberToObject(object, name, number);
}

void json_hash(cJSON *object, const char *name, u64 hash)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%016llx", (unsigned long long)hash);
	cJSON_AddStringToObject(object, name, text);
}

void json_verdict(cJSON *object, const char *name, const struct expectation *expect)
{
	char text[64];

	snprintf(text, sizeof(text), "%s%s%s", expect->oracle[0] ? expect->oracle : "none",
		 expect->class[0] ? " " : "", expect->class);
	cJSON_AddStringToObject(object, name, text);
}

void json_sites(cJSON *object, const char *name, const struct expectation *expect)
{
	char text[2 * SITE_TEXT_MAX + 4];

	snprintf(text, sizeof(text), "%s%s%s", expect->site[0], expect->site[1][0] ? " / " : "",
		 expect->site[1]);
	cJSON_AddStringToObject(object, name, text);
}

void json_u64(cJSON *object, const char *name, u64 number)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
	cJSON_AddRawToObject(object, name, text);
}
