"""The contract of ``streams.ports.Publisher``: the twin, the aiokafka one and Faust's keep it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from infra.stack.broker import Broker, start_broker
from infra.stack.process import free_port
from streams.envelope import Message
from streams.errors import UnavailableError
from streams.failures import Cause, PermanentError
from streams.kafka.connection import KafkaConnection
from streams.kafka.faust_app import BusConfig, create_app
from streams.kafka.intake import FaustPublisher
from streams.kafka.publisher import KafkaPublisher
from streams.kafka.reader import BEGINNING, PartitionReader
from streams.kafka.topic_admin import ensure_topics
from streams.ports import Publisher
from streams.topics import FRAMES, MAX_MESSAGE_BYTES, MIB, PARTS
from tests.contracts.twins.publisher import TwinPublisher

Sent = list[tuple[bytes, bytes, tuple[tuple[str, bytes], ...], int | None]]
"""Key, value, headers and partition of each message."""


class TwinBench:
    """The twin, down for as long as it is told."""

    def __init__(self) -> None:
        self.twin = TwinPublisher()

    @asynccontextmanager
    async def publisher(self) -> AsyncIterator[Publisher]:
        yield self.twin

    @asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        self.twin.down = False
        yield
        self.twin.down = True

    async def sent(self, topic: str) -> Sent:
        return [(m.key, m.value, m.headers, m.partition) for t, m in self.twin.sent if t == topic]


class KafkaBench:
    """A broker that can be away, and one publisher over it."""

    def __init__(self) -> None:
        self.port = free_port()
        self.connection = KafkaConnection(f"127.0.0.1:{self.port}", request_timeout_s=2.0)

    @asynccontextmanager
    async def publisher(self) -> AsyncIterator[Publisher]:
        made = KafkaPublisher(self.connection)
        try:
            yield made
        finally:
            await made.stop()

    @asynccontextmanager
    async def up(self) -> AsyncIterator[Broker]:
        with start_broker(self.port) as broker:
            await ensure_topics(self.connection, topics=[FRAMES, PARTS])
            yield broker

    async def sent(self, topic: str) -> Sent:
        reader = PartitionReader(self.connection, {topic: BEGINNING})
        return [
            (r.key, r.value, tuple(r.headers), r.partition)
            async for records in reader.read_to_end()
            for r in records
        ]


class FaustBench(KafkaBench):
    """The producer of a Faust app, without the app."""

    def __init__(self, state: Path) -> None:
        super().__init__()
        self.state = state

    @asynccontextmanager
    async def publisher(self) -> AsyncIterator[Publisher]:
        app = create_app("inspect", BusConfig(self.connection, self.state), 16)
        await app.producer.start()
        try:
            yield FaustPublisher(app, self.connection.request_timeout_s, 64.0)
        finally:
            await app.producer.stop()


@pytest.fixture(params=["twin", "kafka", "faust"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> TwinBench | KafkaBench:
    return {"twin": TwinBench, "kafka": KafkaBench, "faust": lambda: FaustBench(tmp_path)}[
        request.param
    ]()


@pytest.mark.asyncio
async def test_what_is_sent_arrives_as_it_was_and_in_order(bench: TwinBench | KafkaBench) -> None:
    whole = bytes(range(256)) * (MIB // 32)  # 8 MiB: the largest picture that travels inline
    headers = (("ce_type", b"x"), ("odd", b"\x00\xff"))
    messages = [Message(b"line/1", body, headers) for body in (b"", b"2", whole, b"4")]
    async with bench.up(), bench.publisher() as publisher:
        for message in messages:
            await publisher.send(FRAMES.name, message)
        await publisher.send(PARTS.name, Message(b"k", b"v", (), partition=3))
        sent = await bench.sent(FRAMES.name)
        assert [(key, value, more) for key, value, more, _ in sent] == [
            (m.key, m.value, m.headers) for m in messages
        ]
        assert await bench.sent(PARTS.name) == [(b"k", b"v", (), 3)]


@pytest.mark.asyncio
async def test_a_broker_that_is_away_is_said_and_used_again(bench: TwinBench | KafkaBench) -> None:
    message = Message(b"key", b"value", ())
    async with AsyncExitStack() as stack:
        async with bench.up():
            publisher = await stack.enter_async_context(bench.publisher())
            await publisher.send(FRAMES.name, message)
        with pytest.raises(UnavailableError):
            await publisher.send(FRAMES.name, message)
        async with bench.up():
            await eventually_sends(publisher, message)
            await stack.aclose()


@pytest.mark.asyncio
async def test_one_message_that_is_refused_costs_no_other(bench: TwinBench | KafkaBench) -> None:
    refused = Message(b"line/1", bytes(MAX_MESSAGE_BYTES + 1), ())
    others = [Message(b"line/1", b"%d" % number, ()) for number in range(20)]
    async with bench.up(), bench.publisher() as publisher:
        sends = [publisher.send(FRAMES.name, m) for m in (*others[:10], refused, *others[10:])]
        results = await asyncio.gather(*sends, return_exceptions=True)
        (error,) = [r for r in results if isinstance(r, BaseException)]
        assert isinstance(error, PermanentError)
        assert error.cause is Cause.TOO_LARGE
        sent = await bench.sent(FRAMES.name)
        assert sorted(int(value) for _, value, _, _ in sent) == list(range(20))


async def eventually_sends(publisher: Publisher, message: Message) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                await publisher.send(FRAMES.name, message)
                return
            except UnavailableError:
                await asyncio.sleep(0.1)
