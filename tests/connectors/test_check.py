"""``check`` and ``browse`` against servers that are as plants have them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from asyncua import ua
from asyncua.common.callback import CallbackType

from connectors.errors import LinkError
from connectors.handshake.signals import Signal, SignalValue
from connectors.opcua.browsing import browse
from connectors.opcua.check import Checked, CheckedSignal, check
from connectors.opcua.check_conditions import Condition, Observed, conditions
from connectors.settings import GatewaySettings
from infra.stack.process import free_port
from lab.plc.opcua_server import NodeLayout, SignalServer

KIND = ua.VariantType


@asynccontextmanager
async def serving(layout: NodeLayout | None = None) -> AsyncIterator[SignalServer]:
    """A controller whose program runs."""
    url = f"opc.tcp://127.0.0.1:{free_port()}"
    server = SignalServer(url, lambda _: None, layout=layout or NodeLayout())
    await server.open()
    await server.put({Signal.TAKT_MS: 800})

    async def beat() -> None:
        for count in range(1, 10_000):
            await server.put({Signal.PLC_HEARTBEAT: count})
            await asyncio.sleep(0.02)

    await server.listen()
    beating = asyncio.create_task(beat())
    try:
        yield server
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
        await server.close()


def told(server: SignalServer, **more: object) -> GatewaySettings:
    fields = {
        "plc_url": server.url,
        "heartbeat_ms": 50,
        "heartbeat_missed": 20,
        "plc_timeout_s": 10.0,
        **more,
    }
    return GatewaySettings.model_validate(fields)


def row(found: Checked, signal: Signal) -> CheckedSignal:
    return next(one for one in found.signals if one.signal is signal)


def condition(found: Checked, name: str) -> Condition:
    return next(one for one in found.conditions if one.name == name)


async def values_of(server: SignalServer) -> dict[Signal, SignalValue]:
    return {s: v for s, v in server.values.items() if s is not Signal.PLC_HEARTBEAT}


@pytest.mark.asyncio
async def test_a_sound_controller_could_run_and_stands_as_before() -> None:
    async with serving() as server:
        await server.put({Signal.CLASS_ID: -1, Signal.RESULT_CODE: 4, Signal.RESULT_SEQ: 17})
        before = await values_of(server)
        found = await check(told(server))
        assert found.could_run
        assert [one for one in found.signals if one.found] == []
        assert [one for one in found.conditions if not one.is_met] == []
        assert row(found, Signal.TRIGGER_SEQ).proved == "read, watched"
        assert row(found, Signal.RESULT_PART_ID).proved == "read, written and read back"
        assert row(found, Signal.RESULT_SEQ).proved == "read, written as it stood"
        assert await values_of(server) == before


@pytest.mark.asyncio
async def test_what_is_wrong_is_named_with_what_to_do_and_what_is_lost() -> None:
    layout = NodeLayout(
        kinds={Signal.VISION_HEARTBEAT: KIND.UInt16},
        absent=frozenset({Signal.RESULT_CODE, Signal.LOT_ID, Signal.SCORE}),
    )
    async with serving(layout) as server:
        score = ua.NodeId("Andon.Score", server._ids[Signal.READY].NamespaceIndex)
        await server._running().nodes.objects.add_variable(score, "Score", 0, KIND.Int32)
        node = server._running().get_node(server._ids[Signal.FAULT_CODE])
        await node.set_writable(False)
        stale = ua.DataValue(ua.Variant("p", KIND.String), ua.StatusCode(0x40900000))
        await server._running().write_attribute_value(server._ids[Signal.PRODUCT_ID], stale)
        found = await check(told(server))
    assert not found.could_run
    assert [one.signal for one in found.signals if one.stops] == [Signal.RESULT_CODE]
    assert "is not there" in row(found, Signal.RESULT_CODE).found
    assert "signals.RESULT_CODE" not in row(found, Signal.RESULT_CODE).remedy
    assert "gateway.signals.ResultCode" in row(found, Signal.RESULT_CODE).remedy
    assert row(found, Signal.LOT_ID).lost == "parts have no lot"
    assert "is Int32" in row(found, Signal.SCORE).found
    assert "cannot hold" in row(found, Signal.VISION_HEARTBEAT).found
    assert "may not be written" in row(found, Signal.FAULT_CODE).found
    assert "Uncertain" in row(found, Signal.PRODUCT_ID).found


@pytest.mark.asyncio
async def test_what_shows_the_trigger_must_be_as_wide() -> None:
    narrow = {Signal.TRIGGER_ACK_SEQ: KIND.UInt16, Signal.RESULT_SEQ: KIND.UInt16}
    async with serving(NodeLayout(kinds=narrow)) as server:
        found = await check(told(server))
    assert [one.signal for one in found.signals if one.found] == [Signal.TRIGGER_ACK_SEQ]
    one = row(found, Signal.TRIGGER_ACK_SEQ)
    assert "ends at 65535" in one.found
    assert (one.remedy, found.could_run) == ("make it UInt32 too", False)


@pytest.mark.asyncio
async def test_how_long_writes_take_is_measured_by_writes() -> None:
    async with serving() as server:
        await server.put({Signal.TAKT_MS: 20_000})
        service = server._running().iserver.attribute_service
        write = service.write

        async def slow(*args: object, **options: object) -> object:
            await asyncio.sleep(0.05)
            return await write(*args, **options)

        service.write = slow
        found = condition(await check(told(server)), "T")
        read_only = condition(await check(told(server), writes=False), "T")
    assert not found.is_met
    assert "gateway.watchdog_margin_ms" in found.remedy
    assert "as long as Reads" in read_only.found
    assert "as long as Reads" not in found.found


@pytest.mark.asyncio
async def test_a_check_that_is_broken_off_leaves_the_registers_as_they_stood() -> None:
    async with serving() as server:
        service = server._running().iserver.attribute_service
        write, begun = service.write, asyncio.Event()

        async def watched(params: ua.WriteParameters, **options: object) -> object:
            if params.NodesToWrite[0].NodeId == server._ids[Signal.RESULT_CODE]:
                begun.set()
            return await write(params, **options)

        service.write = watched
        before = await values_of(server)
        checking = asyncio.create_task(check(told(server)))
        await asyncio.wait_for(begun.wait(), 60)
        checking.cancel()
        await asyncio.gather(checking, return_exceptions=True)
        assert checking.cancelled()
        assert await values_of(server) == before


@pytest.mark.asyncio
async def test_a_value_of_no_use_costs_no_signal_and_is_told() -> None:
    """It is there for one moment, or nobody has written it yet."""
    kinds = {Signal.RECIPE_REQ: KIND.Double, Signal.RESULT_TIME: KIND.String}
    async with serving(NodeLayout(kinds=kinds)) as server:
        running = server._running()
        for signal, value in ((Signal.RECIPE_REQ, 0.5), (Signal.RESULT_TIME, "n/a")):
            await running.get_node(server._ids[signal]).write_value(value, kinds[signal])
        found = await check(told(server))
    assert [one.signal for one in found.signals if one.found] == [Signal.RECIPE_REQ]
    assert row(found, Signal.RECIPE_REQ).found == "is 0.5, which is no whole number"
    assert "written and read back" in row(found, Signal.RESULT_TIME).proved


@pytest.mark.asyncio
async def test_a_register_that_does_not_keep_what_is_written_is_told() -> None:
    async with serving() as server:
        stuck = {Signal.RESULT_TRIGGER_SEQ: 0, Signal.RESULT_PART_ID: "Andon"}

        def overwrite(_: object, __: object = None) -> None:
            for signal, value in stuck.items():
                node = server._running().iserver.aspace[server._ids[signal]]
                variant = ua.Variant(value, KIND[signal.data_type])
                node.attributes[ua.AttributeIds.Value].value = ua.DataValue(variant)

        server._running().subscribe_server_callback(CallbackType.PostWrite, overwrite)
        found = await check(told(server))
    assert not found.could_run
    assert row(found, Signal.RESULT_TRIGGER_SEQ).found == "shows 0 after 70000 was written"
    assert row(found, Signal.RESULT_PART_ID).found == "keeps 5 of 64 characters"


@pytest.mark.asyncio
@pytest.mark.slow
async def test_nothing_is_written_where_a_gateway_is_in_charge_or_nobody_may() -> None:
    async with serving() as server:
        wrote = []
        server.on_change = wrote.append

        async def gateway() -> None:
            for count in range(1, 10_000):
                await server.put({Signal.VISION_HEARTBEAT: count})
                await asyncio.sleep(0.02)

        beating = asyncio.create_task(gateway())
        try:
            found = await check(told(server))
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
        assert not condition(found, "VisionHeartbeat").is_met
        assert not any(one.stops for one in found.signals)
        assert row(found, Signal.RESULT_CODE).proved == "read, may be written"
        await check(told(server), writes=False)
        assert wrote == []


def observed(**changes: object) -> Observed:
    fields = {
        "beats_s": (0.4, 0.9, 1.4, 1.9, 2.4, 2.9),
        "watched_s": 3.0,
        "gateway_beats": False,
        "publishing_ms": 10.0,
        "sampling_ms": 10.0,
        "round_trip_ms": 2.0,
        "has_heartbeat": True,
        "takt_ms": 800,
        "has_stamps": True,
    }
    return Observed(**{**fields, **changes})


@pytest.mark.parametrize(
    ("changes", "name", "words", "stops"),
    [
        ({"beats_s": ()}, "PlcHeartbeat", "stood still for 3.0 s", True),
        ({"beats_s": (), "beat_fault": "is bad"}, "PlcHeartbeat", "is bad, so it counts", True),
        ({"beats_s": (0.1, 2.0)}, "PlcHeartbeat", "at most 1.9 s apart", True),
        ({"has_heartbeat": False, "beats_s": ()}, "PlcHeartbeat", "there is none", False),
        ({"sampling_ms": 100.0}, "intervals", "seen up to 110 ms late", False),
        ({"has_stamps": False}, "T", "no time stamps", False),
        ({}, "T", "726 ms of it are left", False),
        ({}, "T", "4 for two Writes that take as long as Reads", False),
        ({"write_ms": 20.0}, "T", "40 for two Writes,", False),
        ({"write_ms": 40.0}, "T", "650 ms of it are left", False),
        ({"write_ms": 400.0}, "T", "-70 ms of it are left", True),
        ({"takt_ms": 0}, "T", "TaktMs is 0", True),
        ({"takt_ms": 3_600_001}, "T", "over an hour", True),
        ({"takt_ms": 50}, "T", "no more than watchdog_margin_ms", True),
        ({"takt_ms": 70}, "T", "-4 ms of it are left", True),
    ],
)
def test_conditions(changes: dict[str, object], name: str, words: str, stops: bool) -> None:
    found = {one.name: one for one in conditions(GatewaySettings(), observed(**changes))}[name]
    assert words in found.found
    assert (found.stops, bool(found.remedy)) == (stops, not found.is_met)


@pytest.mark.parametrize(
    ("read_ms", "write_ms", "remedy"),
    [
        (2.0, 20.0, ""),
        (2.0, None, ""),
        (280.0, 280.0, "set gateway.heartbeat_ms to over 560, here and in the program"),
        (500.0, None, "set gateway.heartbeat_ms to over 1000, here and in the program; "),
        (50.0, 400.0, "set gateway.plc_timeout_s to over 1.2"),
    ],
)
def test_slow_calls_are_told_with_the_settings_that_bear_them(
    read_ms: float, write_ms: float | None, remedy: str
) -> None:
    seen = observed(round_trip_ms=read_ms, write_ms=write_ms)
    calls = {one.name: one for one in conditions(GatewaySettings(), seen)}["calls"]
    assert (calls.is_met, calls.stops) == (not remedy, False)
    assert remedy in calls.remedy


def test_a_window_of_the_settings_needs_no_takt() -> None:
    own = GatewaySettings(result_window_ms=2000)
    assert all(one.is_met for one in conditions(own, observed(takt_ms=0)))


@pytest.mark.asyncio
async def test_browse_finds_every_signal_and_stops_at_its_limit() -> None:
    layout = NodeLayout(("urn:a", "urn:b;100%"), lambda s: f'"DB"."{s.wire_name}"')
    async with serving(layout) as server:
        found = await browse(told(server), 1000)
        assert (found.is_whole, len(found.proposal.chosen)) == (True, len(Signal))
        pattern = 'nsu=urn:b%3B100%25;s="DB"."{signal}"'
        assert found.proposal.pattern == pattern
        assert (await check(told(server, node_pattern=pattern))).could_run
        short = await browse(told(server), 10)
        assert not short.is_whole
        problems = {s: one.problem for s, one in found.proposal.chosen.items() if one.problem}
        assert problems == {}


@pytest.mark.asyncio
async def test_nobody_there_is_an_error_that_says_so() -> None:
    nowhere = GatewaySettings(plc_url=f"opc.tcp://127.0.0.1:{free_port()}")
    with pytest.raises(LinkError, match="ConnectionRefused"):
        await check(nowhere)
