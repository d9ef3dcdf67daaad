"""The exported function block, interpreted, as the controller of a gateway."""

from pathlib import Path

import pytest

from connectors.controller_code import structured_text
from connectors.settings import GatewaySettings
from infra.stack.process import free_port
from lab.plc.controller import PlcConfig
from lab.plc.plan import PlannedPart
from tests.connectors.line import Line, at_once
from tests.lab.plc.block_plc import BlockPlc
from tests.lab.plc.structured_text import FunctionBlock, StructuredTextError


def played(count: int) -> list[PlannedPart]:
    return [PlannedPart(part_id=f"p{n}", product_id="demo") for n in range(1, count + 1)]


@pytest.mark.asyncio
@pytest.mark.parametrize("count", [10, pytest.param(1000, marks=pytest.mark.slow)])
async def test_each_part_gets_one_outcome_which_is_its_own(tmp_path: Path, count: int) -> None:
    plc = BlockPlc(f"opc.tcp://127.0.0.1:{free_port()}", window_ms=20_000)
    line = Line(tmp_path, plc, config=GatewaySettings(result_window_ms=20_000))
    plc.config = PlcConfig(url=plc._server.url)  # where the gateway finds it
    line.bus.answer = at_once
    await plc.start()
    try:
        await line.start_gateway(ready=False)
        await plc.play(played(count))
    finally:
        await line.stop_gateway()
        await line.bus.close()
        await plc.stop()
    assert [o.part_id for o in plc.outcomes] == [f"p{n}" for n in range(1, count + 1)]
    assert all(o.told_part_id == o.part_id and (o.code, o.source) == (1, 1) for o in plc.outcomes)
    assert (plc.refused, plc.block.variables["LateResults"]) == (0, 0)


def test_without_a_result_the_block_holds_the_part_at_the_end_of_its_window() -> None:
    block = FunctionBlock(structured_text())
    told, io = block.variables, block.variables["Io"]
    assert isinstance(io, dict)
    outcomes = []
    for now_ms in range(0, 1000, 10):
        io |= {"Online": True, "Ready": True, "VisionHeartbeat": now_ms}
        told |= {"TaktMs": 300, "Trigger": now_ms == 100}
        block.cycle(now_ms)
        io |= {"TriggerAckSeq": io["TriggerSeq"], "ExposureDoneSeq": io["TriggerSeq"]}
        if told["OutcomeValid"]:
            outcomes.append((now_ms, told["OutcomeSeq"], told["OutcomeCode"]))
    assert outcomes == [(410, 1, 4)]
    assert (told["OutcomeSource"], told["Defaults"], told["OpenParts"]) == (5, 1, 0)


def test_a_trigger_without_a_gateway_is_refused() -> None:
    block = FunctionBlock(structured_text())
    block.variables["Trigger"] = True
    block.cycle(0)
    assert (block.variables["Refused"], block.variables["State"]) == (True, 0)


@pytest.mark.parametrize("wrong", ["Nowhere := 1;", "Found := TRUE", "WHILE Found DO END_WHILE;"])
def test_what_the_block_may_not_use_is_refused(wrong: str) -> None:
    text = structured_text().replace("Refused := FALSE;", wrong, 1)
    with pytest.raises(StructuredTextError):
        FunctionBlock(text)
