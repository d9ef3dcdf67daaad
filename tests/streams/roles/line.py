"""A line around the roles, over a real broker: sends frames, reads topics."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from streams.envelope import Message, from_message, to_message
from streams.events import Event, Frame
from streams.kafka.connection import KafkaConnection
from streams.kafka.faust_app import BusConfig
from streams.kafka.topic_admin import ensure_topics
from streams.roles.config import FlowConfig, RoleConfig, RoleName
from streams.roles.results import Results
from streams.roles.runner import MakeRole, RoleRunner, RunningRole
from streams.topics import FRAMES, MAX_MESSAGE_BYTES, Topic
from tests.waiting import until

REPOSITORY = Path(__file__).resolve().parents[3]
Worker = subprocess.Popen[bytes]


@asynccontextmanager
async def producer(servers: str) -> AsyncIterator[AIOKafkaProducer]:
    """A producer that takes 8 MiB pictures."""
    made = AIOKafkaProducer(
        bootstrap_servers=servers, max_request_size=MAX_MESSAGE_BYTES, max_batch_size=1 << 20
    )
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def send(via: AIOKafkaProducer, topic: Topic, message: Message) -> None:
    await via.send_and_wait(
        topic.name, message.value, key=message.key, headers=list(message.headers)
    )


async def send_frame(via: AIOKafkaProducer, frame: Frame, image: bytes) -> None:
    await send(via, FRAMES, to_message(frame, image))


class Reader:
    """Everything on some topics, collected in the background."""

    def __init__(self, topics: Sequence[Topic]) -> None:
        self._topics = {topic.name: topic for topic in topics}
        self.events: dict[str, list[tuple[Event, bytes]]] = {t.name: [] for t in topics}

    def of(self, topic: Topic) -> list[Event]:
        return [event for event, _ in self.events[topic.name]]

    async def follow(self, servers: str) -> None:
        consumer = AIOKafkaConsumer(bootstrap_servers=servers, fetch_max_wait_ms=20)
        await consumer.start()
        try:
            consumer.assign(
                [
                    TopicPartition(t.name, i)
                    for t in self._topics.values()
                    for i in range(t.partitions)
                ]
            )
            await consumer.seek_to_beginning()
            async for record in consumer:
                model = self._topics[record.topic].event
                event = from_message(model, record.value, record.headers)
                self.events[record.topic].append((event, record.value))
        finally:
            await consumer.stop()


@asynccontextmanager
async def reading(servers: str, *topics: Topic) -> AsyncIterator[Reader]:
    await ensure_topics(KafkaConnection(servers))
    reader = Reader(topics)
    task = asyncio.create_task(reader.follow(servers))
    try:
        yield reader
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def config(role: RoleName, servers: str, state: Path, **flow: object) -> RoleConfig:
    return RoleConfig(role, BusConfig(KafkaConnection(servers), state), FlowConfig(**flow))  # type: ignore[arg-type]


def opened(make: Callable[[Results], RunningRole]) -> MakeRole:
    """A role whose ports need no opening."""

    @asynccontextmanager
    async def open_role(results: Results) -> AsyncIterator[RunningRole]:
        yield make(results)

    return open_role


@asynccontextmanager
async def running(
    config: RoleConfig, topics: Sequence[Topic], make: Callable[[Results], RunningRole]
) -> AsyncIterator[RoleRunner]:
    """A role in this process, from ready to gracefully stopped."""
    stop, ready = asyncio.Event(), asyncio.Event()
    runner = RoleRunner(config, topics, opened(make), lambda *a, **k: None)
    task = asyncio.create_task(runner.run(stop, ready.set))
    try:
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait({task, waiting}, timeout=60, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        assert ready.is_set(), f"{config.role} did not start: {task}"
        yield runner
    finally:
        stop.set()
        await task


async def run_until_terminated(runner: RoleRunner) -> None:
    """A worker's process: until SIGTERM, then gracefully stopped."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await runner.run(stop)


def spawned(module: str, servers: str, state: Path, kill_at: int) -> Worker:
    """A worker of one of the modules here, in a process of its own that kills itself."""
    command = [sys.executable, "-W", "ignore", "-m", f"tests.streams.roles.{module}"]
    return subprocess.Popen([*command, servers, str(state), str(kill_at)], cwd=REPOSITORY)


async def death_of(worker: Worker, timeout_s: float) -> None:
    """Return once the worker has killed itself, as it was told."""
    try:
        await until(lambda: worker.poll() is not None, timeout_s, "the worker's death")
    finally:
        worker.kill()
        assert worker.wait() == -9
