"""A live camera whose pictures are looked at before anybody judges the part by them."""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from connectors.cameras.adjustable import Feature, adjusted
from connectors.cameras.health import PictureFigures, fault_of_picture
from connectors.cameras.live import Loses
from connectors.cameras.measuring import measured
from connectors.cameras.normals import ALL_PRODUCTS, NormalLimits
from connectors.errors import CaptureError
from streams.names import normal_form
from streams.ports import Camera, Picture, Trigger

_REMEMBERED = 32
"""Pictures whose bytes may not come again: a stuck driver hands out all of its buffers in turn."""


@dataclass(eq=False)
class CheckedCamera:
    """``Camera`` that refuses a picture that is none, and says why with the picture itself.

    What it compares with outlasts an opening: a camera that is frozen, or was reset to another
    size, gives the same after it. Other features, as of a recipe, begin anew.

    Args:
        inner: the camera.
        normals: limits of products, by ``PRODUCT/SHOT``, ``PRODUCT`` or ``*`` for all others.
        is_live: whether the same bytes twice, a black, a saturated or a picture of another size
            are refused; not of files, where they are what somebody wants to see.
    """

    inner: Camera
    normals: Mapping[str, NormalLimits] = field(default_factory=dict)
    is_live: bool = True

    def __post_init__(self) -> None:
        self._seen: deque[int] = deque(maxlen=_REMEMBERED)
        self._first: PictureFigures | None = None

    async def open(self) -> None:
        await self.inner.open()

    async def capture(self, trigger: Trigger) -> Picture:
        picture = await self.inner.capture(trigger)
        if self.is_live:
            known = hash(picture.data)
            if known in self._seen:
                raise CaptureError(
                    "camera: the same bytes as before, it is frozen or shows no new part "
                    "(one that plays pictures needs gateway.camera_checks=false)",
                    picture,
                )
            self._seen.append(known)
        found = await asyncio.to_thread(measured, picture.data)
        if found is None:  # what is no picture is the decoder's to refuse, with its reason
            return picture
        if fault := self._fault(found, trigger):
            raise CaptureError(f"camera: {fault}", picture)
        self._first = self._first or found
        return picture

    def _fault(self, found: PictureFigures, trigger: Trigger) -> str:
        if self.is_live and (fault := fault_of_picture(found, self._first)):
            return fault
        product = normal_form(trigger.product_id)
        names = (f"{product}/{trigger.shot}", product, ALL_PRODUCTS)
        limits = next((self.normals[name] for name in names if name in self.normals), None)
        return f"the picture is {fault}" if limits and (fault := limits.fault_of(found)) else ""

    async def close(self) -> None:
        await self.inner.close()

    async def adjust(self, features: Mapping[str, Feature]) -> None:
        """As ``inner``; the next picture is not compared with those before."""
        await adjusted(self.inner, features)
        self._seen.clear()
        self._first = None

    async def lost(self) -> str:
        """As ``inner`` finds out; one that cannot is never lost by itself."""
        if isinstance(self.inner, Loses):
            return await self.inner.lost()
        await asyncio.Event().wait()
        raise AssertionError
