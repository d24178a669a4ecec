"""A private httpd for one server of the comparison: configured, started, checked and stopped.

It listens on a port of 127.0.0.1 that the kernel chose, keeps everything under build/bench/run/NAME/, and ends
only the processes that it started itself.
"""

import contextlib
import grp
import http.client
import os
import pwd
import shutil
import signal
import socket
import string
import subprocess
import time
from pathlib import Path

import workshop
from workshop import Unusable

# Twice the usual largest number of connections. When all threads are busy the event MPM closes waiting keep-alive
# connections, and a run would measure connecting; the connections of the run before also take threads to close.
THREADS = 128
START_TIMEOUT_S = 20
STOP_TIMEOUT_S = 20
# Between choosing a free port and httpd's binding it another process can take it.
START_ATTEMPTS = 3


class Running:
    """A server under measurement: the case it serves, its port, and the processes at the root of its tree."""

    def __init__(self, server, case, port, roots):
        self.server = server
        self.case = case
        self.port = port
        self.roots = roots

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/"

    def verify(self, headers):
        """Two requests on one connection must give the expected answer: figures of an error page are worthless."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_TIMEOUT_S)
        with contextlib.closing(connection):
            for _ in range(2):
                connection.request(self.case.method, "/", self.case.request_body, headers)
                answer = connection.getresponse()
                head = (answer.status, answer.headers.get_content_type(), answer.getheader("Content-Length"))
                got = (*head, answer.read())
                body = self.case.response_body
                expected = (200, "text/plain", str(len(body)), body)
                if got != expected:
                    answers = f"{shown(got)}, not {shown(expected)}"
                    raise Unusable(f"{self.server.name} answered {answers}{log_tail(self.server)}")
                if answer.will_close:
                    raise Unusable(f"{self.server.name} does not keep the connection open")


def shown(answer):
    """The answer with no more of its body than one wants to read."""
    *head, body = answer
    return (*head, body[:80])


@contextlib.contextmanager
def started(server, case, threads=THREADS):
    """Runs the server (and its companion) for the length of a `with` block."""
    artifact = server.build()
    with contextlib.ExitStack() as cleanup:
        for attempt in range(1, START_ATTEMPTS + 1):
            with contextlib.ExitStack() as this_attempt:
                try:
                    running = start(server, case, artifact, threads, this_attempt)
                except Unusable:
                    if attempt == START_ATTEMPTS or "Address already in use" not in log_tail(server):
                        raise
                    continue
                cleanup.push(this_attempt.pop_all())
                break
        yield running


def start(server, case, artifact, threads, cleanup):
    """One attempt to start; whatever it started is stopped by `cleanup`."""
    run = run_directory(server)
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir(parents=True)
    port, backend_port = free_ports(2)
    words = {
        "artifact": artifact,
        "apps": workshop.APPS,
        "case": case.name,
        "venv": workshop.environment(),
        "run": run,
        "threads": threads,
        "port": port,
        "backend_port": backend_port,
    }
    configuration = write_configuration(server, words)
    roots = []
    if server.companion:
        command = [string.Template(word).substitute(words) for word in server.companion]
        roots.append(cleanup.enter_context(process(command, run / "companion_log")))
        wait_for_port(server, roots[-1], backend_port)
    command = [str(workshop.httpd_path()), "-DFOREGROUND", "-f", str(configuration)]
    roots.append(cleanup.enter_context(process(command, run / "startup_log")))
    wait_for_port(server, roots[-1], port)
    return Running(server, case, port, [root.pid for root in roots])


def run_directory(server):
    return workshop.BUILD / "run" / server.name


def write_configuration(server, words):
    """The common template with this server's lines in it."""
    template = string.Template((workshop.BENCHES / "httpd.conf.in").read_text())
    text = template.substitute(
        words,
        load_modules="\n".join(load_lines(("mpm_event", "unixd", "authz_core", *server.modules))),
        identity=identity(),
        server=string.Template(server.configuration).substitute(words).strip(),
    )
    path = words["run"] / "httpd.conf"
    path.write_text(text)
    return path


def load_lines(modules):
    """LoadModule lines; a module without a file is one that this httpd has built in."""
    for module in modules:
        file = Path(workshop.apxs("LIBEXECDIR")) / f"mod_{module}.so"
        if file.exists():
            yield f'LoadModule {module}_module "{file}"'


def identity():
    """Root's httpd must be told whom its children run as."""
    if os.geteuid() != 0:
        return ""
    found = subprocess.run([workshop.ROOT / "scripts" / "unprivileged-account"], capture_output=True, text=True)
    if found.returncode != 0:
        raise Unusable(found.stderr.strip())
    account = pwd.getpwnam(found.stdout.strip())
    return f"User {account.pw_name}\nGroup {grp.getgrgid(account.pw_gid).gr_name}"


def free_ports(count):
    """Different free ports, chosen by the kernel."""
    with contextlib.ExitStack() as open_sockets:
        ports = []
        for _ in range(count):
            listener = open_sockets.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            ports.append(listener.getsockname()[1])
        return ports


@contextlib.contextmanager
def process(command, log):
    """A child in a session of its own (Ctrl-C reaches this program only, which then stops it in order)."""
    with open(log, "wb") as output:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            workshop.say(f"process {child.pid} did not stop within {STOP_TIMEOUT_S} s and is killed")
        # What is left of its session, if anything.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def wait_for_port(server, child, port):
    """Returns when something accepts connections; raises when the process ended or never listened."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise Unusable(f"{server.name} ended with status {child.returncode} at start{log_tail(server)}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise Unusable(f"{server.name} did not listen within {START_TIMEOUT_S} s{log_tail(server)}")


def log_tail(server, lines=15):
    """The last lines of what the server wrote, to be appended to an error message."""
    text = []
    for log in ("startup_log", "companion_log", "error_log"):
        path = run_directory(server) / log
        if path.exists():
            text += path.read_text(errors="replace").splitlines()[-lines:]
    return "".join(f"\n    {line}" for line in text)
