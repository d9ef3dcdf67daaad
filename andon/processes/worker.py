"""Composes a Faust role from the settings: the ports' adapters, the runner, the signals.

Each role imports only the adapters it needs, and opens them while it joins its consumer group.
"""

import asyncio
import contextlib
import importlib
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

import structlog

from andon.notify import notify_ready, notify_stopping
from andon.settings import Settings
from streams.kafka.changelog import KafkaChangelog
from streams.kafka.quiet import quieten
from streams.ports import ImageStore, PolicySource
from streams.roles.classify import ClassifyRole
from streams.roles.config import (
    MIB,
    BusConfig,
    FlowConfig,
    LimitsConfig,
    RoleConfig,
    RoleName,
)
from streams.roles.inspect import InspectRole
from streams.roles.limits import COUNTED_FROM, LimitsRole
from streams.roles.metrics import RoleMetrics
from streams.roles.outbox import Outbox
from streams.roles.record import RecordRole
from streams.roles.record_core import RECORDED
from streams.roles.runner import Role, RoleRunner
from streams.topics import ANOMALIES, FRAMES, Topic

UNHURRIED_MS = 1000
"""How long a fetch of record and limits may wait at the broker, milliseconds."""
SERVE_WAIT_S = 10.0
"""A worker says that it is ready without Ray Serve after this long, seconds."""


def role_config(role: RoleName, settings: Settings) -> RoleConfig:
    """What the role is told, from the settings."""
    kafka, worker = settings.kafka, settings.worker
    return RoleConfig(
        role=role,
        bus=BusConfig(
            bootstrap_servers=kafka.bootstrap_servers,
            state=settings.paths.state,
            idempotent_producer=kafka.idempotent_producer,
            request_timeout_s=kafka.request_timeout_s,
            fetch_max_wait_ms=_fetch_wait_ms(role, kafka.fetch_max_wait_ms),
            instance=worker.instance if kafka.static_membership else None,
        ),
        flow=FlowConfig(
            concurrency=worker.concurrency,
            in_flight_bytes=worker.in_flight_mib * MIB,
            batch=worker.batch,
            batch_wait_s=worker.batch_wait_ms / 1000,
            margin_s=worker.fallback_margin_ms / 1000,
            call_timeout_s=settings.serve.timeout_s,
        ),
        limits=LimitsConfig(
            remembered_parts=worker.remembered_parts, stop_within_s=worker.stop_within_s
        ),
        metrics_port=worker.metrics_port,
    )


def _fetch_wait_ms(role: RoleName, line_ms: int) -> int:
    """No part waits for what is recorded and counted: those roles ask the broker less often."""
    return line_ms if role in ("inspect", "classify") else max(line_ms, UNHURRIED_MS)


class Started:
    """Tells the supervisor that the worker is at work, once Ray Serve is reached too."""

    def __init__(self, config: RoleConfig) -> None:
        self.config = config
        self.client: Any = None
        self._task: asyncio.Task[None] | None = None

    def announce(self) -> None:
        """The group is joined and the ports are open."""
        self._task = asyncio.get_running_loop().create_task(self._announce())

    async def close(self) -> None:
        """Announce no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _announce(self) -> None:
        if self.client is not None and not await self.client.wait_connected(SERVE_WAIT_S):
            log = structlog.get_logger(role=self.config.role)
            log.warning("ray serve is away: parts get their fallback meanwhile")
        notify_ready()


async def run_worker(role: RoleName, settings: Settings) -> None:
    """Run the role until SIGTERM or SIGINT; in-flight events are finished first.

    Raises:
        AndonError: a dependency is configured wrongly, or the broker connection broke down.
    """
    quieten()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    config, log = role_config(role, settings), structlog.get_logger(role=role).info
    started = Started(config)
    topics, open_role = _ROLES[role]
    make = partial(open_role, settings, started)
    kafka = settings.kafka
    runner = RoleRunner(config, topics, make, log, kafka.replication_factor, kafka.partitions)
    try:
        await runner.run(stop, started.announce)
    finally:
        notify_stopping()
        await started.close()


@asynccontextmanager
async def _inspect(
    settings: Settings, started: Started, outbox: Outbox, metrics: RoleMetrics
) -> AsyncIterator[Role]:
    serving = await _imported("serving.ray.client")
    serve = settings.serve
    expert = serving.ServeVisionExpert(serve.address, serve.application, serve.timeout_s)
    async with (
        _policies(settings) as policies,
        _images(settings) as images,
        _serving(expert, started),
    ):
        yield InspectRole(expert, policies, outbox, metrics, started.config.flow, images)


@asynccontextmanager
async def _classify(
    settings: Settings, started: Started, outbox: Outbox, metrics: RoleMetrics
) -> AsyncIterator[Role]:
    serving = await _imported("serving.ray.client")
    serve = settings.serve
    classifier = serving.ServeClassifier(serve.address, serve.application, serve.timeout_s)
    async with (
        _policies(settings) as policies,
        _images(settings) as images,
        _serving(classifier, started),
    ):
        flow = started.config.flow
        yield ClassifyRole(classifier, policies, outbox, metrics, flow, images, late=classifier)


@asynccontextmanager
async def _record(
    settings: Settings, started: Started, outbox: Outbox, metrics: RoleMetrics
) -> AsyncIterator[Role]:
    history_writer = await _imported("history.writer")
    postgres = settings.postgres
    history = history_writer.PostgresHistoryWriter(
        postgres.url.get_secret_value(), postgres.pool_size, postgres.timeout_s
    )
    log = structlog.get_logger(role="record").info
    async with _images(settings) as images, _closing(history):
        yield RecordRole(
            history, images, outbox, metrics, started.config.flow, started.config.record, log
        )


@asynccontextmanager
async def _limits(
    settings: Settings, started: Started, outbox: Outbox, metrics: RoleMetrics
) -> AsyncIterator[Role]:
    adapter = await _imported("andon.processes.limits")
    config, kafka = started.config, settings.kafka
    log = structlog.get_logger(role="limits").info
    changelog = KafkaChangelog(kafka.bootstrap_servers, kafka.request_timeout_s, log)
    async with _policies(settings) as policies:
        limits = adapter.PolicyLimits(policies)
        yield LimitsRole(limits, changelog, outbox, metrics, config.flow, config.limits, log)


_ROLES: Mapping[RoleName, tuple[Sequence[Topic], Callable[..., AbstractAsyncContextManager[Role]]]]
_ROLES = {
    "inspect": ([FRAMES], _inspect),
    "classify": ([ANOMALIES], _classify),
    "record": (RECORDED, _record),
    "limits": (COUNTED_FROM, _limits),
}


async def _imported(name: str) -> Any:
    """Import off the event loop: the group is being joined meanwhile."""
    return await asyncio.to_thread(importlib.import_module, name)


@asynccontextmanager
async def _policies(settings: Settings) -> AsyncIterator[PolicySource]:
    policy_source = await _imported("policies.source")
    cache = settings.paths.state / "policies"
    source = policy_source.KafkaPolicySource(settings.kafka.bootstrap_servers, cache)
    await source.start()
    try:
        yield source
    finally:
        await source.stop()


@asynccontextmanager
async def _images(settings: Settings) -> AsyncIterator[ImageStore]:
    store = (await _imported("andon.wiring")).image_store(settings)
    async with _closing(store):
        yield store


@asynccontextmanager
async def _serving(client: Any, started: Started) -> AsyncIterator[None]:
    """A client of Ray Serve, connecting; until it has, parts get their fallback in time."""
    await client.start()
    started.client = client
    async with _closing(client):
        yield


@asynccontextmanager
async def _closing(adapter: Any) -> AsyncIterator[None]:
    """Close an adapter that can be closed; its failure to do so is not the role's."""
    try:
        yield
    finally:
        close = getattr(adapter, "close", None)
        if close is not None:
            with contextlib.suppress(Exception):
                await close()
