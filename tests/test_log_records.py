"""What one event of an application is in the error log: one record, whole, in the right host's log, with its request."""

import re
import threading

import pytest

from harness.checklist import line, ours
from harness.condition import wait_until
from harness.error_log import ErrorLog

HOSTS = ("one.test", "two.test")

# The first, for all other names, has the main log. The second has records of a fixed shape, the third lets almost
# nothing through. None has a line of the module's.
CONFIG = r"""
<VirtualHost *:{port}>
  ServerName localhost
</VirtualHost>
<VirtualHost *:{port}>
  ServerName one.test
  ErrorLog {root}/one.test.log
  ErrorLogFormat "{ \"id\": \"%L\", \"level\": \"%l\", \"client\": \"%a\", \"message\": \"%M\" }"
  LogLevel wsgi:debug
</VirtualHost>
<VirtualHost *:{port}>
  ServerName two.test
  ErrorLog {root}/two.test.log
  LogLevel wsgi:crit
  <LocationMatch "[.]wsgi/loud$">
    LogLevel wsgi:info
  </LocationMatch>
</VirtualHost>
"""

FAILURES = """
import mod_wsgi

def boom():
    raise ValueError("boom")

def chain():
    try:
        boom()
    except ValueError as cause:
        raise KeyError("outer") from cause

def group():
    first, second = [], []
    for kind in (TypeError, OSError):
        try:
            raise kind("inner")
        except Exception as failure:
            first.append(failure)
    raise ExceptionGroup("several", first)

def long():
    raise ValueError("\\n".join("line %05d" % number for number in range(3000)) + " the end")

def application(environ, start_response):
    globals()[environ["QUERY_STRING"]]()
"""

FOLLOWED = """
import io, logging, mod_wsgi, sys, threading, time, traceback, warnings

def application(environ, start_response):
    errors = environ["wsgi.errors"]
    {body}
    start_response("200 OK", [("X-Request", environ.get("mod_wsgi.request_id", ""))])
    return [b"done"]
"""


@pytest.fixture
def logs(site):
    """The virtual hosts' own logs, by name."""
    logs = {name: ErrorLog(site.root / f"{name}.log") for name in HOSTS}
    for log in logs.values():
        # What earlier tests wrote there is theirs.
        log.allow(".")
        log.begin()
    return logs


@pytest.fixture
def run(site):
    """Runs statements in a request of a virtual host, or of the main server."""

    def make(statements, host="", mount="main"):
        app = site.script(FOLLOWED.format(body=statements.replace("\n", "\n    ")), mount)
        response = app.get(headers=[("Host", f"{host}:{site.port}")] if host else [])
        assert (response.status, response.body) == (200, b"done")
        return response

    return make


def fields(record):
    """The parts of a record of one.test; that a line has this shape says that it is a whole record."""
    match = re.fullmatch(
        r'\{ "id": "(?P<id>[^"]*)", "level": "(?P<level>\w+)", "client": "(?P<client>[^"]*)", "message": "(?P<message>.*)" \}',
        record.text,
    )
    assert match, record.text
    return match.groupdict()


# -- tracebacks


@ours
@pytest.mark.parametrize("mount", ["main", "sub"])
@pytest.mark.parametrize(
    ("what", "last", "within"),
    [
        ("boom", "ValueError: boom", [r"Traceback \(most recent", "in application", "in boom"]),
        ("chain", "KeyError: 'outer'", ["ValueError: boom", "direct cause", "in chain"]),
        ("group", "[+-]+", ["Exception Group Traceback", "TypeError: inner", "OSError: inner", "several"]),
    ],
)
def test_an_uncaught_exception_is_one_record_of_its_request(site, log, logs, what, last, within, mount):
    app = site.script(FAILURES, mount)
    assert app.get(f"?{what}", [("Host", f"one.test:{site.port}")]).status == 500
    own = logs["one.test"]
    own.wait_for("WSGI0174")
    (record,) = own.matching("WSGI0174|Traceback|Error: ")
    parts = fields(record)
    assert parts["level"] == "error" and parts["client"].startswith("127.0.0.1:")
    wait_until(lambda: site.accesses() and site.accesses()[-1].split()[3] == parts["id"], "the access, with the same id")
    assert parts["message"].startswith(f"[script {app.path}] WSGI0174: ")
    assert re.search(rf"\\n\s*{last}$", parts["message"]), parts["message"]
    for text in within:
        assert re.search(text, parts["message"]), text
    assert not log.matching("WSGI0174") and not logs["two.test"].matching("WSGI0174")


@ours
def test_a_script_that_cannot_be_loaded_is_one_record(site, logs):
    app = site.script("import os\n\ndef broken(:\n")
    assert app.get(headers=[("Host", f"one.test:{site.port}")]).status == 500
    logs["one.test"].wait_for("WSGI0105")
    (record,) = logs["one.test"].matching("SyntaxError|broken")
    assert re.search(rf'WSGI0105.*\\n  File "{app.path}", line 3\\n.*\\nSyntaxError', record.text)


@ours
def test_a_traceback_of_any_length_is_whole_and_cut_between_lines(site, logs):
    app = site.script(FAILURES)
    assert app.get("?long", [("Host", f"one.test:{site.port}")]).status == 500
    logs["one.test"].wait_for("the end")
    records = [fields(record) for record in logs["one.test"].matching(r"WSGI0174|line \d{5}")]
    lines = "\\n".join(parts["message"].removeprefix(f"[script {app.path}] ") for parts in records).split("\\n")
    numbers = [int(line[5:10]) for line in lines if re.match(r"line \d{5}", line)]
    assert numbers == list(range(1, 3000)), "the first stands behind the exception's name"
    assert len({parts["id"] for parts in records}) == 1 < len(records)
    assert all(len(record.text) < 8000 for record in logs["one.test"].records())


WRITTEN = {
    "print_exc": "traceback.print_exc()",
    "print_exc to wsgi.errors": "traceback.print_exc(file=errors)",
    "logging to stderr": "logging.getLogger('to stderr').exception('it failed')",
    "LogHandler": "logger = logging.Logger('x'); logger.addHandler(mod_wsgi.LogHandler()); logger.exception('it failed')",
    "sys.excepthook": "sys.excepthook(*sys.exc_info())",
}


@ours
@pytest.mark.parametrize("statement", WRITTEN.values(), ids=WRITTEN)
def test_a_traceback_that_the_application_writes_is_one_record(run, logs, statement):
    run(f"print('before')\ntry: 1 / 0\nexcept ZeroDivisionError: {statement}\nprint('after')", "one.test")
    own = logs["one.test"]
    own.wait_for("after")
    messages = [fields(record)["message"].partition("] ")[2] for record in own.matching("before|Traceback|after|1 / 0")]
    assert [messages[0], messages[2:]] == ["before", ["after"]]
    assert re.fullmatch(r"(it failed\\n)?Traceback .*\\n    (try: )?1 / 0.*\\nZeroDivisionError: division by zero", messages[1])


@ours
def test_the_level_of_a_logged_traceback_is_kept_and_asked_for(run, logs):
    body = (
        "logger = logging.Logger('x'); logger.addHandler(mod_wsgi.LogHandler())\n"
        "for name in 'critical error warning info debug'.split():\n"
        "    try: 1 / 0\n    except ZeroDivisionError: getattr(logger, name)('at %s', name, exc_info=True)"
    )
    run(body, "one.test")
    logs["one.test"].wait_for("at debug")
    levels = [(fields(record)["level"], record.text) for record in logs["one.test"].matching("ZeroDivisionError")]
    assert [level for level, _ in levels] == ["crit", "error", "warn", "info", "debug"]
    run(body, "two.test")
    logs["two.test"].wait_for("at critical")
    assert len(logs["two.test"].records()) == 1


@ours
def test_a_level_that_holds_for_some_urls_only_is_kept(site, logs):
    source = (
        "import logging, mod_wsgi\n"
        "logger = logging.Logger('x'); logger.addHandler(mod_wsgi.LogHandler())\n"
        "def application(environ, start_response):\n"
        "    for name in 'error info debug'.split(): getattr(logger, name)('%s at %s', environ['PATH_INFO'], name)\n"
        "    start_response('200 OK', [])\n    return [b'']\n"
    )
    app = site.script(source)
    for path in ("/quiet", "/loud"):
        assert app.get(path, [("Host", f"two.test:{site.port}")]).status == 200
    logs["two.test"].wait_for("/loud at info")
    texts = [record.text.rpartition("] ")[2] for record in logs["two.test"].matching(" at (error|info|debug)$")]
    assert texts == ["/loud at error", "/loud at info"]


@ours
def test_a_thread_that_fails_says_so_in_one_traceback_without_a_request(run, log, logs):
    log.expect("Exception in thread talker")
    log.expect_traceback("ZeroDivisionError")
    run("t = threading.Thread(target=lambda: 1 / 0, name='talker'); t.start(); t.join()", "one.test")
    (record,) = log.matching("Traceback")
    assert record.client is None and record.message.endswith("ZeroDivisionError: division by zero")
    assert not logs["one.test"].matching("Traceback")


def test_the_hooks_for_exceptions_are_the_applications(run, log):
    for expected in ("the thread's hook has ZeroDivisionError", "the unraisable's hook has KeyError"):
        log.expect(f"{expected}$")
    run(
        "before = threading.excepthook, sys.unraisablehook\n"
        "threading.excepthook = lambda args: print(\"the thread's hook has\", args.exc_type.__name__)\n"
        "sys.unraisablehook = lambda args: print(\"the unraisable's hook has\", args.exc_type.__name__)\n"
        "class Odd:\n    def __del__(self): raise KeyError\n"
        "t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()\n"
        "Odd()\n"
        "threading.excepthook, sys.unraisablehook = before"
    )


@ours
def test_an_exception_that_nobody_can_catch_is_a_record_of_the_request_in_which_it_is_raised(run, log):
    log.expect("Exception ignored in: .*__del__")
    log.expect_traceback("KeyError")
    run("class Odd:\n    def __del__(self): raise KeyError\nOdd()")
    for record in log.matching("Exception ignored|Traceback"):
        assert record.client


# -- nothing is cut


UNITS = {"ascii": "x", "latin": "\u00e9", "snake": "\U0001f40d", "backslash": "\\", "control": "\x01"}


@ours
@pytest.mark.parametrize("thread", ["request", "background"])
@pytest.mark.parametrize("unit", UNITS.values(), ids=UNITS)
def test_a_line_of_any_length_reaches_the_log_whole(run, log, unit, thread):
    """httpd writes some bytes as four, and cuts what is over 8,191 then."""
    log.allow(".")
    print_it = f"print('<begin>' + {unit!r} * 30_000 + '<end>')"
    if thread == "background":
        print_it = f"t = threading.Thread(target=lambda: {print_it}); t.start(); t.join()"
    run(print_it)
    log.wait_for("<end>")
    text = "".join(record.message.rpartition("] ")[2] for record in log.records() if record.level == "error")
    shown = text.partition("<begin>")[2].partition("<end>")[0]
    count = shown.count(unit.encode().decode("utf-8")) or shown.count("".join(f"\\x{byte:02x}" for byte in unit.encode()))
    assert count // (2 if unit == "\\" and thread == "request" else 1) >= 30_000, (count, text[:200])
    assert all(record.message for record in log.records()), "no record is empty"


@ours
def test_every_byte_that_is_written_can_be_told_from_the_record(run, log):
    log.expect("first.*last")
    run("errors.buffer.write(b'first' + bytes(range(1, 10)) + b'\\xff\\xc3(' + b'last\\n')")
    assert re.search(r"first\\x01\\x02.*\\t\\xff\\xc3\(last$", log.wait_for("first").message)


@ours
def test_fifty_thousand_lines_are_all_there_and_in_order(run, log):
    log.allow("number")
    run(
        "for number in range(25_000): print('request number', number)\n"
        "def talk():\n    for number in range(25_000): print('thread number', number)\n"
        "t = threading.Thread(target=talk); t.start(); t.join()"
    )
    log.wait_for("thread number 24999$", timeout=30)
    for who in ("request", "thread"):
        numbers = [int(record.message.split()[-1]) for record in log.matching(f"{who} number")]
        assert numbers == list(range(25_000))


def test_a_line_is_there_while_the_client_takes_nothing(site, log):
    log.expect("written while the client waits$")
    app = site.script(
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    yield b'x'\n"
        "    print('written while the client waits')\n"
        "    for _ in range(200): yield b'x' * 100_000\n"
    )
    with site.connect() as connection:
        connection.send_request("GET", app.url)
        log.wait_for("written while the client waits$")


# -- whose it is


@line("LIF-15")
@ours
def test_requests_of_two_hosts_at_once_never_write_to_each_others_log(site, logs):
    app = site.script(
        "import mod_wsgi, logging, threading\n"
        "logger = logging.Logger('x'); logger.addHandler(mod_wsgi.LogHandler())\n"
        "barrier = threading.Barrier(2, timeout=10)\n"
        "def application(environ, start_response):\n"
        "    for number in range(50):\n"
        "        barrier.wait()\n"
        "        logger.critical('%s %d', environ['QUERY_STRING'], number)\n"
        "    start_response('200 OK', [])\n    return [b'']\n"
    )
    threads = [
        threading.Thread(target=app.get, args=(f"?for-{name}", [("Host", f"{name}:{site.port}")])) for name in HOSTS
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, own in logs.items():
        own.wait_for(f"for-{name} 49")
        assert [record.text.count(f"for-{name}") for record in own.matching("for-")] == [1] * 50
        assert not own.matching(f"for-{(set(HOSTS) - {name}).pop()}")


@line("LIF-15")
@ours
def test_lines_of_no_request_go_to_the_main_log_where_the_hosts_have_no_group_of_their_own(run, log, logs):
    """A host without a line of the module's has the main server's settings; its log is its own all the same."""
    log.expect("of a background thread$")
    run("t = threading.Thread(target=print, args=('of a background thread',)); t.start(); t.join()", "one.test")
    log.wait_for("of a background thread$")
    for own in logs.values():
        assert not own.matching("background")


@ours
def test_each_line_has_the_id_that_the_access_log_has(run, site, logs):
    run("print('of a request with an id')", "one.test")
    record = logs["one.test"].wait_for("of a request with an id")
    number = fields(record)["id"]
    assert number != "-"
    wait_until(lambda: site.accesses()[-1].split()[3] == number, "the access, with the same id")


@ours
@pytest.mark.parametrize(
    "statement",
    [
        "print('of a context')",
        "print('of a context', file=sys.stderr)",
        "sys.stdout.write('of a context')",
        "traceback.print_exception(ValueError('of a context'))",
        "logger.critical('of a context')",
    ],
)
def test_a_thread_that_runs_in_the_requests_context_writes_to_the_requests_log(run, log, logs, statement):
    code = (
        "import contextvars\n"
        "logger = logging.Logger('x'); logger.addHandler(mod_wsgi.LogHandler())\n"
        f"def talk(): {statement}\n"
        "t = threading.Thread(target=contextvars.copy_context().run, args=(talk,)); t.start(); t.join()\n"
        "print('of the request')"
    )
    run(code, "one.test")
    own = logs["one.test"]
    own.wait_for("of the request")
    own.wait_for("of a context")
    of_thread, of_request = (fields(own.matching(f"of {who}")[0]) for who in ("a context", "the request"))
    assert (of_thread["id"], of_thread["client"]) == (of_request["id"], of_request["client"])
    assert not log.matching("of a context")


@ours
def test_the_level_asked_for_in_the_requests_context_is_that_of_its_host(run, logs):
    code = (
        "import asyncio\n"
        "logger = logging.Logger('x'); logger.addHandler(mod_wsgi.LogHandler())\n"
        "async def main(): await asyncio.to_thread(logger.debug, 'not for everyone'); logger.debug('of the task')\n"
        "asyncio.run(main())"
    )
    for host in HOSTS:
        run(code, host)
    logs["one.test"].wait_for("not for everyone")
    logs["one.test"].wait_for("of the task")
    assert not logs["two.test"].matching("everyone|task")


@ours
def test_a_thread_that_outlives_the_request_of_its_context_writes_to_the_main_log(run, log, logs, site):
    log.expect("begun early, ended late$")
    log.expect("wholly late$")
    gate = site.root / "gate"
    gate.unlink(missing_ok=True)
    code = (
        "import contextvars, os\n"
        "def talk():\n"
        f"    while not os.path.exists({str(gate)!r}): time.sleep(0.01)\n"
        "    print('begun early, ended late')\n    logging.getLogger('late').error('wholly late')\n"
        "logging.basicConfig(format='%(message)s', force=True)\n"
        "threading.Thread(target=contextvars.copy_context().run, args=(talk,)).start()"
    )
    run(code, "one.test")
    gate.touch()
    log.wait_for("wholly late$")
    assert not logs["one.test"].matching("late$")
