"""The error log of one httpd: what was written, what a test announced, what it did not announce.

From `warn` up every line must have been announced by the test that caused it, with `expect` or `allow`.
"""

import re
from dataclasses import dataclass

from .condition import wait_until

# Set by Httpd in its configuration, so that records can be taken apart without guessing.
FORMAT = r'"[%{cu}t] [%-m:%l] [pid %P] [request\ %L] [client\ %a] %M"'

_RECORD = re.compile(
    r"\[[^\]]*\] \[(?P<module>[\w-]*):(?P<level>\w+)\] \[pid (?P<pid>\d+)\] "
    r"(?:\[request (?P<request>[^\]]*)\] )?(?:\[client (?P<client>[^\]]*)\] )?(?P<message>.*)",
    re.DOTALL,
)
_QUIET_LEVELS = {"notice", "info", "debug"} | {f"trace{n}" for n in range(1, 9)}
# httpd tells of a crashed child at `notice`.
_CRASH = re.compile(r"exit signal|AH00051|AH00052")
# What an uncaught exception writes after its header line: the traceback, one record a line.
_TRACEBACK = re.compile(
    r"^(\[script [^\]]*\] )?"
    r"(Traceback \(most recent call last\):|  .*|\s*|"
    r"During handling of the above exception.*|The above exception was.*)$"
)


@dataclass(frozen=True)
class Record:
    """One line of the error log."""

    text: str
    module: str
    level: str
    pid: int
    request: str | None
    client: str | None
    message: str

    @property
    def is_alarming(self):
        return self.level not in _QUIET_LEVELS or bool(_CRASH.search(self.text))


def _parse(line):
    match = _RECORD.match(line)
    if match is None:
        return Record(line, "", "stderr", 0, None, None, line)
    fields = match.groupdict()
    return Record(line, **{**fields, "pid": int(fields["pid"])})


class ErrorLog:
    def __init__(self, path):
        self.path = path
        self._start = 0
        self._expected = []
        self._allowed = []

    def begin(self):
        """A new test: forget what was announced, look only at what is written from now on."""
        self._start = self._size()
        self._expected = []
        self._allowed = []

    def expect(self, pattern, times=1):
        """Announces lines that match; the test fails if there are fewer than `times`."""
        self._expected.append((re.compile(pattern), times))

    def allow(self, pattern):
        """Announces lines that may or may not come."""
        self._allowed.append(re.compile(pattern))

    def expect_exception(self, text, code="WSGI0174", times=1):
        """Announces an uncaught exception: the header line with `code`, the traceback, a last line matching `text`."""
        self.expect(code, times)
        self.expect(text, times)
        self._allowed.append(_TRACEBACK)

    def expect_traceback(self, text):
        """Announces a traceback without a header of its own, ending in a line that matches `text`."""
        self.expect(text)
        self._allowed.append(_TRACEBACK)

    def records(self):
        """Complete records since `begin`."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self._start)
                written = file.read().decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            return []
        complete = written.rpartition("\n")[0]
        return [_parse(line) for line in complete.split("\n")] if complete else []

    def matching(self, pattern):
        return [record for record in self.records() if re.search(pattern, record.text)]

    def wait_for(self, pattern, count=1, timeout=15.0):
        """The first record that matches, once there are `count` of them."""
        found = wait_until(
            lambda: self._at_least(pattern, count), f"{count} log line(s) matching {pattern!r} in {self.path}", timeout
        )
        return found[0]

    def verify(self):
        """Fails if an expected line is missing or an alarming one was not announced."""
        for pattern, times in self._expected:
            self.wait_for(pattern.pattern, times, timeout=5.0)
        announced = [pattern for pattern, _ in self._expected] + self._allowed
        surprises = [
            record.text
            for record in self.records()
            if record.is_alarming and not any(p.search(record.message) for p in announced)
        ]
        if surprises:
            raise AssertionError("the error log has lines that the test did not announce:\n" + "\n".join(surprises))

    def _at_least(self, pattern, count):
        found = self.matching(pattern)
        return found if len(found) >= count else None

    def _size(self):
        return self.path.stat().st_size if self.path.exists() else 0
