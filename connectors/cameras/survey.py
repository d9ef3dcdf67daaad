"""What a camera does when it is asked, before a line depends on it."""

import asyncio
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from connectors.cameras.checked import CheckedCamera
from connectors.cameras.live import LiveCamera
from connectors.errors import CaptureError
from streams.errors import UndecodableImageError
from streams.images.decoding import decode
from streams.ports import Camera, Trigger


@dataclass(frozen=True)
class CameraSurvey:
    """Figures of some captures, one after another."""

    captures: int
    failed: int
    why: str
    """Of the first capture that failed, or gave a picture that no expert can read."""
    open_ms: float
    frames_per_s: float | None
    """Frames that a live source gave; None: the source gives a picture only when it is asked."""
    capture_ms_p50: float
    capture_ms_max: float
    exposed_by: str
    """What proves that a picture is new: ``device``, ``stream``, ``arrival``, ``trigger``."""
    exposed_after_ms_min: float | None
    """The least time from a request to the earliest possible exposure; None: not known."""
    bytes_max: int
    content_type: str


async def survey(camera: Camera, captures: int, on_capture: Callable[[int], None]) -> CameraSurvey:
    """Open the camera, capture, and close it again.

    Raises:
        CaptureError: it cannot be opened.
    """
    started = time.monotonic()
    await camera.open()
    opened = time.monotonic()
    times, after, whys, sizes = [], [], [], [0]
    exposed_by = kind = ""
    try:
        for number in range(1, captures + 1):
            asked = time.monotonic()
            try:
                picture = await camera.capture(Trigger(0, number, f"check-{number}", "", "", 0, 0))
                took = time.monotonic() - asked
                await asyncio.to_thread(decode, picture.data)
            except (CaptureError, UndecodableImageError) as error:
                whys.append(str(error))
            else:
                times.append(1000 * took)
                sizes.append(len(picture.data))
                kind, exposed_by = picture.content_type, picture.metadata.get("exposed_by", "")
                if "exposed_after_ms" in picture.metadata:
                    after.append(float(picture.metadata["exposed_after_ms"]))
            on_capture(number)
        rate = _rate(camera, time.monotonic() - opened)
    finally:
        await camera.close()
    return CameraSurvey(
        captures, len(whys), next(iter(whys), ""), round(1000 * (opened - started), 1), rate,
        round(statistics.median(times or [0]), 1), round(max(times, default=0), 1),
        exposed_by, min(after, default=None), max(sizes), kind,
    )  # fmt: skip


def _rate(camera: Camera, seconds: float) -> float | None:
    inner = camera.inner if isinstance(camera, CheckedCamera) else camera
    if not isinstance(inner, LiveCamera) or seconds <= 0:
        return None
    return round((inner.frames - 1) / seconds, 1)
