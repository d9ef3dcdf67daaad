"""One role from start to graceful stop: broker, topics, agents, drain."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from streams.codes import Stage
from streams.exposition import MetricRow, Read, Sampled, in_force, served
from streams.kafka.faust_app import RoleApp, app_id
from streams.kafka.intake import Handler, Intake
from streams.kafka.retention import LostSpan, find_lost
from streams.kafka.rights import require_rights
from streams.kafka.topic_admin import await_topics
from streams.kafka.topic_check import tell_of_topics
from streams.log import Log
from streams.principals import Role
from streams.roles import metrics
from streams.roles.config import RoleConfig
from streams.roles.results import Results, Telemetry
from streams.roles.traced import TracedResults, Tracing
from streams.topics import Topic, Wanted


class RunningRole(Handler, Protocol):
    """What inspect, classify, record and limits have in common."""

    async def close(self) -> None:
        """Give up what is under way."""
        ...


ASK_EVERY_S = 0.5
"""How often a role asks where the log ends, seconds."""
LAG_EVERY_S = 5.0
"""How often it asks how far it is behind where no status says so, seconds."""
ASKED_WITHIN_S = 5.0
"""How long it waits for the answer, seconds."""
MakeRole = Callable[[Results], AbstractAsyncContextManager[RunningRole]]


class RoleRunner:
    """Runs one role over a Faust app in the current event loop."""

    def __init__(
        self,
        config: RoleConfig,
        topics: Sequence[Topic],
        make_role: MakeRole,
        log: Log,
        wanted: Wanted | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        """``make_role`` opens the role with its ports, around what it publishes with.

        Topics that are absent are created as ``wanted``; what is wrong with others is logged.
        ``tracing`` says what becomes of traces; None: nothing is traced.
        """
        self.config = config
        self.telemetry = Telemetry(config.role, log)
        self._topics = topics
        self._make_role = make_role
        self._log = log
        self._wanted = wanted or Wanted()
        self._tracing = tracing
        flow = config.flow
        self._intake = Intake(
            flow.in_flight_events,
            flow.in_flight_bytes,
            log,
            self.telemetry.event,
            config.apart,
        )
        self.lag: Mapping[tuple[str, int], int] = {}
        """Topic and partition -> messages that the role was not given yet, where somebody asks."""
        self.is_ready = False
        """Whether it has joined its group."""
        self.telemetry.watch(lambda: self._intake.in_flight, lambda: self._intake.in_flight_bytes)
        reads: Mapping[MetricRow, Read] = {
            metrics.LAG: lambda: {(t, str(p)): float(n) for (t, p), n in self.lag.items()},
            metrics.WAITS: self.telemetry.waits.recent,
            metrics.MODEL: lambda: in_force(dict(self.telemetry.models)),
            metrics.POLICY: lambda: in_force(self.telemetry.policies()),
        }
        for row, read in reads.items():
            self.telemetry.registry.register(Sampled(row, read, (config.role,)))

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None] | None = None) -> None:
        """Until ``stop`` is set; then finishes what is in flight.

        The group is joined while the role's ports are opened: both take seconds.

        Raises:
            RightsError: the broker does not let this client do what the role is for.
            AppError: the broker connection broke down for good.
        """
        connection = self.config.bus.connection
        stop_metrics = self._served_metrics()
        try:
            if await await_topics(connection, self._wanted, stop, self._log):
                await tell_of_topics(connection, self._wanted, self._log)
                await require_rights(connection, Role(self.config.role), self._log)
                await self._run(stop, on_ready)
        finally:
            if stop_metrics is not None:
                stop_metrics()

    def _served_metrics(self) -> Callable[[], None] | None:
        """What stops the exposition, where there is one."""
        port, host = self.config.metrics_port, self.config.metrics_host
        registry, of_all = self.telemetry.registry, self.config.of_all
        return served(registry, port, host, of_all=of_all) if port else None

    async def _run(self, stop: asyncio.Event, on_ready: Callable[[], None] | None) -> None:
        config = self.config
        lost = await find_lost(config.bus.connection, app_id(config.role), self._topics, self._log)
        app = RoleApp(config.role, config.bus, 4 * config.flow.in_flight_events)
        opened: asyncio.Future[Handler] = asyncio.get_running_loop().create_future()
        app.start(self._topics, self._intake, opened)
        tracing = self._tracing
        kind = Results if tracing is None else TracedResults
        results = kind(Stage(config.role), app.publisher(), self.telemetry, config.flow)
        try:
            async with self._make_role(results) as role:
                opened.set_result(role if tracing is None else tracing.around(role))
                beside = [
                    asyncio.create_task(_tell(results, lost, app), name="lost to retention"),
                    asyncio.create_task(_ask_for_ends(results, app), name="ends of the log"),
                    asyncio.create_task(self._ask_for_lag(app), name="lag"),
                ]
                try:
                    await app.joined(stop)
                    if not stop.is_set():
                        self.is_ready = True
                        self._log("ready", role=config.role)
                        if on_ready is not None:
                            on_ready()
                        await app.ended(stop)
                finally:
                    self.is_ready = False
                    for task in beside:
                        task.cancel()
                    await asyncio.gather(*beside, return_exceptions=True)
                    await self._drain(role)
        finally:
            opened.cancel()
            await self._intake.drain(0.0)
            await app.stop()

    async def _ask_for_lag(self, app: RoleApp) -> None:
        """Ask now and then how far behind the role is; nothing else waits for the answer."""
        config = self.config
        while every_s := config.status_every_s or (LAG_EVERY_S if config.metrics_port else 0.0):
            await asyncio.sleep(every_s)
            with contextlib.suppress(Exception):  # the broker is away, as others say
                async with asyncio.timeout(ASKED_WITHIN_S):
                    self.lag = await app.lag()

    async def _drain(self, role: RunningRole) -> None:
        left = await self._intake.drain(self.config.flow.stop_timeout_s)
        if left:
            self._log("left unacknowledged, to be delivered again", events=left)
        await role.close()


async def _ask_for_ends(results: Results, app: RoleApp) -> None:
    """Ask for the log's ends again and again: they tell how old a message is, by no wall clock."""
    while True:
        asked_s = time.monotonic()
        try:
            async with asyncio.timeout(ASKED_WITHIN_S):
                ends = await app.log_ends()
        except Exception:  # noqa: BLE001, S110 - the broker is away, as others say
            pass
        else:
            results.clocks.log_ended(asked_s, ends)
        await asyncio.sleep(ASK_EVERY_S)


async def _tell(results: Results, lost: Sequence[LostSpan], app: RoleApp) -> None:
    """Dead letters of what retention took before the role began and while it runs, however long
    the broker is away."""
    for span in lost:
        await results.lost(span)
    while True:
        await results.lost(await app.lost())
