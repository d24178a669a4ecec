"""A httpd with a directory of scripts, to which a test adds its application as it stands in the test.

def test_body(serve):
    def application(environ, start_response):
        start_response("200 OK", [])
        return [b"hello"]

    assert serve(application).get().body == b"hello"
"""

import inspect
import itertools
import os
import shutil
import textwrap
from dataclasses import dataclass

from . import installation
from .httpd import Httpd

# Where the directory of scripts is mounted, by the interpreter that runs them. Behind the daemon door each of the two
# has a process of its own.
MOUNTS = {"main": "%{GLOBAL}", "sub": "sub"}

PID = """
import os

def application(environ, start_response):
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]
"""


class Site(Httpd):
    """`config` may use {scripts} (directory of the tests' scripts) and {apps} (a copy of tests/apps)."""

    def __init__(self, door, config="", **settings):
        self.door = door
        self._numbers = itertools.count(1)
        super().__init__(config, **settings)
        # A copy, because httpd's user need not be able to read the project.
        shutil.copytree(installation.APPS, self.apps, ignore=shutil.ignore_patterns("__pycache__"))
        self.scripts.mkdir(mode=0o755)

    @property
    def apps(self):
        return self.root / "apps"

    @property
    def scripts(self):
        return self.root / "scripts"

    def serve(self, application, mount="main", **globals_):
        """Writes the source of `application` (a function or class) as a script; closures do not come along.

        `globals_` become global names of the script; their values must have a literal repr.
        """
        source = textwrap.dedent(inspect.getsource(application))
        if application.__name__ != "application":
            source += f"\napplication = {application.__name__}\n"
        names = "".join(f"{name} = {value!r}\n" for name, value in globals_.items())
        return self.script(names + source, mount)

    def script(self, source, mount="main", name=None):
        """Writes a script as given, text or bytes."""
        name = name or f"{next(self._numbers)}.wsgi"
        path = self.scripts / name
        path.parent.mkdir(mode=0o755, exist_ok=True)
        path.write_bytes(source if isinstance(source, bytes) else source.encode())
        path.chmod(0o644)
        return App(self, f"/{mount}/{name}", path, mount)

    def process(self, mount="main"):
        """The pid of the process that serves this mount (one of them, if there are several): it is asked itself."""
        path = self.scripts / "pid-of-process.wsgi"
        if not path.exists():
            self.script(PID, mount, path.name)
        response = self.get(f"/{mount}/{path.name}")
        assert response.status == 200, response.body
        return int(response.body)

    def configure(self, config):
        super().configure(self._mounts() + config)

    def _mounts(self):
        lines = [self.door.server_config]
        for mount, group in MOUNTS.items():
            lines.append(f"WSGIScriptAlias /{mount}/ {self.scripts}/ application-group={group}")
        return "\n".join(lines) + "\n"

    def _fill(self, config):
        return super()._fill(config.replace("{scripts}", str(self.scripts)).replace("{apps}", str(self.apps)))


@dataclass(frozen=True)
class App:
    """A script of a test and its URL."""

    site: Site
    url: str
    path: os.PathLike
    mount: str = "main"

    def process(self):
        """The pid of the process that serves the script's mount."""
        return self.site.process(self.mount)

    def get(self, rest="", headers=()):
        return self.request("GET", rest, headers)

    def post(self, body, rest="", headers=()):
        return self.request("POST", rest, headers, body)

    def head(self, rest="", headers=()):
        return self.request("HEAD", rest, headers)

    def request(self, method, rest="", headers=(), body=None, version="HTTP/1.1"):
        return self.site.request(method, self.url + rest, headers, body, version)

    def json(self, rest="", headers=()):
        return self.site.json(self.url + rest, headers)

    def rewrite(self, source):
        """Replaces the script's text, with a modification time that certainly differs."""
        before = self.path.stat().st_mtime_ns
        self.path.write_text(source)
        os.utime(self.path, ns=(before + 2_000_000_000,) * 2)

    def touch(self):
        before = self.path.stat().st_mtime_ns
        os.utime(self.path, ns=(before + 2_000_000_000,) * 2)
