"""A controller that kept ResultAckSeq over its restart and lost the last ResultSeq."""

from pathlib import Path

import pytest
from asyncua import ua

from connectors.handshake.signals import Signal
from lab.plc.ledger import entries_of
from streams.codes import AckOutcome
from tests.connectors.line import at_once, running_line
from tests.connectors.test_controller_faults import PLC, ROOMY, trigger
from tests.waiting import until


@pytest.mark.asyncio
async def test_no_result_has_the_number_that_stands_as_acknowledged(tmp_path: Path) -> None:
    """Its acknowledgement would move nothing, and every result behind it would wait for it."""
    async with running_line(tmp_path, PLC, config=ROOMY) as line:
        line.bus.answer = at_once
        server = line.plc._server
        await line.plc.put({Signal.RESULT_ACK_SEQ: 4})
        register = server._running().get_node(server._ids[Signal.RESULT_SEQ])
        await register.write_value(3, ua.VariantType.UInt32)
        await line.start_gateway()
        for name in ("a", "b"):
            await trigger(line, name)
        await until(lambda: len(line.bus.acks) == 2, 20)
        assert {ack.outcome for ack in line.bus.acks} == {AckOutcome.ACKNOWLEDGED}
        assert [entry.source for entry in entries_of(line.plc.ledger.rows)] == ["expert", "expert"]
        assert line.plc.gateway(Signal.RESULT_SEQ) == 6
