"""
Short fuzzing with fixed seeds on targets that reach what changed: mmurace run, and the engine. How much is done
depends on the budget and the number of targets alone, so that two gates of one tree do the same; the clock only
ends what takes too long.
"""

import re
import shutil
import time
from dataclasses import dataclass

from gate import process
from gate.cases import ERROR, FAIL, PASS, SKIPPED, Case, Verdict
from gate.census import choose
from gate.findings import describe, expectation, is_unarmed, read_findings, sides, verdict_of_output
from gate.locations import Location
from gate.place import emptied, first_words
from gate.replay import CANNOT_READ, input_again, input_verdict, objects, replay_file, with_functions

SEED = 1
# What one CPU is counted on to do in a second; a slow machine does half of it.
RATES = {("run", "fiber-asan"): 8000, ("run", "fiber-tsan"): 4000,
         ("engine", "fuzz-asan"): 800, ("engine", "fuzz-tsan"): 400}
CPUS = 2
SHARE = 0.6  # of the budget
LEAST, MOST = 200, 400000
JUDGES = {"fuzz-asan": "fiber-asan", "fuzz-tsan": "fiber-tsan"}
# An engine ends with its first failing input: it is started again so often, without that input.
RESTARTS = 3
# Of a program that failed here in another schedule than the base would: schedules that are tried there.
SEARCHED = 20000


@dataclass
class Job:
    kind: str  # run or engine
    row: str
    target: str
    count: int

    @property
    def name(self):
        what = "schedules" if self.kind == "run" else "inputs"
        return f"{self.target}: {self.count} {what} in {self.row}, seed {SEED}"


def plan(targets, formats, budget):
    """Return: the jobs, a target's kinds after all targets' first kind: if time runs out, each had some."""
    total = [(kind, row, target) for kind, row in RATES for target in targets
             if kind == "engine" or target not in formats]
    seconds = SHARE * budget * CPUS / max(len(total), 1)
    return [Job(kind, row, target, max(LEAST, min(MOST, int(RATES[kind, row] * seconds))))
            for kind, row, target in total]


# ---- what failed -----------------------------------------------------------------------------

def text_again(place, row, path):
    """
    Return: the Verdict of a finding's text in a tree. At the base sites may be elsewhere: directives look for them
    nearby, and if the text still does not fail there, other schedules of its program are tried.
    """
    text = path.read_text(errors="replace")
    verdict, _, report = replay_file(place, row, path, "--nearby")
    if verdict.kind == CANNOT_READ:
        return Verdict()
    if not verdict:
        expected = expectation(text)
        return with_functions(place, expected, report)
    if not verdict.kind.startswith(("silent", "diverged")):
        return verdict
    result = process.run([place.mmurace(row), "search", path, "--schedules", SEARCHED, "--seed", SEED, "--json"],
                         seconds=60)
    said = next(objects(result.out), None)
    first = said and said.get("first")
    return Verdict(first["verdict"]) if first else Verdict()




def case_of_finding(gate, finding, job, seconds):
    row = JUDGES.get(job.row, job.row)
    path, explained = keep(gate, finding, f"{job.target}-{job.row}")
    _, _, report = replay_file(gate.head, row, path)
    verdict = with_functions(gate.head, finding.verdict, report)
    case = Case(f"{verdict.kind} in {row}: {path.name}", "fuzz", FAIL, seconds,
                verdict=verdict, file=str(path), unarmed=is_unarmed(path))
    describe(gate, case, row, report)
    broken = re.search(r"^\s+broken\s+(.*)$", explained, re.M)
    case.message = "found with no bug armed: " + (broken[1] if broken else verdict.kind)
    case.sides = sides(explained)
    case.again = lambda place: text_again(place, place.judge_of(row, verdict), path)
    return case


def keep(gate, finding, origin):
    """
    Puts a text into the folder of results, and what explains it beside it.
    Return: (its path there, the explanation).
    """
    name = finding.path.parent.name if finding.path.name == "finding.repro" else finding.path.stem
    path = gate.results("findings") / f"{origin}-{name}.repro"
    shutil.copyfile(finding.path, path)
    explained = process.run([gate.head.mmurace("fiber-plain"), "explain", path], seconds=60)
    path.with_suffix(".txt").write_text(explained.out)
    return path, explained.out


def case_of_artifact(gate, job, artifact, verdict, report):
    """An input that no text could be made of: it is kept as it is."""
    path = gate.results("findings") / f"{job.target}-{artifact.name}"
    shutil.copyfile(artifact, path)
    case = Case(f"{verdict.kind} in {job.row}: {path.name}", "fuzz", FAIL, message=verdict.detail,
                verdict=verdict, file=str(path), unarmed=True)
    case.replay = f"out/{job.row}/fuzz/{job.target} '{gate.head.relative(path)}'"
    case.locations = gate.locations.of_sites(verdict.sites) or gate.locations.of_report(report) or \
        [Location(f"fuzz/formats/{job.target}.c" if job.target in gate.head.formats
                  else f"targets/{job.target}.c", 1, job.target, exact=False)]
    case.again = lambda place: input_again(place, job.row, job.target, path, verdict, gate.folder("again"))
    return case


# ---- jobs ------------------------------------------------------------------------------------

def run_command(place, job, *words):
    return [place.mmurace(job.row), "run", job.target, "--seed", SEED, "--schedules", job.count, *words]


def run_again(place, job):
    """Return: the Verdict of a job that ended in a way of its own, and not with findings."""
    result = process.run(run_command(place, job), seconds=120)
    return Verdict() if result.code in (0, 81, 82, 83) else Verdict("framework", (), first_words(result.err))


def do_run(gate, job, case, left):
    saved = emptied(gate.folder("runs") / f"{job.row}-{job.target}")
    result = process.run(run_command(gate.head, job, "--save", saved, "--json"), seconds=left)
    said = next(objects(result.out), None)
    case.message = f"{said['schedules']} schedules" if said else ""
    cases = [case_of_finding(gate, finding, job, result.seconds) for finding in read_findings(saved)]
    if result.late:
        case.status, case.message = SKIPPED, "out of time before it was done"
    elif result.code not in (0, 81, 82, 83) or said is None:
        case.status, case.verdict = FAIL, Verdict("framework", (), first_words(result.err))
        case.message = f"code {result.code}: {case.verdict.detail}"
        case.again = lambda place: run_again(place, job)
    return cases


def do_engine(gate, job, case, left):
    deadline = time.monotonic() + left
    folder = emptied(gate.folder("engine") / f"{job.row}-{job.target}")
    seeds = gate.head.root / "corpus" / job.target
    corpus = folder / "corpus"
    shutil.copytree(seeds, corpus) if seeds.is_dir() else corpus.mkdir()
    cases, done = [], 0
    for attempt in range(RESTARTS):
        result = process.run([gate.head.fuzzer(job.row, job.target), f"-seed={SEED + attempt}",
                              f"-runs={job.count - done}", "-len_control=0", "-timeout=25",
                              f"-artifact_prefix={folder}/", corpus],
                             seconds=deadline - time.monotonic(), cwd=folder)
        if result.late:
            case.status, case.message = SKIPPED, "out of time before it was done"
            return cases
        if result.code == 0:
            case.message = f"{job.count} inputs" + (f", {attempt} of them failed" if attempt else "")
            return cases
        m = re.search(r"Test unit written to (.*)$", result.err, re.M)
        if not m:
            case.status, case.verdict = FAIL, Verdict("framework", (), first_words(result.err))
            case.message = f"code {result.code}, and no input left: {case.verdict.detail}"
            case.again = lambda place: engine_again(place, job)
            return cases
        artifact = folder / m[1].rsplit("/", 1)[-1]
        cases += triaged(gate, job, artifact, result.err)
        drop(corpus, artifact)
        executed = re.findall(r"^#(\d+)\b", result.err, re.M)
        done = min(done + (int(executed[-1]) if executed else 0), job.count - 1)
    case.message = f"{done} of {job.count} inputs: it ended {RESTARTS} times with one that fails"
    return cases


def engine_again(place, job):
    result = process.run([place.fuzzer(job.row, job.target), f"-seed={SEED}", f"-runs={job.count}"],
                         seconds=120)
    return Verdict() if result.code == 0 else Verdict("framework", (), first_words(result.err))


def drop(corpus, artifact):
    """The next start would end at once with an input of the corpus that fails."""
    data = artifact.read_bytes()
    for path in corpus.iterdir():
        if path.read_bytes() == data:
            path.unlink()


def triaged(gate, job, artifact, report):
    """Return: cases for one failing input: of its text, or of itself where there is no text."""
    if job.target not in gate.head.formats:
        folder = emptied(artifact.parent / f"{artifact.name}-triage")
        process.run([gate.head.mmurace(JUDGES[job.row]), "triage", artifact, "--target", job.target, "-o", folder],
                    seconds=120)
        found = read_findings(folder)
        if found:
            return [case_of_finding(gate, finding, job, 0.0) for finding in found]
    verdict, _, symbolised = input_verdict(gate.head, job.row, job.target, artifact)
    if not verdict:
        verdict = verdict_of_output(report)
    return [case_of_artifact(gate, job, artifact, verdict, symbolised or report)]


def do_job(gate, job, deadline):
    case = Case(job.name, "fuzz", PASS)
    begin = time.monotonic()
    if begin >= deadline:
        case.status, case.message = SKIPPED, "out of time before it began"
        return [case]
    folder = "fuzz/formats" if job.target in gate.head.formats else "targets"
    case.locations = [Location(f"{folder}/{job.target}.c", 1, job.target, exact=False)]
    found = (do_run if job.kind == "run" else do_engine)(gate, job, case, deadline - begin)
    case.seconds = time.monotonic() - begin
    return [case] + found


def fuzz(gate):
    deadline = gate.deadline("fuzz")
    gate.choice = choice = choose(gate)
    gate.say(f"fuzzing: {choice.why}")
    jobs = plan(choice.targets, gate.head.formats, gate.budget)
    # The canary carries a bug for ever; without it its programs must be silent, whatever changed.
    count = jobs[0].count if jobs else LEAST
    results = gate.parallel([lambda: silent_canary(gate, count)] +
                            [lambda job=job: do_job(gate, job, deadline) for job in jobs])
    seen = set()
    for case in (case for cases in results for case in cases):
        # Engines and runs find one thing in many ways; it is judged once for each configuration.
        key = (case.verdict.kind, tuple(sorted(case.verdict.sites)), case.file and case.name.split(": ")[0])
        if case.status == FAIL and case.file and key in seen:
            continue
        seen.add(key)
        gate.cases.append(case)
    if jobs and not any(case.phase == "fuzz" and case.status != SKIPPED for case in gate.cases):
        gate.cases.append(Case("fuzz", "fuzz", ERROR, message="there was no time to fuzz anything: raise --budget"))


def silent_canary(gate, count):
    job = Job("run", "fiber-asan", "canary", min(count, 20000))
    case = Case(f"canary: {job.count} schedules in {job.row} with nothing armed", "fuzz")
    saved = emptied(gate.folder("runs") / "canary")
    result = process.run(run_command(gate.head, job, "--bug", "none", "--save", saved), seconds=60)
    case.seconds = result.seconds
    if result.code not in (0, 81, 82, 83):
        case.status, case.verdict = FAIL, Verdict("framework", (), first_words(result.err))
        case.message = f"code {result.code}: {case.verdict.detail}"
        case.again = lambda place: run_again(place, job)
    return [case] + [case_of_finding(gate, finding, job, result.seconds)
                     for finding in read_findings(saved)]
