"""How the options of a group about responses show at the client: what is sent when, and who waits for whom for how long."""

import time

import pytest

from harness.checklist import line
from harness.condition import wait_until

# Each block waits until the test has what came before it.
STEPS = """
import os, time

def application(environ, start_response):
    start_response("200 OK", [])
    for number in range(4):
        while number and not os.path.exists(f"{shared}/{{number}}"):
            time.sleep(0.005)
        yield b"block %d" % number
"""
BLOCKS = """
def application(environ, start_response):
    start_response("200 OK", [])
    for _ in range(20):
        yield bytes(8192)
"""
# Notes that its iterable was closed.
ENDLESS = """
class Blocks:
    def __iter__(self):
        return self

    def __next__(self):
        return bytes(65536)

    def close(self):
        open({note!r}, "w").close()

def application(environ, start_response):
    start_response("200 OK", [])
    return Blocks()
"""
HELLO = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]
"""


def shared(site):
    """A directory that tests and applications write to."""
    directory = site.root / "shared"
    directory.mkdir()
    directory.chmod(0o777)
    return directory


def let_pass(seconds):
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > seconds, "time to pass")


@line("OPT-39")
@pytest.mark.parametrize("delay", ["", "response-flush-delay=0", "response-flush-delay=300"])
def test_blocks_that_come_one_at_a_time_arrive_one_at_a_time(new_daemon, delay):
    site = new_daemon(f"threads=2 {delay}").start()
    directory = shared(site)
    app = site.script(STEPS.format(shared=directory))
    with site.connect() as connection:
        connection.send_request("GET", app.url)
        connection.head()
        for number in range(4):
            assert connection.chunk() == b"block %d" % number
            (directory / str(number + 1)).touch()
        assert connection.chunk() == b""


@line("OPT-39")
@pytest.mark.parametrize("delay", ["", "response-flush-delay=0", "response-flush-delay=300"])
def test_flushes_do_not_spoil_the_rate_of_mod_ratelimit(new_daemon, delay):
    limit = "<Location /main>\n  SetOutputFilter RATE_LIMIT\n  SetEnv rate-limit 64\n</Location>\n"
    site = new_daemon(f"threads=2 {delay}", limit, modules=("ratelimit",)).start()
    app = site.script(BLOCKS)
    began = time.monotonic()
    assert app.get().body == bytes(20 * 8192)
    # 160 KiB at 64 KiB/s.
    assert 1.8 < time.monotonic() - began < 8


@line("OPT-40")
def test_a_client_that_does_not_read_is_given_up_after_response_socket_timeout(new_daemon):
    site = new_daemon("threads=2 response-socket-timeout=1").start()
    note = shared(site) / "closed"
    app = site.script(ENDLESS.format(note=str(note)))
    site.log.allow("WSGI0(119|129|12[0-9])|AH")
    with site.connect() as connection:
        connection.send_request("GET", app.url)
        connection.head()
        # httpd's own Timeout is 20 seconds.
        wait_until(note.exists, "the iterable to be closed", timeout=10)
    assert site.script(HELLO).get().body == b"hello"


@line("OPT-40")
def test_response_socket_timeout_does_not_outlast_its_response_on_a_connection(new_daemon):
    site = new_daemon("threads=2 response-socket-timeout=1").start()
    (site.root / "htdocs" / "large.txt").write_bytes(bytes(64_000_000))
    app = site.script(HELLO)
    with site.connect() as connection:
        assert connection.get(app.url).body == b"hello"
        connection.send_request("GET", "/large.txt")
        connection.head()
        let_pass(3)
        connection.discard(64_000_000)


@line("LIF-02")
def test_without_rotation_a_socket_keeps_its_name_over_a_graceful_restart(new_daemon):
    site = new_daemon("threads=2", "WSGISocketRotation Off\n").start()
    app = site.script(HELLO)
    assert app.get().body == b"hello"
    before = sockets_of(site)
    assert before
    site.graceful()
    assert app.get().body == b"hello"
    assert sockets_of(site) == before


def sockets_of(site):
    return {each for path in site.sockets() for each in [path, *path.rglob("*")] if each.is_socket()}
