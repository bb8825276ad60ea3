"""Reproducers and seeds, each twice under AddressSanitizer and twice under ThreadSanitizer: same verdicts, equal hashes."""

import json
import re
import time

from gate import process
from gate.cases import ERROR, FAIL, SKIPPED, Case, Verdict
from gate.findings import command_of, describe, is_unarmed, read_findings, verdict_of_output
from gate.locations import Location
from gate.place import emptied, first_words

ROWS = ("fiber-asan", "fiber-tsan")
# Seeds go to the engines' binaries, which say what the traces of an input hash to.
SEED_ROWS = ("fuzz-asan", "fuzz-tsan")
TIMES = 2
CANNOT_READ = "cannot be read"


# ---- reproducers -----------------------------------------------------------------------------

def objects(text):
    """The JSON objects in a tool's output, one a line."""
    for line in text.splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            pass


def verdict_of(said):
    """Return: the Verdict for what replay --json said of a text that is not as expected."""
    sites = tuple(site for site in said.get("sites", "").split(" / ") if site)
    kind = said["verdict"]
    if kind == "none":
        kind = f"silent, expected {said['expected']}"
    elif kind == said["expected"] and said.get("sites") != said.get("expected_sites"):
        kind += " at other sites"
    elif said.get("diverged"):
        kind = f"diverged, {kind}"
    return Verdict(kind, sites, said.get("diverged", ""))


def replay_file(place, row, path, *words):
    """Return: (Verdict of one text in one configuration, its hash, what was printed beside)."""
    result = process.run([place.mmurace(row), "replay", "--json", *words, path], seconds=60)
    said = next(objects(result.out), None)
    if result.late:
        return Verdict("no end in 60 seconds"), "", result.err
    if result.code == 1:
        return Verdict(CANNOT_READ, (), first_words(result.err)), "", result.err
    if said is None or result.code < 0 or result.code == 80:
        return Verdict("framework", (), first_words(result.err or result.out)), "", result.err
    verdict = verdict_of(said) if result.code else Verdict()
    return with_functions(place, verdict, result.err), said["hash"], result.err


def with_functions(place, verdict, report):
    """A sanitizer's report has functions where an oracle has sites: two reports are one if they name the same."""
    if not verdict.kind.startswith("sanitizer") or verdict.sites:
        return verdict
    places = place.locations.of_report(report)
    return Verdict(verdict.kind, tuple(found.text for found in places), verdict.detail)


def replay_all(place, row, paths, seconds):
    """Return: path -> what replay --json says of it; paths that no answer came for are missing."""
    result = process.run([place.mmurace(row), "replay", "--json", *paths], seconds=seconds)
    return {said["file"]: said for said in objects(result.out) if "hash" in said}, result.late


def clean(said):
    return (said["verdict"] == said["expected"] and said["sites"] == said["expected_sites"]
            and not said.get("diverged"))


def case_of_text(gate, path, rounds):
    """rounds: (row, answers of that row by path, whether its time was up) for each time each row ran."""
    case = Case(gate.head.relative(path), "replay", file=str(path))
    said = [(row, answers.get(str(path)), late) for row, answers, late in rounds]
    if any(answer is None and late for _, answer, late in said):
        case.status, case.message = SKIPPED, "out of time before it was replayed"
        return case
    for row, answer, _ in said:
        if answer is None or not clean(answer):
            # Alone, for the tool's own word: some differences are as good as what a text expects.
            case.verdict, _, report = replay_file(gate.head, row, path)
            if case.verdict:
                case.again = lambda place, row=row: replay_file(
                    place, place.judge_of(row, case.verdict), path)[0]
                case.unarmed = is_unarmed(path)
                case.status = FAIL
                describe(gate, case, row, report)
                return case
    hashes = {answer["hash"] for _, answer, _ in said if answer}
    if len(hashes) > 1:
        case.status = FAIL
        case.locations = [Location(case.name, 1, "the text", exact=False)]
        case.verdict = Verdict("hashes differ", (), " ".join(
            f"{row} {answer['hash']}" for row, answer, _ in said if answer))
        case.message = f"the same text, other traces: {case.verdict.detail}"
        case.replay = command_of(case.file, ROWS[0])
        case.again = lambda place: hashes_again(place, path)
    return case


def hashes_again(place, path):
    seen = {replay_file(place, row, path)[1] for row in ROWS for _ in range(TIMES)}
    return Verdict("hashes differ") if len(seen) > 1 else Verdict()


def replay_reproducers(gate, deadline):
    paths = sorted((gate.head.root / "reproducers").glob("*.repro"))
    begin = time.monotonic()
    jobs = [lambda row=row: (row, *replay_all(gate.head, row, paths, deadline - time.monotonic()))
            for _ in range(TIMES) for row in ROWS]
    rounds = gate.parallel(jobs)
    each = (time.monotonic() - begin) / max(len(paths), 1)
    for path in paths:
        case = case_of_text(gate, path, rounds)
        case.seconds = each
        gate.cases.append(case)


# ---- seeds -----------------------------------------------------------------------------------

def run_inputs(place, row, target, paths, deadline):
    """
    Runs inputs in one process, and in one more after each that ends it.
    Return: path -> (hash, or "" where the target tells none; Verdict; what was printed beside).
    """
    seen = {}
    left = list(paths)
    while left:
        result = process.run([place.fuzzer(row, target), "-timeout=25", *left],
                             seconds=deadline - time.monotonic(), cwd=place.root / "out",
                             env={"MMURACE_HASHES": "1"} | symbolising())
        parts = re.split(r"^Running: (.*)$", result.err, flags=re.M)[1:]
        reached = dict(zip(parts[::2], parts[1::2]))
        for path in left:
            text = reached.get(str(path))
            if text is None:
                continue
            if re.search(r"^Executed ", text, re.M):
                found = re.findall(r"^mmurace: hash (\S+)$", text, re.M)
                seen[path] = found[-1] if found else "", Verdict(), ""
            elif not result.late:
                seen[path] = "", verdict_of_output(text), text
        still = [path for path in left if path not in seen]
        if result.late or len(still) == len(left):
            break
        left = still
    return seen


def symbolising():
    """Engines run without; where one report is read it is worth the time."""
    options = "symbolize=1:external_symbolizer_path=/usr/bin/llvm-symbolizer-19"
    return {"ASAN_OPTIONS": options, "TSAN_OPTIONS": options, "UBSAN_OPTIONS": options}


def input_again(place, row, target, path, verdict, work):
    """
    Return: the Verdict of one input, in a tree. What oracles say of it, the command line tool can tell as well:
    the base builds no engine for it.
    """
    judge = place.judge_of(row, verdict)
    if judge == row or target in place.formats or target not in place.targets:
        return input_verdict(place, row, target, path)[0]
    folder = emptied(work)
    result = process.run([place.mmurace(judge), "triage", path, "--target", target, "-o", folder], seconds=120)
    found = read_findings(folder)
    if result.code in (0, 84) or not found:
        return Verdict()
    return found[0].verdict


def input_verdict(place, row, target, path):
    """Return: (Verdict of one input, its hash, what was printed beside)."""
    seen = run_inputs(place, row, target, [path], time.monotonic() + 60)
    if path not in seen:
        return Verdict("no end in 60 seconds"), "", ""
    return seen[path][1], seen[path][0], seen[path][2]


def case_of_seed(gate, target, path, rounds):
    case = Case(gate.head.relative(path), "replay", file=str(path), unarmed=True)
    seen = [(row, answers.get(path)) for row, answers in rounds]
    for row, answer in seen:
        if answer and answer[1]:
            case.status, case.verdict = FAIL, answer[1]
            case.replay = f"out/{row}/fuzz/{target} {case.name}"
            case.message = answer[1].detail
            case.locations = gate.locations.of_sites(case.verdict.sites) or \
                gate.locations.of_report(answer[2]) or [Location(case.name, 1, "the input", exact=False)]
            case.again = lambda place, row=row: input_again(
                place, row, target, path, case.verdict, gate.folder("again"))
            return case
    if any(answer is None for _, answer in seen):
        case.status, case.message = SKIPPED, "out of time before it was replayed"
        return case
    hashes = {answer[0] for _, answer in seen}
    if len(hashes) > 1:
        case.status = FAIL
        case.locations = [Location(case.name, 1, "the input", exact=False)]
        case.verdict = Verdict("hashes differ", (), " ".join(f"{row} {answer[0]}"
                                                             for row, answer in seen))
        case.message = f"the same input, other traces: {case.verdict.detail}"
        case.again = lambda place: Verdict("hashes differ") if len({
            input_verdict(place, row, target, path)[1] for row in SEED_ROWS
            for _ in range(TIMES)}) > 1 else Verdict()
    return case


def replay_seeds(gate, deadline):
    folders = sorted(path for path in (gate.head.root / "corpus").iterdir() if path.is_dir())
    known = set(gate.head.targets + gate.head.formats)
    work = []
    for folder in folders:
        if folder.name not in known:
            gate.cases.append(Case(f"corpus/{folder.name}", "replay", ERROR,
                                   message="there is no target of that name: delete the folder"))
            continue
        work.append((folder.name, sorted(path for path in folder.iterdir() if path.is_file())))
    jobs = [lambda row=row, target=target, paths=paths:
            (row, run_inputs(gate.head, row, target, paths, deadline))
            for target, paths in work for row in SEED_ROWS for _ in range(TIMES)]
    begin = time.monotonic()
    answers = gate.parallel(jobs)
    each = (time.monotonic() - begin) / max(sum(len(paths) for _, paths in work), 1)
    count = len(SEED_ROWS) * TIMES
    for i, (target, paths) in enumerate(work):
        for path in paths:
            case = case_of_seed(gate, target, path, answers[i * count:(i + 1) * count])
            case.seconds = each
            gate.cases.append(case)


def replay(gate):
    deadline = gate.deadline("replay")
    replay_reproducers(gate, deadline)
    replay_seeds(gate, deadline)
    gate.unfinished("replay")
