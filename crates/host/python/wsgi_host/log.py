"""Lines to httpd's error log, from text or bytes.

The levels are httpd's numbers. The native half adds the request, if there is one.
"""

import _wsgi_host

from .requests import current_request

CRITICAL = 2
ERROR = 3
WARNING = 4
NOTICE = 5
INFO = 6
DEBUG = 7


def encoded(text: str) -> bytes:
    """Text in UTF-8; what cannot be encoded (lone surrogates) becomes `?`."""
    return text.encode("utf-8", "replace")


def write(level: int, text: str) -> None:
    """Logs each line of `text`; never raises, since a full disk must not break a request."""
    for line in text.split("\n"):
        write_record(level, line)


def write_record(level: int, text: str) -> None:
    """Logs `text` as one record, in which a newline is shown as `\\n`; never raises."""
    record = encoded(text)
    try:
        try:
            _target().log(level, record)
        except RuntimeError:
            # The request of the Context has ended this very moment.
            _wsgi_host.log(level, record)
    except Exception:
        # There is no other place left to say it.
        pass


def is_logged(level: int) -> bool:
    """Whether a line of that level would be kept; spares the work of making one in vain."""
    try:
        return _target().is_logged(level)
    except RuntimeError:
        # The request of the Context has ended this very moment.
        return _wsgi_host.is_logged(level)


def request_of_context():
    """The request of the Context that the calling thread runs in, if it still runs and the thread serves none."""
    request = current_request.get(None)
    return request if request is not None and request.active else None


def _target():
    """What logs for the calling thread; the native half knows the request that it serves."""
    request = request_of_context() if _wsgi_host.current() is None else None
    return _wsgi_host if request is None else request
