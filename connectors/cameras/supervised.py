"""A camera with a deadline, opened again after failures."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from connectors.cameras.adjustable import Feature, adjusted
from connectors.cameras.live import Loses
from connectors.errors import CameraLostError, CaptureError
from streams.backoff import backoff_s
from streams.log import Outage
from streams.ports import Camera, Picture, Trigger

log = structlog.get_logger(__name__)
_FAILURES = 3
"""Failed captures in a row after which the camera counts as faulty and is reopened."""
_OPENING = 12
"""Opening may take so many deadlines of an exposure; most drivers give up after ten."""


@dataclass(eq=False)
class SupervisedCamera:
    """Keeps one camera open.

    Args:
        timeout_s: deadline of one exposure, seconds.
        on_fault: called with True when no picture can be had and False when it can again.
        retry_max_s: cap of the back-off between attempts to open, seconds.
    """

    camera: Camera
    timeout_s: float
    on_fault: Callable[[bool], None]
    retry_max_s: float = 5.0

    def __post_init__(self) -> None:
        self._failures = 0
        self._outage = Outage()
        self._broken = asyncio.Event()
        self._broken.set()

    async def run(self) -> None:
        """Open the camera, and open it again whenever it broke, until cancelled."""
        attempt = 0
        while True:
            await self._until_broken()
            with contextlib.suppress(Exception):
                await self.camera.close()
            try:
                await self._open()
            except Exception as error:  # a driver, or a folder on a network, raises what it likes
                why = str(error) or type(error).__name__
                if (told := self._outage.failed(why)) is not None:
                    more = {"seconds": told.seconds, "attempts": told.failures}
                    unforeseen = None if isinstance(error, CaptureError) else error
                    log.error("camera.unavailable", why=why, **more, exc_info=unforeseen)
                await asyncio.sleep(backoff_s(attempt, 0.2, self.retry_max_s))
                attempt += 1
            else:
                if (told := self._outage.ended()) is not None:
                    log.info("camera.open", away_s=told.seconds, attempts=told.failures + 1)
                attempt = self._failures = 0
                self._broken.clear()
                self.on_fault(False)

    async def _open(self) -> None:
        longest_s = _OPENING * self.timeout_s
        try:
            async with asyncio.timeout(longest_s):
                await self.camera.open()
        except TimeoutError:
            raise CaptureError(f"the camera did not open in {longest_s:g} s") from None

    async def _until_broken(self) -> None:
        """Until captures failed, or a live camera finds its source gone."""
        if self._broken.is_set() or not isinstance(self.camera, Loses):
            await self._broken.wait()
            return
        waits = [asyncio.ensure_future(self._broken.wait()), asyncio.ensure_future(self._lost())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()

    async def _lost(self) -> None:
        assert isinstance(self.camera, Loses)
        why = await self.camera.lost()
        log.error("camera.lost", why=why)
        self.on_fault(True)
        self._broken.set()

    async def capture(self, trigger: Trigger) -> Picture:
        """Expose once within the deadline. Raises ``CaptureError``."""
        try:
            async with asyncio.timeout(self.timeout_s):
                picture = await self.camera.capture(trigger)
        except TimeoutError as error:
            self._failed()
            raise CaptureError(f"no picture in {self.timeout_s:g} s") from error
        except Exception:  # a driver raises what it likes
            self._failed()
            raise
        self._failures = 0
        return picture

    async def adjust(self, features: Mapping[str, Feature]) -> None:
        """Give the camera these features, or leave it as it was.

        Raises:
            CaptureError: it has none that can be set, or refuses one.
        """
        try:
            await adjusted(self.camera, features)
        except BaseException as error:
            if isinstance(error, CameraLostError) or not isinstance(error, CaptureError):
                self.on_fault(True)
                self._broken.set()
            raise

    async def close(self) -> None:
        await self.camera.close()

    def _failed(self) -> None:
        self._failures += 1
        if self._failures >= _FAILURES:
            self.on_fault(True)
            self._broken.set()
