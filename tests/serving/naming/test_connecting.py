"""Why an endpoint was not reached: told apart by what a plant's person has to mend."""

import asyncio
import datetime
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from serving.naming.calls import CallProblem, Completion, EndpointError, Failed, Question
from serving.naming.completion import Transport
from serving.naming.settings import EndpointSettings, EndpointZone

pytestmark = pytest.mark.asyncio


async def ask(base_url: str, key: str = "k", timeout_s: float = 20.0) -> Failed:
    settings = EndpointSettings.model_validate(
        {
            "base_url": base_url,
            "model": "m",
            "api_key": key,
            "zone": EndpointZone.PLANT,
            "key_in_the_clear": True,
            "timeout_s": timeout_s,
            "connect_timeout_s": 10.0,
        }
    )
    transport = Transport(settings)
    try:
        outcome = await transport.send(Question("", "?", (), ("a",)))
    finally:
        await transport.close()
    assert not isinstance(outcome, Completion)
    return outcome


@asynccontextmanager
async def listening(reply: bytes | None, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that sends ``reply`` to whatever comes and hangs up; None never answers."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        if reply is None:
            await reader.read()  # until the client gives up
        else:
            writer.write(reply)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]


def self_signed(folder: Path) -> ssl.SSLContext:
    """TLS with a certificate that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "both.pem"
    path.write_bytes(private + made.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def write_empty(path: Path) -> None:
    path.write_text("\n", encoding="utf-8")


async def test_nothing_listens_at_the_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    failed = await ask(f"http://127.0.0.1:{port}/v1")
    assert failed.problem is CallProblem.UNREACHABLE
    assert failed.retryable
    assert f"nothing listens at http://127.0.0.1:{port}/v1" in failed.message


async def test_the_host_name_is_not_known() -> None:
    failed = await ask("http://no-such-host.invalid/v1")
    assert "the host name 'no-such-host.invalid' is not known" in failed.message


async def test_tls_is_spoken_to_a_port_without() -> None:
    async with listening(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        failed = await ask(f"https://127.0.0.1:{port}/v1")
    assert not failed.retryable
    assert "TLS" in failed.message
    assert "is it http://?" in failed.message


async def test_the_certificate_is_not_trusted(tmp_path: Path) -> None:
    async with listening(b"", self_signed(tmp_path)) as port:
        failed = await ask(f"https://127.0.0.1:{port}/v1")
    assert not failed.retryable
    assert "TLS: the certificate of 127.0.0.1 is not trusted: self" in failed.message


async def test_the_plants_own_authority_is_trusted_where_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply = b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"
    async with listening(reply, self_signed(tmp_path)) as port:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "both.pem"))
        failed = await ask(f"https://127.0.0.1:{port}/v1")
        assert "HTTP 503" in failed.message
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "absent.pem"))
    with pytest.raises(EndpointError, match=r"SSL_CERT_FILE=.*absent\.pem"):
        await ask("https://127.0.0.1:9/v1")


@pytest.mark.parametrize("reply", [b"", b"garbage", b"\x15\x03\x01\x00\x02\x02F"])
async def test_the_connection_is_cut(reply: bytes) -> None:
    async with listening(reply) as port:
        failed = await ask(f"http://127.0.0.1:{port}/v1")
    assert failed.problem is CallProblem.UNREACHABLE
    assert "cut the connection" in failed.message
    assert "https://" in failed.message


async def test_a_body_that_cannot_be_decompressed() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n"
    async with listening(head + b"nope") as port:
        failed = await ask(f"http://127.0.0.1:{port}/v1")
    assert "cannot be decompressed" in failed.message


async def test_no_answer_in_time() -> None:
    async with listening(None) as port:
        failed = await ask(f"http://127.0.0.1:{port}/v1", timeout_s=0.3)
    assert failed.problem is CallProblem.LATE
    assert "no answer in 0.3 s" in failed.message


async def test_a_key_that_cannot_be_sent() -> None:
    failed = await ask("http://127.0.0.1:9/v1", key="schlüssel")
    assert "not ASCII" in failed.message
    assert "schl" not in failed.message


async def test_a_redirect_is_not_followed() -> None:
    head = b"HTTP/1.1 302 Found\r\nlocation: https://login.example/\r\ncontent-length: 0\r\n\r\n"
    async with listening(head) as port:
        failed = await ask(f"http://127.0.0.1:{port}/v1")
    assert failed.problem is CallProblem.REJECTED
    assert "https://login.example/" in failed.message


async def test_a_refusal_without_end_is_not_read_to_its_end() -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.read(65_536)
        writer.write(b"HTTP/1.1 500 Oh\r\n\r\n<title>down</title>")
        with suppress(ConnectionError):
            while sent < 256 << 20:
                writer.write(b"x" * (1 << 20))
                await writer.drain()
                sent += 1 << 20
        writer.close()

    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    async with server:
        failed = await ask(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
    assert failed.problem is CallProblem.SERVER_ERROR
    assert "HTTP 500: xxx" in failed.message or "down" in failed.message
    assert sent < 64 << 20


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"api_key_env": "PLANT_KEY"}, "environment variable PLANT_KEY is empty"),
        ({"api_key_file": "key.txt"}, "key.txt is empty"),
    ],
)
async def test_an_empty_key_is_told_at_the_start(
    given: dict[str, str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLANT_KEY", " \n")
    write_empty(tmp_path / "key.txt")
    settings = {"base_url": "https://127.0.0.1:9/v1", "model": "m", "zone": "plant", **given}
    with pytest.raises(EndpointError, match=told):
        Transport(EndpointSettings.model_validate(settings))


async def test_a_proxy_that_cannot_be_used_is_told_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALL_PROXY", "ftp://127.0.0.1:9")
    outside = {"base_url": "https://127.0.0.1:9/v1", "model": "m", "zone": "external"}
    with pytest.raises(EndpointError, match="the proxy that HTTPS_PROXY or ALL_PROXY name"):
        Transport(EndpointSettings.model_validate(outside))


@pytest.mark.parametrize("name", ["Authorization", "authorization", "X-Team"])
async def test_nothing_that_the_settings_do_not_say_goes_along(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the client reads from variables of its own belongs to another service."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-foreign")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-foreign")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-foreign")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", f"{name}: Bearer sk-foreign")
    heads = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode().lower())
        writer.write(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        await ask(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", key="mine")
    assert "authorization: bearer mine\r\n" in heads[0]
    assert "foreign" not in heads[0]
