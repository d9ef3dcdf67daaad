"""What a live camera has shown counts, however often it was opened since."""

import asyncio

import cv2
import numpy as np
import pytest

from connectors.cameras.checked import CheckedCamera
from connectors.cameras.supervised import SupervisedCamera
from connectors.errors import CaptureError
from streams.ports import Picture, Trigger
from tests.connectors.test_cameras import trigger
from tests.waiting import until


class Frozen:
    """A driver that hands out the same buffers in turn, before and after it was opened anew."""

    def __init__(self, buffers: int) -> None:
        draw = np.random.default_rng(buffers)
        self.pictures = [
            cv2.imencode(".png", draw.integers(20, 200, (32, 32), np.uint8))[1].tobytes()
            for _ in range(buffers)
        ]
        self.captures = self.openings = 0

    async def open(self) -> None:
        self.openings += 1

    async def close(self) -> None: ...

    async def capture(self, trigger: Trigger) -> Picture:
        self.captures += 1
        data = self.pictures[(self.captures - 1) % len(self.pictures)]
        return Picture(data, "image/png", f"{trigger.trigger_seq}.png")


@pytest.mark.asyncio
@pytest.mark.parametrize("buffers", [1, 4])
async def test_a_frozen_camera_gives_no_part_its_old_picture_after_it_was_opened_again(
    buffers: int,
) -> None:
    frozen, told = Frozen(buffers), list[bool]()
    camera = SupervisedCamera(CheckedCamera(frozen), 5, told.append)
    running = asyncio.ensure_future(camera.run())
    await until(lambda: told == [False])
    for number in range(buffers):
        await camera.capture(trigger(number + 1))
    for opened in (2, 3):
        for number in range(3):
            with pytest.raises(CaptureError, match="the same bytes as before"):
                await camera.capture(trigger(10 * opened + number))
        await until(lambda opened=opened: frozen.openings == opened and told[-1] is False)
    running.cancel()
