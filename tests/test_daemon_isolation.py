"""What a worker does not have of httpd's, and what a hostile application cannot do to another group or to httpd."""

import base64
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from harness import http1, installation, wire
from harness.checklist import line, ours
from harness.condition import wait_until
from harness.door import daemon
from harness.messages import BROKEN, DIED
from harness.process import targets_of_descriptors
from harness.puppet import Puppet
from test_daemon_pythons import fake

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give workers another user, and read their memory")

HELLO = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]
"""


def listeners(port):
    """Inodes of the sockets that listen at the port."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {fields[9] for fields in lines if int(fields[1].rpartition(":")[2], 16) == port and fields[3] == "0A"}


@ours
@line("IMP-30")
@pytest.mark.parametrize("which", ["worker", "supervisor"])
def test_no_descriptor_of_httpds_is_open_below_it(new_daemon, which):
    site = new_daemon().start()
    worker = site.process()
    targets = targets_of_descriptors(worker if which == "worker" else site.supervisor())
    listening = {f"socket:[{inode}]" for inode in listeners(site.port)}
    assert listening
    assert not listening & set(targets.values())
    assert not [target for target in targets.values() if target in (str(site.access_log), str(site.config_file))]
    # What httpd's parent has open is its own, but for the log and what everybody has.
    shared = set(targets.values()) & set(targets_of_descriptors(site.pid()).values())
    assert {name for name in shared if not name.startswith(("/dev/", "anon_inode:", "/memfd:wsgi"))} <= {
        str(site.log.path)
    }


# What another process of its user can do while an interpreter starts, done by the one that is started.
SLOW = """#!/bin/sh
for file in /proc/$$/fd/*; do
    if [ -f "$file" ]; then cat "$file" > {copies}/$(basename "$file").$$; fi
done
exec {python} "$@"
"""


@ours
def test_while_a_worker_starts_its_secrets_are_in_no_file_that_it_has_open(new_httpd, tmp_path_factory):
    copies = tmp_path_factory.mktemp("copies")
    copies.chmod(0o777)
    source = SLOW.format(copies=copies, python=installation.base_python())
    python = fake(tmp_path_factory.mktemp("slow"), source)
    site = new_httpd("", daemon(f"python={python}")).start()
    assert site.script(HELLO).get().body == b"hello"
    settings = [wire.parse_settings(data) for path in copies.iterdir() if b"incarnation" in (data := path.read_bytes())]
    assert settings
    assert not any({"secret", "reply"} & names.keys() for names in settings)


@ours
def test_what_the_application_executes_inherits_no_socket(new_daemon):
    site = new_daemon().start()
    listing = Puppet(site).run(
        """
        import subprocess
        done = subprocess.run(["ls", "-l", "/proc/self/fd"], close_fds=False, capture_output=True, text=True)
        result = done.stdout
        """
    )
    assert "/proc/" in listing
    assert "socket:" not in listing and "memfd" not in listing and "eventpoll" not in listing


@ours
@as_root
@line("IMP-30")
@pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command makes the test's key")
def test_no_byte_of_the_tls_key_is_in_the_memory_of_supervisor_and_worker(new_daemon):
    site = new_daemon(
        config="SSLEngine On\nSSLCertificateFile {root}/certificate.pem\nSSLCertificateKeyFile {root}/key.pem\n"
        "LogLevel ssl:error\n",
        modules=("ssl", "socache_shmcb"),
    )
    key = site.root / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-keyout", key, "-out", site.root / "certificate.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    site.script(HELLO, name="hello.wsgi")
    site.start()
    assert over_tls(site, "/main/hello.wsgi").body == b"hello"
    shreds = shreds_of(key)
    # The search finds the key where it is.
    assert any(found(site.pid(), shreds)) or any(found(site.child(), shreds))
    for pid in (*site.workers(), site.supervisor()):
        assert not any(found(pid, shreds)), pid


def over_tls(site, target):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with http1.Connection(site.address) as connection:
        connection.socket = context.wrap_socket(connection.socket)
        return connection.get(target)


def shreds_of(key):
    """Parts of a private key as text, as bytes, and as numbers of a little-endian machine."""
    lines = key.read_text().splitlines()[1:-1]
    der = base64.b64decode("".join(lines))
    # Within the private exponent and within the first prime of a key of 2048 bits (RFC 8017, A.1.2, in PKCS #8).
    exponent, prime = der[330:394], der[590:650]
    return [lines[12].encode(), exponent, exponent[::-1], prime, prime[::-1]]


def found(pid, shreds):
    """For each shred, whether it is in the process's writable memory."""
    seen = [False] * len(shreds)
    with open(f"/proc/{pid}/mem", "rb") as memory:
        for entry in Path(f"/proc/{pid}/maps").read_text().splitlines():
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", entry)
            if not match:
                continue
            start, end = (int(number, 16) for number in match.groups())
            try:
                memory.seek(start)
                content = memory.read(end - start)
            except OSError:
                continue
            seen = [was or shred in content for was, shred in zip(seen, shreds)]
    return seen


LOOK_AROUND = """
import os
opened = []
for pid in filter(str.isdigit, os.listdir("/proc")):
    if os.stat(f"/proc/{pid}").st_uid == os.getuid():
        continue
    for name in ("environ", "mem", "fd", "maps"):
        path = f"/proc/{pid}/{name}"
        try:
            os.listdir(path) if name == "fd" else open(path, "rb").close()
            opened.append(path)
        except OSError:
            pass
result = opened
"""

KNOCK = """
import os, socket
paths = {line.split()[-1] for line in open("/proc/net/unix") if "/" in line}
for top, _, names in os.walk(ROOT):
    paths |= {os.path.join(top, name) for name in names}
opened = []
for path in paths:
    if "wsgi" not in path:
        continue
    for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
        with socket.socket(socket.AF_UNIX, kind) as knock:
            knock.settimeout(2)
            try:
                knock.connect(path)
                opened.append(path)
                knock.sendall(b"\\xff" * 5000)
            except OSError:
                pass
result = opened
"""

SPOIL = """
import ctypes, re
result = 0
for line in open("/proc/self/maps"):
    if "memfd:wsgi" in line:
        start, end = (int(n, 16) for n in re.match("([0-9a-f]+)-([0-9a-f]+)", line).groups())
        ctypes.memset(start, 0xff, end - start)
        result += end - start
"""

SHOUT = """
import os, stat
for number in range(3, 200):
    try:
        if stat.S_ISSOCK(os.fstat(number).st_mode):
            os.set_blocking(number, False)
            os.write(number, b"\\xff" * 4096)
    except OSError:
        pass
"""

CLOSE = "import os\nos.closerange(0, 200)\n"
KILL = """
import os, signal
hit = []
for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
    if os.stat(f"/proc/{pid}").st_uid != os.getuid():
        try:
            os.kill(pid, signal.SIGTERM)
            hit.append(pid)
        except OSError:
            pass
result = hit
"""
BREED = """
import os, time
for _ in range(5):
    if os.fork() == 0:
        time.sleep(20)
        os._exit(0)
"""


# Each with what is said of it: of nonsense to the supervisor and to httpd's child; of a process that has closed its
# connections, the one to the supervisor included, and hears nothing any more.
DEEDS = {
    "scoreboard": (SPOIL, []),
    "connections": (SHOUT, ["WSGI0319", "WSGI0372"]),
    "descriptors": (CLOSE, [BROKEN, "WSGI0319", "WSGI0314"]),
    "forks": (BREED, []),
}


@pytest.fixture
def two(new_httpd):
    """A site with a hostile group and its victim, each with a user of its own; and a puppet in either."""
    site = new_httpd(
        "WSGIDaemonProcess hostile threads=4 user=nobody group=nogroup home=/ display-name=%{GROUP}\n"
        "<Location /sub>\n  WSGIProcessGroup hostile\n</Location>\n",
        daemon("threads=4 user=games group=games home=/"),
    ).start()
    return site, Puppet(site, "sub"), site.script(HELLO)


@ours
@as_root
def test_a_hostile_group_opens_nothing_of_the_processes_of_others(two):
    site, hostile, victim = two
    assert victim.get().body == b"hello"
    own = {*site.workers(), *site.children(), site.pid(), site.supervisor()}
    opened = [path for path in hostile.run(LOOK_AROUND) if int(path.split("/")[2]) in own]
    assert opened == []
    assert hostile.run(KILL) == []


@ours
@as_root
def test_a_hostile_group_reaches_no_socket_but_perhaps_its_own(two):
    site, hostile, victim = two
    before = site.process()
    code = f"ROOT = {str(site.root)!r}\n" + KNOCK
    assert hostile.run(code) == []
    assert victim.get().body == b"hello"
    assert site.process() == before


@ours
@as_root
@pytest.mark.parametrize(("deed", "said"), DEEDS.values(), ids=DEEDS)
def test_what_a_hostile_application_does_to_its_own_process_harms_only_its_group(two, deed, said):
    site, hostile, victim = two
    assert victim.get().body == b"hello"
    before, child, supervisor = site.process(), site.child(), site.supervisor()
    for code in said:
        site.log.expect(code)
    for _ in range(3):
        try:
            hostile.send(deed)
        except (OSError, http1.Incomplete):
            pass  # Whatever it gets is its own affair.
        assert victim.get().body == b"hello"
    assert (site.process(), site.child(), site.supervisor()) == (before, child, supervisor)
    (site.root / "htdocs" / "static.txt").write_text("static")
    assert site.get("/static.txt").body == b"static"
    site.graceful()
    assert victim.get().body == b"hello"


@ours
@as_root
def test_spoiling_the_scoreboard_is_possible_and_so_the_test_of_it_means_something(two):
    _, hostile, _ = two
    assert hostile.run(SPOIL) > 0


@ours
@line("IMP-31")
def test_garbage_and_guessed_hellos_on_a_workers_socket_run_no_request(new_daemon):
    """The test's own user is root or httpd's: the socket lets it in, the secret does not."""
    site = new_daemon().start()
    assert site.script(HELLO).get().body == b"hello"
    before = site.process()
    site.log.expect("WSGI0344")
    site.log.expect("WSGI0345")
    frames = [
        b"\xff" * 4096,
        b"GET / HTTP/1.1\r\n\r\n",
        # A hello with a wrong secret (docs/wire.md): 8 bytes of header, 32 of secret.
        (40).to_bytes(4, "little") + b"\x01\0\x03\0" + bytes(32),
        # A version and a length that nobody writes.
        (40).to_bytes(4, "little") + b"\x63\0\x03\0" + bytes(32),
        (0x7FFFFFFF).to_bytes(4, "little") + b"\x01\0\0\0",
    ]
    paths = [path for top in site.sockets() for path in top.rglob("*") if path.is_socket()]
    assert paths
    for path in paths:
        for frame in frames:
            knock(path, frame)
    assert site.script(HELLO).get().body == b"hello"
    assert site.process() == before


def knock(path, frame):
    """Sends the frame; whoever listens must close the connection without an answer of a worker's."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
        with socket.socket(socket.AF_UNIX, kind) as client:
            client.settimeout(15)
            try:
                client.connect(str(path))
                client.sendall(frame)
                assert client.recv(100) == b""
            except OSError as error:
                assert not isinstance(error, TimeoutError), f"{path} keeps a connection that sent {frame[:12]!r}"


HOLD = """
import builtins, socket, threading, time

def hold(path):
    held = []
    while True:
        one = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            one.connect(path)
            held.append(one)
        except OSError:
            pass
        del held[:-200]
        time.sleep(0.001)

for path in PATHS:
    threading.Thread(target=hold, args=(path,), daemon=True).start()
time.sleep(0.5)
result = len(PATHS)
"""


@ours
def test_a_group_of_httpds_own_user_cannot_hold_the_desk_of_another(new_httpd):
    site = new_httpd(
        "WSGIDaemonProcess hostile threads=4\n<Location /sub>\n  WSGIProcessGroup hostile\n</Location>\n",
        daemon("threads=4"),
    ).start()
    victim = site.script(HELLO)
    assert victim.get().body == b"hello"
    desks = [str(path) for top in site.sockets() for path in top.rglob("*.desk.sock")]
    assert Puppet(site, "sub").run(f"PATHS = {desks!r}\n" + HOLD) == 2
    # Its children do not know the victim's processes yet.
    site.graceful()
    began = time.monotonic()
    assert victim.get().body == b"hello"
    assert time.monotonic() - began < 5


@as_root
def test_a_killed_victim_comes_back_while_the_hostile_group_goes_on(two):
    site, hostile, victim = two
    before = site.process()
    site.log.expect(DIED)
    os.kill(before, 9)
    wait_until(lambda: site.process() != before, "another worker")
    assert hostile.value("1") == 1


FORGE = """
import os, socket, stat, struct

def frame(kind, payload):
    return struct.pack("<IHH", 8 + len(payload), 1, kind) + payload

def forge(status, headers, pieces):
    # Into the application's own connection, behind the back of the server's code (docs/wire.md).
    head = struct.pack("<HHHH", status, len(headers), 0, 0) + bytes(1)
    for name, value in headers:
        head += struct.pack("<HHI", 0, len(name), len(value)) + name + bytes(1) + value + bytes(1)
    data = frame(1, head)
    for number, piece in enumerate(pieces, 1):
        data += frame(5, bytes([2 if number == len(pieces) else 1]) + piece)
    data += frame(10, bytes(4))
    for number in range(3, 200):
        try:
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
            with socket.socket(fileno=os.dup(number)) as own:
                if own.type == socket.SOCK_STREAM and not own.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    own.send(data)
        except OSError:
            pass
    os._exit(0)
"""

FORGED = rb"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"


@ours
@as_root
@pytest.mark.parametrize(
    "response",
    [
        f"200, [(b'Content-Length', b'5')], [b'hello', b'{FORGED.decode()}']",
        "200, [(b'Content-Length', b'500')], [b'hello', b'']",
        f"200, [(b'Transfer-Encoding', b'chunked')], [b'0\\r\\n\\r\\n{FORGED.decode()}', b'']",
        "100, [], [b'']",
        "101, [(b'Upgrade', b'x')], [b'hello']",
    ],
    ids=["longer", "shorter", "chunked", "100", "101"],
)
def test_a_hostile_group_cannot_put_a_response_of_its_own_before_anothers(two, response):
    """Clients, above all proxies, ask several groups over one connection."""
    site, hostile, victim = two
    site.log.allow(rf"{DIED}|{BROKEN}|WSGI0119|WSGI0372")
    with site.connect() as connection:
        connection.send_request("POST", hostile.app.url, body=(FORGE + f"forge({response})").encode())
        try:
            first = connection.response("POST")
        except (http1.Incomplete, ConnectionError):
            return  # Broken off: there is no second response for anybody to take for another.
        try:
            second = connection.get(victim.url)
        except (http1.Incomplete, ConnectionError):
            return
    assert first.status in (200, 500, 502)
    assert second.body == b"hello"
