"""GenICam over loopback: every frame as the camera drew it, and one for each software trigger."""

import asyncio
import hashlib
from dataclasses import dataclass

import cv2
import numpy as np

from connectors.cameras import open_camera
from connectors.cameras.aravis import AravisDevice
from connectors.errors import CaptureError
from lab.cameras.fake_gige import FEATURES, SERIAL, FakeGigECamera, pattern
from streams.ports import Trigger


@dataclass(frozen=True)
class GigEFound:
    """What came from the fake GigE camera."""

    frames: int
    equal: int
    """Frames whose bytes have the hash of the pattern that the camera draws, in their order."""
    incomplete: int
    """Frames that lost packets; the library gives none of them out as a picture."""
    triggers: int
    answered: int
    """Software triggers whose picture is a pattern of the camera and of no trigger before."""


def measure_gige(frames: int = 100, triggers: int = 30) -> GigEFound:
    """Free-running frames, then software triggers.

    Raises:
        CaptureError: the camera cannot be played or opened.
    """
    with FakeGigECamera():
        equal, incomplete = _equal(frames)
        return GigEFound(frames, equal, incomplete, triggers, asyncio.run(_answered(triggers)))


def _equal(frames: int) -> tuple[int, int]:
    device = AravisDevice(SERIAL)
    device.open({**FEATURES, "TriggerMode": "Off", "AcquisitionFrameRate": 50})
    equal, before = 0, -1
    try:
        for _ in range(frames):
            image = device.fetch(2.0)
            if image is None:
                continue
            number = image.data[0]
            drawn = pattern(number, image.width, image.height).tobytes()
            equal += _digest(drawn) == _digest(image.data) and number != before
            before = number
    finally:
        device.close()
    return equal, device.incomplete


async def _answered(triggers: int) -> int:
    software = {"TriggerMode": "On", "TriggerSource": "Software"}
    camera = open_camera(f"aravis:{SERIAL}", 2.0, features={**FEATURES, **software})
    await camera.open()
    answered, before = 0, -1
    for number in range(1, triggers + 1):
        try:
            picture = await camera.capture(Trigger(1, number, f"part-{number}", "", "", 0, 1000))
        except CaptureError:
            continue
        found = cv2.imdecode(np.frombuffer(picture.data, np.uint8), cv2.IMREAD_UNCHANGED)
        if found is not None:
            height, width = found.shape[:2]
            shade = int(found[0, 0])
            answered += np.array_equal(found, pattern(shade, width, height)) and shade != before
            before = shade
    await camera.close()
    return answered


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
