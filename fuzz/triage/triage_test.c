/* The parts of triage: what is read, what is written, and that neither hands nor a full disk nor a hang spoil it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "fuzz/triage/triage.h"

static char folder[] = "/tmp/mmurace_triage_XXXXXX";

static int set_up(void **state)
{
	json_prepare();
	return mkdtemp(folder) ? 0 : -1;
}

static int take_down(void **state)
{
	folder_remove(folder);
	return 0;
}

/* "<folder>/name", until the next call but one. */
static const char *path_of(const char *name)
{
	static char paths[2][256];
	static u32 nth;

	nth = !nth;
	snprintf(paths[nth], sizeof(paths[nth]), "%s/%s", folder, name);
	return paths[nth];
}

static void write_text(const char *path, const char *text)
{
	assert_true(file_write(path, text, strlen(text)));
}

static void expect_text(const char *path, const char *text)
{
	struct buf content = { 0 };

	assert_true(artifact_read(&content, path));
	assert_string_equal(buf_text(&content), text);
	buf_free(&content);
}

/* --- meta.json --- */

static cJSON *meta_of_nothing(void)
{
	static const struct origin origin = { .engine = "afl", .commit = "0123abc" };
	static struct repro repro;
	struct expectation verdict = { .oracle = "sanitizer", .class = "data-race" };

	snprintf(verdict.site[0], sizeof(verdict.site[0]), "walk");
	snprintf(repro.target, sizeof(repro.target), "canary");
	repro.program.world.variant = variant_default;
	return meta_create(&origin, &repro, &verdict, "sanitizer data-race walk");
}

static void what_is_written_is_read(void **state)
{
	cJSON *meta = meta_of_nothing(), *back;
	struct buf text = { 0 }, why = { 0 }, edited = { 0 };
	struct repro repro = { .schedule = { .nr_directives = 2, .has_first = true } };

	assert_true(meta_add_artifact(meta, "crash-b"));
	assert_true(meta_add_artifact(meta, "crash-c"));
	assert_true(meta_add_artifact(meta, "crash-a"));
	assert_false(meta_add_artifact(meta, "crash-b"));
	buf_printf(&text, "repro 1\n");
	meta_set_repro(meta, &repro, &text);
	buf_printf(&edited, "repro 1\n\n");
	assert_true(meta_wrote(meta, &text));
	assert_false(meta_wrote(meta, &edited));
	meta_set(meta, "mine", cJSON_CreateString("yes"));
	buf_clear(&text);
	meta_print(&text, meta);
	write_text(path_of("meta.json"), buf_text(&text));

	assert_int_equal(meta_read(&back, path_of("meta.json"), &why), META_FINE);
	assert_string_equal(meta_text(back, "signature"), "sanitizer data-race walk");
	assert_string_equal(meta_text(back, "engine"), "afl");
	assert_string_equal(meta_text(back, "commit"), "0123abc");
	assert_string_equal(meta_text(back, "compiler"), build_compiler);
	assert_string_equal(meta_text(back, "config"), CONFIG_NAME);
	assert_string_equal(meta_text(back, "mine"), "yes");
	assert_string_equal(meta_text(back, "absent"), "");
	assert_int_equal(cJSON_GetObjectItem(back, "depth")->valueint, 3);
	assert_false(meta_flag(back, "minimised"));
	assert_int_equal(meta_count(back), 3);
	assert_string_equal(
		cJSON_GetArrayItem(cJSON_GetObjectItem(back, "artifacts"), 0)->valuestring,
		"crash-a");
	assert_string_equal(
		cJSON_GetArrayItem(cJSON_GetObjectItem(back, "artifacts"), 2)->valuestring,
		"crash-c");
	cJSON_Delete(meta);
	cJSON_Delete(back);
	buf_free(&text);
	buf_free(&edited);
}

static void what_hands_have_done_is_told(void **state)
{
	static const struct {
		const char *text, *why;
		enum meta_state state;
	} rows[] = {
		{ "garbage", "an object in JSON", META_BROKEN },
		{ "", "an object in JSON", META_BROKEN },
		{ "[]", "an object in JSON", META_BROKEN },
		{ "{\"meta\":1,\"signature\":\"a\",\"artifacts\":[]", "an object", META_BROKEN },
		{ "{\"signature\":\"a\",\"artifacts\":[]}", "\"meta\"", META_BROKEN },
		{ "{\"meta\":2,\"artifacts\":7}", "found 2", META_OTHER_VERSION },
		{ "{\"meta\":1,\"artifacts\":[]}", "\"signature\"", META_BROKEN },
		{ "{\"meta\":1,\"signature\":5,\"artifacts\":[]}", "\"signature\"", META_BROKEN },
		{ "{\"meta\":1,\"signature\":\"a\"}", "\"artifacts\"", META_BROKEN },
		{ "{\"meta\":1,\"signature\":\"a\",\"artifacts\":[1]}", "\"artifacts\"",
		  META_BROKEN },
	};
	struct buf why = { 0 };
	cJSON *meta;

	for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
		write_text(path_of("meta.json"), rows[i].text);
		buf_clear(&why);
		assert_int_equal(meta_read(&meta, path_of("meta.json"), &why), rows[i].state);
		assert_non_null(strstr(buf_text(&why), rows[i].why));
	}
	assert_int_equal(meta_read(&meta, path_of("none.json"), &why), META_MISSING);
	buf_free(&why);
}

/* --- folders --- */

static const char *text_path(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/pair/%s", folder, name);
	return path;
}

static void folders_are_there_as_a_whole(void **state)
{
	struct buf one = { 0 }, other = { 0 };
	const struct folder_file files[] = { { "one", &one }, { "other", &other } };
	const struct folder_file bad[] = { { "one", &one }, { "absent/other", &other } };
	struct stat status;
	bool taken;

	buf_printf(&one, "1");
	buf_printf(&other, "2");
	assert_false(folder_create(path_of("pair"), bad, 2, &taken));
	assert_false(taken);
	assert_int_equal(lstat(path_of("pair"), &status), -1);
	assert_true(folder_create(path_of("pair"), files, 2, &taken));
	expect_text(text_path("one"), "1");
	assert_false(folder_create(path_of("pair"), files, 2, &taken));
	assert_true(taken);

	/* An update that fails changes nothing; one that succeeds leaves what it does not name. */
	write_text(text_path("note"), "mine");
	buf_printf(&one, "1");
	assert_false(folder_update(path_of("pair"), bad, 2));
	expect_text(text_path("one"), "1");
	assert_true(folder_update(path_of("pair"), files, 1));
	expect_text(text_path("one"), "11");
	expect_text(text_path("other"), "2");
	expect_text(text_path("note"), "mine");
	assert_int_equal(lstat(text_path(".update"), &status), -1);

	/* Beyond the point of no return whoever comes next goes on. */
	assert_int_equal(mkdir(text_path(".update"), 0777), 0);
	write_text(text_path(".update/other"), "3");
	folder_recover(path_of("pair"));
	expect_text(text_path("other"), "3");
	assert_int_equal(lstat(text_path(".update"), &status), -1);
	buf_free(&one);
	buf_free(&other);
}

static void only_what_the_dead_left_is_swept(void **state)
{
	struct buf mine = { 0 };
	struct stat status;

	folder_hidden(&mine, folder, "");
	assert_int_equal(mkdir(buf_text(&mine), 0777), 0);
	assert_int_equal(mkdir(path_of(".new.999999999"), 0777), 0);
	assert_int_equal(mkdir(path_of(".newer"), 0777), 0);
	folder_sweep(folder);
	assert_int_equal(lstat(buf_text(&mine), &status), 0);
	assert_int_equal(lstat(path_of(".newer"), &status), 0);
	assert_int_equal(lstat(path_of(".new.999999999"), &status), -1);
	rmdir(buf_text(&mine));
	buf_free(&mine);
}

/* --- run.jsonl --- */

static void runs_tell_what_they_know(void **state)
{
	struct run_log log;

	run_log_read(&log, folder);
	assert_false(log.there);
	write_text(path_of("run.jsonl"), "{\"run\":1,\"target\":\"canary\",\"engine\":\"afl\"}\n"
					 "{\"artifact\":\"crash-1\",\"seconds\":2.5}\n"
					 "\nnonsense\n"
					 "{\"artifact\":\"crash-1\",\"seconds\":9}\n"
					 "{\"artifact\":\"crash-2\",\"executions\":7}\n{\"arti");
	run_log_read(&log, folder);
	assert_true(log.there);
	assert_string_equal(log.origin.target, "canary");
	assert_string_equal(log.origin.engine, "afl");
	assert_string_equal(log.origin.commit, "");
	assert_true(run_log_find(&log, "crash-1")->seconds == 2.5);
	assert_true(run_log_find(&log, "crash-1")->executions < 0);
	assert_true(run_log_find(&log, "crash-2")->executions == 7);
	assert_null(run_log_find(&log, "crash-3"));
	run_log_free(&log);
}

/* --- children that hang --- */

static void hang(void)
{
	for (;;)
		pause();
}

static u32 told, hung;

static void count(const struct artifact *artifact, const struct outcome *outcome,
		  const struct buf *report, void *ctx)
{
	told++;
	hung += outcome->hung && outcome_fails(outcome) &&
		!strcmp(outcome->expect.oracle, "unfinished");
}

/* Each artifact costs its time and no other: those behind a hang are replayed as well. */
static void hangs_are_findings(void **state)
{
	struct artifact artifacts[] = {
		{ .path = strdup(path_of("first")), .is_text = true, .bug = BUG_hull_not_widened },
		{ .path = strdup(path_of("second")), .is_text = true, .bug = BUG_none },
		{ .path = strdup(path_of("third")), .is_text = true, .bug = BUG_hull_not_widened },
	};
	struct buf text = { 0 };

	if (PT_INDEX_BITS != 3)
		skip();
	assert_true(artifact_read(&text, "reproducers/hull_not_widened.repro"));
	for (u32 i = 0; i < ARRAY_SIZE(artifacts); i++)
		write_text(artifacts[i].path, buf_text(&text));
	run_on_violation(hang);
	replay_all(artifacts, ARRAY_SIZE(artifacts), 0.5, count, NULL);
	run_on_violation(NULL);
	assert_int_equal(told, 3);
	assert_int_equal(hung, 2);
	for (u32 i = 0; i < ARRAY_SIZE(artifacts); i++)
		free(artifacts[i].path);
	buf_free(&text);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(what_is_written_is_read),
	cmocka_unit_test(what_hands_have_done_is_told),
	cmocka_unit_test(folders_are_there_as_a_whole),
	cmocka_unit_test(only_what_the_dead_left_is_swept),
	cmocka_unit_test(runs_tell_what_they_know),
	cmocka_unit_test(hangs_are_findings),
};

int main(void)
{
	return cmocka_run_group_tests(tests, set_up, take_down);
}
