"""A gateway that is stopped while its controller does not answer ends as it should."""

import asyncio
from pathlib import Path

import pytest
from asyncua.server.internal_session import InternalSession

from connectors.handshake.signals import Signal
from connectors.settings import GatewaySettings
from lab.plc.plan import PlannedPart
from streams.codes import AckOutcome
from tests.connectors.line import at_once, running_line
from tests.connectors.test_controller_faults import PLC
from tests.waiting import until


@pytest.mark.asyncio
async def test_a_gateway_ends_in_order_beside_a_controller_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last write gets no answer; all else is waited for and closed all the same."""
    whole, hangs = InternalSession.write, asyncio.Event()

    async def write(self: InternalSession, params: object) -> object:
        if self.external and hangs.is_set():
            await asyncio.Event().wait()
        return await whole(self, params)

    monkeypatch.setattr(InternalSession, "write", write)
    own = GatewaySettings(result_window_ms=20_000, plc_timeout_s=0.3)
    async with running_line(tmp_path, PLC, config=own) as line:
        line.bus.answer = at_once
        gateway = await line.start_gateway()
        await line.plc.settled(await line.plc.trigger(PlannedPart(part_id="a", product_id="demo")))
        assert line.plc.gateway(Signal.RESULT_SEQ) == 1
        await until(lambda: len(line.bus.acks) == 1)
        hangs.set()
        await line.stop_gateway()
        assert gateway._ports.journal._file is None
        assert [ack.outcome for ack in line.bus.acks] == [AckOutcome.ACKNOWLEDGED]
