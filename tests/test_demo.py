"""`make demo`: what a newcomer sees first, and that nothing of it stays behind."""

import os
import re
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from harness import http1, installation
from harness.checklist import ours
from harness.condition import wait_until
from harness.httpd import free_port
from harness.process import descendants_of, is_alive

pytestmark = [ours, pytest.mark.demo]

PROJECT = installation.PROJECT


@pytest.fixture(scope="module")
def python():
    """The Python of the demo's virtual environment, made as `make demo` makes it."""
    venv = PROJECT / "build" / "demo-venv"
    requirements = PROJECT / "demo" / "requirements.txt"
    subprocess.run([PROJECT / "scripts" / "make-venv", venv, requirements], check=True, cwd=PROJECT)
    return venv / "bin" / "python"


@pytest.fixture
def demo(python, tmp_path):
    """Starts the demo once; whatever the test does to it, nothing of it outlives the test."""
    temporary = tempfile.mkdtemp(prefix="wsgi-demo-test-")
    os.chmod(temporary, 0o755)
    port = free_port()
    output = tmp_path / "output"
    with output.open("wb") as stdout:
        process = subprocess.Popen(
            [python, PROJECT / "demo" / "run.py", "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": temporary},
        )
    try:
        yield Demo(process, port, Path(temporary), output)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(30)
        os.rmdir(temporary)


class Demo:
    def __init__(self, process, port, temporary, output):
        self.process = process
        self.port = port
        self.temporary = temporary
        self._output = output

    def output(self):
        return self._output.read_text(errors="replace")

    def wait_until_announced(self):
        wait_until(
            lambda: "Ctrl-C ends it" in self.output() or self.process.poll() is not None, "the demo to be ready", 90
        )
        assert self.process.poll() is None, self.output()

    def get(self, target):
        with http1.Connection(("127.0.0.1", self.port)) as connection:
            return connection.get(target)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_serves_both_sites_and_the_admin_with_its_styles_and_leaves_nothing_behind(demo, number):
    demo.wait_until_announced()
    family = [demo.process.pid, *descendants_of(demo.process.pid)]
    assert len(family) >= 3

    assert demo.get("/").status == 200
    assert demo.get("/flask/").status == 200
    login = demo.get("/admin/login/")
    assert login.status == 200 and 'name="csrfmiddlewaretoken"' in login.text
    styles = re.findall(r'<link rel="stylesheet" href="([^"]+)"', login.text)
    assert styles
    for style in styles:
        response = demo.get(style)
        assert (response.status, response.header("Content-Type")) == (200, "text/css") and response.body
    said = demo.output()
    assert f"http://127.0.0.1:{demo.port}/admin/" in said and "password: " in said
    assert "Traceback" not in said and "WSGI0" not in said

    demo.process.send_signal(number)
    demo.process.wait(30)
    assert "nothing is left running or behind" in demo.output()
    wait_until(lambda: not any(map(is_alive, family)), "the demo's processes to end")
    assert not list(demo.temporary.iterdir())


def test_the_demo_refuses_a_port_that_is_taken_in_one_line(demo, python):
    demo.wait_until_announced()
    command = [python, PROJECT / "demo" / "run.py", "--port", str(demo.port)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert second.returncode == 1 and second.stdout == ""
    (said,) = second.stderr.splitlines()
    assert f"cannot listen on 127.0.0.1:{demo.port}" in said and "make demo PORT=" in said
