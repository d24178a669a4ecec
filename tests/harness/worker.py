"""A real worker process, with a test in the places of its supervisor and of httpd's children."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from . import installation, wire
from .condition import wait_until

SECRET, REPLY = b"s" * 32, b"r" * 32

PUBLIC = {
    "door": "daemon",
    "process_group": "shop",
    "version": "6.1.1",
    "apache_version": "2.4.71",
    "apache_description": "Apache/2.4.71 (Unix)",
    "apache_build_date": "2026-01-01T00:00:00",
    "mpm_name": "event",
    "mpm_max_processes": 16,
    "mpm_threads_per_process": 25,
    "processes": 1,
    "is_multithread": True,
    "is_multiprocess": False,
    "single_process": False,
    "restrict_stdin": False,
    "restrict_stdout": False,
    "restrict_signal": True,
    "case_sensitivity": True,
}

LIMITS = {
    "threads": 3,
    "stack_size": 0,
    "maximum_requests": 0,
    "restart_interval": 0,
    "inactivity_timeout": 0,
    "request_timeout": 0,
    "interrupt_timeout": 0,
    "graceful_timeout": 15,
    "eviction_timeout": 0,
    "startup_timeout": 0,
    "deadlock_timeout": 300,
    "shutdown_timeout": 5,
    "queue_timeout": 0,
    "socket_timeout": 20,
    "is_dumpable": False,
    "has_server_board": False,
    "log_level": 7,
}


def bootstrap(host):
    """The text of crates/gateway/src/bootstrap.rs."""
    return (
        "import sys\n"
        "if sys.path[:1] == ['']: del sys.path[0]\n"
        f"sys.path.insert(0, bytes.fromhex('{os.fsencode(host).hex()}').decode(sys.getfilesystemencoding(), 'surrogateescape'))\n"
        "try:\n    from wsgi_host import worker\n"
        "finally:\n    del sys.path[0]\n"
        "worker.main()\n"
    )


class Worker:
    """Started with the settings given over the usual ones; `preload` is a list of scripts."""

    def __init__(self, python=sys.executable, preload=(), peer_uid=None, **options):
        self.root = Path(tempfile.mkdtemp(prefix="wsgi-worker-"))
        self.path = self.root / "worker.sock"
        self.scoreboard = wire.Scoreboard()
        self._channel, theirs = wire.channel_pair()
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.path))
        listener.listen(100)
        self._connections = []
        self._messages, self._news = [], threading.Condition()
        block = {
            **PUBLIC,
            **LIMITS,
            "host_directory": os.fsencode(installation.HOST),
            "seat": 0,
            "incarnation": 7,
            "generation": 1,
            "peer_uid": os.getuid() if peer_uid is None else peer_uid,
            "preload": [b"1\0" + os.fsencode(script) for script in preload],
            **options,
        }
        self.tell("secrets", secret=SECRET, reply=REPLY)
        self.process = self._spawn(python, theirs, listener, wire.settings(block))
        theirs.close()
        listener.close()
        threading.Thread(target=self._listen, daemon=True).start()

    def _spawn(self, python, channel, listener, block):
        settings = os.memfd_create("settings")
        os.write(settings, block)
        # Out of the way of the numbers that they are to get.
        given = [
            fcntl_duplicate(number)
            for number in (channel.fileno(), listener.fileno(), self.scoreboard.descriptor, settings)
        ]

        def arrange():
            for number, descriptor in enumerate(given, 3):
                os.dup2(descriptor, number)
                os.set_inheritable(number, True)

        self._stderr = (self.root / "stderr").open("wb")
        process = subprocess.Popen(
            [str(python), "-c", bootstrap(installation.HOST)],
            preexec_fn=arrange,
            pass_fds=(3, 4, 5, 6),
            stdin=subprocess.DEVNULL,
            stdout=self._stderr,
            stderr=self._stderr,
            cwd="/",
        )
        for descriptor in (settings, *given):
            os.close(descriptor)
        return process

    def _listen(self):
        while True:
            try:
                data = self._channel.recv(128 << 10)
            except OSError:
                data = b""
            with self._news:
                if not data:
                    self._messages.append(None)
                    self._news.notify_all()
                    return
                message = {name: values[-1] for name, values in wire.parse_settings(data).items()}
                self._messages.append(message)
                self._news.notify_all()

    def _hear_out(self):
        """Waits for the end of the channel, which a process that was forked may keep open: hence not for long."""
        with self._news:
            self._news.wait_for(lambda: None in self._messages, timeout=1)

    def messages(self, name):
        """Those of a name that have come."""
        with self._news:
            return [message for message in self._messages if message and message["message"] == name.encode()]

    def wait_for(self, name, timeout=15):
        """The first message of a name."""
        try:
            wait_until(lambda: self.messages(name) or self._has_said_all(), name, timeout)
            return self.messages(name)[0]
        except (AssertionError, IndexError):
            raise AssertionError(f"no message {name!r}; the process said:\n{self.text()}\n{self.errors()}") from None

    def _has_said_all(self):
        if self.process.poll() is None:
            return False
        self._hear_out()
        return True

    def ready(self):
        self.wait_for("ready")
        return self

    def lines(self):
        return [message["text"].decode() for message in self.messages("line")]

    def text(self):
        return "\n".join(self.lines())

    def errors(self):
        return (self.root / "stderr").read_text()

    def tell(self, message, **fields):
        self._channel.send(wire.settings({"message": message, **fields}))

    def leave_alone(self):
        """The supervisor dies."""
        self._channel.shutdown(socket.SHUT_RDWR)

    def connect(self, secret=SECRET, **options):
        self._connections.append(wire.Connection(self.path, secret, **options))
        return self._connections[-1]

    def head(self, script, **options):
        """The head of a GET to a script; environ variables are given as `environ`."""
        environ = {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": "",
            "PATH_INFO": "/",
            "QUERY_STRING": "",
            "REQUEST_URI": "/",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SCRIPT_FILENAME": str(script),
            "wsgi.url_scheme": "http",
            "mod_wsgi.process_group": "shop",
            "mod_wsgi.application_group": "main",
            "mod_wsgi.callable_object": "application",
            **options.pop("environ", {}),
        }
        options.setdefault("script_mtime_us", os.stat(script).st_mtime_ns // 1000 if os.path.exists(script) else 0)
        options.setdefault("request_start_us", time.time_ns() // 1000)
        return wire.request_head(environ, **options)

    def get(self, script, **options):
        """One request on a connection of its own."""
        connection = self.connect()
        try:
            return connection.request(self.head(script, **options))
        finally:
            connection.close()

    def question(self, script, subject=wire.PASSWORD, arguments=(b"me", b"secret"), flags=0, **options):
        """A question to a script; its environ and facts as those of a request."""
        return wire.question(self.head(script, **options), script, subject, arguments, flags)

    def ask(self, script, *arguments, **options):
        """One question on a connection of its own."""
        connection = self.connect()
        try:
            return connection.request(self.question(script, *arguments, **options))
        finally:
            connection.close()

    def signal(self, number):
        os.kill(self.process.pid, number)

    def wait(self, timeout=15):
        """The exit status; what the process said before it ended has come then, too."""
        try:
            status = self.process.wait(timeout)
            self._hear_out()
            return status
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the process does not end; it said:\n{self.text()}\n{self.errors()}") from None

    def discard(self):
        if self.process.poll() is None:
            self.signal(signal.SIGKILL)
            self.process.wait()
        for connection in self._connections:
            connection.close()
        self._channel.close()
        self.scoreboard.close()
        self._stderr.close()


def fcntl_duplicate(descriptor):
    import fcntl

    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 20)
