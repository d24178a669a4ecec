"""A private httpd: own configuration, own port, own directory, nothing left behind."""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from . import http1, http2, installation, process
from .condition import wait_until
from .error_log import FORMAT, ErrorLog

MODULES = (
    "authz_core", "authz_host", "unixd", "log_config", "mime", "env", "setenvif", "alias", "rewrite", "headers",
    "filter", "deflate", "dir", "status",
)  # fmt: skip

# One child with a few threads: what a test sets in a process, its next request finds there.
# The spare slots (ServerLimit) are for children that drain after a graceful restart.
_THREADED = """StartServers 1
ServerLimit 4
ThreadsPerChild 12
MaxRequestWorkers 12
MinSpareThreads 1
MaxSpareThreads 12"""
MPM = {
    "event": _THREADED,
    "worker": _THREADED,
    "prefork": "StartServers 2\nMinSpareServers 2\nMaxSpareServers 4\nServerLimit 4\nMaxRequestWorkers 4",
}


class Failed(Exception):
    """httpd did not start."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Httpd:
    """`config` is added to the basic configuration; `{port}` and `{root}` in it are replaced.

    `user` names the account that starts httpd, for tests run by root; otherwise whoever runs the tests does.
    """

    def __init__(
        self, config="", mpm="event", modules=(), python_home=installation.PYTHON_HOME, environment=None, user=None
    ):
        self.root = Path(tempfile.mkdtemp(prefix="wsgi-test-"))
        self.root.chmod(0o755)
        self.port = free_port()
        self.mpm = mpm
        self._modules = (*MODULES, *modules)
        self._python_home = python_home
        self._environment = {} if environment is None else environment
        self._user = user
        self._process = None
        # Whether httpd's parent has had no chance to remove what only root can.
        self.was_killed = False
        self.log = ErrorLog(self.root / "error.log")
        self.access_log = self.root / "access.log"
        (self.root / "htdocs").mkdir(mode=0o755)
        if user:
            shutil.chown(self.root, user)
        self.configure(config)

    # -- configuration

    def configure(self, config):
        """Writes the configuration file; a running httpd reads it at its next `graceful` or `restart`."""
        self.config_file.write_text(self._basic() + self._fill(config) + "\n")

    @property
    def config_file(self):
        return self.root / "httpd.conf"

    def configtest(self, config=None):
        """Runs `httpd -t`, on `config` instead of the present one if given; returns the completed process."""
        if config is not None:
            self.configure(config)
        return subprocess.run([*self._command(), "-t"], capture_output=True, text=True, env=self._env())

    def _basic(self):
        user = None if self._user else installation.run_as()
        lines = [
            installation.load_module(f"mpm_{self.mpm}"),
            *map(installation.load_module, self._modules),
            f"LoadModule wsgi_module {installation.WSGI_MODULE}",
            f"User {user}\nGroup #{pwd.getpwnam(user).pw_gid}" if user else "",
            f"ServerRoot {self.root}",
            f"DefaultRuntimeDir {self.root}",
            "ServerName localhost",
            f"Listen 127.0.0.1:{self.port}",
            f"PidFile {self.root}/httpd.pid",
            f"DocumentRoot {self.root}/htdocs",
            "TypesConfig /dev/null\nAddType text/plain .txt\nAddType text/css .css\nAddType text/html .html",
            f"ErrorLog {self.log.path}",
            f"ErrorLogFormat {FORMAT}",
            r'LogFormat "%>s %B %X %L %r" test',
            f"CustomLog {self.access_log} test",
            "LogLevel notice wsgi:info",
            "KeepAliveTimeout 20\nMaxKeepAliveRequests 0\nTimeout 20\nGracefulShutdownTimeout 5",
            MPM[self.mpm],
            "<Directory />\n  AllowOverride None\n  Require all granted\n</Directory>",
            f"WSGIPythonHome {self._python_home}" if self._python_home else "",
        ]
        return "\n".join(filter(None, lines)) + "\n"

    def _fill(self, config):
        return config.replace("{port}", str(self.port)).replace("{root}", str(self.root))

    # -- life

    def start(self, single_process=False):
        """Starts httpd and waits until it answers; `single_process` is `httpd -X`."""
        self.was_killed = False
        with open(self.root / "stdout", "wb") as stdout:
            self._process = subprocess.Popen(
                [*self._command(), "-X" if single_process else "-DFOREGROUND"],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=self._env(),
                **self._identity(),
            )
        try:
            wait_until(self._is_listening if single_process else self._is_ready, "httpd to answer", timeout=30)
        except AssertionError:
            self.stop()
            raise
        return self

    def _is_ready(self):
        return self._is_listening() and self.log.matching("resuming normal operations")

    def output(self):
        """What httpd said on its standard output and in the error log."""
        texts = [(self.root / "stdout").read_text()]
        if self.log.path.exists():
            texts.append(self.log.path.read_text(errors="replace"))
        return "\n".join(texts)

    def _is_listening(self):
        if self._process.poll() is not None:
            raise Failed(f"httpd ended with {self._process.returncode}:\n{self.output()}")
        try:
            socket.create_connection(self.address, 1).close()
        except OSError:
            return False
        return True

    def graceful(self):
        """Reloads and waits until the new configuration is in force."""
        self._signal_and_resume(signal.SIGUSR1)

    def begin_graceful_stop(self):
        """Asks httpd to end once the requests that run are done; `wait` waits for that."""
        self._process.send_signal(signal.SIGWINCH)

    def wait(self, timeout=20.0):
        """Waits until httpd has ended by itself."""
        self._process.wait(timeout)
        self._process = None

    def restart(self):
        self._settle()
        self._signal_and_resume(signal.SIGHUP)

    def _signal_and_resume(self, number):
        resumed = "resuming normal operations"
        before = self.log.path.read_text(errors="replace").count(resumed)
        self._process.send_signal(number)
        wait_until(
            lambda: (
                self._process.poll() is not None or self.log.path.read_text(errors="replace").count(resumed) > before
            ),
            "httpd to resume",
        )
        if self._process.poll() is not None:
            raise Failed(f"httpd ended on {signal.Signals(number).name}:\n{self.output()}")

    def _settle(self):
        """Waits for finished requests to be off their threads, where they are: mpm_event may crash in its own
        clean-up (close_worker_sockets) when it is stopped in the very moment in which a thread closes a connection.
        """
        try:
            wait_until(lambda: not process.has_connections(self.port), "connections to be closed", timeout=0.5)
        except AssertionError:
            pass  # A test that keeps connections open means to stop httpd under them.

    def stop(self, timeout=20.0):
        """Stops httpd and waits until each of its processes is gone."""
        if self._process is None:
            return
        self._settle()
        family = [self._process.pid, *process.descendants_of(self._process.pid)]
        self._process.terminate()
        try:
            self._process.wait(timeout)
            wait_until(lambda: not any(map(process.is_alive, family)), "httpd's processes to end", timeout)
        except (AssertionError, subprocess.TimeoutExpired):
            _kill(family)
            self._process.wait(5)
            raise AssertionError(f"httpd did not stop within {timeout} s") from None
        finally:
            self._process = None
        self.assert_nothing_is_left()

    def assert_nothing_is_left(self):
        """Once httpd has ended, however it did: no supervisor, no worker, no socket, within a few seconds."""
        try:
            wait_until(lambda: not process.adopted(), "supervisor and workers to end")
        finally:
            _kill(process.adopted())
        wait_until(lambda: not self.sockets(), "the sockets to be removed")

    def sockets(self):
        """What lies below the prefix of daemon mode's sockets: its name goes on with the pid of httpd.

        A supervisor that has given up root's rights cannot remove its directory where httpd's parent was killed
        (docs/daemon.md): there an empty one does not count.
        """
        found = sorted(self.root.glob("wsgi.[0-9]*"))
        return [path for path in found if not (self.was_killed and path.is_dir() and not any(path.iterdir()))]

    def kill(self):
        """Ends httpd's parent at once, as the kernel does when memory is short."""
        self.was_killed = True
        self._process.kill()
        self._process.wait()
        self._process = None

    def discard(self):
        """Stops httpd and removes its directory (kept when WSGI_TEST_KEEP is set, for looking at it)."""
        self.stop()
        # What a killed httpd has left, if the test failed before it could end it.
        _kill([pid for pid in process.children_of(os.getpid()) if str(self.root) in process.command_line(pid)])
        if not os.environ.get("WSGI_TEST_KEEP"):
            shutil.rmtree(self.root)

    def pid(self):
        return self._process.pid

    def children(self):
        """Pids of the MPM's children."""
        children = process.children_of(self._process.pid)
        return [pid for pid in children if not process.is_supervisor(pid) and not process.is_worker(pid)]

    def supervisor(self):
        """The pid of the supervisor of daemon mode; None without one, as with mod_wsgi."""
        found = self.supervisors()
        assert len(found) <= 1, f"there are {len(found)} supervisors"
        return found[0] if found else None

    def supervisors(self):
        """All of them: one that was replaced stays until its workers have finished their requests."""
        return [pid for pid in process.children_of(self._process.pid) if process.is_supervisor(pid)]

    def workers(self, group=""):
        """Pids of the processes of daemon mode, of one group if it is named."""
        family = process.descendants_of(self._process.pid)
        return [pid for pid in family if process.is_worker(pid, group)]

    def child(self):
        """The pid of the only child."""
        (pid,) = self.children()
        return pid

    # -- clients

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    def connect(self, timeout=15.0):
        return http1.Connection(self.address, timeout)

    def connect_http2(self, timeout=15.0):
        return http2.Connection(self.address, timeout)

    def request(self, method, target, headers=(), body=None, version="HTTP/1.1"):
        """One request on a connection of its own."""
        with self.connect() as connection:
            return connection.request(method, target, headers, body, version)

    def get(self, target, headers=()):
        return self.request("GET", target, headers)

    def json(self, target, headers=()):
        """GET a document that must be 200 and JSON."""
        response = self.get(target, headers)
        assert response.status == 200, f"{target} answered {response.status}: {response.body[:400]!r}"
        return json.loads(response.body)

    def accesses(self):
        """Lines of the access log: `status bytes connection-status log-id request-line`."""
        return self.access_log.read_text(errors="replace").splitlines() if self.access_log.exists() else []

    def _command(self):
        return [installation.httpd_binary(), "-d", str(self.root), "-f", str(self.config_file)]

    def _identity(self):
        """What makes subprocess start httpd as its user."""
        if self._user is None:
            return {}
        return {"user": self._user, "group": pwd.getpwnam(self._user).pw_gid, "extra_groups": []}

    def _env(self):
        return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **self._environment}


def _kill(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
