"""A request within another one's output: mod_include runs a second application on the same thread."""

import pytest

from harness.checklist import both_interpreters, embedded_only, ours

pytestmark = both_interpreters

HTTPD_MODULES = ("include",)

CONFIG = """
<LocationMatch "/including">
  Options +Includes
  SetOutputFilter INCLUDES
</LocationMatch>
"""

INNER = """
import sys

def application(environ, start_response):
    environ_, start_response_, write = getattr(sys, "outer", (None, None, None))
    try:
        outcome = repr({use})
    except RuntimeError as error:
        outcome = "RuntimeError: " + str(error)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [outcome.encode()]
"""

OUTER = """
import sys

def application(environ, start_response):
    write = start_response("200 OK", [("Content-Type", "text/html")])
    sys.outer = environ, start_response, write
    page = b'before <!--#include virtual="{url}" --> after'
    {deliver}
    print("the outer request goes on")
"""

DELIVERIES = {"yield": "yield page", "write": "write(page)\n    yield b''"}


@pytest.fixture
def include(script):
    """Serves a page that includes the outcome of an expression; gives that outcome."""

    def make(use, deliver):
        inner = script(INNER.format(use=use))
        outer = script(OUTER.format(url=inner.url, deliver=DELIVERIES[deliver]))
        with outer.site.connect() as connection:
            for _ in range(3):
                response = connection.get(outer.url + "/including")
                assert response.status == 200
                assert response.text.startswith("before ") and response.text.endswith(" after")
        return response.text.removeprefix("before ").removesuffix(" after")

    return make


@ours
@embedded_only("a worker has ended the outer request, or goes on with it, when httpd delivers its response")
@pytest.mark.parametrize("deliver", DELIVERIES)
@pytest.mark.parametrize(
    "use", ["environ_['wsgi.errors'].write('from the inner one\\n')", "environ_['wsgi.errors'].flush()"]
)
def test_the_outer_requests_log_takes_lines_of_the_inner_one(include, log, use, deliver):
    if "write" in use:
        log.expect("from the inner one$", times=3)
    log.expect("the outer request goes on", times=3)
    assert not include(use, deliver).startswith("RuntimeError")


@ours
@embedded_only("a worker has ended the outer request, or goes on with it, when httpd delivers its response")
@pytest.mark.parametrize("deliver", DELIVERIES)
@pytest.mark.parametrize(
    ("use", "called"),
    [
        ("write(b'from the inner one')", "write()"),
        ("start_response_('200 OK', [])", "start_response()"),
        ("environ_['wsgi.input'].read()", "read()"),
    ],
)
def test_the_outer_response_can_not_be_used_from_within_its_own_delivery(include, log, use, called, deliver):
    log.expect("the outer request goes on", times=3)
    outcome = include(use, deliver)
    assert outcome.startswith("RuntimeError: " + called)
    assert outcome.endswith("from within the delivery of its own response")


@ours
@pytest.mark.parametrize("deliver", DELIVERIES)
@pytest.mark.parametrize("mount", ["main", "sub"])
def test_an_application_of_any_interpreter_can_be_included(site, script, log, mount, deliver):
    log.expect("the outer request goes on")
    inner = site.script(INNER.format(use="environ['mod_wsgi.application_group']"), mount)
    outer = script(OUTER.format(url=inner.url, deliver=DELIVERIES[deliver]))
    group = repr("" if mount == "main" else "sub")
    assert outer.get("/including").text == f"before {group} after"


@ours
@embedded_only("a worker has ended the outer request, or goes on with it, when httpd delivers its response")
def test_the_outer_request_stays_among_the_active_ones(script):
    inner = script(
        "import mod_wsgi\ndef application(environ, start_response):\n    mod_wsgi.request_data()['who'] = 'inner'\n"
        "    start_response('200 OK', [])\n    return [b'inner']\n"
    )
    outer = script(
        "import mod_wsgi\n"
        "def who():\n    return repr([data.get('who') for data in mod_wsgi.active_requests.values()]).encode()\n"
        "def application(environ, start_response):\n    mod_wsgi.request_data()['who'] = 'outer'\n"
        "    start_response('200 OK', [('Content-Type', 'text/html')])\n"
        f"    yield who() + b' <!--#include virtual=\"{inner.url}\" --> '\n    yield who()\n"
    )
    assert outer.get("/including").text == "['outer'] inner ['outer']"
    assert outer.get("/including").text == "['outer'] inner ['outer']"


MEASURED_OUTER = """
import sys, time
import mod_wsgi

mod_wsgi.start_recording_metrics()

def busy():
    return mod_wsgi.process_metrics()["request_busy_time"]

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/html")])
    began, before = time.monotonic(), busy()
    sys.so_far = lambda: (time.monotonic() - began, busy() - before)
    yield f"{{began!r}} {{before!r}} ".encode()
    time.sleep(0.1)
    yield b'<!--#include virtual="{inner}" -->'
    yield "{{!r}} {{!r}}".format(*sys.so_far()).encode()
"""

MEASURED_INNER = """
import sys, time

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    so_far = sys.so_far()
    time.sleep(0.1)
    return ["{!r} {!r} ".format(*so_far).encode()]
"""


@ours
@embedded_only("a worker's threads are two, and both are busy")
def test_a_thread_that_runs_a_request_within_another_is_busy_once(script):
    inner = script(MEASURED_INNER)
    outer = script(MEASURED_OUTER.format(inner=inner.url))
    # The first one starts the recording, and is not measured from its beginning.
    outer.get("/including")
    runs = [[float(number) for number in outer.get("/including").text.split()] for _ in range(3)]
    for _, _, elapsed_inside, busy_inside, elapsed, busy in runs:
        # While the inner one runs the thread is busy with both, and afterwards it has been so once.
        assert busy_inside == pytest.approx(elapsed_inside, abs=0.06)
        assert busy == pytest.approx(elapsed, abs=0.06)
    for (began, before, *_), (next_began, next_before, *_) in zip(runs, runs[1:]):
        assert 0.2 <= next_before - before <= next_began - began + 0.06
