"""docs/wire.md in Python: what httpd's children, the supervisor and workers say to each other.

Made for tests, so it says whatever it is told, right or wrong, and is written apart from the Rust that it tests.
"""

import fcntl
import functools
import os
import re
import socket
import struct
from dataclasses import dataclass, field

from . import installation

VERSION = 1
REQUEST, RESPONSE, SETTINGS, HELLO, WELCOME, PIECE, INPUT_FAILED, WANT, CUT, LOG, DONE, REFUSED = range(12)
QUESTION, ANSWER, LOOKUP, FOUND = range(12, 16)
ACCESS, PASSWORD, REALM_HASH, GROUPS, DISPATCH = range(1, 6)
ANSWERS = FAILED_ANSWER, NONE, NO, YES, TEXT, NAMES, ROUTE = range(7)
MORE, FLUSH, END = range(3)
CLIENT_GONE, TIMED_OUT, BODY_REFUSED, ANSWERED, FAILED = range(1, 6)
LEAVING, OUTDATED, MISDIRECTED = range(1, 4)
NO_CELL = 0xFFFFFFFF
INCOMPLETE = -1

RELOADING, HEAD, OPEN_GROUP, IGNORE_ACTIVITY, BODY, BODY_FOLLOWS = (1 << bit for bit in range(6))
LOG_LEVEL_SHIFT = 8

EMPTY, STARTING, SERVING, DRAINING, FAILED_SEAT = range(5)


@functools.cache
def keys():
    """The environ keys that are known by number. Read when asked for: the container has no sources."""
    source = (installation.PROJECT / "crates" / "gateway" / "src" / "key.rs").read_text()
    return {name: number for number, name in enumerate(re.findall(r'^    \w+ = "([^"]+)",$', source, re.M), 1)}


def block(kind, payload=b""):
    return struct.pack("<IHH", 8 + len(payload), VERSION, kind) + payload


# Blocks.


def pairs(items):
    """Settings, or environ entries: dicts, or lists of (name, value); numbers and lists as settings have them."""
    for name, value in items.items() if isinstance(items, dict) else items:
        if value is None:
            continue
        for one in value if isinstance(value, list) else [value]:
            yield name, _bytes(one)


def _bytes(value):
    if isinstance(value, bytes):
        return value
    return str(int(value) if isinstance(value, bool) else value).encode()


def settings(items):
    payload = b"".join(
        struct.pack("<HHI", 0, len(name), len(value)) + name.encode() + value for name, value in pairs(items)
    )
    return block(SETTINGS, payload)


def parse_settings(data):
    """A dict of name to the list of its values."""
    assert struct.unpack_from("<IHH", data) == (len(data), VERSION, SETTINGS)
    found, at = {}, 8
    while at < len(data):
        _, name_length, value_length = struct.unpack_from("<HHI", data, at)
        name = data[at + 8 : at + 8 + name_length].decode()
        at += 8 + name_length
        found.setdefault(name, []).append(data[at : at + value_length])
        at += value_length
    return found


def request_head(environ, flags=0, script_mtime_us=0, request_start_us=0, log_level=7):
    payload = struct.pack("<qQI", script_mtime_us, request_start_us, flags | log_level << LOG_LEVEL_SHIFT)
    for name, value in pairs(environ):
        number = keys().get(name, 0)
        shown = b"" if number else name.encode()
        payload += struct.pack("<HHI", number, len(shown), len(value)) + shown + value
    return block(REQUEST, payload)


def parse_response_head(data):
    code, count, reason_length, _ = struct.unpack_from("<HHHH", data, 8)
    at = 16
    reason, at = data[at : at + reason_length].decode(), at + reason_length + 1
    headers = []
    for _ in range(count):
        _, name_length, value_length = struct.unpack_from("<HHI", data, at)
        name, at = data[at + 8 : at + 8 + name_length].decode(), at + 9 + name_length
        value, at = data[at : at + value_length].decode("latin-1"), at + value_length + 1
        headers.append((name, value))
    assert at == len(data)
    return code, reason, headers


def question(head, script, subject=PASSWORD, arguments=(b"", b""), flags=0):
    script, (first, second) = str(script).encode(), arguments
    lengths = struct.pack("<HHIII", subject, flags, len(script), len(first), len(second))
    return block(QUESTION, lengths + script + first + second + head)


def parse_answer(data):
    """What is said, and the names."""
    number, count = struct.unpack_from("<HH", data, 8)
    names, at = [], 12
    for _ in range(count):
        (length,) = struct.unpack_from("<I", data, at)
        is_there = length != 0xFFFFFFFF
        names.append(data[at + 4 : at + 4 + length] if is_there else None)
        at += 4 + (length if is_there else 0)
    assert at == len(data)
    return number, names


# Frames of the child.


def hello(secret):
    return block(HELLO, secret)


def piece(data, flow=MORE):
    return block(PIECE, bytes([flow]) + data)


def input_failed(fault, text=b""):
    return block(INPUT_FAILED, struct.pack("<H", fault) + text)


def found(value):
    return block(FOUND, b"\0" if value is None else b"\1" + value)


def cut(fault, text=b""):
    return block(CUT, struct.pack("<H", fault) + text)


class Closed(Exception):
    """The worker has closed the connection."""


@dataclass
class Response:
    """What came of one request."""

    code: int = 0
    headers: list = field(default_factory=list)
    body: bytes = b""
    lines: list = field(default_factory=list)
    wanted: int = 0
    is_ended: bool = False
    outcome: int = None
    refusal: int = None
    answer: tuple = None

    @property
    def text(self):
        return "\n".join(self.lines)


class Connection:
    """A connection of an httpd child to a worker."""

    def __init__(self, path, secret, timeout=20):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout)
        self._socket.connect(str(path))
        self._buffer = b""
        self._greeting = hello(secret)
        self.welcome = None

    def send(self, data):
        """Bytes as they are, behind the hello if they are the first."""
        data, self._greeting = self._greeting + data, b""
        self._socket.sendall(data)

    def frame(self):
        """Kind and whole block of the next frame."""
        while len(self._buffer) < 8 or len(self._buffer) < struct.unpack_from("<I", self._buffer)[0]:
            try:
                data = self._socket.recv(1 << 20)
            except ConnectionResetError:
                data = b""
            if not data:
                raise Closed(self._buffer)
            self._buffer += data
        length, version, kind = struct.unpack_from("<IHH", self._buffer)
        assert version == VERSION
        frame, self._buffer = self._buffer[:length], self._buffer[length:]
        return kind, frame

    def request(self, head, body=b""):
        self.send(head)
        return self.response(body)

    def response(self, body=b""):
        """Everything up to the frame that ends the request; the body is sent as it is asked for."""
        response = Response()
        while response.outcome is None and response.refusal is None:
            body = self.step(response, body)
        return response

    def step(self, response, body=None):
        """Takes one frame; sends what it asks for of a body, unless that is None, and gives what is left of it."""
        kind, frame = self.frame()
        payload = frame[8:]
        if kind == WELCOME:
            self.welcome = payload[:32], *struct.unpack("<III", payload[32:])
        elif kind == RESPONSE:
            response.code, _, response.headers = parse_response_head(frame)
        elif kind == PIECE:
            assert not response.is_ended, "a piece after the end"
            response.body += payload[1:]
            response.is_ended = payload[0] == END
        elif kind == WANT:
            (count,) = struct.unpack("<I", payload)
            response.wanted += count
            if body is not None:
                part, body = body[:count], body[count:]
                self.send(piece(part, MORE if body else END))
        elif kind == LOG:
            response.lines.append(payload[1:].decode())
        elif kind == DONE:
            (response.outcome,) = struct.unpack("<i", payload)
        elif kind == ANSWER:
            response.answer = parse_answer(frame)
        elif kind == LOOKUP:
            self.send(found(payload.lower() if payload.startswith(b"SSL_") else None))
        elif kind == REFUSED:
            (response.refusal,) = struct.unpack("<H", payload)
        else:
            raise AssertionError(f"a worker does not send frames of kind {kind}")
        return body

    def is_closed(self):
        """Waits for the worker to close, or to say more than who it is and what it logs."""
        try:
            while self.frame()[0] in (WELCOME, LOG):
                pass
        except Closed:
            return True
        return False

    def shut(self):
        """No more is sent; what the worker says can still be read."""
        self._socket.shutdown(socket.SHUT_WR)

    def close(self):
        self._socket.close()


_SEAT = struct.Struct("<6I4Q")
_SEAT_SIZE, _CELLS_OFFSET, _CELLS = 8448, 248, 1024


class Scoreboard:
    """A scoreboard of its own making."""

    def __init__(self, seats=2):
        self.descriptor = os.memfd_create("wsgi-scoreboard", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.descriptor, 64 + seats * _SEAT_SIZE)
        # F_ADD_SEALS; F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW.
        fcntl.fcntl(self.descriptor, 1033, 1 | 2 | 4)

    def seat(self, number=0):
        names = (
            "state", "incarnation", "pid", "generation", "active", "reserved", "begun", "started_us", "active_us", "alive_us",
        )  # fmt: skip
        data = os.pread(self.descriptor, _SEAT.size, 64 + number * _SEAT_SIZE)
        return dict(zip(names, _SEAT.unpack(data), strict=True))

    def cell(self, cell, number=0):
        """(incarnation, requests begun) of a connection."""
        offset = 64 + number * _SEAT_SIZE + _CELLS_OFFSET + 8 * cell
        begun, incarnation = struct.unpack("<II", os.pread(self.descriptor, 8, offset))
        return incarnation, begun

    def close(self):
        os.close(self.descriptor)


def channel_pair():
    """The two ends of a channel."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
