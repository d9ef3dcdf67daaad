"""A live camera whose pictures are looked at before anybody judges the part by them."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from connectors.cameras.adjustable import Feature, adjusted
from connectors.cameras.health import PictureFigures, fault_of_picture, figures_of
from connectors.cameras.live import Loses
from connectors.errors import CaptureError
from streams.ports import Camera, Picture, Trigger


@dataclass(eq=False)
class CheckedCamera:
    """``Camera`` that refuses a picture that is none: the same bytes twice, black, saturated, of
    another size than before.
    """

    inner: Camera

    def __post_init__(self) -> None:
        self._before = b""
        self._first: PictureFigures | None = None

    async def open(self) -> None:
        self._before, self._first = b"", None
        await self.inner.open()

    async def capture(self, trigger: Trigger) -> Picture:
        picture = await self.inner.capture(trigger)
        if picture.data == self._before:
            raise CaptureError(
                "camera: the same bytes as before, it is frozen or shows no new part"
            )
        self._before = picture.data
        found = await asyncio.to_thread(_figures, picture.data)
        if found is None:  # what is no picture is the decoder's to refuse, with its reason
            return picture
        if fault := fault_of_picture(found, self._first):
            raise CaptureError(f"camera: {fault}")
        self._first = self._first or found
        return picture

    async def close(self) -> None:
        await self.inner.close()

    async def adjust(self, features: Mapping[str, Feature]) -> None:
        """As ``inner``; the next picture is not compared with those before."""
        await adjusted(self.inner, features)
        self._before, self._first = b"", None

    async def lost(self) -> str:
        """As ``inner`` finds out; one that cannot is never lost by itself."""
        if isinstance(self.inner, Loses):
            return await self.inner.lost()
        await asyncio.Event().wait()
        raise AssertionError


def _figures(data: bytes) -> PictureFigures | None:
    import cv2

    try:
        raw = np.frombuffer(data, np.uint8)
        kind = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_GRAYSCALE
        pixels = cv2.imdecode(raw, kind)
    except cv2.error:
        return None
    if pixels is None or pixels.ndim != 2:
        return None
    if pixels.dtype == np.uint16:
        return figures_of(_full_range(np.asarray(pixels, np.uint16)))
    return figures_of(np.asarray(pixels, np.uint8))


def _full_range(
    pixels: "np.ndarray[tuple[int, ...], np.dtype[np.uint16]]",
) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint16]]":
    """Pixels of 10 to 16 bits, stretched by the fewest of 10, 12, 14 or 16 that hold them."""
    most = int(pixels.max())
    bits = next(depth for depth in (10, 12, 14, 16) if most < 1 << depth)
    stretched: np.ndarray[tuple[int, ...], np.dtype[np.uint16]] = pixels << np.uint16(16 - bits)
    return stretched
