"""The contract of ``streams.ports.Camera``: the twin and every camera of the gateway keep it."""

from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
import pytest
import pytest_asyncio

from connectors.cameras import open_camera
from lab.cameras import fake_gige
from lab.cameras.network import NetworkCamera
from lab.cameras.rtsp import RtspCamera
from streams.ports import Camera
from tests.connectors.test_cameras import trigger, write_pictures
from tests.contracts.twins.camera import InMemoryCamera


def spec_of(kind: str, folder: Path, twins: ExitStack) -> str:
    if kind == "aravis" and (why := fake_gige.why_not()):
        pytest.skip(why)
    match kind:
        case "rtsp":
            return f"opencv:{twins.enter_context(RtspCamera(50)).stream}"
        case "aravis":
            twins.enter_context(fake_gige.FakeGigECamera())
            return f"aravis:{fake_gige.SERIAL}"
        case "stream":
            return f"opencv:{twins.enter_context(NetworkCamera(100, 0.01)).stream}"
        case "snapshot":
            return f"snapshot:{twins.enter_context(NetworkCamera(100, 0.01)).snapshot}"
        case "folder":
            write_pictures(folder, ["a.png", "b.jpg", "c.bmp"])
            return f"folder:{folder}"
        case "list":
            write_pictures(folder, ["a.png", "b.jpg"])
            (folder / "order.txt").write_text("b.jpg\na.png\n")
            return f"list:{folder / 'order.txt'}"
        case "synthetic":
            return "synthetic:seed=3,size=32,defects=0.5"
    video = cv2.VideoWriter(str(folder / "film.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 5, (32, 32))
    for shade in (0, 80, 160):
        video.write(np.full((32, 32, 3), shade, np.uint8))
    video.release()
    return f"opencv:{folder / 'film.avi'}"


@pytest_asyncio.fixture(
    params=[
        *("memory", "folder", "list", "synthetic", "opencv", "stream", "snapshot", "rtsp"),
        pytest.param("aravis", marks=pytest.mark.slow),
    ]
)
async def camera(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Camera]:
    opened: Camera = InMemoryCamera()
    with ExitStack() as twins:
        if request.param != "memory":
            spec = spec_of(request.param, tmp_path, twins)
            opened = open_camera(spec, capture_timeout_s=10, latency_s=0.05)
        await opened.open()
        yield opened
        await opened.close()


@pytest.mark.asyncio
async def test_every_trigger_gets_a_picture_that_decodes(camera: Camera) -> None:
    for seq in (1, 2, 3, 4, 5, 4294967295):
        picture = await camera.capture(trigger(seq))
        assert picture.content_type.startswith("image/")
        assert picture.name
        pixels = cv2.imdecode(np.frombuffer(picture.data, np.uint8), cv2.IMREAD_COLOR)
        assert pixels is not None


@pytest.mark.asyncio
async def test_it_can_be_closed_and_opened_again(camera: Camera) -> None:
    await camera.close()
    await camera.open()
    assert (await camera.capture(trigger(1))).data
