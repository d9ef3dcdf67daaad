"""GenICam cameras (GigE Vision, USB3 Vision): free-running, or triggered by software.

Those that are triggered by wire are in ``connectors.cameras.wired``.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Protocol, TypeVar

import numpy as np

from connectors.cameras.adjustable import Feature
from connectors.cameras.live import LiveFrame
from connectors.cameras.pixels import read_format, unpack
from connectors.errors import CaptureError
from streams.images.png import with_white
from streams.ports import Picture, Trigger

T = TypeVar("T")
_FIRST = 4
"""So many triggers are tried when a camera is opened."""
_BAYER = {"BayerRG": "RGGB", "BayerGR": "GRBG", "BayerGB": "GBRG", "BayerBG": "BGGR"}
CLOCKS = (
    ("TimestampLatch", "TimestampLatchValue", ""),
    ("GevTimestampControlLatch", "GevTimestampValue", "GevTimestampTickFrequency"),
)
"""How a camera's clock is latched, where it is read, and its frequency where that is not 1 GHz."""
_QUEUED = 64
"""Most old frames that are thrown away before a software trigger."""


@dataclass(frozen=True)
class RawImage:
    """What a camera sent."""

    data: bytes
    width: int
    height: int
    format: str
    stamp_ns: int = 0
    """When it was exposed by the camera's clock, ns; 0: it did not say."""


class GenicamDevice(Protocol):
    """One opened camera; every call comes from one thread, and may block within its time-out."""

    name: str
    incomplete: int
    """Frames that came and lost packets; none of them is a picture."""

    def open(self, features: Mapping[str, Feature]) -> None:
        """Connect, set the features in their order, read them back and acquire."""
        ...

    def fetch(self, timeout_s: float) -> RawImage | None:
        """The next whole frame in order; None: none came in time, and none is waiting."""
        ...

    def trigger(self) -> None:
        """Execute ``TriggerSoftware``."""
        ...

    def clock_ns(self) -> int | None:
        """The camera's clock now, in the unit of the frames' time stamps; None: not to be read."""
        ...

    def close(self) -> None: ...


def is_as_set(found: Feature, value: Feature) -> bool:
    """Whether a feature that was read back has the value that was set; numbers within 5 %.

    >>> is_as_set(4990.0, 5000), is_as_set("Mono8", "Mono12")
    (True, False)
    """
    if isinstance(value, int | float) and isinstance(found, int | float):
        return abs(found - value) <= 0.05 * abs(value)
    return found == value


def encode_png(image: RawImage) -> tuple[bytes, str]:
    """A PNG of 8 bits, or of 16 bits that hold the camera's values as they are; Bayer in colours.

    One of 16 bits states its white, so that every reader knows how many of them count.
    """
    import cv2

    form = read_format(image.format)
    pixels = unpack(image.data, image.width, image.height, form)
    if form.kind in _BAYER:
        pixels = cv2.cvtColor(pixels, getattr(cv2, f"COLOR_Bayer{_BAYER[form.kind]}2BGR"))
    elif form.kind.startswith("RGB"):
        pixels = pixels[:, :, 2::-1]
    elif form.kind == "BGRa":
        pixels = pixels[:, :, :3]
    done, data = cv2.imencode(
        ".png", np.ascontiguousarray(pixels), [cv2.IMWRITE_PNG_COMPRESSION, 1]
    )
    if not done:
        raise CaptureError("the picture could not be encoded")
    encoded = bytes(data.tobytes())
    return encoded if form.bits == 8 else with_white(encoded, (1 << form.bits) - 1), "image/png"


class Triggered(StrEnum):
    """What begins an exposure of a GenICam camera."""

    NOT = "free-running"
    BY_SOFTWARE = "software"
    BY_WIRE = "wire"


def triggered_by(features: Mapping[str, Feature]) -> Triggered:
    """What the features ask for. Raises ``CaptureError`` for a trigger without a source.

    >>> triggered_by({"TriggerMode": "On", "TriggerSource": "Line1"}).value
    'wire'
    """
    if features.get("TriggerMode") != "On":
        return Triggered.NOT
    source = features.get("TriggerSource")
    if not source:
        raise CaptureError(
            "TriggerMode is On without a TriggerSource; set Software, or the line that the light "
            "barrier is wired to, such as Line1"
        )
    return Triggered.BY_SOFTWARE if source == "Software" else Triggered.BY_WIRE


class GenicamSource:
    """``LiveSource`` over a free-running camera.

    A frame counts from the last moment at which no frame was waiting, less the camera's delay.
    """

    def __init__(
        self, device: GenicamDevice, features: Mapping[str, Feature], latency_s: float
    ) -> None:
        self.name = device.name
        self._device = device
        self._features = features
        self._latency = latency_s
        self._closed = False

    def open(self) -> None:
        self._device.open(self._features)

    def read(self) -> LiveFrame:
        empty_at: float | None = None
        while not self._closed:
            before = time.monotonic()
            image = self._device.fetch(0.005)
            if image is not None:
                began = None if empty_at is None else empty_at - self._latency
                return LiveFrame(began, partial(encode_png, image))
            empty_at = before
        raise CaptureError(f"{self.name}: closed")

    def close(self) -> None:
        self._device.close()

    def abort(self) -> None:
        self._closed = True


class GenicamTriggered:
    """``Camera`` whose exposure is commanded: throw away what waits, trigger, take what comes.

    A trigger without its frame in time loses the camera: the frame may still come, and would be
    taken for that of the next trigger.

    Args:
        make: a new device for every opening.
        features: of the camera, by their names; ``TriggerMode`` is On.
        timeout_s: deadline of one exposure, seconds.
    """

    def __init__(
        self, make: Callable[[], GenicamDevice], features: Mapping[str, Feature], timeout_s: float
    ) -> None:
        self._make = make
        self._features = features
        self._timeout = timeout_s
        self._device: GenicamDevice | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._unanswered = ""
        """The trigger whose frame did not come in time, in words."""
        self._lost = asyncio.Event()

    async def open(self) -> None:
        await self.close()
        self._unanswered, self._lost = "", asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="camera")
        self._device = device = self._make()
        await self._call(partial(self._opened, device), 10 * self._timeout)

    async def capture(self, trigger: Trigger) -> Picture:
        lost = partial(asyncio.get_running_loop().call_soon_threadsafe, self._lost.set)
        data, kind = await self._call(partial(self._expose, lost), self._timeout)
        return Picture(data, kind, f"{trigger.trigger_seq:06d}.png", {"exposed_by": "trigger"})

    async def lost(self) -> str:
        """Wait until a trigger was left without its frame, or it was closed; the reason."""
        while True:
            lost = self._lost
            await lost.wait()
            if lost is self._lost:  # it was not opened again meanwhile
                return self._unanswered or "not open"

    async def close(self) -> None:
        self._lost.set()
        thread, self._thread = self._thread, None
        device, self._device = self._device, None
        if thread is not None:
            if device is not None:
                thread.submit(device.close)
            thread.shutdown(wait=False)

    def _opened(self, device: GenicamDevice) -> None:
        """Opened, and a first trigger was answered: some cameras are deaf while they begin."""
        device.open(self._features)
        for tried in range(_FIRST):
            device.trigger()
            if device.fetch(self._timeout / 2) is not None:
                while tried and device.fetch(self._timeout / 2) is not None:
                    """Those that were tried before were not missed, but late."""
                return
        device.close()
        raise CaptureError(
            f"camera {device.name}: answers no software trigger; check TriggerSelector, and that "
            "its light or line does not hold it"
        )

    def _expose(self, lost: Callable[[], object]) -> tuple[bytes, str]:
        device = self._device
        if device is None:
            raise CaptureError("camera: not open")
        if why := self._unanswered:
            raise CaptureError(f"{why}; it is opened again")
        for _ in range(_QUEUED):
            if device.fetch(0.001) is None:
                break
        else:
            raise CaptureError(f"camera {device.name}: sends frames that nobody triggered")
        lossy = device.incomplete
        device.trigger()
        image = device.fetch(self._timeout)
        if image is None and device.incomplete > lossy:
            raise CaptureError(f"camera {device.name}: the frame of the trigger lost packets")
        if image is None:
            why = f"camera {device.name}: no frame in {self._timeout:g} s of a trigger"
            if device is self._device:  # else it was opened again meanwhile
                self._unanswered = why
            lost()
            raise CaptureError(why)
        return encode_png(image)

    async def _call(self, work: Callable[[], T], timeout_s: float) -> T:
        if self._thread is None:
            raise CaptureError("camera: not open")
        future = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            async with asyncio.timeout(timeout_s + 0.5):
                return await future
        except TimeoutError:
            with contextlib.suppress(CaptureError):
                await self.close()
            raise CaptureError(f"camera: no answer in {timeout_s:g} s") from None
