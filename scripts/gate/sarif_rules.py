"""
What the schema of SARIF 2.1.0 asks of the part of it that we write, and what its text asks beyond that (indices
that lead somewhere, ids that are unique). The gate checks its own log before it is written.
"""

import re

# A type is: str, int, bool, "uri", "reference", "time", a set of words, the name of an object, or a list of one
# of them. An exclamation mark behind a name: it must be there. Objects have no other properties than these.
OBJECTS = {
    "log": {"$schema": "uri", "version!": {"2.1.0"}, "runs!": ["run"]},
    "run": {"tool!": "tool", "invocations": ["invocation"], "originalUriBaseIds": {"*": "artifactLocation"},
            "automationDetails": "details", "columnKind": {"utf16CodeUnits", "unicodeCodePoints"},
            "properties": "bag", "results": ["result"]},
    "tool": {"driver!": "component"},
    "component": {"name!": str, "version": str, "informationUri": "uri", "rules": ["rule"]},
    "rule": {"id!": str, "name": str, "shortDescription": "message_of_rule",
             "defaultConfiguration": "configuration"},
    "message_of_rule": {"text!": str},
    "configuration": {"level": {"none", "note", "warning", "error"}},
    "details": {"id": str},
    "invocation": {"executionSuccessful!": bool, "exitCode": int, "startTimeUtc": "time",
                   "toolExecutionNotifications": ["notification"]},
    "notification": {"message!": "message", "level": {"none", "note", "warning", "error"}},
    "message": {"text!": str},
    "result": {"ruleId": str, "ruleIndex": "index", "level": {"none", "note", "warning", "error"},
               "message!": "message", "locations": ["location"], "relatedLocations": ["location"],
               "codeFlows": ["codeFlow"], "partialFingerprints": {"*": str}, "properties": "bag"},
    "location": {"id": "index", "physicalLocation": "physicalLocation",
                 "logicalLocations": ["logicalLocation"], "message": "message"},
    "logicalLocation": {"name": str, "kind": str},
    "physicalLocation": {"artifactLocation!": "artifactLocation", "region": "region"},
    "artifactLocation": {"uri": "reference", "uriBaseId": str, "description": "message"},
    "region": {"startLine": "line"},
    "codeFlow": {"threadFlows!": ["threadFlow"]},
    "threadFlow": {"id": str, "locations!": ["threadFlowLocation"]},
    "threadFlowLocation": {"location": "location", "executionOrder": "index",
                           "importance": {"important", "essential", "unimportant"}},
}
# Arrays that must have something in them, and those that must not hold the same thing twice.
NOT_EMPTY = {"threadFlows", "threadFlow.locations"}
UNIQUE = {"invocations", "rules", "relatedLocations", "logicalLocations"}

URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`]+")
REFERENCE = re.compile(r"(?!/)(?:[A-Za-z0-9._~/!$&'()*+,;=@-]|%[0-9A-Fa-f]{2})+")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


class Checker:
    def __init__(self):
        self.problems = []

    def complain(self, where, what):
        self.problems.append(f"{where}: {what}")

    def value(self, where, kind, value):
        if isinstance(kind, list):
            self.array(where, kind[0], value)
        elif isinstance(kind, set):
            if value not in kind:
                self.complain(where, f"{value!r} is none of {sorted(kind)}")
        elif isinstance(kind, dict):
            if not isinstance(value, dict):
                self.complain(where, "is no object")
                return
            for name, inner in value.items():
                self.value(f"{where}.{name}", kind["*"], inner)
        elif kind in OBJECTS:
            self.object(where, kind, value)
        else:
            self.scalar(where, kind, value)

    def array(self, where, kind, value):
        if not isinstance(value, list):
            self.complain(where, "is no array")
            return
        name = where.rsplit(".", 1)[-1]
        if not value and (name in NOT_EMPTY or re.search(r"threadFlows\[\d+\]\.locations$", where)):
            self.complain(where, "is empty")
        if name in UNIQUE and any(value.index(item) != i for i, item in enumerate(value)):
            self.complain(where, "holds the same thing twice")
        for i, item in enumerate(value):
            self.value(f"{where}[{i}]", kind, item)

    def object(self, where, kind, value):
        if not isinstance(value, dict):
            self.complain(where, f"is no {kind}")
            return
        rules = {name.removesuffix("!"): inner for name, inner in OBJECTS[kind].items()}
        for name in OBJECTS[kind]:
            if name.endswith("!") and name[:-1] not in value:
                self.complain(where, f"has no {name[:-1]}")
        for name, inner in value.items():
            if name not in rules:
                self.complain(where, f"may have no {name}")
            else:
                self.value(f"{where}.{name}", rules[name], inner)

    def scalar(self, where, kind, value):
        number = isinstance(value, int) and not isinstance(value, bool)
        fine = {str: isinstance(value, str), bool: isinstance(value, bool), int: number,
                "index": number and value >= 0, "line": number and value >= 1,
                "bag": isinstance(value, dict),
                "uri": isinstance(value, str) and bool(URI.fullmatch(value)),
                "reference": isinstance(value, str) and bool(REFERENCE.fullmatch(value)),
                "time": isinstance(value, str) and bool(TIME.fullmatch(value))}[kind]
        if not fine:
            self.complain(where, f"{value!r} is no {getattr(kind, '__name__', kind)}")

    def links(self, run):
        """What leads somewhere else must arrive."""
        rules = [rule.get("id") for rule in run.get("tool", {}).get("driver", {}).get("rules", [])]
        if len(set(rules)) != len(rules):
            self.complain("rules", "two have one id")
        bases = run.get("originalUriBaseIds", {})
        for i, result in enumerate(run.get("results", [])):
            where = f"results[{i}]"
            index = result.get("ruleIndex")
            if index is not None and (not isinstance(index, int) or index >= len(rules)
                                      or rules[index] != result.get("ruleId")):
                self.complain(where, "ruleIndex leads to another rule than ruleId")
            for place in self.places(result):
                base = place.get("artifactLocation", {}).get("uriBaseId")
                if base is not None and base not in bases:
                    self.complain(where, f"there is no base {base!r}")

    def places(self, value):
        """All physical locations inside."""
        if isinstance(value, dict):
            if "artifactLocation" in value:
                yield value
            for inner in value.values():
                yield from self.places(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from self.places(inner)


def problems(document):
    """Return: what is wrong with a log, as lines; nothing if it is as it should be."""
    checker = Checker()
    checker.object("log", "log", document)
    if not checker.problems:
        for run in document["runs"]:
            checker.links(run)
    return checker.problems
