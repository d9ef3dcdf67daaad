"""Certificates that are renewed while a process runs count from its next connection on."""

import asyncio
import shutil
import ssl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop
from cryptography import x509

from history.database_url import read_database_url
from infra.stack.certificates import KeyPair, LocalAuthority
from streams.kafka.security import KafkaSecurityError, ssl_context
from streams.tls import FileContext, client_context
from tests.streams.kafka.test_security import TLS as KAFKA


@pytest.fixture
def authorities(tmp_path: Path) -> list[LocalAuthority]:
    return [LocalAuthority(tmp_path / name).open() for name in ("one", "two")]


def serial_of(pair: KeyPair) -> str:
    return f"{x509.load_pem_x509_certificate(pair.cert.read_bytes()).serial_number:X}"


def handshake(client: ssl.SSLContext, authority: LocalAuthority, clients: LocalAuthority) -> str:
    """Shake hands with a server of an authority that asks for a certificate of another one's.

    Returns:
        The serial number of the certificate that the client showed.
    """
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair = authority.issue("server", ("localhost",))
    server.load_cert_chain(pair.cert, pair.key)
    server.load_verify_locations(clients.ca)
    server.verify_mode = ssl.CERT_REQUIRED
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    asks = client.wrap_bio(back, there, server_hostname="localhost")
    answers = server.wrap_bio(there, back, server_side=True)
    for _ in range(4):
        for side in (asks, answers):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    shown = answers.getpeercert()
    assert shown is not None
    return str(shown["serialNumber"]).lstrip("0")


def place(pair: KeyPair, folder: Path) -> KeyPair:
    """Copy a pair as a renewal does, by renames."""
    at = KeyPair(folder / "tls.crt", folder / "tls.key")
    for source, target in ((pair.cert, at.cert), (pair.key, at.key)):
        shutil.copy(source, folder / "draft")
        (folder / "draft").rename(target)
    return at


def contexts(ca: Path, at: KeyPair) -> list[ssl.SSLContext]:
    """Of Kafka, of PostgreSQL and of MQTT."""
    url = f"postgresql://db/andon?sslmode=verify-full&sslrootcert={ca}&sslcert={at.cert}"
    database = read_database_url(f"{url}&sslkey={at.key}").ssl_argument()
    assert isinstance(database, ssl.SSLContext)
    kafka = ssl_context(replace(KAFKA, ca_file=ca, cert_file=at.cert, key_file=at.key))
    return [kafka, database, client_context(ca, at.cert, at.key, "MQTT", KafkaSecurityError)]


def test_renewed_files_count_from_the_next_handshake_on(
    authorities: list[LocalAuthority], tmp_path: Path
) -> None:
    """They were read once, so that a process was refused until somebody started it anew."""
    one, two = authorities
    ca = tmp_path / "ca.crt"
    shutil.copy(one.ca, ca)
    first, second = one.issue("client"), two.issue("client")
    at = place(first, tmp_path)
    for context in contexts(ca, at):
        assert handshake(context, one, one) == serial_of(first)
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(context, two, one)
    held = contexts(ca, at)
    place(second, tmp_path)
    ca.write_bytes(two.ca.read_bytes())
    for context in held:
        assert handshake(context, two, two) == serial_of(second)


def test_half_a_renewal_leaves_what_was_there(
    authorities: list[LocalAuthority], tmp_path: Path
) -> None:
    one, _ = authorities
    first, second = one.issue("client"), one.issue("later")
    at = place(first, tmp_path)
    context = FileContext(one.ca, at.cert, at.key)
    shutil.copy(second.cert, at.cert)
    assert handshake(context, one, one) == serial_of(first)
    at.key.unlink()
    assert handshake(context, one, one) == serial_of(first)
    place(second, tmp_path)
    assert handshake(context, one, one) == serial_of(second)


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_both_event_loops_ask_for_the_files_of_now(
    authorities: list[LocalAuthority], tmp_path: Path, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    one, two = authorities
    ca = tmp_path / "ca.crt"
    shutil.copy(one.ca, ca)
    context = FileContext(ca, None, None)

    async def connect() -> None:
        served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        pair = two.issue("server", ("localhost",))
        served.load_cert_chain(pair.cert, pair.key)
        server = await asyncio.start_server(lambda _, w: w.close(), "127.0.0.1", 0, ssl=served)
        where = {"host": "127.0.0.1", "port": server.sockets[0].getsockname()[1]}
        async with server:
            with pytest.raises(ssl.SSLCertVerificationError):
                await asyncio.open_connection(**where, ssl=context, server_hostname="localhost")
            ca.write_bytes(two.ca.read_bytes())
            reader, writer = await asyncio.open_connection(
                **where, ssl=context, server_hostname="localhost"
            )
            assert await reader.read() == b""
            writer.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(connect())
