"""Turns the runs into medians, ratios, a table and a file."""

import dataclasses
import json
import os
import platform
from statistics import median

import servers
import workshop

MEDIANS = ("requests_per_s", "cpu_us", "user_us", "system_us", "switches", "p50_us", "p99_us")
# Limits on mod_wsgi_rs, as the project's issues set them: figure, against which server, at most.
GOALS = (
    ("cpu_us", servers.FLOOR, 1.40),
    ("cpu_us", servers.REFERENCE, 0.50),
    ("p99_us", servers.REFERENCE, 1.00),
)
COLUMNS = (
    "", "req/s", "CPU us", "user+system", "switches", "p50 ms", "p99 ms", "errors",
    "CPU/C", "CPU/mod_wsgi", "p99/mod_wsgi",
)  # fmt: skip
NAMES = {"cpu_us": "CPU per request", "p99_us": "p99"}


def summarise(runs):
    """One dictionary per server and number of connections, in the order in which they first ran."""
    return [summary(runs, *cell) for cell in cells(runs)]


def cells(runs):
    """The (connections, server) pairs, connections first, servers in the table's order."""
    pairs = {(run.connections, run.server) for run in runs}
    order = list(servers.BY_NAME)
    return sorted(pairs, key=lambda pair: (pair[0], order.index(pair[1])))


def summary(runs, connections, server):
    """Medians over the rounds, and ratios to the C handler and to mod_wsgi."""
    own = select(runs, connections, server)
    figures = {name: median(getattr(run, name) for run in own) for name in MEDIANS}
    return {
        "connections": connections,
        "server": server,
        "rounds": len(own),
        **figures,
        "errors": sum(run.errors for run in own),
        "cpu_to_floor": ratio(runs, connections, server, servers.FLOOR, "cpu_us"),
        "cpu_to_reference": ratio(runs, connections, server, servers.REFERENCE, "cpu_us"),
        "p99_to_reference": ratio(runs, connections, server, servers.REFERENCE, "p99_us"),
    }


def ratio(runs, connections, server, base, figure):
    """The median of the ratios of each round: neighbours in time share the machine's mood, distant runs do not."""
    bases = {run.round: getattr(run, figure) for run in select(runs, connections, base)}
    own = {run.round: getattr(run, figure) for run in select(runs, connections, server)}
    quotients = [own[number] / bases[number] for number in own if bases.get(number)]
    return median(quotients) if quotients else None


def select(runs, connections, server):
    return [run for run in runs if (run.connections, run.server) == (connections, server)]


def text(runs):
    """The whole report as plain text."""
    summaries = summarise(runs)
    blocks = [
        f"{counted(count)}\n" + table([row(s) for s in summaries if s["connections"] == count])
        for count in sorted({run.connections for run in runs})
    ]
    return "\n\n".join(filter(None, [*blocks, goals(runs), noise(runs)]))


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
        *(times(figures[name]) for name in ("cpu_to_floor", "cpu_to_reference", "p99_to_reference")),
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


def goals(runs):
    """Each limit with what was measured, if both servers took part."""
    lines = []
    for connections in sorted({run.connections for run in runs}):
        for figure, base, limit in GOALS:
            measured = ratio(runs, connections, servers.OURS, base, figure)
            if measured is not None:
                verdict = "met" if measured <= limit else "MISSED"
                against = servers.BY_NAME[base].title
                what = f"{NAMES[figure]} {measured:.2f} x {against}"
                lines.append(f"  {counted(connections)}: {what}, goal {limit:.2f}: {verdict}")
    return "\n".join(["Goals for mod_wsgi_rs embedded", *lines]) if lines else ""


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
