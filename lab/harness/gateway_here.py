"""A gateway in this process, over the broker and the controller of the settings."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from andon.settings import Settings
from andon.wiring import edge
from connectors.gateway.adapters import GatewayPorts
from connectors.gateway.core import Gateway
from connectors.gateway.lanes import Lane
from connectors.gateway.spooling_publisher import SpoolingPublisher
from streams.ports import Camera, PolicySource, Publisher


@asynccontextmanager
async def gateway_here(
    settings: Settings,
    producer: Publisher,
    policies: PolicySource,
    cameras: Sequence[Camera] | None = None,
) -> AsyncIterator[None]:
    """From following the decisions to stopped.

    Args:
        settings: of the station.
        producer: what the gateway sends with.
        policies: in force.
        cameras: one for each shot; None: those of the settings.
    """
    spool = edge.spools(settings)[Lane.PICTURES]
    spool.open()
    feed = edge.decision_feed(settings, 0.0)
    ports = GatewayPorts(
        link=edge.line_link(settings),
        cameras=edge.cameras(settings) if cameras is None else cameras,
        journal=edge.journal(settings),
        publisher=SpoolingPublisher(producer, spool, timeout_s=5.0, in_flight_bytes=1 << 26),
        feed=feed,
        policies=policies,
    )
    task = asyncio.create_task(Gateway(settings.gateway, ports).run())
    try:
        async with asyncio.timeout(60):
            await feed.caught_up.wait()
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
