"""The error log of one httpd: what was written, what a test announced, what it did not announce.

From `warn` up every line must have been announced by the test that caused it, with `expect` or `allow`.
"""

import re
from dataclasses import dataclass

from .condition import wait_until

# Set by Httpd in its configuration, so that records can be taken apart without guessing. A process beside httpd that
# writes to the log itself does so in httpd's default format, which has no request and names the thread.
FORMAT = r'"[%{cu}t] [%-m:%l] [pid %P] [request\ %L] [client\ %a] %M"'

_RECORD = re.compile(
    r"\[[^\]]*\] \[(?P<module>[\w-]*):(?P<level>\w+)\] \[pid (?P<pid>\d+)(?::tid \d+)?\] "
    r"(?:\[request (?P<request>[^\]]*)\] )?(?:\[client (?P<client>[^\]]*)\] )?(?P<message>.*)",
    re.DOTALL,
)
_QUIET_LEVELS = {"notice", "info", "debug"} | {f"trace{n}" for n in range(1, 9)}
# httpd tells of a crashed child at `notice`. Only `expect` announces a crash; no `allow`, however wide, excuses one.
_CRASH = re.compile(r"exit signal|AH00051|AH00052|Segmentation fault|Fatal Python error|panicked at")
# What mod_wsgi writes after the header line of an uncaught exception: the traceback, one record a line. Ours has all of it
# in the header's record.
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
    def is_crash(self):
        return bool(_CRASH.search(self.text))

    @property
    def is_alarming(self):
        return self.level not in _QUIET_LEVELS or self.is_crash


def _last_line(text):
    """A traceback's last line; the header line before it names the cause too, so that one must not pass for it."""
    return rf"(^|\] |\\n)(?:{text})"


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
        self._verified = 0
        self._expected = []
        self._allowed = []

    def begin(self):
        """A new test: forget what was announced, look only at what is written from now on.

        What was written since the last `verify` is still held to what the test before announced: no line is lost.
        """
        late, self._verified = self._read(self._verified)
        surprises = self._surprises(late)
        self._start = self._verified
        self._expected = []
        self._allowed = []
        _fail_on(surprises, "after the test before had ended, or before the first one began")

    def expect(self, pattern, times=1):
        """Announces lines that match; the test fails if there are fewer than `times`."""
        self._expected.append((re.compile(pattern), times))

    def allow(self, pattern):
        """Announces lines that may or may not come."""
        self._allowed.append(re.compile(pattern))

    def expect_exception(self, text, code="WSGI0174", times=1):
        """Announces an uncaught exception: the header line with `code`, the traceback, a last line matching `text`."""
        self.expect(code, times)
        self.expect(_last_line(text), times)
        self._allowed.append(_TRACEBACK)

    def expect_traceback(self, text):
        """Announces a traceback without a header of its own, ending in a line that matches `text`."""
        self.expect(_last_line(text))
        self._allowed.append(_TRACEBACK)

    def records(self):
        """Complete records since `begin`."""
        return self._read(self._start)[0]

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
        try:
            for pattern, times in self._expected:
                self.wait_for(pattern.pattern, times, timeout=5.0)
        finally:
            records, self._verified = self._read(self._start)
        _fail_on(self._surprises(records), "in this test")

    def _surprises(self, records):
        """Texts of the alarming records that nothing announced."""
        expected = [pattern for pattern, _ in self._expected]
        return [
            record.text
            for record in records
            if record.is_alarming
            and not any(p.search(record.message) for p in expected + ([] if record.is_crash else self._allowed))
        ]

    def _read(self, start):
        """The complete records from the offset `start`, and the offset behind them."""
        try:
            with open(self.path, "rb") as file:
                file.seek(start)
                complete = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return [], start
        end = start + len(complete[0] + complete[1])
        lines = complete[0].decode("utf-8", "surrogateescape").split("\n") if complete[1] else []
        return [_parse(line) for line in lines], end

    def _at_least(self, pattern, count):
        found = self.matching(pattern)
        return found if len(found) >= count else None


def _fail_on(surprises, when):
    if surprises:
        raise AssertionError(f"the error log has lines that nothing announced, {when}:\n" + "\n".join(surprises))
