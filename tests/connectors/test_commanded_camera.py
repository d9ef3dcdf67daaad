"""GenICam cameras that expose on command: each trigger its own frame, whatever comes late."""

import asyncio
from collections.abc import Mapping

import cv2
import numpy as np
import pytest

from connectors.cameras.adjustable import FeaturedCamera
from connectors.cameras.genicam import Feature, GenicamTriggered, RawImage
from connectors.cameras.supervised import SupervisedCamera
from connectors.errors import CaptureError
from streams.ports import Picture
from tests.connectors.test_cameras import trigger
from tests.waiting import until


class Commanded:
    """A camera that exposes on command, its first frame at opening; ``old`` frames wait in it."""

    name = "genicam:twin"

    def __init__(self, old: int = 0, deaf_after: int = 1000) -> None:
        self.queue = [self._image(255)] * old
        self.deaf_after = deaf_after
        self.exposed = self.incomplete = 0
        self.features: dict[str, Feature] = {}

    def _image(self, shade: int) -> RawImage:
        return RawImage(bytes([shade] * 16), 4, 4, "Mono8")

    def open(self, features: Mapping[str, Feature]) -> None:
        self.features = dict(features)

    def fetch(self, timeout_s: float) -> RawImage | None:
        return self.queue.pop(0) if self.queue else None

    def trigger(self) -> None:
        self.exposed += 1
        if self.exposed <= self.deaf_after:
            self.queue.append(self._image(self.exposed - 1))

    def clock_ns(self) -> int | None:
        return None

    def close(self) -> None: ...


SOFTWARE: dict[str, Feature] = {"TriggerMode": "On", "TriggerSource": "Software"}


@pytest.mark.asyncio
async def test_each_software_trigger_gets_its_own_frame_and_none_that_waited() -> None:
    device = Commanded(old=5)
    camera = GenicamTriggered(lambda: device, SOFTWARE, 5)
    await camera.open()
    assert device.features == SOFTWARE
    for number in range(1, 31):
        picture = await camera.capture(trigger(number))
        found = cv2.imdecode(np.frombuffer(picture.data, np.uint8), cv2.IMREAD_UNCHANGED)
        assert found is not None
        assert int(found[0, 0]) == number
    await camera.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("device", "why"),
    [
        (Commanded(deaf_after=1), "no frame in 0.1 s of a trigger"),
        (Commanded(old=200), "frames that nobody triggered"),
    ],
)
async def test_a_trigger_without_its_frame_is_no_picture(device: Commanded, why: str) -> None:
    camera = GenicamTriggered(lambda: device, SOFTWARE, 0.1)
    await camera.open()
    with pytest.raises(CaptureError, match=why):
        await camera.capture(trigger(1))
    await camera.close()


class Slow(Commanded):
    """The frame of the trigger number ``late`` comes with the next one's; none comes at once."""

    def __init__(self, late: int) -> None:
        super().__init__()
        self.late = late

    def fetch(self, timeout_s: float) -> RawImage | None:
        is_held = self.exposed == self.late or timeout_s < 0.01
        return None if is_held else super().fetch(timeout_s)


def shade(picture: Picture) -> int:
    found = cv2.imdecode(np.frombuffer(picture.data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert found is not None
    return int(found[0, 0])


@pytest.mark.asyncio
async def test_a_frame_that_came_too_late_is_never_the_next_parts() -> None:
    camera = GenicamTriggered(lambda: Slow(late=3), SOFTWARE, 0.1)
    await camera.open()
    assert shade(await camera.capture(trigger(1))) == 1
    for number, why in ((2, "no frame in"), (3, "is opened again"), (4, "is opened again")):
        with pytest.raises(CaptureError, match=why):
            await camera.capture(trigger(number))
    assert "no frame in 0.1 s of a trigger" in await camera.lost()
    await camera.close()


class Lossy(Commanded):
    """The frame of the trigger number 3 loses packets."""

    def fetch(self, timeout_s: float) -> RawImage | None:
        found = super().fetch(timeout_s)
        if found is not None and self.exposed == 3:
            self.incomplete += 1
            return None
        return found


@pytest.mark.asyncio
async def test_a_frame_that_lost_packets_answers_its_trigger_and_is_no_picture() -> None:
    camera = GenicamTriggered(lambda: Lossy(), SOFTWARE, 0.1)
    await camera.open()
    assert shade(await camera.capture(trigger(1))) == 1
    with pytest.raises(CaptureError, match="lost packets"):
        await camera.capture(trigger(2))
    assert shade(await camera.capture(trigger(3))) == 3
    await camera.close()


@pytest.mark.asyncio
async def test_a_camera_that_left_a_trigger_without_its_frame_is_opened_again_at_once() -> None:
    late, faults = (2, 0, 2, 0), list[bool]()
    devices = iter([Slow(late=number) for number in late])
    made = FeaturedCamera(
        lambda wanted: GenicamTriggered(lambda: next(devices), wanted, 0.1), SOFTWARE
    )
    camera = SupervisedCamera(made, 5.0, faults.append)
    running = asyncio.create_task(camera.run())
    await until(lambda: faults == [False])
    with pytest.raises(CaptureError, match="no frame in"):
        await camera.capture(trigger(1))
    await until(lambda: faults == [False, True, False])
    assert shade(await camera.capture(trigger(2))) == 1, "the first behind the opening's own"
    await camera.adjust({"Gain": 2.0})  # by a recipe: another camera object
    with pytest.raises(CaptureError, match="no frame in"):
        await camera.capture(trigger(3))
    await until(lambda: faults == [False, True, False, True, False])
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await camera.close()


@pytest.mark.asyncio
async def test_a_frame_that_came_too_late_at_the_opening_is_not_the_first_parts() -> None:
    device = Slow(late=1)
    camera = GenicamTriggered(lambda: device, SOFTWARE, 0.1)
    await camera.open()
    assert device.exposed == 2
    assert shade(await camera.capture(trigger(1))) == 2
    await camera.close()


@pytest.mark.asyncio
async def test_a_camera_that_answers_no_trigger_does_not_open() -> None:
    camera = GenicamTriggered(lambda: Commanded(deaf_after=0), SOFTWARE, 0.1)
    with pytest.raises(CaptureError, match="answers no software trigger; check TriggerSelector"):
        await camera.open()
