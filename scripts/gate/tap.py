"""TAP version 14, one line for each case. What is known at the base is a TODO: not ok, and no failure."""

import json

from gate.cases import ERROR, FAIL, KNOWN, SKIPPED


def described(text):
    """A '#' would begin a directive."""
    return text.replace("\\", "\\\\").replace("#", "\\#").replace("\n", " ")


def text(report):
    lines = ["TAP version 14", f"1..{len(report.cases)}"]
    for number, case in enumerate(report.cases, 1):
        ok = "not ok" if case.status in (FAIL, ERROR, KNOWN) else "ok"
        line = f"{ok} {number} - {described(f'{case.phase}: {case.name}')}"
        if case.status == SKIPPED:
            line += f" # SKIP {described(case.message)}"
        elif case.status == KNOWN:
            line += " # TODO known at the base"
        lines.append(line)
        if case.status in (FAIL, ERROR, KNOWN):
            # A string of JSON is one of YAML.
            lines += ["  ---", f"  message: {json.dumps(case.message)}",
                      f"  severity: {'error' if case.status == ERROR else 'fail'}"]
            lines += [f"  verdict: {json.dumps(case.verdict.kind)}"] if case.verdict else []
            if case.locations:
                lines += ["  at:"] + [f"    - {json.dumps(f'{place.path}:{place.line}')}"
                                      for place in case.locations]
            lines += [f"  replay: {json.dumps(case.replay)}"] if case.replay else []
            lines.append("  ...")
    return "\n".join(lines) + "\n"
