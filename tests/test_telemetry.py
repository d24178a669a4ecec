"""Telemetry: what processes send to a collector, on their own."""

import os
import signal
import socket

import pytest

from harness import installation
from harness.checklist import embedded_only, line, ours, ours_in_daemon
from harness.collector import COLLECTION, REQUESTS, SLOW, SNAPSHOT, STARTED, STOPPED, STOPPING, Collector
from harness.condition import wait_until
from harness.puppet import Gated, Puppet

HELLO = """
def application(environ, start_response):
    environ["wsgi.input"].read()
    start_response(environ["QUERY_STRING"].replace("%20", " ") or "200 OK", [])
    return [b"0123456789"]
"""

SERVICE = "WSGITelemetryService unix:{root}/collector interval=0.5\n"


@pytest.fixture
def reporting(new_site):
    """Makes a site whose processes report, and the collector that takes it; started."""
    collectors = []

    def make(config="", **settings):
        site = new_site(SERVICE + config, **settings)
        collectors.append(Collector(site.root / "collector"))
        return site.start(), collectors[-1]

    yield make
    for collector in collectors:
        collector.socket.close()


def figures_until(collector, pid, requests):
    """The figures of a process, added up over its reports until they have so many requests."""
    sums, seen = {}, 0

    def add():
        nonlocal seen
        collector.take()
        for datagram in collector.received[seen:]:
            if datagram.kind == REQUESTS and datagram.pid == pid:
                for number in (20, 100, 101, 102, 103, *range(120, 125)):
                    sums[number] = sums.get(number, 0) + datagram.fields[number]
        seen = len(collector.received)
        return sums.get(20) == requests

    wait_until(add, f"{requests} requests to be reported", timeout=20)
    return sums


def test_a_process_tells_who_it_is_when_it_starts(reporting, door):
    site, collector = reporting()
    pid = site.process()
    started = collector.wait_for(STARTED, lambda datagram: datagram.pid == pid)
    fields = started.fields
    version = Puppet(site).value("sys.version.split()[0]")
    assert fields[1] == "6.1.1" and fields[2] == version and fields[3].startswith("Apache/2.4.")
    assert (fields[4], fields[5], fields.get(6, "")) == ("event", socket.gethostname(), door.process_group)
    assert fields[7] == site.pid()


def test_the_figures_of_each_interval_come_by_themselves(reporting, door):
    site, collector = reporting()
    app = site.script(HELLO)
    for status in ("200%20OK", "302%20There", "404%20Nope", "502%20Bad"):
        app.post(b"x" * 100, f"?{status}")
    sums = figures_until(collector, app.process(), 5)
    # The one that asked for the pid is the fifth.
    assert [sums[number] for number in range(120, 125)] == [0, 2, 1, 1, 1]
    assert sums[100] == 400 and sums[101] >= 4 and sums[102] > 40 and sums[103] >= 5
    report = collector.wait_for(REQUESTS, lambda datagram: datagram.fields[20] > 0).fields
    assert 0.4 < report[10] < 3 and report[11] == 0.5 and report[12] == 0
    assert report[21] == pytest.approx(report[20] / report[10])
    assert 0 < report[22] <= 1 and report[32] == pytest.approx(report[30] + report[31])
    assert report[40] > 1 << 20 and report[41] > 1 << 20
    if installation.IS_OURS:
        # What mod_wsgi says of the most lags behind.
        assert report[40] <= report[41]
    assert report[50] == 12 and report[51] <= 12
    phases = [0, 1, 2, 3, 4, 5, 6, 7] if door.is_daemon else [0, 3, 4, 5, 6, 7]
    for phase in phases:
        assert len(report[90 + phase]) == 65 and sum(report[90 + phase]) == report[20]
        assert report[70 + phase] <= report[60 + phase] + 1e-6 and report[60 + phase] <= report[80 + phase] + 1e-6
    assert door.is_daemon or not {61, 62, 71, 91, 92} & set(report)
    assert sum(report[110]) == report[20]
    assert {len(report[number]) for number in range(110, 115)} == {12}
    sequences = [datagram.sequence for datagram in collector.received if datagram.pid == app.process()]
    assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))


@line("PY-195")
def test_with_a_collector_the_modules_own_figures_are_none(reporting):
    site, _ = reporting()
    app = site.script(
        "import mod_wsgi\nmod_wsgi.start_recording_metrics()\n"
        "def application(environ, start_response):\n    start_response('200 OK', [])\n"
        "    return [repr((mod_wsgi.request_metrics(), mod_wsgi.process_metrics())).encode()]\n"
    )
    assert [app.get().text for _ in range(2)] == ["(None, None)"] * 2


def test_a_request_that_takes_long_is_told_while_it_runs_and_when_it_ends(reporting, door):
    site, collector = reporting("WSGISlowRequests 1\n")
    # The first one may have waited for Python to start.
    site.process()
    quick, gated = site.script(HELLO), Gated(site)
    quick.get()
    quick.get()
    with gated.begin("secret") as connection:
        is_it = lambda datagram: "pid-of" not in datagram.fields[213] + datagram.fields.get(214, "")  # noqa: E731
        running = collector.wait_for(SLOW, lambda datagram: is_it(datagram) and datagram.fields[200] == 0)
        gated.open("secret")
        assert connection.response().status == 200
    ended = collector.wait_for(SLOW, lambda datagram: is_it(datagram) and datagram.fields[200] == 1)
    path = gated.app.url.removeprefix("/main")
    for datagram in (running, ended):
        fields = datagram.fields
        assert fields[202] >= 1 and fields[203] >= 1 and fields[205] == site.child()
        assert (fields[210], fields[211], fields[212], fields[215]) == ("GET", "http", "localhost", "HTTP/1.1")
        assert fields[213] + fields.get(214, "") == f"/main{path}" and fields[216] == "127.0.0.1"
        assert 217 not in fields
        assert fields[223] >= 0.5 and (fields[221] == 0) == (not door.is_daemon)
        assert fields[260] == 1
        assert "secret" not in str(fields)
    assert running.fields[204] == ended.fields[204] and running.fields[201] == ended.fields[201]
    assert running.fields[202] < ended.fields[202]
    assert ended.fields[240] == 200 and ended.fields[232] > 0 and ended.fields[261] >= 1
    assert collector.wait_for(REQUESTS).fields[12] == 1
    collector.take()
    told = [datagram for datagram in collector.received if datagram.kind == SLOW and is_it(datagram)]
    # Once when it has ended, and no other one.
    assert [datagram.fields[200] for datagram in told].count(1) == 1
    assert {datagram.fields[204] for datagram in told} == {ended.fields[204]}


@ours
@embedded_only("a worker's threads serve one request at a time")
def test_a_request_with_another_one_within_its_output_is_told_as_well(reporting):
    config = '<LocationMatch "/including">\n  Options +Includes\n  SetOutputFilter INCLUDES\n</LocationMatch>\n'
    site, collector = reporting("WSGISlowRequests 0.01\n" + config, modules=("include",))
    inner = site.script(HELLO.replace("    environ", "    __import__('time').sleep(0.02)\n    environ", 1))
    outer = site.script(
        "def application(environ, start_response):\n    start_response('200 OK', [('Content-Type', 'text/html')])\n"
        f"    yield b'<!--#include virtual=\"{inner.url}\" -->'\n    yield b' after'\n"
    )
    assert outer.get("/including").text == "0123456789 after"
    for path in (inner.url, outer.url + "/including"):
        told = lambda datagram: datagram.fields[213] + datagram.fields.get(214, "") == path  # noqa: B023, E731
        fields = collector.wait_for(SLOW, lambda datagram: datagram.fields[200] == 1 and told(datagram)).fields
        assert 0 < fields[223] <= fields[202]


def test_the_browsers_name_is_told_only_if_that_is_asked_for(reporting):
    site, collector = reporting("WSGISlowRequests 0.01\nWSGITelemetryOptions +CaptureUserAgent\n")
    site.script("import time\n" + HELLO.replace("    environ", "    time.sleep(0.02)\n    environ", 1)).get(
        "", [("User-Agent", "Mozilla/5.0")]
    )
    assert collector.wait_for(SLOW, lambda datagram: datagram.fields[200] == 1).fields[217] == "Mozilla/5.0"


def test_the_end_of_a_worker_is_told_with_its_reason(new_daemon):
    site = new_daemon("threads=2", SERVICE)
    with Collector(site.root / "collector") as collector:
        pid = site.start().process()
        collector.wait_for(STARTED, lambda datagram: datagram.pid == pid)
        os.kill(pid, signal.SIGTERM)
        stopping = collector.wait_for(STOPPING, lambda datagram: datagram.pid == pid)
        stopped = collector.wait_for(STOPPED, lambda datagram: datagram.pid == pid)
        # The supervisor starts another, which says so too.
        collector.wait_for(STARTED, lambda datagram: datagram.pid != pid)
        site.stop()
    assert stopping.fields[130] == stopped.fields[130] == "shutdown_signal"
    assert stopping.fields[6] == stopped.fields[6] == "daemon"
    assert 0 < stopped.fields[131] < 60
    assert (stopped.fields[132], stopped.fields[134], stopped.fields[135]) == (1, 0, 1)


@ours_in_daemon
def test_what_a_process_still_knows_is_told_when_it_ends(reporting, door):
    site, collector = reporting()
    app = site.script(HELLO)
    pid = app.process()
    app.get()
    site.stop()
    stopped = collector.wait_for(STOPPED, lambda datagram: datagram.pid == pid)
    assert (stopped.fields[132], stopped.fields[135]) == (2, 1)
    assert stopped.fields.get(130, "") == ("shutdown_signal" if door.is_daemon else "")
    figures_until(collector, pid, 2)


@pytest.mark.parametrize("mount", ["main", "sub"])
def test_garbage_collections_are_told(reporting, door, mount):
    site, collector = reporting()
    app = site.script(
        "import gc\ndef application(environ, start_response):\n    cycle = []\n    cycle.append(cycle)\n    del cycle\n"
        "    gc.collect()\n    start_response('200 OK', [])\n    return [b'']\n",
        mount,
    )
    app.get()
    pid = app.process()
    group = "sub" if mount == "sub" else ""
    is_mine = lambda datagram: datagram.pid == pid and datagram.fields.get(8, "") == group  # noqa: E731
    full = collector.wait_for(COLLECTION, lambda datagram: is_mine(datagram) and datagram.fields[322] == 2)
    assert full.fields[323] >= 1 and 0 < full.fields[321] < 5 and full.fields[320] == pytest.approx(full.stamp, abs=5)
    snapshot = collector.wait_for(SNAPSHOT, is_mine)
    assert set(range(300, 318)) <= set(snapshot.fields) and snapshot.fields[315] == 1


@ours
def test_without_a_collector_requests_are_served_and_the_log_says_it_once(new_site):
    site = new_site(SERVICE).start()
    assert site.script(HELLO).get().status == 200
    said = site.log.wait_for("takes nothing")
    assert said.level == "info"
    wait_until(lambda: site.script(HELLO).get().status == 200, "another request")
    assert len({record.message for record in site.log.matching("takes nothing")}) == 1


@ours
def test_a_service_reports_nothing(new_daemon):
    site = new_daemon("threads=1", SERVICE + "WSGIDaemonProcess service threads=0\n"
        "WSGIImportScript {root}/service.py process-group=service application-group=%{GLOBAL}\n")
    (site.root / "service.py").write_text("import time\ntime.sleep(3600)\n")
    with Collector(site.root / "collector") as collector:
        site.start()
        site.log.wait_for("as a service")
        collector.wait_for(REQUESTS)
        collector.wait_for(REQUESTS, lambda datagram: datagram.sequence > 2)
        groups = {datagram.fields.get(6) for datagram in collector.received if 5 in datagram.fields}
        site.stop()
    assert groups <= {"daemon", None}


def test_a_threshold_of_0_tells_of_no_request(reporting):
    site, collector = reporting("WSGISlowRequests 0\n")
    site.script(HELLO).get()
    collector.wait_for(REQUESTS, lambda datagram: datagram.fields[20] > 0)
    collector.wait_for(REQUESTS, lambda datagram: datagram.sequence > 3)
    assert not [datagram for datagram in collector.received if datagram.kind == SLOW]


@ours
def test_slow_requests_without_a_service_are_said_to_have_no_effect(new_httpd):
    httpd = new_httpd("WSGISlowRequests 5\n")
    assert "WSGI0461" in httpd.configtest().stderr
    httpd.log.expect("WSGI0461")
    httpd.start()
