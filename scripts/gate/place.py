"""A tree with its configurations: the one at hand, or the base. What is needed of it is built, no more."""

import fcntl
import re
import shutil
from pathlib import Path

from gate import process
from gate.locations import Locations


class Broken(Exception):
    """A configuration could not be built, or what was built does not run."""


class Place:
    def __init__(self, root, name):
        self.root = Path(root)
        self.name = name
        self.seconds = 0.0  # spent on building
        self.locations = Locations(root)
        self._built = set()
        self._broken = {}

    def build(self, row, *ninja_targets):
        """Builds these, and not the tests. Raises Broken with the end of the log."""
        if (row, ninja_targets) in self._built:
            return
        if row in self._broken:
            raise Broken(self._broken[row])
        folder = self.root / "out" / row
        folder.mkdir(parents=True, exist_ok=True)
        commands = [["cmake", "--build", folder, "--target", *ninja_targets]]
        with open(folder / "lock", "w", encoding="utf-8") as lock:
            # build.sh takes the same lock: ninja does not guard its folder.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / "build.ninja").is_file():
                commands.insert(0, ["cmake", "-S", self.root, "-B", folder, "-G", "Ninja",
                                    f"-DROW={row}"])
            for command in commands:
                result = process.run(command)
                self.seconds += result.seconds
                (folder / "build.log").write_text(result.out + result.err)
                if result.code:
                    self.broken(row, f"did not build ({folder}/build.log):\n"
                                + "\n".join((result.out + result.err).splitlines()[-12:]))
        self._built.add((row, ninja_targets))

    def broken(self, row, what):
        """It is not tried again for the next case."""
        self._broken[row] = f"{row} of {self.name} {what}"
        raise Broken(self._broken[row])

    def configure(self, row):
        """Only what ninja needs to know: nothing is compiled. Raises Broken."""
        self.build(row, "help")

    def mmurace(self, row):
        """Return: the path of the tool in that row, which is built if need be. Raises Broken."""
        self.build(row, "bin/mmurace")
        return self.root / "out" / row / "bin" / "mmurace"

    def fuzzer(self, row, target):
        """Return: the path of the engine's binary, which is built if need be. Raises Broken."""
        if (row, ()) not in self._built:
            self.build(row, f"fuzz/{target}")
        return self.root / "out" / row / "fuzz" / target

    def build_fuzzers(self, row):
        self.build(row, "all")
        self._built.add((row, ()))

    def judge_of(self, row, verdict):
        """
        Return: the row that is asked whether a verdict comes up again. Oracles judge alike in every one, so the
        base needs those with sanitizers for their reports only.
        """
        return row

    def names(self, folder):
        """Names of targets, or of formats: one file each."""
        return sorted(path.stem for path in (self.root / folder).glob("*.c")
                      if not path.stem.endswith("_test"))

    @property
    def targets(self):
        return self.names("targets")

    @property
    def formats(self):
        return self.names("fuzz/formats")

    def relative(self, path):
        try:
            return Path(path).resolve().relative_to(self.root.resolve()).as_posix()
        except ValueError:
            return str(path)


def first_words(text):
    """The line of a tool's output that says what is the matter."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in lines:
        if re.search(r"^mmurace: |ERROR: |WARNING: |runtime error: |[Aa]ssert", line):
            return line[:300]
    return lines[-1][:300] if lines else "no output"


def emptied(folder):
    folder = Path(folder)
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder
