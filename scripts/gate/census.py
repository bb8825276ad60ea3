"""Which functions differ from the base, and which targets reach them."""

import re
import shutil
from dataclasses import dataclass, field

from gate import process
from gate.base import git
from gate.place import emptied
from gate.replay import symbolising

# Inputs that a target is run with to see what it reaches.
RUNS = 1000
SEED = 1

# Changes here change no program.
IRRELEVANT = re.compile(r"^(docs|reproducers|corpus|scripts|\.github|\.ci)/|\.md$|^[^/]*$|_test\.(c|sh)$")
# But these at the top do.
BUILD = re.compile(r"^(CMakeLists\.txt|fuzz/configs\.def)$")
# Compiled without coverage: nobody can say who reaches them.
UNSEEN = re.compile(r"^src/(sched|kern|oracle|endstate|base)/|/inspect\.c$")


@dataclass
class Choice:
    """What is fuzzed, and why."""

    functions: list = field(default_factory=list)  # (path, name) of what changed
    targets: list = field(default_factory=list)
    why: str = ""
    all: bool = False


def changed_lines(root, base):
    """Return: path -> lines that differ, in the tree as it is; a deletion counts as the lines around it."""
    changed = {}
    text = git(root, "diff", "-U0", "--no-renames", "--no-ext-diff", "--src-prefix=a/",
               "--dst-prefix=b/", base) or ""
    path = None
    for line in text.split("\n"):
        m = re.match(r"^(?:---|\+\+\+) (?:[ab]/)?(.*)$", line)
        if m and m[1] != "/dev/null":
            path = m[1]
            changed.setdefault(path, set())
        m = re.match(r"^@@ -\S+ \+(\d+)(?:,(\d+))? @@", line)
        if m and path:
            first, count = int(m[1]), int(m[2] or 1)
            changed[path].update(range(first, first + count) if count else (first, first + 1))
    for path in (git(root, "ls-files", "-o", "--exclude-standard") or "").split("\n"):
        if path:
            changed[path] = set()
    return changed


def everything(choice, place, why):
    choice.all = True
    choice.targets = [name for name in place.targets + place.formats if name != "canary"]
    choice.why = why
    return choice


# "NEW_PC: 0x1 in f path:line:column" and "COVERED_FUNC: hits: 2 edges: 2/4 f path:line"
COVERED = re.compile(r"^\s*(?:NEW_PC: .* in|COVERED_FUNC: .*?\d+/\d+) (\S+) (\S+?):(\d+)(?::\d+)?$", re.M)


def lines_of_output(place, text):
    """Return: (path, line) for each place that libFuzzer says was reached."""
    return {(place.relative(m[2]), int(m[3])) for m in COVERED.finditer(text)}


def reached_lines(gate, name):
    """
    Return: lines that the target reaches, (path, line); None if it says none: it failed. Of what seeds reach, only
    functions with an entry of their own are told; of what is found, each line. So it looks twice, once without seeds.
    """
    folder = emptied(gate.folder("census") / name)
    seeds = gate.head.root / "corpus" / name
    if seeds.is_dir():
        shutil.copytree(seeds, folder / "seeds")
    lines = set()
    for corpus in ("seeds", "none"):
        (folder / corpus).mkdir(exist_ok=True)
        result = process.run([gate.head.fuzzer("fuzz-asan", name), f"-seed={SEED}", f"-runs={RUNS}", "-len_control=0",
                              "-print_pcs=1", "-print_coverage=1", f"-artifact_prefix={folder}/", folder / corpus],
                             seconds=60, cwd=folder, env=symbolising())
        if result.code:
            return None
        lines |= lines_of_output(gate.head, result.err)
    return lines


def changed_functions(gate, changed, choice):
    """Return: a reason to fuzz everything, or None when choice.functions says it all."""
    for path in sorted(changed):
        if BUILD.search(path):
            return f"{path} changed, which builds them all"
        if IRRELEVANT.search(path) or path.startswith("targets/"):
            continue
        if not path.startswith("src/") or not path.endswith(".c"):
            return f"{path} changed, which is no source of functions"
        if UNSEEN.search(path):
            return f"{path} changed, which is compiled without coverage"
        if not (gate.head.root / path).is_file():
            return f"{path} is gone"
        for line in sorted(changed[path]) or [0]:
            name = gate.locations.function_at(path, line)
            if name:
                if (path, name) not in choice.functions:
                    choice.functions.append((path, name))
            elif not blank(gate.head.root / path, line):
                return f"{path}:{line} changed, which is outside of functions"
    return None


def blank(path, line):
    lines = path.read_text(errors="replace").split("\n")
    return 0 < line <= len(lines) and not lines[line - 1].strip()


def choose(gate):
    """Return: the Choice of targets to fuzz."""
    choice = Choice()
    changed = changed_lines(gate.head.root, gate.base.commit)
    own = {path[len("targets/"):-2] for path in changed
           if path.startswith("targets/") and path.endswith(".c")} & set(gate.head.targets)
    why = changed_functions(gate, changed, choice)
    if why:
        return everything(choice, gate.head, why)
    if not choice.functions:
        choice.targets = sorted(own - {"canary"})
        choice.why = "no function differs from the base" + (": only targets do" if own else "")
        return choice
    names = [name for name in gate.head.targets + gate.head.formats if name != "canary"]
    lines = gate.parallel([lambda name=name: reached_lines(gate, name) for name in names])
    hit = set()
    for name, reached in zip(names, lines):
        if reached is None:
            choice.targets.append(name)
            continue
        functions = {(path, gate.locations.function_at(path, line)) for path, line in reached}
        here = functions & set(choice.functions)
        hit |= here
        if here or name in own:
            choice.targets.append(name)
    failed = [name for name, reached in zip(names, lines) if reached is None]
    missed = [name for path, name in choice.functions if (path, name) not in hit]
    if missed and not failed:
        return everything(choice, gate.head, f"{' '.join(missed)} was not seen to be reached by any target")
    choice.why = f"{len(choice.targets)} of {len(names)} targets reach what changed"
    if failed:
        choice.why += f" ({' '.join(failed)} failed while this was looked up, and count)"
    return choice
