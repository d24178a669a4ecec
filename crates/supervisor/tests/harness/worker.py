"""A worker without a host: speaks with the supervisor as docs/daemon.md says, and does what a connection tells it.

A connection sends one word and gets one line of JSON.
"""

import json
import mmap
import os
import resource
import select
import signal
import socket
import struct
import sys
import time

CHANNEL, LISTENER, SCOREBOARD, SETTINGS = 3, 4, 5, 6
SERVING, DRAINING = 2, 3


def parse(block):
    pairs, at = [], 8
    while at < len(block):
        _, name, value = struct.unpack_from("<HHI", block, at)
        at += 8
        pairs.append((block[at : at + name].decode(), block[at + name : at + name + value]))
        at += name + value
    return pairs


def message(word, **fields):
    body = b""
    for name, value in [("message", word), *fields.items()]:
        value = str(value).encode()
        body += struct.pack("<HHI", 0, len(name), len(value)) + name.encode() + value
    return struct.pack("<IHH", 8 + len(body), 1, 2) + body


def look():
    fields = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
    mask = os.umask(0o77)
    return {
        "pid": os.getpid(),
        "resuid": os.getresuid(),
        "resgid": os.getresgid(),
        "groups": sorted(os.getgroups()),
        "sid": os.getsid(0),
        "cwd": os.getcwd(),
        "umask": mask,
        "nice": os.nice(0),
        "cpu": resource.getrlimit(resource.RLIMIT_CPU),
        "data": resource.getrlimit(resource.RLIMIT_DATA),
        "as": resource.getrlimit(resource.RLIMIT_AS),
        "fds": sorted(int(fd) for fd in os.listdir("/proc/self/fd")),
        "blocked": int(fields["SigBlk"], 16),
        "ignored": IGNORED,
        "environment": dict(os.environ),
        "settings": {name: value.decode("latin-1") for name, value in settings},
        "preload": [value.decode().split("\0") for name, value in settings if name == "preload"],
    }


# Python itself ignores SIGPIPE and SIGXFSZ.
IGNORED = [
    int(number)
    for number in range(1, 32)
    if number not in (signal.SIGPIPE, signal.SIGXFSZ) and signal.getsignal(number) == signal.SIG_IGN
]
settings = parse(os.fdopen(SETTINGS, "rb").read())
own = dict(settings)
behaviour = own.get("fake", b"").decode().split()
channel = socket.socket(fileno=CHANNEL)
# The first message is there already; what it says is nowhere else.
secrets = dict(parse(channel.recv(1 << 20)))
if secrets["message"] != b"secrets" or len(secrets["secret"]) != 32 or {"secret", "reply"} & own.keys():
    os._exit(5)
listener = socket.socket(fileno=LISTENER)
board = mmap.mmap(SCOREBOARD, 0)
os.close(SCOREBOARD)
seat = 64 + int(own["seat"]) * int(own["stride"])


def set_state(state):
    board[seat : seat + 4] = struct.pack("<I", state)


if "speechless" in behaviour:
    print("no module named encodings", file=sys.stderr, flush=True)
    os._exit(3)
if "group" in behaviour and own.get("pool_group") == b"broken":
    os._exit(4)
if "stubborn" in behaviour:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

if "started" in behaviour:
    channel.send(message("started"))

# As long as it is blocked by the test.
while "hesitant" in behaviour and not os.path.exists(own["gate"].decode()):
    time.sleep(0.01)

set_state(SERVING)
channel.send(message("ready", version="3.0", prefix=sys.prefix, executable=sys.executable))
if "service" in behaviour:
    os._exit(0)

if "reloading" in behaviour:
    channel.send(message("reload", script="/srv/app.wsgi"))
if "flooding" in behaviour and os.fork() == 0:
    while True:
        os.write(2, b"y\n" * 5000)

connections, is_draining, has_supervisor = [], False, True
while True:
    ready, _, _ = select.select(([channel] if has_supervisor else []) + connections + ([] if is_draining else [listener]), [], [])
    if channel in ready:
        try:
            block = channel.recv(1 << 20)
        except ConnectionResetError:
            # It was killed before it had read all that was said to it.
            block = b""
        has_supervisor = bool(block)
        word = dict(parse(block)).get("message", b"stop") if block else b"stop"
        if "stubborn" not in behaviour:
            set_state(DRAINING)
            channel.send(message("stopping", reason="told", limit=1)) if block else None
            if word == b"stop" and block:
                os._exit(0)
            # Also when the supervisor has gone.
            is_draining = True
        elif not block:
            os._exit(0)
    if listener in ready:
        listener.setblocking(True)
        connections.append(listener.accept()[0])
    for connection in [connection for connection in connections if connection in ready]:
        word, _, rest = connection.recv(1000).decode().partition(" ")
        if not word:
            connections.remove(connection)
            connection.close()
            continue
        if word == "look":
            connection.sendall(json.dumps(look()).encode() + b"\n")
            continue
        if word == "fork":
            # A child that holds everything, as a fork without exec does, and makes the listener wait.
            orphan = os.fork()
            if orphan == 0:
                time.sleep(60)
                os._exit(0)
            connection.sendall(b"%d\n" % orphan)
            continue
        if word == "exit":
            os._exit(int(rest))
        if word == "signal":
            os.kill(os.getpid(), int(rest))
        if word == "print":
            print(rest, file=sys.stderr, flush=True)
        if word == "close":
            channel.close()
            time.sleep(60)
        while word == "burn":
            pass
        if word == "knock":
            desk = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            desk.connect(rest.strip())
            desk.settimeout(1)
            try:
                said = desk.recv(1000)
            except TimeoutError:
                said = b"open"
            connection.sendall((said or b"closed") + b"\n")
            continue
        if word == "lines":
            for number in range(int(rest)):
                channel.send(message("line", level=6, text="over the channel" + "x" * 8000))
        if word == "oversized":
            channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            channel.send(b"x" * (129 << 10))
            socket.send_fds(channel, [b"x"], [0] * 5)
        if word == "absurd":
            channel.send(message("retire", reason="\n" * 60000, limit=2**64 - 1))
        if word == "lie":
            channel.send(message("stopping", reason="emergency", limit=rest))
        if word in ("retire", "reload", "line", "stopping", "nonsense"):
            fields = {
                "retire": {"reason": "age", "limit": 0},
                "reload": {"script": "/srv/app.wsgi"},
                "line": {"level": 6, "text": rest},
                "stopping": {"reason": "emergency", "limit": 1},
                "nonsense": {},
            }[word]
            channel.send(message(word, **fields))
        if word == "stopping":
            set_state(DRAINING)
            time.sleep(0.1)
            os._exit(0)
        connection.sendall(b"{}\n")
    if is_draining and not connections:
        os._exit(0)
