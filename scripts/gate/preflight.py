"""
Before anything is judged: the sanitizers see what they are there for and nothing else, the tool convicts what
must be convicted, and engines have something to be guided by. A wrong answer here ends the gate: it is said of
the machine or the framework, not of the change.
"""

import re
import shlex
from pathlib import Path

from gate import process
from gate.cases import ERROR, Case
from gate.place import first_words

PROBES = Path(__file__).resolve().parent / "probes"

# (configuration, probe, what the report says). Of fiber-msan only the flags are used: nothing else is built.
SANITIZERS = (
    ("fiber-asan", "memory", "AddressSanitizer: heap-buffer-overflow"),
    ("fiber-asan", "shift", "runtime error: shift exponent"),
    ("fuzz-asan", "memory", "AddressSanitizer: heap-buffer-overflow"),
    ("fuzz-asan", "shift", "runtime error: shift exponent"),
    ("fiber-tsan", "race", "ThreadSanitizer: data race"),
    ("fuzz-tsan", "race", "ThreadSanitizer: data race"),
    ("fiber-msan", "uninitialised", "MemorySanitizer: use-of-uninitialized-value"),
)

# Compiled with all that a row has: its flags are those of the probes.
WATCHED = "src/mmu/invalidate.c"
COUNTERS_LEAST = 100
CONVICTED = (81, 82, 83)
ARMED_MOST = 4


def flags_of(place, row):
    """Return: words that compile and link a program the way the row compiles the code under test."""
    folder = place.root / "out" / row
    links = "bin/mmurace" if not row.startswith("fuzz-") else "fuzz/canary"
    result = process.run(["ninja", "-C", folder, "-t", "commands", links])
    commands = [line for line in result.out.splitlines() if "clang" in line or "gcc" in line]
    compile_line = next(line for line in commands if f"{WATCHED}.o" in line and " -c " in line)
    link = commands[-1].removeprefix(": && ").removesuffix(" && :")
    words, skip = [], False
    for word in shlex.split(compile_line):
        if skip or word in ("-MD", "-c") or word.endswith(WATCHED):
            skip = False
        elif word in ("-MT", "-MF", "-o"):
            skip = True
        else:
            words.append(word)
    # The engine brings a main of its own, and so does the probe.
    words += [word for word in shlex.split(link) if word.startswith(("-fsanitize=", "-fuse-ld", "-no-pie"))
              and word != "-fsanitize=fuzzer"]
    return words


def probe_case(place, work, row, probe, report):
    case = Case(f"{row}: {probe} is reported, and its like is not", "preflight")
    try:
        if row == "fiber-msan":
            place.configure(row)
        binary = work / f"{row}-{probe}"
        result = process.run([*flags_of(place, row), PROBES / f"{probe}.c", "-o", binary,
                              "-lpthread"], seconds=60)
        case.seconds = result.seconds
        if result.code:
            return failed(case, f"the probe does not compile: {first_words(result.err)}")
        bad = process.run([binary, "bad"], seconds=30)
        good = process.run([binary, "good"], seconds=30)
        case.seconds += bad.seconds + good.seconds
        if bad.code == 0 or report not in bad.err:
            return failed(case, f"the bad one is not reported (code {bad.code}): {first_words(bad.err)}")
        if good.code or good.err:
            return failed(case, f"the good one fails (code {good.code}): {first_words(good.err)}")
    except StopIteration:
        return failed(case, f"{row} does not compile {WATCHED}, whose flags the probe would have")
    return case


def failed(case, message):
    case.status, case.message = ERROR, message
    return case


def armed_bugs(place):
    """[(slug, target)] of the first bug of each oracle that needs two tasks."""
    text = (place.root / "src/base/bugs.def").read_text()
    bugs = {}
    for m in re.finditer(r'^BUG\((\w+), "[^"]*", (\w+), "\w+", (\w+), (\d+)', text, re.M):
        if int(m[4]) >= 2:
            bugs.setdefault(m[2], (m[1], m[3]))
    return list(bugs.values())[:ARMED_MOST]


def search(place, row, *words):
    return process.run([place.mmurace(row), "run", *words, "--seed", "1", "--schedules", "20000",
                        "--stop-on-first"], seconds=60)


def canary_case(place, row):
    case = Case(f"{row}: run canary convicts", "preflight")
    result = search(place, row, "canary")
    case.seconds = result.seconds
    if result.code not in CONVICTED:
        failed(case, f"code {result.code}, expected one of {CONVICTED}: "
               f"{first_words(result.err or result.out)}")
    return case


def armed_case(place, row, bugs):
    """One of them will do: a change may hide a bug, which is for the matrix to say, but not all of them."""
    case = Case(f"{row}: a bug that is armed is convicted", "preflight")
    for slug, target in bugs:
        result = search(place, row, target, "--bug", slug)
        case.seconds += result.seconds
        if result.code in CONVICTED:
            case.message = slug
            return case
    return failed(case, f"none of {' '.join(slug for slug, target in bugs)} is")


def counters_case(place, row, target):
    case = Case(f"{row}: {target} has coverage counters", "preflight")
    result = process.run(["llvm-size-19", "-A", place.fuzzer(row, target)])
    m = re.search(r"^__sancov_cntrs\s+(\d+)", result.out, re.M)
    count = int(m[1]) if m else 0
    case.seconds = result.seconds
    case.message = f"{count} counters"
    if count < COUNTERS_LEAST:
        failed(case, f"{count} counters, expected at least {COUNTERS_LEAST}: the engine would be blind")
    return case


def preflight(gate):
    """Adds its cases to the gate. Return: whether the gate may go on."""
    place, work = gate.head, gate.folder("probes")
    jobs = [lambda words=words: probe_case(place, work, *words) for words in SANITIZERS]
    for row in ("fiber-plain", "fiber-asan", "fiber-tsan"):
        jobs.append(lambda row=row: canary_case(place, row))
        jobs.append(lambda row=row: armed_case(place, row, armed_bugs(place)))
    for row in ("fuzz-asan", "fuzz-tsan"):
        for name in place.targets + place.formats:
            jobs.append(lambda row=row, name=name: counters_case(place, row, name))
    cases = gate.parallel(jobs)
    gate.cases += cases
    return not any(case.status == ERROR for case in cases)
