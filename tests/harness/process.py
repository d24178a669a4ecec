"""Processes as Linux shows them in /proc. Looks only; ends nothing."""

import ctypes
import os
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans():
    """From now on, whatever outlives its parent below this process becomes a child of this process (prctl(2))."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def adopted():
    """Pids of supervisors and workers that have outlived their parents."""
    return [pid for pid in children_of(os.getpid()) if is_supervisor(pid) or is_worker(pid)]


def command_line(pid):
    """The arguments of the process; none if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def is_supervisor(pid):
    """Whether it is the process manager of daemon mode."""
    first = (command_line(pid) or [""])[0]
    return first.rpartition("/")[2] == "wsgictl"


def is_worker(pid, group=""):
    """Whether it serves a process group that has `display-name=%{GROUP}`."""
    return (command_line(pid) or [""])[0].startswith(f"(wsgi:{group}{')' if group else ''}")


def parent_of(pid):
    """The parent's pid, or None when there is no such process or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[1])


def is_alive(pid):
    return parent_of(pid) is not None


def is_stopped(pid):
    """Whether every thread has been stopped by a signal."""
    states = [stat.read_text().rpartition(")")[2].split()[0] for stat in Path(f"/proc/{pid}/task").glob("*/stat")]
    return set(states) == {"T"}


def children_of(pid):
    """Pids of the direct children, in ascending order."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return sorted(child for child in pids if parent_of(child) == pid)


def descendants_of(pid):
    found = []
    for child in children_of(pid):
        found += [child, *descendants_of(child)]
    return found


def descriptors_of(pid):
    """How many descriptors the process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def has_connections(port):
    """Whether a server at this IPv4 port holds connections that are not idle in the kernel's hands (see tcp(5))."""
    held = {"01", "08"}  # ESTABLISHED, CLOSE_WAIT
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) == port and fields[3] in held:
            return True
    return False


def targets_of_descriptors(pid):
    """What the descriptors of the process are open on, as the kernel writes it: by number."""
    targets = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            targets[int(entry.name)] = os.readlink(entry)
        except FileNotFoundError:
            pass  # Closed while we looked.
    return targets


def sockets_of(pid):
    """The sockets that the process has open, by their names in /proc."""
    return {target for target in targets_of_descriptors(pid).values() if target.startswith("socket:")}


def unix_sockets():
    """All Unix sockets of the machine, by their names in /proc (see proc(5), /proc/net/unix)."""
    return {f"socket:[{line.split()[6]}]" for line in Path("/proc/net/unix").read_text().splitlines()[1:]}


def resident_kib(pid):
    """Resident memory in KiB."""
    return _status_kib(pid, "VmRSS")


def peak_resident_kib(pid):
    """The most that resident memory has ever been, in KiB."""
    return _status_kib(pid, "VmHWM")


def _status_kib(pid, name):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise AssertionError(f"no {name} for process {pid}")


def has_mapped(pid, path):
    """Whether a file is mapped into the process's memory."""
    return any(line.endswith(f" {path}") for line in Path(f"/proc/{pid}/maps").read_text().splitlines())
