"""From what verdicts and reports say to file and line: sites, frames of sanitizers, probes of bugs."""

import re
from dataclasses import dataclass
from pathlib import Path

from check import Source

# The environment and the base: a report's first frame is seldom where the mistake is.
SUPPORT = ("src/kern/", "src/base/", "src/sched/")


@dataclass(frozen=True)
class Location:
    path: str  # from the root of the tree
    line: int
    text: str = ""  # the site or function as the verdict has it
    exact: bool = True  # False: the function was found, not the expression in it


def squeezed(text):
    """(text without blanks, offset in the original of each character that is left)"""
    offsets = [at for at, letter in enumerate(text) if not letter.isspace()]
    return "".join(text[at] for at in offsets), offsets


class Locations:
    def __init__(self, root):
        self.root = Path(root)
        self._functions = None
        self._macros = None

    def sources(self):
        for path in sorted((self.root / "src").rglob("*")):
            if path.suffix in (".c", ".h") and not path.name.endswith("_test.c"):
                yield Source(self.root, path)

    @property
    def functions(self):
        """name -> [(source, first line, last line)]"""
        if self._functions is None:
            self._functions = {}
            for source in self.sources():
                for name, first, last in source.functions():
                    self._functions.setdefault(name, []).append((source, first, last))
        return self._functions

    def function_at(self, path, line):
        """Return: the name of the function that holds the line, or None."""
        for name, places in self.functions.items():
            for source, first, last in places:
                if source.path == path and first <= line <= last:
                    return name
        return None

    @property
    def macros(self):
        """(name with its bracket, first parameter, body without blanks) of each macro with parameters"""
        if self._macros is None:
            self._macros = [
                (m[1], m[2], squeezed(m[3])[0]) for source in self.sources()
                for m in re.finditer(r"^#define (\w+\()(\w+)((?:.*\\\n)*.*)",
                                     source.uncommented, re.M)]
        return self._macros

    def _written(self, expression):
        """
        What the source may have where a site has the expression, and whether that is complete up to a comma or
        bracket: the verb and its first argument; a macro that makes points under the name of a verb
        (pte_read() under READ_ONCE()); a macro that has the very expression in it.
        """
        start = squeezed(expression)[0].removesuffix(")")
        yield start, True
        for macro, parameter, body in self.macros:
            for verb in re.findall(r'"(\w+\([*&]?)"#%s\b' % parameter, body):
                if start.startswith(verb):
                    yield macro + start[len(verb):], True
        for macro, _, body in self.macros:
            if start + "," in body or start + ")" in body:
                yield macro, False

    def _in_function(self, source, first, last, expression):
        text = "\n".join(source.uncommented.split("\n")[first - 1:last])
        body, offsets = squeezed(text)
        for start, complete in self._written(expression):
            end = r"[,)]" if complete else ""
            m = re.search(re.escape(start) + end, body)
            if m:
                return first + text[:offsets[m.start()]].count("\n")
        return None

    def of_site(self, site):
        """Return: a Location for "function:expression" or "function", or None."""
        name, _, expression = site.partition(":")
        places = self.functions.get(name, [])
        for source, first, last in places:
            line = self._in_function(source, first, last, expression) if expression else None
            if line:
                return Location(source.path, line, site)
        for source, first, _ in places:
            return Location(source.path, first, site, exact=not expression)
        return None

    def of_sites(self, sites):
        """Sites that verdicts leave open ("-"), or that name nothing here, are left out."""
        return [place for place in map(self.of_site, sites) if place]

    def of_probe(self, slug):
        """Return: where bug(slug) stands, else its row in the catalogue; None if there is no such bug."""
        for source in self.sources():
            for line, _ in source.matches("code", r"\bbug(?:_if)?\(\s*%s\b" % re.escape(slug)):
                return Location(source.path, line, f"bug({slug})")
        table = Source(self.root, self.root / "src/base/bugs.def")
        for line, _ in table.matches("code", r"^BUG\(%s\b" % re.escape(slug)):
            return Location(table.path, line, f"BUG({slug})", exact=False)
        return None

    def of_report(self, report):
        """
        Return: the places a sanitizer's report is about, at most two: of each stack the first frame in the code
        under test. Stacks that say where a thread was created or memory came from are left out.
        """
        places = []
        for stack in re.split(r"\n(?=\s+#0 )", "\n" + report.split(" created by ")[0]):
            for m in re.finditer(r"#\d+ (?:0x[0-9a-f]+ in )?(\S+) (\S+?):(\d+)", stack):
                path = self._inside(m[2])
                if path and path.startswith("src/") and not path.startswith(SUPPORT):
                    places.append(Location(path, int(m[3]), m[1]))
                    break
        if not places:
            m = re.search(r"(\S+?):(\d+):\d+: runtime error", report)
            if m and self._inside(m[1]):
                places.append(Location(self._inside(m[1]), int(m[2]), "runtime error"))
        return places[:2]

    def _inside(self, path):
        """Return: the path from the root, or None when it is outside."""
        if path.startswith("src/"):
            return path
        try:
            return Path(path).resolve().relative_to(self.root.resolve()).as_posix()
        except ValueError:
            return None
