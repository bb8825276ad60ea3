"""What the writers are given, and writing all of it."""

import time
from dataclasses import dataclass, field

from gate import junit, sarif, sarif_rules, summary, tap
from gate.cases import ERROR, Case, exit_code, outcome


@dataclass
class Report:
    cases: list
    commit: str = ""
    dirty: bool = False
    base: str = ""
    base_why: str = ""
    budget: int = 0
    built: float = 0.0  # seconds
    looked: float = 0.0
    base_built: float = 0.0
    choice: object = None
    oracles: dict = field(default_factory=dict)
    interrupted: bool = False
    timestamp: str = field(default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()))

    @property
    def code(self):
        return exit_code(self.cases, self.interrupted)

    @property
    def outcome(self):
        return outcome(self.code)


def write(report, folder):
    """
    Writes junit.xml, gate.tap, gate.sarif and summary.md. A log that is no SARIF is an error of its own, in all four.
    Return: their paths.
    """
    wrong = sarif_rules.problems(sarif.document(report))
    if wrong:
        report.cases.append(Case("gate.sarif", "build", ERROR, message="this is no SARIF: " + "; ".join(wrong[:5])))
    paths = []
    for name, writer in (("summary.md", summary), ("gate.sarif", sarif), ("junit.xml", junit),
                         ("gate.tap", tap)):
        path = folder / name
        path.write_text(writer.text(report), encoding="utf-8")
        paths.append(path)
    return paths
