"""Composes a Faust role from the settings: the ports' adapters, the runner, the signals.

Each role imports only what it needs, so that a worker is at work within seconds.
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog

from andon.notify import notify_ready, notify_stopping
from andon.settings import Settings
from streams.agents.config import MIB, BusConfig, FlowConfig, RoleConfig, RoleName
from streams.agents.runner import MakeRole, RoleRunner
from streams.agents.topics_admin import await_topics
from streams.ports import ImageStore, PolicySource
from streams.topics import ANOMALIES, FRAMES, Topic


SERVE_WAIT_S = 10.0
"""A worker waits this long for Ray Serve before it takes parts without it, seconds."""


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
            fetch_max_wait_ms=kafka.fetch_max_wait_ms,
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
        metrics_port=worker.metrics_port,
    )


async def run_worker(role: RoleName, settings: Settings) -> None:
    """Run the role until SIGTERM or SIGINT; in-flight events are finished first.

    Raises:
        AndonError: a dependency is configured wrongly, or the broker connection broke down.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    log, kafka = structlog.get_logger(role=role).info, settings.kafka
    if not await await_topics(kafka.bootstrap_servers, kafka.replication_factor, stop, log):
        return
    composers = {"inspect": _inspect, "classify": _classify, "record": _record}
    async with composers[role](settings) as (topics, make):
        runner = RoleRunner(
            role_config(role, settings),
            topics,
            make,
            log,
            kafka.replication_factor,
        )
        await runner.run(stop, notify_ready)
        notify_stopping()


@asynccontextmanager
async def _inspect(settings: Settings) -> AsyncIterator[tuple[Sequence[Topic], MakeRole]]:
    from serving.client import ServeVisionExpert
    from streams.agents.inspect import InspectRole

    serve, flow = settings.serve, role_config("inspect", settings).flow
    expert = ServeVisionExpert(serve.address, serve.application, serve.timeout_s)
    async with _policies(settings) as policies, _images(settings) as images, _serving(expert):
        yield (
            [FRAMES],
            lambda outbox, metrics: InspectRole(expert, policies, outbox, metrics, flow, images),
        )


@asynccontextmanager
async def _classify(settings: Settings) -> AsyncIterator[tuple[Sequence[Topic], MakeRole]]:
    from serving.client import ServeClassifier
    from streams.agents.classify import ClassifyRole

    serve, flow = settings.serve, role_config("classify", settings).flow
    classifier = ServeClassifier(serve.address, serve.application, serve.timeout_s)
    async with _policies(settings) as policies, _images(settings) as images, _serving(classifier):
        yield (
            [ANOMALIES],
            lambda outbox, metrics: ClassifyRole(
                classifier, policies, outbox, metrics, flow, images
            ),
        )


@asynccontextmanager
async def _record(settings: Settings) -> AsyncIterator[tuple[Sequence[Topic], MakeRole]]:
    from history.writer import PostgresHistoryWriter
    from streams.agents.record import RecordRole
    from streams.agents.record_core import RECORDED

    config, postgres = role_config("record", settings), settings.postgres
    url = postgres.url.get_secret_value()
    history = PostgresHistoryWriter(url, postgres.pool_size, postgres.timeout_s)
    log = structlog.get_logger(role="record").info
    async with _images(settings) as images, _closing(history):
        yield (
            list(RECORDED),
            lambda outbox, metrics: RecordRole(
                history, images, outbox, metrics, config.flow, config.record, log
            ),
        )


@asynccontextmanager
async def _policies(settings: Settings) -> AsyncIterator[PolicySource]:
    from policies.source import KafkaPolicySource

    cache = settings.paths.state / "policies"
    source = KafkaPolicySource(settings.kafka.bootstrap_servers, cache)
    await source.start()
    try:
        yield source
    finally:
        await source.stop()


@asynccontextmanager
async def _images(settings: Settings) -> AsyncIterator[ImageStore]:
    from history.images import MinioImageStore

    s3 = settings.s3
    store = MinioImageStore(
        s3.endpoint,
        s3.access_key.get_secret_value(),
        s3.secret_key.get_secret_value(),
        s3.secure,
        s3.region,
        s3.bucket,
        s3.timeout_s,
    )
    async with _closing(store):
        yield store


@asynccontextmanager
async def _serving(client: Any) -> AsyncIterator[None]:
    """A client of Ray Serve; a Ray that is away delays the start, it does not prevent it."""
    await client.start()
    async with _closing(client):
        if not await client.wait_connected(SERVE_WAIT_S):
            structlog.get_logger().warning("ray serve is away: parts get their fallback meanwhile")
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
