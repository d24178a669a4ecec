"""Bodies between client and worker: whole, in bounded memory, both ways at once, for many clients."""

import hashlib
import threading

import pytest

from harness import installation
from harness.checklist import line, ours
from harness.condition import wait_until
from harness.door import daemon
from harness.process import peak_resident_kib
from harness.puppet import Gated
from harness.site import Site

from conftest import run

MEBIBYTE = 1 << 20
SIZES = [0, 1, 8192, 65536, MEBIBYTE - 1, 5 * MEBIBYTE, 200 * MEBIBYTE]
PATTERN = hashlib.sha512(b"a pattern that no block size divides").digest() * 1025  # 65,600 bytes

RECEIVE = """
import hashlib

def application(environ, start_response):
    digest, count = hashlib.sha256(), 0
    while block := environ["wsgi.input"].read(50_000):
        digest.update(block)
        count += len(block)
    start_response("200 OK", [])
    return [f"{count} {digest.hexdigest()}".encode()]
"""

SEND = """
PATTERN = {pattern!r}

def application(environ, start_response):
    size, given = map(int, environ["QUERY_STRING"].split(","))
    start_response("200 OK", [("Content-Length", str(size))] if given else [])
    while size > 0:
        yield PATTERN[:size]
        size -= len(PATTERN)
"""


@pytest.fixture(scope="module")
def site():
    site = Site(daemon("threads=8"), "WSGIChunkedRequest On\nProtocols h2c http/1.1\n", modules=("http2",))
    yield from run(site)


def pattern(size):
    """So many bytes, in pieces."""
    while size > 0:
        yield PATTERN[:size]
        size -= len(PATTERN)


def digest_of(size):
    digest = hashlib.sha256()
    for piece in pattern(size):
        digest.update(piece)
    return digest.hexdigest()


class Growth:
    """Fails if httpd's child or the worker has grown by more than so many MiB since it was made."""

    def __init__(self, site, limit_mib):
        self.limit = limit_mib << 10
        self.pids = [site.child(), site.process()]
        self.before = [peak_resident_kib(pid) for pid in self.pids]

    def verify(self):
        grown = [peak_resident_kib(pid) - before for pid, before in zip(self.pids, self.before)]
        assert max(grown) < self.limit, f"grown by {grown} KiB"


@line("REQ-08")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_an_upload_arrives_byte_for_byte_in_bounded_memory(site, size, coding):
    app = site.script(RECEIVE)
    assert app.post(b"warm").text.startswith("4 ")
    growth = Growth(site, 40)
    with site.connect(60) as connection:
        framing = ("Content-Length", str(size)) if coding == "length" else ("Transfer-Encoding", "chunked")
        connection.send_head("POST", app.url, [framing])
        for piece in pattern(size):
            connection.send(piece) if coding == "length" else connection.send_chunk(piece)
        if coding == "chunked":
            connection.end_chunks()
        assert connection.response().text == f"{size} {digest_of(size)}"
    growth.verify()


@line("REQ-26", "REQ-27")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("given", [1, 0], ids=["length", "chunked"])
def test_a_response_arrives_byte_for_byte_in_bounded_memory(site, size, given):
    app = site.script(SEND.format(pattern=PATTERN))
    assert app.get("?1,1").body == PATTERN[:1]
    growth = Growth(site, 40)
    digest = hashlib.sha256()
    with site.connect(60) as connection:
        connection.send_request("GET", f"{app.url}?{size},{given}")
        head = connection.head()
        if head.is_chunked:
            while piece := connection.chunk():
                digest.update(piece)
            assert connection.trailers() == []
        else:
            remaining = size
            while remaining:
                piece = connection.take(min(remaining, MEBIBYTE))
                digest.update(piece)
                remaining -= len(piece)
    assert digest.hexdigest() == digest_of(size)
    growth.verify()


@ours
@line("IMP-02")
@pytest.mark.parametrize("size", [0, 1, 300_000, 5 * MEBIBYTE])
def test_an_http2_upload_without_a_length_arrives_whole(site, size):
    app = site.script(RECEIVE)
    with site.connect_http2() as client:
        stream = client.open("POST", app.url, end=size == 0)
        for piece in pattern(size):
            client.send(stream, piece)
        if size:
            client.send(stream, b"", end=True)
        assert client.finish(stream).text == f"{size} {digest_of(size)}"


@line("REQ-12")
def test_an_http2_upload_with_a_length_arrives_whole(site):
    app = site.script(RECEIVE)
    body = b"".join(pattern(MEBIBYTE))
    with site.connect_http2() as client:
        stream = client.request("POST", app.url, [("content-length", str(len(body)))], body)
    assert stream.text == f"{len(body)} {digest_of(len(body))}"


@ours
@line("IMP-01")
def test_a_response_that_is_large_comes_whole_although_the_large_upload_is_never_read(site):
    app = site.script(SEND.format(pattern=PATTERN))
    size = 5 * MEBIBYTE
    with site.connect(30) as connection:
        connection.send_head("POST", f"{app.url}?{size},1", [("Content-Length", str(3 * MEBIBYTE))])
        sender = threading.Thread(target=send_until_it_breaks, args=(connection, 3 * MEBIBYTE))
        sender.start()
        body = connection.response().body
        sender.join()
    assert hashlib.sha256(body).hexdigest() == digest_of(size)


def send_until_it_breaks(connection, size):
    try:
        for piece in pattern(size):
            connection.send(piece)
    except OSError:
        pass  # httpd may close a connection whose upload it does not want.


@ours
def test_an_early_answer_to_an_upload_that_has_not_come_is_delivered_at_once(site):
    app = site.script(
        "def application(environ, start_response):\n"
        "    start_response('403 Forbidden', [('Content-Length', '2')])\n    return [b'no']\n"
    )
    with site.connect() as connection:
        connection.send_head("POST", app.url, [("Content-Length", str(50 * MEBIBYTE))])
        connection.send(b"x" * 1000)
        head = connection.head()
        assert (head.status, connection.take(2)) == (403, b"no")


@ours
def test_a_response_flows_while_the_body_still_does(site):
    app = site.script(
        "def application(environ, start_response):\n"
        "    write = start_response('200 OK', [])\n"
        "    while block := environ['wsgi.input'].readline():\n"
        "        write(block.upper())\n"
        "    return []\n"
    )
    with site.connect() as connection:
        connection.send_head("POST", app.url, [("Transfer-Encoding", "chunked")])
        for number in range(50):
            connection.send_chunk(b"line %d\n" % number)
            if number == 0:
                connection.head()
            assert connection.chunk() == b"LINE %d\n" % number
        connection.end_chunks()
        assert connection.chunk() == b""


@line("REQ-10")
@pytest.mark.parametrize("size", [1, 60_000])
def test_a_connection_is_of_use_after_a_short_body_that_nobody_read(site, size):
    app = site.script("def application(e, s):\n    s('200 OK', [('Content-Length', '2')])\n    return [b'ok']\n")
    with site.connect() as connection:
        for _ in range(5):
            assert connection.request("POST", app.url, body=b"x" * size).body == b"ok"
            assert connection.get(app.url).body == b"ok"


def test_a_response_without_a_body_and_one_with_follow_each_other_on_one_connection(site):
    app = site.script(
        "def application(e, s):\n"
        "    status = e['QUERY_STRING'].replace('+', ' ')\n    s(status, [])\n"
        "    return [] if status[0:3] in ('204', '304') else [b'body']\n"
    )
    with site.connect() as connection:
        for status in ("204+No+Content", "200+OK", "304+Not+Modified", "200+OK"):
            response = connection.get(f"{app.url}?{status}")
            assert (response.status, response.body) == (int(status[:3]), b"body" if status[0:3] == "200" else b"")


@ours
@line("REQ-28")
def test_a_client_that_leaves_is_told_to_an_application_that_waits_for_it(site):
    """The application sends nothing: nobody notices by writing."""
    gone = site.root / "gone"
    gone.mkdir()
    gone.chmod(0o777)
    app = site.script(
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])(b'began')\n"
        "    try:\n        environ['wsgi.input'].read()\n"
        f"    except OSError:\n        open({str(gone / 'noticed')!r}, 'w').close()\n"
        "    return []\n"
    )
    connection = site.connect()
    connection.send_head("POST", app.url, [("Content-Length", "10")])
    connection.head()
    assert connection.chunk() == b"began"
    connection.reset()
    wait_until((gone / "noticed").exists, "the application to notice")


def test_five_hundred_clients_at_once_are_all_answered(new_httpd):
    site = new_httpd(
        "ThreadLimit 64\nThreadsPerChild 64\nServerLimit 8\nMaxRequestWorkers 512\nListenBacklog 600\n",
        daemon("threads=16 listen-backlog=600"),
    ).start()
    app = site.script(RECEIVE)
    connections = [site.connect(60) for _ in range(500)]
    try:
        for number, connection in enumerate(connections):
            connection.send_request("POST", app.url, body=b"%d" % number)
        for number, connection in enumerate(connections):
            expected = hashlib.sha256(b"%d" % number).hexdigest()
            response = connection.response()
            assert (response.status, response.text) == (200, f"{len(str(number))} {expected}")
    finally:
        for connection in connections:
            connection.close()


def test_a_stalled_client_keeps_only_its_own_thread(new_daemon):
    site = new_daemon("threads=2").start()
    app = site.script(RECEIVE)
    with site.connect() as stalled:
        stalled.send_head("POST", app.url, [("Content-Length", "10")])
        for _ in range(5):
            assert app.post(b"x").status == 200
        stalled.send(b"y" * 10)
        assert stalled.response().text.startswith("10 ")


def test_processes_share_the_load(new_daemon):
    site = new_daemon("processes=3 threads=1").start()
    if installation.IS_OURS:
        # Until the others serve, all requests go to the first one.
        site.log.wait_for("is ready", count=3)
    gated = Gated(site)
    connections = [gated.begin(name) for name in "abc"]
    for name in "abc":
        gated.open(name)
    assert len({connection.response().body for connection in connections}) == 3
    for connection in connections:
        connection.close()
