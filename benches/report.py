"""Turns the runs into medians, ratios, a table and a file."""

import dataclasses
import json
import os
import platform
from dataclasses import dataclass
from statistics import median

import servers
import workshop

MEDIANS = ("requests_per_s", "cpu_us", "user_us", "system_us", "switches", "p50_us", "p99_us")
# Ratios in the table, by their heading: figure, against which server.
RATIOS = {
    "CPU/C": ("cpu_us", servers.FLOOR),
    "CPU/mod_wsgi": ("cpu_us", servers.REFERENCE),
    "CPU/daemon": ("cpu_us", servers.REFERENCE_DAEMON),
    "CPU/uwsgi": ("cpu_us", servers.UWSGI),
    "p99/mod_wsgi": ("p99_us", servers.REFERENCE),
    "p99/uwsgi": ("p99_us", servers.UWSGI),
}
COLUMNS = ("", "req/s", "CPU us", "user+system", "switches", "p50 ms", "p99 ms", "errors", *RATIOS)


@dataclass(frozen=True)
class Goal:
    """A limit, as the project's issues set it, on a figure of a server, or on its ratio to the same one of `base`."""

    server: str
    figure: str
    base: str | None
    limit: float
    case: str = "hello"
    connections: int | None = None  # None: any number

    def is_about(self, case, connections):
        return self.case == case and self.connections in (None, connections)


GOALS = (
    Goal(servers.OURS, "cpu_us", servers.FLOOR, 1.40),
    Goal(servers.OURS, "cpu_us", servers.REFERENCE, 0.50),
    Goal(servers.OURS, "p99_us", servers.REFERENCE, 1.00),
    Goal(servers.OUR_DAEMON, "cpu_us", servers.FLOOR, 1.80),
    Goal(servers.OUR_DAEMON, "cpu_us", servers.REFERENCE_DAEMON, 0.35),
    Goal(servers.OUR_DAEMON, "cpu_us", servers.UWSGI, 0.65),
    Goal(servers.OUR_DAEMON, "switches", None, 6.0),
    Goal(servers.OUR_DAEMON, "p99_us", servers.UWSGI, 1.00, connections=64),
    # 1.2 ms where mod_wsgi's daemon mode takes 2.1.
    Goal(servers.OUR_DAEMON, "cpu_us", servers.REFERENCE_DAEMON, 0.57, case="download"),
    Goal(servers.OUR_DAEMON, "cpu_us", servers.REFERENCE_DAEMON, 0.57, case="upload"),
)
NAMES = {"cpu_us": "CPU per request", "p99_us": "p99", "switches": "context switches per request"}


def summarise(runs):
    """One dictionary per server and number of connections, in the order in which they first ran."""
    return [summary(runs, *cell) for cell in cells(runs)]


def cells(runs):
    """The (connections, server) pairs, connections first, servers in the table's order."""
    pairs = {(run.connections, run.server) for run in runs}
    order = list(servers.BY_NAME)
    return sorted(pairs, key=lambda pair: (pair[0], order.index(pair[1])))


def summary(runs, connections, server):
    """Medians over the rounds, and ratios to other servers."""
    own = select(runs, connections, server)
    figures = {name: median(getattr(run, name) for run in own) for name in MEDIANS}
    return {
        "connections": connections,
        "server": server,
        "rounds": len(own),
        **figures,
        "errors": sum(run.errors for run in own),
        "ratios": {
            heading: ratio(runs, connections, server, base, figure) for heading, (figure, base) in RATIOS.items()
        },
    }


def ratio(runs, connections, server, base, figure):
    """The median of the ratios of each round: neighbours in time share the machine's mood, distant runs do not."""
    bases = {run.round: getattr(run, figure) for run in select(runs, connections, base)}
    own = {run.round: getattr(run, figure) for run in select(runs, connections, server)}
    quotients = [own[number] / bases[number] for number in own if bases.get(number)]
    return median(quotients) if quotients else None


def select(runs, connections, server):
    return [run for run in runs if (run.connections, run.server) == (connections, server)]


def text(runs, case):
    """The whole report as plain text."""
    summaries = summarise(runs)
    blocks = [
        f"{counted(count)}\n" + table([row(s) for s in summaries if s["connections"] == count])
        for count in sorted({run.connections for run in runs})
    ]
    return "\n\n".join(filter(None, [*blocks, goals(runs, case), noise(runs)]))


def counted(connections):
    return "1 connection" if connections == 1 else f"{connections} connections"


def row(figures):
    """One line of the table."""
    return (
        servers.BY_NAME[figures["server"]].title,
        f"{figures['requests_per_s']:,.0f}",
        f"{figures['cpu_us']:.1f}",
        f"{figures['user_us']:.0f}+{figures['system_us']:.0f}",
        f"{figures['switches']:.2f}",
        f"{figures['p50_us'] / 1000:.2f}",
        f"{figures['p99_us'] / 1000:.2f}",
        str(figures["errors"]),
        *map(times, figures["ratios"].values()),
    )


def times(value):
    return "-" if value is None else f"{value:.2f}"


def table(rows):
    """Columns as wide as their widest cell; the first one left-aligned, figures right-aligned."""
    widths = [max(map(len, column)) for column in zip(COLUMNS, *rows)]

    def aligned(line):
        first, *figures = [cell.rjust(width) for cell, width in zip(line, widths)]
        return "  ".join([line[0].ljust(len(first)), *figures])

    return "\n".join(map(aligned, (COLUMNS, *rows)))


def goals(runs, case):
    """Each limit with what was measured, if the servers that it is about took part."""
    lines = []
    for connections in sorted({run.connections for run in runs}):
        for goal in GOALS:
            measured = measure(runs, connections, goal) if goal.is_about(case, connections) else None
            if measured is not None:
                verdict = "met" if measured <= goal.limit else "MISSED"
                against = f" x {servers.BY_NAME[goal.base].title}" if goal.base else ""
                what = f"{servers.BY_NAME[goal.server].title}: {NAMES[goal.figure]} {measured:.2f}{against}"
                lines.append(f"  {counted(connections)}, {what}, goal {goal.limit:.2f}: {verdict}")
    return "\n".join(["Goals", *lines]) if lines else ""


def measure(runs, connections, goal):
    """The figure that the goal limits; None if a server did not take part."""
    if goal.base:
        return ratio(runs, connections, goal.server, goal.base, goal.figure)
    own = select(runs, connections, goal.server)
    return median(getattr(run, goal.figure) for run in own) if own else None


def noise(runs):
    """How much others disturbed the runs: the reader must know how far to trust the figures."""
    loads = [run.other_load for run in runs]
    return (
        f"Of {os.cpu_count()} CPUs, others kept {median(loads):.2f} busy during the median run, "
        f"{max(loads):.2f} during the worst."
    )


def write(path, runs, options):
    """Everything, for programs: the machine, the options, the medians and every single run."""
    content = {
        "machine": {
            "cpus": os.cpu_count(),
            "kernel": platform.release(),
            "httpd": workshop.apxs("HTTPD_VERSION"),
            "python": workshop.version_of(workshop.python()),
        },
        "options": options,
        "summary": summarise(runs),
        "runs": [dataclasses.asdict(run) for run in runs],
    }
    path.write_text(json.dumps(content, indent=1) + "\n")
