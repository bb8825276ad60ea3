/*
 * meta.json: what is known of a finding. It is changed key by key, so that keys that hands have added stay.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "base/hash.h"
#include "fuzz/triage/triage.h"

/* --- reading --- */

static enum meta_state broken(cJSON *meta, struct buf *why, const char *what)
{
	buf_printf(why, "%s", what);
	cJSON_Delete(meta);
	return META_BROKEN;
}

static bool all_texts(const cJSON *list)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, list) if (!cJSON_IsString(item)) return false;
	return cJSON_IsArray(list);
}

enum meta_state meta_read(cJSON **meta, const char *path, struct buf *why)
{
	struct buf text = { 0 };
	struct stat status;
	const cJSON *version;

	*meta = NULL;
	if (lstat(path, &status)) {
		buf_printf(why, "it is missing");
		return META_MISSING;
	}
	if (!artifact_read(&text, path))
		return broken(NULL, why, "it cannot be read");
	*meta = cJSON_ParseWithLength(buf_text(&text), text.size);
	buf_free(&text);
	if (!cJSON_IsObject(*meta))
		return broken(*meta, why, "expected an object in JSON, found something else");
	version = cJSON_GetObjectItemCaseSensitive(*meta, "meta");
	if (!cJSON_IsNumber(version))
		return broken(*meta, why, "expected a number for \"meta\", found none");
	if (version->valueint != META_VERSION) {
		buf_printf(why, "expected version %d of the format, found %d", META_VERSION,
			   version->valueint);
		cJSON_Delete(*meta);
		return META_OTHER_VERSION;
	}
	if (!*meta_text(*meta, "signature"))
		return broken(*meta, why, "expected a text for \"signature\", found none");
	if (!all_texts(cJSON_GetObjectItemCaseSensitive(*meta, "artifacts")))
		return broken(*meta, why, "expected a list of texts for \"artifacts\", found none");
	return META_FINE;
}

const char *meta_text(const cJSON *meta, const char *key)
{
	const cJSON *value = cJSON_GetObjectItemCaseSensitive(meta, key);

	return cJSON_IsString(value) ? value->valuestring : "";
}

bool meta_flag(const cJSON *meta, const char *key)
{
	return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(meta, key));
}

u32 meta_count(const cJSON *meta)
{
	return (u32)cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(meta, "artifacts"));
}

/* --- writing --- */

void meta_set(cJSON *meta, const char *key, cJSON *value)
{
	if (cJSON_HasObjectItem(meta, key))
		cJSON_ReplaceItemInObjectCaseSensitive(meta, key, value);
	else
		cJSON_AddItemToObject(meta, key, value);
}

static int by_name(const void *left, const void *right)
{
	const char *const *a = left, *const *b = right;

	return strcmp(*a, *b);
}

/* In which order they came must not show: a run that was interrupted has another. */
static void sort_artifacts(cJSON *meta)
{
	const cJSON *artifacts = cJSON_GetObjectItemCaseSensitive(meta, "artifacts"), *item;
	const char **names = calloc(meta_count(meta) + 1, sizeof(*names));
	int nr = 0;

	ASSERT(names);
	cJSON_ArrayForEach(item, artifacts) names[nr++] = item->valuestring;
	qsort(names, (size_t)nr, sizeof(*names), by_name);
	meta_set(meta, "artifacts", cJSON_CreateStringArray(names, nr));
	free(names);
}

void meta_print(struct buf *buf, cJSON *meta)
{
	char *text;

	sort_artifacts(meta);
	text = cJSON_Print(meta);
	buf_printf(buf, "%s\n", text);
	free(text);
}

static const char *known_or(const char *known, const char *otherwise)
{
	return *known ? known : otherwise;
}

cJSON *meta_create(const struct origin *origin, const struct repro *repro,
		   const struct expectation *verdict, const char *signature)
{
	cJSON *meta = cJSON_CreateObject(), *sites;
	struct buf variant = { 0 };

	json_number(meta, "meta", META_VERSION);
	json_text(meta, "signature", signature);
	json_text(meta, "oracle", verdict->oracle);
	json_text(meta, "class", verdict->class);
	sites = cJSON_AddArrayToObject(meta, "sites");
	for (u32 i = 0; i < 2; i++)
		if (verdict->site[i][0])
			cJSON_AddItemToArray(sites, cJSON_CreateString(verdict->site[i]));
	json_text(meta, "target", repro->target);
	json_text(meta, "bug", bug_rows[repro->bug].slug);
	variant_print(&variant, &repro->program.world.variant);
	json_text(meta, "variant", buf_text(&variant));
	json_number(meta, "geometry", repro->program.world.geometry);
	json_text(meta, "commit", known_or(origin->commit, build_commit));
	json_text(meta, "compiler", known_or(origin->compiler, build_compiler));
	json_text(meta, "engine", known_or(origin->engine, "mmurace"));
	json_text(meta, "sanitizer", known_or(origin->sanitizer, build_sanitizer));
	json_text(meta, "config", CONFIG_NAME);
	cJSON_AddFalseToObject(meta, "minimised");
	cJSON_AddArrayToObject(meta, "artifacts");
	buf_free(&variant);
	return meta;
}

bool meta_add_artifact(cJSON *meta, const char *name)
{
	cJSON *artifacts = cJSON_GetObjectItemCaseSensitive(meta, "artifacts");
	const cJSON *item;

	cJSON_ArrayForEach(item, artifacts) if (!strcmp(item->valuestring, name)) return false;
	cJSON_AddItemToArray(artifacts, cJSON_CreateString(name));
	return true;
}

static void hash_print(char *text, size_t room, const struct buf *content)
{
	snprintf(text, room, "0x%016llx",
		 (unsigned long long)hash_text(HASH_SEED, buf_text(content)));
}

void meta_set_repro(cJSON *meta, const struct repro *repro, const struct buf *text)
{
	char hash[24];

	hash_print(hash, sizeof(hash), text);
	meta_set(meta, "repro_hash", cJSON_CreateString(hash));
	meta_set(meta, "ops", cJSON_CreateNumber(program_nr_ops(&repro->program)));
	meta_set(meta, "tasks", cJSON_CreateNumber(repro->program.nr_tasks));
	/* Strategies have no depth. */
	if (!repro->schedule.strategy[0])
		meta_set(meta, "depth", cJSON_CreateNumber(schedule_depth(&repro->schedule)));
}

bool meta_wrote(const cJSON *meta, const struct buf *text)
{
	char hash[24];

	hash_print(hash, sizeof(hash), text);
	return !strcmp(hash, meta_text(meta, "repro_hash"));
}

void meta_set_replay(cJSON *meta, const char *folder)
{
	struct buf command = { 0 }, file = { 0 };

	buf_printf(&file, "%s/finding.repro", folder);
	/* Threads follow no schedule: only a search of the program, or more stress, may show it again. */
	if (CONFIG_THREADS && !strcmp(meta_text(meta, "config"), CONFIG_NAME))
		buf_printf(&command, "mmurace search ");
	else
		buf_printf(&command, "mmurace replay --config %s ", meta_text(meta, "config"));
	word_print(&command, buf_text(&file));
	meta_set(meta, "replay", cJSON_CreateString(buf_text(&command)));
	buf_free(&command);
	buf_free(&file);
}
