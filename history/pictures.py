"""A frame's pictures as files: as captured, the mask, and the region drawn in red."""

import asyncio
from pathlib import Path
from uuid import UUID

import cv2
import numpy as np
from pydantic import ValidationError

from history.records import Story
from streams.errors import UndecodableImageError
from streams.events import Inspection, Region
from streams.images.decoding import decode
from streams.ports import ImageStore
from streams.regions import region_mask

_SUFFIX = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"BM": ".bmp", b"II*\x00": ".tif"}
_RED = (0, 0, 255)


async def save_pictures(story: Story, store: ImageStore, folder: Path) -> list[Path]:
    """Write what is kept of a part into ``folder``; of most normal frames nothing is kept.

    Returns:
        ``<frame>.png`` (or as captured), ``<frame>-mask.png``, ``<frame>-region.png`` for each
        shot; of a part with a single one, ``<frame>`` is the part's.

    Raises:
        UnavailableError: the object store does not answer.
    """
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    if not story.shots:
        return await _save(story, story.frame_id, (story.image_key, story.mask_key), store, folder)
    written: list[Path] = []
    for shot in story.shots:
        if shot.frame_id is not None:
            keys = shot.image_key, shot.mask_key
            written += await _save(story, shot.frame_id, keys, store, folder)
    return written


async def save_photographs(story: Story, store: ImageStore, folder: Path) -> list[Path]:
    """Write the photographs of a part into ``folder`` as they were captured, nothing drawn.

    Raises:
        UnavailableError: the object store does not answer.
    """
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    shots = [(shot.frame_id or story.frame_id, shot.image_key) for shot in story.shots]
    written: list[Path] = []
    for frame_id, key in shots or [(story.frame_id, story.image_key)]:
        image = await _get(store, key)
        if image is not None:
            written.append(await _write(_named(folder, frame_id, image), image))
    return written


async def _save(
    story: Story,
    frame_id: UUID,
    keys: tuple[str | None, str | None],
    store: ImageStore,
    folder: Path,
) -> list[Path]:
    written: list[Path] = []
    image, mask = [await _get(store, key) for key in keys]
    if image is not None:
        written.append(await _write(_named(folder, frame_id, image), image))
    if mask is not None:
        written.append(await _write(folder / f"{frame_id}-mask.png", mask))
    region = region_of(story, frame_id)
    if image is not None and region is not None:
        try:
            drawn = await asyncio.to_thread(outlined, image, region)
        except UndecodableImageError:
            return written
        written.append(await _write(folder / f"{frame_id}-region.png", drawn))
    return written


def region_of(story: Story, frame_id: UUID | None = None) -> Region | None:
    """The odd region of a frame, from its anomaly's inspection, its verdict's or the decision's.

    Args:
        story: of the part.
        frame_id: one of its shots; the frame whose picture is shown without.
    """
    wanted = str(frame_id or story.shown or story.frame_id)
    events = [*story.anomalies, *story.verdicts, *(() if story.shots else story.decisions)]
    for event in events:
        frame = event.get("frame")
        of = frame.get("frame_id") if isinstance(frame, dict) else event.get("frame_id")
        if story.shots and of != wanted:
            continue
        try:
            inspection = Inspection.model_validate(event.get("inspection"))
        except ValidationError:
            continue
        if inspection.region is not None:
            return inspection.region
    return None


def outlined(image: bytes, region: Region) -> bytes:
    """The picture as an 8-bit colour PNG with the region's outline in red.

    Raises:
        UndecodableImageError: the bytes are no picture, or the region is no region.
    """
    try:
        pixels = np.ascontiguousarray(decode(image).pixels[:, :, ::-1])
        height, width = pixels.shape[:2]
        mask = region_mask(region).astype(np.uint8)
        full = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)
    except (cv2.error, ValueError) as error:
        raise UndecodableImageError(f"no picture to draw on: {error}") from error
    contours, _ = cv2.findContours(full, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(pixels, contours, -1, _RED, max(1, round(max(height, width) / 256)))
    return bytes(cv2.imencode(".png", pixels)[1])


async def _get(store: ImageStore, key: str | None) -> bytes | None:
    try:
        return await store.get(key) if key else None
    except KeyError:
        return None


def _named(folder: Path, frame_id: UUID, image: bytes) -> Path:
    suffix = next((s for magic, s in _SUFFIX.items() if image.startswith(magic)), ".bin")
    return folder / f"{frame_id}{suffix}"


async def _write(path: Path, body: bytes) -> Path:
    await asyncio.to_thread(path.write_bytes, body)
    return path
