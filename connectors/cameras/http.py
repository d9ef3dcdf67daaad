"""Network cameras over HTTP: a stream of JPEGs, or one picture per request.

A stream's frame is new when its first byte came after a moment at which nothing was waiting in the
connection, less the camera's own delay. So a backlog is never taken for a frame of now. After a
silence that is long for this camera nothing is known: lost packets, which are sent again, may have
held back what it sent.
"""

import asyncio
import select
import statistics
import time
from collections import deque
from email.message import Message

from connectors.cameras.http_request import CameraAnswer, get
from connectors.cameras.live import LiveFrame
from connectors.cameras.multipart import MultipartReader, StreamPart
from connectors.cameras.own_threads import OwnThreads
from connectors.errors import CaptureError
from streams.masking import masked
from streams.ports import Picture, Trigger

_QUIET_S = 0.005
"""Nothing came for this long: neither this host nor the camera's end of the wire holds a frame."""
_UNKNOWN = 0.0
"""In place of that moment: the frame may have been held back."""
_LONG = 1.5
"""A silence is long that takes so many of the camera's intervals."""
_INTERVALS, _FEWEST = 32, 2
"""So many intervals are remembered, and so many needed."""
_LIMIT = 64 * 1024 * 1024


class MjpegSource:
    """``LiveSource`` over ``multipart/x-mixed-replace``; the camera's own bytes are kept.

    What some cameras send between the pictures, as events and analytics, is passed over.

    Args:
        address: ``http://`` or ``https://``, with user and password where it has them.
        timeout_s: of the connection, seconds.
        latency_s: bound of the camera's delay from an exposure's start to its first byte, seconds.
    """

    def __init__(self, address: str, timeout_s: float, latency_s: float) -> None:
        self.name = masked(address)
        self._address = address
        self._timeout = timeout_s
        self._latency = latency_s
        self._answer: CameraAnswer | None = None
        self._parts: list[StreamPart] = []
        self._quiet_at = _UNKNOWN
        self._heard_at = self._frame_at = 0.0
        self._intervals: deque[float] = deque(maxlen=_INTERVALS)

    def open(self) -> None:
        self._answer = answer = get(self._address, self.name, self._timeout)
        kind = answer.response.headers.get_content_type()
        boundary = answer.response.headers.get_param("boundary", "")
        if not kind.startswith("multipart/") or not isinstance(boundary, str) or not boundary:
            raise CaptureError(
                f"{self.name}: sends {kind}, no stream of pictures; for one picture per request "
                "write snapshot:ADDRESS, for a video rtsp://"
            )
        self._reader = MultipartReader(boundary, _LIMIT)

    def read(self) -> LiveFrame:
        while not self._parts:
            data = self._more()
            try:
                parts = self._reader.feed(data, self._quiet_at)
            except CaptureError as error:
                raise CaptureError(f"{self.name}: {error}") from None
            self._parts = [part for part in parts if _kind_of(part).startswith("image/")]
            for _ in self._parts:
                self._count()
        part = self._parts.pop(0)
        kind = _kind_of(part)
        began = None if part.mark == _UNKNOWN else part.mark - self._latency
        return LiveFrame(began, lambda: (part.body, kind))

    def _count(self) -> None:
        """A frame is whole. The upper quartile stands for all: after a cut many come at once."""
        now = time.monotonic()
        if self._frame_at:
            self._intervals.append(now - self._frame_at)
        self._frame_at = now

    def _is_long(self, silence_s: float) -> bool:
        if len(self._intervals) < _FEWEST:
            return True
        return silence_s > _LONG * statistics.quantiles(self._intervals, n=4)[2]

    def _more(self) -> bytes:
        if (answer := self._answer) is None:
            raise CaptureError(f"{self.name}: not open")
        deadline = time.monotonic() + self._timeout
        try:
            while not answer.is_waiting():
                before = time.monotonic()
                if select.select([answer.sock], [], [], _QUIET_S)[0]:
                    break
                self._quiet_at = _UNKNOWN if self._is_long(before - self._heard_at) else before
                if before > deadline:
                    raise CaptureError(f"{self.name}: sent nothing for {self._timeout:g} s")
            data = answer.more()
            self._heard_at = time.monotonic()
        except (OSError, ValueError) as error:
            raise CaptureError(f"{self.name}: the connection broke: {error}") from None
        if data is None:
            raise CaptureError(f"{self.name}: the camera closed the stream")
        return data

    def close(self) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.close()

    def abort(self) -> None:
        """``read`` looks up by itself within its time-out."""


class SnapshotCamera:
    """``Camera`` that asks for one picture per trigger: ``http://camera/snapshot.jpg``.

    A camera may answer with the picture that it has, so it is asked after its own delay.

    Args:
        address: ``http://`` or ``https://``, with user and password where it has them.
        timeout_s: deadline of one exposure, seconds.
        latency_s: bound of the age of the picture that the camera serves, seconds.
    """

    def __init__(self, address: str, timeout_s: float = 2.0, latency_s: float = 0.2) -> None:
        self._name = masked(address)
        self._address = address
        self._timeout = timeout_s
        self._latency = latency_s
        self._threads = OwnThreads(f"camera {self._name}")

    async def open(self) -> None:
        """Take one picture, so that a wrong address or password is told at once."""
        await self._threads.call(self._get)

    async def capture(self, trigger: Trigger) -> Picture:
        await asyncio.sleep(self._latency)
        data, kind = await self._threads.call(self._get)
        suffix = kind.removeprefix("image/").replace("jpeg", "jpg")
        return Picture(data, kind, f"{trigger.trigger_seq:06d}.{suffix}", {"exposed_by": "arrival"})

    async def close(self) -> None:
        """Every request is a connection of its own."""

    def _get(self) -> tuple[bytes, str]:
        deadline = time.monotonic() + self._timeout
        answer = get(self._address, f"camera {self._name}", self._timeout)
        try:
            kind = _image_type(answer.response.headers, self._name)
            body = bytearray()
            while (block := answer.more()) is not None:
                body += block
                if len(body) > _LIMIT or time.monotonic() > deadline:
                    raise CaptureError(
                        f"camera {self._name}: no whole picture in {self._timeout:g} s and "
                        f"{_LIMIT >> 20} MiB"
                    )
        except (OSError, ValueError) as error:
            raise CaptureError(f"camera {self._name}: the connection broke: {error}") from None
        finally:
            answer.close()
        if not body or not answer.is_whole:
            raise CaptureError(f"camera {self._name}: only {len(body)} bytes of a picture came")
        return bytes(body), kind


def _kind_of(part: StreamPart) -> str:
    """The content type of a part; pictures are known by their beginning whatever is stated."""
    if part.body.startswith(b"\xff\xd8"):
        return "image/jpeg"
    return part.headers.get("content-type", "image/jpeg").partition(";")[0].strip().lower()


def _image_type(headers: Message, name: str) -> str:
    kind = headers.get_content_type()
    if kind.startswith("multipart/"):
        raise CaptureError(f"camera {name}: sends {kind}, a stream; write opencv:ADDRESS")
    if not kind.startswith("image/"):
        told = f"sends {kind}" if "Content-Type" in headers else "does not say what it sends"
        raise CaptureError(
            f"camera {name}: {told}, and a picture is image/jpeg, image/png or the like; check the "
            "path, and whether the camera asks for a login"
        )
    return kind
