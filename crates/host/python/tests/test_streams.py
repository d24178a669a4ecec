"""`wsgi.errors` and the `sys` streams."""

import faulthandler
import gc
import io
import logging
import sys
import threading
import traceback
import warnings

import pytest
from native import Request
from wsgi_host import streams, text_log
from wsgi_host.streams import Errors, Forwarder


@pytest.fixture
def errors(request_):
    return request_.errors


def test_a_line_is_logged_when_its_newline_arrives(request_, errors):
    assert errors.write("one\ntw") == 6
    assert request_.lines == [(3, b"one")]
    errors.write("o\n")
    assert request_.lines == [(3, b"one"), (3, b"two")]


def test_an_empty_line_is_a_record(request_, errors):
    errors.write("a\n\nb\n")
    assert request_.lines == [(3, b"a"), (3, b""), (3, b"b")]


def test_a_carriage_return_is_kept(request_, errors):
    errors.write("a\r\n")
    assert request_.lines == [(3, b"a\r")]


def test_flush_logs_a_partial_line_once(request_, errors):
    errors.write("begun")
    errors.flush()
    errors.flush()
    assert request_.lines == [(3, b"begun")]


def test_a_partial_line_is_logged_at_the_end_of_the_request(request_, errors):
    errors.write("one")
    errors.write(" two")
    assert request_.lines == []
    request_.end()
    assert request_.lines == [(3, b"one two")]


def test_a_request_without_partial_lines_defers_nothing(request_, errors):
    errors.write("whole\n")
    assert request_.deferred == []


def test_many_partial_lines_defer_once(request_, errors):
    for _ in range(3):
        errors.write("part ")
        errors.flush()
    assert len(request_.deferred) == 1


def test_a_long_line_is_not_cut(request_, errors):
    errors.write("x" * 100_000 + "\n")
    assert request_.lines == [(3, b"x" * 100_000)]


def test_an_endless_line_is_logged_in_pieces_with_nothing_lost(request_, errors):
    for _ in range(300):
        errors.write("x" * 1000)
    request_.end()
    assert len(request_.lines) > 1
    assert b"".join(line for _, line in request_.lines) == b"x" * 300_000


def test_what_utf8_cannot_encode_is_replaced(request_, errors):
    errors.write("é\udcff\n")
    assert request_.lines == [(3, "é?".encode())]


def test_writelines_takes_any_iterable_of_str(request_, errors):
    errors.writelines(text for text in ("a\n", "b\n"))
    assert request_.lines == [(3, b"a"), (3, b"b")]


@pytest.mark.parametrize("data", [b"bytes", 1, None])
def test_the_text_layer_refuses_what_is_no_str(errors, data):
    with pytest.raises(TypeError, match=r"write\(\) argument must be str, not"):
        errors.write(data)
    with pytest.raises(TypeError, match=r"writelines\(\) items must be str, not"):
        errors.writelines([data])


def test_writelines_names_what_is_not_iterable_and_keeps_the_cause(errors):
    with pytest.raises(TypeError, match="must be iterable, not int") as caught:
        errors.writelines(5)
    assert isinstance(caught.value.__cause__, TypeError)
    with pytest.raises(TypeError, match="must be iterable, not int"):
        errors.buffer.writelines(5)


def test_the_attributes_are_those_of_a_text_stream(errors):
    assert isinstance(errors, io.TextIOBase)
    assert isinstance(errors, io.IOBase)
    assert (errors.name, errors.encoding, errors.errors) == ("<wsgi.errors>", "utf-8", "replace")
    assert (errors.newlines, errors.line_buffering, errors.closed) == (None, True, False)
    assert (errors.isatty(), errors.readable(), errors.seekable(), errors.writable()) == (False, False, False, True)
    assert errors.reconfigure(line_buffering=True) is None


def test_there_is_no_file_descriptor(errors):
    for layer in (errors, errors.buffer):
        with pytest.raises(OSError, match="^wsgi.errors log object has no file descriptor$"):
            layer.fileno()


def test_reading_is_refused(errors):
    for layer in (errors, errors.buffer):
        with pytest.raises(io.UnsupportedOperation):
            layer.read()
        with pytest.raises(io.UnsupportedOperation):
            layer.seek(0)


def test_closing_changes_nothing(request_, errors):
    errors.close()
    errors.buffer.close()
    errors.write("still\n")
    assert errors.closed is False
    assert request_.lines == [(3, b"still")]


@pytest.mark.parametrize("data", [b"abc\n", bytearray(b"abc\n"), memoryview(b"abc\n")])
def test_the_binary_layer_takes_bytes_like_objects(request_, errors, data):
    assert errors.buffer.write(data) == 4
    errors.buffer.writelines([data])
    assert request_.lines == [(3, b"abc")] * 2


def test_the_binary_layer_counts_bytes_of_wider_items(request_, errors):
    assert errors.buffer.write(memoryview(b"abc\nabc\n").cast("I")) == 8
    assert request_.lines == [(3, b"abc"), (3, b"abc")]


def test_the_binary_layer_refuses_other_types(errors):
    for data in (5, None, ["a"]):
        with pytest.raises(TypeError, match="a bytes-like object is required"):
            errors.buffer.write(data)


def test_bytes_that_are_no_utf8_pass_unchanged(request_, errors):
    errors.buffer.write(b"\xff\xfe\n")
    assert request_.lines == [(3, b"\xff\xfe")]


def test_text_and_bytes_share_one_partial_line(request_, errors):
    errors.write("text ")
    errors.buffer.write(b"bytes ")
    errors.write("text\n")
    assert request_.lines == [(3, b"text bytes text")]


def test_str_in_the_binary_layer_warns_once(monkeypatch, request_, errors):
    monkeypatch.setattr(text_log, "_warned", False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        errors.buffer.write("a\n")
        errors.buffer.write("b\n")
    assert [(item.category, item.filename) for item in caught] == [(DeprecationWarning, __file__)]
    assert request_.lines == [(3, b"a"), (3, b"b")]


def test_a_text_wrapper_of_ones_own_fits_around_the_binary_layer(request_, errors):
    wrapper = io.TextIOWrapper(errors.buffer, encoding="latin-1", line_buffering=True)
    wrapper.write("é\n")
    del wrapper
    gc.collect()
    errors.write("after\n")
    assert request_.lines == [(3, b"\xe9"), (3, b"after")]


def test_writing_after_the_request_is_an_error(request_, errors):
    request_.end()
    with pytest.raises(RuntimeError, match=r"^write\(\) called on wsgi.errors after request completed$"):
        errors.write("late")
    with pytest.raises(RuntimeError, match=r"^writelines\(\) called on wsgi.errors after request completed$"):
        errors.writelines(["late"])
    with pytest.raises(RuntimeError, match=r"^write\(\) called on wsgi.errors after request completed$"):
        errors.buffer.write(b"late")


def test_flush_after_the_request_is_silent_unless_something_is_pending(request_, errors):
    errors.write("begun")
    request_.end()
    errors.flush()
    assert request_.lines == [(3, b"begun")]


def test_a_request_that_ends_during_a_write_is_named_in_the_callers_words(request_, errors, monkeypatch):
    def ends(level, line):
        request_.active = False
        raise RuntimeError("log() called after request completed")

    monkeypatch.setattr(request_, "log", ends)
    with pytest.raises(RuntimeError, match=r"^write\(\) called on wsgi.errors after request completed$"):
        errors.write("line\n")


def test_a_broken_log_breaks_no_request(host, errors):
    host.is_log_broken = True
    errors.write("line\npart")
    errors.flush()
    Forwarder("<stdout>").write("line\n")
    host.enter(None)
    assert Forwarder("<stdout>").write("line\n") == 5


def test_lines_of_two_threads_in_one_request_never_mix(request_, errors):
    both_have_begun = threading.Barrier(2)

    def write(word):
        errors.write(word)
        both_have_begun.wait(10)
        errors.write(word + "\n")

    run_both(write)
    assert sorted(request_.lines) == [(3, b"aaaa"), (3, b"bbbb")]


def test_partial_lines_of_all_threads_are_logged_at_the_end(request_, errors):
    both_have_begun = threading.Barrier(2)

    def write(word):
        errors.write(word)
        both_have_begun.wait(10)

    run_both(write)
    request_.end()
    assert sorted(request_.lines) == [(3, b"aa"), (3, b"bb")]


def test_threads_that_print_at_once_lose_and_mix_nothing(request_, errors):
    def write(word):
        for _ in range(500):
            print(word, word, file=errors)

    run_both(write)
    assert sorted(request_.lines) == [(3, b"aa aa")] * 500 + [(3, b"bb bb")] * 500


def run_both(write):
    threads = [threading.Thread(target=write, args=(word,)) for word in ("aa", "bb")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_print_in_a_request_goes_to_that_request(host, request_):
    print("hello", 5, file=Forwarder("<stdout>"))
    assert request_.lines == [(3, b"hello 5")]
    assert host.lines == []


def test_print_elsewhere_goes_to_the_main_log(host):
    print("hello", file=Forwarder("<stderr>"))
    assert host.lines == [(3, b"hello")]


def test_print_goes_to_the_main_log_once_the_request_is_over(host, request_):
    stream = Forwarder("<stdout>")
    request_.end()
    print("late", file=stream)
    assert host.lines == [(3, b"late")]


def test_two_requests_on_two_threads_keep_their_prints_apart(host):
    stream = Forwarder("<stdout>")
    requests = {word: Request(host) for word in ("aa", "bb")}
    both_are_inside = threading.Barrier(2)

    def write(word):
        requests[word].errors = Errors(requests[word])
        host.enter(requests[word])
        both_are_inside.wait(10)
        for _ in range(100):
            print(word, file=stream)

    run_both(write)
    assert {word: set(request.lines) for word, request in requests.items()} == {
        "aa": {(3, b"aa")},
        "bb": {(3, b"bb")},
    }


def test_lines_of_background_threads_never_mix(host):
    stream = Forwarder("<stderr>")
    both_have_begun = threading.Barrier(2)

    def write(word):
        stream.write(word)
        both_have_begun.wait(10)
        stream.write(word + "\n")

    run_both(write)
    assert sorted(host.lines) == [(3, b"aaaa"), (3, b"bbbb")]


def test_a_partial_line_is_logged_when_its_thread_ends(host):
    stream = Forwarder("<stderr>")
    thread = threading.Thread(target=stream.write, args=("last words",))
    thread.start()
    thread.join(10)
    gc.collect()
    assert host.lines == [(3, b"last words")]


def test_a_background_line_without_end_does_not_grow_for_ever(host):
    stream = Forwarder("<stderr>")
    for _ in range(300):
        stream.write("." * 1000)
    stream.flush()
    assert len(host.lines) > 1
    assert b"".join(line for _, line in host.lines) == b"." * 300_000


def test_logging_and_traceback_can_write_to_sys_stderr(host, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Forwarder("<stderr>"))
    logger = logging.Logger("one")
    logger.addHandler(logging.StreamHandler())
    logger.error("first\nsecond")
    try:
        raise ValueError("boom")
    except ValueError:
        traceback.print_exc()
    first, second, third = host.records()
    assert (first, second) == ("first", "second")
    assert third.startswith("Traceback (most recent call last):\n  File") and third.endswith("\nValueError: boom")


def test_faulthandler_is_told_that_there_is_no_descriptor(host, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Forwarder("<stderr>"))
    with pytest.raises(OSError, match="has no file descriptor"):
        faulthandler.enable()


def test_sys_stdout_has_a_binary_layer(request_):
    stream = Forwarder("<stdout>")
    stream.buffer.write(b"raw\n")
    assert stream.name == stream.buffer.name == "<stdout>"
    assert request_.lines == [(3, b"raw")]


def test_wsgi_errors_has_no_dict_to_be_made_for_every_request(host):
    assert not hasattr(Errors(Request(host)), "__dict__")


def test_a_handler_that_closes_the_stream_leaves_it_usable(host):
    stream = Forwarder("<stderr>")
    with stream:
        stream.write("inside")
    stream.write("after\n")
    assert host.lines == [(3, b"inside"), (3, b"after")]


def test_replacing_the_streams_spares_stdout_of_a_single_process(host, monkeypatch):
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, getattr(sys, name))
    before = sys.stdin, sys.stdout
    streams.replace({**host.values, "single_process": "1"})
    assert (sys.stdin, sys.stdout) == before
    assert sys.stderr.name == "<stderr>"
    streams.replace(host.values)
    assert sys.stdout.name == "<stdout>"
