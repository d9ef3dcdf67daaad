"""The twin of ``streams.ports.Camera``: it exposes when it is let go and fails when told to."""

import asyncio

import cv2
import numpy as np

from connectors.errors import CaptureError
from streams.ports import Picture, Trigger


class InMemoryCamera:
    """``Camera`` whose picture is one grey square; an exposure waits for ``go``."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.go.set()
        self.fail = False

    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def capture(self, trigger: Trigger) -> Picture:
        if self.fail:
            raise CaptureError("lens cap")
        await self.go.wait()
        encoded = cv2.imencode(".png", np.full((4, 4), trigger.trigger_seq % 256, np.uint8))[1]
        return Picture(encoded.tobytes(), "image/png", f"{trigger.trigger_seq}.png")
