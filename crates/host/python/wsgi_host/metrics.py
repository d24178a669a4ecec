"""`mod_wsgi`'s figures: of the requests since one last asked, of the process, and of httpd.

The native half counts (`_wsgi_host.interval()`, `recorded()`), in µs; here the figures get names and units.

Source: docs/python-api.md, "Figures"; names and meaning as in mod_wsgi 6.1.1.
"""

import os
import time

import _wsgi_host

# In the native half's order.
_PHASES = (
    "server_time", "queue_time", "daemon_time", "application_time", "request_time",
    "gil_wait_time", "input_read_time", "output_write_time",
)  # fmt: skip
_OF_DAEMONS = {"queue_time", "daemon_time"}

_SCALARS = (
    "start", "stop", "cpu_user", "cpu_system", "requests", "input_reads", "input_bytes", "output_writes", "output_bytes",
    "gil_waits", "active", "living",
)  # fmt: skip


def start_recording_metrics() -> None:
    """Has requests of the whole process recorded from now on; more calls do nothing."""
    if not _has_telemetry():
        _wsgi_host.record()


def request_metrics():
    """The figures of requests since this interpreter last asked, or since the recording began; None without one."""
    figures = None if _has_telemetry() else _wsgi_host.interval()
    return None if figures is None else _request_metrics(figures, _wsgi_host.settings())


def process_metrics():
    """What the process has done and used since the recording began; None without one."""
    figures = None if _has_telemetry() else _wsgi_host.recorded()
    return None if figures is None else _process_metrics(figures, _wsgi_host.settings())


def server_metrics():
    """httpd's scoreboard; None unless WSGIServerMetrics, or a process group's server-metrics, lets applications see it.

    In a worker it is up to a second old.
    """
    block = _wsgi_host.server()
    return None if block is None else _Scoreboard(block).metrics()


class _Scoreboard:
    """The block that httpd's half has written (docs/wire.md, "What httpd's scoreboard says")."""

    def __init__(self, block):
        self._block = block
        self._place = 0

    def metrics(self):
        processes, threads, generation, restart_us, now_us = self._take("<IIIQQ")
        return {
            "server_limit": processes,
            "thread_limit": threads,
            "running_generation": generation,
            "restart_time": restart_us / 1e6,
            "current_time": now_us / 1e6,
            "running_time": max(0, now_us - restart_us) // 1_000_000,
            "processes": [self._process(number, threads) for number in range(processes)],
        }

    def _process(self, number, threads):
        pid, generation, is_quiescing = self._take("<III")
        return {
            "process_num": number,
            "pid": pid,
            "generation": generation,
            "quiescing": bool(is_quiescing),
            "workers": [self._worker() for _ in range(threads)],
        }

    def _worker(self):
        number, generation, status, accesses, served, start_us, stop_us, used_us = self._take("<IIIQQQQQ")
        return {
            "thread_num": number,
            "generation": generation,
            "status": chr(status),
            "access_count": accesses,
            "bytes_served": served,
            "start_time": start_us / 1e6,
            "stop_time": stop_us / 1e6,
            "last_used": used_us / 1e6,
            "client": self._text(),
            "request": self._text(),
            "vhost": self._text(),
        }

    def _take(self, form):
        import struct

        values = struct.unpack_from(form, self._block, self._place)
        self._place += struct.calcsize(form)
        return values

    def _text(self):
        (length,) = self._take("<H")
        text = self._block[self._place : self._place + length]
        self._place += length
        return text.decode("latin-1")


def _has_telemetry():
    return "telemetry" in _wsgi_host.settings()


def _request_metrics(figures, settings):
    scalars, statuses, phases, threads = figures
    one = dict(zip(_SCALARS, scalars))
    period_s = max(one["stop"] - one["start"], 1) / 1e6
    user, system = one["cpu_user"] / 1e6 / period_s, one["cpu_system"] / 1e6 / period_s
    maximum = _most_threads(settings)
    threads = _padded(threads, settings)
    busy_s = [busy / 1e6 for _, busy, _, _, _ in threads]
    completed = [completed for completed, _, _, _, _ in threads]
    metrics = {
        "pid": os.getpid(),
        "start_time": one["start"] / 1e6,
        "stop_time": one["stop"] / 1e6,
        "sample_period": period_s,
        "request_count": one["requests"],
        "request_throughput": one["requests"] / period_s,
        **{f"status_{number}xx": count for number, count in enumerate(statuses, 1)},
        "input_bytes": one["input_bytes"],
        "input_reads": one["input_reads"],
        "output_bytes": one["output_bytes"],
        "output_writes": one["output_writes"],
        "cpu_user_utilization": user,
        "cpu_system_utilization": system,
        "cpu_utilization": user + system,
        # Older names of the three.
        "cpu_user_time": user,
        "cpu_system_time": system,
        "cpu_time": user + system,
        **_memory(),
        "request_threads_maximum": maximum,
        "request_threads_started": _started(one, settings),
        "request_threads_active": one["active"],
        "capacity_utilization": min(1.0, sum(busy_s) / (period_s * maximum)),
        "request_threads_completed": completed,
        # An older name.
        "request_threads_buckets": list(completed),
        "request_threads_busy_time": busy_s,
        "request_threads_cpu_time": [cpu / 1e6 for _, _, cpu, _, _ in threads],
        "request_threads_current_elapsed": [current / 1e6 for _, _, _, _, current in threads],
        "request_threads_max_duration": [longest / 1e6 for _, _, _, longest, _ in threads],
        "gil_wait_count": one["gil_waits"],
    }
    for name, (count, sum_us, least, greatest, *buckets) in zip(_PHASES, phases):
        is_missing = name in _OF_DAEMONS and settings["door"] != "daemon"
        metrics[name] = None if is_missing else (sum_us / count / 1e6 if count else 0.0)
        metrics[f"{name}_min_us"] = least if count else None
        metrics[f"{name}_max_us"] = greatest if count else None
        metrics[f"{name}_buckets"] = buckets
    return metrics


def _process_metrics(figures, settings):
    scalars, _, _, threads = figures
    one = dict(zip(_SCALARS, scalars))
    threads = _padded(threads, settings)
    times = os.times()
    now, started = time.time(), _started_at()
    return {
        "pid": os.getpid(),
        "request_count": one["requests"],
        "request_busy_time": sum(busy for _, busy, _, _, _ in threads) / 1e6,
        **_memory(),
        "cpu_user_time": times.user,
        "cpu_system_time": times.system,
        "cpu_time": times.user + times.system,
        "restart_time": started,
        "current_time": now,
        "running_time": max(0, int(now - started)),
        "request_threads": _started(one, settings),
        "active_requests": one["active"],
        "threads": [
            {"thread_id": number, "request_count": completed} for number, (completed, *_) in enumerate(threads, 1)
        ],
    }


def _most_threads(settings):
    """How many requests the process can serve at once."""
    name = "threads" if settings["door"] == "daemon" else "mpm_threads_per_process"
    return max(1, int(settings[name]))


def _started(one, settings):
    """A daemon process starts all its threads at once; httpd's are known when they have served."""
    return _most_threads(settings) if settings["door"] == "daemon" else one["living"]


def _padded(threads, settings):
    """With a row for each thread of a daemon process, also for one that has not served yet."""
    missing = _most_threads(settings) - len(threads) if settings["door"] == "daemon" else 0
    return threads + [[0] * 5] * missing


def _memory():
    import resource

    # ru_maxrss is in KiB (getrusage(2)), and lags behind a little.
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    try:
        with open("/proc/self/statm", "rb") as file:
            rss = int(file.read().split()[1]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        # No /proc in a chroot: the most that it ever was.
        rss = most
    return {"memory_rss": rss, "memory_max_rss": max(most, rss)}


def _started_at():
    """When the process began, seconds since 1970."""
    try:
        with open("/proc/self/stat", "rb") as file:
            # After the name, which may have blanks and parentheses in it; proc(5), field 22.
            ticks = int(file.read().rpartition(b")")[2].split()[19])
        since_boot = ticks / os.sysconf("SC_CLK_TCK")
        return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + since_boot
    except (OSError, ValueError, IndexError):
        return _IMPORTED


_IMPORTED = time.time()
