"""The proxy carries what it is given, counts it, and cuts the connections that it should."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from lab.harness.slow_link import Link, SlowLink, slow_link


@asynccontextmanager
async def echo_behind(link: Link) -> AsyncIterator[SlowLink]:
    """A server that answers with what it reads, behind the link."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with slow_link(link, server.sockets[0].getsockname()) as made:
        yield made
    server.close()


async def echoed(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        return await reader.readexactly(len(data))
    finally:
        writer.transport.abort()


@pytest.mark.asyncio
async def test_bytes_pass_in_order_and_are_counted() -> None:
    data = bytes(range(256)) * 1000
    async with echo_behind(Link(bytes_s=1e8, delay_s=0.01)) as link:
        assert await asyncio.gather(*(echoed(link.port, data) for _ in range(3))) == [data] * 3
        assert link.carried.up_bytes == 3 * len(data)
        assert (link.carried.connections, link.carried.unlucky) == (3, 0)


@pytest.mark.asyncio
async def test_every_second_unlucky_connection_stalls_and_the_others_are_reset() -> None:
    data = bytes(5 << 20)
    async with echo_behind(Link(bytes_s=1e9, unlucky_in=1)) as link:
        with pytest.raises(TimeoutError):  # the first stalls
            await asyncio.wait_for(echoed(link.port, data), 0.5)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await asyncio.wait_for(echoed(link.port, data), 20)
        assert link.carried.unlucky == 2
