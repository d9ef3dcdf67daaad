"""One role from start to graceful stop: broker, topics, agents, drain."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from streams.agents.app import create_app, faust_topic
from streams.agents.config import RoleConfig
from streams.agents.delivery import Delivery
from streams.agents.guard import guarded
from streams.agents.intake import Intake
from streams.agents.metrics import RoleMetrics
from streams.agents.outbox import Outbox
from streams.agents.publisher import FaustPublisher
from streams.agents.topics_admin import await_topics
from streams.errors import AndonError
from streams.topics import Topic

Log = Callable[..., object]
SETTLE_S = 2.0
"""How long a rebalance waits for the events in flight, seconds."""


class RoleError(AndonError):
    """The role's connection to the broker broke down; restart it."""


class Role(Protocol):
    """What inspect, classify and record have in common."""

    async def handle(self, delivery: Delivery) -> None: ...
    async def failed(self, delivery: Delivery, error: Exception) -> None: ...
    async def close(self) -> None: ...


MakeRole = Callable[[Outbox, RoleMetrics], Role]


class RoleRunner:
    """Runs one role over a Faust app in the current event loop."""

    def __init__(
        self,
        config: RoleConfig,
        topics: Sequence[Topic],
        make_role: MakeRole,
        log: Log,
        replication_factor: int = 1,
    ) -> None:
        """``make_role`` is given the outbox and the metrics, and returns the role's handler."""
        self.config = config
        self.metrics = RoleMetrics(config.role)
        self._topics = topics
        self._make_role = make_role
        self._log = log
        self._replication = replication_factor
        self._intake = Intake(config.flow, self.metrics, log)
        self._app: Any = None
        self._role: Role | None = None
        self._starting: asyncio.Task[None] | None = None

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None] | None = None) -> None:
        """Until ``stop`` is set; then finishes what is in flight.

        Raises:
            RoleError: the broker connection broke down for good.
        """
        stop_metrics = self._serve_metrics()
        try:
            servers = self.config.bus.bootstrap_servers
            if not await await_topics(servers, self._replication, stop, self._log):
                return
            await self._start(stop)
            if not stop.is_set():
                self._log("ready", role=self.config.role)
                if on_ready is not None:
                    on_ready()
                await _first(stop.wait(), self._app._crashed.wait(), self._app._stopped.wait())
                if not stop.is_set():
                    raise RoleError(f"{self.config.role}: {self._crash_reason()}")
        finally:
            await self._stop()
            if stop_metrics is not None:
                stop_metrics()

    async def _start(self, stop: asyncio.Event) -> None:
        app = self._app = create_app(self.config)
        outbox = Outbox(
            FaustPublisher(app, self.config.bus.request_timeout_s),
            self.metrics,
            self.config.flow,
            self._log,
        )
        role = self._role = self._make_role(outbox, self.metrics)
        agent = self._intake.agent(guarded(role.handle, role.failed))
        for topic in self._topics:
            app.agent(faust_topic(app, topic), concurrency=1, name=topic.name)(agent)
        app.transport.gate = self._intake.gate
        app.on_partitions_revoked.connect(self._on_revoked, weak=False)
        self._starting = asyncio.create_task(app.start())
        await _first(stop.wait(), app._crashed.wait(), asyncio.shield(self._starting))
        if self._starting.done() and self._starting.exception() is not None:
            raise RoleError(f"{self.config.role}: {self._starting.exception()!r}")

    async def _on_revoked(self, *_: object, **__: object) -> None:
        """Fewer duplicates: what is in flight may finish before the partitions move."""
        await self._intake.settle(SETTLE_S)

    async def _stop(self) -> None:
        if self._app is None:
            return
        left = await self._intake.drain(self.config.flow.stop_timeout_s)
        if left:
            self._log("left unacknowledged, to be delivered again", events=left)
        if self._role is not None:
            await self._role.close()
        await self._app.stop()
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)

    def _crash_reason(self) -> str:
        reason = self._app.crash_reason
        return f"{type(reason).__name__}: {reason}" if reason else "the Kafka client stopped"

    def _serve_metrics(self) -> Callable[[], None] | None:
        port = self.config.metrics_port
        return self.metrics.serve(port) if port else None


async def _first(*waits: Any) -> None:
    """Return when the first of the awaitables is done; cancels the others."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
