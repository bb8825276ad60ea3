"""The base: the commit this tree is compared with. It is unpacked and built only when something failed."""

import difflib
import shutil
from pathlib import Path

from gate import process
from gate.place import Broken, Place


class UnknownRef(Exception):
    """There is no such commit. The message says what there is instead."""


def git(root, *words):
    """Return: what git says, or None if it refuses."""
    result = process.run(["git", "-C", root, *words])
    return result.out.strip() if result.code == 0 else None


def commit_of(root, ref):
    return git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")


def resolve(root, ref):
    """
    Return: (commit, how it was chosen). It is where HEAD parted from the ref: what the ref has got since is no
    doing of this tree. Without a ref: of origin/main, else main; and where HEAD is no further than that and
    nothing is changed, the commit before HEAD. Raises UnknownRef.
    """
    head = commit_of(root, "HEAD")
    if not head:
        said = process.run(["git", "-C", root, "rev-parse", "HEAD"]).err.strip()
        raise UnknownRef(f"the gate compares with a commit, and git finds none here: {said}")
    for name in [ref] if ref is not None else ["origin/main", "main"]:
        commit = commit_of(root, name)
        if not commit:
            continue
        parted = git(root, "merge-base", commit, "HEAD")
        if ref is None and parted == head and not git(root, "status", "--porcelain"):
            break
        return (parted, f"where HEAD parted from {name}") if parted else (commit, "HEAD has no history with it")
    if ref is not None:  # "" is what a script makes of a variable that is not set
        raise UnknownRef(f"there is no commit '{ref}'.{near(root, ref)}")
    before = commit_of(root, "HEAD~1")
    return (before, "the commit before HEAD") if before else (head, "HEAD itself, which is the first commit")


def near(root, ref):
    names = (git(root, "for-each-ref", "--format=%(refname:short)") or "").split()
    found = difflib.get_close_matches(ref, names, n=3, cutoff=0.5)
    return f" Did you mean: {' '.join(found)}?" if found else ""


class Base(Place):
    def __init__(self, root, commit, folder):
        super().__init__(Path(folder) / commit[:12], f"the base {commit[:12]}")
        self.repository = root
        self.commit = commit
        self.used = False

    def build(self, row, *ninja_targets):
        self._unpack()
        super().build(row, *ninja_targets)
        self._runs(row, ninja_targets)

    def judge_of(self, row, verdict):
        return row if verdict.kind.startswith("sanitizer") else "fiber-plain"

    def _unpack(self):
        """The files of the commit, and nothing of git: no branch, no worktree stays behind."""
        self.used = True
        if self.root.is_dir():  # it is complete once it has its name
            return
        partial = self.root.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        archive = partial / "archive.tar"
        result = process.run(["git", "-C", self.repository, "archive", "-o", archive, self.commit])
        if result.code:
            raise Broken(f"{self.name} cannot be checked out: {result.err.strip()}")
        result = process.run(["tar", "-xf", archive, "-C", partial])
        if result.code:
            raise Broken(f"{self.name} cannot be unpacked: {result.err.strip()}")
        archive.unlink()
        partial.rename(self.root)

    def _runs(self, row, ninja_targets):
        """What is built must run at all: what it says of a text would mean nothing otherwise."""
        if "bin/mmurace" not in ninja_targets:
            return
        result = process.run([self.root / "out" / row / "bin" / "mmurace", "list", "targets"],
                             seconds=60)
        if result.code:
            self.broken(row, f"is built and does not run: {result.err[-300:]}")
