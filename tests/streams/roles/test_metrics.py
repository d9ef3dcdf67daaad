"""What a role tells Prometheus of its answers, its records and its place in Kafka."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from prometheus_client import generate_latest

from streams.codes import Stage
from streams.events import Alert, Anomaly, Classification, Decision
from streams.kafka.connection import KafkaConnection
from streams.kafka.faust_app import BusConfig
from streams.ports import ClassificationRequest
from streams.roles.classify import ClassifyRole
from streams.roles.config import RoleConfig
from streams.roles.inspect import InspectRole
from streams.roles.metrics import LABELS, METRICS, RECORD_DELAY
from streams.roles.record import RecordRole
from streams.roles.results import Telemetry
from streams.roles.runner import RoleRunner
from streams.topics import FRAMES
from tests.contracts.twins.anomaly_classifier import TwinClassifier
from tests.contracts.twins.history_writer import TwinHistory
from tests.contracts.twins.image_store import InMemoryImageStore
from tests.contracts.twins.policies import TwinPolicies
from tests.contracts.twins.vision_expert import TwinExpert
from tests.history import make
from tests.streams.conftest import Bench
from tests.streams.made import ODD, delivery, frame, inspection
from tests.streams.roles.line import opened
from tests.waiting import until

MakeBench = Callable[..., Bench]


PAID = Classification(
    class_name="unknown",
    confidence=0.0,
    classifier="velm",
    model="m",
    tokens_in=900,
    tokens_out=7,
    cost=0.002,
)


class PaidClassifier(TwinClassifier):
    """Gives one answer, which was paid for."""

    said = PAID

    async def classify(
        self, requests: Sequence[ClassificationRequest], timeout_s: float
    ) -> Sequence[Classification]:
        await super().classify(requests, timeout_s)
        return [self.said] * len(requests)


@pytest.mark.asyncio
async def test_scores_are_counted_over_their_threshold(bench: MakeBench) -> None:
    b = bench()
    role = InspectRole(TwinExpert(), TwinPolicies(audit_share=0.0), b.results)
    for image in (b"good", b"good", ODD):  # 0.5, 0.5 and 2.0 over a threshold of 1
        await role.handle(delivery(frame(), image))
    product = {"product": frame().product_id}
    assert b.value("andon_anomaly_score_ratio_bucket", **product, le="0.5") == 2
    assert b.value("andon_anomaly_score_ratio_bucket", **product, le="1.5") == 2
    assert b.value("andon_anomaly_score_ratio_bucket", **product, le="2.0") == 3


@pytest.mark.asyncio
@pytest.mark.parametrize("delay_s", [0.0, 0.4], ids=["in time", "late"])
async def test_what_an_answer_cost_is_counted_however_late_it_is(
    bench: MakeBench, delay_s: float
) -> None:
    b = bench()
    role = ClassifyRole(PaidClassifier(delay_s=delay_s), TwinPolicies(), b.results)
    shot = frame(window_ms=300)
    await role.handle(delivery(Anomaly(frame=shot, inspection=inspection(True)), ODD))
    product, paid = {"product": shot.product_id}, {"product": shot.product_id, "model": "m"}
    said = {"line": shot.line, "classifier": "velm", "answer": "unknown"}
    await until(lambda: b.value("andon_classifications_total", **product, **said) == 1)
    assert b.value("andon_llm_tokens_total", **paid, direction="in") == 900
    assert b.value("andon_llm_tokens_total", **paid, direction="out") == 7
    assert b.value("andon_llm_cost_total", **paid) == 0.002
    await role.close()


@pytest.mark.asyncio
async def test_a_model_without_a_price_list_costs_nothing_and_that_is_told(
    bench: MakeBench,
) -> None:
    b = bench()
    free = PaidClassifier()
    free.said = PAID.model_copy(update={"cost": 0.0})
    role = ClassifyRole(free, TwinPolicies(), b.results)
    shot = frame()
    await role.handle(delivery(Anomaly(frame=shot, inspection=inspection(True)), ODD))
    assert b.value("andon_llm_cost_total", product=shot.product_id, model="m") == 0
    await role.close()


@pytest.mark.asyncio
async def test_a_class_is_counted_under_no_name_and_costs_nothing(bench: MakeBench) -> None:
    b = bench()
    role = ClassifyRole(TwinClassifier(), TwinPolicies(), b.results)
    shot = frame()
    await role.handle(delivery(Anomaly(frame=shot, inspection=inspection(True)), ODD))
    labels = {"line": shot.line, "product": shot.product_id, "classifier": "twin"}
    assert b.value("andon_classifications_total", **labels, answer="class") == 1
    names = {sample.name for one in b.telemetry.registry.collect() for sample in one.samples}
    assert not {"andon_llm_tokens_total", "andon_llm_cost_total"} & names
    await role.close()


def decided(seconds_ago: float, ahead_s: float = 0.0) -> Decision:
    """By a host whose clock is ahead of the gateway's."""
    at = datetime.now(UTC) - timedelta(seconds=seconds_ago + ahead_s)
    return make.decision(1).model_copy(update={"decided_at": at, "clock_ahead_s": ahead_s})


@pytest.mark.asyncio
@pytest.mark.parametrize("ahead_s", [0.0, 3600.0], ids=["clocks agree", "an hour ahead"])
async def test_the_delay_of_a_record_is_told_by_the_deciding_hosts_clock(
    bench: MakeBench, ahead_s: float
) -> None:
    b, history = bench(Stage.RECORD), TwinHistory()
    role = RecordRole(history, InMemoryImageStore(), b.results, batch_wait_s=0.01)
    one = decided(20.0, ahead_s)
    began = time.monotonic()
    await role.handle(delivery(one))
    took_s = time.monotonic() - began
    assert len(history.decisions) == 1
    total = b.value(f"{RECORD_DELAY.name}_sum", line=one.line)
    assert 20.0 <= total <= 20.5 + took_s
    await role.close()


@pytest.mark.asyncio
async def test_a_decision_that_is_not_stored_has_no_delay(bench: MakeBench) -> None:
    b, history = bench(Stage.RECORD, aside_after=1), TwinHistory()
    role = RecordRole(history, InMemoryImageStore(), b.results, batch_wait_s=0.01)
    history.refuses = decided(1.0).part_id
    await role.handle(delivery(decided(1.0)))
    assert not history.decisions
    assert b.value(f"{RECORD_DELAY.name}_count", line=decided(1.0).line) == 0
    await role.close()


def test_what_is_asked_at_the_scrape_is_as_it_is_then(tmp_path: Path) -> None:
    """Partitions that went to another worker, and versions of before, are no longer told."""
    bus = BusConfig(KafkaConnection("127.0.0.1:1"), tmp_path)
    never = opened(lambda _: pytest.fail("nobody opens it"))
    runner = RoleRunner(RoleConfig("inspect", bus), [FRAMES], never, print)
    telemetry = runner.telemetry

    def told(name: str) -> dict[tuple[str, ...], float]:
        return {
            tuple(sample.labels.values()): sample.value
            for one in telemetry.registry.collect()
            for sample in one.samples
            if sample.name == name
        }

    assert not told("andon_consumer_lag_messages")
    runner.lag = {("andon.frames", 0): 4, ("andon.frames", 1): 0}
    telemetry.decision(make.decision(1))
    telemetry.policies = lambda: {"tile": "ab", "leather": "cd"}
    lags = told("andon_consumer_lag_messages")
    assert lags == {("inspect", "andon.frames", "0"): 4, ("inspect", "andon.frames", "1"): 0}
    runner.lag = {("andon.frames", 1): 2}
    assert told("andon_consumer_lag_messages") == {("inspect", "andon.frames", "1"): 2}
    telemetry.waits.heard("L1", 2.5)
    telemetry.waits.heard("L1", 1.5)
    telemetry.waits.heard("L2", -0.001)
    waits = {("inspect", "L1"): 1.5, ("inspect", "L2"): 0.0}
    assert told("andon_line_wait_seconds") == waits, "of the newest message"
    assert told("andon_policy_info") == {
        ("inspect", "tile", "ab"): 1,
        ("inspect", "leather", "cd"): 1,
    }
    (first,) = told("andon_model_info")
    newer = make.decision(2)
    assert newer.inspection is not None
    inspected = newer.inspection.model_copy(update={"expert_version": "newer"})
    telemetry.decision(newer.model_copy(update={"inspection": inspected}))
    assert told("andon_model_info") == {(*first[:2], "newer"): 1}


def test_no_label_names_a_part() -> None:
    labels = {name for metric in METRICS for name in metric.all_labels}
    assert not labels & {"part", "part_id", "lot", "lot_id", "frame", "frame_id", "serial"}
    assert labels <= LABELS.keys()


def test_an_alert_is_counted_for_its_line_and_a_drift_for_its_station() -> None:
    """Two lines under one limit were one series, so that the second one's stop alerted nobody."""
    telemetry = Telemetry("limits")
    one = Alert(
        alert_id=UUID(int=1), line="L1", product_id="tile", limit="crack",
        reason="three in ten", request_stop=True, raised_at=datetime(2026, 11, 30, tzinfo=UTC),
    )  # fmt: skip
    telemetry.alert(one)
    telemetry.alert(one.model_copy(update={"line": "L2"}))
    drift = {"limit": "drift/score", "station": "S1", "request_stop": False}
    telemetry.alert(one.model_copy(update=drift))
    said = generate_latest(telemetry.registry).decode()
    for line, station, limit, stop in (
        ("L1", "", "crack", "true"),
        ("L2", "", "crack", "true"),
        ("L1", "L1/S1", "drift/score", "false"),
    ):
        row = f'limit="{limit}",line="{line}",role="limits",station="{station}",stop="{stop}"'
        assert f"andon_alerts_total{{{row}}} 1.0" in said
