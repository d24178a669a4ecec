"""What a worker writes past Python: to its descriptors, when it crashes, through programs that it starts; and who logs it."""

import os
import re
import signal
import socket
import sys
import threading

import pytest

from harness.checklist import line, ours
from harness.condition import wait_until
from harness.error_log import ErrorLog
from harness.process import is_alive
from harness.puppet import Puppet

pytestmark = ours

HELLO = "def application(e, s):\n    s('200 OK', [])\n    return [b'hello']\n"
# httpd's own default format, without a client.
FORMAT = r"^\[\w{3} \w{3} \d\d \d\d:\d\d:\d\d\.\d{6} \d{4}\] \[wsgi:error\] \[pid (\d+):tid \1\] "


@pytest.fixture
def site(new_daemon):
    return new_daemon("threads=4").start()


def text_of(record):
    """The text of a line that did not come through Python."""
    match = re.match(FORMAT + r"\[group daemon\] (.*)$", record.text, re.DOTALL)
    assert match, record.text
    return match[2]


@line("LIF-14")
@pytest.mark.parametrize(
    "code",
    [
        "import os\nos.write(1, b'past Python\\n')",
        "import os\nos.write(2, b'past Python\\n')",
        "import ctypes\nlibc = ctypes.CDLL(None)\nlibc.perror(b'past Python')",
        "import subprocess\nsubprocess.run(['sh', '-c', 'echo past Python'])",
        "import subprocess\nsubprocess.run(['sh', '-c', 'echo past Python >&2'])",
        "import subprocess, sys\nsubprocess.run(['sh', '-c', 'echo past Python >&2'], stderr=sys.stderr)",
        "import os, sys\nos.write(sys.stderr.fileno(), b'past Python\\n')",
        "import os, sys\nos.write(sys.stdout.fileno(), b'past Python\\n')",
        "import sys\nprint('past Python', file=sys.__stderr__, flush=True)",
        "import logging, sys\nlogging.StreamHandler(sys.__stdout__).emit(logging.LogRecord('x', 40, '', 1, 'past Python', (), None))",
        "import os\nif os.fork() == 0:\n    os.write(2, b'past Python\\n')\n    os._exit(0)\nos.wait()",
    ],
    ids=["stdout", "stderr", "libc", "program", "program's stderr", "given stderr", "fileno of stderr", "fileno of stdout",
         "__stderr__", "__stdout__", "fork"],
)  # fmt: skip
def test_a_line_is_logged_as_the_groups_and_the_processs(site, code):
    site.log.expect("past Python")
    puppet = Puppet(site)
    puppet.run(f"{code}\nresult = 0")
    record = site.log.wait_for("past Python")
    assert text_of(record).startswith("past Python")
    assert (record.level, record.pid) == ("error", puppet.value("os.getpid()"))


def test_bytes_that_are_no_text_are_shown_and_text_stays_readable(site):
    site.log.expect("begin.*end")
    Puppet(site).run("import os\nos.write(2, b'begin\\0\\x1b[1m\\xff gr\\xc3\\xbcn \\xe6\\x97\\xa5\\xf0\\x9f\\x90 end\\n')\nresult = 0")
    assert text_of(site.log.wait_for("begin")) == r"begin\x00\x1b[1m\xff grün 日\xf0\x9f\x90 end"


def test_a_line_without_end_is_cut_and_nothing_is_lost(site):
    site.log.allow("x{10}")
    site.log.expect("the end$")
    Puppet(site).run("import os\nos.write(2, b'x' * 50_000 + b'the end')\nos.write(2, b'\\n')\nresult = 0")
    site.log.wait_for("the end$")
    assert sum(text_of(record).count("x") for record in site.log.matching("x{10}")) == 50_000


def test_what_comes_without_a_newline_is_logged_when_the_process_ends(site):
    site.log.expect("last words$")
    puppet = Puppet(site)
    puppet.run("import os\nos.write(2, b'last words')\nresult = 0")
    site.stop()
    assert text_of(site.log.matching("last words")[0]) == "last words"


FLOOD = """
import os
line = b'flood %06d ' + b'x' * {length} + b'\\n'
for number in range({count}):
    os.write(2, line % number)
result = 0
"""


def test_fifty_thousand_lines_at_once_are_all_logged(site):
    site.log.allow("flood")
    Puppet(site).run(FLOOD.format(count=50_000, length=80))
    site.log.wait_for("flood 049999", timeout=30)
    numbers = [int(text_of(record).split()[1]) for record in site.log.matching("flood ")]
    assert numbers == list(range(50_000))


def test_what_is_too_much_is_dropped_and_counted_but_not_what_a_process_dies_of(site):
    site.log.allow("flood|WSGI0146")
    site.log.expect("WSGI0315")
    site.log.expect("WSGI0310.*SIGSEGV")
    site.log.expect("Fatal Python error: Segmentation fault")
    site.log.allow(r"\[group daemon\] ")
    code = "import faulthandler\nfaulthandler.enable()\n" + FLOOD.format(count=150_000, length=80) + "faulthandler._sigsegv()"
    assert Puppet(site).send(code).status == 502
    site.log.wait_for("WSGI0310")
    written = len(site.log.matching("flood "))
    dropped = sum(int(re.search(r"(\d+) lines were dropped", r.message)[1]) for r in site.log.matching("WSGI0315"))
    assert written + dropped == 150_000 and dropped > 0
    # Not one line for each read.
    assert len(site.log.matching("WSGI0315")) < 20
    assert site.log.matching(r"\[group daemon\]   File .*/scripts/\d+\.wsgi")


@pytest.mark.parametrize(
    ("code", "said", "signal_name"),
    [
        ("import faulthandler\nfaulthandler.enable()\nfaulthandler._sigsegv()", "Fatal Python error: Segmentation fault", "SIGSEGV"),
        ("import faulthandler, os\nfaulthandler.enable()\nos.abort()", "Fatal Python error: Aborted", "SIGABRT"),
        (
            "import ctypes\nlibc = ctypes.CDLL(None)\nlibc.malloc.restype = ctypes.c_void_p\n"
            "libc.free.argtypes = [ctypes.c_void_p]\nplace = libc.malloc(64)\nlibc.free(place)\nlibc.free(place)",
            "double free",
            "SIGABRT",
        ),
    ],
    ids=["faulthandler", "abort", "glibc"],
)  # fmt: skip
def test_the_words_of_a_crash_are_logged_before_the_line_that_tells_of_it(site, code, said, signal_name):
    site.log.allow(r"WSGI0146|\[group daemon\] ")
    site.log.expect(said)
    site.log.expect(f"WSGI0310.*{signal_name}")
    puppet = Puppet(site)
    pid = puppet.value("os.getpid()")
    assert puppet.send(code).status == 502
    told = site.log.wait_for("WSGI0310")
    records = site.log.records()
    (words,) = site.log.matching(said)
    assert words.pid == pid and text_of(words)
    assert records.index(words) < records.index(told) and str(pid) in told.message
    if "faulthandler" in code:
        assert site.log.matching(r"\[group daemon\]   File .*/scripts/\d+\.wsgi")


def test_a_dump_on_demand_and_after_a_time_is_logged(site):
    site.log.allow(r"\[group daemon\] ")
    site.log.expect("most recent call first", times=3)
    puppet = Puppet(site)
    puppet.run(
        "import faulthandler, os, signal, time\n"
        "faulthandler.register(signal.SIGUSR2, all_threads=False)\n"
        "os.kill(os.getpid(), signal.SIGUSR2)\n"
        "faulthandler.unregister(signal.SIGUSR2)\n"
        "faulthandler.dump_traceback_later(0.05)\ntime.sleep(0.2)\nfaulthandler.cancel_dump_traceback_later()\n"
        "faulthandler.dump_traceback()\nresult = 0"
    )
    site.log.wait_for(r"Timeout \(0:00:00.05")
    site.log.wait_for(r"\[group daemon\]   File .*/scripts/\d+\.wsgi", count=2)


def test_a_program_that_outlives_its_worker_goes_on_being_logged(site):
    site.log.expect("the program goes on$")
    site.log.expect("the program ends$")
    puppet = Puppet(site)
    go_on = site.root / "go-on"
    puppet.run(
        "import subprocess\n"
        f"script = 'echo the program goes on; while ! test -e {go_on}; do sleep 0.05; done; echo the program ends'\n"
        "result = subprocess.Popen(['sh', '-c', script], start_new_session=True).pid"
    )
    site.log.wait_for("the program goes on$")
    pid = puppet.value("os.getpid()")
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not is_alive(pid), "the worker to end")
    go_on.touch()
    record = site.log.wait_for("the program ends$")
    assert (text_of(record), record.pid) == ("the program ends", pid)


def test_lines_are_in_httpds_time_whatever_the_application_makes_of_its_own(site):
    site.log.expect("before$|in between$|after$", times=3)
    puppet = Puppet(site)
    talk = "t = threading.Thread(target=print, args=({!r},)); t.start(); t.join()\n"
    puppet.run("import threading\n" + talk.format("before") + "result = 0")
    puppet.run(
        "import os, threading, time\nos.environ['TZ'] = 'Pacific/Kiritimati'\ntime.tzset()\n"
        + talk.format("in between")
        + "result = time.strftime('%H')"
    )
    puppet.run("import os\nos.write(2, b'after\\n')\nresult = 0")
    site.log.wait_for("after$")
    hours = {re.search(r" (\d\d):\d\d:\d\d\.", record.text)[1] for record in site.log.matching("before$|in between$|after$")}
    assert len(hours) <= 2 and max(map(int, hours)) - min(map(int, hours)) in (0, 1, 23)


# -- at the end


AT_EXIT = """
import atexit, os, signal, sys, threading, time

def note(text):
    print(text)
    os.write(2, text.encode() + b" past Python\\n")

atexit.register(print, "no newline", end="")
atexit.register(note, "second function")
atexit.register(note, "first function")

def work():
    while threading.main_thread() and not hasattr(sys, "ended"):
        time.sleep(0.01)
    time.sleep(0.2)
    print("the thread")

def application(environ, start_response):
    if environ["QUERY_STRING"] == "start":
        threading.Thread(target=work, daemon=False).start()
        sys.ended = True
    start_response("200 OK", [])
    return [b"hello"]
"""


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "stop"])
def test_threads_and_exit_functions_write_to_the_log_until_the_very_end_and_in_order(site, how):
    for expected in ("the thread$", "no newline$", "first function", "second function"):
        site.log.expect(expected)
    app = site.script(AT_EXIT)
    pid = app.process()
    assert app.get("?start").body == b"hello"
    if how == "stop":
        site.stop()
    else:
        os.kill(pid, getattr(signal, how))
        wait_until(lambda: not is_alive(pid), "the worker to end")
    site.log.wait_for("no newline$")
    texts = [record.message for record in site.log.matching("the thread|function$|no newline")]
    assert texts == ["the thread", "first function", "second function", "no newline"]
    assert len(site.log.matching(r"\[group daemon\] .* function past Python")) == 2


def test_lines_of_a_process_that_ends_by_itself_are_not_lost(site):
    site.log.allow("line of a thread|WSGI0146")
    site.log.expect("WSGI0310.*exit status 3")
    code = (
        "import os, threading\n"
        "def talk():\n    for number in range(20_000): print('line of a thread', number)\n"
        "t = threading.Thread(target=talk); t.start(); t.join()\nos._exit(3)"
    )
    assert Puppet(site).send(code).status == 502
    site.log.wait_for("WSGI0310")
    assert len(site.log.matching("line of a thread")) == 20_000


# -- log files change


ROTATED = """
<VirtualHost *:{port}>
  ServerName localhost
</VirtualHost>
<VirtualHost *:{port}>
  ServerName one.test
  ErrorLog {one}
  WSGIDaemonProcess one threads=3 display-name=%{GROUP}
  WSGIProcessGroup one
</VirtualHost>
"""

TALK = """
import os, sys, threading, time

def talk(text):
    print(text, "of the request")
    t = threading.Thread(target=print, args=(text + " of a thread",)); t.start(); t.join()
    os.write(2, text.encode() + b" past Python\\n")

def application(environ, start_response):
    first, _, wait = environ["QUERY_STRING"].partition("&")
    talk(first)
    if wait:
        while not os.path.exists(wait):
            time.sleep(0.01)
        talk("late " + first)
    start_response("200 OK", [])
    return [b"hello"]
"""
KINDS = ("of the request", "of a thread", "past Python")


def ask(site, app, host, query):
    response = app.get(f"?{query}", [("Host", f"{host}:{site.port}")])
    assert response.body == b"hello"


def counts(path, word):
    """How many lines of each kind a log has of this word."""
    text = path.read_text() if path.exists() else ""
    return [len(re.findall(rf"(?<!late ){word} {kind}$", text, re.MULTILINE)) for kind in KINDS]


@line("LIF-14")
def test_a_rotation_with_graceful_sends_lines_of_old_processes_to_the_new_files(new_daemon):
    site = new_daemon("threads=4", ROTATED.replace("{one}", "{root}/one.log")).start()
    site.log.allow("(before|after|begun) ")
    app = site.script(TALK)
    gate = site.root / "gate"
    for host in ("localhost", "one.test"):
        ask(site, app, host, "before")
    before = site.workers()
    connection = site.connect()
    connection.send_request("GET", f"{app.url}?begun&{gate}", [("Host", f"one.test:{site.port}")])
    own = site.root / "one.log"
    wait_until(lambda: counts(own, "begun")[2], "the request to have begun")
    wait_until(lambda: counts(site.log.path, "before")[2], "the lines before")
    for path in (site.log.path, own):
        path.rename(f"{path}.1")
    site.log.path.touch()
    site.graceful()
    for host in ("localhost", "one.test"):
        ask(site, app, host, "after")
    gate.touch()
    assert connection.response().body == b"hello"
    assert site.workers() == before, "a rotation starts no process"
    for path, words in ((site.log.path, ["after"]), (own, ["after"])):
        for word in words:
            wait_until(lambda path=path, word=word: counts(path, word) == [1, 1, 1], f"lines of {word} in {path}")
            assert counts(path.with_name(path.name + ".1"), word) == [0, 0, 0]
    # The request that began before is the old httpd child's, which has the old file; its process's own lines go to the new.
    wait_until(lambda: "late begun past Python" in own.read_text(), "the late lines")
    old = own.with_name("one.log.1").read_text()
    assert "late begun of the request" in old and "late begun of a thread" not in old
    assert "late begun of a thread" in own.read_text()
    connection.close()


def test_a_log_program_that_is_replaced_gets_its_end_and_the_new_one_gets_the_lines(new_daemon):
    # Each program writes to a file of its own.
    site = new_daemon("threads=4")
    logger = site.root / "logger.py"
    logger.write_text(
        "import os, sys\n"
        "with open(f'{sys.argv[1]}.{os.getpid()}', 'wb', 0) as file:\n"
        "    while data := os.read(0, 65536): file.write(data)\n"
    )
    site.configure(ROTATED.replace("{one}", f'"|{sys.executable} {logger} {{root}}/one"') + 'ErrorLog {root}/error.log\n')
    site.start()
    site.log.allow("(before|after) ")
    app = site.script(TALK)
    ask(site, app, "one.test", "before")

    def have_lines():
        return [path for path in site.root.glob("one.*") if "before" in path.read_text()]

    (first,) = wait_until(have_lines, "a program to have lines")
    wait_until(lambda: counts(first, "before") == [1, 1, 1], "the first program to have the lines")
    site.graceful()
    ask(site, app, "one.test", "after")
    wait_until(lambda: not is_alive(int(first.suffix[1:])), "the first program to end")
    second = max(site.root.glob("one.*"), key=lambda path: path.stat().st_mtime_ns if path != first else 0)
    wait_until(lambda: counts(second, "after") == [1, 1, 1], "the second program to have the lines")
    assert counts(first, "after") == [0, 0, 0]


def test_a_restart_leaves_lines_where_they_belong(new_daemon):
    site = new_daemon("threads=4", ROTATED.replace("{one}", "{root}/one.log")).start()
    site.log.allow("(before|after) |AH03093")
    app = site.script(TALK)
    own = ErrorLog(site.root / "one.log")
    for word in ("before", "after"):
        for host in ("localhost", "one.test"):
            ask(site, app, host, word)
        site.log.wait_for(f"{word} past Python")
        own.wait_for(f"{word} past Python")
        assert counts(site.log.path, word) == counts(own.path, word) == [1, 1, 1]
        if word == "before":
            site.restart()


SYSTEM_LOG = "/dev/log"


@pytest.fixture
def system_log():
    """What comes to the system's log, where there is none and one may be made."""
    if os.geteuid() != 0 or os.path.exists(SYSTEM_LOG):
        pytest.skip("only root can stand for the system's log, and only where there is none")
    messages = []

    def listen():
        while message := receiver.recv(65536):
            messages.append(message.decode(errors="replace"))

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(SYSTEM_LOG)
        try:
            os.chmod(SYSTEM_LOG, 0o666)
            listener = threading.Thread(target=listen)
            listener.start()
            yield messages
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                # No message of anybody's is empty.
                sender.sendto(b"", SYSTEM_LOG)
            listener.join()
        finally:
            os.unlink(SYSTEM_LOG)


def test_lines_for_the_systems_log_go_there_with_facility_and_name(new_daemon, system_log):
    site = new_daemon("threads=4", ROTATED.replace("{one}", "syslog:local1:site")).start()
    app = site.script(TALK)
    ask(site, app, "one.test", "hello")

    def found(kind):
        return [message for message in system_log if message.endswith(f"hello {kind}")]

    for kind in KINDS:
        wait_until(lambda kind=kind: found(kind), f"the line {kind}")
        (message,) = found(kind)
        # Facility local1, severity error.
        assert re.match(rf"<{17 * 8 + 3}>\w{{3}} [ \d]\d [\d:]{{8}} site\[\d+\]: ", message), message
        assert "[wsgi:error] [pid " in message
    assert "[group one] hello past Python" in found("past Python")[0]
    site.stop()
    assert not site.log.matching("hello ")
