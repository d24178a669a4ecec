"""Who is told what, and what becomes of subscribers that fail."""

import pytest
from wsgi_host import events, requests

FIGURES = [7, 1234, 1_000_000, 0, 0, 2_000_000, 2_500_000, 204, 1, 2, 3, 4, 5, 6, 2, 8, 9, 10]


@pytest.fixture
def subscribers(host, monkeypatch):
    """The lists, empty, and put back after the test."""
    for name in ("event_callbacks", "shutdown_callbacks", "signal_callbacks"):
        monkeypatch.setattr(events, name, [])
    monkeypatch.setattr(events, "_has_stopped", False)
    return events


@pytest.fixture
def told(subscribers):
    told = []
    subscribers.event_callbacks.append(lambda name, **payload: told.append((name, payload)))
    return told


def with_figures(request, figures):
    request.course = lambda: figures
    return request


def test_whoever_subscribes_has_clocks_read(host, subscribers):
    assert subscribers.subscribe_events(print) is print
    assert host.is_measuring and subscribers.event_callbacks == [print]


def test_a_finished_request_has_its_figures_in_seconds_and_bytes(told, request_):
    events.request_finished(with_figures(request_, FIGURES))
    ((name, payload),) = told
    assert name == "request_finished"
    assert (payload["thread_id"], payload["server_pid"], payload["status"]) == (7, 1234, 204)
    assert (payload["request_start"], payload["queue_start"], payload["application_finish"]) == (1.0, 0.0, 2.5)
    assert payload["application_time"] == 0.5
    assert [payload[f"input_{what}"] for what in ("reads", "length", "time")] == [1, 2, 3e-6]
    assert [payload[f"output_{what}"] for what in ("writes", "length", "time")] == [4, 5, 6e-6]
    assert (payload["gil_wait_count"], payload["gil_wait_time"]) == (2, 8e-6)
    assert (payload["cpu_user_time"], payload["cpu_system_time"]) == (9e-6, 10e-6)


def test_figures_that_were_not_measured_from_the_beginning_are_left_out(told, request_):
    events.request_finished(with_figures(request_, [*FIGURES[:-4], -1, -1, -1, -1]))
    payload = told[0][1]
    assert not {"cpu_user_time", "cpu_system_time", "cpu_time"} & set(payload)
    assert (payload["gil_wait_count"], payload["gil_wait_time"]) == (0, 0)


def test_a_request_without_an_id_has_none_in_its_events(told, request_):
    request_.id = None
    events.response_started(request_, "200 OK", [], None)
    assert "request_id" not in told[0][1]


def test_subscribers_are_those_of_the_moment_in_their_order(subscribers, request_):
    order = []

    def first(name, **payload):
        order.append("first")
        subscribers.event_callbacks.append(lambda name, **payload: order.append("late"))

    subscribers.event_callbacks[:] = [first, lambda name, **payload: order.append("second")]
    events.response_started(request_, "200 OK", [], None)
    assert order == ["first", "second"]


def test_what_is_returned_and_is_no_dict_changes_nothing(subscribers, request_, host):
    subscribers.event_callbacks[:] = [lambda name, **payload: [1], lambda name, **payload: {"request_id": payload}]
    events.response_started(request_, "200 OK", [], None)
    assert host.text() == []


def test_a_request_timeout_in_a_subscriber_is_the_requests(subscribers, request_, host):
    def interrupted(name, **payload):
        raise requests.RequestTimeout

    subscribers.event_callbacks.append(interrupted)
    with pytest.raises(requests.RequestTimeout):
        events.response_started(request_, "200 OK", [], None)
    assert host.text() == []


def test_the_end_is_told_once_and_with_its_reason(told, subscribers, host):
    host.reason = "script_reload"
    subscribers.shutdown_callbacks.append(lambda name, **payload: told.append(("shutdown", payload)))
    events.process_stopping()
    events.process_stopping()
    payload = {"shutdown_reason": "script_reload"}
    assert told == [("process_stopping", payload), ("shutdown", payload)]


def test_a_service_is_told_nothing(told, host):
    host.values.update(door="daemon", threads="0")
    events.process_stopping()
    assert told == []


@pytest.mark.parametrize("settings", [{"door": "embedded"}, {"door": "daemon", "threads": "0"}])
def test_signals_are_for_workers_that_serve_requests(subscribers, host, settings):
    host.values.update(settings)
    assert subscribers.subscribe_signals(print) is print
    assert subscribers.signal_callbacks == []
    assert host.text()[0].startswith("Ignoring subscription to signals")
    assert any("test_signals_are_for_workers" in text for text in host.text())


def test_a_signal_is_told_by_name_and_number(told, subscribers, host):
    events.process_signal(12)
    assert told == [("process_signal", {"signame": "SIGUSR2", "signum": 12})]
