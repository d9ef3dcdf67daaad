"""Identities: a frame's is minted once, in the gateway's journal; a decision's derives from it."""

from datetime import UTC, datetime
from uuid import UUID, uuid5

import uuid_utils

from streams.codes import DecisionSource

_DECISION_NAMESPACE = UUID("6b9f1d5e-4a8e-5c0f-9a53-0d1f3f6a7c11")


def new_frame_id() -> UUID:
    """A UUIDv7 (RFC 9562): sorts by the time it was minted.

    >>> first, second = new_frame_id(), new_frame_id()
    >>> first < second, first.version
    (True, 7)
    """
    return UUID(str(uuid_utils.uuid7()))


def decision_id(frame_id: UUID, source: DecisionSource) -> UUID:
    """UUIDv5 of frame and source: redelivery repeats it, a late answer has one of its own."""
    return uuid5(_DECISION_NAMESPACE, f"{frame_id}/{source.value}")


def minted_at(frame_id: UUID) -> datetime:
    """The UTC time inside a UUIDv7, millisecond resolution."""
    return datetime.fromtimestamp((frame_id.int >> 80) / 1000, tz=UTC)
