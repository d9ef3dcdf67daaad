"""What record keeps of an event: pure."""

from dataclasses import dataclass

from streams.codes import Stage
from streams.envelope import from_message
from streams.events import Anomaly, DeadLetter, Event, Frame, Region
from streams.ids import dead_letter_key, image_key, mask_key
from streams.kafka.delivery import Delivery
from streams.topics import (
    ACKS,
    ALERTS,
    ANOMALIES,
    CHANGEOVERS,
    DEAD,
    DECISIONS,
    REVIEWS,
    SHOTS,
    Topic,
)

RECORDED: tuple[Topic, ...] = (
    *(ANOMALIES, DECISIONS, SHOTS, ACKS, REVIEWS),
    *(ALERTS, CHANGEOVERS, DEAD),
)
"""The topics that record reads; never the wide ``andon.frames``."""
WITH_OBJECTS: frozenset[str] = frozenset({ANOMALIES.name, DEAD.name})
"""Names of those whose events wait for the object store; the others must not wait for them."""
_MODELS: dict[str, type[Event]] = {topic.name: topic.event for topic in RECORDED}


@dataclass(frozen=True)
class StoredObject:
    """One object to put. Exactly one of ``body``, ``copy_of`` and ``region`` is set."""

    key: str
    content_type: str
    body: bytes | None = None
    copy_of: Frame | None = None
    """Its picture is an object that the gateway stored: it was too large for Kafka."""
    region: Region | None = None
    """The region that is to be stored as a PNG mask."""


@dataclass(frozen=True)
class StoredEvent:
    """One event with the objects that must be stored before its row."""

    topic: str
    event: Event
    objects: tuple[StoredObject, ...] = ()


def recorded(delivery: Delivery) -> StoredEvent:
    """Decode one delivery of a recorded topic.

    Raises:
        EventError: it does not validate.
    """
    event = from_message(_MODELS[delivery.topic], delivery.value, delivery.headers)
    return StoredEvent(delivery.topic, event, tuple(_objects(event, delivery.value)))


def letter_object_key(letter: DeadLetter) -> str:
    """Where the bytes of a letter are kept: a picture that the camera's check refused, and that no
    expert will ever see, under the key of its frame's picture.
    """
    if letter.stage is Stage.CAPTURE and letter.frame_id is not None:
        return image_key(letter.frame_id)
    return dead_letter_key(letter.letter_id)


def _objects(event: Event, value: bytes) -> list[StoredObject]:
    if isinstance(event, DeadLetter):
        kind = "application/octet-stream"
        if event.stage is Stage.CAPTURE:
            kind = event.original_headers.get("content-type", kind)
        return [StoredObject(letter_object_key(event), kind, body=value)] if value else []
    if not isinstance(event, Anomaly):
        return []
    frame, region = event.frame, event.inspection.region
    key = image_key(frame.frame_id)
    if frame.dataref is None:
        objects = [StoredObject(key, frame.content_type, body=value)]
    else:
        objects = [StoredObject(key, frame.content_type, copy_of=frame)]
    if region is not None:
        objects.append(StoredObject(mask_key(frame.frame_id), "image/png", region=region))
    return objects
