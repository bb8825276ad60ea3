#!/usr/bin/env python3
"""Style rules that a machine can judge, over src/, fuzz/, targets/ and reproducers/.

    scripts/check.py [ROOT]

Prints one line for each violation, "file:line: what, and what to do", and exits with 1 if there
is any. The tables below are the rules; the functions check_*() apply them. check_test.py proves
that each rule fires.
"""

import bisect
import fnmatch
import re
import sys
from pathlib import Path

# ---- the rules -------------------------------------------------------------------------------

# Which headers a layer may include: shell patterns on the path in the quotes. The longest folder
# that is a prefix of the file's decides. *_test.c may include anything.
LAYERS = {
    "src/base": ["base/*"],
    "src/sched": ["base/*", "sched/*"],
    "src/kern": ["base/*", "kern/*.h"],
    "src/kern/shared": ["base/*", "kern/*.h", "kern/shared/*"],
    "src/kern/fiber": ["base/*", "kern/*.h", "kern/shared/*", "kern/fiber/*", "sched/*"],
    "src/kern/thread": ["base/*", "kern/*.h", "kern/shared/*", "kern/thread/*"],
    "src/machine": ["base/*", "kern/*.h", "machine/*"],
    "src/host": ["base/*", "kern/*.h", "machine/machine.h", "host/*"],
    "src/subject": ["base/*", "subject/*"],
    "src/mmu": ["base/*", "kern/*.h", "machine/machine.h", "host/host.h", "subject/*", "mmu/*"],
    "src/kernel": ["base/*", "kern/*.h", "machine/machine.h", "host/host.h", "subject/*",
                   "kernel/*"],
    "src/endstate": ["base/*", "machine/inspect.h", "host/inspect.h", "subject/inspect.h",
                     "endstate/*"],
    "src/oracle": ["base/*", "machine/inspect.h", "host/inspect.h", "subject/inspect.h",
                   "endstate/endstate.h", "oracle/*"],
    "src/workload": ["base/*", "kern/*.h", "machine/machine.h", "host/host.h",
                     "subject/subject.h", "subject/variants.*", "workload/*"],
    "fuzz": ["base/*", "workload/workload.h", "workload/*.def", "oracle/oracle.h",
             "oracle/*.def", "endstate/endstate.h", "sched/sched.h", "sched/*.def", "subject/variants.*", "fuzz/*"],
    "fuzz/stress": ["base/*", "workload/workload.h", "kern/thread/thread_kern.h", "fuzz/*"],
    "fuzz/contract": ["base/*", "kern/*.h", "kern/thread/thread_kern.h", "machine/machine.h",
                      "host/host.h", "subject/*", "mmu/*", "fuzz/contract/*"],
    "targets": ["base/*", "workload/workload.h", "workload/*.def", "oracle/oracle.h",
                "oracle/*.def", "sched/sched.h", "sched/*.def", "subject/variants.*",
                "fuzz/*.h"],
}

FUNCTION_LINES_MAX = 70
# Lines "path function lines": functions that are longer for now. The list may only shrink.
FUNCTION_LENGTH_ALLOW = "scripts/function-length-allow.txt"

BUG_PROBES_MAX = 3

# src/oracle/*.c that are no oracle
ORACLE_SUPPORT = {"oracle", "ghost", "inspect"}

# (functions, where the rule holds, where it does not, what to do instead)
BANNED_CALLS = [
    ("strcpy strcat sprintf vsprintf gets strtok", ["*"], [],
     "use snprintf or src/base/buf.h, which know the size"),
    ("rand srand random time gettimeofday", ["*"], [],
     "nothing may depend on anything but the input: use src/base/prng.h"),
    ("alloca setjmp _setjmp sigsetjmp longjmp siglongjmp", ["*"], ["src/kern/thread/rcu.c"],
     "they break fibers and sanitizers: use an array of bounded size, or return values"),
    ("getenv secure_getenv", ["*"], ["fuzz/engine/*", "fuzz/cli/*"],
     "only fuzz/engine and fuzz/cli read the environment: pass the value as a parameter"),
    ("printf fprintf vprintf vfprintf puts fputs fopen perror", ["src/*"],
     ["src/base/assert.c", "*_test.c"],
     "src/ knows no files: write into a buffer (src/base/buf.h) and let fuzz/ print it"),
    ("malloc calloc realloc free strdup", ["src/*"],
     ["src/base/assert.c", "src/base/buf.[ch]", "*_test.c"],
     "src/ allocates from bounded pools, so that nothing depends on addresses"),
    ("exit _exit abort", ["src/*"], ["src/base/assert.c", "*_test.c"],
     "src/ never ends the process: use ASSERT for a framework bug, oracle_fail for a violation"),
]
BANNED_WORDS = [
    ("argv", ["src/*"], ["*_test.c"], "src/ knows no command line: pass the value as a parameter"),
]

BANNED_FILE_NAMES = re.compile(r"(util|misc|common|helper)", re.I)
NUMBERED_NAME = re.compile(r"[a-z_]+[0-9]+")
# Numbers that are a width or part of a proper name.
NUMBERED_NAME_FINE = re.compile(r".*[a-z_](8|16|32|64|128|256|crc32|sha1|fnv1)")

# Folders where conditional compilation is allowed.
CONDITIONALS_ALLOWED = ["src/kern/*", "src/kernel/*"]

# Environment verbs: at most one in an expression without a sequence point.
VERB = re.compile(
    r"(?!\w*_held\b)(READ_ONCE|WRITE_ONCE|(try_)?cmpxchg\w*|xchg\w*|smp_\w+|rcu_\w+|s?rcu_read_\w+|call_s?rcu"
    r"|synchronize_s?rcu|need_resched|cond_resched\w*|rwlock_needbreak|spin_needbreak|await\w*"
    r"|(raw_)?spin_(try|un)?lock\w*|(read|write)_(try|un)?lock\w*|mutex_(try|un)?lock\w*"
    r"|(down|up)_(read|write)\w*|atomic(64|_long)?_\w+|refcount_\w+|kref_\w+"
    r"|(test_and_)?(set|clear|change)_bit\w*|wait_\w+|wake_up\w*|complete\w*)")
VERB_FOLDERS = ["src/machine/*", "src/host/*", "src/mmu/*", "src/kern/shared/*"]

# ---- source text -----------------------------------------------------------------------------

LEXEME = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", re.M)


def blank(text):
    """Only the line breaks of text, so that line numbers stay right."""
    return "\n" * text.count("\n")


class Source:
    """A file in three forms: as written, without comments and strings, and without directives."""

    def __init__(self, root, path):
        self.path = path.relative_to(root).as_posix()
        self.text = path.read_text(errors="replace")
        self.uncommented = LEXEME.sub(
            lambda m: m[0] if m[0][0] in "\"'" else (blank(m[0]) or " "), self.text)
        self.code = LEXEME.sub(
            lambda m: '""' if m[0][0] in "\"'" else (blank(m[0]) or " "), self.text)
        self.plain = DIRECTIVE.sub(lambda m: blank(m[0]), self.code)
        self.is_test = self.path.endswith("_test.c")
        self._starts = {}

    def line(self, form, offset):
        """Line number of an offset in one of the forms."""
        if form not in self._starts:
            self._starts[form] = [0] + [m.end() for m in re.finditer("\n", getattr(self, form))]
        return bisect.bisect_right(self._starts[form], offset)

    def matches(self, form, pattern):
        """(line, match) for each match of the pattern in one of the forms."""
        for m in re.finditer(pattern, getattr(self, form), re.M):
            yield self.line(form, m.start()), m

    def includes(self):
        """(line, opening, path) for each #include."""
        for line, m in self.matches("uncommented", r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)'):
            yield line, m[1], m[2]

    def functions(self):
        """(name, first line, last line) of each function: its braces stand alone in column 0."""
        head = re.compile(r"^\{[ \t]*$", re.M)
        for m in head.finditer(self.plain):
            end = self.plain.find("\n}", m.start())
            before = self.plain[:m.start()]
            start = max(before.rfind(";"), before.rfind("}")) + 1
            start += len(before[start:]) - len(before[start:].lstrip())
            names = re.findall(r"\b([A-Za-z_]\w*)[ \t]*\(", re.sub(
                r"\b__\w+[ \t]*\(\([^)]*\)\)|\b__\w+\([^)]*\)", "", before[start:]))
            if names and end >= 0:
                yield names[0], self.line("plain", start), self.line("plain", end + 1)


def within(path, patterns):
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


class Tree:
    def __init__(self, root):
        self.root = Path(root)
        self.problems = []
        files = [path for top in ("src", "fuzz", "targets")
                 for path in sorted((self.root / top).rglob("*")) if path.is_file()]
        self.paths = [path.relative_to(self.root).as_posix() for path in files]
        self.sources = [Source(self.root, path) for path in files if path.suffix in (".c", ".h")]

    def complain(self, path, line, what):
        self.problems.append((path, line, what))

    def under(self, *patterns):
        return [source for source in self.sources if within(source.path, patterns)]

    def rows(self, path):
        """(line, first field) of each row of an X-macro table; nothing if there is no table."""
        if not (self.root / path).is_file():
            return []
        table = Source(self.root, self.root / path)
        return [(line, m[1]) for line, m in table.matches("plain", r"^[A-Z][A-Z_]*\(\s*(\w+)")]


# ---- (a) layers ------------------------------------------------------------------------------

def check_layers(tree):
    for source in tree.sources:
        folders = [folder for folder in LAYERS if source.path.startswith(folder + "/")]
        if not folders:
            tree.complain(source.path, 1, "the folder is no layer; move the file, or add the "
                          "layer to the table in scripts/check.py")
            continue
        layer = max(folders, key=len)
        for line, opening, path in source.includes():
            if opening == "<":
                if path.startswith("backend/") and not source.path.startswith("src/kern/"):
                    tree.complain(source.path, line, f"<{path}> is the inside of the kernel "
                                  "environment; include its contract, kern/*.h")
            elif not source.is_test:
                check_quoted_include(tree, source, layer, line, path)


def check_quoted_include(tree, source, layer, line, path):
    if "/" not in path or path.startswith("."):
        tree.complain(source.path, line, f'"{path}" is not rooted; write the path from src/ '
                      "(or from the root, for fuzz/)")
    elif not any(fits(path, pattern) for pattern in LAYERS[layer]):
        tree.complain(source.path, line, f'{layer} may not include "{path}"; it may include '
                      + " ".join(LAYERS[layer]))


def fits(path, pattern):
    """Like fnmatch, but "folder/*.h" means this folder only; "folder/*" means all below it."""
    if pattern.endswith("/*"):
        return path.startswith(pattern[:-1])
    return fnmatch.fnmatchcase(path, pattern) and path.count("/") == pattern.count("/")


# ---- (b) function length ---------------------------------------------------------------------

def check_function_length(tree):
    allowed = {}
    allow = tree.root / FUNCTION_LENGTH_ALLOW
    if allow.is_file():
        for number, line in enumerate(allow.read_text().splitlines(), 1):
            words = line.split("#")[0].split()
            if len(words) == 3 and words[2].isdigit():
                allowed[words[0], words[1]] = (number, int(words[2]))
            elif words:
                tree.complain(FUNCTION_LENGTH_ALLOW, number, 'write "path function lines"')
    for source in tree.sources:
        for name, first, last in source.functions():
            length = last - first + 1
            number, limit = allowed.pop((source.path, name), (0, 0))
            if length > max(limit, FUNCTION_LINES_MAX):
                tree.complain(source.path, first, f"{name}() has {length} lines, more than "
                              f"{max(limit, FUNCTION_LINES_MAX)}; split it")
            elif number and length <= FUNCTION_LINES_MAX:
                tree.complain(FUNCTION_LENGTH_ALLOW, number, f"{name}() needs no exception any "
                              "more; delete the line")
            elif number and length < limit:
                tree.complain(FUNCTION_LENGTH_ALLOW, number, f"{name}() has only {length} lines "
                              f"now; lower the {limit}")
    for (path, name), (number, _) in allowed.items():
        tree.complain(FUNCTION_LENGTH_ALLOW, number, f"{path} has no function {name}(); delete "
                      "the line")


# ---- (c) orphan rows -------------------------------------------------------------------------

def check_bugs(tree):
    table = "src/base/bugs.def"
    rows = tree.rows(table)
    slugs = {slug for _, slug in rows}
    probes = {}
    for source in tree.under("src/*"):
        if source.is_test:
            continue
        for line, m in source.matches("code", r"(#[ \t]*define[ \t]+)?\bbug(?:_if)?\(\s*(\w+)"):
            if not m[1]:
                probes.setdefault(m[2], []).append((source, line))
    for slug, places in probes.items():
        if rows and slug not in slugs:
            # the parameter of a macro is no slug
            for source, line in places:
                if not re.search(r"#[ \t]*define[^\n]*\b%s\b" % slug, source.code):
                    tree.complain(source.path, line, f"bug({slug}) has no row; add it to {table}")
    for line, slug in rows:
        count = len(probes.get(slug, []))
        if count == 0:
            tree.complain(table, line, f"no probe bug({slug}) under src/; add it, or delete the "
                          "row")
        elif count > BUG_PROBES_MAX:
            tree.complain(table, line, f"{count} probes bug({slug}), more than {BUG_PROBES_MAX}; "
                          "put the difference in one place")
    check_reproducers(tree, table, rows, slugs)


def check_reproducers(tree, table, rows, slugs):
    files = {}
    for path in sorted((tree.root / "reproducers").rglob("*.repro")):
        files.setdefault(path.stem, []).append(path)
    for line, slug in rows:
        found = files.get(slug, [])
        if not found:
            tree.complain(table, line, f"there is no reproducers/{slug}.repro; add it")
        elif len(found) > 1:
            tree.complain(table, line, f"{len(found)} files are named {slug}.repro; keep one")
        elif not re.search(r"^bug\s+%s\s*$" % slug, found[0].read_text(errors="replace"), re.M):
            tree.complain(found[0].relative_to(tree.root).as_posix(), 1,
                          f'there is no line "bug {slug}"; a reproducer named for a bug arms it')
    for paths in files.values():
        for path in paths:
            m = re.search(r"^bug\s+(\w+)", path.read_text(errors="replace"), re.M)
            if rows and m and m[1] not in slugs | {"none"}:
                tree.complain(path.relative_to(tree.root).as_posix(), 1,
                              f"bug {m[1]} has no row in {table}; add it, or mend the name")


def check_events(tree):
    table = "src/base/events.def"
    text = "\n".join(source.code for source in tree.under("src/*")
                     if not source.is_test and not source.path.startswith("src/oracle/"))
    for line, name in tree.rows(table):
        if not re.search(r"(event|emit)\w*\(\s*(&?\w+\s*,\s*)?(EVENT_|EV_)?%s\b" % name, text):
            tree.complain(table, line, f"nobody emits event({name}, ...); emit it, or delete the "
                          "row")


def check_ops(tree):
    table = "src/workload/ops.def"
    names = {name for source in tree.under("src/workload/*.c") if not source.is_test
             for name, _, _ in source.functions()}
    for line, name in tree.rows(table):
        if f"op_{name}" not in names:
            tree.complain(table, line, f"src/workload has no function op_{name}(); add it, or "
                          "delete the row")


def check_oracles(tree):
    table = "src/oracle/oracles.def"
    rows = tree.rows(table)
    names = {name for _, name in rows}
    files = {Path(source.path).stem: source for source in tree.under("src/oracle/*.c")
             if not source.is_test}
    for line, name in rows:
        if name not in files:
            tree.complain(table, line, f"there is no src/oracle/{name}.c; add it, or delete the "
                          "row")
    for name, source in files.items():
        if name not in names | ORACLE_SUPPORT:
            tree.complain(source.path, 1, f"the oracle {name} has no row; add it to {table}")


# ---- (d) dead files --------------------------------------------------------------------------

def check_dead_files(tree):
    included = {(opening, path) for source in tree.sources
                for _, opening, path in source.includes()}
    for source in tree.under("*.h"):
        path = source.path
        if path.startswith("src/kernel/"):
            continue  # headers that stand in the place of the kernel's own
        name = path.removeprefix("src/")
        backend = re.sub(r"^src/kern/[^/]+/", "", path)
        if ('"', name) not in included and ("<", backend) not in included:
            tree.complain(path, 1, "nobody includes this header; include it, or delete it")


# ---- (e) banned calls, (f) banned names ------------------------------------------------------

def check_banned_calls(tree):
    for calls, where, but_not, remedy in BANNED_CALLS:
        pattern = r"(?<![\w.>])(?:%s)(?=\s*\()" % calls.replace(" ", "|")
        complain_of(tree, pattern, where, but_not, "{}() is banned here; " + remedy)
    for words, where, but_not, remedy in BANNED_WORDS:
        pattern = r"(?<![\w.>])(?:%s)\b" % words.replace(" ", "|")
        complain_of(tree, pattern, where, but_not, "{} is banned here; " + remedy)


def complain_of(tree, pattern, where, but_not, what):
    for source in tree.sources:
        if within(source.path, where) and not within(source.path, but_not):
            for line, m in source.matches("code", pattern):
                tree.complain(source.path, line, what.format(m[0]))


def check_banned_names(tree):
    for path in tree.paths:
        for part in path.split("/"):
            if BANNED_FILE_NAMES.match(part):
                tree.complain(path, 1, f"{part} says nothing about its contents; name the file "
                              "for the noun it is about")
    for source in tree.sources:
        for name, line, _ in source.functions():
            if NUMBERED_NAME.fullmatch(name) and not NUMBERED_NAME_FINE.fullmatch(name):
                tree.complain(source.path, line, f"{name}() is numbered; name it for how it "
                              "differs from the others")


# ---- (g) conditional compilation -------------------------------------------------------------

def check_conditionals(tree):
    for source in tree.sources:
        if within(source.path, CONDITIONALS_ALLOWED):
            continue
        found = [(line, m[1], m[2]) for line, m in source.matches(
            "code", r"^[ \t]*#[ \t]*(if|ifdef|ifndef|elif|else|endif|define)\b[ \t]*(\w*)")]
        conditionals = [item for item in found if item[1] != "define"]
        if (source.path.endswith(".h") and len(found) >= 3 and found[0][1] == "ifndef"
                and found[1][1:] == ("define", found[0][2])
                and conditionals[-1][1] == "endif"):
            conditionals = conditionals[1:-1]
        for line, word, _ in conditionals:
            if word.startswith("if") or word.startswith("el"):
                tree.complain(source.path, line, f"#{word} is for src/kern and include guards; "
                              "use a plain if () on a CONFIG_ constant, or move it to src/kern")


# ---- (h) one environment verb in an expression -----------------------------------------------

TOKEN = re.compile(r"[A-Za-z_]\w*|->|&&|\|\||[^\w\s]|\d[\w.]*")
CLOSING = {"(": ")", "[": "]", "{": "}"}
# Words whose parentheses hold expressions of their own.
CONTROL = re.compile(r"if|while|for|switch|\w*for_each\w*")
SPLITS = {";", "&&", "||", "?", ":"}


class Group:
    """What stands between a pair of brackets: a list of (line, token or Group)."""

    def __init__(self, opening):
        self.opening = opening
        self.items = []


def parse(source):
    """The tokens of a file as a tree of brackets."""
    stack = [Group("{")]
    for m in TOKEN.finditer(source.plain):
        token = m[0]
        line = source.line("plain", m.start())
        if token in CLOSING:
            group = Group(token)
            stack[-1].items.append((line, group))
            stack.append(group)
        elif token in CLOSING.values():
            if len(stack) > 1 and CLOSING[stack[-1].opening] == token:
                stack.pop()
        else:
            stack[-1].items.append((line, token))
    return stack[0]


def is_group(item, opening):
    return isinstance(item, Group) and item.opening == opening


def is_name(item):
    return isinstance(item, str) and re.match(r"[A-Za-z_]", item) is not None


def is_initialiser(before, after):
    """Is a brace group between these two items a list of values rather than a block?"""
    if is_group(before, "("):
        return not is_name(after)
    return before in ("=", ",", "{")


class VerbRule:
    def __init__(self, tree, source):
        self.tree = tree
        self.source = source

    def block(self, items):
        """Walks items that are split by sequence points; True if there is a verb in them."""
        return self.sequence(items, SPLITS | {","})

    def sequence(self, items, splits):
        found = False
        segment = []
        for i, (line, item) in enumerate(items):
            before = items[i - 1][1] if i else None
            earlier = items[i - 2][1] if i > 1 else None
            if item in splits or item in ("return", "else", "do", "case"):
                found |= self.segment(segment)
                segment = []
            elif is_group(item, "(") and is_name(before) and CONTROL.fullmatch(before):
                found |= self.segment(segment)
                segment = []
                found |= self.block(item.items)
            elif is_group(item, "{") and not is_initialiser(before, earlier):
                found |= self.segment(segment)
                segment = []
                found |= self.block(item.items)
            else:
                segment.append((line, item))
        return self.segment(segment) or found

    def segment(self, items):
        """One expression without sequence points of its own; True if there is a verb in it."""
        verbs = []
        for i, (line, item) in enumerate(items):
            before = items[i - 1][1] if i else None
            after = items[i + 1][1] if i + 1 < len(items) else None
            if is_name(item):
                if VERB.fullmatch(item) and is_group(after, "(") and before not in (".", "->"):
                    verbs.append((line, item))
            elif isinstance(item, Group):
                inner = self.bracketed(item, before)
                if inner:
                    verbs.append((line, "another in brackets"))
        if len(verbs) > 1:
            self.tree.complain(self.source.path, verbs[1][0], "two environment verbs in one "
                               f"expression ({verbs[0][1]}, {verbs[1][1]}), which compilers order "
                               "differently; give the first a statement of its own")
        return bool(verbs)

    def bracketed(self, group, before):
        # The commas of a call and of an initialiser are no sequence points: one expression.
        if group.opening == "(" and not is_name(before) and not is_group(before, "("):
            return self.block(group.items)
        if group.opening == "[":
            return self.block(group.items)
        return self.arguments(group.items)

    def arguments(self, items):
        """Arguments: each may have sequence points inside, but there is none between them."""
        with_verbs = []
        argument = []
        for line, item in items + [(0, ",")]:
            if item == ",":
                if argument and self.sequence(argument, SPLITS):
                    with_verbs.append(argument[0][0])
                argument = []
            else:
                argument.append((line, item))
        if len(with_verbs) > 1:
            self.tree.complain(self.source.path, with_verbs[1], "environment verbs in two "
                               "arguments, which compilers order differently; give the first a "
                               "statement of its own")
        return bool(with_verbs)


def check_verbs(tree):
    for source in tree.under(*VERB_FOLDERS):
        if not source.is_test:
            VerbRule(tree, source).block(parse(source).items)


# ---- main ------------------------------------------------------------------------------------

CHECKS = [check_layers, check_function_length, check_bugs, check_events, check_ops,
          check_oracles, check_dead_files, check_banned_calls, check_banned_names,
          check_conditionals, check_verbs]


def problems(root):
    """The violations in a tree, as lines."""
    tree = Tree(root)
    for check in CHECKS:
        check(tree)
    return [f"{path}:{line}: {what}" for path, line, what in sorted(set(tree.problems))]


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    lines = problems(root)
    for line in lines:
        print(line)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
