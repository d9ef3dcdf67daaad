"""A TCP proxy that makes a link slow, distant and unreliable, and counts what it carries."""

import asyncio
import contextlib
import random
import socket
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

CHUNK: Final = 16 << 10
_SOCKET_BYTES: Final = 64 << 10
"""Buffers of the proxy's sockets: what waits must wait at the sender, as behind a real link."""
_BURST_S: Final = 0.05
"""A link that idled so long, or whose timer came so late, makes up for it."""
_DOOM_BYTES: Final = 4 << 20
"""An unlucky connection ends somewhere in its first so many bytes."""


class Doom(StrEnum):
    """What becomes of an unlucky connection."""

    RESET = "reset"
    """It is reset."""
    STALL = "stall"
    """It stays open, and nothing passes any more."""


@dataclass(frozen=True)
class Link:
    """What the link is like."""

    bytes_s: float
    """Of all connections together, in each direction."""
    delay_s: float = 0.0
    """From one end to the other."""
    unlucky_in: int = 0
    """One connection in so many is reset or stalls; 0: none."""
    seed: int = 0


@dataclass
class Carried:
    """What passed."""

    up_bytes: int = 0
    """Towards the server."""
    connections: int = 0
    unlucky: int = 0


@dataclass(eq=False)
class _Lane:
    """One direction of the whole link: connections take turns, chunk by chunk."""

    bytes_s: float
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _free_at: float = 0.0

    async def pass_through(self, size: int) -> None:
        """Return when ``size`` bytes have been put on the link. Waiters are served in turn."""
        async with self._turn:
            now = asyncio.get_running_loop().time()
            self._free_at = max(self._free_at, now - _BURST_S) + size / self.bytes_s
            await asyncio.sleep(max(self._free_at - now, 0.0))


@dataclass(eq=False)
class SlowLink:
    """A link to one server, open between ``slow_link`` and the end of its context."""

    link: Link
    server: tuple[str, int]
    carried: Carried = field(default_factory=Carried)
    port: int = 0

    def __post_init__(self) -> None:
        self._chance = random.Random(self.link.seed)
        self._up, self._down = _Lane(self.link.bytes_s), _Lane(self.link.bytes_s)
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A client connected."""
        task = asyncio.create_task(self._carry(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def become(self, link: Link) -> None:
        """The link is like this from now on; connections are counted anew."""
        self.link, self.carried = link, Carried()
        self._up.bytes_s = self._down.bytes_s = link.bytes_s

    async def close(self) -> None:
        """Cut every connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _doomed_after(self) -> int | None:
        """Bytes after which this connection ends; None for a lucky one."""
        self.carried.connections += 1
        if not self.link.unlucky_in or self.carried.connections % self.link.unlucky_in:
            return None
        self.carried.unlucky += 1
        return self._chance.randrange(_DOOM_BYTES)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = self._doomed_after()
        doom = Doom.STALL if self.carried.unlucky % 2 else Doom.RESET
        try:
            there, to_there = await asyncio.open_connection(*self.server, limit=CHUNK)
        except OSError:
            writer.transport.abort()
            return
        _small(writer)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, to_there, self._up, left, doom))
                group.create_task(self._pump(there, writer, self._down, None, doom))
        except* (OSError, ConnectionError):
            pass
        finally:
            for one in (writer, to_there):
                one.transport.abort()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        lane: _Lane,
        left: int | None,
        doom: Doom,
    ) -> None:
        """Bytes of one direction, each chunk ``delay_s`` after it was put on the link."""
        flying: deque[tuple[float, bytes]] = deque()
        arrived = asyncio.Event()
        landing = asyncio.create_task(self._land(writer, flying, arrived))
        try:
            while chunk := await reader.read(CHUNK):
                await lane.pass_through(len(chunk))
                if lane is self._up:
                    self.carried.up_bytes += len(chunk)
                    left = None if left is None else left - len(chunk)
                if left is not None and left < 0:
                    if doom is Doom.STALL:
                        await asyncio.Event().wait()
                    raise ConnectionResetError
                flying.append((asyncio.get_running_loop().time() + self.link.delay_s, chunk))
                arrived.set()
            await asyncio.sleep(self.link.delay_s)
            raise ConnectionResetError  # the other end closed: close both
        finally:
            landing.cancel()
            await asyncio.gather(landing, return_exceptions=True)

    async def _land(
        self,
        writer: asyncio.StreamWriter,
        flying: deque[tuple[float, bytes]],
        arrived: asyncio.Event,
    ) -> None:
        while True:
            await arrived.wait()
            while flying:
                at, chunk = flying.popleft()
                await asyncio.sleep(max(at - asyncio.get_running_loop().time(), 0.0))
                writer.write(chunk)
                with contextlib.suppress(ConnectionError):
                    await writer.drain()
            arrived.clear()


@asynccontextmanager
async def slow_link(link: Link, server: tuple[str, int], port: int = 0) -> AsyncIterator[SlowLink]:
    """Listen on loopback for clients of ``server``, over a link like this."""
    made = SlowLink(link, server)
    listening = socket.create_server(("127.0.0.1", port))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BYTES)
    made.port = listening.getsockname()[1]
    accepting = await asyncio.start_server(made.accept, sock=listening, limit=CHUNK)
    try:
        yield made
    finally:
        accepting.close()
        await made.close()


def _small(writer: asyncio.StreamWriter) -> None:
    found = writer.get_extra_info("socket")
    if found is not None:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
