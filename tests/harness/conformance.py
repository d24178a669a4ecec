"""The checklist (tests/checklist.toml), what became of the tests of each line, and the page made of both.

A pytest plugin that conftest.py puts in place: `--conformance PATH` writes the page after a run of all the tests,
`--conformance-check PATH` compares the tests that a page names with those that there are. It owns neither the lines nor
the tests: `@line` ties them.
"""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest

try:
    import tomllib
except ImportError:  # Python 3.10, to which pytest brings it.
    import tomli as tomllib

CHECKLIST = Path(__file__).resolve().parents[1] / "checklist.toml"
COLUMNS = ("embedded", "daemon", "neither")
DOORS = {"both": COLUMNS[:2], **{door: (door,) for door in COLUMNS}}
PARTS = {
    "compatibility": "What mod_wsgi 6.1.1 does, too",
    "python": "The Python half",
    "improvement": "What mod_wsgi 6.1.1 does not do",
}
# From best to worst; the worst case of a line's tests at a door is its result there.
PASS, SKIPPED, FAIL = "pass", "skipped", "FAIL"
OUTCOMES = (PASS, SKIPPED, FAIL)
NO_TEST = "no test"

# A line of a table of the page, and a test in it.
ROW = re.compile(r"^\| (?P<id>[A-Z]+-\d+) \|(?P<cells>.*)$", re.MULTILINE)
TEST = re.compile(r"`(test_\w+\.py::\w+)`")

HEAD = """# Conformance

What the module has to do, line by line, and the tests that hold it to it. `make conformance` runs the tests and writes this
page; the lines are those of [tests/checklist.toml](../tests/checklist.toml), to which a test ties itself with `@line`.

Where a line has no test at a door at which it has to hold, the table says *no test*: nothing is known of it there, and as a
rule the feature is not there yet. An empty cell is a door that the line has nothing to do with. *Neither* is for what is
decided before a request reaches Python, such as the reading of the configuration.
"""


@dataclass(frozen=True)
class Line:
    """One line of the checklist; `columns` are the doors at which it has to hold."""

    id: str
    says: str
    columns: tuple


@dataclass(frozen=True)
class Chapter:
    title: str
    part: str
    lines: list


def read_checklist(path=CHECKLIST):
    """The chapters, in their order."""
    chapters = tomllib.loads(path.read_text(encoding="utf-8"))["chapter"]
    return [Chapter(each["title"], each["part"], list(_lines(each))) for each in chapters]


def _lines(chapter):
    for id, entry in chapter["lines"].items():
        entry = entry if isinstance(entry, dict) else {"says": entry}
        yield Line(id, entry["says"], DOORS[entry.get("doors", chapter["doors"])])


def ids_of(item):
    """The lines that a collected test names."""
    return {id for mark in item.iter_markers("line") for id in mark.args}


def name_of(item):
    return f"{item.path.name}::{item.originalname}"


def column_of(item, line):
    """At which door a test shows something of a line."""
    if line.columns == ("neither",) or len(line.columns) == 1 and not _door_parameter(item):
        return line.columns[0]
    if door := _door_parameter(item):
        return str(door)
    is_daemon = "new_daemon" in item.fixturenames or item.path.name.startswith("test_daemon_")
    return "daemon" if is_daemon else "embedded"


def _door_parameter(item):
    return item.callspec.params.get("door") if hasattr(item, "callspec") else None


class Conformance:
    """Gathers a session's tests and their outcomes by line."""

    def __init__(self, config):
        self.page = config.getoption("--conformance")
        self.checked = config.getoption("--conformance-check")
        self.chapters = read_checklist()
        self.lines = {line.id: line for chapter in self.chapters for line in chapter.lines}
        self.items = []
        self.outcomes = {}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        self.items = list(items)
        unknown = {f"{name_of(item)}: {id}" for item in items for id in ids_of(item) if id not in self.lines}
        if unknown:
            raise pytest.UsageError("lines that tests/checklist.toml does not have:\n" + "\n".join(sorted(unknown)))
        if self.checked and (stale := self._stale(Path(self.checked).read_text(encoding="utf-8"))):
            raise pytest.UsageError(f"{self.checked} is out of date (make conformance):\n" + "\n".join(stale))

    def pytest_runtest_logreport(self, report):
        outcome = {"passed": PASS, "skipped": SKIPPED, "failed": FAIL}[report.outcome]
        before = self.outcomes.get(report.nodeid, PASS)
        self.outcomes[report.nodeid] = max(before, outcome, key=OUTCOMES.index)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self):
        if self.page:
            Path(self.page).write_text(self._text(), encoding="utf-8")

    def _names(self):
        """The tests of each line."""
        names = defaultdict(set)
        for item in self.items:
            for id in ids_of(item):
                names[id].add(name_of(item))
        return names

    def _stale(self, page):
        """What a page says of lines and tests that are not so."""
        names, stale = self._names(), []
        rows = list(ROW.finditer(page))
        for row in rows:
            if row["id"] not in self.lines:
                stale.append(f"{row['id']} is no line")
            shown = set(TEST.findall(row["cells"]))
            stale += [f"{row['id']} is not tested by {name}" for name in sorted(shown - names[row["id"]])]
        return stale if rows else ["it has no lines"]

    def _results(self):
        """The result of each line at each door where it has tests, or ought to."""
        results = {id: dict.fromkeys(line.columns, NO_TEST) for id, line in self.lines.items()}
        for item in self.items:
            for id in ids_of(item):
                column = column_of(item, self.lines[id])
                before = results[id].get(column, NO_TEST)
                # A test of which there is no report did not run to its end.
                outcome = self.outcomes.get(item.nodeid, SKIPPED)
                results[id][column] = outcome if before == NO_TEST else max(before, outcome, key=OUTCOMES.index)
        return results

    def _text(self):
        results, names = self._results(), self._names()
        text = [HEAD, *_summary(self.chapters, results)]
        for part, title in PARTS.items():
            text.append(f"## {title}\n")
            for chapter in self.chapters:
                if chapter.part == part:
                    text += _table(chapter, results, names)
        return "\n".join(text).rstrip("\n") + "\n"


def _standing(result):
    """What a line's results at its doors come to."""
    found = set(result.values())
    if FAIL in found:
        return "failing"
    if found == {NO_TEST}:
        return "without a test"
    return "held" if found == {PASS} else "held in part"


STANDINGS = ("held", "held in part", "failing", "without a test")


def _summary(chapters, results):
    yield "| | lines | " + " | ".join(STANDINGS) + " |"
    yield "|---|" + "---|" * (1 + len(STANDINGS))
    total = Counter()
    for part, title in PARTS.items():
        lines = [line for chapter in chapters if chapter.part == part for line in chapter.lines]
        count = Counter(_standing(results[line.id]) for line in lines)
        total += count
        yield _row(title, len(lines), *(count[standing] for standing in STANDINGS))
    yield _row("together", sum(total.values()), *(total[standing] for standing in STANDINGS))
    yield "\n*Held in part*: at one door only, or with tests that were skipped.\n"


def _table(chapter, results, names):
    yield f"### {chapter.title}\n"
    yield _row("Line", "", *COLUMNS, "Tests")
    yield "|---|" + "---|" * (2 + len(COLUMNS))
    for line in chapter.lines:
        cells = [results[line.id].get(column, "") for column in COLUMNS]
        tests = "<br>".join(f"`{name}`" for name in sorted(names[line.id]))
        yield _row(line.id, line.says.replace("|", "\\|"), *cells, tests)
    yield ""


def _row(*cells):
    return "| " + " | ".join(map(str, cells)) + " |"
