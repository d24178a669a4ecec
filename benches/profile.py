"""Shows where one server spends its time under load: `python3 benches/profile.py NAME`. Needs perf (linux-perf)."""

import argparse
import subprocess
import sys
import threading

import cases
import httpd
import load
import servers
import usage
import workshop
from workshop import Unusable

# Not a divisor of a timer's frequency, so that samples do not fall into step with it.
SAMPLES_PER_S = 997


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("server", choices=servers.BY_NAME)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--headers", choices=load.HEADERS, default="plain")
    parser.add_argument("--case", choices=cases.CASES, default="hello")
    parser.add_argument("--lines", type=int, default=40, help="symbols to show")
    options = parser.parse_args()
    try:
        profile(options)
    except Unusable as problem:
        sys.exit(f"profile: {problem}")


def profile(options):
    """Loads the server, samples it meanwhile, and prints shares by library and by symbol."""
    perf = workshop.tool("perf", "linux-perf")
    headers = load.HEADERS[options.headers]
    with httpd.started(servers.BY_NAME[options.server], cases.CASES[options.case]) as running:
        running.verify(headers)
        load.wrk(running, options.connections, load.WARM_UP_S, headers)
        data = httpd.run_directory(running.server) / "perf.data"
        generator = threading.Thread(
            target=load.wrk, args=(running, options.connections, options.seconds + 1, headers)
        )
        generator.start()
        processes = ",".join(map(str, usage.descendants(running.roots)))
        record = [perf, "record", "-q", "-e", "cpu-clock", "-F", SAMPLES_PER_S, "-g", "-p", processes, "-o", data]
        try:
            workshop.output_of([*record, "--", "sleep", options.seconds])
        finally:
            generator.join()
        for keys in ("dso", "dso,sym"):
            show(perf, data, keys, options.lines)


def show(perf, data, keys, lines):
    """One perf report, without its comments and blank lines."""
    command = [perf, "report", "-i", data, "--stdio", "--no-children", "-g", "none", "--percent-limit", "0.3"]
    command += ["-F", f"overhead,{keys}"]
    report = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300).stdout
    kept = [line.rstrip() for line in report.splitlines() if line.strip() and not line.startswith("#")]
    print("\n".join(["", f"Share by {keys.replace('dso', 'library').replace(',sym', ' and symbol')}", *kept[:lines]]))


if __name__ == "__main__":
    main()
