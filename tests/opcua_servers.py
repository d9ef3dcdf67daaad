"""OPC UA servers that begin and end at once: asyncua takes a second of CPU and a second of waiting.

It builds its 6,000 standard nodes for every server. From a shelf, its own way for slow devices, a
server reads those that are asked for. And a server that stops waits until its clock, which ticks
each second, has ticked once more.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from asyncua import Server
from asyncua.server.internal_server import InternalServer


@contextmanager
def quick_servers(folder: Path) -> Iterator[None]:
    """The first server makes the shelf; every server begun after it reads from there."""
    shelf, init, stop = folder / "standard-nodes", Server.init, InternalServer.stop
    was_made = False

    async def from_shelf(self: Server, shelf_file: Path | None = None) -> None:
        nonlocal was_made
        is_there = shelf.is_file() or shelf.with_suffix(".db").is_file()
        # where Python's dbm cannot keep one that asyncua finds again, each is built as ever
        await init(self, shelf_file or (shelf if is_there or not was_made else None))
        was_made = True

    async def without_a_last_tick(self: InternalServer) -> None:
        if self.time_task is not None:
            self.time_task.cancel()
            await asyncio.wait([self.time_task])
            self.time_task = None
        await stop(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Server, "init", from_shelf)
        patch.setattr(InternalServer, "stop", without_a_last_tick)
        yield
