"""start_response and write: what they accept, what they refuse and in which words."""

import pytest

from harness.checklist import both_interpreters, line, ours, ours_in_daemon, smoke

pytestmark = both_interpreters


@pytest.fixture
def outcome(serve):
    """Evaluates a call of start_response in an application; returns what it raised, as `Type: text`, or its result."""

    def application(environ, start_response):
        import sys
        import urllib.parse

        def exc_info():
            try:
                raise KeyError("original")
            except KeyError:
                return sys.exc_info()

        class Text(str):
            pass

        class List(list):
            pass

        names = {"start_response": start_response, "exc_info": exc_info, "Text": Text, "List": List}
        try:
            result = "returned " + type(eval(urllib.parse.unquote(environ["QUERY_STRING"]), names)).__name__
        except BaseException as error:
            result = f"{type(error).__name__}: {error}"
        result = result.encode()
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(result)))])
        return [result]

    app = serve(application)

    def ask(expression):
        import urllib.parse

        return app.get("?" + urllib.parse.quote(expression)).text

    return ask


@smoke
def test_status_headers_and_body_reach_the_client(serve):
    def application(environ, start_response):
        start_response("201 Made", [("Content-Type", "text/plain"), ("X-One", "1"), ("X-Two", "")])
        return [b"hello"]

    response = serve(application).get()
    assert (response.version, response.status, response.reason) == ("HTTP/1.1", 201, "Made")
    assert response.body == b"hello"
    assert (response.header("Content-Type"), response.header("X-One"), response.header("X-Two")) == (
        "text/plain",
        "1",
        "",
    )


@line("PY-94")
@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("200", "TypeError: must be str, not int"),
        ("None", "TypeError: must be str, not NoneType"),
        ("b'200 OK'", "TypeError: must be str, not bytes"),
        ("'200 \\u20ac'", "UnicodeEncodeError: "),
        ("'abc def'", "ValueError: status code must be a 3 digit integer: "),
        ("''", "ValueError: status code must be a 3 digit integer: "),
        ("'20 OK'", "ValueError: status code must be a 3 digit integer: "),
        ("'2000 OK'", "ValueError: status code must be a 3 digit integer: "),
        ("'200OK'", "ValueError: no space following status code: "),
        ("'200 a\\tb'", "ValueError: control character in status reason phrase: "),
        ("'200 a\\r\\nX: y'", "ValueError: control character in status reason phrase: "),
        ("'200 a\\x7f'", "ValueError: control character in status reason phrase: "),
    ],
)
def test_an_invalid_status_is_refused(outcome, status, error):
    assert outcome(f"start_response({status}, [])").startswith(error)


@line("PY-95")
@pytest.mark.parametrize(
    ("header", "error"),
    [
        ("['X', 'y']", "TypeError: each header must be a 2-tuple, not list"),
        ("'Xy'", "TypeError: each header must be a 2-tuple, not str"),
        ("('X',)", "ValueError: each header must be a 2-tuple, got length 1"),
        ("('X', 'y', 'z')", "ValueError: each header must be a 2-tuple, got length 3"),
        ("(b'X', 'y')", "TypeError: must be str, not bytes"),
        ("('X', b'y')", "TypeError: must be str, not bytes"),
        ("('X', 1)", "TypeError: must be str, not int"),
        ("('X', None)", "TypeError: must be str, not NoneType"),
        ("('X', '\\u20ac')", "UnicodeEncodeError: "),
        ("('\\u20ac', 'y')", "UnicodeEncodeError: "),
        ("('', 'y')", "ValueError: header name is empty"),
        ("('X\\tY', 'y')", "ValueError: control character in header name: "),
        ("('X\\r\\nY', 'y')", "ValueError: control character in header name: "),
        ("('X Y', 'y')", "ValueError: space character in header name: "),
        ("('X', 'a\\rb')", "ValueError: carriage return/line feed character in header value: "),
        ("('X', 'a\\nSet-Cookie: b')", "ValueError: carriage return/line feed character in header value: "),
    ],
)
def test_an_invalid_header_is_refused(outcome, header, error):
    assert outcome(f"start_response('200 OK', [{header}])").startswith(error)


@line("PY-96")
@pytest.mark.parametrize(("headers", "kind"), [("()", "tuple"), ("None", "None"), ("{}", "dict")])
def test_headers_that_are_no_list_are_refused(outcome, headers, kind):
    assert outcome(f"start_response('200 OK', {headers})").startswith(
        f"TypeError: start_response() argument 2 must be list, not {kind}"
    )


@line("PY-97")
def test_keyword_arguments_are_refused(outcome):
    assert outcome("start_response(status='200 OK', headers=[])").startswith("TypeError: start_response() takes")
    assert outcome("start_response('200 OK', [], exc_info=None)") == (
        "TypeError: start_response() takes no keyword arguments"
    )


@pytest.mark.parametrize("arguments", ["", "'200 OK'", "'200 OK', [], None, None"])
def test_a_wrong_number_of_arguments_is_refused(outcome, arguments):
    assert outcome(f"start_response({arguments})").startswith("TypeError: ")


@line("PY-98")
@pytest.mark.parametrize("value", ["1", "'x'", "[]", "KeyError()"])
def test_exc_info_that_is_no_tuple_is_refused(outcome, value):
    assert outcome(f"start_response('200 OK', [], {value})") == (
        "RuntimeError: start_response() argument 'exc_info' must be a 3-tuple or None"
    )


@line("PY-103")
@pytest.mark.parametrize(
    "arguments",
    [
        "Text('200 OK'), List([(Text('X'), Text('y'))])",
        "'200 OK', [], None",
        "'200', []",
        "'200 ', []",
        "'418 short and stout', []",
        "'200 OK', [], exc_info()",
    ],
)
def test_what_is_valid_is_accepted_and_gives_write(outcome, arguments):
    assert outcome(f"start_response({arguments})").startswith("returned builtin_function")


@line("PY-99")
def test_exc_info_before_anything_was_sent_replaces_status_and_headers(serve):
    def application(environ, start_response):
        import sys

        start_response("200 OK", [("X-First", "1"), ("Set-Cookie", "first=1")])
        try:
            raise KeyError("x")
        except KeyError:
            start_response("503 Sorry", [("X-Second", "2")], sys.exc_info())
        return [b"sorry"]

    response = serve(application).get()
    assert (response.status, response.reason, response.body) == (503, "Sorry", b"sorry")
    assert (response.header("X-First"), response.header("Set-Cookie"), response.header("X-Second")) == (None, None, "2")


@line("PY-100")
def test_exc_info_after_the_head_was_sent_raises_the_original_exception(serve):
    def application(environ, start_response):
        import sys

        write = start_response("200 OK", [])
        write(b"sent ")
        try:
            raise KeyError("original")
        except KeyError:
            error = sys.exc_info()
        try:
            start_response("500 Oops", [], error)
        except KeyError as raised:
            write(str(raised is error[1]).encode())
        return []

    response = serve(application).get()
    assert (response.status, response.body) == (200, b"sent True")


@ours
@line("PY-100", "PY-101")
@pytest.mark.parametrize(
    ("exc_info", "error"),
    [
        ("(object, object(), None)", "TypeError: "),
        ("(object(), None, None)", "TypeError: "),
        ("(KeyError, KeyError('x'), 'no traceback')", "KeyError: "),
        ("(1, 2, 3)", "TypeError: "),
        ("(None, None, None)", "RuntimeError: start_response() called more than once"),
    ],
)
def test_exc_info_of_any_objects_after_the_head_was_sent_raises_an_exception(script, exc_info, error, serving):
    app = script(
        f"""
def application(environ, start_response):
    start_response("200 OK", [])(b"sent, ")
    try:
        start_response("500 Oops", [], {exc_info})
    except Exception as error:
        return [f"{{type(error).__name__}}: {{error}}".encode()]
"""
    )
    process = serving()
    for _ in range(50):
        assert app.get().text.startswith("sent, " + error)
    assert serving() == process


@ours
@pytest.mark.parametrize("use", ["{type}()", "{type}.__new__({type})", "setattr({type}, 'log', None)"])
def test_the_type_behind_start_response_can_be_neither_called_nor_changed(outcome, use, serving):
    process = serving()
    assert outcome(use.format(type="type(start_response.__self__)")).startswith("TypeError: ")
    assert outcome("start_response('200 OK', [])").startswith("returned ")
    assert serving() == process


@line("PY-101")
def test_a_second_call_after_the_head_was_sent_is_refused(serve):
    def application(environ, start_response):
        start_response("200 OK", [])(b"sent: ")
        try:
            start_response("500 Oops", [])
        except RuntimeError as error:
            return [str(error).encode()]

    assert serve(application).get().text == "sent: start_response() called more than once without exc_info"


@line("PY-102")
def test_a_second_call_before_anything_was_sent_replaces_the_first(serve):
    def application(environ, start_response):
        start_response("500 First", [("X-First", "1")])
        start_response("200 Second", [("X-Second", "2")])
        return [b""]

    response = serve(application).get()
    assert (response.reason, response.header("X-First"), response.header("X-Second")) == ("Second", None, "2")


@line("PY-104", "REQ-14")
def test_a_latin1_reason_reaches_the_wire_byte_by_byte(serve):
    def application(environ, start_response):
        start_response("200 \xc7a va", [("X-Name", "caf\xe9")])
        return []

    response = serve(application).get()
    assert (response.reason, response.header("X-Name")) == ("\xc7a va", "caf\xe9")


@line("REQ-14")
def test_a_bare_status_code_gets_the_standard_reason(serve):
    def application(environ, start_response):
        start_response("404", [])
        return [b"nothing"]

    response = serve(application).get()
    assert (response.status, response.reason, response.body) == (404, "Not Found", b"nothing")


@line("PY-105", "PY-107")
def test_start_response_and_write_of_a_finished_request_are_refused(script):
    app = script(
        """
kept = None
def application(environ, start_response):
    global kept
    write = start_response("200 OK", [])
    if kept is None:
        kept = start_response, write
        return [b"kept"]
    texts = []
    for call in (lambda: kept[0]("200 OK", []), lambda: kept[1](b"x")):
        try:
            call()
        except RuntimeError as error:
            texts.append(str(error))
    return [", ".join(texts).encode()]
"""
    )
    assert app.get().body == b"kept"
    assert app.get().text == ("start_response() called after request completed, write() called after request completed")


# -- write


@ours_in_daemon
@line("PY-106")
def test_write_returns_none_and_the_client_has_the_data_before_the_application_goes_on(serve, site):
    def application(environ, start_response):
        write = start_response("200 OK", [])
        result = write(b"first")
        environ["wsgi.input"].read(1)
        write(repr(result).encode())
        return []

    app = serve(application)
    with site.connect() as connection:
        connection.send_head("POST", app.url, [("Content-Length", "1")])
        assert connection.head().status == 200
        assert connection.chunk() == b"first"
        connection.send(b"x")
        assert connection.chunk() == b"None"
        assert connection.chunk() == b""


@line("PY-107")
@pytest.mark.parametrize(("value", "kind"), [("text", "str"), (None, "NoneType"), (bytearray(b"x"), "bytearray")])
def test_write_of_anything_but_bytes_is_refused(script, value, kind):
    app = script(
        f"""
def application(environ, start_response):
    write = start_response("200 OK", [])
    try:
        write({value!r})
    except TypeError as error:
        return [str(error).encode()]
"""
    )
    assert app.get().text == f"write() argument must be bytes, not {kind}"


@line("PY-108")
def test_what_was_written_comes_before_what_is_returned(serve):
    def application(environ, start_response):
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        write(b"1")
        write(b"")
        write(b"2")
        return iter([b"3", b"4"])

    assert serve(application).get().body == b"1234"


@line("PY-109")
def test_write_to_a_client_that_has_gone_raises_oserror(serve, site, log):
    def application(environ, start_response):
        write = start_response("200 OK", [])
        try:
            while True:
                write(b"x" * 65536)
        except OSError as error:
            print("the application got OSError:", error)
        return []

    log.expect("the application got OSError: mod_wsgi")
    app = serve(application)
    connection = site.connect()
    connection.send_head("GET", app.url)
    connection.head()
    connection.reset()


@ours
@pytest.mark.parametrize("status", ["100 Continue", "101 Switching Protocols", "199 x"])
def test_an_interim_status_is_refused(outcome, status):
    assert outcome(f"start_response({status!r}, [])").startswith("ValueError: ")
