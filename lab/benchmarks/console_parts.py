"""Decisions of a made-up line for the console's benchmark, as they come to Kafka just now."""

import asyncio
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from uuid import UUID

import cv2
import numpy as np

from history.writer import PostgresHistoryWriter
from lab.benchmarks.history_parts import made_acknowledgement, made_decisions
from streams.envelope import to_message
from streams.events import Acknowledgement, Anomaly, Decision, Frame, Inspection, decision_id
from streams.ids import image_key, new_frame_id
from streams.ports import ImageStore, Publisher
from streams.regions import region_from_mask
from streams.topics import ACKS, DECISIONS

LINES = 2


@dataclass
class PublishedParts:
    """What was published when, by the wall clock that the browser reads too."""

    at_s: dict[UUID, float] = field(default_factory=dict)
    """When each part's decision was handed to Kafka, seconds since 1970."""


def part_of_now(number: int) -> tuple[Decision, Acknowledgement]:
    """A part that was photographed a moment ago, and what the controller did."""
    pattern = made_decisions(number)[0]
    now, frame = datetime.now(UTC), new_frame_id()
    decision = pattern.model_copy(
        update={
            "frame_id": frame,
            "result_id": decision_id(frame, pattern.source),
            "line": f"line-{number % LINES}",
            "part_id": f"B{number:07}",
            "trigger_seq": number + 1,
            "captured_at": now - timedelta(milliseconds=200),
            "deadline": now + timedelta(seconds=1.3),
            "decided_at": now,
            "is_simulated": True,
            "inspection": _with_region(pattern.inspection),
        }
    )
    told = made_acknowledgement(decision).model_copy(
        update={"written_at": now, "acknowledged_at": now + timedelta(milliseconds=10)}
    )
    return decision, told


def _with_region(found: Inspection | None) -> Inspection | None:
    """With the outline of what ``picture`` shows, where something odd was found."""
    if found is None or found.region is None:
        return found
    mask = np.zeros((64, 64), np.bool_)
    mask[3:9, 3:9] = True
    return found.model_copy(update={"region": region_from_mask(mask, 256, 256)})


async def publish_part(number: int, to: Publisher, published: PublishedParts) -> None:
    """A decision, and at once what the controller did with it."""
    decision, told = part_of_now(number)
    published.at_s[decision.frame_id] = time.time()
    await to.send(DECISIONS.name, to_message(decision))
    await to.send(ACKS.name, to_message(told))


async def publish_at(
    rate_per_s: float, count: int, to: Publisher, published: PublishedParts, first: int = 0
) -> None:
    """So many parts at a steady rate; one that takes long does not hold the next one up."""
    loop, sending = asyncio.get_running_loop(), set[asyncio.Task[None]]()
    begun = loop.time()
    for nth in range(count):
        await asyncio.sleep(max(0.0, begun + nth / rate_per_s - loop.time()))
        sending.add(asyncio.create_task(publish_part(first + nth, to, published)))
    await asyncio.gather(*sending)


@cache
def picture() -> bytes:
    """A photograph of nothing, 256 pixels square."""
    drawn = np.full((256, 256, 3), 150, np.uint8)
    cv2.circle(drawn, (24, 24), 12, (70, 70, 90), -1)
    return cv2.imencode(".jpg", drawn)[1].tobytes()


async def record_parts(
    count: int, to: Publisher, history: PostgresHistoryWriter, store: ImageStore
) -> list[UUID]:
    """Parts on Kafka and in the history, with pictures of those that were stopped.

    Returns those that were stopped, then the others."""
    made = [part_of_now(number) for number in range(count)]
    await history.add_decisions([decision for decision, _ in made])
    await history.add_acknowledgements([told for _, told in made])
    odd = [d for d, _ in made if d.inspection is not None and d.inspection.anomalous]
    await _keep_pictures(odd, history, store)
    for decision, told in made:
        await to.send(DECISIONS.name, to_message(decision))
        await to.send(ACKS.name, to_message(told))
    return [d.frame_id for d in odd] + [d.frame_id for d, _ in made if d not in odd]


async def record_stopped(
    held: Sequence[Decision], history: PostgresHistoryWriter, store: ImageStore
) -> None:
    """Decisions in the history alone, each with a picture."""
    await history.add_decisions(held)
    await _keep_pictures(held, history, store)


async def _keep_pictures(
    decisions: Sequence[Decision], history: PostgresHistoryWriter, store: ImageStore
) -> None:
    await history.add_anomalies([_kept(decision) for decision in decisions])
    for decision in decisions:
        await store.put(image_key(decision.frame_id), picture(), "image/jpeg")


def _kept(decision: Decision) -> Anomaly:
    shared = {n: getattr(decision, n) for n in Frame.model_fields.keys() & Decision.model_fields}
    digest = hashlib.sha256(picture()).hexdigest()
    kind = {"content_type": "image/jpeg", "size_bytes": len(picture()), "sha256": digest}
    assert decision.inspection is not None
    return Anomaly(frame=Frame(**{**shared, **kind}), inspection=decision.inspection)
