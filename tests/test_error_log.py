"""The watcher of the error log itself: a test is only as good as what it notices."""

import pytest

from harness.error_log import ErrorLog

CRASHES = {
    "a segmentation fault": "[t] [core:notice] [pid 7] AH00051: child pid 8 exit signal Segmentation fault (11)",
    "an abort": "[t] [core:notice] [pid 7] AH00052: child pid 8 exit signal Abort (6)",
    "Python's own": "Fatal Python error: PyEval_RestoreThread: the GIL is released",
    "a panic": "thread 'python' panicked at src/lib.rs:1:1:",
}
ERROR = "[t] [wsgi:error] [pid 7] WSGI0139: a line"


@pytest.fixture
def watched(tmp_path):
    """An error log, and a function that adds a line to it."""
    path = tmp_path / "error.log"

    def write(line, end="\n"):
        with open(path, "a") as file:
            file.write(line + end)

    return ErrorLog(path), write


@pytest.mark.parametrize("crash", CRASHES.values(), ids=CRASHES)
def test_allow_excuses_no_crash(watched, crash):
    log, write = watched
    log.begin()
    log.allow(".")
    write(crash)
    with pytest.raises(AssertionError, match="nothing announced"):
        log.verify()
    log.expect("exit signal|Fatal Python error|panicked")
    log.verify()


def test_what_is_not_announced_fails_and_what_is_does_not(watched):
    log, write = watched
    log.begin()
    write("[t] [wsgi:info] [pid 7] a quiet line")
    log.verify()
    write(ERROR)
    with pytest.raises(AssertionError, match="WSGI0139"):
        log.verify()
    log.allow("WSGI0139")
    log.verify()


def test_a_line_between_two_tests_is_held_to_what_the_first_announced(watched):
    log, write = watched
    log.begin()
    log.allow("WSGI0139")
    log.verify()
    write(ERROR)
    log.begin()
    assert not log.records()
    log.verify()
    write(ERROR)
    with pytest.raises(AssertionError, match="WSGI0139"):
        log.begin()
    log.begin()
    log.verify()


def test_a_line_that_is_half_written_when_a_test_begins_belongs_to_that_test(watched):
    log, write = watched
    log.begin()
    write(ERROR[:20], end="")
    log.begin()
    write(ERROR[20:])
    with pytest.raises(AssertionError, match="WSGI0139"):
        log.verify()
