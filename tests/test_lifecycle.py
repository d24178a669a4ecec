"""Start, graceful, restart, stop: nothing crashes, atexit runs, threads are joined, nothing is left."""

import contextlib
import os
import pwd
import re
import subprocess
import threading

import pytest

from harness import installation
from harness.checklist import embedded_only, line, ours, ours_in_daemon, smoke
from harness.condition import wait_until
from harness.process import children_of, descriptors_of

HELLO = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]
"""

BUSY = (
    """
import atexit, threading, time

def work():
    n = 0
    while True:
        n += sum(range(1000))
        time.sleep(0.0005)

for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
"""
    + HELLO
)


@contextlib.contextmanager
def running_request(site):
    """A request that has begun its response when the block begins, and is let go on, and is whole, when it ends."""
    app = site.script(
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])(b'began')\n"
        "    environ['wsgi.input'].read(1)\n"
        "    return [b'done']\n"
    )
    with site.connect() as connection:
        connection.send_head("POST", app.url, [("Content-Length", "1")])
        connection.head()
        assert connection.chunk() == b"began"
        yield
        connection.send(b"x")
        assert connection.chunk() == b"done"
        assert connection.chunk() == b""


@smoke
@line("LIF-11")
def test_a_graceful_restart_puts_a_new_configuration_in_force(new_site):
    site = new_site().start()
    app = site.script(HELLO)
    assert app.get().body == b"hello"
    before = site.child()
    site.configure("Alias /new {root}/htdocs\n")
    (site.root / "htdocs" / "x.txt").write_text("new")
    site.graceful()
    assert site.get("/new/x.txt").body == b"new"
    wait_until(lambda: before not in site.children(), "the old child to end")
    assert app.get().body == b"hello"


@ours_in_daemon
@line("LIF-11")
def test_a_request_that_runs_during_graceful_restarts_is_finished(new_site):
    site = new_site().start()
    with running_request(site):
        for _ in range(2):
            site.graceful()
            assert site.script(HELLO).get().body == b"hello"


@ours_in_daemon
@line("LIF-12")
def test_graceful_stop_lets_a_request_finish(new_site):
    site = new_site().start()
    with running_request(site):
        site.begin_graceful_stop()
        site.log.wait_for("AH00492")
    site.wait()
    site.assert_nothing_is_left()


@embedded_only("test_daemon_httpd.py has it with requests all along")
@line("CFG-38")
def test_twenty_graceful_restarts_leak_no_descriptor_of_the_parent(new_site, door):
    site = new_site("WSGIImportScript {scripts}/1.wsgi process-group=%{GLOBAL} application-group=sub\n")
    app = site.script(HELLO)
    site.start()
    site.graceful()
    before = descriptors_of(site.pid())
    if door.is_daemon and not installation.IS_OURS:
        # A child of the old generation may have got the request, whose group's socket is gone.
        site.log.allow("WSGI0117")
    for _ in range(20):
        site.graceful()
        response = app.get()
        assert response.body == b"hello" or door.is_daemon and not installation.IS_OURS and response.status == 503
    assert descriptors_of(site.pid()) <= before


@ours
@line("LIF-19")
def test_200_graceful_restarts_with_background_threads_crash_nothing(new_site):
    """Of the main interpreter and of a sub-interpreter. The log's watcher fails on any `exit signal` of a child."""
    site = new_site().start()
    apps = [site.script(BUSY, mount) for mount in ("main", "sub")]
    for _ in range(200):
        for app in apps:
            assert app.get().body == b"hello"
        site.graceful()
    wait_until(lambda: len(site.children()) == 1, "the old children to end")


@line("LIF-19")
def test_full_restarts_with_background_threads_crash_nothing(new_site):
    site = new_site().start()
    # mpm_event says this of connections that end while it stops.
    site.log.allow("AH03093")
    app = site.script(BUSY)
    for _ in range(5):
        assert app.get().body == b"hello"
        site.restart()
    assert app.get().body == b"hello"


ATEXIT = "import atexit\natexit.register(print, 'atexit of', __name__[:9])\n" + HELLO


@line("LIF-19", "PY-189")
@pytest.mark.parametrize("mount", ["main", "sub"])
@pytest.mark.parametrize(
    "end", ["stop", *(pytest.param(end, marks=embedded_only("a group goes on")) for end in ("graceful", "restart"))]
)
def test_atexit_functions_run_when_a_child_ends(new_site, mount, end):
    site = new_site().start()
    assert site.script(ATEXIT, mount).get().body == b"hello"
    getattr(site, end)()
    site.log.expect("atexit of _mod_wsgi")
    site.log.wait_for("atexit of _mod_wsgi")


@line("PY-209")
@pytest.mark.parametrize("mount", ["main", pytest.param("sub", marks=ours)])
def test_a_non_daemon_thread_is_joined_before_atexit_functions_run(new_site, mount):
    site = new_site().start()
    app = site.script(
        "import atexit, threading, time\n"
        "atexit.register(print, 'then atexit')\n"
        "def work():\n    time.sleep(0.3)\n    print('first the thread')\n"
        "def application(e, s):\n"
        "    threading.Thread(target=work, daemon=False).start()\n"
        "    s('200 OK', [])\n    return [b'hello']\n",
        mount,
    )
    assert app.get().body == b"hello"
    site.stop()
    site.log.expect("first the thread")
    site.log.expect("then atexit")
    messages = [record.message for record in site.log.matching("first the thread|then atexit")]
    assert ["first" in message for message in messages] == [True, False]


@embedded_only("a worker has its shutdown-timeout")
@ours
@line("PY-209")
def test_a_thread_that_does_not_end_delays_the_end_of_a_child_only_within_a_limit(new_site):
    site = new_site().start()
    app = site.script(
        "import threading\n"
        "def application(e, s):\n"
        "    threading.Thread(target=threading.Event().wait, daemon=False).start()\n"
        "    s('200 OK', [])\n    return [b'hello']\n"
    )
    assert app.get().body == b"hello"
    site.log.expect("WSGI0306")
    site.log.allow("AH0004[56]")
    site.stop(timeout=20)


@ours
@pytest.mark.parametrize(
    "hang",
    [
        "threading.Thread(target=threading.Event().wait, daemon=False).start()",
        "atexit.register(threading.Event().wait)",
    ],
    ids=["thread", "atexit function"],
)
@embedded_only("a worker has its shutdown-timeout")
def test_one_interpreter_that_does_not_end_costs_the_others_no_exit_function(new_site, hang):
    """The main interpreter's turn comes last. (One that computes without a pause is another matter: up to Python 3.11 it
    lets go of the GIL for threads of its own interpreter only.)
    """
    site = new_site("WSGIScriptAlias /other {scripts}/end.wsgi application-group=other\n").start()
    stuck = site.script(f"import atexit, threading\n{hang}\n" + HELLO, "sub")
    end = site.script("import atexit\natexit.register(print, 'an end')\n" + HELLO, name="end.wsgi")
    assert [site.get(url).body for url in (stuck.url, "/other", end.url)] == [b"hello"] * 3
    site.log.expect("an end", times=2)
    site.log.expect("WSGI0306")
    site.log.allow("AH0004[56]")
    site.stop(timeout=20)


def test_an_exception_in_an_atexit_function_is_logged_and_the_others_run(new_site):
    site = new_site().start()
    app = site.script(
        "import atexit\natexit.register(print, 'the other one')\n"
        "@atexit.register\ndef fail():\n    raise ValueError('at exit')\n" + HELLO
    )
    assert app.get().body == b"hello"
    site.stop()
    site.log.expect("the other one")
    site.log.expect_traceback("ValueError: at exit")
    site.log.allow("Exception ignored|Error in atexit|function fail")


@line("LIF-13")
def test_stop_leaves_no_process_and_no_file_but_logs(new_site):
    site = new_site().start()
    app = site.script(HELLO)
    assert app.get().body == b"hello"
    before = set(os.listdir(site.root))
    site.stop()
    assert set(os.listdir(site.root)) <= before


@ours
def test_the_parent_never_starts_python(new_site):
    site = new_site().start()
    assert site.script(HELLO).get().body == b"hello"
    with open(f"/proc/{site.pid()}/maps") as maps:
        assert "libpython" not in maps.read()


@ours
@smoke
def test_the_module_links_no_libpython():
    listing = subprocess.run(["ldd", installation.WSGI_MODULE], capture_output=True, text=True, check=True).stdout
    assert "libc.so" in listing
    assert "libpython" not in listing and "not found" not in listing


@embedded_only("test_daemon_httpd.py has httpd -X with a group")
@line("LIF-20")
def test_httpd_x_serves_requests_in_a_single_process(new_site):
    site = new_site()
    app = site.script(HELLO)
    multithread = site.script(
        "def application(e, s):\n    s('200 OK', [])\n    return [repr(e['wsgi.multithread']).encode()]\n"
    )
    site.start(single_process=True)
    assert app.get().body == b"hello"
    assert multithread.get().body == b"True"
    assert not children_of(site.pid())


@embedded_only("a worker has no terminal")
def test_under_httpd_x_standard_output_stays_the_terminal(new_site):
    site = new_site()
    app = site.script("def application(e, s):\n    print('to the terminal', flush=True)\n    s('200 OK', [])\n    return []\n")
    site.start(single_process=True)
    assert app.get().status == 200
    assert "to the terminal" in (site.root / "stdout").read_text()
    assert not site.log.matching("to the terminal")


@embedded_only("a group's flags do not depend on the MPM: test_daemon_identity.py")
@line("LIF-21", "PY-31", "PY-32")
@pytest.mark.parametrize(
    ("mpm", "multithread", "multiprocess"), [("event", True, False), ("worker", True, False), ("prefork", False, True)]
)
@pytest.mark.parametrize("mount", ["main", "sub"])
def test_each_mpm_serves_with_its_flags(new_site, mpm, multithread, multiprocess, mount):
    site = new_site(mpm=mpm).start()
    app = site.script(
        "import json\ndef application(e, s):\n    body = e['wsgi.input'].read()\n    s('200 OK', [])\n"
        "    flags = [e['wsgi.multithread'], e['wsgi.multiprocess'], e['wsgi.run_once']]\n"
        "    return [json.dumps([*flags, len(body)]).encode()]\n",
        mount,
    )
    assert app.json() == [multithread, multiprocess, False, 0]
    assert app.post(b"x" * 100_000).text == str([multithread, multiprocess, False, 100_000]).replace("T", "t").replace(
        "F", "f"
    )
    with site.connect() as connection:
        for _ in range(20):
            assert connection.get(app.url).status == 200
    site.graceful()
    assert app.json() == [multithread, multiprocess, False, 0]


@embedded_only("a group's flags do not depend on the MPM")
@line("PY-31", "PY-32")
@pytest.mark.parametrize("mpm", ["event", "worker"])
@pytest.mark.parametrize(("threads", "children"), [(1, 1), (1, 2), (2, 2)])
def test_the_flags_say_how_many_threads_and_children_there_may_be(new_site, mpm, threads, children):
    site = new_site(
        f"StartServers 1\nThreadsPerChild {threads}\nServerLimit {children}\n"
        f"MaxRequestWorkers {threads * children}\n",
        mpm=mpm,
    )
    site.start()
    app = site.script(
        "def application(e, s):\n    s('200 OK', [])\n"
        "    return [repr((e['wsgi.multithread'], e['wsgi.multiprocess'])).encode()]\n"
    )
    assert app.get().text == repr((threads > 1, children > 1))


@embedded_only("test_daemon_limits.py counts a group's threads")
@line("LIF-17")
@pytest.mark.parametrize("mount", ["main", "sub"])
def test_as_many_requests_run_at_once_as_the_child_has_threads(new_site, mount):
    """Each request waits within the application until all of them are there, one for each thread."""
    site = new_site("ThreadsPerChild 6\nMaxRequestWorkers 6\nServerLimit 1\n").start()
    app = site.script(
        "import threading\nmeeting = threading.Barrier(6, timeout=10)\n"
        "def application(e, s):\n    meeting.wait()\n    s('200 OK', [])\n"
        "    return [str(threading.get_ident()).encode()]\n",
        mount,
    )
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(site.connect()) for _ in range(6)]
        for connection in connections:
            connection.send_head("GET", app.url)
        responses = [connection.response() for connection in connections]
    assert [response.status for response in responses] == [200] * 6
    assert len({response.body for response in responses}) == 6


@ours_in_daemon
@line("LIF-21")
@pytest.mark.parametrize("mpm", ["event", "worker", "prefork"])
def test_each_mpm_survives_concurrent_requests_and_graceful_restarts(new_site, mpm):
    site = new_site(mpm=mpm).start()
    # Prefork's and the other MPMs' word for having no more to give.
    site.log.allow("AH00161|AH00484")
    apps = [site.script(HELLO, mount) for mount in ("main", "sub")]
    for app in apps:
        assert app.get().body == b"hello"
    failures = []
    stop = threading.Event()
    # With 503 here a child once ended under its requests: httpd's handler of SIGTERM had been replaced by an older one.

    def load(app):
        while not stop.is_set():
            try:
                response = app.get()
            except OSError as error:
                failures.append(repr(error))
                continue
            if response.body != b"hello":
                failures.append(response.body)

    threads = [threading.Thread(target=load, args=(app,)) for app in apps * 2]
    for thread in threads:
        thread.start()
    try:
        for _ in range(4):
            site.graceful()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures, (failures[:5], [record.text for record in site.log.matching("answering 50")][:5])


@ours_in_daemon
@line("LIF-22")
@pytest.mark.parametrize("identity", ["", "User #1\nGroup #1\n"], ids=["no User", "another User"])
@pytest.mark.parametrize("mount", ["main", pytest.param("sub", marks=ours)])
def test_an_ordinary_user_can_start_httpd_and_is_who_the_application_runs_as(new_site, identity, mount):
    account = installation.run_as() or pwd.getpwuid(os.geteuid()).pw_name
    site = new_site(identity, user=installation.run_as()).start()
    app = site.script(
        "import os\n"
        "def application(e, s):\n    s('200 OK', [])\n    return [repr((os.getuid(), os.getgid())).encode()]\n",
        mount,
    )
    names = pwd.getpwnam(account)
    assert app.get().text == repr((names.pw_uid, names.pw_gid))
    site.graceful()
    assert app.get().text == repr((names.pw_uid, names.pw_gid))


@embedded_only("a worker has its shutdown-timeout")
@ours
@pytest.mark.parametrize("doing", ["environ['wsgi.input'].read()", "any(iter(int, 1))", "threading.Event().wait()"])
@pytest.mark.parametrize("mount", ["main", "sub"])
def test_prefork_stops_at_once_and_quietly_within_a_request(new_site, mount, doing):
    """The log's watcher fails on WSGI0306, and on httpd's own complaint of a child that does not end."""
    site = new_site(mpm="prefork").start()
    app = site.script(
        "import threading\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])(b'began')\n"
        f"    {doing}\n"
        "    return []\n",
        mount,
    )
    with site.connect() as connection:
        connection.send_head("POST", app.url, [("Content-Length", "1")])
        connection.head()
        assert connection.chunk() == b"began"
        site.stop()
        assert connection.rest() == b""


@embedded_only("the numbers are those of httpd's children")
@line("PY-176")
def test_the_apache_modules_attributes_say_what_httpd_is(new_site):
    site = new_site().start()

    def application(environ, start_response):
        import json

        import apache
        import mod_wsgi

        facts = [
            list(apache.version),
            apache.description,
            apache.build_date,
            apache.mpm_name,
            apache.maximum_processes,
            apache.threads_per_process,
            mod_wsgi.maximum_processes,
            mod_wsgi.threads_per_process,
        ]
        start_response("200 OK", [])
        return [json.dumps(facts).encode()]

    version, description, build_date, mpm_name, *numbers = site.serve(application).json()
    assert f"Apache/{'.'.join(map(str, version))}" in description
    assert re.search(r"\d{4}", build_date)
    assert mpm_name == "event"
    assert numbers == [1, 12, 1, 12]
