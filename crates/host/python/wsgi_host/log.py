"""Lines to httpd's error log, from text or bytes.

The levels are httpd's numbers. The native half adds the request, if the calling thread is in one.
"""

import _wsgi_host

CRITICAL = 2
ERROR = 3
WARNING = 4
NOTICE = 5
INFO = 6
DEBUG = 7


def record(line: bytes) -> bytes:
    """One line as it may be handed to httpd, which takes C strings: a NUL would hide what follows it."""
    return line.replace(b"\0", b"\\x00") if b"\0" in line else line


def encoded(text: str) -> bytes:
    """Text in UTF-8; what cannot be encoded (lone surrogates) becomes `?`."""
    return text.encode("utf-8", "replace")


def write(level: int, text: str) -> None:
    """Logs each line of `text`; never raises, since a full disk must not break a request."""
    try:
        for line in encoded(text).split(b"\n"):
            _wsgi_host.log(level, record(line))
    except Exception:
        # There is no other place left to say it.
        pass


def is_logged(level: int) -> bool:
    """Whether a line of that level would be kept; spares the work of making one in vain."""
    return _wsgi_host.is_logged(level)
