"""A case is one thing that the gate looked at. All reports are made of cases, and of nothing else."""

from dataclasses import dataclass, field
from typing import Callable, Optional

PASS = "pass"
FAIL = "fail"  # reproduces here, and not at the base: a regression
KNOWN = "known"  # reproduces here, and at the base as well
ERROR = "error"  # the gate cannot judge it
SKIPPED = "skipped"  # not looked at, the message says why
STATUSES = (PASS, FAIL, KNOWN, ERROR, SKIPPED)

PHASES = ("build", "preflight", "replay", "matrix", "fuzz", "base")

EXIT_PASS = 0
EXIT_USAGE = 1
EXIT_CANNOT_JUDGE = 80
EXIT_REGRESSION = 81
EXIT_INTERRUPTED = 85


@dataclass(frozen=True)
class Verdict:
    """What was seen, in few words ("stale_mapping SM4"); empty if all is as it should be."""

    kind: str = ""
    sites: tuple = ()
    detail: str = ""

    def __bool__(self):
        return bool(self.kind)


def same_failure(here, there):
    """Sites of oracles move with the code and are not compared; two races in other functions are two."""
    return here.kind == there.kind and (not here.kind.startswith("sanitizer") or not here.sites
                                        or set(here.sites) == set(there.sites))


@dataclass
class Case:
    name: str
    phase: str
    status: str = PASS
    seconds: float = 0.0
    message: str = ""
    verdict: Verdict = Verdict()
    locations: list = field(default_factory=list)  # of what races, the first one first
    steps: list = field(default_factory=list)  # of the interleaving: (task, Location, text)
    sides: list = field(default_factory=list)  # tasks at the locations, if known
    file: str = ""  # reproducer or artifact that shows it
    size: int = 0  # of that file
    replay: str = ""  # command that shows it again
    unarmed: bool = False  # seen with no bug armed
    touched: bool = False  # a place of it is in a file that differs from the base
    # Looks again: in this tree, or in that of the base. None: what fails cannot be judged any further.
    again: Optional[Callable] = None
    same: Callable = same_failure  # is a verdict at the base the same failure?
    base_broken: bool = False  # the base could not be built or run
    judged: bool = False  # it was tried again, here and there


def failing(cases):
    """Those that wait for judge.py."""
    return [case for case in cases if case.status == FAIL and not case.judged]


def exit_code(cases, interrupted=False):
    """
    Return: the code the gate exits with. A base that could not be asked, or a tool that gave wrong answers
    before it was asked anything, leaves nothing to say about the tree.
    """
    if interrupted:
        return EXIT_INTERRUPTED
    errors = [case for case in cases if case.status == ERROR]
    if any(case.base_broken or case.phase in ("build", "preflight", "base") for case in errors):
        return EXIT_CANNOT_JUDGE
    if any(case.status == FAIL for case in cases):
        return EXIT_REGRESSION
    return EXIT_CANNOT_JUDGE if errors else EXIT_PASS


def outcome(code):
    return {EXIT_PASS: "pass", EXIT_REGRESSION: "regression", EXIT_INTERRUPTED: "interrupted",
            EXIT_CANNOT_JUDGE: "cannot judge"}[code]


@dataclass
class Group:
    """Cases that fail alike: one verdict, with one place where it shows."""

    cases: list

    @property
    def first(self):
        """The most telling: with nothing armed, where the tree was changed, in the shortest text."""
        return self.cases[0]

    @property
    def verdict(self):
        return self.first.verdict


def effort(case):
    return (not case.unarmed, not case.steps, len(case.verdict.sites) < 2, not case.touched, len(case.steps), case.size, case.name)


def groups(cases):
    """
    Return: what failed, what matters first: that which shows with no bug armed, then verdicts at two sites,
    then the rest. One defect convicts at one place, races with many others, and changes the verdicts of many
    reproducers: that is one group.
    """
    found = {}
    for case in cases:
        found.setdefault((case.status, case.verdict.kind, case.verdict.sites[:1]), []).append(case)
    result = [Group(sorted(members, key=effort)) for members in found.values()]
    result.sort(key=lambda group: (not group.first.unarmed, -len(group.verdict.sites),
                                   -len(group.cases), group.verdict.kind))
    return result
