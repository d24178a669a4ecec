"""What the processes of a server used, read from /proc: CPU time and context switches of whole trees."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


@dataclass(frozen=True)
class Usage:
    """A reading: CPU seconds of all processes, context switches of all threads since their start."""

    processes: frozenset[int]
    user_s: float
    system_s: float
    switches_by_thread: dict[int, int]

    @property
    def switches(self):
        return sum(self.switches_by_thread.values())

    def since(self, earlier):
        """What was used between two readings, or None if the processes are not the same ones.

        Threads may come and go: the switches of one that ended in between are not seen, its CPU time is.
        """
        if self.processes != earlier.processes:
            return None
        switches = {
            thread: count - earlier.switches_by_thread.get(thread, 0)
            for thread, count in self.switches_by_thread.items()
        }
        return Usage(
            self.processes, self.user_s - earlier.user_s, self.system_s - earlier.system_s, switches
        )


def of_tree(roots):
    """Reads the root processes and all that descend from them."""
    processes = descendants(roots)
    ticks = [stat_fields(process)[11:13] for process in processes]
    return Usage(
        processes=frozenset(processes),
        user_s=sum(int(user) for user, _ in ticks) / TICKS_PER_S,
        system_s=sum(int(system) for _, system in ticks) / TICKS_PER_S,
        switches_by_thread={
            int(thread.name): switches_of(thread)
            for process in processes
            for thread in (PROC / str(process) / "task").iterdir()
        },
    )


def descendants(roots):
    """The roots and everything below them."""
    parents = {}
    for entry in PROC.iterdir():
        # A process can end between the listing and the reading.
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(entry.name)] = int(stat_fields(int(entry.name))[1])
    family = set(roots)
    while True:
        grown = family | {process for process, parent in parents.items() if parent in family}
        if grown == family:
            return sorted(family)
        family = grown


def stat_fields(process):
    """The fields of proc(5) "stat" from the third, `state`, on: the second may hold spaces and brackets."""
    return (PROC / str(process) / "stat").read_text().rpartition(")")[2].split()


def switches_of(thread):
    """Voluntary and other context switches of one thread; 0 if it ended while we looked."""
    with contextlib.suppress(OSError):
        lines = (thread / "status").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)
    return 0


def machine_busy_s():
    """CPU seconds that all processors of the machine together were not idle; time stolen by a hypervisor counts too."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(
        int, (PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / TICKS_PER_S
