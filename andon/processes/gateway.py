"""Composes the gateway: one line controller, one camera, Kafka and the object store."""

import asyncio
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import structlog

from andon.notify import notify_ready, notify_stopping
from andon.settings import Settings
from andon.wiring import image_store
from connectors.cameras import open_camera
from connectors.decision_feed import LineDecisionFeed
from connectors.events import LineIdentity
from connectors.gateway import Gateway, GatewayPorts
from connectors.handshake import HandshakeConfig
from connectors.journal import Journal
from connectors.opcua.client import OpcUaLink
from connectors.settings import GatewaySettings
from connectors.spool import ReferencingPublisher, Spool, SpoolingPublisher
from streams.events import Alert
from streams.kafka.connection import KafkaConnection
from streams.kafka.publisher import KafkaPublisher
from streams.kafka.quiet import quieten
from streams.ports import PolicySource

log = structlog.get_logger(__name__)
_FEED_WAIT_S = 10.0
"""Readiness waits this long for Kafka, then says ready without it: parts are held meanwhile."""


def handshake_config(settings: GatewaySettings) -> HandshakeConfig:
    """The settings in the handshake's terms, seconds."""
    window = settings.result_window_ms
    return HandshakeConfig(
        result_window_s=window / 1000 if window is not None else None,
        watchdog_margin_s=settings.watchdog_margin_ms / 1000,
        ack_timeout_s=settings.ack_timeout_ms / 1000,
        heartbeat_s=settings.heartbeat_ms / 1000,
        heartbeat_missed=settings.heartbeat_missed,
        pipelining=settings.pipelining,
        unacknowledged_limit=settings.unacknowledged_limit,
        open_limit=settings.open_limit,
        missed_limit=settings.missed_limit,
        recipes=tuple(settings.recipes),
    )


def policy_source(settings: Settings) -> PolicySource:
    """The policies in force, from Kafka with a copy on this host's disk."""
    from policies.source import KafkaPolicySource

    own = settings.gateway
    cache = settings.paths.state / "policies" / f"{own.line}-{own.station}"
    return KafkaPolicySource(settings.kafka.bootstrap_servers, cache)


async def run_gateway(settings: Settings) -> None:
    """Serve the line until SIGTERM or SIGINT.

    Raises:
        AndonError: the camera's specification, the journal or the spool cannot be used.
    """
    quieten()
    async with AsyncExitStack() as stack:
        gateway, feed = await _compose(settings, stack)
        serving = asyncio.create_task(gateway.run(), name="gateway")
        ready = asyncio.create_task(_announce(feed))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, serving.cancel)
        try:
            await asyncio.wait([serving])
        finally:
            ready.cancel()
            notify_stopping()
        if not serving.cancelled():
            serving.result()
        log.info("gateway.stopped")


async def _compose(settings: Settings, stack: AsyncExitStack) -> tuple[Gateway, LineDecisionFeed]:
    own, kafka = settings.gateway, settings.kafka
    name = f"{own.line}-{own.station}"
    spool = Spool(own.spool_dir / name, own.spool_limit_mib << 20)
    spool.open()
    producer = KafkaPublisher(
        KafkaConnection(
            kafka.bootstrap_servers,
            request_timeout_s=own.publish_timeout_s,
            idempotent_producer=kafka.idempotent_producer,
        )
    )
    stack.push_async_callback(producer.stop)
    policies = policy_source(settings)
    stack.push_async_callback(policies.stop)
    await policies.start()
    images = image_store(settings)
    stack.push_async_callback(images.close)
    journal_path = Path(own.journal_dir) / f"{name}.journal"
    restarted = journal_path.exists()
    alerts: list[Gateway] = []

    def on_alert(alert: Alert) -> None:
        for gateway in alerts:
            gateway.on_alert(alert)

    feed = LineDecisionFeed(
        kafka.bootstrap_servers,
        own.line,
        lookback_s=own.feed_lookback_s if restarted else 0.0,
        timeout_s=kafka.request_timeout_s,
        max_wait_ms=kafka.fetch_max_wait_ms,
        on_alert=on_alert,
    )
    ports = GatewayPorts(
        link=OpcUaLink(
            own.plc_url,
            own.namespace,
            own.node_prefix,
            timeout_s=own.plc_timeout_s,
            publishing_interval_ms=own.publishing_interval_ms,
            reconnect_max_s=own.reconnect_max_s,
        ),
        camera=open_camera(own.camera, own.capture_timeout_s),
        journal=Journal(journal_path, int(own.journal_limit_mib * (1 << 20))),
        publisher=SpoolingPublisher(
            ReferencingPublisher(producer, images, own.object_timeout_s),
            spool,
            timeout_s=own.publish_timeout_s,
            in_flight_bytes=own.in_flight_mib << 20,
        ),
        feed=feed,
        policies=policies,
    )
    where = LineIdentity(
        own.line, own.station, own.enterprise, own.site, own.area, own.is_simulated
    )
    gateway = Gateway(where, handshake_config(own), ports, capture_timeout_s=own.capture_timeout_s)
    alerts.append(gateway)
    return gateway, feed


async def _announce(feed: LineDecisionFeed) -> None:
    try:
        async with asyncio.timeout(_FEED_WAIT_S):
            await feed.assigned.wait()
    except TimeoutError:
        log.warning("gateway.ready_without_kafka", waited_s=_FEED_WAIT_S)
    notify_ready()
    log.info("gateway.ready")
