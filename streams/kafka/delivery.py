"""One record as a role receives it, and the dead letter it may become. Pure."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid5

from streams.codes import Stage
from streams.envelope import Message, header_dict, to_message
from streams.events import DeadLetter

_LETTERS = UUID("0c2f8c57-5d0b-5a86-9b53-3f8e7a2d4d10")
_SALVAGED = UUID("d2a1c1f5-0b9a-5b7e-8a43-6a7d5a1d9e22")


@dataclass(frozen=True)
class Delivery:
    """One Kafka record, with the worker's clocks at its arrival."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]]
    produced_s: float | None = None
    """The record's own timestamp, seconds since the epoch."""
    arrived_s: float = field(default_factory=time.time)
    generation: int = 0
    """The consumer group's when the record was fetched: another one, another assignment."""


def letter_id(topic: str, partition: int, offset: int, stage: Stage) -> UUID:
    """UUIDv5 of where the message stands and who could not process it: redelivery repeats it."""
    return uuid5(_LETTERS, f"{topic}/{partition}/{offset}/{stage.value}")


def salvaged_frame_id(topic: str, partition: int, offset: int) -> UUID:
    """The identity of a frame whose own cannot be read; the same at every redelivery."""
    return uuid5(_SALVAGED, f"{topic}/{partition}/{offset}")


def dead_letter(
    delivery: Delivery,
    stage: Stage,
    error_type: str,
    error: str,
    now: datetime,
    frame_id: UUID | None = None,
) -> Message:
    """The message for ``andon.dead``: original bytes, headers, error and stage."""
    letter = DeadLetter(
        letter_id=letter_id(delivery.topic, delivery.partition, delivery.offset, stage),
        stage=stage,
        error_type=error_type[:512],
        error=error[:4096],
        topic=delivery.topic,
        partition=delivery.partition,
        offset=delivery.offset,
        original_key=delivery.key.decode("utf-8", "replace"),
        original_headers=header_dict(delivery.headers),
        frame_id=frame_id,
        failed_at=now,
    )
    return to_message(letter, delivery.value)
