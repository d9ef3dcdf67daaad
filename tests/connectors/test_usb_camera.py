"""USB cameras (V4L2) by their lasting names."""

from pathlib import Path

import pytest

from connectors.cameras import open_camera
from connectors.cameras.opencv_stream import devices_said
from connectors.errors import CaptureError
from tests.connectors.test_cameras import trigger

PLUGGED = sorted(Path("/dev/v4l/by-id").glob("*-index0"))


def test_the_cameras_of_the_host_are_named_by_what_does_not_change(tmp_path: Path) -> None:
    for name in ("usb-ACME_Cam_77-video-index0", "usb-ACME_Cam_77-video-index1"):
        (tmp_path / name).touch()
    said = devices_said("/dev/v4l/by-id/usb-other-video-index0", tmp_path)
    assert said == f"; this host has {tmp_path}/usb-ACME_Cam_77-video-index0"
    assert devices_said(3, tmp_path / "none") == "; this host has no USB camera"
    assert devices_said("rtsp://cam/1", tmp_path) == ""


@pytest.mark.asyncio
async def test_a_camera_that_is_not_plugged_in_is_said_by_its_name() -> None:
    camera = open_camera("opencv:/dev/v4l/by-id/usb-none-video-index0", 1)
    with pytest.raises(CaptureError, match=r"by-id/usb-none.* cannot be opened.*this host has"):
        await camera.open()
    await camera.close()


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_camera_of_this_host_gives_pictures_of_after_their_triggers() -> None:
    if not PLUGGED:
        pytest.skip("no USB camera under /dev/v4l/by-id: plug one in (`modprobe vivid` has none)")
    camera = open_camera(f"opencv:{PLUGGED[0]}", 5, is_checked=False)
    await camera.open()
    for number in (1, 2, 3):
        picture = await camera.capture(trigger(number))
        assert float(picture.metadata["exposed_after_ms"]) >= 0
    await camera.close()
