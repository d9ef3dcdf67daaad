"""What a controller shows to the doctor: the right nodes really read, not an open port."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from asyncua import ua

from connectors.errors import NodeSetError
from connectors.handshake.signals import Signal
from connectors.opcua.probe import probe
from connectors.settings import GatewaySettings
from infra.stack.process import free_port
from lab.plc.opcua_server import SignalServer

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def server() -> AsyncIterator[SignalServer]:
    made = SignalServer(f"opc.tcp://127.0.0.1:{free_port()}", lambda _: None)
    await made.open()
    await made.listen()
    yield made
    await made.close()


def told(server: SignalServer, **more: object) -> GatewaySettings:
    fields = {"plc_url": server.url, "heartbeat_ms": 200, **more}
    return GatewaySettings.model_validate(fields)


async def test_the_signals_are_read_and_the_heartbeats_are_waited_for(
    server: SignalServer,
) -> None:
    async def beat() -> None:
        for count in range(1, 1000):
            await server.put({Signal.PLC_HEARTBEAT: count})
            await asyncio.sleep(0.02)

    still = await probe(told(server))
    assert set(still.values) == set(Signal)
    assert (still.plc_beats, still.gateway_beats) == (False, False)
    beating = asyncio.create_task(beat())
    try:
        found = await probe(told(server))
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
    assert (found.plc_beats, found.gateway_beats) == (True, False)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"namespace": "urn:other"}, "no namespace 'urn:other' there, but .*urn:andon:line"),
        (
            {"node_prefix": "Other"},
            "35 of 35 signals cannot be used: TriggerEnable .*is not there",
        ),
    ],
)
async def test_an_open_port_is_not_enough(
    server: SignalServer, setting: dict[str, str], said: str
) -> None:
    with pytest.raises(NodeSetError, match=said):
        await probe(told(server, **setting))


async def test_signals_that_may_not_be_written_are_named(server: SignalServer) -> None:
    node = server._running().get_node(server._ids[Signal.RESULT_CODE])
    await node.unset_attr_bit(ua.AttributeIds.UserAccessLevel, ua.AccessLevel.CurrentWrite)
    with pytest.raises(NodeSetError, match="may not be written: ResultCode"):
        await probe(told(server))
