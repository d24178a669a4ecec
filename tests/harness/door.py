"""The doors through which a request reaches Python: what the main server is told, and what of it a site can see."""

from dataclasses import dataclass

# Sockets lie in the httpd's own directory, so that `stop` can see that none is left.
SOCKET_PREFIX = "{root}/wsgi"


@dataclass(frozen=True)
class Door:
    """`server_config` is what the main server needs for its applications to be served through this door.

    `process_group` is what applications see as `mod_wsgi.process_group`.
    """

    name: str
    server_config: str = ""
    process_group: str = ""

    def __str__(self):
        return self.name

    @property
    def is_daemon(self):
        return bool(self.process_group)


def daemon(options="threads=12", group="daemon"):
    """A door to a process group with these options; each application group gets processes of its own in it."""
    lines = [
        f"WSGISocketPrefix {SOCKET_PREFIX}",
        f"WSGIDaemonProcess {group} display-name=%{{GROUP}} {options}",
        f"WSGIProcessGroup {group}",
    ]
    return Door("daemon", "\n".join(lines), group)


EMBEDDED = Door("embedded")
DAEMON = daemon()
DOORS = [EMBEDDED, DAEMON]
