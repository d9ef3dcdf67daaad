"""A GigE Vision camera over this machine's loopback: Aravis' fake camera, a program of Debian's."""

import contextlib
import shutil
import subprocess
import time
from types import TracebackType

import numpy as np
import numpy.typing as npt

from connectors.errors import CaptureError

PROGRAM = "arv-fake-gv-camera-0.8"
SERIAL = "ANDON1"
FEATURES: dict[str, bool | int | float | str] = {
    "GevSCPSPacketSize": 16_000,
    "Width": 512,
    "Height": 512,
    "PixelFormat": "Mono8",
    "ExposureTimeAbs": 10_000,
    "GainRaw": 0,
}
"""Packets as large as loopback takes, and the exposure at which the pattern is not stretched."""


def why_not() -> str:
    """Why the camera cannot be played here, and what to install; empty: it can."""
    from connectors.cameras.aravis_library import aravis

    if shutil.which(PROGRAM) is None:
        return f"no `{PROGRAM}` on the path; Debian: apt-get install aravis-tools"
    try:
        aravis()
    except CaptureError as error:
        return str(error)
    return ""


class FakeGigECamera:
    """One camera at 127.0.0.1 with the serial number ``SERIAL``; a second finds the port taken."""

    def __enter__(self) -> "FakeGigECamera":
        self._process = subprocess.Popen(
            [PROGRAM, "-i", "127.0.0.1", "-s", SERIAL],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Switch it off, as when its cable is pulled."""
        self._process.kill()
        self._process.wait()

    def _wait(self) -> None:
        from connectors.cameras.aravis import AravisDevice

        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            device = AravisDevice(SERIAL)
            with contextlib.suppress(CaptureError):
                device.open({})
                device.close()
                return
            if self._process.poll() is not None:
                raise CaptureError(f"{PROGRAM} ended: is one running at 127.0.0.1 already?")
            time.sleep(0.1)
        raise CaptureError(f"{PROGRAM} does not answer at 127.0.0.1")


def pattern(number: int, width: int, height: int) -> npt.NDArray[np.uint8]:
    """The picture that the camera draws for frame ``number`` in Mono8, with ``FEATURES``."""
    ramp = np.arange(width)[None, :] + np.arange(height)[:, None] + number
    return np.asarray(ramp % 255, np.uint8)
