"""Composes the gateway: one line controller, one camera, Kafka and the object store."""

import asyncio
import itertools
import signal
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from functools import partial

import structlog

from andon.build import build
from andon.processes.heap import settle_heap
from andon.processes.stalls import watched_loop
from andon.processes.status import telling
from andon.sd_notify import notify_ready, notify_stopping
from andon.settings import Settings
from andon.wiring import brokers, edge, opened, signed_policies, storage
from andon.wiring.exposition import of_all
from andon.wiring.tracing import spans_of
from connectors.errors import JournalBusyError, JournalError
from connectors.gateway.adapters import GatewayPorts
from connectors.gateway.core import Gateway
from connectors.gateway.journal import Journal
from connectors.gateway.metrics import GatewayMeter
from connectors.gateway.part_traces import PartTraces
from connectors.gateway.spool import Spool
from connectors.gateway.status import GatewayWatch, WatchedLink
from connectors.handshake.state import State
from connectors.handshake.values import Command
from connectors.line_link import LineLink
from streams.cancellation import beside
from streams.exposition import served
from streams.kafka.connection import KafkaConnection
from streams.kafka.rights import RightsError, require_rights
from streams.kafka.topic_check import tell_of_topics
from streams.log import Log, quieten
from streams.ports import ImageStore, PolicySource
from streams.principals import Role
from streams.status_teller import place_of
from streams.topics import Wanted

log = structlog.get_logger(__name__)
_DISK_RETRY_S = 0.2
_DISK_SAID = 150
"""A disk that cannot be used is said again after so many tries."""
_FEED_WAIT_S = 10.0
"""Readiness waits this long for Kafka, then says ready without it: parts are held meanwhile."""


async def run_gateway(settings: Settings) -> None:
    """Serve the line until SIGTERM or SIGINT.

    Raises:
        AndonError: the camera's specification, the journal or the spool cannot be used.
    """
    quieten()
    async with AsyncExitStack() as stack:
        stack.enter_context(watched_loop(settings.stall_ms))
        certificates: dict[str, datetime] = {}
        link = edge.line_link(settings, certificates.update)
        gateway, following, _ = await compose(
            settings,
            stack,
            link,
            lambda: link.in_charge,
            lambda: link.number,
            lambda: certificates,
        )
        wanted, connection = brokers.topics_wanted(settings), brokers.kafka_connection(settings)
        async with beside(announce(following), tell_of_broker(connection, wanted, log.error)):
            await until_ended("gateway", gateway.run())
        log.info("gateway.stopped")


async def until_ended(name: str, work: Coroutine[object, object, None]) -> None:
    """Return once the work is done, or SIGTERM or SIGINT ended it; the supervisor is told."""
    working = asyncio.create_task(work, name=name)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, working.cancel)
    try:
        await asyncio.wait([working])
    finally:
        notify_stopping()
    if not working.cancelled():
        working.result()


async def tell_of_broker(connection: KafkaConnection, wanted: Wanted, say: Log) -> None:
    """One line for each topic that is wrong, and one for the rights that the gateway lacks.

    A worker without its rights ends; the gateway goes on, because the controller hears from nobody
    else why parts are held.
    """
    await tell_of_topics(connection, wanted, say)
    try:
        await require_rights(connection, Role.GATEWAY, say)
    except RightsError as error:
        say("gateway.lacks_rights", why=str(error))


async def compose(
    settings: Settings,
    stack: AsyncExitStack,
    link: LineLink,
    in_charge: Callable[[], bool] = lambda: True,
    owner: Callable[[], int] = lambda: 0,
    certificates: Callable[[], Mapping[str, datetime]] = dict,
) -> tuple[Gateway, asyncio.Event, PolicySource]:
    """The gateway over its adapters, which are closed with ``stack``.

    Args:
        settings: of the station.
        stack: holds what is opened here.
        link: to the line controller.
        in_charge: whether this gateway speaks for the controller's parts.
        owner: the number under which it does; 0 where there is none.
        certificates: when those of the connection to the controller end.

    Returns:
        The gateway, an event that is set once Kafka's decisions are followed, and the policies.
    """
    own = settings.gateway
    await _usable(partial(edge.take_former, settings))
    spools, journal = edge.spools(settings), edge.journal(settings)
    lookback_s = own.feed_lookback_s if journal.path.exists() else 0.0
    policies, images = await _opened_together(settings, stack, journal, spools.values())
    publisher = await stack.enter_async_context(edge.lanes(settings, spools, images))
    feed = edge.decision_feed(settings, lookback_s)
    waiting = {lane.value: spool.__len__ for lane, spool in spools.items()}
    meter = GatewayMeter(
        own.line,
        own.station,
        in_charge,
        {lane.value: spool for lane, spool in spools.items()},
        own.spool_limit_mib << 20,
        policies.versions,
    )
    if own.metrics_port:
        setting = "ANDON_GATEWAY__METRICS_PORT"
        told = of_all(settings, certificates)
        stack.callback(served(meter.registry, own.metrics_port, own.metrics_host, setting, told))
    traces = await _traces(settings, stack)
    if traces is not None:
        publisher.traces, feed.on_decision = traces, traces.heard
    watched = WatchedLink(link)
    watch = GatewayWatch(
        own,
        watched,
        place_of(settings.paths.state),
        build(),
        in_charge,
        owner,
        waiting,
        policies.versions,
        settings.status_every_s or 1.0,
    )
    await stack.enter_async_context(telling(settings, watch.look))

    def on_step(before: State, after: State, commands: Sequence[Command]) -> None:
        meter.saw(before, after, commands)
        watch.saw(before, after, commands)
        if traces is not None:
            traces.saw(before, after, commands)

    ports = GatewayPorts(
        link=watched,
        cameras=edge.cameras(settings),
        journal=journal,
        publisher=publisher,
        feed=feed,
        caught_up=feed.caught_up,
        policies=policies,
        in_charge=in_charge,
        on_step=on_step,
    )
    return Gateway(own, ports), feed.caught_up, policies


async def _opened_together(
    settings: Settings, stack: AsyncExitStack, journal: Journal, spools: Iterable[Spool]
) -> tuple[PolicySource, ImageStore]:
    """Policies and pictures, beside the disk, so that the line waits only for the slowest."""
    following = signed_policies.policy_source(settings, edge.place(settings))
    opening = (
        asyncio.create_task(_disk_usable(journal, spools), name="disk"),
        asyncio.create_task(stack.enter_async_context(following), name="policies"),
        asyncio.create_task(
            stack.enter_async_context(opened(storage.image_store, settings)), name="images"
        ),
    )
    try:
        _, policies, images = await asyncio.gather(*opening)
    finally:
        for task in opening:
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)
    return policies, images


async def _disk_usable(journal: Journal, spools: Iterable[Spool]) -> None:
    await _usable(journal.open)
    for spool in spools:
        await _usable(spool.open)


async def _traces(settings: Settings, stack: AsyncExitStack) -> PartTraces | None:
    """What follows the parts, where traces are wanted; closed with ``stack``."""
    own, wanted = settings.gateway, settings.tracing
    name = f"{own.line}-{own.station}"
    spans = await asyncio.to_thread(spans_of, settings, "gateway", name)
    if spans is None:
        return None
    stack.push_async_callback(asyncio.to_thread, spans.close)
    return PartTraces(own.line, own.station, spans, wanted.share, wanted.keep_odd)


async def _usable(open_: Callable[[], object]) -> None:
    """Open the journal or the spool, however long the disk is full, read-only or broken.

    The controller meanwhile holds every part itself: nobody is online.

    Raises:
        JournalBusyError: another gateway serves the line.
    """
    for attempt in itertools.count():
        try:
            await asyncio.to_thread(open_)
            return
        except JournalBusyError:
            raise
        except (JournalError, OSError) as error:
            if attempt % _DISK_SAID == 0:
                log.error("gateway.waits_for_its_disk", why=str(error), tries=attempt + 1)
        await asyncio.sleep(_DISK_RETRY_S)


async def announce(following: asyncio.Event) -> None:
    """Tell the supervisor that the gateway is ready, once it follows Kafka's decisions."""
    try:
        async with asyncio.timeout(_FEED_WAIT_S):
            await following.wait()
    except TimeoutError:
        log.warning("gateway.ready_without_kafka", waited_s=_FEED_WAIT_S)
    settle_heap()
    notify_ready()
    log.info("gateway.ready")
