"""The kill matrix: every bug of the catalogue is still found, and its reproducer still tells armed from disarmed."""

import time

from gate import process
from gate.cases import FAIL, SKIPPED, Case, Verdict
from gate.replay import objects

ROW = "fiber-plain"
SLUGS_SECONDS = 120


def verdict_of(said):
    wrong = [what for key, what in (("detected", "not found by search"), ("repro_ok", "its reproducer fails otherwise"),
                                    ("silent_disarmed", "its reproducer is not silent when it is disarmed"))
             if not said[key]]
    if not wrong and not (said["reached"] and said["triggered"]):
        wrong = ["never reached"]
    return Verdict(wrong[0] if wrong else "", (), "; ".join(wrong))


def one_row(place, slug):
    """Return: the Verdict of one row. A tree that has no such bug finds nothing wrong with it."""
    result = process.run([place.mmurace(ROW), "matrix", "--json", "--bug", slug,
                          "--reproducers", place.root / "reproducers"], seconds=SLUGS_SECONDS)
    said = next(objects(result.out), None)
    if said:
        return verdict_of(said)
    if result.code == 1:
        return Verdict()
    return Verdict("framework", (), (result.err or result.out)[-300:])


def slugs(place):
    result = process.run([place.mmurace(ROW), "list", "bugs", "--json"], seconds=60)
    return [said["name"] for said in objects(result.out)]


def matrix(gate):
    deadline = gate.deadline("matrix")
    names = slugs(gate.head)
    # Two rows at a time; each in a process of its own, so that one that ends badly costs one row.
    for case in gate.parallel([lambda slug=slug: case_of_row(gate, slug, deadline) for slug in names]):
        gate.cases.append(case)
    gate.unfinished("matrix")


def case_of_row(gate, slug, deadline):
    import time
    case = Case(slug, "matrix")
    begin = time.monotonic()
    if begin >= deadline:
        case.status, case.message = SKIPPED, "out of time before it was searched for"
        return case
    case.verdict = one_row(gate.head, slug)
    case.seconds = time.monotonic() - begin
    if case.verdict:
        case.status = FAIL
        case.message = f"bug {slug}: {case.verdict.detail}"
        case.replay = f"out/bin/mmurace matrix --bug {slug}"
        probe = gate.locations.of_probe(slug)
        case.locations = [probe] if probe else []
        case.again = lambda place: one_row(place, slug)
        # Whatever is wrong with the row there, it was not right before.
        case.same = lambda here, there: bool(there)
    return case
