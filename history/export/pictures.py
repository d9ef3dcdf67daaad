"""Parts with their kept picture and what is known of it: the label, and where it came from."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from history.records import FrameRecord
from streams.errors import UndecodableImageError
from streams.images.decoding import DecodedImage, decode
from streams.images.png import SIGNATURE
from streams.ports import ImageStore

Mask = npt.NDArray[np.bool_]
GOOD = "good"
UNNAMED = "unknown"


@dataclass(frozen=True)
class LabelledPart:
    """One part's picture as a data set holds it."""

    frame: FrameRecord
    label: str
    """``good``, or the class."""
    png: bytes
    """The picture as PNG, with its bit depth."""
    height: int
    width: int
    mask: Mask | None
    """The expert's region at the picture's size; None for a good part or without a region."""


def label_of(frame: FrameRecord) -> str:
    """What a data set says of a part: the latest review's word, else the decision's.

    A class that is itself called ``good`` is ``class-good``, and one without a name ``unknown``.
    """
    if frame.review is not None:
        is_good = frame.review.severity in ("normal", "negligible")
        name = frame.review.class_name
    else:
        is_good, name = frame.action == "pass", frame.class_name
    if is_good:
        return GOOD
    return f"class-{GOOD}" if name == GOOD else name or UNNAMED


async def labelled_parts(
    frames: AsyncIterator[FrameRecord], store: ImageStore
) -> AsyncIterator[LabelledPart | None]:
    """Each part that has a readable picture; None for a part that has none.

    Raises:
        UnavailableError: the object store does not answer.
    """
    async for frame in frames:
        picture = await _kept(store, frame.image_key)
        label = label_of(frame)
        drawn = await _kept(store, frame.mask_key) if label != GOOD else None
        yield (
            None
            if picture is None
            else await asyncio.to_thread(_labelled, frame, label, picture, drawn)
        )


async def _kept(store: ImageStore, key: str | None) -> bytes | None:
    try:
        return await store.get(key) if key else None
    except KeyError:
        return None


def _labelled(
    frame: FrameRecord, label: str, picture: bytes, drawn: bytes | None
) -> LabelledPart | None:
    try:
        found = decode(picture)
    except UndecodableImageError:
        return None
    height, width = found.pixels.shape[:2]
    png = picture if picture.startswith(SIGNATURE) else _as_png(picture, found)
    mask = None
    if drawn is not None:
        coarse = cv2.imdecode(np.frombuffer(drawn, np.uint8), cv2.IMREAD_GRAYSCALE)
        if coarse is not None:
            full = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST)
            mask = full > 0
    return LabelledPart(frame, label, png, height, width, mask)


def _as_png(picture: bytes, found: DecodedImage) -> bytes:
    """As decoded; pixels of more than 8 bits keep them."""
    pixels = found.pixels[:, :, ::-1]
    if found.bits > 8:
        kept = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_UNCHANGED)
        pixels = pixels if kept is None else kept
    return bytes(cv2.imencode(".png", pixels)[1])
