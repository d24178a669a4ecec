"""Events: what an interpreter's subscribers are told, when, and with which names.

The native half calls the functions of the requests only if `event_callbacks` is not empty, so that nothing is made for
nobody. Subscribers run on the thread that caused the event, one after another in the order of their subscription.

Source: docs/python-api.md, "Events"; names and meaning as in mod_wsgi 6.1.1.
"""

import _wsgi_host

from . import log, report
from .requests import RequestTimeout

event_callbacks = []
shutdown_callbacks = []
signal_callbacks = []


def subscribe_events(callback):
    """Has `callback(name, **payload)` called at each event; returns it, so that it can be used as a decorator."""
    _subscribe(event_callbacks, callback)
    # The request that subscribes is measured from here on, later ones as a whole.
    _wsgi_host.measure()
    return callback


def subscribe_shutdown(callback):
    """Has `callback("process_stopping", shutdown_reason=...)` called before the process ends; returns it."""
    return _subscribe(shutdown_callbacks, callback)


def subscribe_signals(callback):
    """Has `callback("process_signal", signame=..., signum=...)` called at SIGHUP and SIGUSR2; returns it.

    Only processes of a daemon group that serve requests get these signals; elsewhere nothing is subscribed, which the
    log says at level info.
    """
    if _gets_signals():
        return _subscribe(signal_callbacks, callback)
    _check(callback)
    if log.is_logged(log.INFO):
        import traceback

        stack = "".join(traceback.format_list(traceback.extract_stack()[:-1]))
        text = "Ignoring subscription to signals: only the processes of a daemon group get them. Called from:"
        log.write_record(log.INFO, f"{text}\n{stack}".rstrip("\n"))
    return callback


def _subscribe(callbacks, callback):
    _check(callback)
    callbacks.append(callback)
    return callback


def _check(callback):
    if not callable(callback):
        raise TypeError(f"a subscriber must be callable, not {type(callback).__name__}")


def _is_service():
    settings = _wsgi_host.settings()
    return settings["door"] == "daemon" and settings["threads"] == "0"


def _gets_signals():
    return _wsgi_host.settings()["door"] == "daemon" and not _is_service()


# -- requests


class Course:
    """The native half's figures of a request, in seconds since 1970, seconds and bytes."""

    def __init__(self, request):
        (
            self.thread_id, self.server_pid, request_start, queue_start, daemon_start, application_start, now, self.status,
            self.input_reads, self.input_length, input_time, self.output_writes, self.output_length, output_time,
            gil_wait_count, gil_wait_time, cpu_user_time, cpu_system_time,
        ) = request.course()  # fmt: skip
        self.request_start = request_start / 1e6
        self.queue_start = queue_start / 1e6
        self.daemon_start = daemon_start / 1e6
        self.application_start = application_start / 1e6
        self.application_finish = now / 1e6
        self.application_time = max(0, now - application_start) / 1e6
        self.input_time = input_time / 1e6
        self.output_time = output_time / 1e6
        self.gil_wait_count = max(0, gil_wait_count)
        self.gil_wait_time = max(0, gil_wait_time) / 1e6
        # None: clocks were not read when the request began.
        self.cpu_user_time = None if cpu_user_time < 0 else cpu_user_time / 1e6
        self.cpu_system_time = None if cpu_system_time < 0 else cpu_system_time / 1e6

    def take(self, *names):
        return {name: getattr(self, name) for name in names}


def request_started(request, environ, application):
    """Just before the application is called; returns the one to call."""
    course = Course(request)
    is_daemon = course.daemon_start > 0
    payload = {
        **_identity(request),
        **course.take("thread_id", "server_pid", "request_start", "queue_start", "daemon_start", "application_start"),
        # A request is handed over once; what was refused before is another process's.
        "daemon_connects": 1 if is_daemon else 0,
        "daemon_restarts": 0,
        "application_object": application,
        "callable_object": environ.get("mod_wsgi.callable_object"),
        "request_environ": environ,
        "request_data": request.data,
    }
    return _publish("request_started", payload).get("application_object", application)


def response_started(request, status, headers, exc_info):
    """At each call of `start_response`, before its values are checked; `headers` may be edited in place."""
    payload = {
        **_identity(request),
        "response_status": status,
        "response_headers": headers,
        "exception_info": exc_info,
        "request_data": request.data,
    }
    _publish("response_started", payload)


def request_exception(request, exception):
    """The application, its iterable or `close()` has raised."""
    payload = {
        **_identity(request),
        "exception_info": (type(exception), exception, exception.__traceback__),
        "request_data": request.data,
    }
    _publish("request_exception", payload)


def request_finished(request):
    """After `close()`, when the client has what it gets."""
    course = Course(request)
    payload = {
        **_identity(request),
        **course.take(
            "thread_id", "server_pid", "request_start", "queue_start", "daemon_start",
            "application_finish", "application_time",
            "input_reads", "input_length", "input_time", "output_length", "output_writes", "output_time",
            "status", "gil_wait_time", "gil_wait_count",
        ),  # fmt: skip
        "request_data": request.data,
    }
    if course.cpu_user_time is not None:
        payload.update(course.take("cpu_user_time", "cpu_system_time"))
        payload["cpu_time"] = course.cpu_user_time + course.cpu_system_time
    _publish("request_finished", payload)


def _identity(request):
    return {} if request.id is None else {"request_id": request.id}


# -- the process


def process_signal(number):
    """SIGHUP or SIGUSR2 has come."""
    import signal

    payload = {"signame": signal.Signals(number).name, "signum": number}
    _publish("process_signal", payload, signal_callbacks)


_has_stopped = False


def process_stopping():
    """The process is about to end; whoever calls first says so."""
    global _has_stopped
    if _has_stopped or _is_service():
        return
    _has_stopped = True
    _publish("process_stopping", {"shutdown_reason": _wsgi_host.shutdown_reason()}, shutdown_callbacks)


def _publish(name, payload, more_callbacks=()):
    """Calls subscribers, those of all events first; returns the payload with what they have changed."""
    for callback in [*event_callbacks, *more_callbacks]:
        try:
            changes = callback(name, **payload)
            if isinstance(changes, dict):
                payload.update(changes)
        except BaseException as failure:
            if isinstance(failure, RequestTimeout):
                # It is meant for the request and has only met it here.
                raise
            code, end = ("WSGI0190", "; ignored") if isinstance(failure, SystemExit) else ("WSGI0112", "")
            headline = f"{type(failure).__name__} exception raised by event callback for '{name}'"
            report.write(f"{code}: {headline}: {report.cause(failure)}{end}", failure)
    return payload
