"""Object keys, derivable from a frame id alone: nobody needs to look one up."""

from uuid import UUID

from streams.ids import minted_at


def _folder(frame_id: UUID) -> str:
    """Day and id: listings stay small, retention can delete by prefix."""
    return f"{minted_at(frame_id):%Y/%m/%d}/{frame_id}"


def frame_key(frame_id: UUID) -> str:
    """The picture as captured, written by the gateway when it exceeds the inline limit."""
    return f"frames/{_folder(frame_id)}"


def image_key(frame_id: UUID) -> str:
    """The picture as captured, kept by record.

    >>> image_key(UUID("019ac000-0000-7000-8000-000000000000"))
    'inspections/2025/11/26/019ac000-0000-7000-8000-000000000000/image'
    """
    return f"inspections/{_folder(frame_id)}/image"


def mask_key(frame_id: UUID) -> str:
    """The odd region as an 8-bit PNG (255 inside), at mask resolution."""
    return f"inspections/{_folder(frame_id)}/mask.png"


def dead_letter_key(letter_id: UUID) -> str:
    """The original bytes of a dead letter."""
    return f"dead/{letter_id}"
