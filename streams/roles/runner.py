"""One role from start to graceful stop: broker, topics, agents, drain."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from streams.codes import Stage
from streams.errors import AndonError
from streams.kafka.faust_app import create_app, faust_topic
from streams.kafka.intake import Handler, Intake
from streams.kafka.topic_admin import await_topics
from streams.roles.config import RoleConfig
from streams.roles.results import Results
from streams.roles.telemetry import Telemetry
from streams.topics import PARTITIONS, Topic

Log = Callable[..., object]
SETTLE_S = 2.0
"""How long a rebalance waits for the events in flight, seconds."""


class RoleError(AndonError):
    """The role's connection to the broker broke down; restart it."""


class Role(Handler, Protocol):
    """What inspect, classify, record and limits have in common."""

    async def close(self) -> None:
        """Give up what is under way."""
        ...


MakeRole = Callable[[Results, Telemetry], AbstractAsyncContextManager[Role]]


class RoleRunner:
    """Runs one role over a Faust app in the current event loop."""

    def __init__(
        self,
        config: RoleConfig,
        topics: Sequence[Topic],
        make_role: MakeRole,
        log: Log,
        replication_factor: int = 1,
        partitions: int = PARTITIONS,
    ) -> None:
        """``make_role`` opens the role with its ports, around what it publishes with."""
        self.config = config
        self.telemetry = Telemetry(config.role, log)
        self._topics = topics
        self._make_role = make_role
        self._log = log
        self._replication = replication_factor
        self._partitions = partitions
        flow = config.flow
        self._intake = Intake(
            flow.in_flight_events, flow.in_flight_bytes, log, self.telemetry.event
        )
        self.telemetry.watch(lambda: self._intake.in_flight, lambda: self._intake.in_flight_bytes)

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None] | None = None) -> None:
        """Until ``stop`` is set; then finishes what is in flight.

        The group is joined while the role's ports are opened: both take seconds.

        Raises:
            RoleError: the broker connection broke down for good.
        """
        connection = self.config.bus.connection
        port = self.config.metrics_port
        stop_metrics = self.telemetry.serve(port) if port else None
        try:
            if await await_topics(connection, self._replication, stop, self._log, self._partitions):
                await self._run(stop, on_ready)
        finally:
            if stop_metrics is not None:
                stop_metrics()

    async def _run(self, stop: asyncio.Event, on_ready: Callable[[], None] | None) -> None:
        config = self.config
        app = create_app(config.role, config.bus, 4 * config.flow.in_flight_events)
        from streams.kafka.faust_adapter import FaustPublisher  # loads Faust, as the app has

        opened: asyncio.Future[Handler] = asyncio.get_running_loop().create_future()
        self._connect(app, opened)
        starting = asyncio.create_task(app.start())
        publisher = FaustPublisher(app, config.bus.connection.request_timeout_s)
        results = Results(Stage(config.role), publisher, self.telemetry, config.flow)
        try:
            async with self._make_role(results, self.telemetry) as role:
                opened.set_result(role)
                try:
                    await _first(stop.wait(), app._crashed.wait(), asyncio.shield(starting))
                    if not stop.is_set():
                        self._check(app, starting)
                        self._log("ready", role=self.config.role)
                        if on_ready is not None:
                            on_ready()
                        await _first(stop.wait(), app._crashed.wait(), app._stopped.wait())
                        if not stop.is_set():
                            raise RoleError(f"{self.config.role}: {_crash_reason(app)}")
                finally:
                    await self._drain(role)
        finally:
            opened.cancel()
            await self._intake.drain(0.0)
            await app.stop()
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)

    def _connect(self, app: Any, opened: "asyncio.Future[Handler]") -> None:
        """Agents, gate and rebalance listener."""
        agent = self._intake.agent(opened)
        for topic in self._topics:
            app.agent(faust_topic(app, topic), concurrency=1, name=topic.name)(agent)
        app.transport.gate = self._intake.gate
        app.on_partitions_revoked.connect(self._on_revoked, weak=False)

    def _check(self, app: Any, starting: "asyncio.Task[None]") -> None:
        """Whether the app came up."""
        if starting.done() and starting.exception() is not None:
            raise RoleError(f"{self.config.role}: {starting.exception()!r}")
        if app.crashed:
            raise RoleError(f"{self.config.role}: {_crash_reason(app)}")

    async def _on_revoked(self, *_: object, **__: object) -> None:
        """Fewer duplicates: what is in flight may finish before the partitions move."""
        await self._intake.settle(SETTLE_S)

    async def _drain(self, role: Role) -> None:
        left = await self._intake.drain(self.config.flow.stop_timeout_s)
        if left:
            self._log("left unacknowledged, to be delivered again", events=left)
        await role.close()


def _crash_reason(app: Any) -> str:
    reason = app.crash_reason
    return f"{type(reason).__name__}: {reason}" if reason else "the Kafka client stopped"


async def _first(*waits: Any) -> None:
    """Return when the first of the awaitables is done; cancels the others."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
