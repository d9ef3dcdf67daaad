"""Servers that are slow, take few nodes in one call, or read them while the program runs."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.server.internal_session import InternalSession
from asyncua.server.uaprocessor import UaProcessor
from structlog.testing import capture_logs

from connectors.gateway.ownership import OwnedLink
from connectors.handshake.config import HandshakeConfig
from connectors.handshake.signals import Signal
from connectors.handshake.values import Connected
from connectors.opcua.secured import words_of
from lab.plc.opcua_server import PREFIX
from tests.connectors.line import running_line
from tests.connectors.test_makes import PLC, play, settings, told
from tests.contracts.test_line_link import OpcUaController, Running
from tests.waiting import until

SERVICES: dict[str, Callable[[object], int]] = {
    "read": lambda params: len(params.NodesToRead),
    "write": lambda params: len(params.NodesToWrite),
    "create_monitored_items": lambda params: len(params.ItemsToCreate),
}


def limit(monkeypatch: pytest.MonkeyPatch, service: str, most: int) -> list[int]:
    """Let a server refuse calls with more than so many nodes; how many those had that it took."""
    whole, taken = getattr(InternalSession, service), list[int]()

    async def limited(self: InternalSession, params: object, *more: object) -> object:
        if self.external:
            if SERVICES[service](params) > most:
                raise ServiceError(ua.StatusCodes.BadTooManyOperations)
            taken.append(SERVICES[service](params))
        return await whole(self, params, *more)

    monkeypatch.setattr(InternalSession, service, limited)
    return taken


@pytest.mark.asyncio
async def test_a_server_that_takes_few_nodes_in_one_call_is_asked_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = [limit(monkeypatch, service, 3) for service in SERVICES]
    async with running_line(tmp_path, PLC, config=settings()) as line:
        await play(line, "a", "b")
        assert told(line) == [("a", "a", "expert"), ("b", "b", "expert")]
    assert [max(counts) for counts in taken] == [3, 3, 3]


@pytest.mark.asyncio
async def test_a_server_that_needs_half_the_deadline_for_each_call_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = UaProcessor._process_message

    async def slow(self: UaProcessor, kind: ua.NodeId, *message: object) -> object:
        if kind.Identifier != ua.ObjectIds.PublishRequest_Encoding_DefaultBinary:
            await asyncio.sleep(0.2)
        return await whole(self, kind, *message)

    monkeypatch.setattr(UaProcessor, "_process_message", slow)
    own = settings(plc_timeout_s=0.5)
    async with running_line(tmp_path, PLC, config=own) as line:
        with capture_logs() as logged:
            await line.start_gateway(ready=False)
            await until(lambda: any(row["event"] == "plc.connected" for row in logged), 20)
        assert [row for row in logged if row["event"] == "plc.unreachable"] == []


def test_a_server_that_does_not_answer_is_told_with_what_to_do() -> None:
    assert "raise ANDON_GATEWAY__PLC_TIMEOUT_S" in words_of(TimeoutError())


class OwnedController(OpcUaController):
    """A controller whose gateway makes sure first that it is in charge."""

    def __init__(self) -> None:
        super().__init__()
        nowhere = Path(os.devnull) / "line.owner"
        self.link = OwnedLink(self.link, HandshakeConfig(), nowhere, standby=False)  # type: ignore[assignment]


@pytest.mark.asyncio
@pytest.mark.parametrize("make", [OpcUaController, OwnedController])
async def test_a_trigger_while_a_connection_begins_is_told_with_its_own_part(
    monkeypatch: pytest.MonkeyPatch, make: type[OpcUaController]
) -> None:
    """Each time the server has read PartId, the controller goes on to the next part."""
    controller = make()
    whole, number = InternalSession.read, 1

    async def one_by_one(self: InternalSession, params: ua.ReadParameters) -> list[ua.DataValue]:
        nonlocal number
        nodes = params.NodesToRead
        if not self.external or len(nodes) < len(Signal):
            return await whole(self, params)
        values = []
        for node in nodes:
            params.NodesToRead = [node]
            values += await whole(self, params)
            if node.NodeId.Identifier == f"{PREFIX}.{Signal.PART_ID.wire_name}":
                number += 1
                await controller.put({Signal.PART_ID: f"part {number}"})
                await controller.put({Signal.TRIGGER_SEQ: number})
        return values

    monkeypatch.setattr(InternalSession, "read", one_by_one)
    async with Running(controller) as running:
        (values,) = [event.values for event in running.events if isinstance(event, Connected)]
        assert number > 2, "the controller went on while the connection began"
        assert values[Signal.PART_ID] == f"part {values[Signal.TRIGGER_SEQ]}"
        await until(lambda: running.changed().get(Signal.TRIGGER_SEQ) == number)
