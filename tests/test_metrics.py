"""The figures that an application can ask for: of its requests and of its process."""

import json

import pytest

from harness.checklist import embedded_only, line, ours
from harness.condition import wait_until

# Starts to record when it is loaded, and answers what `/request` and `/process` say.
METERED = """
import json, os, time
import mod_wsgi

mod_wsgi.start_recording_metrics()
mod_wsgi.start_recording_metrics()

def application(environ, start_response):
    path, length = environ["PATH_INFO"], int(environ.get("CONTENT_LENGTH") or 0)
    body = environ["wsgi.input"].read()
    assert len(body) == length
    if path == "/request":
        answer = mod_wsgi.request_metrics()
    elif path == "/process":
        answer = mod_wsgi.process_metrics()
    else:
        if path == "/slow":
            time.sleep(0.05)
        if path == "/busy":
            end = time.thread_time() + 0.1
            while time.thread_time() < end: pass
        start_response(environ["QUERY_STRING"].replace("%20", " ") or "200 OK", [])
        return [b"0123456789"]
    start_response("200 OK", [])
    return [json.dumps(answer).encode()]
"""

PHASES = [
    "server_time", "queue_time", "daemon_time", "application_time", "request_time", "gil_wait_time", "input_read_time",
    "output_write_time",
]  # fmt: skip
REQUEST_METRICS = {
    "pid", "start_time", "stop_time", "sample_period", "request_count", "request_throughput",
    *(f"status_{number}xx" for number in range(1, 6)),
    "input_bytes", "input_reads", "output_bytes", "output_writes",
    "cpu_user_utilization", "cpu_system_utilization", "cpu_utilization", "cpu_user_time", "cpu_system_time", "cpu_time",
    "memory_rss", "memory_max_rss", "request_threads_maximum", "request_threads_started", "request_threads_active",
    "capacity_utilization", "request_threads_completed", "request_threads_buckets", "request_threads_busy_time",
    "request_threads_cpu_time", "request_threads_current_elapsed", "request_threads_max_duration", "gil_wait_count",
    *(phase + suffix for phase in PHASES for suffix in ("", "_min_us", "_max_us", "_buckets")),
}  # fmt: skip
PROCESS_METRICS = {
    "pid", "request_count", "request_busy_time", "memory_rss", "memory_max_rss", "cpu_user_time", "cpu_system_time",
    "cpu_time", "restart_time", "current_time", "running_time", "request_threads", "active_requests", "threads",
}  # fmt: skip


class Metered:
    """The script, asked over one connection: a request is counted when its client has the answer, but before the next
    one on the same connection begins.
    """

    def __init__(self, site, mount="main"):
        self.site = site
        self.app = site.script(METERED, mount)
        self.connection = site.connect()
        self.get("/request")

    def get(self, rest="/"):
        return self.connection.get(self.app.url + rest)

    def post(self, body, rest):
        return self.connection.request("POST", self.app.url + rest, body=body)

    def json(self, rest):
        response = self.get(rest)
        assert response.status == 200, response.body
        return json.loads(response.body)

    def close(self):
        self.connection.close()


@pytest.fixture
def metered(new_site):
    """The script in a process of its own, which has recorded since its first request."""
    metered = Metered(new_site().start())
    yield metered
    metered.close()


@line("PY-190")
def test_without_a_recording_there_are_no_figures(new_site):
    app = new_site().start().script(
        "import mod_wsgi\ndef application(environ, start_response):\n    start_response('200 OK', [])\n"
        "    return [repr((mod_wsgi.request_metrics(), mod_wsgi.process_metrics())).encode()]\n"
    )
    assert [app.get().text for _ in range(2)] == ["(None, None)"] * 2


@line("PY-191")
def test_requests_statuses_and_bytes_are_counted(metered):
    for status in ("200%20OK", "204%20Nothing", "301%20Moved", "404%20Nope", "404%20Nope", "504%20Later"):
        metered.post(b"x" * 100, f"/?{status}")
    figures = metered.json("/request")
    # The one that asked before is the seventh.
    assert figures["request_count"] == 7
    assert [figures[f"status_{number}xx"] for number in range(1, 6)] == [0, 3, 1, 2, 1]
    assert figures["input_bytes"] == 600 and figures["input_reads"] >= 6
    assert figures["output_bytes"] >= 50
    assert sum(figures["request_threads_completed"]) == 7
    assert figures["request_threads_completed"] == figures["request_threads_buckets"]


@ours
@line("PY-191", "PY-192")
def test_an_interval_begins_where_the_one_before_has_ended(metered):
    first, second = metered.json("/request"), metered.json("/request")
    assert set(second) == REQUEST_METRICS
    assert first["start_time"] < first["stop_time"] == second["start_time"] < second["stop_time"]
    assert second["sample_period"] == pytest.approx(second["stop_time"] - second["start_time"], abs=1e-5)
    assert second["request_count"] == 1
    assert second["request_throughput"] == pytest.approx(1 / second["sample_period"], rel=0.01)


@line("PY-191")
def test_each_phase_has_its_mean_extremes_and_65_buckets(metered, door):
    metered.json("/request")
    metered.get("/slow")
    metered.get("/")
    figures = metered.json("/request")
    assert set(figures) == REQUEST_METRICS
    assert figures["request_count"] == 3
    for phase in PHASES:
        buckets = figures[f"{phase}_buckets"]
        assert len(buckets) == 65
        if phase in ("queue_time", "daemon_time") and not door.is_daemon:
            assert (figures[phase], figures[f"{phase}_min_us"], sum(buckets)) == (None, None, 0)
            continue
        least, greatest = figures[f"{phase}_min_us"], figures[f"{phase}_max_us"]
        assert sum(buckets) == 3 and 0 <= least <= figures[phase] * 1e6 <= greatest + 1
    assert figures["application_time_max_us"] >= 50_000
    # 50 ms lie in one of the four parts of 32 to 64 ms, or above if the machine is slow; the others took less.
    assert sum(figures["application_time_buckets"][4 * 5 + 2 :]) >= 1
    assert figures["request_time_max_us"] >= figures["application_time_max_us"]


@ours
@line("PY-191")
def test_who_is_busy_and_for_how_long(metered, site_threads):
    metered.json("/request")
    metered.get("/busy")
    figures = metered.json("/request")
    assert figures["request_threads_maximum"] == site_threads
    assert 1 <= figures["request_threads_started"] <= site_threads
    assert figures["request_threads_active"] == 1
    assert 0.1 <= sum(figures["request_threads_busy_time"])
    assert 0.09 <= sum(figures["request_threads_cpu_time"]) <= sum(figures["request_threads_busy_time"]) + 0.05
    assert max(figures["request_threads_max_duration"]) >= 0.1
    # The request that asks is the one that runs.
    assert sum(elapsed > 0 for elapsed in figures["request_threads_current_elapsed"]) == 1
    used = sum(figures["request_threads_busy_time"]) / (figures["sample_period"] * site_threads)
    assert figures["capacity_utilization"] == pytest.approx(used)
    assert 0 < figures["cpu_utilization"] < 4
    assert figures["cpu_utilization"] == figures["cpu_time"]


@pytest.fixture
def site_threads():
    """How many threads the processes of both doors have (harness/httpd.py, harness/door.py)."""
    return 12


@ours
@line("PY-193")
def test_process_metrics_has_threads_requests_and_times_of_the_process(metered, door, site_threads):
    pid_url = metered.site.script(
        "import os\ndef application(environ, start_response):\n    start_response('200 OK', [])\n"
        "    return [str(os.getpid()).encode()]\n"
    ).url
    pid = int(metered.connection.get(pid_url).body)
    for _ in range(5):
        metered.get()
    figures = metered.json("/process")
    assert set(figures) == PROCESS_METRICS
    assert figures["pid"] == pid
    # And the first one, and that of the pid.
    assert figures["request_count"] == 7
    assert sum(thread["request_count"] for thread in figures["threads"]) == 7
    assert [thread["thread_id"] for thread in figures["threads"]] == list(range(1, len(figures["threads"]) + 1))
    assert figures["request_threads"] == (site_threads if door.is_daemon else len(figures["threads"]))
    assert figures["active_requests"] == 1
    assert figures["request_busy_time"] > 0
    assert 1 << 20 < figures["memory_rss"] <= figures["memory_max_rss"] < 1 << 32
    assert figures["cpu_time"] == pytest.approx(figures["cpu_user_time"] + figures["cpu_system_time"])
    assert figures["restart_time"] <= figures["current_time"]
    assert figures["running_time"] == pytest.approx(figures["current_time"] - figures["restart_time"], abs=1.1)
    assert figures["running_time"] < 600


@embedded_only("a worker has one interpreter")
@ours
@line("PY-191")
def test_two_who_ask_do_not_take_figures_from_each_other(new_site):
    site = new_site().start()
    main = Metered(site, "main")
    sub = site.script(METERED, "sub")
    main.connection.get(f"{sub.url}/request")
    for _ in range(4):
        main.get()
    # Each sees all requests of the process since it asked last itself.
    counts = [
        json.loads(main.connection.get(f"{url}/request").body)["request_count"] for url in (main.app.url, sub.url)
    ]
    main.close()
    assert counts == [6, 6]


@ours
@line("PY-191")
def test_a_request_that_fails_counts_as_500(metered):
    app = metered.site.script("def application(environ, start_response):\n    raise ValueError('boom')\n")
    metered.site.log.expect_exception("ValueError: boom")
    metered.json("/request")
    assert app.get().status == 500
    wait_until(lambda: metered.json("/request")["status_5xx"] == 1, "the request to be counted")


@line("PY-175")
def test_the_module_has_every_attribute_with_its_type(new_site):
    def application(environ, start_response):
        import json

        import mod_wsgi

        names = [name for name in dir(mod_wsgi) if not name.startswith("_")]
        kinds = {name: type(getattr(mod_wsgi, name)).__name__ for name in names}
        kinds["bases"] = [base.__name__ for base in mod_wsgi.RequestTimeout.__bases__]
        start_response("200 OK", [])
        return [json.dumps(kinds).encode()]

    kinds = new_site().start().serve(application).json()
    assert kinds.pop("bases") == ["BaseException"]
    expected = {
        "version": "tuple", "process_group": "str", "application_group": "str", "maximum_processes": "int",
        "threads_per_process": "int", "event_callbacks": "list", "shutdown_callbacks": "list", "signal_callbacks": "list",
        "active_requests": "dict",
    }  # fmt: skip
    assert {name: kinds[name] for name in expected} == expected
    functions = {
        "server_metrics", "process_metrics", "request_metrics", "start_recording_metrics", "subscribe_events",
        "subscribe_shutdown", "subscribe_signals", "request_data",
    }  # fmt: skip
    assert functions <= set(kinds) and {"FileWrapper", "LogHandler", "RequestTimeout"} <= set(kinds)


# -- httpd's scoreboard

SERVER = """
import json, mod_wsgi

def application(environ, start_response):
    start_response("200 OK", [])
    return [json.dumps(mod_wsgi.server_metrics()).encode()]
"""

TOP = {
    "server_limit", "thread_limit", "running_generation", "restart_time", "current_time", "running_time", "processes",
}  # fmt: skip
WORKER = {
    "thread_num", "generation", "status", "access_count", "bytes_served", "start_time", "stop_time", "last_used", "client",
    "request", "vhost",
}  # fmt: skip


def opened(new_site, new_daemon, door):
    """A site whose applications may see the scoreboard."""
    extended = "ExtendedStatus On\n"
    return new_daemon("threads=4 server-metrics=On", extended) if door.is_daemon else new_site(
        extended + "WSGIServerMetrics On\n"
    )


@line("PY-194", "OPT-44")
def test_the_scoreboard_is_closed_unless_it_is_opened(new_site):
    assert new_site().start().script(SERVER).json() is None


@line("PY-194", "OPT-44")
def test_opening_it_for_one_does_not_open_it_for_another(new_httpd, new_daemon, door):
    if door.is_daemon:
        site = new_daemon("threads=2", "WSGIServerMetrics On\nWSGIDaemonProcess other threads=1 server-metrics=On\n")
    else:
        site = new_httpd(
            "WSGISocketPrefix {root}/wsgi\nWSGIDaemonProcess other threads=1 server-metrics=On\n", door
        )
    assert site.start().script(SERVER).json() is None


@line("PY-194", "OPT-44")
def test_the_scoreboard_has_every_process_and_thread_of_httpd(new_site, new_daemon, door):
    site = opened(new_site, new_daemon, door).start()
    app = site.script(SERVER)
    child = site.child()

    def look():
        server = app.json()
        own = [process for process in server["processes"] if process["pid"] == child] if server else []
        # The MPM starts its threads one after another.
        alive = [worker for process in own for worker in process["workers"] if worker["status"] != "."]
        return server if len(alive) == 12 else None

    server = wait_until(look, "httpd's child and its threads to show")
    assert set(server) == TOP
    assert len(server["processes"]) == server["server_limit"] == 4
    assert server["running_generation"] == 0
    assert server["restart_time"] <= server["current_time"]
    assert server["running_time"] == pytest.approx(server["current_time"] - server["restart_time"], abs=1.1)
    for number, process in enumerate(server["processes"]):
        assert set(process) == {"process_num", "pid", "generation", "quiescing", "workers"}
        assert process["process_num"] == number and process["quiescing"] is False
        assert len(process["workers"]) == server["thread_limit"]
        for worker in process["workers"]:
            assert set(worker) == WORKER and worker["status"] in "._SRWKLDCGI"
    (process,) = [process for process in server["processes"] if process["pid"] == child]
    # No other child has any.
    assert {worker["status"] for other in server["processes"] if other is not process for worker in other["workers"]} == {"."}


@line("PY-194")
def test_the_scoreboard_says_what_was_asked_and_counts_it(new_site, new_daemon, door):
    site = opened(new_site, new_daemon, door).start()
    app = site.script(SERVER)

    def look():
        server = app.json("?looking")
        workers = [worker for process in server["processes"] for worker in process["workers"]] if server else []
        asked = [worker for worker in workers if "?looking" in worker["request"]]
        return asked if sum(worker["access_count"] for worker in workers) > 2 else None

    asked = wait_until(look, "requests to show")
    assert {worker["client"] for worker in asked} == {"127.0.0.1"}
    assert asked[0]["request"].startswith(f"GET {app.url}")
    assert any(worker["bytes_served"] > 0 and worker["last_used"] > 0 for worker in asked)


@line("PY-194")
def test_a_reload_shows_as_another_generation(new_site, new_daemon, door):
    site = opened(new_site, new_daemon, door).start()
    app = site.script(SERVER)
    wait_until(app.json, "the scoreboard")
    site.graceful()
    wait_until(lambda: app.json()["running_generation"] == 1, "the next generation to show")


@ours
def test_workers_cannot_write_what_others_read_of_the_scoreboard(new_daemon):
    site = new_daemon("threads=1 server-metrics=On user=games").start()
    from harness.puppet import Puppet

    puppet = Puppet(site)
    wait_until(lambda: puppet.value("__import__('mod_wsgi').server_metrics() is not None"), "the scoreboard")
    assert puppet.run(
        "import os\nresult = []\n"
        "for attempt in (lambda: os.write(7, b'x'), lambda: os.open('/proc/self/fd/7', os.O_RDWR)):\n"
        "    try:\n        attempt()\n    except OSError as error:\n        result.append(error.errno)\n"
    ) == [9, 13]
