"""The servers that are compared: one row each. A new one is added here and nowhere else."""

from dataclasses import dataclass
from typing import Callable

import workshop


@dataclass(frozen=True)
class Server:
    """One row. In `configuration` and `companion` these words are filled in:

    $artifact (what `build` returned), $apps, $case (the case's name), $venv, $run (a directory of this server's own),
    $threads (of httpd), $port, and $backend_port (a second free port, for a companion).
    """

    name: str
    title: str
    build: Callable[[], object]
    configuration: str
    modules: tuple[str, ...] = ()  # httpd's own modules, beside those that all servers load
    companion: tuple[str, ...] = ()  # a second process to start, measured with httpd


WSGI = """
LoadModule wsgi_module "$artifact"
WSGIPythonHome "$venv"
WSGIApplicationGroup %{GLOBAL}
WSGIScriptAlias / "$apps/$case.wsgi"
"""

# Of one process beside httpd, in the daemon modes and in uWSGI: what a group has by default.
THREADS = 15

DAEMON = f"""
WSGISocketPrefix "$run/wsgi"
WSGIDaemonProcess bench threads={THREADS}
WSGIProcessGroup bench
"""

SERVERS = (
    Server(
        "c-handler",
        "C handler",
        workshop.c_handler,
        'LoadModule bench_hello_module "$artifact"\n<Location />\n    SetHandler bench-$case\n</Location>\n',
    ),
    # Its URL leads to the script's file, as WSGIScriptAlias does: httpd's path look-ups are in this row, too.
    Server(
        "c-handler-file",
        "C handler, same file",
        workshop.c_handler,
        'LoadModule bench_hello_module "$artifact"\nAlias / "$apps/$case.wsgi/"\n'
        "<Location />\n    SetHandler bench-$case\n</Location>\n",
        modules=("alias",),
    ),
    Server("mod_wsgi_rs", "mod_wsgi_rs embedded", workshop.our_module, WSGI),
    Server("mod_wsgi_rs-daemon", "mod_wsgi_rs daemon", workshop.our_module, WSGI + DAEMON),
    Server("mod_wsgi", "mod_wsgi 6.1.1 embedded", workshop.reference_module, WSGI),
    Server("mod_wsgi-daemon", "mod_wsgi 6.1.1 daemon", workshop.reference_module, WSGI + DAEMON),
    Server(
        "uwsgi",
        "mod_proxy_uwsgi, uWSGI",
        workshop.uwsgi,
        "ProxyPass / uwsgi://127.0.0.1:$backend_port/\n",
        modules=("proxy", "proxy_uwsgi"),
        companion=(
            "$artifact --socket 127.0.0.1:$backend_port --master --die-on-term --disable-logging --processes 1 "
            f"--threads {THREADS} --home $venv --wsgi-file $apps/$case.wsgi"
        ).split(),
    ),
)

FLOOR, REFERENCE, REFERENCE_DAEMON, UWSGI = "c-handler", "mod_wsgi", "mod_wsgi-daemon", "uwsgi"
OURS, OUR_DAEMON = "mod_wsgi_rs", "mod_wsgi_rs-daemon"
BY_NAME = {server.name: server for server in SERVERS}


def named(names):
    """The rows for a list of names, in the table's order."""
    unknown = sorted(set(names) - set(BY_NAME))
    if unknown:
        raise workshop.Unusable(f"unknown server {', '.join(unknown)}; there are {', '.join(BY_NAME)}")
    return [server for server in SERVERS if server.name in names]
