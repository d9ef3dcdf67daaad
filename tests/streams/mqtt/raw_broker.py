"""A broker that says only what it is told to: it counts, and acknowledges or not."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

_CONNECT, _PUBLISH, _PING, _DISCONNECT = 1, 3, 12, 14


class RawBroker:
    """MQTT 3.1.1 as far as a publisher needs it."""

    def __init__(self) -> None:
        self.acknowledges: Callable[[str], bool] = lambda topic: True
        self.ends_at: Callable[[str], bool] = lambda topic: False
        """Topics of which a message ends the connection, as brokers do that refuse one."""
        self.answers_connections = asyncio.Event()
        self.answers_connections.set()
        self.published: list[tuple[str, bytes, int]] = []
        """Topic, payload and QoS of each message, in order."""
        self.connections = 0
        self.port = 0

    def of(self, topic: str) -> list[bytes]:
        return [payload for name, payload, _ in self.published if name == topic]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                kind, body, flags = await _packet(reader)
                if kind == _CONNECT:
                    self.connections += 1
                    await self.answers_connections.wait()
                    writer.write(b"\x20\x02\x00\x00")
                elif kind == _PING:
                    writer.write(b"\xd0\x00")
                elif (
                    kind == _PUBLISH and not self._publish(writer, body, flags)
                ) or kind == _DISCONNECT:
                    break
        writer.close()

    def _publish(self, writer: asyncio.StreamWriter, body: bytes, flags: int) -> bool:
        length, qos = int.from_bytes(body[:2], "big"), flags >> 1 & 3
        topic, rest = body[2 : 2 + length].decode(), body[2 + length :]
        self.published.append((topic, rest[2:] if qos else rest, qos))
        if self.ends_at(topic):
            return False
        if qos and self.acknowledges(topic):
            writer.write(b"\x40\x02" + rest[:2])
        return True


async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes, int]:
    (first,) = await reader.readexactly(1)
    size = shift = 0
    while True:
        (byte,) = await reader.readexactly(1)
        size |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return first >> 4, await reader.readexactly(size), first & 15


@asynccontextmanager
async def raw_broker() -> AsyncIterator[RawBroker]:
    broker, tasks = RawBroker(), set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        await broker.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    broker.port = server.sockets[0].getsockname()[1]
    try:
        yield broker
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
