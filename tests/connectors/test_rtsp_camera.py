"""A network camera by RTSP, against GStreamer's server."""

import socket

import pytest

from connectors.cameras import open_camera
from connectors.errors import CaptureError
from lab.benchmarks.camera import CameraBenchmark, measure_freshness, measure_stall
from lab.cameras import rtsp


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
