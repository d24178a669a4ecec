"""`make bench`: compares httpd servers for CPU per request, throughput and latency in interleaved rounds.

How to read the result, and how it comes about: docs/benchmarks.md.
"""

import argparse
import contextlib
import signal
import sys

import cases
import httpd
import load
import report
import servers
import workshop
from workshop import Unusable, say

RESULTS = workshop.BUILD / "results.json"


def main():
    options = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    try:
        runs = compare(options)
    except Unusable as problem:
        sys.exit(f"bench: {problem}")
    except KeyboardInterrupt:
        sys.exit("bench: interrupted; no results written")
    print(report.text(runs, options.case))
    report.write(RESULTS, runs, vars(options))
    say(f"\nall runs: {RESULTS.relative_to(workshop.ROOT)}")
    if any(run.errors for run in runs):
        sys.exit("bench: connections broke during the runs, see the errors column and docs/benchmarks.md")


def parse():
    every = list(servers.BY_NAME)
    choice = f"comma list (default all) of {', '.join(every)}"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--rounds", type=positive, default=5, help="rounds over all servers (default 5)")
    add("--seconds", type=positive, default=2, help="length of one measurement (default 2)")
    add("--connections", type=numbers, default=[1, 16, 64], help="comma list (default 1,16,64)")
    add("--servers", type=words, default=every, help=choice)
    add("--case", choices=cases.CASES, default="hello", help="13 bytes, or 1 MiB down or up (default hello)")
    add("--headers", choices=load.HEADERS, default="plain", help="request header fields (default plain)")
    add("--threads", type=positive, default=httpd.THREADS, help=f"threads of httpd (default {httpd.THREADS})")
    return parser.parse_args()


def positive(text):
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


def numbers(text):
    return [positive(word) for word in words(text)]


def words(text):
    return [word.strip() for word in text.split(",") if word.strip()]


def compare(options):
    """Starts all servers, then measures them in turn, round by round."""
    headers, case = load.HEADERS[options.headers], cases.CASES[options.case]
    chosen = servers.named(options.servers)
    with contextlib.ExitStack() as cleanup:
        running = []
        for server in chosen:
            running.append(cleanup.enter_context(httpd.started(server, case, options.threads)))
            running[-1].verify(headers)
            say(f"{server.title} runs and answers as it should")
        return list(rounds(running, options, headers))


def rounds(running, options, headers):
    """Interleaved: each round visits every server at every number of connections, another one first each time."""
    cells = [(number, connections) for number in range(options.rounds) for connections in options.connections]
    total = len(cells) * len(running)
    say(f"{total} runs, about {total * (options.seconds + load.WARM_UP_S) // 60 + 1} min")
    for position, (number, connections) in enumerate(cells):
        for step, target in enumerate(rotated(running, position)):
            run = load.measure(target, connections, number + 1, options.seconds, headers)
            say(
                f"[{position * len(running) + step + 1}/{total}] round {run.round}, {report.counted(connections)}, "
                f"{target.server.title}: {run.requests_per_s:,.0f} req/s, {run.cpu_us:.0f} us"
            )
            yield run
    for target in running:
        target.verify(headers)


def rotated(items, by):
    start = by % len(items)
    return items[start:] + items[:start]


if __name__ == "__main__":
    main()
