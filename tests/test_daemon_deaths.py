"""A worker, the supervisor or httpd dies: what its clients see, what the log says, what comes after, what is left."""

import itertools
import os
import signal
import time

import pytest

from harness import installation
from harness.checklist import line, ours, smoke
from harness.condition import wait_until
from harness.door import daemon
from harness.messages import BROKEN, DIED
from harness.process import adopted, descriptors_of, is_alive, sockets_of, unix_sockets
from harness.puppet import Gated, Puppet

HELLO = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]
"""


PID = """
import os

def application(environ, start_response):
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]
"""


def wait_for_another(site, old):
    """The pid of the worker that serves in place of `old`."""
    others = lambda: [pid for pid in site.workers() if pid != old]  # noqa: E731
    wait_until(others, "another worker", timeout=30)

    def pid_of_another():
        response = site.script(PID, name="pid-after-death.wsgi").get()
        assert response.status == 200
        return int(response.body) != old and int(response.body)

    return wait_until(pid_of_another, "another worker to serve", timeout=30)


@smoke
def test_a_group_serves_from_a_process_of_its_own(new_daemon):
    site = new_daemon().start()
    assert site.process() in site.workers("daemon")
    assert site.process() not in site.children()


@ours
def test_workers_are_below_a_supervisor_and_that_below_httpd(new_daemon):
    site = new_daemon("processes=2 threads=2").start()
    wait_until(lambda: len(site.workers()) == 2, "two workers")
    assert site.supervisor() is not None
    assert len(site.children()) == 1


@line("IMP-29")
@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("import os\nos._exit(3)", "exit status 3"),
        ("import os\nos.abort()", "SIGABRT"),
        ("import ctypes\nctypes.string_at(0)", "SIGSEGV"),
    ],
    ids=["kill -9", "_exit", "abort", "segmentation fault"],
)
def test_a_worker_that_dies_in_a_request_gives_502_a_line_with_the_cause_and_another_worker(new_daemon, code, said):
    site = new_daemon().start()
    puppet = Puppet(site)
    old = site.process()
    # The request before was the one that asked for the pid.
    site.log.expect(f"{DIED}.*{said}.* s old and had begun 2 requests" if installation.IS_OURS else DIED)
    told = rf"{said}.* s old and had begun 2 requests; the request, [A-Z]+ /\S+, was [0-9.]+ s old; answering 502"
    site.log.expect(f"{BROKEN}.*{told}" if installation.IS_OURS else BROKEN)
    assert puppet.send(code).status == 502
    assert wait_for_another(site, old) in site.workers()
    assert not is_alive(old)


@line("LIF-05")
def test_requests_that_come_while_a_killed_worker_is_replaced_wait_and_succeed(new_daemon):
    site = new_daemon().start()
    app = site.script(HELLO)
    assert app.get().body == b"hello"
    site.log.expect(DIED)
    os.kill(site.process(), signal.SIGKILL)
    for _ in range(20):
        assert app.get().body == b"hello"


@ours
@line("IMP-05", "PY-123")
def test_a_worker_that_dies_within_a_response_breaks_the_transfer(new_daemon):
    site = new_daemon().start()
    app = site.script(
        "import os\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])(b'began')\n"
        "    os._exit(1)\n"
    )
    site.log.expect(DIED)
    site.log.expect("WSGI0119")
    site.log.expect(BROKEN)
    with site.connect() as connection:
        connection.send_request("GET", app.url)
        connection.head()
        assert connection.chunk() == b"began"
        assert connection.rest() == b""


@ours
@line("IMP-17")
def test_an_application_that_ends_its_process_at_every_load_is_not_started_at_full_speed(new_daemon):
    site = new_daemon().start()
    app = site.script("import os\nos._exit(7)\n")
    site.log.expect(f"{DIED}.*exit status 7", times=2)
    site.log.expect(BROKEN, times=2)
    site.log.expect("WSGI0371")
    seen = [app.get().status for _ in range(8)]
    # The second process follows the first at once.
    assert seen[:2] == [502, 502] and set(seen[2:]) <= {502, 503} and 503 in seen
    # 1, 2, 4 … seconds lie between the second and later starts.
    assert len(site.log.matching(DIED)) <= 6


@ours
@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_a_supervisor_that_dies_is_replaced_and_the_group_serves_again(new_daemon, name):
    site = new_daemon().start()
    app = site.script(HELLO)
    assert app.get().body == b"hello"
    old = site.supervisor()
    site.log.expect("WSGI0390")
    os.kill(old, getattr(signal, name))
    # Children wait for the next one.
    assert app.get().status == 200
    wait_until(lambda: site.supervisor() not in (None, old), "another supervisor", timeout=20)
    assert app.get().status == 200


@ours
def test_after_the_supervisor_was_killed_every_application_group_is_served_again(new_daemon):
    """Children of httpd know the places of the dead one's workers, and its successor knows no names."""
    site = new_daemon().start()
    apps = [site.script(HELLO, mount) for mount in ("main", "sub")]
    assert [app.get().body for app in apps] == [b"hello"] * 2
    site.log.expect("WSGI0390", times=3)
    for _ in range(3):
        old = site.supervisor()
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: site.supervisor() not in (None, old), "another supervisor", timeout=20)  # noqa: B023
        for app in reversed(apps):
            assert app.get().body == b"hello"


@ours
def test_places_that_a_group_has_left_cost_httpds_child_no_descriptors(new_daemon):
    """A supervisor's successor has its workers elsewhere, and the old places stay empty."""
    site = new_daemon().start()
    app = site.script(HELLO)
    assert app.get().body == b"hello"
    child = site.child()
    count = lambda: len(sockets_of(child) & unix_sockets())  # noqa: E731
    kept = count()
    site.log.expect("WSGI0390", times=3)
    for _ in range(3):
        old = site.supervisor()
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: site.supervisor() not in (None, old), "another supervisor", timeout=20)  # noqa: B023
        assert app.get().body == b"hello"
        wait_until(lambda: count() == kept, f"{kept} connections to workers again")
    assert site.child() == child


@ours
def test_httpd_that_is_stopped_while_it_waits_with_the_next_supervisor_leaves_nothing(new_daemon):
    site = new_daemon().start()
    assert site.script(HELLO).get().body == b"hello"
    site.log.allow("WSGI0390")

    def has_given_up():
        return site.log.matching("trying again in some seconds")

    # Three that died young in a row; on a busy machine one may have grown older.
    for _ in range(12):
        if has_given_up():
            break
        old = site.supervisor()
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: has_given_up() or site.supervisor() not in (None, old), "httpd to see it", timeout=20)  # noqa: B023
    assert has_given_up() and site.sockets()
    site.stop()


@ours
def test_a_supervisor_that_hangs_at_a_reload_is_replaced(new_daemon):
    site = new_daemon("threads=4").start()
    app = site.script(HELLO)
    assert app.get().body == b"hello"
    old = site.supervisor()
    os.kill(old, signal.SIGSTOP)
    site.door = daemon("threads=3")
    site.configure("")
    site.log.expect("WSGI0377.*is killed and another one started")
    os.kill(site.pid(), signal.SIGUSR1)
    began = time.monotonic()
    wait_until(lambda: site.supervisor() not in (None, old), "another supervisor", timeout=40)
    # Five seconds to answer, and none to end.
    assert time.monotonic() - began < 9
    wait_until(lambda: app.get().status == 200, "an answer", timeout=30)


@ours
def test_httpds_parent_does_not_wait_for_a_hung_supervisor_to_read_a_long_configuration(new_daemon):
    site = new_daemon("threads=4").start()
    old = site.supervisor()
    os.kill(old, signal.SIGSTOP)
    # More than fits into a socket's buffer.
    group = "WSGIDaemonProcess more{} threads=0 python-path=/" + "x" * 7500 + "\n"
    site.configure("".join(group.format(number) for number in range(32)))
    # So many processes take their time to end.
    site.log.allow("WSGI03(01|14|51)")
    site.log.expect("WSGI0377")
    os.kill(site.pid(), signal.SIGUSR1)
    wait_until(lambda: site.supervisor() not in (None, old), "another supervisor", timeout=9)
    site.log.wait_for("resuming normal operations")


@ours
def test_a_request_that_runs_when_the_supervisor_is_killed_is_finished(new_daemon):
    site = new_daemon().start()
    gated = Gated(site)
    site.log.expect("WSGI0390")
    with gated.begin("one") as connection:
        old = site.supervisor()
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: site.supervisor() not in (None, old), "another supervisor", timeout=20)
        gated.open("one")
        assert connection.response().status == 200


@ours
def test_signals_for_reloading_sent_to_the_supervisor_change_nothing(new_daemon):
    site = new_daemon().start()
    worker, supervisor = site.process(), site.supervisor()
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE):
        os.kill(supervisor, number)
    assert site.process() == worker
    assert site.supervisor() == supervisor


@ours
@line("IMP-20")
def test_when_httpd_is_killed_supervisor_workers_and_sockets_disappear(new_daemon):
    site = new_daemon("processes=2 threads=2").start()
    assert site.process() in site.workers()
    children = site.children()
    site.kill()
    # The MPM's children of a killed parent are left to whoever has adopted them.
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    site.assert_nothing_is_left()


PARTS = ("worker", "supervisor", "httpd")


@ours
@pytest.mark.parametrize("order", list(itertools.permutations(PARTS)), ids="-".join)
def test_nothing_is_left_when_the_parts_are_killed_in_any_order(new_daemon, order):
    site = new_daemon().start()
    assert Puppet(site).value("1") == 1
    # Those who are still there say who has died, if they come to it; the next start finds the pid file.
    site.log.allow("AH00098")
    if order.index("worker") < order.index("supervisor"):
        site.log.allow(DIED)
    if order.index("supervisor") < order.index("httpd"):
        site.log.allow("WSGI0390")
    pids = {"worker": site.process(), "supervisor": site.supervisor()}
    children = site.children()
    for part in order:
        if part == "httpd":
            site.kill()
            continue
        try:
            os.kill(pids[part], signal.SIGKILL)
        except ProcessLookupError:
            pass  # It went with the one before.
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not adopted(), "supervisor and workers to end")
    # They hold the port.
    wait_until(lambda: not any(map(is_alive, children)), "httpd's children to end")
    if site.sockets():
        # Whoever could remove them has been killed: the next start does (docs/daemon.md).
        left = site.sockets()
        site.start()
        wait_until(lambda: not set(left) & set(site.sockets()), "the sockets to be swept")
        wait_until(lambda: site.script(HELLO).get().status == 200, "an answer")
        site.stop()


@ours
def test_nothing_is_left_when_httpd_is_stopped_before_a_killed_supervisor_is_replaced(new_daemon):
    site = new_daemon().start()
    assert site.process() in site.workers()
    os.kill(site.pid(), signal.SIGSTOP)
    os.kill(site.supervisor(), signal.SIGKILL)
    os.kill(site.pid(), signal.SIGTERM)
    os.kill(site.pid(), signal.SIGCONT)
    site.wait()
    site.assert_nothing_is_left()


@ours
def test_a_fork_of_the_application_does_not_keep_the_group_from_ending(new_daemon):
    site = new_daemon().start()
    puppet = Puppet(site)
    worker = site.process()
    code = "import os, time\nresult = os.fork()\nif result == 0:\n    os.setsid()\n    time.sleep(300)\n    os._exit(0)\n"
    fork = puppet.run(code)
    supervisor = site.supervisor()
    os.kill(site.pid(), signal.SIGTERM)
    try:
        site.wait()
        wait_until(lambda: not is_alive(worker) and not is_alive(supervisor), "worker and supervisor to end")
        wait_until(lambda: not site.sockets(), "the sockets to be removed")
        assert is_alive(fork)
    finally:
        os.kill(fork, signal.SIGKILL)


FORK = "import os, time\nresult = os.fork()\nif result == 0:\n    time.sleep(300)\n    os._exit(0)\n"


@ours
def test_a_fork_of_the_application_does_not_keep_the_connections_of_a_worker_that_dies(new_daemon):
    site = new_daemon("threads=4").start()
    gated, puppet = Gated(site), Puppet(site)
    worker = site.process()
    # One request runs when the application forks, the other comes after it.
    with gated.begin("one") as one:
        fork = puppet.run(FORK)
        try:
            with gated.begin("two") as two:
                site.log.expect(DIED)
                site.log.expect(BROKEN, times=2)
                began = time.monotonic()
                os.kill(worker, signal.SIGKILL)
                assert [one.response().status, two.response().status] == [502, 502]
                # Long before response-socket-timeout.
                assert time.monotonic() - began < 15
                assert is_alive(fork)
        finally:
            os.kill(fork, signal.SIGKILL)


def test_killing_workers_again_and_again_leaks_no_descriptor_of_httpd(new_daemon):
    site = new_daemon().start()
    site.log.expect(DIED, times=3)
    pid = site.process()
    before = descriptors_of(site.pid())
    for _ in range(3):
        os.kill(pid, signal.SIGKILL)
        pid = wait_for_another(site, pid)
    assert descriptors_of(site.pid()) <= before


def test_two_groups_do_not_share_the_fate_of_one(new_httpd):
    site = new_httpd(
        "WSGIDaemonProcess other threads=2 display-name=%{GROUP}\n"
        "WSGIScriptAlias /other/ {scripts}/\n<Location /other>\n  WSGIProcessGroup other\n</Location>\n",
        daemon("threads=2"),
    ).start()
    app = site.script(HELLO)
    site.script("def application(e, s):\n    import os\n    os._exit(9)\n", name="end.wsgi")
    before = site.process()
    site.log.expect(DIED)
    site.log.expect(BROKEN)
    assert site.get("/other/end.wsgi").status == 502
    assert app.get().body == b"hello"
    assert site.process() == before
