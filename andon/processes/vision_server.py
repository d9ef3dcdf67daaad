"""Composes the vision server: a gateway whose line controller is clients of OPC 40100-1."""

import asyncio
from contextlib import AsyncExitStack

import structlog

from andon.processes.gateway import announce, compose, until_ended
from andon.processes.stalls import watched_loop
from andon.settings import Settings
from andon.wiring import brokers, vision_server
from connectors.gateway.core import Gateway
from connectors.vision.server import VisionServer
from streams.cancellation import beside
from streams.kafka.topic_check import tell_of_topics
from streams.log import quieten

log = structlog.get_logger(__name__)


async def run_vision_server(settings: Settings) -> None:
    """Serve clients until SIGTERM or SIGINT.

    Raises:
        AndonError: the address, a certificate, the camera, the journal or the spool cannot be used.
    """
    quieten()
    controller = vision_server.job_controller(settings)
    async with AsyncExitStack() as stack:
        stack.enter_context(watched_loop(settings.stall_ms))
        gateway, following, policies = await compose(settings, stack, controller)
        server = vision_server.vision_server(settings, controller, policies.versions)
        wanted, connection = brokers.topics_wanted(settings), brokers.kafka_connection(settings)
        async with beside(announce(following), tell_of_topics(connection, wanted, log.error)):
            await until_ended("vision server", _serve(server, gateway))
        log.info("vision.stopped")


async def _serve(server: VisionServer, gateway: Gateway) -> None:
    """Both until one ends; the gateway begins when the server listens, because the loop is held
    for seconds while its nodes are made."""
    listening = asyncio.Event()
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(server.run(listening.set))
            await listening.wait()
            group.create_task(gateway.run())
    except ExceptionGroup as several:
        raise several.exceptions[0] from None
