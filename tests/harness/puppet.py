"""Applications that a test leads by the hand: one runs what it is sent, one waits in each request till it may go on."""

import json
import textwrap

from . import installation
from .condition import wait_until

GATED = """
import os, time

def application(environ, start_response):
    name = os.path.join({shared!r}, environ["QUERY_STRING"])
    open(name + ".began", "a").close()
    while not os.path.exists(name + ".open"):
        time.sleep(0.005)
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]
"""


class Puppet:
    """Runs Python within a process that serves this mount of the site."""

    def __init__(self, site, mount="main"):
        self.app = site.script((installation.APPS / "puppet.wsgi").read_text(), mount)

    def run(self, code):
        """Runs statements; returns what they left in `result`."""
        response = self.send(code)
        assert response.status == 200, (response.status, response.body)
        return json.loads(response.body)

    def send(self, code):
        """Like `run`, but returns the response, whatever it is."""
        return self.app.post(textwrap.dedent(code).encode())

    def begin(self, code):
        """Sends statements and returns the connection without waiting for the answer."""
        connection = self.app.site.connect(30.0)
        connection.send_request("POST", self.app.url, body=textwrap.dedent(code).encode())
        return connection

    def value(self, expression):
        return self.run(f"import os, resource, sys\nresult = {expression}")


class Gated:
    """An application whose requests wait within it until the test lets them go; they answer the pid."""

    def __init__(self, site, mount="main"):
        self.site = site
        self.shared = site.root / f"shared-{mount}"
        self.shared.mkdir(exist_ok=True)
        self.shared.chmod(0o777)
        self.app = site.script(GATED.format(shared=str(self.shared)), mount)

    def begin(self, name):
        """Sends the request `name` and returns its connection once the application is inside."""
        connection = self.send(name)
        wait_until(lambda: self.has_begun(name), f"request {name} to be begun", timeout=30)
        return connection

    def send(self, name):
        """Sends the request `name` and does not wait."""
        connection = self.site.connect(60.0)
        connection.send_request("GET", f"{self.app.url}?{name}")
        return connection

    def has_begun(self, name):
        return (self.shared / f"{name}.began").exists()

    def open(self, name):
        """Lets the request `name` go on."""
        (self.shared / f"{name}.open").touch()
