"""A collector of telemetry: a socket that takes datagrams, and reads them as docs/telemetry.md says."""

import os
import socket
import struct
import time
from dataclasses import dataclass

REQUESTS, SLOW, STARTED, STOPPING, STOPPED, SNAPSHOT, COLLECTION = 2, 4, 5, 6, 7, 8, 9


@dataclass
class Datagram:
    kind: int
    pid: int
    sequence: int
    stamp: float
    fields: dict


class Collector:
    """Listens at `path`; whoever runs httpd's processes may write there."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind(str(path))
        os.chmod(path, 0o666)
        self.path = path
        self.received = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        self.path.unlink(missing_ok=True)

    def take(self, timeout=0.05):
        """Takes what has come, waiting so long for the first."""
        self.socket.settimeout(timeout)
        try:
            while True:
                self.received.append(read(self.socket.recv(1 << 20)))
                self.socket.settimeout(0.0001)
        except (TimeoutError, BlockingIOError):
            pass

    def wait_for(self, kind, condition=lambda datagram: True, timeout=20.0):
        """The first datagram of a kind that satisfies the condition."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            for datagram in self.received:
                if datagram.kind == kind and condition(datagram):
                    return datagram
            self.take()
        raise AssertionError(f"no datagram of kind {kind}; there are {sorted({d.kind for d in self.received})}")


def read(data):
    magic, version, kind, flags, pid, sequence, stamp = struct.unpack_from("<4sBBHIId", data)
    assert (magic, version, flags) == (b"WSGI", 1, 0)
    fields, place = {}, 24
    while place < len(data):
        number, form = struct.unpack_from("<HB", data, place)
        place += 3
        assert number not in fields, f"field {number} is there twice"
        if form in (1, 2, 3):
            (fields[number],) = struct.unpack_from({1: "<Q", 2: "<d", 3: "<q"}[form], data, place)
            place += 8
            continue
        (length,) = struct.unpack_from("<H", data, place)
        place += 2
        layout = {4: f"{length}s", 5: f"<{length}i", 6: f"<{length}d"}[form]
        values = struct.unpack_from(layout, data, place)
        place += struct.calcsize(layout)
        fields[number] = values[0].decode() if form == 4 else list(values)
    assert place == len(data)
    return Datagram(kind, pid, sequence, stamp, fields)
