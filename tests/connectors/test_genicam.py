"""GenICam cameras: pixel formats, software trigger, and the simulator of the genicam wheel."""

import asyncio
import contextlib
import hashlib
import importlib.util
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.cameras import open_camera
from connectors.cameras.genicam import Feature, RawImage, encode_png
from connectors.cameras.harvester import HarvesterDevice
from connectors.cameras.pixels import read_format, unpack
from connectors.errors import CameraSpecError, CaptureError
from streams.images.decoding import decode
from tests.connectors.test_cameras import trigger


def packed(samples: list[int], bits: int, packing: str) -> bytes:
    """The packing of the standard, written down bit by bit."""
    if packing == "p":
        stream = sum(sample << (bits * n) for n, sample in enumerate(samples))
        return stream.to_bytes((len(samples) * bits + 7) // 8, "little")
    if packing == "Packed":
        low, out = bits - 8, b""
        for at in range(0, len(samples), 2):
            pair = samples[at : at + 2]
            second = sum((s & ((1 << low) - 1)) << (4 * n) for n, s in enumerate(pair))
            out += bytes([pair[0] >> low, second, *(s >> low for s in pair[1:])])
        return out
    return b"".join(sample.to_bytes(1 if bits == 8 else 2, "little") for sample in samples)


FORMATS = [
    "Mono8", "Mono10", "Mono12", "Mono14", "Mono16", "Mono10p", "Mono12p", "Mono14p",
    "Mono10Packed", "Mono12Packed", "BayerRG8", "BayerGB10p", "BayerBG12Packed", "BayerGR12",
]  # fmt: skip


@given(st.sampled_from(FORMATS), st.integers(1, 9), st.integers(1, 7), st.data())
def test_every_format_is_unpacked_as_the_standard_packs_it(
    name: str, width: int, height: int, data: st.DataObject
) -> None:
    form = read_format(name)
    count = width * height
    values = st.integers(0, (1 << form.bits) - 1)
    samples = data.draw(st.lists(values, min_size=count, max_size=count))
    sent = packed(samples, form.bits, form.packing)
    found = unpack(sent, width, height, form)
    assert found.shape == (height, width)
    assert found.dtype == (np.uint8 if form.bits == 8 else np.uint16)
    assert found.reshape(-1).tolist() == samples
    with pytest.raises(CaptureError, match="are needed"):
        unpack(sent[:-1], width, height, form)


@pytest.mark.parametrize(
    "name", ["", "YUV422_8", "Mono8p", "Mono16p", "Mono14Packed", "RGB8p", "Coord3D_ABC32f"]
)
def test_a_format_that_is_not_read_says_which_are(name: str) -> None:
    with pytest.raises(CaptureError, match="set PixelFormat to Mono8"):
        read_format(name)


@pytest.mark.parametrize(
    ("name", "pixel", "bgr"),
    [
        ("RGB8", [1, 2, 3], [3, 2, 1]), ("BGR8", [1, 2, 3], [1, 2, 3]),
        ("RGBa8", [1, 2, 3, 9], [3, 2, 1]), ("BGRa8", [1, 2, 3, 9], [1, 2, 3]),
    ],
)  # fmt: skip
def test_colours_keep_their_places(name: str, pixel: list[int], bgr: list[int]) -> None:
    data, _ = encode_png(RawImage(bytes(pixel * 4), 2, 2, name))
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert found is not None
    assert found[0, 0].tolist() == bgr


@pytest.mark.parametrize("name", ["BayerRG8", "BayerGR8", "BayerGB8", "BayerBG8", "BayerRG12"])
def test_a_red_part_is_red_in_every_bayer_pattern(name: str) -> None:
    form = read_format(name)
    rows = {"RG": ("RG", "GB"), "GR": ("GR", "BG"), "GB": ("GB", "RG"), "BG": ("BG", "GR")}
    tile = [[200 if c == "R" else 0 for c in row] for row in rows[form.kind[-2:]]]
    pixels = np.tile(np.array(tile, np.uint8 if form.bits == 8 else "<u2"), (4, 4))
    data, _ = encode_png(RawImage(pixels.tobytes(), 8, 8, name))
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert found is not None
    blue, green, red = found[4, 4].tolist()
    assert (blue, green, red) == (0, 0, 200)


@pytest.mark.parametrize(("name", "bits"), [("Mono10", 10), ("Mono12p", 12), ("RGB12", 12)])
def test_the_depth_goes_with_the_frame_to_every_reader(name: str, bits: int) -> None:
    """A dim picture whose values fit fewer bits is not taken for a bright one of fewer."""
    form = read_format(name)
    sent = packed([200] * 4 * form.channels, form.bits, form.packing)
    found = decode(encode_png(RawImage(sent, 2, 2, name))[0])
    assert (found.bits, found.guessed) == (bits, False)
    assert found.pixels.max() == round(255 * 200 / ((1 << bits) - 1))


class Acquirer:
    """As harvesters' own: None at once for a frame that lost packets, else after the time."""

    def __init__(self, *waiting: object) -> None:
        self.waiting = list(waiting)

    def try_fetch(self, timeout: float) -> object:
        if self.waiting:
            return self.waiting.pop(0)
        time.sleep(timeout)
        return None


def test_a_frame_that_lost_packets_does_not_hide_those_that_wait_behind_it() -> None:
    """Nothing waits any more, it said: what was exposed long ago counted as new."""
    pixels = SimpleNamespace(data=np.zeros(4, np.uint8), width=2, height=2, data_format="Mono8")
    payload = SimpleNamespace(components=[pixels])
    whole = contextlib.nullcontext()
    device = HarvesterDevice("1", None)
    for waiting, found, incomplete in (((None, whole), True, 1), ((None, None), False, 3)):
        device._acquirer = Acquirer(*waiting)
        whole.payload = payload  # type: ignore[attr-defined]
        image = device.fetch(0.02)
        assert (image is not None, device.incomplete) == (found, incomplete)


def test_a_trigger_without_a_source_is_refused_with_what_to_set() -> None:
    with pytest.raises(CameraSpecError, match="TriggerSource; set Software, or the line"):
        open_camera("genicam:1", features={"TriggerMode": "On"})


@pytest.mark.asyncio
async def test_a_producer_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"no file .*x\.cti|needs the extra"):
        await open_camera("genicam:1", 1, producer=tmp_path / "x.cti").open()


def simulator() -> Path:
    """The producer of the genicam wheel, which simulates free-running cameras."""
    found = importlib.util.find_spec("genicam") and importlib.util.find_spec("harvesters")
    if not found:
        pytest.skip("the extra genicam is not installed")
    spec = importlib.util.find_spec("genicam")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).with_name("viky.cti")
    if not path.is_file():
        pytest.skip("this genicam wheel has no simulator")
    return path


@pytest.mark.asyncio
async def test_the_simulated_cameras_give_frames_after_their_triggers() -> None:
    producer = simulator()
    mono: dict[str, Feature] = {"PixelFormat": "Mono8"}
    camera = open_camera("genicam:1", 5, 0.01, 2.0, mono, producer, is_checked=False)  # it repeats
    for _ in range(2):
        await camera.open()
        hashes = set()
        for number in range(1, 6):
            picture = await camera.capture(trigger(number))
            assert float(picture.metadata["exposed_after_ms"]) >= 0
            hashes.add(hashlib.sha256(picture.data).hexdigest())
        assert len(hashes) > 1
        await camera.close()
        await asyncio.sleep(0.2)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("serial", "features", "why"),
    [
        ("77", {}, "serial numbers found: 0, 1, 2"),
        ("1", {"NoSuchThing": 1}, "has no feature NoSuchThing"),
        ("1", {"PixelFormat": "Mono99"}, "PixelFormat = 'Mono99' was refused"),
    ],
)
async def test_what_a_camera_does_not_take_is_said(
    serial: str, features: dict[str, Feature], why: str
) -> None:
    camera = open_camera(f"genicam:{serial}", 5, features=features, producer=simulator())
    with pytest.raises(CaptureError, match=why):
        await camera.open()
    await camera.close()
