"""Response integrity: framing, lengths, and that no client can take a broken response for a complete one."""

import gzip
import socket

import pytest

from harness.broken import assert_breaks
from harness.checklist import both_interpreters, embedded_only, line, ours, ours_in_daemon, smoke
from harness.condition import wait_until
from harness.http1 import Incomplete

pytestmark = both_interpreters

CONFIG = """
<LocationMatch "/filtered">
  AddOutputFilterByType DEFLATE text/plain
  Header set X-Set "by httpd"
  Header merge X-App "by httpd"
</LocationMatch>
"""

BODY = "def application(environ, start_response):\n    start_response({status!r}, {headers!r})\n    return {returned}\n"


@pytest.fixture
def answer(script):
    """Serves an application that answers with this status, these headers and this expression."""

    def make(returned, headers=(), status="200 OK"):
        return script(BODY.format(status=status, headers=list(headers), returned=returned))

    return make


# -- too little


@ours
@smoke
@line("PY-127", "PY-124", "IMP-06")
@pytest.mark.parametrize("returned", ["[b'short']", "iter([b'sh', b'ort'])", "[b'sh', b'', b'ort']"])
def test_a_body_shorter_than_its_content_length_breaks_the_connection(answer, site, log, returned):
    log.expect("WSGI0119")
    log.expect("WSGI0308")
    assert_breaks(site, answer(returned, [("Content-Length", "50")]).url, b"short")


@ours
@line("PY-127", "IMP-06")
def test_no_body_at_all_where_a_length_was_declared_is_no_complete_response(answer, log):
    log.expect("WSGI0308")
    app = answer("[]", [("Content-Length", "50")])
    with app.site.connect() as connection:
        connection.send_request("GET", app.url)
        connection.send_request("GET", app.url + "/next")
        try:
            assert connection.response().status == 500
        except Incomplete:
            assert connection.rest() == b""


@ours
@smoke
@line("PY-122", "PY-124", "IMP-04")
@pytest.mark.parametrize("headers", [[], [("Content-Length", "50")]])
def test_an_exception_after_the_first_block_breaks_the_connection(script, site, log, headers):
    log.expect("WSGI0119")
    log.expect_exception("ValueError: too late", times=2)
    app = script(
        f"""
def application(environ, start_response):
    start_response("200 OK", {headers!r})
    yield b"first"
    raise ValueError("too late")
"""
    )
    assert_breaks(site, app.url, b"first")


@ours
@line("PY-122")
@pytest.mark.parametrize("exception", ["SystemExit", "KeyboardInterrupt"])
def test_any_exception_after_write_breaks_the_connection(script, site, log, exception):
    log.expect("WSGI0119")
    log.expect_exception(exception, code="WSGI017[45]", times=2)
    app = script(
        f"""
def application(environ, start_response):
    start_response("200 OK", [])(b"first")
    raise {exception}
"""
    )
    assert_breaks(site, app.url, b"first")


@ours
@line("PY-122")
def test_an_item_of_a_wrong_type_after_the_first_block_breaks_the_connection(answer, site, log):
    log.expect_exception("TypeError: response iterable must yield bytes, not str")
    log.expect("WSGI0119")
    assert_breaks(site, answer("iter([b'first', 'text'])").url, b"first")


@line("PY-122")
def test_an_exception_of_close_after_a_complete_body_leaves_the_connection_usable(script, site, log):
    log.expect_exception("ValueError: in close", times=2)
    app = script(
        """
class Body(list):
    def close(self):
        raise ValueError("in close")

def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "4")])
    return Body([b"body"])
"""
    )
    with site.connect() as connection:
        assert connection.get(app.url).body == b"body"
        assert connection.get(app.url).body == b"body"


# -- too much


@line("PY-128", "REQ-19")
@pytest.mark.parametrize(
    "returned", ["[b'12345surplus']", "iter([b'123', b'45su', b'rplus'])", "iter([b'12345', b'surplus'])"]
)
def test_a_body_longer_than_its_content_length_is_cut_exactly(answer, site, returned):
    app = answer(returned, [("Content-Length", "5")])
    with site.connect() as connection:
        for _ in range(2):
            assert connection.get(app.url).body == b"12345"


@line("PY-128")
def test_the_iterable_of_a_body_that_is_cut_is_exhausted(serve, log):
    def application(environ, start_response):
        start_response("200 OK", [("Content-Length", "1")])
        yield b"1"
        yield b"2"
        print("the iterable came to its end")

    log.expect("the iterable came to its end")
    assert serve(application).get().body == b"1"


def test_surplus_of_an_empty_body_is_dropped(answer, site):
    app = answer("[b'surplus']", [("Content-Length", "0")])
    with site.connect() as connection:
        for _ in range(2):
            response = connection.get(app.url)
            assert (response.status, response.body) == (200, b"")


# -- the application's Content-Length


@line("PY-129")
@pytest.mark.parametrize("length", ["abc", "-1", "1 2", "0x5", "5,5"])
def test_a_content_length_that_is_no_number_gets_500(answer, log, length):
    log.expect_exception(f"ValueError: invalid Content-Length header value: '{length}'")
    assert answer("[b'12345']", [("Content-Length", length)]).get().status == 500


@line("PY-130")
def test_the_last_of_several_content_lengths_wins(answer):
    response = answer("[b'12345']", [("Content-Length", "3"), ("content-length", "5")]).get()
    assert (response.header("Content-Length"), response.body) == ("5", b"12345")


@ours
@pytest.mark.parametrize("returned", ["[b'12345']", "(b'12345',)"])
def test_a_single_block_gets_a_content_length(answer, site, returned):
    app = answer(returned)
    with site.connect() as connection:
        for _ in range(2):
            response = connection.get(app.url)
            assert (response.header("Content-Length"), response.body) == ("5", b"12345")
            assert response.header("Transfer-Encoding") is None


@ours
def test_a_single_block_keeps_an_http_1_0_connection_alive(answer, site):
    app = answer("[b'12345']")
    with site.connect() as connection:
        for _ in range(2):
            response = connection.request("GET", app.url, [("Connection", "Keep-Alive")], version="HTTP/1.0")
            assert (response.header("Content-Length"), response.body) == ("5", b"12345")


@pytest.mark.parametrize("returned", ["iter([b'123', b'45'])", "(piece for piece in [b'12345'])"])
def test_a_body_of_unknown_length_is_chunked(answer, returned):
    response = answer(returned).get()
    assert response.is_chunked and response.header("Content-Length") is None
    assert response.body == b"12345"


@line("PY-133")
@pytest.mark.parametrize("returned", ["iter([b'123', b'45'])", "(piece for piece in [b'12345'])"])
def test_an_http_1_0_client_gets_an_unchunked_body_that_ends_with_the_connection(answer, returned):
    app = answer(returned)
    with app.site.connect() as connection:
        connection.send_request("GET", app.url, version="HTTP/1.0")
        response = connection.response()
        assert not response.is_chunked
        assert response.body == b"12345"


# -- no body


@line("PY-131", "REQ-18")
@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_204_and_304_carry_no_body(answer, site, status):
    app = answer("[b'body']", status=status)
    with site.connect() as connection:
        for _ in range(2):
            response = connection.get(app.url)
            assert f"{response.status} {response.reason}" == status
            assert response.header("Transfer-Encoding") is None


@line("PY-132", "REQ-18")
@pytest.mark.parametrize("returned", ["[b'12345']", "iter([b'123', b'45'])", "[]"])
def test_head_carries_the_headers_with_content_length_and_no_body(answer, site, returned):
    app = answer(returned, [("Content-Length", "5"), ("X-A", "b")])
    with site.connect() as connection:
        for _ in range(2):
            response = connection.request("HEAD", app.url)
            assert (response.status, response.header("Content-Length"), response.header("X-A")) == (200, "5", "b")


@pytest.mark.parametrize("returned", ["[b'12345']", "iter([b'123', b'45'])", "[]"])
def test_head_without_content_length_carries_no_body(answer, site, returned):
    app = answer(returned)
    with site.connect() as connection:
        for _ in range(2):
            assert connection.request("HEAD", app.url).status == 200


# -- headers


@line("PY-134", "REQ-15")
def test_repeated_set_cookie_and_www_authenticate_stay_separate(answer):
    headers = [
        ("Set-Cookie", "a=1"),
        ("WWW-Authenticate", "Basic"),
        ("Set-Cookie", "b=2"),
        ("WWW-Authenticate", "Digest"),
    ]
    response = answer("[b'']", headers, status="401 No").get()
    assert response.all("Set-Cookie") == ["a=1", "b=2"]
    assert response.all("WWW-Authenticate") == ["Basic", "Digest"]


@ours_in_daemon
@line("PY-135", "IMP-38")
def test_repeated_headers_are_preserved_individually(answer):
    response = answer("[b'']", [("X-Dup", "1"), ("Link", "a"), ("x-dup", "2"), ("Link", "b")]).get()
    assert response.all("X-Dup") == ["1", "2"]
    assert response.all("Link") == ["a", "b"]


@ours_in_daemon
@line("PY-136")
def test_a_status_header_does_not_change_the_status(answer):
    response = answer("[b'body']", [("Status", "404 Nope")]).get()
    assert (response.status, response.body) == (200, b"body")


@line("REQ-17")
@pytest.mark.parametrize("status", ["302 Found", "201 Created"])
def test_location_is_sent_as_it_is(answer, status):
    response = answer("[b'body']", [("Location", "/elsewhere")], status).get()
    assert (f"{response.status} {response.reason}", response.header("Location")) == (status, "/elsewhere")
    assert response.body == b"body"


@embedded_only("in daemon mode a Location with 200 is an internal redirect, as in mod_wsgi")
@line("REQ-16")
def test_location_with_200_is_sent_as_it_is(answer):
    response = answer("[b'body']", [("Location", "/elsewhere")]).get()
    assert (response.status, response.header("Location"), response.body) == (200, "/elsewhere", b"body")


@ours
@line("PY-139", "IMP-28")
@pytest.mark.parametrize("headers", [[], [("Content-Length", "5")]])
@pytest.mark.parametrize("returned", ["[b'12345']", "iter([b'123', b'45'])"])
def test_a_transfer_encoding_of_the_application_does_not_break_the_message(answer, site, log, headers, returned):
    log.allow("Transfer-Encoding")
    app = answer(returned, [("Transfer-Encoding", "chunked"), *headers])
    with site.connect() as connection:
        for _ in range(2):
            response = connection.get(app.url)
            assert (response.status, response.body) == (200, b"12345")


@line("PY-140")
def test_no_content_type_is_invented(answer):
    assert answer("[b'body']").get().header("Content-Type") is None


@ours_in_daemon
def test_the_content_type_is_sent_as_it_is(answer):
    assert (
        answer("[b'']", [("Content-Type", "Text/Plain; Charset=X")]).get().header("Content-Type")
        == "Text/Plain; Charset=X"
    )


@ours_in_daemon
@line("PY-141")
def test_a_response_header_of_60_kb_passes(answer):
    assert answer("[b'']", [("X-Long", "x" * 60_000)]).get().header("X-Long") == "x" * 60_000


@line("REQ-29")
def test_date_and_server_come_from_httpd(answer):
    response = answer("[b'']", [("Date", "yesterday"), ("Server", "mine")]).get()
    assert response.header("Server").startswith("Apache")
    assert response.header("Date").endswith("GMT")


@ours_in_daemon
def test_last_modified_and_etag_are_sent_as_they_are_and_not_evaluated(answer):
    app = answer("[b'body']", [("Last-Modified", "Thu, 01 Jan 2099 00:00:00 GMT"), ("ETag", '"x"')])
    response = app.get(headers=[("If-None-Match", '"y"')])
    assert (response.status, response.body) == (200, b"body")
    assert (response.header("Last-Modified"), response.header("ETag")) == ("Thu, 01 Jan 2099 00:00:00 GMT", '"x"')


@line("REQ-30")
def test_the_access_log_has_the_status_and_the_bytes_of_the_body(answer, site):
    app = answer("[b'x' * 1000]", [("Content-Length", "1000")], status="203 Other")
    app.get()
    wait_until(lambda: any(app.url in entry for entry in site.accesses()), "the access log line")
    (entry,) = [entry for entry in site.accesses() if app.url in entry]
    assert entry.startswith("203 1000 ")


@line("REQ-24")
@pytest.mark.parametrize("returned", ["[b'x' * 10_000]", "iter([b'x' * 5000, b'x' * 5000])"])
def test_filters_of_httpd_apply_by_the_applications_content_type(answer, site, returned):
    text = answer(returned, [("Content-Type", "text/plain"), ("Content-Length", "10000"), ("X-App", "mine")])
    other = answer(returned, [("Content-Type", "image/png"), ("Content-Length", "10000")])
    with site.connect() as connection:
        for _ in range(2):
            response = connection.get(text.url + "/filtered", [("Accept-Encoding", "gzip")])
            assert response.header("Content-Encoding") == "gzip"
            assert gzip.decompress(response.body) == b"x" * 10_000
            assert (response.header("X-Set"), response.header("X-App")) == ("by httpd", "mine, by httpd")
            response = connection.get(other.url + "/filtered", [("Accept-Encoding", "gzip")])
            assert (response.header("Content-Encoding"), response.body) == (None, b"x" * 10_000)


@ours
@pytest.mark.parametrize("headers", [[], [("Content-Length", "50000")]])
def test_a_deflated_response_that_breaks_off_is_no_complete_one(script, site, log, headers):
    log.expect_exception("ValueError: too late")
    log.expect("WSGI0119")
    app = script(
        f"""
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), *{headers!r}])
    yield b"first" * 1000
    raise ValueError("too late")
"""
    )
    with site.connect() as connection:
        connection.send_request("GET", app.url + "/filtered", [("Accept-Encoding", "gzip")])
        with pytest.raises((Incomplete, ConnectionError)):
            connection.response()


# -- after a broken response


@line("PY-124")
def test_the_server_serves_on_after_clients_that_left_in_the_middle(serve, site, serving):
    def application(environ, start_response):
        start_response("200 OK", [])
        return (b"x" * 65536 for _ in range(100))

    app = serve(application)
    process = serving()
    for _ in range(30):
        connection = site.connect()
        connection.send_head("GET", app.url)
        connection.take(10)
        connection.reset()
    assert len(app.get().body) == 65536 * 100
    assert serving() == process


def test_a_client_that_has_only_closed_its_sending_half_gets_the_whole_response(answer, site):
    app = answer("iter([b'123', b'45'])")
    with site.connect() as connection:
        connection.send_head("GET", app.url, [("Connection", "close")])
        connection.socket.shutdown(socket.SHUT_WR)
        assert connection.response().body == b"12345"
