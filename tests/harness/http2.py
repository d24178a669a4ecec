"""An HTTP/2 client over plain TCP with prior knowledge (h2c), many streams on one connection."""

import socket
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events


@dataclass
class Stream:
    """What one stream has brought so far. `reset` is the error code of RST_STREAM, if one came."""

    status: int | None = None
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    ended: bool = False
    reset: int | None = None

    @property
    def is_over(self):
        return self.ended or self.reset is not None

    def all(self, name):
        return [value for key, value in self.headers if key == name.lower()]

    def header(self, name):
        values = self.all(name)
        assert len(values) <= 1, f"{name} stands {len(values)} times: {values}"
        return values[0] if values else None

    @property
    def text(self):
        return self.body.decode()


class Connection:
    def __init__(self, address, timeout=15.0):
        self.socket = socket.create_connection(address, timeout)
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="latin-1"))
        self._h2.initiate_connection()
        self._streams = {}
        self._flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def open(self, method, path, headers=(), end=True):
        """Starts a request and returns its stream id."""
        stream_id = self._h2.get_next_available_stream_id()
        self._streams[stream_id] = Stream()
        pseudo = [(":method", method), (":scheme", "http"), (":authority", "localhost"), (":path", path)]
        self._h2.send_headers(stream_id, [*pseudo, *headers], end_stream=end)
        self._flush()
        return stream_id

    def send(self, stream_id, data, end=False):
        """Sends body bytes, waiting for the flow-control window where needed."""
        view = memoryview(data)
        while view:
            room = min(self._h2.local_flow_control_window(stream_id), self._h2.max_outbound_frame_size, len(view))
            if room == 0:
                self._receive()
                continue
            self._h2.send_data(stream_id, bytes(view[:room]))
            view = view[room:]
            self._flush()
        if end:
            self._h2.end_stream(stream_id)
            self._flush()

    def cancel(self, stream_id):
        self._h2.reset_stream(stream_id, error_code=8)
        self._flush()

    def finish(self, stream_id):
        """Receives until the stream has ended or was reset."""
        stream = self._streams[stream_id]
        while not stream.is_over:
            self._receive()
        return stream

    def wait_for(self, stream_id, size):
        """Receives until at least `size` body bytes of the stream have come, or it is over."""
        stream = self._streams[stream_id]
        while len(stream.body) < size and not stream.is_over:
            self._receive()
        return stream

    def request(self, method, path, headers=(), body=None):
        stream_id = self.open(method, path, headers, end=body is None)
        if body is not None:
            self.send(stream_id, body, end=True)
        return self.finish(stream_id)

    def get(self, path, headers=()):
        return self.request("GET", path, headers)

    def _receive(self):
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed the HTTP/2 connection")
        for event in self._h2.receive_data(data):
            self._take(event)
        self._flush()

    def _take(self, event):
        stream = self._streams.get(getattr(event, "stream_id", None))
        match event:
            case h2.events.ResponseReceived():
                stream.headers = [(name, value) for name, value in event.headers if not name.startswith(":")]
                stream.status = int(dict(event.headers)[":status"])
            case h2.events.DataReceived():
                stream.body += event.data
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                stream.ended = True
            case h2.events.StreamReset():
                stream.reset = int(event.error_code)
            case h2.events.ConnectionTerminated() if event.error_code:
                raise ConnectionError(f"GOAWAY with error {event.error_code}")

    def _flush(self):
        data = self._h2.data_to_send()
        if data:
            self.socket.sendall(data)
