"""`mod_wsgi.LogHandler`; apart from `modules.py` because it needs `logging`, which not every site does."""

import logging

from . import log

# Levels between two rows count as the lower one.
_LEVELS = (
    (logging.CRITICAL, log.CRITICAL),
    (logging.ERROR, log.ERROR),
    (logging.WARNING, log.WARNING),
    (logging.INFO, log.INFO),
)


class LogHandler(logging.Handler):
    """Sends records of the `logging` package to httpd's error log, each at its own level.

    Each line of a message is a record of the log, of the current request if there is one; a message with a traceback
    is one record. An empty message logs nothing. A record that `LogLevel` would drop is not formatted.
    """

    def emit(self, record):
        try:
            level = _level(record.levelno)
            if not log.is_logged(level):
                return
            message = self.format(record)
            if message:
                write = log.write_record if _has_traceback(record) else log.write
                write(level, message.removesuffix("\n"))
        except Exception:
            self.handleError(record)


LogHandler.__module__ = "mod_wsgi"


def _has_traceback(record):
    return bool(record.exc_info or record.exc_text or record.stack_info)


def _level(levelno):
    for least, level in _LEVELS:
        if levelno >= least:
            return level
    return log.DEBUG
