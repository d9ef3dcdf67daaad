"""A controller that hangs up again and again: Ready comes back, and every trigger is on record.

``ANDON_TEST_RECONNECTIONS=1000 pytest tests/connectors/test_reconnections.py`` does it 1,000 times.
"""

import os
from pathlib import Path

import pytest

from connectors.settings import GatewaySettings
from lab.plc.controller import PlcConfig
from lab.plc.ledger import entries_of
from lab.plc.plan import PlannedPart
from tests.connectors.line import at_once, running_line
from tests.waiting import until

_TIMES = int(os.environ.get("ANDON_TEST_RECONNECTIONS", "3"))


@pytest.mark.asyncio
@pytest.mark.timeout(60 + 10 * _TIMES)
async def test_every_trigger_between_reconnections_is_on_record(tmp_path: Path) -> None:
    config = GatewaySettings(result_window_ms=5000, reconnect_max_s=0.3)
    plc_config = PlcConfig(takt_s=5.0, heartbeat_missed=100)
    async with running_line(tmp_path, plc_config, config=config, owned=True) as line:
        line.bus.answer = at_once
        gateway = await line.start_gateway()
        for number in range(_TIMES):
            await line.plc._server.hang_up()
            await until(lambda: not gateway._state.online, 10)
            seq = await line.plc.trigger(PlannedPart(part_id=f"away {number}", product_id="demo"))
            await line.plc._server.listen()
            await line.plc.settled(seq)
            assert await line.plc.wait_for(lambda: line.plc.ready, 10)
            seq = await line.plc.trigger(PlannedPart(part_id=f"back {number}", product_id="demo"))
            await line.plc.settled(seq)
        await until(lambda: len(line.bus.acks) == 2 * _TIMES, 10)
        entries = entries_of(line.plc.ledger.rows)
        assert [(entry.action, entry.results_in_window) for entry in entries] == [
            ("hold", 1),
            ("pass", 1),
        ] * _TIMES
        assert {ack.trigger_seq for ack in line.bus.acks} == set(range(1, 2 * _TIMES + 1))
