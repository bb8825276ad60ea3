"""SARIF 2.1.0: one result for each verdict and place, with both of the places that race."""

import hashlib
import json
from urllib.parse import quote

from gate.cases import ERROR, FAIL, KNOWN, groups

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"
LEVELS = {FAIL: "error", KNOWN: "note"}
NAMED = 20  # cases of a group that are named

# Verdicts that are no oracle's: what they begin with, rule, what that means.
OWN_RULES = (
    ("silent", "replay/silent", "a reproducer no longer shows what it expects"),
    ("diverged", "replay/diverged", "a reproducer meets other points than it was made for"),
    ("hashes differ", "replay/hashes", "the same input gives another trace: something but the input decides"),
    ("not found", "matrix/not_found", "a bug of the catalogue is not found any more"),
    ("its reproducer fails", "matrix/reproducer", "the reproducer of a bug does not show that bug"),
    ("its reproducer is not silent", "matrix/not_silent", "the reproducer of a bug fails without the bug"),
    ("never reached", "matrix/never_reached", "the place of a bug is never reached"),
    ("framework", "framework", "the framework itself gives up"),
    ("no end", "replay/no_end", "a text does not come to an end"),
)


def rule_of(verdict):
    """Return: the id of the rule that a verdict is by: oracle/class, or one of our own."""
    for start, rule, _ in OWN_RULES:
        if verdict.kind.startswith(start):
            return rule
    words = verdict.kind.removesuffix(" at other sites").split(" ")
    return "/".join(words[:2])


def described(rule, oracles):
    own = {rule: what for _, rule, what in OWN_RULES}
    oracle = rule.split("/")[0]
    return own.get(rule) or oracles.get(oracle) or (
        "a sanitizer's report" if oracle == "sanitizer" else oracle)


def physical(place):
    return {"artifactLocation": {"uri": quote(place.path), "uriBaseId": "SRCROOT"},
            "region": {"startLine": place.line}}


def location(place, number=None, message=None):
    result = {"physicalLocation": physical(place)}
    if number is not None:
        result["id"] = number
    if place.text:
        result["logicalLocations"] = [{"name": place.text.partition(":")[0], "kind": "function"}]
    if message or place.text:
        result["message"] = {"text": message or place.text}
    return result


def flow(case):
    """The interleaving: what each task that is switched away from does, then the places that race."""
    order, threads = 0, {}
    for task, place, what in case.steps:
        if place:
            order += 1
            threads.setdefault(f"task {task}", []).append(
                {"location": location(place, message=what), "executionOrder": order})
    names = [f"task {task}" for task in case.sides] if len(case.sides) == len(case.locations[:2]) else \
        ["one side of the race", "the other side of the race"]
    for place, side in zip(case.locations[:2], names):
        order += 1
        threads.setdefault(side, []).append({"location": location(place, message=f"{side} races here: {place.text}"),
                                             "executionOrder": order, "importance": "essential"})
    return {"threadFlows": [{"id": name, "locations": steps} for name, steps in threads.items()]}


def message_of(group):
    case = group.first
    text = case.message
    if len(group.verdict.sites) > 1:
        text = f"{group.verdict.kind}: {' races with '.join(group.verdict.sites[:2])}. {text}"
    if len(group.cases) > 1:
        text += f". The same in {len(group.cases) - 1} more cases."
    return text


def result(group, rules):
    case = group.first
    rule = rule_of(group.verdict)
    key = "\n".join([rule, *group.verdict.sites[:1]])
    found = {"ruleId": rule, "ruleIndex": rules.index(rule), "level": LEVELS[case.status],
             "message": {"text": message_of(group)},
             "partialFingerprints": {"verdictAndPlace/v1": hashlib.sha256(key.encode()).hexdigest()[:32]},
             "properties": {"cases": [f"{member.phase}: {member.name}" for member in group.cases[:NAMED]],
                            "caseCount": len(group.cases), "knownAtBase": case.status == KNOWN,
                            "replay": case.replay}}
    if case.locations:
        found["locations"] = [location(case.locations[0])]
        if len(case.locations) > 1:
            found["relatedLocations"] = [location(place, number)
                                         for number, place in enumerate(case.locations[1:], 1)]
        if len(case.locations) > 1 or case.steps:
            found["codeFlows"] = [flow(case)]
    return found


def document(report):
    """Return: the log, as nested dictionaries."""
    found = groups([case for case in report.cases if case.status in LEVELS])
    rules = sorted({rule_of(group.verdict) for group in found})
    errors = [case for case in report.cases if case.status == ERROR]
    run = {
        "tool": {"driver": {
            "name": "mmurace gate", "version": report.commit[:12],
            "rules": [{"id": rule, "name": rule.replace("/", "_"),
                       "shortDescription": {"text": described(rule, report.oracles)},
                       "defaultConfiguration": {"level": "error"}} for rule in rules]}},
        "invocations": [{
            "executionSuccessful": not errors, "exitCode": report.code,
            "toolExecutionNotifications": [
                {"level": "error", "message": {"text": f"{case.phase}: {case.name}: {case.message}"}}
                for case in errors]}],
        "originalUriBaseIds": {"SRCROOT": {"description": {"text": "The root of the source tree."}}},
        "automationDetails": {"id": "mmurace/gate/"},
        "columnKind": "utf16CodeUnits",
        "properties": {"commit": report.commit, "base": report.base, "outcome": report.outcome},
        "results": [result(group, rules) for group in found],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def text(report):
    return json.dumps(document(report), indent=1) + "\n"
