"""Controllers that forget a subscription or refuse a signal: the rest of the line works."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from asyncua import ua
from structlog.testing import capture_logs

from connectors.handshake.signals import Owner, Signal
from connectors.handshake.values import Notice, PartKey
from connectors.settings import GatewaySettings
from lab.plc.controller import PlcConfig
from lab.plc.ledger import entries_of, summarise
from lab.plc.opcua_server import NodeLayout
from lab.plc.plan import PlannedPart
from streams.codes import AckOutcome, FaultCode
from streams.events import Alert
from tests.connectors.line import Line, at_once, decision_for, running_line
from tests.waiting import until

PLC = PlcConfig(takt_s=0.05, window_s=20.0)
ROOMY = GatewaySettings(result_window_ms=20_000)


async def forget_subscriptions(line: Line) -> None:
    """As a controller does after a download: the connection and its session stay."""
    service = line.plc._server._running().iserver.subscription_service
    await service.delete_subscriptions(list(service.subscriptions))


async def allow(line: Line, signal: Signal, writable: bool) -> None:
    server = line.plc._server
    await server._running().get_node(server._ids[signal]).set_writable(writable)


async def trigger(line: Line, name: str) -> None:
    await line.plc.settled(await line.plc.trigger(PlannedPart(part_id=name, product_id="demo")))


@pytest.mark.asyncio
async def test_a_subscription_that_the_controller_forgot_costs_one_connection_and_no_part(
    tmp_path: Path,
) -> None:
    async with running_line(tmp_path, PLC, config=ROOMY) as line:
        line.bus.answer = at_once
        await line.start_gateway()
        await trigger(line, "before")
        for name in ("first", "second"):
            with capture_logs() as told:
                await forget_subscriptions(line)
                await trigger(line, name)  # nobody is told of it
                assert await line.plc.wait_for(lambda: line.plc.ready, 20)
            lost = [row for row in told if row["event"] == "plc.link_lost"]
            assert len(lost) == 1
            assert "subscription" in str(lost[0]["why"])
        await trigger(line, "after")
        summary = summarise(entries_of(line.plc.ledger.rows))
        assert (summary["decided"], summary["acted_twice"], summary["wrong_part"]) == (4, 0, 0)
        assert entries_of(line.plc.ledger.rows)[-1].source == "expert"


@pytest.mark.asyncio
async def test_a_subscription_is_missed_where_the_controller_has_no_heartbeat(
    tmp_path: Path,
) -> None:
    """Its acknowledgements would be told by nobody, and no result could follow."""
    layout = NodeLayout(absent=frozenset({Signal.PLC_HEARTBEAT}))
    config = ROOMY.model_copy(update={"signals": {"PlcHeartbeat": "none"}})
    async with running_line(tmp_path, PLC, layout, config=config) as line:
        line.bus.answer = at_once
        await line.start_gateway()
        with capture_logs() as told:
            await trigger(line, "before")
            await forget_subscriptions(line)
            await trigger(line, "first")  # seen by the look that stands for a heartbeat
            await trigger(line, "second")
            await trigger(line, "third")
        lost = [str(row["why"]) for row in told if row["event"] == "plc.link_lost"]
        assert len(lost) == 1
        assert lost[0].startswith("the subscription is silent, though ")
        assert not line.plc.gateway(Signal.RESULT_OVERRUN)
        await until(lambda: len(line.bus.acks) == 4)
        assert {ack.outcome for ack in line.bus.acks} == {AckOutcome.ACKNOWLEDGED}


@pytest.mark.asyncio
@pytest.mark.slow
async def test_a_frozen_program_costs_no_connection(tmp_path: Path) -> None:
    async with running_line(tmp_path, PLC, config=ROOMY) as line:
        await line.start_gateway()
        with capture_logs() as told:
            line.plc.heartbeat_frozen = True
            frozen = FaultCode.PLC_HEARTBEAT
            assert await line.plc.wait_for(
                lambda: line.plc.gateway(Signal.FAULT_CODE) == frozen, 20
            )
            beat = int(line.plc.gateway(Signal.VISION_HEARTBEAT))
            await until(lambda: int(line.plc.gateway(Signal.VISION_HEARTBEAT)) > beat + 4, 20)
            line.plc.heartbeat_frozen = False
            assert await line.plc.wait_for(lambda: line.plc.ready, 20)
        assert [row for row in told if row["event"] == "plc.link_lost"] == []


@pytest.mark.asyncio
@pytest.mark.parametrize("signal", [Signal.CLASS_ID, Signal.MISSED_COUNT])
async def test_a_signal_that_is_refused_is_named_and_the_rest_works(
    tmp_path: Path, signal: Signal
) -> None:
    async with running_line(tmp_path, PLC, config=ROOMY) as line:
        line.bus.answer = at_once
        await allow(line, signal, False)
        with capture_logs() as told:
            await line.start_gateway()
            await trigger(line, "a")
            await trigger(line, "b")
        shown = FaultCode.SIGNAL_REFUSED
        assert await line.plc.wait_for(lambda: line.plc.gateway(Signal.FAULT_CODE) == shown, 10)
        assert line.plc.ready
        named = [row["signal"] for row in told if row["event"] == "plc.signal_refused"]
        assert named == [signal.wire_name]
        assert [row for row in told if row["event"] == "plc.link_lost"] == []
        entries = entries_of(line.plc.ledger.rows)
        assert [entry.source for entry in entries] == ["expert", "expert"]
        await until(lambda: len(line.bus.acks) == 2)
        assert {a.outcome for a in line.bus.acks} == {AckOutcome.ACKNOWLEDGED}


async def put_with(line: Line, signal: Signal, value: object, status: int) -> None:
    """As an OPC server does while a tag is stale."""
    server = line.plc._server
    kind = ua.VariantType[signal.data_type]
    read = ua.DataValue(ua.Variant(value, kind), StatusCode=ua.StatusCode(status))
    await server._running().write_attribute_value(server._ids[signal], read)


QUALITIES = [ua.StatusCodes.UncertainLastUsableValue, ua.StatusCodes.BadWaitingForInitialData]


@pytest.mark.asyncio
@pytest.mark.parametrize("status", QUALITIES)
async def test_a_part_whose_signals_have_no_good_quality_is_held_and_the_line_goes_on(
    tmp_path: Path, status: int
) -> None:
    async with running_line(tmp_path, PLC, config=ROOMY) as line:
        line.bus.answer = at_once
        await put_with(line, Signal.RECIPE_REQ, 0, status)  # no connection waits for it
        await line.start_gateway()
        await put_with(line, Signal.TAKT_MS, 50, status)
        await trigger(line, "stale")
        await put_with(line, Signal.TAKT_MS, 50, ua.StatusCodes.Good)
        assert await line.plc.wait_for(lambda: line.plc.ready, 20)
        await trigger(line, "fresh")
        stale, fresh = entries_of(line.plc.ledger.rows)
        assert (stale.action, stale.results[0].reason) == ("hold", "missed_trigger")
        assert (fresh.action, fresh.source) == ("pass", "expert")


@pytest.mark.asyncio
@pytest.mark.parametrize("status", QUALITIES)
async def test_what_nobody_has_written_yet_is_waited_for_by_nobody(
    tmp_path: Path, status: int
) -> None:
    """A server between shows the gateway's own signals so until the gateway has written them."""
    async with running_line(tmp_path, PLC, config=ROOMY, owned=True) as line:
        line.bus.answer = at_once
        for signal in Signal:
            if signal.owner is Owner.GATEWAY:
                await put_with(line, signal, signal.default, status)
        await line.start_gateway()
        await trigger(line, "a")
        assert [entry.source for entry in entries_of(line.plc.ledger.rows)] == ["expert"]


@pytest.mark.asyncio
async def test_a_reset_of_no_good_quality_resets_nothing(tmp_path: Path) -> None:
    async with running_line(tmp_path, PLC, config=ROOMY) as line:
        gateway = await line.start_gateway()
        gateway._apply(Notice.STOP_REQUESTED)
        asked = Signal.STOP_REQUEST
        assert await line.plc.wait_for(lambda: bool(line.plc.gateway(asked)), 10)
        with capture_logs() as told:
            await put_with(line, Signal.FAULT_RESET_SEQ, 7, QUALITIES[0])
            await until(lambda: any(row["event"] == "plc.value_unusable" for row in told))
            beat = int(line.plc.gateway(Signal.VISION_HEARTBEAT))
            await until(lambda: int(line.plc.gateway(Signal.VISION_HEARTBEAT)) > beat + 1, 20)
            assert line.plc.gateway(asked), "the value was uncertain"
            await put_with(line, Signal.FAULT_RESET_SEQ, 7, ua.StatusCodes.Good)
            assert await line.plc.wait_for(lambda: not line.plc.gateway(asked), 10)


@pytest.mark.asyncio
@pytest.mark.parametrize("signal", [Signal.RESULT_CODE, Signal.RESULT_SEQ])
async def test_without_a_whole_result_none_is_told_and_nothing_is_captured(
    tmp_path: Path, signal: Signal
) -> None:
    """A number over half a result would be acted on."""
    plc = PlcConfig(takt_s=0.05, window_s=2.0)
    async with running_line(tmp_path, plc, config=GatewaySettings(result_window_ms=2000)) as line:
        line.bus.answer = at_once
        await allow(line, signal, False)
        await line.start_gateway()
        await trigger(line, "a")
        shown = FaultCode.RESULT_REFUSED
        assert await line.plc.wait_for(lambda: line.plc.gateway(Signal.FAULT_CODE) == shown, 10)
        assert await line.plc.wait_for(lambda: not line.plc.gateway(Signal.READY), 10)
        (entry,) = entries_of(line.plc.ledger.rows)
        assert (entry.results, entry.source) == ([], "plc_default")
        await until(lambda: len(line.bus.acks) == 1)
        assert line.bus.acks[0].outcome is AckOutcome.UNACKNOWLEDGED
        assert signal.wire_name in line.bus.acks[0].detail


@pytest.mark.asyncio
@pytest.mark.parametrize("stamps", [True, False])
@pytest.mark.slow
async def test_the_window_ends_with_the_controllers_own_however_late_a_trigger_is_told(
    tmp_path: Path, stamps: bool
) -> None:
    """Told once a second, a trigger is up to a second old when the gateway hears of it."""
    own = GatewaySettings(result_window_ms=20_000, publishing_interval_ms=1000)
    layout = NodeLayout(stamps=stamps)
    async with running_line(tmp_path, PLC, layout, config=own) as line:
        gateway = await line.start_gateway()
        for name in "abc":
            seq = await line.plc.trigger(PlannedPart(part_id=name, product_id="demo"))
            key = PartKey(line.plc.boot_id, seq)
            await until(lambda: key in gateway._state.parts, 20)  # noqa: B023
            part = gateway._state.parts[key]
            await until(lambda: len(line.bus.frames) == seq, 20)  # noqa: B023
            given = line.plc._parts[seq].triggered
            assert part.deadline <= given + 20.25, "with what its time stamps may be off"
            assert part.deadline >= given + (19.5 if stamps else 17.0)
            assert part.triggered_at <= given + (0.25 if stamps else 20.0)
            line.bus.feed.tell(decision_for(line.bus.frames[-1]))
            await line.plc.settled(seq)
            assert await line.plc.wait_for(lambda: line.plc.ready, 20)


@pytest.mark.asyncio
async def test_a_stop_request_that_was_reset_does_not_come_back_with_a_restart(
    tmp_path: Path,
) -> None:
    """Alerts of the last minute are read again then."""

    def alert(raised_at: datetime) -> Alert:
        fields = {"line": "line1", "product_id": "demo", "limit": "scrap", "reason": "too many"}
        return Alert(alert_id=uuid4(), request_stop=True, raised_at=raised_at, **fields)

    async with running_line(tmp_path, PLC, config=ROOMY) as line:
        asked, now = Signal.STOP_REQUEST, datetime.now(UTC)
        await line.start_gateway()
        line.bus.feed.tell(alert(now))
        assert await line.plc.wait_for(lambda: bool(line.plc.gateway(asked)), 10)
        await line.stop_gateway()
        await line.start_gateway()
        assert line.plc.gateway(asked), "nobody has reset it"
        await line.reset_faults()
        assert await line.plc.wait_for(lambda: not line.plc.gateway(asked), 10)
        await line.stop_gateway()
        await line.start_gateway()
        line.bus.feed.tell(alert(now))
        line.bus.answer = at_once
        await trigger(line, "a")  # the alert before it was heard
        assert not line.plc.gateway(asked)
        line.bus.feed.tell(alert(now + timedelta(seconds=1)))
        assert await line.plc.wait_for(lambda: bool(line.plc.gateway(asked)), 10)


@pytest.mark.asyncio
async def test_ready_follows_trigger_enable_where_it_is_used(tmp_path: Path) -> None:
    own = ROOMY.model_copy(update={"use_trigger_enable": True})
    async with running_line(tmp_path, PLC, config=own) as line:
        line.bus.answer = at_once
        await line.plc.put({Signal.TRIGGER_ENABLE: True})
        await line.start_gateway()
        await line.plc.put({Signal.TRIGGER_ENABLE: False})
        assert await line.plc.wait_for(lambda: not line.plc.ready, 20)
        await trigger(line, "disabled")
        await line.plc.put({Signal.TRIGGER_ENABLE: True})
        assert await line.plc.wait_for(lambda: line.plc.ready, 20)
        await trigger(line, "enabled")
        found = [(entry.action, entry.source) for entry in entries_of(line.plc.ledger.rows)]
        assert found == [("hold", "watchdog"), ("pass", "expert")]
