"""A camera whose calls hang holds up nobody else."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import pytest_asyncio

from connectors.cameras import open_camera
from connectors.cameras.folder import FolderCamera
from connectors.cameras.supervised import SupervisedCamera
from connectors.errors import CaptureError
from streams.ports import Picture, Trigger
from tests.connectors.test_cameras import trigger
from tests.waiting import until


@pytest_asyncio.fixture(autouse=True)
async def one_thread() -> AsyncIterator[None]:
    """The event loop lends one thread, as it lends six on a machine of two cores."""
    lent = ThreadPoolExecutor(1)
    asyncio.get_running_loop().set_default_executor(lent)
    yield
    lent.shutdown(wait=False)


async def is_lent() -> bool:
    """Whether the journal would get a thread."""
    async with asyncio.timeout(5):
        return await asyncio.to_thread(lambda: True)


@pytest.mark.asyncio
async def test_a_share_that_hangs_leaves_the_journal_its_threads(tmp_path: Path) -> None:
    """Who reads a pipe that nobody writes hangs, as on a share whose server is gone."""
    pipe = tmp_path / "part.png"
    os.mkfifo(pipe)
    camera = SupervisedCamera(FolderCamera([pipe]), 0.05, lambda broken: None)
    try:
        for number in range(4):
            with pytest.raises(CaptureError, match="no picture in"):
                await camera.capture(trigger(number + 1))
            assert await is_lent()
        with pytest.raises(CaptureError, match="hangs; the last 4 calls did not come back"):
            await camera.capture(trigger(5))
    finally:
        os.close(os.open(pipe, os.O_RDWR | os.O_NONBLOCK))


@pytest.mark.asyncio
async def test_a_camera_that_never_answers_leaves_the_journal_its_threads() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        camera = open_camera(f"snapshot:http://127.0.0.1:{server.getsockname()[1]}/a.jpg", 10, 0)
        capture = asyncio.ensure_future(camera.capture(trigger(1)))
        server.setblocking(False)
        peer, _ = await asyncio.get_running_loop().sock_accept(server)
        assert await is_lent()
        peer.close()
        with pytest.raises(CaptureError, match="cannot be opened"):
            await capture


@pytest.mark.asyncio
async def test_a_camera_that_hangs_while_it_opens_is_told_and_tried_again() -> None:
    class Hangs:
        openings = 0

        async def open(self) -> None:
            self.openings += 1
            await asyncio.Event().wait()

        async def close(self) -> None: ...

    hangs = Hangs()
    camera = SupervisedCamera(hangs, 0.001, lambda broken: None, retry_max_s=0.01)  # type: ignore[arg-type]
    running = asyncio.ensure_future(camera.run())
    await until(lambda: hangs.openings == 2)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


@pytest.mark.asyncio
async def test_a_driver_that_raises_an_error_of_its_own_is_a_fault_after_three() -> None:
    class Broken:
        async def open(self) -> None: ...

        async def close(self) -> None: ...

        async def capture(self, trigger: Trigger) -> Picture:
            raise ValueError("cannot reshape")

    told: list[bool] = []
    camera = SupervisedCamera(Broken(), 5, told.append)
    for number in range(3):
        with pytest.raises(ValueError, match="cannot reshape"):
            await camera.capture(trigger(number + 1))
    assert told == [True]
