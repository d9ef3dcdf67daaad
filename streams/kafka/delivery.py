"""One record as a role receives it, and the dead letter it may become. Pure."""

import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid5

from streams.codes import Stage
from streams.envelope import Message, header_dict, read_json, to_message
from streams.events import DeadLetter
from streams.masking import masked
from streams.topics import INLINE_LIMIT_BYTES

_KEPT_CHARACTERS = 128 << 10
"""Of all the original headers together; one is cut at an eighth of it."""
_KEPT_KEY = 512
_LETTERS = UUID("0c2f8c57-5d0b-5a86-9b53-3f8e7a2d4d10")
_SALVAGED = UUID("d2a1c1f5-0b9a-5b7e-8a43-6a7d5a1d9e22")


@dataclass(frozen=True)
class Delivery:
    """One Kafka record, with the time of its arrival."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]]
    produced_s: float | None = None
    """When its sender sent it, by the sender's clock, seconds since the epoch; None where the
    broker puts its own time in its place, and where it is no time."""
    arrived_s: float = field(default_factory=time.monotonic)
    """By this process's monotonic clock."""
    generation: int = 0
    """The consumer group's when the record was fetched: another one, another assignment."""


def _place(delivery: Delivery) -> str:
    """What redelivery repeats. A topic that is made anew counts its offsets from 0 again: when the
    message was sent tells it from the one that stood there before."""
    sent = "" if delivery.produced_s is None else f"/{delivery.produced_s:.3f}"
    return f"{delivery.topic}/{delivery.partition}/{delivery.offset}{sent}"


def letter_id(delivery: Delivery, stage: Stage) -> UUID:
    """UUIDv5 of which message it is and who could not process it: redelivery repeats it."""
    return uuid5(_LETTERS, f"{_place(delivery)}/{stage.value}")


def salvaged_frame_id(delivery: Delivery) -> UUID:
    """The identity of a frame whose own cannot be read; the same at every redelivery."""
    return uuid5(_SALVAGED, _place(delivery))


def dead_letter(
    delivery: Delivery,
    stage: Stage,
    error_type: str,
    error: str,
    now: datetime,
    frame_id: UUID | None = None,
) -> Message:
    """The message for ``andon.dead``: original bytes, headers, error and stage.

    However large the original was, the broker takes the letter: what is cut off, the error says.
    """
    letter = DeadLetter(
        letter_id=letter_id(delivery, stage),
        stage=stage,
        error_type=error_type[:512],
        error=masked(error)[:4096],
        topic=delivery.topic,
        partition=delivery.partition,
        offset=delivery.offset,
        original_key=delivery.key.decode("utf-8", "replace")[:_KEPT_KEY],
        original_headers=header_dict(delivery.headers),
        frame_id=frame_id,
        failed_at=now,
    )
    return _message(letter, delivery.value)


NEVER = -1
"""Partition and offset of a message that no broker took."""


def refused_letter(
    topic: str, message: Message, stage: Stage, error_type: str, error: str, now: datetime
) -> Message:
    """The letter for a message that the broker, or a store before it, refused for good.

    It has no position. Its identity derives from the event's own, so that it is one letter however
    often the message is tried.
    """
    headers = header_dict(message.headers)
    identity = headers.get("ce_id") or f"{zlib.crc32(message.value, zlib.crc32(message.key)):08x}"
    letter = DeadLetter(
        letter_id=uuid5(_LETTERS, f"{topic}/{identity}/{stage.value}"),
        stage=stage,
        error_type=error_type[:512],
        error=masked(error)[:4096],
        topic=topic,
        partition=NEVER,
        offset=NEVER,
        original_key=message.key.decode("utf-8", "replace")[:_KEPT_KEY],
        original_headers=headers,
        frame_id=_frame_of(headers, message.value),
        failed_at=now,
    )
    return _message(letter, message.value)


def _frame_of(headers: Mapping[str, str], value: bytes) -> UUID | None:
    """The frame that a message is about, where it says so in a header or in its JSON."""
    try:
        if "ce_frameid" in headers:
            return UUID(headers["ce_frameid"])
        body = read_json(value)
        return UUID(str(body["frame_id"])) if isinstance(body, dict) else None
    except (ValueError, KeyError):
        return None


def without_value(letter: Message) -> Message:
    """The letter alone, for a broker that does not take it with the original bytes."""
    headers = [(name, raw) for name, raw in letter.headers if name != "ce_iscut"]
    return Message(letter.key, b"", (*headers, ("ce_iscut", b"true")), letter.partition)


def _message(letter: DeadLetter, original: bytes) -> Message:
    """However large the original was, the broker takes the letter: the error says what is cut."""
    value = original[:INLINE_LIMIT_BYTES]
    headers, error = _kept(letter.original_headers), letter.error
    is_cut = len(value) < len(original) or headers != letter.original_headers
    if is_cut:
        error = f"{error[:3800]} (of {len(original)} bytes {len(value)} are kept, and the "
        error += f"first {_KEPT_CHARACTERS // 8} characters of each header)"
    changed = {"original_headers": headers, "error": error[:4096], "is_cut": is_cut}
    return to_message(letter.model_copy(update=changed), value)


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers as far as they fit into a letter beside a picture."""
    kept: dict[str, str] = {}
    room = _KEPT_CHARACTERS
    for name, text in headers.items():
        kept[name[:_KEPT_KEY]] = short = text[: min(room, _KEPT_CHARACTERS // 8)]
        room -= len(short) + len(name[:_KEPT_KEY])
        if room <= 0:
            break
    return kept
