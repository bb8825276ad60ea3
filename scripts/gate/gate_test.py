#!/usr/bin/env python3
"""
What the gate does with what it has seen, without building anything: reports, rules of SARIF, places, exit codes,
and what is a regression. Usage: gate_test.py (out/ is not needed).
"""

import contextlib
import copy
import importlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import unittest
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from gate import base, census, findings, fuzz, judge, junit, process, report, sarif, sarif_rules  # noqa: E402
from gate import summary, tap  # noqa: E402
from gate.cases import (ERROR, EXIT_CANNOT_JUDGE, EXIT_INTERRUPTED, EXIT_PASS, EXIT_REGRESSION,  # noqa: E402
                        FAIL, KNOWN, PASS, SKIPPED, Case, Verdict, exit_code, groups)
from gate.gate import Gate  # noqa: E402
from gate.locations import Location, Locations  # noqa: E402
from gate.place import Broken, Place  # noqa: E402

main_module = importlib.import_module("gate.__main__")

A = "tdp_mmu_set_spte_atomic:try_cmpxchg64(iter->sptep)"
B = "kvm_mmu_invalidate_range_add:WRITE_ONCE(kvm->mmu_invalidate_range_start)"
HERE, THERE = Location("src/mmu/a b.c", 7, A), Location("src/mmu/c.c", 9, B)


TREE, OTHER = SimpleNamespace(name="this tree"), SimpleNamespace(name="the base")


def samples():
    """One case of each status, with all that may be awkward to write."""
    race = Case("found & <kept>", "fuzz", FAIL, 1.5, "a message with # and \x01 and ]]>", Verdict("stale_mapping SM4", (A, B)),
                [HERE, THERE], [("2", HERE, "dontneed#1: task 2 stops here")], ["1", "2"], file="x.repro", replay="replay 'x y'")
    return [race, Case("fine", "preflight"), Case("old", "replay", KNOWN, message="m", verdict=Verdict("stale_tlb D1")),
            Case("broken", "matrix", ERROR, message="two\nlines"), Case("late", "fuzz", SKIPPED, message="out of time")]


def report_of(cases, **more):
    return report.Report(cases, commit="c" * 40, base="b" * 40, base_why="where HEAD parted from main", **more)


class Reports(unittest.TestCase):
    def setUp(self):
        self.report = report_of(samples(), oracles={"stale_mapping": "what it is"})

    def test_all_four_are_written_where_a_path_has_spaces(self):
        with tempfile.TemporaryDirectory(prefix="a b ") as folder:
            paths = report.write(self.report, Path(folder))
            self.assertEqual(sorted(path.name for path in paths),
                             ["gate.sarif", "gate.tap", "junit.xml", "summary.md"])
            self.assertTrue(all(path.stat().st_size for path in paths))

    def test_junit(self):
        root = ET.fromstring(junit.text(self.report).split("?>", 1)[1])
        self.assertEqual(root.tag, "testsuites")
        self.assertEqual({name: root.get(name) for name in ("tests", "failures", "errors", "skipped")},
                         {"tests": "5", "failures": "1", "errors": "1", "skipped": "1"})
        suites = {suite.get("name"): suite for suite in root}
        self.assertEqual(list(suites), ["gate.preflight", "gate.replay", "gate.matrix", "gate.fuzz"])
        race = suites["gate.fuzz"][0]
        self.assertEqual(race.get("name"), "found & <kept>")
        self.assertEqual([child.tag for child in race], ["failure"])
        self.assertEqual(race[0].get("type"), "stale_mapping SM4")
        self.assertIn("src/mmu/c.c:9", race[0].text)
        self.assertEqual([child.tag for child in suites["gate.matrix"][0]], ["error"])
        self.assertEqual([child.tag for child in suites["gate.replay"][0]], ["system-out"])
        for suite in root:
            self.assertEqual(suite.get("tests"), str(len(suite.findall("testcase"))))

    def test_tap(self):
        lines = tap.text(self.report).split("\n")
        self.assertEqual(lines[:2], ["TAP version 14", "1..5"])
        results = [line for line in lines if line.startswith(("ok", "not ok"))]
        self.assertEqual([line.split(" - ")[0] for line in results],
                         ["not ok 1", "ok 2", "not ok 3", "not ok 4", "ok 5"])
        self.assertTrue(results[2].endswith("# TODO known at the base"))
        self.assertIn("# SKIP out of time", results[4])
        self.assertEqual(lines.count("  ---"), lines.count("  ..."))

    def test_summary_begins_with_the_answer_and_the_race(self):
        text = summary.text(self.report)
        self.assertTrue(text.startswith("# Gate: cannot judge") or text.startswith("# Gate: regression"))
        self.assertLess(text.index("## Regressions"), text.index("## Known at the base"))
        for part in ("src/mmu/a b.c:7", "src/mmu/c.c:9", "replay 'x y'", "Out of time: 1"):
            self.assertIn(part, text)

    def test_one_error_of_many_cases_is_said_once(self):
        text = summary.text(report_of([Case(str(i), "fuzz", ERROR, message="no base\nlog") for i in range(9)]))
        self.assertEqual(text.count("no base"), 1)

    def test_one_defect_with_many_cases_stays_one_line_that_leads(self):
        many = [Case(f"r{i}", "replay", FAIL, verdict=Verdict("silent, expected lifetime L2")) for i in range(100)]
        race = Case("race", "fuzz", FAIL, verdict=Verdict("stale_mapping SM4", (A, B)), unarmed=True)
        other = Case("armed", "replay", FAIL, verdict=Verdict("stale_mapping SM4", (A, "-")))
        found = groups(many + [other, race])
        self.assertEqual([len(group.cases) for group in found], [2, 100])
        self.assertIs(found[0].first, race)
        self.assertLess(len(summary.text(report_of(many + [other, race])).split("\n")), 40)
        self.assertEqual(len(sarif.document(report_of(many + [race]))["runs"][0]["results"]), 2)


class SarifRules(unittest.TestCase):
    def setUp(self):
        self.log = sarif.document(report_of(samples()))
        self.result = self.log["runs"][0]["results"][0]

    def test_ours_is_fine(self):
        self.assertEqual(sarif_rules.problems(self.log), [])
        self.assertEqual(sarif_rules.problems(sarif.document(report_of([]))), [])

    def test_both_places_are_in_the_result(self):
        self.assertEqual(self.result["ruleId"], "stale_mapping/SM4")
        lines = [place["physicalLocation"]["region"]["startLine"]
                 for place in self.result["locations"] + self.result["relatedLocations"]]
        self.assertEqual(lines, [7, 9])
        self.assertEqual(self.result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
                         "src/mmu/a%20b.c")
        self.assertEqual([result["level"] for result in self.log["runs"][0]["results"]], ["error", "note"])

    def test_what_is_wrong_is_refused(self):
        """Each of these makes the log one that the schema, or the text, does not allow."""
        place = lambda log: log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
        run = lambda log: log["runs"][0]
        breaks = {
            "other version": lambda log: log.update(version="2.0.0"),
            "no runs": lambda log: log.pop("runs"),
            "no tool": lambda log: run(log).pop("tool"),
            "no name of the tool": lambda log: run(log)["tool"]["driver"].pop("name"),
            "unknown property": lambda log: run(log).update(surprise=1),
            "no message": lambda log: run(log)["results"][0].pop("message"),
            "message without text": lambda log: run(log)["results"][0]["message"].pop("text"),
            "unknown level": lambda log: run(log)["results"][0].update(level="fatal"),
            "index of another rule": lambda log: run(log)["results"][0].update(ruleIndex=1),
            "index beyond the end": lambda log: run(log)["results"][0].update(ruleIndex=99),
            "line 0": lambda log: place(log)["region"].update(startLine=0),
            "line in quotes": lambda log: place(log)["region"].update(startLine="7"),
            "blank in a uri": lambda log: place(log)["artifactLocation"].update(uri="a b.c"),
            "absolute path": lambda log: place(log)["artifactLocation"].update(uri="/a.c"),
            "unknown base": lambda log: place(log)["artifactLocation"].update(uriBaseId="NOWHERE"),
            "no artifact": lambda log: place(log).pop("artifactLocation"),
            "empty flow": lambda log: run(log)["results"][0]["codeFlows"][0].update(threadFlows=[]),
            "thread without steps": lambda log: run(log)["results"][0]["codeFlows"][0]["threadFlows"][0]
            .update(locations=[]),
            "fingerprint that is no text": lambda log: run(log)["results"][0].update(partialFingerprints={"a": 1}),
            "same place twice": lambda log: run(log)["results"][0]["relatedLocations"].append(
                run(log)["results"][0]["relatedLocations"][0]),
            "results in an object": lambda log: run(log).update(results={}),
            "success in quotes": lambda log: run(log)["invocations"][0].update(executionSuccessful="yes"),
            "schema that is no uri": lambda log: log.update({"$schema": "schema"}),
            "two rules with one id": lambda log: run(log)["tool"]["driver"]["rules"].append(
                dict(run(log)["tool"]["driver"]["rules"][0], name="other")),
        }
        for what, damage in breaks.items():
            log = copy.deepcopy(self.log)
            damage(log)
            self.assertTrue(sarif_rules.problems(log), what)

    def test_a_broken_log_is_an_error_of_the_gate(self):
        cases = [Case("x", "fuzz", FAIL, verdict=Verdict("stale_tlb D1"), locations=[Location("src/a.c", 0, "f")])]
        with tempfile.TemporaryDirectory() as folder:
            written = report_of(cases)
            report.write(written, Path(folder))
        self.assertEqual(written.code, EXIT_CANNOT_JUDGE)


class Places(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.locations = Locations(ROOT)

    def test_sites_of_all_reproducers(self):
        count = 0
        for path in sorted((ROOT / "reproducers").glob("*.repro")):
            for site in findings.expectation(path.read_text()).sites:
                if site == "-":
                    continue
                place = self.locations.of_site(site)
                self.assertIsNotNone(place, f"{path.name}: {site}")
                self.assertTrue(place.exact, f"{path.name}: {site} is not in {place.path}:{place.line}")
                self.assertEqual(self.locations.function_at(place.path, place.line), site.split(":")[0])
                count += 1
        self.assertGreater(count, 100)

    def test_line_is_that_of_the_expression(self):
        place = self.locations.of_site(B)
        line = (ROOT / place.path).read_text().split("\n")[place.line - 1]
        self.assertIn("mmu_invalidate_range_start", line)
        self.assertIsNone(self.locations.of_site("no_such_function:READ_ONCE(x)"))
        self.assertFalse(self.locations.of_site("kvm_mmu_invalidate_begin:READ_ONCE(nothing)").exact)

    def test_bugs_of_the_catalogue(self):
        self.assertTrue(self.locations.of_probe("hull_not_widened").path.startswith("src/"))
        self.assertIsNone(self.locations.of_probe("no_such_bug"))

    def test_report_of_a_race(self):
        text = f"""WARNING: ThreadSanitizer: data race (pid=1)
  Write of size 8 at 0x1 by thread T3:
    #0 kern_write {ROOT}/src/kern/fiber/point.c:151:3 (mmurace+0x1)
    #1 locate {ROOT}/src/mmu/pfncache.c:153:11 (mmurace+0x2)

  Previous read of size 8 at 0x1 by thread T1:
    #0 write_page {ROOT}/src/mmu/pfncache.c:249:2 (mmurace+0x3)

  Thread T3 (tid=0, running) created by main thread at:
    #0 fiber_rebuild {ROOT}/src/sched/fiber.c:66:17 (mmurace+0x4)
"""
        self.assertEqual(self.locations.of_report(text),
                         [Location("src/mmu/pfncache.c", 153, "locate"), Location("src/mmu/pfncache.c", 249, "write_page")])
        self.assertEqual(findings.verdict_of_output(text).kind, "sanitizer data-race")

    def test_report_of_undefined_behaviour(self):
        text = "src/mmu/spte.c:12:3: runtime error: shift exponent 64 is too large"
        self.assertEqual(self.locations.of_report(text), [Location("src/mmu/spte.c", 12, "runtime error")])

    def test_findings_in_folders_and_as_files(self):
        text = (ROOT / "reproducers/hull_not_widened.repro").read_text()
        with tempfile.TemporaryDirectory() as folder:
            inner = Path(folder) / "stale_mapping-SM4-1"
            inner.mkdir()
            (inner / "finding.repro").write_text(text)
            (inner / "meta.json").write_text(json.dumps({"meta": 1, "sites": [A, B]}))
            (Path(folder) / "flat.repro").write_text(text)
            found = findings.read_findings(folder)
        self.assertEqual([finding.verdict for finding in found], [Verdict("stale_mapping SM4", (A, B))] * 2)
        self.assertEqual(sorted(len(finding.about) for finding in found), [0, 2])
        steps = findings.steps_of(text, self.locations)
        self.assertEqual([(task, place.path) for task, place, _ in steps], [("0", "src/host/gup.c")])


class ExitCodes(unittest.TestCase):
    def test_table(self):
        fail, known, late = Case("f", "fuzz", FAIL), Case("k", "fuzz", KNOWN), Case("s", "fuzz", SKIPPED)
        flaky = Case("e", "fuzz", ERROR)
        no_base = Case("b", "replay", ERROR, base_broken=True)
        for cases, code in (([], EXIT_PASS), ([Case("p", "fuzz", PASS), known, late], EXIT_PASS),
                            ([fail, known], EXIT_REGRESSION), ([fail, flaky], EXIT_REGRESSION),
                            ([flaky], EXIT_CANNOT_JUDGE), ([fail, no_base], EXIT_CANNOT_JUDGE),
                            ([fail, Case("p", "preflight", ERROR)], EXIT_CANNOT_JUDGE),
                            ([Case("b", "build", ERROR)], EXIT_CANNOT_JUDGE)):
            self.assertEqual(exit_code(cases), code, cases)
        self.assertEqual(exit_code([fail], interrupted=True), EXIT_INTERRUPTED)

    def test_phase_that_runs_out_of_time_has_not_passed(self):
        gate = Gate(ROOT, "b" * 40, "", "/nowhere", 10, lambda text: None)
        gate.cases = [Case("x", "matrix", SKIPPED)]
        gate.unfinished("matrix")
        self.assertEqual(exit_code(gate.cases), EXIT_CANNOT_JUDGE)


class Judging(unittest.TestCase):
    """Trees are no more than names here."""

    def judged(self, here, there, first="stale_tlb D1", **more):
        def again(place):
            if place is OTHER and there is None:
                raise Broken("it does not build")
            return Verdict(there if place is OTHER else here)

        case = Case("x", "fuzz", FAIL, verdict=Verdict(first), again=again, **more)
        judge.judge_case(case, TREE, OTHER)
        return case

    def test_only_here_is_a_regression(self):
        self.assertEqual(self.judged("stale_tlb D1", "").status, FAIL)

    def test_there_as_well_is_known(self):
        self.assertEqual(self.judged("stale_tlb D1", "stale_tlb D1").status, KNOWN)

    def test_another_failure_there_is_a_regression(self):
        self.assertEqual(self.judged("stale_tlb D1", "lifetime L2").status, FAIL)

    def test_what_does_not_come_back_is_an_error(self):
        case = self.judged("", "")
        self.assertEqual(case.status, ERROR)
        self.assertIn("FLAKY", case.message)

    def test_what_was_not_tried_again_is_no_regression(self):
        done, waiting = self.judged("stale_tlb D1", ""), Case("y", "fuzz", FAIL)
        judge.leave([done, waiting])
        self.assertEqual((done.status, waiting.status), (FAIL, ERROR))

    def test_a_base_that_does_not_build_is_an_error(self):
        case = self.judged("stale_tlb D1", None)
        self.assertEqual(exit_code([case, Case("y", "fuzz", FAIL)]), EXIT_CANNOT_JUDGE)

    def test_races_in_other_functions_are_others(self):
        race = Verdict("sanitizer data-race", ("f", "g"))
        for there, status in ((("g", "f"), KNOWN), (("f", "h"), FAIL)):
            case = Case("x", "fuzz", FAIL, verdict=race,
                        again=lambda place, there=there: race if place is TREE else Verdict(race.kind, there))
            judge.judge_case(case, TREE, OTHER)
            self.assertEqual(case.status, status)


class Bases(unittest.TestCase):
    def git(self, *words):
        subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e", "-C", self.root, *words],
                       check=True, capture_output=True, env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull})

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="a b ")
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        (self.root / "src").mkdir()
        self.git("init", "-q", "-b", "main")
        self.write("src/f.c", "int f(void)\n{\n\treturn 1;\n}\n\nint g(void)\n{\n\treturn 1;\n}\n")
        self.git("checkout", "-q", "-b", "topic")

    def write(self, path, text, message="m"):
        (self.root / path).parent.mkdir(exist_ok=True)
        (self.root / path).write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)

    def commit(self, ref):
        return base.commit_of(self.root, ref)

    def test_ref_that_does_not_exist(self):
        with self.assertRaisesRegex(base.UnknownRef, "no commit 'topci'. Did you mean: topic"):
            base.resolve(self.root, "topci")
        with self.assertRaises(base.UnknownRef):
            base.resolve(self.root, "--help")
        with self.assertRaises(base.UnknownRef):
            base.resolve(self.root, "")

    def test_where_head_parted_not_what_came_later(self):
        parted = self.commit("HEAD")
        self.write("src/f.c", "int f(void)\n{\n\treturn 2;\n}\n")
        self.git("checkout", "-q", "main")
        self.write("later", "x")
        self.git("checkout", "-q", "topic")
        self.assertEqual(base.resolve(self.root, "main")[0], parted)
        self.assertEqual(base.resolve(self.root, None)[0], parted)

    def test_ref_without_common_history(self):
        self.git("checkout", "-q", "--orphan", "other")
        self.write("x", "x")
        other = self.commit("HEAD")
        self.git("checkout", "-q", "topic")
        self.assertEqual(base.resolve(self.root, "other")[0], other)

    def test_without_a_ref_on_main_itself(self):
        before = self.commit("HEAD")
        self.git("checkout", "-q", "main")
        self.write("later", "x")
        self.assertEqual(base.resolve(self.root, None)[0], before)
        (self.root / "later").write_text("y")
        self.assertEqual(base.resolve(self.root, None)[0], self.commit("HEAD"))

    def test_base_that_does_not_build(self):
        place = base.Base(self.root, self.commit("HEAD"), self.root / "out a")
        for _ in range(2):  # the second time nothing is tried
            with self.assertRaisesRegex(Broken, "fiber-plain of the base .* did not build"):
                place.mmurace("fiber-plain")
        self.assertTrue((place.root / "src/f.c").is_file())

    def test_changed_functions(self):
        start = self.commit("HEAD")
        self.write("src/f.c", "int f(void)\n{\n\treturn 1;\n}\n\nint g(void)\n{\n\treturn 2;\n}\n")
        (self.root / "src/new.c").write_text("int n(void)\n{\n\treturn 1;\n}\n")
        self.write("docs/x.md", "x")
        changed = census.changed_lines(self.root, start)
        self.assertEqual(changed["src/f.c"], {8})
        gate = Gate(self.root, start, "", "/nowhere", 10)
        choice = census.Choice()
        self.assertIsNone(census.changed_functions(gate, {"src/f.c": {8}, "docs/x.md": set()}, choice))
        self.assertEqual(choice.functions, [("src/f.c", "g")])
        for path in ("src/h.h", "src/base/bugs.def", "fuzz/run.c", "src/oracle/o.c", "CMakeLists.txt", "src/gone.c"):
            self.assertTrue(census.changed_functions(gate, {path: {1}}, census.Choice()), path)
        self.assertIsNone(census.changed_functions(gate, {"README.md": {1}, "src/mmu/x_test.c": {1}}, census.Choice()))


class Fuzzing(unittest.TestCase):
    def test_what_the_engine_says_it_has_reached(self):
        text = f"""\tNEW_PC: 0x55 in refresh_begin {ROOT}/src/mmu/pfncache.c:189:7
\tNEW_PC: 0x56 in kvm_gpc_init {ROOT}/src/mmu/pfncache.c:22
COVERED_FUNC: hits: 2 edges: 2/6 vcpu_set_pml {ROOT}/src/machine/pml.c:17
UNCOVERED_FUNC: hits: 0 edges: 0/22 host_shrink {ROOT}/src/host/age.c:183
  UNCOVERED_PC: {ROOT}/src/mmu/pfncache.c:25
"""
        self.assertEqual(census.lines_of_output(Place(ROOT, ""), text), {
            ("src/mmu/pfncache.c", 189), ("src/mmu/pfncache.c", 22), ("src/machine/pml.c", 17)})

    def test_plan_depends_on_budget_and_targets_alone(self):
        jobs = fuzz.plan(["a", "decode"], ["decode"], 100)
        self.assertEqual([(job.kind, job.target) for job in jobs],
                         [("run", "a"), ("run", "a"), ("engine", "a"), ("engine", "decode"),
                          ("engine", "a"), ("engine", "decode")])
        self.assertEqual(jobs, fuzz.plan(["a", "decode"], ["decode"], 100))
        self.assertGreater(fuzz.plan(["a"], [], 200)[0].count, fuzz.plan(["a"], [], 100)[0].count)

    def test_verdict_of_an_engine(self):
        text = f"mmurace: everything: finding 0123abcd: stale_mapping SM4 {A} / {B}\nmmurace: stale_mapping: gfn=0x1e\n==1== ERROR: libFuzzer: deadly signal"
        self.assertEqual(findings.verdict_of_output(text), Verdict("stale_mapping SM4", (A, B), "gfn=0x1e"))
        self.assertEqual(findings.verdict_of_output("==1== ERROR: libFuzzer: deadly signal").kind, "framework")
        self.assertEqual(findings.verdict_of_output("==1==ERROR: AddressSanitizer: use-after-poison on address").kind,
                         "sanitizer use-after-poison")


class CommandLine(unittest.TestCase):
    def gate(self, *words):
        return subprocess.run([sys.executable, "-B", "-m", "gate", *words], capture_output=True, text=True,
                              env={**os.environ, "PYTHONPATH": str(ROOT / "scripts")}, check=False)

    def test_usage(self):
        for words, said in ((["--bugdet", "3"], "Did you mean: --budget?"), (["--budget", "0"], "expected a number"),
                            (["--budget", "x"], "expected a number"), (["--base"], "expected one argument")):
            result = self.gate(*words)
            self.assertEqual(result.returncode, 1, words)
            self.assertIn(said, result.stderr)
        self.assertNotIn("Did you mean", self.gate("--budget", "0").stderr)
        self.assertEqual(self.gate("--help").returncode, 0)

    @unittest.skipUnless((ROOT / ".git").exists(), "no repository")
    def test_base_that_does_not_exist(self):
        result = self.gate("--base", "no/such/ref")
        self.assertEqual(result.returncode, 1)
        self.assertIn("there is no commit 'no/such/ref'", result.stderr)


class Faults(unittest.TestCase):
    """Phases that do as the test likes, in the place of those that build and run."""

    def code_of(self, phase):
        with tempfile.TemporaryDirectory(prefix="a b ") as folder:
            root = Path(folder)
            gate = Gate(root, "b" * 40, "", root / "re ports", 10, lambda text: None)
            before = main_module.look
            main_module.look = phase
            try:
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                    code = main_module.judged(gate)
            finally:
                main_module.look = before
            self.assertEqual(sorted(path.name for path in (root / "re ports").iterdir()),
                             ["gate.sarif", "gate.tap", "junit.xml", "summary.md"])
            log = json.loads((root / "re ports/gate.sarif").read_text())
            self.assertEqual(log["runs"][0]["invocations"][0]["exitCode"], code)
            return code

    def test_exit_codes_with_reports_in_a_path_with_spaces(self):
        def adds(*cases):
            return lambda gate: gate.cases.extend(cases)

        def interrupted(gate):
            gate.cases.append(Case("x", "fuzz", FAIL, verdict=Verdict("stale_tlb D1")))
            raise process.Interrupted

        def surprised(gate):
            raise KeyError("x")

        failed = Case("x", "fuzz", FAIL, verdict=Verdict("stale_tlb D1"), judged=True)
        self.assertEqual(self.code_of(adds(Case("x", "fuzz"))), EXIT_PASS)
        self.assertEqual(self.code_of(adds(failed)), EXIT_REGRESSION)
        self.assertEqual(self.code_of(adds(failed, Case("y", "build", ERROR))), EXIT_CANNOT_JUDGE)
        self.assertEqual(self.code_of(interrupted), EXIT_INTERRUPTED)
        self.assertEqual(self.code_of(surprised), EXIT_CANNOT_JUDGE)


def is_dead(state):
    """Whether the process of a /proc/N/stat is gone, or waits for nothing but to be waited for."""
    try:
        return state.read_text().split()[2] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


class Processes(unittest.TestCase):
    def test_what_takes_too_long_is_ended_with_its_children(self):
        result = process.run(["sh", "-c", "sleep 60 & echo $!; wait"], seconds=0.5)
        self.assertTrue(result.late)
        # It was told to die with its parent, and does so in its own time; if it was not told, it sleeps for a minute.
        state = Path(f"/proc/{result.out.strip()}/stat")
        end = time.monotonic() + 30
        while not is_dead(state) and time.monotonic() < end:
            time.sleep(0.01)
        self.assertTrue(is_dead(state))

    def test_no_bug_is_armed_from_outside(self):
        os.environ["MMURACE_BUG"] = "x"
        self.addCleanup(os.environ.pop, "MMURACE_BUG")
        self.assertEqual(process.run(["sh", "-c", "echo ${MMURACE_BUG-none}"]).out, "none\n")


if __name__ == "__main__":
    unittest.main()
