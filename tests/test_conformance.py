"""The page docs/conformance.md and the checklist that it is made of."""

import subprocess
import sys

import pytest

from harness import installation
from harness.checklist import ours
from harness.conformance import read_checklist

pytestmark = ours

PAGE = installation.PROJECT / "docs" / "conformance.md"
TESTS = installation.PROJECT / "tests"


def collect(*arguments):
    """Collects the tests in `arguments` and runs none."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-qq", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=installation.PROJECT, capture_output=True, text=True)


def test_the_page_names_tests_that_there_are_and_that_name_their_line():
    collected = collect("tests", "--conformance-check", str(PAGE))
    assert collected.returncode == 0, collected.stderr


def test_each_line_of_the_checklist_is_in_the_page():
    page = PAGE.read_text()
    missing = [line.id for chapter in read_checklist() for line in chapter.lines if f"| {line.id} |" not in page]
    assert not missing


@pytest.mark.parametrize("page", ["| MAP-01 | says | | | | `test_mapping.py::test_that_is_not_there` |\n", "| XYZ-1 | |\n", ""])
def test_a_page_that_is_out_of_date_is_refused(tmp_path, page):
    (tmp_path / "page.md").write_text(page)
    collected = collect("tests/test_mapping.py", "--conformance-check", str(tmp_path / "page.md"))
    assert collected.returncode != 0 and "is out of date" in collected.stderr


def test_a_test_that_names_a_line_that_there_is_not_is_refused(tmp_path):
    (tmp_path / "pytest.ini").write_text((TESTS / "pytest.ini").read_text())
    (tmp_path / "conftest.py").symlink_to(TESTS / "conftest.py")
    (tmp_path / "harness").symlink_to(TESTS / "harness")
    (tmp_path / "test_it.py").write_text("from harness.checklist import line\n\n@line('MAP-99')\ndef test_it():\n    pass\n")
    collected = collect(str(tmp_path))
    assert collected.returncode != 0 and "test_it.py::test_it: MAP-99" in collected.stderr


RUN = """
import pytest
from harness.checklist import line
from harness.door import DAEMON, EMBEDDED

@pytest.mark.parametrize("door", [EMBEDDED, DAEMON], ids=str)
@line("MAP-01")
def test_both(door):
    assert not door.is_daemon

@line("MAP-02", "CFG-01")
def test_one():
    pass

@line("MAP-03")
def test_none():
    pytest.skip()
"""


def test_the_page_has_the_worst_result_at_each_door(tmp_path):
    (tmp_path / "pytest.ini").write_text((TESTS / "pytest.ini").read_text())
    (tmp_path / "conftest.py").symlink_to(TESTS / "conftest.py")
    (tmp_path / "harness").symlink_to(TESTS / "harness")
    (tmp_path / "test_it.py").write_text(RUN)
    page = tmp_path / "page.md"
    command = [sys.executable, "-m", "pytest", "-q", str(tmp_path), "--conformance", str(page)]
    subprocess.run(command, cwd=installation.PROJECT, capture_output=True)
    rows = {row[2:8]: row for row in page.read_text().splitlines()}
    assert "| pass | FAIL |  | `test_it.py::test_both` |" in rows["MAP-01"]
    assert "| pass | no test |  | `test_it.py::test_one` |" in rows["MAP-02"]
    assert "|  |  | pass | `test_it.py::test_one` |" in rows["CFG-01"]
    assert "| skipped | no test |  | `test_it.py::test_none` |" in rows["MAP-03"]
    assert "| no test | no test |  |  |" in rows["MAP-04"]
