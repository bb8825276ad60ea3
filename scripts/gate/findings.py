"""What a search leaves: texts of findings, and what engines and sanitizers say of a failure."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from gate.cases import Verdict
from gate.locations import Location

EXPECT = re.compile(r"^expect[ \t]+(\S+)(?: (\S+))?(?:  (.*))?$", re.M)
BUG = re.compile(r"^bug[ \t]+(\w+)", re.M)
DIRECTIVE = re.compile(r"^at (\S+) (\S+)(?: ([^~\n]*?:[^~\n]*?)#(\d+))?\s+(?:~\d+\s+)?(switch|until|answer) (.*)$",
                       re.M)


@dataclass
class Finding:
    path: Path  # of the text
    verdict: Verdict
    about: dict  # meta.json, if there is one


def expectation(text):
    """Return: the Verdict that a text expects."""
    m = EXPECT.search(text)
    if not m or m[1] == "none":
        return Verdict()
    sites = tuple(site for site in (m[3] or "").split(" / ") if site)
    return Verdict(f"{m[1]} {m[2]}" if m[2] else m[1], sites)


def read_findings(folder):
    """
    Return: what run --save or triage has left in the folder: <name>/finding.repro with a meta.json, or a text
    <name>.repro. Texts that were saved but not minimised count as well.
    """
    found = []
    for path in sorted(Path(folder).rglob("*.repro")):
        about = {}
        if (path.parent / "meta.json").is_file():
            about = json.loads((path.parent / "meta.json").read_text())
        verdict = expectation(path.read_text(errors="replace"))
        if about.get("sites") and not verdict.sites:
            verdict = Verdict(verdict.kind, tuple(about["sites"]))
        found.append(Finding(path, verdict, about))
    return found


def is_unarmed(path):
    m = BUG.search(Path(path).read_text(errors="replace"))
    return not m or m[1] == "none"


def verdict_of_output(text):
    """Return: the Verdict for an input that ended an engine's binary, by what was printed."""
    m = re.search(r"^mmurace: \w+: (?:finding \w+: )?(\w+) ([A-Z]+\d+)(?:\s+(.*))?$", text, re.M)
    if m:
        sites = tuple(site for site in (m[3] or "").split(" / ") if site)
        detail = re.search(r"^mmurace: %s: (.*)$" % m[1], text, re.M)
        return Verdict(f"{m[1]} {m[2]}", sites, detail[1] if detail else "")
    m = re.search(r"(?:ERROR|WARNING): \w*Sanitizer: (?:attempting )?([a-z-]+(?: race)?)", text)
    if m and "deadly" not in m[1]:
        return Verdict("sanitizer " + m[1].replace(" ", "-"), (), m[0])
    m = re.search(r"runtime error: (.*)", text)
    if m:
        return Verdict("sanitizer undefined-behaviour", (), m[0])
    m = re.search(r"libFuzzer: (.*)", text)
    return Verdict("framework", (), m[1] if m else "ended without a word")


def steps_of(text, locations):
    """Return: the interleaving of a reproducer: (task, Location or None, what happens there) for each deviation."""
    steps = []
    for m in DIRECTIVE.finditer(text):
        what = {"switch": f"task {m[1]} stops here, task {m[6]} goes on",
                "until": f"task {m[1]} goes on until {m[6]}",
                "answer": f"the environment answers {m[6]}"}[m[5]]
        steps.append((m[1], locations.of_site(m[3]) if m[3] else None, f"{m[2]}: {what}"))
    return steps


def sides(explanation):
    """Return: the tasks at the two sites, as explain names them ("between task 1 at ...", "and task 2 at ...")."""
    return re.findall(r"^\s+(?:between|and)\s+task (\S+) at ", explanation, re.M)


def command_of(path, row):
    path = str(path)
    return f"out/bin/mmurace replay --config {row} " + (f"'{path}'" if " " in path else path)


def describe(gate, case, row, report):
    """Fills in what the reports show of a failing text: places, steps, the command."""
    text = Path(case.file).read_text(errors="replace")
    case.size = len(text)
    case.locations = gate.locations.of_sites(case.verdict.sites) or gate.locations.of_report(report)
    case.steps = steps_of(text, gate.locations)
    case.replay = command_of(gate.head.relative(case.file), row)
    if not case.message:
        expected = expectation(text)
        case.message = case.verdict.kind
        if expected.kind != case.verdict.kind and "expected" not in case.message:
            case.message += f", expected {expected.kind or 'none'}"
        if case.verdict.detail:
            case.message += f": {case.verdict.detail}"
    if not case.locations:
        case.locations = [Location(gate.head.relative(case.file), 1, "the text", exact=False)]
