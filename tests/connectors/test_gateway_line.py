"""The gateway over a real OPC UA connection to the simulated controller."""

from pathlib import Path

import pytest

from connectors.handshake import HandshakeConfig
from connectors.opcua.ledger import entries_of, summarise
from connectors.opcua.plan import generate_plan
from connectors.opcua.play import play
from connectors.opcua.plc import PlcConfig
from streams.codes import AckOutcome
from tests.connectors.twins import at_once, running_line


@pytest.mark.asyncio
async def test_a_part_gets_its_result(tmp_path: Path) -> None:
    async with running_line(
        tmp_path, PlcConfig(takt_s=0.05, window_s=1.0), config=HandshakeConfig(result_window_s=1.0)
    ) as line:
        line.bus.answer = at_once
        await line.start_gateway()
        await play(line.plc, generate_plan(20, "demo"), takt_s=0.05)
        summary = summarise(entries_of(line.plc.ledger.rows))
        assert summary["decided"] == summary["acknowledged"] == summary["parts"] == 20
        assert summary["acted_twice"] == summary["late"] == summary["wrong_part"] == 0
        assert {a.outcome for a in line.bus.acks} == {AckOutcome.ACKNOWLEDGED}
        assert [f.part_id for f in line.bus.frames] == [
            p.part_id for p in generate_plan(20, "demo")
        ]
