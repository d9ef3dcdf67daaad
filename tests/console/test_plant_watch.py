"""What the console asks PostgreSQL and Serve for its metrics: told while known, and no longer."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from console import meter
from console.meter import ConsoleMeter
from console.plant_watch import REASONS, PlantWatch
from history.filters import FrameFilter
from history.review_queue import WaitingFor
from serving.ray.replicas import ApplicationStatus, ReplicaStatus
from serving.ray.settings import CLASSIFIER, VISION
from streams.errors import UnavailableError
from tests.waiting import until

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)


class GivenQueue:
    """Two reasons for which parts wait."""

    def __init__(self) -> None:
        self.down = False

    async def counts(
        self, wanted: FrameFilter, reviewer: str, reasons: Sequence[WaitingFor]
    ) -> Mapping[WaitingFor, int]:
        if self.down:
            raise UnavailableError("the database is away")
        found = {WaitingFor.HOLD: 7, WaitingFor.UNKNOWN: 2}
        return {reason: found.get(reason, 0) for reason in reasons}

    async def oldest(
        self, wanted: FrameFilter, reviewer: str, reasons: Sequence[WaitingFor]
    ) -> Mapping[WaitingFor, datetime]:
        return {WaitingFor.HOLD: NOW - timedelta(hours=9)}


class GivenServing:
    """Two of three vision experts answer; one of them has another version."""

    def __init__(self) -> None:
        self.down = self.closed = False
        self.looks = 0

    async def look(self, timeout_s: float = 30.0) -> ApplicationStatus:
        self.looks += 1
        if self.down:
            raise UnavailableError("Serve's ingress did not say")
        one = {"versions": {"tile": "new"}, "waiting": 4, "scored": 9, "failed": 1}
        replicas = [
            ReplicaStatus(replica="a" * 32, deployment=VISION, cpu_seconds=2.5, **one),
            ReplicaStatus(
                replica="b" * 32,
                deployment=VISION,
                versions={"tile": "old"},
                problems={"tile": "altered"},
                resident_bytes=1 << 30,
            ),
        ]
        return ApplicationStatus(replicas=replicas, expected={VISION: 3, CLASSIFIER: 1})

    async def close(self) -> None:
        self.closed = True


class Watched:
    """A watch, and what Prometheus would be told."""

    def __init__(self) -> None:
        self.queue, self.serving, self.is_fresh = GivenQueue(), GivenServing(), True
        self.watch = PlantWatch(self.queue, self.serving, lambda: self.is_fresh, 0.01, lambda: NOW)
        self.registry = ConsoleMeter(self.watch.reads()).registry

    async def look(self) -> None:
        await self.watch.look_at_reviews()
        await self.watch.look_at_replicas()

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"andon_{name}", labels)


@pytest.mark.asyncio
async def test_what_waits_and_what_serves_is_told() -> None:
    w = Watched()
    await w.look()
    assert w.value("review_waiting_parts", waits_for="hold") == 7
    assert w.value("review_waiting_parts", waits_for="late") == 0
    assert w.value("review_oldest_seconds", waits_for="hold") == 9 * 3600
    assert w.value("review_oldest_seconds", waits_for="unknown") is None
    assert [w.value("console_sees", check=c) for c in ("kafka", "postgres", "serve")] == [1, 1, 1]
    assert w.value("serve_replicas_expected", deployment=VISION) == 3
    assert w.value("serve_replicas", deployment=VISION) == 2
    assert w.value("serve_replicas", deployment=CLASSIFIER) == 0
    for version in ("new", "old"):
        place = {"deployment": VISION, "product": "tile", "version": version}
        assert w.value("serve_model_info", **place) == 1
    assert w.value("serve_problems", deployment=VISION, product="tile") == 1
    a, b = ({"deployment": VISION, "replica": letter * 8} for letter in "ab")
    assert w.value("serve_answers_total", **a, result="scored") == 9
    assert w.value("serve_answers_total", **a, result="failed") == 1
    assert w.value("serve_waiting_items", **a) == 4
    assert w.value("serve_cpu_seconds_total", **a) == 2.5
    assert w.value("serve_resident_bytes", **b) == 1 << 30


@pytest.mark.asyncio
async def test_what_does_not_answer_is_said_and_has_no_values() -> None:
    w = Watched()
    await w.look()
    w.queue.down = w.serving.down = True
    w.is_fresh = False
    await w.look()
    assert [w.value("console_sees", check=c) for c in ("kafka", "postgres", "serve")] == [0, 0, 0]
    assert w.value("review_waiting_parts", waits_for="hold") is None
    assert w.value("review_oldest_seconds", waits_for="hold") is None
    assert w.value("serve_replicas", deployment=VISION) is None
    assert w.value("serve_problems", deployment=VISION, product="tile") is None
    w.queue.down = w.serving.down = False
    await w.look()
    assert [w.value("console_sees", check=c) for c in ("postgres", "serve")] == [1, 1]


@pytest.mark.asyncio
async def test_it_looks_again_and_again_until_it_is_ended() -> None:
    w = Watched()
    running = asyncio.create_task(w.watch.run())
    await until(lambda: w.serving.looks >= 3)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert w.serving.closed


def test_every_reason_but_rejects_is_asked_for() -> None:
    assert set(WaitingFor) - set(REASONS) == {WaitingFor.REJECT}
    asked = {meter.REQUESTS, meter.ANSWERING, meter.OPEN}
    assert set(Watched().watch.reads()) == set(meter.CONSOLE_METRICS) - asked
