"""A log that does not go on where it was read last: skipped offsets are told, a new log is read."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewPartitions
from aiokafka.admin.records_to_delete import RecordsToDelete

from infra.stack.broker import Broker
from infra.stack.kafka_local import LocalKafka, start_kafka
from streams.kafka.connection import METADATA_MS, KafkaConnection
from streams.kafka.continuity import Continuity, Skipped
from streams.kafka.delivery import Delivery
from streams.kafka.faust_app import BusConfig, RoleApp
from streams.kafka.intake import AGAIN_MS, MOST_KEYS, Handled, Handler, Intake
from streams.kafka.offsets import committed_offsets
from streams.kafka.retention import LostSpan
from streams.kafka.topic_admin import ensure_topics
from streams.topics import FRAMES, Wanted
from tests.infra.needs import need_kafka
from tests.waiting import until

FIRST = TopicPartition(FRAMES.name, 0)


@dataclass
class Record:
    offset: int


def records(*offsets: int) -> dict[TopicPartition, list[Record]]:
    return {FIRST: [Record(offset) for offset in offsets]}


def test_what_goes_on_is_nothing_to_tell() -> None:
    log = Continuity()
    log.begins({FIRST: None})
    assert log.follow(records(7, 8)) == ([], set())
    assert log.follow(records()) == ([], set())
    assert log.follow(records(9)) == ([], set())
    log.begins({FIRST: 8})
    assert log.follow(records(8, 9, 12)) == ([], set()), "a hole within a batch is no retention"


def test_a_log_that_went_back_is_not_used_until_it_is_assigned_again() -> None:
    log = Continuity()
    log.begins({FIRST: 40})
    assert log.follow(records(39)) == ([], {FIRST})
    assert log.follow(records(50)) == ([], {FIRST}), "it has grown beyond where it was read"
    assert log.follow({}) == ([], set())
    log.begins({FIRST: None})
    assert log.follow(records(0)) == ([], set())
    assert log.follow(records(3)) == ([Skipped(FIRST, 1, 2)], set())


def test_a_log_is_read_again_since_the_key_that_was_heard_of_the_longest_ago() -> None:
    """Its sender's clock may be behind those of the others."""
    handled, hour = Handled(), 3_600
    assert handled.since_ms(FIRST) is None
    for key, hours in ((b"a", 5), (b"b", 2), (b"a", 6), (b"b", 3)):
        handled.note(FIRST, key, hours * hour)
    assert handled.since_ms(FIRST) == 3 * hour * 1000 - AGAIN_MS
    handled.note(FIRST, b"b", 1 * hour)
    assert handled.since_ms(FIRST) == 1 * hour * 1000 - AGAIN_MS, "its clock was set back"
    handled.note(FIRST, b"c", None)
    assert handled.since_ms(FIRST) == 0
    assert handled.since_ms(TopicPartition(FRAMES.name, 1)) is None


def test_of_too_many_keys_nothing_is_said() -> None:
    handled = Handled()
    for number in range(MOST_KEYS + 2):
        handled.note(FIRST, b"%d" % number, 1e6)
    assert handled.since_ms(FIRST) is None


def test_every_client_learns_of_partitions_soon() -> None:
    settings = KafkaConnection("127.0.0.1:1").faust_settings()
    assert settings["consumer_metadata_max_age_ms"] == METADATA_MS
    assert settings["producer_metadata_max_age_ms"] == METADATA_MS


@pytest.fixture
def apache_kafka(tmp_path: Path) -> Iterator[Broker]:
    need_kafka()
    with start_kafka(tmp_path / "kafka") as broker:
        yield broker


class Held:
    """Notes the offsets that it is given, and holds them while the gate is shut."""

    def __init__(self) -> None:
        self.given: list[tuple[int, int]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def handle(self, delivery: Delivery) -> None:
        self.given.append((delivery.partition, delivery.offset))
        await self.gate.wait()

    async def failed(self, delivery: Delivery, error: Exception) -> None:
        raise error


@asynccontextmanager
async def worker(connection: KafkaConnection, state: Path) -> AsyncIterator[tuple[RoleApp, Held]]:
    bus = BusConfig(connection, state, None, rebalance_timeout_s=4.0)
    app, held = RoleApp("inspect", bus, 64), Held()
    opened: asyncio.Future[Handler] = asyncio.get_running_loop().create_future()
    opened.set_result(held)
    app.start([FRAMES], Intake(2, 1 << 30, lambda *_, **__: None), opened)
    try:
        await app.joined(asyncio.Event())
        yield app, held
    finally:
        held.gate.set()
        await app.stop()


async def has_committed(connection: KafkaConnection, wanted: int) -> None:
    """Return once the group goes on there in the first partition."""
    async with asyncio.timeout(30), connection.consumer("andon-inspect") as group:
        while True:
            if (await committed_offsets(group, [FIRST]))[FIRST] == wanted:
                return
            await asyncio.sleep(0.2)


async def put(producer: AIOKafkaProducer, count: int, partition: int = 0) -> None:
    """As many messages, too large for a fetch to hold many."""
    for _ in range(count):
        await producer.send_and_wait(FRAMES.name, b"x" * 2_000_000, partition=partition)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.asyncio
async def test_apache_kafka_s_logs_are_read_whole(apache_kafka: Broker, tmp_path: Path) -> None:
    connection = KafkaConnection(apache_kafka.bootstrap_servers)
    await ensure_topics(connection, Wanted(partitions=1), [FRAMES])
    admin, producer = connection.admin(), connection.producer()
    await admin.start()
    await producer.start()
    group = connection.consumer("andon-inspect")
    await group.start()
    group.assign([FIRST])
    await group.commit({FIRST: 1000})
    await group.stop()
    async with worker(connection, tmp_path) as (app, held):
        await put(producer, 3)  # the group had read 1,000: the broker came back without them
        await until(lambda: held.given == [(0, n) for n in range(3)], 60, "a new log is read")

        held.gate.clear()
        await put(producer, 30)
        await until(lambda: len(held.given) == 5, 60, "it holds all that it may hold")
        await admin.delete_records({FIRST: RecordsToDelete(before_offset=30)})
        held.gate.set()
        lost = await asyncio.wait_for(app.lost(), 60)
        assert isinstance(lost, LostSpan)
        assert (lost.topic, lost.last) == (FRAMES.name, 29), "where it begins: what was fetched"
        await until(lambda: held.given[-1] == (0, 32), 60, "the rest is read")
        read = {offset for _, offset in held.given}
        assert read | set(range(lost.first, lost.last + 1)) == set(range(33))
        assert lost.first not in read

        await admin.create_partitions({FRAMES.name: NewPartitions(2)})
        await producer.client.force_metadata_update()
        await put(producer, 1, partition=1)
        await until(lambda: (1, 0) in held.given, 60, "a partition that was added is read")
        await has_committed(connection, 33)  # below the 1,000 that the group had read
    await producer.stop()
    await admin.close()


def put_back(broker: Broker, kept: Path, folder: Path, is_kept: bool) -> LocalKafka:
    """Kill the broker, keep its partition or put the kept one in its place, start it again."""
    broker.kill()
    partition = folder / "log" / f"{FRAMES.name}-0"
    if not is_kept:
        shutil.copytree(partition, kept)
    else:
        shutil.rmtree(partition)
        shutil.copytree(kept, partition)
    return start_kafka(folder, broker.port)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.asyncio
async def test_of_a_log_that_lost_its_end_only_the_last_is_read_again(tmp_path: Path) -> None:
    need_kafka()
    folder, now_ms = tmp_path / "kafka", int(time.time() * 1000)
    broker = start_kafka(folder)
    connection = KafkaConnection(broker.bootstrap_servers)
    await ensure_topics(connection, Wanted(partitions=1), [FRAMES])

    async def send(count: int, sent_ms: int) -> None:
        async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers) as producer:
            for _ in range(count):
                say = {"key": b"line/station", "timestamp_ms": sent_ms}
                await producer.send_and_wait(FRAMES.name, b"x", partition=0, **say)

    try:
        await send(40, now_ms - 5 * AGAIN_MS)
        await send(3, now_ms - AGAIN_MS // 2)
        broker = put_back(broker, tmp_path / "kept", folder, is_kept=False)
        await send(20, now_ms)
        async with worker(connection, tmp_path) as (_, held):
            await until(lambda: len(held.given) == 63, 60, "all are read")
            await has_committed(connection, 63)
            broker = put_back(broker, tmp_path / "kept", folder, is_kept=True)
            await send(2, now_ms + 1000)
            await until(lambda: (0, 44) in held.given[63:], 90, "what is new is read")
            assert [offset for _, offset in held.given[63:]] == [40, 41, 42, 43, 44]
            await has_committed(connection, 45)
    finally:
        broker.stop()
