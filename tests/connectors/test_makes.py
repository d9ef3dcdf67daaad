"""Controllers that name and type their nodes as the makes do, seen over the wire."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid5

import pytest
from asyncua import ua
from structlog.testing import capture_logs

from connectors.gateway.journal import Journal
from connectors.gateway.journal_entries import JournalEntry, RunLine, StepLine
from connectors.handshake import PartKey
from connectors.handshake.signals import LOSSES, Signal
from connectors.settings import GatewaySettings
from lab.plc.controller import PlcConfig
from lab.plc.ledger import entries_of
from lab.plc.opcua_server import NodeLayout
from lab.plc.plan import PlannedPart
from streams.codes import AckOutcome, FaultCode
from streams.events import Decision, Frame
from streams.ports import Trigger
from tests.connectors.line import Line, at_once, decision_for, running_line
from tests.waiting import until

PLC = PlcConfig(takt_s=0.05, window_s=20.0)
SPACE = UUID("09087e75-8e5e-499b-954f-f2a9603db28a")
OLD = UUID(int=1)
KIND = ua.VariantType


def named(form: str) -> Callable[[Signal], object]:
    return lambda signal: form.format(signal.wire_name)


def by_number(signal: Signal) -> int:
    return 1000 + list(Signal).index(signal)


def by_guid(signal: Signal) -> UUID:
    return uuid5(SPACE, signal.wire_name)


def by_bytes(signal: Signal) -> bytes:
    return b"\0" + signal.wire_name.encode()


def each(form: Callable[[Signal], str]) -> dict[str, str]:
    return {signal.wire_name: form(signal) for signal in Signal}


SIEMENS = "http://www.siemens.com/simatic-s7-opcua"
MAKES = {
    "siemens": (
        NodeLayout((SIEMENS,), named('"DB_Andon"."{}"')),
        {"node_pattern": "siemens", "node_prefix": "DB_Andon"},
    ),
    "siemens by index": (
        NodeLayout((SIEMENS,), named('"DB"."Andon"."{}"')),
        {"node_pattern": 'ns=2;s="DB"."Andon"."{signal}"'},
    ),
    "beckhoff": (
        NodeLayout(("urn:BeckhoffAutomation:Ua:PLC1",), named("MAIN.Andon.{}")),
        {"node_pattern": "beckhoff"},
    ),
    "codesys": (
        NodeLayout(
            ("urn:a", "CODESYSSPV3/3S/IecVarAccess"), named("|var|PLC.Application.Andon.{}")
        ),
        {"node_pattern": "codesys"},
    ),
    "ignition": (
        NodeLayout(("urn:inductiveautomation:ignition:opcua:tags",), named("[default]Andon/{}")),
        {"node_pattern": "ignition"},
    ),
    "kepware": (
        NodeLayout(("KEPServerEX",), named("Channel1.Device1.Andon.{}")),
        {"node_pattern": "kepware"},
    ),
    "numbers": (
        NodeLayout(("urn:numbers",), by_number),
        {"signals": each(lambda s: f"nsu=urn:numbers;i={by_number(s)}")},
    ),
    "guids": (
        NodeLayout(("urn:a", "urn:guids"), by_guid),
        {"namespace": "urn:guids", "signals": each(lambda s: f"g={by_guid(s)}")},
    ),
    "opaque": (
        NodeLayout(("urn:bytes",), by_bytes),
        {
            "namespace": "urn:bytes",
            "signals": each(lambda s: f"b={ua.NodeId(by_bytes(s), 2).to_string()[7:]}"),
        },
    ),
}
FAST = ("siemens", "numbers")
WHOLE_NUMBERS = ("UInt32", "UInt16", "Int32")
TYPES = {
    "Int32": {s: KIND.Int32 for s in Signal if s.data_type in WHOLE_NUMBERS},
    "Int64, Double, LocalizedText": {
        **{s: KIND.Int64 for s in Signal if s.data_type in WHOLE_NUMBERS},
        **{s: KIND.LocalizedText for s in Signal if s.data_type == "String"},
        Signal.SCORE: KIND.Double,
        Signal.RESULT_TIME: KIND.String,
        Signal.READY: KIND.Byte,
    },
    "Double counters, UInt16": {
        **{s: KIND.Double for s in Signal if s.data_type == "UInt32"},
        Signal.VISION_HEARTBEAT: KIND.UInt16,
        Signal.PLC_HEARTBEAT: KIND.UInt16,
        Signal.CLASS_ID: KIND.Int16,
    },
    "a bit as PlcHeartbeat": {Signal.PLC_HEARTBEAT: KIND.Boolean},
}


def settings(**fields: object) -> GatewaySettings:
    return GatewaySettings.model_validate({"result_window_ms": 20_000, **fields})


async def play(line: Line, *names: str) -> None:
    line.bus.answer = at_once
    await line.start_gateway()
    for name in names:
        await line.plc.settled(await line.plc.trigger(PlannedPart(part_id=name, product_id="demo")))


def told(line: Line) -> list[tuple[str, str, str]]:
    """Part, the part that its results named, and who decided."""
    return [
        (entry.part_id, ",".join(row.part_id for row in entry.results), entry.source)
        for entry in entries_of(line.plc.ledger.rows)
    ]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "make",
    [make if make in FAST else pytest.param(make, marks=pytest.mark.slow) for make in MAKES],
)
async def test_nodes_named_as_the_makes_do(tmp_path: Path, make: str) -> None:
    layout, fields = MAKES[make]
    async with running_line(tmp_path, PLC, layout, config=settings(**fields)) as line:
        await play(line, "a", "b")
        assert told(line) == [("a", "a", "expert"), ("b", "b", "expert")]


@pytest.mark.asyncio
@pytest.mark.parametrize("types", TYPES)
async def test_nodes_of_other_types(tmp_path: Path, types: str) -> None:
    layout = NodeLayout(kinds=TYPES[types])
    async with running_line(tmp_path, PLC, layout, config=settings()) as line:
        await play(line, "Ä1  ", "b")
        assert told(line) == [("Ä1  ", "Ä1  ", "expert"), ("b", "b", "expert")]
        assert line.plc.gateway(Signal.FAULT_CODE) == FaultCode.NONE


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", [KIND.UInt16, KIND.Int16])
async def test_the_results_number_wraps_where_its_node_ends(
    tmp_path: Path, kind: ua.VariantType
) -> None:
    layout = NodeLayout(kinds={Signal.RESULT_SEQ: kind, Signal.RESULT_ACK_SEQ: kind})
    async with running_line(tmp_path, PLC, layout, config=settings()) as line:
        last = 65_534 if kind is KIND.UInt16 else -2
        server = line.plc._server
        for signal in (Signal.RESULT_SEQ, Signal.RESULT_ACK_SEQ):
            await server._running().get_node(server._ids[signal]).write_value(last, kind)
        await play(line, "a", "b", "c")
        assert told(line) == [(name, name, "expert") for name in "abc"]
        assert line.plc.gateway(Signal.RESULT_SEQ) == 2
        assert line.plc.gateway(Signal.FAULT_CODE) == FaultCode.NONE
        await until(lambda: len(line.bus.acks) == 3)
        assert {ack.outcome for ack in line.bus.acks} == {AckOutcome.ACKNOWLEDGED}


@pytest.mark.asyncio
async def test_a_trigger_of_16_bits_goes_on_where_its_node_ends(tmp_path: Path) -> None:
    """Part a is open at the wrap, b is the first behind it, and the boot is the same."""
    shown = (Signal.TRIGGER_SEQ, Signal.TRIGGER_ACK_SEQ, Signal.EXPOSURE_DONE_SEQ)
    layout = NodeLayout(kinds=dict.fromkeys((*shown, Signal.RESULT_TRIGGER_SEQ), KIND.UInt16))
    async with running_line(tmp_path, PLC, layout, config=settings()) as line:
        line.plc.trigger_seq = 65_534
        await line.plc.put({Signal.TRIGGER_SEQ: 65_534})
        before = Journal(tmp_path / "line.journal")
        before.open()
        lap_before = Trigger(line.plc.boot_id, 1, "old", "", "demo", 0, 50)
        before.append(JournalEntry.minted(lap_before, [OLD], 1000.0, 20.0))
        before.append(StepLine(t="closed", k=PartKey(line.plc.boot_id, 1)))
        before.append(RunLine(t="run", b=line.plc.boot_id, s=65_534, r=0))
        await before.close()
        both = asyncio.Event()

        async def when_both_are_there(frame: Frame) -> Decision:
            await both.wait()
            return decision_for(frame)

        line.bus.answer = when_both_are_there
        await line.start_gateway()
        numbers = [await line.plc.trigger(PlannedPart(part_id="a", product_id="demo"))]
        assert await line.plc.wait_for(lambda: line.plc.ready, 20)
        numbers += [await line.plc.trigger(PlannedPart(part_id="b", product_id="demo"))]
        assert await line.plc.wait_for(lambda: line.plc.ready, 20)
        both.set()
        for number in numbers:
            await line.plc.settled(number)
        assert numbers == [65_535, 1]
        assert told(line) == [("a", "a", "expert"), ("b", "b", "expert")]
        assert line.plc.gateway(Signal.MISSED_COUNT) == 0
        assert OLD not in {frame.frame_id for frame in line.bus.frames}


@pytest.mark.asyncio
async def test_a_line_works_without_any_optional_signal(tmp_path: Path) -> None:
    """The seven that are needed, a product that never changes, and nothing else."""
    layout = NodeLayout(absent=frozenset(LOSSES) - {Signal.READY, Signal.ONLINE})
    none = {s.wire_name: "none" for s in layout.absent} | {"ProductId": "=demo"}
    config = settings(signals=none)
    plc = PlcConfig(takt_s=0.05, window_s=20.0, heartbeat_missed=10_000)
    async with running_line(tmp_path, plc, layout, config=config) as line:
        line.bus.answer = at_once
        with capture_logs() as logged:
            await line.start_gateway(ready=False)
            assert await line.plc.wait_for(lambda: bool(line.plc.gateway(Signal.READY)), 20)
            line.plc._gateway_beat_at = float("inf")
            for name in ("a", "b"):
                seq = await line.plc.trigger(PlannedPart(part_id=name, product_id="x"))
                await line.plc.settled(seq)
        assert [e.action for e in entries_of(line.plc.ledger.rows)] == ["pass", "pass"]
        assert {frame.product_id for frame in line.bus.frames} == {"demo"}
        assert [row for row in logged if row["log_level"] == "error"] == []


@pytest.mark.asyncio
async def test_an_optional_signal_that_is_not_there_is_named_once(tmp_path: Path) -> None:
    layout = NodeLayout(absent=frozenset({Signal.SCORE, Signal.LOT_ID}))
    async with running_line(tmp_path, PLC, layout, config=settings()) as line:
        with capture_logs() as logged:
            await play(line, "a")
            await line.plc.restart()
            assert await line.plc.wait_for(lambda: line.plc.ready, 20)
        named_ = [row for row in logged if row["event"] == "plc.signal_unusable"]
        assert {row["signal"] for row in named_} == {"Score", "LotId"}
        assert len(named_) == 2
        assert "signals.Score=none" in str([r["remedy"] for r in named_ if r["signal"] == "Score"])
        shown = FaultCode.SIGNAL_REFUSED
        assert await line.plc.wait_for(lambda: line.plc.gateway(Signal.FAULT_CODE) == shown, 10)
        assert line.plc.ready


@pytest.mark.asyncio
async def test_a_needed_signal_that_is_not_there_is_named_with_what_to_do(tmp_path: Path) -> None:
    layout = NodeLayout(absent=frozenset({Signal.RESULT_CODE}))
    async with running_line(tmp_path, PLC, layout, config=settings()) as line:
        with capture_logs() as logged:
            await line.start_gateway(ready=False)
            assert await line.plc.wait_for(
                lambda: any(row["event"] == "plc.unreachable" for row in logged), 20
            )
        why = next(str(row["why"]) for row in logged if row["event"] == "plc.unreachable")
        assert why.startswith("ResultCode (nsu=urn:andon:line;s=Andon.ResultCode) is not there")
        assert "gateway.signals.ResultCode" in why
