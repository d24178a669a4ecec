"""wsgi.input: what an application reads, and what httpd refuses before it can."""

import hashlib
import json
import threading

import pytest

from harness.checklist import both_interpreters, line, ours, ours_in_daemon
from harness.condition import wait_until
from harness.process import peak_resident_kib, resident_kib

pytestmark = both_interpreters

CONFIG = """
<LocationMatch "/chunked">
  WSGIChunkedRequest On
</LocationMatch>
<LocationMatch "/limited">
  LimitRequestBody 1000
</LocationMatch>
"""

LINES = b"one\ntwo two\n\nfour\r\nlast without end"


@pytest.fixture
def reads(serve):
    """Posts LINES to an application that evaluates an expression over `input`; returns the outcome's repr."""

    def application(environ, start_response):
        import urllib.parse

        expression = urllib.parse.unquote(environ["QUERY_STRING"])
        try:
            outcome = eval(expression, {"input": environ["wsgi.input"]})
        except Exception as error:
            outcome = f"{type(error).__name__}: {error}"
        start_response("200 OK", [])
        return [repr(outcome).encode()]

    app = serve(application)

    def ask(expression, body=LINES):
        import urllib.parse

        response = app.post(body, "?" + urllib.parse.quote(expression))
        assert response.status == 200
        return response.text

    return ask


def echo(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("X-Length", environ.get("CONTENT_LENGTH", "none"))])
    return [b"[", body, b"]"]


# -- reading


@line("PY-45")
def test_read_returns_the_whole_body_and_then_nothing(reads):
    assert reads("[input.read(), input.read(), input.read(5)]") == repr([LINES, b"", b""])


def test_a_negative_size_reads_everything(reads):
    assert reads("[input.read(-1), input.read(-5)]") == repr([LINES, b""])


def test_a_request_without_body_reads_as_empty(serve):
    assert serve(echo).get().body == b"[]"


@ours_in_daemon
@line("PY-46")
def test_read_n_returns_exactly_n_bytes_across_slow_packets(serve):
    def application(environ, start_response):
        write = start_response("200 OK", [])
        first = environ["wsgi.input"].read(1)
        write(first)
        write(environ["wsgi.input"].read(6))
        return []

    app = serve(application)
    with app.site.connect() as connection:
        connection.send_head("POST", app.url, [("Content-Length", "7")])
        connection.send(b"ab")
        connection.head()
        assert connection.chunk() == b"a"
        connection.send(b"cd")
        assert not connection.has_input(within=0.05)
        connection.send(b"efg")
        assert connection.chunk() == b"bcdefg"


@line("PY-47")
def test_read_0_returns_nothing_and_consumes_nothing(reads):
    assert reads("[input.read(0), input.read()]") == repr([b"", LINES])


@line("PY-48")
@pytest.mark.parametrize(
    ("expression", "outcome"),
    [
        ("input.readline()", b"one\n"),
        ("[input.readline() for _ in range(7)]", [*LINES.splitlines(keepends=True), b"", b""]),
        ("[input.readline(2), input.readline(2), input.readline(100)]", [b"on", b"e\n", b"two two\n"]),
        ("[input.readline(0), input.readline(-1)]", [b"", b"one\n"]),
        ("input.readlines()", LINES.splitlines(keepends=True)),
        ("input.readlines(0)", LINES.splitlines(keepends=True)),
        ("input.readlines(1)", [b"one\n"]),
        ("[input.readlines(5), input.read()]", [[b"one\n", b"two two\n"], b"\nfour\r\nlast without end"]),
        ("[input.read(), input.readline(), input.readlines()]", [LINES, b"", []]),
    ],
)
def test_readline_and_readlines_follow_their_arguments(reads, expression, outcome):
    assert reads(expression) == repr(outcome)


@line("PY-49")
def test_iteration_yields_lines_and_the_input_is_its_own_iterator(reads):
    assert reads("[iter(input) is input, list(input), list(input)]") == repr(
        [True, LINES.splitlines(keepends=True), []]
    )


@line("PY-50")
def test_mixed_readline_and_read_keep_the_order_and_lose_nothing(reads):
    assert reads("[input.readline(), input.read(3), next(input), input.readline(1), input.read()]") == repr(
        [b"one\n", b"two", b" two\n", b"\n", b"four\r\nlast without end"]
    )


def test_a_line_longer_than_any_buffer_is_one_line(reads):
    body = b"x" * 300_000 + b"\nrest"
    assert reads("[len(input.readline()), input.read()]", body) == repr([300_001, b"rest"])


@line("PY-51", "REQ-08")
def test_100_mb_in_blocks_of_64_kb_arrive_whole_in_bounded_memory(serve, site, serving):
    def application(environ, start_response):
        import hashlib

        digest = hashlib.sha256()
        while block := environ["wsgi.input"].read(65536):
            digest.update(block)
        start_response("200 OK", [])
        return [digest.hexdigest().encode()]

    app = serve(application)
    app.post(b"warm")
    processes = {site.child(), serving()}
    before = sum(map(resident_kib, processes))
    megabyte = bytes(range(256)) * 4096
    digest = hashlib.sha256()
    with site.connect() as connection:
        connection.send_head("POST", app.url, [("Content-Length", str(100 * len(megabyte)))])
        for _ in range(100):
            connection.send(megabyte)
            digest.update(megabyte)
        assert connection.response().text == digest.hexdigest()
    assert sum(map(resident_kib, processes)) - before < 20_000


def test_100_mb_in_lines_of_20_kb_arrive_whole_in_bounded_memory(new_site):
    site = new_site().start()

    def application(environ, start_response):
        lines = bytes_ = 0
        while text := environ["wsgi.input"].readline():
            assert text.endswith(b"\n")
            lines += 1
            bytes_ += len(text)
        start_response("200 OK", [])
        return [b"%d lines, %d bytes" % (lines, bytes_)]

    app = site.serve(application)
    assert app.post(b"warm\n").body == b"1 lines, 5 bytes"
    processes = {site.child(), site.process()}
    before = sum(map(peak_resident_kib, processes))
    # No line but the last may end where a piece that httpd hands on does (8000 bytes).
    block = (b"x" * 20_000 + b"\n") * 50
    with site.connect() as connection:
        connection.send_head("POST", app.url, [("Content-Length", str(100 * len(block)))])
        for _ in range(100):
            connection.send(block)
        assert connection.response().body == b"5000 lines, 100005000 bytes"
    assert sum(map(peak_resident_kib, processes)) - before < 60_000


@ours
@pytest.mark.parametrize(
    "use", ["type(input)()", "type(input).__new__(type(input))", "setattr(type(input), 'read', None)"]
)
def test_the_type_of_the_input_can_be_neither_called_nor_changed(reads, use, serving):
    process = serving()
    assert reads(use).startswith("'TypeError: ") or reads(use).startswith('"TypeError: ')
    assert reads("input.read()") == repr(LINES)
    assert serving() == process


@line("PY-52")
@pytest.mark.parametrize(
    "call", ["read('x')", "read(1.5)", "read(1, 2)", "read(size=1)", "readline('x')", "readlines('x')"]
)
def test_arguments_that_are_not_one_int_raise_type_error(reads, call):
    assert "TypeError: " in reads(f"input.{call}")


@line("PY-53")
def test_close_is_harmless(reads):
    assert reads("[input.close(), input.read()]") == repr([None, LINES])


@line("PY-68")
def test_input_terminated_is_true(serve):
    def application(environ, start_response):
        start_response("200 OK", [])
        return [repr(environ["wsgi.input_terminated"]).encode()]

    assert serve(application).get().body == b"True"


# -- after the request


@line("PY-54", "PY-55")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("kept.read()", "read() called on wsgi.input after request completed"),
        ("kept.readline()", "readline() called on wsgi.input after request completed"),
        ("kept.readlines()", "readlines() called on wsgi.input after request completed"),
        ("kept.close()", "close() called on wsgi.input after request completed"),
        ("next(kept)", "iteration of wsgi.input attempted after request completed"),
    ],
)
def test_the_input_of_a_finished_request_raises_runtime_error(script, call, message):
    app = script(
        f"""
kept = None
def application(environ, start_response):
    global kept
    start_response("200 OK", [])
    if kept is None:
        kept = environ["wsgi.input"]
        return [b"kept"]
    try:
        return [repr({call}).encode()]
    except RuntimeError as error:
        return [str(error).encode()]
"""
    )
    assert app.post(b"unread").body == b"kept"
    assert app.post(b"other").text == message


# -- chunked bodies


def send_chunked(app, chunks, rest="/chunked", trailers=b""):
    with app.site.connect() as connection:
        connection.send_head("POST", app.url + rest, [("Transfer-Encoding", "chunked")])
        for chunk in chunks:
            connection.send_chunk(chunk)
        connection.end_chunks(trailers)
        return connection.response()


@line("PY-56", "REQ-06")
def test_a_chunked_request_is_refused_with_411_by_default(serve, log):
    log.expect("WSGI0139")
    assert send_chunked(serve(echo), [b"abc"], rest="").status == 411


@line("PY-57", "REQ-06")
def test_a_chunked_request_is_read_to_its_end_when_allowed(serve):
    response = send_chunked(serve(echo), [b"abc", b"d" * 70_000, b"e"], trailers=b"X-Trailer: 1\r\n")
    assert response.body == b"[abc" + b"d" * 70_000 + b"e]"
    assert response.header("X-Length") == "none"


@line("PY-58", "REQ-06")
def test_transfer_encoding_is_visible_for_a_chunked_request_and_no_length_invented(serve):
    def application(environ, start_response):
        start_response("200 OK", [])
        return [repr((environ["HTTP_TRANSFER_ENCODING"], environ.get("CONTENT_LENGTH"))).encode()]

    assert send_chunked(serve(application), [b"abc"]).text == "('chunked', None)"


@ours
@line("PY-60", "IMP-26")
@pytest.mark.parametrize("read", ["all at once", "in a loop that goes on after an error"])
def test_a_chunked_body_over_the_limit_gets_exactly_one_413(serve, site, log, read):
    def application(environ, start_response):
        if LOOP:
            try:
                while environ["wsgi.input"].read(100):
                    pass
            except OSError:
                pass
        else:
            environ["wsgi.input"].read()
        start_response("200 OK", [("X-App", "yes")])
        return [b"the application's body"]

    log.allow("AH01592|AH00588|WSGI0174|OSError|[Rr]ead content-length|larger than")
    log.allow(r"Traceback|^(\[script [^\]]*\] )?  ")
    app = serve(application, LOOP=read != "all at once")
    with site.connect() as connection:
        connection.send_head("POST", app.url + "/chunked/limited", [("Transfer-Encoding", "chunked")])
        connection.send_chunk(b"x" * 5000)
        connection.end_chunks()
        response = connection.response()
        after = connection.rest() if "close" in (response.header("Connection") or "") else b""
    assert response.status == 413
    assert response.header("X-App") is None
    assert b"the application's body" not in response.body + after
    assert b"HTTP/1.1 500" not in response.body + after and b"Internal Server Error" not in response.body + after
    wait_until(lambda: site.accesses() and app.url in site.accesses()[-1], "the access log line")
    assert site.accesses()[-1].startswith("413 ")


@ours
@line("PY-61")
def test_a_malformed_chunk_gets_exactly_one_400(serve, site, log):
    log.allow("AH01590|AH02458|WSGI0174|OSError|chunk")
    log.allow(r"Traceback|^(\[script [^\]]*\] )?  ")
    app = serve(echo)
    with site.connect() as connection:
        connection.send_head("POST", app.url + "/chunked", [("Transfer-Encoding", "chunked")])
        connection.send(b"3\r\nabc\r\nthis is no size\r\n")
        response = connection.response()
        assert response.status == 400
        assert b"[" not in response.body + connection.rest()


REFUSED_BODIES = {
    "too long": b"1388\r\n" + b"x" * 5000 + b"\r\n0\r\n\r\n",
    "malformed": b"3\r\nabc\r\nthis is no size\r\n",
}


@ours
@line("PY-60", "PY-61")
@pytest.mark.parametrize("body", REFUSED_BODIES.values(), ids=REFUSED_BODIES)
@pytest.mark.parametrize("headers", [[], [("Content-Length", "50")]], ids=["chunked", "with length"])
def test_a_body_that_is_refused_after_the_first_block_breaks_the_response(script, site, log, headers, body):
    app = script(
        f"""
def application(environ, start_response):
    start_response("200 OK", {headers!r})
    yield b"first"
    try:
        environ["wsgi.input"].read()
    except OSError as error:
        print("the application got OSError:", error)
    yield b"second"
"""
    )
    log.expect("the application got OSError: ")
    log.expect("WSGI0119")
    log.allow("AH01590|AH01592|AH02458|AH00588|[Rr]ead content-length|larger than|chunk")
    with site.connect() as connection:
        connection.send_head("POST", app.url + "/chunked/limited", [("Transfer-Encoding", "chunked")])
        assert connection.head().status == 200
        assert (connection.take(5) if headers else connection.chunk()) == b"first"
        connection.send(body)
        assert connection.rest() == b""


def test_both_framings_at_once_are_not_a_way_to_smuggle_a_request(serve, site):
    app = serve(echo)
    with site.connect() as connection:
        connection.send_head("POST", app.url + "/chunked", [("Transfer-Encoding", "chunked"), ("Content-Length", "3")])
        connection.send(b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n")
        response = connection.response()
        assert response.status in (200, 400)
        assert response.header("Connection") == "close" or response.body in (b"[]", b"")


# -- limits and lengths


@line("PY-59", "REQ-07")
def test_a_content_length_over_the_limit_gets_413_and_the_application_is_not_called(serve, log):
    log.allow("AH01592|AH00588|[Rr]equest content-length|larger than|WSGI0436")

    def application(environ, start_response):
        print("the application was called")
        start_response("200 OK", [])
        return []

    app = serve(application)
    assert app.post(b"x" * 1001, "/limited").status == 413
    assert not log.matching("the application was called")


def test_a_body_of_exactly_the_limit_is_let_in(serve):
    assert serve(echo).post(b"x" * 1000, "/limited").body == b"[" + b"x" * 1000 + b"]"


@ours
@line("REQ-07")
def test_a_content_length_over_the_limit_is_named_in_the_log(serve, log):
    def application(environ, start_response):
        raise AssertionError("was called")

    log.expect("WSGI0436: request body of 1001 bytes is over LimitRequestBody 1000; answering 413")
    assert serve(application).post(b"x" * 1001, "/limited").status == 413


@line("PY-67")
@pytest.mark.parametrize("lengths", [["-1"], ["abc"], ["1", "2"], ["1 2"], ["0x1"], ["99999999999999999999999"]])
def test_an_impossible_content_length_gets_400_and_the_application_is_not_called(serve, log, lengths):
    def application(environ, start_response):
        print("the application was called")
        start_response("200 OK", [])
        return []

    app = serve(application)
    with app.site.connect() as connection:
        connection.send_head("POST", app.url, [("Content-Length", length) for length in lengths])
        assert connection.response().status in (400, 413)
    assert not log.matching("the application was called")


@ours_in_daemon
@line("PY-62", "REQ-11")
@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_leaves_within_its_body_raises_oserror_in_the_application(serve, site, log, how, serving):
    def application(environ, start_response):
        start_response("200 OK", [])
        print("the application reads")
        try:
            environ["wsgi.input"].read()
        except OSError as error:
            print("the application got OSError:", error)
        return [b""]

    log.expect("the application reads")
    log.expect("the application got OSError: ")
    app = serve(application)
    process = serving()
    for number in range(20):
        connection = site.connect()
        connection.send_head("POST", app.url, [("Content-Length", "1000")])
        connection.send(b"x" * 500)
        # A worker does not begin with what nobody waits for any more.
        log.wait_for("the application reads", count=number + 1)
        getattr(connection, how)()
    log.wait_for("the application got OSError: ", count=20)
    assert serve(echo).post(b"more than as many requests as threads later").status == 200
    assert serving() == process


@ours_in_daemon
@line("PY-63")
def test_reading_again_after_an_error_says_so(serve, site, log):
    def application(environ, start_response):
        start_response("200 OK", [])
        for attempt in range(2):
            try:
                environ["wsgi.input"].read()
            except OSError as error:
                print(f"attempt {attempt}: {error}")
        return [b""]

    log.expect("attempt 0: ")
    log.expect("attempt 1: .*input is already in error state")
    app = serve(application)
    with site.connect() as connection:
        connection.send_head("POST", app.url, [("Content-Length", "1000")])
        connection.send(b"x" * 500)


@ours_in_daemon
def test_a_client_that_stalls_within_its_body_raises_oserror_after_the_timeout(new_site):
    site = new_site("Timeout 1\n").start()

    def application(environ, start_response):
        start_response("200 OK", [])
        try:
            environ["wsgi.input"].read()
        except OSError as error:
            print("the application got OSError:", error)
        return [b""]

    site.log.expect("the application got OSError: ")
    app = site.serve(application)
    with site.connect() as connection:
        connection.send_head("POST", app.url, [("Content-Length", "1000")])
        connection.send(b"x" * 500)
        site.log.wait_for("the application got OSError: ")
    assert app.post(b"x").status == 200


# -- Expect: 100-continue

EXPECT = ("Expect", "100-continue")


@line("PY-64", "REQ-09")
def test_an_application_that_reads_has_100_continue_sent(serve, site):
    app = serve(echo)
    with site.connect() as connection:
        connection.send_head("POST", app.url, [EXPECT, ("Content-Length", "3")])
        assert connection.interim() == 100
        connection.send(b"abc")
        response = connection.response()
        assert (response.body, response.interim) == (b"[abc]", [])


@ours_in_daemon
@line("PY-64")
def test_an_application_that_does_not_read_has_no_100_continue_sent(serve, site):
    def application(environ, start_response):
        start_response("200 OK", [("Content-Length", "2")])
        return [b"no"]

    app = serve(application)
    with site.connect() as connection:
        connection.send_head("POST", app.url, [EXPECT, ("Content-Length", "3")])
        response = connection.response()
        assert (response.body, response.interim) == (b"no", [])


@line("PY-65")
def test_a_body_over_the_limit_is_refused_without_100_continue(serve, site, log):
    log.allow("AH01592|AH00588|[Rr]equest content-length|larger than|WSGI0436")
    app = serve(echo)
    with site.connect() as connection:
        connection.send_head("POST", app.url + "/limited", [EXPECT, ("Content-Length", "1001")])
        response = connection.response()
        assert (response.status, response.interim) == (413, [])


# -- keep-alive


@line("PY-66", "REQ-10")
@pytest.mark.parametrize("size", [1, 5000, 500_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_an_unread_body_does_not_corrupt_the_next_request(serve, site, size, chunked):
    def application(environ, start_response):
        start_response("200 OK", [])
        return [environ["REQUEST_METHOD"].encode()]

    app = serve(application)
    with site.connect() as connection:
        for _ in range(3):
            if chunked:
                connection.send_head("POST", app.url + "/chunked", [("Transfer-Encoding", "chunked")])
                connection.send_chunk(b"x" * size)
                connection.end_chunks()
                assert connection.response().body == b"POST"
            else:
                assert connection.request("POST", app.url, body=b"x" * size).body == b"POST"
            assert connection.get(app.url).body == b"GET"


@ours_in_daemon
@line("IMP-01")
def test_a_large_response_arrives_whole_while_a_large_upload_stays_unread(serve, site):
    def application(environ, start_response):
        start_response("200 OK", [("Content-Length", str(5 << 20))])
        return (b"x" * 65536 for _ in range(80))

    app = serve(application)
    with site.connect() as connection:
        upload = threading.Thread(
            target=connection.send_request, args=("POST", app.url), kwargs={"body": b"u" * (3 << 20)}
        )
        upload.start()
        assert len(connection.response().body) == 5 << 20
        upload.join()
        assert connection.get(app.url).status == 200


def test_pipelined_requests_each_read_their_own_body(serve, site):
    app = serve(echo)
    with site.connect() as connection:
        for body in (b"first", b"second", b"third"):
            connection.send_request("POST", app.url, body=body)
        assert [connection.response().body for _ in range(3)] == [b"[first]", b"[second]", b"[third]"]


# -- a real raw stream


@ours
@pytest.mark.parametrize(
    ("expression", "outcome"),
    [
        ("input.read(None)", LINES),
        ("input.readline(None)", b"one\n"),
        ("input.readlines(None)", LINES.splitlines(keepends=True)),
        ("(lambda b: (input.readinto(b), bytes(b)))(bytearray(6))", (6, b"one\ntw")),
        ("(lambda b: (input.readinto(memoryview(b)[1:4]), bytes(b)))(bytearray(5))", (3, b"\0one\0")),
        ("[input.read1(4), input.readline()]", [b"one\n", b"two two\n"]),
        ("(input.readable(), input.writable(), input.seekable())", (True, False, False)),
        ("input.isatty()", False),
    ],
)
def test_the_input_has_the_methods_of_a_raw_stream(reads, expression, outcome):
    assert reads(expression) == repr(outcome)


@ours
def test_read1_returns_what_is_there_without_waiting_for_more(serve, site):
    def application(environ, start_response):
        write = start_response("200 OK", [])
        write(environ["wsgi.input"].read1(100))
        write(environ["wsgi.input"].read1(100))
        return []

    app = serve(application)
    with site.connect() as connection:
        connection.send_head("POST", app.url, [("Content-Length", "6")])
        connection.send(b"abc")
        connection.head()
        assert connection.chunk() == b"abc"
        connection.send(b"def")
        assert connection.chunk() == b"def"


@ours
def test_io_buffered_reader_and_text_io_wrapper_can_wrap_the_input(serve):
    def application(environ, start_response):
        import io

        text = io.TextIOWrapper(io.BufferedReader(environ["wsgi.input"], 4), encoding="utf-8", newline="\n")
        start_response("200 OK", [])
        return [ascii(text.readlines()).encode()]

    assert serve(application).post("ä\nb\nc".encode()).text == ascii(["ä\n", "b\n", "c"])


def test_an_uploaded_form_is_parsed_by_the_standard_library(serve):
    def application(environ, start_response):
        import email.parser
        import json

        head = f"Content-Type: {environ['CONTENT_TYPE']}\r\n\r\n".encode()
        message = email.parser.BytesParser().parsebytes(head + environ["wsgi.input"].read())
        parts = [(part.get_filename(), part.get_payload(decode=True).decode()) for part in message.get_payload()]
        start_response("200 OK", [])
        return [json.dumps(parts).encode()]

    body = b'--b\r\nContent-Disposition: form-data; name="f"; filename="a.txt"\r\n\r\nhello\r\n--b--\r\n'
    response = serve(application).post(body, headers=[("Content-Type", "multipart/form-data; boundary=b")])
    assert json.loads(response.body) == [["a.txt", "hello"]]


# -- filters of other modules

SKIPPING = """
function skip(r)
    coroutine.yield()
    while bucket ~= nil do
        if bucket:find("skip") then
            r:notice("a piece became empty")
            coroutine.yield("")
        else
            coroutine.yield(bucket)
        end
    end
end
"""


@ours
@line("IMP-03")
@pytest.mark.parametrize("skipped", [1, 3])
def test_a_filter_that_makes_a_piece_of_the_body_empty_does_not_end_it(new_site, interpreter, skipped):
    config = "LuaInputFilter SKIPPING {root}/skip.lua skip\nSetInputFilter SKIPPING\n"
    site = new_site(config, modules=("lua",))
    (site.root / "skip.lua").write_text(SKIPPING)
    site.start()
    app = site.script(
        "def application(environ, start_response):\n"
        "    body = environ['wsgi.input'].read()\n"
        "    start_response('200 OK', [])\n"
        "    return [body]\n",
        interpreter,
    )
    with site.connect() as connection:
        connection.send_head("POST", app.url, [("Content-Length", str(4 * skipped + 4))])
        for number in range(skipped):
            connection.send(b"skip")
            site.log.wait_for("a piece became empty", number + 1)
        connection.send(b"keep")
        assert connection.response().body == b"keep"
