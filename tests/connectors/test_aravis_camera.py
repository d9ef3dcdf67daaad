"""GenICam cameras by Aravis, against its fake GigE Vision camera over loopback."""

import time
from collections.abc import Iterator

import pytest

from connectors.cameras import aravis_library, open_camera
from connectors.cameras.aravis import AravisDevice
from connectors.cameras.pixels import _CODES, name_of_code, read_format
from connectors.cameras.supervised import SupervisedCamera
from connectors.errors import CaptureError
from lab.benchmarks.camera_gige import measure_gige
from lab.cameras import fake_gige
from lab.cameras.fake_gige import FEATURES, SERIAL, FakeGigECamera
from tests.connectors.test_cameras import trigger


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeGigECamera]:
    if why := fake_gige.why_not():
        pytest.skip(why)
    with FakeGigECamera() as camera:
        yield camera


@pytest.mark.slow
@pytest.mark.parametrize(
    ("which", "features", "why"),
    [
        ("77", {}, f"no such camera; found: .*{SERIAL}"),
        (SERIAL, {"NoSuchThing": 1}, "the camera has no feature NoSuchThing"),
        (SERIAL, {"PixelFormat": "Mono99"}, "PixelFormat = 'Mono99' was refused"),
    ],
)
def test_what_the_camera_does_not_take_is_said(
    fake: FakeGigECamera, which: str, features: dict[str, bool | int | float | str], why: str
) -> None:
    with pytest.raises(CaptureError, match=why):
        AravisDevice(which).open(features)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Mono16", "RGB8", "BayerRG8"])
def test_other_formats_come_with_their_name_and_time(fake: FakeGigECamera, name: str) -> None:
    device = AravisDevice("127.0.0.1")
    device.open({**FEATURES, "PixelFormat": name})
    image = device.fetch(5)
    device.close()
    assert image is not None
    form = read_format(image.format)
    assert image.format == name
    assert len(image.data) == 512 * 512 * form.channels * (1 if form.bits == 8 else 2)
    assert abs(image.stamp_ns / 1e9 - time.time()) < 60


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_camera_whose_cable_is_pulled_is_a_fault(fake: FakeGigECamera) -> None:
    told: list[bool] = []
    camera = open_camera(f"aravis:{SERIAL}", 5, 0.01, 0.8, {**FEATURES, "TriggerMode": "Off"})
    watched = SupervisedCamera(camera, 5, told.append)
    await camera.open()
    assert (await watched.capture(trigger(1))).content_type == "image/png"
    fake.stop()
    assert "no frame for 0.8 s" in await watched.camera.lost()  # type: ignore[attr-defined]
    await watched.close()


@pytest.mark.slow
def test_a_hundred_frames_are_equal_and_thirty_triggers_are_answered() -> None:
    """Last of those that need the camera: its own is the only one that the port has room for."""
    if why := fake_gige.why_not():
        pytest.skip(why)
    found = measure_gige(100, 30)
    assert (found.equal, found.answered) == (100, 30)


def test_without_the_library_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aravis_library, "_NAMES", ("libnosuch-0.0.so",))
    aravis_library.aravis.cache_clear()
    with pytest.raises(CaptureError, match="apt-get install libaravis"):
        AravisDevice("1").open({})
    aravis_library.aravis.cache_clear()


def test_every_number_of_a_format_says_its_bits() -> None:
    """The convention's numbers hold the bits of a pixel, padded or packed, in their third byte."""
    for code, name in _CODES.items():
        form = read_format(name)
        per_sample = form.bits if form.packing == "p" else 16 if form.bits > 8 else 8
        if form.packing == "Packed":
            per_sample = 12
        assert code >> 16 & 0xFF == per_sample * form.channels, name
    assert len(set(_CODES.values())) == len(_CODES)
    assert name_of_code(0x01020304) == "0x01020304"
