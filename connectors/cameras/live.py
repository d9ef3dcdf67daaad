"""A source that goes on by itself: drained all the time, and asked for a frame of this part.

A buffer hands out old pictures, so a thread reads every frame and keeps the newest one. A capture
takes the first frame whose exposure provably began after it was asked for, or it fails.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from connectors.errors import CaptureError
from streams.ports import Picture, Trigger


@dataclass(frozen=True)
class LiveFrame:
    """One frame of a live source, encoded when somebody wants it."""

    began: float | None
    """The exposure began no earlier than this (``time.monotonic``); None: nothing is known."""
    encode: Callable[[], tuple[bytes, str]]
    """The bytes and their content type."""
    proof: str = "arrival"
    """What ``began`` rests on: ``arrival``, ``stream`` or ``device`` time stamps."""
    latest: float = float("inf")
    """The exposure began no later than this."""


class LiveSource(Protocol):
    """A driver; every call but ``abort`` comes from one thread, and may block."""

    name: str

    def open(self) -> None: ...
    def read(self) -> LiveFrame:
        """The next frame, in order. Raises ``CaptureError`` when the source is lost."""
        ...

    def close(self) -> None: ...
    def abort(self) -> None:
        """Wake a blocked ``read`` from another thread, where the driver can."""
        ...


@runtime_checkable
class Loses(Protocol):
    """A camera that finds out by itself that its source is gone."""

    async def lost(self) -> str:
        """Wait until the source is gone; the reason."""
        ...


@dataclass(eq=False)
class ReadingThread:
    """What one reading thread leaves behind; a thread that hangs keeps only its own.

    Args:
        source: the driver, read by this thread alone.
        loop: where ``news`` is told.
        on_frame: called with every frame, in the reading thread.
    """

    source: LiveSource
    loop: asyncio.AbstractEventLoop
    on_frame: Callable[[LiveFrame], object] = lambda _: None
    frame: LiveFrame | None = None
    at: float = 0.0
    """When the newest frame was read."""
    count: int = 0
    is_open: bool = False
    error: str = ""
    stop: threading.Event = field(default_factory=threading.Event)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """The thread has ended; ``error`` says why."""

    def run(self) -> None:
        """Read until the source ends or ``stop`` is set."""
        try:
            self.source.open()
            self.is_open = True
            self._tell()
            while not self.stop.is_set():
                self._take(self.source.read())
        except CaptureError as error:
            self.error = str(error)
        except Exception as error:  # noqa: BLE001 - a driver raises whatever it likes
            self.error = f"{self.source.name}: {type(error).__name__}: {error}"
        finally:
            with contextlib.suppress(Exception):
                self.source.close()
            self._tell()
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self.over.set)

    async def begin(self, is_there: Callable[[], bool], timeout_s: float, lacks: str) -> None:
        """Start the thread; returns once ``is_there()``.

        Raises:
            CaptureError: the source ended, or within ``timeout_s`` there was what ``lacks`` says.
        """
        threading.Thread(target=self.run, name="camera", daemon=True).start()
        deadline = time.monotonic() + timeout_s
        while not is_there():
            if self.error:
                raise CaptureError(f"camera {self.error}")
            if not await self.more(deadline):
                raise CaptureError(f"camera {self.source.name}: {lacks} in {timeout_s:g} s")

    async def more(self, deadline: float) -> bool:
        """Wait for a frame, the opening or the end; False: none came by the deadline."""
        try:
            async with asyncio.timeout(max(deadline - time.monotonic(), 0)):
                await self.news.wait()
        except TimeoutError:
            return False
        self.news.clear()
        return True

    def _take(self, frame: LiveFrame) -> None:
        self.frame, self.at = frame, time.monotonic()
        self.count += 1
        self.on_frame(frame)
        self._tell()

    def _tell(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.loop.call_soon_threadsafe(self.news.set)


class LiveCamera:
    """``Camera`` over a source that is drained by a thread of its own.

    Args:
        make: a new driver for every opening; a hanging one is left behind.
        timeout_s: deadline of one exposure, seconds; opening may take ten of them.
        stall_s: without a frame for this long the camera is lost, seconds.
    """

    def __init__(
        self, make: Callable[[], LiveSource], timeout_s: float = 2.0, stall_s: float = 0.8
    ) -> None:
        self._make = make
        self._timeout = timeout_s
        self._stall = stall_s
        self._session: ReadingThread | None = None

    @property
    def frames(self) -> int:
        """How many frames were read since the camera was opened."""
        return self._session.count if self._session else 0

    async def open(self) -> None:
        """Start reading, and wait for the first frame."""
        await self.close()
        session = ReadingThread(self._make(), asyncio.get_running_loop())
        self._session = session
        await session.begin(lambda: session.count > 0, 10 * self._timeout, "no picture")

    async def capture(self, trigger: Trigger) -> Picture:
        """The first frame exposed after this call, which the trigger's notification made."""
        asked = time.monotonic()
        session = self._session
        if session is None:
            raise CaptureError("camera: not open")
        deadline = asked + self._timeout
        while True:
            frame = session.frame
            if frame is not None and frame.began is not None and frame.began >= asked:
                return await picture_of(frame, trigger, asked)
            if session.error or time.monotonic() >= deadline:
                raise CaptureError(self._why(session, asked))
            await session.more(deadline)

    async def lost(self) -> str:
        """Wait until the source ended, or gave no frame for ``stall_s``; the reason."""
        session = self._session
        if session is None:
            return "not open"
        while not session.error:
            still = session.at + self._stall - time.monotonic()
            if still <= 0:
                return f"{session.source.name}: no frame for {self._stall:g} s"
            await asyncio.sleep(min(still, 0.1))
        return session.error

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.stop.set()
            session.source.abort()

    def _why(self, session: ReadingThread, asked: float) -> str:
        name, frame = session.source.name, session.frame
        if session.error:
            return f"camera {session.error}"
        if frame is None or session.at < asked:
            return f"camera {name}: no frame since the trigger, {self._timeout:g} s ago"
        if frame.began is None:
            return f"camera {name}: how old its frames are is not known yet"
        return (
            f"camera {name}: its newest frame may have been exposed "
            f"{1000 * (asked - frame.began):.0f} ms before the trigger"
        )


async def picture_of(frame: LiveFrame, trigger: Trigger, asked: float) -> Picture:
    """The picture of a frame, with how long after ``asked`` its exposure began at the earliest."""
    data, content_type = await asyncio.to_thread(frame.encode)
    began = frame.began if frame.began is not None else asked
    told = {"exposed_after_ms": f"{1000 * (began - asked):.0f}", "exposed_by": frame.proof}
    suffix = content_type.removeprefix("image/").replace("jpeg", "jpg")
    return Picture(data, content_type, f"{trigger.trigger_seq:06d}.{suffix}", told)
