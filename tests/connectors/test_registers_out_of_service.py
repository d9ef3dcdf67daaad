"""Registers that a controller refuses for a while: the rest works, and they come back."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from asyncua import ua
from asyncua.server.internal_session import InternalSession
from structlog.testing import capture_logs

from connectors.handshake.signals import Signal
from connectors.opcua import refusals
from connectors.opcua.check import check
from lab.plc.ledger import entries_of, summarise
from lab.plc.plan import PlannedPart
from streams.codes import AckOutcome, FaultCode
from tests.connectors.line import Line, at_once, running_line
from tests.connectors.test_controller_faults import PLC, ROOMY, trigger
from tests.waiting import until

OUT = ua.StatusCodes.BadOutOfService


def refuse(
    monkeypatch: pytest.MonkeyPatch, line: Line, status: dict[Signal, int]
) -> dict[Signal, int]:
    """Let the server answer a Write of these with a status, as where a tag's device is away."""
    whole, server = InternalSession.write, line.plc._server

    async def write(self: InternalSession, params: ua.WriteParameters) -> Iterable[ua.StatusCode]:
        if not self.external:
            return await whole(self, params)
        out = {server._ids[signal]: code for signal, code in status.items()}
        wanted = params.NodesToWrite
        params.NodesToWrite = [item for item in wanted if item.NodeId not in out]
        taken = iter(await whole(self, params))
        params.NodesToWrite = wanted
        found = [out.get(item.NodeId) for item in wanted]
        return [next(taken) if code is None else ua.StatusCode(code) for code in found]

    monkeypatch.setattr(InternalSession, "write", write)
    return status


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "signals", [(Signal.SCORE,), (Signal.BUSY, Signal.MISSED_COUNT, Signal.CLASS_ID)]
)
@pytest.mark.parametrize("code", [OUT, OUT | 0x400, ua.StatusCodes.UncertainLastUsableValue])
async def test_a_register_that_is_out_of_service_stops_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signals: tuple[Signal, ...], code: int
) -> None:
    async with running_line(tmp_path, PLC, config=ROOMY) as line:
        refuse(monkeypatch, line, dict.fromkeys(signals, code))
        line.bus.answer = at_once
        with capture_logs() as told:
            await line.start_gateway()
            for name in ("a", "b", "c"):
                await trigger(line, name)
            await until(lambda: len(line.bus.acks) == 3)
        assert {ack.outcome for ack in line.bus.acks} == {AckOutcome.ACKNOWLEDGED}
        summary = summarise(entries_of(line.plc.ledger.rows))
        assert (summary["decided"], summary["acted_twice"], summary["wrong_part"]) == (3, 0, 0)
        assert len([row for row in told if row["event"] == "plc.link_lost"]) <= 2
        named = {row["signal"] for row in told if row["event"] == "plc.signal_refused"}
        assert named == {signal.wire_name for signal in signals}
        shown = FaultCode.SIGNAL_REFUSED
        assert await line.plc.wait_for(lambda: line.plc.gateway(Signal.FAULT_CODE) == shown, 10)


@pytest.mark.asyncio
async def test_a_register_that_is_back_in_service_shows_what_it_should(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it should have shown meanwhile is written, though nothing of it changes any more."""
    monkeypatch.setattr(refusals, "_AGAIN_S", 0.2)
    async with running_line(tmp_path, PLC, config=ROOMY) as line:
        out = refuse(monkeypatch, line, {Signal.EXPOSURE_DONE_SEQ: OUT})
        line.bus.answer = at_once
        with capture_logs() as told:
            await line.start_gateway()
            await trigger(line, "a")
            out.clear()
            assert await line.plc.wait_for(
                lambda: line.plc.gateway(Signal.EXPOSURE_DONE_SEQ) == 1, 10
            )
            await until(lambda: "plc.signal_taken" in [row["event"] for row in told], 5)
        assert [entry.source for entry in entries_of(line.plc.ledger.rows)] == ["expert"]


@pytest.mark.asyncio
async def test_a_result_register_that_is_out_of_service_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No result is told without it, and the one that waits is told once it is back."""
    async with running_line(tmp_path, PLC, config=ROOMY) as line:
        await line.start_gateway()
        out = refuse(monkeypatch, line, {Signal.RESULT_CODE: OUT})
        line.bus.answer = at_once
        with capture_logs() as told:
            seq = await line.plc.trigger(PlannedPart(part_id="a", product_id="demo"))
            await until(lambda: sum(row["event"] == "plc.link_lost" for row in told) > 2, 20)
            assert line.plc.gateway(Signal.RESULT_SEQ) == 0
            out.clear()
            await line.plc.settled(seq)
        assert "plc.signal_refused" not in [row["event"] for row in told]
        (entry,) = entries_of(line.plc.ledger.rows)
        assert (entry.action, entry.source, len(entry.results)) == ("pass", "expert", 1)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (OUT, "look at the device or channel"),
        (ua.StatusCodes.UncertainLastUsableValue, "look at the device or channel"),
        (ua.StatusCodes.BadUserAccessDenied, "give the gateway's user the right to write it"),
        (ua.StatusCodes.BadOutOfRange, "let the node take the whole range of its type"),
    ],
)
async def test_check_says_what_to_do_about_a_write_that_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, remedy: str
) -> None:
    async with running_line(tmp_path, PLC, config=ROOMY) as line:
        refuse(monkeypatch, line, {Signal.SCORE: code})
        found = await check(ROOMY.model_copy(update={"plc_url": line.plc.config.url}))
        (score,) = (one for one in found.signals if one.signal is Signal.SCORE)
        assert score.found.startswith("refuses a Write (")
        assert score.remedy.startswith(remedy)
        assert [one.signal for one in found.signals if one.found] == [Signal.SCORE]
