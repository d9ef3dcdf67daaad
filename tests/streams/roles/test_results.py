"""Logs say what changed, not how often it was tried."""

import logging
import socket

import pytest

from streams.exposition import BUILD, MetricsPortError, served
from streams.failures import Cause, TransientError
from streams.log import OncePer
from streams.roles.results import Telemetry


def test_an_outage_is_said_once_and_its_end_too() -> None:
    now, said = [0.0], []
    outages = Telemetry("record", lambda event, **more: said.append((event, more)), lambda: now[0])
    outages.succeeded("history")
    for second in range(40):
        now[0] = float(second)
        outages.failed("history", ValueError("gone"))
    outages.succeeded("history")
    outages.succeeded("history")
    assert [event for event, _ in said] == ["away", "still away", "back"]
    assert said[-1][1] == {"what": "history", "seconds": 39.0, "failures": 40}


def test_what_waits_for_one_outage_is_not_a_line_each() -> None:
    said: list[tuple[str, str]] = []
    outages = Telemetry("record", lambda event, **more: said.append((event, str(more["error"]))))
    for number in range(100):
        outages.failed("objects", TransientError(Cause.AWAY, f"no answer while storing {number}"))
    outages.failed("objects", TransientError(Cause.LOGIN, "the key is not known"))
    assert said == [
        ("away", "no answer while storing 0"),
        ("away", "the key is not known"),
    ], "another cause is news, another object is not"


def test_a_repeated_record_passes_once_in_a_while() -> None:
    now = [0.0]
    once = OncePer(30.0, lambda: now[0])

    def record(message: str) -> logging.LogRecord:
        return logging.LogRecord("aiokafka", logging.ERROR, "", 0, message, (), None)

    assert once.filter(record("Unable connect to node with id %s"))
    assert not once.filter(record("Unable connect to node with id %s"))
    assert once.filter(record("another"))
    now[0] = 31.0
    assert once.filter(record("Unable connect to node with id %s"))


def test_a_metrics_port_that_is_taken_is_named_by_its_setting() -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(MetricsPortError, match=rf"ANDON_WORKER__METRICS_PORT: port {port} "):
            served(Telemetry("inspect").registry, port)


def test_a_scrape_tells_which_build_runs() -> None:
    telemetry = Telemetry("inspect")
    served(telemetry.registry, 0, of_all={BUILD: lambda: {("1.0+g0123456789",): 1.0}})()
    told = telemetry.registry.get_sample_value
    assert told("andon_build_info", {"build": "1.0+g0123456789"}) == 1.0
