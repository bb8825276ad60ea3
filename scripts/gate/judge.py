"""What failed is looked at again: here, and at the base. Only what fails here twice and not there is a regression."""

from gate.cases import ERROR, KNOWN, failing
from gate.place import Broken


def judge_case(case, head, base):
    """Sets the case's status. Context: its first verdict is from the tree at hand."""
    case.judged = True
    again = case.again(head)
    if again.kind != case.verdict.kind:
        case.status = ERROR
        case.message = (f"FLAKY: first {case.verdict.kind}, then {again.kind or 'nothing'}. Interleavings are part "
                        f"of the input, so this is a bug of the framework. {case.message}")
        return
    try:
        there = case.again(base)
    except (Broken, OSError) as error:
        case.status, case.base_broken = ERROR, True
        case.message = f"the base cannot be asked: {error}"
        return
    if case.same(case.verdict, there):
        case.status = KNOWN
        case.message += f" (so it does at {base.name})"
    elif there:
        case.message += f" (at {base.name}: {there.kind})"


def leave(cases):
    """The gate ends before it has asked: what failed is no regression yet."""
    for case in failing(cases):
        case.status = ERROR
        case.message = f"failed, and was not tried again. {case.message}"


def judge(gate):
    waiting = failing(gate.cases)
    if not waiting:
        return
    gate.say(f"{len(waiting)} cases failed; the base {gate.base.commit[:12]} is asked")
    for case in waiting:
        judge_case(case, gate.head, gate.base)
