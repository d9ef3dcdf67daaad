"""Controllers that drop one monitored item and go on telling the others."""

from pathlib import Path

import pytest
from asyncua import ua
from structlog.testing import capture_logs

from connectors.handshake.signals import WATCHED, Signal
from connectors.settings import GatewaySettings
from lab.plc.ledger import entries_of
from lab.plc.plan import PlannedPart
from streams.codes import AckOutcome
from tests.connectors.line import Line, at_once, running_line
from tests.connectors.test_controller_faults import PLC, ROOMY, trigger
from tests.waiting import until


def drop_item(line: Line, signal: Signal) -> None:
    """As a server does for the tags of one device or data block that is loaded anew."""
    service = line.plc._server._running().iserver.subscription_service
    for subscription in service.subscriptions.values():
        items = subscription.monitored_item_srv
        found = items._monitored_items.items()
        number = next(key for key, one in found if one.client_handle == WATCHED.index(signal))
        items.delete_monitored_items([number])


@pytest.mark.asyncio
async def test_a_trigger_that_is_no_longer_told_is_found_and_held(tmp_path: Path) -> None:
    """PlcHeartbeat is told all the while."""
    async with running_line(tmp_path, PLC, config=ROOMY) as line:
        line.bus.answer = at_once
        await line.start_gateway()
        with capture_logs() as told:
            drop_item(line, Signal.TRIGGER_SEQ)
            await trigger(line, "unheard")
            assert await line.plc.wait_for(lambda: line.plc.ready, 20)
            await trigger(line, "after")
        lost = [str(row["why"]) for row in told if row["event"] == "plc.link_lost"]
        assert lost == ["the subscription is silent, though TriggerSeq moved"]
        unheard, after = entries_of(line.plc.ledger.rows)
        assert (unheard.action, unheard.results[0].reason) == ("hold", "missed_trigger")
        assert (after.action, after.source) == ("pass", "expert")


@pytest.mark.asyncio
async def test_an_acknowledgement_that_is_no_longer_told_stops_no_result(tmp_path: Path) -> None:
    async with running_line(tmp_path, PLC, config=ROOMY) as line:
        line.bus.answer = at_once
        await line.start_gateway()
        drop_item(line, Signal.RESULT_ACK_SEQ)
        for name in ("first", "second", "third"):
            await trigger(line, name)
        await until(lambda: len(line.bus.acks) == 3)
        assert {ack.outcome for ack in line.bus.acks} == {AckOutcome.ACKNOWLEDGED}
        assert not line.plc.gateway(Signal.RESULT_OVERRUN)


@pytest.mark.asyncio
async def test_a_node_that_is_told_to_be_gone_costs_the_connection_at_once(tmp_path: Path) -> None:
    """The server watches nothing under that node any more, also when it is there again."""
    late = GatewaySettings(result_window_ms=20_000, heartbeat_missed=20)
    async with running_line(tmp_path, PLC, config=late) as line:
        line.bus.answer = at_once
        gateway = await line.start_gateway()
        server = line.plc._server
        with capture_logs() as told:
            gone = ua.DataValue(StatusCode=ua.StatusCode(ua.StatusCodes.BadNodeIdUnknown))
            there = await server._running().get_node(server._ids[Signal.TRIGGER_SEQ]).read_value()
            await server._running().write_attribute_value(server._ids[Signal.TRIGGER_SEQ], gone)
            await until(lambda: any(row["event"] == "plc.link_lost" for row in told), 5)
            await line.plc.put({Signal.TRIGGER_SEQ: there})
            await until(lambda: any(row["event"] == "plc.connected" for row in told), 20)
            await until(lambda: gateway._state.ready, 20)
        why = next(str(row["why"]) for row in told if row["event"] == "plc.link_lost")
        assert why == "TriggerSeq is gone (BadNodeIdUnknown): the controller was changed"
        seq = await line.plc.trigger(PlannedPart(part_id="after", product_id="demo"))
        await line.plc.settled(seq)
        assert [entry.source for entry in entries_of(line.plc.ledger.rows)] == ["expert"]
