"""What the collector of telemetry is told of garbage collections."""

import gc
import struct

import pytest
from wsgi_host import garbage


@pytest.fixture
def watch(host):
    return garbage.Watch("shop", 3600)


def fields(block):
    """Fields by number; only numbers of 8 bytes and texts are there."""
    found, place = {}, 0
    while place < len(block):
        number, kind = struct.unpack_from("<HB", block, place)
        if kind == 4:
            (length,) = struct.unpack_from("<H", block, place + 3)
            found[number] = block[place + 5 : place + 5 + length]
            place += 5 + length
        else:
            (found[number],) = struct.unpack_from({1: "<Q", 2: "<d"}[kind], block, place + 3)
            place += 11
    return found


def test_a_collection_is_told_with_its_interpreter(host, watch):
    watch("start", {})
    watch("stop", {"generation": 2, "collected": 5, "uncollectable": 0})
    kinds = [kind for kind, _ in host.told]
    assert kinds == [9, 8]
    event = fields(host.told[0][1])
    assert (event[322], event[323], event[324], event[8]) == (2, 5, 0, b"shop")
    assert 0 <= event[321] < 5
    snapshot = fields(host.told[1][1])
    assert set(snapshot) == {8, *range(300, 318)}
    assert [snapshot[303 + number] for number in range(2)] == list(gc.get_threshold()[:2])
    assert snapshot[315] == 1


def test_counters_are_told_no_more_often_than_the_interval(host, watch):
    for _ in range(3):
        watch("start", {})
        watch("stop", {"generation": 0, "collected": 0, "uncollectable": 0})
    assert [kind for kind, _ in host.told] == [9, 8, 9, 9]


def test_an_end_without_a_beginning_is_not_told(host, watch):
    watch("stop", {"generation": 0, "collected": 0, "uncollectable": 0})
    assert host.told == []
