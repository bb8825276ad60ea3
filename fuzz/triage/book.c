/* The findings of a folder: which there are, by signature, and how a new one is added. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "base/hash.h"
#include "fuzz/triage/triage.h"

#define TRIES 1000u

static struct known_finding *append(struct book *book)
{
	book->at = realloc(book->at, (book->nr + 1) * sizeof(*book->at));
	ASSERT(book->at);
	memset(&book->at[book->nr], 0, sizeof(*book->at));
	return &book->at[book->nr++];
}

/* Return: what a finding.repro expects, as a signature; NULL if it cannot be told. The caller frees it. */
static char *signature_of_text(const char *folder)
{
	static struct repro repro;
	struct buf path = { 0 }, text = { 0 }, signature = { 0 };
	struct text_error error;
	struct stat status;
	bool ok;

	buf_printf(&path, "%s/finding.repro", folder);
	ok = !stat(buf_text(&path), &status) && artifact_read(&text, buf_text(&path)) &&
	     repro_parse(&repro, buf_text(&text), text.size, &error) && repro.expect.oracle[0];
	if (ok)
		signature_print(&signature, &repro.expect, repro.bug);
	buf_free(&path);
	buf_free(&text);
	return signature.data;
}

/*
 * Hands may have been at it, or another version: what cannot be understood is nobody's to mend. The text still says
 * which finding it is, so that there will not be another folder for it.
 */
static void read_odd(struct known_finding *finding, const char *folder, const struct buf *why)
{
	finding->signature = signature_of_text(folder);
	fprintf(stderr, "%s/meta.json: %s; %s, and the folder is left as it is\n", folder,
		buf_text(why),
		finding->signature ? "finding.repro says which finding it is"
				   : "finding.repro does not say which finding it is either");
}

static void read_finding(struct book *book, const char *folder)
{
	struct known_finding *finding = append(book);
	struct buf path = { 0 }, why = { 0 };

	folder_recover(folder);
	finding->path = strdup(folder);
	buf_printf(&path, "%s/meta.json", folder);
	if (meta_read(&finding->meta, buf_text(&path), &why) == META_FINE) {
		finding->signature = strdup(meta_text(finding->meta, "signature"));
	} else {
		finding->meta = NULL;
		read_odd(finding, folder, &why);
	}
	buf_free(&path);
	buf_free(&why);
}

void book_open(struct book *book, const char *folder)
{
	struct dirent **entries;
	int nr;

	*book = (struct book){ .folder = folder };
	folder_sweep(folder);
	nr = scandir(folder, &entries, NULL, alphasort);
	for (int i = 0; i < nr; i++) {
		struct buf path = { 0 };
		struct stat status;

		buf_printf(&path, "%s/%s", folder, entries[i]->d_name);
		if (entries[i]->d_name[0] != '.' && !stat(buf_text(&path), &status) &&
		    S_ISDIR(status.st_mode))
			read_finding(book, buf_text(&path));
		buf_free(&path);
		free(entries[i]);
	}
	if (nr >= 0)
		free(entries);
}

struct known_finding *book_find(const struct book *book, const char *signature)
{
	for (u32 i = 0; i < book->nr; i++)
		if (book->at[i].signature && !strcmp(book->at[i].signature, signature))
			return &book->at[i];
	return NULL;
}

/* "<oracle>-<class>-<hash>" */
static void name_folder(struct buf *name, const struct expectation *expect, const char *signature)
{
	buf_printf(name, "%s-%s-%08llx", expect->oracle, expect->class[0] ? expect->class : "any",
		   (unsigned long long)(hash_text(HASH_SEED, signature) >> 32));
	/* Reports may call their error anything. */
	for (size_t i = 0; i < name->size; i++)
		if (strchr("/ \t'\"", name->data[i]))
			name->data[i] = '-';
}

/*
 * Another folder of that name belongs to hands, or to someone who has been faster. Return: whether there is one now, in
 * @path; files[1] is meta.json, into which its replay command goes.
 */
static bool create(const struct book *book, const char *name, cJSON *meta,
		   const struct folder_file *files, u32 nr, struct buf *content, struct buf *path)
{
	for (u32 nth = 1; nth < TRIES; nth++) {
		struct stat status;
		bool taken;

		buf_clear(path);
		buf_printf(path, "%s/%s", book->folder, name);
		if (nth > 1)
			buf_printf(path, "-%u", nth);
		if (!lstat(buf_text(path), &status))
			continue;
		meta_set_replay(meta, buf_text(path));
		buf_clear(content);
		meta_print(content, meta);
		if (folder_create(buf_text(path), files, nr, &taken))
			return true;
		if (!taken)
			return false;
	}
	fprintf(stderr, "%s/%s: there are %u of them already\n", book->folder, name, TRIES);
	return false;
}

struct known_finding *book_add(struct book *book, const struct repro *repro, cJSON *meta,
			       const struct buf *explanation)
{
	struct buf text = { 0 }, content = { 0 }, name = { 0 }, path = { 0 };
	const struct folder_file files[] = { { "finding.repro", &text },
					     { "meta.json", &content },
					     { "explain.txt", explanation } };
	u32 nr = explanation->size ? 3 : 2;
	struct known_finding *finding = NULL;

	repro_print(&text, repro);
	meta_set_repro(meta, repro, &text);
	name_folder(&name, &repro->expect, meta_text(meta, "signature"));
	if (create(book, buf_text(&name), meta, files, nr, &content, &path)) {
		finding = append(book);
		finding->path = strdup(buf_text(&path));
		finding->signature = strdup(meta_text(meta, "signature"));
		finding->meta = meta;
		finding->is_new = true;
	} else {
		/* A finding is worth more than a tidy terminal. */
		fprintf(stderr, "%s\n%s\n", buf_text(&text), buf_text(explanation));
		cJSON_Delete(meta);
	}
	buf_free(&text);
	buf_free(&content);
	buf_free(&name);
	buf_free(&path);
	return finding;
}

bool book_write(struct known_finding *finding)
{
	struct buf content = { 0 }, path = { 0 };
	bool ok;

	if (!finding->meta || !finding->changed)
		return true;
	meta_print(&content, finding->meta);
	buf_printf(&path, "%s/meta.json", finding->path);
	ok = file_write(buf_text(&path), buf_text(&content), content.size);
	finding->changed = !ok;
	buf_free(&content);
	buf_free(&path);
	return ok;
}

void book_close(struct book *book)
{
	for (u32 i = 0; i < book->nr; i++) {
		free(book->at[i].path);
		free(book->at[i].signature);
		cJSON_Delete(book->at[i].meta);
	}
	free(book->at);
	*book = (struct book){ .folder = NULL };
}
