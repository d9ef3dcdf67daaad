"""Live sources through OpenCV: USB cameras (V4L2) and network streams (RTSP)."""

import time
from pathlib import Path
from typing import Any

from connectors.cameras.freshness import StreamClock
from connectors.cameras.live import LiveFrame
from connectors.errors import CaptureError
from streams.masking import masked

_SANE_S = 10.0
"""A driver's time stamps further away from this host's clock are of another clock."""
_BEHIND_S = 5.0
"""A stream of which every frame is late for so long is opened again, seconds."""


class OpenCVSource:
    """``LiveSource`` over ``cv2.VideoCapture``.

    A V4L2 driver stamps its buffers with the host's monotonic clock; where it does not, a frame
    counts from the beginning of the call that read it. A stream's time stamps come from the camera
    and are mapped by the least delayed frame; nothing is known of a frame without one.

    Args:
        source: USB index, device, or an address that FFmpeg reads.
        timeout_s: of opening and of each read where the backend knows time-outs, seconds.
        latency_s: bound from the start of an exposure to the frame's arrival, or to the driver's
            time stamp, seconds.
    """

    def __init__(self, source: int | str, timeout_s: float, latency_s: float) -> None:
        self.name = masked(str(source))
        self._source = source
        self._timeout = timeout_s
        self._latency = latency_s
        self._capture: Any = None
        self._clock = StreamClock(latency_s)

    def open(self) -> None:
        import cv2

        timeout_ms = int(1000 * self._timeout)
        if isinstance(self._source, str) and "://" in self._source:
            options = [
                cv2.CAP_PROP_N_THREADS, 1,
                cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, 5 * timeout_ms,
                cv2.CAP_PROP_READ_TIMEOUT_MSEC, timeout_ms,
            ]  # fmt: skip
            capture = cv2.VideoCapture(self._source, cv2.CAP_FFMPEG, options)
        elif isinstance(self._source, str):  # FFmpeg would read the device as a file
            capture = cv2.VideoCapture(self._source, cv2.CAP_V4L2)
        else:
            capture = cv2.VideoCapture(self._source)
        if not capture.isOpened():
            capture.release()
            raise CaptureError(
                f"{self.name}: cannot be opened; check the index, file or address"
                f"{devices_said(self._source)}"
            )
        self._position = cv2.CAP_PROP_POS_MSEC
        self._is_device = not (isinstance(self._source, str) and "://" in self._source)
        self._capture = capture

    def read(self) -> LiveFrame:
        import cv2

        started = time.monotonic()
        done, pixels = self._capture.read()
        if not done:
            raise CaptureError(f"{self.name}: gave no picture")
        began, proof = self._began(float(self._capture.get(self._position)) / 1000, started)

        def encode() -> tuple[bytes, str]:
            encoded, data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
            if not encoded:
                raise CaptureError(f"camera {self.name}: the picture could not be encoded")
            return bytes(data.tobytes()), "image/png"

        return LiveFrame(None if began is None else began - self._latency, encode, proof)

    def _began(self, stamp_s: float, started: float) -> tuple[float | None, str]:
        now = time.monotonic()
        if self._is_device:
            if stamp_s > 0 and 0 <= now - stamp_s < _SANE_S:
                return stamp_s, "device"
            return started, "arrival"
        if stamp_s <= 0:  # the first frame, which may be an old one that the camera kept
            return None, "stream"
        began = self._clock.undelayed(stamp_s, now)
        if self._clock.late_for_s > _BEHIND_S:
            raise CaptureError(
                f"{self.name}: for {_BEHIND_S:g} s its frames have come over "
                f"{1000 * self._latency:.0f} ms late: the network or this host is slower than the "
                "stream, or the camera's time stamps run slow; lower its rate or size"
            )
        return began, "stream"

    def close(self) -> None:
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.release()

    def abort(self) -> None:
        """OpenCV cannot be woken; its own time-out ends the read."""


def devices_said(source: int | str, by_id: Path = Path("/dev/v4l/by-id")) -> str:
    """For an error about a USB camera: which ones this host has, by their lasting names."""
    if isinstance(source, str) and not source.startswith("/dev/"):
        return ""
    found = sorted(str(path) for path in by_id.glob("*-index0")) if by_id.is_dir() else []
    return f"; this host has {', '.join(found) or 'no USB camera'}"
