"""A part's way through a real line as one trace, at a receiver in this process."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import UUID

import pytest

from lab.harness.line import LineOptions, SimulatedLine
from lab.harness.plan import cycle
from lab.harness.settle import settle
from lab.plc.ledger import read_ledger
from tests.integration.conftest import Plant, start_plant, tiny
from tests.streams.tracing.receiver import OtlpReceiver, Received

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
PARTS = 24
WAY_OF_A_NORMAL = [
    ("andon-gateway", "part"),
    ("andon-gateway", "send andon.frames"),
    ("andon-inspect", "andon.frames on its way"),
    ("andon-inspect", "inspect"),
    ("andon-inspect", "send andon.decisions"),
    ("andon-gateway", "andon.decisions on its way"),
    ("andon-gateway", "write the result"),
    ("andon-gateway", "controller acknowledges"),
]
WAY_OF_AN_ANOMALY = [
    *WAY_OF_A_NORMAL[:4],
    ("andon-inspect", "send andon.anomalies"),
    ("andon-classify", "andon.anomalies on its way"),
    ("andon-classify", "classify"),
    ("andon-classify", "send andon.decisions"),
    *WAY_OF_A_NORMAL[5:],
]
"""From each span to the one that led to it, backwards."""
TO_THE_REPLICA = ["inspect", "ask the expert", "score"]
TO_THE_CLASSIFIER = ["classify", "ask the classifier", "name"]
DECIDED = "andon.decisions on its way"
TO_THE_HISTORY = ("part", "send andon.acks", "andon.acks on its way", "record")


@pytest.fixture(scope="module")
def receiver() -> Iterator[OtlpReceiver]:
    made = OtlpReceiver()
    with made.receiving():
        yield made


@pytest.fixture(scope="module")
def traced_plant(receiver: OtlpReceiver) -> Iterator[Plant]:
    """A plant whose every process, Ray's replicas too, sends all its spans to the receiver."""
    folder = Path(tempfile.mkdtemp(prefix="andon-traced-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANDON_TRACING__OTLP_ENDPOINT", receiver.url)
        patch.setenv("ANDON_TRACING__SHARE", "1")
        running = start_plant(folder, models=tiny)
        try:
            yield running
        finally:
            running.stack.stop()
            shutil.rmtree(folder, ignore_errors=True)


def played(plant: Plant, folder: Path) -> SimulatedLine:
    """A line that played its parts and ended; how many came in time is the machine's matter."""
    options = LineOptions(takt_s=0.5, window_s=15.0)
    line = plant.line(folder, cycle(plant.plan, PARTS), options)
    try:
        line.start()
        line.play()
        ledger = read_ledger(line.ledger)
        _, balance = asyncio.run(settle(plant.stack.settings(), ledger, PARTS, shared_broker=True))
    finally:
        line.stop()
    assert not balance.lost
    assert not balance.acted_twice
    assert balance.decided == PARTS
    return line


def names(spans: Sequence[Received]) -> list[str]:
    return [span.name for span in spans]


def way_to(spans: list[Received], name: str) -> list[Received]:
    """From the part's first span to the last one of this name, along what led to what."""
    return way_to_span(spans, [span for span in spans if span.name == name][-1])


def way_to_span(spans: list[Received], end: Received) -> list[Received]:
    by_id = {span.span_id: span for span in spans}
    way = [end]
    while way[0].parent_id in by_id:
        way.insert(0, by_id[way[0].parent_id])
    return way


def test_a_parts_way_is_one_trace_in_order(
    traced_plant: Plant, receiver: OtlpReceiver, scratch: Path
) -> None:
    played(traced_plant, scratch)
    parts = {span.trace_id for span in receiver.spans if span.name == "part"}
    assert len(parts) == PARTS
    sources = set()
    for part in parts:
        spans = receiver.of(UUID(int=part))
        assert all(span.ended_s >= span.began_s for span in spans)
        (whole,) = [span for span in spans if span.name == "part"]
        source = whole.attributes["andon.source"]
        if source == "watchdog" or whole.error:  # the machine was too busy for it
            continue
        sources.add(source)
        way = way_to(spans, "controller acknowledges")
        expected = WAY_OF_AN_ANOMALY if source == "classifier" else WAY_OF_A_NORMAL
        assert [(span.service, span.name) for span in way] == expected
        began = [int(span.began_s * 1000) for span in way]  # Kafka's times are whole milliseconds
        assert began == sorted(began)
        assert names(way_to(spans, "score"))[-3:] == TO_THE_REPLICA
        if source == "classifier":
            assert names(way_to(spans, "name"))[-3:] == TO_THE_CLASSIFIER
        assert {"capture", "store", "send andon.acks"} <= set(names(spans))
        ends = [span for span in spans if span.name == "record"]
        recorded = {tuple(names(way_to_span(spans, end))) for end in ends}
        assert {TO_THE_HISTORY, (*names(way[:-3]), DECIDED, "record")} <= recorded
    assert sources == {"expert", "classifier"}


@pytest.mark.parametrize("how", ["hangs", "refuses"])
def test_a_receiver_that_takes_nothing_costs_no_part(
    traced_plant: Plant, receiver: OtlpReceiver, scratch: Path, how: str
) -> None:
    if how == "hangs":
        receiver.goes_on.clear()
    else:
        receiver.refuses = True
    before = receiver.calls
    try:
        played(traced_plant, scratch)
    finally:
        receiver.goes_on.set()
        receiver.refuses = False
    assert receiver.calls > before, "it was asked"
