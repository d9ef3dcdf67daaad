"""Composes a Faust role from the settings: the ports' adapters, the runner, the signals.

Each role imports only the adapters it needs, and opens them while it joins its consumer group.
"""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Protocol

import structlog

from andon.build import build
from andon.processes.heap import settle_heap
from andon.processes.instance import Instance, claimed_instance
from andon.processes.stalls import watched_loop
from andon.processes.status import telling
from andon.sd_notify import notify_ready, notify_stopping
from andon.settings import Settings
from andon.wiring import brokers, opened, ray_serve, signed_policies, storage
from andon.wiring.exposition import of_all
from andon.wiring.tracing import spans_of
from streams.cancellation import beside
from streams.errors import AndonError
from streams.kafka.faust_app import BusConfig
from streams.log import quieten
from streams.roles.classify import ClassifyRole
from streams.roles.config import FlowConfig, JoinConfig, LimitsConfig, RoleConfig, RoleName
from streams.roles.inspect import InspectRole
from streams.roles.join import JoinRole
from streams.roles.limits import COUNTED_FROM, LimitsRole
from streams.roles.mqtt import ANNOUNCED, MqttConfig, MqttRole
from streams.roles.record import HISTORY, OBJECTS, RecordRole
from streams.roles.record_core import RECORDED, WITH_OBJECTS
from streams.roles.results import Results
from streams.roles.runner import RoleRunner, RunningRole
from streams.roles.status import WorkerWatch
from streams.roles.traced import TracedClassifier, TracedExpert, Tracing
from streams.roles.verdicts_before import VerdictsBefore
from streams.topics import ANOMALIES, CHANGEOVERS, FRAMES, MIB, SHOTS, Topic

UNHURRIED: frozenset[RoleName] = frozenset({"record", "limits", "mqtt"})
"""No part waits for these: they ask the broker less often."""
UNHURRIED_MS = 1000
"""How long their fetch may wait at the broker, milliseconds."""
TOGETHER_BYTES = 1 << 16
"""What the recorder waits for so long: each answer costs the broker and it as much as many records,
over TLS more. Limits and MQTT take each record at once."""
SERVE_WAIT_S = 10.0
"""A worker says that it is ready without Ray Serve after this long, seconds."""


def role_config(role: RoleName, settings: Settings, instance: str | None = None) -> RoleConfig:
    """What the role is told, from the settings.

    Args:
        role: what the worker does.
        settings: the process's.
        instance: its name among the workers of the role; None joins the group under no name.
    """
    worker, fetch_wait_ms = settings.worker, settings.kafka.fetch_max_wait_ms
    if role in UNHURRIED:
        fetch_wait_ms = max(fetch_wait_ms, UNHURRIED_MS)
    return RoleConfig(
        role=role,
        bus=BusConfig(
            connection=replace(
                brokers.kafka_connection(settings),
                fetch_max_wait_ms=fetch_wait_ms,
                fetch_min_bytes=TOGETHER_BYTES if role == "record" else 1,
            ),
            state=settings.paths.state,
            instance=instance,
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
            remembered_parts=worker.remembered_parts,
            stop_within_s=worker.stop_within_s,
            drift_alpha=worker.drift_alpha,
        ),
        apart=WITH_OBJECTS if role == "record" else frozenset(),
        join=JoinConfig(margin_s=worker.join_margin_s),
        status_every_s=settings.status_every_s,
        metrics_port=worker.metrics_port,
        metrics_host=worker.metrics_host,
        of_all=of_all(settings),
    )


class ServeClient(Protocol):
    """A client of Ray Serve, as a starting worker sees it."""

    async def start(self) -> None: ...
    async def wait_connected(self, timeout_s: float) -> bool: ...
    async def refusal(self, timeout_s: float) -> str: ...


class Started:
    """Tells the supervisor that the worker is at work, once Ray Serve is reached too."""

    def __init__(self, config: RoleConfig, name: str = "0", tracing: Tracing | None = None) -> None:
        self.config = config
        self.name = name
        self.tracing = tracing
        self._serve: ServeClient | None = None
        self._task: asyncio.Task[None] | None = None

    async def connecting(self, client: ServeClient) -> None:
        """Connect; until the connection stands, parts get their fallback in time."""
        await client.start()
        self._serve = client

    def announce(self) -> None:
        """The group is joined and the ports are open."""
        self._task = asyncio.get_running_loop().create_task(self._announce())

    async def close(self) -> None:
        """Stop announcing."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _announce(self) -> None:
        serve, log = self._serve, structlog.get_logger(role=self.config.role)
        is_there = serve is not None and await serve.wait_connected(SERVE_WAIT_S)
        if serve is not None and not is_there:
            log.warning("ray serve is away: parts get their fallback meanwhile")
        settle_heap()
        notify_ready()
        if serve is not None and is_there and (why := await serve.refusal(SERVE_WAIT_S)):
            said = (
                "ray serve refuses this worker: parts get their fallback until its token is mended"
            )
            log.error(said, error=why, setting="ANDON_SERVE__TOKEN_FILE")


async def run_worker(role: RoleName, settings: Settings) -> None:
    """Run the role until SIGTERM or SIGINT; in-flight events are finished first.

    Raises:
        AndonError: a dependency is configured wrongly, or the broker connection broke down.
    """
    claimed = claimed_instance(role, settings.worker.instance, settings.paths.state)
    with watched_loop(settings.stall_ms), claimed as own:
        instance = own.name if settings.kafka.static_membership else None
        await _run(role_config(role, settings, instance), settings, own)


async def _run(config: RoleConfig, settings: Settings, own: Instance) -> None:
    role = config.role
    quieten()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    log = structlog.get_logger(role=role, instance=config.bus.instance).info
    watch = WorkerWatch(own.name, build(), log)
    spans = await asyncio.to_thread(spans_of, settings, role, own.name)
    tracing = None if spans is None else Tracing(spans, role, settings.tracing.keep_odd)
    started = Started(config, own.name, tracing)

    def at_work() -> None:
        own.joined()
        started.announce()

    make = partial(open_role, settings, started)
    wanted = brokers.topics_wanted(settings)
    runner = RoleRunner(config, READ[role], make, watch.log, wanted, tracing)
    try:
        async with telling(settings, partial(watch.look, runner, socket.gethostname())):
            await runner.run(stop, at_work)
    finally:
        notify_stopping()
        await started.close()
        if spans is not None:
            await asyncio.to_thread(spans.close)


READ: Mapping[RoleName, Sequence[Topic]] = {
    "inspect": [FRAMES, CHANGEOVERS],
    "classify": [ANOMALIES],
    "join": [SHOTS],
    "record": RECORDED,
    "limits": COUNTED_FROM,
    "mqtt": ANNOUNCED,
}
"""The topics of each role."""


class Prepared(Protocol):
    """The history, as the role record finds it when it starts."""

    async def prepare(self) -> None: ...


class Bucket(Protocol):
    """The object store, as the role record finds it when it starts."""

    async def ensure_bucket(self) -> None: ...


@asynccontextmanager
async def _preparing(results: Results, history: Prepared, images: Bucket) -> AsyncIterator[None]:
    """Schema and bucket are made at the start, not with the first part: commands and console need
    them before it, and an address or a password that is wrong is told at once.

    What may not be done here, as by a key without the right to make a bucket, is somebody else's:
    an event that needs it says so.
    """

    async def prepare(what: str, call: Callable[[], Awaitable[None]]) -> None:
        with suppress(AndonError):
            await results.until_available(what, call)

    made = (prepare(HISTORY, history.prepare), prepare(OBJECTS, images.ensure_bucket))
    async with beside(*made):
        yield


@asynccontextmanager
async def open_role(
    settings: Settings, started: Started, results: Results
) -> AsyncIterator[RunningRole]:
    """The role over its adapters, which are opened here and closed with it."""
    config = started.config
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        if config.role == "record":
            images = await enter(opened(storage.image_store, settings))
            history = await enter(opened(storage.history_writer, settings))
            await enter(_preparing(results, history, images))
            yield RecordRole(history, images, results)
            return
        if config.role == "mqtt":
            announcer = await enter(brokers.announcer(settings, started.name))
            own = settings.gateway
            place = MqttConfig(settings.mqtt.topic_prefix, own.site, own.area)
            yield MqttRole(announcer, results, place)
            return
        policies = await enter(signed_policies.policy_source(settings))
        results.telemetry.policies = policies.versions
        if config.role == "join":
            before = VerdictsBefore(config.bus.connection)
            yield JoinRole(policies, results, config.join, before.parts)
            return
        if config.role == "limits":
            changelog = brokers.changelog(settings)
            yield LimitsRole(policies, changelog, results, config.limits)
            return
        images = await enter(opened(storage.image_store, settings))
        if config.role == "inspect":
            expert = await enter(opened(ray_serve.vision_expert, settings))
            await started.connecting(expert)
            traced = started.tracing
            scores = expert if traced is None else TracedExpert(expert, traced)
            yield InspectRole(scores, policies, results, images)
        else:
            classifier = await enter(opened(ray_serve.classifier, settings))
            await started.connecting(classifier)
            traced = started.tracing
            names = classifier if traced is None else TracedClassifier(classifier, traced)
            yield ClassifyRole(names, policies, results, images)
