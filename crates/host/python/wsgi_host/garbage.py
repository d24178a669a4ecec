"""What the collector is told of garbage collections: each one, and now and then where the counters stand.

Only with WSGITelemetryService. The collector's counters are read where a collection has just ended, so that nobody else
has to have the GIL for them.

Source: docs of `gc`; docs/telemetry.md for kinds and fields.
"""

import gc
import struct
from time import monotonic, perf_counter, time

import _wsgi_host

_SNAPSHOT, _EVENT = 8, 9
_INTERPRETER = 8
_COUNTERS, _EVENT_FIELDS = 300, 320


class Watch:
    """Watches the collections of one interpreter. `interval_s`: the least time between two snapshots."""

    def __init__(self, application_group, interval_s):
        self.application_group = application_group
        self._interval_s = interval_s
        self._began = None
        self._next = 0.0

    def __call__(self, phase, info):
        """What `gc.callbacks` calls; never raises."""
        if phase == "start":
            self._began = time(), perf_counter()
        elif self._began is not None:
            (moment, began), self._began = self._began, None
            self._tell_event(moment, perf_counter() - began, info)
            if monotonic() >= self._next:
                self._next = monotonic() + self._interval_s
                self._tell_counters()

    def _tell_event(self, moment, duration, info):
        fields = [
            _number(_EVENT_FIELDS, moment),
            _number(_EVENT_FIELDS + 1, duration),
            _count(_EVENT_FIELDS + 2, info["generation"]),
            _count(_EVENT_FIELDS + 3, info["collected"]),
            _count(_EVENT_FIELDS + 4, info["uncollectable"]),
        ]
        self._tell(_EVENT, fields)

    def _tell_counters(self):
        # Of some Pythons there are more generations, and of some fewer: the collector knows three.
        stats = gc.get_stats()[:3]
        counters = [*_three(gc.get_count()), *_three(gc.get_threshold())]
        for name in ("collections", "collected", "uncollectable"):
            counters += _three(generation.get(name, 0) for generation in stats)
        counters += [int(gc.isenabled()), gc.get_freeze_count(), 0]
        self._tell(_SNAPSHOT, [_count(_COUNTERS + number, value) for number, value in enumerate(counters)])

    def _tell(self, kind, fields):
        name = self.application_group.encode("latin-1", "replace")[:1024]
        if name:
            fields.append(struct.pack("<HBH", _INTERPRETER, 4, len(name)) + name)
        _wsgi_host.tell(kind, b"".join(fields))


def watch(application_group, settings):
    """Begins to watch the calling interpreter; the Watch."""
    watching = Watch(application_group, float(settings["telemetry_interval"]))
    gc.callbacks.append(watching)
    return watching


def _three(values):
    values = list(values)[:3]
    return values + [0] * (3 - len(values))


def _count(field, value):
    return struct.pack("<HBQ", field, 1, max(0, value))


def _number(field, value):
    return struct.pack("<HBd", field, 2, value)
