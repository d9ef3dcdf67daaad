"""When the certificates end that this host shows and trusts, and those of the servers it calls."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from cryptography import x509

from andon.checks.findings import CheckFailed, CheckWarned
from andon.settings import Settings
from andon.wiring import edge
from connectors.errors import CertificateError
from connectors.pki.certificates import read_certificates, read_file
from history.database_url import read_database_url
from streams.addresses import read_host_port

SOON_DAYS: Final = 30
REMEDY: Final = "renew it before: docs/security.md, Certificates, says what takes a new one when"
_SSL_REQUEST: Final = bytes((0, 0, 0, 8, 4, 210, 22, 47))
"""PostgreSQL's request to go on by TLS."""
_ANSWER_S: Final = 3.0


class Ending(NamedTuple):
    """A certificate, and whether something fails once it has ended."""

    where: str
    at: datetime
    needed: bool = True


async def check_certificates(settings: Settings) -> str:
    """No certificate that this host shows, trusts or is shown ends within a month."""
    found = await asyncio.to_thread(lambda: list(of_files(settings)))
    found += [one async for one in _of_servers(settings)]
    return said_of(found, datetime.now(UTC))


def said_of(found: Sequence[Ending], now: datetime) -> str:
    """What to say of these certificates: pure.

    Raises:
        CheckFailed: one that is needed has ended.
        CheckWarned: one ends soon.
    """
    ended = [f"{one.where} ended on {one.at:%Y-%m-%d}" for one in found if one.at <= now]
    soon = [
        f"{one.where} ends in {(one.at - now).days} days"
        for one in found
        if now < one.at and (one.at - now).days < SOON_DAYS
    ]
    if any(one.needed and one.at <= now for one in found):
        raise CheckFailed("; ".join([*ended, *soon]), REMEDY)
    if soon:
        raise CheckWarned("; ".join(soon), REMEDY)
    if not found:
        return "none is used"
    first = min(found, key=lambda one: one.at)
    return f"{len(found)}; {first.where} ends first, in {(first.at - now).days} days"


def of_files(settings: Settings) -> Iterator[Ending]:
    """The certificates of the settings' files. Of an authority's file the last to end counts: it
    may hold the one before too. Files that cannot be read are told by the checks that use them."""
    kafka, mqtt, gateway = settings.kafka, settings.mqtt, settings.gateway
    database = read_database_url(settings.postgres.url.get_secret_value())
    named = {
        "ANDON_KAFKA__CA_FILE": kafka.ca_file,
        "ANDON_KAFKA__CERT_FILE": kafka.cert_file,
        "ANDON_MQTT__CA_FILE": mqtt.ca_file,
        "ANDON_MQTT__CERT_FILE": mqtt.cert_file,
        "sslrootcert of ANDON_POSTGRES__URL": _path(database.root_certificate),
        "sslcert of ANDON_POSTGRES__URL": _path(database.certificate),
    }
    secured = gateway.security_policy != "None"
    pki = edge.pki_folder(settings)
    if secured:
        named["the gateway's own for OPC UA"] = pki.certificate_file
        named["ANDON_GATEWAY__USER_CERTIFICATE"] = gateway.user_certificate
    for where, path in named.items():
        if path is not None and (ends := [one.not_valid_after_utc for one in _read(path)]):
            yield Ending(f"{where} ({path})", max(ends) if "CA" in where else ends[0])
    for one in pki.listed("trusted") if secured else ():
        yield Ending(f"trusted for OPC UA ({_name(one)})", one.not_valid_after_utc, needed=False)


async def _of_servers(settings: Settings) -> AsyncIterator[Ending]:
    """The certificates that servers show. Who does not answer is told by the checks of its own."""
    asked = {}
    if settings.kafka.security.is_encrypted:
        for server in settings.kafka.bootstrap_servers.split(","):
            asked[f"Kafka's {server.strip()}"] = read_host_port(server, "broker:9093", 9093), False
    if settings.s3.secure:
        place = read_host_port(settings.s3.endpoint, "store:443", 443)
        asked[f"the object store's {place}"] = place, False
    if settings.mqtt.place.scheme == "mqtts":
        asked[f"MQTT's {settings.mqtt.place}"] = settings.mqtt.place, False
    database = read_database_url(settings.postgres.url.get_secret_value())
    if (database.sslmode or "").startswith(("verify", "require")):
        at = urlsplit(database.url)
        place = read_host_port(f"{at.hostname}:{at.port or 5432}", "host:5432")
        asked["PostgreSQL's"] = place, True
    shown = await asyncio.gather(
        *(_shown(place.host, place.port or 0, first) for place, first in asked.values())
    )
    for where, end in zip(asked, shown, strict=True):
        if end is not None:
            yield Ending(f"{where} certificate", end)


async def _shown(host: str, port: int, asks_first: bool) -> datetime | None:
    """When the certificate ends that a server shows; nothing is sent to it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    name = host.strip("[]")
    try:
        async with asyncio.timeout(_ANSWER_S):
            tls = None if asks_first else context
            reader, writer = await asyncio.open_connection(name, port, ssl=tls)
            try:
                if asks_first:
                    writer.write(_SSL_REQUEST)
                    if await reader.readexactly(1) != b"S":
                        return None
                    await writer.start_tls(context, server_hostname=name)
                tls_of = writer.get_extra_info("ssl_object")
                return x509.load_der_x509_certificate(tls_of.getpeercert(True)).not_valid_after_utc
            finally:
                writer.close()
    except (OSError, EOFError, TimeoutError, ValueError):
        return None


def _path(text: str) -> Path | None:
    return Path(text) if text and text != "system" else None


def _read(path: Path) -> list[x509.Certificate]:
    try:
        return read_certificates(read_file(path), str(path))
    except CertificateError:
        return []


def _name(one: x509.Certificate) -> str:
    return one.subject.rfc4514_string()
