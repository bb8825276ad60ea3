"""What the phases share: the two trees, the clock, the folders, the cases so far."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gate.base import Base
from gate.cases import ERROR, SKIPPED, Case
from gate.place import Place, emptied

# Up to which part of the budget a phase may go on. What one leaves, the next may use.
UNTIL = {"preflight": 0.15, "replay": 0.4, "matrix": 0.6, "fuzz": 1.0}
DEFAULT_BUDGET = 300
OWN_FILES = ("junit.xml", "gate.tap", "gate.sarif", "summary.md")


class Gate:
    def __init__(self, root, commit, why, output, budget, say=print):
        self.head = Place(root, "this tree")
        self.work = Path(root) / "out" / "gate" / "work"
        self.base = Base(root, commit, Path(root) / "out" / "gate" / "base")
        self.base_why = why
        self.commit, self.dirty = "", False  # of the tree at hand
        self.output = Path(output)
        self.budget = budget
        self.cases = []
        self.choice = None
        self.oracles = {}  # name -> what it convicts
        self.began = time.monotonic()
        self.looked = 0.0
        self.say = say

    @property
    def locations(self):
        return self.head.locations

    def start_clock(self):
        """The budget counts from here: what is built, is built."""
        self.began = time.monotonic()

    def deadline(self, phase):
        return self.began + self.budget * UNTIL[phase]

    def folder(self, name):
        """A folder for what nobody needs afterwards."""
        path = self.work / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def results(self, name):
        path = self.output / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def clear(self):
        """What the last gate left. A folder that no gate has written to is left as it is."""
        emptied(self.work)
        self.output.mkdir(parents=True, exist_ok=True)
        if (self.output / "gate.sarif").is_file() and (self.output / "findings").is_dir():
            for path in (self.output / "findings").iterdir():
                path.unlink()
        for name in OWN_FILES:
            (self.output / name).unlink(missing_ok=True)

    def parallel(self, jobs):
        """Return: what the jobs return, in their order."""
        with ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 8)) as pool:
            return list(pool.map(lambda job: job(), jobs))

    def unfinished(self, phase):
        """A phase that ran out of time has not passed."""
        count = sum(case.phase == phase and case.status == SKIPPED for case in self.cases)
        if count:
            self.cases.append(Case(phase, phase, ERROR, message=f"out of time: {count} cases were not looked at; "
                                   "raise --budget"))
