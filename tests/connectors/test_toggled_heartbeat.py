"""A controller whose heartbeat is a bit that toggles."""

from pathlib import Path

import pytest
from asyncua import ua

from connectors.handshake.signals import WATCHED, Signal, SignalValue
from connectors.handshake.values import Connected
from connectors.line_link import Changed
from connectors.opcua.node_set import NodeSet
from connectors.opcua.subscription import Notifications
from lab.plc.opcua_server import NodeLayout
from streams.codes import FaultCode
from tests.connectors.line import running_line
from tests.connectors.test_makes import PLC, play, settings, told
from tests.waiting import until

BIT = {Signal.PLC_HEARTBEAT: ua.VariantType.Boolean}


def published(flag: bool) -> ua.PublishResult:
    item = ua.MonitoredItemNotification(
        WATCHED.index(Signal.PLC_HEARTBEAT), ua.DataValue(ua.Variant(flag))
    )
    result = ua.PublishResult()
    result.NotificationMessage.NotificationData = [ua.DataChangeNotification([item])]
    return result


@pytest.mark.asyncio
async def test_each_notification_but_the_first_says_that_it_moved() -> None:
    """The server publishes seldom: it may show the same after two moves."""
    beats: list[SignalValue] = []
    events = Notifications(NodeSet({}, {}, {}, kinds=dict(BIT)), lambda _: None)
    events.forward(
        lambda event: (
            beats.append(event.values[Signal.PLC_HEARTBEAT])
            if isinstance(event, Changed | Connected)
            else None
        )
    )
    for flag in (True, True, False, False, True):
        await events(published(flag))
    assert beats == [1, 3, 4, 6, 7]
    assert events.shows_beat({Signal.PLC_HEARTBEAT: 1})
    assert not events.shows_beat({Signal.PLC_HEARTBEAT: 0})


@pytest.mark.asyncio
async def test_a_program_that_stops_is_seen_and_one_that_goes_on_too(tmp_path: Path) -> None:
    async with running_line(tmp_path, PLC, NodeLayout(kinds=BIT), config=settings()) as line:
        await play(line, "a")
        line.plc.heartbeat_frozen = True
        await until(lambda: line.plc.gateway(Signal.FAULT_CODE) == FaultCode.PLC_HEARTBEAT)
        assert not line.plc.ready
        line.plc.heartbeat_frozen = False
        await until(lambda: line.plc.ready)
        assert told(line) == [("a", "a", "expert")]
