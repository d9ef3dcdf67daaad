"""The roles over a real broker: the whole flow, a burst, kills, a graceful stop."""

import asyncio
import os
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from infra.stack.broker import Broker
from streams.codes import DecisionSource
from streams.envelope import Message, to_message
from streams.errors import UnavailableError
from streams.events import Anomaly, Decision
from streams.ids import image_key
from streams.roles.classify import ClassifyRole
from streams.roles.inspect import InspectRole
from streams.roles.record import RecordRole
from streams.roles.record_core import RECORDED, WITH_OBJECTS
from streams.topics import ANOMALIES, DEAD, DECISIONS, FRAMES
from tests.contracts.twins.anomaly_classifier import TwinClassifier
from tests.contracts.twins.history_writer import TwinHistory
from tests.contracts.twins.image_store import InMemoryImageStore
from tests.contracts.twins.policies import TwinPolicies
from tests.contracts.twins.vision_expert import TwinExpert
from tests.streams.made import BROKEN, ODD, frame, inspection
from tests.streams.roles.line import (
    config,
    death_of,
    producer,
    reading,
    running,
    send,
    send_frame,
    spawned,
)
from tests.streams.roles.test_record import decision
from tests.waiting import until


class AwayStore(InMemoryImageStore):
    """An object store that nobody reaches until it is back."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away = True
        self.asked = 0

    async def put(self, key: str, body: bytes, content_type: str) -> None:
        self.asked += 1
        if self.is_away:
            raise UnavailableError("nobody answers")
        await super().put(key, body, content_type)


@pytest.mark.asyncio
@pytest.mark.slow
async def test_pictures_without_a_store_hold_back_no_decision(
    fresh_broker: Broker, tmp_path: Path
) -> None:
    """More pictures than may be held: the others are recorded, and the pictures afterwards."""
    servers, pictures = fresh_broker.bootstrap_servers, 40
    history, store = TwinHistory(), AwayStore()
    record = config("record", servers, tmp_path, in_flight_events=4, retry_cap_s=0.2)
    async with producer(servers) as send_to, reading(servers, DEAD) as dead:
        for number in range(1, pictures + 1):
            shot = frame(ODD, trigger_seq=number)
            kept = Anomaly(frame=shot, inspection=inspection(True))
            await send(send_to, ANOMALIES, to_message(kept, ODD))
        async with running(
            replace(record, apart=WITH_OBJECTS),
            list(RECORDED),
            lambda r: RecordRole(history, store, r),
        ) as runner:
            await until(lambda: store.asked > 0, 20, "pictures that wait")
            for number in range(1, 21):
                await send(send_to, DECISIONS, to_message(decision(f"P-{number}")))
            await until(lambda: len(history.decisions) == 20, 20, "decisions without pictures")
            assert not history.anomalies
            store.is_away = False
            await until(lambda: len(history.anomalies) == pictures, 30, "every picture")
            assert len(store.objects) == 2 * pictures
            await until(lambda: not runner._intake.in_flight, 10)
    assert not dead.of(DEAD)


@pytest.mark.asyncio
@pytest.mark.slow
async def test_from_frame_to_history(fresh_broker: Broker, tmp_path: Path) -> None:
    """Normal, odd, broken, 8 MiB and poison frames; every part decided, everything kept."""
    servers = fresh_broker.bootstrap_servers
    inspect, classify, record = (
        config(r, servers, tmp_path) for r in ("inspect", "classify", "record")
    )
    history, store, policies = TwinHistory(), InMemoryImageStore(), TwinPolicies()
    async with (
        reading(servers, DECISIONS, ANOMALIES, DEAD) as seen,
        producer(servers) as send_to,
        running(
            inspect,
            [FRAMES],
            lambda r: InspectRole(TwinExpert(), policies, r),
        ),
        running(
            classify,
            [ANOMALIES],
            lambda r: ClassifyRole(TwinClassifier(), policies, r),
        ),
        running(
            record,
            list(RECORDED),
            lambda r: RecordRole(history, store, r),
        ),
    ):
        good, odd, broken, large = (frame(window_ms=8000, trigger_seq=i) for i in range(1, 5))
        await send(send_to, FRAMES, Message(b"k", b"poison", (("ce_type", b"\xff"),)))
        for shot, image in (
            (good, b"good"),
            (odd, ODD + b"!"),
            (broken, BROKEN),
            (large, ODD + bytes(8 * 1024 * 1024 - 3)),
        ):
            await send_frame(send_to, shot, image)
        await until(lambda: len(history.decisions) == 4, 20, "four parts in the history")
        await until(lambda: len(history.letters) == 2, 10, "two dead letters in the history")
        await until(lambda: len(history.anomalies) == 2, 10, "two anomalies in the history")
    sources = {d.frame_id: d.source for d in history.decisions.values()}
    assert sources == {
        good.frame_id: DecisionSource.EXPERT,
        odd.frame_id: DecisionSource.CLASSIFIER,
        broken.frame_id: DecisionSource.FALLBACK,
        large.frame_id: DecisionSource.CLASSIFIER,
    }
    assert len(seen.of(DECISIONS)) == 4
    assert await store.get(image_key(odd.frame_id)) == ODD + b"!"
    assert len(await store.get(image_key(large.frame_id))) == 8 * 1024 * 1024
    assert all([await store.exists(key) for _, key in history.letters.values()])


@pytest.mark.asyncio
@pytest.mark.slow
async def test_a_burst_through_the_broker_makes_no_decision_late(
    fresh_broker: Broker, tmp_path: Path
) -> None:
    """150 frames at once on one station; an expert that manages a third of them."""
    servers = fresh_broker.bootstrap_servers
    settings = config("inspect", servers, tmp_path, concurrency=16, late_grace_s=1.0)
    expert = TwinExpert(delay_s=1.0)
    async with (
        reading(servers, DECISIONS, ANOMALIES, DEAD) as seen,
        producer(servers) as send_to,
        running(
            settings,
            [FRAMES],
            lambda r: InspectRole(expert, TwinPolicies(), r),
        ),
    ):
        shots = [frame(window_ms=3500, trigger_seq=n) for n in range(1, 151)]
        await asyncio.gather(*(send_frame(send_to, shot, b"x" * 40_000) for shot in shots))
        await until(lambda: len(seen.of(DECISIONS)) >= 150, 20, "150 decisions")
    decided = [d for d in seen.of(DECISIONS) if isinstance(d, Decision)]
    assert {d.frame_id for d in decided} == {s.frame_id for s in shots}
    assert [d.trigger_seq for d in decided if d.decided_at > d.deadline] == []
    assert {d.source for d in decided} == {DecisionSource.EXPERT, DecisionSource.FALLBACK}


@pytest.mark.asyncio
@pytest.mark.slow
async def test_killed_between_result_and_acknowledgement_nothing_is_lost(
    fresh_broker: Broker, tmp_path: Path
) -> None:
    """Frames finish out of order, the worker dies with some unacknowledged, twice."""
    servers = fresh_broker.bootstrap_servers
    sent = [frame(window_ms=120_000, trigger_seq=i, station=f"cam-{i % 3}") for i in range(1, 241)]
    async with reading(servers, DECISIONS) as seen, producer(servers) as send_to:
        for shot in sent:
            await send_frame(send_to, shot, b"good")
        for kill_at in (60, 40):
            await death_of(spawned("worker_process", servers, tmp_path, kill_at), 60)
        before, began = len(seen.of(DECISIONS)), time.monotonic()
        worker = spawned("worker_process", servers, tmp_path, 0)
        try:
            await until(lambda: len(seen.of(DECISIONS)) > before, 30, "the rejoin")
            rejoined_s = time.monotonic() - began
            ids = {shot.frame_id for shot in sent}
            await until(
                lambda: {d.frame_id for d in seen.of(DECISIONS)} == ids,  # type: ignore[attr-defined]
                30,
                "a decision for each frame",
            )
        finally:
            worker.terminate()
            assert worker.wait(20) == 0, "a graceful stop ends with 0"
    results = Counter(d.result_id for d in seen.of(DECISIONS))  # type: ignore[attr-defined]
    assert len(results) == len(sent), "one identity per frame, however often it was decided"
    duplicates = sum(results.values()) - len(results)
    assert duplicates > 0, "killed before the acknowledgement, so some were done again"
    (tmp_path / "measured").write_text(f"rejoined {rejoined_s:.1f} s, {duplicates} duplicates")
    if os.environ.get("ANDON_TEST_VERBOSE"):
        sys.stderr.write((tmp_path / "measured").read_text() + "\n")


@pytest.mark.asyncio
@pytest.mark.slow
async def test_a_graceful_stop_finishes_what_is_in_flight(
    fresh_broker: Broker, tmp_path: Path
) -> None:
    """Stopped while frames are at the expert: all decided, and none delivered again."""
    servers = fresh_broker.bootstrap_servers
    settings = config("inspect", servers, tmp_path)
    calls: list[int] = []

    async with reading(servers, DECISIONS) as seen, producer(servers) as send_to:
        slow = TwinExpert(delay_s=0.8, calls=calls)
        async with running(settings, [FRAMES], lambda r: InspectRole(slow, TwinPolicies(), r)):
            for number in range(1, 21):
                await send_frame(send_to, frame(window_ms=5000, trigger_seq=number), b"good")
            await until(lambda: sum(calls) == 20, 10, "all frames at the expert")
        await until(lambda: len(seen.of(DECISIONS)) == 20, 5, "all decided")
        again = TwinExpert()
        async with running(settings, [FRAMES], lambda r: InspectRole(again, TwinPolicies(), r)):
            await send_frame(send_to, frame(window_ms=5000, trigger_seq=99), b"good")
            await until(lambda: len(seen.of(DECISIONS)) == 21, 15, "the next frame")
        assert sum(again.calls) == 1, "acknowledged frames are not delivered again"
    await asyncio.sleep(0)
