"""A camera that a wire exposes gives the part's frame, or none; never that of a neighbour."""

import asyncio
import queue
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.cameras import open_camera
from connectors.cameras.adjustable import Feature
from connectors.cameras.checked import CheckedCamera
from connectors.cameras.genicam import RawImage
from connectors.cameras.wire import DRIFT, Exposed, LatchedClock, frame_of
from connectors.cameras.wired import WiredCamera, WiredSource, WireTiming
from connectors.errors import CameraSpecError, CaptureError
from connectors.settings import GatewaySettings
from lab.plc.controller import PlcConfig
from lab.plc.plan import PlannedPart
from streams.ports import Picture
from streams.topics import FRAMES
from tests.connectors.line import running_line
from tests.connectors.test_cameras import trigger
from tests.waiting import until

WINDOW_S = 0.02
WIRE: dict[str, Feature] = {"TriggerMode": "On", "TriggerSource": "Line1"}
AHEAD_S = 86_400.0
"""The camera's clock is a day ahead of the host's."""


@dataclass(frozen=True)
class Passing:
    """A part at the light barrier: when it was, and what was lost of it."""

    at: float
    trigger: float
    """When the controller says that it came; within the window together with the frame."""
    frame: Exposed
    has_trigger: bool
    has_frame: bool


@st.composite
def passings(draw: st.DrawFn, least_s: float, lost: bool) -> list[Passing]:
    """Parts over ``least_s`` apart; exposure and trigger stray by a part of the window."""
    at, found = 0.0, []
    for _ in range(draw(st.integers(1, 12))):
        at += least_s + draw(st.floats(0.0001, 0.06))
        strays = draw(st.floats(-0.0049, 0.0049))
        exposed = at + draw(st.floats(-0.0049, 0.0049))
        blur = draw(st.floats(0, 0.0049))
        frame = Exposed(exposed - blur, exposed + draw(st.floats(0, 0.0049)))
        keeps = draw(st.booleans()) or not lost
        found.append(Passing(at, at + strays, frame, keeps, draw(st.integers(0, 4)) > 0))
    return found


@given(st.booleans().flatmap(lambda lost: passings(2 * WINDOW_S if lost else 0.0, lost)))
def test_no_part_ever_gets_the_frame_of_another(parts: list[Passing]) -> None:
    """Frames may be lost at any distance; triggers too, of parts over twice the window apart."""
    frames = [part.frame for part in parts if part.has_frame]
    owners = [part for part in parts if part.has_frame]
    triggers = [part.trigger for part in parts if part.has_trigger]
    for part in (part for part in parts if part.has_trigger):
        others = [at for at in triggers if at != part.trigger]
        try:
            found = frame_of(part.trigger, others, frames, WINDOW_S)
        except CaptureError:
            alone = all(abs(other.at - part.at) > 4 * WINDOW_S for other in parts if other != part)
            assert not (alone and part.has_frame)
        else:
            assert owners[found] is part


@pytest.mark.parametrize(
    ("others", "frames", "why"),
    [
        ([], [], "no frame was exposed within 20 ms of the trigger, nor at any other time"),
        ([], [Exposed(1.05, 1.05)], "the nearest is [+]50 ms from it"),
        ([], [Exposed(0.99, 0.99), Exposed(1.01, 1.01)], "2 frames may have been exposed"),
        ([], [Exposed(0.95, 1.0)], "exposed -50 to [+]0 ms .* not wholly within 20 ms"),
        ([1.03], [Exposed(1.0, 1.0)], "another trigger came [+]30 ms .* twice the window of 20 ms"),
    ],
)
def test_what_cannot_be_told_is_said(others: list[float], frames: list[Exposed], why: str) -> None:
    with pytest.raises(CaptureError, match=why):
        frame_of(1.0, others, frames, WINDOW_S)


@given(st.floats(-10, 10), st.floats(0, 0.01), st.floats(-DRIFT, DRIFT), st.floats(0, 20))
def test_the_time_of_a_frame_is_within_what_the_latched_clock_says(
    offset: float, round_trip: float, drift: float, later: float
) -> None:
    """The camera's clock runs fast or slow, and was read somewhere within the round trip."""
    read_at = 100.0 + round_trip / 2
    clock = LatchedClock(100.0, 100.0 + round_trip, round(1e9 * (1000 + offset)))
    stamp = 1000 + offset + later / (1 + drift)
    found = clock.exposed(round(1e9 * stamp))
    assert found.earliest - 1e-6 <= read_at + later <= found.latest + 1e-6


class OnTheWire:
    """A camera whose line the test pulls; its clock is another one."""

    name = "genicam:wire"

    def __init__(self, has_clock: bool = True) -> None:
        self.frames: queue.Queue[RawImage | Exception] = queue.Queue()
        self.has_clock = has_clock

    def open(self, features: Mapping[str, Feature]) -> None:
        assert features == WIRE

    def pull(self, shade: int, at: float) -> None:
        """The part of ``shade`` interrupts the light barrier at ``at``."""
        stamp_ns = round(1e9 * (at + AHEAD_S))
        self.frames.put(RawImage(bytes([shade] * 16), 4, 4, "Mono8", stamp_ns))

    def fetch(self, timeout_s: float) -> RawImage | None:
        try:
            found = self.frames.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if isinstance(found, Exception):
            raise found
        return found

    def trigger(self) -> None:
        raise AssertionError("nobody commands an exposure")

    def clock_ns(self) -> int | None:
        return round(1e9 * (time.monotonic() + AHEAD_S)) if self.has_clock else None

    def close(self) -> None: ...


def on_the_wire(device: OnTheWire, latency_s: float = 0.05) -> WiredCamera:
    timing = WireTiming(0.1, latency_s, 5)
    return WiredCamera(lambda: WiredSource(device, WIRE, timing), timing)


def shade_of(picture: Picture) -> int:
    pixels = cv2.imdecode(np.frombuffer(picture.data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    return int(pixels[0, 0])


@pytest.mark.asyncio
async def test_each_part_gets_its_own_frame_though_it_came_before_the_notification() -> None:
    device = OnTheWire()
    camera = CheckedCamera(on_the_wire(device))
    await camera.open()
    begun = time.monotonic()
    for number, shade in enumerate((40, 80)):
        device.pull(shade, begun + 0.25 * number - 0.03)
    for number, shade in enumerate((40, 80)):
        given = replace(trigger(number + 1), given_at=begun + 0.25 * number)
        picture = await camera.capture(given)
        assert shade_of(picture) == shade
        assert picture.metadata["exposed_by"] == "device"
    with pytest.raises(CaptureError, match=r"within 100 ms of the trigger; the nearest is -"):
        await camera.capture(replace(trigger(3), given_at=begun + 0.5))
    await camera.close()


@pytest.mark.asyncio
async def test_a_second_frame_that_comes_after_the_first_is_waited_for() -> None:
    device = OnTheWire()
    camera = on_the_wire(device)
    await camera.open()
    at = time.monotonic()
    device.pull(1, at)
    capture = asyncio.ensure_future(camera.capture(replace(trigger(1), given_at=at)))
    await asyncio.sleep(0)
    device.pull(2, at + 0.05)
    with pytest.raises(CaptureError, match="2 frames may have been exposed within 100 ms"):
        await capture
    await camera.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(("latency_s", "is_enough"), [(0.05, True), (0.3, False)])
async def test_without_the_cameras_clock_the_arrival_must_be_narrow_enough(
    latency_s: float, is_enough: bool
) -> None:
    device = OnTheWire(has_clock=False)
    camera = on_the_wire(device, latency_s)
    if not is_enough:
        with pytest.raises(CaptureError, match=r"within 300 ms .* twice camera_trigger_window_ms"):
            await camera.open()
        return
    await camera.open()
    device.pull(7, 0)
    picture = await camera.capture(trigger(1))
    assert shade_of(picture) == 7
    assert picture.metadata["exposed_by"] == "arrival"
    await camera.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("silently", [False, True])
async def test_an_unplugged_camera_is_told_without_any_part(silently: bool) -> None:
    device = OnTheWire()
    camera = on_the_wire(device)
    await camera.open()
    if silently:
        device.has_clock = False
    else:
        device.frames.put(RuntimeError("unplugged"))
    assert ("read no more" if silently else "unplugged") in await camera.lost()
    with pytest.raises(CaptureError, match=r"read no more|unplugged"):
        await camera.capture(trigger(1))
    await camera.close()


def test_a_window_that_no_capture_can_wait_for_is_refused() -> None:
    with pytest.raises(CameraSpecError, match=r"are 2\.2 s, and a capture may take 2 s"):
        open_camera("aravis:1", 2.0, 0.2, features=WIRE, window_s=1.0)


@pytest.mark.slow
@pytest.mark.asyncio
async def test_through_controller_and_gateway_each_part_has_its_own_frame(tmp_path: Path) -> None:
    """The third frame is lost: its part is held, and the fourth is not shown for it."""
    device = OnTheWire()
    timing = WireTiming(0.2, 0.1, 5)
    camera = WiredCamera(lambda: WiredSource(device, WIRE, timing), timing)
    plc = PlcConfig(takt_s=1.0, window_s=10.0, heartbeat_missed=100)
    config = GatewaySettings(result_window_ms=10_000)
    async with running_line(tmp_path, plc, config=config, cameras=[camera]) as line:
        await line.start_gateway()
        for number in (1, 2, 3, 4):
            ends = time.monotonic() + 0.9
            if number != 3:
                device.pull(number, time.monotonic())
            await line.plc.trigger(PlannedPart(part_id=str(number), product_id="demo"))
            await asyncio.sleep(ends - time.monotonic())
        await until(lambda: len(line.bus.frames) == 3, 20)
        sent = [(event.part_id, value) for event, value in line.bus.of(FRAMES.name)]
    shades = {part: shade_of(Picture(value, "image/png")) for part, value in sent}
    assert shades == {"1": 1, "2": 2, "4": 4}
