"""A stand-in for the native module `_wsgi_host`: keeps the log in memory.

Registers itself under that name when imported, before the package under test is.
"""

import sys
import threading
from types import ModuleType

SETTINGS = {
    "door": "embedded",
    "version": "6.1.1",
    "apache_version": "2.4.71",
    "apache_description": "Apache/2.4.71 (Unix)",
    "apache_build_date": "2026-01-01T00:00:00",
    "mpm_name": "event",
    "mpm_max_processes": "16",
    "mpm_threads_per_process": "25",
    "is_multithread": "1",
    "is_multiprocess": "1",
    "process_group": "",
    "restrict_stdin": "0",
    "restrict_stdout": "0",
    "restrict_signal": "1",
    "single_process": "0",
    "case_sensitivity": "1",
}


class Request:
    """What the native type of that name does; `end()` stands for the end of the request."""

    def __init__(self, host, script="/srv/app.wsgi"):
        self.script = script
        self.active = True
        self.id = "an-id"
        self.data = {}
        self.lines = []
        self.errors = None
        self.deferred = []
        self._host = host

    def log(self, level, line):
        if not self.active:
            raise RuntimeError("log() called after request completed")
        assert type(line) is bytes
        if self._host.is_log_broken:
            raise OSError("no space left")
        self.lines.append((level, line))

    def defer(self, function):
        self.deferred.append(function)

    def end(self):
        for function in self.deferred:
            function()
        self.active = False


class Host(ModuleType):
    """The module itself, with what a test wants to see or set."""

    def __init__(self):
        super().__init__("_wsgi_host")
        self.reset()

    def reset(self):
        self.lines = []
        self.calls = []
        self.registered = None
        self.values = dict(SETTINGS)
        self.most_verbose_level = 7
        self.is_log_broken = False
        self.is_measuring = False
        self.told = []
        self.reason = ""
        self._thread = threading.local()

    def text(self):
        """The lines of all records, one after another."""
        return [line for record in self.records() for line in record.split("\n")]

    def records(self):
        return [line.decode() for _, line in self.lines]

    def enter(self, request):
        """Puts the calling thread into a request; None takes it out."""
        self._thread.request = request

    # What the native module offers.

    def settings(self):
        return dict(self.values)

    def log(self, level, line):
        assert type(line) is bytes
        if self.is_log_broken:
            raise OSError("no space left")
        self.lines.append((level, line))

    def is_logged(self, level):
        return level <= self.most_verbose_level

    def current(self):
        return getattr(self._thread, "request", None)

    def measure(self):
        self.is_measuring = True

    def shutdown_reason(self):
        return self.reason

    def tell(self, kind, fields):
        self.told.append((kind, fields))

    def track(self, requests):
        self.tracked = requests

    def register(self, **callables):
        self.registered = callables

    def initialise_in_main(self, name, origin):
        self.calls.append(("initialise", name, origin))

    def park(self):
        self.calls.append("park")

    def interpreters_exit(self):
        """The real one has the sub-interpreters end first; here the main one is all there is."""
        self.calls.append("interpreters_exit")
        self.registered["exit_functions"]()

    def done(self):
        self.calls.append("done")


HOST = Host()
sys.modules["_wsgi_host"] = HOST
