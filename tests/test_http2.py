"""The same applications over HTTP/2 (mod_http2), whose requests run on threads of its own."""

import json

import pytest

from harness.checklist import both_interpreters, line, ours, ours_in_daemon
from harness.condition import wait_until

pytestmark = both_interpreters

HTTPD_MODULES = ("http2",)

CONFIG = """
Protocols h2c http/1.1
H2MaxWorkers 16
<LocationMatch "/chunked">
  WSGIChunkedRequest On
</LocationMatch>
<LocationMatch "/limited">
  LimitRequestBody 1000
</LocationMatch>
WSGIScriptAlias /environ {apps}/environ.wsgi application-group=%{GLOBAL}
"""

# RFC 9113, section 7.
NO_ERROR = 0


ENDLESS = """
def application(environ, start_response):
    start_response("200 OK", [])
    try:
        while True:
            yield b"x" * 16384
    finally:
        print("the iterable was closed")
"""


def echo(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("X-Length", environ.get("CONTENT_LENGTH", "none"))])
    return [b"[", body, b"]"]


@pytest.fixture
def client(site):
    with site.connect_http2() as connection:
        yield connection


def test_the_environ_says_http_2(client):
    stream = client.get("/environ/x?y=1")
    values = json.loads(stream.body)["values"]
    expected = {
        "SERVER_PROTOCOL": "HTTP/2.0",
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/x",
        "QUERY_STRING": "y=1",
        "HTTP_HOST": "localhost",
        "wsgi.url_scheme": "http",
    }
    assert {key: values.get(key) for key in expected} == expected
    assert values["mod_wsgi.request_id"]


def test_status_headers_and_body_arrive(serve, client):
    def application(environ, start_response):
        start_response("404 Whatever", [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Name", "caf\xe9")])
        return [b"not ", b"here"]

    stream = client.get(serve(application).url)
    assert (stream.status, stream.body, stream.reset) == (404, b"not here", None)
    assert stream.all("set-cookie") == ["a=1", "b=2"]
    assert stream.header("x-name") == "caf\xe9"


@line("REQ-12")
@pytest.mark.parametrize("size", [1, 100, 300_000])
def test_a_body_with_content_length_arrives_whole(serve, client, size):
    stream = client.request("POST", serve(echo).url, [("content-length", str(size))], b"x" * size)
    assert (stream.status, stream.header("x-length"), stream.body) == (200, str(size), b"[" + b"x" * size + b"]")


@ours_in_daemon
@line("IMP-02")
@pytest.mark.parametrize("size", [1, 300_000])
def test_a_body_without_content_length_arrives_whole_where_chunked_requests_are_allowed(serve, client, size):
    stream = client.request("POST", serve(echo).url + "/chunked", [], b"x" * size)
    assert (stream.status, stream.header("x-length"), stream.body) == (200, "none", b"[" + b"x" * size + b"]")


def test_a_body_without_content_length_gets_411_where_they_are_not(serve, client, log):
    log.expect("WSGI0139")
    assert client.request("POST", serve(echo).url, [], b"x" * 100).status == 411


@ours
def test_a_body_over_the_limit_gets_413(serve, client, log):
    log.allow("AH01592|AH00588|[Rr]equest content-length|larger than|AH03073|WSGI0436")
    app = serve(echo)
    assert client.request("POST", app.url + "/limited", [("content-length", "1001")], b"x" * 1001).status == 413


@ours_in_daemon
def test_a_body_that_comes_in_pieces_is_read_as_it_comes(serve, client):
    def application(environ, start_response):
        start_response("200 OK", [])
        while data := environ["wsgi.input"].read(3):
            yield data.upper()

    stream_id = client.open("POST", serve(application).url, [("content-length", "9")], end=False)
    for number, piece in enumerate((b"abc", b"def", b"ghi"), 1):
        client.send(stream_id, piece, end=number == 3)
        client.wait_for(stream_id, 3 * number)
    assert client.finish(stream_id).body == b"ABCDEFGHI"


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", "200 OK"), ("GET", "204 No Content"), ("GET", "304 Not Modified")]
)
def test_a_response_without_body_has_none(script, client, method, status):
    app = script(f"def application(e, s):\n    s({status!r}, [('X-A', 'b')])\n    return [b'body']\n")
    stream = client.request(method, app.url)
    assert (stream.status, stream.body, stream.reset, stream.header("x-a")) == (int(status[:3]), b"", None, "b")


def test_many_streams_of_one_connection_run_at_once(serve, client):
    def application(environ, start_response):
        body = environ["wsgi.input"].read()
        start_response("200 OK", [])
        return [body]

    app = serve(application)
    streams = [client.open("POST", app.url, [("content-length", "3")], end=False) for _ in range(8)]
    for number, stream_id in reversed(list(enumerate(streams))):
        client.send(stream_id, b"%03d" % number, end=True)
    assert [client.finish(stream_id).body for stream_id in streams] == [b"%03d" % number for number in range(8)]


def test_hundreds_of_requests_on_one_connection_are_each_answered(serve, client):
    def application(environ, start_response):
        start_response("200 OK", [])
        return [environ["QUERY_STRING"].encode()]

    app = serve(application)
    for start in range(0, 300, 20):
        numbers = range(start, start + 20)
        streams = [client.open("GET", f"{app.url}?{number}") for number in numbers]
        assert [client.finish(stream_id).text for stream_id in streams] == [str(number) for number in numbers]


def test_a_large_response_arrives_whole(serve, client):
    def application(environ, start_response):
        start_response("200 OK", [])
        return (bytes([number]) * 100_000 for number in range(50))

    assert client.get(serve(application).url).body == b"".join(bytes([number]) * 100_000 for number in range(50))


def test_a_file_arrives_whole(script, site, client):
    path = site.root / "file.bin"
    path.write_bytes(bytes(range(256)) * 5000)
    path.chmod(0o644)
    app = script(
        f"def application(e, s):\n    s('200 OK', [])\n    return e['wsgi.file_wrapper'](open({str(path)!r}, 'rb'))\n"
    )
    stream = client.get(app.url)
    assert (stream.header("content-length"), stream.body) == (str(256 * 5000), path.read_bytes())


# -- broken responses


@ours
@line("IMP-04", "PY-122")
@pytest.mark.parametrize("headers", [[], [("Content-Length", "50")]])
def test_an_exception_after_the_first_block_resets_the_stream(script, client, log, headers):
    log.expect("WSGI0119")
    log.expect_exception("ValueError: too late")
    app = script(
        f"def application(environ, start_response):\n    start_response('200 OK', {headers!r})\n"
        f"    yield b'first'\n    raise ValueError('too late')\n"
    )
    other = script("def application(e, s):\n    s('200 OK', [])\n    return [b'other']\n")
    stream = client.get(app.url)
    assert not stream.ended and stream.reset not in (None, NO_ERROR)
    assert stream.body in (b"", b"first")
    assert client.get(other.url).body == b"other"


@ours
@line("IMP-06", "PY-127")
@pytest.mark.parametrize("returned", ["[b'short']", "iter([b'sh', b'ort'])"])
def test_a_body_shorter_than_its_content_length_resets_the_stream(script, client, log, returned):
    log.expect("WSGI0119")
    log.expect("WSGI0308")
    app = script(f"def application(e, s):\n    s('200 OK', [('Content-Length', '50')])\n    return {returned}\n")
    other = script("def application(e, s):\n    s('200 OK', [])\n    return [b'other']\n")
    stream = client.get(app.url)
    assert not stream.ended and stream.reset not in (None, NO_ERROR)
    assert client.get(other.url).body == b"other"


@ours
def test_a_body_that_is_refused_after_the_first_block_resets_the_stream(script, client, log):
    app = script(
        """
def application(environ, start_response):
    start_response("200 OK", [])
    yield b"first"
    try:
        environ["wsgi.input"].read()
    except OSError as error:
        print("the application got OSError:", error)
    yield b"second"
"""
    )
    other = script("def application(e, s):\n    s('200 OK', [])\n    return [b'other']\n")
    log.expect("the application got OSError: ")
    log.allow("WSGI0119|AH01592|AH00588|[Rr]ead content-length|larger than|AH03073|WSGI0436")
    stream_id = client.open("POST", app.url + "/chunked/limited", end=False)
    client.wait_for(stream_id, 5)
    client.send(stream_id, b"x" * 5000, end=True)
    stream = client.finish(stream_id)
    assert not stream.ended and stream.reset not in (None, NO_ERROR)
    assert (stream.status, stream.body) == (200, b"first")
    assert client.get(other.url).body == b"other"


def test_a_body_longer_than_its_content_length_is_cut(script, client):
    app = script(
        "def application(e, s):\n    s('200 OK', [('Content-Length', '5')])\n    return iter([b'123', b'45678'])\n"
    )
    stream = client.get(app.url)
    assert (stream.body, stream.reset) == (b"12345", None)


def test_an_exception_before_the_first_block_gets_500(script, client, log):
    log.expect_exception("ValueError: at once")
    app = script("def application(e, s):\n    s('200 OK', [('X-A', 'b')])\n    raise ValueError('at once')\n")
    stream = client.get(app.url)
    assert (stream.status, stream.header("x-a"), stream.reset) == (500, None, None)


def test_a_stream_that_the_client_cancels_closes_the_iterable_and_the_others_go_on(script, client, log):
    app = script(ENDLESS)
    other = script("def application(e, s):\n    s('200 OK', [])\n    return [b'other']\n")
    log.expect("the iterable was closed")
    stream_id = client.open("GET", app.url)
    client.wait_for(stream_id, 20_000)
    client.cancel(stream_id)
    log.wait_for("the iterable was closed")
    assert client.get(other.url).body == b"other"


def test_a_connection_that_breaks_while_streaming_harms_nothing(script, site, log, serving):
    app = script(ENDLESS)
    log.expect("the iterable was closed", times=5)
    process = serving()
    for _ in range(5):
        client = site.connect_http2()
        client.wait_for(client.open("GET", app.url), 1)
        client.close()
    log.wait_for("the iterable was closed", count=5)
    assert serving() == process


@ours_in_daemon
def test_an_upload_that_is_cancelled_raises_oserror_in_the_application(script, site, client, log):
    app = script(
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])(b'began')\n"
        "    try:\n"
        "        environ['wsgi.input'].read()\n"
        "    except OSError:\n"
        "        print('the application got OSError')\n"
        "    return []\n"
    )
    log.expect("the application got OSError")
    stream_id = client.open("POST", app.url, [("content-length", "1000")], end=False)
    client.send(stream_id, b"x" * 100)
    client.wait_for(stream_id, 5)
    client.cancel(stream_id)


def test_a_graceful_restart_with_http2_connections_crashes_nothing(new_site):
    site = new_site("Protocols h2c http/1.1\n", modules=("http2",)).start()
    app = site.script("def application(e, s):\n    s('200 OK', [])\n    return [b'hello']\n")
    for _ in range(5):
        before = site.children()
        with site.connect_http2() as client:
            for _ in range(10):
                assert client.get(app.url).body == b"hello"
        site.graceful()
        wait_until(lambda before=before: not set(before) & set(site.children()), "the old child to end")
    assert site.get(app.url).body == b"hello"
