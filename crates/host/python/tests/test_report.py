"""Exceptions as log lines."""

import sys

import pytest
from wsgi_host import report
from wsgi_host.file_wrapper import FileWrapper
from wsgi_host.report import Reporter


@pytest.fixture
def reporter(host):
    return Reporter("", host.values)


def caught(function, *arguments):
    try:
        function(*arguments)
    except BaseException as exception:
        return exception
    raise AssertionError("nothing was raised")


def fail():
    raise ValueError("boom")


def test_an_exception_is_logged_with_script_interpreter_and_whole_traceback(host, request_, reporter):
    reporter.exception(caught(fail), "application")
    assert host.text()[:2] == [
        "WSGI0174: ValueError exception raised processing WSGI script "
        "'/srv/app.wsgi' for main interpreter in embedded mode: ValueError: boom",
        "Traceback (most recent call last):",
    ]
    assert any("in fail" in text for text in host.text())
    assert host.text()[-1] == "ValueError: boom"
    assert {level for level, _ in host.lines} == {3}


@pytest.mark.parametrize(("stage", "words"), [("iteration", "iterating"), ("close", "close()")])
def test_the_stage_is_named(host, request_, reporter, stage, words):
    reporter.exception(caught(fail), stage)
    assert words in host.text()[0]


def test_a_sub_interpreter_and_a_daemon_process_are_named(host, request_):
    Reporter("shop", host.values).exception(caught(fail), "application")
    assert host.text()[0].endswith("for sub-interpreter 'shop' in embedded mode: ValueError: boom")
    host.reset()
    host.values.update(door="daemon", process_group="batch")
    Reporter("", host.values).exception(caught(fail), "application")
    assert host.text()[0].endswith("for main interpreter of daemon process 'batch': ValueError: boom")


def test_a_group_that_gets_its_name_late_is_named_by_it(host, request_):
    host.values.update(door="daemon", process_group="batch")
    reporter = Reporter("", host.values)
    reporter.rename("shop", host.values)
    reporter.exception(caught(fail), "application")
    assert host.text()[0].endswith("for application group 'shop' of daemon process 'batch': ValueError: boom")


def test_system_exit_is_ignored_aloud(host, request_, reporter):
    reporter.exception(caught(sys.exit, 3), "application")
    assert host.text()[0].startswith("WSGI0175: SystemExit exception raised processing")
    assert host.text()[0].endswith("; the exit is ignored, and the request fails")
    assert host.text()[-1] == "SystemExit: 3"


def test_an_exception_outside_a_request_is_logged_too(host, reporter):
    reporter.exception(caught(fail), "application")
    assert "'unknown'" in host.text()[0]


def test_chained_exceptions_are_shown(host, reporter):
    def chain():
        try:
            fail()
        except ValueError as cause:
            raise KeyError("outer") from cause

    reporter.exception(caught(chain), "application")
    assert "ValueError: boom" in host.text()
    assert "KeyError: 'outer'" in host.text()


def test_frames_of_this_package_are_left_out_everywhere(host, reporter):
    class Failing:
        def read(self, size):
            fail()

    def chain():
        try:
            next(FileWrapper(Failing()))
        except ValueError as cause:
            raise KeyError("outer") from cause

    reporter.exception(caught(chain), "iteration")
    text = "\n".join(host.text())
    assert "in read" in text and "in chain" in text
    assert "wsgi_host" not in text


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups came with Python 3.11")
def test_exception_groups_are_shown_whole(host, reporter):
    def group():
        raise ExceptionGroup("several", [caught(fail), caught(next, FileWrapper(object()))])  # noqa: F821

    reporter.exception(caught(group), "application")
    text = "\n".join(host.text())
    assert "ValueError: boom" in text and "AttributeError" in text
    assert "wsgi_host" not in text


def test_headline_and_traceback_are_one_record_however_many_lines_they_have(host, reporter):
    reporter.exception(ValueError("one\ntwo\0three"), "application")
    (record,) = host.records()
    assert record.endswith("\nValueError: one\ntwo\0three")


def test_an_exception_that_cannot_be_printed_is_still_named(host, reporter):
    class Odd(Exception):
        def __str__(self):
            raise RuntimeError

    reporter.exception(Odd(), "application")
    assert any("Odd" in text for text in host.text()[1:])


def test_a_traceback_that_cannot_be_formatted_is_said_so(host, monkeypatch):
    monkeypatch.setattr(report, "_formatted", lambda exception: 1 / 0)
    report.write("headline", ValueError("boom"))
    assert host.text() == ["headline", "ValueError (its traceback cannot be shown: ZeroDivisionError)"]


def test_a_broken_log_breaks_no_report(host, request_, reporter):
    host.is_log_broken = True
    reporter.exception(caught(fail), "application")
    reporter.text("WSGI0089", "text", 3)
    assert host.lines == []


def test_a_text_is_logged_with_its_code_and_level(host, reporter):
    reporter.text("WSGI0089", "no callable 'application'", 4)
    assert host.lines == [(4, b"WSGI0089: no callable 'application'")]


def test_a_cause_is_one_line():
    assert report.cause(ValueError("a\nb")) == "ValueError: a b"
    assert report.cause(KeyboardInterrupt()) == "KeyboardInterrupt"
