/*
 * Artifacts become findings: all are replayed and sorted, each new finding is on disk as soon as it is seen, and then one
 * after the other is made small and explained. Whatever ends this process, the next one goes on from what is on disk
 * and comes to the same end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/triage/triage.h"

struct session {
	const struct triage *triage;
	struct book book;
	u32 sound; /* artifacts that do not fail here */
	int first_code; /* exit code of the first that does; 0: none does */
	bool lost; /* something could not be written */
};

/* --- sorting --- */

static void tell_sound(struct session *session, const struct artifact *artifact)
{
	const char *commit = artifact->origin->commit;
	size_t size = strcspn(commit, "-");

	session->sound++;
	if (session->triage->json) {
		cJSON *object = cJSON_CreateObject();

		json_text(object, "artifact", artifact->path);
		json_text(object, "state", "does not fail");
		json_end(object);
		return;
	}
	printf("%s: does not fail here (bug %s", artifact->path, bug_rows[artifact->bug].slug);
	/* Abbreviations differ in length. */
	if (size && strncmp(commit, build_commit, min_u64(size, strcspn(build_commit, "-"))))
		printf("; it failed in commit %s, this is %s", commit, build_commit);
	printf(")\n");
}

/* A report says more than what is made of it. */
static void print_report(struct buf *buf, const struct buf *report)
{
	if (report->size)
		buf_printf(buf, "%sThe report:\n\n%s", buf->size ? "\n" : "", buf_text(report));
}

static struct known_finding *add_finding(struct session *session, const struct artifact *artifact,
					 const struct outcome *outcome, const struct buf *report,
					 const char *signature)
{
	static struct exhibit exhibit;
	static struct repro repro;
	struct known_finding *finding;
	struct buf explanation = { 0 };
	struct run_spec spec;
	cJSON *meta;

	if (!artifact_load(&exhibit, artifact))
		return NULL;
	exhibit_spec(&exhibit, artifact->bug, outcome->nth, &spec);
	exhibit_repro(&exhibit, &spec, artifact->target, &repro);
	repro.expect = outcome->expect;
	meta = meta_create(artifact->origin, &repro, &outcome->expect, signature);
	if (artifact->seconds >= 0)
		json_number(meta, "seconds", artifact->seconds);
	if (artifact->executions >= 0)
		json_number(meta, "executions", artifact->executions);
	meta_add_artifact(meta, artifact->name);
	print_report(&explanation, report);
	finding = book_add(&session->book, &repro, meta, &explanation);
	buf_free(&explanation);
	if (finding && !session->triage->json)
		printf("%s: new: %s\n  %s\n", artifact->path, signature, finding->path);
	fflush(stdout);
	return finding;
}

static void sort_in(const struct artifact *artifact, const struct outcome *outcome,
		    const struct buf *report, void *ctx)
{
	struct session *session = ctx;
	struct known_finding *finding;
	struct buf signature = { 0 };

	if (!outcome_fails(outcome)) {
		tell_sound(session, artifact);
		return;
	}
	if (!session->first_code)
		session->first_code = outcome->exit_code;
	signature_print(&signature, &outcome->expect, artifact->bug);
	finding = book_find(&session->book, buf_text(&signature));
	if (!finding)
		finding = add_finding(session, artifact, outcome, report, buf_text(&signature));
	else if (finding->meta && meta_add_artifact(finding->meta, artifact->name))
		finding->changed = true;
	if (finding)
		finding->seen++;
	else
		session->lost = true;
	buf_free(&signature);
}

static void write_all(struct session *session)
{
	for (u32 i = 0; i < session->book.nr; i++)
		if (!book_write(&session->book.at[i]))
			session->lost = true;
}

/* --- making one small --- */

/* Turns a strategy's schedule into directives and nothing more. Return: false, with the reason, when it cannot be. */
static bool convert(struct repro *repro, struct buf *why)
{
	static struct repro converted;
	struct expectation actual;
	struct run_result result;
	struct run_spec spec;
	bool ok = true;

	if (!repro->schedule.strategy[0])
		return true;
	run_spec_of(&spec, repro);
	if (!convert_failure(&converted, &spec, repro->target, &result)) {
		buf_printf(why, "its directives do not lead to the same verdict");
		ok = false;
	}
	result_expectation(&actual, &result);
	if (ok && !expectation_met(&repro->expect, &actual)) {
		buf_printf(why, "it fails otherwise when it is run alone: ");
		expectation_print(why, &actual);
		ok = false;
	}
	if (ok)
		repro->schedule = converted.schedule;
	return ok;
}

/* As @repro is now, in words; the report of the sanitizer, if there is one, behind it. */
static void explain_all(struct buf *text, const struct repro *repro)
{
	struct run_result result;
	struct buf report = { 0 };
	struct run_spec spec;

	explain(text, repro);
	run_spec_of(&spec, repro);
	run_reported(&spec, &result, &report);
	if (result.kind == VERDICT_SANITIZER || result.kind == VERDICT_FRAMEWORK)
		print_report(text, &report);
	buf_free(&report);
}

/* Return: false when it is as good as it was: nothing is to be written. */
static bool make_small(const struct session *session, struct repro *repro, cJSON *meta)
{
	struct minimise_stats stats;
	struct buf why = { 0 };
	bool small = false;

	if (session->triage->minimise) {
		small = minimise(repro, &stats, &why);
		meta_set(meta, "minimised", cJSON_CreateBool(small));
	} else {
		convert(repro, &why);
	}
	/* What failed once fails the next time: it is not tried again. */
	if (why.size)
		meta_set(meta, "not_minimised", cJSON_CreateString(buf_text(&why)));
	buf_free(&why);
	return !campaign_interrupted();
}

static bool replace(struct known_finding *finding, const struct repro *repro)
{
	struct buf text = { 0 }, explanation = { 0 }, content = { 0 };
	const struct folder_file files[] = { { "finding.repro", &text },
					     { "explain.txt", &explanation },
					     { "meta.json", &content } };
	bool ok;

	repro_print(&text, repro);
	explain_all(&explanation, repro);
	meta_set_repro(finding->meta, repro, &text);
	meta_print(&content, finding->meta);
	ok = folder_update(finding->path, files, ARRAY_SIZE(files));
	if (!ok)
		fprintf(stderr, "%s\n%s\n", buf_text(&text), buf_text(&explanation));
	buf_free(&text);
	buf_free(&explanation);
	buf_free(&content);
	return ok;
}

/* Whether there is anything left to do with it, in this configuration. */
static bool is_unfinished(const struct session *session, const struct known_finding *finding)
{
	const cJSON *meta = finding->meta;

	if (!meta || meta_flag(meta, "minimised") || *meta_text(meta, "not_minimised") ||
	    strcmp(meta_text(meta, "config"), CONFIG_NAME))
		return false;
	return session->triage->minimise || !cJSON_HasObjectItem(meta, "depth");
}

/* Return: whether finding.repro is what we have written, in @repro. */
static bool load_ours(const struct known_finding *finding, struct repro *repro)
{
	struct buf path = { 0 }, text = { 0 };
	bool ok;

	buf_printf(&path, "%s/finding.repro", finding->path);
	ok = artifact_read(&text, buf_text(&path));
	if (ok && !meta_wrote(finding->meta, &text)) {
		fprintf(stderr, "%s: edited by hand: it is left as it is\n", buf_text(&path));
		ok = false;
	}
	ok = ok && repro_load(repro, buf_text(&path));
	buf_free(&path);
	buf_free(&text);
	return ok;
}

static void tell_small(const struct session *session, const struct known_finding *finding,
		       const struct repro *repro)
{
	const char *why = meta_text(finding->meta, "not_minimised");

	if (session->triage->json)
		return;
	printf("%s: %u ops in %u tasks, depth %u%s%s\n", finding->path,
	       program_nr_ops(&repro->program), repro->program.nr_tasks,
	       schedule_depth(&repro->schedule), *why ? "; not minimised: " : "", why);
	fflush(stdout);
}

static void finish(struct session *session, struct known_finding *finding)
{
	static struct repro repro;

	if (!load_ours(finding, &repro))
		return;
	if (!strcmp(repro.expect.oracle, "unfinished")) {
		meta_set(finding->meta, "not_minimised",
			 cJSON_CreateString("it hangs, and so would every try"));
		finding->changed = true;
		session->lost |= !book_write(finding);
		return;
	}
	if (!make_small(session, &repro, finding->meta))
		return;
	if (replace(finding, &repro))
		tell_small(session, finding, &repro);
	else
		session->lost = true;
}

/* --- what came out --- */

static const char *state_of(const struct known_finding *finding)
{
	if (!finding->meta)
		return "odd";
	return finding->is_new ? "new" : "known";
}

static void print_json(const struct known_finding *finding)
{
	cJSON *object = cJSON_CreateObject();

	json_text(object, "finding", finding->path);
	json_text(object, "signature", finding->signature);
	json_text(object, "state", state_of(finding));
	json_number(object, "seen", finding->seen);
	json_number(object, "count", finding->meta ? meta_count(finding->meta) : 0);
	json_end(object);
}

static void print_table(const struct session *session)
{
	bool any = false;

	for (u32 i = 0; i < session->book.nr; i++) {
		const struct known_finding *finding = &session->book.at[i];

		if (!finding->seen)
			continue;
		if (session->triage->json) {
			print_json(finding);
			continue;
		}
		if (!any)
			printf("%7s %7s  %-5s  %s\n", "here", "ever", "", "finding");
		any = true;
		printf("%7u %7u  %-5s  %s\n%24s%s\n", finding->seen,
		       finding->meta ? meta_count(finding->meta) : 0, state_of(finding),
		       finding->signature, "", finding->path);
	}
	if (session->sound && !session->triage->json)
		printf("%7u artifact%s not fail here\n", session->sound,
		       session->sound == 1 ? " does" : "s do");
	if (campaign_interrupted() && !session->triage->json)
		printf("interrupted: what is there stays, and the same command goes on\n");
}

static int exit_code(const struct session *session)
{
	if (session->lost)
		return EXIT_USAGE;
	if (campaign_interrupted())
		return EXIT_UNFINISHED;
	if (session->first_code)
		return session->first_code;
	return session->sound ? EXIT_DIFFERENT : EXIT_EXPECTED;
}

int triage_all(const struct triage *triage)
{
	struct session session = { .triage = triage };
	int code;

	book_open(&session.book, triage->folder);
	if (!triage->json)
		printf("replaying %u artifact%s\n", triage->nr, triage->nr == 1 ? "" : "s");
	replay_all(triage->artifacts, triage->nr, HANG_SECONDS, sort_in, &session);
	write_all(&session);
	for (u32 i = 0; i < session.book.nr && !campaign_interrupted(); i++)
		if (is_unfinished(&session, &session.book.at[i]))
			finish(&session, &session.book.at[i]);
	print_table(&session);
	code = exit_code(&session);
	book_close(&session.book);
	return code;
}
