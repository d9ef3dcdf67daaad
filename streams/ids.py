"""A frame's id, minted once in the gateway's journal, and the object keys that derive from it."""

import hashlib
from datetime import UTC, datetime
from uuid import UUID

import uuid_utils

FRAMES_PREFIX = "frames/"
"""Pictures as captured, too large for Kafka: written by the gateway alone."""
INSPECTIONS_PREFIX = "inspections/"
"""Pictures and masks that the history keeps."""
DEAD_PREFIX = "dead/"
"""Original bytes of dead letters."""


def new_frame_id() -> UUID:
    """A UUIDv7 (RFC 9562): sorts by the time it was minted.

    >>> first, second = new_frame_id(), new_frame_id()
    >>> first < second, first.version
    (True, 7)
    """
    return UUID(str(uuid_utils.uuid7()))


def minted_at(frame_id: UUID) -> datetime:
    """The UTC time inside a UUIDv7, millisecond resolution."""
    return datetime.fromtimestamp((frame_id.int >> 80) / 1000, tz=UTC)


def audit_draw(part: UUID) -> float:
    """A number in [0, 1) that nobody chooses: below the audit share, the part is in the sample.

    The first six bytes of the SHA-256 of the part's frame id; the history's SQL function of the
    same name gives the same number.

    >>> round(audit_draw(UUID("019ac000-0000-7000-8000-000000000000")), 6)
    0.557975
    """
    return int.from_bytes(hashlib.sha256(part.bytes).digest()[:6], "big") / 2.0**48


def frame_key(frame_id: UUID) -> str:
    """The picture as captured, written by the gateway when it exceeds the inline limit."""
    return f"{FRAMES_PREFIX}{_folder(frame_id)}"


def is_frame_key(key: str) -> bool:
    """Whether an object's key is below the frames' prefix, wherever a server would look.

    >>> [is_frame_key(key) for key in ("frames/2025/11/26/x", "frames/../dead/1", "dead/1")]
    [True, False, False]
    """
    steps = key.removeprefix(FRAMES_PREFIX).replace("\\", "/").split("/")
    return key.startswith(FRAMES_PREFIX) and not {"", ".", ".."} & set(steps) and key.isprintable()


def image_key(frame_id: UUID) -> str:
    """The picture as captured, kept by record.

    >>> image_key(UUID("019ac000-0000-7000-8000-000000000000"))
    'inspections/2025/11/26/019ac000-0000-7000-8000-000000000000/image'
    """
    return f"{INSPECTIONS_PREFIX}{_folder(frame_id)}/image"


def mask_key(frame_id: UUID) -> str:
    """The odd region as an 8-bit PNG (255 inside), at mask resolution."""
    return f"{INSPECTIONS_PREFIX}{_folder(frame_id)}/mask.png"


def dead_letter_key(letter_id: UUID) -> str:
    """The original bytes of a dead letter."""
    return f"{DEAD_PREFIX}{letter_id}"


def _folder(frame_id: UUID) -> str:
    """Day and id: listings stay small, retention can delete by prefix."""
    return f"{minted_at(frame_id):%Y/%m/%d}/{frame_id}"
