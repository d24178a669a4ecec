"""Directives of little effect: WSGIPassApacheRequest, WSGIPythonEggs, WSGIDestroyInterpreter, WSGIVerboseDebugging, and those
that are no more."""

import re

import pytest

from harness import installation
from harness.checklist import embedded_only, line, ours
from harness.httpd import Httpd

# -- WSGIPassApacheRequest

CAPSULE = """
import ctypes, json

get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
get_pointer.argtypes, get_pointer.restype = [ctypes.py_object, ctypes.c_char_p], ctypes.c_void_p
kept = []

def application(environ, start_response):
    capsule = environ.get("apache.request_rec")
    facts = {"type": type(capsule).__name__}
    if capsule is not None:
        facts["is_pointer"] = bool(get_pointer(capsule, None))
        for before in kept:
            try:
                get_pointer(before, None)
                facts["before"] = "still a pointer"
            except ValueError:
                facts["before"] = "expired"
        kept[:] = [capsule]
    start_response("200 OK", [])
    return [json.dumps(facts).encode()]
"""

PASSING = "<Location /main>\n  WSGIPassApacheRequest On\n</Location>\n<Location /main/off>\n  WSGIPassApacheRequest Off\n</Location>\n"


@line("PY-38")
def test_the_request_is_passed_to_embedded_applications_where_it_is_switched_on(new_site, door):
    site = new_site(PASSING).start()
    app = site.script(CAPSULE, "main")
    seen = app.json()
    if door.is_daemon:
        assert seen == {"type": "NoneType"}
    else:
        assert seen == {"type": "PyCapsule", "is_pointer": True}
    assert site.script(CAPSULE, "sub").json() == {"type": "NoneType"}


@ours
@embedded_only("the request is httpd's own")
def test_a_request_that_has_ended_cannot_be_reached_through_its_capsule(new_site):
    site = new_site(PASSING).start()
    app = site.script(CAPSULE, "main")
    app.json()
    assert app.json()["before"] == "expired"


# -- WSGIPythonEggs

EGGS = """
import os, subprocess
def application(environ, start_response):
    start_response("200 OK", [])
    child = subprocess.check_output(["/bin/sh", "-c", "echo $PYTHON_EGG_CACHE"], text=True).strip()
    return [f"{os.environ.get('PYTHON_EGG_CACHE')} {child}".encode()]
"""


@pytest.mark.parametrize("mount", ["main", "sub"])
def test_python_eggs_is_in_the_environment_of_embedded_interpreters(new_site, door, mount):
    site = new_site("WSGIPythonEggs /srv/eggs\n").start()
    # A group has python-eggs in its place.
    assert site.script(EGGS, mount).get().text.split() == (["None"] if door.is_daemon else ["/srv/eggs"] * 2)


# -- WSGIDestroyInterpreter

ATEXIT = """
import atexit
atexit.register(print, "atexit ran")
def application(e, s):
    s('200 OK', [])
    return [b'hello']
"""


@line("LIF-19")
@pytest.mark.parametrize("mount", ["main", "sub"])
def test_destroy_interpreter_off_leaves_exit_functions_out(new_site, mount):
    site = new_site("WSGIDestroyInterpreter Off\n").start()
    assert site.script(ATEXIT, mount).get().body == b"hello"
    site.begin_graceful_stop()
    site.wait()
    assert not site.log.matching("atexit ran")


@line("LIF-19")
@pytest.mark.parametrize("mount", ["main", "sub"])
def test_destroy_interpreter_on_is_the_default(new_site, mount):
    site = new_site("WSGIDestroyInterpreter On\n").start()
    assert site.script(ATEXIT, mount).get().body == b"hello"
    site.log.expect("atexit ran")
    site.begin_graceful_stop()
    site.wait()


@ours
def test_with_destroy_interpreter_off_threads_do_not_hold_up_the_end(new_site):
    site = new_site("WSGIDestroyInterpreter Off\n").start()
    app = site.script(
        "import threading, time\n"
        "def application(e, s):\n    threading.Thread(target=time.sleep, args=[600], daemon=False).start()\n"
        "    s('200 OK', [])\n    return [b'hello']\n"
    )
    assert app.get().body == b"hello"
    # One that is waited for is named after five seconds: WSGI0306, or WSGI0351 in a group.
    site.begin_graceful_stop()
    site.wait()


# -- configtest


@pytest.fixture(scope="module")
def bench():
    httpd = Httpd(python_home=None)
    yield httpd
    httpd.discard()


def remarks(bench, config):
    result = bench.configtest(config)
    assert result.returncode == 0 and "Syntax OK" in result.stderr, result.stderr
    return [row for row in result.stderr.splitlines() if "WSGI0" in row]


@line("CFG-36")
@pytest.mark.parametrize("value", ["On", "Off"])
def test_verbose_debugging_is_accepted_and_a_notice_names_log_level(bench, value):
    assert all("LogLevel" in row for row in remarks(bench, f"WSGIVerboseDebugging {value}\n"))
    assert bench.configtest("WSGIVerboseDebugging maybe\n").returncode != 0


REMOVED = {
    "WSGILazyInitialization On": "take it out",
    "WSGIPy3kWarningFlag On": "take it out",
    "WSGINewRelicConfigFile /etc/newrelic.ini": "newrelic.agent",
    "WSGINewRelicEnvironment production": "newrelic.agent",
    "WSGIUserAuthoritative Off": "AuthBasicProvider",
    "WSGIReloadMechanism Process": "WSGIScriptReloading",
    "WSGIPythonExecutable /usr/bin/python": "WSGIPythonHome",
    "WSGIOutputBuffering On": "response-flush-delay",
    "WSGIApacheExtensions On": "WSGIPassApacheRequest",
    "WSGIServerGroup name": "WSGIApplicationGroup",
    "WSGIDaemonProcess x newrelic-config-file=/etc/newrelic.ini": "newrelic.agent",
    "WSGIDaemonProcess x newrelic-environment=production": "newrelic.agent",
}


@ours
@line("IMP-40")
@pytest.mark.parametrize("text", REMOVED)
def test_what_is_no_more_is_accepted_with_one_warning_that_says_what_to_do(bench, text):
    (remark,) = remarks(bench, f"{text}\n")
    number = bench.config_file.read_text().splitlines().index(text) + 1
    name = text.split()[0]
    assert re.search(rf"WSGI0432: {name} \(\S+, line {number}\): .*accepted, without effect: it .*{REMOVED[text]}", remark), remark


@ours
@pytest.mark.parametrize("section", ["VirtualHost *:1", "Directory /tmp", "Location /x"])
def test_what_is_no_more_is_accepted_in_every_section(bench, section):
    lines = [text for text in REMOVED if not text.startswith("WSGIDaemonProcess")]
    config = "\n".join([f"<{section}>", *lines, f"</{section.split()[0]}>", ""])
    assert len(remarks(bench, config)) == len(lines)


@ours
def test_what_is_no_more_is_accepted_in_htaccess(new_site):
    site = new_site(
        "<Directory {root}/htdocs>\n  AllowOverride AuthConfig\n  Options ExecCGI\n  AddHandler wsgi-script .wsgi\n</Directory>\n"
    ).start()
    (site.root / "htdocs" / "app.wsgi").write_text(ATEXIT.replace("atexit.register", "# "))
    (site.root / "htdocs" / ".htaccess").write_text("WSGIReloadMechanism Process\nWSGIUserAuthoritative Off\n")
    assert site.get("/app.wsgi").body == b"hello"


@ours
def test_the_parent_says_it_when_it_starts_and_requests_are_served(new_site):
    site = new_site("WSGILazyInitialization On\n").start()
    site.log.expect("WSGI0432.*WSGILazyInitialization")
    assert site.script("def application(e, s):\n    s('200 OK', [])\n    return [b'hello']\n").get().body == b"hello"
