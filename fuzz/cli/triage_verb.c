/* mmurace triage: which artifacts there are, and what is known of where they come from. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "base/hash.h"
#include "fuzz/triage/triage.h"

#define NAME_HASH_DIGITS 40u

struct collection {
	const struct options *options;
	const char *environment_bug; /* MMURACE_BUG, "" if it is not set */
	u32 nr, room;
	struct artifact *artifacts;
	bool refused; /* something that was named is no artifact */
};

/* --- one artifact --- */

static bool ends_with(const char *name, const char *end)
{
	size_t size = strlen(name), wanted = strlen(end);

	return size > wanted && !strcmp(name + size - wanted, end);
}

/* What libFuzzer calls an artifact ends with the hash of its bytes; to other names we add one. */
static char *counted_name(const char *path, const struct buf *bytes)
{
	const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	const char *dash = strrchr(base, '-');
	struct buf name = { 0 };
	u64 hash = hash_u64(HASH_SEED, bytes->size);

	buf_printf(&name, "%s", base);
	if (!dash || strlen(dash + 1) != NAME_HASH_DIGITS ||
	    strspn(dash + 1, "0123456789abcdef") != NAME_HASH_DIGITS) {
		for (size_t i = 0; i < bytes->size; i++)
			hash = hash_u64(hash, (u8)bytes->data[i]);
		buf_printf(&name, "-%016llx", (unsigned long long)hash);
	}
	return name.data;
}

static struct artifact *append(struct collection *all)
{
	if (all->nr == all->room) {
		all->room = all->room ? all->room * 2 : 64;
		all->artifacts = realloc(all->artifacts, all->room * sizeof(*all->artifacts));
		ASSERT(all->artifacts);
	}
	memset(&all->artifacts[all->nr], 0, sizeof(*all->artifacts));
	return &all->artifacts[all->nr++];
}

/* What the engine had armed: as we are told, else as the run says, else as the environment did, else the target's. */
static enum bug_id bug_of(const struct collection *all, const struct origin *origin,
			  const struct target *target)
{
	if (all->options->has_bug)
		return all->options->bug;
	if (origin->bug[0])
		return bug_or_exit(origin->bug);
	if (*all->environment_bug)
		return bug_or_exit(all->environment_bug);
	return target->bug;
}

static void add_text(struct collection *all, const char *path, const struct buf *bytes,
		     const struct origin *origin)
{
	static struct repro repro;
	struct artifact *artifact;

	if (!repro_load(&repro, path)) {
		all->refused = true;
		return;
	}
	artifact = append(all);
	*artifact = (struct artifact){ .path = strdup(path),
				       .name = counted_name(path, bytes),
				       .is_text = true,
				       .bug = all->options->has_bug ? all->options->bug : repro.bug,
				       .origin = origin,
				       .seconds = -1,
				       .executions = -1 };
}

static void add(struct collection *all, const char *path, const struct target *target,
		const struct run_log *log)
{
	const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	const struct log_row *row = run_log_find(log, base);
	struct artifact *artifact;
	struct buf bytes = { 0 };

	if (!artifact_read(&bytes, path)) {
		all->refused = true;
	} else if (ends_with(path, ".repro")) {
		add_text(all, path, &bytes, &log->origin);
	} else if (!target) {
		fprintf(stderr, "%s: expected --target TARGET, whose input it is\n", path);
		all->refused = true;
	} else {
		artifact = append(all);
		*artifact = (struct artifact){ .path = strdup(path),
					       .name = counted_name(path, &bytes),
					       .target = target,
					       .bug = bug_of(all, &log->origin, target),
					       .origin = &log->origin,
					       .seconds = row ? row->seconds : -1,
					       .executions = row ? row->executions : -1 };
	}
	buf_free(&bytes);
}

/* --- a run --- */

static int is_artifact(const struct dirent *entry)
{
	static const char *const kinds[] = { "crash-", "timeout-", "oom-", "leak-" };

	for (u32 i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strncmp(entry->d_name, kinds[i], strlen(kinds[i])))
			return true;
	return entry->d_name[0] != '.' && ends_with(entry->d_name, ".repro");
}

/* The earlier was found, the nearer to the first: whose time is not known comes last, by name. */
static int by_time(const void *left, const void *right)
{
	const struct artifact *a = left, *b = right;

	if (a->seconds != b->seconds) {
		if (a->seconds < 0 || b->seconds < 0)
			return a->seconds < 0 ? 1 : -1;
		return a->seconds < b->seconds ? -1 : 1;
	}
	return strcmp(a->path, b->path);
}

/* Inputs of formats have no schedule: an engine's binary, or the one without an engine, runs them again. */
static void tell_format(const char *format, const char *path)
{
	struct buf command = { 0 };

	buf_printf(&command, "out/%s/fuzz/%s ", CONFIG_NAME, format);
	word_print(&command, path);
	printf("%s: %s is a target for a format, and this is no program; run it again with:\n  "
	       "%s\n",
	       path, format, buf_text(&command));
	buf_free(&command);
}

/* Another version may have had other bugs. */
static bool knows_bug(const struct collection *all, const struct run_log *log, const char *path)
{
	const char *said = log->origin.bug;

	if (!*said || all->options->has_bug || bug_by_slug(said) != BUG_COUNT)
		return true;
	fprintf(stderr,
		"%s/run.jsonl: expected a bug ('mmurace list bugs') or none, found '%s'; its "
		"artifacts are left out unless --bug says what was armed\n",
		path, said);
	return false;
}

/* Return: whether it is known whose inputs these are, or at least why they are none. */
static bool target_of_run(const struct collection *all, const struct run_log *log, const char *path,
			  const struct target **target, const char **format)
{
	const char *said = log->origin.target;
	const char *given = all->options->format   ? all->options->format
			    : all->options->target ? all->options->target->name
						   : "";

	*target = all->options->target;
	*format = all->options->format;
	if (!*said)
		return true;
	if (*given && strcmp(given, said)) {
		fprintf(stderr, "%s/run.jsonl: expected target %s, as --target says, found %s\n",
			path, given, said);
		return false;
	}
	*format = format_named(said) ? said : NULL;
	*target = *format ? NULL : target_by_name(said);
	if (*target || *format)
		return true;
	fprintf(stderr,
		"%s/run.jsonl: expected a target ('mmurace list targets'), found '%s'; "
		"its artifacts are left out\n",
		path, said);
	return false;
}

static void add_run(struct collection *all, const char *path)
{
	/* Artifacts keep pointing at it. */
	struct run_log *log = calloc(1, sizeof(*log));
	const struct target *target;
	struct dirent **entries;
	const char *format;
	u32 first = all->nr;
	int nr;

	ASSERT(log);
	run_log_read(log, path);
	nr = scandir(path, &entries, is_artifact, alphasort);
	if (nr < 0 || (!nr && !log->there)) {
		fprintf(stderr,
			"%s: expected a run: run.jsonl, or files named crash-*, timeout-*, oom-*, "
			"leak-* or *.repro; found none\n",
			path);
		all->refused = true;
	} else if (!knows_bug(all, log, path) || !target_of_run(all, log, path, &target, &format)) {
		all->refused = true;
	} else {
		for (int i = 0; i < nr; i++) {
			struct buf inner = { 0 };

			buf_printf(&inner, "%s%s%s", path, ends_with(path, "/") ? "" : "/",
				   entries[i]->d_name);
			if (format && !ends_with(entries[i]->d_name, ".repro"))
				tell_format(format, buf_text(&inner));
			else
				add(all, buf_text(&inner), target, log);
			buf_free(&inner);
		}
	}
	if (all->nr > first)
		qsort(&all->artifacts[first], all->nr - first, sizeof(*all->artifacts), by_time);
}

static void collect(struct collection *all)
{
	static const struct run_log nothing;
	const struct options *options = all->options;

	for (u32 i = 0; i < options->nr_arguments; i++) {
		const char *path = options->arguments[i];
		struct stat status;

		if (!stat(path, &status) && S_ISDIR(status.st_mode))
			add_run(all, path);
		else if (options->format && !ends_with(path, ".repro"))
			tell_format(options->format, path);
		else
			add(all, path, options->target, &nothing);
	}
}

int verb_triage(int argc, char **argv)
{
	static struct options options;
	struct collection all = { .options = &options };
	struct triage triage;
	int code;

	options_parse(&options, argc, argv);
	if (!options.output)
		usage_error("triage: expected -o FOLDER, where the findings go");
	all.environment_bug = getenv("MMURACE_BUG") ? getenv("MMURACE_BUG") : "";
	collect(&all);
	if (!all.nr)
		return all.refused ? EXIT_USAGE : EXIT_EXPECTED;
	folder_probe(options.output);
	handle_interrupts();
	triage = (struct triage){ .folder = options.output,
				  .minimise = !options.no_minimise,
				  .json = options.json,
				  .nr = all.nr,
				  .artifacts = all.artifacts };
	code = triage_all(&triage);
	return all.refused && code != EXIT_UNFINISHED ? EXIT_USAGE : code;
}
