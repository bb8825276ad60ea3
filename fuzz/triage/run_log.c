/* run.jsonl: what whoever ran an engine says of the run, and when each artifact came. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "fuzz/triage/triage.h"

static void take_text(const cJSON *object, const char *key, char *to, size_t room)
{
	const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, key);

	if (cJSON_IsString(value))
		snprintf(to, room, "%s", value->valuestring);
}

static double number_of(const cJSON *object, const char *key)
{
	const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, key);

	return cJSON_IsNumber(value) && value->valuedouble >= 0 ? value->valuedouble : -1;
}

static void take_origin(struct origin *origin, const cJSON *line)
{
	take_text(line, "target", origin->target, sizeof(origin->target));
	take_text(line, "bug", origin->bug, sizeof(origin->bug));
	take_text(line, "engine", origin->engine, sizeof(origin->engine));
	take_text(line, "sanitizer", origin->sanitizer, sizeof(origin->sanitizer));
	take_text(line, "commit", origin->commit, sizeof(origin->commit));
	take_text(line, "compiler", origin->compiler, sizeof(origin->compiler));
}

static void take_artifact(struct run_log *log, const cJSON *line, const char *name)
{
	struct log_row *row;

	log->rows = realloc(log->rows, (log->nr_rows + 1) * sizeof(*log->rows));
	ASSERT(log->rows);
	row = &log->rows[log->nr_rows++];
	row->artifact = strdup(name);
	row->seconds = number_of(line, "seconds");
	row->executions = number_of(line, "executions");
}

/* Return: whether the line says something. */
static bool take_line(struct run_log *log, const char *text, size_t size)
{
	cJSON *line = cJSON_ParseWithLength(text, size);
	const cJSON *artifact = cJSON_GetObjectItemCaseSensitive(line, "artifact");
	bool run = cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(line, "run"));

	if (run)
		take_origin(&log->origin, line);
	else if (cJSON_IsString(artifact))
		take_artifact(log, line, artifact->valuestring);
	cJSON_Delete(line);
	return run || cJSON_IsString(artifact);
}

void run_log_read(struct run_log *log, const char *folder)
{
	struct buf path = { 0 }, text = { 0 };
	const char *at;
	u32 line = 0;

	*log = (struct run_log){ .there = false };
	buf_printf(&path, "%s/run.jsonl", folder);
	log->there = !access(buf_text(&path), F_OK) && artifact_read(&text, buf_text(&path));
	for (at = buf_text(&text); log->there && *at;) {
		size_t size = strcspn(at, "\n");

		line++;
		/* A line that is cut short is what an engine that was killed leaves. */
		if (size && !take_line(log, at, size))
			fprintf(stderr,
				"%s:%u: expected {\"run\":1,...} or {\"artifact\":\"NAME\",...}, "
				"found "
				"'%.*s'; left out\n",
				buf_text(&path), line, (int)min_u64(size, 80), at);
		at += size + (at[size] == '\n');
	}
	buf_free(&path);
	buf_free(&text);
}

const struct log_row *run_log_find(const struct run_log *log, const char *artifact)
{
	for (u32 i = 0; i < log->nr_rows; i++)
		if (!strcmp(log->rows[i].artifact, artifact))
			return &log->rows[i];
	return NULL;
}

void run_log_free(struct run_log *log)
{
	for (u32 i = 0; i < log->nr_rows; i++)
		free(log->rows[i].artifact);
	free(log->rows);
	*log = (struct run_log){ .there = false };
}
