"""Events: what subscribers are told of requests and of the process, and what they can change."""

import json
import os
import re
import signal

import pytest

from harness import installation
from harness.checklist import both_interpreters, embedded_only, line, ours
from harness.condition import wait_until
from harness.door import DAEMON
from harness.http1 import Incomplete

pytestmark = both_interpreters

# Keeps what is told of its own requests but those for /seen, which tell it.
RECORDER = """
import json, os, threading, traceback
import mod_wsgi

seen, served = [], set()

def note(name, **payload):
    seen.append((name, payload))

# Another test's script may have left its own here.
mod_wsgi.event_callbacks.clear()
mod_wsgi.subscribe_events(note)

def shown(value):
    if isinstance(value, (str, int, float, type(None))):
        return value
    if isinstance(value, (list, tuple)):
        return [shown(item) for item in value]
    if isinstance(value, dict):
        return {key: shown(item) for key, item in value.items()}
    return type(value).__name__

def application(environ, start_response):
    if environ["PATH_INFO"] == "/seen":
        told = [[name, shown(payload)] for name, payload in seen if payload.get("request_id") in served]
        start_response("200 OK", [])
        return [json.dumps(told).encode()]
    served.add(environ["mod_wsgi.request_id"])
    return serve(environ, start_response)
"""

PLAIN = """
def serve(environ, start_response):
    environ["wsgi.input"].read()
    start_response("201 Created", [("X-Id", environ["mod_wsgi.request_id"])])
    return [b"hello"]
"""

STARTED = {
    "request_id", "thread_id", "daemon_connects", "daemon_restarts", "server_pid", "request_start", "queue_start",
    "daemon_start", "application_start", "application_object", "callable_object", "request_environ", "request_data",
}  # fmt: skip
RESPONDED = {"request_id", "response_status", "response_headers", "exception_info", "request_data"}
RAISED = {"request_id", "exception_info", "request_data"}
FINISHED = {
    "request_id", "thread_id", "server_pid", "request_start", "queue_start", "daemon_start", "application_finish",
    "application_time", "input_reads", "input_length", "input_time", "output_length", "output_writes", "output_time",
    "status", "gil_wait_time", "gil_wait_count", "request_data",
}  # fmt: skip
CPU = {"cpu_user_time", "cpu_system_time", "cpu_time"}


def told(app, request_id=None):
    """The events of one request, or of the one request that there was, when its last one has come."""

    def look():
        events = app.json("/seen")
        ids = {payload["request_id"] for name, payload in events if name == "request_started"}
        mine = [event for event in events if request_id in (None, event[1]["request_id"])]
        assert request_id or len(ids) <= 1
        return mine if any(name == "request_finished" for name, _ in mine) else None

    return wait_until(look, "the request's last event")


@line("PY-181")
def test_a_request_starts_responds_and_finishes_with_the_documented_keys(script, door):
    app = script(RECORDER + PLAIN)
    app.get()
    response = app.post(b"x" * 1000)
    events = told(app, response.header("X-Id"))
    assert [name for name, _ in events] == ["request_started", "response_started", "request_finished"]
    started, responded, finished = (payload for _, payload in events)
    assert set(started) == STARTED
    assert set(responded) == RESPONDED
    assert set(finished) == FINISHED | CPU
    assert started["callable_object"] == "application" and started["application_object"] == "function"
    assert started["request_environ"]["REQUEST_METHOD"] == "POST"
    assert responded["response_status"] == "201 Created" and responded["exception_info"] is None
    assert responded["response_headers"] == [["X-Id", response.header("X-Id")]]
    assert (finished["status"], finished["input_length"], finished["output_length"]) == (201, 1000, 5)
    assert finished["input_reads"] >= 1 and finished["output_writes"] == 1
    assert started["thread_id"] == finished["thread_id"] == started["request_environ"]["mod_wsgi.thread_id"]
    assert str(started["server_pid"]) == started["request_environ"]["mod_wsgi.server_pid"]
    assert finished["server_pid"] == started["server_pid"]
    times = ["request_start", "queue_start", "daemon_start", "application_start"]
    if not door.is_daemon:
        assert [started[name] for name in times[1:3]] == [0.0, 0.0]
        times[1:3] = []
    moments = [started[name] for name in times] + [finished["application_finish"]]
    assert all(isinstance(moment, float) for moment in moments) and moments == sorted(moments)
    assert 0 <= finished["application_time"] <= finished["application_finish"] - finished["request_start"] + 0.001
    assert finished["cpu_time"] == pytest.approx(finished["cpu_user_time"] + finished["cpu_system_time"])


@line("PY-181")
def test_the_request_that_subscribes_while_it_loads_the_script_is_told_of(script):
    app = script(RECORDER + PLAIN)
    app.post(b"x" * 10)
    events = told(app)
    assert [name for name, _ in events] == ["request_started", "response_started", "request_finished"]
    finished = events[-1][1]
    assert (finished["input_length"], finished["output_length"]) == (10, 5)


@ours
@line("PY-181")
def test_times_of_reading_writing_and_processing_are_those_that_it_took(script, site):
    app = script(
        RECORDER + "import time\ndef serve(environ, start_response):\n"
        "    environ['wsgi.input'].read()\n    start_response('200 OK', [('X-Id', environ['mod_wsgi.request_id'])])\n"
        "    end = time.thread_time() + 0.05\n"
        "    while time.thread_time() < end: pass\n"
        "    return [b'hello']\n"
    )
    app.get()
    with site.connect() as connection:
        connection.send_head("POST", app.url, [("Content-Length", "4"), ("Expect", "100-continue")])
        connection.interim()
        wait_until(lambda began=wait_until(_now, "the clock"): _now() - began > 0.2, "the body to be late")
        connection.send(b"body")
        response = connection.response()
    finished = told(app, response.header("X-Id"))[-1][1]
    assert 0.15 < finished["input_time"] < finished["application_time"]
    assert 0.04 < finished["cpu_time"] < finished["application_time"]
    assert finished["output_time"] < finished["application_time"]


def _now():
    import time

    return time.monotonic()


@line("PY-178", "PY-181")
def test_request_data_is_the_same_dict_in_events_and_application(script):
    app = script(
        RECORDER + "def serve(environ, start_response):\n"
        "    assert mod_wsgi.request_data() is seen[-1][1]['request_data']\n"
        "    mod_wsgi.request_data()['mine'] = 1\n"
        "    start_response('200 OK', [])\n    return [b'']\n"
    )
    assert app.get().status == 200
    events = told(app)
    assert events[-1][1]["request_data"] == {"mine": 1}


@line("PY-182")
@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("    raise ValueError('boom')\n", 500),
        ("    start_response('200 OK', [])\n    yield b'x'\n    raise ValueError('boom')\n", 200),
    ],
)
def test_an_exception_is_told_once_with_its_traceback(script, log, body, status):
    app = script(
        RECORDER + "def raised(name, **payload):\n    if name == 'request_exception':\n"
        "        kind, value, tb = payload['exception_info']\n"
        "        payload['request_data']['text'] = ''.join(traceback.format_exception(kind, value, tb))\n"
        "mod_wsgi.subscribe_events(raised)\n"
        f"def serve(environ, start_response):\n{body}"
    )
    log.expect_exception("ValueError: boom")
    log.allow("WSGI0119")
    try:
        # mod_wsgi would wait for another request, the response being whole or not.
        app.get(headers=[("Connection", "close")])
    except Incomplete:
        assert status == 200
    events = told(app)
    assert [name for name, _ in events].count("request_exception") == 1
    (raised,) = [payload for name, payload in events if name == "request_exception"]
    assert set(raised) == RAISED
    assert raised["exception_info"][0] == "type"
    assert "in serve" in raised["request_data"]["text"] and "ValueError: boom" in raised["request_data"]["text"]
    assert events[-1][0] == "request_finished" and events[-1][1]["status"] == status


@line("PY-182")
def test_an_exception_in_close_is_told_and_the_response_stands(script, log):
    app = script(
        RECORDER + "class Body:\n    def __iter__(self): return iter([b'hello'])\n"
        "    def close(self): raise ValueError('late')\n"
        "def serve(environ, start_response):\n    start_response('200 OK', [])\n    return Body()\n"
    )
    log.expect_exception("ValueError: late")
    assert app.get().body == b"hello"
    names = [name for name, _ in told(app)]
    assert names == ["request_started", "response_started", "request_exception", "request_finished"]


@line("PY-183")
def test_a_subscriber_may_put_another_application_in_the_place_of_the_one(script):
    app = script(
        RECORDER + PLAIN + "def wrap(name, **payload):\n"
        "    if name != 'request_started' or payload['request_environ']['PATH_INFO'] == '/seen': return\n"
        "    inner = payload['application_object']\n"
        "    def wrapper(environ, start_response):\n"
        "        return [b'<'] + list(inner(environ, start_response)) + [b'>']\n"
        "    return {'application_object': wrapper}\n"
        "mod_wsgi.subscribe_events(wrap)\n"
    )
    assert app.get().body == b"<hello>"


@line("PY-183")
def test_what_a_subscriber_returns_is_there_for_the_next_one(script):
    app = script(
        RECORDER + PLAIN + "mod_wsgi.event_callbacks.clear()\n"
        "@mod_wsgi.subscribe_events\ndef first(name, **payload):\n    return {'note': 'from the first'}\n"
        "mod_wsgi.subscribe_events(note)\n"
    )
    app.get()
    assert {payload["note"] for _, payload in told(app)} == {"from the first"}


@line("PY-184")
def test_headers_edited_in_place_are_those_of_the_response(script):
    app = script(
        RECORDER + PLAIN + "def edit(name, **payload):\n"
        "    if name == 'response_started': payload['response_headers'].append(('X-Added', 'yes'))\n"
        "mod_wsgi.subscribe_events(edit)\n"
    )
    response = app.get()
    assert response.status == 201 and response.header("X-Added") == "yes"


@line("PY-185")
@pytest.mark.parametrize(("failure", "code"), [("ValueError('boom')", "WSGI0112"), ("SystemExit(3)", "WSGI0190")])
def test_a_subscriber_that_fails_is_logged_and_the_others_are_told(script, log, failure, code):
    app = script(
        RECORDER + PLAIN + "mod_wsgi.event_callbacks.clear()\n"
        "@mod_wsgi.subscribe_events\ndef fail(name, **payload):\n"
        "    if name == 'request_started' and __file__ == payload['request_environ']['SCRIPT_FILENAME']:\n"
        f"        raise {failure}\n"
        "mod_wsgi.subscribe_events(note)\n"
    )
    log.expect(rf"{code}: .*event callback for 'request_started'")
    log.allow("Traceback|File |fail|ValueError|SystemExit|raise")
    assert app.get().status == 201
    assert [name for name, _ in told(app)] == ["request_started", "response_started", "request_finished"]


@line("PY-180")
def test_subscribing_returns_the_subscriber_and_the_lists_are_live(serve):
    def application(environ, start_response):
        import mod_wsgi

        said = []
        for name in ("events", "shutdown"):
            callbacks = getattr(mod_wsgi, {"events": "event_callbacks", "shutdown": "shutdown_callbacks"}[name])

            def callback(name, **payload):
                said.append(name)

            assert isinstance(callbacks, list)
            assert getattr(mod_wsgi, f"subscribe_{name}")(callback) is callback
            assert callbacks[-1] is callback
            callbacks.remove(callback)
        start_response("200 OK", [])
        return [repr(said).encode()]

    assert serve(application).get().text == "[]"


@line("PY-180")
@pytest.mark.parametrize("name", ["subscribe_events", "subscribe_shutdown", "subscribe_signals"])
@pytest.mark.parametrize("arguments", ["()", "(print, print)"])
def test_subscribing_takes_exactly_one_argument(serve, name, arguments):
    def application(environ, start_response):
        import mod_wsgi

        try:
            getattr(mod_wsgi, NAME)(*eval(ARGUMENTS))  # noqa: F821
        except TypeError:
            start_response("200 OK", [])
            return [b"TypeError"]

    assert serve(application, NAME=name, ARGUMENTS=arguments).get().body == b"TypeError"


@ours
@line("PY-180")
def test_what_cannot_be_called_is_no_subscriber(serve):
    def application(environ, start_response):
        import mod_wsgi

        said = []
        for subscribe in (mod_wsgi.subscribe_events, mod_wsgi.subscribe_shutdown, mod_wsgi.subscribe_signals):
            try:
                subscribe(5)
            except TypeError as error:
                said.append(str(error))
        start_response("200 OK", [])
        return ["\n".join(said).encode()]

    assert serve(application).get().text.splitlines() == ["a subscriber must be callable, not int"] * 3


@embedded_only("a worker gets these signals")
@line("PY-187")
def test_subscribing_to_signals_in_embedded_mode_is_ignored_and_said(serve, log):
    def application(environ, start_response):
        import mod_wsgi

        same = mod_wsgi.subscribe_signals(print) is print
        start_response("200 OK", [])
        return [repr((same, mod_wsgi.signal_callbacks)).encode()]

    assert serve(application).get().text == "(True, [])"
    assert log.wait_for("Ignoring.*sign|subscribe_signals.* outside daemon mode").level == "info"


@line("PY-181")
def test_what_was_sent_of_a_stream_and_of_a_file_is_counted(script):
    app = script(
        RECORDER + "import tempfile\ndef serve(environ, start_response):\n"
        "    start_response('200 OK', [('X-Id', environ['mod_wsgi.request_id'])])\n"
        "    if environ['QUERY_STRING'] == 'file':\n"
        "        file = tempfile.TemporaryFile()\n        file.write(b'x' * 5000)\n        file.seek(1000)\n"
        "        return environ['wsgi.file_wrapper'](file)\n"
        "    return iter([b'one', b'', b'three'])\n"
    )
    for query, expected in (("?stream", 8), ("?file", 4000)):
        response = app.get(query)
        assert len(response.body) == expected
        finished = told(app, response.header("X-Id"))[-1][1]
        assert (finished["status"], finished["output_length"]) == (200, expected)
        # mod_wsgi counts a file as no write.
        is_counted = installation.IS_OURS or query == "?stream"
        assert finished["output_writes"] >= is_counted and finished["output_time"] >= 0


@line("PY-181", "PY-182", "PY-206")
def test_an_interrupted_request_finishes_with_504_and_is_no_exception(new_daemon):
    site = new_daemon("threads=1 request-timeout=1 interrupt-timeout=20").start()
    app = site.script(
        RECORDER + "import time\ndef serve(environ, start_response):\n"
        "    end = time.monotonic() + 60\n    while time.monotonic() < end: pass\n"
    )
    assert app.get().status == 504
    events = told(app)
    assert [name for name, _ in events] == ["request_started", "request_finished"]
    assert events[-1][1]["status"] == 504


# -- the process

SIGNALLED = """
import mod_wsgi
told = []

@mod_wsgi.subscribe_signals
def signalled(name, **payload):
    told.append((name, payload))

@mod_wsgi.subscribe_events
def event(name, **payload):
    if name == "process_signal":
        told.append(("event", payload))

def application(environ, start_response):
    start_response("200 OK", [])
    return [repr(told).encode()]
"""


@line("PY-186", "OPT-33")
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2])
def test_sighup_and_sigusr2_reach_subscribers_in_a_worker_and_do_nothing_else(new_daemon, number):
    site = new_daemon("threads=2").start()
    app = site.script(SIGNALLED)
    assert app.get().text == "[]"
    pid = app.process()
    os.kill(pid, number)
    payload = {"signame": number.name, "signum": int(number)}
    expected = repr([("event", payload), ("process_signal", payload)])
    wait_until(lambda: app.get().text == expected, "subscribers to be told")
    assert app.process() == pid


def end(site, app, name):
    """Has the process of a worker end for a reason, and returns what says it."""
    if name == "shutdown_signal":
        os.kill(app.process(), signal.SIGTERM)
    elif name == "graceful_signal":
        os.kill(app.process(), signal.SIGUSR1)
    elif name == "script_reload":
        app.touch()
        app.get()
    elif name in ("maximum_requests", "cpu_time_limit"):
        for _ in range(5):
            app.get()


def order_of(site):
    return [re.search(r"told (\w+)", record.message)[1] for record in site.log.matching("told (event|shutdown|atexit)")]


STOPPING = """
import atexit, mod_wsgi

@mod_wsgi.subscribe_events
def event(name, **payload):
    if name == "process_stopping":
        print("told event:", payload)

@mod_wsgi.subscribe_shutdown
def stopping(name, **payload):
    print("told shutdown:", name, payload)

atexit.register(print, "told atexit")

def application(environ, start_response):
    start_response("200 OK", [])
    return [b"hello"]
"""


@line("PY-188")
@pytest.mark.parametrize(
    ("reason", "options"),
    [
        ("shutdown_signal", ""),
        ("graceful_signal", ""),
        ("eviction_signal", "eviction-timeout=5"),
        ("script_reload", ""),
        ("maximum_requests", "maximum-requests=3"),
        ("restart_interval", "restart-interval=2"),
        ("inactivity_timeout", "inactivity-timeout=1"),
    ],
)
def test_subscribers_are_told_why_a_worker_ends(new_daemon, reason, options):
    site = new_daemon(f"threads=2 {options}").start()
    site.log.expect("told event: ")
    site.log.expect("told shutdown: process_stopping")
    site.log.expect("told atexit")
    app = site.script(STOPPING)
    assert app.get().body == b"hello"
    end(site, app, "graceful_signal" if reason == "eviction_signal" else reason)
    said = rf"{{'shutdown_reason': '{reason}'}}"
    site.log.wait_for(f"told event: {said}")
    site.log.wait_for(f"told shutdown: process_stopping {said}")
    site.log.wait_for("told atexit")
    # With mod_wsgi the next process may have had its requests, too.
    assert order_of(site)[:3] == ["event", "shutdown", "atexit"]


@line("PY-188", "PY-189")
@pytest.mark.parametrize("mount", ["main", "sub"])
def test_shutdown_subscribers_are_told_before_atexit_functions_run(new_site, door, mount):
    site = new_site().start()
    for text in ("told event: ", "told shutdown: process_stopping", "told atexit"):
        site.log.expect(text)
    assert site.script(STOPPING, mount).get().body == b"hello"
    site.stop()
    reason = "shutdown_signal" if door.is_daemon else ""
    assert site.log.matching(rf"told shutdown: process_stopping {{'shutdown_reason': '{reason}'}}")
    assert order_of(site) == ["event", "shutdown", "atexit"]


@ours
@embedded_only("a worker has one interpreter")
@line("PY-189")
def test_sub_interpreters_are_told_before_the_main_one(new_site):
    site = new_site().start()
    for mount in ("main", "sub"):
        assert site.script(STOPPING.replace("told shutdown:", f"told shutdown of {mount}:"), mount).get().body == b"hello"
        site.log.expect(f"shutdown of {mount}")
    for text in ("told event: ", "told atexit"):
        site.log.expect(text)
    site.stop()
    lines = [record.message for record in site.log.matching("shutdown of")]
    assert ["of sub" in lines[0], "of main" in lines[1]] == [True, True]


@line("PY-188")
def test_a_request_that_runs_when_its_worker_is_stopped_can_be_told_to_end(new_daemon):
    site = new_daemon("threads=2 shutdown-timeout=10").start()
    app = site.script(
        "import mod_wsgi, threading\nstopping = threading.Event()\n"
        "mod_wsgi.subscribe_shutdown(lambda name, **payload: stopping.set())\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n    yield b'began'\n"
        "    yield b' told' if stopping.wait(8) else b' not told'\n"
    )
    pid = app.process()
    with site.connect() as connection:
        connection.send_request("GET", app.url)
        connection.head()
        assert connection.chunk() == b"began"
        os.kill(pid, signal.SIGTERM)
        assert connection.chunk() == b" told"


@line("PY-188")
def test_services_have_no_events(new_httpd):
    site = new_httpd("", DAEMON).start()
    path = site.root / "service.py"
    path.write_text("import mod_wsgi\nmod_wsgi.subscribe_shutdown(lambda name, **payload: print('told', name))\n")
    site.configure(
        "WSGIDaemonProcess service threads=0\n"
        f"WSGIImportScript {path} process-group=service application-group=%{{GLOBAL}}\n"
    )
    path.chmod(0o644)
    site.graceful()
    site.log.wait_for("Loading (Python script file|WSGI script) .*service.py")
    site.stop()
    assert not site.log.matching("told process_stopping")


@line("PY-181")
def test_an_event_of_a_request_can_be_kept_as_json(script):
    """Nothing in the payload of the last event but plain values."""
    app = script(RECORDER + PLAIN)
    app.get()
    finished = told(app)[-1][1]
    assert json.loads(json.dumps(finished)) == finished
