"""A worker by itself, with the test in the places of its supervisor and of httpd's children (harness/worker.py)."""

import os
import signal
import struct
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from harness import installation, process, wire
from harness.condition import wait_until
from harness.worker import REPLY

pytestmark = pytest.mark.ours

# The least limit that an option can have; what takes as long as that is waited for, not slept through.
SECOND = 1


@pytest.fixture
def script(tmp_path):
    """Writes a script; `body` is that of `application(environ, start_response)`."""

    def script(body, top="", name="app.wsgi"):
        path = tmp_path / name
        path.write_text(
            f"import os, sys, threading, time\n{textwrap.dedent(top)}\n"
            "def application(environ, start_response):\n"
            "    def ok(*headers):\n"
            "        return start_response('200 OK', list(headers))\n" + textwrap.indent(textwrap.dedent(body), "    ")
        )
        return path

    return script


HELLO = "ok(); return [b'hello']"


def pythons():
    """That of the tests, and those that WSGI_TEST_PYTHONS names (see test_pythons.py)."""
    yield Path(sys.executable)
    for home in filter(None, os.environ.get("WSGI_TEST_PYTHONS", "").split(":")):
        yield next(path for path in (Path(home, "bin", "python"), Path(home, "bin", "python3")) if path.exists())


# Connections.


@pytest.mark.parametrize("python", list(pythons()), ids=str)
def test_every_python_says_what_it_is_and_serves(start, script, python):
    worker = start(python=python).ready()
    asked = subprocess.check_output([python, "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3], sys.prefix)"])
    ready = worker.wait_for("ready")
    assert b" ".join([ready["version"], ready["prefix"]]) == asked.strip()
    assert worker.get(script(HELLO)).body == b"hello"
    worker.tell("stop", reason="over")
    assert worker.wait() == 0, worker.errors()


def test_a_connection_is_welcomed_once_and_kept(start, script):
    worker, app = start().ready(), script(HELLO)
    connection = worker.connect()
    for _ in range(3):
        response = connection.request(worker.head(app))
        assert (response.code, response.body, response.outcome, response.is_ended) == (200, b"hello", 0, True)
        assert ("Content-Length", "5") in response.headers
    reply, pid, incarnation, cell = connection.welcome
    assert (reply, pid, incarnation) == (REPLY, worker.process.pid, 7)
    assert worker.scoreboard.cell(cell) == (7, 3)
    seat = worker.scoreboard.seat()
    assert (seat["state"], seat["begun"], seat["pid"]) == (wire.SERVING, 3, worker.process.pid)
    assert seat["active"] == 0


def test_a_small_response_comes_in_one_piece(start, script):
    worker, app = start().ready(), script(HELLO)
    connection = worker.connect()
    connection.request(worker.head(app))
    connection.send(worker.head(app))
    data = connection._socket.recv(1 << 16)
    # One send of the worker, so that nobody is woken twice: head, block and end are all there.
    assert data.endswith(wire.block(wire.DONE, struct.pack("<i", 0)))


def test_more_connections_than_threads_wait_their_turn(start, script):
    worker, app = start(threads=2).ready(), script(HELLO)
    connections = [worker.connect() for _ in range(20)]
    for connection in connections:
        assert connection.request(worker.head(app)).body == b"hello"
    for connection in reversed(connections):
        assert connection.request(worker.head(app)).body == b"hello"
    assert len({connection.welcome[3] for connection in connections}) == 20


def test_short_requests_stay_on_one_thread_and_those_that_get_stuck_hold_nobody_up(start, script, tmp_path):
    app = script(
        f"""
        import os, threading
        name = environ['QUERY_STRING']
        while name and not os.path.exists({str(tmp_path)!r} + '/open'):
            time.sleep(0.005)
        ok()
        return [str(threading.get_ident()).encode()]
        """
    )
    worker = start(threads=4).ready()
    quick = worker.connect()

    def ask():
        return quick.request(worker.head(app)).body

    # On a busy machine a short request may take long now and then, and then others help.
    wait_until(lambda: len({ask() for _ in range(50)}) == 1, "one thread to serve all", timeout=30)
    stuck = []
    for number in range(1, 4):
        # The one that leads gets stuck, again and again; the next ones are served all the same.
        connection = worker.connect()
        connection.send(worker.head(app, environ={"QUERY_STRING": f"stuck-{number}"}))
        stuck.append(connection)
        wait_until(lambda count=number: worker.scoreboard.seat()["active"] == count, "the request to begin")
        assert all(ask() for _ in range(20))
    (tmp_path / "open").touch()
    threads = {connection.response().body for connection in stuck}
    assert len(threads) == 3, "each had a thread of its own"
    wait_until(lambda: len({ask() for _ in range(50)}) == 1, "one thread to serve all again", timeout=30)


def test_a_wrong_secret_closes_the_connection_and_is_logged(start, script):
    worker, app = start().ready(), script(HELLO)
    connection = worker.connect(secret=b"x" * 32)
    connection.send(worker.head(app))
    assert connection.is_closed()
    wait_until(lambda: "WSGI0344" in worker.text(), "the line")
    assert worker.scoreboard.seat()["begun"] == 0
    assert worker.get(app).body == b"hello"


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        wire.block(wire.WELCOME, bytes(44)),
        struct.pack("<IHH", 0xFFFFFFF0, 1, wire.REQUEST),
        struct.pack("<IHH", 8, 9, wire.REQUEST),
        wire.block(wire.REQUEST, b"short"),
        wire.block(77),
        wire.piece(b"x", flow=9),
    ],
    ids=["text", "welcome", "long", "version", "truncated", "kind", "reserved"],
)
def test_malformed_data_closes_that_connection_with_one_line(start, script, data):
    worker, app = start().ready(), script(HELLO)
    connection = worker.connect()
    connection.send(data)
    assert connection.is_closed()
    wait_until(lambda: "WSGI0345" in worker.text(), "the line")
    assert worker.text().count("WSGI0345") == 1
    assert worker.get(app).body == b"hello"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_another_user_is_turned_away(start, script):
    worker, app = start().ready(), script(HELLO)
    worker.root.chmod(0o755)
    worker.path.chmod(0o777)
    code = f"import socket; s = socket.socket(socket.AF_UNIX); s.connect({str(worker.path)!r}); print(s.recv(1))"
    said = subprocess.check_output([installation.base_python(), "-c", code], user=65534, group=65534, extra_groups=[])
    assert said.strip() == b"b''"
    wait_until(lambda: "WSGI0343" in worker.text(), "the line")
    assert worker.get(app).body == b"hello"


# Bodies.


ECHO = "body = environ['wsgi.input'].read(); ok(); return [body]"


def test_a_body_comes_as_it_is_asked_for(start, script):
    worker, app = start().ready(), script(ECHO)
    body = os.urandom(3 << 20)
    connection = worker.connect()
    response = connection.request(worker.head(app, flags=wire.BODY), body)
    assert response.body == body
    assert len(body) <= response.wanted <= len(body) + (512 << 10)
    # The connection is as good as before.
    assert connection.request(worker.head(app, flags=wire.BODY), b"again").body == b"again"


def test_a_body_that_follows_is_not_asked_for(start, script):
    worker, app = start().ready(), script(ECHO)
    connection = worker.connect()
    connection.send(worker.head(app, flags=wire.BODY | wire.BODY_FOLLOWS) + wire.piece(b"ab") + wire.piece(b"c", wire.END))
    response = connection.response()
    assert (response.body, response.wanted) == (b"abc", 0)


def test_nothing_is_asked_for_where_there_is_no_body_or_nobody_reads(start, script):
    worker = start().ready()
    assert worker.get(script(ECHO)).wanted == 0
    assert worker.get(script(HELLO, name="other.wsgi"), flags=wire.BODY).wanted == 0


def test_what_is_left_of_a_body_does_not_reach_the_next_request(start, script):
    worker, app = start().ready(), script("body = environ['wsgi.input'].read(1); ok(); return [body]")
    connection = worker.connect()
    connection.send(worker.head(app, flags=wire.BODY))
    response = wire.Response()
    while not response.wanted:
        connection.step(response)
    connection.send(wire.piece(b"1" * 200_000))
    while response.outcome is None:
        connection.step(response)
    assert response.body == b"1"
    connection.send(wire.piece(b"2" * 50_000, wire.END))
    assert connection.request(worker.head(app, flags=wire.BODY), b"3").body == b"3"


@pytest.mark.parametrize(
    "fault, text",
    [(wire.CLIENT_GONE, "client closed"), (wire.TIMED_OUT, "time limit"), (wire.FAILED, "because")],
)
def test_a_body_that_fails_is_an_error_for_the_application(start, script, fault, text):
    app = script(
        """
        try:
            environ['wsgi.input'].read()
        except OSError as error:
            ok(); return [str(error).encode()]
        """
    )
    worker = start().ready()
    connection = worker.connect()
    connection.send(worker.head(app, flags=wire.BODY))
    response = wire.Response()
    while not response.wanted:
        connection.step(response)
    connection.send(wire.piece(b"part") + wire.input_failed(fault, b"because" if fault == wire.FAILED else b""))
    assert text in connection.response().body.decode()


@pytest.mark.parametrize("size", [1, 65_536, 65_537, 262_144, 262_145, 10_000_000])
def test_a_block_of_any_size_arrives_whole(start, script, size):
    app = script("ok(); return [bytes(i % 251 for i in range(251)) * (size // 251 + 1)][0][:size],", top=f"size = {size}")
    expected = (bytes(i % 251 for i in range(251)) * (size // 251 + 1))[:size]
    response = start().ready().get(app)
    assert response.body == expected
    assert ("Content-Length", str(size)) in response.headers


def test_a_big_body_and_a_big_response_cross(start, script):
    """Neither side takes in what the other sends before it has sent its own: no deadlock all the same."""
    app = script("ok(); write = environ['wsgi.input'].read(1); return [b'x' * 5_000_000]")
    worker = start().ready()
    connection = worker.connect()
    connection.send(worker.head(app, flags=wire.BODY | wire.BODY_FOLLOWS))
    for _ in range(8):
        connection.send(wire.piece(b"b" * 60_000))
    assert len(connection.response().body) == 5_000_000


def test_blocks_are_sent_as_they_are_made(start, script):
    app = script(
        """
        ok()
        def blocks():
            yield b'one'
            environ['wsgi.input'].read()
            yield b'two'
        return blocks()
        """
    )
    worker = start().ready()
    connection = worker.connect()
    connection.send(worker.head(app, flags=wire.BODY))
    response = wire.Response()
    while response.body != b"one":
        connection.step(response)
    response = connection.response(b"go on")
    assert (response.body, response.outcome) == (b"two", 0)


def test_a_response_is_there_before_close_is_called(start, script):
    app = script(
        """
        class Body:
            def __iter__(self):
                yield b'all'
            def close(self):
                environ['wsgi.input'].read()
        ok(('Content-Length', '3'))
        return Body()
        """
    )
    worker = start().ready()
    connection = worker.connect()
    connection.send(worker.head(app, flags=wire.BODY))
    response = wire.Response()
    while not response.is_ended:
        connection.step(response)
    assert response.body == b"all"
    assert connection.response(b"end").outcome == 0


def test_a_file_is_sent_whole(start, script, tmp_path):
    data = os.urandom(1_000_003)
    (tmp_path / "file").write_bytes(data)
    app = script(f"ok(); f = open({str(tmp_path / 'file')!r}, 'rb'); f.seek(3); return environ['wsgi.file_wrapper'](f)")
    response = start().ready().get(app)
    assert response.body == data[3:]
    assert response.is_ended and response.outcome == 0


def test_a_client_that_goes_ends_the_response(start, script, tmp_path):
    app = script(
        f"""
        ok()
        def blocks():
            try:
                while True:
                    yield b'x' * 1000
            finally:
                open({str(tmp_path / "over")!r}, 'w').close()
        return blocks()
        """
    )
    worker = start().ready()
    connection = worker.connect()
    connection.send(worker.head(app))
    response = wire.Response()
    while not response.body:
        connection.step(response)
    connection.send(wire.cut(wire.CLIENT_GONE))
    assert connection.response().outcome == 0
    wait_until((tmp_path / "over").exists, "the end of the iterable")
    assert connection.is_closed()


def test_a_broken_response_is_told_and_its_connection_closed(start, script):
    app = script("ok(('Content-Length', '10')); return iter([b'abc'])")
    worker = start().ready()
    connection = worker.connect()
    response = connection.request(worker.head(app))
    assert (response.body, response.outcome, response.is_ended) == (b"abc", wire.INCOMPLETE, False)
    assert "WSGI0308" in response.text
    assert connection.is_closed()


def test_an_exception_is_a_status_and_its_connection_kept(start, script):
    worker, app = start().ready(), script("ok(); raise ValueError('no luck')")
    connection = worker.connect()
    for _ in range(2):
        response = connection.request(worker.head(app))
        assert (response.code, response.outcome) == (0, 500)
        assert "ValueError: no luck" in response.text
        assert "application group 'main' of daemon process 'shop'" in response.text


# The environ.


def test_the_environ_says_that_a_daemon_serves(start, script):
    keys = ("wsgi.multithread", "wsgi.multiprocess", "wsgi.run_once", "mod_wsgi.process_group", "mod_wsgi.application_group")
    app = script(
        f"""
        import mod_wsgi
        start, queue, daemon, application = (environ['mod_wsgi.%s_start' % n] for n in ('request', 'queue', 'daemon', 'application'))
        said = [environ[key] for key in {keys}]
        said += [start <= queue <= daemon <= application < start + 60]
        said += [mod_wsgi.process_group, mod_wsgi.application_group, mod_wsgi.maximum_processes, mod_wsgi.threads_per_process]
        ok(); return [repr(said).encode()]
        """
    )
    worker = start(processes=4, is_multiprocess=True).ready()
    assert worker.get(app).body == repr([True, True, False, "shop", "main", True, "shop", "main", 4, 3]).encode()


def test_the_application_runs_in_the_main_interpreter_and_knows_its_group_while_it_is_loaded(start, script):
    top = "import mod_wsgi, signal\ngroup = mod_wsgi.application_group\nhandler = signal.getsignal(signal.SIGUSR1)"
    app = script("ok(); return [repr((group, mod_wsgi.application_group)).encode()]", top=top)
    worker = start().ready()
    assert worker.get(app, environ={"mod_wsgi.application_group": "localhost|/a"}).body == b"('localhost|/a', 'localhost|/a')"
    assert worker.get(app).refusal == wire.MISDIRECTED


def test_one_request_for_each_process_is_said_and_kept_to(start, script):
    worker, app = start(threads=1, maximum_requests=1).ready(), script("ok(); return [repr(environ['wsgi.run_once']).encode()]")
    assert worker.get(app).body == b"True"
    assert worker.wait_for("stopping")["reason"] == b"maximum_requests"
    assert worker.wait() == 0


def test_home_comes_first_on_the_path_and_the_eggs_have_their_place(start, script, tmp_path):
    for name in ("home", "extra"):
        (tmp_path / name).mkdir()
    app = script("ok(); return [repr((sys.path[:2], os.environ['PYTHON_EGG_CACHE'])).encode()]")
    worker = start(home=tmp_path / "home", python_path=tmp_path / "extra", python_eggs="/eggs").ready()
    assert worker.get(app).body == repr(([str(tmp_path / "home"), str(tmp_path / "extra")], "/eggs")).encode()


def test_a_locale_that_is_not_there_is_warned_of(start):
    assert "WSGI0079: cannot set locale 'xx_YY'" in start(locale="xx_YY").ready().text()


def test_secrets_and_descriptors_do_not_reach_the_application(start, script):
    app = script(
        """
        import _wsgi_host, subprocess
        names = sorted(set(_wsgi_host.settings()) & {'secret', 'reply', 'preload'})
        listed = subprocess.run(['ls', '/proc/self/fd'], capture_output=True, text=True, close_fds=False).stdout.split()
        ok(); return [repr((names, max(map(int, listed)))).encode()]
        """
    )
    # 3 is that of the directory which ls itself reads.
    assert start().ready().get(app).body == repr(([], 3)).encode()


def test_the_display_name_is_shown(start):
    worker = start(display_name="(wsgi:shop)").ready()
    assert Path(f"/proc/{worker.process.pid}/cmdline").read_bytes().rstrip(b"\0") == b"(wsgi:shop)"
    assert Path(f"/proc/{worker.process.pid}/comm").read_text().strip() == "(wsgi:shop)"


# Before a request is begun.


def test_a_request_that_waited_too_long_is_answered_504(start, script):
    worker, app = start(queue_timeout=5).ready(), script(HELLO)
    response = worker.get(app, request_start_us=int((time.time() - 6) * 1e6))
    assert response.outcome == 504
    assert "WSGI0084: the request waited 6." in response.text
    assert response.text.rstrip().endswith("answering 504")
    assert worker.get(app).body == b"hello"
    assert worker.scoreboard.seat()["begun"] == 1


def test_a_request_that_is_answered_without_the_application_counts_on_its_connection(start, script):
    """The child takes a request for begun if the count is no lower than its own number."""
    worker, app = start(queue_timeout=5).ready(), script(HELLO)
    connection = worker.connect()
    late = worker.head(app, request_start_us=int((time.time() - 6) * 1e6))
    assert connection.request(late).outcome == 504
    assert connection.request(worker.head(app)).body == b"hello"
    cell = connection.welcome[3]
    assert worker.scoreboard.cell(cell)[1] == 2


def test_a_request_whose_client_has_gone_is_not_begun(start, script):
    worker, app = start(threads=1).ready(), script(HELLO)
    for last_words in (lambda c: c.send(wire.cut(wire.CLIENT_GONE)), lambda c: c.shut()):
        connection = worker.connect()
        # Head and end in one go, so that both are there when the worker looks.
        worker.signal(signal.SIGSTOP)
        wait_until(lambda: process.is_stopped(worker.process.pid), "every thread to stop")
        connection.send(worker.head(app))
        last_words(connection)
        worker.signal(signal.SIGCONT)
        assert connection.is_closed()
    assert worker.scoreboard.seat()["begun"] == 0


def test_a_changed_script_asks_for_new_processes_once_and_is_served_meanwhile(start, script):
    worker, app = start().ready(), script(HELLO)
    assert worker.get(app, flags=wire.RELOADING).body == b"hello"
    app.write_text(app.read_text().replace("hello", "new"))
    os.utime(app, ns=(1, 1_000_000_000))
    assert worker.get(app, flags=wire.RELOADING).refusal == wire.OUTDATED
    assert worker.wait_for("reload")["script"] == os.fsencode(app)
    assert worker.get(app, flags=wire.RELOADING).body == b"hello"
    assert len(worker.messages("reload")) == 1
    # A second change, after a first one that may have failed.
    os.utime(app, ns=(1, 2_000_000_000))
    assert worker.get(app, flags=wire.RELOADING).refusal == wire.OUTDATED
    wait_until(lambda: len(worker.messages("reload")) == 2, "another message")
    assert worker.scoreboard.seat()["begun"] == 2


def test_a_changed_script_is_of_no_interest_where_reloading_is_off(start, script):
    worker, app = start().ready(), script(HELLO)
    worker.get(app)
    os.utime(app, ns=(1, 1_000_000_000))
    assert worker.get(app).body == b"hello"
    assert not worker.messages("reload")


def test_a_script_may_ask_for_new_processes_itself(start, script):
    top = "def reload_required(resource): return os.path.exists(resource + '.stale')"
    worker, app = start().ready(), script(HELLO, top=top)
    assert [worker.get(app, flags=wire.RELOADING).body for _ in range(2)] == [b"hello"] * 2
    Path(f"{app}.stale").touch()
    assert worker.get(app, flags=wire.RELOADING).refusal == wire.OUTDATED
    assert worker.get(app, flags=wire.RELOADING).body == b"hello"


# Log lines.


def test_lines_of_a_request_come_with_it_and_others_by_the_channel(start, script):
    top = "print('while loading')\nsays = threading.Event()\ndef other(): says.wait(); print('from outside', file=sys.stderr)\nthreading.Thread(target=other).start()"
    app = script("print('inside'); environ['wsgi.errors'].write('twice\\n'); says.set(); ok(); return [b'x']", top=top)
    worker = start().ready()
    response = worker.get(app)
    assert response.lines[-3:] == ["while loading", "inside", "twice"]
    wait_until(lambda: "from outside" in worker.lines(), "the other line")


def test_a_level_that_the_virtual_host_does_not_take_is_not_sent(start, script):
    worker, app = start().ready(), script(HELLO)
    assert worker.get(app, log_level=3).lines == []


def test_lines_do_not_wait_for_a_client_that_takes_nothing(start, script, tmp_path):
    app = script(
        f"""
        for number in range(30_000):
            print('%06d' % number, 'x' * 100)
        open({str(tmp_path / "done")!r}, 'w').close()
        ok(); return [b'x']
        """
    )
    worker = start().ready()
    connection = worker.connect()
    connection.send(worker.head(app))
    wait_until((tmp_path / "done").exists, "the application to go on")
    response = connection.response()
    lines = [line for line in response.lines if line.endswith("xxx")]
    # In order, none torn; what was too much went the other way.
    assert lines == sorted(lines) and {len(line) for line in lines} == {107}
    assert response.body == b"x"


def test_lines_that_httpds_child_no_longer_takes_come_by_the_channel_with_the_script(start, script, tmp_path):
    go_on = tmp_path / "go-on"
    app = script(
        f"""
        print('before')
        while not os.path.exists({str(go_on)!r}): time.sleep(0.01)
        for number in range(100): print('number', number)
        ok(); return [b'x']
        """
    )
    worker = start().ready()
    connection = worker.connect()
    connection.send(worker.head(app))
    wait_until(lambda: worker.scoreboard.seat()["active"] == 1, "the request to begin")
    connection.close()
    go_on.touch()
    wait_until(lambda: f"[script {app}] number 99" in worker.lines(), "the last line")
    lines = [line for line in worker.lines() if " number " in line]
    assert lines == [f"[script {app}] number {number}" for number in range(100)]


# Limits and the end.


SLOW = "time.sleep(float(environ['QUERY_STRING'])); ok(); return [b'slept']"


def begin(worker, script, query="60"):
    """A connection with a request that is being served."""
    connection = worker.connect()
    connection.send(worker.head(script, environ={"QUERY_STRING": query}))
    wait_until(lambda: worker.scoreboard.seat()["active"] == 1, "the request to begin")
    return connection


def test_maximum_requests_asks_for_a_replacement_and_goes_on(start, script):
    worker, app = start(maximum_requests=2, graceful_timeout=9).ready(), script(HELLO)
    connection = worker.connect()
    for _ in range(2):
        connection.request(worker.head(app))
    message = worker.wait_for("retire")
    assert (message["reason"], message["limit"]) == (b"maximum_requests", b"9")
    assert connection.request(worker.head(app)).body == b"hello"
    assert len(worker.messages("retire")) == 1
    worker.tell("drain", reason="maximum_requests", limit=9)
    assert worker.wait() == 0
    assert worker.wait_for("stopping")["reason"] == b"maximum_requests"


def test_a_draining_worker_ends_its_request_and_then_itself(start, script):
    worker, app = start().ready(), script(SLOW)
    connection = begin(worker, app, "0.5")
    worker.tell("drain", reason="reload", limit=0)
    wait_until(lambda: worker.scoreboard.seat()["state"] == wire.DRAINING, "the state")
    assert connection.response().body == b"slept"
    assert worker.wait() == 0


def test_draining_has_its_limit(start, script):
    worker, app = start(shutdown_timeout=SECOND).ready(), script(SLOW)
    connection = begin(worker, app)
    worker.tell("drain", reason="reload", limit=SECOND)
    assert worker.wait() == 124
    assert connection.is_closed()
    assert "WSGI0351: Shutdown timeout expired" in worker.text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_with_its_exit_functions(start, script, number, tmp_path):
    top = f"import atexit\natexit.register(lambda: open({str(tmp_path / 'bye')!r}, 'w').close())"
    worker = start().ready()
    worker.get(script(HELLO, top=top))
    worker.signal(number)
    assert worker.wait() == 0
    message = worker.wait_for("stopping")
    assert (message["reason"], message["limit"]) == (b"shutdown_signal", b"5")
    assert (tmp_path / "bye").exists()


def test_a_request_that_runs_when_the_signal_comes_may_end(start, script):
    worker, app = start().ready(), script(SLOW)
    connection = begin(worker, app, "0.5")
    worker.signal(signal.SIGTERM)
    assert connection.response().body == b"slept"
    assert worker.wait() == 0


def test_shutdown_timeout_is_for_exit_functions_too(start, script):
    worker = start(shutdown_timeout=SECOND).ready()
    worker.get(script(HELLO, top="import atexit; atexit.register(time.sleep, 60)"))
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 124


def test_graceful_signal_asks_for_a_replacement(start):
    worker = start(graceful_timeout=8).ready()
    worker.signal(signal.SIGUSR1)
    message = worker.wait_for("retire")
    assert (message["reason"], message["limit"]) == (b"graceful_signal", b"8")


def test_eviction_timeout_takes_its_place(start):
    worker = start(graceful_timeout=8, eviction_timeout=2).ready()
    worker.signal(signal.SIGUSR1)
    message = worker.wait_for("retire")
    assert (message["reason"], message["limit"]) == (b"eviction_signal", b"2")


def test_hangup_has_no_effect(start, script):
    worker = start().ready()
    for number in (signal.SIGHUP, signal.SIGUSR2, signal.SIGPIPE):
        worker.signal(number)
    assert worker.get(script(HELLO)).body == b"hello"


def test_a_worker_whose_supervisor_has_gone_ends_its_requests_and_itself(start, script):
    worker, app = start().ready(), script(SLOW)
    connection = begin(worker, app, "0.5")
    worker.leave_alone()
    assert connection.response().body == b"slept"
    assert worker.wait() == 0


def test_restart_interval_asks_for_a_replacement(start):
    assert start(restart_interval=SECOND).ready().wait_for("retire")["reason"] == b"restart_interval"


def test_inactivity_counts_from_the_first_request(start, script):
    worker = start(inactivity_timeout=SECOND).ready()
    app = script(HELLO)
    worker.get(app, flags=wire.IGNORE_ACTIVITY)
    begun = time.monotonic()
    assert not worker.messages("retire")
    worker.get(app)
    assert worker.wait_for("retire")["reason"] == b"inactivity_timeout"
    assert time.monotonic() - begun >= SECOND


def test_a_request_that_runs_too_long_ends_its_process(start, script):
    worker, app = start(threads=1, request_timeout=SECOND, graceful_timeout=0, shutdown_timeout=SECOND).ready(), script(SLOW)
    connection = begin(worker, app)
    message = worker.wait_for("stopping")
    assert (message["reason"], message["limit"]) == (b"request_timeout", str(SECOND).encode())
    assert worker.wait() == 124
    assert connection.is_closed()
    assert "WSGI0350: Daemon process request time limit exceeded: request GET /" in worker.text()
    assert f'File "{app}"' in worker.text()


def test_interrupt_timeout_raises_in_the_request_and_spares_the_process(start, script):
    app = script("deadline = time.time() + 60\nwhile time.time() < deadline: pass\nok(); return [b'never']")
    worker = start(threads=1, request_timeout=SECOND, interrupt_timeout=30).ready()
    connection = worker.connect()
    response = connection.request(worker.head(app))
    assert response.outcome == 504
    assert "Request interrupted by RequestTimeout" in response.text
    wait_until(lambda: "Injected RequestTimeout into request GET /" in worker.text(), "the line")
    wait_until(lambda: f'File "{app}"' in worker.text(), "the stack")
    assert connection.request(worker.head(script(HELLO, name="other.wsgi"))).body == b"hello"


def test_a_request_that_cannot_be_interrupted_ends_its_process(start, script):
    worker = start(threads=1, request_timeout=SECOND, interrupt_timeout=SECOND, graceful_timeout=0, shutdown_timeout=SECOND)
    connection = begin(worker.ready(), script(SLOW))
    assert worker.wait() == 124
    assert connection.is_closed()
    assert "WSGI0350" in worker.text()


def test_what_ran_too_long_is_named_without_its_query(start, script):
    app = script("deadline = time.time() + 60\nwhile time.time() < deadline: pass\nok(); return [b'never']")
    worker = start(threads=1, request_timeout=SECOND, interrupt_timeout=30).ready()
    head = worker.head(app, environ={"REQUEST_URI": "/reset?token=never-to-be-seen", "QUERY_STRING": "token=never-to-be-seen"})
    response = worker.connect().request(head)
    assert response.outcome == 504
    wait_until(lambda: "Injected RequestTimeout into request GET /reset; its stack" in worker.text(), "the line")
    assert "never-to-be-seen" not in response.text + worker.text() + worker.errors()


STUCK = "import ctypes\nctypes.PyDLL(None).sleep(60)\nok(); return [b'never']"


def test_a_stuck_gil_ends_the_process_and_shows_where(start, script):
    app = script(STUCK)
    worker = start(deadlock_timeout=2, shutdown_timeout=SECOND).ready()
    begin(worker, app)
    assert worker.wait_for("stopping")["reason"] == b"deadlock_timeout"
    assert worker.wait() == 124
    assert "WSGI0349" in worker.text()
    assert f'File "{app}"' in worker.text()


def test_a_start_that_hangs_is_ended(start, tmp_path):
    (tmp_path / "hang.py").write_text("import time; time.sleep(60)")
    worker = start(preload=[tmp_path / "hang.py"], startup_timeout=SECOND, shutdown_timeout=SECOND)
    assert worker.wait_for("stopping")["reason"] == b"startup_timeout"
    assert worker.wait() == 124
    assert "WSGI0348" in worker.text() and "hang.py" in worker.text()


def test_a_worker_that_nobody_asks_for_anything_may_wait_for_ever(start, script):
    worker = start(startup_timeout=SECOND, restart_interval=2).ready()
    # The later of the two limits is reached, so the earlier one was not.
    assert worker.wait_for("retire")["reason"] == b"restart_interval"
    assert not worker.messages("stopping")
    assert worker.get(script(HELLO)).body == b"hello"


# Scripts at start.


def test_preloaded_scripts_are_there_before_the_process_is_ready(start, script):
    app = script("ok(); return [str(loaded).encode()]", top="print('loading'); loaded = threading.current_thread() is threading.main_thread()")
    worker = start(preload=[app], pool_group="main").ready()
    assert "loading" in worker.lines()
    assert worker.get(app).body == b"True"


def test_a_preloaded_script_that_fails_is_logged_and_tried_again(start, script):
    worker = start(preload=[script(HELLO, top="1 / 0")], pool_group="main").ready()
    assert "WSGI0110" in worker.text() and "ZeroDivisionError" in worker.text()


def test_a_service_runs_its_scripts_and_ends(start, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"print('{name} has run'); raise SystemExit(0)")
    worker = start(threads=0, preload=[tmp_path / "one", tmp_path / "two"])
    assert worker.wait() == 0
    wait_until(lambda: "two has run" in worker.lines(), "the line")
    assert "one has run" in worker.lines()
    assert "SystemExit" not in worker.text()


def test_a_service_is_told_to_end_by_a_signal_and_the_next_script_is_not_started(start, tmp_path):
    (tmp_path / "one").write_text(
        "import signal, time\nsignal.signal(signal.SIGHUP, lambda *a: print('hung up'))\nprint('running')\n"
        "try:\n    time.sleep(60)\nfinally:\n    print('cleaned up')\n"
    )
    (tmp_path / "two").write_text("print('two has run')")
    worker = start(threads=0, preload=[tmp_path / "one", tmp_path / "two"])
    wait_until(lambda: "running" in worker.lines(), "the script")
    worker.signal(signal.SIGHUP)
    wait_until(lambda: "hung up" in worker.lines(), "its own handler")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    wait_until(lambda: "cleaned up" in worker.lines(), "the line")
    assert "two has run" not in worker.lines()


def test_a_service_is_told_to_end_by_its_supervisor(start, tmp_path):
    (tmp_path / "one").write_text("import time\nprint('running')\ntime.sleep(60)\n")
    worker = start(threads=0, preload=[tmp_path / "one"])
    wait_until(lambda: "running" in worker.lines(), "the script")
    worker.tell("stop", reason="over")
    assert worker.wait() == 0


def test_a_service_that_is_told_again_while_it_ends_ends_in_order(start, tmp_path):
    (tmp_path / "one").write_text(
        "import atexit, os, time\n"
        "def linger(what):\n"
        "    print(what)\n"
        f"    while not os.path.exists(os.path.join({str(tmp_path)!r}, what)):\n"
        "        time.sleep(0.01)\n"
        "    print(what, 'is over')\n"
        "atexit.register(linger, 'leaving')\n"
        "try:\n    linger('running')\nfinally:\n    linger('cleaning')\n"
    )
    (tmp_path / "two").write_text("print('two has run')")
    worker = start(threads=0, preload=[tmp_path / "one", tmp_path / "two"])
    for what in ("running", "cleaning", "leaving"):
        wait_until(lambda: what in worker.lines(), what)
        worker.signal(signal.SIGTERM)
        if what != "running":
            (tmp_path / what).touch()
    assert worker.wait() == 0
    assert [line for line in worker.lines() if "over" in line or "two" in line] == ["cleaning is over", "leaving is over"]
    assert "WSGI0" not in worker.text()


# Has a signal come when the line of that number begins that `_run_service()` runs after the script has ended, and once more
# in an exit function.
SIGNALLED = """
import atexit, signal, sys

lines = 0

def trace(frame, event, argument):
    global lines
    if event == "line":
        if lines == {number}:
            signal.raise_signal(signal.SIGTERM)
        lines += 1
    return trace

def leave():
    sys.settrace(None)
    signal.raise_signal(signal.SIGTERM)
    print("left after", lines, "lines")

atexit.register(leave)
frame = sys._getframe()
while frame.f_code.co_name != "_run_service":
    frame = frame.f_back
frame.f_trace = trace
sys.settrace(lambda frame, event, argument: None)
"""


@pytest.mark.parametrize("number", range(6))
def test_a_service_may_be_told_at_any_moment_after_its_script(start, tmp_path, number):
    """A signal that came while the process went on to its end was a failure of that step: WSGI0301."""
    (tmp_path / "one").write_text(SIGNALLED.format(number=number))
    worker = start(threads=0, preload=[tmp_path / "one"])
    assert worker.wait() == 0
    assert any(line.startswith("left after") for line in worker.lines())
    assert "WSGI0" not in worker.text()


def test_a_service_that_is_told_between_two_scripts_does_not_start_the_second(start, tmp_path):
    (tmp_path / "one").write_text(SIGNALLED.format(number=0))
    (tmp_path / "two").write_text("print('two has run')")
    worker = start(threads=0, preload=[tmp_path / "one", tmp_path / "two"])
    assert worker.wait() == 0
    assert worker.lines()[-1].startswith("left after") and "two has run" not in worker.lines()
    assert "WSGI0" not in worker.text()


# Processes that the application makes.


def test_a_forked_process_cannot_reach_the_client(start, script):
    app = script(
        """
        if os.fork() == 0:
            print('in the child')
            try:
                environ['wsgi.input'].read()
            except RuntimeError:
                os._exit(3)
            os._exit(4)
        status = os.waitstatus_to_exitcode(os.wait()[1])
        ok(); return [str(status).encode()]
        """
    )
    worker = start().ready()
    response = worker.get(app, flags=wire.BODY)
    assert response.body == b"3"
    assert "in the child" not in response.lines
    wait_until(lambda: f"[script {app}] in the child" in worker.lines(), "the line, by the channel")


def test_a_signal_to_a_forked_process_ends_that_process(start, script):
    app = script(
        """
        pid = os.fork()
        if pid == 0:
            time.sleep(60)
        os.kill(pid, 15)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        ok(); return [str(status).encode()]
        """
    )
    worker = start().ready()
    assert worker.get(app).body == b"255"
    assert worker.get(script(HELLO, name="other.wsgi")).body == b"hello"


def test_a_process_without_its_descriptors_says_so(tmp_path):
    from harness.worker import bootstrap

    ended = subprocess.run([sys.executable, "-c", bootstrap(installation.HOST)], capture_output=True, text=True)
    assert ended.returncode == 1
    assert "was not started by a supervisor" in ended.stderr
