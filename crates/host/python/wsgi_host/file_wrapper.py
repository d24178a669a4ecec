"""`wsgi.file_wrapper`, and when its file can be sent without reading it in Python.

Source: PEP 3333, "Optional Platform-Specific File Handling".
"""

import os
import stat
from operator import index

# The descriptor of these holds other bytes than their read() gives.
_COMPRESSED = {"GzipFile", "BZ2File", "LZMAFile", "ZstdFile"}


class FileWrapper:
    """Iterates over a file-like object in blocks of `blksize` bytes.

    TypeError if `blksize` is no integer or `read()` gives no bytes; ValueError if `blksize` is
    negative, and for any use after `close()`.
    """

    __slots__ = ("_filelike", "_blksize", "__weakref__")

    def __init__(self, filelike, blksize=8192):
        blksize = index(blksize)
        if blksize < 0:
            raise ValueError("blksize must not be negative")
        self._filelike = filelike
        self._blksize = blksize

    @property
    def filelike(self):
        if self._filelike is _CLOSED:
            raise ValueError("I/O operation on closed file")
        return self._filelike

    @property
    def blksize(self):
        return self._blksize

    def __iter__(self):
        return self

    def __next__(self):
        block = self.filelike.read(self._blksize)
        if not isinstance(block, bytes):
            raise TypeError(f"file wrapper read() must return bytes, not {type(block).__name__}")
        if not block:
            raise StopIteration
        return block

    def close(self):
        """Closes the file, once; its errors are of no use to anybody, since the response is made."""
        filelike, self._filelike = self._filelike, _CLOSED
        try:
            filelike.close()
        except Exception:
            pass


FileWrapper.__module__ = "mod_wsgi"


class _Closed:
    """Stands for the file of a closed wrapper."""

    def close(self):
        """Nothing is left to close."""


_CLOSED = _Closed()


def file_range(wrapper):
    """(descriptor, offset, length), in bytes, of a wrapped regular file; None if it must be read.

    The offset is the file object's own `tell()`, which runs ahead of nothing that the application has
    not read. The length ends with the file as it is now; 0 if the offset lies beyond.
    """
    if type(wrapper).__next__ is not FileWrapper.__next__ or type(wrapper).__iter__ is not FileWrapper.__iter__:
        # A subclass with its own iteration means other bytes than the file's.
        return None
    try:
        filelike = wrapper.filelike
        if any(kind.__name__ in _COMPRESSED for kind in type(filelike).__mro__):
            return None
        descriptor = index(filelike.fileno())
        offset = index(filelike.tell())
        status = os.fstat(descriptor)
        os.lseek(descriptor, 0, os.SEEK_CUR)
    except Exception:
        # Not a file of the operating system; iteration will say so if it is not even readable.
        return None
    if offset < 0 or not stat.S_ISREG(status.st_mode):
        return None
    return descriptor, offset, max(0, status.st_size - offset)
