"""Child processes: with a time limit, a group of their own, and an end when the gate ends."""

import os
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass

# Of what a child prints. A race that is reported thousands of times says it all in the first ones.
KEPT = 8 << 20


class Interrupted(Exception):
    """Somebody wants the gate to end."""


@dataclass
class Result:
    code: int  # exit code; minus the signal that ended it
    out: str
    err: str
    seconds: float
    late: bool  # ended by us, because its time was up


_live = set()
_lock = threading.Lock()
_stopped = False


def _environment(extra):
    env = {name: value for name, value in os.environ.items()
           # Bugs are armed by the gate or not at all.
           if name not in ("MMURACE_BUG", "LIB_FUZZING_ENGINE", "MMURACE_HASHES")}
    env.update(extra or {})
    return env


def _kill(child):
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def stop_all(*_):
    """Context: a handler of SIGINT and SIGTERM. Ends all children; whoever starts one hears of it."""
    global _stopped
    _stopped = True
    for child in list(_live):
        _kill(child)


def run(command, seconds=None, cwd=None, env=None):
    """Return: a Result. Raises Interrupted, or OSError if the program cannot be started."""
    if _stopped:
        raise Interrupted
    begin = time.monotonic()
    late = False
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = subprocess.Popen([str(word) for word in command], cwd=cwd, stdin=subprocess.DEVNULL,
                                 stdout=out, stderr=err, env=_environment(env),
                                 start_new_session=True)
        with _lock:
            _live.add(child)
        try:
            if _stopped:  # the handler ran before the child was in the set
                _kill(child)
            child.wait(None if seconds is None else max(seconds, 0.01))
        except subprocess.TimeoutExpired:
            late = True
            _kill(child)
            child.wait()
        finally:
            with _lock:
                _live.discard(child)
        if _stopped:
            raise Interrupted
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read(KEPT).decode(errors="replace"))
    return Result(child.returncode, texts[0], texts[1], time.monotonic() - begin, late)
