"""The summary for people, in Markdown: the answer, then what failed, most telling first, then what was done."""

from gate.cases import ERROR, FAIL, KNOWN, PASS, PHASES, SKIPPED, groups

ANSWERS = {"pass": "**Pass.** Nothing fails here that does not fail at the base.",
           "regression": "**Regression.** This fails here every time, and not at the base.",
           "cannot judge": "**No answer.** The gate could not judge this tree; see the errors.",
           "interrupted": "**Interrupted.** Not all was looked at."}
GROUPS_SHOWN = 8
NAMES_SHOWN = 6


def code(text):
    return "`" + text.replace("`", "'").replace("\n", " ") + "`"


def names(cases):
    shown = ", ".join(f"{case.phase} {code(case.name)}" for case in cases[:NAMES_SHOWN])
    more = len(cases) - NAMES_SHOWN
    return shown + (f" and {more} more" if more > 0 else "")


def group_lines(group):
    case = group.first
    title = group.verdict.kind or case.name
    lines = [f"- **{title}**" + (f", {len(group.cases)} cases" if len(group.cases) > 1 else "")]
    lines += [f"  - {place.path}:{place.line} {code(place.text)}" for place in case.locations]
    lines.append(f"  - {case.message}".replace("\n", " "))
    others = {member.verdict.sites[1] for member in group.cases[1:] if len(member.verdict.sites) > 1}
    others -= set(case.verdict.sites)
    if others:
        lines.append(f"  - races with {len(others)} more places in other cases")
    if case.replay:
        lines.append(f"  - {code(case.replay)}")
    lines.append(f"  - seen in {names(group.cases)}")
    return lines


def section(title, cases):
    if not cases:
        return []
    found = groups(cases)
    lines = ["", f"## {title}", ""]
    for group in found[:GROUPS_SHOWN]:
        lines += group_lines(group)
    if len(found) > GROUPS_SHOWN:
        lines.append(f"- and {len(found) - GROUPS_SHOWN} more kinds: gate.sarif and junit.xml have them")
    return lines


def errors(cases):
    """One text for all cases that have it: a base that does not build has it in each."""
    if not cases:
        return []
    lines = ["", "## Errors", ""]
    found = {}
    for case in cases:
        found.setdefault(case.message, []).append(case)
    for message, members in list(found.items())[:GROUPS_SHOWN]:
        first, *rest = message.split("\n")
        lines.append(f"- {names(members)}: {first}")
        lines += ["", "  ```", *(f"  {line}" for line in rest), "  ```", ""] if rest else []
    if len(found) > GROUPS_SHOWN:
        lines.append(f"- and {len(found) - GROUPS_SHOWN} more")
    return lines


def table(report):
    lines = ["", "| phase | pass | regression | known | error | skipped |", "|---|---|---|---|---|---|"]
    for phase in PHASES:
        cases = [case for case in report.cases if case.phase == phase]
        if cases:
            counts = [sum(case.status == status for case in cases)
                      for status in (PASS, FAIL, KNOWN, ERROR, SKIPPED)]
            lines.append(f"| {phase} | " + " | ".join(map(str, counts)) + " |")
    return lines


def having(report, status):
    return [case for case in report.cases if case.status == status]


def fuzzed(choice):
    if choice is None:
        return []
    lines = ["", f"Fuzzed: {' '.join(choice.targets) or 'no target'}; {choice.why}."]
    if choice.functions:
        shown = [f"{path} {code(name)}" for path, name in choice.functions[:12]]
        more = len(choice.functions) - len(shown)
        lines.append(f"Functions that differ: {', '.join(shown)}" + (f" and {more} more." if more else "."))
    return lines


def text(report):
    lines = [f"# Gate: {report.outcome}", "", ANSWERS[report.outcome], "",
             f"{report.commit[:12]}{' with changes' if report.dirty else ''} against {report.base[:12]} "
             f"({report.base_why}). Built in {report.built:.0f} s, looked at in {report.looked:.0f} s of "
             f"{report.budget} s" + (f", the base built in {report.base_built:.0f} s."
                                     if report.base_built else "; the base was not needed.")]
    lines += section("Regressions", having(report, FAIL))
    lines += errors(having(report, ERROR))
    lines += section("Known at the base", having(report, KNOWN))
    lines += table(report)
    lines += fuzzed(report.choice)
    late = [case for case in having(report, SKIPPED)]
    if late:
        lines += ["", f"Out of time: {len(late)} cases were not looked at: {names(late)}. Raise --budget."]
    return "\n".join(lines) + "\n"
