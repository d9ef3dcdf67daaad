"""A secured vision server: who may start jobs."""

import asyncio
from pathlib import Path

import pytest
from asyncua import Client, ua

from tests.connectors.authorities import PASSWORD, USER, folders, own
from tests.connectors.vision.station import (
    running_station,
)


@pytest.mark.asyncio
async def test_a_secured_server_lets_its_user_start_jobs_and_nobody_else(tmp_path: Path) -> None:
    _, theirs = folders(tmp_path, own("client"), own("server"))
    (theirs.root / "users").mkdir()
    (theirs.root / "users" / USER).write_text(PASSWORD)
    async with running_station(tmp_path, pki_dir=theirs.root) as station:

        async def secured(password: str | None) -> Client:
            client = Client(station.url)
            client.application_uri = "urn:test:gateway"
            identity, controller = own("client"), own("server")
            await client.set_security(
                _policy(),
                _written(tmp_path / "cert.der", identity.certificate_der),
                _written(tmp_path / "key.pem", identity.key_pem),
                server_certificate=_written(tmp_path / "server.der", controller.certificate_der),
                mode=ua.MessageSecurityMode.SignAndEncrypt,
            )
            if password is not None:
                client.set_user(USER)
                client.set_password(password)
            return client

        async with await secured(PASSWORD) as client:
            assert (await client.get_namespace_array())[0]
        for client in (await secured("wrong"), await secured(None), Client(station.url)):
            with pytest.raises((ua.UaError, ConnectionError, asyncio.TimeoutError)):
                async with client:
                    await client.get_namespace_array()


def _policy() -> type:
    from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

    found: type = SecurityPolicyBasic256Sha256
    return found


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
