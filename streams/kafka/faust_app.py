"""The Faust application of a role."""

import asyncio
import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streams.backoff import backoff_s
from streams.cancellation import first_done
from streams.errors import AndonError
from streams.kafka.connection import KafkaConnection
from streams.kafka.continuity import Skipped
from streams.kafka.fetch_pace import FetchPace
from streams.kafka.intake import FaustPublisher, Handler, Intake
from streams.kafka.retention import LostSpan
from streams.kafka.same_name import COORDINATOR, SameName
from streams.ports import Publisher
from streams.topics import Topic

DAY_S = 86_400.0
JOIN_S = 2.0
"""A request to join may take so much longer than the broker holds it, seconds."""
SETTLE_S = 2.0
"""How long a rebalance waits for the events in flight, seconds."""
_HEARTBEAT_S = 1.0
_COMMIT_EVERY_S = 0.5
"""What a killed worker did since the last commit is done again."""


class AppError(AndonError):
    """A role's connection to the broker broke down; restart it."""


@dataclass(frozen=True)
class BusConfig:
    """How a role's Faust app takes part in its consumer group."""

    connection: KafkaConnection
    state: Path
    """Folder for Faust's data directory."""
    instance: str | None = "0"
    """Stable name among the workers of the role (static membership); None joins dynamically."""
    session_timeout_s: float = 6.0
    rebalance_timeout_s: float = 10.0


def app_id(role: str) -> str:
    """Faust app id and consumer group of a role."""
    return f"andon-{role}"


def create_app(role: str, bus: BusConfig, buffered_events: int) -> Any:
    """A Faust app with the limits, sessions and adapter that the line needs; not started.

    Values and keys are raw bytes; topics are created by ``streams.kafka.topic_admin``, never by
    Faust; no web server, no tables, no leader topic.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import faust

        from streams.kafka.faust_adapter import BoundedTransport, NoTables
    member = None if bus.instance is None else f"{app_id(role)}-{bus.instance}"
    datadir = bus.state / "faust" / (member or app_id(role))
    datadir.mkdir(parents=True, exist_ok=True)
    connection = bus.connection
    longest_s = max(bus.session_timeout_s, bus.rebalance_timeout_s + JOIN_S)
    settings = connection.faust_settings() | {
        "broker_request_timeout": max(connection.request_timeout_s, longest_s)
    }
    app = faust.App(
        app_id(role),
        **settings,
        broker_client_id=member or app_id(role),
        datadir=str(datadir),
        store="memory://",
        TableManager=NoTables,
        web_enabled=False,
        key_serializer="raw",
        value_serializer="raw",
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_group_instance_id=member,
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=bus.session_timeout_s,
        broker_heartbeat_interval=_HEARTBEAT_S,
        broker_rebalance_timeout=bus.rebalance_timeout_s,
        broker_max_poll_interval=DAY_S,
        broker_commit_interval=_COMMIT_EVERY_S,
        stream_buffer_maxsize=buffered_events,
        table_standby_replicas=0,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
    )
    transport = BoundedTransport(app.conf.broker_consumer, app)
    transport.pace = FetchPace(connection.fetch_max_wait_ms)
    transport.fetch_min_bytes = connection.fetch_min_bytes
    transport.idempotent_producer = connection.idempotent_producer
    app.transport = app.producer_transport = transport
    return app


def faust_topic(app: Any, topic: Topic) -> Any:
    """A topic as Faust's agents read it: raw keys and values, created elsewhere."""
    return app.topic(
        topic.name, key_serializer="raw", value_serializer="raw", internal=False, allow_empty=True
    )


class RoleApp:
    """The Faust app of a role, from joining its group to leaving it."""

    def __init__(self, role: str, bus: BusConfig, buffered_events: int) -> None:
        self._role = role
        self._app = create_app(role, bus, buffered_events)
        self._connection = bus.connection
        self._starting: asyncio.Task[None] | None = None
        self._skipped: asyncio.Queue[Skipped] = asyncio.Queue()
        self._same_name = SameName(f"{app_id(role)}-{bus.instance}")

    def publisher(self) -> Publisher:
        """Sends with the app's own producer."""
        return FaustPublisher(
            self._app, self._connection.request_timeout_s, self._connection.slowest_kib_s
        )

    def start(
        self, topics: Sequence[Topic], intake: Intake, opened: "asyncio.Future[Handler]"
    ) -> None:
        """Begin to join the group; events wait until their handler is open."""

        async def settle(*_: object, **__: object) -> None:
            """Fewer duplicates: what is in flight may finish before the partitions move."""
            await intake.settle(SETTLE_S)

        app, agent = self._app, intake.agent(opened)
        for topic in topics:
            app.agent(faust_topic(app, topic), concurrency=1, name=topic.name)(agent)
        app.transport.gated = intake.gated
        app.transport.handed_out = intake.handed_out
        note = asyncio.get_running_loop().call_soon_threadsafe
        app.transport.skipped = lambda one: note(self._skipped.put_nowait, one)
        intake.took = app.transport.pace.took.append
        app.transport.handled = intake.handled
        intake.hold_back = self._hold_back
        app.on_partitions_revoked.connect(settle, weak=False)
        COORDINATOR.addFilter(self._same_name)
        self._starting = asyncio.create_task(app.start())

    def _hold_back(self, topics: frozenset[str], back: bool) -> None:
        consumer = self._app.consumer
        ours = {partition for partition in consumer.assignment() if partition.topic in topics}
        (consumer.pause_partitions if back else consumer.resume_partitions)(ours)

    async def joined(self, stop: asyncio.Event) -> None:
        """Return once events are delivered, or ``stop`` is set. Raises ``AppError``."""
        assert self._starting is not None
        await first_done(stop.wait(), self._app._crashed.wait(), asyncio.shield(self._starting))
        failed = self._starting.exception() if self._starting.done() else None
        if not stop.is_set() and (failed is not None or self._app.crashed):
            raise self._broken(failed)

    async def log_ends(self) -> dict[tuple[str, int], int]:
        """Where the log of each partition of ours ends now, by topic and number.

        Raises:
            KafkaError: no broker answered.
        """
        consumer = self._app.consumer
        ends = await consumer.highwaters(*consumer.assignment())
        return {(partition.topic, partition.partition): end for partition, end in ends.items()}

    async def lag(self) -> dict[tuple[str, int], int]:
        """Topic and partition -> messages that we were not given yet, of our partitions.

        The brokers are asked: what the client remembers of the logs' ends is as old as its last
        fetch, and a role that holds all it may hold does not fetch.

        Raises:
            KafkaError: no broker answered.
        """
        consumer = self._app.consumer
        thread, read = consumer._thread, consumer._read_offset
        partitions = consumer.assignment()
        ends = await thread.call_thread(thread._ensure_consumer().end_offsets, partitions)
        found = {(one.topic, one.partition): 0 for one in partitions}
        for one, end in ends.items():
            if (given := read.get(one)) is not None:
                found[one.topic, one.partition] = max(end - given - 1, 0)
        return found

    async def lost(self) -> LostSpan:
        """Wait for the next messages that were deleted while the role ran, before it read them."""
        for attempt in itertools.count():
            skipped = await self._skipped.get()
            try:
                oldest = await self._app.consumer.earliest_offsets(skipped.place)
            except Exception:  # noqa: BLE001 - the broker is away, as others say
                self._skipped.put_nowait(skipped)
                await asyncio.sleep(backoff_s(attempt, 0.1, 5.0))
                continue
            last = min(skipped.last, oldest[skipped.place] - 1)
            if last >= skipped.first:
                return LostSpan(skipped.place.topic, skipped.place.partition, skipped.first, last)
        raise AssertionError("unreachable")

    async def ended(self, stop: asyncio.Event) -> None:
        """Return once ``stop`` is set. Raises ``AppError`` when the app ends before."""
        await first_done(stop.wait(), self._app._crashed.wait(), self._app._stopped.wait())
        if not stop.is_set():
            raise self._broken(None)

    async def stop(self) -> None:
        """Leave the group."""
        COORDINATOR.removeFilter(self._same_name)
        await self._app.stop()
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)

    def _broken(self, failed: BaseException | None) -> AppError:
        reason = failed or self._app.crash_reason
        said = f"{type(reason).__name__}: {reason}" if reason else "the Kafka client stopped"
        return AppError(f"{self._role}: {said}")
