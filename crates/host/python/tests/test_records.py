"""Where records end in what a thread writes."""

import io
import logging
import sys
import traceback

import pytest
from wsgi_host.records import LONGEST_PARTIAL, Unfinished, cut


def failed(function):
    try:
        function()
    except BaseException as failure:
        return failure
    raise AssertionError("it did not fail")


def boom():
    raise ValueError("boom")


def chain():
    try:
        boom()
    except ValueError as cause:
        raise KeyError("outer") from cause


def group():
    raise ExceptionGroup("several", [failed(boom), ExceptionGroup("inner", [failed(chain), TypeError("b")])])  # noqa: F821


def pieces_of(failure):
    """What `traceback.print_exception` writes, write by write."""

    class Pieces(io.StringIO):
        def write(self, text):
            pieces.append(text.encode())

    pieces = []
    traceback.print_exception(failure, file=Pieces())
    return pieces


def records_of(*pieces):
    unfinished = Unfinished()
    records = [record for piece in pieces for record in unfinished.add(piece)]
    return records, unfinished.finish()


@pytest.mark.parametrize(
    ("text", "records", "rest"),
    [
        (b"", [], b""),
        (b"one", [], b"one"),
        (b"one\n", [b"one"], b""),
        (b"\n", [b""], b""),
        (b"one\n\ntwo\nth", [b"one", b"", b"two"], b"th"),
        (b"a Traceback (most recent call last)\nb\n", [b"a Traceback (most recent call last)", b"b"], b""),
    ],
)
def test_a_line_is_a_record(text, records, rest):
    assert cut(text) == (records, rest)


@pytest.mark.parametrize("fail", [boom, group] if sys.version_info >= (3, 11) else [boom])
def test_a_traceback_is_one_record_however_it_is_written(fail):
    failure = failed(fail)
    text = "".join(traceback.format_exception(failure)).encode()
    whole = [text.removesuffix(b"\n")]
    assert records_of(text) == (whole, [])
    assert records_of(*pieces_of(failure)) == (whole, [])
    assert records_of(*(text[place : place + 1] for place in range(len(text)))) == (whole, [])


def test_a_chain_that_is_written_at_once_is_one_record():
    text = "".join(traceback.format_exception(failed(chain))).encode()
    assert records_of(b"a headline\n" + text) == ([b"a headline\n" + text.removesuffix(b"\n")], [])


def test_a_chain_that_is_written_in_pieces_is_one_record_for_each_exception():
    records, rest = records_of(*pieces_of(failed(chain)))
    assert [record.rpartition(b"\n")[2] for record in records if record.startswith(b"Traceback")] == [
        b"ValueError: boom",
        b"KeyError: 'outer'",
    ]
    assert not rest


def test_what_logging_writes_of_an_exception_is_one_record():
    stream = io.StringIO()
    logger = logging.Logger("test")
    logger.addHandler(logging.StreamHandler(stream))
    try:
        chain()
    except KeyError:
        logger.exception("it failed")
    records, rest = records_of(stream.getvalue().encode())
    assert len(records) == 1 and records[0].startswith(b"it failed\nTraceback") and not rest


def test_a_traceback_that_never_ends_is_there_when_the_rest_is_asked_for():
    text = b"Traceback (most recent call last):\n  File \"x\", line 1, in f\n"
    assert records_of(text) == ([], [text.removesuffix(b"\n")])


def test_lines_after_a_traceback_are_lines_again():
    text = b"Traceback (most recent call last):\n  File \"x\", line 1, in f\nValueError: boom\n"
    assert records_of(text, b"one\ntwo\n") == ([text.removesuffix(b"\n"), b"one", b"two"], [])


@pytest.mark.parametrize("head", [b"", b"Traceback (most recent call last):\n"])
def test_nothing_grows_for_ever_and_nothing_is_lost(head):
    unfinished, records = Unfinished(), []
    for piece in [head, *[b" " * 999 + b"\n"] * 300] if head else [b"." * 1000] * 300:
        records += unfinished.add(piece)
        assert len(unfinished._begun) <= LONGEST_PARTIAL + 1000
    records += unfinished.finish()
    assert sum(len(record.replace(b"\n", b"")) for record in records) == len(head.rstrip()) + (299_700 if head else 300_000)
    assert len(records) > 1
