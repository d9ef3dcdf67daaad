"""A network camera that speaks RTSP: GStreamer's server with pictures that tell their time."""

import shutil
import signal
import subprocess
import time
from functools import cache
from pathlib import Path
from types import TracebackType

_PROGRAM = Path(__file__).with_name("rtsp_server.py")
_PYTHON = "/usr/bin/python3"
"""The system's, for which the distribution's bindings are made."""
_NEEDS = (
    "import gi; gi.require_version('GstRtspServer', '1.0'); "
    "from gi.repository import Gst, GstRtspServer; Gst.init(None); "
    "assert Gst.ElementFactory.find('rtpjpegpay') and Gst.ElementFactory.find('jpegenc')"
)
INSTALL = (
    "no GStreamer RTSP server for the system's Python; Debian: apt-get install python3-gi "
    "gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good"
)


@cache
def why_not() -> str:
    """Why the camera cannot be played here, and what to install; empty: it can."""
    if shutil.which(_PYTHON) is None:
        return INSTALL
    tried = subprocess.run([_PYTHON, "-c", _NEEDS], capture_output=True, check=False)
    return INSTALL if tried.returncode else ""


class RtspCamera:
    """``rtsp://127.0.0.1:PORT/camera``: JPEGs over RTP, each painted with its exposure's time.

    Args:
        fps: frames per second.
        delay_s: from an exposure to the moment at which it is encoded and sent, seconds.
    """

    def __init__(self, fps: float = 25.0, delay_s: float = 0.0) -> None:
        self.fps = fps
        self.delay_s = delay_s
        self.started = time.monotonic()

    def now_ms(self) -> float:
        """What a picture exposed now would say, with its fraction."""
        return 1000 * (time.monotonic() - self.started)

    def stall(self) -> None:
        """The connection stays, and nothing comes any more."""
        self._process.send_signal(signal.SIGSTOP)

    def __enter__(self) -> "RtspCamera":
        options = ["--fps", f"{self.fps:.0f}", "--epoch", repr(self.started)]
        self._process = subprocess.Popen(
            [_PYTHON, str(_PROGRAM), *options, "--delay", repr(self.delay_s)],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        self.stream = f"rtsp://127.0.0.1:{int(self._process.stdout.readline())}/camera"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()
