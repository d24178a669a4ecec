"""What an application may return, how it is iterated, and that close() is called once."""

import json

import pytest

from harness.checklist import both_interpreters, embedded_only, line, ours, ours_in_daemon
from harness.condition import wait_until
from harness.messages import interpreter_in_words
from harness.installation import IS_OURS
from harness.process import resident_kib

pytestmark = both_interpreters

CONFIG = """
ErrorDocument 500 "the server's own page"
<LocationMatch "/overridden">
  WSGIErrorOverride On
</LocationMatch>
"""


@line("PY-110")
@pytest.mark.parametrize(
    "returned",
    [
        "[b'one', b'two']",
        "(b'one', b'two')",
        "(piece for piece in [b'one', b'two'])",
        "iter([b'one', b'two'])",
        "{b'onetwo': None}",
        "Pieces()",
        "Sequence()",
    ],
)
def test_any_iterable_of_bytes_is_a_body(script, returned):
    app = script(
        f"""
class Pieces:
    def __init__(self):
        self.pieces = [b'one', b'two']
    def __iter__(self):
        return self
    def __next__(self):
        if not self.pieces:
            raise StopIteration
        return self.pieces.pop(0)

class Sequence:
    def __getitem__(self, index):
        return [b'one', b'two'][index]

def application(environ, start_response):
    start_response("200 OK", [])
    return {returned}
"""
    )
    response = app.get()
    assert (response.status, response.body) == (200, b"onetwo")


@line("PY-110")
def test_a_class_can_be_the_application(serve):
    class application:
        def __init__(self, environ, start_response):
            self.start_response = start_response

        def __iter__(self):
            self.start_response("200 OK", [])
            yield b"from a class"

    assert serve(application).get().body == b"from a class"


def test_an_instance_with_call_can_be_the_application(script):
    app = script(
        """
class Application:
    def __call__(self, environ, start_response):
        start_response("200 OK", [])
        return [b"from an instance"]

application = Application()
"""
    )
    assert app.get().body == b"from an instance"


@line("PY-111")
def test_start_response_may_be_called_within_a_generator(serve):
    def application(environ, start_response):
        yield b""
        start_response("202 Later", [("X-Late", "1")])
        yield b"body"

    response = serve(application).get()
    assert (response.status, response.header("X-Late"), response.body) == (202, "1", b"body")


@line("PY-112", "REQ-21")
@pytest.mark.parametrize("returned", ["[b'body']", "(p for p in [b'body'])"])
def test_a_body_without_start_response_gets_500(script, log, returned):
    log.expect_exception("RuntimeError: start_response\\(\\) must be called before response content is produced")
    app = script(f"def application(environ, start_response):\n    return {returned}\n")
    assert app.get().status == 500


@pytest.mark.parametrize("returned", ["[]", "[b'']"])
def test_no_body_and_no_start_response_gets_500(script, log, returned):
    log.expect_exception("RuntimeError: start_response\\(\\) must be called")
    app = script(f"def application(environ, start_response):\n    return {returned}\n")
    assert app.get().status == 500


@line("PY-113", "REQ-21")
@pytest.mark.parametrize(
    ("returned", "error"),
    [
        ("['text']", "TypeError: response iterable must yield bytes, not str"),
        ("[1]", "TypeError: response iterable must yield bytes, not int"),
        ("[None]", "TypeError: response iterable must yield bytes, not NoneType"),
        ("[bytearray(b'x')]", "TypeError: response iterable must yield bytes, not bytearray"),
        ("[memoryview(b'x')]", "TypeError: response iterable must yield bytes, not memoryview"),
        ("b'bytes'", "TypeError: response iterable must yield bytes, not int"),
        ("'text'", "TypeError: response iterable must yield bytes, not str"),
        ("None", "TypeError: 'NoneType' object is not iterable"),
        ("5", "TypeError: 'int' object is not iterable"),
    ],
)
def test_what_is_no_iterable_of_bytes_gets_500(script, log, returned, error):
    log.expect_exception(error)
    app = script(
        f"def application(environ, start_response):\n    start_response('200 OK', [])\n    return {returned}\n"
    )
    response = app.get()
    assert (response.status, response.text) == (500, "the server's own page")


@line("PY-114")
def test_empty_items_are_skipped(serve):
    def application(environ, start_response):
        start_response("200 OK", [])
        return iter([b"", b"a", b"", b"", b"b", b""])

    assert serve(application).get().body == b"ab"


@line("PY-114")
@pytest.mark.parametrize("returned", ["[]", "[b'']", "iter([])", "iter([b'', b''])"])
def test_an_empty_body_is_an_empty_200(script, site, returned):
    app = script(
        f"def application(environ, start_response):\n"
        f"    start_response('200 OK', [('X-A', 'b')])\n"
        f"    return {returned}\n"
    )
    with site.connect() as connection:
        for _ in range(2):
            response = connection.get(app.url)
            assert (response.status, response.body, response.header("X-A")) == (200, b"", "b")


# -- close()

CLOSING = """
import json
calls = []

class Body:
    def __init__(self, pieces):
        self.pieces = iter(pieces)
    def __iter__(self):
        return self
    def __next__(self):
        piece = next(self.pieces)
        if piece is None:
            raise ValueError("from the iterator")
        return piece
    def close(self):
        calls.append("closed")
        if FAIL:
            raise ValueError("from close")

def application(environ, start_response):
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/calls":
        return [json.dumps(calls).encode()]
    return Body(PIECES)
"""


def closing(script, pieces, fail=False):
    return script(f"PIECES = {pieces!r}\nFAIL = {fail}\n{CLOSING}")


@line("PY-115")
def test_close_is_called_once_on_success(script):
    app = closing(script, [b"a", b"b"])
    assert app.get().body == b"ab"
    # The end of a response does not wait for close().
    wait_until(lambda: app.json("/calls"), "close() to be called")
    assert app.json("/calls") == ["closed"]


@line("PY-116")
def test_close_is_called_once_after_an_exception_of_the_iterator(script, log):
    log.expect_exception("ValueError: from the iterator")
    app = closing(script, [b"", None])
    assert app.get().status == 500
    assert app.json("/calls") == ["closed"]


@line("PY-117", "REQ-28")
def test_close_is_called_when_the_client_leaves(serve, site, log):
    def application(environ, start_response):
        start_response("200 OK", [])
        try:
            while True:
                yield b"x" * 65536
        except GeneratorExit:
            print("the generator was closed")
            raise

    log.expect("the generator was closed")
    app = serve(application)
    connection = site.connect()
    connection.send_head("GET", app.url)
    connection.head()
    connection.reset()


@line("PY-118")
def test_an_exception_of_close_is_logged_and_leaves_the_response_intact(script, site, log):
    log.expect_exception("ValueError: from close")
    app = closing(script, [b"whole"], fail=True)
    with site.connect() as connection:
        assert connection.get(app.url).body == b"whole"
        assert json.loads(connection.get(app.url + "/calls").body) == ["closed"]


@ours_in_daemon
@line("PY-119")
def test_a_close_attribute_that_cannot_be_looked_up_is_logged(script, log):
    log.expect_exception("ValueError: looking up close", code="WSGI0194")
    log.expect("WSGI0174")
    app = script(
        """
class Body:
    def __iter__(self):
        return iter([b"whole"])
    @property
    def close(self):
        raise ValueError("looking up close")

def application(environ, start_response):
    start_response("200 OK", [])
    return Body()
"""
    )
    assert app.get().body == b"whole"


def test_close_is_looked_up_on_what_was_returned_and_not_on_its_iterator(script):
    app = script(
        """
calls = []

class Iterator(list):
    def __iter__(self):
        return self
    def __next__(self):
        raise StopIteration
    def close(self):
        calls.append("iterator")

class Body:
    def __iter__(self):
        return Iterator()
    def close(self):
        calls.append("body")

def application(environ, start_response):
    start_response("200 OK", [])
    if environ["PATH_INFO"]:
        return [repr(calls).encode()]
    return Body()
"""
    )
    assert app.get().body == b""
    wait_until(lambda: app.get("/calls").body != b"[]", "close() to be called")
    assert app.get("/calls").body == b"['body']"


# -- streaming


@ours_in_daemon
@line("PY-120", "REQ-25")
def test_each_yielded_block_reaches_the_client_before_the_next_is_made(serve, site):
    def application(environ, start_response):
        start_response("200 OK", [])
        yield b"0"
        while environ["wsgi.input"].read(1):
            yield b"next"

    app = serve(application)
    with site.connect() as connection:
        connection.send_head("POST", app.url, [("Content-Length", "3")])
        connection.head()
        assert connection.chunk() == b"0"
        for _ in range(3):
            connection.send(b"x")
            assert connection.chunk() == b"next"
        assert connection.chunk() == b""


@ours_in_daemon
@line("PY-120")
def test_each_block_of_known_length_reaches_the_client_before_the_next_is_made(serve, site):
    def application(environ, start_response):
        start_response("200 OK", [("Content-Length", "4")])
        yield b"ab"
        environ["wsgi.input"].read(1)
        yield b"cd"

    app = serve(application)
    with site.connect() as connection:
        connection.send_head("POST", app.url, [("Content-Length", "1")])
        connection.head()
        assert connection.take(2) == b"ab"
        connection.send(b"x")
        assert connection.take(2) == b"cd"


def test_many_blocks_arrive_in_order(serve):
    def application(environ, start_response):
        start_response("200 OK", [])
        return (b"%d," % number for number in range(5000))

    assert serve(application).get().body == b"".join(b"%d," % number for number in range(5000))


@line("REQ-27")
def test_a_slow_client_with_a_large_response_does_not_make_the_child_grow(serve, site, serving):
    def application(environ, start_response):
        blocks = 1 if environ["PATH_INFO"] else 1600
        start_response("200 OK", [("Content-Length", str(blocks * 65536))])
        return (b"x" * 65536 for _ in range(blocks))

    app = serve(application)
    app.get("/warm-up")
    processes = {site.child(), serving()}
    before = sum(map(resident_kib, processes))
    with site.connect() as connection:
        connection.send_head("GET", app.url)
        connection.head()
        received = 0
        while received < 100 << 20:
            received += len(connection.take(1 << 20))
            assert sum(map(resident_kib, processes)) - before < 20_000


# -- exceptions before anything was sent


@line("PY-121", "PY-142", "REQ-20")
@pytest.mark.parametrize("place", ["in the call", "in the iterator", "after an empty block"])
def test_an_exception_before_the_first_block_gets_the_500_page_without_the_applications_headers(script, log, place):
    body = {
        "in the call": "    raise ValueError('boom')",
        "in the iterator": "    return iter(lambda: 1 / 0, 1)",
        "after an empty block": "    return (b'' if n else [][1] for n in (1, 0))",
    }[place]
    log.expect_exception("ValueError: boom|ZeroDivisionError: |IndexError: ")
    app = script(
        f"def application(environ, start_response):\n"
        f"    start_response('200 OK', [('X-App', '1'), ('Set-Cookie', 'a=1'), ('Content-Length', '5')])\n{body}\n"
    )
    response = app.get()
    assert (response.status, response.text) == (500, "the server's own page")
    assert (response.header("X-App"), response.header("Set-Cookie")) == (None, None)


@line("PY-125")
@pytest.mark.parametrize("exit_", ["sys.exit()", "sys.exit(3)", "raise SystemExit('reason')"])
def test_system_exit_gets_500_and_the_process_lives(script, log, exit_, serving):
    log.expect("WSGI0175: .*SystemExit.*ignored" + (", and the request fails" if IS_OURS else ""))
    log.allow(r"Traceback|^(\[script [^\]]*\] )?(  |SystemExit)")
    process = serving()
    app = script(f"import sys\ndef application(environ, start_response):\n    {exit_}\n")
    assert app.get().status == 500
    assert serving() == process


@line("PY-126")
@pytest.mark.parametrize("exception", ["KeyboardInterrupt", "GeneratorExit", "BaseException", "MemoryError"])
def test_any_base_exception_gets_500_and_the_process_lives(script, log, exception, serving):
    log.expect_exception(exception)
    process = serving()
    app = script(f"def application(environ, start_response):\n    raise {exception}('x')\n")
    assert app.get().status == 500
    assert serving() == process


@ours
@line("PY-92")
@pytest.mark.parametrize("depth", ["raised in the application", "raised in a module", "with a cause"])
def test_an_uncaught_exception_is_logged_with_its_whole_traceback(script, log, depth):
    body = {
        "raised in the application": "    the_innermost()",
        "raised in a module": "    import json; json.loads('{')",
        "with a cause": (
            "    try:\n        the_innermost()\n    except ValueError as error:\n        raise KeyError('k') from error"
        ),
    }[depth]
    app = script(
        f"def the_innermost():\n    raise ValueError('the cause')\n\n"
        f"def application(environ, start_response):\n{body}\n"
    )
    log.expect_exception(
        {"raised in a module": "json.decoder.JSONDecodeError: ", "with a cause": "KeyError: 'k'"}.get(depth, "ValueError")
    )
    log.allow("ValueError: the cause")
    log.expect("Traceback \\(most recent call last\\):")
    log.expect(f'File "{app.path}", line \\d+, in application')
    if depth != "raised in a module":
        log.expect(f'File "{app.path}", line 2, in the_innermost')
    assert app.get().status == 500


def test_the_header_line_of_an_exception_names_type_script_and_interpreter(script, log, interpreter, door):
    app = script("def application(environ, start_response):\n    raise LookupError('x')\n")
    log.expect_exception("LookupError: x")
    assert app.get().status == 500
    header = log.wait_for("WSGI0174: ")
    where = interpreter_in_words(interpreter, door)
    assert f"LookupError exception raised processing WSGI script '{app.path}' for {where}" in header.message
    assert header.client is not None and header.request is not None


@line("REQ-22", "REQ-23")
@pytest.mark.parametrize("status", ["404 Not Found", "500 Oops", "503 Sorry"])
@pytest.mark.parametrize(
    "rest", ["", pytest.param("/overridden", marks=embedded_only("a group heeds it: test_daemon_groups.py"))]
)
def test_the_applications_own_error_body_is_delivered_unchanged(script, status, rest):
    app = script(
        f"def application(environ, start_response):\n    start_response({status!r}, [])\n    return [b'my own page']\n"
    )
    response = app.get(rest)
    assert (f"{response.status} {response.reason}", response.body) == (status, b"my own page")


@ours
@line("IMP-27")
@pytest.mark.parametrize("status", ["200 Error", "200 Rejected", "200 Continue", "200 Timeout"])
def test_a_status_that_is_an_internal_marker_in_mod_wsgi_is_delivered(script, status):
    app = script(
        f"def application(environ, start_response):\n    start_response({status!r}, [])\n    return [b'body']\n"
    )
    response = app.get()
    assert (f"{response.status} {response.reason}", response.body) == (status, b"body")


def test_a_generator_that_is_given_up_before_its_first_block_is_closed(serve, site, log):
    def application(environ, start_response):
        try:
            start_response("200 OK", [("Content-Length", "x")])
            yield b"never sent"
        finally:
            print("the generator was finished")

    log.expect("the generator was finished")
    log.expect_exception("ValueError: invalid Content-Length header value: 'x'")
    assert serve(application).get().status == 500
