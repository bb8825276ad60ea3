#!/usr/bin/env python3
"""Is what build.sh does with LIB_FUZZING_ENGINE what OSS-Fuzz and its relatives ask for?

    scripts/verbs/check_ossfuzz.py [ENGINE SANITIZER]...

Builds a copy of the tree as their images do (all pairs of CONFIGURATIONS, or those named), moves the result elsewhere,
hides the sources, and runs it as a user who may write nowhere, with the options of their runners. Prints a line for each
check, then "N passed, N failed"; exits with 1 if any failed.
"""

import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

CONFIGURATIONS = [("libfuzzer", "address"), ("libfuzzer", "undefined"), ("libfuzzer", "memory"),
                  ("libfuzzer", "coverage"), ("libfuzzer", "none"), ("afl", "address")]

# ---- what their images set -------------------------------------------------------------------

PATH = "/usr/local/bin:/usr/bin:/bin"
BASE_FLAGS = ("-O1 -fno-omit-frame-pointer -gline-tables-only -Wno-error=incompatible-function-pointer-types "
              "-Wno-error=int-conversion -Wno-error=deprecated-declarations "
              "-Wno-error=implicit-function-declaration -Wno-error=implicit-int "
              "-Wno-error=unknown-warning-option -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION")
FATAL = ("array-bounds,bool,builtin,enum,function,integer-divide-by-zero,null,object-size,return,"
         "returns-nonnull-attribute,shift,signed-integer-overflow,unreachable,vla-bound,vptr")
SANITIZER_FLAGS = {
    "address": "-fsanitize=address -fsanitize-address-use-after-scope",
    "undefined": f"-fsanitize={FATAL},unsigned-integer-overflow -fno-sanitize-recover={FATAL}",
    "memory": "-fsanitize=memory -fsanitize-memory-track-origins",
    "coverage": "",
    "none": "",
}
COVERAGE_FLAGS = "-fsanitize=fuzzer-no-link"
PROFILE_FLAGS = ("-fprofile-instr-generate -fcoverage-mapping -pthread -Wl,--no-as-needed -Wl,-ldl -Wl,-lm "
                 "-Wno-unused-command-line-argument")
# There the C++ library is a static one of the compiler's. Debian's is gcc's, whose operator new is not weak, as that
# of MSan's runtime is not: the first one found is taken.
STATIC_FLAGS = "-static-libstdc++ -static-libgcc"
STATIC_FLAGS_MEMORY = STATIC_FLAGS + " -Wl,-z,muldefs"

RUN_OPTIONS = {
    "ASAN_OPTIONS": "alloc_dealloc_mismatch=0:allocator_may_return_null=1:allocator_release_to_os_interval_ms=500:"
                    "check_malloc_usable_size=0:detect_container_overflow=1:detect_odr_violation=0:detect_leaks=1:"
                    "detect_stack_use_after_return=1:fast_unwind_on_fatal=0:handle_abort=1:handle_segv=1:"
                    "handle_sigill=1:max_uar_stack_size_log=16:print_scariness=1:quarantine_size_mb=10:"
                    "strict_memcmp=1:strip_path_prefix=/workspace/:symbolize=1:use_sigaltstack=1:"
                    "dedup_token_length=3",
    "MSAN_OPTIONS": "print_stats=1:strip_path_prefix=/workspace/:symbolize=1:dedup_token_length=3",
    "UBSAN_OPTIONS": "print_stacktrace=1:print_summary=1:silence_unsigned_overflow=1:"
                     "strip_path_prefix=/workspace/:symbolize=1:dedup_token_length=3",
}
FUZZER_ARGS = ["-rss_limit_mb=2560", "-timeout=25"]

# ---- what they ask for -----------------------------------------------------------------------

NAME = re.compile(r"[A-Za-z0-9_-]+")
EDGES_LEAST = 100
# Parts of the C library. (libresolv: the runtimes of ASan, MSan and UBSan intercept it and ask for it themselves.)
LIBRARIES = re.compile(r"(libc|libm|libpthread|libdl|librt|libresolv|ld-linux-x86-64)\.so\.\d+")
# Calls of a sanitizer's runtime in a binary: (least if built with it, most if not).
CALLS = {"asan": (1000, 0), "msan": (1000, 3), "ubsan": (168, 200)}
CALLS_OF = {"address": "asan", "memory": "msan", "undefined": "ubsan"}

# Whose edges say nothing about the MMU.
FRAMEWORK = re.compile(r"(^|/)((sched|oracle|endstate|kern|base|fuzz)/|inspect\.c)")

PREFIX = "mmurace oss-fuzz "  # several may run at a time
NOBODY = 65534
SYMBOLIZER = {f"{name}_SYMBOLIZER_PATH": shutil.which("llvm-symbolizer-19") or "/usr/lib/llvm-19/bin/llvm-symbolizer"
              for name in ("ASAN", "MSAN", "UBSAN")}


class Failed(Exception):
    """A check that did not hold; its text says what was found."""


def expect(condition, text):
    if not condition:
        raise Failed(text)


def last_lines(text, count=15):
    return "\n".join(text.strip().splitlines()[-count:])


class Configuration:
    """One build, moved to where it runs, and the checks of it."""

    def __init__(self, engine, sanitizer, folder, source, hashes):
        self.engine, self.sanitizer = engine, sanitizer
        self.folder, self.source = folder, source
        self.hashes = hashes  # by target and input, of all configurations
        self.out = folder / "moved here" / "out"
        self.cwd = folder / "read only"
        self.tmp = folder / "tmp"

    # -- building

    def given(self, out, work):
        flags = f"{BASE_FLAGS} {SANITIZER_FLAGS[self.sanitizer]}"
        if self.sanitizer == "coverage":
            flags += f" {PROFILE_FLAGS}"
        elif self.engine == "libfuzzer":
            flags += f" {COVERAGE_FLAGS}"
        static = STATIC_FLAGS_MEMORY if self.sanitizer == "memory" else STATIC_FLAGS
        given = {"PATH": PATH, "CC": "clang-19", "CXX": "clang++-19", "CFLAGS": flags, "CXXFLAGS": f"{flags} {static}",
                 "LIB_FUZZING_ENGINE": "-fsanitize=fuzzer", "OUT": str(out), "WORK": str(work),
                 "SANITIZER": self.sanitizer, "FUZZING_ENGINE": self.engine, "ARCHITECTURE": "x86_64"}
        if self.engine == "afl":
            driver = self.folder / "libFuzzingEngine.a"
            shutil.copy("/usr/lib/afl/libAFLDriver.a", driver)
            given |= {"CC": "afl-clang-fast", "CXX": "afl-clang-fast++", "LIB_FUZZING_ENGINE": str(driver).replace(" ", "\\ "),
                      "AFL_QUIET": "1", "ASAN_OPTIONS": "detect_leaks=0:symbolize=0:detect_odr_violation=0:abort_on_error=1"}
        return given

    def build(self):
        out, work = self.folder / "out", self.folder / "work"
        out.mkdir(parents=True)
        work.mkdir()
        before = snapshot(self.source)
        done = subprocess.run(["bash", self.source / "build.sh"], cwd="/", env=self.given(out, work),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        expect(done.returncode == 0, f"build.sh ended with {done.returncode}:\n{last_lines(done.stdout, 40)}")
        expect(snapshot(self.source) == before, "the build changed the source folder")
        expect("apt-get" not in done.stdout, "the build wanted to install something")
        self.out.parent.mkdir()
        out.rename(self.out)
        shutil.rmtree(work)
        self.cwd.mkdir(mode=0o555)
        self.tmp.mkdir(mode=0o777)
        self.tmp.chmod(0o777)
        self.unzip()

    def unzip(self):
        self.seeds = {}
        for archive in sorted(self.out.glob("*_seed_corpus.zip")):
            folder = self.folder / "seeds" / archive.name.removesuffix("_seed_corpus.zip")
            with zipfile.ZipFile(archive) as zipped:
                zipped.extractall(folder)
            self.seeds[folder.name] = folder

    # -- running

    def run(self, target, *arguments, timeout=300, **environment):
        """As somebody who may write nowhere but to TMPDIR. Return: exit code, and all that was said."""
        as_nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        environment = {"PATH": "/nowhere", "TMPDIR": str(self.tmp)} | RUN_OPTIONS | environment
        done = subprocess.run([self.out / target, *map(str, arguments)], cwd=self.cwd, env=environment,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=timeout, **as_nobody)
        return done.returncode, done.stdout.decode(errors="replace")

    def targets(self):
        return sorted(path.name for path in self.out.iterdir() if path.stat().st_mode & stat.S_IXUSR)

    def programs(self):
        """Targets whose inputs are programs."""
        return [name for name in self.targets() if not (ROOT / "fuzz/formats" / f"{name}.c").exists()]

    def of_all(self, check, targets=None):
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(check, targets or self.targets()))

    # -- the checks: a docstring is what is printed

    def check_names(self):
        """every target is there under a name they take, with its options and seeds, and nothing else"""
        wanted = {path.stem for folder in ("targets", "fuzz/formats") for path in (ROOT / folder).glob("*.c")
                  if not path.name.endswith("_test.c")}
        wanted = {name for name in wanted if not name.startswith(("canary", "classic"))}
        expect(set(self.targets()) == wanted, f"there are {self.targets()}, expected {sorted(wanted)}")
        files = {path.name for path in self.out.iterdir()}
        expected = wanted | {f"{name}.options" for name in wanted} | {f"{name}_seed_corpus.zip" for name in wanted}
        expect(files == expected | {"parse.dict"}, f"besides: {sorted(files ^ expected)}")
        for name in wanted:
            expect(NAME.fullmatch(name), f"{name} is no name of a target")
            content = (self.out / name).read_bytes()
            expect(content[:4] == b"\x7fELF" and b"LLVMFuzzerTestOneInput" in content, f"{name} is no target")
            seeds = [path for path in self.seeds[name].rglob("*") if path.is_file()]
            expect(seeds and all(path.parent == self.seeds[name] for path in seeds), f"the seeds of {name} lie in folders")

    def check_libraries(self):
        """no shared libraries but those of the C library, no search path"""
        def check(name):
            text = subprocess.run(["objdump", "-p", self.out / name], capture_output=True, text=True).stdout
            needed = re.findall(r"^\s*NEEDED\s+(\S+)", text, re.M)
            expect(needed, f"objdump says nothing of {name}")
            others = [library for library in needed if not LIBRARIES.fullmatch(library)]
            expect(not others, f"{name} needs {' '.join(others)}")
            expect(not re.search(r"^\s*(RPATH|RUNPATH)", text, re.M), f"{name} has a search path")
        self.of_all(check)

    def check_calls(self):
        """instrumented by that sanitizer and no other; no fake stacks"""
        def check(name):
            text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", self.out / name], capture_output=True,
                                  text=True).stdout
            called = re.findall(r"call\s+[0-9a-f]+ <(\w+)", text)
            for runtime, (least, most) in CALLS.items():
                count = sum(function.startswith(f"__{runtime}") for function in called)
                if CALLS_OF.get(self.sanitizer) == runtime:
                    expect(count >= least, f"{name}: {count} calls of {runtime}, expected {least} or more")
                else:
                    expect(count <= most, f"{name}: {count} calls of {runtime}, expected {most} at most")
            # Tasks are fibers, which may be left in the middle: a fake stack would leak each time.
            expect("__asan_stack_malloc" not in " ".join(called), f"{name} has code for fake stacks")
        self.of_all(check)

    def check_start(self):
        """four runs without seeds from an unknown folder that nobody may write to"""
        def check(name):
            code, text = self.run(name, *FUZZER_ARGS, "-seed=1337", "-runs=4")
            expect(code == 0 and "Done 4 runs" in text, f"{name} ended with {code}:\n{last_lines(text)}")
            edges = re.search(r"INFO: Loaded \d+ module.*\(.*(?:counters|guards)\):\s+(\d+)", text)
            edges = int(edges[1]) if edges else 0
            if self.sanitizer == "coverage":
                expect(edges == 0, f"{name} has {edges} edges beside its profile")
            else:
                expect(edges >= EDGES_LEAST, f"{name} has {edges} edges, expected {EDGES_LEAST} or more")
        self.of_all(check)

    def check_seeds(self):
        """the seeds, and 500 inputs made of them, are clean"""
        def check(name):
            options = [f"-{key.strip()}={value.strip()}" for key, eq, value in
                       (line.partition("=") for line in (self.out / f"{name}.options").read_text().splitlines()) if eq]
            runs = len(list(self.seeds[name].iterdir())) + 500
            dictionary = self.out / f"{name}.dict"
            if dictionary.exists():
                options.append(f"-dict={dictionary}")
            code, text = self.run(name, *FUZZER_ARGS, *options, "-seed=1", f"-runs={runs}", self.seeds[name])
            expect(code == 0, f"{name} ended with {code}:\n{last_lines(text)}")
            expect(not dictionary.exists() or re.search(r"Dictionary: [1-9]\d+ entries", text),
                   f"{name} has not read its dictionary")
        self.of_all(check)

    def check_equal(self):
        """100 runs of an input in one process do the same, whatever ran before, and the same as in the other builds"""
        # a program drawn from seed 7; eight schedules by the second strategy
        drawn = self.folder / "drawn"
        drawn.write_bytes(bytes([7, 0, 0, 0, 0, 1, 8, 0]) + bytes(8))

        def check(name):
            paths = [drawn, min(self.seeds[name].iterdir())]
            for runs, order in ((100, paths), (2, paths[::-1])):
                code, text = self.run(name, *FUZZER_ARGS, f"-runs={runs}", *order, MMURACE_HASHES="1")
                expect(code == 0, f"{name} ended with {code}:\n{last_lines(text)}")
                for path, said in zip(order, text.split("Running: ")[1:], strict=True):
                    found = re.findall(r"^mmurace: hash (0x[0-9a-f]{16})$", said, re.M)
                    expect(len(found) >= runs, f"{name} {path.name}: {len(found)} hashes, expected {runs}:\n{last_lines(text)}")
                    self.expect_hash(name, path, found)
        self.of_all(check, self.programs())

    def expect_hash(self, name, path, found):
        expect(len(set(found)) == 1, f"{name} {path.name}: {len(set(found))} different hashes")
        first = self.hashes.setdefault((name, path.name), found[0])
        expect(found[0] == first, f"{name} {path.name}: hash {found[0]}, but {first} before")

    def bug_seeds(self, name):
        bugs = re.findall(r"^BUG\((\w+),", (ROOT / "src/base/bugs.def").read_text(), re.M)
        return [path for path in sorted(self.seeds[name].iterdir()) if path.name in bugs]

    def check_bug(self):
        """an armed bug ends the process at its seed, in a function named for the oracle"""
        runs = ["-runs=100"] if self.engine == "libfuzzer" else []

        def check(name):
            for path in self.bug_seeds(name)[:2]:
                code, text = self.run(name, *runs, path, MMURACE_BUG=path.name, **SYMBOLIZER)
                verdict = re.search(rf"^mmurace: {name}: (?:finding \w+: )?(\w+) ", text, re.M)
                expect(code != 0 and verdict, f"{name} {path.name} ended with {code}:\n{last_lines(text)}")
                expect(re.search(rf" in mmurace_bug_{verdict[1]} ", text),
                       f"{name} {path.name}: no stack names mmurace_bug_{verdict[1]}:\n{last_lines(text, 40)}")
            return len(self.bug_seeds(name))
        expect(sum(self.of_all(check, self.programs())) > 50, "hardly a seed is named for a bug")

    def check_counted(self):
        """edges are counted in the code under test and not in the framework"""
        code, text = self.run("everything", *FUZZER_ARGS, "-runs=0", "-print_coverage=1", self.seeds["everything"], **SYMBOLIZER)
        expect(code == 0, f"ended with {code}:\n{last_lines(text)}")
        counted = {m[1].removeprefix(f"{self.source}/") for m in re.finditer(r"^(?:UN)?COVERED_FUNC: .* (/.*\.c):\d+$", text, re.M)}
        expect(sum("src/mmu/" in name for name in counted) > 10, f"too little of src/mmu: {sorted(counted)}")
        strangers = [name for name in counted if FRAMEWORK.search(name)]
        expect(not strangers, f"counted: {sorted(strangers)}")

    def check_profile(self):
        """a profile comes out, of the code under test and not of the framework"""
        profile = self.tmp / "profile"
        code, text = self.run("everything", *FUZZER_ARGS, "-runs=0", self.seeds["everything"], LLVM_PROFILE_FILE=f"{profile}.raw")
        expect(code == 0, f"ended with {code}:\n{last_lines(text)}")
        subprocess.run(["llvm-profdata-19", "merge", f"{profile}.raw", "-o", f"{profile}.data"], check=True)
        text = subprocess.run(["llvm-cov-19", "report", self.out / "everything", "-instr-profile", f"{profile}.data"],
                              capture_output=True, text=True).stdout
        covered = {m[1]: float(m[2]) for m in re.finditer(r"^(\S+\.c)\s+\d+\s+\d+\s+([\d.]+)%", text, re.M)}
        mmu = [name for name in covered if "mmu/" in name]
        expect(len(mmu) > 10 and max(covered[name] for name in mmu) > 50, f"too little of src/mmu:\n{text}")
        strangers = [name for name in covered if FRAMEWORK.search(name)]
        expect(not strangers, f"the profile has {strangers}")

    def check_nothing_written(self):
        """nothing was written outside of TMPDIR"""
        expect(snapshot(self.out) == self.before, "$OUT has changed")
        expect(not list(self.cwd.iterdir()), f"left where it ran: {list(self.cwd.iterdir())}")
        # Others run as themselves, so what is theirs here tells nothing.
        for place in ("/tmp", "/var/tmp", "/dev/shm"):
            if os.geteuid() == 0:
                found = subprocess.run(["find", place, "-uid", str(NOBODY), "-newer", self.stamp, "-not", "-path",
                                        f"{self.folder.parent.parent}/{PREFIX}*"], capture_output=True, text=True).stdout
                expect(not found, f"left in {place}: {found}")

    # -- afl++

    def check_afl_input(self):
        """an input runs once, and does what it does in the other builds"""
        def check(name):
            path = min(self.seeds[name].iterdir())
            code, text = self.run(name, path, MMURACE_HASHES="1")
            expect(code == 0, f"{name} ended with {code}:\n{last_lines(text)}")
            if name in self.programs():
                found = re.findall(r"^mmurace: hash (0x[0-9a-f]{16})$", text, re.M)
                expect(found, f"{name} says no hash:\n{last_lines(text)}")
                self.expect_hash(name, path, found)
        self.of_all(check)

    def check_afl_fuzz(self):
        """afl-fuzz runs it for 10 seconds: it starts, finds its way, and nothing crashes"""
        for name, seconds in (("everything", 10), ("parse", 5)):
            work = self.tmp / name
            options = {"ASAN_OPTIONS": ":abort_on_error=1:symbolize=0:detect_odr_violation=0:",
                       "MSAN_OPTIONS": ":exit_code=86:symbolize=0", "UBSAN_OPTIONS": ":symbolize=0"}
            environment = {"PATH": PATH, "AFL_NO_UI": "1", "AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES": "1", "AFL_SKIP_CPUFREQ": "1",
                           "AFL_TRY_AFFINITY": "1", "AFL_FAST_CAL": "1", "AFL_CMPLOG_ONLY_NEW": "1",
                           "AFL_FORKSRV_INIT_TMOUT": "30000", "AFL_IGNORE_UNKNOWN_ENVS": "1",
                           } | {key: RUN_OPTIONS[key] + more for key, more in options.items()}
            dictionary = ["-x", self.out / f"{name}.dict"] if (self.out / f"{name}.dict").exists() else []
            code, text = self.run(shutil.which("afl-fuzz"), "-m", "none", "-t", "5000+", "-V", seconds, "-i", self.seeds[name],
                                  "-o", work, *dictionary, "--", self.out / name, **environment)
            expect(code == 0 and "All set and ready to roll" in text, f"afl-fuzz {name} ended with {code}:\n{last_lines(text, 30)}")
            stats = dict(re.findall(r"^(\w+)\s*:\s*(\S+)", (work / "default/fuzzer_stats").read_text(), re.M))
            expect(int(stats["execs_done"]) > 100 and int(stats["edges_found"]) >= EDGES_LEAST and
                   int(stats["saved_crashes"]) == 0, f"{name}: {stats}")

    # -- all of it

    def checks(self):
        yield self.check_names
        yield self.check_libraries
        yield self.check_calls
        if self.engine == "afl":
            yield self.check_afl_input
            yield self.check_bug
            yield self.check_afl_fuzz
        else:
            yield self.check_start
            yield self.check_seeds
            yield self.check_equal
            yield self.check_bug
            yield self.check_profile if self.sanitizer == "coverage" else self.check_counted
        yield self.check_nothing_written

    def check(self, tell):
        if not tell(self, "builds under a path with spaces, and writes to $OUT and $WORK only", self.build):
            return
        self.before = snapshot(self.out)
        self.stamp = self.folder / "stamp"
        self.stamp.touch()
        hidden = self.source.with_name("hidden")
        self.source.rename(hidden)
        for check in self.checks():
            tell(self, check.__doc__, check)
        hidden.rename(self.source)


def snapshot(folder):
    """What is there, and since when."""
    return sorted((str(path), path.lstat().st_mtime_ns, path.lstat().st_size) for path in folder.rglob("*"))


def copy_tree(to):
    shutil.copytree(ROOT, to, ignore=lambda folder, names:
                    {name for name in names if Path(folder) == ROOT and name in ("out", "findings", ".git")})


def main():
    words = sys.argv[1:]
    wanted = list(zip(words[::2], words[1::2])) if words else CONFIGURATIONS
    if len(words) % 2 or any(pair not in CONFIGURATIONS for pair in wanted):
        sys.exit("usage: ./build.sh check-ossfuzz [ENGINE SANITIZER]...\nThere are: " +
                 ", ".join(" ".join(pair) for pair in CONFIGURATIONS))
    counts = {True: 0, False: 0}

    def tell(configuration, what, check):
        try:
            check()
            held, text = True, ""
        except (Failed, subprocess.SubprocessError, OSError, LookupError, ValueError) as error:
            held, text = False, f"\n{error}"
        counts[held] += 1
        print(f"{'ok    ' if held else 'FAILED'} {configuration.engine} {configuration.sanitizer}: {what}{text}", flush=True)
        return held

    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    folder.chmod(0o755)
    try:
        source = folder / "src" / "mmurace"
        copy_tree(source)
        hashes = {}
        for engine, sanitizer in wanted:
            place = folder / f"{engine} {sanitizer}"
            Configuration(engine, sanitizer, place, source, hashes).check(tell)
            shutil.rmtree(place)
    finally:
        shutil.rmtree(folder)
    print(f"{counts[True]} passed, {counts[False]} failed")
    sys.exit(1 if counts[False] else 0)


if __name__ == "__main__":
    main()
