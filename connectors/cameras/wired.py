"""A camera that a wire exposes: its frames come by themselves, and are matched by time."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from connectors.cameras.adjustable import Feature
from connectors.cameras.genicam import GenicamDevice, encode_png
from connectors.cameras.live import LiveFrame, ReadingThread, picture_of
from connectors.cameras.wire import Exposed, LatchedClock, frame_of
from connectors.errors import CaptureError
from streams.ports import Picture, Trigger

_LATCH_S = 0.5
"""The camera's clock is read again after this long: a camera that is gone shows by it."""
_REMEMBERED = 64
"""So many frames and triggers are known at a time."""
_FETCH_S = 0.05


@dataclass(frozen=True)
class WireTiming:
    """What a wired camera is judged by.

    Args:
        window_s: a frame is the part's when it was exposed within this of the trigger, seconds.
        latency_s: longest from an exposure to its frame's arrival, seconds.
        timeout_s: deadline of one exposure, seconds; opening may take ten of them.
    """

    window_s: float = 0.02
    latency_s: float = 0.2
    timeout_s: float = 2.0

    @property
    def decided_s(self) -> float:
        """After a trigger: every frame and trigger that could be mistaken is known by then."""
        return 2 * self.window_s + self.latency_s


class WiredSource:
    """``LiveSource`` over a camera that is exposed by its line.

    A frame's exposure is known by the camera's time stamp, mapped by reading the camera's clock;
    without one, it lies within the camera's delay before its arrival.
    """

    def __init__(
        self, device: GenicamDevice, features: Mapping[str, Feature], timing: WireTiming
    ) -> None:
        self.name = device.name
        self._device = device
        self._features = features
        self._timing = timing
        self._clock: LatchedClock | None = None
        self._latched = float("-inf")
        self._closed = False

    def open(self) -> None:
        self._device.open(self._features)
        self._latch()
        if self._clock is None and self._timing.latency_s > 2 * self._timing.window_s:
            raise CaptureError(
                f"{self.name}: its clock cannot be read, so an exposure is known to within "
                f"{1000 * self._timing.latency_s:g} ms (camera_latency_ms) only: that must not be "
                f"over twice camera_trigger_window_ms ({1000 * self._timing.window_s:g})"
            )

    def read(self) -> LiveFrame:
        while not self._closed:
            image = self._device.fetch(_FETCH_S)
            now = time.monotonic()
            if image is not None:
                found, proof = Exposed(now - self._timing.latency_s, now), "arrival"
                if self._clock is not None and image.stamp_ns:
                    found, proof = self._clock.exposed(image.stamp_ns), "device"
                encode = partial(encode_png, image)
                return LiveFrame(found.earliest, encode, proof, found.latest)
            if now - self._latched > _LATCH_S:
                self._latch()
        raise CaptureError(f"{self.name}: closed")

    def close(self) -> None:
        self._device.close()

    def abort(self) -> None:
        self._closed = True

    def _latch(self) -> None:
        self._latched = before = time.monotonic()
        camera_ns = self._device.clock_ns()
        if camera_ns is None and self._clock is not None:
            raise CaptureError(f"{self.name}: its clock can be read no more; is it connected?")
        if camera_ns is not None:
            self._clock = LatchedClock(before, time.monotonic(), camera_ns)


class WiredCamera:
    """``Camera`` whose exposures a wire begins.

    A capture waits until every frame and trigger that could be mistaken for its own would be known,
    and gives the one frame of its window, or fails.

    Args:
        make: a new source for every opening.
        timing: the window, the camera's delay and the deadline.
    """

    def __init__(self, make: Callable[[], WiredSource], timing: WireTiming) -> None:
        self._make = make
        self._timing = timing
        self._triggers: deque[float] = deque(maxlen=_REMEMBERED)
        self._frames: deque[LiveFrame] = deque(maxlen=_REMEMBERED)
        self._session: ReadingThread | None = None

    async def open(self) -> None:
        await self.close()
        self._frames = deque(maxlen=_REMEMBERED)
        loop = asyncio.get_running_loop()
        session = ReadingThread(self._make(), loop, self._frames.append)
        self._session = session
        await session.begin(lambda: session.is_open, 10 * self._timing.timeout_s, "not open")

    async def capture(self, trigger: Trigger) -> Picture:
        session, now = self._session, time.monotonic()
        at = now if trigger.given_at is None else trigger.given_at
        others = tuple(self._triggers)
        self._triggers.append(at)
        if session is None:
            raise CaptureError("camera: not open")
        decided = at + self._timing.decided_s
        while not session.error and time.monotonic() < decided:
            await session.more(decided)
        if session.error:
            raise CaptureError(f"camera {session.error}")
        frames = list(self._frames)
        exposures = [Exposed(frame.began or 0.0, frame.latest) for frame in frames]
        try:
            found = frame_of(at, others, exposures, self._timing.window_s)
        except CaptureError as error:
            raise CaptureError(f"camera {session.source.name}: {error}") from None
        return await picture_of(frames[found], trigger, at)

    async def lost(self) -> str:
        """Wait until the source ended; the reason. Without parts such a camera sends nothing."""
        session = self._session
        if session is None:
            return "not open"
        await session.over.wait()
        return session.error

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.stop.set()
            session.source.abort()
