"""JUnit XML: a suite for each phase."""

import re
import xml.etree.ElementTree as ET

from gate.cases import ERROR, FAIL, KNOWN, PHASES, SKIPPED

# What XML 1.0 has no place for, escaped or not.
UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def clean(text):
    return UNWRITABLE.sub("?", text)


def details(case):
    lines = [case.message]
    lines += [f"at {place.path}:{place.line} {place.text}" for place in case.locations]
    lines += [f"replay: {case.replay}"] if case.replay else []
    return clean("\n".join(lines))


def element(parent, case):
    node = ET.SubElement(parent, "testcase", name=clean(case.name), classname=f"gate.{case.phase}",
                         time=f"{case.seconds:.3f}")
    kind = {FAIL: "failure", ERROR: "error", SKIPPED: "skipped"}.get(case.status)
    if kind:
        node = ET.SubElement(node, kind, message=clean(case.message))
        if kind != "skipped":
            node.set("type", clean(case.verdict.kind or "gate"))
            node.text = details(case)
    elif case.message:
        ET.SubElement(node, "system-out").text = ("known: " if case.status == KNOWN else "") + details(case)


def text(report):
    """Return: the document."""
    def counts(cases):
        return {"tests": str(len(cases)), "failures": str(sum(case.status == FAIL for case in cases)),
                "errors": str(sum(case.status == ERROR for case in cases)),
                "skipped": str(sum(case.status == SKIPPED for case in cases)),
                "time": f"{sum(case.seconds for case in cases):.3f}"}

    total = counts(report.cases)
    root = ET.Element("testsuites", name="gate", **total)
    for phase in PHASES:
        cases = [case for case in report.cases if case.phase == phase]
        if cases:
            suite = ET.SubElement(root, "testsuite", name=f"gate.{phase}", timestamp=report.timestamp,
                                  hostname="localhost", **counts(cases))
            for case in cases:
                element(suite, case)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"
