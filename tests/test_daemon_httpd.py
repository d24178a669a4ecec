"""httpd reloads, restarts and ends above its process groups: no request is lost, nothing is left, nothing piles up."""

import os
import pwd
import signal
import socket
import threading
import time

import pytest

from harness import http1, installation
from harness.checklist import line, ours, smoke
from harness.condition import wait_until
from harness.door import daemon
from harness.messages import BROKEN, DIED, UNREACHABLE
from harness.process import descriptors_of, is_alive, sockets_of
from harness.puppet import Gated, Puppet

HELLO = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]
"""


PATIENT = """
def application(environ, start_response):
    count = len(environ["wsgi.input"].read())
    body = str(count).encode() if count else bytes(2_000_000)
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


class Load:
    """Clients that ask without end, each on a connection of its own for each request, and note what goes wrong.

    Beside those that are quick there is one that reads a large response slowly and one that sends its request slowly,
    head and body, so that some request is always under way.
    """

    def __init__(self, app, clients=3):
        self.app = app
        self.answered = 0
        self.slowly_read = 0
        self.slowly_sent = 0
        self.failures = []
        self._patient = app.site.script(PATIENT, name="patient.wsgi")
        self._ended = threading.Event()
        deeds = [self._ask] * clients + [self._read_slowly, self._send_slowly]
        self._clients = [threading.Thread(target=deed) for deed in deeds]

    def __enter__(self):
        for client in self._clients:
            client.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        for client in self._clients:
            client.join()
        assert self.failures or (self.slowly_read and self.slowly_sent), "the slow clients have had no answer"

    def wait_for_answers(self, count=20):
        goal = self.answered + count
        wait_until(lambda: self.answered >= goal or self.failures, f"{count} more answers")

    def _ask(self):
        for response in self._responses(self.app.get):
            if response.body == b"hello":
                self.answered += 1
            else:
                self.failures.append((response.status, response.body[:80]))

    def _read_slowly(self):
        def read():
            with self.app.site.connect(30.0) as connection:
                # Less than the response, so that httpd has to wait for this client.
                connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
                connection.send_request("GET", self._patient.url)
                response = connection.head()
                length = int(response.header("Content-Length") or 0)
                taken = 0
                while response.status == 200 and taken < length:
                    self._rest()
                    part = min(length - taken, 100_000)
                    connection.discard(part)
                    taken += part
                return response, taken

        for response, taken in self._responses(read):
            if (response.status, taken) == (200, 2_000_000):
                self.slowly_read += 1
            else:
                self.failures.append(("slow reader", response.status, taken))

    def _send_slowly(self):
        def send():
            with self.app.site.connect(30.0) as connection:
                head = f"POST {self._patient.url} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n".encode()
                for part in [head[:20], head[20:], *[bytes(10_000)] * 10]:
                    self._rest()
                    connection.send(part)
                return connection.response()

        for response in self._responses(send):
            if (response.status, response.body) == (200, b"100000"):
                self.slowly_sent += 1
            else:
                self.failures.append(("slow sender", response.status, response.body[:80]))

    def _responses(self, ask):
        while not self._ended.is_set():
            try:
                yield ask()
            except (OSError, http1.Incomplete) as error:
                self.failures.append(f"{ask.__name__}: {error!r}")

    @staticmethod
    def _rest():
        """The pace of a slow client; it goes on when the others have ended."""
        time.sleep(0.03)


@ours
@smoke
@line("LIF-11", "IMP-13")
def test_twenty_graceful_restarts_under_load_lose_no_request_and_keep_the_workers(new_daemon):
    site = new_daemon("processes=2 threads=4").start()
    app = site.script(HELLO)
    assert app.get().body == b"hello"
    wait_until(lambda: len(site.workers()) == 2, "two workers")
    workers, supervisor = site.workers(), site.supervisor()
    # httpd counts the threads of children that drain, too.
    site.log.allow("AH00484")
    with Load(app) as load:
        site.graceful()
        before = descriptors_of(site.pid())
        for _ in range(20):
            load.wait_for_answers()
            site.graceful()
    assert not load.failures, load.failures[:5]
    assert descriptors_of(site.pid()) <= before
    assert (site.workers(), site.supervisor()) == (workers, supervisor)


@line("LIF-13", "CFG-38")
def test_twenty_restarts_leave_no_process_and_no_descriptor_too_many(new_daemon):
    site = new_daemon("processes=2 threads=2").start()
    app = site.script(HELLO)
    site.log.allow("AH03093")
    assert app.get().body == b"hello"
    site.restart()
    before = descriptors_of(site.pid())
    for _ in range(20):
        wait_until(lambda: app.get().body == b"hello", "an answer")
        site.restart()
    wait_until(lambda: app.get().body == b"hello", "an answer")
    wait_until(lambda: len(site.workers()) == 2, "two workers")
    assert descriptors_of(site.pid()) <= before
    assert len(site.sockets()) <= 1 or not site.supervisor()


@line("LIF-04", "LIF-13")
def test_stop_with_requests_in_every_worker_leaves_no_process_and_no_socket(new_daemon):
    """The requests wait: mpm_event itself may crash when it is stopped while connections come and go."""
    site = new_daemon("processes=2 threads=4 shutdown-timeout=1").start()
    gated = Gated(site)
    # Processes of both kinds that do not end in time are killed.
    site.log.allow(rf"AH0004[56]|{BROKEN}|WSGI0351|WSGI0314" if installation.IS_OURS else rf"{BROKEN}|WSGI0119|AH")
    connections = [gated.begin(f"r{number}") for number in range(6)]
    site.stop()
    for connection in connections:
        connection.close()


@ours
@line("LIF-12")
def test_graceful_stop_under_load_answers_whatever_it_has_taken(new_daemon):
    site = new_daemon("threads=4").start()
    app = site.script(HELLO)
    with Load(app) as load:
        load.wait_for_answers()
        site.begin_graceful_stop()
        site.wait()
    # Whoever comes after the listener is closed is refused by the kernel; nobody gets an error from httpd.
    assert [failure for failure in load.failures if isinstance(failure, tuple)] == []
    site.assert_nothing_is_left()


@ours
def test_a_changed_group_gets_new_workers_and_an_unchanged_one_keeps_its_own(new_httpd):
    site, configured = two_groups(new_httpd)
    other = Puppet(site, "sub")
    main_before, other_before = site.process(), other.value("os.getpid()")
    configured("threads=3", "threads=2")
    site.graceful()
    assert other.value("os.getpid()") == other_before
    wait_until(lambda: site.process() != main_before, "a worker of the changed group")
    wait_until(lambda: not is_alive(main_before), "the old worker to end")
    assert Puppet(site).value("sys.modules['mod_wsgi'].threads_per_process") == 3


@ours
@line("IMP-13")
def test_a_group_that_each_reload_changes_loses_no_request(new_daemon):
    site = new_daemon("processes=2 threads=4").start()
    app = site.script(HELLO)
    assert app.get().body == b"hello"
    site.log.allow("AH00484")
    with Load(app) as load:
        # One of these raises processes beyond the seats that the group has had.
        for options in ["processes=2 threads=5", "processes=6 threads=4", "processes=1 threads=8", "processes=2 threads=4"]:
            before = set(site.workers())
            site.door = daemon(options)
            site.configure("")
            load.wait_for_answers()
            site.graceful()
            load.wait_for_answers()
            wait_until(lambda before=before: not before & set(site.workers()), "other workers", timeout=30)
    assert not load.failures, load.failures[:5]


@ours
def test_a_child_of_before_the_reload_finds_the_processes_of_a_group_that_has_grown(new_daemon):
    site = new_daemon("processes=1 threads=2").start()
    app = site.script(HELLO)
    assert app.get().body == b"hello"
    old, child = site.process(), site.child()
    before = sockets_of(child)
    site.log.allow("AH00484")
    with site.connect(30.0) as connection:
        # A client that is slow with its request, so that the child stays for it.
        connection.socket.sendall(f"GET {app.url} HTTP/1.1\r\nHost: slow.te".encode())
        wait_until(lambda: sockets_of(child) - before, "the child to have the connection")
        site.door = daemon("processes=6 threads=2")
        site.configure("")
        site.graceful()
        wait_until(lambda: not is_alive(old), "the old worker to end")
        assert is_alive(child)
        began = time.monotonic()
        connection.socket.sendall(b"st\r\n\r\n")
        response = connection.response()
        assert (response.status, response.body) == (200, b"hello")
        assert time.monotonic() - began < 5


@ours
def test_a_removed_group_is_drained_and_gone_and_its_neighbour_stays(new_httpd):
    site, configured = two_groups(new_httpd)
    other = Puppet(site, "sub").value("os.getpid()")
    before = site.process()
    configured("threads=2", None)
    site.graceful()
    assert site.process() == before
    wait_until(lambda: not is_alive(other), "the removed group's worker to end")


@line("LIF-11")
def test_a_group_that_a_reload_adds_serves(new_httpd):
    site, configured = two_groups(new_httpd, None)
    configured("threads=2", "threads=2")
    site.graceful()
    wait_until(lambda: site.script(HELLO, "sub").get().body == b"hello", "an answer")
    assert site.workers("other")


def two_groups(new_httpd, other="threads=2"):
    """A running site whose sub mount is served by a group of its own, and what changes the options of the two."""
    site = new_httpd("", daemon("threads=2"))

    def configured(main, other):
        site.door = daemon(main)
        lines = f"WSGIDaemonProcess other display-name=%{{GROUP}} {other}\n" if other else ""
        if other:
            lines += "<Location /sub>\n  WSGIProcessGroup other\n</Location>\n"
        site.configure(lines)

    configured("threads=2", other)
    return site.start(), configured


@ours
def test_a_running_worker_writes_to_the_new_log_file_after_logrotate_and_a_reload(new_daemon):
    site = new_daemon().start()
    puppet = Puppet(site)
    before = puppet.value("os.getpid()")
    rotated = site.root / "error.log.1"
    site.log.path.rename(rotated)
    site.log.path.touch()
    site.graceful()
    site.log.begin()
    puppet.run("import os\nos.write(2, b'written to descriptor two\\n')\nprint('of the request')")
    site.log.expect("written to descriptor two")
    site.log.expect("of the request")
    site.log.wait_for("written to descriptor two")
    site.log.wait_for("of the request")
    assert puppet.value("os.getpid()") == before
    assert "descriptor two" not in rotated.read_text()


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGHUP], ids=lambda number: number.name)
def test_a_worker_that_was_killed_during_a_reload_does_not_stay_away(new_daemon, number):
    site = new_daemon().start()
    app = site.script(HELLO)
    assert app.get().body == b"hello"
    site.log.allow("AH03093")
    if installation.IS_OURS:
        site.log.expect(DIED)
    else:
        site.log.allow(rf"{DIED}|{BROKEN}|{UNREACHABLE}")
    os.kill(site.process(), signal.SIGKILL)
    site.graceful() if number == signal.SIGUSR1 else site.restart()
    wait_until(lambda: app.get().body == b"hello", "an answer")


@line("LIF-06", "PY-165")
@pytest.mark.parametrize("processes", [1, 3])
def test_a_touched_script_is_served_by_new_code_from_a_new_worker(new_daemon, processes):
    site = new_daemon(f"processes={processes} threads=4").start()
    version = "import os\ndef application(e, s):\n    s('200 OK', [])\n    return [f'%s {os.getpid()}'.encode()]\n"
    app = site.script(version % "old")
    old = {app.get().text.split()[1] for _ in range(20)}
    app.rewrite(version % "new")
    answers = [app.get() for _ in range(20)]
    assert {answer.status for answer in answers} == {200}
    assert {answer.text.split()[0] for answer in answers} == {"new"}
    assert not {answer.text.split()[1] for answer in answers} & old


@ours
@line("IMP-14")
def test_a_touch_lets_the_requests_inside_finish_while_new_code_is_served(new_daemon):
    site = new_daemon("threads=4 graceful-timeout=30").start()
    gated = Gated(site)
    with gated.begin("one") as connection:
        old = site.process()
        gated.app.touch()
        gated.open("two")
        with gated.begin("two") as second:
            assert int(second.response().body) != old
        gated.open("one")
        assert int(connection.response().body) == old
    wait_until(lambda: not is_alive(old), "the old worker to end")


@ours
@line("LIF-06")
def test_touches_under_load_lose_no_request(new_daemon):
    site = new_daemon("processes=2 threads=4").start()
    app = site.script(HELLO)
    with Load(app) as load:
        for _ in range(5):
            load.wait_for_answers()
            app.touch()
        load.wait_for_answers()
    assert not load.failures, load.failures[:5]


@line("LIF-07")
def test_a_touch_changes_nothing_without_script_reloading(new_daemon):
    site = new_daemon(config="WSGIScriptReloading Off\n").start()
    app = site.script(HELLO)
    assert app.get().body == b"hello"
    before = site.process()
    app.rewrite(HELLO.replace("hello", "other"))
    assert app.get().body == b"hello"
    assert site.process() == before


@ours
@line("LIF-20")
def test_httpd_x_serves_from_a_group(new_daemon):
    site = new_daemon()
    app = site.script(HELLO)
    site.start(single_process=True)
    wait_until(lambda: app.get().body == b"hello", "an answer")
    # Its one process has become another user; nothing is left all the same.
    site.stop()


@line("LIF-01", "OPT-42")
def test_sockets_belong_to_the_user_of_httpds_children_and_nobody_else_may_use_them(new_daemon):
    site = new_daemon().start()
    assert site.script(HELLO).get().body == b"hello"
    found = [path for path in sockets_below(site) if path.is_socket()]
    assert found
    owner = os.stat(f"/proc/{site.child()}").st_uid
    for path in found:
        assert path.stat().st_mode & 0o077 == 0
        assert path.stat().st_uid in (owner, os.geteuid())


def sockets_below(site):
    for path in site.sockets():
        yield path
        if path.is_dir():
            yield from path.rglob("*")


@line("LIF-09")
def test_reload_required_that_is_true_brings_new_workers_and_is_given_the_path(new_daemon):
    site = new_daemon().start()
    flag = site.root / "reload-required"
    app = site.script(
        "import json, os\nseen = []\n"
        f"def reload_required(path):\n    seen.append(path)\n    return os.path.exists({str(flag)!r})\n"
        "def application(e, s):\n    s('200 OK', [])\n    return [json.dumps([os.getpid(), seen]).encode()]\n"
    )
    old, _ = app.json()
    assert app.json() == [old, [str(app.path)]]
    flag.touch()
    # Each new worker loads the script first and asks it only for the request after that.
    new, _ = app.json()
    flag.unlink()
    assert new != old
    assert app.json()[0] != old


@line("LIF-08")
def test_a_script_replaced_by_an_older_one_is_reloaded(new_daemon):
    site = new_daemon().start()
    app = site.script(HELLO)
    assert app.get().body == b"hello"
    app.path.write_text(HELLO.replace("hello", "older"))
    os.utime(app.path, (1_000_000_000, 1_000_000_000))
    assert app.get().body == b"older"


def test_a_script_whose_new_version_does_not_load_is_500_and_the_next_version_is_served(new_daemon):
    site = new_daemon().start()
    app = site.script(HELLO)
    assert app.get().body == b"hello"
    site.log.expect_exception("SyntaxError: .*", code="WSGI0105")
    if not installation.IS_OURS:
        site.log.allow("WSGI0174")
    app.rewrite("def broken(:\n")
    assert app.get().status == 500
    app.rewrite(HELLO.replace("hello", "mends"))
    wait_until(lambda: app.get().body == b"mends", "the next version")


@line("LIF-13")
def test_sigint_ends_httpd_with_all_that_is_below_it(new_daemon):
    site = new_daemon("processes=2 threads=2").start()
    assert site.script(HELLO).get().body == b"hello"
    os.kill(site.pid(), signal.SIGINT)
    site.wait()
    site.assert_nothing_is_left()


@ours
@line("LIF-22")
@pytest.mark.skipif(os.geteuid() != 0, reason="the tests' user starts every httpd then")
def test_without_root_a_group_runs_as_who_started_httpd_whatever_it_names(new_daemon):
    site = new_daemon("threads=2 user=games group=games", user="nobody").start()
    assert Puppet(site).value("os.getuid()") == os.stat(f"/proc/{site.pid()}").st_uid
    assert os.stat(f"/proc/{site.supervisor()}").st_uid == os.stat(f"/proc/{site.pid()}").st_uid


@ours
@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")
@pytest.mark.parametrize(("options", "is_root"), [("threads=2", False), ("threads=2 user=games", True)])
def test_the_supervisor_is_root_only_while_a_group_needs_another_user(new_daemon, options, is_root):
    site = new_daemon(options).start()
    assert Puppet(site).value("1") == 1
    wait_until(lambda: (os.stat(f"/proc/{site.supervisor()}").st_uid == 0) == is_root, "its user")
    site.graceful()
    assert Puppet(site).value("1") == 1


@ours
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give workers another user")
def test_a_reload_that_needs_root_again_gets_a_supervisor_that_has_it(new_daemon):
    site = new_daemon("threads=2").start()
    assert Puppet(site).value("os.getuid()") != 0
    site.door = daemon("threads=2 user=games home=/")
    site.configure("")
    site.graceful()
    games = pwd.getpwnam("games").pw_uid
    wait_until(lambda: Puppet(site).value("os.getuid()") == games, "a worker of the other user", timeout=20)


@ours
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give workers another user")
def test_a_reload_that_needs_root_again_loses_no_request_of_a_group_that_has_not_changed(new_httpd):
    site, configured = two_groups(new_httpd, None)
    app = site.script(HELLO)
    gated = Gated(site)
    site.log.allow("AH00484")
    with gated.begin("one") as connection, Load(app) as load:
        before, worker = site.supervisor(), site.process()
        load.wait_for_answers()
        configured("threads=2", "threads=2 user=games home=/")
        site.graceful()
        load.wait_for_answers()
        wait_until(lambda: set(site.supervisors()) - {before}, "another supervisor")
        games = pwd.getpwnam("games").pw_uid
        wait_until(lambda: Puppet(site, "sub").value("os.getuid()") == games, "a worker of the other user", timeout=20)
        gated.open("one")
        response = connection.response()
        assert (response.status, int(response.body)) == (200, worker)
    assert not load.failures, load.failures[:5]
    wait_until(lambda: not is_alive(worker) and not is_alive(before), "the old worker and its supervisor to end")


@ours
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give workers another user")
def test_a_supervisor_that_waits_for_its_last_request_ends_with_httpd(new_httpd):
    site, configured = two_groups(new_httpd, None)
    gated = Gated(site)
    site.log.allow(rf"{BROKEN}|WSGI0(119|3\d\d)|AH")
    connection = gated.begin("one")
    before, worker = site.supervisor(), site.process()
    configured("threads=2 shutdown-timeout=1", "threads=2 user=games home=/")
    site.graceful()
    assert is_alive(worker) and is_alive(before)
    site.stop()
    assert not is_alive(worker) and not is_alive(before)
    connection.close()
