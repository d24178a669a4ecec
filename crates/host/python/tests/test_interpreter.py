"""Setting up an interpreter, its modules and signals, and its end."""

import atexit
import logging
import os
import signal
import subprocess
import sys
import threading
import types

import pytest
from wsgi_host import exits, process, streams
from wsgi_host.file_wrapper import FileWrapper, file_range


def test_setup_registers_what_the_native_half_calls(host, interpreter):
    interpreter.setup("")
    registered = host.registered
    assert registered["errors"] is streams.Errors
    assert registered["file_wrapper"] is FileWrapper
    assert registered["file_range"] is file_range
    assert registered["exit_functions"] is exits.run
    assert set(registered) == {
        "template", "errors", "load", "report", "file_range", "file_wrapper", "exit_functions", "adopt",
        "reload_required", "request_timeout", "current_request", "event_callbacks", "request_started",
        "response_started", "request_exception", "request_finished", "process_signal", "process_stopping",
        "reload_required", "request_timeout", "load_asked", "initialise",
    }  # fmt: skip


def test_the_template_is_what_pep_3333_asks_for(host, interpreter):
    host.values.update(is_multithread="0")
    interpreter.setup("")
    assert host.registered["template"] == {
        "wsgi.version": (1, 0),
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "wsgi.file_wrapper": FileWrapper,
        "mod_wsgi.version": (6, 1, 1),
        "apache.version": (2, 4, 71),
    }


def daemon(host, **settings):
    host.values.update({"door": "daemon", "processes": "2", "threads": "4", "maximum_requests": "0", **settings})


@pytest.mark.parametrize(
    ("threads", "maximum_requests", "run_once"), [("1", "1", True), ("2", "1", False), ("1", "0", False)]
)
def test_run_once_is_one_thread_and_one_request(host, interpreter, threads, maximum_requests, run_once):
    daemon(host, threads=threads, maximum_requests=maximum_requests)
    interpreter.setup("")
    assert host.registered["template"]["wsgi.run_once"] is run_once


def test_a_daemon_process_has_its_groups_figures_and_apache_those_of_httpd(host, interpreter):
    daemon(host)
    interpreter.setup("shop")
    ours, apache = sys.modules["mod_wsgi"], sys.modules["apache"]
    assert (ours.maximum_processes, ours.threads_per_process) == (2, 4)
    assert (apache.maximum_processes, apache.threads_per_process) == (16, 25)


def test_the_application_group_may_get_its_name_late(host, interpreter):
    daemon(host)
    interpreter.setup("")
    host.registered["adopt"]("shop")
    assert sys.modules["mod_wsgi"].application_group == "shop"


def test_a_service_may_handle_signals(host, interpreter):
    daemon(host, threads="0")
    before = signal.signal
    interpreter.setup("")
    assert signal.signal is before


def test_home_comes_before_the_python_path(host, interpreter, tmp_path):
    daemon(host, python_path=str(tmp_path), home="/srv/home")
    interpreter.setup("")
    assert sys.path[:2] == ["/srv/home", str(tmp_path)]


def test_the_registered_loader_loads(host, interpreter, tmp_path):
    (tmp_path / "one.wsgi").write_text("application = 5")
    interpreter.setup("shop")
    path = str(tmp_path / "one.wsgi")
    module = host.registered["load"](path, os.stat(path).st_mtime_ns // 1000, True, path)
    del sys.modules[module.__name__]
    assert module.application == 5
    assert host.text() == [f"Loading Python script file '{path}' in sub-interpreter 'shop' in embedded mode."]


def test_sys_argv_names_mod_wsgi(interpreter):
    interpreter.setup("")
    assert sys.argv == ["mod_wsgi"]


def test_the_switch_interval_is_set_when_asked(host, interpreter):
    host.values.update(switch_interval="0.25")
    interpreter.setup("")
    assert sys.getswitchinterval() == 0.25


def test_the_python_path_comes_first_in_its_order_with_pth_files(host, interpreter, tmp_path):
    directories = [tmp_path / name for name in ("one", "two", "extra")]
    for directory in directories:
        directory.mkdir()
    (directories[0] / "more.pth").write_text(f"{directories[2]}\n")
    before = list(sys.path)
    host.values.update(python_path=f"{directories[0]}:{directories[1]}:")
    interpreter.setup("")
    assert sys.path == [str(tmp_path / name) for name in ("one", "extra", "two")] + before


def test_a_python_path_that_fails_is_logged_and_ends_the_list(host, interpreter, monkeypatch, tmp_path):
    import site

    def add(directory):
        if directory == "/bad":
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
        sys.path.append(directory)

    monkeypatch.setattr(site, "addsitedir", add)
    host.values.update(python_path="/good:/bad:/later")
    interpreter.setup("")
    assert sys.path[0] == "/good"
    assert "/later" not in sys.path
    assert host.text()[0].startswith("WSGI0091: cannot add /bad to the module search path: UnicodeDecodeError")
    assert host.registered is not None


def test_print_and_warnings_of_an_interpreter_reach_the_log(host, interpreter):
    interpreter.setup("")
    print("one")
    print("two", file=sys.stderr)
    sys.stdout.flush()
    assert host.lines == [(3, b"one"), (3, b"two")]


@pytest.mark.parametrize("name", ["stdin", "stdout"])
def test_a_restricted_stream_refuses_everything_but_repr(host, interpreter, name):
    host.values.update({f"restrict_{name}": "1"})
    interpreter.setup("")
    stream = getattr(sys, name)
    text = f"^sys.{name} access restricted by mod_wsgi$"
    for use in (lambda: stream.fileno(), lambda: hasattr(stream, "x"), lambda: setattr(stream, "x", 1)):
        with pytest.raises(OSError, match=text):
            use()
    assert f"sys.{name}" in repr(stream)


def test_print_to_a_restricted_stdout_and_input_from_a_restricted_stdin_fail(host, interpreter):
    host.values.update(restrict_stdout="1", restrict_stdin="1")
    interpreter.setup("")
    with pytest.raises(OSError, match="^sys.stdout access restricted by mod_wsgi$"):
        print("hello")
    with pytest.raises(OSError, match="^sys.stdin access restricted by mod_wsgi$"):
        sys.stdin.read()


def test_a_signal_handler_is_not_registered_and_the_one_in_place_is_returned(host, interpreter):
    interpreter.setup("")
    before = signal.getsignal(signal.SIGUSR2)
    assert signal.signal(signal.SIGUSR2, lambda number, frame: None) is before
    assert signal.getsignal(signal.SIGUSR2) is before
    ((level, record),) = host.lines
    assert level == 6
    headline, _, stack = record.decode().partition("\n")
    assert headline == (
        f"Ignoring Python signal handler registration for signal {int(signal.SIGUSR2)} in WSGI process; "
        "mod_wsgi manages signals. Called from:"
    )
    assert "test_interpreter.py" in stack and "signals.py" not in stack


def test_refusing_a_signal_handler_is_silent_when_info_is_not_logged(host, interpreter):
    interpreter.setup("")
    host.most_verbose_level = 4
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    assert host.lines == []


def test_signal_works_off_the_main_thread_and_checks_its_arguments(interpreter):
    interpreter.setup("")
    with pytest.raises(TypeError):
        signal.signal("SIGTERM", signal.SIG_DFL)
    with pytest.raises(TypeError):
        signal.signal(signal.SIGTERM)
    with pytest.raises(ValueError):
        signal.signal(4000, signal.SIG_DFL)
    results = []
    thread = threading.Thread(target=lambda: results.append(signal.signal(signal.SIGUSR2, signal.SIG_IGN)))
    thread.start()
    thread.join(10)
    assert results == [signal.getsignal(signal.SIGUSR2)]


def test_a_forked_child_may_register_signal_handlers(interpreter):
    interpreter.setup("")
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        os._exit(0 if signal.getsignal(signal.SIGUSR2) == signal.SIG_IGN else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_signals_can_be_left_to_the_application(host, interpreter):
    host.values.update(restrict_signal="0")
    before = signal.signal
    interpreter.setup("")
    assert signal.signal is before


def test_mod_wsgi_says_where_the_application_runs(host, interpreter):
    host.values.update(process_group="batch")
    interpreter.setup("shop")
    import mod_wsgi

    assert mod_wsgi.version == (6, 1, 1)
    assert (mod_wsgi.process_group, mod_wsgi.application_group) == ("batch", "shop")
    assert (mod_wsgi.maximum_processes, mod_wsgi.threads_per_process) == (16, 25)
    assert mod_wsgi.FileWrapper is FileWrapper
    assert issubclass(mod_wsgi.RequestTimeout, BaseException)
    assert not issubclass(mod_wsgi.RequestTimeout, Exception)
    assert (mod_wsgi.__spec__, mod_wsgi.__loader__, mod_wsgi.__package__, mod_wsgi.__doc__) == (None,) * 4
    assert "LogHandler" in dir(mod_wsgi)
    with pytest.raises(ImportError):
        from mod_wsgi import no_such_name  # noqa: F401


def test_a_mod_wsgi_package_lends_its_submodules(host, interpreter, tmp_path):
    package = tmp_path / "mod_wsgi"
    (package / "express").mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('not to be run')")
    (package / "express" / "__init__.py").write_text("value = 7")
    host.values.update(python_path=str(tmp_path))
    interpreter.setup("")
    import mod_wsgi.express

    del sys.modules["mod_wsgi.express"]
    assert (mod_wsgi.version, mod_wsgi.express.value) == ((6, 1, 1), 7)


def test_a_mere_directory_named_mod_wsgi_is_no_package(host, interpreter, tmp_path):
    (tmp_path / "mod_wsgi").mkdir()
    host.values.update(python_path=str(tmp_path))
    interpreter.setup("")
    assert not hasattr(sys.modules["mod_wsgi"], "__path__")


def test_apache_describes_the_server(interpreter):
    interpreter.setup("")
    import apache

    assert type(apache) is types.ModuleType
    assert apache.version == (2, 4, 71)
    assert (apache.description, apache.build_date) == ("Apache/2.4.71 (Unix)", "2026-01-01T00:00:00")
    assert (apache.mpm_name, apache.maximum_processes, apache.threads_per_process) == ("event", 16, 25)


def test_the_sites_own_apache_module_is_extended(host, interpreter, tmp_path):
    (tmp_path / "apache.py").write_text("mine = 3")
    host.values.update(python_path=str(tmp_path))
    interpreter.setup("")
    import apache

    assert (apache.mine, apache.version) == (3, (2, 4, 71))


@pytest.mark.parametrize("source", ["1/0", "raise SystemExit"])
def test_a_broken_apache_module_of_the_site_stops_nothing(host, interpreter, tmp_path, source):
    (tmp_path / "apache.py").write_text(source)
    host.values.update(python_path=str(tmp_path))
    interpreter.setup("")
    assert sys.modules["apache"].version == (2, 4, 71)
    assert host.text()[0].startswith("WSGI0302: cannot import the site's module 'apache'")


@pytest.fixture
def logger(interpreter):
    interpreter.setup("")
    import mod_wsgi

    logger = logging.Logger("site")
    logger.addHandler(mod_wsgi.LogHandler())
    return logger


@pytest.mark.parametrize(
    ("levelno", "level"), [(55, 2), (50, 2), (45, 3), (40, 3), (30, 4), (25, 6), (20, 6), (10, 7), (5, 7)]
)
def test_log_handler_keeps_levels(host, logger, levelno, level):
    logger.log(levelno, "x")
    assert host.lines == [(level, b"x")]


def test_log_handler_splits_lines_and_drops_empty_messages(host, logger):
    logger.error("a\n\nb\n")
    logger.error("")
    assert host.text() == ["a", "", "b"]


def test_log_handler_does_not_format_what_would_be_dropped(host, logger):
    host.most_verbose_level = 4

    class Unprintable:
        def __str__(self):
            raise AssertionError("formatted")

    logger.info(Unprintable())
    assert host.lines == []


def test_log_handler_gives_formatting_errors_to_handle_error(host, logger, monkeypatch):
    handled = []
    monkeypatch.setattr(logger.handlers[0], "handleError", handled.append)
    logger.error("%d", "no number")
    assert [record.msg for record in handled] == ["%d"]


def test_log_handler_can_be_subclassed(host, logger):
    class Loud(type(logger.handlers[0])):
        def format(self, record):
            return super().format(record).upper()

    logger.handlers = [Loud()]
    logger.error("hello")
    assert host.text() == ["HELLO"]


@pytest.fixture
def at_exit(monkeypatch):
    """Exit functions of one test, run in the place of this process's."""
    functions = []
    monkeypatch.setattr(atexit, "_run_exitfuncs", lambda: [function() for function in functions])
    return functions


@pytest.fixture
def shutdown(monkeypatch):
    """`threading._shutdown` of one test: the real one would end threading for pytest too."""
    steps = []
    monkeypatch.setattr(threading, "_shutdown", lambda: steps.append("threads"))
    return steps


def test_threads_are_joined_before_exit_functions_run(host, at_exit, shutdown):
    at_exit.append(lambda: shutdown.append("atexit"))
    exits.run()
    assert shutdown == ["threads", "atexit"]


@pytest.mark.parametrize("failure", [ValueError("odd"), SystemExit(3), KeyboardInterrupt()])
def test_a_failing_step_is_logged_and_the_rest_is_done(host, at_exit, monkeypatch, failure):
    def fail():
        raise failure

    done = []
    monkeypatch.setattr(threading, "_shutdown", fail)
    at_exit.append(lambda: done.append(1))
    exits.run()
    assert done == [1]
    assert host.text()[0].startswith(f"WSGI0301: waiting for threads at exit failed: {type(failure).__name__}")


def test_daemon_threads_that_still_run_are_named(host, at_exit, shutdown):
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="mailer", daemon=True)
    thread.start()
    try:
        exits.run()
    finally:
        end.set()
        thread.join(10)
    assert host.lines == [(6, b"Daemon threads that end with the process: mailer.")]


def test_the_last_partial_line_is_logged_at_exit(host, interpreter, at_exit, shutdown):
    interpreter.setup("")
    at_exit.append(lambda: print("goodbye", end=""))
    exits.run()
    assert host.lines == [(3, b"goodbye")]


def test_a_restricted_stdout_does_not_disturb_the_exit(host, interpreter, at_exit, shutdown):
    host.values.update(restrict_stdout="1")
    interpreter.setup("")
    exits.run()
    assert host.lines == []


def test_the_process_parks_and_then_has_the_interpreters_end(host, interpreter, at_exit, shutdown):
    at_exit.append(lambda: host.calls.append("atexit"))
    process.main()
    assert host.calls == ["park", "interpreters_exit", "atexit", "done"]
    assert sys.modules["mod_wsgi"].application_group == ""


def test_another_thread_joins_threads_without_waiting_for_the_main_one():
    """The main thread may be busy with another interpreter; with its lock in the way this one waited for it for ever."""
    source = (
        "import os, sys, threading\n"
        f"sys.path[:0] = {[os.path.dirname(__file__), os.path.dirname(os.path.dirname(__file__))]!r}\n"
        "import native\n"
        "from wsgi_host import exits\n"
        "ended = threading.Event()\n"
        "threading.Thread(target=lambda: (exits.run(), ended.set()), daemon=True).start()\n"
        "os._exit(0 if ended.wait(20) else 1)\n"
    )
    assert subprocess.run([sys.executable, "-B", "-c", source], timeout=60).returncode == 0


WHOLE_LIFE = """
import atexit, os, sys, threading
sys.path[:0] = [{tests!r}, {package!r}]
import native
from wsgi_host import process

def park():
    go = threading.Event()
    threading.Thread(target=lambda: (go.wait(10), print("thread"))).start()
    atexit.register(lambda: print("atexit"))
    go.set()

def done():
    os.write(1, repr(native.HOST.text()).encode())
    os._exit(0)

native.HOST.park, native.HOST.done = park, done
process.main()
"""


def test_a_real_process_waits_for_its_thread_and_then_runs_atexit():
    tests = os.path.dirname(os.path.abspath(__file__))
    source = WHOLE_LIFE.format(tests=tests, package=os.path.dirname(tests))
    process = subprocess.run([sys.executable, "-B", "-c", source], capture_output=True, timeout=60, text=True)
    assert (process.stdout, process.stderr, process.returncode) == ("['thread', 'atexit']", "", 0)
