"""`signal` in a worker whose application may install handlers, and in one that only runs scripts."""

import os
import signal

import pytest

from harness.checklist import ours
from harness.condition import wait_until
from harness.process import is_alive
from harness.puppet import Gated

pytestmark = ours

HELLO = "def application(e, s):\n    s('200 OK', [])\n    return [b'hello']\n"


@pytest.fixture
def with_script(new_daemon):
    """A group, started, whose processes run this text on their main thread before they serve; and its only process."""

    def make(source):
        config = (
            "WSGIRestrictSignal Off\n"
            "WSGIImportScript {scripts}/start.wsgi process-group=daemon application-group=%{GLOBAL}\n"
        )
        site = new_daemon("threads=2", config)
        site.script(source, name="start.wsgi")
        site.start()
        return site, site.process()

    return make


@pytest.mark.parametrize("name", ["SIGUSR2", "SIGHUP", "SIGALRM", "SIGCHLD"])
def test_a_handler_that_a_script_installs_at_start_runs_when_its_signal_comes(with_script, name):
    site, pid = with_script(
        "import signal, threading\n"
        "def handler(number, frame):\n"
        "    print('handled', signal.Signals(number).name, threading.current_thread() is threading.main_thread())\n"
        f"signal.signal(signal.{name}, handler)\n"
    )
    site.log.expect(f"handled {name} True$", times=2)
    for count in (1, 2):
        os.kill(pid, getattr(signal, name))
        site.log.wait_for(f"handled {name} True$", count=count)
    assert site.script(HELLO).get().body == b"hello"
    assert site.process() == pid


def test_a_handler_runs_while_requests_do(with_script):
    site, pid = with_script("import signal\nsignal.signal(signal.SIGUSR2, lambda *_: print('handled'))\n")
    site.log.expect("handled$")
    gated = Gated(site)
    with gated.begin("one") as connection:
        os.kill(pid, signal.SIGUSR2)
        site.log.wait_for("handled$")
        gated.open("one")
        assert connection.response().text == str(pid)


def test_an_alarm_is_handled(with_script):
    site, _ = with_script(
        "import signal\nsignal.signal(signal.SIGALRM, lambda *_: print('the alarm'))\nsignal.setitimer(signal.ITIMER_REAL, 0.05)\n"
    )
    site.log.expect("the alarm$")
    site.log.wait_for("the alarm$")


def test_an_exception_in_a_handler_is_shown_and_ends_nothing(with_script):
    site, pid = with_script("import signal\nsignal.signal(signal.SIGUSR2, lambda *_: 1 / 0)\n")
    site.log.expect_traceback("ZeroDivisionError: division by zero")
    os.kill(pid, signal.SIGUSR2)
    site.log.wait_for("ZeroDivisionError")
    assert site.process() == pid


def test_a_handler_that_exits_ends_the_process_in_order(with_script):
    """As a program of its own; another process takes its place."""
    site, pid = with_script(
        "import atexit, signal, sys\natexit.register(print, 'an exit function')\n"
        "signal.signal(signal.SIGUSR2, lambda *_: sys.exit(0))\n"
    )
    site.log.expect("an exit function$", times=2)
    os.kill(pid, signal.SIGUSR2)
    site.log.wait_for("an exit function$")
    wait_until(lambda: not is_alive(pid), "the process to end")
    assert site.process() != pid


def test_what_httpd_and_its_administrator_send_works_beside_the_applications_handlers(with_script):
    site, pid = with_script("import signal\nsignal.signal(signal.SIGUSR2, lambda *_: None)\n")
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not is_alive(pid), "the process to end")
    assert site.process() != pid


def test_a_service_handles_signals_as_a_program_does(new_daemon):
    site = new_daemon(
        "threads=2",
        "WSGIDaemonProcess service threads=0 display-name=%{GROUP}\n"
        "WSGIImportScript {scripts}/service.wsgi process-group=service application-group=%{GLOBAL}\n",
    )
    site.script(
        "import atexit, faulthandler, os, signal, sys, threading, time\n"
        "atexit.register(print, 'the exit function')\n"
        "faulthandler.enable()\n"
        "seen = threading.Event()\n"
        "signal.signal(signal.SIGUSR2, lambda *_: (print('handled on', threading.current_thread().name), seen.set()))\n"
        "os.kill(os.getpid(), signal.SIGUSR2)\n"
        "print('seen', seen.wait(5))\n"
        "try:\n    while True: time.sleep(0.02)\n"
        "finally: print('told to end')\n",
        name="service.wsgi",
    )
    for expected in ("handled on MainThread$", "seen True$", "told to end$", "the exit function$"):
        site.log.expect(expected)
    site.start()
    site.log.wait_for("seen True$")
    site.stop()
    texts = [record.message for record in site.log.matching("told to end|exit function")]
    assert texts == ["told to end", "the exit function"]
