"""What an interpreter does before its process ends; Python itself is never finalised."""

import sys

import _wsgi_host

from . import events, log, report


def run() -> None:
    """Tells subscribers, joins the threads that asked to be waited for, runs the atexit functions; never raises.

    Waits without limit: who calls has one, and sends another thread for the other interpreters if this takes too
    long. Threads started in a request are daemonic unless the application says otherwise, since httpd's threads
    are so to Python and `threading.Thread` inherits it; they are not waited for, as in mod_wsgi, but named in the
    log at level info.

    With WSGIDestroyInterpreter Off threads and atexit functions are left out.

    Source: CPython `Py_FinalizeEx`, which does these steps in this order.
    """
    _step("telling subscribers", events.process_stopping)
    if _wsgi_host.settings().get("destroy_interpreter") != "0":
        _step("waiting for threads", _join_threads)
        _step("running atexit functions", _run_atexit)
        _step("naming daemon threads", _name_daemon_threads)
    for stream in (sys.stdout, sys.stderr):
        _step("flushing streams", _flush, stream)


def _step(what, function, *arguments):
    try:
        function(*arguments)
    except BaseException as failure:
        # SystemExit and KeyboardInterrupt too: the next step has to be done in any case.
        report.write(f"WSGI0301: {what} at exit failed: {report.cause(failure)}; going on with the exit", failure)


def _join_threads():
    threading = sys.modules.get("threading")
    if threading is not None:
        _leave_out_main_thread(threading)
        threading._shutdown()


def _leave_out_main_thread(threading):
    """Has another thread not wait for the main one, which is busy with another interpreter's exit functions.

    Source: CPython's `threading._shutdown`, which up to 3.12 waits for it if it is called on another thread.
    """
    main = threading.main_thread()
    locks = getattr(threading, "_shutdown_locks", None)
    if locks is not None and main is not threading.current_thread():
        locks.discard(main._tstate_lock)


def _run_atexit():
    import atexit

    atexit._run_exitfuncs()


def _name_daemon_threads():
    threading = sys.modules.get("threading")
    if threading is None:
        return
    # Dummy threads are httpd's own, seen from Python.
    threads = [thread for thread in threading.enumerate() if not isinstance(thread, threading._DummyThread)]
    names = sorted(thread.name for thread in threads if thread.daemon)
    if names:
        log.write(log.INFO, f"Daemon threads that end with the process: {', '.join(names)}.")


def _flush(stream):
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        # A restricted stream, or a terminal that has gone.
        pass
