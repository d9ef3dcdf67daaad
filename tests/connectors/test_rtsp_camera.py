"""A network camera by RTSP, against GStreamer's server and one of this process."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from connectors.cameras import open_camera, opencv_stream
from connectors.cameras.freshness import StreamClock
from connectors.cameras.supervised import SupervisedCamera
from connectors.errors import CaptureError
from lab.benchmarks.camera import CameraBenchmark, measure_freshness, measure_stall
from lab.cameras import rtsp
from lab.cameras.painted import painted, read_painted
from tests.connectors.rtsp_twin import RtspTwin
from tests.connectors.test_cameras import trigger
from tests.waiting import until


@pytest.fixture
def gstreamer() -> None:
    if why := rtsp.why_not():
        pytest.skip(why)


@pytest.mark.slow
@pytest.mark.asyncio
async def test_no_picture_is_older_than_its_trigger(gstreamer: None) -> None:
    found = await measure_freshness("rtsp", 0.1, CameraBenchmark(triggers=8), lambda _: None)
    assert (found.stale, found.failed) == (0, 0)


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_stream_that_stalls_is_a_fault(gstreamer: None) -> None:
    assert await measure_stall(CameraBenchmark(), "rtsp") > 0


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_wrong_path_is_said(gstreamer: None) -> None:
    with rtsp.RtspCamera() as twin:
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


def scene(exposed_ms: int, width: int = 256) -> npt.NDArray[np.uint8]:
    """A picture that tells its time; one of another width has a margin."""
    pixels = np.repeat(painted(exposed_ms)[:, :, None], 3, axis=2)
    return np.pad(pixels, ((0, 0), (0, width - 256), (0, 0)))


@contextmanager
def playing(
    delay: Callable[[float], float] = lambda _: 0.0,
    width: Callable[[int], int] = lambda session: 256,
) -> Iterator[RtspTwin]:
    """A camera whose frames come so late, by the seconds that it has played."""
    over = threading.Event()
    with RtspTwin() as twin:

        def play() -> None:
            number, session, began = 0, 0, 0.0
            while not over.is_set():
                twin.playing.wait(0.1)
                if session != twin.sessions:
                    session, number, began = twin.sessions, 0, time.monotonic()
                exposed = number / FPS
                left = began + exposed + delay(exposed) - time.monotonic()
                if over.wait(max(left, 0)):
                    return
                shown = scene(round(1000 * (began + exposed)) % 2**31, width(session))
                twin.send(shown, 1 + exposed)
                number += 1

        thread = threading.Thread(target=play)
        thread.start()
        try:
            yield twin
        finally:
            over.set()
            thread.join()


@pytest.mark.asyncio
async def test_a_picture_is_of_after_its_trigger() -> None:
    with playing() as twin:
        camera = open_camera(f"opencv:{twin.stream}", 15, latency_s=0.05)
        await camera.open()
        asked = time.monotonic()
        picture = await camera.capture(trigger(1))
        await camera.close()
    assert picture.metadata["exposed_by"] == "stream"
    pixels = cv2.imdecode(np.frombuffer(picture.data, np.uint8), cv2.IMREAD_COLOR)
    assert read_painted(np.asarray(pixels, np.uint8)) >= 1000 * asked % 2**31


@pytest.mark.asyncio
async def test_a_stream_that_stays_behind_is_lost_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The network begins to hold every frame for 0.3 s, and never catches up."""
    monkeypatch.setattr(opencv_stream, "_BEHIND_S", 0.3)
    with playing(delay=lambda at: min(max(at - 0.4, 0) / 2, 0.3)) as twin:
        camera = open_camera(f"opencv:{twin.stream}", 15, latency_s=0.1, stall_s=15)
        await camera.open()
        async with asyncio.timeout(10):
            why = await camera.lost()  # type: ignore[attr-defined]
        await camera.close()
    assert "frames have come over 100 ms late" in why


@pytest.mark.asyncio
async def test_a_cut_between_trigger_and_picture_is_said_and_another_size_after_it_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A camera that started anew shows its factory's settings."""
    told: list[bool] = []
    monkeypatch.setattr(opencv_stream, "StreamClock", partial(StreamClock, settle_s=0.2))
    with playing(width=lambda session: 256 if session == 1 else 320) as twin:
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
