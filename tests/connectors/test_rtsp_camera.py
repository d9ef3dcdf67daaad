"""A network camera by RTSP."""

import asyncio
import socket
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from connectors.cameras import open_camera, opencv_stream
from connectors.cameras.freshness import StreamClock
from connectors.cameras.supervised import SupervisedCamera
from connectors.errors import CaptureError
from lab.cameras.painted import read_painted
from lab.cameras.rtsp import RtspCamera
from tests.connectors.test_cameras import trigger
from tests.waiting import until


@pytest.mark.asyncio
async def test_a_wrong_path_is_said() -> None:
    with RtspCamera() as twin:
        camera = open_camera(f"opencv:{twin.stream}x", 2)
        with pytest.raises(CaptureError, match="cannot be opened; check the index, file or addr"):
            await camera.open()


@pytest.mark.asyncio
async def test_a_server_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        camera = open_camera(f"opencv:rtsp://op:geheim@127.0.0.1:{server.getsockname()[1]}/a", 0.1)
        with pytest.raises(
            CaptureError, match=r"rtsp://op:\*\*\*@.*(cannot be opened|no picture in)"
        ):
            await camera.open()
        await camera.close()


FPS = 50


@pytest.mark.asyncio
async def test_a_picture_is_of_after_its_trigger() -> None:
    with RtspCamera(FPS) as twin:
        camera = open_camera(f"opencv:{twin.stream}", 15, latency_s=0.05)
        await camera.open()
        asked_ms = twin.now_ms()
        picture = await camera.capture(trigger(1))
        await camera.close()
    assert picture.metadata["exposed_by"] == "stream"
    pixels = cv2.imdecode(np.frombuffer(picture.data, np.uint8), cv2.IMREAD_COLOR)
    assert read_painted(np.asarray(pixels, np.uint8)) >= asked_ms - 1


class FallingBehind(RtspCamera):
    """The network begins to hold every frame, for 0.3 s at the most, and never catches up."""

    def delay_at(self, played_s: float) -> float:
        return min(max(played_s - 0.4, 0) / 2, 0.3)


@pytest.mark.asyncio
async def test_a_stream_that_stays_behind_is_lost_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(opencv_stream, "_BEHIND_S", 0.3)
    with FallingBehind(FPS) as twin:
        camera = open_camera(f"opencv:{twin.stream}", 15, latency_s=0.1, stall_s=15)
        await camera.open()
        async with asyncio.timeout(10):
            why = await camera.lost()  # type: ignore[attr-defined]
        await camera.close()
    assert "frames have come over 100 ms late" in why


class StartedAnew(RtspCamera):
    """After a cut it shows its factory's settings."""

    def picture(self, number: int) -> npt.NDArray[np.uint8]:
        return np.pad(super().picture(number), ((0, 0), (0, 64 if self.sessions > 1 else 0)))


@pytest.mark.asyncio
async def test_a_cut_between_trigger_and_picture_is_said_and_another_size_after_it_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[bool] = []
    monkeypatch.setattr(opencv_stream, "StreamClock", partial(StreamClock, settle_s=0.2))
    with StartedAnew(FPS) as twin:
        camera = open_camera(f"opencv:{twin.stream}", 15, latency_s=0.05, stall_s=15)
        supervised = SupervisedCamera(camera, 15, told.append)
        running = asyncio.ensure_future(supervised.run())
        await until(lambda: told == [False])
        await supervised.capture(trigger(1))
        capture = asyncio.ensure_future(supervised.capture(trigger(2)))
        await asyncio.sleep(0)
        twin.hang_up()
        with pytest.raises(CaptureError, match=r"gave no picture|no frame since the trigger"):
            await capture
        await until(lambda: told == [False, True, False])
        with pytest.raises(CaptureError, match="is 320 x 32, and was 256 x 32"):
            await supervised.capture(trigger(3))
        running.cancel()
        await supervised.close()
