"""A controller that is away is a line of the log, and not one for each attempt."""

import asyncio

import pytest
from structlog.testing import capture_logs

from connectors.opcua.link import OpcUaLink
from connectors.settings import GatewaySettings
from infra.stack.process import free_port
from lab.plc.controller import PlcConfig, SimulatedPlc
from tests.waiting import until


@pytest.mark.asyncio
async def test_one_line_when_it_goes_away_and_one_when_it_is_back() -> None:
    url = f"opc.tcp://127.0.0.1:{free_port()}"
    link = OpcUaLink(GatewaySettings(plc_url=url, reconnect_max_s=0.05))
    plc = SimulatedPlc(PlcConfig(url=url))
    events: list[object] = []
    with capture_logs() as lines:
        running = asyncio.create_task(link.run(events.append))
        try:
            await until(lambda: link._outage._failures >= 8, 60)
            said = [line["event"] for line in lines if line["log_level"] != "debug"]
            assert said == ["plc.unreachable"]
            assert "ConnectionRefusedError" in lines[1]["why"]
            await plc.start()
            await until(lambda: bool(events), 60)
            assert lines[-1]["event"] == "plc.connected"
            assert lines[-1]["attempts"] > 8
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await plc.stop()
