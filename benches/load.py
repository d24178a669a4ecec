"""One run of wrk against one server, with what the server's processes used meanwhile."""

import json
import os
import subprocess
from dataclasses import dataclass

import usage
import workshop
from workshop import Unusable

WARM_UP_S = 1
HEADERS = {
    "plain": {},
    # What a browser sends for a page of a site that it has been on, beside Host: 12 fields.
    "browser": {
        "Connection": "keep-alive",
        "Cache-Control": "max-age=0",
        "Upgrade-Insecure-Requests": "1",
        "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 "
        "Safari/537.36",
        "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
        "Accept-Language": "en-GB,en;q=0.9,de;q=0.7",
        "Accept-Encoding": "gzip, deflate, br",
        "Referer": "http://localhost/accounts/overview/?page=2",
        "Cookie": "sessionid=3q9x0v5m1c8d7f6g2h4j; csrftoken=Zk3aVt0PqLr8sYw1Xe6UbN; theme=light",
        "Sec-Fetch-Dest": "document",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Site": "same-origin",
    },
}


@dataclass(frozen=True)
class Run:
    """The figures of one run. Times in microseconds; CPU and switches per request."""

    server: str
    connections: int
    round: int
    requests: int
    requests_per_s: float
    cpu_us: float
    user_us: float
    system_us: float
    switches: float
    p50_us: int
    p99_us: int
    max_us: int
    errors: int
    other_load: float  # CPUs that neither the server nor wrk used, busy all the same


def measure(running, connections, round_number, seconds, headers):
    """Warms up, then measures for `seconds`."""
    wrk(running, connections, WARM_UP_S, headers)
    before = usage.of_tree(running.roots)
    machine_before = usage.machine_busy_s()
    result, wrk_cpu_s = wrk(running, connections, seconds, headers)
    machine_after = usage.machine_busy_s()
    used = usage.of_tree(running.roots).since(before)
    if used is None:
        raise Unusable(f"a process of {running.server.name} started or ended during a run; see {error_log(running)}")
    requests, duration_s = result["requests"], result["duration_us"] / 1e6
    if result["bad_status"] or not requests:
        raise Unusable(
            f"{running.server.name}: {result['bad_status']} error answers, {requests} requests at {connections} "
            f"connections; see {error_log(running)}"
        )
    return Run(
        server=running.server.name,
        connections=connections,
        round=round_number,
        requests=requests,
        requests_per_s=requests / duration_s,
        cpu_us=(used.user_s + used.system_s) * 1e6 / requests,
        user_us=used.user_s * 1e6 / requests,
        system_us=used.system_s * 1e6 / requests,
        switches=used.switches / requests,
        p50_us=result["p50_us"],
        p99_us=result["p99_us"],
        max_us=result["max_us"],
        errors=sum(result[kind] for kind in ("connect", "read", "write", "timeout")),
        other_load=max(0.0, (machine_after - machine_before - wrk_cpu_s - used.user_s - used.system_s) / duration_s),
    )


def error_log(running):
    return f"build/bench/run/{running.server.name}/error_log"


def command(running, connections, seconds, headers):
    """wrk with one thread: more would take the server's CPU."""
    fields = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    program, script = workshop.tool("wrk", "wrk"), workshop.BENCHES / running.case.load_script
    return [program, "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), *fields, running.url]


def wrk(running, connections, seconds, headers):
    """Runs wrk; returns its figures and the CPU seconds that it took itself."""
    started = os.times()
    done = subprocess.run(
        command(running, connections, seconds, headers), capture_output=True, text=True, timeout=seconds + 30
    )
    ended = os.times()
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            spent = ended.children_user + ended.children_system - started.children_user - started.children_system
            return json.loads(line.removeprefix("RESULT ")), spent
    raise Unusable(f"wrk gave no figures (status {done.returncode}):\n{done.stdout}{done.stderr}")
