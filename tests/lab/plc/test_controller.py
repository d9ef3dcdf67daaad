"""The simulated controller as a server."""

import pytest

from connectors.errors import ConnectorError
from infra.stack.process import free_port
from lab.plc.controller import PlcConfig, SimulatedPlc


@pytest.mark.asyncio
async def test_a_second_controller_at_a_port_is_told_so() -> None:
    config = PlcConfig(f"opc.tcp://127.0.0.1:{free_port()}")
    first, second = SimulatedPlc(config), SimulatedPlc(config)
    await first.start()
    try:
        with pytest.raises(ConnectorError, match="give another --url"):
            await second.start()
    finally:
        await second.stop()
        await first.stop()
