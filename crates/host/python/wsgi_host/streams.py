"""`wsgi.errors`, `sys.stdout` and `sys.stderr`: text streams whose lines are error-log records.

A line is logged when its newline arrives, a traceback when it is complete, as one record (`records.py`). A partial
line waits for its newline, for `flush()` by the thread that wrote it, or for the end of the request. Partial lines are
kept apart by thread, so that lines of two threads never mix, with no lock held while a line is logged.

Source: PEP 3333, "Input and Error Streams"; docs of `io.TextIOBase`.
"""

import io
import sys
from _thread import RLock, _local, get_ident

import _wsgi_host

from . import log
from .records import Unfinished, cut
from .text_log import TextLog

# Guards the moment in which a request gets its first partial line, nothing else. The same thread may come
# by again inside it: the collector may run a finaliser that prints.
_first_partial = RLock()


class Errors(TextLog):
    """`wsgi.errors` of one request; made for every request, so its constructor does next to nothing.

    After the request `write()` and `writelines()` raise RuntimeError.
    """

    __slots__ = ("_request", "_unfinished", "__weakref__")

    name = "<wsgi.errors>"

    def __init__(self, request):
        self._request = request
        self._unfinished = None

    def _write(self, data, caller):
        if not self._request.active:
            raise _completed(caller)
        unfinished = self._unfinished.get(get_ident()) if self._unfinished else None
        if unfinished is None:
            records, rest = cut(data)
            self._log(records, caller)
            if rest:
                self._log(self._begin(caller).add(rest), caller)
        else:
            self._log(unfinished.add(data), caller)

    def _flush(self, caller):
        unfinished = self._unfinished.get(get_ident()) if self._unfinished else None
        if unfinished is not None:
            self._log(unfinished.finish(), caller)

    def _begin(self, caller):
        """What the calling thread has not finished, from now on."""
        if self._unfinished is None:
            with _first_partial:
                if self._unfinished is None:
                    self._unfinished = {}
                    self._guarded(caller, self._request.defer, self._end)
        # Only this thread touches its own entry, apart from _end(), after which nothing is written.
        return self._unfinished.setdefault(get_ident(), Unfinished())

    def _end(self):
        """Logs every thread's partial line; called by the native half when the request ends."""
        while self._unfinished:
            _, unfinished = self._unfinished.popitem()
            self._log(unfinished.finish(), "flush")

    def _log(self, records, caller):
        for record in records:
            self._guarded(caller, self._request.log, log.ERROR, record)

    def _guarded(self, caller, call, *arguments):
        """Calls a method of the request; if the request has just ended, says so in the caller's name."""
        try:
            call(*arguments)
        except Exception:
            if not self._request.active:
                raise _completed(caller) from None
            # Otherwise: a failing log must not break the request that wanted to log.


class Forwarder(TextLog):
    """`sys.stdout` or `sys.stderr`: the current request's `wsgi.errors`, or else the main error log.

    The current request is that of the thread, or of the Context that it runs in. Outside a request each thread has a
    line of its own, logged at level error with no request. `descriptor` is what native code and programs that the
    application starts may write to, with the same end.
    """

    def __init__(self, name, descriptor=None):
        self.name = name
        self._descriptor = descriptor
        self._background = _local()

    def fileno(self):
        if self._descriptor is None:
            raise io.UnsupportedOperation(f"{self.name} has no file descriptor")
        return self._descriptor

    def _write(self, data, caller):
        request = self._request()
        if request is None:
            return self._line()._write(data, caller)
        try:
            request.errors._write(data, caller)
        except (AttributeError, RuntimeError):
            # The request of the Context has ended this very moment, on its own thread.
            self._line()._write(data, caller)

    def _flush(self, caller):
        request = self._request()
        target = self._line() if request is None else request.errors
        if target is not None:
            target._flush(caller)

    def _request(self):
        request = _wsgi_host.current()
        if request is None:
            return log.request_of_context()
        return request if request.active else None

    def _line(self):
        try:
            return self._background.line
        except AttributeError:
            self._background.line = line = BackgroundLine()
            return line


class BackgroundLine:
    """The line that one thread is writing outside any request; logged at the latest when the thread ends."""

    __slots__ = ("_unfinished",)

    def __init__(self):
        self._unfinished = Unfinished()

    def _write(self, data, caller):
        _log_background(self._unfinished.add(data))

    def _flush(self, caller):
        _log_background(self._unfinished.finish())

    def __del__(self):
        self._flush("flush")


def replace(settings) -> None:
    """Puts this module's objects, or restricted ones, in place of the `sys` streams.

    `sys.stdout` is left alone under `httpd -X`, so that pdb can use the terminal. `sys.stdin` is left
    alone unless it is restricted.
    """
    from .restricted import Restricted

    # Descriptors of an httpd child are httpd's; those of a worker lead to its group's log.
    is_worker = settings["door"] == "daemon"
    sys.stderr = Forwarder("<stderr>", 2 if is_worker else None)
    if settings["restrict_stdout"] == "1":
        sys.stdout = Restricted("sys.stdout")
    elif settings["single_process"] != "1":
        sys.stdout = Forwarder("<stdout>", 1 if is_worker else None)
    if settings["restrict_stdin"] == "1":
        sys.stdin = Restricted("sys.stdin")


def _log_background(records):
    try:
        for record in records:
            _wsgi_host.log(log.ERROR, record)
    except Exception:
        # print() must not fail because the log does.
        pass


def _completed(caller):
    return RuntimeError(f"{caller}() called on wsgi.errors after request completed")
