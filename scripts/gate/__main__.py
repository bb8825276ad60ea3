"""The command line of ./build.sh gate."""

import argparse
import difflib
import fcntl
import os
import signal
import sys
import time
import traceback
from pathlib import Path

from gate import base as base_module
from gate import process, report
from gate.cases import ERROR, EXIT_USAGE, Case
from gate.fuzz import fuzz
from gate.gate import DEFAULT_BUDGET, Gate
from gate.judge import judge, leave
from gate.matrix import matrix
from gate.place import Broken
from gate.preflight import preflight
from gate.replay import objects, replay

ROOT = Path(__file__).resolve().parent.parent.parent
OPTIONS = ("--base", "--budget", "--output", "--help")
EXIT_TEXT = """exit code: 0 pass; 81 regression: something fails here every time, and not at the base; 80 the gate cannot
judge: a wrong answer in preflight, a configuration or the base that does not build or run, out of time, a failure
that does not come back; 85 interrupted; 1 usage. docs/gate.md says more."""


class Parser(argparse.ArgumentParser):
    """Usage errors end with our code, and say what was meant."""

    def error(self, message):
        for word in message.split():
            if word.startswith("--"):
                name = word.split("=")[0].rstrip(":")
                found = [] if name in OPTIONS else difflib.get_close_matches(name, OPTIONS, n=2)
                message += f". Did you mean: {' '.join(found)}?" if found else ""
        print(f"gate: {message}\n{self.format_usage().strip()}", file=sys.stderr)
        sys.exit(EXIT_USAGE)


def seconds(text):
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"expected a number of seconds, found '{text}'")
    return int(text)


def parse(words):
    parser = Parser(prog="./build.sh gate", allow_abbrev=False, epilog=EXIT_TEXT,
                    formatter_class=argparse.RawDescriptionHelpFormatter,
                    description="Is this tree worse than the commit it comes from?")
    parser.add_argument("--base", metavar="REF", help="compare with where HEAD parted from REF "
                        "(origin/main, else main, else the commit before HEAD)")
    parser.add_argument("--budget", metavar="SECONDS", type=seconds, default=DEFAULT_BUDGET,
                        help="time for looking, after all is built (%(default)s)")
    parser.add_argument("-o", "--output", metavar="FOLDER", default=ROOT / "out" / "gate",
                        help="where junit.xml, gate.tap, gate.sarif, summary.md and findings/ go (out/gate)")
    return parser.parse_args(words)


def say(text):
    print(text, flush=True)


def build(gate):
    head = gate.head
    for row in ("fiber-plain", "fiber-asan", "fiber-tsan"):
        gate.say(f"building {row}")
        head.mmurace(row)
    for row in ("fuzz-asan", "fuzz-tsan"):
        gate.say(f"building {row}")
        head.build_fuzzers(row)
    said = process.run([head.mmurace("fiber-plain"), "list", "oracles", "--json"], seconds=60)
    gate.oracles = {oracle["name"]: oracle["what"] for oracle in objects(said.out)}


def look(gate):
    """All phases, as far as each lets the next one go on."""
    try:
        build(gate)
    except Broken as error:
        gate.cases.append(Case("configurations", "build", ERROR, message=str(error)))
        return
    gate.start_clock()
    for phase in (preflight, replay, matrix, fuzz):
        gate.say(f"{phase.__name__} ({time.monotonic() - gate.began:.0f} s)")
        if phase(gate) is False:
            gate.say("preflight failed: nothing else would mean anything")
            return
    gate.looked = time.monotonic() - gate.began
    judge(gate)


def main(words):
    options = parse(words)
    try:
        commit, why = base_module.resolve(ROOT, options.base)
    except base_module.UnknownRef as error:
        print(f"gate: {error}", file=sys.stderr)
        return EXIT_USAGE
    gate = Gate(ROOT, commit, why, options.output, options.budget, say)
    gate.commit = base_module.commit_of(ROOT, "HEAD")
    gate.dirty = bool(base_module.git(ROOT, "status", "--porcelain"))
    gate.work.mkdir(parents=True, exist_ok=True)
    with open(gate.work.parent / "lock", "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("gate: another gate is at work in this tree", file=sys.stderr)
            return EXIT_USAGE
        return judged(gate)


def judged(gate):
    """Return: the exit code. The reports are written whatever happens."""
    interrupted = False
    try:
        gate.clear()
    except OSError as error:
        print(f"gate: {gate.output}: expected a folder that can be written, found: {error.strerror}",
              file=sys.stderr)
        return EXIT_USAGE
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, process.stop_all)
    try:
        look(gate)
    except process.Interrupted:
        interrupted = True
    except Exception as error:  # pylint: disable=broad-except
        # Whatever it is: what the gate does not know it must not call passed, nor a usage error.
        traceback.print_exc()
        gate.cases.append(Case("gate", "build", ERROR, message=f"{type(error).__name__}: {error}"))
    leave(gate.cases)
    return written(gate, interrupted)


def written(gate, interrupted):
    changed = {path for path, _ in gate.choice.functions} if gate.choice else ()
    for case in gate.cases:
        case.touched = any(place.path in changed for place in case.locations)
    result = report.Report(
        gate.cases, commit=gate.commit, dirty=gate.dirty, base=gate.base.commit, base_why=gate.base_why,
        budget=gate.budget, built=gate.head.seconds, looked=gate.looked or time.monotonic() - gate.began,
        base_built=gate.base.seconds, choice=gate.choice, oracles=gate.oracles, interrupted=interrupted)
    try:
        paths = report.write(result, gate.output)
    except OSError as error:
        print(f"gate: {error}", file=sys.stderr)
        return EXIT_USAGE
    say("\n" + paths[0].read_text(encoding="utf-8"))
    say("Reports: " + ", ".join(os.path.relpath(path) for path in paths))
    return result.code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
