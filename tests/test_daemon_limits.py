"""The limits that a process group sets its workers: what ends them, when, and that nobody loses a request by it."""

import os
import signal
import threading
import time

import pytest

from harness import installation
from harness.checklist import line, ours
from harness.condition import wait_until
from harness.messages import BROKEN, expect_of_a_worker
from harness.process import is_alive, is_stopped, sockets_of
from harness.puppet import Gated, Puppet

HELLO = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]
"""
SPIN = "import time\nend = time.monotonic() + 60\nwhile time.monotonic() < end: pass\n"


def wait_for_another(site, old, timeout=15):
    """The pid of the worker that serves in place of `old`."""
    return wait_until(lambda: (pid := site.process()) != old and pid, "another worker", timeout)


def wait_for_other_workers(site, old, timeout=15):
    """Like `wait_for_another`, without a request, which would count as activity."""
    return wait_until(lambda: not set(old) & set(site.workers()) and site.workers(), "other workers", timeout)


@line("OPT-19")
def test_a_worker_is_replaced_after_maximum_requests_and_no_request_fails(new_daemon):
    site = new_daemon("threads=4 maximum-requests=5").start()
    pids = [site.process()]
    # A process goes on until the one that follows it serves (docs/daemon.md), so it may serve more than five.
    wait_until(lambda: pids.append(site.process()) or len(set(pids)) >= 5, "five processes", timeout=30)
    wait_until(lambda: not any(map(is_alive, set(pids[:-1]) - {pids[-1]})), "the old processes to end")
    assert min(pids.count(pid) for pid in set(pids[:-1]) - {pids[-1]}) >= 5


@ours
@line("OPT-19")
def test_a_process_for_each_request_serves_one_and_no_other(new_daemon):
    site = new_daemon("threads=1 maximum-requests=1").start()
    pids = [site.process() for _ in range(6)]
    assert len(set(pids)) == 6


@ours
@line("IMP-10")
def test_maximum_requests_is_kept_under_requests_that_always_overlap(new_daemon):
    site = new_daemon("threads=4 maximum-requests=20 graceful-timeout=2").start()
    app = site.script(
        "import os, time\n"
        "def application(e, s):\n    time.sleep(0.02)\n    s('200 OK', [])\n    return [str(os.getpid()).encode()]\n"
    )
    answers = under_load(app, requests=400)
    assert {status for status, _ in answers} == {200}
    assert len({body for _, body in answers}) >= 4


def under_load(app, requests, threads=4):
    """(status, body) of so many requests, sent by several clients at once; a broken connection is status 0."""
    answers, remaining, lock = [], [requests], threading.Lock()

    def client():
        while True:
            with lock:
                if remaining[0] == 0:
                    return
                remaining[0] -= 1
            try:
                response = app.get()
                answers.append((response.status, response.body))
            except OSError as error:
                answers.append((0, repr(error)))

    clients = [threading.Thread(target=client) for _ in range(threads)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    return answers


@line("OPT-20")
def test_an_idle_worker_is_replaced_after_restart_interval(new_daemon):
    site = new_daemon("threads=2 restart-interval=2").start()
    old = site.process()
    wait_for_other_workers(site, [old])
    assert site.process() != old


@line("OPT-20")
def test_a_busy_worker_is_replaced_after_restart_interval_when_its_request_is_done(new_daemon):
    site = new_daemon("threads=2 restart-interval=2").start()
    gated = Gated(site)
    began = time.monotonic()
    with gated.begin("one") as connection:
        wait_until(lambda: time.monotonic() - began > 4, "restart-interval to be over")
        gated.open("one")
        response = connection.response()
    assert response.status == 200
    wait_until(lambda: not is_alive(int(response.body)), "the old worker to end")


@line("OPT-21")
def test_inactivity_timeout_is_armed_by_the_first_request_and_then_ends_an_idle_worker(new_daemon):
    site = new_daemon("threads=2 inactivity-timeout=2").start()
    wait_until(site.workers, "a worker")
    first = site.workers()
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > 3.5, "more than inactivity-timeout to pass")
    assert site.workers() == first
    old = site.process()
    wait_until(lambda: not is_alive(old), "the idle worker to end")
    assert site.process() != old


@line("OPT-22")
def test_requests_under_ignore_activity_do_not_keep_a_worker(new_daemon):
    site = new_daemon(
        "threads=2 inactivity-timeout=2", "<Location /main/quiet.wsgi>\n  WSGIIgnoreActivity On\n</Location>\n"
    )
    site.start()
    quiet = site.script(HELLO, name="quiet.wsgi")
    old = site.process()

    def is_gone():
        assert quiet.get().status == 200
        return not is_alive(old)

    wait_until(is_gone, "the worker to end under requests that do not count", interval=0.1)


@ours
@line("IMP-39")
def test_a_body_that_is_read_by_lines_for_longer_than_inactivity_timeout_keeps_its_worker(new_daemon):
    site = new_daemon("threads=2 inactivity-timeout=2").start()
    app = site.script(
        "import os\n"
        "def application(environ, start_response):\n"
        "    while environ['wsgi.input'].readline(): pass\n"
        "    start_response('200 OK', [])\n    return [str(os.getpid()).encode()]\n"
    )
    before = site.process()
    with site.connect() as connection:
        connection.send_head("POST", app.url, [("Content-Length", "12")])
        for _ in range(6):
            connection.send(b"x\n")
            last = time.monotonic()
            wait_until(lambda last=last: time.monotonic() - last > 0.7, "some time to pass")
        assert connection.response().body == str(before).encode()


@line("OPT-18")
def test_a_worker_over_its_cpu_time_finishes_its_request_and_is_replaced(new_daemon):
    site = new_daemon("threads=2 cpu-time-limit=1 graceful-timeout=15").start()
    expect_of_a_worker(site.log, "WSGI0346")
    puppet = Puppet(site)
    code = "import os, time\nwhile time.process_time() < 1.6: pass\nresult = os.getpid()"
    old = puppet.run(code)
    wait_until(lambda: not is_alive(old), "the worker to end")
    assert site.process() != old


@ours
@line("IMP-09")
def test_a_worker_over_its_cpu_time_is_replaced_without_a_graceful_timeout_too(new_daemon):
    site = new_daemon("threads=2 cpu-time-limit=1 graceful-timeout=0 shutdown-timeout=10").start()
    expect_of_a_worker(site.log, "WSGI0346")
    puppet = Puppet(site)
    old = site.process()
    # It has shutdown-timeout.
    assert puppet.send("import time\nwhile time.process_time() < 1.6: pass\n").status == 200
    wait_until(lambda: not is_alive(old), "the worker to end")
    assert site.process() != old


@line("OPT-17")
@pytest.mark.parametrize(("option", "limit"), [("memory-limit", "RLIMIT_DATA"), ("virtual-memory-limit", "RLIMIT_AS")])
def test_memory_limits_are_the_kernels_and_an_application_over_one_gets_a_memory_error(new_daemon, option, limit):
    site = new_daemon(f"threads=2 {option}=1500000000").start()
    puppet = Puppet(site)
    assert puppet.value(f"resource.getrlimit(resource.{limit})") == [1_500_000_000] * 2
    code = "try:\n    x = bytearray(2_000_000_000)\nexcept MemoryError:\n    result = 'refused'"
    assert puppet.run(code) == "refused"


@ours
@pytest.mark.parametrize("option", ["memory-limit", "virtual-memory-limit"])
def test_a_memory_limit_that_no_python_can_start_in_is_named(new_daemon, option):
    site = new_daemon(f"{option}=1000000").start()
    # What the loader says of it on some systems.
    site.log.allow("WSGI0371|error while loading shared libraries")
    site.log.expect("WSGI0311.*memory-limit= or virtual-memory-limit= may be too small")
    wait_until(lambda: site.log.matching("WSGI0311"), "a process to fail")
    assert site.script(HELLO).get().status == 503


@line("OPT-23")
def test_a_request_over_request_timeout_ends_its_worker_and_the_log_shows_where_it_was(new_daemon):
    site = new_daemon("threads=1 request-timeout=1 graceful-timeout=1 shutdown-timeout=1").start()
    puppet = Puppet(site)
    old = site.process()
    site.log.expect(f"{BROKEN}.*process {old} has ended: request_timeout" if installation.IS_OURS else BROKEN)
    expect_of_a_worker(site.log, "WSGI0350", "WSGI0351", stacks=True)
    assert puppet.send("def the_slow_one():\n    " + SPIN.replace("\n", "\n    ") + "\nthe_slow_one()").status in (
        502,
        504,
    )
    assert wait_for_another(site, old) != old
    site.log.wait_for("the_slow_one")


@line("OPT-25", "PY-206")
def test_interrupt_timeout_ends_a_request_with_504_and_spares_the_worker(new_daemon):
    site = new_daemon("threads=1 request-timeout=1 interrupt-timeout=10").start()
    puppet = Puppet(site)
    old = site.process()
    expect_of_a_worker(site.log)
    response = puppet.send(SPIN)
    assert response.status == 504
    assert site.process() == old


# An application that is interrupted within its response, once the client has its beginning.
INTERRUPTED = """
import time

def application(environ, start_response):
    start_response("200 OK", [])(b"began")
    end = time.monotonic() + 60
    while time.monotonic() < end:
        pass
"""


@line("OPT-26")
def test_a_request_that_is_interrupted_within_its_response_is_cut_short_and_the_worker_spared(new_daemon):
    site = new_daemon("threads=1 request-timeout=1 interrupt-timeout=10").start()
    app = site.script(INTERRUPTED)
    old = site.process()
    expect_of_a_worker(site.log, "WSGI0119")
    if installation.IS_OURS:
        site.log.expect_exception("mod_wsgi.RequestTimeout")
    with site.connect() as connection:
        connection.send_request("GET", app.url)
        connection.head()
        assert connection.chunk() == b"began"
        if installation.IS_OURS:
            assert connection.rest() == b""  # mod_wsgi ends it as if it were whole.
        else:
            assert connection.chunk() == b""
    assert site.process() == old


@line("PY-207")
def test_a_request_timeout_is_no_exception_that_an_application_catches_by_mistake(new_daemon):
    site = new_daemon("threads=1 request-timeout=1 interrupt-timeout=10").start()
    puppet = Puppet(site)
    expect_of_a_worker(site.log)
    caught = "try:\n    " + SPIN.replace("\n", "\n    ") + "\nexcept Exception:\n    result = 'caught'\n"
    assert puppet.send(caught).status == 504
    assert puppet.value("__import__('mod_wsgi').RequestTimeout.__mro__[1].__name__") == "BaseException"


@line("OPT-24")
def test_one_stuck_request_among_many_threads_has_longer_than_request_timeout(new_daemon):
    """1 + ln(4) is 2.4: so many seconds instead of one."""
    site = new_daemon("threads=4 request-timeout=1 interrupt-timeout=10").start()
    puppet = Puppet(site)
    expect_of_a_worker(site.log)
    puppet.value("None")
    began = time.monotonic()
    assert puppet.send(SPIN).status == 504
    assert 2.2 < time.monotonic() - began < 6


@line("PY-208")
def test_a_request_that_cannot_be_interrupted_ends_its_worker_and_the_others_inside_finish(new_daemon):
    site = new_daemon("threads=2 request-timeout=1 interrupt-timeout=1 graceful-timeout=3 shutdown-timeout=3").start()
    puppet, gated = Puppet(site), Gated(site)
    old = site.process()
    site.log.expect(BROKEN)
    expect_of_a_worker(site.log, "WSGI0350", "WSGI0351", stacks=True)
    with puppet.begin("import time\ntime.sleep(60)") as stuck:
        site.log.wait_for("Injected RequestTimeout")
        # Now, so that it is not over its own time when the worker begins to end.
        with gated.begin("other") as other:
            site.log.wait_for("request time limit exceeded")
            gated.open("other")
            assert other.response().body == str(old).encode()
        assert stuck.response().status in (502, 504)
    wait_until(lambda: not is_alive(old), "the old worker to end")
    assert wait_for_another(site, old) != old


@line("OPT-27")
def test_a_worker_whose_c_code_keeps_the_gil_is_replaced_after_deadlock_timeout(new_daemon):
    site = new_daemon("threads=2 deadlock-timeout=2 shutdown-timeout=1").start()
    old = site.process()
    puppet = Puppet(site)
    site.log.expect(BROKEN)
    expect_of_a_worker(site.log, "WSGI0349", "WSGI0351", stacks=True)
    # PyDLL calls without letting the GIL go.
    assert puppet.send("import ctypes\nctypes.PyDLL(None).sleep(60)").status == 502
    assert wait_for_another(site, old) != old


@ours
@line("IMP-11")
def test_request_timeout_holds_without_a_deadlock_timeout(new_daemon):
    site = new_daemon("threads=1 request-timeout=1 deadlock-timeout=0 graceful-timeout=1 shutdown-timeout=1").start()
    old = site.process()
    site.log.expect(BROKEN)
    expect_of_a_worker(site.log, "WSGI0350", "WSGI0351", stacks=True)
    assert Puppet(site).send(SPIN).status in (502, 504)
    assert wait_for_another(site, old) != old


@line("OPT-28")
def test_a_worker_whose_script_does_not_load_within_startup_timeout_is_replaced(new_daemon):
    site = new_daemon("threads=2 startup-timeout=2 shutdown-timeout=1 graceful-timeout=1").start()
    slow = site.script("import time\ntime.sleep(60)\n")
    wait_until(site.workers, "a worker")
    old = site.workers()
    site.log.expect(BROKEN)
    expect_of_a_worker(site.log, "WSGI0348", "WSGI0351", stacks=True)
    with site.connect() as connection:
        connection.send_request("GET", slow.url)
        wait_for_other_workers(site, old)


@ours
@line("IMP-34")
def test_a_preload_that_hangs_is_found_by_startup_timeout(new_daemon):
    site = new_daemon(
        "threads=2 startup-timeout=2 shutdown-timeout=1",
        "WSGIImportScript {scripts}/slow.wsgi process-group=daemon application-group=%{GLOBAL}\n",
    )
    # Once: the next process is to be a sound one.
    site.root.joinpath("flags").mkdir(mode=0o777)
    site.root.joinpath("flags").chmod(0o777)
    flag = site.root / "flags" / "has-hung"
    site.script(
        f"import os, time\nif not os.path.exists({str(flag)!r}):\n    os.mkdir({str(flag)!r})\n    time.sleep(60)\n" + HELLO,
        name="slow.wsgi",
    )
    expect_of_a_worker(site.log, "WSGI0348", "WSGI0351", stacks=True)
    site.start()
    wait_until(site.workers, "a worker")
    wait_for_other_workers(site, site.workers())


@line("OPT-29")
def test_sigusr1_replaces_an_idle_worker(new_daemon):
    site = new_daemon().start()
    old = site.process()
    os.kill(old, signal.SIGUSR1)
    assert wait_for_another(site, old) != old
    wait_until(lambda: not is_alive(old), "the old worker to end")


@line("OPT-30")
def test_after_sigusr1_the_requests_inside_are_finished(new_daemon):
    site = new_daemon("threads=4").start()
    gated = Gated(site)
    with gated.begin("one") as connection:
        old = site.process()
        os.kill(old, signal.SIGUSR1)
        # Some worker answers meanwhile, the old one or the next.
        assert site.script(HELLO).get().body == b"hello"
        gated.open("one")
        assert connection.response().body == str(old).encode()
    wait_until(lambda: not is_alive(old), "the old worker to end")


@line("OPT-30", "OPT-31")
@pytest.mark.parametrize("options", ["graceful-timeout=2", "graceful-timeout=60 eviction-timeout=2"])
def test_after_sigusr1_a_request_has_until_its_deadline(new_daemon, options):
    site = new_daemon(f"threads=4 shutdown-timeout=1 {options}").start()
    gated = Gated(site)
    site.log.expect(BROKEN)
    expect_of_a_worker(site.log, "WSGI0351")
    with gated.begin("one") as connection:
        old = site.process()
        os.kill(old, signal.SIGUSR1)
        assert connection.response().status == 502
    wait_until(lambda: not is_alive(old), "the old worker to end")
    assert site.process() != old


def outlasts(site, provoke, limit):
    """Whether a request that runs when its process is told to end is answered by it more than `limit` seconds later."""
    gated = Gated(site)
    with gated.begin("one") as connection:
        old = site.process()
        provoke(old)
        began = time.monotonic()
        wait_until(lambda: time.monotonic() - began > limit, "more than all limits, and what is added to them")
        gated.open("one")
        return connection.response().body == str(old).encode()


@line("OPT-30")
def test_after_sigusr1_a_request_has_all_of_graceful_timeout_whatever_shutdown_timeout_is(new_daemon):
    site = new_daemon("threads=4 graceful-timeout=30 shutdown-timeout=1").start()
    assert outlasts(site, lambda worker: os.kill(worker, signal.SIGUSR1), 5)


@ours
@line("LIF-11")
def test_after_a_reload_a_request_of_a_removed_group_has_as_long_as_it_needs(new_daemon):
    site = new_daemon("threads=4 graceful-timeout=1 shutdown-timeout=1").start()

    def remove(_worker):
        site.configure("")
        site.graceful()

    assert outlasts(site, remove, 5)


@ours
@line("IMP-12")
def test_without_a_graceful_timeout_a_busy_worker_ends_within_shutdown_timeout_of_sigusr1(new_daemon):
    site = new_daemon("threads=4 graceful-timeout=0 shutdown-timeout=2").start()
    gated = Gated(site)
    site.log.expect(BROKEN)
    expect_of_a_worker(site.log, "WSGI0351")
    with gated.begin("one") as connection:
        old = site.process()
        os.kill(old, signal.SIGUSR1)
        assert connection.response().status == 502
    wait_until(lambda: not is_alive(old), "the old worker to end")


@line("OPT-32")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_sigterm_and_sigint_let_a_request_finish_within_shutdown_timeout(new_daemon, number):
    site = new_daemon("threads=4 shutdown-timeout=10").start()
    gated = Gated(site)
    with gated.begin("one") as connection:
        old = site.process()
        os.kill(old, number)
        gated.open("one")
        assert connection.response().body == str(old).encode()
    wait_until(lambda: not is_alive(old), "the old worker to end")
    assert site.process() != old


@line("OPT-32")
def test_a_request_longer_than_shutdown_timeout_is_cut_off_after_sigterm(new_daemon):
    site = new_daemon("threads=4 shutdown-timeout=1").start()
    gated = Gated(site)
    site.log.expect(f"{BROKEN}.*has ended: shutdown_signal" if installation.IS_OURS else BROKEN)
    expect_of_a_worker(site.log, "WSGI0351")
    with gated.begin("one") as connection:
        os.kill(site.process(), signal.SIGTERM)
        assert connection.response().status == 502


@line("OPT-33")
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2], ids=lambda number: number.name)
def test_sighup_and_sigusr2_do_not_end_a_worker(new_daemon, number):
    site = new_daemon().start()
    before = site.process()
    for _ in range(5):
        os.kill(before, number)
        assert site.process() == before


@line("OPT-34")
def test_a_request_that_waited_longer_than_queue_timeout_gets_504_and_is_not_run(new_daemon):
    site = new_daemon("threads=1 queue-timeout=1").start()
    gated = Gated(site)
    site.log.expect("WSGI0084")
    with gated.begin("first") as first, gated.send("second") as second:
        began = time.monotonic()
        wait_until(lambda: time.monotonic() - began > 2, "queue-timeout to be over")
        gated.open("first")
        assert first.response().status == 200
        assert second.response().status == 504
    assert not gated.has_begun("second")


@line("OPT-37")
def test_without_a_socket_timeout_httpds_timeout_holds(new_daemon):
    site = new_daemon("threads=2", "Timeout 2\n").start()
    gated = Gated(site)
    site.log.expect("WSGI014")
    began = time.monotonic()
    with gated.begin("one") as connection:
        assert connection.response().status == 504
        assert 1.5 < time.monotonic() - began < 10
        gated.open("one")


@line("OPT-36")
def test_an_answer_that_takes_longer_than_socket_timeout_is_504(new_daemon):
    site = new_daemon("threads=2 socket-timeout=1").start()
    gated = Gated(site)
    site.log.expect("WSGI0145")
    expect_of_a_worker(site.log)
    with gated.begin("one") as connection:
        assert connection.response().status == 504
    gated.open("one")


@ours
@line("IMP-08")
def test_a_request_whose_client_left_while_it_waited_is_not_run(new_daemon):
    site = new_daemon("threads=1").start()
    gated = Gated(site)
    with gated.begin("first") as first:
        child = site.child()
        before = sockets_of(child)
        second = gated.send("second")
        # Its client's, and the one to the process.
        wait_until(lambda: len(sockets_of(child) - before) == 2, "the second request to wait for the process")
        second.reset()
        wait_until(lambda: sockets_of(child) == before, "httpd to see that its client has left")
        with gated.send("third") as third:
            gated.open("third")
            gated.open("first")
            assert first.response().status == 200
            assert third.response().status == 200
    assert not gated.has_begun("second")


@ours
@line("IMP-07")
def test_a_request_whose_client_got_504_while_it_waited_is_not_run(new_daemon):
    site = new_daemon("threads=1 socket-timeout=1").start()
    gated = Gated(site)
    site.log.expect("WSGI0145", times=2)
    expect_of_a_worker(site.log)
    with gated.begin("first") as first, gated.send("second") as second:
        assert (first.response().status, second.response().status) == (504, 504)
    gated.open("first")
    assert site.process() > 0
    assert not gated.has_begun("second")


@line("LIF-17")
def test_a_group_serves_as_many_requests_at_once_as_processes_times_threads(new_daemon):
    site = new_daemon("processes=2 threads=3").start()
    gated = Gated(site)
    connections = [gated.send(f"r{number}") for number in range(6)]
    wait_until(lambda: all(gated.has_begun(f"r{number}") for number in range(6)), "six requests inside")
    for number in range(6):
        gated.open(f"r{number}")
    bodies = [connection.response().body for connection in connections]
    assert sorted(map(bodies.count, set(bodies))) == [3, 3]
    for connection in connections:
        connection.close()


@line("OPT-35")
def test_requests_that_find_no_room_in_the_backlog_are_503_after_connect_timeout(new_daemon):
    site = new_daemon("threads=1 listen-backlog=1 connect-timeout=2").start()
    gated = Gated(site)
    names = [f"r{number}" for number in range(7)]
    site.log.expect("WSGI0116")
    with gated.begin("first") as first:
        waiting = [gated.send(name) for name in names]
        site.log.wait_for("WSGI0116")
        for name in ("first", *names):
            gated.open(name)
        assert first.response().status == 200
        statuses = [connection.response().status for connection in waiting]
    assert set(statuses) == {200, 503}
    for connection in waiting:
        connection.close()


def test_a_worker_that_is_stopped_is_504_after_socket_timeout_and_goes_on_when_it_may(new_daemon):
    site = new_daemon("threads=2 socket-timeout=1").start()
    app = site.script(HELLO)
    assert app.get().body == b"hello"
    pid = site.process()
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: is_stopped(pid), "every thread to stop")
    try:
        site.log.expect("WSGI0145")
        expect_of_a_worker(site.log)
        assert app.get().status == 504
    finally:
        os.kill(pid, signal.SIGCONT)
    assert app.get().body == b"hello"
