"""Video files through OpenCV, and which sources are live."""

import asyncio
import concurrent.futures
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from connectors.errors import CaptureError
from streams.masking import masked
from streams.ports import Picture, Trigger

T = TypeVar("T")


class OpenCVCamera:
    """One ``cv2.VideoCapture`` over a file; every call runs in a thread of its own, in time.

    At the end of the file it begins again.

    Args:
        source: file name.
        timeout_s: deadline of one exposure, seconds; a camera that misses it is reopened.
    """

    def __init__(self, source: int | str, timeout_s: float = 2.0) -> None:
        self._source = source
        self._name = masked(str(source))
        """For messages: the address of a stream may hold a password."""
        self._timeout = timeout_s
        self._capture: Any = None
        self._thread: concurrent.futures.ThreadPoolExecutor | None = None

    async def open(self) -> None:
        """Open the source. Raises ``CaptureError`` when that takes over ten deadlines."""
        self._thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="camera")
        await self._call(self._open, 10 * self._timeout)

    async def capture(self, trigger: Trigger) -> Picture:
        data = await self._call(self._grab, self._timeout)
        return Picture(data, "image/png", f"{trigger.trigger_seq:06d}.png")

    async def close(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.submit(self._release)
            thread.shutdown(wait=False)

    async def _call(self, work: Callable[[], T], timeout_s: float) -> T:
        if self._thread is None:
            raise CaptureError(f"camera {self._name}: not open")
        future = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            # The thread hangs in the driver: leave it behind and start over with a new one.
            stuck, self._thread = self._thread, concurrent.futures.ThreadPoolExecutor(1)
            stuck.shutdown(wait=False, cancel_futures=True)
            self._capture = None
            raise CaptureError(f"camera {self._name}: no picture in {timeout_s:g} s") from None

    def _open(self) -> None:
        import cv2

        capture = _open_capture(cv2, self._source)
        if not capture.isOpened():
            capture.release()
            raise CaptureError(
                f"camera {self._name}: cannot be opened; check the index, file or address"
            )
        self._capture = capture

    def _grab(self) -> bytes:
        import cv2

        if self._capture is None:
            self._open()
        done, pixels = self._capture.read()
        if not done:
            self._capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
            done, pixels = self._capture.read()
        if not done:
            self._release()
            raise CaptureError(f"camera {self._name}: gave no picture")
        encoded, data = cv2.imencode(".png", pixels)
        if not encoded:
            raise CaptureError(f"camera {self._name}: the picture could not be encoded")
        return bytes(data.tobytes())

    def _release(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None


def is_live(source: int | str) -> bool:
    """Whether a source goes on by itself: a device or a stream, not a file.

    >>> [is_live(source) for source in (0, "/dev/v4l/by-id/usb-cam", "rtsp://cam/1", "run.mp4")]
    [True, True, True, False]
    """
    if isinstance(source, int):
        return True
    if "://" in source:
        return not source.lower().startswith("file:")
    try:
        return source.startswith("/dev/") or Path(source).is_char_device()
    except (OSError, ValueError):
        return False


def _open_capture(cv2: Any, source: int | str) -> Any:
    """Files and streams through FFmpeg with one decoding thread, else OpenCV's own choice.

    FFmpeg's frame threads abort the process when a file is read to its end and rewound.
    """
    if isinstance(source, str):
        capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        if capture.isOpened():
            return capture
        capture.release()
    return cv2.VideoCapture(source)
