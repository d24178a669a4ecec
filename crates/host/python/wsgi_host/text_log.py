"""What a text stream over the error log looks like to Python code, text and binary layer.

Where the bytes go is left to the subclasses in `streams.py`.

Source: docs of `io.TextIOWrapper` and `io.BufferedWriter`.
"""

import io

from . import log


class _WriteOnly:
    """What is true of both layers: they are written to, and nothing else."""

    __slots__ = ()

    def isatty(self):
        return False

    def readable(self):
        return False

    def seekable(self):
        return False

    def writable(self):
        return True

    def _unsupported(self, *arguments):
        raise io.UnsupportedOperation("wsgi.errors log object can only be written to")

    read = seek = tell = truncate = _unsupported


class TextLog(_WriteOnly):
    """What the streams have in common: the face of a write-through `io.TextIOWrapper`.

    Subclasses define `name` and `_write(data, caller)`, `_flush(caller)`; `caller` is the name of the
    method that the application called, for error texts.
    """

    __slots__ = ()

    encoding = "utf-8"
    errors = "replace"
    newlines = None
    line_buffering = True
    write_through = True
    closed = False

    @property
    def buffer(self):
        """The binary layer; text and bytes keep their order, since both share the partial line."""
        return BinaryLog(self)

    def write(self, text):
        """Takes a str and returns its length; TypeError for anything else."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._write(log.encoded(text), "write")
        return len(text)

    def writelines(self, lines):
        """Writes each str of an iterable; TypeError if it is none."""
        for text in _iterate(lines):
            if not isinstance(text, str):
                raise TypeError(f"writelines() items must be str, not {type(text).__name__}")
            self._write(log.encoded(text), "writelines")

    def flush(self):
        """Logs this thread's partial line, if there is one."""
        self._flush("flush")

    def close(self):
        """Does nothing: the log outlives whoever wants to close it."""

    def reconfigure(self, **options):
        """Accepted and ignored: encoding and buffering are the log's."""

    def fileno(self):
        # UnsupportedOperation is an OSError, and the one that callers such as traceback (3.13) catch.
        raise io.UnsupportedOperation("wsgi.errors log object has no file descriptor")

    readline = readlines = _WriteOnly._unsupported

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.flush()

    def __repr__(self):
        return f"<{type(self).__name__} name={self.name!r} encoding='utf-8'>"


class BinaryLog(_WriteOnly):
    """The `.buffer` of a stream: takes bytes-like objects, and str with a DeprecationWarning."""

    __slots__ = ("_text",)

    closed = False
    encoding = TextLog.encoding
    errors = TextLog.errors

    def __init__(self, text):
        self._text = text

    @property
    def name(self):
        return self._text.name

    def write(self, data):
        """Returns the number of bytes taken; TypeError for what is neither bytes-like nor str."""
        data = _as_bytes(data)
        self._text._write(data, "write")
        return len(data)

    def writelines(self, lines):
        """Writes each item of an iterable; TypeError if it is none."""
        for data in _iterate(lines):
            self._text._write(_as_bytes(data), "writelines")

    def flush(self):
        self._text._flush("flush")

    def close(self):
        """Does nothing, so that an `io.TextIOWrapper` around this object may be thrown away."""

    def fileno(self):
        return self._text.fileno()

    read1 = readinto = readinto1 = _WriteOnly._unsupported


io.TextIOBase.register(TextLog)
io.BufferedIOBase.register(BinaryLog)


def _iterate(lines):
    try:
        return iter(lines)
    except TypeError as cause:
        raise TypeError(f"writelines() argument must be iterable, not {type(lines).__name__}") from cause


_warned = False


def _as_bytes(data):
    if isinstance(data, str):
        _warn_of_str()
        return log.encoded(data)
    try:
        return memoryview(data).tobytes()
    except TypeError:
        raise TypeError(f"a bytes-like object is required, not '{type(data).__name__}'") from None


def _warn_of_str():
    global _warned
    if _warned:
        return
    # Set first: the warning itself is written to one of these streams.
    _warned = True
    import warnings

    text = "writing str to the binary layer of a log stream is deprecated; write bytes"
    warnings.warn(text, DeprecationWarning, stacklevel=4)
