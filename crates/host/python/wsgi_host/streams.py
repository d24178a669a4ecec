"""`wsgi.errors`, `sys.stdout` and `sys.stderr`: text streams whose lines are error-log records.

A line is logged when its newline arrives. A partial line waits for its newline, for `flush()` by the
thread that wrote it, or for the end of the request. Partial lines are kept apart by thread, so
that lines of two threads never mix, with no lock held while a line is logged.

Source: PEP 3333, "Input and Error Streams"; docs of `io.TextIOBase`.
"""

import sys
from _thread import RLock, _local, get_ident

import _wsgi_host

from . import log
from .text_log import TextLog

# A partial line longer than this (bytes) is logged as it is: a thread that never writes a newline
# must not grow the process for ever. Nothing is lost, it only becomes several records.
LONGEST_PARTIAL = 65536

# Guards the moment in which a request gets its first partial line, nothing else. The same thread may come
# by again inside it: the collector may run a finaliser that prints.
_first_partial = RLock()


class Errors(TextLog):
    """`wsgi.errors` of one request; made for every request, so its constructor does next to nothing.

    After the request `write()` and `writelines()` raise RuntimeError.
    """

    __slots__ = ("_request", "_partial", "__weakref__")

    name = "<wsgi.errors>"

    def __init__(self, request):
        self._request = request
        self._partial = None

    def _write(self, data, caller):
        request = self._request
        if not request.active:
            raise _completed(caller)
        whole, newline, rest = data.rpartition(b"\n")
        if newline:
            partial = self._partial
            begun = partial.pop(get_ident(), b"") if partial else b""
            self._log(begun + whole, caller)
        if rest:
            self._keep(rest, caller)

    def _flush(self, caller):
        begun = self._partial and self._partial.pop(get_ident(), None)
        if begun:
            self._log(begun, caller)

    def _keep(self, rest, caller):
        partial = self._partial
        if partial is None:
            with _first_partial:
                partial = self._partial
                if partial is None:
                    partial = self._partial = {}
                    self._guarded(caller, self._request.defer, self._end)
        # Only this thread touches its own entry, apart from _end(), after which nothing is written.
        line = partial.setdefault(get_ident(), bytearray())
        line += rest
        if len(line) > LONGEST_PARTIAL:
            self._flush(caller)

    def _end(self):
        """Logs every thread's partial line; called by the native half when the request ends."""
        while self._partial:
            _, begun = self._partial.popitem()
            self._log(begun, "flush")

    def _log(self, lines, caller):
        for line in bytes(lines).split(b"\n"):
            self._guarded(caller, self._request.log, log.ERROR, log.record(line))

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

    Outside a request each thread has a line of its own, logged at level error with no request.
    """

    def __init__(self, name):
        self.name = name
        self._background = _local()

    def _write(self, data, caller):
        self._target()._write(data, caller)

    def _flush(self, caller):
        self._target()._flush(caller)

    def _target(self):
        request = _wsgi_host.current()
        if request is not None and request.active:
            return request.errors
        try:
            return self._background.line
        except AttributeError:
            self._background.line = line = BackgroundLine()
            return line


class BackgroundLine:
    """The line that one thread is writing outside any request; logged at the latest when the thread ends."""

    __slots__ = ("_begun",)

    def __init__(self):
        self._begun = bytearray()

    def _write(self, data, caller):
        whole, newline, rest = data.rpartition(b"\n")
        if newline:
            lines, self._begun = self._begun + whole, bytearray(rest)
            _log_background(lines)
        else:
            self._begun += rest
        if len(self._begun) > LONGEST_PARTIAL:
            self._flush(caller)

    def _flush(self, caller):
        if self._begun:
            line, self._begun = self._begun, bytearray()
            _log_background(line)

    def __del__(self):
        self._flush("flush")


def replace(settings) -> None:
    """Puts this module's objects, or restricted ones, in place of the `sys` streams.

    `sys.stdout` is left alone under `httpd -X`, so that pdb can use the terminal. `sys.stdin` is left
    alone unless it is restricted.
    """
    from .restricted import Restricted

    sys.stderr = Forwarder("<stderr>")
    if settings["restrict_stdout"] == "1":
        sys.stdout = Restricted("sys.stdout")
    elif settings["single_process"] != "1":
        sys.stdout = Forwarder("<stdout>")
    if settings["restrict_stdin"] == "1":
        sys.stdin = Restricted("sys.stdin")


def _log_background(lines):
    try:
        for line in bytes(lines).split(b"\n"):
            _wsgi_host.log(log.ERROR, log.record(line))
    except Exception:
        # print() must not fail because the log does.
        pass


def _completed(caller):
    return RuntimeError(f"{caller}() called on wsgi.errors after request completed")
