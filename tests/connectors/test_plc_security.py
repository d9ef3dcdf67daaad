"""OPC UA security between gateway and controller: who is let in, and who is refused by whom."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, ua
from structlog.testing import capture_logs

from connectors.errors import CertificateError, CertificateRefusedError, LinkError
from connectors.handshake.signals import Signal
from connectors.line_link import LinkEvent
from connectors.opcua.link import OpcUaLink
from connectors.opcua.secured import connected
from connectors.opcua.server_security import ServerSecurity
from connectors.pki.certificates import Identity, make_identity, thumbprint
from connectors.pki.folder import PkiFolder
from connectors.settings import GatewaySettings
from infra.stack.process import free_port
from lab.plc.opcua_server import SignalServer
from tests.connectors.authorities import (
    CONTROLLER,
    FUTURE,
    PASSWORD,
    PAST,
    USER,
    authority,
    folders,
    keep_revocations,
    own,
    revocation_list,
    signed,
)
from tests.waiting import until

pytestmark = pytest.mark.asyncio
POLICIES = ["Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"]


def settings(server: SignalServer, pki: PkiFolder, **more: Any) -> GatewaySettings:
    given = {
        "plc_url": server.url,
        "pki_dir": pki.root,
        "security_policy": "Basic256Sha256",
        "user_name": USER,
        "password": PASSWORD,
        "plc_timeout_s": 10.0,
        "reconnect_max_s": 0.05,
    }
    return GatewaySettings.model_validate({**given, **more})


@asynccontextmanager
async def listening(security: ServerSecurity | None) -> AsyncIterator[SignalServer]:
    url = f"opc.tcp://127.0.0.1:{free_port()}"
    server = SignalServer(url, lambda _: None, security=security)
    await server.open()
    await server.listen()
    try:
        yield server
    finally:
        await server.close()


def with_user(pki: PkiFolder) -> ServerSecurity:
    return ServerSecurity(pki, {USER: PASSWORD})


async def read_all(told: GatewaySettings) -> int:
    async with connected(told, "test") as client:
        index = await client.get_namespace_index(told.namespace)
        node = client.get_node(ua.NodeId("Andon.VisionHeartbeat", index))
        await node.write_value(7, ua.VariantType.UInt32)
        return int(await node.read_value())


async def test_each_policy_and_mode_lets_the_trusted_user_in(tmp_path: Path) -> None:
    ours, theirs = folders(tmp_path, own("client"), own())
    async with listening(with_user(theirs)) as server:
        for policy in POLICIES:
            for mode in ("Sign", "SignAndEncrypt"):
                told = settings(server, ours, security_policy=policy, security_mode=mode)
                assert await read_all(told) == 7, (policy, mode)


async def wear(server: SignalServer, identity: Identity) -> None:
    """Give a server that listens another certificate: a new one takes a second to start."""
    running = server._running()
    running.iserver.endpoints.clear()
    running._policies.clear()
    await running.load_certificate(identity.certificate_der, "der")
    await running.load_private_key(identity.key_pem, format="pem")
    await running._setup_server_nodes()
    running.bserver.set_policies(running._policies)


REFUSED: dict[str, tuple[Callable[[], Identity], str]] = {
    "untrusted": (own, "is not trusted; if the thumbprint .* andon plc trust accept {thumb}"),
    "expired": (lambda: own("server", PAST), "expired on .* andon plc trust fetch"),
    "not yet valid": (lambda: own("server", FUTURE), "is valid from .* andon plc trust fetch"),
    "revoked": (signed, "was revoked on .* andon plc trust fetch"),
    "of another host": (
        lambda: make_identity(CONTROLLER, ("plc-9",), "other host", "server"),
        "is for the host plc-9, not '127.0.0.1'; .* ANDON_GATEWAY__PLC_URL",
    ),
}


async def test_the_gateway_refuses_a_controller(tmp_path: Path) -> None:
    _, theirs = folders(tmp_path, own("client"), own())
    async with listening(with_user(theirs)) as server:
        for kind, (make, words) in REFUSED.items():
            identity = make()
            thumb = thumbprint(identity.certificate)
            ours, _ = folders(tmp_path / kind, own("client"), identity)
            if kind == "untrusted":
                assert ours.remove("trusted", identity.certificate)
            if kind == "revoked":
                keep_revocations(ours, revocation_list(authority(), identity.certificate))
            await wear(server, identity)
            with pytest.raises(CertificateRefusedError, match=words.format(thumb=thumb)) as refused:
                await read_all(settings(server, ours))
            assert thumb in str(refused.value), kind
            place = "rejected" if kind == "untrusted" else "trusted"
            assert (ours.find(thumb) or ("", None))[0] == place
        assert await read_all(settings(server, ours, plc_check_host=False)) == 7


async def test_a_controller_of_another_application_is_refused(tmp_path: Path) -> None:
    """The server tells an application URI that its certificate is not for."""
    ours, theirs = folders(tmp_path, own("client"), own())
    async with listening(with_user(theirs)) as server:
        for endpoint in server._running().iserver.endpoints:
            endpoint.Server.ApplicationUri = "urn:of:somebody:else"
        with pytest.raises(CertificateRefusedError, match=r"not for 'urn:of:somebody:else'"):
            await read_all(settings(server, ours))


async def test_the_controller_refuses_a_gateway(tmp_path: Path) -> None:
    kinds = {
        "BadCertificateUntrusted": own("client"),
        "BadCertificateTimeInvalid": own("client", PAST),
        "BadCertificateRevoked": signed("client"),
    }
    _, theirs = folders(tmp_path, own("client"), own())
    security = with_user(theirs)
    async with listening(security) as server:
        for status, identity in kinds.items():
            ours, _ = folders(tmp_path / status, identity, own())
            theirs.put("trusted", identity.certificate)
            if status == "BadCertificateUntrusted":
                theirs.remove("trusted", identity.certificate)
            if status == "BadCertificateRevoked":
                keep_revocations(theirs, revocation_list(authority(), identity.certificate))
            words = f"refuses the gateway's certificate .* {status}; .* andon plc trust export"
            with pytest.raises(LinkError, match=words):
                await read_all(settings(server, ours))
            assert security.refused[-1].why.value == status


async def test_the_controller_refuses_a_user(tmp_path: Path) -> None:
    users: list[dict[str, object]] = [
        {"password": "another"},
        {"user_name": "nobody"},
        {"user_name": "", "password": None},
    ]
    ours, theirs = folders(tmp_path, own("client"), own())
    async with listening(with_user(theirs)) as server:
        for user in users:
            with pytest.raises(LinkError, match="does not accept the user") as refused:
                await read_all(settings(server, ours, **user))
            assert PASSWORD not in str(refused.value)
            assert "another" not in str(refused.value)


@pytest.mark.slow
async def test_a_user_may_have_a_certificate(tmp_path: Path) -> None:
    ours, theirs = folders(tmp_path, own("client"), own())
    person = PkiFolder(tmp_path / "user")
    person.keep_identity(signed("client"))
    as_user = {
        "user_name": "",
        "password": None,
        "user_certificate": person.certificate_file,
        "user_key": person.key_file,
    }
    known = ServerSecurity(theirs, user_certificates=(signed("client").certificate,))
    async with listening(known) as server:
        assert await read_all(settings(server, ours, **as_user)) == 7
    other = ServerSecurity(theirs, user_certificates=(own("client", PAST).certificate,))
    async with listening(other) as server:
        with pytest.raises(LinkError, match="does not accept the user"):
            await read_all(settings(server, ours, **as_user))


async def test_a_client_without_security_reads_and_writes_nothing(tmp_path: Path) -> None:
    """asyncua's server opens such a channel, and its sessions may speak before they are let in."""
    _, theirs = folders(tmp_path, own("client"), own())
    async with listening(with_user(theirs)) as server:
        client = Client(server.url, timeout=10)
        await client.connect_socket()
        try:
            await client.send_hello()
            await client.open_secure_channel()
            with pytest.raises(ua.UaError, match="No matching endpoints"):
                await client.create_session()
            node = client.get_node(server._ids[Signal.VISION_HEARTBEAT])
            with pytest.raises(ua.UaError):
                await node.read_value()
            with pytest.raises(ua.UaError):
                await node.write_value(9, ua.VariantType.UInt32)
            with pytest.raises(ua.UaError):
                await client.activate_session()
        finally:
            client.disconnect_socket()
        assert server.values[Signal.VISION_HEARTBEAT] == 0


async def test_a_controller_without_the_policy_is_named(tmp_path: Path) -> None:
    ours, _ = folders(tmp_path, own("client"), own())
    async with listening(None) as server:
        with pytest.raises(
            LinkError, match=r"offers no SignAndEncrypt with .*, but None with None"
        ):
            await read_all(settings(server, ours))


async def test_a_gateway_without_a_certificate_is_told_how_to_make_one(tmp_path: Path) -> None:
    _, theirs = folders(tmp_path, own("client"), own())
    async with listening(with_user(theirs)) as server:
        with pytest.raises(CertificateError, match="andon plc trust make"):
            await read_all(settings(server, PkiFolder(tmp_path / "empty")))


async def test_what_is_accepted_while_the_gateway_waits_lets_it_in(tmp_path: Path) -> None:
    """No restart is needed; and a password is in no line of the log."""
    ours, theirs = folders(tmp_path, own("client"), own())
    ours.remove("trusted", own().certificate)
    events: list[LinkEvent] = []
    ends: dict[str, datetime] = {}
    async with listening(with_user(theirs)) as server:
        link = OpcUaLink(settings(server, ours), ends.update)
        with capture_logs() as lines:
            running = asyncio.create_task(link.run(events.append))
            try:
                await until(lambda: any(one["event"] == "plc.unreachable" for one in lines), 60)
                assert thumbprint(own().certificate) in str(lines)
                assert not ends
                ours.put("trusted", own().certificate)
                await until(lambda: bool(events), 60)
                assert own().certificate.not_valid_after_utc in ends.values()
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
    assert PASSWORD not in str(lines)


@pytest.mark.parametrize(
    ("url", "policy", "warned"),
    [
        ("opc.tcp://192.0.2.1:4840", "None", 1),
        ("opc.tcp://127.0.0.1:4840", "None", 0),
        ("opc.tcp://localhost:4840", "None", 0),
        ("opc.tcp://192.0.2.1:4840", "Basic256Sha256", 0),
    ],
)
async def test_it_is_said_once_that_a_link_over_the_network_is_open(
    url: str, policy: str, warned: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = GatewaySettings.model_validate(
        {"plc_url": url, "security_policy": policy, "pki_dir": tmp_path, "reconnect_max_s": 0.01}
    )

    async def nobody(*_: object) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr("connectors.opcua.link.connect", nobody)
    link = OpcUaLink(told)
    with capture_logs() as lines:
        running = asyncio.create_task(link.run(lambda _: None))
        await until(lambda: link._outage._failures >= 3, 60)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert [line["event"] for line in lines].count("plc.not_secured") == warned
