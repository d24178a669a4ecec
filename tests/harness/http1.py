"""An HTTP/1.1 client that sends exactly the bytes it is told to and notices every incomplete response."""

import socket
from dataclasses import dataclass, field

BODYLESS = {204, 304}


class Incomplete(Exception):
    """The connection ended before the response did. `response` has what arrived."""

    def __init__(self, why, response=None):
        super().__init__(why)
        self.response = response


@dataclass
class Response:
    version: str
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    interim: list[int] = field(default_factory=list)
    trailers: list[tuple[str, str]] = field(default_factory=list)

    def header(self, name):
        """The only value of this header, or None; two of them are an error of the test."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} stands {len(values)} times: {values}"
        return values[0] if values else None

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def is_chunked(self):
        return "chunked" in (self.header("Transfer-Encoding") or "").lower()

    @property
    def text(self):
        return self.body.decode()


class Connection:
    """One TCP connection. All waits end after `timeout` seconds with TimeoutError."""

    def __init__(self, address, timeout=15.0):
        self.socket = socket.create_connection(address, timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Ends the connection with RST, as a client that was killed does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def send_head(self, method, target, headers=(), version="HTTP/1.1"):
        lines = [f"{method} {target} {version}", *(f"{name}: {value}" for name, value in headers)]
        if version == "HTTP/1.1" and not any(name.lower() == "host" for name, _ in headers):
            lines.insert(1, "Host: localhost")
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1"))

    def send_request(self, method, target, headers=(), body=None, version="HTTP/1.1"):
        """Sends head and body; Content-Length is added when there is a body and no framing header."""
        headers = list(headers)
        framing = {"content-length", "transfer-encoding"}
        if body is not None and not any(name.lower() in framing for name, _ in headers):
            headers.append(("Content-Length", str(len(body))))
        self.send_head(method, target, headers, version)
        if body:
            self.send(body)

    def request(self, method, target, headers=(), body=None, version="HTTP/1.1"):
        self.send_request(method, target, headers, body, version)
        return self.response(method)

    def get(self, target, headers=()):
        return self.request("GET", target, headers)

    def send_chunk(self, data):
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def end_chunks(self, trailers=b""):
        self.send(b"0\r\n" + trailers + b"\r\n")

    def response(self, method="GET"):
        """Reads one whole response, skipping (and noting) interim ones."""
        response = self.head()
        if method == "HEAD" or response.status in BODYLESS:
            return response
        try:
            self._read_body(response)
        except (Incomplete, ConnectionError) as error:
            raise Incomplete(str(error), response) from error
        return response

    def head(self):
        """Reads the head of the next final response."""
        interim = []
        while True:
            response = self._one_head()
            if response.status >= 200:
                response.interim = interim
                return response
            interim.append(response.status)

    def interim(self):
        """Reads one head and demands that it is an interim one (1xx)."""
        response = self._one_head()
        assert response.status < 200, f"expected an interim response, got {response.status}"
        return response.status

    def chunk(self):
        """Reads one chunk of a chunked body; b'' is the last one."""
        size = int(self._line().split(b";")[0], 16)
        if size == 0:
            return b""
        data = self._exactly(size)
        if self._exactly(2) != b"\r\n":
            raise Incomplete("chunk is not followed by CRLF")
        return data

    def trailers(self):
        """Reads what follows the last chunk."""
        found = []
        while line := self._line():
            name, _, value = line.decode("latin-1").partition(":")
            found.append((name, value.strip()))
        return found

    def take(self, size):
        """Reads exactly `size` bytes of whatever comes."""
        return self._exactly(size)

    def discard(self, size):
        """Reads and forgets exactly `size` bytes."""
        size -= len(self._take_buffered(size))
        buffer = bytearray(1 << 18)
        while size:
            received = self.socket.recv_into(buffer, min(size, len(buffer)))
            if not received:
                raise Incomplete(f"the connection ended {size} bytes early")
            size -= received

    def rest(self):
        """Reads until the server closes the connection; a reset counts as its end."""
        try:
            while self._more():
                pass
        except ConnectionError:
            pass
        data, self._buffer = self._buffer, b""
        return data

    def is_closed(self):
        """True once the server has ended the connection with nothing more to read; waits for it."""
        return self.rest() == b""

    def has_input(self, within):
        """Whether anything arrives within so many seconds. For asserting that nothing does."""
        if self._buffer:
            return True
        before = self.socket.gettimeout()
        self.socket.settimeout(within)
        try:
            return self._more()
        except TimeoutError:
            return False
        finally:
            self.socket.settimeout(before)

    def _one_head(self):
        version, _, rest = self._line().decode("latin-1").partition(" ")
        status, _, reason = rest.partition(" ")
        headers = []
        while line := self._line():
            name, _, value = line.decode("latin-1").partition(":")
            headers.append((name, value.strip()))
        return Response(version, int(status), reason, headers)

    def _read_body(self, response):
        if response.is_chunked:
            while data := self.chunk():
                response.body += data
            response.trailers = self.trailers()
            return
        length = response.header("Content-Length")
        if length is None:
            self._read_to_close(response)
            return
        while len(response.body) < int(length):
            if not self._buffer and not self._more():
                raise Incomplete(f"{len(response.body)} of {length} bytes arrived")
            response.body += self._take_buffered(int(length) - len(response.body))

    def _read_to_close(self, response):
        while self._buffer or self._more():
            response.body += self._buffer
            self._buffer = b""

    def _line(self):
        while b"\r\n" not in self._buffer:
            if not self._more():
                raise Incomplete(f"the connection ended within a line: {self._buffer[:80]!r}")
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def _exactly(self, size):
        while len(self._buffer) < size:
            if not self._more():
                raise Incomplete(f"the connection ended {size - len(self._buffer)} bytes early")
        return self._take_buffered(size)

    def _take_buffered(self, size):
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def _more(self):
        data = self.socket.recv(65536)
        self._buffer += data
        return bool(data)
