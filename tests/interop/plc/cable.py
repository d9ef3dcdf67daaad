"""The cable between a gateway and a controller: it can be pulled out and put in again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from infra.stack.process import free_port


class Cable:
    """Carries bytes to ``target`` as long as it is in."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = free_port()
        self.is_in = True
        self._writers: set[asyncio.StreamWriter] = set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.is_in:
            writer.transport.abort()
            return
        try:
            there = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, there[1]}
        self._writers |= ends
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, there[1]))
                group.create_task(_copy(there[0], writer))
        finally:
            self._writers -= ends
            for end in ends:
                end.transport.abort()

    def pull(self) -> None:
        """Both ends are reset, and nobody gets through."""
        self.is_in = False
        for writer in list(self._writers):
            writer.transport.abort()

    def put_in(self) -> None:
        self.is_in = True


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()


@asynccontextmanager
async def cable(target: int) -> AsyncIterator[Cable]:
    """A cable to a port of this machine; everything it carries ends with the context."""
    made = Cable(target)
    server = await asyncio.start_server(made.carry, "127.0.0.1", made.port)
    try:
        yield made
    finally:
        server.close()
        made.pull()
        await server.wait_closed()
        await asyncio.sleep(0)
