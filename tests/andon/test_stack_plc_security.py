"""The gateway of a secured stack is let in by its simulated controller, and nobody without."""

from pathlib import Path

import pytest

from andon.settings import Settings
from andon.stack.plc_security import controller_pki
from andon.stack.security import secure_plc
from connectors.opcua.secured import connected
from connectors.opcua.server_security import read_security
from infra.stack.process import free_port
from lab.plc.opcua_server import SignalServer
from streams.principals import Role


@pytest.mark.asyncio
async def test_the_gateway_is_let_in(tmp_path: Path) -> None:
    made = {role: secure_plc(tmp_path, role) for role in Role}
    assert {role for role, sections in made.items() if sections} == {Role.GATEWAY, Role.ADMIN}
    url = f"opc.tcp://127.0.0.1:{free_port()}"
    security = read_security(controller_pki(tmp_path))
    server = SignalServer(url, lambda _: None, security=security)
    own = {**made[Role.GATEWAY]["gateway"], "plc_url": url, "plc_timeout_s": 10.0}
    await server.open()
    await server.listen()
    try:
        settings = Settings.model_validate({"gateway": own}).gateway
        async with connected(settings, "test") as client:
            assert await client.get_namespace_index(settings.namespace)
    finally:
        await server.close()
    assert not security.refused


def test_nobody_else_reads_what_was_made(tmp_path: Path) -> None:
    secure_plc(tmp_path, Role.GATEWAY)
    made = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert made
    assert not [path for path in made if path.stat().st_mode & 0o077]
