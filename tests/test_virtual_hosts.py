"""The error log of a virtual host: it gets all that its requests write, and the main log gets none of it."""

import pytest

from harness.checklist import line, ours
from harness.error_log import ErrorLog

HOSTS = ("one.test", "two.test")

CONFIG = "".join(
    f"<VirtualHost *:{{port}}>\n  ServerName {name}\n  ErrorLog {{root}}/{name}.log\n</VirtualHost>\n" for name in HOSTS
)

TALK = """
import logging, sys
import mod_wsgi

logger = logging.Logger("test")
logger.addHandler(mod_wsgi.LogHandler())

def application(environ, start_response):
    name = environ["QUERY_STRING"]
    environ["wsgi.errors"].write(f"{name}: errors\\n")
    print(f"{name}: print")
    print(f"{name}: stderr", file=sys.stderr)
    logger.error("%s: logging", name)
    raise ValueError(f"{name}: raised")
"""


@pytest.fixture
def logs(site):
    """The virtual hosts' own logs, by name."""
    return {name: ErrorLog(site.root / f"{name}.log") for name in HOSTS}


def ask_as(site, app, mount, name):
    response = app.get(f"?{mount}-{name}", [("Host", f"{name}:{site.port}")])
    assert response.status == 500


@line("LIF-15")
@pytest.mark.parametrize("mount", ["main", "sub"])
def test_lines_and_traceback_go_to_the_log_of_the_virtual_host_that_was_asked(site, log, logs, mount):
    """Both hosts share the script and its interpreter."""
    app = site.script(TALK, mount)
    for name in [*HOSTS, *HOSTS]:
        ask_as(site, app, mount, name)
    for name, own in logs.items():
        for text in ("errors", "print", "stderr", "logging"):
            own.wait_for(f"{mount}-{name}: {text}$", count=2)
        own.wait_for(f"ValueError: {mount}-{name}: raised$", count=2)
        assert len(own.matching(f"WSGI0174.*{app.path.name}")) == 2
        (other,) = set(HOSTS) - {name}
        assert not own.matching(other)
    assert not log.matching("Traceback|WSGI0174|-(one|two).test")


@ours
@pytest.mark.parametrize("mount", ["main", "sub"])
def test_the_frames_of_the_traceback_go_to_the_log_of_the_virtual_host_that_was_asked(site, log, logs, mount):
    """mod_wsgi leaves them out on Python 3.10 and 3.11."""
    app = site.script(TALK, mount)
    for name, own in logs.items():
        ask_as(site, app, mount, name)
        own.wait_for(f'File "{app.path}", line \\d+, in application')
    assert not log.matching("in application")
