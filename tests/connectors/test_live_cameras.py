"""A live camera gives a frame of this part, or says why not."""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.cameras import open_camera
from connectors.cameras.checked import CheckedCamera
from connectors.cameras.health import fault_of_picture, figures_of
from connectors.cameras.http_request import authorization
from connectors.cameras.live import LiveCamera, LiveFrame
from connectors.cameras.multipart import MultipartReader
from connectors.cameras.supervised import SupervisedCamera
from connectors.errors import CaptureError
from lab.benchmarks.camera import CameraBenchmark, measure_freshness, measure_stall
from lab.cameras.network import NetworkCamera
from lab.cameras.painted import painted, read_painted
from streams.ports import Picture, Trigger
from tests.connectors.test_cameras import trigger


class Scripted:
    """A source whose frames are put in by the test."""

    name = "scripted"

    def __init__(self) -> None:
        self.frames: list[LiveFrame | Exception] = []
        self.more = threading.Semaphore(0)
        self.closed = threading.Event()

    def put(self, began: float | None, data: bytes = b"x") -> None:
        self.frames.append(LiveFrame(began, lambda: (data, "image/png")))
        self.more.release()

    def fail(self, error: Exception) -> None:
        self.frames.append(error)
        self.more.release()

    def open(self) -> None: ...
    def read(self) -> LiveFrame:
        self.more.acquire()
        frame = self.frames.pop(0)
        if isinstance(frame, Exception):
            raise frame
        return frame

    def close(self) -> None:
        self.closed.set()

    def abort(self) -> None:
        self.fail(CaptureError("closed"))


async def opened(timeout_s: float = 5.0, stall_s: float = 5.0) -> tuple[LiveCamera, Scripted]:
    source = Scripted()
    camera = LiveCamera(lambda: source, timeout_s, stall_s)
    source.put(time.monotonic() - 1)
    await camera.open()
    return camera, source


@pytest.mark.asyncio
async def test_what_was_exposed_before_the_trigger_is_passed_over() -> None:
    camera, source = await opened()
    capture = asyncio.ensure_future(camera.capture(trigger(1)))
    await asyncio.sleep(0)
    source.put(time.monotonic() - 0.5, b"of the part before")
    source.put(None, b"of who knows when")
    source.put(time.monotonic() + 0.001, b"of this part")
    picture = await capture
    assert picture.data == b"of this part"
    assert float(picture.metadata["exposed_after_ms"]) >= 0
    await camera.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("began", "why"),
    [
        (lambda: time.monotonic() - 3, "exposed 3[0-9]{3} ms before the trigger"),
        (lambda: None, "how old its frames are is not known yet"),
    ],
)
async def test_no_new_frame_is_no_picture_and_says_so(
    began: Callable[[], float | None], why: str
) -> None:
    camera, source = await opened(timeout_s=0.2)
    capture = asyncio.ensure_future(camera.capture(trigger(1)))
    await asyncio.sleep(0)
    source.put(began())
    with pytest.raises(CaptureError, match=why):
        await capture
    await camera.close()


@pytest.mark.asyncio
async def test_a_camera_that_gives_nothing_more_says_so() -> None:
    camera, _ = await opened(timeout_s=0.05)
    with pytest.raises(CaptureError, match="no frame since the trigger"):
        await camera.capture(trigger(1))
    await camera.close()


@pytest.mark.asyncio
async def test_a_lost_source_is_told_at_once_and_its_driver_is_closed() -> None:
    camera, source = await opened()
    source.fail(RuntimeError("unplugged"))
    assert "RuntimeError: unplugged" in await camera.lost()
    with pytest.raises(CaptureError, match="unplugged"):
        await camera.capture(trigger(1))
    assert source.closed.wait(5)


@pytest.mark.asyncio
async def test_a_stalled_source_is_a_fault_without_any_trigger_and_is_opened_again() -> None:
    made: list[Scripted] = []

    def make() -> Scripted:
        made.append(Scripted())
        made[-1].put(time.monotonic())
        return made[-1]

    faults: asyncio.Queue[bool] = asyncio.Queue()
    watched = SupervisedCamera(LiveCamera(make, 5, stall_s=0.05), 5, faults.put_nowait)
    running = asyncio.ensure_future(watched.run())
    told = [await asyncio.wait_for(faults.get(), 20) for _ in range(3)]
    assert told == [False, True, False]
    assert len(made) >= 2
    running.cancel()
    await asyncio.wait([running])
    await watched.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["opencv", "snapshot", "rtsp"])
async def test_no_picture_of_a_network_camera_is_older_than_its_trigger(kind: str) -> None:
    options = CameraBenchmark(triggers=4)
    found = await measure_freshness(kind, 0.1, options, lambda _: None)
    assert (found.stale, found.failed) == (0, 0)


@pytest.mark.asyncio
async def test_frames_that_waited_while_nobody_read_are_not_new() -> None:
    """The reading thread is held up for a second: what waits then is passed over."""
    with NetworkCamera(25, 0.02) as twin:
        camera = open_camera(f"opencv:{twin.stream}", 10, latency_s=0.03)
        await camera.open()
        source = camera.inner._session.source  # type: ignore[attr-defined]
        plain, held = source._more, threading.Event()

        def hold_up() -> bytes:
            if not held.is_set():
                held.set()
                time.sleep(1)
            data: bytes = plain()
            return data

        source._more = hold_up
        await asyncio.to_thread(held.wait, 5)
        await asyncio.sleep(0.9)
        asked = twin.now_ms()
        picture = await camera.capture(trigger(1))
        pixels = cv2.imdecode(np.frombuffer(picture.data, np.uint8), cv2.IMREAD_GRAYSCALE)
        assert pixels is not None
        assert read_painted(np.asarray(pixels, np.uint8)) >= asked - 1
        await camera.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["opencv", "rtsp"])
async def test_a_stalled_network_camera_is_found_by_its_silence(kind: str) -> None:
    assert await measure_stall(CameraBenchmark(), kind) > 0


@pytest.mark.asyncio
async def test_the_same_snapshot_twice_is_no_new_picture() -> None:
    with NetworkCamera(0.001, 0) as twin:
        camera = open_camera(f"snapshot:{twin.snapshot}", 5, latency_s=0)
        await camera.open()
        await camera.capture(trigger(1))
        with pytest.raises(CaptureError, match="the same bytes as before"):
            await camera.capture(trigger(2))


@dataclass
class Showing:
    """A camera that shows what it is told."""

    shown: list[np.ndarray[tuple[int, ...], np.dtype[np.uint8 | np.uint16]]]

    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def capture(self, trigger: Trigger) -> Picture:
        data = cv2.imencode(".png", self.shown.pop(0))[1].tobytes()
        return Picture(data, "image/png", f"{trigger.trigger_seq}.png")


def noise(low: int, high: int, size: int = 64, kind: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(low + high).integers(low, high, (size, size)).astype(kind)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("picture", "why"),
    [
        (noise(0, 5), "black"), (noise(0, 15, kind=np.uint16), "black"),
        (noise(252, 256), "saturated"), (noise(4070, 4096, kind=np.uint16), "saturated"),
        (noise(0, 200, size=32), "32 x 32, and was 64 x 64"), (noise(0, 200), "the same bytes"),
    ],
)  # fmt: skip
async def test_a_picture_that_is_none_is_refused_and_the_next_is_taken(
    picture: np.ndarray, why: str
) -> None:
    camera = CheckedCamera(Showing([noise(0, 200), picture, noise(5, 100)]))
    await camera.capture(trigger(1))
    with pytest.raises(CaptureError, match=why):
        await camera.capture(trigger(2))
    await camera.capture(trigger(3))


@pytest.mark.parametrize("picture", [noise(0, 30), noise(200, 256), noise(0, 1000, kind=np.uint16)])
def test_dim_and_bright_parts_are_pictures(picture: np.ndarray) -> None:
    full = picture if picture.dtype == np.uint8 else picture << 4
    assert fault_of_picture(figures_of(full), None) == ""


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("opencv:{0}/snapshot.jpg", "sends image/jpeg, no stream.*snapshot:ADDRESS"),
        (
            "snapshot:{0}/stream.mjpg",
            "sends multipart/x-mixed-replace, a stream; write opencv:ADDRESS",
        ),
        ("opencv:{0}/other", "HTTP 404; check the path"),
        ("snapshot:{0}/other", "HTTP 404; check the path"),
    ],
)
async def test_a_wrong_address_says_what_to_write(spec: str, why: str) -> None:
    with NetworkCamera() as twin:
        camera = open_camera(spec.format(twin.stream.removesuffix("/stream.mjpg")), 5)
        with pytest.raises(CaptureError, match=why):
            await camera.open()


@given(st.integers(0, 2**32 - 1))
def test_a_painted_time_is_read_back_after_compression(milliseconds: int) -> None:
    data = cv2.imencode(".jpg", painted(milliseconds))[1]
    pixels = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert pixels is not None
    assert read_painted(np.asarray(pixels, np.uint8)) == milliseconds


bodies = st.lists(st.binary(min_size=1, max_size=40).map(lambda b: b"\xff" + b), max_size=5)


@given(bodies, st.booleans(), st.integers(1, 60), st.sampled_from(["b", "--b", '"b"']))
def test_a_stream_is_read_whatever_its_pieces(
    pictures: list[bytes], lengths: bool, step: int, boundary: str
) -> None:
    pictures = [p.replace(b"--b", b"").rstrip(b"\r\n-") or b"p" for p in pictures]
    sent = b""
    for picture in pictures:
        length = f"Content-Length: {len(picture)}\r\n" if lengths else ""
        sent += f"--b\r\nContent-Type: image/jpeg\r\n{length}\r\n".encode() + picture + b"\r\n"
    sent += b"--b\r\n"
    reader = MultipartReader(boundary)
    found = [
        part
        for at in range(0, len(sent), step)
        for part in reader.feed(sent[at : at + step], float(at))
    ]
    assert [part.body for part in found] == pictures
    for part in found:  # the mark is of the piece that held the body's first byte
        piece = int(part.mark)
        assert part.body[:1] in sent[piece : piece + step]


@pytest.mark.parametrize(
    "sent",
    [b"--b\r\nContent-Length: 99999999999\r\n\r\nx", b"x" * 20_000, b"--b\n\n" + b"y" * 2000],
)
def test_what_is_no_stream_is_refused_within_bounds(sent: bytes) -> None:
    with pytest.raises(CaptureError):
        MultipartReader("b", limit=1000).feed(sent, 0.0)


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_a_digest_is_answered_without_the_password(algorithm: str) -> None:
    demanded = f'Digest realm="cam", nonce="n1", qop="auth", algorithm={algorithm}, opaque="o"'
    found = authorization("http://op:geheim@cam/live?x=1", demanded)
    assert 'username="op", realm="cam", nonce="n1", uri="/live?x=1"' in found
    assert "geheim" not in found


def test_the_digest_of_the_standards_example() -> None:
    demanded = 'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"'
    found = authorization("http://Mufasa:Circle%20Of%20Life@host/dir/index.html", demanded)
    assert 'response="670fd8c2df070c60b045671b8b24ff02"' in found
