"""Where a record of the log ends in what a thread writes: with its line, or with the traceback that it is part of.

A traceback that is written line by line, as `traceback.print_exc()` does, becomes one record like one that is written
at once. What is chained to it by such calls is a record of its own.

Source: the formats of CPython's `traceback.TracebackException.format`.
"""

# Also the end of what stands above an exception group's.
_HEAD = b"Traceback (most recent call last):"

# A partial line longer than this (bytes) is logged as it is: a thread that never writes a newline
# must not grow the process for ever. Nothing is lost, it only becomes several records.
LONGEST_PARTIAL = 65536


def cut(text: bytes) -> tuple[list[bytes], bytes]:
    """The whole records of a text, and what is left for the next one."""
    whole, newline, rest = text.rpartition(b"\n")
    if not newline:
        return [], rest
    head = whole.rfind(_HEAD)
    if head < 0:
        return whole.split(b"\n"), rest
    if _is_closed(whole[head:]):
        return [whole], rest
    return [], text


def _is_closed(traceback):
    """Whether the line of the exception has come, or that which ends an exception group."""
    return any(_closes(line) for line in traceback.split(b"\n")[1:])


def _closes(line):
    if line[:1].isspace():
        frame = line.strip()
        return len(frame) > 10 and not frame.strip(b"+-")
    return bool(line)


class Unfinished:
    """What one thread has written and is not logged yet.

    A finaliser that prints may come by at any moment, on the same thread.
    """

    __slots__ = ("_begun",)

    def __init__(self):
        self._begun = bytearray()

    def add(self, data: bytes) -> list[bytes]:
        """Takes what the thread writes; gives the records that are whole now."""
        if b"\n" not in data and len(self._begun) < LONGEST_PARTIAL:
            self._begun += data
            return []
        text, self._begun = bytes(self._begun + data), bytearray()
        records, rest = cut(text)
        while len(rest) > LONGEST_PARTIAL:
            records.append(rest[:LONGEST_PARTIAL])
            rest = rest[LONGEST_PARTIAL:]
        self._begun[:0] = rest
        return records

    def finish(self) -> list[bytes]:
        """What is left, as the last record."""
        text, self._begun = bytes(self._begun), bytearray()
        return [text.removesuffix(b"\n")] if text else []
