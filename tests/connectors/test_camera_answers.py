"""What cameras answer: pictures in chunks, in halves or none, and drivers that fail unforeseen."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from email.message import Message

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from connectors.cameras.http import MjpegSource, SnapshotCamera
from connectors.cameras.http_body import BodyReader
from connectors.cameras.supervised import SupervisedCamera
from connectors.cameras.survey import survey
from connectors.errors import CaptureError
from streams.ports import Picture, Trigger
from tests.connectors.test_cameras import trigger
from tests.waiting import until

STREAM = b"Content-Type: multipart/x-mixed-replace; boundary=frame\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


def frame(data: bytes) -> tuple[bytes, bytes, bytes]:
    """A frame as a microcontroller's server sends it: boundary, headers and picture apart."""
    length = b"Content-Length: %d\r\n\r\n" % len(data)
    return b"\r\n--frame\r\n", b"Content-Type: image/jpeg\r\n" + length, data


@contextlib.contextmanager
def answering(
    headers: bytes, body: bytes, hangs_up: bool, status: bytes = b"200 OK"
) -> Iterator[str]:
    """A camera that answers each request with one packet, and then hangs up or says no more."""
    server = socket.create_server(("127.0.0.1", 0))
    kept = []

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                connection.recv(1 << 16)
                connection.sendall(b"HTTP/1.1 " + status + b"\r\n" + headers + b"\r\n" + body)
                if hangs_up:
                    connection.close()
                kept.append(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}/picture"
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()
    for connection in kept:
        connection.close()


@pytest.mark.parametrize("is_chunked", [True, False])
def test_a_frame_is_read_when_it_came_and_not_with_the_one_behind_it(is_chunked: bool) -> None:
    """One that waits for the next frame's bytes would be taken for as new as those are."""
    pieces = frame(b"first")
    headers = STREAM + CHUNKED if is_chunked else STREAM
    body = chunked(*pieces) if is_chunked else b"".join(pieces)
    with answering(headers, body, hangs_up=False) as address:
        source = MjpegSource(address, 1.0, 0.0)
        source.open()
        assert source.read().encode() == (b"first", "image/jpeg")
        source.close()


def test_what_a_camera_sends_between_its_pictures_is_none() -> None:
    """Events of its analytics came as the picture of every second part."""
    between = b'\r\n--frame\r\nContent-Type: application/json\r\n\r\n{"motion": 1}'
    unnamed = b"\r\n--frame\r\nContent-Type: application/octet-stream\r\n\r\n\xff\xd8second"
    body = between + b"".join(frame(b"first")) + between * 2 + unnamed + between + b"\r\n--frame"
    with answering(STREAM, body, hangs_up=True) as address:
        source = MjpegSource(address, 1.0, 0.0)
        source.open()
        found = [source.read().encode() for _ in range(2)]
        assert found == [(b"first", "image/jpeg"), (b"\xff\xd8second", "image/jpeg")]
        with pytest.raises(CaptureError, match="closed the stream"):
            source.read()
        source.close()


@pytest.mark.asyncio
async def test_a_picture_in_chunks_is_whole_or_refused() -> None:
    headers = b"Content-Type: image/jpeg\r\n" + CHUNKED
    whole = chunked(b"half of ", b"a picture", b"")
    with answering(headers, whole, hangs_up=False) as address:
        picture = await SnapshotCamera(address, latency_s=0).capture(trigger(1))
    assert picture.data == b"half of a picture"
    for cut in (whole[:-5], whole[:8], whole[:1]):
        with (
            answering(headers, cut, hangs_up=True) as address,
            pytest.raises(CaptureError, match=r"only \d+ bytes of a picture came"),
        ):
            await SnapshotCamera(address).open()
    with (
        answering(headers, b"\xff\xd8 no chunk\r\n", hangs_up=True) as address,
        pytest.raises(CaptureError, match="is no size of a chunk"),
    ):
        await SnapshotCamera(address).open()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("status", "headers", "advice"),
    [
        (b"302 Found", b"Location: /new?password=secret\r\n", r"sends on to /new.*write that"),
        (b"503 Busy", b"", "the camera itself fails"),
        (b"403 No", b"", "check user and password"),
        (b"404 No", b"", "check the path"),
        (b"200 OK", STREAM, "write opencv:ADDRESS"),
        (b"200 OK", b"Content-Type: text/html\r\n", r"sends text/html, and .* a login"),
        (b"200 OK", b"", "does not say what it sends"),
    ],
)
async def test_an_answer_without_a_picture_says_what_to_do(
    status: bytes, headers: bytes, advice: str
) -> None:
    with (
        answering(headers, b"x", hangs_up=True, status=status) as address,
        pytest.raises(CaptureError, match=advice) as told,
    ):
        await SnapshotCamera(address).open()
    assert "secret" not in str(told.value)


@pytest.mark.asyncio
async def test_half_a_picture_whose_length_nobody_said_fails_the_check() -> None:
    """The line's experts refuse it, so a check that passed would be none."""
    whole = cv2.imencode(".jpg", np.random.default_rng(1).integers(30, 200, (64, 64), np.uint8))[1]
    data = whole.tobytes()
    for sent, failed in ((data, 0), (data[: len(data) // 2], 1)):
        with answering(b"Content-Type: image/jpeg\r\n", sent, hangs_up=True) as address:
            found = await survey(SnapshotCamera(address, latency_s=0), 1, lambda _: None)
        assert (found.failed, bool(found.why)) == (failed, bool(failed))


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.integers(1, 60))
def test_chunks_are_taken_apart_whatever_the_pieces(parts: list[bytes], width: int) -> None:
    answer = Message()
    answer["Transfer-Encoding"] = "Chunked"
    reader, sent = BodyReader(answer), chunked(*parts, b"")
    pieces = [sent[at : at + width] for at in range(0, len(sent), width)]
    assert b"".join(reader.feed(piece) for piece in pieces) == b"".join(parts)
    assert reader.is_whole


def test_a_stated_length_ends_a_body_whose_connection_stays() -> None:
    answer = Message()
    answer["Content-Length"] = "3"
    reader = BodyReader(answer)
    assert (reader.feed(b"ab"), reader.is_whole) == (b"ab", False)
    assert (reader.feed(b"cd"), reader.is_whole, reader.is_over) == (b"c", True, True)


class Unforeseen:
    """A camera whose folder is on a network that comes back at the third try."""

    def __init__(self) -> None:
        self.tries = 0

    async def open(self) -> None:
        self.tries += 1
        if self.tries < 3:
            raise OSError(116, "Stale file handle")

    async def capture(self, trigger: Trigger) -> Picture:
        raise AssertionError

    async def close(self) -> None:
        raise OSError(116, "Stale file handle")


@pytest.mark.asyncio
async def test_a_camera_that_fails_as_nobody_foresaw_is_opened_again() -> None:
    faults: list[bool] = []
    camera = SupervisedCamera(Unforeseen(), 1.0, faults.append, retry_max_s=0.01)
    with capture_logs() as told:
        running = asyncio.create_task(camera.run())
        await until(lambda: faults == [False])
    running.cancel()
    assert [row["why"] for row in told if row["event"] == "camera.unavailable"] == [
        "[Errno 116] Stale file handle"
    ]
