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
        self.refused: Picture | None = None
        """A picture that goes with the failure."""
        self._exposing = 0
        self.most_at_once = 0
        """Most exposures that were under way together."""

    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def capture(self, trigger: Trigger) -> Picture:
        if self.fail:
            raise CaptureError("lens cap", self.refused)
        self._exposing += 1
        self.most_at_once = max(self.most_at_once, self._exposing)
        await asyncio.sleep(0)
        await self.go.wait()
        self._exposing -= 1
        encoded = cv2.imencode(".png", np.full((4, 4), trigger.trigger_seq % 256, np.uint8))[1]
        return Picture(encoded.tobytes(), "image/png", f"{trigger.trigger_seq}.png")
